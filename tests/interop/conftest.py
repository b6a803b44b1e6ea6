"""One card of each profile, in a real PC/SC service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from renewagent_fixtures.private_pcscd import PrivatePcscd
from tests.interop.cards import CardInReader, inserted


@pytest.fixture(params=["plain", "extended"])
def any_card(request: pytest.FixtureRequest, private_pcscd: PrivatePcscd, tmp_path: Path) -> Iterator[CardInReader]:
    """A card of each profile in turn."""
    with inserted(request.param, private_pcscd, tmp_path) as card:
        yield card


@pytest.fixture
def plain_card(private_pcscd: PrivatePcscd, tmp_path: Path) -> Iterator[CardInReader]:
    """A card with nothing beyond the standard."""
    with inserted("plain", private_pcscd, tmp_path) as card:
        yield card


@pytest.fixture
def extended_card(private_pcscd: PrivatePcscd, tmp_path: Path) -> Iterator[CardInReader]:
    """A card with Yubico's extensions."""
    with inserted("extended", private_pcscd, tmp_path) as card:
        yield card

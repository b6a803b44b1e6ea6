"""An RA without a network, whose clock stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from renewagent_fixtures.mock_ra.office import Office
from tests.unit.mock_ra.peer import Clock
from tests.unit.mock_ra.peer import office as make_office


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ra(tmp_path: Path, clock: Clock) -> Iterator[Office]:
    made = make_office(tmp_path / "ra", clock)
    yield made
    made.close()

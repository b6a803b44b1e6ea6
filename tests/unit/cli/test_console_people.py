"""Who somebody is, as `console person add` reads it off its options."""

from __future__ import annotations

import argparse

import pytest

from renewagent.cli.console_people import _named
from renewagent.errors import ConfigurationError


def named(name: str | None, subject: str) -> tuple[str, str]:
    return _named(argparse.Namespace(name=name, subject=subject, certificate=None))


@pytest.mark.parametrize(
    "name, subject, called",
    [
        (None, "CN=Nadia Osei,O=nhs,C=GB", "Nadia Osei"),
        (None, r"CN=Osei\, Nadia+UID=7,O=nhs", "Osei, Nadia"),
        ("Nadia", "CN=Nadia Osei,O=nhs,C=GB", "Nadia"),
    ],
)
def test_somebody_is_called_as_in_their_certificate_unless_told(name: str | None, subject: str, called: str) -> None:
    assert named(name, subject) == (called, subject)


@pytest.mark.parametrize("subject", ["O=nhs,C=GB", "no name at all", ""])
def test_without_a_name_in_it_one_is_asked_for(subject: str) -> None:
    with pytest.raises(ConfigurationError, match="What are they called"):
        named(None, subject)

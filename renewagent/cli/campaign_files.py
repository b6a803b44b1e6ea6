"""The files of `renewagent campaign ...`: read whole or seen to be too large, and written only over their like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from renewagent.errors import CampaignError, ConfigurationError

if TYPE_CHECKING:
    from renewagent.rules import Campaign

_MODE = 0o644  # a campaign is meant for everybody
_CHECK = "Check the name of the file."


def octets_of(path: Path, limit: int) -> bytes:
    """The file, or so much of it that it is seen to be too large. Raises ConfigurationError."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as problem:
        raise ConfigurationError(f"The file {path} cannot be read: {problem.strerror}.", advice=_CHECK) from problem


def is_signed(octets: bytes) -> bool:
    """True for DER, False for JSON."""
    return octets[:1] == b"\x30"


def document_in(path: Path) -> bytes:
    """The plain document, also out of a signed campaign, whose signer is not judged here. Raises CampaignError."""
    from cryptography.exceptions import UnsupportedAlgorithm

    from renewagent.campaign.verify import SIGNED_LIMIT
    from renewagent.cms import open_signed

    octets = octets_of(path, SIGNED_LIMIT)
    if not is_signed(octets):
        return octets
    try:
        return open_signed(octets).content
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise CampaignError(f"{path} is not correctly signed: {problem}.", advice=_CHECK) from problem


def check_out(out: Path, source: Path | None, new: Campaign, *, signed: bool) -> None:
    """Only an earlier version of the same kind is replaced, and never the source by something else.

    Raises ConfigurationError.
    """
    try:
        if not out.exists():
            return
        same = source is not None and out.samefile(source)
    except OSError as problem:
        raise ConfigurationError(f"The file {out} cannot be read: {problem.strerror}.", advice=_CHECK) from problem
    before = _campaign_in(out, signed=signed)
    if same and (before is None or not signed):
        raise ConfigurationError(
            f"--out names the campaign itself, {source}, which would be lost.",
            advice="Give --out another name, and keep the campaign for its next version.",
        )
    if before is None:
        kind = "a signed campaign" if signed else "an unsigned campaign"
        raise ConfigurationError(
            f"The file {out} exists and is not {kind}: it is not replaced.",
            advice="Give --out another name, or remove that file.",
        )
    if before.id == new.id and before.version > new.version:
        raise ConfigurationError(
            f"The file {out} holds version {before.version}, which is newer than version {new.version}: "
            "workstations that have seen it would refuse the older one.",
            advice="Start from the newest version.",
        )


def write_out(path: Path, octets: bytes) -> None:
    """At once, readable by all. Raises ConfigurationError."""
    from renewagent.atomic import write_atomically

    try:
        write_atomically(path, octets, mode=_MODE)
    except OSError as problem:
        raise ConfigurationError(f"The file {path} cannot be written: {problem.strerror}.", advice=_CHECK) from problem


@contextmanager
def advised(advice: str) -> Iterator[None]:
    """A CampaignError that passes is the manager's own to mend, not something to ask a Registration Authority for."""
    try:
        yield
    except CampaignError as error:
        error.advice = advice
        raise


def _campaign_in(path: Path, *, signed: bool) -> Campaign | None:
    """What is there, if it is a campaign, signed or plain as it should be."""
    from renewagent.campaign.document import parse_campaign

    try:
        octets = document_in(path)
        plain = octets_of(path, len(octets)) == octets
        return parse_campaign(octets) if plain is not signed else None
    except CampaignError:
        return None

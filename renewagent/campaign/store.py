"""The campaigns that this workstation has accepted, on disk: the last good one from each source, and the highest
version of each campaign ever accepted. Knows no cryptography: what is put in has been verified.

In the folder `campaigns` of the agent's state, for each source: `KEY.cms` (as signed), `KEY.state` (source, ETag, hash)
and `KEY.json` (the plain document, for the resident agent); and, for all, `accepted-versions`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from renewagent.atomic import write_atomically
from renewagent.campaign.document import campaign_to_json
from renewagent.errors import JournalError
from renewagent.language import _
from renewagent.rules import Campaign

FOLDER = "campaigns"
_VERSIONS = "accepted-versions"


@dataclass(frozen=True, slots=True)
class Kept:
    """The last good one from a source: as signed, and the ETag it came with ("" for none)."""

    signed: bytes
    etag: str


class CampaignStore:
    """Accepted campaigns below the state folder. Writing raises JournalError; what cannot be read counts as absent."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._folder = state_dir / FOLDER

    def last_good(self, source: str) -> Kept | None:
        """What was last kept for `source`, whole, or None."""
        try:
            signed = self._path(source, "cms").read_bytes()
            state = json.loads(self._path(source, "state").read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(state, dict) or state.get("sha256") != hashlib.sha256(signed).hexdigest():
            return None  # cut off between the two files
        etag = state.get("etag")
        return Kept(signed, etag if isinstance(etag, str) else "")

    def keep(self, source: str, signed: bytes, etag: str, campaign: Campaign) -> None:
        """Remember a verified campaign, its version last: cut off before, the last good one is never refused as old."""
        state = {"source": source, "etag": etag, "sha256": hashlib.sha256(signed).hexdigest()}
        versions = self.accepted_versions()
        with _told(self._folder):
            self._write(self._path(source, "cms").name, signed)
            self._write(self._path(source, "state").name, json.dumps(state).encode())
            self._write(self._path(source, "json").name, campaign_to_json(campaign))
            if campaign.version > versions.get(campaign.id, 0):
                self._write(_VERSIONS, json.dumps({**versions, campaign.id: campaign.version}).encode())

    def forget(self, source: str) -> None:
        """Take away what was kept for `source`; the accepted version stays."""
        with _told(self._folder):
            for kind in ("json", "state", "cms"):
                self._path(source, kind).unlink(missing_ok=True)

    def forget_all_but(self, sources: Iterable[str]) -> None:
        """Take away what was kept for sources that are no longer configured."""
        wanted = {_key(source) for source in sources}
        with _told(self._folder):
            for path in self._folder.glob("*.*"):
                if path.suffix in (".json", ".state", ".cms") and path.stem not in wanted:
                    path.unlink(missing_ok=True)

    def accepted_versions(self) -> Mapping[str, int]:
        """The highest version accepted so far, by campaign id."""
        versions: dict[str, int] = {}
        with suppress(OSError, ValueError):
            found = json.loads((self._folder / _VERSIONS).read_bytes())
            if isinstance(found, dict):
                versions = {name: number for name, number in found.items() if isinstance(number, int)}
        return versions

    def _path(self, source: str, kind: str) -> Path:
        return self._folder / f"{_key(source)}.{kind}"

    def _write(self, name: str, octets: bytes) -> None:
        """Only where it differs: a poll that brings nothing new wears no disk."""
        path = self._folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(OSError):
            if path.read_bytes() == octets:
                return
        write_atomically(path, octets)


def _key(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """System errors about the folder become JournalError."""
    try:
        yield
    except OSError as problem:
        said = _("Campaigns cannot be kept in {folder}: {why}.").format(folder=folder, why=problem.strerror)
        raise JournalError(said, advice=_("Free some disk space, or ask your IT support.")) from problem

"""The seam to an EHR (electronic health record), where devices are registered and EPCS is enabled and granted.

`renewagent.tokens.ehr_http` speaks to one over HTTP. Every call that changes something may be made again and does no
more than once. Each raises `EhrUnreachable` where no answer comes, `EhrRefused` where it says no, and `EhrMisbehaved`
for an answer that makes no sense. What an EHR says it has done may not be so: read it back (the soft-token text has
people do it all once more).
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from renewagent.tokens.model import Access, Device, Staff


class EhrPeople(Protocol):
    """Who is who."""

    def sign_in(self, user: str, password: str) -> bool:
        """True if this is their password. The EHR counts wrong ones itself; the password is not kept."""

    def staff(self, user: str) -> Staff | None:
        """None for nobody."""


class EhrDevices(Protocol):
    """ "EPCS Device Registration" of the screen "User Preferences"."""

    def device(self, user: str) -> Device | None:
        """What the screen shows, which may be stale; None for "None"."""

    def remove_device(self, user: str) -> None:
        """Select "None" and save."""

    def refresh_shared_tables(self) -> None:
        """What makes the screen show what was saved, mostly."""

    def register_device(self, user: str, username: str) -> None:
        """Bind the device that is active at the vendor under this Soft Token User Name."""


class EhrAccess(Protocol):
    """What the EHR lets somebody do."""

    def access(self, user: str) -> Access:
        """As it stands, never stale."""

    def enable_epcs(self, user: str) -> None:
        """Done by the person's own account, which needs the administrator override for it."""

    def grant_epcs(self, user: str, *, entered_by: str, executed_by: str) -> None:
        """By two people's EHR user names."""

    def revoke_epcs(self, user: str, *, entered_by: str, executed_by: str) -> None:
        """By two, like the grant."""

    def suspend_epcs(self, user: str) -> None:
        """By one, at once; a grant by two ends it."""

    def give_override(self, user: str, ends: datetime) -> bool:
        """ "Administrator (Overrides Role Based Permissions)". True if the EHR itself takes it away at `ends`; False if
        it stands until somebody does."""

    def remove_override(self, user: str) -> None:
        """Nothing to remove is as good."""


class Ehr(EhrPeople, EhrDevices, EhrAccess, Protocol):
    """All of it."""

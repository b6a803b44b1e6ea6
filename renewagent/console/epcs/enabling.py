"""Enabling EPCS for one's account in the EHR, outside of a soft token's run: for somebody who signs with a hardware
token, say. It needs the administrator override, which another person lends, and which goes as soon as EPCS is enabled.
"""

from __future__ import annotations

from renewagent.console import audit
from renewagent.console.epcs import overrides
from renewagent.console.epcs.asked import is_at_hand, nothing_there
from renewagent.console.epcs.desk import Desk
from renewagent.console.permissions import Permission, Person
from renewagent.tokens.errors import DeskRefused, EhrMisbehaved
from renewagent.tokens.leases import End
from renewagent.tokens.model import Access


def enable(desk: Desk, by: Person, owner: Person) -> Access:
    """EPCS is enabled, read back, and no override of this desk is left; again is as good as once. By the person, or by
    an administrator who goes on for them. Raises DeskRefused, and the EHR's errors: `overrides.tend` takes back what is
    left then."""
    if by.id != owner.id and not (by.may(Permission.ADMINISTER_EPCS) and is_at_hand(by, owner)):
        raise nothing_there()
    access = desk.ehr.access(owner.ehr)
    if not access.epcs_enabled:
        _enable(desk, by, owner, access)
    for lease in overrides.open_leases(desk, owner):
        overrides.take_back(desk, lease, End.SERVED, by.actor)
    return desk.ehr.access(owner.ehr)


def _enable(desk: Desk, by: Person, owner: Person, access: Access) -> None:
    if not access.administrator:
        raise DeskRefused(
            f"The account of {owner.name} needs the administrator override before EPCS can be enabled.",
            advice="Another person, an EPCS administrator, lends it for some minutes: renewagent epcs override give "
            f"--for {owner.ehr}. Then do this again.",
        )
    desk.ehr.enable_epcs(owner.ehr)
    if not desk.ehr.access(owner.ehr).epcs_enabled:
        raise EhrMisbehaved(
            "The EHR says that EPCS is enabled, and it is not.",
            advice="Try again in a minute, while the override stands. Else ask your EHR's support.",
        )
    now = desk.now()
    desk.write(lambda connection: audit.record(connection, now, by.actor, "epcs.enabled", {"subject": owner.actor}))

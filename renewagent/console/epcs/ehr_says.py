"""What the EHR says of somebody before they have a part in anything: whether they are suspended, and whether it knows
them at all.
"""

from __future__ import annotations

from renewagent.console.epcs import request_rows
from renewagent.console.epcs.desk import Desk
from renewagent.console.permissions import Person
from renewagent.errors import RenewAgentError
from renewagent.tokens.grants import Action


def suspended(desk: Desk, person: Person) -> str | None:
    """Somebody's factors, or their registration, are in doubt: they decide about nobody. None if they are not. Raises
    the EHR's errors."""
    under_way = desk.read(lambda c: request_rows.open_ones(c, subject=person, actions=[Action.SUSPEND]))
    known = bool(person.ehr) and desk.ehr.staff(person.ehr) is not None
    if under_way or (known and desk.ehr.access(person.ehr).epcs_suspended):
        return f"The EPCS access of {person.name} is suspended."
    return None


def knows_nobody(desk: Desk, user: str) -> bool:
    """It has no account of this name (any more). False where it does not say so."""
    try:
        return bool(user) and desk.ehr.staff(user) is None
    except RenewAgentError:
        return False

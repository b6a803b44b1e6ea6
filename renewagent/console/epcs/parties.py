"""Who has a part in a request: people with all that names them, and what the EHR says of them."""

from __future__ import annotations

import sqlalchemy as sa

from renewagent.console import people
from renewagent.console.epcs.desk import Desk
from renewagent.console.permissions import Person
from renewagent.console.tables import PERSON
from renewagent.tokens.errors import DeskRefused
from renewagent.tokens.grants import Party
from renewagent.tokens.model import Staff


def party(connection: sa.Connection, identity: str) -> Party:
    """As they are now, also somebody who may not sign in any more. Raises DeskRefused for nobody."""
    entry = people.ever(connection, identity)
    if entry is None:
        raise DeskRefused("Nobody here is known by this name.")
    return Party(entry.person, entry.subject, entry.account, here=entry.ended is None)


def one_at_a_time(connection: sa.Connection, subject: Person) -> None:
    """Until the transaction ends, nobody else decides anything about this person. (SQLite has one writer anyway.)"""
    connection.execute(sa.select(PERSON.c.id).where(PERSON.c.id == subject.id).with_for_update())


def staff(desk: Desk, person: Person) -> Staff:
    """Their account in the EHR. Raises DeskRefused for somebody who has none, and the EHR's errors."""
    found = desk.ehr.staff(person.ehr) if person.ehr else None
    if found is None:
        raise DeskRefused(
            f"{person.name} has no account in the EHR that is known here.",
            advice="Ask whoever looks after the console to enter their EHR user name.",
        )
    return found

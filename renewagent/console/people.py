"""The people who may sign in: added, changed and ended, found by their card or by their name at a sign-on proxy.

What a person may see of others' organisations is decided here once: `visible`. Whoever calls `add`, `change` or `end`
has asked `Person.may_appoint` before, or is the administrator of the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.permissions import EVERY, Person, Role
from renewagent.console.store import raise_revision
from renewagent.console.tables import CHALLENGE, PERSON, SESSION
from renewagent.errors import RenewAgentError, Retry
from renewagent.names import canonical, format_name, parse_name
from renewagent.tokens.errors import FormError
from renewagent.tokens.npi import read_dea

_TEXT = re.compile(r"[\x20-\x7e\u00a0-\uffff]{1,200}")
_CODE = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,39}")
_LONGEST_SUBJECT = 1000


class PeopleError(RenewAgentError):
    """What is said of a person cannot be so."""

    code = "RA-PEOPLE"
    retry = Retry.NEVER
    advice = "Check what you typed, then try again."


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the list of people: the person, how they sign in, and since when and until when they may."""

    person: Person
    subject: str
    account: str
    added: datetime
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody to be added. `subject`: the name in their card's authentication certificate, RFC 4514 text in any
    spelling; `account`: their name at the single-sign-on proxy, letter for letter; `ehr`: their user name in the EHR.
    One of the three is needed. `dea`: their DEA registration number, or ""."""

    name: str
    role: Role
    organisations: tuple[str, ...]
    subject: str = ""
    account: str = ""
    ehr: str = ""
    dea: str = ""


def add(
    connection: sa.Connection, now: datetime, actor: str, newcomer: Newcomer, entropy: Callable[[int], bytes]
) -> Person:
    """Let somebody in from now on. Raises PeopleError."""
    name, account, ehr = _text(newcomer.name, "A name"), newcomer.account, newcomer.ehr
    codes, subject = organisation_codes(newcomer.organisations), canonical_subject(newcomer.subject)
    if not (subject or account or ehr):
        raise PeopleError("Nobody can sign in without a card and without an account.")
    for value in filter(None, (account, ehr)):
        _text(value, "An account")
    dea = _registration(newcomer.dea)
    user = sa.func.lower(PERSON.c.ehr) == sa.func.lower(ehr)  # an EHR may not tell them apart
    for same, value in ((PERSON.c.subject == subject, subject), (PERSON.c.account == account, account), (user, ehr)):
        if value and _found(connection, same) is not None:
            raise PeopleError(f"{value} is somebody else who may sign in already.")
    person = Person(entropy(8).hex(), name, newcomer.role, codes, ehr, dea)
    row = {"id": person.id, "name": name, "role": person.role.value, "organisations": " ".join(sorted(codes))}
    row |= {"subject": subject, "account": account, "ehr": ehr, "dea": dea}
    connection.execute(sa.insert(PERSON).values(**row, added=now))
    audit.record(connection, now, actor, "person.added", row)
    raise_revision(connection, "people")
    return person


def change(
    connection: sa.Connection, now: datetime, actor: str, person: Person, role: Role, organisations: Iterable[str]
) -> None:
    """Another role, other organisations: every session of theirs ends. Raises PeopleError."""
    codes = organisation_codes(organisations)
    values = {"role": role.value, "organisations": " ".join(sorted(codes))}
    _update(connection, person, values)
    audit.record(connection, now, actor, "person.changed", {"id": person.id, "name": person.name, **values})


def end(connection: sa.Connection, now: datetime, actor: str, person: Person) -> None:
    """Nobody signs in as this person any more, and every session of theirs ends. Raises PeopleError."""
    _update(connection, person, {"ended": now})
    audit.record(connection, now, actor, "person.ended", {"id": person.id, "name": person.name})


def by_id(connection: sa.Connection, identity: str) -> Person | None:
    """Somebody who may still sign in."""
    return _found(connection, PERSON.c.id == identity)


def by_subject(connection: sa.Connection, subject: str) -> Person | None:
    """By the canonical name in their card's certificate; nobody has an empty one."""
    return _found(connection, PERSON.c.subject == subject) if subject else None


def by_account(connection: sa.Connection, account: str) -> Person | None:
    """By their name at the sign-on proxy; nobody has an empty one."""
    return _found(connection, PERSON.c.account == account) if account else None


def by_ehr(connection: sa.Connection, user: str) -> Person | None:
    """By their user name in the EHR; nobody has an empty one."""
    return _found(connection, PERSON.c.ehr == user) if user else None


def everybody(connection: sa.Connection) -> list[Entry]:
    """Whoever may sign in or once might, by name."""
    return [_entry(row) for row in connection.execute(sa.select(PERSON).order_by(PERSON.c.name, PERSON.c.id))]


def ever(connection: sa.Connection, identity: str) -> Entry | None:
    """Somebody who may sign in or once might."""
    row = connection.execute(sa.select(PERSON).where(PERSON.c.id == identity)).first()
    return None if row is None else _entry(row)


def visible(person: Person, column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """The condition on `column` (organisation codes) that leaves what this person may see."""
    return sa.true() if person.answers_for_all else column.in_(sorted(person.organisations))


def canonical_subject(subject: str) -> str:
    """RFC 4514 text in the one spelling that is compared; "" stays so. Raises PeopleError."""
    if len(subject) > _LONGEST_SUBJECT:
        raise PeopleError("That is too long for a name in a certificate.")
    try:
        return format_name(canonical(parse_name(subject)))
    except ValueError as problem:
        raise PeopleError(f"{subject!r} is no name as certificates have it: {problem}.") from problem


def organisation_codes(codes: Iterable[str]) -> frozenset[str]:
    """In capitals, at least one, `EVERY` alone. Raises PeopleError."""
    found = frozenset(code.strip().upper() for code in codes)
    if found == {EVERY}:
        return found
    if not found or not all(_CODE.fullmatch(code) for code in found):
        raise PeopleError("Organisations are given by their codes, at least one of them, or * alone for all.")
    return found


def _update(connection: sa.Connection, person: Person, values: dict[str, Any]) -> None:
    changed = connection.execute(
        sa.update(PERSON).where(PERSON.c.id == person.id, PERSON.c.ended.is_(None)).values(**values)
    )
    if not changed.rowcount:
        raise PeopleError(f"{person.name} may not sign in any more.")
    for table in (SESSION, CHALLENGE):
        connection.execute(sa.delete(table).where(table.c.person == person.id))
    raise_revision(connection, "people")


def _found(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> Person | None:
    row = connection.execute(sa.select(PERSON).where(condition, PERSON.c.ended.is_(None))).first()
    return None if row is None else _person(row)


def _entry(row: sa.Row[Any]) -> Entry:
    return Entry(_person(row), row.subject, row.account, row.added, row.ended)


def _person(row: sa.Row[Any]) -> Person:
    return Person(row.id, row.name, Role(row.role), frozenset(row.organisations.split()), row.ehr, row.dea)


def _registration(dea: str) -> str:
    if not dea:
        return ""
    try:
        return read_dea(dea)
    except FormError as problem:
        raise PeopleError(problem.message, advice=problem.advice) from problem


def _text(value: str, what: str) -> str:
    if not _TEXT.fullmatch(value) or value != value.strip():
        raise PeopleError(f"{what} is 1 to 200 characters, with no space at either end.")
    return value

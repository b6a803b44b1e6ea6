"""What programs read of the EPCS desk: its data as JSON. Times are RFC 3339, people are named, secrets are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa

from renewagent.console.epcs.desk import Desk
from renewagent.console.permissions import Person
from renewagent.console.tables import PERSON
from renewagent.tokens.grants import Party

Document = dict[str, Any]


def told(value: Any) -> Any:
    """Data as JSON has it; of a dataclass every field that its `repr` shows."""
    if isinstance(value, Person | Party):
        return person_document(value.person if isinstance(value, Party) else value)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: told(getattr(value, one.name)) for one in fields(value) if one.repr}
    if isinstance(value, Mapping):
        return {str(name): told(one) for name, one in value.items()}
    return [told(one) for one in value] if isinstance(value, list | tuple | set | frozenset) else value


def person_document(person: Person) -> Document:
    """Somebody: `user` as the EHR has them; `dea` says whether they are a DEA registrant, not the number."""
    named = {"id": person.id, "name": person.name, "role": person.role.value, "user": person.ehr}
    return {**named, "dea": bool(person.dea)}


def with_people(desk: Desk, things: Iterable[object], *roles: str) -> list[Document]:
    """The same of things that have people's ids in these fields: each is named, or None where it is nobody's."""
    documents: list[Document] = [told(one) for one in things]
    ids = sorted({document[role] for document in documents for role in roles})
    question = sa.select(PERSON.c.id, PERSON.c.name, PERSON.c.ehr).where(PERSON.c.id.in_(ids))
    rows = desk.read(lambda connection: connection.execute(question).fetchall())
    known = {row.id: {"id": row.id, "name": row.name, "user": row.ehr} for row in rows}
    return [{**document, **{role: known.get(document[role]) for role in roles}} for document in documents]

"""What programs read of the EPCS desk: its data as JSON. Times are RFC 3339, people are named, secrets are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any

from renewagent.console.permissions import Person


def told(value: Any) -> Any:
    """Data as JSON has it; of a dataclass every field that its `repr` shows."""
    if isinstance(value, Person):
        return person_document(value)
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


def person_document(person: Person) -> dict[str, Any]:
    """Somebody: `user` as the EHR has them; `dea` says whether they are a DEA registrant, not the number."""
    named = {"id": person.id, "name": person.name, "role": person.role.value, "user": person.ehr}
    return {**named, "dea": bool(person.dea)}

"""What the second person approves, at the workstation: the desk's document read strictly, every line of it to be shown,
and the digest of what was shown. Pure.

The person's card signs that digest (`Purpose.APPROVAL`), so what could not be shown, or would be spelt in another way,
is not approved: the desk's word for what it is about is not taken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from renewagent.reasons import moment
from renewagent.tokens.errors import DeskRefused

_TITLE = "renewagent EPCS request v1"
_PERSON = frozenset(("id", "name", "user", "dea"))
_MEMBERS = frozenset(("document", "id", "action", "reason", "entered", "ends", "subject", "entered_by"))
_ACTIONS = {
    "grant": "Let {name} sign prescriptions of controlled substances (grant EPCS).",
    "revoke": "Let {name} no longer sign prescriptions of controlled substances (revoke EPCS).",
}


@dataclass(frozen=True, slots=True)
class Approval:
    """What is decided on. `lines`: all of it in words; `digest`: SHA-256 of exactly that, lowercase hex."""

    request: str
    lines: tuple[str, ...]
    digest: str


def read(text: object, request: str) -> Approval:
    """The document of the request of this id. Raises DeskRefused for one that cannot be shown as it is."""
    try:
        found = json.loads(text if isinstance(text, str) else "")
        _check(found, request)
        lines = tuple(_lines(found))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise _unreadable() from problem
    spelt = json.dumps(found, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    if spelt != text:
        raise _unreadable()
    return Approval(request, lines, hashlib.sha256(spelt.encode()).hexdigest())


def _check(found: Mapping[str, Any], request: str) -> None:
    if found.keys() != _MEMBERS or found["document"] != _TITLE or found["id"] != request:
        raise ValueError("another document")
    people = [found["subject"], found["entered_by"]]
    texts = [found[name] for name in _MEMBERS - {"subject", "entered_by"}]
    for person in people:
        if person.keys() != _PERSON:
            raise ValueError("another person")
        texts += person.values()
    if not all(isinstance(one, str) and one.isprintable() for one in texts):
        raise ValueError("something that cannot be shown")


def _lines(found: Mapping[str, Any]) -> list[str]:
    entered, ends = (datetime.fromisoformat(found[name]) for name in ("entered", "ends"))
    return [
        _ACTIONS[found["action"]].format(name=found["subject"]["name"]),
        f"  For: {_named(found['subject'])}",
        f"  Why: {found['reason']}",
        f"  Entered by: {_named(found['entered_by'])}, on {moment(entered)}",
        f"  It can be decided until {moment(ends)}.",
        f"  Request {found['id']}",
    ]


def _named(person: Mapping[str, str]) -> str:
    known = [f"EHR user name {person['user']}"] if person["user"] else []
    known += [f"DEA number {person['dea']}"] if person["dea"] else []
    return f"{person['name']} ({', '.join([*known, person['id']])})"


def _unreadable() -> DeskRefused:
    return DeskRefused(
        "The EPCS desk sent something to approve that cannot be shown to you as it is.",
        advice="Nothing was approved. Ask your EPCS administrator to enter it again, in plain text.",
    )

"""The EPCS desk's addresses in /openapi.json. What it answers is described from the very data that it answers with
(`renewagent.console.epcs.documents.told`).
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from renewagent.console.epcs.factors import Challenge
from renewagent.console.epcs.hardware import Lost, Resynced
from renewagent.console.epcs.incidents import LONGEST_REPORT, Incident
from renewagent.console.epcs.soft import SoftRun
from renewagent.console.epcs.suspensions import Suspended
from renewagent.console.epcs.ticket_rows import Ticket
from renewagent.console.epcs.token_rows import LOSSES, Token
from renewagent.console.openapi_parts import BEARER, OPEN, asked, in_path, json_answer, json_body, operation
from renewagent.console.permissions import Person
from renewagent.health import Observation
from renewagent.tokens.calendar import Deadline, Reminder
from renewagent.tokens.forms import KINDS
from renewagent.tokens.grants import Action, Party, Request, SuspensionReason
from renewagent.tokens.leases import Lease
from renewagent.tokens.model import Access, Device, SoftToken
from renewagent.tokens.soft_causes import Cause, Diagnosis
from renewagent.tokens.soft_questions import QUESTIONS

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_PERSON = {"$ref": "#/components/schemas/DeskPerson"}
_NAMED = {"anyOf": [{"$ref": "#/components/schemas/DeskName"}, {"type": "null"}]}
_ID = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}
_USER = {"type": "string", "maxLength": 200, "description": "A user name in the EHR; left out: oneself."}
_MORE = {"502": {"$ref": "#/components/responses/Refusal"}}


def paths() -> dict[str, dict[str, Any]]:
    """By address, then by method."""
    every = {**_door(), **_tokens(), **_soft(), **_grants(), **_watch()}
    return {f"/epcs/api{path}": methods for path, methods in every.items()}


_ONE = in_path("id", _ID)
_TOKEN = in_path("serial", {"type": "string"})
_DAY = in_path("day", {"type": "string"})


def _door() -> dict[str, dict[str, Any]]:
    return {
        "/sign-in": {"post": _asks("Sign in with the EHR's password", "Session", "SignIn", security=OPEN)},
        "/sign-out": {"post": _asks("End the session", "SignedOut")},
        "/standing": {"get": _asks("Why somebody cannot sign", "Standing", parameters=[asked("user")])},
    }


def _tokens() -> dict[str, dict[str, Any]]:
    return {
        "/tokens": {"post": _asks("Register a hardware token", "TokenAnswer", "TokenRegistration")},
        "/tokens/{serial}/resync": {"post": _asks("Two codes put it in step", "Resynced", "Resync", [_TOKEN])},
        "/tokens/{serial}/lost": {"post": _asks("It is over at once", "Lost", "Loss", [_TOKEN])},
        "/tokens/{serial}/activate": {"post": _asks("The spare takes over", "TokenAnswer", "Whose", [_TOKEN])},
        "/tokens/{serial}/retire": {"post": _asks("Give it up for good", "TokenAnswer", "Whose", [_TOKEN])},
        "/tickets": {"post": _asks("A reset ticket or an order", "Opened", "TicketForm")},
        "/tickets/{id}": {"get": _asks("How far a ticket is", "TicketAnswer", parameters=[_ONE, asked("user")])},
        "/tickets/{id}/seen": {"post": _asks("Whoever waits knows", "TicketAnswer", "Whose", [_ONE])},
    }


def _soft() -> dict[str, dict[str, Any]]:
    return {
        "/soft/diagnosis": {"get": _asks("Why a soft token has expired", "DiagnosisAnswer", parameters=_questions())},
        "/soft/reminders": {"get": _asks("What ends when", "Reminders", parameters=[asked("user")])},
        "/soft/runs": {"post": _asks("Register a soft token anew", "RunAnswer", "RunBegin")},
        "/soft/runs/{id}": {
            "get": _asks("How far it is", "RunAnswer", parameters=[_ONE]),
            "post": _asks("Do what can be done now", "RunAnswer", parameters=[_ONE]),
        },
        "/soft/runs/{id}/abandon": {"post": _asks("Give it up", "RunAnswer", parameters=[_ONE])},
    }


def _grants() -> dict[str, dict[str, Any]]:
    return {
        "/enable": {"post": _asks("Enable EPCS while an override stands", "AccessAnswer", "Whose")},
        "/requests": {
            "get": _asks("Grants and revocations that are open", "Requests"),
            "post": _asks("The first person's part", "RequestAnswer", "RequestEntry"),
        },
        "/requests/{id}/challenge": {"post": _asks("What the second one's card signs", "Approval", parameters=[_ONE])},
        "/requests/{id}/execute": {"post": _asks("The second person's part", "RequestAnswer", "Execution", [_ONE])},
        "/requests/{id}/withdraw": {"post": _asks("Before it is decided", "RequestAnswer", parameters=[_ONE])},
        "/overrides": {
            "get": _asks("Overrides that stand", "Overrides"),
            "post": _asks("Lend one", "OverrideAnswer", "OverrideWanted"),
        },
        "/overrides/{id}/end": {"post": _asks("Take one back", "OverrideAnswer", parameters=[_ONE])},
        "/suspensions": {"post": _asks("Suspend EPCS at once", "Suspended", "Suspension")},
    }


def _watch() -> dict[str, dict[str, Any]]:
    return {
        "/incidents": {"get": _asks("Security incidents", "Incidents")},
        "/incidents/{id}/draft": {"get": _asks("Its report, as far as it is known", "Draft", parameters=[_ONE])},
        "/incidents/{id}/report": {"post": _asks("It is reported", "IncidentAnswer", "Report", [_ONE])},
        "/reports/{day}": {"get": _asks("The audit report of a day", "ReportAnswer", parameters=[_DAY])},
        "/reports/{day}/seen": {"post": _asks("Somebody has looked at it", "ReportAnswer", parameters=[_DAY])},
    }


def _asks(
    summary: str,
    answer: str,
    body: str = "",
    parameters: Iterable[Mapping[str, Any]] = (),
    *,
    security: Any = BEARER,
) -> dict[str, Any]:
    sent = json_body(body) if body else None
    return operation(summary, json_answer(answer), security, body=sent, parameters=list(parameters), more=_MORE)


def _questions() -> list[dict[str, Any]]:
    choices = {question.id: [choice.value for choice in question.choices] for question in QUESTIONS}
    return [asked("user"), *({**asked(name), "schema": {"enum": values}} for name, values in choices.items())]


# --- What is answered


def schema_of(kind: Any) -> Schema:
    """Of what `told` makes of values of this type. Raises TypeError for one that it does not know."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(part) for part in parts]}
    if origin is tuple:
        return {"type": "array", "items": schema_of(parts[0])}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object"}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [one.value for one in kind]}
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return _object({one.name: schema_of(hints[one.name]) for one in fields(kind) if one.repr})
    raise TypeError(f"{kind} is not told to programs")


_PLAIN: Mapping[Any, Schema] = {
    str: _TEXT,
    bool: _FLAG,
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    timedelta: {"type": "integer", "description": "Seconds."},
    Person: _PERSON,
    Party: _PERSON,
}


def _object(properties: Mapping[str, Any], optional: Iterable[str] = ()) -> Schema:
    needed = [name for name in properties if name not in set(optional)]
    return {"type": "object", "properties": dict(properties), "required": needed, "additionalProperties": False}


def _but(kind: type, *without: str, **instead: Schema) -> Schema:
    """Of a dataclass, with some fields left out, and others in place of its own or beside them."""
    own = schema_of(kind)["properties"]
    return _object({name: one for name, one in own.items() if name not in without} | instead)


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _or_none(kind: type) -> Schema:
    return {"anyOf": [schema_of(kind), {"type": "null"}]}


_LEASE = _but(Lease, subject=_NAMED, given_by=_NAMED)
_INCIDENT = _but(Incident, subject=_NAMED, found_by=_NAMED, reported_by=_NAMED)
_REMINDER = _but(Reminder, said=_TEXT, advice=_TEXT)
_REPORT: Schema = {"type": "object", "required": ["day", "from", "to", "log", "counts", "looked_at_by"]}
_STANDING = _object(
    {
        "person": _PERSON,
        "access": _or_none(Access),
        "device": _or_none(Device),
        "soft": _or_none(SoftToken),
        "tokens": _list(
            _but(Token, "owner", locked_until=schema_of(datetime | None), asks=schema_of(str), maker=schema_of(str))
        ),
        "tickets": _list(_but(Ticket, "owner")),
        "runs": _list(schema_of(SoftRun)),
        "requests": _list(schema_of(Request)),
        "overrides": _list(_LEASE),
        "incidents": _list({**_INCIDENT, "required": [one for one in _INCIDENT["required"] if one != "report"]}),
        "reminders": _list(_REMINDER),
        "findings": _list(schema_of(Observation)),
    }
)
_ANSWERS: Mapping[str, Schema] = {
    "DeskName": _object({"id": _TEXT, "name": _TEXT, "user": _TEXT}),
    "DeskPerson": _object({"id": _TEXT, "name": _TEXT, "role": _TEXT, "user": _TEXT, "dea": _FLAG}),
    "Session": _object({"token": _TEXT, "person": _PERSON, "seconds": {"type": "integer"}}),
    "SignedOut": _object({"ok": {"const": True}}),
    "Standing": _STANDING,
    "TokenAnswer": _object({"token": schema_of(Token)}),
    "Resynced": schema_of(Resynced),
    "Lost": schema_of(Lost),
    "Opened": _object({"ticket": schema_of(Ticket), "said": _TEXT}),
    "TicketAnswer": _object({"ticket": schema_of(Ticket)}),
    "DiagnosisAnswer": _object(
        {"diagnosis": _but(Diagnosis, cause=schema_of(Cause | None), certain=_FLAG, takes=_TEXT)}
    ),
    "Reminders": _object({"reminders": _list(_REMINDER), "deadlines": _list(schema_of(Deadline))}),
    "RunAnswer": _object({"run": schema_of(SoftRun)}),
    "AccessAnswer": _object({"access": schema_of(Access)}),
    "Requests": _object({"requests": _list(schema_of(Request))}),
    "RequestAnswer": _object({"request": schema_of(Request)}),
    "Approval": schema_of(Challenge),
    "Overrides": _object({"overrides": _list(_LEASE)}),
    "OverrideAnswer": _object({"override": _LEASE}),
    "Suspended": _but(Suspended, incident=_INCIDENT),
    "Incidents": _object({"incidents": _list(_INCIDENT)}),
    "Draft": _object({"draft": _TEXT}),
    "IncidentAnswer": _object({"incident": _INCIDENT}),
    "ReportAnswer": _object({"report": _REPORT}),
}

# --- What is sent


def _texts(*names: str, **more: Schema) -> Schema:
    """These, which must be there, and whose it is."""
    known = {name: {"type": "string", "minLength": 1, "maxLength": 200} for name in names}
    return _object({**known, **more, "user": _USER}, optional=["user"])


def _some(values: Iterable[str]) -> Schema:
    return {"enum": list(values)}


_PICTURE = _object({"side": _some(("front", "back", "error")), "media_type": _TEXT, "base64": _TEXT})
_CODE = {"type": "string", "pattern": "^[0-9]{6,8}$"}
_BODIES: Mapping[str, Schema] = {
    "SignIn": _object(
        {"user": {"type": "string", "maxLength": 200}, "password": {"type": "string", "maxLength": 1000}}
    ),
    "Whose": _texts(),
    "TokenRegistration": _texts("serial", "back"),
    "Resync": _texts("back", codes={"type": "array", "items": _CODE, "minItems": 2, "maxItems": 2}),
    "Loss": _texts(reason=_some(LOSSES)),
    "TicketForm": {
        "type": "object",
        "properties": {"kind": _some(KINDS), "user": _USER, "pictures": {**_list(_PICTURE), "maxItems": 3}},
        "required": ["kind"],
        "additionalProperties": {"type": "string", "maxLength": 2000},
        "description": "The fields of the form stand beside `kind`, as texts.",
    },
    "RunBegin": _object(
        {"cause": _some(one.value for one in Cause), "user": _USER, "username": _TEXT}, optional=["user", "username"]
    ),
    "RequestEntry": _object(
        {
            "user": _USER,
            "action": _some(one.value for one in Action if one.takes_two),
            "reason": {"type": "string", "minLength": 1, "maxLength": 500},
        }
    ),
    "Execution": {
        "oneOf": [
            _object({"otp": _object({"serial": _TEXT, "code": _CODE})}),
            _object({"card": {"type": "string", "contentEncoding": "base64"}}),
        ]
    },
    "OverrideWanted": _object(
        {
            "user": _USER,
            "purpose": {"type": "string", "minLength": 1, "maxLength": 100},
            "minutes": {"type": "integer", "minimum": 1, "maximum": 60},
        },
        optional=["minutes"],
    ),
    "Suspension": _object(
        {
            "reason": _some(one.value for one in SuspensionReason),
            "user": _USER,
            "note": {"type": "string", "maxLength": 1000},
            "tokens": {**_list(_TEXT), "maxItems": 10},
        },
        optional=["user", "note", "tokens"],
    ),
    "Report": _object({"text": {"type": "string", "minLength": 1, "maxLength": LONGEST_REPORT}}),
}
SCHEMAS: Mapping[str, Schema] = {**_ANSWERS, **_BODIES}

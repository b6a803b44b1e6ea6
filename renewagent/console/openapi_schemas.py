"""The shapes in /openapi.json (JSON Schema). A check-in's are those of `renewagent.check_ins`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from renewagent.check_ins import CLAIMED, MOST_AT_ONCE
from renewagent.console.sessions import COOKIE

_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
_TEXT = "^[\\u0020-\\u007e\\u00a0-\\uffff]*$"
_ID = "^[0-9a-f]{32}$"

CAMPAIGN_ID: Mapping[str, Any] = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"}
VERSION: Mapping[str, Any] = {"type": "integer", "minimum": 1, "maximum": 999_999_999}
STEP: Mapping[str, Any] = {"enum": ["pause", "resume", "withdraw"]}
IF_NONE_MATCH: Mapping[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string", "pattern": '^(\\*|"[0-9a-f]{64}")$'},
}
FILTERS = ("campaign", "organisation", "status", "issued_from", "issued_to", "expires", "type", "held")
"""Of the list of cards, as its page has them."""
SECURITY: Mapping[str, Any] = {
    "certificate": {"type": "mutualTLS", "description": "The certificate that the agent was given."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "The token that signing in at the EPCS desk gave."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Somebody who is signed in."},
}


def _strings(pattern: str, most: int, least: int = 0) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern, "minLength": least, "maxLength": most}


def _object(properties: Mapping[str, Any], *, optional: frozenset[str] = frozenset()) -> dict[str, Any]:
    needed = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": needed, "additionalProperties": False}


def _array(of: str, most: int | None = None) -> dict[str, Any]:
    array: dict[str, Any] = {"type": "array", "items": {"$ref": f"#/components/schemas/{of}"}}
    return array if most is None else array | {"maxItems": most}


_ANY_TEXT = {"type": "string"}
_SHORT = _strings("^[\\u0020-\\u007e\\u00a0-\\ud7ff\\ue000-\\uffff]*$", 100)
_MOMENT = _strings(_TIME, 20)
_REQUEST = {"type": "string", "maxLength": 8192, "description": "A PKCS #10 request, PEM; EC P-256 or P-384, or RSA."}
_CERTIFICATE = _object(
    {
        "issuer": _strings(_TEXT, 1000, 1),
        "serial": _strings("^-?[0-9a-f]{1,64}$", 65),
        "not_before": _MOMENT,
        "not_after": _MOMENT,
        "sha256": _strings("^[0-9a-f]{64}$", 64),
    },
    optional=frozenset({"sha256"}),
)
_CHECK_IN_FIELDS = {
    "id": _strings(_ID, 32),
    "at": _MOMENT,
    "card": {"type": "string", "maxLength": 200, "pattern": "^(-|[a-z0-9]{1,20}:[0-9a-f]{1,170})$"},
    "state": {"enum": sorted(state.value for state in CLAIMED)},
    "certificate": {"$ref": "#/components/schemas/Certificate"},
    "campaign": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[1-9][0-9]{0,8}$"},
    "rule": _strings(_TEXT, 200),
    "model": _strings(_TEXT, 40),
    "why": _strings(_TEXT, 300),
    "until": _MOMENT,
    "order": _strings(_ID, 32),
    "receipt": {"type": "string", "contentEncoding": "base64", "maxLength": 21_848},
}
_ORDERS = {"orders": _array("Order"), "poll": {"type": "integer", "minimum": 1}}

SCHEMAS: Mapping[str, Any] = {
    "Error": _object(
        {name: _ANY_TEXT for name in ("error", "advice", "code", "field", "until")},
        optional=frozenset({"advice", "code", "field", "until"}),
    ),
    "Health": _object({"ok": {"type": "boolean"}, "why": _ANY_TEXT}, optional=frozenset({"why"})),
    "Enrolment": _object(
        {
            "code": {"type": "string", "maxLength": 100},
            "machine": _SHORT,
            "account": _SHORT,
            "csr": _REQUEST,
            "version": _SHORT,
        }
    ),
    "CertificateRequest": _object({"csr": _REQUEST}),
    "Issued": _object({"agent": _strings(_ID, 32), "certificate": _ANY_TEXT, "renew_after": _MOMENT}),
    "Certificate": _CERTIFICATE,
    "CheckIn": _object(
        _CHECK_IN_FIELDS, optional=frozenset(_CHECK_IN_FIELDS) - frozenset({"id", "at", "card", "state"})
    ),
    "Delivery": _object({"check_ins": _array("CheckIn", MOST_AT_ONCE)}),
    "Refused": _object({"id": _ANY_TEXT, "why": _ANY_TEXT}),
    "Order": _object({"id": _strings(_ID, 32), "kind": {"const": "check-now"}}),
    "Orders": _object(_ORDERS),
    "Taken": _object(
        {"accepted": {"type": "array", "items": _strings(_ID, 32)}, "refused": _array("Refused"), **_ORDERS}
    ),
    "Challenge": _object({"nonce": _strings("^[0-9a-f]{64}$", 64), "origin": _ANY_TEXT}),
    "Link": _object({"link": _ANY_TEXT, "seconds": {"type": "integer"}, "name": _ANY_TEXT, "role": _ANY_TEXT}),
}

_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_LATER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
RESPONSES: Mapping[str, Any] = {
    "Refusal": {"description": "Why not, in a sentence.", "content": _ERROR},
    "Later": {"description": "Why not now, and when.", "content": _ERROR, "headers": _LATER},
}
REFUSALS: Mapping[str, Any] = {
    "429": {"$ref": "#/components/responses/Later"},
    "503": {"$ref": "#/components/responses/Later"},
    "4XX": {"$ref": "#/components/responses/Refusal"},
}

"""The parts that a description of addresses is made of: operations, answers, bodies and parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from renewagent.console import openapi_schemas as schemas

Security = Sequence[Mapping[str, Sequence[str]]]
CERTIFICATE: Security = [{"certificate": []}]
SESSION: Security = [{"session": []}]
BEARER: Security = [{"bearer": []}]
OPEN: Security = []


def operation(
    summary: str,
    answer: Mapping[str, Any],
    security: Security,
    *,
    body: Mapping[str, Any] | None = None,
    parameters: Sequence[Mapping[str, Any]] = (),
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One method of one address. `more`: answers beside the usual ones, by status."""
    sign_in = {"303": {"description": "Sign in first."}} if security == SESSION else {}
    responses = {"200": {"description": "Done.", **answer}, **sign_in, **(more or {}), **schemas.REFUSALS}
    described: dict[str, Any] = {"summary": summary, "security": list(security), "responses": responses}
    if body is not None:
        described["requestBody"] = body
    if parameters:
        described["parameters"] = list(parameters)
    return described


def json_answer(schema: str, description: str = "Done.") -> dict[str, Any]:
    """JSON of this schema."""
    return {"description": description, "content": {"application/json": {"schema": named(schema)}}}


def text_answer(media_type: str) -> dict[str, Any]:
    """Text of this media type."""
    return {"content": {media_type: {"schema": {"type": "string"}}}}


def json_body(schema: str) -> dict[str, Any]:
    """A body of this schema, which must be there."""
    return {"required": True, "content": {"application/json": {"schema": named(schema)}}}


def named(schema: str) -> dict[str, str]:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{schema}"}


def in_path(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A gap in the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def asked(name: str) -> dict[str, Any]:
    """A text behind the question mark."""
    return {"name": name, "in": "query", "schema": {"type": "string"}}

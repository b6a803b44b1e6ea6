"""/openapi.json: the description of every address that programs use, agents' and people's (OpenAPI 3.1). Pages and
their forms are for browsers and do not stand in it; a test holds it against the routes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from renewagent import __version__
from renewagent.console import openapi_schemas as schemas
from renewagent.console.settings import Settings
from renewagent.console.site import Site

_CERTIFICATE: list[dict[str, list[str]]] = [{"certificate": []}]
_SESSION: list[dict[str, list[str]]] = [{"session": []}]
_OPEN: list[dict[str, list[str]]] = []


def routes(site: Site) -> list[BaseRoute]:
    """GET /openapi.json; the same document on every listener."""
    document = description(site.settings)

    async def openapi(_: Request) -> Response:
        return JSONResponse(document, headers={"Cache-Control": "max-age=3600"})

    return [Route("/openapi.json", openapi, methods=["GET"])]


def description(settings: Settings) -> dict[str, Any]:
    """The document, with the addresses of this console."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "renewagent console",
            "version": __version__,
            "description": "Agents' addresses are on one listener and people's on another. Times are RFC 3339 with Z; "
            "hashes SHA-256 in lowercase hex; serials lowercase hex. Every refusal is a sentence in `error`.",
        },
        "servers": [{"url": settings.people.url}],
        "paths": _at(settings.agents.url, _agents()) | _at(settings.people.url, _people()) | _everywhere(settings),
        "components": {"schemas": schemas.SCHEMAS, "responses": schemas.RESPONSES, "securitySchemes": schemas.SECURITY},
    }


def _at(url: str, paths: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {path: {"servers": [{"url": url}], **methods} for path, methods in paths.items()}


def _everywhere(settings: Settings) -> dict[str, Any]:
    health = _operation("Whether this process serves and its database answers", _json("Health"), _OPEN)
    health["responses"]["503"] = _json("Health", "It does not.")
    description = _operation("This description", {"content": {"application/json": {}}}, _OPEN)
    both = [{"url": settings.agents.url}, {"url": settings.people.url}]
    return {
        "/healthz": {"servers": both, "get": health},
        "/openapi.json": {"servers": both, "get": description},
    }


def _agents() -> dict[str, dict[str, Any]]:
    return {
        "/agents/v1/enrol": {
            "post": _operation(
                "Enrol by fleet code: a certificate for this agent", _json("Issued"), _OPEN, body=_body("Enrolment")
            )
        },
        "/agents/v1/certificate": {
            "post": _operation(
                "A fresh certificate; the old one goes on until it ends",
                _json("Issued"),
                _CERTIFICATE,
                body=_body("CertificateRequest"),
            )
        },
        "/agents/v1/check-ins": {
            "post": _operation(
                "Deliver check-ins; each id counts once, however often it comes",
                _json("Taken"),
                _CERTIFICATE,
                body=_body("Delivery"),
            )
        },
        "/agents/v1/orders": {"get": _operation("What there is to do", _json("Orders"), _CERTIFICATE)},
        "/agents/v1/stream": {
            "get": _operation('Server-sent events "look-again"', _text("text/event-stream"), _CERTIFICATE)
        },
        "/campaigns/{name}.campaign": {
            "get": _operation(
                "The highest version of a signed campaign; its ETag is its SHA-256",
                _text("application/cms") | {"headers": {"ETag": {"schema": {"type": "string"}}}},
                _OPEN,
                parameters=[_in_path("name", schemas.CAMPAIGN_ID), schemas.IF_NONE_MATCH],
                more={"304": {"description": "It is the one that was named."}},
            )
        },
    }


def _people() -> dict[str, dict[str, Any]]:
    return {
        "/sign-in/challenge": {"post": _operation("A nonce for one sign-in by card", _json("Challenge"), _OPEN)},
        "/sign-in/card": {
            "post": _operation(
                "A statement signed by a card, for a link that is good once and for a minute",
                _json("Link"),
                _OPEN,
                body={"required": True, "content": {"application/cms": {"schema": {"type": "string"}}}},
            )
        },
        "/news": {
            "get": _operation("Server-sent events: what kind of thing changed", _text("text/event-stream"), _SESSION)
        },
        "/cards.csv": {
            "get": _operation(
                "The list of cards", _text("text/csv"), _SESSION, parameters=[_asked(name) for name in schemas.FILTERS]
            )
        },
        "/audit.jsonl": {"get": _operation("The audit log, one entry per line", _text("application/jsonl"), _SESSION)},
        "/campaigns/{name}/{version}.campaign": {
            "get": _operation(
                "One version of a signed campaign",
                _text("application/cms"),
                _SESSION,
                parameters=[_in_path("name", schemas.CAMPAIGN_ID), _in_path("version", schemas.VERSION)],
            )
        },
        "/campaigns/{name}/next/{step}": {
            "get": _operation(
                "The next version of a campaign, to be signed",
                _text("application/json"),
                _SESSION,
                parameters=[_in_path("name", schemas.CAMPAIGN_ID), _in_path("step", schemas.STEP)],
            )
        },
    }


def _operation(
    summary: str,
    answer: Mapping[str, Any],
    security: Sequence[Mapping[str, list[str]]],
    *,
    body: Mapping[str, Any] | None = None,
    parameters: Sequence[Mapping[str, Any]] = (),
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    sign_in = {"303": {"description": "Sign in first."}} if security == _SESSION else {}
    responses = {"200": {"description": "Done.", **answer}, **sign_in, **(more or {}), **schemas.REFUSALS}
    operation: dict[str, Any] = {"summary": summary, "security": list(security), "responses": responses}
    if body is not None:
        operation["requestBody"] = body
    if parameters:
        operation["parameters"] = list(parameters)
    return operation


def _json(schema: str, description: str = "Done.") -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _named(schema)}}}


def _text(media_type: str) -> dict[str, Any]:
    return {"content": {media_type: {"schema": {"type": "string"}}}}


def _body(schema: str) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": _named(schema)}}}


def _named(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _in_path(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _asked(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string"}}

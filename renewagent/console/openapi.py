"""/openapi.json: the description of every address that programs use, agents' and people's (OpenAPI 3.1). Pages and
their forms are for browsers and do not stand in it; a test holds it against the routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from renewagent import __version__
from renewagent.console import openapi_epcs as epcs
from renewagent.console import openapi_schemas as schemas
from renewagent.console.openapi_parts import (
    CERTIFICATE,
    OPEN,
    SESSION,
    asked,
    in_path,
    json_answer,
    json_body,
    operation,
    text_answer,
)
from renewagent.console.settings import Settings
from renewagent.console.site import Site


def routes(site: Site) -> list[BaseRoute]:
    """GET /openapi.json; the same document on every listener."""
    document = description(site.settings)

    async def openapi(_: Request) -> Response:
        return JSONResponse(document, headers={"Cache-Control": "max-age=3600"})

    return [Route("/openapi.json", openapi, methods=["GET"])]


def description(settings: Settings) -> dict[str, Any]:
    """The document, with the addresses of this console."""
    people, known = _people() | _files(), dict(schemas.SCHEMAS)
    if settings.epcs is not None:
        people, known = people | epcs.paths(), known | dict(epcs.SCHEMAS)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "renewagent console",
            "version": __version__,
            "description": "Agents' addresses are on one listener and people's on another. Times are RFC 3339 with Z; "
            "hashes SHA-256 in lowercase hex; serials lowercase hex. Every refusal is a sentence in `error`.",
        },
        "servers": [{"url": settings.people.url}],
        "paths": _at(settings.agents.url, _agents()) | _at(settings.people.url, people) | _everywhere(settings),
        "components": {"schemas": known, "responses": schemas.RESPONSES, "securitySchemes": schemas.SECURITY},
    }


def _at(url: str, paths: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {path: {"servers": [{"url": url}], **methods} for path, methods in paths.items()}


def _everywhere(settings: Settings) -> dict[str, Any]:
    health = operation("Whether this process serves and its database answers", json_answer("Health"), OPEN)
    health["responses"]["503"] = json_answer("Health", "It does not.")
    description = operation("This description", {"content": {"application/json": {}}}, OPEN)
    both = [{"url": settings.agents.url}, {"url": settings.people.url}]
    return {
        "/healthz": {"servers": both, "get": health},
        "/openapi.json": {"servers": both, "get": description},
    }


def _agents() -> dict[str, dict[str, Any]]:
    return {
        "/agents/v1/enrol": {
            "post": operation(
                "Enrol by fleet code: a certificate for this agent",
                json_answer("Issued"),
                OPEN,
                body=json_body("Enrolment"),
            )
        },
        "/agents/v1/certificate": {
            "post": operation(
                "A fresh certificate; the old one goes on until it ends",
                json_answer("Issued"),
                CERTIFICATE,
                body=json_body("CertificateRequest"),
            )
        },
        "/agents/v1/check-ins": {
            "post": operation(
                "Deliver check-ins; each id counts once, however often it comes",
                json_answer("Taken"),
                CERTIFICATE,
                body=json_body("Delivery"),
            )
        },
        "/agents/v1/orders": {"get": operation("What there is to do", json_answer("Orders"), CERTIFICATE)},
        "/agents/v1/stream": {
            "get": operation('Server-sent events "look-again"', text_answer("text/event-stream"), CERTIFICATE)
        },
        "/campaigns/{name}.campaign": {
            "get": operation(
                "The highest version of a signed campaign; its ETag is its SHA-256",
                text_answer("application/cms") | {"headers": {"ETag": {"schema": {"type": "string"}}}},
                OPEN,
                parameters=[in_path("name", schemas.CAMPAIGN_ID), schemas.IF_NONE_MATCH],
                more={"304": {"description": "It is the one that was named."}},
            )
        },
    }


def _people() -> dict[str, dict[str, Any]]:
    return {
        "/sign-in/challenge": {"post": operation("A nonce for one sign-in by card", json_answer("Challenge"), OPEN)},
        "/sign-in/card": {
            "post": operation(
                "A statement signed by a card, for a link that is good once and for a minute",
                json_answer("Link"),
                OPEN,
                body={"required": True, "content": {"application/cms": {"schema": {"type": "string"}}}},
            )
        },
    }


def _files() -> dict[str, dict[str, Any]]:
    return {
        "/news": {
            "get": operation(
                "Server-sent events: what kind of thing changed", text_answer("text/event-stream"), SESSION
            )
        },
        "/cards.csv": {
            "get": operation(
                "The list of cards",
                text_answer("text/csv"),
                SESSION,
                parameters=[asked(name) for name in schemas.FILTERS],
            )
        },
        "/audit.jsonl": {
            "get": operation("The audit log, one entry per line", text_answer("application/jsonl"), SESSION)
        },
        "/campaigns/{name}/{version}.campaign": {
            "get": operation(
                "One version of a signed campaign",
                text_answer("application/cms"),
                SESSION,
                parameters=[in_path("name", schemas.CAMPAIGN_ID), in_path("version", schemas.VERSION)],
            )
        },
        "/campaigns/{name}/next/{step}": {
            "get": operation(
                "The next version of a campaign, to be signed",
                text_answer("application/json"),
                SESSION,
                parameters=[in_path("name", schemas.CAMPAIGN_ID), in_path("step", schemas.STEP)],
            )
        },
    }

"""What goes wrong, as an answer: a sentence in JSON for programs, a plain page for people, never a traceback."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Mapping
from email.utils import format_datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from renewagent.errors import RenewAgentError
from renewagent.tokens import errors as tokens

_LOG = logging.getLogger(__name__)
_FOR_PROGRAMS = ("/agents/", "/api/", "/epcs/api/", "/healthz", "/metrics", "/openapi.json")
_OF_TOKENS: Mapping[type[tokens.TokenError], int] = MappingProxyType(
    {
        tokens.FormError: 422,
        tokens.UnknownToken: 404,
        tokens.TokenRefused: 409,
        tokens.TokenLocked: 429,
        tokens.TokenServerUnreachable: 503,
        tokens.TokenServerMisbehaved: 502,
        tokens.EhrUnreachable: 503,
        tokens.EhrRefused: 409,
        tokens.EhrMisbehaved: 502,
        tokens.DeskRefused: 403,
    }
)
_SOON = "30"
"""Seconds, where an outside system does not answer."""
_SENTENCES: Mapping[int, str] = MappingProxyType(
    {
        400: "The request cannot be understood.",
        401: "Sign in first.",
        403: "You may not do that.",
        404: "There is nothing at this address.",
        405: "This address does not take that method.",
        413: "That is too large.",
        415: "That is not of the expected content type.",
        429: "That was too often. Try again later.",
        503: "The console is busy. Try again later.",
    }
)


def answer(
    request: Request,
    status: int,
    sentence: str = "",
    *,
    advice: str = "",
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, str] | None = None,
) -> Response:
    """The refusal of a request, in the form that whoever asked can read. `more` is for programs alone."""
    sentence = sentence or _SENTENCES.get(status, HTTPStatus(status).phrase + ".")
    sent = dict(headers or {}) | {"Cache-Control": "no-store"}
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        sent["Connection"] = "close"  # what is still to come is not read
    if _wants_json(request):
        words = {"error": sentence} | ({"advice": advice} if advice else {}) | dict(more or {})
        return JSONResponse(words, status, sent)
    return HTMLResponse(_PAGE.format(html.escape(sentence), html.escape(advice)), status, sent)


def _wants_json(request: Request) -> bool:
    path = request.scope["path"]
    return path.startswith(_FOR_PROGRAMS) or "text/html" not in request.headers.get("accept", "")


def status_of(problem: tokens.TokenError) -> int:
    """The status of an answer that says so."""
    return next((_OF_TOKENS[kind] for kind in type(problem).__mro__ if kind in _OF_TOKENS), 400)


async def _refused(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)  # noqa: S101  # by the table below
    phrase = HTTPStatus(problem.status_code).phrase
    sentence = "" if problem.detail == phrase else problem.detail
    return answer(request, problem.status_code, sentence, headers=problem.headers)


async def _our_own(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RenewAgentError)  # noqa: S101
    return answer(request, 400, problem.message, advice=problem.advice)


async def _of_tokens(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, tokens.TokenError)  # noqa: S101
    status = status_of(problem)
    more, headers = {"code": problem.code}, {}
    if isinstance(problem, tokens.FormError):
        more["field"] = problem.field
    if isinstance(problem, tokens.TokenLocked):
        more["until"] = f"{problem.until:%Y-%m-%dT%H:%M:%SZ}"
        headers["Retry-After"] = format_datetime(problem.until, usegmt=True)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _SOON
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.warning("an outside system did not do what was asked", exc_info=problem)
    return answer(request, status, problem.message, advice=problem.advice, headers=headers, more=more)


async def _database_away(request: Request, problem: Exception) -> Response:
    _LOG.error("the database did not do what was asked", exc_info=problem)
    return answer(
        request, 503, "The console cannot reach its records. Try again in a moment.", headers={"Retry-After": "10"}
    )


async def _broken(request: Request, problem: Exception) -> Response:
    return answer(request, 500, "Something went wrong inside the console. Its log says what.")


HANDLERS: Mapping[Any, Callable[[Request, Exception], Any]] = MappingProxyType(
    {
        HTTPException: _refused,
        tokens.TokenError: _of_tokens,
        RenewAgentError: _our_own,
        SQLAlchemyError: _database_away,
        Exception: _broken,  # Starlette raises it again once answered: the server logs it
    }
)

_PAGE = """<!doctype html>
<html lang="en-GB">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{0} &ndash; renewagent console</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/style.css">
<header class="top"><div class="wide top-row"><a class="brand" href="/">renewagent console</a></div></header>
<main class="wide">
<h1>{0}</h1>
<p>{1}</p>
<p><a class="button" href="/">To the first page</a></p>
</main>
</html>
"""

"""/healthz, for balancers and supervisors: the database answers and is of this version."""

from __future__ import annotations

import logging

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from renewagent.console.migrations import head, revision
from renewagent.console.site import Site

_LOG = logging.getLogger(__name__)


def routes(site: Site) -> list[BaseRoute]:
    """200 {"ok": true}, or 503 {"ok": false, "why"}."""

    async def healthz(_: Request) -> Response:
        try:
            found = await site.store.read(revision)
        except SQLAlchemyError as problem:
            _LOG.error("the database does not answer", exc_info=problem)
            return _answer("The database does not answer.")
        return _answer(None if found == head() else "The database is that of another version of renewagent.")

    return [Route("/healthz", healthz)]


def _answer(why: str | None) -> Response:
    headers = {"Cache-Control": "no-store"}
    if why is None:
        return JSONResponse({"ok": True}, headers=headers)
    return JSONResponse({"ok": False, "why": why}, 503, headers)

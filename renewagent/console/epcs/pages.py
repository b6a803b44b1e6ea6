"""The pages of the EPCS desk, below /epcs: the same flows as for programs (`api`), for a browser."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from renewagent.console.epcs import (
    pages_explain,
    pages_overrides,
    pages_prescribers,
    pages_requests,
    pages_soft,
    pages_standing,
    pages_tickets,
    pages_tokens,
    pages_watch,
)
from renewagent.console.epcs.desk import NEWS, Desk
from renewagent.console.gate import guard
from renewagent.console.pages import news_of
from renewagent.console.permissions import Permission
from renewagent.console.sessions import Visitor
from renewagent.console.site import Site


def routes(desk: Desk) -> list[Route]:
    """All of them."""
    return [
        Route("/epcs/news", guard(desk.site, Permission.USE_EPCS, _news), methods=["GET"]),
        *pages_standing.routes(desk),
        *pages_tokens.routes(desk),
        *pages_explain.routes(desk),
        *pages_tickets.routes(desk),
        *pages_soft.routes(desk),
        *pages_requests.routes(desk),
        *pages_prescribers.routes(desk),
        *pages_overrides.routes(desk),
        *pages_watch.routes(desk),
    ]


async def _news(site: Site, request: Request, visitor: Visitor) -> Response:
    return news_of(site, (NEWS,))

"""The console's applications, put together from what others answer: one for the workstations' agents, one for people,
one for the operator's own programs.

Each module that answers has `routes(site) -> list[Route]`; its line stands in `_agents`, `_people`, `_epcs` or
`_operations` below. What goes wrong becomes an answer in `renewagent.console.mishaps`, whoever met it.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from renewagent.console import (
    agents,
    campaign_files,
    health,
    metrics,
    openapi,
    pages,
    pages_agents,
    pages_audit,
    pages_campaigns,
    pages_cards,
    pages_dashboard,
    pages_orders,
    pages_people,
    pages_targets,
    sign_in,
)
from renewagent.console.doorkeeper import Doorkeeper
from renewagent.console.epcs import api as epcs_api
from renewagent.console.epcs import pages as epcs_pages
from renewagent.console.epcs.desk import Desk
from renewagent.console.guards import Bounded, Measured
from renewagent.console.mishaps import HANDLERS
from renewagent.console.site import Site

MOST_FROM_AGENTS = 4 * 1024 * 1024
"""Octets of one request: a hundred check-ins, each with a receipt, and some room."""
MOST_FROM_PEOPLE = 1024 * 1024
"""Octets, unless the address allows more to whom it knows: `guards.allow`."""


def agents_app(site: Site) -> ASGIApp:
    """What workstations talk to. Their certificate, if any, is DER in `request.state.client_certificate`."""
    return Measured(_put_together(_agents(site), MOST_FROM_AGENTS), "agents", site)


def people_app(site: Site, desk: Desk | None = None) -> ASGIApp:
    """What RA managers see; and, where there is a desk for EPCS, prescribers and those who look after their tokens."""
    return Measured(Doorkeeper(_put_together(_people(site, desk), MOST_FROM_PEOPLE), site.settings), "people", site)


def operations_app(site: Site) -> ASGIApp:
    """What the operator's own programs read: /metrics, and /healthz with reasons."""
    return Measured(_put_together(_operations(site), MOST_FROM_PEOPLE), "operations", site)


def _agents(site: Site) -> list[BaseRoute]:
    return [
        *health.routes(site),
        *openapi.routes(site),
        *agents.routes(site),
        *campaign_files.routes(site),
    ]


def _people(site: Site, desk: Desk | None = None) -> list[BaseRoute]:
    return [
        *health.routes(site),
        *openapi.routes(site),
        *pages.routes(site),
        *sign_in.routes(site),
        *pages_dashboard.routes(site),
        *pages_cards.routes(site),
        *pages_campaigns.routes(site),
        *pages_targets.routes(site),
        *pages_orders.routes(site),
        *pages_agents.routes(site),
        *pages_people.routes(site),
        *pages_audit.routes(site),
        *(_epcs(desk) if desk is not None else ()),
    ]


def _epcs(desk: Desk) -> list[BaseRoute]:
    return [
        *epcs_api.routes(desk),
        *epcs_pages.routes(desk),
    ]


def _operations(site: Site) -> list[BaseRoute]:
    return [
        *health.routes(site),
        *metrics.routes(site),
    ]


def _put_together(routes: list[BaseRoute], most: int) -> ASGIApp:
    inner = Starlette(routes=routes, exception_handlers=HANDLERS)
    inner.router.redirect_slashes = False
    return Bounded(inner, most)

"""The dashboard: how far a campaign is, as tiles, by organisation, and over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from renewagent.check_ins import CardState
from renewagent.console import charts, reads
from renewagent.console.gate import guard
from renewagent.console.pages import show
from renewagent.console.permissions import Permission, Person
from renewagent.console.reads import Published
from renewagent.console.sessions import Visitor
from renewagent.console.site import Site
from renewagent.console.standings import shown_state
from renewagent.console.words import GROUPS
from renewagent.rules import Campaign

_HELP = frozenset(GROUPS[0].states)
_ORGANISATIONS = 25
"""Shown unless all are asked for: those with the most outstanding."""


@dataclass(frozen=True, slots=True)
class Share:
    """The numbers of one organisation, or of all of them together."""

    code: str
    name: str
    known: int
    done: int
    help: int

    @property
    def outstanding(self) -> int:
        """What is left to do."""
        return self.known - self.done

    @property
    def percent(self) -> int:
        """Done, rounded down: 100 means all."""
        return 100 * self.done // self.known if self.known else 0


def routes(site: Site) -> list[Route]:
    """The first page."""
    return [Route("/", guard(site, Permission.SEE_DASHBOARD, dashboard), methods=["GET"])]


async def dashboard(site: Site, request: Request, visitor: Visitor) -> Response:
    """Tiles, organisations, charts."""
    person, now = visitor.person, site.now()
    wanted = request.query_params.get("campaign", "")
    most = None if request.query_params.get("organisations") == "all" else _ORGANISATIONS

    def read(connection: sa.Connection) -> dict[str, Any]:
        published = reads.campaigns(connection)
        current = choose(published, wanted, now)
        frame: dict[str, Any] = {"campaigns": published, "current": current}
        return frame | (_numbers(connection, site, person, current.campaign, now) if current else {})

    context = {"most": most, **await site.store.read(read)}
    return show(site, request, visitor, "dashboard.html", context)


def choose(published: list[Published], wanted: str, now: datetime) -> Published | None:
    """The campaign that was asked for, else the newest that is not over, else the newest. 404 for an unknown one."""
    if wanted:
        found = next((one for one in published if one.campaign.id == wanted), None)
        if found is None:
            raise HTTPException(404, "There is no such campaign.")
        return found
    going_on = [one for one in published if not one.campaign.over(now) or one.campaign.only_paused(now)]
    return next(iter(going_on or published), None)


def _numbers(
    connection: sa.Connection, site: Site, person: Person, campaign: Campaign, now: datetime
) -> dict[str, Any]:
    shown = shown_state(now, site.settings.stuck_after)
    numbers = reads.numbers(connection, campaign.id, person, shown, now.date())
    names = reads.organisations(connection, person)
    shares = [_share(code, names.get(code, ""), states) for code, states in numbers.counts.items()]
    hit = [share for share in shares if share.known]
    days, bars = numbers.days, charts.histogram(numbers.issued, campaign.rules)
    whole = _share("", "", numbers.total)
    return {
        "counts": numbers.total,
        "whole": whole,
        "shares": sorted(hit, key=lambda share: (-share.outstanding, share.code)),
        "days": days,
        "lately": days[-1].done - days[-2].done if len(days) > 1 else days[-1].done,
        # Everything in it is escaped or a number: `charts`.
        "burn_down": Markup(charts.burn_down(days, campaign.deadline)) if whole.known else "",  # noqa: S704
        "histogram": bars,
        "issued": Markup(charts.issued(bars, campaign.rules)) if numbers.issued else "",  # noqa: S704
    }


def _share(code: str, name: str, states: Mapping[CardState, int]) -> Share:
    counted = Counter(states)
    known = sum(count for state, count in counted.items() if state is not CardState.CLEAR)
    help_ = sum(count for state, count in counted.items() if state in _HELP)
    return Share(code, name, known, counted[CardState.DONE], help_)

"""/metrics for Prometheus: what this process has counted (`renewagent.console.meters`), and what the database holds
at the moment, which every process says alike. Numbers of cards by campaign and state, and no card or person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from renewagent.check_ins import CardState
from renewagent.console.site import Site
from renewagent.console.standings import shown_state
from renewagent.console.tables import AGENT, CAMPAIGN, STANDING, TARGET

_LATELY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the database holds: cards by campaign and state; agents that are not revoked; those seen of late."""

    cards: Mapping[tuple[str, str], int]
    agents: int
    seen: int


def routes(site: Site) -> list[BaseRoute]:
    """GET /metrics, in the text format of Prometheus."""

    async def metrics(_: Request) -> Response:
        now, stuck_after = site.now(), site.settings.stuck_after
        numbers = await site.store.read(lambda connection: numbers_in(connection, now, stuck_after))
        text = generate_latest(site.meters.registry) + generate_latest(_gauges(numbers, site.news.held))
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return [Route("/metrics", metrics)]


def numbers_in(connection: sa.Connection, now: datetime, stuck_after: timedelta) -> Numbers:
    """All of them, as of `now`."""
    # All states, so that an alarm on one sees it rise from 0, not appear.
    cards = Counter({(name, state.value): 0 for (name,) in connection.execute(_CAMPAIGNS) for state in CardState})
    state = shown_state(now, stuck_after).label("state")
    # A workstation may name campaigns that there are not, and a target list on its way in has none yet.
    ours = STANDING.c.campaign.in_(_CAMPAIGNS)
    by_state = sa.select(STANDING.c.campaign, state, sa.func.count()).where(ours).group_by(STANDING.c.campaign, state)
    for rows in (connection.execute(by_state), connection.execute(_NOT_SEEN)):
        for campaign, name, count in rows:
            cards[campaign, name] += count
    live = sa.select(sa.func.count()).select_from(AGENT).where(AGENT.c.revoked.is_(None))
    agents = connection.execute(live).scalar_one()
    seen = connection.execute(live.where(AGENT.c.last_seen > now - _LATELY)).scalar_one()
    return Numbers(cards, agents, seen)


_CAMPAIGNS = sa.select(CAMPAIGN.c.id).distinct()
_STANDS = sa.and_(
    STANDING.c.campaign == TARGET.c.campaign, STANDING.c.issuer == TARGET.c.issuer, STANDING.c.serial == TARGET.c.serial
)
_NOT_SEEN = (
    sa.select(TARGET.c.campaign, sa.literal(CardState.NOT_SEEN.value), sa.func.count())
    .where(~sa.exists().where(_STANDS), TARGET.c.campaign.in_(_CAMPAIGNS))
    .group_by(TARGET.c.campaign)
)


def _gauges(numbers: Numbers, streams: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    cards = Gauge("renewagent_cards", "Cards by campaign and state.", ["campaign", "state"], registry=registry)
    for (campaign, state), count in numbers.cards.items():
        cards.labels(campaign, state).set(count)
    for name, said, value in (
        ("renewagent_agents", "Agents that are enrolled and not revoked.", numbers.agents),
        ("renewagent_agents_seen", "Those of them that were heard of in the last 24 hours.", numbers.seen),
        ("renewagent_streams_held", "Event streams that this process holds.", streams),
    ):
        Gauge(name, said, registry=registry).set(value)
    return registry

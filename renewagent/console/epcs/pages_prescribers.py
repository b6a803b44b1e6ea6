"""The page of everybody whom an EPCS administrator looks after: a line each, and the way to do something for them."""

from __future__ import annotations

from starlette.routing import Route

from renewagent.console.epcs.asked import Asked
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.overview import MOST, overview
from renewagent.console.epcs.pages_frame import Shown, look
from renewagent.console.permissions import Permission


def routes(desk: Desk) -> list[Route]:
    """One page."""
    return [look(desk, "/epcs/people", Permission.ADMINISTER_EPCS, prescribers)]


def prescribers(asked: Asked) -> Shown:
    """By name."""
    name = asked.text("name", default="")
    lines, count = overview(asked.desk, asked.person, name)
    return Shown("epcs_people.html", {"lines": lines, "count": count, "most": MOST, "name": name})

"""What the EPCS desk does by itself, every few seconds, in each server process.

Overrides and requests come first, and nothing that waits for a vendor may keep them waiting: they are looked after
apart from the rest, and that is what the pulse tells. Several processes at once do no double harm: each part sees to
that with its rows. One part that fails does not stop the others, nor the next look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from renewagent.console.epcs import (
    carrying_out,
    daily_report,
    incidents,
    overrides,
    pulses,
    reminders,
    soft,
    tickets,
    token_orders,
)
from renewagent.console.epcs.desk import Desk

_LOG = logging.getLogger(__name__)


def look(desk: Desk) -> None:
    """Once, at all of it."""
    look_first(desk)
    look_at_vendor(desk)
    look_at_rest(desk)


def look_first(desk: Desk) -> None:
    """At what may let somebody sign or do more than they should."""
    _do(desk, _FIRST)


def look_at_vendor(desk: Desk) -> None:
    """At the tokens of those who are being suspended."""
    _do(desk, _VENDOR)


def look_at_rest(desk: Desk) -> None:
    """At what can wait."""
    _do(desk, _REST)


def _do(desk: Desk, parts: Sequence[tuple[str, Callable[[Desk], object]]]) -> None:
    for name, part in parts:
        try:
            part(desk)
        except Exception as problem:
            fields = {"part": name, "why": f"{type(problem).__name__}: {problem}"}
            _LOG.warning("the EPCS scheduler could not do everything", extra={"fields": fields}, exc_info=problem)


def _beat(desk: Desk) -> None:
    desk.write(lambda connection: pulses.beat(connection, overrides.PULSE, desk.now()))


_FIRST: tuple[tuple[str, Callable[[Desk], object]], ...] = (
    ("pulse", _beat),
    ("overrides", overrides.tend),
    ("requests", carrying_out.tend),
    ("incidents", incidents.tend),
)
_VENDOR: tuple[tuple[str, Callable[[Desk], object]], ...] = (("suspensions", carrying_out.tend_at_vendor),)
_REST: tuple[tuple[str, Callable[[Desk], object]], ...] = (
    ("reports", daily_report.tend),
    ("tokens", token_orders.tend),
    ("tickets", tickets.follow),
    ("soft tokens", soft.tend),
    ("reminders", reminders.remind),
)

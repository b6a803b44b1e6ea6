"""What the EPCS desk does by itself, every few seconds, in each server process: overrides first.

Several processes at once do no double harm: each part sees to that with its rows. One part that fails does not stop the
others, nor the next look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from renewagent.console.epcs import carrying_out, daily_report, incidents, overrides, pulses
from renewagent.console.epcs.desk import Desk

_LOG = logging.getLogger(__name__)


def look(desk: Desk) -> None:
    """Once."""
    for name, part in _PARTS:
        try:
            part(desk)
        except Exception as problem:
            fields = {"part": name, "why": f"{type(problem).__name__}: {problem}"}
            _LOG.warning("the EPCS scheduler could not do everything", extra={"fields": fields}, exc_info=problem)


def _pulse(desk: Desk) -> None:
    desk.write(lambda connection: pulses.beat(connection, overrides.PULSE, desk.now()))


_PARTS: tuple[tuple[str, Callable[[Desk], object]], ...] = (
    ("pulse", _pulse),
    ("overrides", overrides.tend),
    ("requests", carrying_out.tend),
    ("reports", daily_report.tend),
    ("incidents", incidents.tend),
)

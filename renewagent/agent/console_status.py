"""How it stands between this agent and its console, from what lies on disk: for `renewagent status`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.agent.poll_patience import PollPatience
from renewagent.agent.remembered import enrolled_before
from renewagent.agent.status import time_text
from renewagent.agent.times_in_words import time_in_words
from renewagent.configuration import Configuration
from renewagent.language import _, ngettext

CONSOLE = "console"
"""Its name in `PollPatience`."""


def console_status(configuration: Configuration) -> dict[str, Any] | None:
    """`enrolled`, `reported` (when it last took reports in), `queued` (how many wait), `problem`; None where no console
    is configured."""
    if configuration.console.url is None:
        return None
    state = configuration.agent.state_dir
    asked = PollPatience(state, configuration.agent.poll_interval, lambda: 0.0).of(CONSOLE)
    return {
        "enrolled": enrolled_before(state),
        "reported": time_text(asked.reported),
        "queued": len(CheckInQueue(state)),
        "problem": asked.problem or None,
    }


def console_lines(console: dict[str, Any] | None, now: datetime) -> Iterator[str]:
    """The same for a person. That it cannot be reached for a while is nothing to be told of more than once."""
    if console is None:
        return
    if console["reported"]:
        reported = time_in_words(datetime.fromisoformat(console["reported"]).astimezone(), now)
        yield _("The Registration Authority's console was last told something {when}.").format(when=reported)
    elif console["enrolled"]:
        yield _("The Registration Authority's console knows this computer, and was told nothing yet.")
    else:
        yield _("The Registration Authority's console does not know this computer yet.")
    if console["queued"]:
        number = console["queued"]
        yield ngettext("{number} report waits for it.", "{number} reports wait for it.", number).format(number=number)
    if console["problem"]:
        yield console["problem"]

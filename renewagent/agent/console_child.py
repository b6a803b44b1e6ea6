"""One poll: campaigns are fetched and verified, and the console is visited. The agent's short-lived child,
`python -m renewagent.agent.console_child [configuration options]`, prints what came of it as one JSON document; started
by a command where no agent runs, nobody reads that.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from renewagent.agent.campaigns import campaigns_in_force
from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.agent.children import hand_over
from renewagent.agent.console_status import CONSOLE
from renewagent.agent.console_visit import visit
from renewagent.agent.options import add_configuration_options, configuration_of
from renewagent.agent.poll_patience import PollPatience
from renewagent.agent.reports import NO_CARD
from renewagent.campaign.verify import RolledBack
from renewagent.check_ins import CardState, CheckIn
from renewagent.configuration import Configuration
from renewagent.errors import RenewAgentError

LONGEST_WHY = 300


def main(words: list[str]) -> int:
    """See the module. What is accepted lies in the state folder afterwards."""
    form, times = "%(asctime)s poll %(message)s", "%Y-%m-%dT%H:%M:%S%z"  # as the resident's: it is one log
    logging.basicConfig(level=logging.INFO, format=form, datefmt=times, stream=sys.stderr)
    parser = argparse.ArgumentParser()
    add_configuration_options(parser)
    parser.add_argument("--deliver", action="store_true", help="visit the console and fetch no campaigns")
    arguments = parser.parse_args(words)
    try:
        document = poll(configuration_of(arguments), datetime.now(UTC), deliver=arguments.deliver)
    except RenewAgentError as error:
        document = {"ok": True, "problem": error.message, "orders": [], "poll": None, "rest": None}
    hand_over(document)
    return 0


def poll(configuration: Configuration, now: datetime, *, deliver: bool = False) -> dict[str, Any]:
    """Ask everybody who is not to be left alone. `problem`: with the campaigns; `orders`: ids of "check now"; `poll`:
    the seconds between two polls that the console wants; `rest`: seconds in which there is nobody to ask."""
    state = configuration.agent.state_dir
    patience = PollPatience(state, configuration.agent.poll_interval, _chance)
    urls = configuration.campaign.urls
    names = [*urls, *([CONSOLE] if configuration.console.url is not None else [])]
    patience.only(names)
    problem = None
    try:
        if not deliver:
            problem = _campaigns(configuration, now, patience)
        visited = visit(configuration.console, state, patience, now)
    finally:
        patience.save()
    rest = patience.rest(names, now)
    return {"ok": True, "problem": problem, "orders": visited.orders, "poll": visited.poll, "rest": rest}


def _campaigns(configuration: Configuration, now: datetime, patience: PollPatience) -> str | None:
    urls = configuration.campaign.urls
    before = {patience.of(url).problem for url in urls}
    try:
        found = campaigns_in_force(configuration, now, patience=patience)
    except RenewAgentError as error:
        return error.message
    if configuration.console.url is not None:
        _report_rollbacks(found.problems, before, configuration.agent.state_dir, now)
    problems = (patience.of(url).problem for url in urls)
    return " ".join(problem for problem in problems if problem) or None


def _report_rollbacks(problems: Iterable[RenewAgentError], before: Collection[str], state: Path, now: datetime) -> None:
    """Somebody may be hiding a newer campaign: whoever signed it is to hear of that, once."""
    for problem in problems:
        if isinstance(problem, RolledBack) and problem.message not in before:
            why = f"{problem.code}: {problem.english}"[:LONGEST_WHY]
            said = CheckIn(os.urandom(16).hex(), now, NO_CARD, CardState.REFUSED, why=why)
            CheckInQueue(state).add(said)


def _chance() -> float:
    return int.from_bytes(os.urandom(2), "big") / 65535


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # there is nothing to tidy up, and the agent wakes up once less for its answer and its end

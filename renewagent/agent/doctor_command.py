"""What `renewagent doctor` does, apart from parsing."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from renewagent.agent.campaigns import campaigns_in_force
from renewagent.agent.doctor import Check, Health, Observation, answer_of, examine
from renewagent.agent.doctor_card import CardChecks
from renewagent.agent.options import configuration_of
from renewagent.cli.answer import emit, say

_MARKS = {Health.OK: "OK", Health.WARNING: "Look", Health.PROBLEM: "Wrong", Health.UNKNOWN: "Unknown"}


def doctor(arguments: argparse.Namespace) -> int:
    """Look at everything that signing needs; 0 unless something is wrong. Raises ConfigurationError."""
    configuration, now = configuration_of(arguments), datetime.now(UTC)
    in_force = campaigns_in_force(configuration, now, apart=bool(arguments.campaign or arguments.campaign_anchor))
    notices = [Observation.of_error("campaigns", problem, Health.WARNING) for problem in in_force.problems]
    checks: dict[str, Check] = {
        "campaigns": lambda: notices,
        "smartcard": CardChecks(configuration, in_force.all, now, arguments.reader),
    }
    found = examine(checks)
    document = answer_of(found)
    if arguments.json:
        emit(document)
    else:
        say("\n".join(line for one in found for line in _lines(one)))
        say(
            "Nothing here keeps you from signing." if document["ok"] else "Something keeps you from signing: see above."
        )
    return 0 if document["ok"] else 1


def _lines(one: Observation) -> list[str]:
    first = f"{_MARKS[one.health]:8}{one.name}: {one.said}"
    return [first, f"{'':8}{one.advice}"] if one.advice and one.health is not Health.OK else [first]

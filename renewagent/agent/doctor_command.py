"""What `renewagent doctor` does, apart from parsing."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from renewagent.agent.campaigns import campaigns_in_force
from renewagent.agent.doctor import Check, Health, Observation, answer_of, examine
from renewagent.agent.doctor_card import CardChecks
from renewagent.agent.doctor_desk import not_asked, of_standing
from renewagent.agent.options import configuration_of
from renewagent.cli.answer import emit, say
from renewagent.cli.desk_options import at_desk, needed
from renewagent.configuration import Configuration

_MARKS = {Health.OK: "OK", Health.WARNING: "Look", Health.PROBLEM: "Wrong", Health.UNKNOWN: "Unknown"}


def doctor(arguments: argparse.Namespace) -> int:
    """Look at everything that signing needs; 0 unless something is wrong. Raises ConfigurationError."""
    configuration, now = configuration_of(arguments), datetime.now(UTC)
    if _signs_in(arguments):
        needed(arguments)
    in_force = campaigns_in_force(configuration, now, apart=bool(arguments.campaign or arguments.campaign_anchor))
    notices = [Observation.of_error("campaigns", problem, Health.WARNING) for problem in in_force.problems]
    checks: dict[str, Check] = {"campaigns": lambda: notices}
    if _has_cards(configuration):
        checks["smartcard"] = CardChecks(configuration, in_force.all, now, arguments.reader)
    checks["EPCS desk"] = lambda: _at_desk(arguments, configuration)
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


def _signs_in(arguments: argparse.Namespace) -> bool:
    return arguments.user is not None or arguments.desk is not None


def _has_cards(configuration: Configuration) -> bool:
    """Not where people sign with tokens alone: a desk is configured, and nothing of a Registration Authority."""
    of_an_ra = configuration.ra.url is not None or bool(configuration.campaign.urls)
    return of_an_ra or configuration.desk.url is None


def _at_desk(arguments: argparse.Namespace, configuration: Configuration) -> list[Observation]:
    """Nothing where no desk is configured, and nobody asks for one. Raises DeskRefused and the like."""
    if not _signs_in(arguments):
        return [not_asked()] if configuration.desk.url is not None else []
    with at_desk(arguments) as desk:
        return list(of_standing(desk.get("standing")))

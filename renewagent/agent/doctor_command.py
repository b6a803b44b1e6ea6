"""What `renewagent doctor` does, apart from parsing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from renewagent.agent import doctor_authorities, doctor_workstation
from renewagent.agent.campaigns import InForce, campaigns_in_force
from renewagent.agent.doctor import Check, answer_of, begun, carried_out, examine
from renewagent.agent.doctor_bundle import write_bundle
from renewagent.agent.doctor_card import CardChecks
from renewagent.agent.doctor_desk import not_asked, of_standing
from renewagent.agent.options import configuration_of
from renewagent.agent.remembered import accepted_campaigns
from renewagent.cli.answer import emit, say
from renewagent.cli.desk_options import at_desk, needed
from renewagent.cli.mishaps import unexpected
from renewagent.configuration import Configuration
from renewagent.health import Health, Observation
from renewagent.language import N_, _
from renewagent.rules import Campaign

FETCHED_WITHIN = 4.0
"""Seconds for each source of campaigns, and at most so much longer for all."""
_DECIDE = (N_("signing certificate"), N_("EPCS desk"))
"""Who cannot tell how these stand cannot tell whether somebody can sign."""
_MARKS = {Health.OK: N_("OK"), Health.WARNING: N_("Look"), Health.PROBLEM: N_("Wrong"), Health.UNKNOWN: N_("Unknown")}


@dataclass(frozen=True, slots=True)
class _Campaigns:
    """Fetched once, for the card's check and for their own; `apart`: they came from the command line."""

    configuration: Configuration
    now: datetime
    apart: bool
    fetched: Future[InForce] = field(init=False)

    def __post_init__(self) -> None:
        def fetch() -> InForce:
            return campaigns_in_force(self.configuration, self.now, apart=self.apart, longest=FETCHED_WITHIN)

        object.__setattr__(self, "fetched", begun(fetch))

    def here(self) -> Sequence[Campaign]:
        """Those that serve. Raises ConfigurationError, JournalError."""
        found = self._found()
        return found.all if found is not None else accepted_campaigns(self.configuration.agent.state_dir)

    def check(self) -> list[Observation]:
        """Their own check. As `here`."""
        if not self.configuration.campaign.urls:
            return [doctor_authorities.no_campaigns()] if self.configuration.desk.url is None else []
        found, state = self._found(), self.configuration.agent.state_dir
        return list(doctor_authorities.of_campaigns(found, list(self.here()), state, self.now))

    def _found(self) -> InForce | None:
        try:
            return self.fetched.result(FETCHED_WITHIN + 1)
        except TimeoutError:
            return None


def doctor(arguments: argparse.Namespace) -> int:
    """Look at everything that signing needs; 0 unless something is wrong. Raises ConfigurationError."""
    configuration, now = configuration_of(arguments), datetime.now(UTC)
    if _signs_in(arguments):
        needed(arguments)
    here = examine(
        _checks(arguments, configuration, now),
        lambda problem: unexpected(problem, now=now, folder=configuration.agent.state_dir),
    )
    # By itself, since a password may have to be typed.
    desk = carried_out(N_("EPCS desk"), lambda: _at_desk(arguments, configuration))
    document = answer_of(found := here + desk)
    if arguments.bundle is not None:
        write_bundle(arguments.bundle, here, desk, configuration, now)
        document["bundle"] = str(arguments.bundle)
    if arguments.json:
        emit(document)
    else:
        _tell(found, document["ok"], arguments)
    return 0 if document["ok"] else 1


def _checks(arguments: argparse.Namespace, configuration: Configuration, now: datetime) -> dict[str, Check]:
    apart = bool(arguments.campaign or arguments.campaign_anchor)
    hasty = replace(configuration, ra=replace(configuration.ra, timeout=min(configuration.ra.timeout, 4)))
    campaigns, state = _Campaigns(configuration, now, apart), configuration.agent.state_dir
    checks: dict[str, Check] = {}
    if _has_cards(configuration):
        checks[N_("session")] = doctor_workstation.of_session
        checks[N_("card software")] = lambda: doctor_workstation.of_card_software(configuration.card)
        checks[N_("smartcard")] = CardChecks(hasty, campaigns.here, now, arguments.reader)
        checks[N_("campaigns")] = campaigns.check
        checks[N_("Registration Authority")] = lambda: doctor_authorities.of_ra(configuration)
        checks[N_("console")] = lambda: doctor_authorities.of_console(configuration, now)
        checks[N_("agent")] = lambda: doctor_workstation.of_agent(configuration)
    checks[N_("disk")] = lambda: doctor_workstation.of_disk(state)
    checks[N_("journal")] = lambda: doctor_workstation.of_journal(state)
    checks[N_("version")] = doctor_workstation.of_versions
    return checks


def _tell(found: Sequence[Observation], ok: bool, arguments: argparse.Namespace) -> None:
    say("\n".join(line for one in found for line in _lines(one)))
    say(_in_all(found, ok))
    if arguments.bundle is not None:
        sentence = _("{file} is for your help desk. It holds nothing private: see README.txt in it.")
        say(sentence.format(file=arguments.bundle))


def _in_all(found: Sequence[Observation], ok: bool) -> str:
    if not ok:
        return _("Something keeps you from signing: see above.")
    if any(one.health is Health.UNKNOWN and one.name in _DECIDE for one in found):
        return _("Nothing was found that keeps you from signing; not everything could be looked at.")
    return _("Nothing here keeps you from signing.")


def _lines(one: Observation) -> list[str]:
    first = f"{_(_MARKS[one.health]):8}{_(one.name)}: {one.said}"
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

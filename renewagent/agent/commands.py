"""What the prescriber's commands do, apart from parsing: `agent`, `status`, `inspect`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from renewagent.agent import words
from renewagent.agent.control import ask_agent, runtime_folder
from renewagent.agent.options import configuration_of, words_of
from renewagent.cli.answer import emit, say
from renewagent.errors import NoCard, NoReader, RenewAgentError
from renewagent.model import Verdict

if TYPE_CHECKING:
    from renewagent.agent.full_inspection import Inspection
    from renewagent.card.interface import Readers
    from renewagent.configuration import Configuration


def agent(arguments: argparse.Namespace) -> NoReturn:
    """Become the resident agent. Raises AgentError if one runs already."""
    from renewagent.agent.process import only_one, settings_argument
    from renewagent.agent.resident import ResidentSettings
    from renewagent.names import format_name

    configuration = configuration_of(arguments)
    if configuration.campaign.urls:
        configuration.campaign_anchor()  # says now what every fetch would say
    state = configuration.agent.state_dir
    with only_one(state):
        pass
    settings = ResidentSettings(
        state_folder=state,
        contact=configuration.contact,
        ask_ra=configuration.ra.url is not None,
        fetch_campaigns=bool(configuration.campaign.urls),
        child_options=words_of(arguments),
        interval=configuration.agent.poll_interval,
    )
    issuers = tuple(format_name(name) for name in configuration.card.signing_issuers)
    given = settings_argument(settings, issuers, runtime_folder(state), configuration.card.readers)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "renewagent.agent.process", given])  # noqa: S606


def status(arguments: argparse.Namespace) -> int:
    """What the agent knows. Raises AgentError if none runs."""
    state = configuration_of(arguments).agent.state_dir
    document = {**ask_agent(runtime_folder(state), {"ask": "status"}), "renewals": _open_renewals(arguments)}
    if arguments.json:
        emit(document)
    else:
        say("\n".join(_status_lines(document)))
    return 0


def _open_renewals(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Renewals that were begun here and are not finished."""
    from renewagent.agent.journal import Journal

    path = configuration_of(arguments).agent.state_dir / "journal.db"
    if not path.exists():
        return []
    with Journal(path) as journal:
        return [{"renewal": one.renewal, "card": one.card} for one in journal.open_renewals()]


def _status_lines(document: dict[str, Any]) -> Iterator[str]:
    yield f"The agent has been running since {document['agent']['started']}."
    if not document["pcsc"]["ok"]:
        yield f"Smartcards cannot be checked now: {document['pcsc']['problem']}"
    elif not document["readers"]:
        yield "There is no smartcard reader."
    for reader in document["readers"]:
        yield f"{reader['reader']}: {_reader_line(reader)}"
    campaigns = document["campaigns"]
    names = ", ".join(f"{one['id']} (version {one['version']})" for one in campaigns["accepted"])
    yield f"Campaigns: {names or 'none'}."
    if campaigns["problem"]:
        yield f"Campaigns could not be refreshed: {campaigns['problem']}"
    for renewal in document["renewals"]:
        yield f"A renewal of smartcard {renewal['card']} is not finished. Run: renewagent renew."


def _reader_line(reader: dict[str, Any]) -> str:
    if not reader["present"]:
        return "no smartcard."
    if reader["renewing"]:
        return "this smartcard is being renewed."
    if reader["message"] is None:
        return "this smartcard is being checked."
    return str(reader["message"]).replace("\n", " ")


def inspect(arguments: argparse.Namespace) -> int:
    """Check the cards in all readers, or in the one named, in this very process."""
    from renewagent.agent.campaigns import campaigns_in_force
    from renewagent.agent.inspection_child import inspect_reader
    from renewagent.agent.workstation import open_readers

    configuration, now = configuration_of(arguments), datetime.now(UTC)
    in_force = campaigns_in_force(configuration, now, apart=bool(arguments.campaign or arguments.campaign_anchor))
    for problem in in_force.problems:
        say(problem.message)
    cards: list[dict[str, Any]] = []
    with closing(open_readers(configuration.card.readers)) as readers:
        for name in _filled(readers, arguments.reader):
            inspection = inspect_reader(configuration, in_force.all, readers, name, now)
            cards.append(inspection.document())
            _tell(inspection, configuration, in_force.all, now)
    ok = all(card["verdict"] != Verdict.UNREADABLE.value for card in cards)
    if arguments.json:
        emit({"ok": ok, "cards": cards})
    return 0 if ok else 1


def _filled(readers: Readers, wanted: str | None) -> list[str]:
    """The readers to look into. Raises NoReader, NoCard."""
    states = readers.states()
    if not states:
        raise NoReader("There is no smartcard reader.")
    if wanted is not None and wanted not in states:
        raise NoReader(f"There is no smartcard reader called {wanted}.", advice=f"There are: {', '.join(states)}.")
    filled = [name for name, state in sorted(states.items()) if state.present and wanted in (None, name)]
    if not filled:
        raise NoCard("There is no smartcard in the reader.")
    return filled


def _tell(inspection: Inspection, configuration: Configuration, campaigns: list[Any], now: datetime) -> None:
    say(f"{inspection.reader}:")
    judgement = inspection.judgement
    campaign = next((one for one in campaigns if one.id == judgement.finding.campaign), None)
    message = words.for_finding(judgement.finding, campaign, now.astimezone(), now, configuration.contact)
    if judgement.revoked and message.kind == "not-affected":
        message = words.revoked(configuration.contact)
    if isinstance(judgement.error, RenewAgentError):
        message = words.unreadable(judgement.error.message, configuration.contact, judgement.error.code)
    say(message.text)
    reason = judgement.finding.reason
    if reason not in message.text:
        say(reason)
    if judgement.note:
        say(judgement.note)
    say("")

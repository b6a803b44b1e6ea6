"""What the prescriber's commands do, apart from parsing: `agent`, `status`, `inspect`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from renewagent.agent import words
from renewagent.agent.console_status import console_lines, console_status
from renewagent.agent.control import ask_agent, runtime_folder
from renewagent.agent.options import configuration_of, contact_named, no_campaign, words_of
from renewagent.agent.times_in_words import date_in_words, time_in_words
from renewagent.agent.tries_in_words import few_tries
from renewagent.cli.answer import emit, say
from renewagent.errors import JournalError
from renewagent.language import _
from renewagent.model import Verdict

if TYPE_CHECKING:
    from renewagent.agent.full_inspection import Inspection
    from renewagent.configuration import Configuration


def agent(arguments: argparse.Namespace) -> NoReturn:
    """Become the resident agent. Raises AgentError if one runs already."""
    from renewagent.agent.agent_number import agent_number
    from renewagent.agent.process import FRUGAL, only_one, settings_argument
    from renewagent.agent.resident_settings import ResidentSettings
    from renewagent.names import format_name

    configuration = configuration_of(arguments)
    _check_certificates(configuration)
    state = configuration.agent.state_dir
    with contact_named(configuration), only_one(state):
        pass
    if not configuration.campaign.urls:
        missing = no_campaign()
        say(f"{missing.message}\n{missing.advice}")
    settings = ResidentSettings(
        state_folder=state,
        contact=configuration.contact,
        ask_ra=configuration.ra.url is not None,
        vendor_cards=configuration.card.pkcs11_module is not None,
        fetch_campaigns=bool(configuration.campaign.urls),
        console=configuration.console.url is not None,
        stream=configuration.console.stream,
        phase=int(agent_number(state)[:8], 16) / 2**32,
        child_options=words_of(arguments),
        interval=configuration.agent.poll_interval,
    )
    issuers = tuple(format_name(name) for name in configuration.card.signing_issuers)
    given = settings_argument(settings, issuers, runtime_folder(state), configuration.card.readers)
    command = [sys.executable, "-P", "-m", "renewagent.agent.process", given, *(["--json"] if arguments.json else [])]
    os.execve(sys.executable, command, {**os.environ, **FRUGAL})  # noqa: S606


def _check_certificates(configuration: Configuration) -> None:
    """Say now, to whoever starts the agent, what its children would find wrong hour after hour."""
    from renewagent.campaign.pem import read_certificates

    if configuration.campaign.urls:
        read_certificates(configuration.campaign_anchor())
    if configuration.ra.root is not None:
        read_certificates(configuration.ra.root)


def status(arguments: argparse.Namespace) -> int:
    """What the agent knows. Raises AgentError if none runs."""
    configuration = configuration_of(arguments)
    state = configuration.agent.state_dir
    with contact_named(configuration):
        document = {**ask_agent(runtime_folder(state), {"ask": "status"}), **_journalled(configuration)}
    document["console"] = console_status(configuration)
    if arguments.json:
        emit(document)
    else:
        say("\n".join(_status_lines(document, datetime.now().astimezone())))
    return 0


def _journalled(configuration: Configuration) -> dict[str, Any]:
    """What the journal adds; one that cannot be read keeps nobody from hearing of the card that is in."""
    try:
        renewals, keys = _open_renewals(configuration.agent.state_dir), _old_keys(configuration)
    except JournalError as error:
        return {"renewals": [], "old_keys": [], "journal": {"problem": f"{error.message} {error.advice}".strip()}}
    return {"renewals": renewals, "old_keys": keys, "journal": {"problem": None}}


def _open_renewals(state: Path) -> list[dict[str, Any]]:
    """Renewals that were begun here and are not finished."""
    from renewagent.agent.journal import Journal

    path = state / "journal.db"
    if not path.exists():
        return []
    with Journal(path) as journal:
        return [{"renewal": one.renewal, "card": one.card} for one in journal.open_renewals()]


def _old_keys(configuration: Configuration) -> list[dict[str, Any]]:
    """Keys that were replaced here and are kept on their cards for a while."""
    from renewagent.agent.old_keys import old_keys_here

    days = configuration.card.keep_old_key_days
    return [key.document(days) for key in old_keys_here(configuration.agent.state_dir)]


def _status_lines(document: dict[str, Any], now: datetime) -> Iterator[str]:
    started = datetime.fromisoformat(document["agent"]["started"]).astimezone()
    yield _("The agent is running; it was started {time}.").format(time=time_in_words(started, now))
    if not document["pcsc"]["ok"]:
        yield _("Smartcards cannot be checked now: {problem}").format(problem=document["pcsc"]["problem"])
    elif not document["readers"]:
        yield _("There is no smartcard reader.")
    for reader in document["readers"]:
        yield f"\n{reader['reader']}:\n{_reader_line(reader)}\n"
    campaigns = document["campaigns"]
    names = ", ".join(_campaign_named(one, now) for one in campaigns["accepted"])
    yield _("Campaigns: {names}.").format(names=names or _("none"))
    if campaigns["problem"]:
        yield _("Campaigns could not be refreshed: {problem}").format(problem=campaigns["problem"])
    yield from console_lines(document["console"], now)
    if document["journal"]["problem"]:
        yield document["journal"]["problem"]
    for renewal in document["renewals"]:
        unfinished = _("The renewal of the smartcard ending {ending} is not finished. Run: renewagent renew.")
        yield unfinished.format(ending=renewal["card"][-4:])
    for key in document["old_keys"]:
        yield _old_key_line(key, now)


def _campaign_named(campaign: dict[str, Any], now: datetime) -> str:
    if campaign["withdrawn"]:
        named = _("{id} (version {version}, withdrawn)")
    elif datetime.fromisoformat(campaign["expires"]) <= now:
        named = _("{id} (version {version}, expired)")
    else:
        named = _("{id} (version {version}, paused)") if campaign["paused"] else _("{id} (version {version})")
    return named.format(id=campaign["id"], version=campaign["version"])


def _old_key_line(key: dict[str, Any], now: datetime) -> str:
    until = datetime.fromisoformat(key["kept_until"]).astimezone()
    ending = key["card"][-4:].upper()
    if until > now:
        kept = _("The old key of the smartcard ending {ending} is kept on it until {date}.")
        return kept.format(ending=ending, date=date_in_words(until))
    taken_off = _("The old key of the smartcard ending {ending} is taken off when that smartcard is next put in.")
    return taken_off.format(ending=ending)


def _reader_line(reader: dict[str, Any]) -> str:
    if not reader["present"]:
        return _("There is no smartcard in this reader.")
    if reader["renewing"]:
        return _("This smartcard is being renewed.")
    if reader["message"] is None:
        return _("This smartcard is being checked.")
    return str(reader["message"])


def inspect(arguments: argparse.Namespace) -> int:
    """Check the cards in all readers, or in the one named, in this very process."""
    configuration = configuration_of(arguments)
    with contact_named(configuration):
        return _inspect(arguments, configuration, datetime.now(UTC))


def _inspect(arguments: argparse.Namespace, configuration: Configuration, now: datetime) -> int:
    from renewagent.agent.campaigns import campaigns_in_force
    from renewagent.agent.inspection_child import inspect_reader
    from renewagent.agent.workstation import filled_readers, open_readers

    in_force = campaigns_in_force(configuration, now, apart=bool(arguments.campaign or arguments.campaign_anchor))
    for problem in in_force.problems:
        say(problem.message)
    cards: list[dict[str, Any]] = []
    with closing(open_readers(configuration.card.readers)) as readers:
        for name in filled_readers(readers, arguments.reader):
            inspection = inspect_reader(configuration, in_force.all, readers, name, now)
            cards.append(inspection.document())
            _tell(inspection, configuration, in_force.all, now)
    # Told to judge by campaigns, and none could be had: then nobody knows whether these cards are good.
    judged = bool(in_force.campaigns) or not in_force.problems
    ok = judged and all(card["verdict"] != Verdict.UNREADABLE.value for card in cards)
    if not configuration.campaign.urls:
        return _unjudged(cards, as_json=arguments.json)
    if arguments.json:
        emit({"ok": ok, "cards": cards})
    return 0 if ok else 1


def _unjudged(cards: list[dict[str, Any]], *, as_json: bool) -> int:
    """The cards were read, and there is nothing to judge them by: what was asked for was not done."""
    missing = no_campaign()
    say(f"{missing.message}\n{missing.advice}")
    if as_json:
        error = {"code": missing.code, "message": missing.message, "advice": missing.advice}
        emit({"ok": False, "cards": cards, "error": error})
    return 1


def _tell(inspection: Inspection, configuration: Configuration, campaigns: list[Any], now: datetime) -> None:
    say(f"{inspection.reader}:")
    judgement = inspection.judgement
    named = judgement.finding.campaign or judgement.finding.paused
    campaign = next((one for one in campaigns if one.id == named), None)
    message = words.for_finding(
        judgement.finding, campaign, now.astimezone(), now, configuration.contact, judged=bool(campaigns)
    )
    if judgement.revoked and message.kind in ("not-affected", "paused"):
        message = words.revoked(configuration.contact)
    if judgement.error is not None:
        error = judgement.error
        message = words.unreadable(error.message, configuration.contact, error.code, error.advice)
    say(message.text)
    reason = _(judgement.finding.reason) if message.kind != "not-judged" else ""
    for more in (reason, few_tries(inspection.pin_tries), judgement.note):
        if more not in message.text:
            say(more)
    say("")

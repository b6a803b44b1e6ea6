"""The short-lived child that renews: PIN, keys and network live and die in here.

`python -m renewagent.agent.worker --channel-fd N [--reader NAME] [configuration options]`. The channel leads to the
person (`renewagent.agent.prompts`); nobody else reads it. The child cannot be dumped or traced by other processes of
the same user, writes no core, and says nothing on its standard output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

from renewagent.agent import words
from renewagent.agent.at_the_desk import renew_at_the_desk
from renewagent.agent.campaigns import Accepted, campaigns_in_force
from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.agent.faults import note_fault
from renewagent.agent.full_inspection import Inspector, error_document
from renewagent.agent.job import Workplace
from renewagent.agent.journal_aside import open_journal
from renewagent.agent.key_relay import KeyRelay
from renewagent.agent.more_cards import identity_of
from renewagent.agent.options import add_configuration_options, configuration_of, contact_named, no_campaign
from renewagent.agent.passcode import RenewableCard
from renewagent.agent.passcode_entry import PAD
from renewagent.agent.power import LinuxPower
from renewagent.agent.prompts import ChannelPrompter, Prompter
from renewagent.agent.ra_desk import RaDesk, utc_now
from renewagent.agent.ra_patience import patient
from renewagent.agent.removal import on_removal
from renewagent.agent.renew_card import renew_card
from renewagent.agent.stale import shown_by_software
from renewagent.agent.turns import put_off
from renewagent.agent.undumpable import undumpable
from renewagent.agent.workstation import card_opener, filled_readers, open_readers
from renewagent.campaign.pem import read_certificates
from renewagent.card.interface import CardConnection, Readers
from renewagent.check_ins import CheckIn
from renewagent.configuration import Configuration
from renewagent.errors import ConfigurationError, PersonStopped, RenewAgentError
from renewagent.language import _
from renewagent.ra_transport import HttpRaTransport, RaTransport
from renewagent.renewal import State


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the child. 0 when every card that needed it was renewed."""
    options = _options(arguments)
    undumpable()
    prompter = ChannelPrompter.from_fd(options.channel_fd)
    state_folder: Path | None = None
    try:
        apart = bool(options.campaign or options.campaign_anchor)
        configuration = configuration_of(options)
        state_folder = configuration.agent.state_dir
        with contact_named(configuration):
            document = renew(configuration, options.reader, prompter, apart=apart, officer=options.officer_reader)
    except RenewAgentError as error:
        document = refusal(error)
    except Exception as error:
        document = refusal(note_fault(state_folder, error, utc_now()))
    prompter.result(document)
    prompter.close()
    return 0 if document["ok"] else 1


def renew(
    configuration: Configuration,
    reader: str | None,
    prompter: Prompter,
    *,
    apart: bool = False,
    officer: str | None = None,
) -> dict[str, Any]:
    """Renew the card in `reader`, or those in all readers, one after the other; the result document.

    `apart`: campaigns were named on the command line and are not the agent's to keep. `officer`: the reader with the
    card of an officer of the RA, at the RA's desk.
    """
    if not configuration.campaign.urls and officer is None:
        raise no_campaign()
    way = open_way(configuration)
    desk = open_desk(configuration, way)
    relay = KeyRelay(way, f"{desk.origin}/key-relay") if configuration.card.management_key.kind == "ra" else None
    in_force = campaigns_in_force(configuration, utc_now(), apart=apart)
    campaigns = in_force.campaigns
    # What was begun is finished even where no campaign can be had any more; anything else needs one.
    missing = in_force.problems[0] if in_force.problems and not campaigns else None
    readers = open_readers(configuration.card.readers)
    record = configuration.agent.state_dir / "journal.db"
    with closing(readers), closing(open_journal(record, prompter.tell, utc_now())) as journal:
        place = Workplace(
            readers=readers,
            open_card=cast("Callable[[CardConnection], RenewableCard]", card_opener(configuration.card, relay)),
            desk=desk,
            journal=journal,
            prompter=prompter,
            contact=configuration.contact,
            way_d_without_tickets=configuration.policy.d_without_tickets,
            keep_old_key_days=configuration.card.keep_old_key_days,
            shown_by_software=shown_by_software(module) if (module := configuration.card.pkcs11_module) else None,
            power=LinuxPower(),
            on_removal=on_removal,
            key_relay=relay,
            pin_pad=PAD in (configuration.passcode.entry or (PAD,)),
            report=_console_hears(configuration),
        )
        inspector = Inspector(
            place.open_card,
            in_force.all,
            configuration.card.signing_issuers,
            place.desk.standing,
        )
        if officer is not None:
            outcome = _told(place, reader, lambda: renew_at_the_desk(place, campaigns, inspector, officer, reader))
            return {"ok": "error" not in outcome, "cards": [outcome]}
        return _renew_all(place, inspector, campaigns, _cards(readers, reader, missing), missing)


def _console_hears(configuration: Configuration) -> Callable[[CheckIn], object]:
    if configuration.console.url is None:
        return lambda check_in: None
    return CheckInQueue(configuration.agent.state_dir).add


def _cards(readers: Readers, reader: str | None, missing: RenewAgentError | None) -> list[str]:
    try:
        return filled_readers(readers, reader)
    except RenewAgentError as error:
        raise missing or error from error


def _renew_all(
    place: Workplace,
    inspector: Inspector,
    campaigns: Mapping[str, Accepted],
    readers: list[str],
    missing: RenewAgentError | None,
) -> dict[str, Any]:
    outcomes: list[dict[str, Any]] = []
    for number, name in enumerate(readers, start=1):
        outcomes.append(_told(place, name, partial(renew_card, place, campaigns, inspector, name, missing)))
        if number < len(readers):
            renewed = sum(1 for outcome in outcomes if outcome["renewed"])
            place.prompter.tell(words.more_cards(renewed, len(readers), None))
    _tell_of_more(place, [outcome for outcome in outcomes if outcome["renewed"]])
    return {"ok": not any("error" in outcome for outcome in outcomes), "cards": outcomes}


def _tell_of_more(place: Workplace, renewed: list[dict[str, Any]]) -> None:
    """The holder may have more cards that are affected, in no reader here."""
    more = renewed[-1].get("more_affected") if renewed else None
    if more:
        following = identity_of(renewed[-1]["next_card"])
        place.prompter.tell(words.more_cards(len(renewed), len(renewed) + more, following))


def _told(place: Workplace, reader: str | None, renew_it: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The outcome, with the error in it where there is one. Raises PersonStopped from whoever wants no more at all."""
    try:
        outcome = renew_it()
        if outcome.get("state") != State.STOPPED.value:
            return outcome
        error: RenewAgentError = PersonStopped(_("You chose not to renew now. Nothing was changed."))
    except PersonStopped:
        raise
    except RenewAgentError as problem:
        outcome, error = {"reader": reader, "renewed": False, **put_off(problem)}, problem
    place.prompter.tell(words.for_error(error, place.contact))
    return {**outcome, "error": error_document(error)}


def open_way(configuration: Configuration) -> RaTransport:
    """The way to the configured RA. Raises ConfigurationError."""
    url, root = configuration.ra_url(), configuration.ra_root()
    return patient(HttpRaTransport(url, root, configuration.ra.timeout), configuration.agent.state_dir)


def open_desk(configuration: Configuration, way: RaTransport | None = None) -> RaDesk:
    """The configured RA, by a way of its own unless it is given one. Raises ConfigurationError."""
    anchors = tuple(read_certificates(configuration.ra_root()))
    return RaDesk(way or open_way(configuration), anchors, configuration.sign_in_url(), utc_now)


def refusal(error: RenewAgentError) -> dict[str, Any]:
    """The result document of something that did not succeed."""
    return {"ok": False, "error": error_document(error), "usage": isinstance(error, ConfigurationError)}


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="renewagent.agent.worker")
    parser.add_argument("--channel-fd", type=int, required=True)
    parser.add_argument("--reader")
    parser.add_argument("--officer-reader")
    add_configuration_options(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

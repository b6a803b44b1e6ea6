"""The agent's child that takes superseded old keys off the card in one reader: `python -m
renewagent.agent.housekeeping_child --reader NAME ...` prints `{"ok", "tidied", "next"}` or an error document, and ends.

Nobody is asked for anything. A card whose management key lies behind the passcode or at the RA, or that another program
is logged in to (the reset at the end would log it out), is left for another day.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, cast

from renewagent.agent.children import hand_over
from renewagent.agent.full_inspection import error_document
from renewagent.agent.housekeeping import Work, tidy
from renewagent.agent.inspection_child import ra_enquiry
from renewagent.agent.journal import Journal
from renewagent.agent.old_keys import old_keys
from renewagent.agent.options import add_configuration_options, configuration_of
from renewagent.agent.passcode import RenewableCard
from renewagent.agent.status import time_text
from renewagent.agent.workstation import card_opener, open_readers
from renewagent.card.interface import CardConnection, Readers
from renewagent.configuration import Configuration
from renewagent.errors import RenewAgentError
from renewagent.model import Slot


def main(words: list[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser()
    add_configuration_options(parser)
    parser.add_argument("--reader", required=True)
    arguments = parser.parse_args(words)
    try:
        configuration = configuration_of(arguments)
        with closing(open_readers(configuration.card.readers)) as readers:
            document = tidy_reader(configuration, readers, arguments.reader, datetime.now(UTC))
    except RenewAgentError as error:
        document = {"ok": False, "error": error_document(error)}
    hand_over(document)
    return 0


def tidy_reader(configuration: Configuration, readers: Readers, reader: str, now: datetime) -> dict[str, Any]:
    """Tidy the card in `reader`. `next` is when something is due by the journal, on any card; it may be past, None for
    never. Raises RenewAgentError."""
    opener = cast("Callable[[CardConnection], RenewableCard]", card_opener(configuration.card))
    days = configuration.card.keep_old_key_days
    with closing(Journal(configuration.agent.state_dir / "journal.db")) as journal:
        with closing(readers.connect(reader)) as connection:
            card = opener(connection)
            with journal.card_lock(card.identity()):
                tidied = _unattended(card, journal, configuration, now)
        due = [key.kept_until(days) for key in old_keys(journal.replay())]
    slots = [slot.reference for slot in tidied]
    return {"ok": True, "tidied": slots, "next": time_text(min(due)) if due else None}


def _unattended(card: RenewableCard, journal: Journal, configuration: Configuration, now: datetime) -> list[Slot]:
    kept_by_ra = configuration.card.management_key.kind == "ra"
    if kept_by_ra or card.administration_needs_pin or card.pin_tries() is None:
        return []

    def administer(work: Work) -> None:
        with card.administration() as session:
            work(session)

    return tidy(card, journal, now, configuration.card.keep_old_key_days, administer, ra_enquiry(configuration))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Inspecting the cards of this workstation in full, as the configuration says: for `renewagent inspect`, and as the
agent's child, `python -m renewagent.agent.inspection_child --reader NAME ...`, which prints the card's entry of
`inspect --json` or an error document, and ends.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from renewagent.agent.children import hand_over
from renewagent.agent.full_inspection import AskRa, Inspection, Inspector, error_document
from renewagent.agent.options import add_configuration_options, configuration_of
from renewagent.agent.ra_desk import RaDesk, utc_now
from renewagent.agent.ra_patience import patient
from renewagent.agent.reader_worker import within
from renewagent.agent.remembered import LookedUp, accepted_campaigns
from renewagent.agent.unfinished import asked_in_time, with_the_journal
from renewagent.agent.workstation import card_opener, open_readers
from renewagent.card.interface import Readers
from renewagent.configuration import Configuration
from renewagent.errors import RenewAgentError
from renewagent.ra_transport import HttpRaTransport
from renewagent.rules import Campaign

RA_LIMIT = 10.0
"""Seconds for the RA's word; without it the verdict stands, with a note."""
INSPECTION_LIMIT = 60.0
"""Seconds for a card read whole, the RA's word included."""


def inspect_reader(
    configuration: Configuration, campaigns: Sequence[Campaign], readers: Readers, reader: str, now: datetime
) -> Inspection:
    """Inspect the card in `reader`. Raises NoReader, NoCard, CardBusy."""
    ask_ra = asked_in_time(ra_enquiry(configuration), configuration.agent.state_dir, now)
    inspector = Inspector(card_opener(configuration.card), campaigns, configuration.card.signing_issuers, ask_ra)
    with closing(readers.connect(reader)) as connection:
        inspection = within(INSPECTION_LIMIT, lambda: inspector.inspect(connection, now))
    return with_the_journal(inspection, configuration.agent.state_dir, now)


def ra_enquiry(configuration: Configuration) -> AskRa | None:
    """The RA's PIN-less status address, None without an RA."""
    if configuration.ra.url is None:
        return None
    limit = min(RA_LIMIT, configuration.ra.timeout)
    transport = HttpRaTransport(configuration.ra.url, root_file=configuration.ra.root, timeout=limit)
    return RaDesk(patient(transport, configuration.agent.state_dir), (), "", utc_now).standing


def main(words: list[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser()
    add_configuration_options(parser)
    parser.add_argument("--reader", required=True)
    arguments = parser.parse_args(words)
    try:
        document = _inspect(configuration_of(arguments), arguments.reader)
    except RenewAgentError as error:
        document = {"ok": False, "error": error_document(error)}
    hand_over(document)
    return 0


def _inspect(configuration: Configuration, reader: str) -> dict[str, Any]:
    campaigns = accepted_campaigns(configuration.agent.state_dir)
    with closing(open_readers(configuration.card.readers)) as readers:
        inspection = inspect_reader(configuration, campaigns, readers, reader, datetime.now(UTC))
    head = inspection.judgement.finding.head
    if inspection.judgement.nothing_open and head is not None:
        looked_up = LookedUp(configuration.agent.state_dir)
        looked_up.add(head)
        looked_up.save()
    return inspection.document()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

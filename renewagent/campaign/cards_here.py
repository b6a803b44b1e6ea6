"""What a campaign would do to the smartcards in this computer's readers, before it is signed or published.

For commands: nobody is told, nothing is written, no passcode is needed and no RA is asked.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from renewagent.agent.full_inspection import Inspector
from renewagent.agent.workstation import card_opener, filled_readers, open_readers
from renewagent.configuration import CardSettings
from renewagent.rules import Campaign


def as_in_force(campaign: Campaign) -> Campaign:
    """The same, were it neither withdrawn, paused nor expired."""
    return replace(campaign, withdrawn=False, paused=False, expires=datetime.max.replace(tzinfo=UTC))


def judge_cards_here(campaign: Campaign, settings: CardSettings, now: datetime) -> list[dict[str, Any]]:
    """The entry of `inspect --json` for each card that is in. Raises NoReader, NoCard, PcscUnavailable."""
    inspector = Inspector(card_opener(settings), [as_in_force(campaign)], settings.signing_issuers)
    cards = []
    with closing(open_readers(settings.readers)) as readers:
        for name in filled_readers(readers, None):
            with closing(readers.connect(name)) as connection:
                cards.append(inspector.inspect(connection, now).document())
    return cards

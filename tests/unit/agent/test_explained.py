"""More words for whoever wants to know: with whatever is known, and in the order of cause and cure."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from renewagent.agent import words
from renewagent.agent.card_words import on_screen
from renewagent.agent.explained import why
from renewagent.agent.words import Message
from renewagent.campaign.document import parse_campaign
from renewagent.model import CertificateHead
from tests.unit.agent.place import campaign_json

HEAD = CertificateHead(1, (), datetime(2020, 9, 29, 8, tzinfo=UTC), datetime(2023, 9, 29, 8, tzinfo=UTC))
RULE = {"name": "autumn", "issued_from": "2020-09-28T00:00:00Z", "issued_to": "2020-10-01T00:00:00Z"}


def test_what_the_notice_is_about_and_how_this_card_comes_under_it() -> None:
    campaign = parse_campaign(campaign_json(rules=[RULE]))
    told = words.affected(campaign, "autumn", by_hand=False)
    message = why(told, campaign, "autumn", HEAD)
    assert (message.kind, message.advice, message.actions) == (told.kind, told.advice, told.actions)
    assert message.title == "Why renew this smartcard?"
    assert message.body == (
        "The notice is about certificates issued between 28 and 30 September 2020. "
        "The one on this smartcard was issued on 29 September 2020. "
        "Renewing puts a new certificate on the same smartcard. Your passcode stays as it is."
    )


def test_without_dates() -> None:
    campaign = parse_campaign(campaign_json(rules=[{"name": "all of them", "serials": ["1a"]}]))
    said = why(words.affected(campaign), campaign, "all of them", None).body
    assert said == (
        "This smartcard was issued with a fault. "
        "Renewing puts a new certificate on the same smartcard. Your passcode stays as it is."
    )


@pytest.mark.parametrize("kind", ["expired", "revoked", "unreadable", "replace-card", "see-ra"])
def test_what_others_help_with_can_be_shown_to_them(kind: str) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert on_screen(Message(kind, "Title", "Body."), None, now).actions == ("Show details",)
    assert on_screen(Message("no-certificate", "Title", "Body."), None, now).actions == ()

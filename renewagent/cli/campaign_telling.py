"""A campaign told to whoever writes, signs or verifies it, in sentences and as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from renewagent.cli.answer import say

if TYPE_CHECKING:
    from renewagent.rules import Campaign


def tell(campaign: Campaign, now: datetime) -> None:
    """What the campaign does to whom."""
    from renewagent.campaign.summary import remedy_in_words, rules_in_words

    for line in (standing(campaign, now), *rules_in_words(campaign), remedy_in_words(campaign)):
        say(line)
    say(f"What people are told: {campaign.reason['en']}")


def standing(campaign: Campaign, now: datetime) -> str:
    """Whether it is in force."""
    from renewagent.reasons import moment

    if campaign.withdrawn:
        return "It is withdrawn: it affects no certificate."
    if campaign.only_paused(now):
        return "It is paused: it affects no certificate until a later version goes on. What has begun is finished."
    if campaign.over(now):
        return f"It expired on {moment(campaign.expires)}: it affects no certificate any more."
    rules = "1 rule" if len(campaign.rules) == 1 else f"{len(campaign.rules)} rules"
    return f"It is in force until {moment(campaign.expires)}, with {rules}."


def about(campaign: Campaign) -> dict[str, object]:
    """Which one it is."""
    return {"campaign": campaign.id, "version": campaign.version}


def document_of(campaign: Campaign) -> object:
    """The document as JSON's types."""
    import json

    from renewagent.campaign.document import campaign_to_json

    return json.loads(campaign_to_json(campaign))

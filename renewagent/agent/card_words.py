"""What a person is told of a card that was checked, from the card's document as in `inspect --json`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from renewagent.agent import words
from renewagent.agent.desk_words import later
from renewagent.agent.explained import why
from renewagent.agent.put_off import FOR
from renewagent.agent.telling import Notice
from renewagent.agent.times_in_words import moment_in_words
from renewagent.agent.words import Message
from renewagent.language import _
from renewagent.model import CertificateHead, Finding, Verdict
from renewagent.rules import Campaign, Contact

_FOR_OTHERS = frozenset({"expired", "revoked", "unreadable", "replace-card", "see-ra"})
_QUIET = frozenset({"not-affected", "not-judged", "no-certificate", "waiting", "paused"})


def message_of(
    card: Mapping[str, Any],
    head: CertificateHead | None,
    campaigns: Sequence[Campaign],
    contact: Contact,
    now: datetime,
    *,
    by_hand: bool = True,
) -> Message:
    """The message for `card`; `ask_after`, `come_back` and `put_off` in it are moments as text. `by_hand`: name the
    command to type."""
    if card.get("ask_after"):
        return words.waiting(_moment(card["ask_after"]), now, contact)
    if card.get("come_back"):
        return later(_moment(card["come_back"]), now, contact)
    if error := card.get("error"):
        return words.unreadable(card["reason"], contact, str(error["code"]), str(error["advice"]))
    finding = Finding(
        Verdict(card["verdict"]), card["reason"], head, card["campaign"], card["rule"], card.get("paused")
    )
    campaign = campaign_of(card, campaigns)
    judged = bool(campaigns)
    message = words.for_finding(finding, campaign, now.astimezone(), now, contact, judged=judged, by_hand=by_hand)
    if card.get("revoked") and message.kind in ("not-affected", "paused"):
        return words.revoked(contact)
    if card.get("put_off"):
        reminded = _("You will be reminded {when}.").format(when=moment_in_words(_moment(card["put_off"]), now))
        return replace(message, advice=f"{message.advice} {reminded}".strip())
    return message


def notice_of(
    card: Mapping[str, Any],
    head: CertificateHead | None,
    campaigns: Sequence[Campaign],
    contact: Contact,
    now: datetime,
    advice: str,
) -> Notice:
    """The message for `card` on a screen; `advice` where that has no buttons."""
    campaign = campaign_of(card, campaigns)
    message = on_screen(message_of(card, head, campaigns, contact, now, by_hand=False), campaign, now)
    explained = why(message, campaign, card["rule"], head) if campaign and message.kind == "affected" else None
    return Notice(message, advice, explained)


def on_screen(message: Message, campaign: Campaign | None, now: datetime) -> Message:
    """The message with the buttons that it has on a screen: past its campaign's deadline nothing is put off. What only
    another person can help with, they can be shown."""
    if message.kind in _FOR_OTHERS:
        return replace(message, actions=(_("Show details"),))
    if message.kind != "affected" or campaign is None or campaign.deadline is None:
        return message
    if campaign.deadline <= now:
        return replace(message, actions=message.actions[:1])
    if campaign.deadline - now < FOR:
        return replace(message, actions=(*message.actions[:1], _("Remind me later")))
    return message


def campaign_of(card: Mapping[str, Any], campaigns: Sequence[Campaign]) -> Campaign | None:
    """The one that hits the card, or would."""
    named = card["campaign"] or card.get("paused")
    return next((one for one in campaigns if one.id == named), None)


def is_quiet(message: Message) -> bool:
    """It stands in `status`, and nobody is interrupted with it."""
    return message.kind in _QUIET


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()

"""What the resident agent tells the console of the cards that it checks: which check-ins a finding makes, whether there
is anything new in them, and which "check now" they answer. Only the queue is written; children deliver it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from renewagent.agent import words
from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.check_ins import PAUSED, CardState, CertificateClaim, CheckIn, card_model
from renewagent.model import Verdict
from renewagent.rules import Campaign

log = logging.getLogger(__name__)

NO_CARD = "-"
"""Stands for a card where none is inserted, or none that can be read, and in what is about no card."""
ANEW = timedelta(days=1)
"""A card that stays as it is is reported this often."""
_MOST_CARDS = 1000
_MOST_ORDERS = 100


@dataclass(frozen=True, slots=True)
class Found:
    """A card judged: its document as in `inspect --json`, the campaigns that it was judged by, whether the person has
    seen what is said of it, and whether it is a card of another kind, which is nobody's business."""

    card: Mapping[str, Any]
    campaigns: Sequence[Campaign]
    told: bool
    foreign: bool = False

    @property
    def settled(self) -> bool:
        """False where a child judged it by a campaign that has come a moment ago: it is checked again at once."""
        campaign = self.card.get("campaign")
        return not campaign or any(campaign == one.id for one in self.campaigns)


def check_ins_of(found: Found, now: datetime) -> list[CheckIn]:
    """What there is to say of it, without ids: one for the campaign that hits, or for each that does not; nothing of a
    card that cannot be read, or that is none to sign with."""
    card = found.card
    if found.foreign or card.get("card") is None or card["verdict"] not in _SAID:
        return []
    state, why, until = _state(found, now)
    labels = {campaign.id: campaign.label for campaign in found.campaigns}
    hit = labels.get(card.get("campaign") or "", "")
    judged = [campaign.label for campaign in found.campaigns if not campaign.over(now)]
    said = CheckIn(
        id="",
        at=now,
        card=card["card"],
        state=state,
        certificate=_certificate(card.get("certificate")) if state is not CardState.RENEWED else None,
        campaign=hit,
        rule=(card.get("rule") or "") if hit else "",
        model=card_model(card["card"]),
        why=why,
        until=until,
    )
    if state is CardState.CLEAR and judged:
        return [replace(said, campaign=label, why="") for label in judged]
    return [said]


_SAID = frozenset({Verdict.AFFECTED.value, Verdict.PART_WAY.value, Verdict.UNAFFECTED.value})


def _state(found: Found, now: datetime) -> tuple[CardState, str, datetime | None]:
    """The state, why, and until when."""
    card = found.card
    for name, why in (("ask_after", "RA-WAITING"), ("come_back", "RA-NOT-YET")):
        if card.get(name):
            return CardState.PUT_OFF, why, datetime.fromisoformat(card[name])
    if card["verdict"] == Verdict.PART_WAY.value:
        signed_in = card["reason"] != words.NOT_SIGNED_IN
        return (CardState.PART_WAY, "", None) if signed_in else (CardState.RENEWED, "not-signed-in", None)
    expired = (certificate := _certificate(card.get("certificate"))) is not None and certificate.not_after < now
    if card["verdict"] == Verdict.AFFECTED.value:
        state, why = _affected(found, expired=expired)
        if card.get("put_off") and state in (CardState.AFFECTED, CardState.TOLD):
            return CardState.PUT_OFF, why, datetime.fromisoformat(card["put_off"])
        return state, why, None
    if card.get("revoked"):
        return CardState.REFUSED, "revoked", None
    if expired:
        return CardState.EXPIRED, "", None
    return CardState.CLEAR, PAUSED if card.get("paused") else "", None


def _affected(found: Found, *, expired: bool) -> tuple[CardState, str]:
    campaign = next((one for one in found.campaigns if one.id == found.card.get("campaign")), None)
    if campaign is not None and campaign.remedy == "replace-card":
        return CardState.REPLACE_CARD, ""
    if found.card.get("pin_tries") == 0:
        return CardState.LOCKED, "RA-PIN-BLOCKED"
    if expired:
        return CardState.EXPIRED, ""
    why = "see-ra" if campaign is not None and campaign.remedy == "see-ra" else ""
    return (CardState.TOLD if found.told else CardState.AFFECTED), why


def _certificate(document: Mapping[str, Any] | None) -> CertificateClaim | None:
    if document is None:
        return None
    return CertificateClaim(
        issuer=document["issuer"],
        serial=document["serial"],
        not_before=datetime.fromisoformat(document["not_before"]),
        not_after=datetime.fromisoformat(document["not_after"]),
        sha256=document.get("sha256") or "",
    )


@dataclass(slots=True)
class _Order:
    """The readers whose card is still to be judged; whether any was."""

    waiting: set[str]
    answered: bool = False


class Reports:
    """The resident's side. `now` gives aware UTC. Any thread may call."""

    def __init__(self, queue: CheckInQueue, now: Callable[[], datetime]) -> None:
        self._queue = queue
        self._now = now
        self._lock = threading.Lock()
        self._said: dict[str, tuple[list[CheckIn], datetime]] = {}
        """By card: what was last said of it, and when."""
        self._in: dict[str, str] = {}
        """By reader: the card that was judged in it."""
        self._orders: dict[str, _Order] = {}
        """Those that are being answered."""
        self._taken: list[str] = []

    def found(self, reader: str, found: Found) -> bool:
        """A card was judged. True if that was the last one that somebody waits for to answer an order."""
        now = self._now()
        if not found.settled:
            return False
        made = check_ins_of(found, now)
        with self._lock:
            if made:
                self._in[reader] = made[0].card
                self._say(made, now)
            for name, order in self._orders.items():
                if reader in order.waiting:
                    order.answered = self._add([replace(one, order=name) for one in made or [_nothing(found, now)]])
            return self._settled(reader)

    def removed(self, reader: str) -> bool:
        """The card left. As `found`: whoever waits for a verdict on it waits no more."""
        with self._lock:
            self._in.pop(reader, None)
            for name, order in self._orders.items():
                if order.waiting == {reader} and not order.answered:
                    self._add([replace(_no_card(self._now()), order=name)])
            return self._settled(reader)

    def ordered(self, orders: Sequence[str], readers: Sequence[str]) -> bool:
        """ "Check now", with cards in `readers`. True if it is new; with no card at all it is answered already."""
        with self._lock:
            new = [order for order in orders if order not in self._taken]
            self._taken = [*self._taken, *new][-_MOST_ORDERS:]
            for order in new:
                log.info("order.check_now order=%s readers=%d", order, len(readers))
                if readers:
                    self._orders[order] = _Order(set(readers))
                else:
                    self._add([replace(_no_card(self._now()), order=order)])
            return bool(new)

    def forget(self) -> None:
        """A renewal has said other things meanwhile: what is found next is news."""
        with self._lock:
            self._said.clear()

    def still_there(self) -> None:
        """Cards that stay in their readers are reported anew once a day."""
        now = self._now()
        with self._lock:
            for card in set(self._in.values()):
                said, since = self._said.get(card, ([], now))
                if now - since >= ANEW:
                    self._say([replace(one, at=now) for one in said], now)

    def _say(self, made: list[CheckIn], now: datetime) -> None:
        card = made[0].card
        before, since = self._said.get(card, ([], now))
        if [replace(one, at=now) for one in before] == [replace(one, at=now) for one in made] and now - since < ANEW:
            return
        if self._add(made):
            self._said.pop(card, None)
            self._said[card] = (made, now)
            if len(self._said) > _MOST_CARDS:
                del self._said[next(iter(self._said))]

    def _add(self, made: Sequence[CheckIn]) -> bool:
        """A disk that did not take it will be asked again at the next check."""
        return all([self._queue.add(replace(one, id=os.urandom(16).hex())) for one in made])

    def _settled(self, reader: str) -> bool:
        waited = any(reader in order.waiting for order in self._orders.values())
        for order in self._orders.values():
            order.waiting.discard(reader)
        self._orders = {name: order for name, order in self._orders.items() if order.waiting}
        return waited and not self._orders


def _no_card(now: datetime) -> CheckIn:
    return CheckIn(id="", at=now, card=NO_CARD, state=CardState.CLEAR, why="no-card")


def _nothing(found: Found, now: datetime) -> CheckIn:
    """A card of which nothing can be said."""
    error = found.card.get("error")
    if found.foreign or not error:
        return _no_card(now)
    return replace(_no_card(now), why=str(error["code"]))

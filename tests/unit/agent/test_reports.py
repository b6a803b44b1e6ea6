"""What the resident tells the console: which state a finding is, nothing twice, and answers to "check now"."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent import words
from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.agent.reports import Found, Reports, check_ins_of
from renewagent.campaign.document import parse_campaign
from renewagent.check_ins import PAUSED, CardState, CertificateClaim, CheckIn
from tests.unit.agent.place import ISSUER, NOW, campaign_json

AT = NOW.replace(microsecond=0)
CAMPAIGN = parse_campaign(campaign_json())
OTHER = replace(CAMPAIGN, id="other", version=4)
CARD = "chuid:" + "a1" * 16
DOCUMENT: dict[str, Any] = {
    "reader": "R",
    "card": CARD,
    "verdict": "AFFECTED",
    "reason": "Issued in a bad week.",
    "campaign": "test-batch",
    "rule": "bad week",
    "certificate": {
        "serial": "1a2b",
        "issuer": ISSUER,
        "not_before": "2026-01-01T00:00:00Z",
        "not_after": "2099-01-01T00:00:00Z",
        "sha256": None,
    },
    "pin_tries": 3,
    "error": None,
}
CLAIM = CertificateClaim(
    issuer=ISSUER,
    serial="1a2b",
    not_before=datetime(2026, 1, 1, tzinfo=UTC),
    not_after=datetime(2099, 1, 1, tzinfo=UTC),
)
CLEAR: dict[str, Any] = {"verdict": "UNAFFECTED", "campaign": None, "rule": None}
EXPIRED: dict[str, Any] = {"certificate": {**DOCUMENT["certificate"], "not_after": "2026-01-02T00:00:00Z"}}
PART_WAY: dict[str, Any] = {"verdict": "PART_WAY", "campaign": None, "rule": None}
ORDER, SECOND = "0" * 32, "1" * 32


def found(told: bool = False, foreign: bool = False, **card: Any) -> Found:
    return Found({**DOCUMENT, **card}, [CAMPAIGN, OTHER], told, foreign)


def with_remedy(remedy: Any, **card: Any) -> Found:
    return replace(found(told=True, **card), campaigns=[replace(CAMPAIGN, remedy=remedy)])


def test_an_affected_card_is_reported_whole_and_as_told_once_somebody_has_seen_it() -> None:
    (said,) = check_ins_of(found(), AT)
    affected = CheckIn("", AT, CARD, CardState.AFFECTED, CLAIM, "test-batch/1", "bad week", "piv")
    assert said == affected
    assert check_ins_of(found(told=True), AT) == [replace(affected, state=CardState.TOLD)]


@pytest.mark.parametrize(
    ("what", "state", "why", "campaign"),
    [
        (found(told=True, pin_tries=0), CardState.LOCKED, "RA-PIN-BLOCKED", "test-batch/1"),
        (found(told=True, **EXPIRED), CardState.EXPIRED, "", "test-batch/1"),
        (with_remedy("replace-card"), CardState.REPLACE_CARD, "", "test-batch/1"),
        (with_remedy("replace-card", pin_tries=0), CardState.REPLACE_CARD, "", "test-batch/1"),
        (with_remedy("see-ra"), CardState.TOLD, "see-ra", "test-batch/1"),
        (found(**CLEAR, **EXPIRED), CardState.EXPIRED, "", ""),
        (found(**CLEAR, revoked=True), CardState.REFUSED, "revoked", ""),
        (found(**PART_WAY), CardState.PART_WAY, "", ""),
        (found(verdict="PART_WAY"), CardState.PART_WAY, "", "test-batch/1"),
        (found(**PART_WAY, reason=words.NOT_SIGNED_IN), CardState.RENEWED, "not-signed-in", ""),
    ],
)
def test_each_finding_has_its_state(what: Found, state: CardState, why: str, campaign: str) -> None:
    (said,) = check_ins_of(what, AT)
    assert (said.state, said.why, said.campaign) == (state, why, campaign)
    assert CheckIn.from_json(replace(said, id="0" * 32).to_json())


@pytest.mark.parametrize(("name", "why"), [("ask_after", "RA-WAITING"), ("come_back", "RA-NOT-YET")])
def test_who_waits_for_the_ra_is_put_off_until_then(name: str, why: str) -> None:
    (said,) = check_ins_of(found(False, False, **{name: "2026-12-01T08:00:00Z"}), AT)
    assert (said.state, said.why, said.until) == (CardState.PUT_OFF, why, datetime(2026, 12, 1, 8, tzinfo=UTC))


def test_a_card_that_a_paused_campaign_would_hit_is_clear_of_the_others_alone() -> None:
    paused = replace(found(**CLEAR, paused="test-batch"), campaigns=[replace(CAMPAIGN, paused=True), OTHER])
    assert [(one.campaign, one.why) for one in check_ins_of(paused, AT)] == [("other/4", "")]
    (said,) = check_ins_of(replace(paused, campaigns=paused.campaigns[:1]), AT)
    assert (said.campaign, said.state, said.why) == ("", CardState.CLEAR, PAUSED)


def test_a_clear_card_is_clear_of_each_campaign_in_force_and_of_nothing_where_there_is_none() -> None:
    assert [one.campaign for one in check_ins_of(found(**CLEAR), AT)] == ["test-batch/1", "other/4"]
    over = replace(found(**CLEAR), campaigns=[CAMPAIGN, replace(OTHER, withdrawn=True)])
    assert [one.campaign for one in check_ins_of(over, AT)] == ["test-batch/1"]
    (said,) = check_ins_of(replace(over, campaigns=[]), AT)
    assert (said.campaign, said.state) == ("", CardState.CLEAR)


@pytest.mark.parametrize(
    "what",
    [
        found(card=None),
        found(verdict="UNREADABLE", card=None, error={"code": "RA-CARD-DATA"}),
        found(verdict="NO_CERTIFICATE", certificate=None),
        found(foreign=True, verdict="UNREADABLE", card=None),
    ],
)
def test_of_other_peoples_cards_and_unreadable_ones_nothing_is_said(what: Found) -> None:
    assert check_ins_of(what, AT) == []


class Desk:
    def __init__(self, folder: Path) -> None:
        self.now = AT
        self.folder = folder
        self.reports = Reports(CheckInQueue(folder), lambda: self.now)

    def found(self, reader: str = "R", **card: Any) -> bool:
        return self.reports.found(reader, found(**card))

    def said(self) -> list[tuple[str, str, str]]:
        """What was queued since the last look: state, order, why."""
        queue = CheckInQueue(self.folder)
        taken = queue.first(1000)
        assert len({one.id for one in taken}) == len(taken)
        queue.remove({one.id for one in taken})
        return [(one.state.value, one.order[:1], one.why) for one in taken]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_has_not_changed_is_not_said_again_for_a_day(desk: Desk) -> None:
    for _ in range(3):
        assert not desk.found(told=True)
        desk.now += timedelta(hours=1)
    assert desk.said() == [("told", "", "")]
    desk.found(told=True, pin_tries=0)
    desk.found(told=True)
    assert desk.said() == [("locked", "", "RA-PIN-BLOCKED"), ("told", "", "")]
    desk.now += timedelta(hours=24)
    desk.found(told=True)
    assert desk.said() == [("told", "", "")]


def test_after_a_renewal_everything_is_news(desk: Desk) -> None:
    desk.found()
    desk.reports.forget()
    desk.found()
    assert desk.said() == [("affected", "", "")] * 2


def test_a_card_that_stays_in_its_reader_is_reported_once_a_day(desk: Desk) -> None:
    desk.found()
    desk.found("Other", card="chuid:" + "b2" * 16)
    desk.reports.removed("Other")
    desk.said()
    for _ in range(49):
        desk.now += timedelta(hours=1)
        desk.reports.still_there()
    assert desk.said() == [("affected", "", "")] * 2


def test_a_campaign_that_has_come_a_moment_ago_is_waited_for(desk: Desk) -> None:
    desk.reports.ordered([ORDER], ["R"])
    assert not desk.found(campaign="brand-new")
    assert desk.said() == []
    assert desk.found()
    assert desk.said() == [("affected", "", ""), ("affected", "0", "")]


def test_what_the_disk_did_not_take_is_said_at_the_next_check(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(CheckInQueue, "add", lambda *_: False)
        desk.found()
    desk.found()
    assert desk.said() == [("affected", "", "")]


def test_check_now_is_answered_by_every_card_that_is_in_and_once(desk: Desk) -> None:
    desk.found("A")
    desk.said()
    assert desk.reports.ordered([ORDER], ["A", "B"])
    assert not desk.reports.ordered([ORDER], ["A", "B"])
    assert not desk.found("A")
    assert desk.said() == [("affected", "0", "")]
    assert desk.found("B", card="chuid:" + "b2" * 16)  # the last one: whoever asked waits for it
    assert desk.said() == [("affected", "", ""), ("affected", "0", "")]
    assert not desk.found("A")
    assert desk.said() == []


def test_check_now_without_a_card_is_answered_too(desk: Desk) -> None:
    assert desk.reports.ordered([ORDER, SECOND], [])
    assert desk.said() == [("clear", "0", "no-card"), ("clear", "1", "no-card")]


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ({"verdict": "UNREADABLE", "card": None, "error": {"code": "RA-CARD-DATA"}}, "RA-CARD-DATA"),
        ({"verdict": "NO_CERTIFICATE", "certificate": None}, "no-card"),
        ({"verdict": "UNREADABLE", "card": None, "foreign": True, "error": {"code": "RA-CARD-UNSUPPORTED"}}, "no-card"),
    ],
)
def test_check_now_hears_of_a_card_that_cannot_be_judged(desk: Desk, card: dict[str, Any], why: str) -> None:
    desk.reports.ordered([ORDER], ["A"])
    assert desk.found("A", **card)
    assert desk.said() == [("clear", "0", why)]


def test_a_card_that_is_pulled_out_before_its_verdict_is_no_card(desk: Desk) -> None:
    desk.reports.ordered([ORDER], ["A", "B"])
    assert not desk.reports.removed("A")
    assert desk.reports.removed("B")
    assert desk.said() == [("clear", "0", "no-card")]
    desk.reports.ordered([SECOND], ["A", "B"])
    desk.found("A")
    desk.said()
    assert desk.reports.removed("B")
    assert desk.said() == []  # it is answered, by the card in A


def test_several_orders_are_each_answered(desk: Desk) -> None:
    desk.reports.ordered([ORDER, SECOND], ["A"])
    assert desk.found("A", **CLEAR)
    assert [order for _, order, _ in desk.said()] == ["", "", "0", "0", "1", "1"]

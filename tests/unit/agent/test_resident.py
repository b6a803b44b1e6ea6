"""The resident agent without its process: what it does with events, with children that fail, and with renewals."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent import resident as module
from renewagent.agent import words
from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.agent.poll_schedule import PollSchedule
from renewagent.agent.prompts import serve_channel
from renewagent.agent.remembered import CAMPAIGNS, LookedUp, accepted_campaigns
from renewagent.agent.resident import Resident
from renewagent.agent.resident_settings import ResidentSettings
from renewagent.agent.telling import Heard, Notice
from renewagent.agent.watcher import PcscDown, PcscUp, Tick, Watcher
from renewagent.agent.words import Message
from renewagent.check_ins import CardState
from renewagent.errors import AgentError
from renewagent.model import CertificateHead
from renewagent.names import parse_name
from renewagent_drivers import open_card
from renewagent_fixtures.person import ScriptedPerson
from renewagent_fixtures.readers import VirtualReaders
from tests.pcsc import until
from tests.unit.agent.place import ISSUER, NOW, Ca, campaign_json, days_ago

CA = Ca()
READER = "Virtual Reader 1"


class Bench:
    """A resident over virtual readers; `children` answers for the short-lived ones."""

    def __init__(self, folder: Path, readers: VirtualReaders, **settings: Any) -> None:
        self.readers = readers
        self.told: list[Message] = []
        self.heard: dict[str, Callable[[Heard], None]] = {}
        self.seen = Heard.SHOWN
        self.windows: list[str] = []
        self.unseen: Message | None = None
        self.pings = 0
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.answers: queue.Queue[dict[str, Any] | AgentError] = queue.Queue()
        issuers = (parse_name(ISSUER),)
        self.settings = ResidentSettings(folder, signing_issuers=issuers, **settings)
        self.watcher = Watcher(lambda: readers, lambda: 60, lambda: 1.0)
        schedule = PollSchedule(self.settings.interval, 0.0, lambda: 0.5, time.monotonic)
        self.resident = Resident(
            self.settings,
            self.watcher,
            open_card,
            screen=self,
            renew_now=self.renew_now,
            ping=self.ping,
            now=lambda: NOW,
            schedule=schedule,
        )
        self.thread = threading.Thread(target=self.watcher.run, args=(self.resident.handle,))

    def ping(self) -> None:
        self.pings += 1

    def show(self, reader: str, notice: Notice, heard: Callable[[Heard], None]) -> None:
        self.told.append(notice.message)
        self.heard[reader] = heard
        heard(self.seen)

    def withdraw(self, reader: str) -> None:
        self.heard.pop(reader, None)

    def renew_now(self, reader: str) -> Message | None:
        self.windows.append(reader)
        return self.unseen

    def child(self, name: str, options: Sequence[str], limit: float = 0) -> dict[str, Any]:
        self.asked.append((name, tuple(options)))
        answer = self.answers.get(timeout=5)
        if isinstance(answer, AgentError):
            raise answer
        return answer

    def start(self) -> None:
        self.resident.start()
        self.thread.start()

    @property
    def card(self) -> Any:
        return self.resident.status.of(READER).card

    @property
    def message(self) -> str:
        said = self.resident.status.of(READER).message
        return said.text if said is not None else ""

    def verdict(self) -> str | None:
        return self.card["verdict"] if self.card else None


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path, virtual_readers: VirtualReaders, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeBench]:
    made: list[Bench] = []

    def make(*campaigns: bytes, **settings: Any) -> Bench:
        (tmp_path / CAMPAIGNS).mkdir(exist_ok=True)
        for number, document in enumerate(campaigns):
            (tmp_path / CAMPAIGNS / f"{number}.json").write_bytes(document)
        made.append(Bench(tmp_path, virtual_readers, **settings))
        monkeypatch.setattr(module, "ask_child", made[-1].child)
        return made[-1]

    yield make
    for one in made:
        if one.thread.ident is not None:
            one.watcher.stop()
            one.thread.join(5)


def test_where_cards_were_renewed_a_child_looks_for_old_keys_that_are_due(bench: MakeBench, tmp_path: Path) -> None:
    it = bench(campaign_json())
    (tmp_path / "journal.db").touch()
    tomorrow = NOW + timedelta(days=1)
    for said in (AgentError("Not now."), {"tidied": ["82"], "next": tomorrow.isoformat()}):
        it.answers.put(said)
    it.start()
    for _ in range(3):  # the third is before anything else is due
        it.readers.insert(READER, CA.card(days_ago(400)))
        until(it.verdict)
        it.readers.remove(READER)
        until(lambda: not it.resident.status.of(READER).present)
    assert it.asked == [(module.HOUSEKEEPING, ("--reader", READER))] * 2


def affected_card_document(**more: object) -> dict[str, Any]:
    return {
        "reader": READER,
        "card": "chuid:aa4821",
        "verdict": "AFFECTED",
        "reason": "It was.",
        "campaign": "test-batch",
        "rule": "bad week",
        **more,
    }


def test_a_clear_card_is_settled_here_and_nobody_is_told(bench: MakeBench) -> None:
    it = bench(campaign_json())
    it.readers.insert(READER, CA.card(days_ago(400)))
    it.start()
    until(it.verdict)
    assert it.verdict() == "UNAFFECTED"
    assert it.asked == [] and it.told == []
    message = it.resident.status.of(READER).message
    assert message is not None and message.title == "This smartcard is OK"


def test_an_affected_card_is_settled_by_a_child_and_the_person_is_told(bench: MakeBench) -> None:
    it = bench(campaign_json(), child_options=("--config", "f"))
    it.answers.put(affected_card_document())
    it.readers.insert(READER, CA.card(days_ago(7)))
    it.start()
    until(it.verdict)
    assert it.asked == [(module.FULL_INSPECTION, ("--config", "f", "--reader", READER))]
    assert [message.kind for message in it.told] == ["affected"]
    assert "0300 303 5035" in it.told[0].text


def test_a_child_that_fails_leaves_a_finding_not_a_silence(bench: MakeBench) -> None:
    it = bench(campaign_json())
    it.answers.put(AgentError("A part of renewagent did not end in time."))
    it.readers.insert(READER, CA.card(days_ago(7)))
    it.start()
    until(it.verdict)
    assert (it.card["verdict"], it.card["reason"]) == ("UNREADABLE", "A part of renewagent did not end in time.")


def test_the_ra_is_asked_once_for_a_new_certificate(bench: MakeBench) -> None:
    it = bench(campaign_json(), ask_ra=True)
    card = CA.card(days_ago(400))
    clear = affected_card_document(verdict="UNAFFECTED", campaign=None, rule=None, nothing_open=True)
    it.answers.put(clear)
    it.readers.insert(READER, card)
    it.start()
    until(it.verdict)
    it.readers.remove(READER)
    until(lambda: it.card is None)
    it.readers.insert(READER, card)
    until(it.verdict)
    assert len(it.asked) == 1


def test_a_half_finished_strangers_card_is_asked_about_again_and_again(bench: MakeBench) -> None:
    it = bench(campaign_json(), ask_ra=True)
    card = CA.card(days_ago(400))
    part_way = affected_card_document(verdict="PART_WAY", campaign=None, rule=None, nothing_open=False)
    for _ in range(2):
        it.answers.put(part_way)
    it.readers.insert(READER, card)
    it.start()
    until(it.verdict)
    it.readers.remove(READER)
    until(lambda: it.card is None)
    it.readers.insert(READER, card)
    until(it.verdict)
    assert [message.kind for message in it.told] == ["part-way", "part-way"]


def queued(folder: Path) -> list[tuple[CardState, datetime | None]]:
    return [(one.state, one.until) for one in CheckInQueue(folder).first(9)]


def test_remind_me_in_an_hour(bench: MakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = bench(campaign_json(), console=True)
    card = CA.card(days_ago(7))
    for _ in range(9):  # polls take some
        it.answers.put(affected_card_document())
    it.readers.insert(READER, card)
    it.start()
    until(lambda: READER in it.heard)
    assert it.told[0].actions == ("Renew now", "Remind me in 1 hour")
    assert "renewagent renew" not in it.told[0].text

    it.heard[READER](Heard.LATER)
    until(lambda: "You will be reminded" in it.message)
    assert "Run: renewagent renew." in it.message
    it.readers.remove(READER)
    until(lambda: it.card is None)
    it.readers.insert(READER, card)
    until(it.verdict)
    assert len(it.told) == 1
    over = NOW + timedelta(hours=1)
    until(lambda: queued(tmp_path) == [(CardState.TOLD, None), (CardState.PUT_OFF, over)])

    monkeypatch.setattr(it.resident, "_now", lambda: over)
    it.resident.handle(Tick())
    until(lambda: len(it.told) == 2)
    assert "You will be reminded" not in it.message
    it.readers.remove(READER)
    until(lambda: not it.heard)


def test_renew_now_and_a_window_that_cannot_be_shown(bench: MakeBench) -> None:
    it = bench(campaign_json())
    it.answers.put(affected_card_document())
    it.readers.insert(READER, CA.card(days_ago(7)))
    it.start()
    until(lambda: READER in it.heard)
    it.unseen = Message("no-window", "Your smartcard was not renewed", "There is no screen.")
    it.heard[READER](Heard.RENEW)
    assert it.windows == [READER]
    assert [message.kind for message in it.told] == ["affected", "no-window"]


def test_what_nobody_could_see_is_reported_as_such_and_shown_at_the_next_tick(bench: MakeBench, tmp_path: Path) -> None:
    it = bench(campaign_json(), console=True)
    for _ in range(9):  # polls take some
        it.answers.put(affected_card_document())
    it.seen = Heard.NOT_SHOWN
    it.readers.insert(READER, CA.card(days_ago(7)))
    it.start()
    until(lambda: queued(tmp_path) == [(CardState.AFFECTED, None)])
    it.seen = Heard.SHOWN
    it.resident.handle(Tick())
    until(lambda: queued(tmp_path)[-1] == (CardState.TOLD, None))


@pytest.mark.parametrize(("left", "actions"), [(7200, 2), (60, 2), (-60, 1)])
def test_past_the_deadline_there_is_no_later(bench: MakeBench, left: int, actions: int) -> None:
    deadline = NOW + timedelta(seconds=left)
    it = bench(campaign_json(deadline=f"{deadline:%Y-%m-%dT%H:%M:%SZ}"))
    it.answers.put(affected_card_document())
    it.readers.insert(READER, CA.card(days_ago(7)))
    it.start()
    until(lambda: it.told)
    assert it.told[0].actions == ("Renew now", "Remind me in 1 hour" if left > 3600 else "Remind me later")[:actions]


def test_an_ra_that_is_down_does_not_change_what_the_heads_said(bench: MakeBench) -> None:
    it = bench(campaign_json(), ask_ra=True)
    it.answers.put(AgentError("A part of renewagent did not end in time."))
    it.readers.insert(READER, CA.card(days_ago(400)))
    it.start()
    until(it.verdict)
    assert it.verdict() == "UNAFFECTED"
    assert it.card["note"] == "A part of renewagent did not end in time."


def test_a_card_that_a_paused_campaign_would_hit_is_not_called_ok_and_nobody_is_told(bench: MakeBench) -> None:
    it = bench(campaign_json(paused=True))
    it.readers.insert(READER, CA.card(days_ago(7)))
    it.start()
    until(it.verdict)
    assert (it.verdict(), it.card["paused"]) == ("UNAFFECTED", "test-batch")
    assert it.asked == [] and it.told == []
    message = it.resident.status.of(READER).message
    assert message is not None and message.kind == "paused"
    assert "0300 303 5035" in message.text
    assert it.resident.status.document(1)["campaigns"]["accepted"][0]["paused"] is True


def test_a_revoked_certificate_is_not_called_ok(bench: MakeBench) -> None:
    it = bench(campaign_json(), ask_ra=True)
    it.answers.put(affected_card_document(verdict="UNAFFECTED", campaign=None, rule=None, revoked=True))
    it.readers.insert(READER, CA.card(days_ago(400)))
    it.start()
    until(it.verdict)
    assert [message.kind for message in it.told] == ["revoked"]


def test_a_card_kept_by_another_program_is_busy_and_looked_at_again(
    bench: MakeBench, virtual_readers: VirtualReaders
) -> None:
    it = bench(campaign_json(), card_limit=0.1)
    virtual_readers.insert(READER, CA.card(days_ago(400)))
    other = virtual_readers.connect(READER)
    with other.transaction():
        it.start()
        until(lambda: it.verdict() == "UNREADABLE")
        assert it.card["reason"] == "Another program is using the smartcard."
    until(lambda: it.verdict() == "UNAFFECTED")
    it.resident.handle(Tick())
    until(lambda: it.verdict() == "UNAFFECTED")


def test_pcsc_down_and_up_are_told_once_and_seen_in_status(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renewagent.agent.watcher.FIRST_PAUSE", 0.02)
    it = bench()
    it.start()
    until(lambda: it.resident.status.document(1)["pcsc"]["ok"])
    it.readers.stop_service()
    until(lambda: it.told)
    assert it.resident.status.document(1)["pcsc"] == {"ok": False, "problem": "The smartcard service has stopped."}
    it.readers.start_service()
    until(lambda: it.resident.status.document(1)["pcsc"]["ok"])
    assert [message.kind for message in it.told] == ["service-down", "service-up"]


def test_every_event_feeds_the_watchdog(bench: MakeBench) -> None:
    it = bench()
    for event in (Tick(), PcscDown("x"), PcscUp()):
        it.resident.handle(event)
    assert it.pings == 3


def test_campaigns_are_polled_once_per_interval_however_often_it_ticks(bench: MakeBench) -> None:
    it = bench(fetch_campaigns=True, interval=3600.0)
    for _ in range(5):
        it.answers.put({"ok": True, "problem": None})
    it.resident.start()
    for _ in range(5):
        it.resident.handle(Tick())
    until(lambda: it.resident.status.document(1)["campaigns"]["checked"])
    assert [name for name, _ in it.asked] == [module.POLL]


def test_a_campaign_problem_is_kept_for_status_and_the_last_good_one_serves(bench: MakeBench) -> None:
    it = bench(campaign_json(), fetch_campaigns=True)
    it.answers.put(AgentError("A part of renewagent ended without a result."))
    it.resident.start()
    until(lambda: it.resident.status.document(1)["campaigns"]["problem"])
    assert [campaign.id for campaign in it.resident.status.campaigns] == ["test-batch"]


@pytest.fixture
def echo_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORKER", "tests.unit.agent.echo_worker")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


def test_a_renewal_gets_its_channel_and_the_agent_stays_out_of_it(bench: MakeBench, echo_worker: None) -> None:
    it = bench(child_options=("--config", "theirs"))
    person = ScriptedPerson(pins=["24680135"])
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            answer = it.resident.answer({"ask": "renew", "reader": READER}, theirs.fileno())
        assert answer["ok"] and isinstance(answer["pid"], int)
        with pytest.raises(AgentError, match="already running"):
            it.resident.answer({"ask": "renew", "reader": None}, 0)
        assert it.resident.status.of(READER).renewing
        result = serve_channel(ours, person)
    assert result is not None and result["octets"] == 8
    assert result["words"][2:] == ["--config", "theirs", "--reader", READER]
    assert person.kinds == ["before", "pin"]
    until(lambda: not it.resident.status.of(READER).renewing)


def test_options_of_the_command_stand_instead_of_the_agents(bench: MakeBench, echo_worker: None) -> None:
    it = bench(child_options=("--config", "theirs"))
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            it.resident.answer({"ask": "renew", "reader": None, "options": ["--ra", "u"]}, theirs.fileno())
        result = serve_channel(ours, ScriptedPerson())
    assert result is not None and result["words"][2:] == ["--ra", "u"]
    until(lambda: not it.resident._renewing)


def test_a_card_is_left_alone_while_it_is_renewed_and_checked_afterwards(bench: MakeBench, echo_worker: None) -> None:
    it = bench(campaign_json())
    it.start()
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            it.resident.answer({"ask": "renew", "reader": READER}, theirs.fileno())
        card = CA.card(days_ago(400))
        it.readers.insert(READER, card)
        until(lambda: it.resident.status.of(READER).present)
        assert card.apdus == 0
        serve_channel(ours, ScriptedPerson())
    until(it.verdict)
    assert it.verdict() == "UNAFFECTED"


def test_a_renewal_that_ends_with_the_card_out_is_over_and_the_card_is_checked_again(
    bench: MakeBench, echo_worker: None
) -> None:
    it = bench(campaign_json())
    card = CA.card(days_ago(400))
    it.readers.insert(READER, card)
    it.start()
    until(it.verdict)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            it.resident.answer({"ask": "renew", "reader": None}, theirs.fileno())
        assert it.resident.status.of(READER).renewing
        it.readers.remove(READER)
        until(lambda: not it.resident.status.of(READER).present)
    until(lambda: not it.resident._renewing)  # the person left
    until(lambda: not it.resident.status.of(READER).renewing)
    it.readers.insert(READER, card)
    until(it.verdict)
    assert it.told == []


def test_after_a_finished_renewal_the_person_hears_once_that_the_card_is_good(
    bench: MakeBench, echo_worker: None
) -> None:
    it = bench(campaign_json())
    it.readers.insert(READER, CA.card(days_ago(400)))
    it.start()
    until(it.verdict)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            it.resident.answer({"ask": "renew", "reader": READER}, theirs.fileno())
        serve_channel(ours, ScriptedPerson())
    until(lambda: it.told)
    it.resident._begin(READER)
    until(lambda: not it.resident.status.of(READER).checking)
    assert [message.title for message in it.told] == ["This smartcard is OK"]


@pytest.mark.parametrize("request_", [{}, {"ask": "dance"}, {"ask": "renew"}, {"ask": "renew", "reader": 7}])
def test_what_is_not_understood_is_refused(bench: MakeBench, request_: dict[str, Any]) -> None:
    with pytest.raises(AgentError, match="did not understand"):
        bench().resident.answer(request_, None)


def test_damaged_campaigns_are_left_out_and_the_newest_version_counts(tmp_path: Path) -> None:
    (tmp_path / CAMPAIGNS).mkdir()
    for number, text in enumerate((b"{", campaign_json(version=2), campaign_json(version=1))):
        (tmp_path / CAMPAIGNS / f"{number}.json").write_bytes(text)
    assert [campaign.version for campaign in accepted_campaigns(tmp_path)] == [2]


def test_what_was_looked_up_is_remembered(tmp_path: Path) -> None:
    head = CertificateHead(7, parse_name(ISSUER), NOW, NOW)
    seen = LookedUp(tmp_path)
    assert not seen.holds(head)
    seen.add(head)
    seen.save()
    assert LookedUp(tmp_path).holds(head)
    assert not LookedUp(tmp_path).holds(replace(head, serial=8))
    (tmp_path / "looked-up.json").write_bytes(b"nonsense")
    assert not LookedUp(tmp_path).holds(head)


def test_a_card_whose_request_is_looked_at_is_checked_again_when_the_ra_said(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = bench(campaign_json(), ask_ra=True)
    until_then = NOW + timedelta(hours=2)
    looked_at = affected_card_document(
        verdict="PART_WAY", reason=words.RA_LOOKS_AT_IT, ask_after=until_then.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    ready = affected_card_document(verdict="PART_WAY", reason=words.RA_IS_READY, ask_after=None)
    for answer in (looked_at, ready):
        it.answers.put(answer)
    it.start()
    it.readers.insert(READER, CA.card(days_ago(7)))
    until(it.verdict)
    message = it.resident.status.of(READER).message
    assert message is not None and "We ask again after" in message.body
    for late, asked in ((timedelta(hours=1), 1), (timedelta(hours=2), 2), (timedelta(hours=3), 2)):
        monkeypatch.setattr(it.resident, "_now", lambda: NOW + late)  # noqa: B023
        it.resident.handle(Tick())
        until(lambda: len(it.asked) == asked and not it.resident.status.of(READER).checking)  # noqa: B023
    assert [told.kind for told in it.told] == ["ra-ready"]

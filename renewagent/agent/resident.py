"""The resident agent: watches, reads heads, tells the person, and starts children for everything else.

It holds no PIN, no key and no connection to anybody. The main thread is the watcher's and wakes up once per poll;
a second thread waits at the control socket; a reader's thread lives while its card is being checked.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from renewagent.agent import words
from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.agent.children import ask_child, start_child, start_listener
from renewagent.agent.desk_words import later
from renewagent.agent.head_check import HeadCheck, head_card_document
from renewagent.agent.inspector import CountingConnection, HeadResult, inspect_head, unreadable
from renewagent.agent.listening import Listening
from renewagent.agent.poll_schedule import PollSchedule
from renewagent.agent.polling import Polling
from renewagent.agent.reader_worker import ReaderWorker
from renewagent.agent.remembered import LookedUp, accepted_campaigns, enrolled_before, polled_before
from renewagent.agent.reports import Found, Reports
from renewagent.agent.status import Status
from renewagent.agent.turns import come_back, kept_here
from renewagent.agent.watcher import (
    CardInserted,
    CardRemoved,
    PcscDown,
    PcscUp,
    ReadersChanged,
    Watcher,
    WatchEvent,
)
from renewagent.agent.words import Message
from renewagent.card.interface import CardConnection, CardDriver
from renewagent.errors import AgentError, CardBusy, CardDataError, RenewAgentError, UnsupportedCard
from renewagent.errors import CardRemoved as CardGone
from renewagent.model import Finding, Verdict
from renewagent.names import Name
from renewagent.rules import Contact

log = logging.getLogger(__name__)

FULL_INSPECTION = "renewagent.agent.inspection_child"
POLL = "renewagent.agent.console_child"
LOOK_AGAIN = "renewagent.agent.look_again"
HOUSEKEEPING = "renewagent.agent.housekeeping_child"
WORKER = "renewagent.agent.worker"
_QUIET = frozenset({"not-affected", "not-judged", "no-certificate", "waiting", "paused"})


@dataclass(frozen=True, slots=True)
class ResidentSettings:
    """What the resident needs of the configuration. `child_options` go to every child; times in seconds, `interval`
    that between two polls. `vendor_cards`: a PKCS#11 module may know a card that we do not. `console`: there is one to
    report to; `stream`: it says when to look again. `phase`: see `PollSchedule`."""

    state_folder: Path
    signing_issuers: tuple[Name, ...] = ()
    contact: Contact = field(default_factory=Contact)
    ask_ra: bool = False
    vendor_cards: bool = False
    fetch_campaigns: bool = False
    console: bool = False
    stream: bool = False
    phase: float = 0.0
    child_options: tuple[str, ...] = ()
    interval: float = 300.0
    card_limit: float = 10.0


class Resident:
    """The agent without its process: events in by `handle`, requests in by `answer`.

    `tell` shows a message to the person, and is true where somebody can see it; `ping` feeds a watchdog; `now` gives
    aware UTC; `open_card` a driver; `schedule` says when to poll.
    """

    def __init__(
        self,
        settings: ResidentSettings,
        watcher: Watcher,
        open_card: Callable[[CardConnection], CardDriver],
        *,
        tell: Callable[[Message], object],
        ping: Callable[[], None],
        now: Callable[[], datetime],
        schedule: PollSchedule,
    ) -> None:
        self._settings = settings
        self._watcher = watcher
        self._open_card = open_card
        self._tell = tell
        self._ping = ping
        self._now = now
        self.status = Status(now())
        self._workers: dict[str, ReaderWorker[HeadCheck]] = {}
        self._looked_up = LookedUp(settings.state_folder)
        self._again: set[str] = set()
        self._ask_after: dict[str, datetime] = {}
        self._renewing: set[str | None] = set()
        self._renewed: set[str] = set()
        self._lock = threading.Lock()
        self._schedule = schedule
        self._polling = Polling(schedule, lambda: ask_child(POLL, settings.child_options), self._polled)
        self._listening = Listening(lambda: start_listener(LOOK_AGAIN, settings.child_options), self._polling.begin)
        self._reports = Reports(CheckInQueue(settings.state_folder), now) if settings.console else None
        self._tidy_from: datetime | None = now()
        """When an old key is due to be taken off some card; None for never. At first nobody knows."""

    def start(self) -> None:
        """Take in the campaigns that were accepted earlier, and ask for news."""
        self.status.campaigns_are(accepted_campaigns(self._settings.state_folder), None, None)
        self._schedule.begin(at_once=not polled_before(self._settings.state_folder))
        self._poll_if_due()

    # --- events from the watcher --------------------------------------------------------------------------------------

    def handle(self, event: WatchEvent) -> None:
        """Take one event; returns at once."""
        self._ping()
        match event:
            case CardInserted(reader):
                log.info("card.inserted reader=%s", reader)
                self.status.change(reader, present=True, card=None, message=None, checked=None)
                self._begin(reader)
            case CardRemoved(reader):
                log.info("card.removed reader=%s", reader)
                self._worker(reader).drop()
                self._report(lambda reports: reports.removed(reader))
                self.status.change(reader, present=False, checking=False, card=None, message=None, checked=None)
            case ReadersChanged(readers):
                self.status.readers_are(readers)
            case PcscDown(reason):
                self.status.pcsc_is(reason)
                self._tell(words.service_down())
            case PcscUp():
                self._tell(words.service_up())
            case _:
                self._tick()
        if self._watcher.health is None:
            self.status.pcsc_is(None)

    def _tick(self) -> None:
        with self._lock:
            now = self._now()
            due = {reader for reader, at in self._ask_after.items() if at <= now}
            again, self._again = self._again | due, set()
            for reader in due:  # once: beginning anew would put off one that is under way
                del self._ask_after[reader]
        for reader in again & set(self.status.present()):
            self._begin(reader)
        if self._reports is not None:
            self._reports.still_there()
        self._poll_if_due()

    def _worker(self, reader: str) -> ReaderWorker[HeadCheck]:
        with self._lock:
            if reader not in self._workers:
                self._workers[reader] = ReaderWorker(
                    lambda: self._check(reader),
                    lambda outcome, current: self._checked(reader, outcome, current),
                    self._settings.card_limit,
                )
            return self._workers[reader]

    def _begin(self, reader: str) -> None:
        with self._lock:
            if self._renewing & {reader, None}:
                return  # the worker has the card; it is checked again afterwards
        self.status.change(reader, checking=True)
        self._worker(reader).begin()

    # --- one check, in the reader's thread ----------------------------------------------------------------------------

    def _check(self, reader: str) -> HeadCheck:
        connection = CountingConnection(self._watcher.connect(reader))
        try:
            driver = self._open_card(connection)
            result = inspect_head(driver, self.status.campaigns, self._settings.signing_issuers, self._now())
            identity = self._which(driver, result)
            return HeadCheck(result, connection.apdus, connection.octets, identity)
        finally:
            connection.close()

    def _which(self, driver: CardDriver, result: HeadResult) -> str | None:
        """Asked for where heads settle it and somebody is to hear of it; the whole inspection finds out by itself."""
        if self._reports is not None and result.finding is not None and result.head is not None:
            with suppress(RenewAgentError):
                return str(driver.identity())
        return None

    def _checked(self, reader: str, outcome: HeadCheck | RenewAgentError, current: Callable[[], bool]) -> None:
        if isinstance(outcome, CardGone):
            return
        check = outcome if isinstance(outcome, HeadCheck) else HeadCheck(unreadable(outcome), 0, 0)
        card = head_card_document(reader, check)
        if self._wants_more(check.result):
            card = self._inspect_in_full(reader, card)
        if not current():
            return
        if isinstance(check.result.error, CardBusy):
            with self._lock:
                self._again.add(reader)
        self._found(reader, card, check)
        if card["verdict"] == Verdict.UNAFFECTED.value and self._tidy_from is not None:
            self._tidy(reader, self._tidy_from)

    def _tidy(self, reader: str, due: datetime) -> None:
        """An old key whose time is over goes when its card comes in and nothing else is to be done with it."""
        if self._now() < due or not (self._settings.state_folder / "journal.db").exists():
            return
        try:
            said = ask_child(HOUSEKEEPING, [*self._settings.child_options, "--reader", reader])
        except AgentError as error:
            log.warning("card.not_tidied reader=%s reason=%s", reader, error.message)
            return
        self._tidy_from = datetime.fromisoformat(said["next"]) if said["next"] else None
        if said["tidied"]:
            log.info("card.tidied reader=%s slots=%s", reader, " ".join(said["tidied"]))

    def _wants_more(self, result: HeadResult) -> bool:
        """A whole certificate is needed, the RA was never asked about this one, or what is missing may be due."""
        if result.finding is None:
            return True
        if isinstance(result.error, UnsupportedCard):
            return self._settings.vendor_cards  # somebody else's module is never loaded here
        if result.head is None:
            missing = result.finding.verdict is Verdict.NO_CERTIFICATE or isinstance(result.error, CardDataError)
            return self._settings.ask_ra and missing
        return self._settings.ask_ra and not self._looked_up.holds(result.head)

    def _inspect_in_full(self, reader: str, card: dict[str, Any]) -> dict[str, Any]:
        options = [*self._settings.child_options, "--reader", reader]
        try:
            return ask_child(FULL_INSPECTION, options)
        except AgentError as error:
            log.warning("inspection.failed reader=%s reason=%s", reader, error.message)
            if card["verdict"] is not None:
                return {**card, "note": error.message}
            return {**card, "verdict": Verdict.UNREADABLE.value, "reason": error.message}

    def _found(self, reader: str, card: dict[str, Any], check: HeadCheck) -> None:
        now = self._now()
        with self._lock:
            self._ask_after.pop(reader, None)
            if card.get("ask_after"):
                self._ask_after[reader] = datetime.fromisoformat(card["ask_after"])
        head = check.result.head
        if card.get("nothing_open") and head is not None:
            self._looked_up.add(head)
        named = card["campaign"] or card.get("paused")
        campaign = next((c for c in self.status.campaigns if c.id == named), None)
        finding = Finding(
            Verdict(card["verdict"]), card["reason"], head, card["campaign"], card["rule"], card.get("paused")
        )
        message = words.for_finding(
            finding, campaign, now.astimezone(), now, self._settings.contact, judged=bool(self.status.campaigns)
        )
        if error := card.get("error"):
            message = words.unreadable(card["reason"], self._settings.contact, str(error["code"]), str(error["advice"]))
        if card.get("revoked") and message.kind in ("not-affected", "paused"):
            message = words.revoked(self._settings.contact)
        if reader in self._ask_after:
            message = words.waiting(self._ask_after[reader].astimezone(), now, self._settings.contact)
        affected = card["verdict"] == Verdict.AFFECTED.value  # else the journal stays shut, and SQLite out
        turn = kept_here(self._settings.state_folder, card.get("certificate"), now) if affected else None
        if turn is not None:
            message, card = later(turn.astimezone(), now, self._settings.contact), {**card, **come_back(turn)}
            with self._lock:
                self._ask_after[reader] = turn
        log.info("card.judged reader=%s verdict=%s campaign=%s", reader, card["verdict"], card["campaign"])
        self.status.change(reader, checking=False, card=card, message=message, checked=now)
        # Other people's cards (a bank's, a door's) are nobody's business: they stand in `status` only.
        foreign = isinstance(check.result.error, UnsupportedCard) and finding.verdict is Verdict.UNREADABLE
        seen = (message.kind not in _QUIET or self._just_renewed(reader, message)) and not foreign
        found = Found(card, self.status.campaigns, told=seen and bool(self._tell(message)), foreign=foreign)
        self._report(lambda reports: reports.found(reader, found))

    def _report(self, news: Callable[[Reports], bool]) -> None:
        """For the console, if there is one; whoever has ordered a check waits for the answer."""
        if self._reports is not None and news(self._reports):
            self._polling.begin()

    def _just_renewed(self, reader: str, message: Message) -> bool:
        """Whoever has renewed a card hears once that it is good now."""
        with self._lock:
            renewed = reader in self._renewed
            self._renewed.discard(reader)
        return renewed and message.kind == "not-affected"

    # --- polls --------------------------------------------------------------------------------------------------------

    def _poll_if_due(self) -> None:
        """Ticks come more often for a watchdog, and while PC/SC is down."""
        if self._settings.fetch_campaigns or self._settings.console:
            self._polling.tick()
        else:
            self._schedule.due()  # there is nobody to ask

    def _polled(self, document: dict[str, Any]) -> None:
        problem = document.get("problem")
        if problem is not None:
            log.warning("campaigns.problem reason=%s", problem)
        before = self.status.campaigns
        after = tuple(accepted_campaigns(self._settings.state_folder))
        if self._settings.stream and enrolled_before(self._settings.state_folder):
            self._listening.keep_up()
        fresh = self._settings.fetch_campaigns and problem is None
        self.status.campaigns_are(after, self._now() if fresh else None, problem)
        present = self.status.present()
        ordered = self._reports is not None and self._reports.ordered(document.get("orders", ()), present)
        if after != before or ordered:
            for reader in present:
                self._begin(reader)
        if ordered and not present:
            self._polling.begin()

    # --- requests at the control socket -------------------------------------------------------------------------------

    def answer(self, request: dict[str, Any], descriptor: int | None) -> dict[str, Any]:
        """One request. Raises AgentError."""
        match request.get("ask"):
            case "status":
                return self.status.document(os.getpid())
            case "renew":
                return self._renew(request.get("reader"), request.get("options"), descriptor)
            case _:
                raise AgentError("The agent did not understand what it was asked.")

    def _renew(self, reader: object, options: object, descriptor: int | None) -> dict[str, Any]:
        if descriptor is None or not (reader is None or isinstance(reader, str)):
            raise AgentError("The agent did not understand what it was asked.")
        # A command with options of its own means these, not the agent's.
        given = [str(option) for option in options] if options and isinstance(options, list) else None
        with self._lock:
            if self._renewing and (reader is None or self._renewing & {reader, None}):
                raise AgentError(
                    "A renewal is already running.", advice="Finish it, or close its window, then try again."
                )
            chosen = ["--reader", reader] if reader is not None else []
            configured = self._settings.child_options if given is None else given
            words_for_child = ["--channel-fd", str(descriptor), *configured, *chosen]
            child = start_child(WORKER, words_for_child, descriptor)
            self._renewing.add(reader)
        self._mark_renewing([reader] if reader is not None else self.status.present())
        threading.Thread(target=self._await_worker, args=(child, reader), name="renewal", daemon=True).start()
        return {"ok": True, "pid": child.pid}

    def _await_worker(self, child: Any, reader: str | None) -> None:
        status = child.wait()
        log.info("renewal.ended status=%d", status)
        present = self.status.present()
        with self._lock:
            self._renewing.discard(reader)
            self._tidy_from = self._now()
            if status == 0:
                self._renewed |= {name for name in present if reader in (None, name)}
        if self._reports is not None:
            self._reports.forget()
            self._polling.begin()
        for name in self.status.renewing():  # the card may be out at the end: whoever was to put it back may have left
            if reader in (None, name):
                self.status.change(name, renewing=False)
        for name in present:
            if reader in (None, name):
                self._begin(name)

    def _mark_renewing(self, readers: list[str]) -> None:
        for name in readers:
            self.status.change(name, renewing=True)

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
from dataclasses import replace
from datetime import datetime
from typing import Any

from renewagent.agent import watching_words
from renewagent.agent.card_words import campaign_of, is_quiet, message_of, notice_of
from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.agent.children import ask_child, start_child, start_listener
from renewagent.agent.head_check import HeadCheck, head_card_document
from renewagent.agent.inspector import CountingConnection, HeadResult, inspect_head, unreadable
from renewagent.agent.listening import Listening
from renewagent.agent.poll_schedule import PollSchedule
from renewagent.agent.polling import Polling
from renewagent.agent.put_off import PutOffs
from renewagent.agent.reader_worker import ReaderWorker
from renewagent.agent.remembered import LookedUp, accepted_campaigns, enrolled_before, polled_before
from renewagent.agent.reports import Found, Reports
from renewagent.agent.resident_settings import ResidentSettings
from renewagent.agent.status import Status
from renewagent.agent.telling import Notice, Screen, Telling
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
from renewagent.language import _
from renewagent.model import Verdict
from renewagent.rules import Campaign

log = logging.getLogger(__name__)

FULL_INSPECTION = "renewagent.agent.inspection_child"
POLL = "renewagent.agent.console_child"
LOOK_AGAIN = "renewagent.agent.look_again"
HOUSEKEEPING = "renewagent.agent.housekeeping_child"
WORKER = "renewagent.agent.worker"


class Resident:
    """The agent without its process: events in by `handle`, requests in by `answer`.

    `screen` is where the person sees messages; `renew_now` shows the window of a renewal until it is closed, and
    returns what is to be told where it could not be shown; `ping` feeds a watchdog; `now` gives aware UTC; `open_card`
    a driver; `schedule` says when to poll.
    """

    def __init__(
        self,
        settings: ResidentSettings,
        watcher: Watcher,
        open_card: Callable[[CardConnection], CardDriver],
        *,
        screen: Screen,
        renew_now: Callable[[str], Message | None],
        ping: Callable[[], None],
        now: Callable[[], datetime],
        schedule: PollSchedule,
    ) -> None:
        self._settings = settings
        self._watcher = watcher
        self._open_card = open_card
        self._renew_now = renew_now
        self._telling = Telling(screen, self._wants_to_renew, now)
        self._put_offs = PutOffs(settings.state_folder)
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
                self._telling.gone(reader)
                self._report(lambda reports: reports.removed(reader))
                self.status.change(reader, present=False, checking=False, card=None, message=None, checked=None)
            case ReadersChanged(readers):
                self.status.readers_are(readers)
            case PcscDown(reason):
                self.status.pcsc_is(reason)
                self._tell(watching_words.service_down())
            case PcscUp():
                self._tell(watching_words.service_up())
            case _:
                self._tick()
        if self._watcher.health is None:
            self.status.pcsc_is(None)

    def _tell(self, message: Message, reader: str = "") -> None:
        self._telling.tell(reader, Notice(message, message.advice))

    def _tick(self) -> None:
        with self._lock:
            now = self._now()
            due = {reader for reader, at in self._ask_after.items() if at <= now}
            again, self._again = self._again | due, set()
            for reader in due:  # once: beginning anew would put off one that is under way
                del self._ask_after[reader]
        for reader in again & set(self.status.present()):
            self._begin(reader)
        self._telling.tick()
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
        now, head, campaigns = self._now(), check.result.head, self.status.campaigns
        if card.get("nothing_open") and head is not None:
            self._looked_up.add(head)
        campaign = campaign_of(card, campaigns)
        card = {**card, **self._deferred(card, campaign, now)}
        self._ask_later(reader, card)
        message = message_of(card, head, campaigns, self._settings.contact, now)
        log.info("card.judged reader=%s verdict=%s campaign=%s", reader, card["verdict"], card["campaign"])
        self.status.change(reader, checking=False, card=card, message=message, checked=now)
        # Other people's cards (a bank's, a door's) are nobody's business: they stand in `status` only.
        foreign = isinstance(check.result.error, UnsupportedCard) and card["verdict"] == Verdict.UNREADABLE.value
        found = Found(card, campaigns, told=False, foreign=foreign)
        if foreign or card.get("put_off") or (is_quiet(message) and not self._just_renewed(reader, message)):
            self._telling.put_away(reader)
            self._report(lambda reports: reports.found(reader, found))
            return
        self._telling.tell(
            reader,
            notice_of(card, head, campaigns, self._settings.contact, now, message.advice),
            told=lambda seen: self._report(lambda reports: reports.found(reader, replace(found, told=seen))),
            later=lambda: self._put_off(reader, card, campaign),
        )

    def _deferred(self, card: dict[str, Any], campaign: Campaign | None, now: datetime) -> dict[str, str]:
        """The RA's turn for an affected card, or until when the person has put it off."""
        if card["verdict"] != Verdict.AFFECTED.value:  # the journal stays shut, and SQLite out
            return {}
        turn = kept_here(self._settings.state_folder, card.get("certificate"), now)
        if turn is not None:
            return come_back(turn)
        if campaign is None or campaign.remedy != "renew" or not card["card"]:
            return {}
        until = self._put_offs.until(card["card"], campaign.id, now)
        return {"put_off": until.isoformat()} if until is not None else {}

    def _ask_later(self, reader: str, card: dict[str, Any]) -> None:
        """Check the card again when the RA, its rate plan or the person said."""
        until = next((card[name] for name in ("ask_after", "come_back", "put_off") if card.get(name)), None)
        with self._lock:
            self._ask_after.pop(reader, None)
            if until is not None:
                self._ask_after[reader] = datetime.fromisoformat(until)

    def _put_off(self, reader: str, card: dict[str, Any], campaign: Campaign | None) -> None:
        """ "Remind me in 1 hour"; the card is checked again, so that everybody who is to know hears of it."""
        if campaign is None or not card["card"]:
            return
        try:
            self._put_offs.add(card["card"], campaign.id, campaign.deadline, self._now())
        except OSError as problem:
            log.warning("person.not_put_off reason=%s", problem.strerror)
        log.info("person.put_off reader=%s campaign=%s", reader, campaign.id)
        if reader in self.status.present():
            self._begin(reader)

    def _wants_to_renew(self, reader: str) -> None:
        """In a thread of the notification's own, until the window has been closed."""
        if (unseen := self._renew_now(reader)) is not None:
            self._tell(unseen, reader)

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
                raise AgentError(_("The agent did not understand what it was asked."))

    def _renew(self, reader: object, options: object, descriptor: int | None) -> dict[str, Any]:
        if descriptor is None or not (reader is None or isinstance(reader, str)):
            raise AgentError(_("The agent did not understand what it was asked."))
        # A command with options of its own means these, not the agent's.
        given = [str(option) for option in options] if options and isinstance(options, list) else None
        with self._lock:
            if self._renewing and (reader is None or self._renewing & {reader, None}):
                raise AgentError(
                    _("A renewal is already running."), advice=_("Finish it, or close its window, then try again.")
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
            self._telling.put_away(name)
            self.status.change(name, renewing=True)

"""One visit to the console: enrol or renew the certificate where that is due, hand over what is queued, ask for orders.

For children, of which several may come at once: the second one leaves it to the first. Whatever happens, nothing leaves
the queue but by the console's word, and nobody waits for it. Offline is normal.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from renewagent.agent.agent_number import agent_number
from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.agent.console_client import ConsoleClient, ConsoleError, NotKnown
from renewagent.agent.console_identity import ConsoleIdentity, Enrolled
from renewagent.agent.console_status import CONSOLE
from renewagent.agent.locks import exclusive
from renewagent.agent.poll_patience import PollPatience
from renewagent.check_ins import MOST_AT_ONCE
from renewagent.configuration import ConsoleSettings
from renewagent.errors import ConfigurationError
from renewagent.language import _

log = logging.getLogger(__name__)

SHORTEST_POLL, LONGEST_POLL = 1, 3600
"""Seconds: what the console may ask for."""
_ORDER = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of it: ids of "check now" orders, and how many seconds the console wants between two polls."""

    orders: tuple[str, ...] = ()
    poll: int | None = None


NOTHING = Visit()


def visit(settings: ConsoleSettings, state_folder: Path, patience: PollPatience, now: datetime) -> Visit:
    """Visit the console, if there is one and it is not to be left alone; how it went is noted in `patience`."""
    if settings.url is None or patience.of(CONSOLE).rests(now):
        return NOTHING
    try:
        with exclusive(state_folder / "console.lock", 0.0):
            return _Visitor(settings, state_folder, patience, now).visit()
    except ConfigurationError as error:
        patience.complained(CONSOLE, error.message)
    except ConsoleError as error:
        patience.failed(CONSOLE, error.message, now, error.retry_after)
    except TimeoutError:  # another process is there already
        return NOTHING
    except OSError as error:
        problem = _("renewagent cannot write in {folder}: {why}.").format(folder=state_folder, why=error.strerror)
        patience.failed(CONSOLE, problem, now)
    log.warning("console.problem reason=%s", patience.of(CONSOLE).problem)
    return NOTHING


class _Visitor:
    def __init__(self, settings: ConsoleSettings, state: Path, patience: PollPatience, now: datetime) -> None:
        assert settings.url is not None  # noqa: S101  for the type checker
        self._url: str = settings.url
        self._settings = settings
        self._state = state
        self._patience = patience
        self._now = now
        self._identity = ConsoleIdentity(state)
        self._queue = CheckInQueue(state)

    def visit(self) -> Visit:
        enrolled = self._identity.enrolled(self._now) or self._enrol()
        try:
            return self._talk(enrolled)
        except NotKnown:
            # Revoked, or another console: we are a new agent, if the code still says so.
            self._identity.forget()
            return self._talk(self._enrol())

    def _talk(self, enrolled: Enrolled) -> Visit:
        if self._now >= enrolled.renew_after:
            enrolled = self._renewed(enrolled)
        with ConsoleClient(self._url, self._settings.root, enrolled) as client:
            found = self._deliver(client)
        self._queue.hold_reserve()
        return found

    def _deliver(self, client: ConsoleClient) -> Visit:
        found, reported, batch = NOTHING, None, self._queue.first(MOST_AT_ONCE)
        if not batch:
            found = _orders(client.orders())
        while batch:
            answer = client.deliver([one.to_json() for one in batch])
            settled = _accepted(answer) | _refused(answer)
            self._queue.remove(settled)
            found, reported = _orders(answer), self._now
            if not settled & {one.id for one in batch}:
                raise ConsoleError(_("The console takes no reports in."))
            batch = self._queue.first(MOST_AT_ONCE)
        self._patience.well(CONSOLE, reported=reported)
        return found

    def _enrol(self) -> Enrolled:
        asked = {
            "code": self._code(),
            "machine": (self._settings.machine or socket.gethostname())[:100],
            "account": agent_number(self._state),
            "csr": self._identity.request(),
            "version": _version(),
        }
        try:
            with ConsoleClient(self._url, self._settings.root, None) as client:
                answer = client.enrol(asked)
        except NotKnown:
            self._identity.forget()  # the code is not good, or the agent with this key was revoked
            raise
        log.info("console.enrolled agent=%s", str(answer.get("agent"))[:40])
        return self._kept(answer)

    def _renewed(self, enrolled: Enrolled) -> Enrolled:
        """While the old one is good, a fresh one can wait; but not where the console knows us no more."""
        try:
            with ConsoleClient(self._url, self._settings.root, enrolled) as client:
                return self._kept(client.renew(self._identity.request()))
        except NotKnown:
            raise
        except ConsoleError as error:
            log.warning("console.certificate_not_renewed reason=%s", error.message)
            return enrolled

    def _kept(self, answer: Mapping[str, Any]) -> Enrolled:
        try:
            self._identity.keep(str(answer.get("certificate", "")), str(answer.get("renew_after", "")))
        except (ValueError, IndexError) as problem:
            raise ConsoleError(_("The console gave a certificate that makes no sense.")) from problem
        enrolled = self._identity.enrolled(self._now)
        if enrolled is None:
            raise ConsoleError(_("The console's certificate for this computer is not in date: check the clock."))
        return enrolled

    def _code(self) -> str:
        code = self._settings.enrolment
        if isinstance(code, Path):
            try:
                code = code.read_text("utf-8").strip()
            except (OSError, ValueError) as problem:
                raise ConfigurationError(
                    _("The code in {file} cannot be read.").format(file=self._settings.enrolment)
                ) from problem
        if not code:
            raise ConfigurationError(_("There is no code by which to enrol at the console (console.enrolment)."))
        return code


def _accepted(answer: Mapping[str, Any]) -> set[str]:
    accepted = answer.get("accepted")
    return {one for one in accepted if isinstance(one, str)} if isinstance(accepted, list) else set()


def _refused(answer: Mapping[str, Any]) -> set[str]:
    """They would be refused again and again: they leave the queue, and the log says why."""
    refused = answer.get("refused")
    found: set[str] = set()
    for one in refused if isinstance(refused, list) else []:
        if isinstance(one, dict) and isinstance(one.get("id"), str):
            log.warning("check_in.refused id=%s why=%.200r", one["id"][:32], one.get("why"))
            found.add(one["id"])
    return found


def _orders(answer: Mapping[str, Any]) -> Visit:
    orders, poll = answer.get("orders"), answer.get("poll")
    wanted = [one.get("id") for one in orders if isinstance(one, dict)] if isinstance(orders, list) else []
    known = tuple(one for one in wanted if isinstance(one, str) and _ORDER.fullmatch(one))
    sane = isinstance(poll, int) and not isinstance(poll, bool)
    return Visit(known, max(SHORTEST_POLL, min(poll, LONGEST_POLL)) if sane and poll else None)


def _version() -> str:
    try:
        return version("renewagent")
    except PackageNotFoundError:  # run from a folder that was never installed
        return ""

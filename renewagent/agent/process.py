"""The resident agent as a process: one per user, signals, the service manager, the threads' beginning and end.

`renewagent agent` reads the configuration and then becomes this (exec), with what matters of it as one JSON argument:
the process that stays in memory all day holds no parser of TOML or command lines. No secret is among the settings.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from renewagent.agent import watching_words
from renewagent.agent.control import ControlServer
from renewagent.agent.notices import Notices
from renewagent.agent.poll_schedule import PollSchedule
from renewagent.agent.renew_now import renew_in_window
from renewagent.agent.resident import Resident
from renewagent.agent.resident_settings import ResidentSettings
from renewagent.agent.telling import Heard, Notice
from renewagent.agent.watcher import Watcher
from renewagent.agent.words import Message
from renewagent.agent.workstation import open_readers
from renewagent.errors import AgentError, PersonStopped, RenewAgentError
from renewagent.language import N_, _
from renewagent.names import parse_name
from renewagent.rules import Contact
from renewagent_drivers import open_card

log = logging.getLogger(__name__)

LOCK = "agent.lock"
FRUGAL = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "8192",
    "MALLOC_TOP_PAD_": "0",
    "MALLOC_TRIM_THRESHOLD_": "0",
}
"""For the C library of whoever stays all day (mallopt(3)): what was needed while modules were loaded goes back to the
system, 0.8 MB. It is read when a program starts; our children start without."""
_ROOM_OR_LEAVE = N_("Ask your IT support to see that there is room, and that renewagent may write there.")


def run(settings: ResidentSettings, runtime_folder: Path, readers: str, *, at_terminal: bool) -> None:
    """Be the agent until SIGTERM or SIGINT. Raises AgentError if another one runs for this user."""
    with only_one(settings.state_folder):
        schedule, watchdog = (
            PollSchedule(settings.interval, settings.phase, _jitter, time.monotonic),
            watchdog_interval(),
        )
        rest = schedule.left if watchdog is None else lambda: min(schedule.left(), watchdog)
        watcher = Watcher(lambda: open_readers(readers), rest, _jitter)
        resident = Resident(
            settings,
            watcher,
            open_card,
            screen=AtTerminal() if at_terminal else Notices(),
            renew_now=lambda reader: renew_in_window(reader, settings.child_options),
            ping=lambda: notify("WATCHDOG=1"),
            now=lambda: datetime.now(UTC),
            schedule=schedule,
        )
        try:
            control = ControlServer(runtime_folder, resident.answer, lambda _number: watcher.stop())
        except OSError as error:
            said = _("renewagent cannot open its socket in {folder}: {why}.").format(
                folder=runtime_folder, why=error.strerror
            )
            raise AgentError(said, advice=_(_ROOM_OR_LEAVE)) from error
        serving = threading.Thread(target=control.run, name="control", daemon=True)
        with _signals_to(control.wake_fd):
            serving.start()
            resident.start()
            log.info("agent.started pid=%d", os.getpid())
            if at_terminal:
                _say_at_terminal(watching_words.watching())
            notify("READY=1")
            watcher.run(resident.handle)
            notify("STOPPING=1")
            control.stop()
            serving.join(5)
        control.close()
        log.info("agent.stopped")


@contextlib.contextmanager
def only_one(state_folder: Path) -> Iterator[None]:
    """Hold the agent's lock; the kernel lets go of it however the process ends."""
    try:
        state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state_folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AgentError(
            _("renewagent cannot write in its folder {folder}: {why}.").format(folder=state_folder, why=error.strerror),
            advice=_(_ROOM_OR_LEAVE),
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise AgentError(
            _("The renewagent agent is already running."), advice=_("See what it knows: renewagent status.")
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def notify(state: str) -> None:
    """Tell the service manager, if there is one (sd_notify(3)); never fails."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where:
        return
    name = "\0" + where[1:] if where.startswith("@") else where
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(state.encode(), name)


def watchdog_interval() -> float | None:
    """Half the time after which the service manager takes a silent agent for dead (sd_watchdog_enabled(3))."""
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 2_000_000 if text.isdigit() and int(text) else None


@contextlib.contextmanager
def _signals_to(descriptor: int) -> Iterator[None]:
    """SIGTERM and SIGINT as octets in a pipe: the main thread sits in a call that handlers cannot interrupt."""
    signals = (signal.SIGTERM, signal.SIGINT)
    before: list[Any] = [signal.signal(number, lambda *signalled: None) for number in signals]
    woken = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _jitter() -> float:
    """From 0 to 1. Not from `random`, which would cost the resident 0.5 MB."""
    return int.from_bytes(os.urandom(2), "big") / 65535


class AtTerminal:
    """A `Screen`: the terminal that the agent was started at. What was said there stays, and has no buttons."""

    def show(self, reader: str, notice: Notice, heard: Callable[[Heard], None]) -> None:
        """See `Screen`."""
        _say_at_terminal(replace(notice.message, advice=notice.advice))
        heard(Heard.SHOWN)

    def withdraw(self, reader: str) -> None:
        """See `Screen`."""


def _say_at_terminal(message: Message) -> None:
    from renewagent.agent.terminal import TerminalPrompter

    TerminalPrompter().tell(message)


def settings_argument(settings: ResidentSettings, issuers: tuple[str, ...], runtime_folder: Path, readers: str) -> str:
    """The settings as the JSON argument that `main` takes; `issuers` are the signing issuers as RFC 4514 text."""
    contact = settings.contact
    return json.dumps(
        {
            "state_folder": str(settings.state_folder),
            "signing_issuers": issuers,
            "contact": [contact.name, contact.phone, contact.url, contact.hours],
            "ask_ra": settings.ask_ra,
            "vendor_cards": settings.vendor_cards,
            "fetch_campaigns": settings.fetch_campaigns,
            "console": settings.console,
            "stream": settings.stream,
            "phase": settings.phase,
            "child_options": settings.child_options,
            "interval": settings.interval,
            "runtime_folder": str(runtime_folder),
            "readers": readers,
        }
    )


def _settings(given: dict[str, Any]) -> ResidentSettings:
    return ResidentSettings(
        state_folder=Path(given["state_folder"]),
        signing_issuers=tuple(parse_name(name) for name in given["signing_issuers"]),
        contact=Contact(*given["contact"]),
        ask_ra=given["ask_ra"],
        vendor_cards=given["vendor_cards"],
        fetch_campaigns=given["fetch_campaigns"],
        console=given["console"],
        stream=given["stream"],
        phase=given["phase"],
        child_options=tuple(given["child_options"]),
        interval=given["interval"],
    )


def main(words: list[str], say: Callable[[str], object] = sys.stderr.write) -> int:
    """`python -m renewagent.agent.process SETTINGS [--json]`. With --json, one document once the agent has ended."""
    given, as_json, started = json.loads(words[0]), "--json" in words[1:], datetime.now(UTC)
    for name in FRUGAL:
        os.environ.pop(name, None)
    form, times = "%(asctime)s agent %(message)s", "%Y-%m-%dT%H:%M:%S%z"
    logging.basicConfig(level=logging.INFO, format=form, datefmt=times, stream=sys.stderr)
    at_terminal = sys.stderr.isatty()
    if at_terminal:
        logging.getLogger().setLevel(logging.WARNING)
    try:
        run(_settings(given), Path(given["runtime_folder"]), given["readers"], at_terminal=at_terminal)
    except RenewAgentError as error:
        say(f"{error.message}\n{error.advice}\n")
        return _ended(as_json, error)
    except KeyboardInterrupt:  # before the handlers stood
        return _ended(as_json, PersonStopped(_("Stopped at your request.")))
    return _ended(as_json, None, started)


def _ended(as_json: bool, error: RenewAgentError | None, started: datetime | None = None) -> int:
    """The exit status, and as JSON how it came to that. Not by renewagent.cli.answer: no parser is to be loaded."""
    document: dict[str, Any] = {"ok": error is None}
    if error is not None:
        document["error"] = {"code": error.code, "message": error.message, "advice": error.advice}
    elif started is not None:
        document |= {"started": started.isoformat(), "stopped": datetime.now(UTC).isoformat()}
    if as_json:
        with contextlib.suppress(OSError):  # there is nobody left to tell
            sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
            sys.stdout.flush()
    return 0 if error is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

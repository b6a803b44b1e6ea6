"""A passcode asked for by a pinentry program, of whatever flavour: GnuPG's little windows that do nothing else.

What lives here: which programs there are, in which order they are tried until one can ask, and how one is started and
ended. How it is spoken to is `assuan`'s business, which words are shown the caller's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from renewagent.agent.assuan import Conversation, PinentryFailed, Question
from renewagent.errors import PersonStopped
from renewagent.language import _
from renewagent.pin import Pin

PATIENCE = 600.0
"""Seconds that a person may take: nobody is hurried, and no window is left standing overnight."""
GRAPHICAL = (
    "pinentry",  # what the administrator chose
    "pinentry-gnome3",
    "pinentry-qt",
    "pinentry-qt6",
    "pinentry-qt5",
    "pinentry-gtk-2",
    "pinentry-fltk",
    "pinentry-x11",
)
TEXT = ("pinentry", "pinentry-curses", "pinentry-tty")
_PASSED_ON = frozenset(
    (
        "PATH HOME LANG LANGUAGE LC_ALL LC_CTYPE LC_MESSAGES TERM DISPLAY XAUTHORITY WAYLAND_DISPLAY XDG_RUNTIME_DIR "
        "XDG_SESSION_TYPE XDG_CURRENT_DESKTOP XDG_DATA_DIRS DBUS_SESSION_BUS_ADDRESS "
        "AT_SPI_BUS_ADDRESS GTK_MODULES QT_ACCESSIBILITY QT_LINUX_ACCESSIBILITY_ALWAYS_ON"
    ).split()  # for screen readers
)


def has_display(environment: Mapping[str, str]) -> bool:
    """Whether windows can be shown."""
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def programs(environment: Mapping[str, str], terminal: str | None) -> list[str]:
    """The programs that are installed and may serve here, in the order in which they are to be tried."""
    names = (*(GRAPHICAL if has_display(environment) else ()), *(TEXT if terminal is not None else ()))
    found: dict[str, str] = {}
    for name in names:
        if path := shutil.which(name, path=environment.get("PATH", os.defpath)):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


class Pinentry:
    """Asks by the first program that can. `terminal`: the path of the terminal that text flavours may use."""

    def __init__(
        self, environment: Mapping[str, str], terminal: str | None = None, *, patience: float = PATIENCE
    ) -> None:
        self._environment = environment
        self._terminal = terminal
        self._patience = patience
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def ask(self, question: Question) -> Pin:
        """What the person typed. Raises PersonStopped for one who cancelled or did not answer, PinentryFailed where no
        program could ask."""
        for program in programs(self._environment, self._terminal):
            with suppress(PinentryFailed), _terminal_kept(self._terminal):
                return self._ask_by(program, question)
            if self._closed:
                raise PersonStopped(_("The question for your passcode was closed."))
        raise PinentryFailed("no pinentry program could ask")

    def close(self) -> None:
        """End the question that another thread asks, and every later one."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()

    def _ask_by(self, program: str, question: Question) -> Pin:
        process = self._started(program)
        try:
            with _talk(process) as talk:
                talk.open(question, self._options(), self._patience)
                return talk.passcode(question, self._patience)
        except OSError as problem:
            raise PinentryFailed(program) from problem
        except KeyboardInterrupt:
            raise PersonStopped(_("You stopped the renewal.")) from None
        finally:
            with self._lock:
                self._process = None
            _end(process)

    def _started(self, program: str) -> subprocess.Popen[bytes]:
        """With next to nothing of our environment, and no file of ours."""
        with self._lock:
            if self._closed:
                raise PinentryFailed(program)
            try:
                self._process = subprocess.Popen(  # noqa: S603  the one that is installed, no shell
                    [program],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    bufsize=0,
                    env={name: value for name, value in self._environment.items() if name in _PASSED_ON},
                    cwd="/",
                    start_new_session=True,  # Ctrl-C at the terminal is ours to understand
                )
            except OSError as problem:
                raise PinentryFailed(program) from problem
            return self._process

    def _options(self) -> Iterator[str]:
        """Nobody else gets the keys that are typed, where that can be asked for: only X11 lets others listen."""
        yield "no-grab" if self._environment.get("WAYLAND_DISPLAY") else "grab"
        if self._terminal is not None:
            yield f"ttyname={self._terminal}"
            yield f"ttytype={self._environment.get('TERM') or 'dumb'}"
        for option in ("lc-ctype", "lc-messages"):
            names = ("LC_ALL", option.replace("-", "_").upper(), "LANG")
            if value := next((self._environment[name] for name in names if self._environment.get(name)), None):
                yield f"{option}={value}"


def _talk(process: subprocess.Popen[bytes]) -> Conversation:
    if process.stdin is None or process.stdout is None:
        raise PinentryFailed(_("no pipes"))
    return Conversation(process.stdin.fileno(), process.stdout.fileno())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Politely, for a moment."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()  # which is how a window learns that it is not wanted any more
    with suppress(subprocess.TimeoutExpired):
        process.wait(0.5)
        return
    process.kill()
    process.wait()


@contextmanager
def _terminal_kept(path: str | None) -> Iterator[None]:
    """A text flavour that dies leaves the terminal as it had made it for itself."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC) if path is not None else None
    except OSError:
        descriptor = None
    if descriptor is None:
        yield
        return
    import termios

    before = None
    with suppress(termios.error):
        before = termios.tcgetattr(descriptor)
    try:
        yield
    finally:
        with suppress(termios.error):
            if before is not None:
                termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        os.close(descriptor)

"""One vendor's PKCS#11 module: loading it, the thread that makes its calls, and the token in a given reader.

For short-lived processes only. A module is somebody else's code in our process: it may hang, crash, and keep a PIN. So
it is never loaded by the resident agent (nothing imports this module before a card is to be opened with it); one
thread makes all of its calls (we promise it no more: C_Initialize without arguments, PKCS#11 v2.40 5.4), and who loses
patience leaves that thread behind; and after every session that used a PIN it is shut down (C_Finalize), which logs
out and closes whatever is left.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import pkcs11
from pkcs11 import Slot, Token, TokenFlag

from renewagent.errors import CardBusy, ConfigurationError
from renewagent.language import _
from renewagent_drivers.pkcs11_errors import as_ours

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as Library

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds for an errand that only reads or signs (design: "Another program is using the smartcard")."""
WRITING_PATIENCE = 120.0
"""Seconds for one that writes: a card may take a minute to make an RSA key."""
_DESCRIPTION_OCTETS = 64  # CK_SLOT_INFO.slotDescription


class Pkcs11Module:
    """The module at `path`, loaded when first needed. For one thread at a time."""

    def __init__(self, path: Path, *, patience: float = PATIENCE) -> None:
        self._path = path
        self._patience = patience
        self._library: Library | None = None
        self._calls: _Calls | None = None
        self._in_use = 0

    def ask(self, errand: Callable[[Library], T], *, writes: bool = False) -> T:
        """Run `errand` on the started module. Raises what it raises, return values as errors of ours, CardBusy when it
        takes too long (from then on always: the module's thread is stuck), ConfigurationError for no such module."""
        self._calls = self._calls or _Calls()

        def work() -> T:
            with as_ours():
                return errand(self._started())

        return self._calls(max(WRITING_PATIENCE, self._patience) if writes else self._patience, work)

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Keep the module started; shut it down afterwards, so that nobody is logged in whatever has gone wrong."""
        self._in_use += 1
        try:
            yield
        finally:
            self._in_use -= 1
            self.shut_down()

    def start_afresh(self) -> None:
        """Have the module look at readers and cards anew, and forget what it keeps of them; not within a session."""
        if not self._in_use:
            self.ask(lambda library: library.reinitialize())

    def shut_down(self) -> None:
        """C_Finalize, unless a session is open."""
        if self._calls is None or self._in_use:
            return
        with contextlib.suppress(CardBusy):  # stuck: it ends with the process
            self._calls(self._patience, self._finalize)

    def _finalize(self) -> None:
        if self._library is not None and self._library.initialized:
            with contextlib.suppress(pkcs11.PKCS11Error):
                self._library.finalize()

    def _started(self) -> Library:
        if self._library is None:
            self._library = self._load()
        self._library.initialize()
        return self._library

    def _load(self) -> Library:
        if not self._path.is_file():
            raise ConfigurationError(
                _("There is no PKCS#11 module {path} (card.pkcs11_module).").format(path=self._path)
            )
        _Unheard.pass_over()
        try:
            return pkcs11.lib(str(self._path))
        except pkcs11.PKCS11Error as e:
            raise ConfigurationError(
                _("The PKCS#11 module {path} (card.pkcs11_module) cannot be started.").format(path=self._path),
                advice=_("Ask your IT support whether the smartcard's software is installed properly."),
            ) from e


def token_in(library: Library, reader: str) -> Token | None:
    """The token in the PC/SC reader of that name; None where this module sees none there."""
    for slot in library.get_slots(token_present=True):
        if _names(slot, reader):
            with contextlib.suppress(pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised):
                token = slot.get_token()
                if TokenFlag.TOKEN_INITIALIZED in token.flags:
                    return token
    return None


def token_of_serial(library: Library, serial: str) -> Token | None:
    """The token with that serial number, in whatever reader."""
    for slot in library.get_slots(token_present=True):
        with contextlib.suppress(pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised):
            token = slot.get_token()
            if token.serial == serial.encode():
                return token
    return None


def _names(slot: Slot, reader: str) -> bool:
    """Modules describe a slot by the PC/SC name of its reader, cut to 64 octets where that is longer."""
    described, wanted = slot.slot_description.strip(), reader.strip()
    if len(described.encode()) >= _DESCRIPTION_OCTETS - 1:
        return wanted.startswith(described)
    return described == wanted


class _Unheard:
    """When a card goes in the middle of a search, python-pkcs11 tries once more to end that search when it throws it
    away. The failure of that, which nobody can catch, would be a traceback on the person's terminal."""

    def __init__(self) -> None:
        self._unraisable, self._uncaught = sys.unraisablehook, sys.excepthook

    def unraisable(self, what: sys.UnraisableHookArgs) -> None:
        if not isinstance(what.exc_value, pkcs11.PKCS11Error):
            self._unraisable(what)

    def uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, pkcs11.PKCS11Error):  # ours are caught, each in `Pkcs11Module.ask`
            self._uncaught(kind, error, trace)

    @classmethod
    def pass_over(cls) -> None:
        """From now on, in this process. Cython prints such an error by the one hook and tells of it by the other."""
        if not isinstance(getattr(sys.unraisablehook, "__self__", None), cls):
            heard = cls()
            sys.unraisablehook, sys.excepthook = heard.unraisable, heard.uncaught


class _Calls:
    """One thread, one errand at a time. Once one has taken too long there is no other."""

    def __init__(self) -> None:
        self._errands: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[object, BaseException | None]] = queue.SimpleQueue()
        self._stuck = False
        threading.Thread(target=self._work, name="pkcs11 calls", daemon=True).start()

    def __call__(self, limit: float, errand: Callable[[], T]) -> T:
        if not self._stuck:
            self._errands.put(errand)
            try:
                result, error = self._results.get(timeout=limit)
            except queue.Empty:
                self._stuck = True
            else:
                if error is not None:
                    raise error
                return result  # type: ignore[return-value]  # what this errand returned
        raise CardBusy(_("Another program is using the smartcard, or the smartcard's software does not answer."))

    def _work(self) -> None:
        while True:
            errand = self._errands.get()
            try:
                self._results.put((errand(), None))
            except BaseException as e:
                self._results.put((None, e))

"""Readers and cards through PC/SC. The only module that imports pyscard, and of it only the low-level functions.

Waiting is event-driven: SCardGetStatusChange on all readers and on the pseudo-reader that announces new ones. Nothing
is kept between calls that a restarted service could make stale: each wait, each look and each connection has a context
of its own. Every PC/SC error becomes one of ours here, by `card.pcsc_errors`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from smartcard import scard

from renewagent.card import pcsc_errors, pin_pad
from renewagent.card.interface import ReaderState
from renewagent.card.pcsc_errors import error_of, mute_card
from renewagent.card.timed import TimedCalls, TimedOut
from renewagent.errors import CardBusy, CardRemoved, NoCard, NoReader, PcscUnavailable, PinPadFailed, ReaderError
from renewagent.language import _

PATIENCE = 10.0
"""Seconds to wait for other programs (design section 4)."""
ENDURANCE = 120.0
"""Seconds that one command may take in a transaction of ours: RSA key generation and a touch take their time."""
RE_LIST = 600.0
"""Seconds after which readers are listed again: one plugged in between list and wait is not announced."""

OnExchange = Callable[[str, bytes, bytes], None]
"""Called after each exchange with the reader's name, the command and the response. Commands may hold a PIN."""

_PNP = "\\\\?PnP?\\Notification"
_PROTOCOLS = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
_CANCEL_LIMIT = 1.0
_BREATH = 0.05  # after a wake-up that changed nothing, so that a reader gone mad cannot keep us busy

_WAIT_ENDED = frozenset({pcsc_errors.SUCCESS, pcsc_errors.TIMEOUT, pcsc_errors.CANCELLED, pcsc_errors.UNKNOWN_READER})
_NO_PNP = frozenset({pcsc_errors.UNKNOWN_READER, pcsc_errors.INVALID_PARAMETER, pcsc_errors.INVALID_VALUE})


def _code(value: int) -> int:
    return value & 0xFFFFFFFF  # pyscard gives signed numbers on some systems


def _ask(function: Callable[..., Any], *arguments: Any) -> tuple[int, Any]:
    """One PC/SC call: its code, and what else it returned."""
    try:
        answer = function(*arguments)
    except SystemError:  # pyscard stumbles over what is left in its buffer when the service went away in the call
        return pcsc_errors.COMMUNICATION_ERROR, None
    if isinstance(answer, int):
        return _code(answer), None
    return _code(answer[0]), answer[1] if len(answer) == 2 else answer[1:]


def _must(function: Callable[..., Any], *arguments: Any) -> Any:
    """One PC/SC call that has to succeed; what it returned besides the code."""
    code, result = _ask(function, *arguments)
    if code != pcsc_errors.SUCCESS:
        raise error_of(code)
    return result


def _establish() -> int:
    return int(_must(scard.SCardEstablishContext, scard.SCARD_SCOPE_USER))


class PcscTransaction:
    """See `renewagent.card.interface.Transaction`."""

    def __init__(self) -> None:
        self.disposition: int = scard.SCARD_LEAVE_CARD

    def reset_at_end(self) -> None:
        """End with a reset of the card."""
        self.disposition = scard.SCARD_RESET_CARD


class PcscConnection:
    """See `renewagent.card.interface.CardConnection`. For one thread; `PcscReaders.connect` makes it."""

    def __init__(
        self,
        reader: str,
        on_exchange: OnExchange | None,
        patience: float,
        on_left: Callable[[TimedCalls], None],
    ) -> None:
        self._reader = reader
        self._on_exchange = on_exchange
        self._patience = patience
        self._on_left = on_left
        self._depth = 0
        self._reset_unsaid = False
        self._closed = False
        self._gave_up = False
        self._context: int | None = None
        self._card: int | None = None
        self._protocol = 0
        self._atr = b""
        self._pad: int | None = None
        self._calls = TimedCalls()
        try:
            self._timed(self._establish)
            self._timed(self._connect)
        except BaseException:
            self.close()
            raise

    @property
    def reader(self) -> str:
        """The reader's full name."""
        return self._reader

    @property
    def atr(self) -> bytes:
        """The card's answer to reset."""
        return self._atr

    def transmit(self, command: bytes) -> bytes:
        """One exchange. Raises CardReset (after reconnecting), CardRemoved, CardBusy, PcscUnavailable, ReaderError."""
        if self._reset_unsaid:
            self._reset_unsaid = False
            raise error_of(pcsc_errors.RESET_CARD)
        code, response = self._timed(_ask, scard.SCardTransmit, self._card, self._protocol, list(command))
        if code == pcsc_errors.RESET_CARD:
            self._timed(self._reconnect)
        if code != pcsc_errors.SUCCESS:
            raise error_of(code)
        if len(response) < 2:  # what is left of an exchange in which the card was pulled
            raise CardRemoved(_(pcsc_errors.REMOVED))
        octets = bytes(response)
        if self._on_exchange is not None:
            self._on_exchange(self._reader, command, octets)
        return octets

    def pin_pad(self) -> bool:
        """Whether the reader lets a PIN be typed on its own keys: FEATURE_VERIFY_PIN_DIRECT."""
        if self._pad is None:
            control = scard.SCARD_CTL_CODE(pin_pad.GET_FEATURES)
            code, answer = self._timed(_ask, scard.SCardControl, self._card, control, [])
            known = bytes(answer) if code == pcsc_errors.SUCCESS and answer else b""
            self._pad = pin_pad.feature(known, pin_pad.VERIFY_PIN_DIRECT) or 0
        return bool(self._pad)

    def verify_at_pad(self, verification: bytes) -> bytes:
        """See `renewagent.card.interface.HasPinPad`. What the reader sends to the card is told to nobody."""
        if not self.pin_pad():
            raise PinPadFailed(_(pcsc_errors.NO_PAD))
        code, answer = self._timed(_ask, scard.SCardControl, self._card, self._pad, list(verification))
        if code == pcsc_errors.SUCCESS and len(answer) == 2:
            return bytes(answer)
        error = ReaderError(_(pcsc_errors.NO_PAD)) if code == pcsc_errors.SUCCESS else error_of(code)
        raise error if type(error) is not ReaderError else PinPadFailed(_(pcsc_errors.NO_PAD))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[PcscTransaction]:
        """Raises CardBusy when other programs hold the card for 10 s."""
        if self._timed(self._begin):
            self._reset_unsaid = True
        transaction = PcscTransaction()
        self._depth += 1
        try:
            yield transaction
        finally:
            self._depth -= 1
            with contextlib.suppress(CardRemoved, NoCard, NoReader, PcscUnavailable):  # no power then, and no login
                self._timed(self._end, transaction.disposition)

    def close(self) -> None:
        """Leave the card as it is."""
        if not self._closed:
            self._leave()
            self._calls.await_end(self._patience)

    def _timed(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Wait for a call, patiently where only the card can be slow; a call that never ends is left to itself."""
        if self._closed:
            raise CardBusy(_(pcsc_errors.BUSY)) if self._gave_up else CardRemoved(_("The connection was closed."))
        try:
            return self._calls(ENDURANCE if self._depth else self._patience, function, *arguments)
        except TimedOut:
            self._gave_up = True
            self._leave()
            self._on_left(self._calls)
            if self._context is None:
                raise PcscUnavailable(_(pcsc_errors.HUNG)) from None
            raise (mute_card() if self._depth else CardBusy(_(pcsc_errors.BUSY))) from None

    def _leave(self) -> None:
        """Let go in the thread of `calls`, whenever it gets to it. A transaction of ours that is cut short may have
        left somebody logged in."""
        self._closed = True
        disposition = scard.SCARD_RESET_CARD if self._depth else scard.SCARD_LEAVE_CARD
        self._calls.leave(lambda: self._let_go(disposition))

    # What follows runs in the thread of `calls`.

    def _establish(self) -> None:
        self._context = _establish()

    def _connect(self) -> None:
        self._atr = bytes(_look(self._context, (self._reader,))[0][2])
        code, result = _ask(scard.SCardConnect, self._context, self._reader, scard.SCARD_SHARE_SHARED, _PROTOCOLS)
        if code != pcsc_errors.SUCCESS:
            raise error_of(pcsc_errors.NO_SMARTCARD if code == pcsc_errors.REMOVED_CARD else code)
        self._card, self._protocol = result[0], _pci(result[1])

    def _reconnect(self) -> None:
        arguments = (self._card, scard.SCARD_SHARE_SHARED, _PROTOCOLS, scard.SCARD_LEAVE_CARD)
        self._protocol = _pci(_must(scard.SCardReconnect, *arguments))

    def _begin(self) -> bool:
        """Begin; True if another program had reset the card, so that we had to reconnect."""
        code, _none = _ask(scard.SCardBeginTransaction, self._card)
        if code == pcsc_errors.RESET_CARD:
            self._reconnect()
            _must(scard.SCardBeginTransaction, self._card)
        elif code != pcsc_errors.SUCCESS:
            raise error_of(code)
        return code == pcsc_errors.RESET_CARD

    def _end(self, disposition: int) -> None:
        code, _none = _ask(scard.SCardEndTransaction, self._card, disposition)
        if disposition == scard.SCARD_LEAVE_CARD or code == pcsc_errors.REMOVED_CARD:
            return  # whatever went wrong shows in the next call; a reconnection could find another card
        if code not in (pcsc_errors.SUCCESS, pcsc_errors.RESET_CARD):  # the reset must not fail to happen
            _must(scard.SCardReconnect, self._card, scard.SCARD_SHARE_SHARED, _PROTOCOLS, scard.SCARD_RESET_CARD)
        self._reconnect()

    def _let_go(self, disposition: int) -> None:
        if self._card is not None:
            _ask(scard.SCardEndTransaction, self._card, disposition)  # one that began after we lost patience, too
            _ask(scard.SCardDisconnect, self._card, scard.SCARD_LEAVE_CARD)
        if self._context is not None:
            _ask(scard.SCardReleaseContext, self._context)


def _pci(protocol: int) -> int:
    return int(scard.SCARD_PCI_T1 if protocol == scard.SCARD_PROTOCOL_T1 else scard.SCARD_PCI_T0)


class PcscReaders:
    """See `renewagent.card.interface.Readers`. One thread waits at a time; `cancel` may be called by any."""

    def __init__(self, *, on_exchange: OnExchange | None = None, patience: float = PATIENCE) -> None:
        self._on_exchange = on_exchange
        self._patience = patience
        self._lock = threading.Lock()
        self._waiting: int | None = None
        self._cancelled = threading.Event()
        self._left: dict[str, TimedCalls] = {}
        self._hung: TimedCalls | None = None

    def connect(self, reader: str) -> PcscConnection:
        """A shared connection. Raises NoReader, NoCard, CardBusy, PcscUnavailable."""
        left = self._left.get(reader)
        if left is not None and not left.await_end(self._patience):  # one call that waits for the other is enough
            raise CardBusy(_(pcsc_errors.BUSY))
        return PcscConnection(
            reader, self._on_exchange, self._patience, lambda calls: self._left.update({reader: calls})
        )

    def states(self) -> Mapping[str, ReaderState]:
        """Every reader and what it holds now. Raises PcscUnavailable."""
        found: dict[str, ReaderState] = self._patiently(0, self._states)
        return found

    def wait(self, known: Mapping[str, ReaderState], timeout: float) -> Mapping[str, ReaderState]:
        """See `renewagent.card.interface.Readers`; a `cancel` between two waits ends the second one."""
        found: dict[str, ReaderState] = self._patiently(timeout, self._wait, dict(known), timeout)
        return found

    def _patiently(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """Ask the service in a thread of its own: a service that hangs must not hang us."""
        if self._hung is not None and not self._hung.await_end(self._patience):
            raise PcscUnavailable(_(pcsc_errors.HUNG))
        calls = TimedCalls()
        try:
            return calls(seconds + self._patience, function, *arguments)
        except TimedOut:
            self._hung = calls
            raise PcscUnavailable(_(pcsc_errors.HUNG)) from None
        finally:
            calls.leave(lambda: None)

    def _states(self) -> dict[str, ReaderState]:
        with _context() as context:
            return _understand(_look(context))

    def _wait(self, known: dict[str, ReaderState], timeout: float) -> dict[str, ReaderState]:
        end = time.monotonic() + timeout
        with _context() as context:
            self._note(context)
            woken = False
            try:
                while True:
                    seen = _look(context)
                    left = end - time.monotonic()
                    if _understand(seen) != known or left <= 0 or self._cancelled.is_set():
                        return _understand(seen)
                    if woken and self._cancelled.wait(min(_BREATH, left)):
                        continue
                    _sleep(context, seen, min(left, RE_LIST))
                    woken = True
            finally:
                self._note(None)

    def cancel(self) -> None:
        """End the wait that is under way, or the next one."""
        self._cancelled.set()
        with self._lock:
            waiting = self._waiting
        if waiting is None:
            return
        calls = TimedCalls()
        with contextlib.suppress(TimedOut):  # of a service that hangs
            calls(_CANCEL_LIMIT, self._cancel, waiting)
        calls.leave(lambda: None)

    def _cancel(self, waiting: int) -> None:
        end = time.monotonic() + _CANCEL_LIMIT
        while self._waiting == waiting and time.monotonic() < end:
            _ask(scard.SCardCancel, waiting)  # again and again: it does nothing just before the wait begins
            time.sleep(0.005)

    def close(self) -> None:
        """End the wait that is under way; nothing else is held."""
        self.cancel()

    def _note(self, waiting: int | None) -> None:
        with self._lock:
            self._waiting = waiting
            if waiting is None:
                self._cancelled.clear()


_Seen = list[tuple[str, int, list[int]]]
"""Reader, raw state, ATR."""


@contextlib.contextmanager
def _context() -> Iterator[int]:
    context = _establish()
    try:
        yield context
    finally:
        _ask(scard.SCardReleaseContext, context)


def _look(context: int | None, readers: tuple[str, ...] | None = None) -> _Seen:
    """What the readers hold (all of them by default), without waiting. Raises NoReader, PcscUnavailable."""
    names = _list(context) if readers is None else readers
    if not names:
        return []
    states = [(name, scard.SCARD_STATE_UNAWARE) for name in names]
    code, seen = _ask(scard.SCardGetStatusChange, context, 0, states)
    if code == pcsc_errors.UNKNOWN_READER and readers is None:  # one was unplugged since the list was made
        return [found for name in names for found in _look_at(context, name)]
    if code != pcsc_errors.SUCCESS:
        raise error_of(code)
    return list(seen)


def _look_at(context: int | None, name: str) -> _Seen:
    try:
        return _look(context, (name,))
    except NoReader:
        return []


def _list(context: int | None) -> tuple[str, ...]:
    code, names = _ask(scard.SCardListReaders, context, [])
    if code == pcsc_errors.NO_READERS:
        return ()
    if code != pcsc_errors.SUCCESS:
        raise error_of(code)
    return tuple(names)


def _understand(seen: _Seen) -> dict[str, ReaderState]:
    return {
        name: ReaderState(bool(state & scard.SCARD_STATE_PRESENT), state >> 16 & 0xFFFF, bytes(atr))
        for name, state, atr in seen
    }


def _sleep(context: int, seen: _Seen, seconds: float) -> None:
    """Until something happens in the readers, or to them; or until `seconds` have passed. Raises PcscUnavailable."""
    states = [(name, state & ~scard.SCARD_STATE_CHANGED) for name, state, _atr in seen]
    milliseconds = max(1, int(seconds * 1000))  # never INFINITE, which pyscard cannot say
    announced = [*states, (_PNP, len(states) << 16)]  # Windows wants the number of readers known; others ignore it
    code, _none = _ask(scard.SCardGetStatusChange, context, milliseconds, announced)
    if code in _NO_PNP and states:  # 16 readers leave no room for the pseudo-reader
        code, _none = _ask(scard.SCardGetStatusChange, context, milliseconds, states)
    if code not in _WAIT_ENDED:
        raise error_of(code)

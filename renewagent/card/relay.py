"""Readers reached over a same-user unix socket, for a child process whose readers live in another process.

What lives here: the client's side, behind `card.interface.Readers`, and the frames that both sides speak. A frame is
four octets of length (big endian) and one JSON object; octet strings are hex. A request has "op", its answer "ok" or
"error" with "code", "message" and "advice", so that the other side's `ReaderError` arrives as what it was. Each
connection to a card has a socket of its own: when this process dies, the other end sees every one of them close.
Nothing is logged here: a frame may hold a PIN on its way to the card.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from renewagent.card.interface import ReaderState
from renewagent.errors import (
    CardBusy,
    CardRemoved,
    CardReset,
    NoCard,
    NoReader,
    PcscUnavailable,
    PinPadFailed,
    ReaderError,
)
from renewagent.language import _

Frame = dict[str, Any]

SCHEME = "unix:"
MAX_FRAME = 1 << 20
_ERRORS = {
    kind.code: kind for kind in (PcscUnavailable, NoReader, NoCard, CardRemoved, CardReset, CardBusy, PinPadFailed)
}


def send_frame(link: socket.socket, frame: Frame) -> None:
    """Write one frame. Raises OSError."""
    body = json.dumps(frame).encode()
    link.sendall(struct.pack(">I", len(body)) + body)


def receive_frame(link: socket.socket) -> Frame | None:
    """Read one frame, None when the other side has closed. Raises OSError, ValueError for what is no frame."""
    head = _receive(link, 4)
    if head is None:
        return None
    (length,) = struct.unpack(">I", head)
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} octets")
    body = _receive(link, length)
    frame = None if body is None else json.loads(body)
    if not isinstance(frame, dict | None):
        raise ValueError("a frame that is no object")
    return frame


def _receive(link: socket.socket, length: int) -> bytes | None:
    octets = bytearray()
    while len(octets) < length:
        part = link.recv(length - len(octets))
        if not part:
            return None
        octets += part
    return bytes(octets)


def describe_error(error: ReaderError) -> Frame:
    """The frame that carries `error` across."""
    return {"error": {"code": error.code, "message": error.message, "advice": error.advice}}


def describe_states(states: Mapping[str, ReaderState]) -> dict[str, list[Any]]:
    """Reader states as JSON: name to presence, events and answer to reset."""
    return {name: [state.present, state.events, state.atr.hex()] for name, state in states.items()}


def read_states(described: Mapping[str, Any]) -> dict[str, ReaderState]:
    """The inverse of `describe_states`."""
    return {
        name: ReaderState(bool(present), int(events), bytes.fromhex(atr))
        for name, (present, events, atr) in described.items()
    }


class _Line:
    """One socket to the other side: a question, then its answer. Connects at first use, and anew after a loss."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._link: socket.socket | None = None
        self._asking = threading.Lock()

    def ask(self, op: str, **fields: Any) -> Frame:
        """The answer to `op`. Raises the `ReaderError` that the other side raised; PcscUnavailable if it is gone."""
        try:
            with self._asking:
                link = self._connected()
                send_frame(link, {"op": op, **fields})
                answer = receive_frame(link)
        except (OSError, ValueError) as e:
            self.close()
            raise PcscUnavailable(_("The smartcard readers' service does not answer.")) from e
        if answer is None:
            self.close()
            raise PcscUnavailable(_("The smartcard readers' service has stopped."))
        return _checked(answer)

    def tell(self, op: str) -> None:
        """Send what has no answer, even while another thread waits for one."""
        link = self._link
        if link is not None:
            with contextlib.suppress(OSError):
                send_frame(link, {"op": op})

    def close(self) -> None:
        """Close the socket; the other side lets go of what hangs on it."""
        link, self._link = self._link, None
        if link is not None:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)  # `close` alone does not wake a thread that is reading
            link.close()

    def _connected(self) -> socket.socket:
        if self._link is None:
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                link.connect(self._path)
                _require_own(link)
            except (OSError, PcscUnavailable):
                link.close()
                raise
            self._link = link
        return self._link


def _require_own(link: socket.socket) -> None:
    """A passcode goes this way: to a process of the same user, by the kernel's word (SO_PEERCRED, unix(7)), or none."""
    _pid, user, _group = struct.unpack(
        "3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    if user != os.geteuid():
        raise PcscUnavailable(
            _("The smartcard readers' service belongs to another user of this computer, so it is not used."),
            advice=_("Ask your IT support to check card.readers in renewagent's configuration."),
        )


def _checked(answer: Frame) -> Frame:
    error = answer.get("error")
    if error is None:
        return answer
    kind = _ERRORS.get(error.get("code"), ReaderError)
    raise kind(str(error.get("message")), advice=error.get("advice"))


class RelayTransaction:
    """Exclusive use of the card; see `card.interface.Transaction`."""

    def __init__(self) -> None:
        self.resets = False

    def reset_at_end(self) -> None:
        """End with a reset of the card."""
        self.resets = True


class RelayConnection:
    """A connection to a card in another process; see `card.interface.CardConnection`."""

    def __init__(self, path: str, reader: str) -> None:
        self._line = _Line(path)
        self._reader = reader
        self._pad: bool | None = None
        try:
            self._atr = bytes.fromhex(self._line.ask("connect", reader=reader)["ok"])
        except ReaderError:
            self._line.close()
            raise
        self._open = True

    @property
    def reader(self) -> str:
        """The reader's full name."""
        return self._reader

    @property
    def atr(self) -> bytes:
        """The card's answer to reset."""
        return self._atr

    def transmit(self, command: bytes) -> bytes:
        """One exchange; raises what the other side's connection raises."""
        return bytes.fromhex(self._ask("transmit", command=command.hex())["ok"])

    def pin_pad(self) -> bool:
        """See `card.interface.HasPinPad`."""
        if self._pad is None:
            self._pad = bool(self._ask("pad")["ok"])
        return self._pad

    def verify_at_pad(self, verification: bytes) -> bytes:
        """See `card.interface.HasPinPad`: the passcode is typed, and stays, at the other side."""
        return bytes.fromhex(self._ask("verify-at-pad", verification=verification.hex())["ok"])

    @contextlib.contextmanager
    def transaction(self) -> Iterator[RelayTransaction]:
        """Raises CardBusy after 10 s."""
        self._ask("begin")
        transaction = RelayTransaction()
        try:
            yield transaction
        finally:
            if self._open:
                with contextlib.suppress(CardRemoved, PcscUnavailable):  # then nothing is left to end
                    self._ask("end", reset=transaction.resets)

    def close(self) -> None:
        """Leave the card as it is."""
        self._open = False
        self._line.close()

    def _ask(self, op: str, **fields: Any) -> Frame:
        if not self._open:
            raise CardRemoved(_("The connection to the smartcard was closed."))
        try:
            return self._line.ask(op, **fields)
        except PcscUnavailable:
            self._open = False
            raise


class RelayReaders:
    """Readers in another process; see `card.interface.Readers`. `where` is a configuration value, "unix:/path"."""

    def __init__(self, where: str) -> None:
        self._path = str(Path(where.removeprefix(SCHEME)))
        self._asking = _Line(self._path)
        self._waiting = _Line(self._path)
        self._cancelled = threading.Event()

    def connect(self, reader: str) -> RelayConnection:
        """Raises NoReader or NoCard."""
        return RelayConnection(self._path, reader)

    def states(self) -> Mapping[str, ReaderState]:
        """Every reader and what it holds now."""
        return read_states(self._asking.ask("states")["ok"])

    def wait(self, known: Mapping[str, ReaderState], timeout: float) -> Mapping[str, ReaderState]:
        """Sleep until something differs from `known`, the timeout (seconds) passes or `cancel` is called."""
        if not self._cancelled.is_set():
            states = read_states(self._waiting.ask("wait", known=describe_states(known), timeout=timeout)["ok"])
        else:  # cancelled before it began
            states = dict(self.states())
        self._cancelled.clear()
        return states

    def cancel(self) -> None:
        """End a `wait` in another thread, at once."""
        self._cancelled.set()
        self._waiting.tell("cancel")

    def close(self) -> None:
        """Let go of the other side."""
        self.cancel()
        self._asking.close()
        self._waiting.close()

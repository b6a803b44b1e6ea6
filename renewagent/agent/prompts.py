"""How a renewal speaks with a person: the `Prompter` protocol, and a channel that carries it across two processes.

The renewing child holds one end of a socket pair (`ChannelPrompter`), whoever has the person's terminal or screen holds
the other (`serve_channel`). The channel is JSON, one object per line, but for a passcode: its octets follow a line that
tells their number and go from the socket into a bytearray, so that they never pass through a JSON string. The
agent hands the child its end and never reads it. No drawing, no wording and no card in here.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from typing import Any, Protocol

from renewagent.agent.words import Message
from renewagent.errors import AgentError, ImpossiblePin, PersonStopped
from renewagent.language import _
from renewagent.model import CardIdentity
from renewagent.pin import Pin

MAX_LINE = 65536
MAX_PIN = 64
SEND_LIMIT = 5.0
"""Seconds after which a terminal that does not read (stopped by Ctrl-Z, say) counts as gone."""


class CardAct(Enum):
    """What the person is asked to do with a card."""

    REMOVE = "remove"
    INSERT = "insert"


class Prompter(Protocol):
    """A person, as the renewal sees one. The asking methods raise `PersonStopped`; the telling ones never fail."""

    def tell(self, message: Message) -> None:
        """Show a message; no answer is awaited."""

    def card_in_hand(self, reader: str, card: CardIdentity, holder: str, why: str) -> None:
        """Show which card this is about, whose it is, and `why` in a sentence; either of the two may be ""."""

    def progress(self, step: int, of: int, text: str, seconds_left: float | None = None) -> None:
        """Show how far we are: "Step 2 of 4: making the new key"."""

    def confirm(self, message: Message) -> bool:
        """Ask; True for the first of the message's actions."""

    def ask_pin(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        """Ask for the passcode of `card`; `message` says what for. The caller wipes the Pin. Raises ImpossiblePin."""

    def card_wanted(self, act: CardAct, reader: str, card: CardIdentity | None, message: Message) -> None:
        """Ask the person to remove or insert `card`; the caller watches the reader and does not wait here."""

    def stopped(self) -> bool:
        """True once the person cancelled or went away: asked now and then during long waits."""


class ChannelPrompter:
    """The child's end. Once the person has left (the other end sends no more), asking raises `PersonStopped`; what is
    told still arrives, as long as anybody listens."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._left = False
        self._gone = False

    @classmethod
    def from_fd(cls, fd: int) -> ChannelPrompter:
        """Take over an inherited descriptor (`--channel-fd N`)."""
        return cls(socket.socket(fileno=fd))

    def tell(self, message: Message) -> None:
        """See `Prompter`."""
        self._say({"say": "tell", "message": asdict(message)})

    def card_in_hand(self, reader: str, card: CardIdentity, holder: str, why: str) -> None:
        """See `Prompter`."""
        self._say({"say": "in-hand", "reader": reader, "card": asdict(card), "holder": holder, "why": why})

    def progress(self, step: int, of: int, text: str, seconds_left: float | None = None) -> None:
        """See `Prompter`."""
        self._say({"say": "progress", "step": step, "of": of, "text": text, "seconds_left": seconds_left})

    def confirm(self, message: Message) -> bool:
        """See `Prompter`."""
        return self._ask({"say": "confirm", "message": asdict(message)}).get("yes") is True

    def ask_pin(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        """See `Prompter`. The octets go from the socket into the Pin's own buffer."""
        asked = {"say": "pin", "card": asdict(card), "tries_left": tries_left, "message": asdict(message)}
        length = self._ask(asked).get("pin_octets")
        if isinstance(length, int) and MAX_PIN < length <= MAX_LINE:
            self._receive_into(bytearray(length))  # else they would be taken for the next answer
            raise ImpossiblePin(
                _("That is too long for a passcode, so it was not tried."),
                advice=_("Type the passcode of your smartcard. No try was used."),
            )
        if not isinstance(length, int) or not 0 < length <= MAX_PIN:
            raise PersonStopped(_("No passcode was typed."))
        octets = bytearray(length)
        try:
            self._receive_into(octets)
            return Pin(octets)
        finally:
            octets[:] = bytes(length)

    def card_wanted(self, act: CardAct, reader: str, card: CardIdentity | None, message: Message) -> None:
        """See `Prompter`."""
        who = asdict(card) if card else None
        self._say({"say": "card", "act": act.value, "reader": reader, "card": who, "message": asdict(message)})

    def stopped(self) -> bool:
        """See `Prompter`: true once the other end sends no more."""
        if self._left or self._gone:
            return True
        try:
            self._sock.settimeout(0)  # with any other time-out Python waits for it, whatever the flags say
            self._left = self._sock.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            self._left = self._gone = True
        return self._left

    def result(self, document: Mapping[str, Any]) -> None:
        """Hand the outcome over: `serve_channel` returns it."""
        self._say({"say": "result", "result": dict(document)})

    def close(self) -> None:
        """End the conversation."""
        self._gone = True
        self._sock.close()

    def _say(self, request: Mapping[str, Any]) -> None:
        if self._gone:
            return
        try:
            self._sock.settimeout(SEND_LIMIT)
            self._sock.sendall(json.dumps(request).encode() + b"\n")
        except OSError:
            self._gone = True  # half a line may have left: nothing more can be said on this channel

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._say(request)
        if self._left or self._gone:
            raise PersonStopped(_("The window or terminal that asked for this was closed."))
        answer = _read_line(self._sock)
        if answer is None:
            self._left = True
            raise PersonStopped(_("The window or terminal that asked for this was closed."))
        if answer.get("stopped"):
            why = answer.get("why")
            raise PersonStopped(why if isinstance(why, str) else _("You stopped the renewal."))
        return answer

    def _receive_into(self, octets: bytearray) -> None:
        view = memoryview(octets)
        while view:
            count = self._sock.recv_into(view)
            if not count:
                self._left = True
                raise PersonStopped(_("The window or terminal that asked for this was closed."))
            view = view[count:]


def serve_channel(sock: socket.socket, prompter: Prompter) -> dict[str, Any] | None:
    """The person's end: answer with a local prompter until the child closes. Returns the child's last `result`.

    Raises AgentError for something that is not our protocol. KeyboardInterrupt passes; ending what `sock` sends tells
    the child, and calling this once more hears it out.
    """
    result: dict[str, Any] | None = None
    while (request := _read_line(sock)) is not None:
        try:
            if request.get("say") == "result":
                result = dict(request["result"])
            else:
                _serve_one(sock, prompter, request)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise AgentError(_("The renewal said something that this program does not understand.")) from error
        except BrokenPipeError:
            break
    return result


def _serve_one(sock: socket.socket, prompter: Prompter, request: dict[str, Any]) -> None:
    kind = request["say"]
    if kind == "progress":
        prompter.progress(request["step"], request["of"], request["text"], request["seconds_left"])
        return
    if kind == "in-hand":
        texts = _only_texts({name: request[name] for name in ("reader", "holder", "why")})
        prompter.card_in_hand(
            texts["reader"], CardIdentity(**_only_texts(request["card"])), texts["holder"], texts["why"]
        )
        return
    message = _message(request["message"])
    if kind == "tell":
        prompter.tell(message)
    elif kind == "card":
        prompter.card_wanted(CardAct(request["act"]), request["reader"], _card(request["card"]), message)
    elif kind in ("confirm", "pin"):
        _answer(sock, prompter, request, message)
    else:
        raise ValueError(kind)


def _answer(sock: socket.socket, prompter: Prompter, request: dict[str, Any], message: Message) -> None:
    try:
        if request["say"] == "confirm":
            _send(sock, {"yes": prompter.confirm(message)})
            return
        card = _card(request["card"])
        if card is None:
            raise ValueError("a passcode for no card")
        with prompter.ask_pin(card, request["tries_left"], message) as pin:
            if pin.wiped:  # nothing typed
                raise PersonStopped(_("No passcode was typed."))
            octets = pin.reveal()
            _send(sock, {"pin_octets": len(octets)})
            sock.sendall(octets)
    except PersonStopped as stop:
        _send(sock, {"stopped": True, "why": stop.message})


def _message(fields: dict[str, Any]) -> Message:
    texts = dict(fields)
    actions = tuple(texts.pop("actions", ()))
    return Message(**_only_texts(texts), actions=tuple(_only_texts(dict(enumerate(actions))).values()))


def _card(fields: dict[str, Any] | None) -> CardIdentity | None:
    return CardIdentity(**_only_texts(fields)) if fields else None


def _only_texts(fields: dict[Any, Any]) -> dict[Any, str]:
    """As they are. Raises TypeError: what a prompter shows must be text."""
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise TypeError("something else than text")
    return fields


def _send(sock: socket.socket, answer: Mapping[str, Any]) -> None:
    sock.sendall(json.dumps(answer).encode() + b"\n")


def _read_line(sock: socket.socket) -> dict[str, Any] | None:
    """One JSON object, or None at the end. Octet by octet, so that no passcode is ever read ahead into a buffer."""
    line = bytearray()
    sock.settimeout(None)
    while not line.endswith(b"\n"):
        try:
            octet = sock.recv(1)
        except ConnectionResetError:
            return None
        if not octet:
            return None
        line += octet
        if len(line) > MAX_LINE:
            raise AgentError(_("The other program said more than can be understood."))
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:  # the second for arrays nested by the thousand
        raise AgentError(_("The other program said something that is not understood.")) from error
    if not isinstance(document, dict):
        raise AgentError(_("The other program said something that is not understood."))
    return document

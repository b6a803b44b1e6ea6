"""The channel between a renewal and a person: all crosses, a passcode as octets only, an absent person is noted."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from renewagent.agent import words
from renewagent.agent.prompts import MAX_PIN, CardAct, ChannelPrompter, serve_channel
from renewagent.agent.words import Message
from renewagent.errors import AgentError, ImpossiblePin, PersonStopped
from renewagent.model import CardIdentity
from renewagent.pin import Pin

CARD = CardIdentity("chuid", "00112233445566778899aabbccdd4821")
HELLO = Message("hello", "Title", "Body", "Advice", "RA-X", ("Yes, do it", "Not now"))


class Recorder:
    """A person who answers at once and remembers what was said."""

    def __init__(self, pin: str | None = "123456", agree: bool = True) -> None:
        self.said: list[object] = []
        self._pin = pin
        self._agree = agree

    def tell(self, message: Message) -> None:
        self.said.append(message)

    def card_in_hand(self, reader: str, card: CardIdentity, holder: str, why: str) -> None:
        self.said.append((reader, card, holder, why))

    def progress(self, step: int, of: int, text: str, seconds_left: float | None = None) -> None:
        self.said.append((step, of, text, seconds_left))

    def confirm(self, message: Message) -> bool:
        self.said.append(message)
        return self._agree

    def ask_pin(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        self.said.append((card, tries_left, message))
        if self._pin is None:
            raise PersonStopped("You stopped.")
        return Pin(self._pin)

    def card_wanted(self, act: CardAct, reader: str, card: CardIdentity | None, message: Message) -> None:
        self.said.append((act, reader, card, message))

    def stopped(self) -> bool:
        return False


Talk = Callable[[Recorder], ChannelPrompter]


@pytest.fixture
def talk() -> Iterator[Talk]:
    child, terminal = socket.socketpair()
    prompter = ChannelPrompter(child)
    threads = []

    def start(person: Recorder) -> ChannelPrompter:
        thread = threading.Thread(target=lambda: serve_channel(terminal, person))
        thread.start()
        threads.append(thread)
        return prompter

    yield start
    prompter.close()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    terminal.close()


def test_everything_that_is_said_arrives_as_it_was_said(talk: Talk) -> None:
    person = Recorder()
    prompter = talk(person)
    prompter.tell(HELLO)
    prompter.card_in_hand("Desk reader", CARD, "Nadia Osei", "It was issued with a fault.")
    prompter.progress(2, 4, "making the new key", 61.5)
    prompter.card_wanted(CardAct.INSERT, "Reader 0", CARD, HELLO)
    prompter.card_wanted(CardAct.REMOVE, "Reader 0", None, HELLO)
    assert prompter.confirm(HELLO) is True
    assert person.said == [
        HELLO,
        ("Desk reader", CARD, "Nadia Osei", "It was issued with a fault."),
        (2, 4, "making the new key", 61.5),
        (CardAct.INSERT, "Reader 0", CARD, HELLO),
        (CardAct.REMOVE, "Reader 0", None, HELLO),
        HELLO,
    ]


def test_no_is_no(talk: Talk) -> None:
    assert talk(Recorder(agree=False)).confirm(HELLO) is False


def test_a_passcode_crosses(talk: Talk) -> None:
    person = Recorder(pin='1"2\n3')
    with talk(person).ask_pin(CARD, 3, words.pin_wanted(CARD, 3)) as pin:
        assert pin.reveal() == b'1"2\n3'
    assert person.said == [(CARD, 3, words.pin_wanted(CARD, 3))]


@pytest.mark.parametrize("length", [MAX_PIN + 1, 5000])
def test_what_is_too_long_for_a_passcode_is_asked_for_again(talk: Talk, length: int) -> None:
    person = Recorder(pin="1" * length)
    prompter = talk(person)
    with pytest.raises(ImpossiblePin):
        prompter.ask_pin(CARD, 3, words.pin_wanted(CARD, 3))
    assert prompter.confirm(HELLO) is True  # its octets are not taken for the next answer
    assert not prompter.stopped()


def test_a_passcode_is_never_inside_json() -> None:
    child, terminal = socket.socketpair()
    seen = bytearray()

    def answer() -> None:
        tapped, inner = socket.socketpair()
        with tapped, inner:
            server = threading.Thread(target=lambda: serve_channel(inner, Recorder(pin="24680135")))
            server.start()
            while not seen.endswith(b"24680135"):
                if terminal in _readable(terminal, tapped):
                    tapped.sendall(terminal.recv(4096))
                else:
                    seen.extend(tapped.recv(4096))
            terminal.sendall(seen)
            tapped.shutdown(socket.SHUT_RDWR)
            server.join(5)

    thread = threading.Thread(target=answer)
    thread.start()
    with child, terminal:
        with ChannelPrompter(child).ask_pin(CARD, None, HELLO) as pin:
            assert pin.reveal() == b"24680135"
        thread.join(5)
    line, _, octets = bytes(seen).partition(b"\n")
    assert json.loads(line) == {"pin_octets": 8}
    assert octets == b"24680135"


def _readable(*socks: socket.socket) -> list[socket.socket]:
    import select

    return select.select(socks, [], [], 5)[0]


@pytest.mark.parametrize("pin", [None, ""])
def test_a_person_who_stops_at_the_passcode(talk: Talk, pin: str | None) -> None:
    with pytest.raises(PersonStopped):
        talk(Recorder(pin=pin)).ask_pin(CARD, 3, HELLO)


def test_a_closed_terminal_ends_asking_but_never_telling() -> None:
    child, terminal = socket.socketpair()
    prompter = ChannelPrompter(child)
    assert not prompter.stopped()
    terminal.close()
    assert prompter.stopped()
    prompter.tell(HELLO)
    prompter.progress(1, 2, "x")
    with pytest.raises(PersonStopped):
        prompter.confirm(HELLO)
    with pytest.raises(PersonStopped):
        prompter.ask_pin(CARD, 3, HELLO)
    prompter.close()


def test_a_terminal_that_goes_away_in_the_middle_of_a_question() -> None:
    child, terminal = socket.socketpair()
    with child:

        def read_and_leave() -> None:
            terminal.recv(65536)
            terminal.close()

        thread = threading.Thread(target=read_and_leave)
        thread.start()
        with pytest.raises(PersonStopped):
            ChannelPrompter(child).confirm(HELLO)
        thread.join(5)


def test_a_terminal_that_does_not_read_does_not_hold_up_the_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renewagent.agent.prompts.SEND_LIMIT", 0.05)
    child, terminal = socket.socketpair()
    with child, terminal:
        prompter = ChannelPrompter(child)
        big = Message("x", "x" * 60000, "")
        for _ in range(50):
            prompter.tell(big)
        assert prompter.stopped()


def test_the_result_is_handed_over() -> None:
    child, terminal = socket.socketpair()
    with terminal:
        prompter = ChannelPrompter(child)
        prompter.tell(HELLO)
        prompter.result({"ok": True})
        prompter.close()
        assert serve_channel(terminal, Recorder()) == {"ok": True}


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[]\n",
        b'{"say": "dance", "message": {}}\n',
        b'{"say": "tell"}\n',
        b"{" + b" " * 70000 + b"}\n",
        b"[" * 3000 + b"\n",
        b'{"say": "result"}\n',
        b'{"say": "result", "result": 1}\n',
        b'{"say": "tell", "message": ["a"]}\n',
        b'{"say": "tell", "message": {"kind": "a", "title": 1, "body": "b"}}\n',
        b'{"say": "tell", "message": {"kind": "a", "title": "b", "body": "c", "actions": [1]}}\n',
        b'{"say": "pin", "card": {"scheme": 1, "value": 2}, "message": {"kind": "a", "title": "b", "body": "c"}}\n',
    ],
)
def test_nonsense_is_refused(line: bytes) -> None:
    child, terminal = socket.socketpair()
    with child, terminal:
        sender = threading.Thread(target=child.sendall, args=(line,))
        sender.start()
        with pytest.raises(AgentError):
            serve_channel(terminal, Recorder())
        sender.join(5)

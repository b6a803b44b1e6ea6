"""The person behind a page, without one: answers reach the question they were meant for; names go with the card."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from renewagent.agent import words
from renewagent.agent.prompts import CardAct
from renewagent.agent.window import WindowPrompter
from renewagent.agent.window_states import Verb
from renewagent.agent.words import Message
from renewagent.errors import PersonStopped
from renewagent.model import CardIdentity
from tests.pcsc import until
from tests.window import Typist

CARD = CardIdentity("chuid", "00112233445566778899aabbccdd4821")
OTHER = CardIdentity("chuid", "00112233445566778899aabbccdd1170")
READER = "Desk reader"


class Asked(threading.Thread):
    """A question in a thread of its own, as the channel's."""

    def __init__(self, prompter: WindowPrompter, message: Message) -> None:
        super().__init__(daemon=True)
        self._prompter, self._message = prompter, message
        self.answer: Any = None
        self.start()
        until(lambda: prompter.shown().message.title == message.title)

    def run(self) -> None:
        try:
            self.answer = self._prompter.confirm(self._message)
        except PersonStopped as stopped:
            self.answer = stopped.message

    @property
    def answered(self) -> Any:
        self.join(5)
        assert not self.is_alive()
        return self.answer


@pytest.fixture
def stopped() -> list[str]:
    return []


@pytest.fixture
def typist() -> Typist:
    return Typist(["123456"])


@pytest.fixture
def prompter(stopped: list[str], typist: Typist) -> Iterator[WindowPrompter]:
    one = WindowPrompter(typist.again, lambda: stopped.append("stop"))
    yield one
    one.leave("")


def number(prompter: WindowPrompter) -> int:
    return prompter.shown().number


def test_yes_and_no(prompter: WindowPrompter) -> None:
    for verb, agreed in ((Verb.YES, True), (Verb.NO, False)):
        asked = Asked(prompter, words.before(CARD, 3))
        assert prompter.pressed(verb, number(prompter))
        assert asked.answered is agreed


def test_an_answer_counts_for_the_question_it_was_given_to_alone(prompter: WindowPrompter) -> None:
    first = Asked(prompter, words.before(CARD, 3))
    old = number(prompter)
    assert prompter.pressed(Verb.YES, old) and first.answered is True
    second = Asked(prompter, Message("before", "Another", "question", actions=("Yes", "No")))
    assert not prompter.pressed(Verb.YES, old)  # a second click on a page that is over
    assert not prompter.pressed(Verb.YES, number(prompter) + 1)
    assert not prompter.pressed(Verb.STOP, number(prompter))  # not offered here
    prompter.tell(words.wrong_pin(2))  # beside the question, which stays the same
    assert prompter.pressed(Verb.NO, number(prompter) - 1) and second.answered is False


def test_whoever_leaves_is_not_waited_for(prompter: WindowPrompter, stopped: list[str], typist: Typist) -> None:
    asked = Asked(prompter, words.before(CARD, 3))
    prompter.leave("Nobody was there.")
    assert asked.answered == "Nobody was there." and prompter.stopped()
    assert stopped == ["stop"] and typist.closed
    with pytest.raises(PersonStopped, match="Nobody was there"):
        prompter.ask_pin(CARD, 3, words.pin_wanted(CARD, 3))


def test_stop_ends_what_is_said_and_the_page_tells_so(prompter: WindowPrompter, stopped: list[str]) -> None:
    prompter.card_wanted(CardAct.INSERT, READER, CARD, words.insert_again(CARD))
    assert not prompter.stopped()
    assert prompter.pressed(Verb.STOP, number(prompter))
    assert prompter.stopped() and stopped == ["stop"] and prompter.shown().message.kind == "stopping"


def test_the_passcode_is_asked_for_elsewhere(prompter: WindowPrompter, typist: Typist) -> None:
    prompter.tell(words.wrong_pin(2))
    with prompter.ask_pin(CARD, 2, words.pin_wanted(CARD, 2)) as pin:
        assert pin.reveal() == b"123456"
    assert typist.heard == ["wrong-pin"] and [message.kind for message in typist.asked] == ["pin"]
    assert "123456" not in repr(prompter.shown())
    assert prompter.shown().message.title == "Keep the smartcard in"


def test_a_name_goes_and_comes_with_its_card(prompter: WindowPrompter) -> None:
    prompter.readers_are([READER])
    prompter.card_in_hand(READER, CARD, "Dr Nadia Osei", "")
    assert prompter.shown().holder == "Dr Nadia Osei"
    prompter.readers_are(["Another reader"])
    assert prompter.shown().holder == "" and prompter.shown().card == "4821"
    prompter.readers_are(["Another reader", READER])
    assert prompter.shown().holder == "Dr Nadia Osei"
    prompter.finish({"ok": True, "cards": []})
    assert prompter.shown().holder == ""
    prompter.readers_are([])
    prompter.readers_are([READER])
    assert prompter.shown().holder == ""  # nothing comes back once it is over


def test_a_card_that_leaves_takes_its_question_along(prompter: WindowPrompter) -> None:
    prompter.readers_are([READER])
    prompter.card_in_hand(READER, CARD, "Dr Nadia Osei", "It is faulty.")
    asked = Asked(prompter, words.before(CARD, 3))
    prompter.readers_are([])
    assert asked.answered == "The renewal was stopped because the smartcard was removed."


def test_a_card_that_comes_back_is_seen_and_so_is_a_wrong_one(prompter: WindowPrompter) -> None:
    prompter.readers_are([READER])
    prompter.card_in_hand(READER, CARD, "Dr Nadia Osei", "")
    prompter.card_wanted(CardAct.REMOVE, READER, CARD, Message("sign-in-again", "Remove it", "Now."))
    prompter.readers_are([])
    prompter.card_wanted(CardAct.INSERT, READER, CARD, words.insert_again(CARD))
    prompter.readers_are([READER])
    assert prompter.shown().message.kind == "card-back"
    prompter.tell(words.wrong_card(OTHER, CARD))
    assert prompter.shown().message.kind == "insert-again"
    assert [note.kind for note in prompter.shown().notes] == ["wrong-card"]
    prompter.readers_are([])
    prompter.readers_are([READER])
    assert prompter.shown().message.kind == "card-back" and prompter.shown().notes == ()


def test_the_end_and_what_may_follow(prompter: WindowPrompter, typist: Typist) -> None:
    prompter.finish(None)
    assert prompter.shown().message.title == "The renewal was cut off"
    wishes: list[Verb] = []
    thread = threading.Thread(target=lambda: wishes.append(prompter.next_wish(lambda: True)))
    thread.start()
    assert prompter.pressed(Verb.AGAIN, number(prompter))
    thread.join(5)
    assert wishes == [Verb.AGAIN]
    typist.closed = True
    prompter.begin_again()
    assert not prompter.stopped() and not typist.closed and prompter.shown().message.kind == "opening"
    prompter.finish({"ok": False, "error": {"code": "RA-PIN-BLOCKED", "message": "Locked.", "advice": ""}})
    assert prompter.next_wish(lambda: False) is Verb.CLOSE  # nobody is there


def test_whoever_waits_for_news_gets_them(prompter: WindowPrompter) -> None:
    news: list[int] = []
    prompter.on_change(lambda: news.append(0))
    prompter.tell(words.card_busy())
    prompter.progress(1, 4, "asking", 30)
    assert len(news) == 2

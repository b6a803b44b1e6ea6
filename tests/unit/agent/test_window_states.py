"""What the page shows: every message has its place, every end its next step, and no name outlives its card."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from renewagent import errors
from renewagent.agent import desk_words, removal_words, window_states, words
from renewagent.agent.window_states import STATES, Progress, Shown, Stage, Tone, Verb, becomes, ended, noted, opening
from renewagent.agent.words import Message
from renewagent.model import CardIdentity
from renewagent.rules import Contact

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CARD = CardIdentity("chuid", "00112233445566778899aabbccdd4821")
CONTACT = Contact(name="The RA desk", phone="0300 000 0000")
AT_START = window_states.about(opening(), CARD, "Dr Nadia Osei", "Desk reader")


def labels(shown: Shown) -> list[tuple[Verb, str]]:
    return [(button.verb, button.label) for button in shown.buttons]


@pytest.mark.parametrize(
    ("message", "tone", "stage", "says"),
    [
        (words.before(CARD, 3), Tone.ASK, Stage.START, "You have 3 tries for your passcode."),
        (words.pin_wanted(CARD, 3), Tone.DO, Stage.START, "Type your passcode in the window that has opened."),
        (words.card_busy(), Tone.TROUBLE, Stage.START, "Another program is using the smartcard. Close it."),
        (
            words.pulled_unsafe(CARD),
            Tone.TROUBLE,
            Stage.RENEW,
            "You cannot sign prescriptions with this smartcard yet.",
        ),
        (words.pulled_half_way(CARD), Tone.TROUBLE, Stage.RENEW, "The smartcard was removed."),
        (words.waiting(NOW, NOW, CONTACT), Tone.WAIT, Stage.RENEW, "You will be told when it is ready."),
        (desk_words.busy_ra(NOW, NOW, CONTACT), Tone.WAIT, Stage.START, "It is busy"),
        (
            removal_words.sign_in_again(CARD, removal_ends_session=True),
            Tone.DO,
            Stage.REMOVE,
            "Your smartcard is renewed. Now remove it, put it back in and sign in again.",
        ),
        (words.insert_again(CARD), Tone.DO, Stage.RETURN, "Your smartcard is out. Insert the smartcard ending 4821"),
        (words.done(CARD), Tone.GOOD, Stage.DONE, "You can sign prescriptions with the smartcard ending 4821."),
    ],
)
def test_each_situation_has_its_tone_its_stage_and_its_words(
    message: Message, tone: Tone, stage: Stage, says: str
) -> None:
    now = becomes(AT_START, message)
    assert (now.tone, now.stage) == (tone, stage) and says in now.message.body
    assert now.number == AT_START.number + 1
    assert message.title.rstrip(".") in now.aloud and says.rstrip(".") in now.aloud


def test_every_shape_has_a_word_and_every_wait_a_way_out() -> None:
    assert len({tone.value for tone in Tone}) == len(Tone)
    for kind in (
        "card-busy",
        "pulled-unsafe",
        "pulled-half-way",
        "sign-in-again",
        "insert-again",
        "waiting",
        "busy-ra",
    ):
        assert [button.verb for button in STATES[kind].buttons] == [Verb.STOP]
    for kind in ("running", "working", "pin"):  # "Keep the smartcard in"; a passcode is cancelled where it is typed
        assert STATES[kind].buttons == ()


def test_progress_is_what_was_said_and_no_more() -> None:
    now = window_states.running(AT_START, Progress(2, 4, "making the new key", 60))
    assert now.message.title == "Keep the smartcard in"
    assert now.message.body == "Step 2 of 4: making the new key. About 1 minute left."
    assert window_states.running(now, Progress(3, 4, "writing")).message.body == "Step 3 of 4: writing."


def test_notes_go_with_their_state_but_for_those_that_last() -> None:
    asked = noted(becomes(AT_START, words.pin_wanted(CARD, 2)), words.wrong_pin(2))
    again = becomes(asked, words.pin_wanted(CARD, 2))
    assert [note.kind for note in again.notes] == ["wrong-pin"]
    assert window_states.running(again, Progress(1, 4, "x")).notes == ()
    lasting = noted(AT_START, Message("pair-left", "Title", "Body"))
    assert [note.kind for note in window_states.running(lasting, Progress(1, 4, "x")).notes] == ["pair-left"]
    assert len(noted(noted(AT_START, words.wrong_pin(2)), words.wrong_pin(1)).notes) == 1


def test_another_card_is_spoken_of_no_more_once_it_goes_on() -> None:
    """Also where nobody has seen it leave, and the right one come."""
    other = CardIdentity("chuid", "00112233445566778899aabbccdd1170")
    in_the_way = noted(becomes(AT_START, words.insert_again(CARD)), words.wrong_card(other, CARD))
    assert becomes(in_the_way, words.pin_wanted(CARD, 3)).notes == ()


@pytest.mark.parametrize(
    ("code", "others"),
    [("RA-UNREACHABLE", True), ("RA-IMPOSSIBLE", True), ("RA-STOPPED", False), ("RA-NOT-YET", False)],
)
def test_details_are_offered_where_somebody_else_is_needed(code: str, others: bool) -> None:
    error = {"code": code, "message": "It did not.", "advice": "Ask."}
    assert window_states.for_others(ended(AT_START, error, more=False)) == others
    assert not window_states.for_others(becomes(AT_START, Message("error", "It did not", "", code=code)))


CODES = {
    error.code: error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.RenewAgentError)
}


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_error_ends_with_a_next_step(code: str) -> None:
    """Try again where that can help; Close, and whom to ask, everywhere."""
    said = {"code": code, "message": "What happened.", "advice": "What to do. Contact: The RA desk."}
    last = ended(AT_START, said, more=False)
    never = CODES[code].retry is errors.Retry.NEVER or code == "RA-NOT-YET"  # its turn comes at a time that was named
    wanted = [(Verb.CLOSE, "Close")] if never else [(Verb.AGAIN, "Try again"), (Verb.CLOSE, "Close")]
    assert labels(last) == wanted
    assert last.over and last.holder == "" and last.tone in (Tone.TROUBLE, Tone.WAIT)
    assert (last.message.body, last.message.code) == ("What happened.", code) and "The RA desk" in last.message.advice


def test_what_was_told_already_keeps_its_title() -> None:
    told = words.for_error(errors.PinBlocked("There are no tries left."), CONTACT)
    said = {"code": told.code, "message": told.body, "advice": told.advice}
    assert ended(becomes(AT_START, told), said, more=False).message.title == "Your smartcard is locked"


def test_half_done_is_gone_on_with() -> None:
    unsafe = words.pulled_unsafe(CARD)
    last = ended(AT_START, {"code": "RA-STOPPED", "message": unsafe.body, "advice": unsafe.advice}, more=False)
    assert last.message.title == "Renewal is not finished" and labels(last)[0] == (Verb.AGAIN, "Continue")
    left = words.done_not_signed_in(CARD, CONTACT)
    last = ended(AT_START, {"code": "RA-STOPPED", "message": left.body, "advice": left.advice}, more=False)
    assert last.message.title == "One step is left" and labels(last)[0] == (Verb.AGAIN, "Continue")
    assert "select Continue, and sign in again" in last.message.advice and "run:" not in last.message.advice


def test_done_is_done() -> None:
    done = becomes(AT_START, words.done(CARD))
    last = ended(done, None, more=False)
    assert last.over and last.buttons == () and last.tone is Tone.GOOD and last.holder == "" and last.card == "4821"
    more = ended(noted(done, words.more_cards(1, 2, None)), None, more=True)
    assert labels(more) == [(Verb.AGAIN, "Continue with the next smartcard"), (Verb.CLOSE, "Close")]


def test_details_for_it_name_nobody() -> None:
    failed = becomes(AT_START, words.for_error(errors.RaUnreachable("It cannot be reached."), CONTACT))
    text = window_states.details(failed, "1.2.3")
    assert "Nadia" not in text
    assert text.splitlines() == [
        "renewagent: 1.2.3",
        "Code: RA-UNREACHABLE",
        "What happened: The renewal cannot go on now. It cannot be reached.",
        "Smartcard: ending 4821",
        "Reader: Desk reader",
        "Part: Start",
    ]

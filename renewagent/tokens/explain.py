"""Why "Your OTP has been entered incorrectly": a tree of questions that ends in what is wrong and what to do. Pure.

A terminal, a page and `--json` walk the same tree: `walk(answers)` gives the next question, or the end. What the desk
knows already need not be asked: `known` turns it into answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import MappingProxyType

from renewagent.language import N_, _
from renewagent.tokens.errors import FormError
from renewagent.tokens.model import TokenKind, TokenStanding, TokenState

MESSAGE = "Failed to Transmit Prescription(s) Your OTP has been entered incorrectly. Please re-type the OTP."
"""What the person sees."""


class NextStep(Enum):
    """What a page or a terminal offers at the end."""

    TYPE_AGAIN = "type-again"
    WAIT = "wait"
    RESYNCHRONISE = "resync"
    RESET = "reset"
    REPLACE = "replace"
    ACTIVATE_SPARE = "spare"
    REGISTER = "register"
    SOFT_TOKEN = "softtoken"  # noqa: S105  # no password
    SET_CLOCK = "set-clock"
    ASK = "ask-administrator"


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer: its key, its words, and the name of what follows in the tree."""

    key: str
    words: str
    leads_to: str


@dataclass(frozen=True, slots=True)
class Question:
    """`hint`: how to find out."""

    name: str
    asks: str
    hint: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Ending:
    """What is wrong, and what to do next."""

    name: str
    said: str
    advice: str
    step: NextStep


@dataclass(frozen=True, slots=True)
class Walk:
    """How far the answers lead: what was asked and answered, and where that ends for now."""

    answered: tuple[tuple[Question, Choice], ...]
    at: Question | Ending

    @property
    def is_over(self) -> bool:
        """Nothing is left to ask."""
        return isinstance(self.at, Ending)


_QUESTIONS = (
    Question(
        "kind",
        N_("Where does the code come from?"),
        "",
        (
            Choice("hardware", N_("A hardware token with a button"), "state"),
            Choice("soft", N_("An app on a phone"), "soft-message"),
        ),
    ),
    Question(
        "state",
        N_("What is the token called on the page Tokens?"),
        N_("Its state stands next to its serial number."),
        (
            Choice("active", N_("Active"), "serial"),
            Choice("spare", N_("Spare"), "is-spare"),
            Choice("deactivated", N_("Deactivated, or lost"), "is-over"),
            Choice("suspended", N_("Suspended"), "is-suspended"),
            Choice("missing", N_("It is not there"), "is-missing"),
        ),
    ),
    Question(
        "serial",
        N_("Is the serial number on the screen the one on the back of the token?"),
        N_("Turn the token over and compare every character."),
        (
            Choice("same", N_("Yes, the same"), "locked"),
            Choice("other", N_("No, another one"), "is-other"),
        ),
    ),
    Question(
        "locked",
        N_("Were there many wrong codes in a row?"),
        N_("After five in a row the token is locked for a while, and a right code is not looked at either."),
        (
            Choice("no", N_("No"), "display"),
            Choice("yes", N_("Yes, five or more just now"), "is-locked"),
        ),
    ),
    Question(
        "display",
        N_("What does the token show when you press the button?"),
        N_("Press it once, and wait until the digits stand still."),
        (
            Choice("code", N_("Six digits"), "typed"),
            Choice("blank", N_("Nothing, or parts of digits"), "is-broken"),
            Choice("error", N_("Words, or a battery"), "is-broken"),
        ),
    ),
    Question(
        "typed",
        N_("Press the button once and type the new code, without a space. What happens?"),
        N_("Each code works once. Do not press again before you have typed it."),
        (
            Choice("works", N_("It works now"), "was-mistyped"),
            Choice("refused", N_("The same message again"), "resync"),
        ),
    ),
    Question(
        "resync",
        N_("Have you resynchronised it with two codes since?"),
        N_(
            "The token counts how often its button was pressed. If it was pressed without the code being used, "
            "the two counts drift apart."
        ),
        (
            Choice("no", N_("No"), "is-ahead"),
            Choice("accepted", N_("Yes, and it was accepted, but codes are still refused"), "is-puzzling"),
            Choice("refused", N_("Yes, and that was refused as well"), "is-beyond"),
        ),
    ),
    Question(
        "soft-message",
        N_("Which message do you see?"),
        "",
        (
            Choice("expired", N_('"Soft Token Expired"'), "is-expired"),
            Choice("incorrect", N_('"Your OTP has been entered incorrectly"'), "soft-device"),
        ),
    ),
    Question(
        "soft-device",
        N_("Has anything about the phone or the app changed since it last worked?"),
        N_("A new phone, the app installed again, or its password changed."),
        (
            Choice("changed", N_("Yes"), "is-expired"),
            Choice("same", N_("No"), "clock"),
        ),
    ),
    Question(
        "clock",
        N_("Does the phone set its date and time by itself?"),
        N_(
            "Look in the phone's settings under Date and time. Such codes hold for half a minute, by the phone's clock."
        ),
        (
            Choice("automatic", N_("Yes"), "soft-typed"),
            Choice("by-hand", N_("No, or it is wrong"), "is-clock"),
        ),
    ),
    Question(
        "soft-typed",
        N_("Wait for a fresh code, and type it at once. What happens?"),
        N_("A code that is about to change may be over when it arrives, and each works once."),
        (
            Choice("works", N_("It works now"), "was-mistyped"),
            Choice("refused", N_("The same message again"), "soft-ahead"),
        ),
    ),
)

_ENDINGS = (
    Ending(
        "was-mistyped",
        N_("The code was mistyped, used before, or over when it arrived."),
        N_("Nothing more to do. Type each code once, as soon as it is shown."),
        NextStep.TYPE_AGAIN,
    ),
    Ending(
        "is-locked",
        N_("The token is locked for a while, because several wrong codes came in a row."),
        N_("Wait until the lock ends, then type a fresh code once. Trying before that does not help."),
        NextStep.WAIT,
    ),
    Ending(
        "is-other",
        N_("This is not the token that is registered for you."),
        N_("Take the one whose serial number is on the screen. If you no longer have it, report it as lost."),
        NextStep.REGISTER,
    ),
    Ending(
        "is-spare",
        N_("This token is your spare: it does not work until it takes over."),
        N_(
            "Use your active token. If that one is lost or broken, activate the spare; the other one is then "
            "deactivated for good."
        ),
        NextStep.ACTIVATE_SPARE,
    ),
    Ending(
        "is-over",
        N_("This token was deactivated. That is for good: it never works again."),
        N_("Use your active token, or order another one."),
        NextStep.REPLACE,
    ),
    Ending(
        "is-suspended",
        N_("This token is suspended."),
        N_("Ask your EPCS administrator why, and what is needed for it to work again."),
        NextStep.ASK,
    ),
    Ending(
        "is-missing",
        N_("This token is not registered for you."),
        N_("Register it with the serial number on its back."),
        NextStep.REGISTER,
    ),
    Ending(
        "is-broken",
        N_("The token is broken, or its battery is empty."),
        N_("Take pictures of its front and back and order a replacement. Use your spare meanwhile."),
        NextStep.REPLACE,
    ),
    Ending(
        "is-ahead",
        N_("The token is ahead: its button was pressed and the codes were not used."),
        N_("Resynchronise it with two codes, one after the other. That helps up to 75 presses."),
        NextStep.RESYNCHRONISE,
    ),
    Ending(
        "is-beyond",
        N_("The token is too far ahead to be resynchronised with two codes: pressed more than 75 times, for instance."),
        N_("Have the vendor reset it. You will be told when that is done."),
        NextStep.RESET,
    ),
    Ending(
        "is-puzzling",
        N_("The token and the vendor agree, and still the EHR refuses its codes."),
        N_("Ask your EPCS administrator whether the EHR has this token registered for you."),
        NextStep.ASK,
    ),
    Ending(
        "is-expired",
        N_("The EHR still has the registration of before: it wants the phone registered anew."),
        N_("Register the soft token anew. You are led through it step by step."),
        NextStep.SOFT_TOKEN,
    ),
    Ending(
        "is-clock",
        N_("The phone's clock is wrong, so its codes are those of another time."),
        N_("Switch on the setting by which the phone sets its date and time itself. Then type a fresh code."),
        NextStep.SET_CLOCK,
    ),
    Ending(
        "soft-ahead",
        N_("The app and the vendor do not agree about the code."),
        N_("Synchronise the app with the vendor. If that does not help, register the soft token anew."),
        NextStep.SOFT_TOKEN,
    ),
)

START = "kind"
TREE: Mapping[str, Question | Ending] = MappingProxyType({each.name: each for each in (*_QUESTIONS, *_ENDINGS)})
"""Every question and every ending, by name; it begins at START."""


def walk(answers: Mapping[str, str]) -> Walk:
    """Go as far as the answers lead: question's name to choice's key. Raises FormError (its field is the question) for
    a choice that there is not; answers to what is not asked do no harm."""
    at, answered = TREE[START], []
    while isinstance(at, Question) and at.name in answers:
        chosen = next((choice for choice in at.choices if choice.key == answers[at.name]), None)
        if chosen is None:
            words = ", ".join(choice.key for choice in at.choices)
            raise FormError(_('"{asks}" is answered by one of: {words}.').format(asks=_(at.asks), words=words), at.name)
        answered.append((at, chosen))
        at = TREE[chosen.leads_to]
    return Walk(tuple(answered), at)


def known(
    standing: TokenStanding | None, now: datetime, *, resynchronised: datetime | None, refused: datetime | None
) -> dict[str, str]:
    """The answers that the desk has itself. `standing`: of the token whose serial was typed from its back, None for
    one that is not the person's; `resynchronised`, `refused`: when that last succeeded and was last refused."""
    if standing is None:
        return {"kind": "hardware", "state": "missing"}
    if standing.kind is TokenKind.SOFT:
        return {"kind": "soft"}
    state = "deactivated" if standing.state.is_over else standing.state.value
    found = {"kind": "hardware", "state": state, "serial": "same"}
    if standing.state is TokenState.ACTIVE:
        found["locked"] = "yes" if standing.locked_until is not None and standing.locked_until > now else "no"
    if refused is not None and (resynchronised is None or refused > resynchronised):
        found["resync"] = "refused"
    return found


def to_json(walked: Walk) -> dict[str, object]:
    """For `--json` and the API: {"answered": [...], "question": {...}} or {"answered": [...], "ending": {...}}."""
    answered = [
        {"question": question.name, "asks": question.asks, "answer": choice.key, "words": choice.words}
        for question, choice in walked.answered
    ]
    at = walked.at
    if isinstance(at, Ending):
        ending = {"name": at.name, "said": at.said, "advice": at.advice, "step": at.step.value}
        return {"answered": answered, "ending": ending}
    choices = [{"key": choice.key, "words": choice.words} for choice in at.choices]
    return {
        "answered": answered,
        "question": {"name": at.name, "asks": at.asks, "hint": at.hint, "choices": choices},
    }

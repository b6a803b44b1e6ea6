"""What the window shows in each situation of a renewal: one table from the kind of a message to how it looks, which
part of the way it is on, and what the person can press. Pure; the sentences are those of `renewagent.agent.words`,
which a terminal says as well, and a few of the window's own.

A message either becomes the state of the page or a note beside the state; `STATES` says which.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType

from renewagent.agent import words
from renewagent.agent.words import Message
from renewagent.model import CardIdentity


class Tone(Enum):
    """How a state is marked: always by a shape and a word, the colour is besides."""

    ASK = "Your answer is needed"
    DO = "Your turn"
    WORK = "Renewing"
    WAIT = "Waiting"
    GOOD = "Done"
    TROUBLE = "Stopped"


class Verb(Enum):
    """What a button does."""

    YES = "yes"
    NO = "no"
    STOP = "stop"
    AGAIN = "again"
    CLOSE = "close"


class Stage(Enum):
    """The parts of the way, in order."""

    START = "Start"
    RENEW = "Renew the smartcard"
    REMOVE = "Remove it"
    RETURN = "Put it back in and sign in"
    DONE = "Done"


@dataclass(frozen=True, slots=True)
class Button:
    """One thing to press; the first of several is the one that most people want."""

    verb: Verb
    label: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Step `step` of `of`, and the seconds that are left where somebody knows."""

    step: int
    of: int
    text: str
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How a kind of message looks. `stage` None: that which it was before. `lead`: a sentence before the message's own.
    `keeps`: the notes of the state before stay beside it."""

    tone: Tone
    stage: Stage | None = None
    buttons: tuple[Button, ...] = ()
    lead: str = ""
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """The page at one moment; `number` rises with every change. `holder` and `card` are of the card in hand, "" where
    there is none. `over`: nothing more will come of itself."""

    number: int
    message: Message
    tone: Tone
    stage: Stage
    buttons: tuple[Button, ...] = ()
    notes: tuple[Message, ...] = ()
    progress: Progress | None = None
    holder: str = ""
    card: str = ""
    reader: str = ""
    over: bool = False

    @property
    def aloud(self) -> str:
        """What a screen reader is told of it: the same words as on the page."""
        notes = [part for note in self.notes for part in (note.title, note.body, note.advice)]
        own = (self.message.title, self.message.body, self.message.advice)
        parts = [part.rstrip(".") for part in (*notes, *own) if part]
        return ". ".join(parts) + "." if parts else ""


_STOP = (Button(Verb.STOP, "Stop here"),)
_STOP_WAITING = (Button(Verb.STOP, "Stop waiting"),)
_CLOSE = Button(Verb.CLOSE, "Close")

STATES: Mapping[str, Look] = MappingProxyType(
    {
        "opening": Look(Tone.WORK, Stage.START, keeps=True),
        "before": Look(Tone.ASK, Stage.START, keeps=True),
        "working": Look(Tone.WORK, keeps=True),
        "running": Look(Tone.WORK, Stage.RENEW),
        "pin": Look(Tone.DO, keeps=True, lead="Type your passcode in the window that has opened."),
        "officer-pin": Look(Tone.DO, keeps=True, lead="Type the passcode in the window that has opened."),
        "pin-pad": Look(Tone.DO, keeps=True),
        "pin-not-typed": Look(Tone.ASK, keeps=True),
        "card-busy": Look(Tone.TROUBLE, buttons=_STOP),
        "pulled-unsafe": Look(Tone.TROUBLE, Stage.RENEW, _STOP),
        "pulled-half-way": Look(Tone.TROUBLE, Stage.RENEW, _STOP),
        "sign-in-again": Look(Tone.DO, Stage.REMOVE, _STOP),
        "shows-old": Look(Tone.DO, Stage.REMOVE, _STOP),
        "insert-again": Look(Tone.DO, Stage.RETURN, _STOP, lead="Your smartcard is out."),
        "card-back": Look(Tone.WORK, keeps=False),
        "waiting": Look(Tone.WAIT, Stage.RENEW, _STOP_WAITING),
        "busy-ra": Look(Tone.WAIT, buttons=_STOP_WAITING),
        "stopping": Look(Tone.WAIT),
        "done": Look(Tone.GOOD, Stage.DONE, keeps=True),
        "not-affected": Look(Tone.GOOD, Stage.DONE, keeps=True),
        "error": Look(Tone.TROUBLE, keeps=True),
    }
)
"""By the message's kind. One that is told and not here is a note beside the state that stands."""

LASTING = frozenset({"pair-left", "more-cards", "software-shows-old", "journal-put-aside", "ordered"})
"""Notes that stay to the end; the others go with the state that they were told in."""

OPENING = Message("opening", "Looking at your smartcard", "Keep your smartcard in the reader.")
WORKING = Message("working", "Keep the smartcard in", "Your smartcard is being renewed.")
_RUNNING = "Renewing. Keep the smartcard in. "
"""Stands in the heading, and in the mark beside it."""
CARD_BACK = Message("card-back", "Your smartcard is in", "It is being checked. Keep it in the reader.")
AGENT_GONE = Message(
    "error",
    "The renewal was cut off",
    "The program that renews your smartcard has ended before it said how it went. Nothing is lost.",
    "Keep your smartcard in the reader and select Try again. It goes on from where it was.",
    "RA-AGENT",
)
NOBODY = "Nobody answered on the page, so the renewal was stopped."
CARD_LEFT = "The renewal was stopped because the smartcard was removed."

_NEVER = frozenset(
    "RA-CONFIGURATION RA-CARD-UNSUPPORTED RA-CARD-FULL RA-CARD-DATA RA-PIN-LAST-TRY RA-PIN-BLOCKED RA-CARD-ADMIN "
    "RA-CAMPAIGN RA-REFUSED RA-MISBEHAVED RA-IMPOSSIBLE RA-NOT-YET".split()
)
"""Codes of errors for which trying again, now, is no help (`renewagent.errors.Retry`)."""
_BY_COMMAND = re.compile(r"([Rr])un: renewagent renew\b")


def opening() -> Shown:
    """What a page shows that is opened before anything was said."""
    look = STATES["opening"]
    return Shown(0, OPENING, look.tone, look.stage or Stage.START)


def becomes(before: Shown, message: Message, progress: Progress | None = None) -> Shown:
    """The state after a message of a kind that is in `STATES`."""
    look = STATES[message.kind]
    body = f"{look.lead} {message.body.removeprefix(message.title + '.')}".replace("  ", " ").strip()
    buttons = _asked(message) if look.tone is Tone.ASK else look.buttons
    return replace(
        before,
        number=before.number + 1,
        message=replace(message, body=body),
        tone=look.tone,
        stage=look.stage or before.stage,
        buttons=buttons,
        notes=before.notes if look.keeps else tuple(note for note in before.notes if note.kind in LASTING),
        progress=progress,
    )


def noted(before: Shown, note: Message) -> Shown:
    """The same state with one more note beside it; one of the same kind gives way to it."""
    others = tuple(one for one in before.notes if one.kind != note.kind)
    return replace(before, number=before.number + 1, notes=(*others, note))


def running(before: Shown, progress: Progress) -> Shown:
    """A step of the renewal itself."""
    said = words.running(progress.step, progress.of, progress.text, progress.seconds_left)
    return becomes(before, Message("running", WORKING.title, said.removeprefix(_RUNNING)), progress)


def about(before: Shown, card: CardIdentity, holder: str, reader: str) -> Shown:
    """The card in hand is another one, or is there again."""
    return replace(before, number=before.number + 1, holder=holder, card=card.ending, reader=reader)


def nameless(before: Shown) -> Shown:
    """The card is out: whose it is, is nobody's business any more."""
    return replace(before, number=before.number + 1, holder="") if before.holder else before


def ended(before: Shown, error: Mapping[str, str] | None, *, more: bool) -> Shown:
    """The last page: `error` as in result documents, None where all went well; `more`: another card is to follow."""
    last = before if error is None else becomes(before, _failure(before, error))
    label = _again_label(last, error) if error is not None else "Continue with the next smartcard"
    again = more if error is None else error["code"] not in _NEVER
    buttons = (Button(Verb.AGAIN, label), _CLOSE) if again else (_CLOSE,) if error is not None else ()
    tone = last.tone if error is None else _tone(error["code"])
    message = _by_button(last.message, label) if again else last.message
    return replace(
        last, number=before.number + 1, message=message, tone=tone, buttons=buttons, holder="", progress=None, over=True
    )


def _failure(before: Shown, error: Mapping[str, str]) -> Message:
    """What was told of it already, where it was; else what it means is read off its own sentence, which knows."""
    if before.message.kind == "error" and before.message.code == error["code"]:
        return before.message
    titles = {words.pulled_unsafe(None).body: words.pulled_unsafe(None).title, **_BY_CODE}
    title = titles.get(error["message"]) or titles.get(error["code"], "That did not work")
    if "not signed in with it yet" in error["message"]:
        title = "One step is left"
    return Message("error", title, error["message"], error.get("advice", ""), error["code"])


_BY_CODE = {"RA-STOPPED": "Stopped", "RA-AGENT": "The renewal cannot start"}


def _again_label(last: Shown, error: Mapping[str, str]) -> str:
    half_done = words.pulled_unsafe(None).body in error["message"] or last.message.title == "One step is left"
    return "Continue" if half_done else "Try again"


def _tone(code: str) -> Tone:
    return Tone.WAIT if code in ("RA-NOT-YET", "RA-WAITING") else Tone.TROUBLE


def _by_button(message: Message, label: str) -> Message:
    """On a page there is a button for what a terminal has a command for."""

    def pressed(found: re.Match[str]) -> str:
        return f"{'S' if found[1] == 'R' else 's'}elect {label}"

    return replace(
        message, body=_BY_COMMAND.sub(pressed, message.body), advice=_BY_COMMAND.sub(pressed, message.advice)
    )


def _asked(message: Message) -> tuple[Button, ...]:
    first, *others = message.actions or ("Start renewal", "Not now")
    return Button(Verb.YES, first), Button(Verb.NO, others[0] if others else "Not now")


def details(shown: Shown, version: str) -> str:
    """For the help desk: what happened, and nothing about whom."""
    lines = {
        "renewagent": version,
        "Code": shown.message.code or "none",
        "What happened": " ".join((shown.message.title + ".", shown.message.body)),
        "Smartcard": f"ending {shown.card}" if shown.card else "",
        "Reader": shown.reader,
        "Part": shown.stage.value,
        "Step": f"{shown.progress.step} of {shown.progress.of}" if shown.progress else "",
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items() if value)

"""What the window shows in each situation of a renewal: one table from the kind of a message to how it looks, which
part of the way it is on, and what the person can press. Pure; the sentences are those of `renewagent.agent.words`,
which a terminal says as well, and a few of the window's own.

A message either becomes the state of the page or a note beside the state; `STATES` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType

from renewagent.agent import words
from renewagent.agent.words import Message
from renewagent.language import N_, _
from renewagent.model import CardIdentity


class Tone(Enum):
    """How a state is marked: always by a shape and a word, the colour is besides."""

    ASK = N_("Your answer is needed")
    DO = N_("Your turn")
    WORK = N_("Renewing")
    WAIT = N_("Waiting")
    GOOD = N_("Done")
    TROUBLE = N_("Stopped")


class Verb(Enum):
    """What a button does."""

    YES = "yes"
    NO = "no"
    STOP = "stop"
    AGAIN = "again"
    CLOSE = "close"


class Stage(Enum):
    """The parts of the way, in order."""

    START = N_("Start")
    RENEW = N_("Renew the smartcard")
    REMOVE = N_("Remove it")
    RETURN = N_("Put it back in and sign in")
    DONE = N_("Done")


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


_STOP = (Button(Verb.STOP, N_("Stop here")),)
_STOP_WAITING = (Button(Verb.STOP, N_("Stop waiting")),)
_CLOSE = Button(Verb.CLOSE, N_("Close"))

STATES: Mapping[str, Look] = MappingProxyType(
    {
        "opening": Look(Tone.WORK, Stage.START, keeps=True),
        "before": Look(Tone.ASK, Stage.START, keeps=True),
        "working": Look(Tone.WORK, keeps=True),
        "running": Look(Tone.WORK, Stage.RENEW),
        "pin": Look(Tone.DO, keeps=True, lead=N_("Type your passcode in the window that has opened.")),
        "officer-pin": Look(Tone.DO, keeps=True, lead=N_("Type the passcode in the window that has opened.")),
        "pin-pad": Look(Tone.DO, keeps=True),
        "pin-not-typed": Look(Tone.ASK, keeps=True),
        "card-busy": Look(Tone.TROUBLE, buttons=_STOP),
        "pulled-unsafe": Look(Tone.TROUBLE, Stage.RENEW, _STOP),
        "pulled-half-way": Look(Tone.TROUBLE, Stage.RENEW, _STOP),
        "sign-in-again": Look(Tone.DO, Stage.REMOVE, _STOP),
        "shows-old": Look(Tone.DO, Stage.REMOVE, _STOP),
        "insert-again": Look(Tone.DO, Stage.RETURN, _STOP, lead=N_("Your smartcard is out.")),
        "card-back": Look(Tone.WORK, keeps=False),
        "waiting": Look(Tone.WAIT, Stage.RENEW, _STOP_WAITING),
        "busy-ra": Look(Tone.WAIT, buttons=_STOP_WAITING),
        "stopping": Look(Tone.WAIT),
        "done": Look(Tone.GOOD, Stage.DONE, keeps=True),
        "not-affected": Look(Tone.GOOD, Stage.DONE, keeps=True),
        "expired": Look(Tone.TROUBLE),
        "paused": Look(Tone.WAIT),
        "error": Look(Tone.TROUBLE, keeps=True),
    }
)
"""By the message's kind. One that is told and not here is a note beside the state that stands."""

LASTING = frozenset({"pair-left", "more-cards", "software-shows-old", "journal-put-aside", "ordered"})
"""Notes that stay to the end; the others go with the state that they were told in."""

NOBODY = N_("Nobody answered on the page, so the renewal was stopped.")
CARD_LEFT = N_("The renewal was stopped because the smartcard was removed.")

_NEVER = frozenset(
    (
        "RA-CONFIGURATION RA-CARD-UNSUPPORTED RA-CARD-FULL RA-CARD-DATA RA-PIN-LAST-TRY RA-PIN-BLOCKED RA-CARD-ADMIN "
        "RA-CAMPAIGN RA-REFUSED RA-MISBEHAVED RA-IMPOSSIBLE RA-NOT-YET"
    ).split()
)
"""Codes of errors for which trying again, now, is no help (`renewagent.errors.Retry`)."""
_BY_ONESELF = frozenset(("RA-STOPPED", "RA-NOT-TYPED", "RA-NO-CARD", "RA-CARD-REMOVED", "RA-BATTERY", "RA-CARD-BUSY"))
"""Codes of errors that a person needs nobody else for."""


def looking() -> Message:
    """Before anything was said."""
    return Message("opening", _("Looking at your smartcard"), _("Keep your smartcard in the reader."))


def working() -> Message:
    """A question was answered, and nothing else was said yet."""
    return Message("working", _("Keep the smartcard in"), _("Your smartcard is being renewed."))


def card_back() -> Message:
    """Somebody has put it in."""
    return Message("card-back", _("Your smartcard is in"), _("It is being checked. Keep it in the reader."))


def agent_gone() -> Message:
    """The renewal ended without a result."""
    said = _("The program that renews your smartcard has ended before it said how it went. Nothing is lost.")
    advice = _("Keep your smartcard in the reader and select Try again. It goes on from where it was.")
    return Message("error", _("The renewal was cut off"), said, advice, "RA-AGENT")


def opening() -> Shown:
    """What a page shows that is opened before anything was said."""
    look = STATES["opening"]
    return Shown(0, looking(), look.tone, look.stage or Stage.START)


def becomes(before: Shown, message: Message, progress: Progress | None = None) -> Shown:
    """The state after a message of a kind that is in `STATES`."""
    look = STATES[message.kind]
    body = f"{_(look.lead)} {message.body.removeprefix(message.title + '.')}".replace("  ", " ").strip()
    buttons = _asked(message) if look.tone is Tone.ASK else tuple(map(_labelled, look.buttons))
    return replace(
        before,
        number=before.number + 1,
        message=replace(message, body=body),
        tone=look.tone,
        stage=look.stage or before.stage,
        buttons=buttons,
        notes=tuple(note for note in before.notes if _stays(note, look)),
        progress=progress,
    )


def _stays(note: Message, look: Look) -> bool:
    """Whatever comes after another card was put in, that one is in the way no more."""
    return note.kind in LASTING or (look.keeps and note.kind != "wrong-card")


def noted(before: Shown, note: Message) -> Shown:
    """The same state with one more note beside it; one of the same kind gives way to it."""
    others = tuple(one for one in before.notes if one.kind != note.kind)
    return replace(before, number=before.number + 1, notes=(*others, note))


def running(before: Shown, progress: Progress) -> Shown:
    """A step of the renewal itself."""
    said = words.step_in_words(progress.step, progress.of, progress.text, progress.seconds_left)
    return becomes(before, Message("running", working().title, said), progress)


def about(before: Shown, card: CardIdentity, holder: str, reader: str) -> Shown:
    """The card in hand is another one, or is there again."""
    return replace(before, number=before.number + 1, holder=holder, card=card.ending, reader=reader)


def nameless(before: Shown) -> Shown:
    """The card is out: whose it is, is nobody's business any more."""
    return replace(before, number=before.number + 1, holder="") if before.holder else before


def ended(before: Shown, error: Mapping[str, str] | None, *, more: bool) -> Shown:
    """The last page: `error` as in result documents, None where all went well; `more`: another card is to follow."""
    last = before if error is None else becomes(before, _failure(before, error))
    label = _again_label(last, error) if error is not None else _("Continue with the next smartcard")
    again = more if error is None else error["code"] not in _NEVER
    close = _labelled(_CLOSE)
    buttons = (Button(Verb.AGAIN, label), close) if again else (close,) if error is not None else ()
    tone = last.tone if error is None else _tone(error["code"])
    message = _by_button(last.message, label) if again else last.message
    return replace(
        last, number=before.number + 1, message=message, tone=tone, buttons=buttons, holder="", progress=None, over=True
    )


def _failure(before: Shown, error: Mapping[str, str]) -> Message:
    """What was told of it already, where it was; else what it means is read off its own sentence, which knows."""
    if before.message.kind == "error" and before.message.code == error["code"]:
        return before.message
    title = _BY_CODE.get(error["code"], words.NOT_DONE)
    if error["message"] == _(words.NOT_FINISHED):
        title = words.NOT_FINISHED_TITLE
    if error["message"] == words.renewed_not_signed_in(before.card):
        title = words.ONE_STEP_LEFT
    return Message("error", _(title), error["message"], error.get("advice", ""), error["code"])


_BY_CODE = {"RA-STOPPED": N_("Stopped"), "RA-AGENT": N_("The renewal cannot start")}


def _again_label(last: Shown, error: Mapping[str, str]) -> str:
    half_done = _(words.NOT_FINISHED) in error["message"] or last.message.title == _(words.ONE_STEP_LEFT)
    return _("Continue") if half_done else _("Try again")


def _tone(code: str) -> Tone:
    return Tone.WAIT if code in ("RA-NOT-YET", "RA-WAITING") else Tone.TROUBLE


def _by_button(message: Message, label: str) -> Message:
    """On a page there is a button for what a terminal has a command for."""

    # Translators: as these words stand in the sentences that hold them; else such a sentence keeps its command.
    by_command = _("Run: renewagent renew"), _("run: renewagent renew")
    pressed = _("Select {button}").format(button=label), _("select {button}").format(button=label)
    body, advice = message.body, message.advice
    for command, press in zip(by_command, pressed, strict=True):
        body, advice = body.replace(command, press), advice.replace(command, press)
    return replace(message, body=body, advice=advice)


def _labelled(button: Button) -> Button:
    return replace(button, label=_(button.label))


def _asked(message: Message) -> tuple[Button, ...]:
    first, *others = message.actions or (_("Start renewal"), _("Not now"))
    return Button(Verb.YES, first), Button(Verb.NO, others[0] if others else _("Not now"))


def for_others(shown: Shown) -> bool:
    """Whether it has ended with something that somebody else is to hear the details of."""
    return shown.over and shown.tone is Tone.TROUBLE and shown.message.code not in _BY_ONESELF


def details(shown: Shown, version: str) -> str:
    """For the help desk: what happened, and nothing about whom."""
    step = _("{step} of {of}").format(step=shown.progress.step, of=shown.progress.of) if shown.progress else ""
    lines = (  # another language may have one word for two of these
        ("renewagent", version),
        (_("Code"), shown.message.code or _("none")),
        (_("What happened"), " ".join((shown.message.title + ".", shown.message.body))),
        (_("Smartcard"), _("ending {card}").format(card=shown.card) if shown.card else ""),
        (_("Reader"), shown.reader),
        (_("Part"), _(shown.stage.value)),
        (_("Step"), step),
    )
    return "\n".join(f"{name}: {value}" for name, value in lines if value)

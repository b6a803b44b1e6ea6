"""A soft token that has expired, at a terminal: why, and the run that registers it anew, followed until somebody has to
act or all of it is done. The run itself is the desk's: whoever stops here goes on with it anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from renewagent import asking
from renewagent.asking import BACKWARDS, Asker, Question
from renewagent.language import N_, _
from renewagent.tokens import soft_causes
from renewagent.tokens.reregistration import FINAL, State
from renewagent.tokens.said import Document, part, parts, text, texts
from renewagent.tokens.soft_causes import Cause, Diagnosis, Sureness

Diagnoses = Callable[[Mapping[str, str]], Document]
"""A diagnosis by what was answered, as a document."""
LOOK_EVERY = 5.0
"""Seconds between two looks at a run that waits for somebody."""
_MOST_STEPS = 60
_FINAL = frozenset(state.value for state in FINAL)
_WHO = {
    "prescriber": N_("It is the prescriber's turn."),
    "administrator": N_("An EPCS administrator acts next."),
    "two": N_("Two people act next."),
}


class Desk(Protocol):
    """What is asked of the desk here."""

    def post(self, *path: str, **document: Any) -> dict[str, Any]:
        """See `DeskClient`."""


def offline(now: datetime) -> Diagnoses:
    """By the answers alone."""
    return lambda answers: document_of(soft_causes.diagnose(None, None, answers, now))


def document_of(diagnosis: Diagnosis) -> Document:
    """As the desk tells one."""
    return dict(_plain(asdict(diagnosis)))


def find_out(asker: Asker | None, diagnoses: Diagnoses, answers: Mapping[str, str]) -> Document:
    """The diagnosis, once nothing that would make it surer is left to ask, or nobody is there to be asked. Raises
    FormError for an answer that is none, PersonStopped."""
    given, asked = dict(answers), list[str]()
    while True:
        found = diagnoses(given)
        wanted = [one for one in parts(found, "ask") if text(one, "id") not in given]
        if asker is None or not wanted:
            return found
        members: asking.Members = {}
        if asking.ask(asker, _question(wanted[0]), members, lambda answered: None) != BACKWARDS:
            asked.append(name := text(wanted[0], "id"))
            given[name] = members[name]
        elif asked:
            del given[asked.pop()]


def diagnosis_in_words(found: Document) -> list[str]:
    """What it is, why that is thought, and what will be done."""
    lines = [line for one in parts(found, "likely") for line in _likely(one)]
    if not lines:
        return [_("Nothing shows why. Register the soft token anew; that helps in every case.")]
    warning, first = text(found, "warning"), text(found, "first")
    lines += [f"\n{_(warning)}"] if warning else []
    lines += ["\n" + _("What is done about it:")]
    lines += ["  " + _("First: {step}").format(step=_(first))] if first else []
    lines += [f"  {number}. {_(step)}" for number, step in enumerate(texts(found, "plan"), start=1)]
    takes = _("About {minutes} minutes, and then as long as it takes two people to grant EPCS.")
    return [*lines, takes.format(minutes=found.get("minutes"))]


def cause_of(found: Document) -> str | None:
    """The likeliest."""
    return next((text(one, "cause") for one in parts(found, "likely")), "") or None


class Following:
    """Goes on with a run, says each step once, and waits politely where a person has to act. `patience`: seconds to
    wait for people in all; `sleep` and `clock` are the system's."""

    def __init__(
        self,
        desk: Desk,
        say: Callable[[str], None],
        patience: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._desk = desk
        self._say = say
        self._sleep, self._clock = sleep, clock
        self._until = clock() + patience
        self._told = ""

    def follow(self, run: Document) -> Document:
        """The run as it is when it is over, or when nobody has acted in time. Raises what the desk says."""
        steps, waits = 0, False  # it is gone on with at least once: whoever was waited for may have acted since
        while not self._tell(run):
            if steps > _MOST_STEPS or (waits and self._clock() >= self._until):
                return run
            if waits:
                self._sleep(LOOK_EVERY)
            run = run_in(self._desk.post("soft", "runs", text(run, "id")))
            waits = text(run, "who") != "desk" or bool(run.get("problem") or run.get("busy"))
            steps = 0 if waits else steps + 1
        return run

    def _tell(self, run: Document) -> bool:
        """Whether it is over."""
        told = "\n".join(run_in_words(run))
        if told != self._told:
            self._say(told)
        self._told = told
        return state_of(run) in _FINAL


def run_in_words(run: Document) -> list[str]:
    """How far it is, what has happened, and who does what next."""
    place = step_of(state_of(run))
    lines = [f"\n{place} {_(text(run, 'happened'))}".rstrip()]
    if problem := part(run, "problem"):
        lines.append(f"{_(text(problem, 'error'))} {_(text(problem, 'advice'))}".strip())
    if following := text(run, "next"):
        said = _("Next: {step}").format(step=_(following))
        lines.append(f"{said} {_(_WHO.get(text(run, 'who'), ''))}".rstrip())
    return lines


def step_of(state: str) -> str:
    """ "Step 5 of 10.", by the order in which most runs go."""
    order = [one.value for one in State if one not in FINAL]
    if state not in order:
        return _("Done.") if state == State.DONE.value else _("Stopped.")
    return _("Step {number} of {last}.").format(number=order.index(state) + 1, last=len(order))


def state_of(run: Document) -> str:
    """What is to be done next, as `reregistration.State` has it."""
    return text(run, "state")


def run_in(said: Document) -> Document:
    """The run in an answer of the desk's."""
    return part(said, "run") or said


def _likely(one: Document) -> list[str]:
    causes, sure = {c.value: c.words for c in Cause}, {s.value: s.words for s in Sureness}
    cause = text(one, "cause")
    words = f"{causes.get(cause, cause)} {sure.get(text(one, 'sureness'), '')}".rstrip()
    return [words, *(f"  {_(why)}" for why in texts(one, "why"))]


def _question(wanted: Document) -> Question:
    choices = tuple((text(choice, "value"), text(choice, "words")) for choice in parts(wanted, "choices"))
    how = N_("Type its number, then Enter.")
    return Question((text(wanted, "id"),), text(wanted, "text"), how, choices=choices, needed=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value

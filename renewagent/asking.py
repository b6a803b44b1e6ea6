"""One question after another to a person at a terminal: explained, checked at once, and with a way back. Pure: it knows
no terminal; whoever has one is an `Asker`.

What is asked is data: `renewagent.campaign.questions` for campaigns, `renewagent.tokens.questions` for the EPCS desk.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from renewagent.language import _

Members = dict[str, Any]
"""The members of a document by name, in JSON's types."""
BACK, NOTHING = "<", "-"
ON, BACKWARDS = 1, -1
Check = Callable[[Members], None]
"""Raises ValueError with the sentence to show where the members so far cannot be so."""


def how(stopping: str) -> str:
    """What a person is told first. `stopping`: what Ctrl-C does, the last sentence."""
    enter = _(
        "A few questions, one after the other. Enter takes what stands in brackets; where there is nothing, it is left "
        "open."
    )
    keys = _("{nothing} takes an earlier answer away, {back} goes back one question.")
    return f"{enter}\n{keys.format(nothing=NOTHING, back=BACK)} {stopping}"


class Asker(Protocol):
    """A person who reads and types."""

    def say(self, text: str) -> None:
        """Show some lines."""

    def ask(self, prompt: str) -> str:
        """One line, without its end. Raises PersonStopped."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question about the member at `path`. `read` turns what was typed into JSON's types, or raises ValueError with
    the sentence to show; `show` is the reverse. `choices` are (value, words); `otherwise` stands where nothing is
    known; `applies`: asked only where this is true of the members so far. Its words are put into the person's language
    when it is asked."""

    path: tuple[str, ...]
    title: str
    explanation: str
    read: Callable[[str], Any] = str
    show: Callable[[Any], str] = str
    choices: tuple[tuple[Any, str], ...] = ()
    otherwise: Any = None
    needed: bool = False
    applies: Callable[[Mapping[str, Any]], bool] = lambda members: True

    def value(self, typed: str) -> Any:
        """What was typed, read: a number of a choice, or its value in words. Raises ValueError."""
        if not self.choices:
            return self.read(typed)
        for number, (value, _words) in enumerate(self.choices, start=1):
            if typed in (str(number), str(value)):
                return value
        raise ValueError(_("Type a number from 1 to {last}").format(last=len(self.choices)))

    def shown(self, value: Any) -> str:
        """A value as it would be typed; "" for none."""
        if value is None:
            return ""
        values = [one for one, _said in self.choices]
        return str(values.index(value) + 1) if value in values else self.show(value)


def ask(asker: Asker, question: Question, members: Members, check: Check) -> int:
    """Ask until there is an answer that `check` lets stand, and put it into `members`. Returns ON or BACKWARDS."""
    choices = "".join(f"\n  {number}  {_(said)}" for number, (_value, said) in enumerate(question.choices, start=1))
    explained = f"\n{_(question.explanation)}" if question.explanation else ""
    asker.say(f"\n{_(question.title)}{explained}{choices}")
    while True:
        known = question.shown(member(members, question.path, question.otherwise))
        typed = asker.ask(f"[{known}]: " if known else ": ").strip()
        if typed == BACK:
            return BACKWARDS
        if not (problem := _take(question, members, typed or known, check)):
            return ON
        asker.say(problem)


def through(steps: Sequence[Callable[[int], int]]) -> None:
    """Take every step, forwards and back. A step is given the way that one comes by, and returns the way to go on."""
    place, way = 0, ON
    while place < len(steps):
        way = steps[place](way)
        place = max(0, place + way)


def member(members: Mapping[str, Any], path: tuple[str, ...], otherwise: Any = None) -> Any:
    """What stands at `path`."""
    *above, name = path
    for one in above:
        members = members.get(one) or {}
    return members.get(name, otherwise)


def _take(question: Question, members: Members, typed: str, check: Check) -> str:
    """The answer into `members`; what is wrong with it, "" for nothing."""
    if typed in ("", NOTHING) and question.needed:
        return _("This is needed.")
    before = copy.deepcopy(members)
    try:
        _put(members, question.path, None if typed in ("", NOTHING) else question.value(typed))
        check(members)
    except ValueError as problem:
        members.clear()
        members.update(before)
        said = str(problem)
        return f"{said[:1].upper()}{said[1:]}".removesuffix(".") + "."
    return ""


def _put(members: Members, path: tuple[str, ...], value: Any) -> None:
    """None takes it away; what is empty then goes as well."""
    name, *below = path
    if below:
        inner = dict(members.get(name) or {})
        _put(inner, tuple(below), value)
        value = inner or None
    if value is None:
        members.pop(name, None)
    else:
        members[name] = value

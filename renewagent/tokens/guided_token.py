"""A hardware token in a person's hand, at a terminal: which one it is, its codes, and why its codes are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from renewagent import asking
from renewagent.asking import BACKWARDS, Asker, Question
from renewagent.language import N_, _
from renewagent.tokens import explain
from renewagent.tokens.errors import DeskRefused, FormError
from renewagent.tokens.said import Document, at, parts, text
from renewagent.tokens.serials import same_token

_CODE = re.compile(r"[0-9]{6,8}")
_LATELY = timedelta(hours=24)
"""The vendor is asked to reset a token only when two codes were refused within this."""
WAIT = N_("Wait until the token's display has gone blank, which takes up to 30 seconds, before you press it again.")


def in_use(standing: Document, serial: str | None = None) -> Document:
    """Of the tokens that the desk knows of, the one of this serial, else the active one. Raises DeskRefused."""
    hardware = [
        one for one in parts(standing, "tokens") if text(one, "kind") in ("hardware", "") and text(one, "serial")
    ]
    named = [one for one in hardware if serial is None or text(one, "serial") == serial]
    active = next((one for one in named if text(one, "state") == "active"), None)
    if serial is not None and named:
        return named[0]
    if active is None:
        said = _("A hardware token that is active is not registered here.")
        if serial is not None:
            said = _("The token {serial} is not registered here.").format(serial=serial)
        raise DeskRefused(
            said,
            advice=_("Look: renewagent token show. Register one: renewagent token register."),
        )
    return active


def refused_lately(token: Document, now: datetime) -> bool:
    """Two codes were refused, and not accepted since."""
    refused, resynchronised = at(token, "refused"), at(token, "resynchronised")
    if refused is None or now - refused > _LATELY:
        return False
    return resynchronised is None or resynchronised < refused


def ask_back(asker: Asker, serial: str, said: str = N_("The token that is registered is {serial}.")) -> str:
    """Is the serial on the screen the one on the back? What was typed from there, once it is the same. Raises
    PersonStopped."""
    known = _(said).format(serial=serial)
    asker.say("\n" + known + " " + _("Is it the one in your hand?\nTurn it over."))
    while True:
        typed = asker.ask(_("The serial number on its back: ")).strip()
        try:
            same_token(serial, typed)
        except FormError as problem:
            asker.say(f"{problem.message} {problem.advice}")
        else:
            return typed


def ask_codes(asker: Asker) -> list[str]:
    """One-Time Password 1 and 2, one after the other. Raises PersonStopped."""
    asker.say("\n" + _("Press the white button on the front of the token."))
    first = ask_code(asker, _("One-Time Password 1: "))
    asker.say(_(WAIT) + "\n" + _("Then press the button once more."))
    while (second := ask_code(asker, _("One-Time Password 2: "))) == first:
        asker.say(_("That is the first one again. Wait for the next code."))
    return [first, second]


def ask_code(asker: Asker, prompt: str) -> str:
    """A code, as it is shown."""
    while True:
        typed = re.sub(r"[\s-]", "", asker.ask(prompt))
        if _CODE.fullmatch(typed):
            return typed
        asker.say(_("A code is the six digits that the token shows."))


def why(asker: Asker | None, answers: Mapping[str, str]) -> explain.Walk:
    """Why "Your OTP has been entered incorrectly": the tree, as far as the answers lead, and to its end where somebody
    can be asked. Raises FormError for an answer that is none."""
    given, asked = dict(answers), list[str]()
    while True:
        at = explain.walk(given).at
        if asker is None or isinstance(at, explain.Ending):
            return explain.walk(given)
        members: asking.Members = {}
        if asking.ask(asker, _question(at), members, lambda answered: None) != BACKWARDS:
            given[at.name] = members[at.name]
            asked.append(at.name)
        elif asked:
            del given[asked.pop()]


def _question(at: explain.Question) -> Question:
    choices = tuple((choice.key, choice.words) for choice in at.choices)
    return Question((at.name,), at.asks, at.hint or N_("Type its number, then Enter."), choices=choices, needed=True)

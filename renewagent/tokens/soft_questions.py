"""What a person is asked about a soft token that has expired: data for a terminal, a page and `--json`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from renewagent.language import N_, _
from renewagent.tokens.errors import FormError


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer: `value` is what `diagnose` takes."""

    value: str
    words: str


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the person."""

    id: str
    text: str
    choices: tuple[Choice, ...]


_NOT_SURE = Choice("unsure", N_("I am not sure"))

QUESTIONS = (
    Question(
        "phone",
        N_("Do you use the same phone as when you last signed a prescription with it?"),
        (Choice("same", N_("The same phone")), Choice("new", N_("Another phone")), _NOT_SURE),
    ),
    Question(
        "app",
        N_("Was the app removed and installed again, or does it ask to be set up as if it was new?"),
        (Choice("no", N_("No")), Choice("reinstalled", N_("Yes")), _NOT_SURE),
    ),
    Question(
        "password",
        N_("Has anything happened to the password of the app?"),
        (
            Choice("no", N_("No")),
            Choice("changed", N_("I changed it")),
            Choice("expired", N_("The app said that it was too old")),
            Choice("forgotten", N_("I do not know it any more")),
            _NOT_SURE,
        ),
    ),
    Question(
        "certificate",
        N_("Did you renew your certificate at the vendor (IdenTrust)?"),
        (Choice("no", N_("No")), Choice("renewed", N_("Yes")), _NOT_SURE),
    ),
)


def check(answers: Mapping[str, str]) -> None:
    """Raises FormError for an answer that is none of the choices."""
    known = {question.id: question for question in QUESTIONS}
    for name, value in answers.items():
        if name not in known:
            raise FormError(_("There is no question {name}.").format(name=repr(name)), name)
        if value not in {choice.value for choice in known[name].choices}:
            wanted = ", ".join(choice.value for choice in known[name].choices)
            raise FormError(
                _("{value} is no answer to {text}").format(value=repr(value), text=repr(_(known[name].text))),
                name,
                advice=_("Answer one of: {wanted}.").format(wanted=wanted),
            )

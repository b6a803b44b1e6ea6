"""What a person is asked about a soft token that has expired: data for a terminal, a page and `--json`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


_NOT_SURE = Choice("unsure", "I am not sure")

QUESTIONS = (
    Question(
        "phone",
        "Do you use the same phone as when you last signed a prescription with it?",
        (Choice("same", "The same phone"), Choice("new", "Another phone"), _NOT_SURE),
    ),
    Question(
        "app",
        "Was the app removed and installed again, or does it ask to be set up as if it was new?",
        (Choice("no", "No"), Choice("reinstalled", "Yes"), _NOT_SURE),
    ),
    Question(
        "password",
        "Has anything happened to the password of the app?",
        (
            Choice("no", "No"),
            Choice("changed", "I changed it"),
            Choice("expired", "The app said that it was too old"),
            Choice("forgotten", "I do not know it any more"),
            _NOT_SURE,
        ),
    ),
    Question(
        "certificate",
        "Did you renew your certificate at the vendor (IdenTrust)?",
        (Choice("no", "No"), Choice("renewed", "Yes"), _NOT_SURE),
    ),
)


def check(answers: Mapping[str, str]) -> None:
    """Raises FormError for an answer that is none of the choices."""
    known = {question.id: question for question in QUESTIONS}
    for name, value in answers.items():
        if name not in known:
            raise FormError(f"There is no question {name!r}.", name)
        if value not in {choice.value for choice in known[name].choices}:
            wanted = ", ".join(choice.value for choice in known[name].choices)
            raise FormError(f"{value!r} is no answer to {known[name].text!r}", name, advice=f"Answer one of: {wanted}.")

"""The tree of "OTP entered incorrectly": every way through it ends, and each cause is found (H7)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from renewagent.tokens.errors import FormError
from renewagent.tokens.explain import START, TREE, Ending, NextStep, Question, known, to_json, walk
from renewagent.tokens.model import TokenKind, TokenStanding, TokenState

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def ways(name: str = START, answers: dict[str, str] | None = None) -> Iterator[tuple[dict[str, str], Ending]]:
    at, answers = TREE[name], answers or {}
    if isinstance(at, Ending):
        yield answers, at
        return
    assert at.name not in answers, f"{at.name} is asked twice"
    for choice in at.choices:
        yield from ways(choice.leads_to, answers | {at.name: choice.key})


def test_every_way_ends_and_every_ending_and_question_is_reached() -> None:
    found = list(ways())
    assert {end.name for _, end in found} | {name for answers, _ in found for name in answers} == set(TREE)
    for answers, end in found:
        walked = walk(answers)
        assert walked.is_over and walked.at == end and len(walked.answered) == len(answers)
        assert json.loads(json.dumps(to_json(walked)))["ending"]["advice"]


def test_every_next_step_is_somewhere_offered() -> None:
    assert {end.step for _, end in ways()} == set(NextStep)


@pytest.mark.parametrize(
    ("answers", "step"),
    [
        ({"kind": "hardware", "state": "active", "serial": "other"}, NextStep.REGISTER),
        ({"kind": "hardware", "state": "active", "serial": "same", "locked": "yes"}, NextStep.WAIT),
        ({"kind": "hardware", "state": "spare"}, NextStep.ACTIVATE_SPARE),
        ({"kind": "hardware", "state": "deactivated"}, NextStep.REPLACE),
        ({"kind": "soft", "soft-message": "expired"}, NextStep.SOFT_TOKEN),
        ({"kind": "soft", "soft-message": "incorrect", "soft-device": "same", "clock": "by-hand"}, NextStep.SET_CLOCK),
    ],
)
def test_each_cause_leads_to_its_step(answers: dict[str, str], step: NextStep) -> None:
    end = walk(answers).at
    assert isinstance(end, Ending) and end.step is step


def test_a_reset_is_offered_only_after_a_refused_resynchronisation() -> None:
    for answers, end in ways():
        assert (end.step is NextStep.RESET) == (answers.get("resync") == "refused")


def test_no_answers_begin_at_the_first_question_and_nonsense_is_refused() -> None:
    first = walk({"unasked": "x"}).at
    assert isinstance(first, Question) and first.name == START
    assert "question" in to_json(walk({}))
    with pytest.raises(FormError, match="hardware, soft") as raised:
        walk({"kind": "carrier pigeon"})
    assert raised.value.field == "kind"


def standing(state: TokenState = TokenState.ACTIVE, **more: datetime | None) -> TokenStanding:
    return TokenStanding("GAHE00012345", TokenKind.HARDWARE, state, "p.prescriber", more.get("locked_until"))


def test_what_the_desk_knows_is_not_asked() -> None:
    def ends(token: TokenStanding | None, **times: datetime | None) -> object:
        given = {"resynchronised": None, "refused": None, **times}
        answers = {"display": "code", "typed": "refused"}  # what only the person can tell
        at = walk(answers | known(token, NOW, **given)).at
        return at.step if isinstance(at, Ending) else at.name

    assert ends(None) is NextStep.REGISTER
    assert ends(standing(TokenState.SPARE)) is NextStep.ACTIVATE_SPARE
    assert ends(standing(TokenState.LOST)) is NextStep.REPLACE
    assert ends(standing(TokenState.SUSPENDED)) is NextStep.ASK
    assert ends(standing(locked_until=NOW + timedelta(minutes=1))) is NextStep.WAIT
    assert ends(standing(locked_until=NOW)) == "resync"
    assert ends(standing(), refused=NOW) is NextStep.RESET
    assert ends(standing(), refused=NOW, resynchronised=NOW + timedelta(minutes=1)) == "resync"
    assert ends(TokenStanding("S", TokenKind.SOFT, TokenState.ACTIVE)) == "soft-message"

"""The error tree: every error can explain itself, has a code of its own, and stands in the drawing."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from renewagent import errors
from renewagent.errors import RenewAgentError, Retry

ALL = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, RenewAgentError)]
EXTRA: dict[str, tuple[object, ...]] = {
    "CardRefused": (0x6A80,),
    "NoRoom": (0x6A84,),
    "WrongPin": (2,),
    "RaWaiting": (30,),
    "NotYet": (datetime(2026, 11, 24, 9, tzinfo=UTC),),
}


@pytest.mark.parametrize("error", ALL)
def test_every_error_explains_itself(error: type[RenewAgentError]) -> None:
    raised = error("What happened.", *EXTRA.get(error.__name__, ()))
    assert raised.message == str(raised) == "What happened."
    assert isinstance(raised.retry, Retry)
    assert re.fullmatch(r"RA-[A-Z-]+", raised.code)
    assert error.__doc__


@pytest.mark.parametrize("error", ALL)
def test_advice_is_a_sentence_and_can_be_replaced(error: type[RenewAgentError]) -> None:
    assert re.fullmatch(r"[A-Z].*\.", error.advice)
    replaced = error("x", *EXTRA.get(error.__name__, ()), advice="Do this.")
    assert replaced.advice == "Do this."
    assert error.advice != "Do this."


def test_codes_are_never_shared() -> None:
    codes = [error.code for error in ALL]
    assert len(set(codes)) == len(codes)


def test_the_drawing_is_the_tree() -> None:
    drawing = (errors.__doc__ or "").split("RenewAgentError\n", 1)[1]
    drawn, parents = {}, ["RenewAgentError"]
    for line in drawing.splitlines():
        found = re.match(r"([│ ├└─]*)(\w+)", line)
        if found is None or not found.group(1):
            continue
        depth = len(found.group(1)) // 4
        parents[depth:] = [found.group(2)]
        drawn[found.group(2)] = parents[depth - 1]
    assert drawn == {e.__name__: e.__mro__[1].__name__ for e in ALL if e is not RenewAgentError}


def test_errors_carry_what_the_next_step_needs() -> None:
    assert errors.CardRefused("x", 0x6982).sw == 0x6982
    assert errors.WrongPin("x", 2).tries_left == 2
    assert errors.RaWaiting("x", 30).check_after == 30
    refused = errors.RaRefused("x", fail_info=frozenset({"badPOP"}), status_text="no")
    assert (refused.fail_info, refused.status_text) == (frozenset({"badPOP"}), "no")

"""What every token authority promises of hardware tokens, whoever it is: one list, run over each by its own `bench`.

A test module imports everything here and defines the fixture `bench`. See `Bench`. What a vendor promises besides is in
`vendor_contract`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pytest

from renewagent.tokens.authority import TokenAuthority
from renewagent.tokens.errors import TokenRefused, UnknownToken
from renewagent.tokens.model import Answer, Checked, TokenKind, TokenState
from renewagent_fixtures.virtual_tokens.button import ButtonToken

WINDOW = 75
REFUSED = Checked(Answer.REFUSED)
Codes = tuple[str, str]


class Bench(Protocol):
    """An authority, and tokens that it knows."""

    @property
    def authority(self) -> TokenAuthority:
        """The one on the bench."""

    def token(self) -> ButtonToken:
        """A fresh one of nobody's."""

    def account(self) -> str:
        """Of somebody without any token."""

    def lets_time_pass(self) -> bool:
        """An hour, if this bench can."""


def registered(bench: Bench, account: str = "") -> ButtonToken:
    token = bench.token()
    bench.authority.register(token.serial, account or bench.account())
    return token


# --- Codes


def test_a_code_is_good_once(bench: Bench) -> None:
    token = registered(bench)
    code = token.press()
    assert bench.authority.check(token.serial, code).answer is Answer.ACCEPTED
    assert bench.authority.check(token.serial, code).answer is Answer.REFUSED


def test_a_few_presses_ahead_are_no_harm_and_what_lies_before_is_used_up(bench: Bench) -> None:
    token = registered(bench)
    passed_over = token.press()
    token.lose_presses(1)
    assert bench.authority.check(token.serial, token.press()).answer is Answer.ACCEPTED
    assert bench.authority.check(token.serial, passed_over) == REFUSED
    assert bench.authority.check(token.serial, token.press()).answer is Answer.ACCEPTED


def test_a_token_too_far_ahead_is_refused_like_a_wrong_code(bench: Bench) -> None:
    token = registered(bench)
    token.lose_presses(40)
    assert bench.authority.check(token.serial, token.press()) == REFUSED
    assert bench.authority.check(token.serial, "000000") == REFUSED


@pytest.mark.parametrize(
    "nonsense", ["", "12345", "1234567890123", "abcdef", "\uff11" * 6, "12 456", "' or 1=1 --", "\0"]
)
def test_what_is_no_code_is_refused(bench: Bench, nonsense: str) -> None:
    token = registered(bench)
    assert bench.authority.check(token.serial, nonsense).answer is Answer.REFUSED
    assert bench.authority.check(token.serial, token.press()).answer is Answer.ACCEPTED


def test_another_tokens_code_is_refused(bench: Bench) -> None:
    mine, other = registered(bench), registered(bench)
    assert bench.authority.check(mine.serial, other.press()) == REFUSED


# --- Resynchronisation: C+n and C+n+1 for 0 <= n <= 75


@pytest.mark.parametrize("presses", [0, 1, 40, WINDOW - 1, WINDOW])
def test_two_codes_in_a_row_bring_a_token_back(bench: Bench, presses: int) -> None:
    token = registered(bench)
    token.lose_presses(presses)
    assert bench.authority.resynchronise(token.serial, *token.press_twice()) == Checked(Answer.ACCEPTED, drift=presses)
    assert bench.authority.check(token.serial, token.press()).answer is Answer.ACCEPTED


@pytest.mark.parametrize("presses", [WINDOW + 1, WINDOW + 2, 500])
def test_beyond_the_window_the_answer_is_that_for_wrong_codes(bench: Bench, presses: int) -> None:
    token = registered(bench)
    token.lose_presses(presses)
    beyond = bench.authority.resynchronise(token.serial, *token.press_twice())
    assert beyond == bench.authority.resynchronise(token.serial, "000000", "111111") == REFUSED


def _swapped(token: ButtonToken) -> Codes:
    first, second = token.press_twice()
    return second, first


def _twice(token: ButtonToken) -> Codes:
    code = token.press()
    return code, code


def _with_one_between(token: ButtonToken) -> Codes:
    first = token.press()
    token.lose_presses(1)
    return first, token.press()


@pytest.mark.parametrize("codes", [_swapped, _twice, _with_one_between])
def test_two_codes_that_are_not_two_in_a_row_are_refused(bench: Bench, codes: Callable[[ButtonToken], Codes]) -> None:
    token = registered(bench)
    token.lose_presses(10)
    assert bench.authority.resynchronise(token.serial, *codes(token)) == REFUSED
    assert bench.authority.resynchronise(token.serial, *token.press_twice()).answer is Answer.ACCEPTED


def test_codes_that_resynchronised_are_used_up(bench: Bench) -> None:
    token = registered(bench)
    token.lose_presses(20)
    first, second = token.press_twice()
    assert bench.authority.resynchronise(token.serial, first, second).answer is Answer.ACCEPTED
    assert bench.authority.resynchronise(token.serial, first, second) == REFUSED
    assert bench.authority.check(token.serial, first) == REFUSED
    assert bench.authority.check(token.serial, second) == REFUSED


def test_used_codes_do_not_resynchronise(bench: Bench) -> None:
    token = registered(bench)
    first, second = token.press_twice()
    assert bench.authority.check(token.serial, second).answer is Answer.ACCEPTED
    assert bench.authority.resynchronise(token.serial, first, second) == REFUSED
    assert bench.authority.resynchronise(token.serial, second, token.press()) == REFUSED


def test_another_tokens_codes_do_not_resynchronise(bench: Bench) -> None:
    mine, other = registered(bench), registered(bench)
    assert bench.authority.resynchronise(mine.serial, *other.press_twice()) == REFUSED


# --- Too many tries


def lock(bench: Bench, token: ButtonToken) -> Checked:
    for _ in range(20):
        answer = bench.authority.check(token.serial, "000000")
        if answer.answer is Answer.LOCKED:
            return answer
    raise AssertionError("twenty wrong codes in a row were looked at")


def test_after_too_many_wrong_codes_the_right_one_is_not_looked_at(bench: Bench) -> None:
    token = registered(bench)
    lock(bench, token)
    assert bench.authority.check(token.serial, token.press()).answer is Answer.LOCKED


def test_an_administrator_unlocks_it(bench: Bench) -> None:
    token = registered(bench)
    lock(bench, token)
    bench.authority.reset(token.serial)
    assert bench.authority.standing(token.serial).locked_until is None
    assert bench.authority.check(token.serial, token.press()).answer is Answer.ACCEPTED


def test_wrong_pairs_are_not_tried_for_ever(bench: Bench) -> None:
    token = registered(bench)
    answers = [bench.authority.resynchronise(token.serial, "000000", f"{n:06}").answer for n in range(20)]
    assert Answer.LOCKED in answers
    assert bench.authority.resynchronise(token.serial, *token.press_twice()).answer is Answer.LOCKED


def test_a_lock_ends_by_itself(bench: Bench) -> None:
    token = registered(bench)
    until = lock(bench, token).until
    if until is None or not bench.lets_time_pass():
        return  # a server that locks until somebody unlocks, or whose clock is not ours
    assert bench.authority.check(token.serial, token.press()).answer is Answer.ACCEPTED


# --- Whose token, and in what state


def test_a_registered_token_is_active_and_somebodys(bench: Bench) -> None:
    token, account = bench.token(), bench.account()
    standing = bench.authority.register(token.serial, account)
    assert (standing.serial, standing.kind, standing.state) == (token.serial, TokenKind.HARDWARE, TokenState.ACTIVE)
    assert standing.account == account
    assert bench.authority.register(token.serial, account) == standing == bench.authority.standing(token.serial)


def test_a_second_token_is_a_spare_until_it_takes_over_for_good(bench: Bench) -> None:
    account = bench.account()
    first = registered(bench, account)
    second = registered(bench, account)
    assert bench.authority.standing(second.serial).state is TokenState.SPARE
    assert bench.authority.check(second.serial, second.press()).answer is Answer.REFUSED
    assert bench.authority.activate(second.serial).state is TokenState.ACTIVE
    assert bench.authority.activate(second.serial).state is TokenState.ACTIVE
    assert bench.authority.standing(first.serial).state is TokenState.DEACTIVATED
    assert bench.authority.check(first.serial, first.press()).answer is not Answer.ACCEPTED
    assert bench.authority.check(second.serial, second.press()).answer is Answer.ACCEPTED


@pytest.mark.parametrize(("lost", "state"), [(True, TokenState.LOST), (False, TokenState.DEACTIVATED)])
def test_a_disabled_token_never_comes_back(bench: Bench, lost: bool, state: TokenState) -> None:
    account = bench.account()
    token = registered(bench, account)
    bench.authority.disable(token.serial, lost=lost)
    bench.authority.disable(token.serial, lost=not lost)
    assert bench.authority.standing(token.serial).state is state
    assert bench.authority.check(token.serial, token.press()).answer is not Answer.ACCEPTED
    assert bench.authority.resynchronise(token.serial, *token.press_twice()).answer is not Answer.ACCEPTED
    with pytest.raises(TokenRefused):
        bench.authority.register(token.serial, account)
    with pytest.raises(TokenRefused):
        bench.authority.activate(token.serial)
    bench.authority.reset(token.serial)
    assert bench.authority.check(token.serial, token.press()).answer is not Answer.ACCEPTED
    assert bench.authority.standing(token.serial).state is state


def test_after_a_loss_the_next_token_is_active_at_once(bench: Bench) -> None:
    account = bench.account()
    bench.authority.disable(registered(bench, account).serial, lost=True)
    token = bench.token()
    assert bench.authority.register(token.serial, account).state is TokenState.ACTIVE


def test_a_spare_that_is_lost_leaves_the_active_one_alone(bench: Bench) -> None:
    account = bench.account()
    active, spare = registered(bench, account), registered(bench, account)
    bench.authority.disable(spare.serial, lost=True)
    assert bench.authority.check(active.serial, active.press()).answer is Answer.ACCEPTED


def test_somebody_elses_token_is_not_given_away(bench: Bench) -> None:
    token = registered(bench)
    with pytest.raises(TokenRefused):
        bench.authority.register(token.serial, bench.account())


def test_a_token_of_nobodys_does_not_take_over(bench: Bench) -> None:
    with pytest.raises(TokenRefused):
        bench.authority.activate(bench.token().serial)


def test_a_serial_that_nobody_knows_is_named_as_such(bench: Bench) -> None:
    authority, serial = bench.authority, "GAHE99999999"
    asks: tuple[Callable[[], object], ...] = (
        lambda: authority.register(serial, bench.account()),
        lambda: authority.standing(serial),
        lambda: authority.check(serial, "123456"),
        lambda: authority.resynchronise(serial, "123456", "234567"),
        lambda: authority.reset(serial),
        lambda: authority.activate(serial),
        lambda: authority.disable(serial, lost=True),
    )
    for ask in asks:
        with pytest.raises(UnknownToken):
            ask()

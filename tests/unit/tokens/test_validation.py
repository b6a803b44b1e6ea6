"""What is accepted, to the edges of each window; that refusals tell nothing; and what holds whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from renewagent.tokens import validation
from renewagent.tokens.codes import Hash, codes_of, hotp, step_of
from renewagent.tokens.model import Answer, Checked
from renewagent.tokens.throttle import NO_TRIES, Throttle, Tries
from renewagent.tokens.validation import USUAL_PROFILE, CodeProfile, Judged, Moving, Position, resynchronise, sign_in

SEED = b"12345678901234567890"
OTHER = b"09876543210987654321"
NOW = datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC)
TIME = CodeProfile(Moving.TIME)
STEP = step_of(NOW, 30)
C = 100
AT_C = Position(C)


def code(counter: int, seed: bytes = SEED) -> str:
    return hotp(seed, counter)


def signed_in(counter: int, profile: CodeProfile = USUAL_PROFILE, position: Position = AT_C) -> Judged:
    return sign_in(SEED, profile, position, code(counter), NOW)


def resynchronised(first: int, second: int, profile: CodeProfile = USUAL_PROFILE, position: Position = AT_C) -> Judged:
    return resynchronise(SEED, profile, position, code(first), code(second), NOW)


# --- Sign-in


@pytest.mark.parametrize("ahead", range(4))
def test_a_code_within_the_look_ahead_signs_in_once(ahead: int) -> None:
    assert signed_in(C + ahead) == (Checked(Answer.ACCEPTED), Position(C + ahead + 1))


@pytest.mark.parametrize("counter", [C - 1, C + 4, C + 75])
def test_a_used_code_and_one_too_far_ahead_are_wrong_codes(counter: int) -> None:
    assert signed_in(counter) == sign_in(SEED, USUAL_PROFILE, AT_C, "000000", NOW)
    assert signed_in(counter) == (Checked(Answer.REFUSED), Position(C, sign_in=Tries(1)))


@pytest.mark.parametrize(
    "typed", ["", "1", "abcdef", "\uff11\uff12\uff13\uff14\uff15\uff16", "\ud800", "0" * 10_000, "-12345", "287 082"]
)
def test_what_is_no_code_is_a_wrong_one(typed: str) -> None:
    assert sign_in(SEED, USUAL_PROFILE, AT_C, typed, NOW)[0].answer is Answer.REFUSED
    assert resynchronise(SEED, USUAL_PROFILE, AT_C, typed, code(C + 1), NOW)[0].answer is Answer.REFUSED
    assert resynchronise(SEED, USUAL_PROFILE, AT_C, code(C), typed, NOW)[0].answer is Answer.REFUSED


def test_a_code_that_two_counters_of_the_window_share_uses_the_lower_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "codes_of", lambda *_: ("111111", "222222", "333333", "222222"))
    assert sign_in(SEED, USUAL_PROFILE, AT_C, "222222", NOW)[1].counter == C + 2


def test_a_sign_in_forgets_refused_ones_before_it_but_not_refused_resynchronisations() -> None:
    tried = Position(C, sign_in=Tries(4), resync=Tries(3))
    assert signed_in(C, position=tried)[1] == Position(C + 1, resync=Tries(3))


def test_a_locked_token_is_not_looked_at() -> None:
    until = NOW + timedelta(seconds=1)
    shut = Position(C, sign_in=Tries(5, until))
    assert signed_in(C, position=shut) == (Checked(Answer.LOCKED, until), shut)
    assert sign_in(SEED, USUAL_PROFILE, shut, code(C), until)[0].answer is Answer.ACCEPTED


# --- Resynchronisation


@pytest.mark.parametrize("n", [0, 1, 40, 74, 75])
def test_two_codes_in_a_row_within_the_window_set_the_counter_behind_them(n: int) -> None:
    assert resynchronised(C + n, C + n + 1) == (Checked(Answer.ACCEPTED, drift=n), Position(C + n + 2))


def test_after_76_lost_presses_two_right_codes_are_like_any_wrong_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[range] = []

    def counting(seed: bytes, counters: range, digits: int, hash: Hash) -> tuple[str, ...]:
        made.append(counters)
        return codes_of(seed, counters, digits, hash)

    wrong = resynchronise(SEED, USUAL_PROFILE, AT_C, "000000", "000001", NOW)
    monkeypatch.setattr(validation, "codes_of", counting)
    assert resynchronised(C + 76, C + 77) == wrong == (Checked(Answer.REFUSED), Position(C, resync=Tries(1)))
    resynchronise(SEED, USUAL_PROFILE, AT_C, "000000", "000001", NOW)
    resynchronised(C, C + 1)
    assert made == [range(C, C + 77)] * 3  # as much work, whatever the codes


WRONG: dict[str, Callable[[], tuple[str, str]]] = {
    "swapped": lambda: (code(C + 6), code(C + 5)),
    "equal": lambda: (code(C + 5), code(C + 5)),
    "replayed": lambda: (code(C - 2), code(C - 1)),
    "half replayed": lambda: (code(C - 1), code(C)),
    "one between": lambda: (code(C + 5), code(C + 7)),
    "another token's": lambda: (code(C, OTHER), code(C + 1, OTHER)),
    "first another token's": lambda: (code(C, OTHER), code(C + 1)),
    "second another token's": lambda: (code(C), code(C + 1, OTHER)),
    "76 ahead": lambda: (code(C + 76), code(C + 77)),
    "right and wrong": lambda: (code(C), "000000"),
}


@pytest.mark.parametrize("what", WRONG)
def test_codes_that_are_not_two_in_a_row_are_all_refused_alike(what: str) -> None:
    assert resynchronise(SEED, USUAL_PROFILE, AT_C, *WRONG[what](), NOW) == (
        Checked(Answer.REFUSED),
        Position(C, resync=Tries(1)),
    )


def test_two_equal_codes_are_refused_even_where_a_token_shows_them_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "codes_of", lambda *_: ("111111",) * 77)
    assert resynchronise(SEED, USUAL_PROFILE, AT_C, "111111", "111111", NOW)[0].answer is Answer.REFUSED


def test_the_codes_of_a_resynchronisation_are_used_up() -> None:
    _, after = resynchronised(C + 40, C + 41)
    for counter in (C + 40, C + 41):
        assert signed_in(counter, position=after)[0].answer is Answer.REFUSED
    assert resynchronised(C + 40, C + 41, position=after)[0].answer is Answer.REFUSED
    assert signed_in(C + 42, position=after)[0].answer is Answer.ACCEPTED


def test_who_resynchronises_has_the_token_and_is_free_of_refusals_of_both_kinds() -> None:
    tried = Position(C, sign_in=Tries(9, NOW + timedelta(hours=1)), resync=Tries(4))
    assert resynchronised(C, C + 1, position=tried)[1] == Position(C + 2)


def test_each_kind_is_locked_for_itself_and_whatever_the_codes() -> None:
    until = NOW + timedelta(minutes=1)
    shut = Position(C, resync=Tries(5, until))
    assert resynchronised(C, C + 1, position=shut) == (Checked(Answer.LOCKED, until), shut)
    assert resynchronised(C + 9, C + 3, position=shut) == (Checked(Answer.LOCKED, until), shut)
    assert signed_in(C, position=shut)[0].answer is Answer.ACCEPTED
    signing_shut = Position(C, sign_in=Tries(5, until))
    assert resynchronised(C, C + 1, position=signing_shut)[0].answer is Answer.ACCEPTED


def test_five_refusals_in_a_row_lock_and_the_sixth_locks_for_longer() -> None:
    position, answers = AT_C, []
    for second in (0, 1, 2, 3, 4, 5, 64, 65):
        at = NOW + timedelta(seconds=second)
        checked, position = resynchronise(SEED, USUAL_PROFILE, position, "000000", "000001", at)
        answers.append(checked.answer.value)
    assert answers == ["refused"] * 5 + ["locked"] + ["refused", "locked"]
    assert position.resync == Tries(6, NOW + timedelta(seconds=64 + 120))


def test_windows_are_the_tokens_own() -> None:
    narrow = CodeProfile(look_ahead=0, window=2, throttle=Throttle(free=1))
    assert signed_in(C + 1, narrow)[0].answer is Answer.REFUSED
    assert signed_in(C + 1, narrow)[1].sign_in == Tries(1, NOW + timedelta(minutes=1))
    assert resynchronised(C + 2, C + 3, narrow)[0].answer is Answer.ACCEPTED
    assert resynchronised(C + 3, C + 4, narrow)[0].answer is Answer.REFUSED
    eight = CodeProfile(digits=8, hash=Hash.SHA512)
    assert sign_in(SEED, eight, AT_C, hotp(SEED, C, 8, Hash.SHA512), NOW)[0].answer is Answer.ACCEPTED
    assert sign_in(SEED, eight, AT_C, code(C), NOW)[0].answer is Answer.REFUSED


IMPOSSIBLE: dict[str, Callable[[], CodeProfile]] = {
    "five digits": lambda: CodeProfile(digits=5),
    "nine digits": lambda: CodeProfile(digits=9),
    "no period": lambda: CodeProfile(period=0),
    "negative window": lambda: CodeProfile(window=-1),
    "negative look-ahead": lambda: CodeProfile(look_ahead=-1),
    "negative skew": lambda: CodeProfile(clock_skew=-1),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_a_profile_that_no_token_has_is_none(what: str) -> None:
    with pytest.raises(ValueError):
        IMPOSSIBLE[what]()


# --- By time


@pytest.mark.parametrize("skew", [-1, 0, 1])
def test_the_step_of_now_and_its_neighbours_sign_in(skew: int) -> None:
    checked, after = signed_in(STEP + skew, TIME, Position())
    assert checked.answer is Answer.ACCEPTED
    assert after == Position(STEP + skew + 1, skew)


@pytest.mark.parametrize("skew", [-2, 2])
def test_steps_further_off_do_not(skew: int) -> None:
    assert signed_in(STEP + skew, TIME, Position())[0].answer is Answer.REFUSED


def test_a_step_is_never_used_twice_nor_one_before_it() -> None:
    _, after = signed_in(STEP, TIME, Position())
    for step in (STEP, STEP - 1):
        assert signed_in(step, TIME, after)[0].answer is Answer.REFUSED
    assert signed_in(STEP + 1, TIME, after)[0].answer is Answer.ACCEPTED


def test_a_clock_that_runs_slow_is_followed_by_a_step_at_a_time() -> None:
    position = Position()
    for months in range(1, 6):
        at = NOW + timedelta(days=30 * months)
        checked, position = sign_in(SEED, TIME, position, code(step_of(at, 30) - months), at)
        assert checked.answer is Answer.ACCEPTED
        assert position.drift == -months


@pytest.mark.parametrize("drift", [-75, -40, 0, 40, 75])
def test_two_steps_in_a_row_set_a_clock_right_within_the_window(drift: int) -> None:
    checked, after = resynchronised(STEP + drift - 1, STEP + drift, TIME, Position())
    assert checked == Checked(Answer.ACCEPTED, drift=drift)
    assert after == Position(STEP + drift + 1, drift)
    later = NOW + timedelta(seconds=60)
    assert sign_in(SEED, TIME, after, code(STEP + drift + 2), later)[0].answer is Answer.ACCEPTED


@pytest.mark.parametrize("drift", [-76, 76])
def test_a_clock_that_is_further_off_is_not(drift: int) -> None:
    wrong = resynchronise(SEED, TIME, Position(), "000000", "000001", NOW)
    assert resynchronised(STEP + drift - 1, STEP + drift, TIME, Position()) == wrong


def test_used_steps_do_not_resynchronise_either() -> None:
    _, after = signed_in(STEP, TIME, Position())
    assert resynchronised(STEP - 1, STEP, TIME, after)[0].answer is Answer.REFUSED
    assert resynchronised(STEP, STEP + 1, TIME, after)[0].answer is Answer.REFUSED
    assert resynchronised(STEP + 1, STEP + 2, TIME, after)[0].answer is Answer.ACCEPTED


def test_steps_that_are_not_next_to_each_other_or_swapped_do_not() -> None:
    assert resynchronised(STEP - 2, STEP, TIME, Position())[0].answer is Answer.REFUSED
    assert resynchronised(STEP, STEP - 1, TIME, Position())[0].answer is Answer.REFUSED


def test_the_first_steps_of_1970_have_no_steps_before_them() -> None:
    start = datetime(1970, 1, 1, tzinfo=UTC)
    assert sign_in(SEED, TIME, Position(), code(0), start)[0].answer is Answer.ACCEPTED
    assert resynchronise(SEED, TIME, Position(), code(0), code(1), start)[0].answer is Answer.ACCEPTED
    assert sign_in(SEED, TIME, Position(drift=-500), code(1), start)[0].answer is Answer.REFUSED


# --- Whatever happens

EIGHT = CodeProfile(digits=8)  # so that no two codes below are equal by chance
COUNTERS = 3000


def test_the_codes_below_differ() -> None:
    codes = codes_of(SEED, range(COUNTERS), 8, Hash.SHA1)
    assert len(set(codes)) == COUNTERS


class Handling(RuleBasedStateMachine):
    """Somebody has a token, and somebody else all codes that it ever showed."""

    def __init__(self) -> None:
        super().__init__()
        self.position = Position()
        self.highest = 0
        self.token = 0
        self.shown: list[str] = []
        self.accepted: list[str] = []
        self.now = NOW

    def _press(self) -> str:
        self.shown.append(hotp(SEED, self.token, 8))
        self.token += 1
        return self.shown[-1]

    def _sign_in(self, typed: str) -> Answer:
        checked, self.position = sign_in(SEED, EIGHT, self.position, typed, self.now)
        if checked.answer is Answer.ACCEPTED:
            self.accepted.append(typed)
        return checked.answer

    def _resynchronise(self, first: str, second: str) -> Answer:
        checked, self.position = resynchronise(SEED, EIGHT, self.position, first, second, self.now)
        if checked.answer is Answer.ACCEPTED:
            self.accepted += [first, second]
        return checked.answer

    @rule(times=st.integers(1, 90))
    def press_in_a_pocket(self, times: int) -> None:
        for _ in range(times):
            self._press()

    @rule(seconds=st.integers(0, 200_000))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def use(self) -> None:
        ahead = self.token - self.position.counter
        free = self.position.sign_in.until is None or self.position.sign_in.until <= self.now
        answer = self._sign_in(self._press())
        assert (answer is Answer.ACCEPTED) == (free and 0 <= ahead <= 3)

    @rule()
    def bring_it_back(self) -> None:
        ahead = self.token - self.position.counter
        free = self.position.resync.until is None or self.position.resync.until <= self.now
        answer = self._resynchronise(self._press(), self._press())
        assert (answer is Answer.ACCEPTED) == (free and ahead <= 75)

    @precondition(lambda self: len(self.shown) > 1)
    @rule(data=st.data())
    def try_what_was_overheard(self, data: st.DataObject) -> None:
        typed = st.sampled_from(self.shown)
        if data.draw(st.booleans()):
            self._sign_in(data.draw(typed))
        else:
            self._resynchronise(data.draw(typed), data.draw(typed))

    @invariant()
    def the_counter_never_goes_down(self) -> None:
        assert self.position.counter >= self.highest
        self.highest = self.position.counter

    @invariant()
    def no_code_is_accepted_twice(self) -> None:
        assert len(set(self.accepted)) == len(self.accepted)

    @invariant()
    def the_server_is_never_ahead_of_the_token(self) -> None:
        assert self.position.counter <= self.token


Handling.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestHandling = Handling.TestCase


def test_nothing_is_changed_in_place() -> None:
    before = Position()
    signed_in(0, position=before)
    resynchronised(0, 1, position=before)
    assert before == Position(0, 0, NO_TRIES, NO_TRIES)

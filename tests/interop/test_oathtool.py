"""oathtool makes the codes that ours are, and its window ends where ours does."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from renewagent.tokens.codes import Hash, codes_of, hotp, totp
from renewagent.tokens.model import Answer
from renewagent.tokens.validation import USUAL_PROFILE, CodeProfile, Moving, Position, resynchronise, sign_in
from tests.programs import run

DICE = random.Random(4226)  # noqa: S311
SEEDS = [DICE.randbytes(length) for length in (10, 16, 20, 32, 64)]
NOW = datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC)
SEED = SEEDS[2]


def oathtool(*words: str, seed: bytes = SEED, status: int = 0) -> list[str]:
    return run("oathtool", *words, "-", stdin=seed.hex() + "\n", status=status).split()


def position_in_window(code: str, *words: str) -> int | None:
    """Where oathtool finds a code, None if it does not."""
    said = run("oathtool", *words, SEED.hex(), code, status=None)
    return int(said) if said.strip().isdigit() else None


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{len(seed)} octets")
@pytest.mark.parametrize("digits", [6, 7, 8])
def test_its_codes_by_counter_are_ours(seed: bytes, digits: int) -> None:
    for start in (0, 1_000_000, 2**40):
        theirs = oathtool("--hotp", "-c", str(start), "-w", "99", "-d", str(digits), seed=seed)
        assert theirs == list(codes_of(seed, range(start, start + 100), digits, Hash.SHA1))


@pytest.mark.parametrize("hash", Hash)
@pytest.mark.parametrize("period", [30, 60])
def test_its_codes_by_time_are_ours(hash: Hash, period: int) -> None:
    for at in (NOW, NOW + timedelta(days=7305, seconds=22.9)):
        moment = f"{at:%Y-%m-%d %H:%M:%S} UTC"
        words = (f"--totp={hash.value}", "-d", "8", "-s", f"{period}s", "-N", moment)
        assert oathtool(*words) == [totp(SEED, at, 8, hash, period)]


@pytest.mark.parametrize("ahead", [0, 3, 4])
def test_it_finds_at_sign_in_what_we_accept(ahead: int) -> None:
    code = hotp(SEED, 100 + ahead)
    found = position_in_window(code, "--hotp", "-c", "100", "-w", str(USUAL_PROFILE.look_ahead))
    ours = sign_in(SEED, USUAL_PROFILE, Position(100), code, NOW)[0].answer is Answer.ACCEPTED
    assert (found is not None) == ours == (ahead <= 3)


@pytest.mark.parametrize("n", [0, 75, 76])
def test_its_window_for_the_first_of_two_codes_ends_with_ours(n: int) -> None:
    first, second = (oathtool("--hotp", "-c", str(100 + n + more))[0] for more in (0, 1))
    found = position_in_window(first, "--hotp", "-c", "100", "-w", str(USUAL_PROFILE.window))
    checked, _ = resynchronise(SEED, USUAL_PROFILE, Position(100), first, second, NOW)
    assert found == checked.drift == (n if n <= 75 else None)


@pytest.mark.parametrize("hash", Hash)
def test_a_token_by_time_of_its_making_signs_in_and_is_set_right(hash: Hash) -> None:
    profile = CodeProfile(Moving.TIME, 8, hash)

    def shown(at: datetime) -> str:
        return oathtool(f"--totp={hash.value}", "-d", "8", "-N", f"{at:%Y-%m-%d %H:%M:%S} UTC")[0]

    checked, position = sign_in(SEED, profile, Position(), shown(NOW), NOW)
    assert checked.answer is Answer.ACCEPTED
    fast = NOW + timedelta(minutes=20)
    step = timedelta(seconds=30)
    checked, position = resynchronise(SEED, profile, position, shown(fast), shown(fast + step), NOW + step)
    assert (checked.answer, checked.drift) == (Answer.ACCEPTED, 40)

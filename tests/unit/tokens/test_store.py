"""Tokens in a database: what is kept, by whom they are used, and that nobody overtakes anybody. On both databases."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from renewagent.tokens import validation
from renewagent.tokens.codes import LAST_COUNTER, Hash, hotp, step_of
from renewagent.tokens.errors import TokenRefused, UnknownToken
from renewagent.tokens.model import Answer, Checked, TokenKind, TokenState
from renewagent.tokens.sealing import SealingKeys, SeedLost, forget_old, new_keys, renew, write_keys
from renewagent.tokens.seeds import parse_seeds
from renewagent.tokens.store import TokenStore
from renewagent.tokens.throttle import Throttle
from renewagent.tokens.validation import CodeProfile, Judged, Moving, Position
from tests import postgresql
from tests.unit.console.databases import on_server
from tests.unit.tokens.racing import race

SEED = b"12345678901234567890"
NOW = datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC)
ONE, TWO, THREE = "GAHE00000001", "GAHE00000002", "GAHE00000003"
KEYS = new_keys()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql.server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/tokens.db"
        return
    with on_server(request.getfixturevalue("server")) as address:
        yield address


@pytest.fixture
def store(url: str) -> Iterator[TokenStore]:
    """With Ada's token."""
    store = TokenStore(url, KEYS)
    store.add(ONE, TokenKind.HARDWARE, SEED, fips_level=2)
    store.register(ONE, "ada")
    yield store
    store.close()


def code(counter: int) -> str:
    return hotp(SEED, counter)


def checked(store: TokenStore, counter: int, serial: str = ONE) -> Answer:
    return store.check(serial, code(counter), NOW).answer


def states(store: TokenStore, *serials: str) -> list[TokenState]:
    return [store.standing(serial).state for serial in serials]


# --- Codes


def test_a_code_is_used_up_and_stays_so_for_every_server(url: str, store: TokenStore) -> None:
    assert checked(store, 0) is Answer.ACCEPTED
    other = TokenStore(url, KEYS)
    assert checked(other, 0) is Answer.REFUSED
    assert checked(other, 1) is Answer.ACCEPTED
    assert (store.counter(ONE), other.counter(ONE)) == (2, 2)
    other.close()


def test_the_window_of_a_resynchronisation_ends_at_75(store: TokenStore) -> None:
    refused = store.resynchronise(ONE, code(76), code(77), NOW)
    assert refused == store.resynchronise(ONE, "000000", "000001", NOW) == Checked(Answer.REFUSED)
    assert store.resynchronise(ONE, code(75), code(76), NOW) == Checked(Answer.ACCEPTED, drift=75)
    assert checked(store, 76) is Answer.REFUSED
    assert checked(store, 77) is Answer.ACCEPTED


def test_locks_are_kept_and_undone_by_an_administrator(url: str, store: TokenStore) -> None:
    for _ in range(5):
        assert store.check(ONE, "000000", NOW) == Checked(Answer.REFUSED)
        assert store.resynchronise(ONE, "000000", "000001", NOW) == Checked(Answer.REFUSED)
    until = NOW + timedelta(minutes=1)
    other = TokenStore(url, KEYS)
    assert other.check(ONE, code(0), NOW) == Checked(Answer.LOCKED, until)
    assert other.resynchronise(ONE, code(0), code(1), NOW) == Checked(Answer.LOCKED, until)
    assert other.standing(ONE).locked_until == until
    other.reset_throttle(ONE)
    assert store.standing(ONE).locked_until is None
    assert store.resynchronise(ONE, code(0), code(1), NOW).answer is Answer.ACCEPTED
    assert checked(store, 2) is Answer.ACCEPTED
    other.close()


def test_a_token_by_time_uses_each_step_once(store: TokenStore) -> None:
    profile = CodeProfile(Moving.TIME, 8, Hash.SHA256, 60, throttle=Throttle(free=3, first=timedelta(seconds=1.5)))
    store.add("SOFT1", TokenKind.SOFT, SEED, profile=profile, counter=0, drift=2)
    store.register("SOFT1", "ada")
    shown = hotp(SEED, step_of(NOW, 60) + 3, 8, Hash.SHA256)
    assert [store.check("SOFT1", shown, NOW).answer for _ in range(2)] == [Answer.ACCEPTED, Answer.REFUSED]
    assert store.counter("SOFT1") == step_of(NOW, 60) + 4
    store.check("SOFT1", "0", NOW)
    store.check("SOFT1", "0", NOW)
    assert store.check("SOFT1", "0", NOW) == Checked(Answer.LOCKED, NOW + timedelta(seconds=1.5))


@pytest.mark.parametrize("state", [s for s in TokenState if s is not TokenState.ACTIVE])
def test_a_token_that_is_not_active_refuses_right_codes_like_wrong_ones(store: TokenStore, state: TokenState) -> None:
    store.set_state(ONE, state)
    assert [store.check(ONE, code(0), NOW).answer for _ in range(6)] == [Answer.REFUSED] * 5 + [Answer.LOCKED]
    assert store.counter(ONE) == 0
    usable = state is TokenState.SPARE
    answers = [store.resynchronise(ONE, code(n), code(n + 1), NOW).answer for n in range(0, 12, 2)]
    assert answers == ([Answer.ACCEPTED] * 6 if usable else [Answer.REFUSED] * 5 + [Answer.LOCKED])


def test_support_staff_find_codes_far_ahead_and_are_not_throttled(store: TokenStore) -> None:
    for _ in range(6):
        store.resynchronise(ONE, "000000", "000001", NOW)
    assert store.recover(ONE, code(9000), code(9002), NOW) == Checked(Answer.REFUSED)
    assert store.resynchronise(ONE, code(0), code(1), NOW).answer is Answer.LOCKED
    assert store.recover(ONE, code(9000), code(9001), NOW) == Checked(Answer.ACCEPTED, drift=9000)
    assert checked(store, 9001) is Answer.REFUSED
    assert checked(store, 9002) is Answer.ACCEPTED
    assert store.recover(ONE, code(5), code(6), NOW) == Checked(Answer.REFUSED)


def test_a_counter_that_is_read_from_a_token_goes_up_only(store: TokenStore) -> None:
    store.set_counter(ONE, 500)
    with pytest.raises(TokenRefused, match="only go up"):
        store.set_counter(ONE, 499)
    with pytest.raises(TokenRefused):
        store.set_counter(ONE, LAST_COUNTER)
    assert checked(store, 500) is Answer.ACCEPTED


# --- Whoever overtakes


def test_what_was_judged_on_an_older_row_is_judged_again(
    url: str, store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, judge = TokenStore(url, KEYS), validation.sign_in
    overtaken: list[Answer] = []

    def slowly(seed: bytes, profile: CodeProfile, position: Position, typed: str, now: datetime) -> Judged:
        judged = judge(seed, profile, position, typed, now)
        if not overtaken:
            overtaken.append(Answer.LOCKED)
            overtaken[0] = other.check(ONE, typed, now).answer
        return judged

    monkeypatch.setattr(validation, "sign_in", slowly)
    assert checked(store, 0) is Answer.REFUSED
    assert overtaken == [Answer.ACCEPTED]
    other.close()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    write_keys(tmp_path / "tokens.key", KEYS)
    return tmp_path / "tokens.key"


def test_of_two_servers_that_race_for_a_code_one_accepts_it(url: str, store: TokenStore, key_file: Path) -> None:
    answers = race(url, key_file, [("check", ONE, code(counter)) for counter in range(60)], NOW)
    assert {tuple(sorted(pair)) for pair in answers} == {("accepted", "refused")}
    assert store.counter(ONE) == 60


def test_of_two_servers_that_race_for_two_codes_one_accepts_them(url: str, store: TokenStore, key_file: Path) -> None:
    deeds = [("resynchronise", ONE, code(first), code(first + 1)) for first in range(0, 120, 3)]
    assert {tuple(sorted(pair)) for pair in race(url, key_file, deeds, NOW)} == {("accepted", "refused")}
    assert store.counter(ONE) == 119


def test_of_guesses_at_several_servers_five_are_looked_at(url: str, store: TokenStore, key_file: Path) -> None:
    answers = race(url, key_file, [("check", ONE, "000000")] * 8, NOW, processes=3)
    assert Counter(answer for three in answers for answer in three) == {"refused": 5, "locked": 19}
    assert store.resynchronise(ONE, code(0), code(1), NOW).answer is Answer.ACCEPTED


def test_servers_that_start_at_once_make_their_tables_once(url: str, key_file: Path) -> None:
    assert race(url, key_file, [("check", ONE, "0")], NOW, processes=4) == [("unknown",) * 4]
    TokenStore(url, KEYS).close()


def test_of_two_spares_that_take_over_at_once_one_is_active(url: str, store: TokenStore) -> None:
    other = TokenStore(url, KEYS)
    with ThreadPoolExecutor(2) as threads:
        for number in range(10):
            spares = [f"FT{number}{which}" for which in "AB"]
            for serial in spares:
                store.add(serial, TokenKind.HARDWARE, SEED)
                store.register(serial, "ada")
            doings = [threads.submit(s.activate, serial) for s, serial in zip((store, other), spares, strict=True)]
            assert [doing.exception() for doing in doings] == [None, None]
            active = [t.serial for t in store.tokens_of("ada") if t.state is TokenState.ACTIVE]
            assert len(active) == 1
            assert active[0] in spares
    other.close()


def test_of_two_accounts_that_register_a_token_at_once_one_has_it(url: str, store: TokenStore) -> None:
    other = TokenStore(url, KEYS)
    with ThreadPoolExecutor(2) as threads:
        for number in range(10):
            store.add(f"FT{number}", TokenKind.HARDWARE, SEED)
            bert = threads.submit(store.register, f"FT{number}", f"bert{number}")
            cleo = threads.submit(other.register, f"FT{number}", f"cleo{number}")
            refusals = [doing.exception() for doing in (bert, cleo)]
            assert [type(refusal) for refusal in refusals].count(TokenRefused) == 1
    other.close()


# --- Whose


def test_an_account_has_one_active_token_and_spares(store: TokenStore) -> None:
    store.add(TWO, TokenKind.HARDWARE, SEED)
    assert store.standing(TWO).account == ""
    assert store.register(TWO, "ada").state is TokenState.SPARE
    assert store.register(TWO, "ada").state is TokenState.SPARE
    assert store.activate(TWO).state is TokenState.ACTIVE
    assert store.activate(TWO).state is TokenState.ACTIVE
    assert [t.serial for t in store.tokens_of("ada")] == [ONE, TWO]
    assert states(store, ONE, TWO) == [TokenState.DEACTIVATED, TokenState.ACTIVE]


def test_a_phone_and_a_hardware_token_are_active_beside_each_other(store: TokenStore) -> None:
    store.add("SOFT1", TokenKind.SOFT, SEED)
    assert store.register("SOFT1", "ada").state is TokenState.ACTIVE
    assert states(store, ONE) == [TokenState.ACTIVE]


def test_a_deactivated_or_lost_token_never_comes_back(store: TokenStore) -> None:
    doings: list[Callable[[], object]] = [
        lambda: store.register(ONE, "ada"),
        lambda: store.activate(ONE),
        *(lambda state=state: store.set_state(ONE, state) for state in (TokenState.ACTIVE, TokenState.SUSPENDED)),
    ]
    store.disable(ONE, lost=True)
    store.disable(ONE, lost=False)
    for do in doings:
        with pytest.raises(TokenRefused, match="never be used again"):
            do()
    assert states(store, ONE) == [TokenState.LOST]


def test_a_second_active_token_is_refused_and_somebody_elses_too(store: TokenStore) -> None:
    store.add(TWO, TokenKind.HARDWARE, SEED)
    with pytest.raises(TokenRefused, match="nobody's"):
        store.activate(TWO)
    store.register(TWO, "ada")
    with pytest.raises(TokenRefused, match=ONE):
        store.set_state(TWO, TokenState.ACTIVE)
    with pytest.raises(TokenRefused, match="another account"):
        store.register(TWO, "bert")


def test_a_suspended_token_comes_back_by_support_staff_alone(store: TokenStore) -> None:
    store.set_state(ONE, TokenState.SUSPENDED)
    with pytest.raises(TokenRefused):
        store.activate(ONE)
    assert store.set_state(ONE, TokenState.ACTIVE).state is TokenState.ACTIVE


def test_a_token_that_nobody_knows_is_said_to_be_so(store: TokenStore) -> None:
    for ask in (store.standing, store.counter, store.activate, store.reset_throttle):
        with pytest.raises(UnknownToken, match="GAHE99999999"):
            ask("GAHE99999999")
    with pytest.raises(UnknownToken):
        store.check("GAHE99999999", "000000", NOW)


def test_a_serial_is_one_tokens_and_what_no_token_can_be_is_none(store: TokenStore) -> None:
    with pytest.raises(TokenRefused, match="already"):
        store.add(ONE, TokenKind.HARDWARE, b"another seed, as long")
    assert checked(store, 0) is Answer.ACCEPTED
    for serial, seed, counter in (("", SEED, 0), (TWO, b"", 0), (TWO, SEED * 26, 0), (TWO, SEED, -1)):
        with pytest.raises(ValueError):
            store.add(serial, TokenKind.HARDWARE, seed, counter=counter)


def test_a_vendors_file_comes_in_as_a_whole_or_not_at_all(store: TokenStore) -> None:
    text = f"serial,seed,type,digits,counter\n{TWO},{SEED.hex()},hotp,8,7\n"
    store.add_all(parse_seeds(text.encode()), TokenKind.HARDWARE, fips_level=2)
    store.register(TWO, "bert")
    assert store.standing(TWO).fips_level == 2
    assert store.check(TWO, hotp(SEED, 7, 8), NOW).answer is Answer.ACCEPTED
    again = parse_seeds(f"serial,seed\n{THREE},{SEED.hex()}\n{TWO},{SEED[::-1].hex()}\n".encode())
    with pytest.raises(TokenRefused, match=TWO):
        store.add_all(again, TokenKind.HARDWARE)
    with pytest.raises(UnknownToken):
        store.standing(THREE)


# --- Keys


def test_seeds_come_under_a_new_key_and_the_old_one_can_go(url: str, store: TokenStore) -> None:
    both = renew(KEYS)
    newer = TokenStore(url, both)
    newer.add(TWO, TokenKind.HARDWARE, SEED)
    assert (newer.seal_again(), newer.seal_again()) == (1, 0)
    alone = TokenStore(url, forget_old(both))
    assert checked(alone, 0) is Answer.ACCEPTED
    with pytest.raises(SeedLost):
        checked(store, 1)
    newer.close()
    alone.close()


def test_no_seed_lies_in_the_database_and_none_can_be_exchanged(tmp_path: Path) -> None:
    path = tmp_path / "tokens.db"
    store = TokenStore(f"sqlite:///{path}", KEYS)
    for serial in (ONE, TWO):
        store.add(serial, TokenKind.HARDWARE, SEED)
        store.register(serial, serial)
    store.close()
    files = [file.read_bytes() for file in tmp_path.iterdir()]
    assert any(ONE.encode() in octets for octets in files)
    assert not any(SEED in octets or SEED.hex().encode() in octets for octets in files)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE token SET seed = (SELECT seed FROM token WHERE serial = ?)", (TWO,))
    connection.close()
    store = TokenStore(f"sqlite:///{path}", SealingKeys(KEYS.current, KEYS.keys))
    with pytest.raises(SeedLost):
        checked(store, 0)
    store.close()

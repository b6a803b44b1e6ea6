"""privacyIDEA as a token authority: the contract over a stand-in with its manners, and answers that no token server
gives. (The contract over a real one: `./dev bench privacyidea`.)
"""

from __future__ import annotations

import logging
import os
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from renewagent.tokens.errors import (
    TokenError,
    TokenRefused,
    TokenServerMisbehaved,
    TokenServerUnreachable,
    UnknownToken,
)
from renewagent.tokens.model import Answer, TokenKind, TokenState
from renewagent.tokens.privacyidea import PrivacyIdea
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from tests.unit.tokens.authority_contract import *  # noqa: F403
from tests.unit.tokens.authority_contract import registered
from tests.unit.tokens.privacyidea_stand_in import ADMINISTRATOR, PASSWORD, Kept, StandIn
from tests.unit.tokens.test_ehr_http import Odd, answering, http
from tests.unit.tokens.vendor_benches import Counter

SERIAL, CODE, NEXT = "GAHE00000001", "492039", "118274"


class StandInBench:
    """As `authority_contract.Bench`."""

    def __init__(self, counter: Counter) -> None:
        self.stand_in = StandIn()
        counter.serves(self.stand_in.app)
        self._time = datetime(2026, 11, 22, 9, tzinfo=UTC)
        self.authority = PrivacyIdea(counter.url, ADMINISTRATOR, PASSWORD, now=lambda: self._time)

    def token(self) -> ButtonToken:
        serial, seed = f"GAHE{len(self.stand_in.tokens) + 1:08}", os.urandom(20)
        self.stand_in.tokens[serial] = Kept(serial, seed)
        return ButtonToken(serial, seed)

    def account(self) -> str:
        account = f"user{len(self.stand_in.users) + 1}"
        self.stand_in.users.add(account)
        return account

    def lets_time_pass(self) -> bool:
        self._time += timedelta(hours=1)
        return True


@pytest.fixture(scope="module")
def counter() -> Iterator[Counter]:
    made = Counter()
    yield made
    made.stop()


@pytest.fixture
def bench(counter: Counter) -> Iterator[StandInBench]:
    made = StandInBench(counter)
    yield made
    made.authority.close()


# --- What is special about this server


def test_a_pass_that_is_over_is_asked_for_anew_and_nothing_is_done_twice(bench: StandInBench) -> None:
    token = registered(bench)
    bench.stand_in.passes.clear()
    assert bench.authority.check(token.serial, token.press()).answer is Answer.ACCEPTED
    bench.stand_in.lasts, bench.stand_in.passes = 1, {}
    assert bench.authority.check(token.serial, token.press()).answer is Answer.ACCEPTED


def test_a_password_that_is_none_of_ours(counter: Counter, bench: StandInBench) -> None:
    authority = PrivacyIdea(counter.url, ADMINISTRATOR, "another", now=lambda: datetime.now(UTC))
    with pytest.raises(TokenServerMisbehaved, match="does not accept this console's account"):
        authority.standing(bench.token().serial)
    authority.close()


def test_a_star_in_a_serial_is_no_token(bench: StandInBench) -> None:
    registered(bench)
    for serial in ("GAHE*", "*", "gahe00000001"):
        with pytest.raises(UnknownToken):
            bench.authority.standing(serial)


def test_nobody_the_server_does_not_know_gets_a_token(bench: StandInBench) -> None:
    token = bench.token()
    with pytest.raises(TokenRefused, match="nobody of this user name"):
        bench.authority.register(token.serial, "nobody")
    assert bench.authority.standing(token.serial).account == ""


def test_a_token_that_an_administrator_disabled_there_is_suspended_and_does_not_take_over(bench: StandInBench) -> None:
    token = registered(bench)
    bench.stand_in.tokens[token.serial].active = False
    assert bench.authority.standing(token.serial).state is TokenState.SUSPENDED
    with pytest.raises(TokenRefused, match="suspended"):
        bench.authority.activate(token.serial)


def test_a_registration_that_was_cut_off_is_completed(bench: StandInBench) -> None:
    account = bench.account()
    first = registered(bench, account)
    second = bench.token()
    kept = bench.stand_in.tokens[second.serial]
    kept.active = False
    kept.info["renewagent_spare"] = "1"
    assert bench.authority.register(second.serial, account).state is TokenState.SPARE
    bench.authority.disable(first.serial, lost=True)
    third = bench.token()
    kept = bench.stand_in.tokens[third.serial]
    kept.active = False
    kept.info["renewagent_spare"] = "1"
    assert bench.authority.register(third.serial, account).state is TokenState.ACTIVE


def test_an_activation_that_was_cut_off_is_completed(bench: StandInBench) -> None:
    account = bench.account()
    first, second = registered(bench, account), registered(bench, account)
    kept = bench.stand_in.tokens[second.serial]
    kept.active = True
    kept.info.pop("renewagent_spare")
    bench.authority.activate(second.serial)
    assert bench.authority.standing(first.serial).state is TokenState.DEACTIVATED


def test_a_lost_token_becomes_no_password_in_its_place(bench: StandInBench) -> None:
    token = registered(bench)
    bench.authority.disable(token.serial, lost=True)
    assert not [path for path in bench.stand_in.asked if "/token/lost" in path]
    asked = bench.stand_in.asked
    assert asked.index("POST /token/disable") < asked.index("POST /token/revoke")


def test_refused_pairs_are_counted_before_they_are_asked_about(bench: StandInBench) -> None:
    token = registered(bench)
    bench.authority.resynchronise(token.serial, "000000", "111111")
    asked = bench.stand_in.asked
    info = f"POST /token/info/{token.serial}/renewagent_refusals"
    assert asked.index(info) < asked.index("POST /token/resync")
    assert bench.authority.resynchronise(token.serial, *token.press_twice()).answer is Answer.ACCEPTED
    assert "renewagent_refusals" not in bench.stand_in.tokens[token.serial].info


def test_what_fips_says_of_it_comes_from_its_info(bench: StandInBench) -> None:
    token = bench.token()
    assert bench.authority.standing(token.serial).fips_level == 0
    bench.stand_in.tokens[token.serial].info["fips_level"] = "2"
    assert bench.authority.standing(token.serial).fips_level == 2
    bench.stand_in.tokens[token.serial].info["tokenkind"] = "software"
    assert bench.authority.standing(token.serial).kind is TokenKind.SOFT


# --- Answers that no token server gives


@contextmanager
def odd_server(act: Callable[[socket.socket], None]) -> Iterator[PrivacyIdea]:
    server = Odd(act)
    authority = PrivacyIdea(server.url, ADMINISTRATOR, PASSWORD, now=lambda: datetime.now(UTC), longest=5.0)
    try:
        yield authority
    finally:
        authority.close()
        server.close()


def valued(value: object) -> Callable[[socket.socket], None]:
    return answering({"result": {"status": True, "value": value}})


TOKEN = {
    "serial": SERIAL,
    "username": "lopez",
    "active": True,
    "revoked": False,
    "count": 3,
    "failcount": 0,
    "maxfail": 10,
    "tokentype": "hotp",
    "info": {"tokenkind": "hardware"},
}


def listing(**changed: object) -> dict[str, object]:
    """A value that serves as a sign-in's and as a list's."""
    return {"token": "pass-1", "tokens": [TOKEN | changed]}


def test_what_makes_sense_is_taken() -> None:
    with odd_server(valued(listing())) as authority:
        standing = authority.standing(SERIAL)
    assert (standing.state, standing.account, standing.kind) == (TokenState.ACTIVE, "lopez", TokenKind.HARDWARE)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        [],
        {"token": 5},
        {"token": "pass-1"},
        {"token": "pass-1", "tokens": {}},
        listing(username=None),
        listing(username="a\x1b[2J"),
        listing(active="yes"),
        listing(revoked=0),
        listing(failcount="0"),
        listing(maxfail=True),
        listing(count=None),
        listing(tokentype=None),
        listing(info=None),
        listing(info={"renewagent_refusals": "{"}),
        listing(info={"renewagent_refusals": '{"refused": 1}'}),
        listing(info={"renewagent_refusals": '{"refused": 1, "until": 7}'}),
        listing(serial=7),
    ],
)
def test_values_of_the_wrong_kind(value: object) -> None:
    with odd_server(valued(value)) as authority, pytest.raises(TokenServerMisbehaved, match="makes no sense"):
        authority.standing(SERIAL)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"{}", b'{"result": 5}', b'{"result": {"status": true}}'])
def test_answers_that_are_none(body: bytes) -> None:
    with odd_server(http("200 OK", body)) as authority, pytest.raises(TokenServerMisbehaved):
        authority.standing(SERIAL)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        ("400 Bad", TokenServerMisbehaved, "HTTP 400"),
        ("403 No", TokenServerMisbehaved, "does not let this console"),
        ("401 Who", TokenServerMisbehaved, "does not accept this console's account"),
        ("500 Oops", TokenServerMisbehaved, "HTTP 500"),
        ("503 Busy", TokenServerUnreachable, "busy"),
    ],
)
def test_another_status(status: str, error: type[TokenError], words: str) -> None:
    with odd_server(http(status, b"<h1>No")) as authority, pytest.raises(error, match=words):
        authority.standing(SERIAL)


def test_nobody_there() -> None:
    server = Odd(answering({}))
    server.close()
    authority = PrivacyIdea(server.url, ADMINISTRATOR, PASSWORD, now=lambda: datetime.now(UTC))
    with pytest.raises(TokenServerUnreachable, match="cannot be reached"):
        authority.check(SERIAL, CODE)


def test_no_code_and_no_password_is_in_any_message_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error = {"code": 905, "message": f"ERR905: {CODE} {NEXT} {PASSWORD}"}
    told: list[str] = []
    for act in (
        answering({"result": {"status": False, "error": error}}, "400 Bad"),
        valued(listing() | {"more": CODE}),
        http("500 Oops", f"{CODE} {NEXT} {PASSWORD}".encode()),
        lambda connection: None,
    ):
        with odd_server(act) as authority:
            asks: tuple[Callable[[], object], ...] = (
                lambda: authority.check(SERIAL, CODE),
                lambda: authority.resynchronise(SERIAL, CODE, NEXT),
            )
            for asking in asks:
                try:
                    asking()
                except TokenError as problem:
                    told += [problem.message, problem.advice, *traceback.format_exception(problem)]
            told += [repr(authority)]
    said = "".join(told) + caplog.text
    assert "tokens/privacyidea.py" in said
    for secret in (CODE, NEXT, PASSWORD):
        assert secret not in said

"""The client of a vendor against the mock's server over a socket: all that is promised, and every mood; then against
servers that no vendor would run.
"""

from __future__ import annotations

import json
import logging
import socket
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from renewagent.tokens.errors import (
    TokenError,
    TokenRefused,
    TokenServerMisbehaved,
    TokenServerUnreachable,
    UnknownToken,
)
from renewagent.tokens.model import Answer
from renewagent.tokens.tickets import TicketState
from renewagent.tokens.vendor import VendorClient
from renewagent_fixtures.mock_epcs.vendor_moods import VendorMoods
from tests.unit.tokens.authority_contract import *  # noqa: F403
from tests.unit.tokens.test_ehr_http import Odd, answering, http
from tests.unit.tokens.vendor_benches import WORLD_KEY, Counter, OverHttp
from tests.unit.tokens.vendor_contract import *  # noqa: F403
from tests.unit.tokens.vendor_contract import EMAIL, PHONE, USER, reset_ticket

KEY = "a-key-that-nobody-may-see"
SERIAL, CODE, NEXT = "GAHE00000001", "492039", "118274"


@pytest.fixture(scope="module")
def counter() -> Iterator[Counter]:
    made = Counter()
    yield made
    made.stop()


@pytest.fixture
def bench(tmp_path: Path, counter: Counter) -> Iterator[OverHttp]:
    made = OverHttp(tmp_path, counter)
    yield made
    made.close()


@pytest.fixture
def vendor_bench(bench: OverHttp) -> OverHttp:
    return bench


# --- The server's moods


@pytest.mark.parametrize("moods", [VendorMoods(faults=2), VendorMoods(cuts=2), VendorMoods(babbles=2)])
def test_what_goes_wrong_now_and_then_is_asked_again_where_it_is_harmless(bench: OverHttp, moods: VendorMoods) -> None:
    bench.world.enrol(USER, EMAIL, PHONE)
    token, account = bench.token(), bench.account()
    bench.world.moods = moods
    ticket = reset_ticket(token.serial, "codes", token.press_twice())
    for _ in range(3):
        bench.vendor.register(token.serial, account)
        assert bench.vendor.standing(token.serial).account == account
        filed = bench.vendor.file_reset(ticket, "one-key")
        assert bench.vendor.filed(filed.number).state is TicketState.SENT
        assert bench.vendor.invitation(bench.vendor.invite(USER).id) is None
        assert bench.vendor.soft_tokens([USER]) == {}
        bench.vendor.reset(token.serial)
    assert filed.number == "EX-100001"
    assert len(bench.world.outbox(EMAIL)) == 1


@pytest.mark.parametrize(
    ("moods", "error", "words"),
    [
        (VendorMoods(faults=2), TokenServerMisbehaved, "HTTP 500"),
        (VendorMoods(cuts=2), TokenServerUnreachable, "broke the connection off"),
        (VendorMoods(babbles=2), TokenServerMisbehaved, "makes no sense"),
    ],
)
def test_a_code_is_shown_once_whatever_happens(
    bench: OverHttp, moods: VendorMoods, error: type[TokenError], words: str
) -> None:
    token = bench.token()
    bench.vendor.register(token.serial, bench.account())
    bench.world.moods = moods
    with pytest.raises(error, match=words):  # a second question, the third in all, would be answered
        bench.vendor.check(token.serial, token.press())
    bench.vendor.standing(token.serial)
    with pytest.raises(error, match=words):
        bench.vendor.resynchronise(token.serial, *token.press_twice())
    assert bench.vendor.check(token.serial, token.press()).answer is Answer.ACCEPTED


def test_a_lost_answer_about_a_code_says_what_to_do(bench: OverHttp) -> None:
    token = bench.token()
    bench.vendor.register(token.serial, bench.account())
    bench.world.moods = VendorMoods(cuts=1)
    with pytest.raises(TokenServerUnreachable) as caught:
        bench.vendor.check(token.serial, token.press())
    assert "Press the button again" in caught.value.advice


def test_a_slow_vendor_is_waited_for_but_not_for_ever(tmp_path: Path, counter: Counter) -> None:
    bench = OverHttp(tmp_path, counter, longest=1.0)
    bench.world.moods = VendorMoods(slow=0.2)
    token = bench.token()
    assert bench.vendor.register(token.serial, "dr.lopez").account == "dr.lopez"
    bench.world.moods = VendorMoods(slow=2.0)
    with pytest.raises(TokenServerUnreachable, match="did not answer in time"):
        bench.vendor.check(token.serial, token.press())
    bench.close()


# --- Who is let in, and with how much


def post(bench: OverHttp, path: str, body: bytes, key: str = "") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = urllib3.PoolManager().request("POST", bench.url + path, body=body, headers=headers, retries=False)
    return answer.status, json.loads(answer.data)


@pytest.mark.parametrize("key", ["", "guessed", "the organisation's key ", "\u00fc", WORLD_KEY])
def test_only_the_organisation_is_answered(bench: OverHttp, key: str) -> None:
    status, said = post(bench, "/vendor/v1/standing", b'{"serial": "GAHE00000001"}', key)
    assert (status, said["kind"]) == (401, "key")
    client = VendorClient(bench.url, "guessed")
    with pytest.raises(TokenServerMisbehaved, match="does not accept this console's key") as caught:
        client.standing(SERIAL)
    assert "epcs.vendor_key" in caught.value.advice
    client.close()


def test_the_world_is_asked_by_tests_alone(bench: OverHttp) -> None:
    bench.world.enrol(USER, EMAIL, PHONE)
    bench.vendor.invite(USER)
    asked = json.dumps({"address": EMAIL}).encode()
    assert post(bench, "/world/v1/outbox", asked, bench.key)[0] == 401
    status, found = post(bench, "/world/v1/outbox", asked, WORLD_KEY)
    assert (status, len(found["messages"])) == (200, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"serial": 7}',
        b'{"serial": null}',
        b"[" * 50_000,
        b"\xff",
        b'{"serial": []}',
    ],
)
def test_questions_that_make_no_sense(bench: OverHttp, body: bytes) -> None:
    for call in ("standing", "check", "file_reset", "file_order", "soft_tokens", "invite", "invitation", "filed"):
        assert post(bench, f"/vendor/v1/{call}", body, bench.key)[0] in (400, 404)
    assert post(bench, "/app/v1/activate_app", body)[0] == 400


def test_too_much_is_not_read(bench: OverHttp) -> None:
    much = json.dumps({"serial": "G" * 70_000}).encode()
    assert post(bench, "/vendor/v1/standing", much, bench.key)[0] == 413
    assert post(bench, "/app/v1/activate_app", much)[0] == 413


def test_an_unknown_call_is_none(bench: OverHttp) -> None:
    status, said = post(bench, "/vendor/v1/enrol", b"{}", bench.key)
    assert (status, said["kind"]) == (404, "call")


# --- Servers that no vendor would run


@contextmanager
def odd_vendor(act: Callable[[socket.socket], None], *, longest: float = 10.0) -> Iterator[tuple[VendorClient, Odd]]:
    server = Odd(act)
    client = VendorClient(server.url, KEY, longest=longest)
    try:
        yield client, server
    finally:
        client.close()
        server.close()


STANDING = {
    "serial": SERIAL,
    "kind": "hardware",
    "state": "active",
    "account": "dr.lopez",
    "locked_until": None,
    "fips_level": 2,
    "separate_device": True,
}
SOFT = {
    "username": USER,
    "serial": "APP1",
    "registration": "r1",
    "activated": "2026-11-22T09:00:00+00:00",
    "password_set": "2026-11-22T09:00:00+00:00",
    "certificate_issued": "2026-11-22T09:00:00+00:00",
    "certificate_ends": "2028-11-21T09:00:00+00:00",
    "working": True,
}
INVITED = {
    "id": "INV-1",
    "username": USER,
    "channels": ["m...@x.example"],
    "ends": SOFT["activated"],
    "keeps_old": True,
}
FILED = {"number": "EX-1", "state": "sent", "at": SOFT["activated"], "outcome": "", "tracking": "", "serial": ""}
CHECKED = {"answer": "accepted", "until": None, "drift": None}


def ask(client: VendorClient, call: str) -> object:
    asks: dict[str, Callable[[], object]] = {
        "standing": lambda: client.standing(SERIAL),
        "check": lambda: client.check(SERIAL, CODE),
        "reset": lambda: client.reset(SERIAL),
        "filed": lambda: client.filed("EX-1"),
        "soft_tokens": lambda: client.soft_tokens([USER]),
        "invite": lambda: client.invite(USER),
        "invitation": lambda: client.invitation("INV-1"),
    }
    return asks[call]()


GOOD: dict[str, dict[str, Any]] = {
    "standing": STANDING,
    "check": CHECKED,
    "reset": {"done": True},
    "filed": FILED,
    "soft_tokens": {"soft_tokens": {USER: SOFT}},
    "invite": INVITED,
    "invitation": {"soft_token": SOFT},
}


@pytest.mark.parametrize("call", GOOD)
def test_good_answers_are_taken_with_more_in_them(call: str) -> None:
    with odd_vendor(answering(GOOD[call] | {"news": 1})) as (client, _):
        ask(client, call)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("standing", STANDING | {"serial": "GAHE00000002"}),
        ("standing", STANDING | {"state": "fine"}),
        ("standing", STANDING | {"state": ["active"]}),
        ("standing", STANDING | {"kind": None}),
        ("standing", STANDING | {"account": "a\x1b[2J"}),
        ("standing", STANDING | {"account": "a" * 401}),
        ("standing", STANDING | {"fips_level": True}),
        ("standing", STANDING | {"fips_level": -1}),
        ("standing", STANDING | {"separate_device": 1}),
        ("standing", STANDING | {"locked_until": "2026-11-22T09:00:00"}),
        ("standing", {}),
        ("check", {}),
        ("check", {"answer": "ACCEPTED"}),
        ("check", {"answer": True}),
        ("check", CHECKED | {"drift": "1"}),
        ("check", CHECKED | {"drift": 10**9}),
        ("check", {"answer": "refused", "until": None, "drift": 3}),
        ("check", {"answer": "locked", "until": 5}),
        ("check", {"answer": "locked", "until": "0001-01-01T00:00:00+14:00"}),
        ("reset", {"done": False}),
        ("reset", {"done": "true"}),
        ("filed", FILED | {"number": "EX-2"}),
        ("filed", FILED | {"number": ""}),
        ("filed", FILED | {"state": "reset"}),
        ("filed", FILED | {"at": None}),
        ("filed", FILED | {"outcome": None}),
        ("filed", FILED | {"outcome": "\u202edone"}),
        ("soft_tokens", {}),
        ("soft_tokens", {"soft_tokens": []}),
        ("soft_tokens", {"soft_tokens": {"somebody": SOFT | {"username": "somebody"}}}),
        ("soft_tokens", {"soft_tokens": {USER: SOFT | {"username": "somebody"}}}),
        ("soft_tokens", {"soft_tokens": {USER: None}}),
        ("soft_tokens", {"soft_tokens": {USER: SOFT | {"registration": ""}}}),
        ("soft_tokens", {"soft_tokens": {USER: SOFT | {"working": None}}}),
        ("soft_tokens", {"soft_tokens": {USER: SOFT | {"password_set": "long ago"}}}),
        ("invite", INVITED | {"username": "somebody"}),
        ("invite", INVITED | {"id": ""}),
        ("invite", INVITED | {"channels": "m"}),
        ("invite", INVITED | {"channels": [5]}),
        ("invite", INVITED | {"channels": ["m"] * 11}),
        ("invite", INVITED | {"keeps_old": "yes"}),
        ("invitation", {}),
        ("invitation", {"soft_token": False}),
        ("invitation", {"soft_token": SOFT | {"serial": ""}}),
    ],
)
def test_answers_of_the_wrong_kind_or_about_something_else(call: str, answer: object) -> None:
    with odd_vendor(answering(answer)) as (client, _), pytest.raises(TokenServerMisbehaved, match="makes no sense"):
        ask(client, call)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b" " * (1 << 21)])
def test_answers_that_are_none(body: bytes) -> None:
    for call in GOOD:
        with odd_vendor(http("200 OK", body)) as (client, _), pytest.raises(TokenServerMisbehaved, match="no sense"):
            ask(client, call)


@pytest.mark.parametrize("status", ["201 Created", "307 Elsewhere", "400 Bad", "404 No", "409 No", "500 Oops"])
def test_another_status(status: str) -> None:
    with odd_vendor(answering(STANDING, status)) as (client, _), pytest.raises(TokenServerMisbehaved, match=status[:3]):
        client.standing(SERIAL)


@pytest.mark.parametrize("status", ["429 Slow Down", "502 Bad", "503 Busy", "504 Late"])
def test_a_busy_vendor_is_left_alone(status: str) -> None:
    with odd_vendor(answering({}, status)) as (client, server):
        with pytest.raises(TokenServerUnreachable, match="busy"):
            client.standing(SERIAL)
        assert len(server.requests) == 1


def test_nobody_there() -> None:
    server = Odd(answering({}))
    server.close()
    with pytest.raises(TokenServerUnreachable, match="cannot be reached"):
        VendorClient(server.url, KEY).standing(SERIAL)


def test_refusals_come_in_the_vendors_words_made_safe() -> None:
    no = {"kind": "refused", "error": "Not\x1b[31m\nthis one.", "advice": "Take\x07 another."}
    with odd_vendor(answering(no, "409 No")) as (client, _), pytest.raises(TokenRefused) as caught:
        client.activate(SERIAL)
    assert (caught.value.message, caught.value.advice) == ("Not [31m this one.", "Take another.")
    with odd_vendor(answering({"kind": "refused"}, "409 No")) as (client, _), pytest.raises(TokenRefused) as caught:
        client.activate(SERIAL)
    assert "does not say why" in caught.value.message


def test_no_code_and_no_key_is_in_any_message_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = {"kind": "refused", "error": f"{CODE} is wrong", "advice": f"not {CODE}"}
    unknown = {"kind": "unknown", "error": f"what is {CODE}?"}
    told: list[str] = []
    for act in (
        answering(echo, "409 No"),
        answering(unknown, "404 No"),
        answering({CODE: NEXT}),
        answering(echo, "500 Oops"),
        http("200 OK", f"<p>{CODE} {NEXT}".encode()),
        lambda connection: None,
    ):
        with odd_vendor(act) as (client, server):
            asks: tuple[Callable[[], object], ...] = (
                lambda: client.check(SERIAL, CODE),
                lambda: client.resynchronise(SERIAL, CODE, NEXT),
                lambda: client.file_reset(reset_ticket(SERIAL, "codes", (CODE, NEXT)), "key-1"),
            )
            for asking in asks:
                try:
                    asking()
                except TokenError as problem:
                    told += [problem.message, problem.advice, *traceback.format_exception(problem)]
            assert CODE.encode() in server.requests[0]
    said = "".join(told) + caplog.text
    assert "tokens/vendor.py" in said
    for secret in (CODE, NEXT, KEY):
        assert secret not in said


def test_an_unknown_token_is_told_from_an_address_that_is_no_vendors() -> None:
    with odd_vendor(answering({"kind": "unknown"}, "404 No")) as (client, _), pytest.raises(UnknownToken):
        client.standing(SERIAL)
    with odd_vendor(http("404 No", b"<h1>Not found")) as (client, _), pytest.raises(TokenServerMisbehaved):
        client.standing(SERIAL)


# --- Many at once


def test_of_many_that_bring_one_code_at_once_one_is_accepted(bench: OverHttp) -> None:
    token = bench.token()
    bench.vendor.register(token.serial, bench.account())
    code = token.press()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: bench.vendor.check(token.serial, code).answer, range(8)))
    assert answers.count(Answer.ACCEPTED) == 1


def test_a_ticket_sent_many_times_at_once_is_one(bench: OverHttp) -> None:
    token = bench.token()
    ticket = reset_ticket(token.serial, "codes", token.press_twice())
    with ThreadPoolExecutor(8) as pool:
        numbers = set(pool.map(lambda _: bench.vendor.file_reset(ticket, "one-key").number, range(8)))
    assert len(numbers) == 1


def test_one_who_is_invited_many_times_at_once_has_one_letter(bench: OverHttp) -> None:
    bench.world.enrol(USER, EMAIL, PHONE)
    with ThreadPoolExecutor(8) as pool:
        invitations = set(pool.map(lambda _: bench.vendor.invite(USER).id, range(8)))
    assert len(invitations) == len(bench.world.outbox(EMAIL)) == 1


def test_two_phones_that_are_activated_at_once_by_one_invitation_are_one(bench: OverHttp) -> None:
    bench.world.enrol(USER, EMAIL, PHONE)
    bench.vendor.invite(USER)
    letters = bench.world.outbox(EMAIL), bench.world.outbox(PHONE)

    def activate(_: int) -> bool:
        phone = bench.phone()
        phone.install("password")
        try:
            phone.activate_from(*letters)
        except TokenRefused:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(activate, range(4))) == 1
    assert bench.vendor.soft_tokens([USER])[USER].working

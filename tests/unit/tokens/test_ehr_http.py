"""An EHR over HTTP that answers as no EHR should, slowly, too much, or not at all. (What it promises when it is well is
`tests.unit.mock_epcs.test_ehr_contract`.)
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.errors import ConfigurationError
from renewagent.tokens.asking import LARGEST_ANSWER, Answered, Service
from renewagent.tokens.ehr_http import EhrClient
from renewagent.tokens.errors import EhrMisbehaved, EhrRefused, EhrUnreachable
from renewagent.tokens.model import Access, Device, Staff

KEY = "the-key-of-the-console"
PASSWORD = "larks-at-noon"
AT = datetime(2026, 11, 22, 9, 15, tzinfo=UTC)


class Odd:
    """A server that reads one request after another and answers each with what it is told to."""

    def __init__(self, act: Callable[[socket.socket], None]) -> None:
        self._act = act
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(_request(connection))
                try:
                    self._act(connection)
                except OSError:
                    pass  # the client has gone

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)


def _request(connection: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    length = next(lengths, 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def http(status: str, body: bytes, *headers: str) -> Callable[[socket.socket], None]:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return lambda connection: connection.sendall("\r\n".join(lines).encode() + body)


def answering(document: object, status: str = "200 OK") -> Callable[[socket.socket], None]:
    return http(status, json.dumps(document).encode())


@contextmanager
def odd_ehr(act: Callable[[socket.socket], None], *, longest: float = 10.0) -> Iterator[tuple[EhrClient, Odd]]:
    server = Odd(act)
    client = EhrClient(server.url, KEY, longest=longest)
    try:
        yield client, server
    finally:
        client.close()
        server.close()


def refused_by(act: Callable[[socket.socket], None]) -> EhrRefused:
    with odd_ehr(act) as (client, _), pytest.raises(EhrRefused) as caught:
        client.suspend_epcs("lamb")
    return caught.value


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"true", b"{", b"\xff\xfe", b"[" * 100_000, b"{}", b'{"done": 1}', b'{"done": "true"}'],
)
def test_an_answer_that_is_none(body: bytes) -> None:
    with odd_ehr(http("200 OK", body)) as (client, _), pytest.raises(EhrMisbehaved, match="makes no sense"):
        client.suspend_epcs("lamb")


def test_done_that_is_false_is_not_done() -> None:
    with odd_ehr(answering({"done": False})) as (client, _), pytest.raises(EhrMisbehaved):
        client.remove_device("lamb")


STAFF = {"user": "lamb", "name": "Ada Lamb", "npi": "", "dea": "", "email": "", "active": True}
DEVICE = {"name": "p", "serial": "s", "username": "u", "authenticated": True, "registered": None}
RIGHTS = {"epcs_enabled": True, "epcs_granted": True, "epcs_suspended": False, "administrator": False}


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("staff", {"staff": []}),
        ("staff", {}),
        ("staff", {"staff": STAFF | {"user": "reed"}}),  # somebody else
        ("staff", {"staff": STAFF | {"name": 7}}),
        ("staff", {"staff": STAFF | {"name": "Ada\x1b[2J"}}),
        ("staff", {"staff": STAFF | {"name": "A" * 201}}),
        ("staff", {"staff": STAFF | {"active": "yes"}}),
        ("device", {"device": DEVICE | {"authenticated": None}}),
        ("device", {"device": DEVICE | {"username": "u\u202e"}}),
        ("device", {"device": DEVICE | {"registered": "yesterday"}}),
        ("device", {"device": DEVICE | {"registered": "2026-11-22T09:00:00"}}),  # of which zone?
        ("device", {"device": DEVICE | {"registered": "0001-01-01T00:00:00+14:00"}}),
        ("device", {"device": DEVICE | {"registered": 5}}),
        ("device", {"devices": None}),
        ("access", {"access": None}),
        ("access", {"access": RIGHTS | {"administrator": 0}}),
        ("access", {"access": {}}),
    ],
)
def test_facts_of_the_wrong_kind(call: str, answer: object) -> None:
    with odd_ehr(answering(answer)) as (client, _), pytest.raises(EhrMisbehaved, match="makes no sense"):
        getattr(client, call)("lamb")


def test_facts_of_the_right_kind() -> None:
    with odd_ehr(answering({"staff": STAFF, "device": DEVICE, "access": RIGHTS, "more": 1})) as (client, _):
        assert client.staff("lamb") is not None
        device = client.device("lamb")
        assert device is not None and device.registered is None
        assert client.access("lamb").override_ends is None


@pytest.mark.parametrize("answer", [{}, {"signed_in": "yes"}, {"signed_in": 1}, {"signed_in": None}])
def test_nobody_is_signed_in_by_half_an_answer(answer: object) -> None:
    with odd_ehr(answering(answer)) as (client, _), pytest.raises(EhrMisbehaved):
        client.sign_in("lamb", PASSWORD)


def test_an_override_whose_end_is_not_told() -> None:
    with odd_ehr(answering({"done": True})) as (client, _), pytest.raises(EhrMisbehaved):
        client.give_override("lamb", AT)


@pytest.mark.parametrize(
    "status", ["201 Created", "302 Found", "400 Bad", "404 No", "418 Teapot", "500 Oops", "502 Bad"]
)
def test_another_status(status: str) -> None:
    with odd_ehr(answering({"done": True}, status)) as (client, _), pytest.raises(EhrMisbehaved, match=status[:3]):
        client.suspend_epcs("lamb")


def test_a_busy_ehr() -> None:
    for status in ("429 Slow Down", "503 Busy"):
        with odd_ehr(answering({}, status)) as (client, _), pytest.raises(EhrUnreachable, match="busy"):
            client.suspend_epcs("lamb")


def test_a_redirection_is_not_followed_with_the_key() -> None:
    with odd_ehr(answering({"done": True})) as (_, elsewhere):
        sent_on = http("307 Temporary Redirect", b"", f"Location: {elsewhere.url}/ehr/v1/suspend_epcs")
        with odd_ehr(sent_on) as (client, _), pytest.raises(EhrMisbehaved, match="307"):
            client.suspend_epcs("lamb")
        assert elsewhere.requests == []


def test_a_refusal_in_the_ehrs_words_made_safe() -> None:
    words = "No,\x1b[31m\nnot \u202etoday" + "!" * 1000
    refusal = refused_by(answering({"error": words, "advice": "Ask\x07 Cora."}, "403 Forbidden"))
    assert refusal.message.startswith("No, [31m not today!") and len(refusal.message) <= 400
    assert refusal.advice == "Ask Cora."


@pytest.mark.parametrize("body", [{}, {"error": ""}, {"error": 5}, {"error": None}, {"error": "\n\x00"}])
def test_a_refusal_without_words(body: object) -> None:
    refusal = refused_by(answering(body, "409 Conflict"))
    assert "does not say why" in refusal.message
    assert refusal.advice == EhrRefused.advice


def test_a_refusal_that_repeats_the_password() -> None:
    said = answering({"error": f"Wrong password: {PASSWORD}", "advice": f"Not {PASSWORD}!"}, "403 Forbidden")
    with odd_ehr(said) as (client, _), pytest.raises(EhrRefused) as caught:
        client.sign_in("lamb", PASSWORD)
    assert PASSWORD not in caught.value.message + caught.value.advice


def test_a_key_that_is_not_known() -> None:
    """Which is no word on what was asked: it is asked again, and nothing that was decided counts as refused."""
    with (
        odd_ehr(answering({"error": "who?"}, "401 Unauthorized")) as (client, _),
        pytest.raises(EhrMisbehaved) as caught,
    ):
        client.suspend_epcs("lamb")
    assert caught.value.message == "The EHR does not accept this console's key."
    assert "epcs.ehr.key_file" in caught.value.advice


def test_an_endless_answer_is_cut_off() -> None:
    sent = 0

    def pour(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            connection.sendall(b" " * 65536)
            sent += 65536

    with odd_ehr(pour) as (client, _), pytest.raises(EhrMisbehaved):
        client.suspend_epcs("lamb")
    assert sent < 8 * LARGEST_ANSWER  # what the sockets' buffers took besides


def test_a_packed_answer_is_not_unpacked() -> None:
    packed = http("200 OK", b"\x1f\x8b" + b"\0" * 50, "Content-Encoding: gzip")
    with odd_ehr(packed) as (client, _), pytest.raises(EhrMisbehaved):
        client.suspend_epcs("lamb")


def drip(head: bytes) -> Callable[[socket.socket], None]:
    def act(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(40):
            connection.sendall(b"x")
            time.sleep(0.05)

    return act


@pytest.mark.parametrize(
    "act",
    [
        drip(b"HTTP/1.1 200 OK\r\nX-Long: "),
        drip(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
        lambda connection: time.sleep(2),
    ],
    ids=["a header", "a body", "silence"],
)
def test_an_ehr_that_takes_for_ever(act: Callable[[socket.socket], None]) -> None:
    with odd_ehr(act, longest=1.0) as (client, _):
        begun = time.monotonic()
        with pytest.raises(EhrUnreachable, match="did not answer in time"):
            client.suspend_epcs("lamb")
        assert time.monotonic() - begun < 1.8


@pytest.mark.parametrize(
    "act",
    [
        lambda connection: None,
        lambda connection: connection.sendall(b"\x00\x01\x02 no HTTP\r\n\r\n"),
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ],
    ids=["nothing", "no HTTP", "cut short", "bad chunks"],
)
def test_a_connection_that_breaks(act: Callable[[socket.socket], None]) -> None:
    with odd_ehr(act) as (client, _), pytest.raises(EhrUnreachable, match="broke the connection off"):
        client.suspend_epcs("lamb")


def test_nobody_there() -> None:
    server = Odd(answering({}))
    server.close()
    with pytest.raises(EhrUnreachable, match="cannot be reached"):
        EhrClient(server.url, KEY).suspend_epcs("lamb")


def test_a_question_is_asked_once_and_by_post() -> None:
    with odd_ehr(lambda connection: None) as (client, server), pytest.raises(EhrUnreachable):
        client.sign_in("lamb", PASSWORD)
    assert len(server.requests) == 1
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /ehr/v1/sign_in HTTP/1.1\r\n")
    assert f"Bearer {KEY}".encode() in head
    assert json.loads(body) == {"user": "lamb", "password": PASSWORD}


def test_passwords_and_keys_are_in_no_log_and_no_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    for act in (answering({"signed_in": True}), answering({}, "500 Oops"), lambda connection: None):
        with odd_ehr(act) as (client, _):
            try:
                client.sign_in("lamb", PASSWORD)
            except (EhrMisbehaved, EhrUnreachable) as problem:
                told += [str(problem), repr(problem.__cause__), problem.advice]
            told += [repr(client), str(vars(client))]
    said = caplog.text + "".join(told)
    assert "ehr/v1/sign_in" in said, "something was logged"
    assert PASSWORD not in said and KEY not in said


_WORDS = st.sampled_from(
    ["done", "signed_in", "staff", "device", "access", "enforced", "error", "user", "active", "name"]
)
_DOCUMENTS = st.dictionaries(
    _WORDS | st.sampled_from([*STAFF, *DEVICE, *RIGHTS, "override_ends"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("2026-11-22T09:00:00Z"),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.fixed_dictionaries({}, optional=dict.fromkeys([*STAFF, *DEVICE, *RIGHTS], inner))
        ),
        max_leaves=12,
    ),
)


class _Answering(Service):
    """One answer to everything."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered

    def post(self, path: str, document: Mapping[str, object]) -> Answered:
        return self._answered


@given(_DOCUMENTS | st.none(), st.sampled_from([200, 200, 200, 401, 403, 409, 429, 500]))
def test_whatever_is_answered_comes_out_as_it_should_or_as_our_error(document: Any, status: int) -> None:
    client = EhrClient("http://127.0.0.1:9", KEY)
    client._service = _Answering(Answered(status, document))
    for ask, kind in (
        (lambda: client.sign_in("lamb", PASSWORD), bool),
        (lambda: client.staff("lamb"), Staff | None),
        (lambda: client.device("lamb"), Device | None),
        (lambda: client.access("lamb"), Access),
        (lambda: client.give_override("lamb", AT), bool),
        (lambda: client.suspend_epcs("lamb"), type(None)),
    ):
        try:
            assert isinstance(ask(), kind)
            assert status == 200
        except (EhrMisbehaved, EhrRefused, EhrUnreachable) as problem:
            assert problem.message.isprintable()


def test_a_root_that_is_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("root") / "root.pem"
    root.write_text("no certificate")
    with pytest.raises(ConfigurationError):
        EhrClient("https://ehr.example", KEY, root)

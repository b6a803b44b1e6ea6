"""The desk as commands ask it: one session for one command, its words made safe, and every way in which it may not
answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.errors import RenewAgentError
from renewagent.tokens import desk_client
from renewagent.tokens.desk_client import DeskClient, shown
from renewagent.tokens.errors import DeskRefused, DeskUnreachable, FormError
from tests.unit.tokens.desk_server import PERSON, DeskServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DeskServer]:
    with DeskServer(tmp_path).running() as one:
        yield one


@pytest.fixture
def desk(server: DeskServer) -> Iterator[DeskClient]:
    with DeskClient(server.url, server.root) as one:
        one.sign_in("alamb", "correct horse")
        yield one


def test_signed_in_for_one_command(server: DeskServer) -> None:
    server.say("GET /standing", {"tokens": []})
    with DeskClient(server.url, server.root) as desk:
        assert desk.sign_in("alamb", "correct horse") == PERSON
        assert desk.person["name"] == "Dr Ada Lamb"
        assert desk.get("standing", user="b c", nothing=None) == {"tokens": []}
    assert [(method, path, session) for method, path, session, _ in server.heard] == [
        ("POST", "/sign-in", ""),
        ("GET", "/standing?user=b+c", "Bearer a-session"),
        ("POST", "/sign-out", "Bearer a-session"),
    ]


def test_signed_out_when_the_command_fails(server: DeskServer) -> None:
    with pytest.raises(ZeroDivisionError), DeskClient(server.url, server.root) as desk:
        desk.sign_in("alamb", "correct horse")
        raise ZeroDivisionError
    assert server.heard[-1][1] == "/sign-out"


def test_whoever_is_not_signed_in_is_not_signed_out(server: DeskServer) -> None:
    server.say("POST /sign-in", {"error": "Nobody is signed in.", "advice": "Type it again."}, status=403)
    with pytest.raises(DeskRefused) as refused, DeskClient(server.url, server.root) as desk:
        desk.sign_in("alamb", "wrong")
    assert (refused.value.message, refused.value.advice) == ("Nobody is signed in.", "Type it again.")
    assert [path for _, path, _, _ in server.heard] == ["/sign-in"]


def test_a_sign_out_that_fails_is_nobodys_business(server: DeskServer) -> None:
    server.say("POST /sign-out", b"gone", status=500)
    with DeskClient(server.url, server.root) as desk:
        desk.sign_in("alamb", "correct horse")


def test_a_sign_out_is_not_waited_for_long(server: DeskServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_client, "SIGNING_OUT", 0.3)
    answering = threading.Event()
    monkeypatch.setattr(server, "answer", _slow_at_the_end(server.answer, answering))
    begun = time.monotonic()
    with DeskClient(server.url, server.root) as desk:
        desk.sign_in("alamb", "correct horse")
    assert time.monotonic() - begun < 5
    answering.set()


def _slow_at_the_end(answer: Callable[..., Any], until: threading.Event) -> Callable[..., Any]:
    def slow(method: str, path: str, session: str, document: Any) -> Any:
        if path == "/sign-out":
            until.wait(10)
        return answer(method, path, session, document)

    return slow


def test_members_that_are_none_are_left_out_and_paths_are_quoted(desk: DeskClient, server: DeskServer) -> None:
    server.say("POST /tokens/A%2FB/resync", {"ok": True})
    desk.post("tokens", "A/B", "resync", user=None, back="A/B")
    assert server.sent("POST /tokens/A%2FB/resync") == [{"back": "A/B"}]


def test_refusals_keep_the_desks_own_words(desk: DeskClient, server: DeskServer) -> None:
    said = {"error": "No.", "advice": "Do something.", "code": "RA-TOKEN-LOCKED"}
    server.say("POST /requests", said, status=409)
    with pytest.raises(DeskRefused) as refused:
        desk.post("requests")
    assert (refused.value.message, refused.value.advice, refused.value.code) == (
        "No.",
        "Do something.",
        "RA-TOKEN-LOCKED",
    )
    server.say("POST /requests", {**said, "field": "npi"}, status=400)
    with pytest.raises(FormError) as wrong:
        desk.post("requests")
    assert wrong.value.field == "npi"


def test_words_that_a_terminal_would_obey_are_taken_out(desk: DeskClient, server: DeskServer) -> None:
    server.say("POST /requests", {"error": "No\x1b]0;x\x07 \u202ereally\r", "advice": "\x9b2JLook.\n"}, status=403)
    with pytest.raises(DeskRefused) as refused:
        desk.post("requests")
    assert (refused.value.message, refused.value.advice) == ("No]0;x really", "2JLook.\n")


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'"x"'),
        (200, b"[" * 100_000),
        (200, b'{"x": "' + b"a" * (4 << 20) + b'"}'),
        (302, b"{}"),
        (404, b"Not found"),
        (500, b""),
        (502, b"{}"),
        (418, {"error": 5}),
    ],
)
def test_what_is_no_desk_is_said_to_be_none(desk: DeskClient, server: DeskServer, status: int, answer: Any) -> None:
    server.answers["GET /standing"] = [(status, answer)]
    with pytest.raises(DeskUnreachable, match="is not the EPCS desk"):
        desk.get("standing")
    assert "/elsewhere" not in [path for _, path, _, _ in server.heard]


@pytest.mark.parametrize("said", [{}, {"token": 5, "person": PERSON}, {"token": "a\nb", "person": PERSON}])
def test_a_sign_in_without_a_session_is_none(server: DeskServer, said: dict[str, Any]) -> None:
    server.say("POST /sign-in", said)
    with pytest.raises(DeskUnreachable), DeskClient(server.url, server.root) as desk:
        desk.sign_in("alamb", "x")


def test_asked_too_often(desk: DeskClient, server: DeskServer) -> None:
    server.say("GET /standing", b"", status=429)
    with pytest.raises(DeskRefused) as refused:
        desk.get("standing")
    assert refused.value.advice == "Try again later."


def test_nobody_there_and_somebody_else(server: DeskServer) -> None:
    with pytest.raises(DeskUnreachable, match="could not be verified") as met, DeskClient(server.url, None) as desk:
        desk.sign_in("alamb", "x")
    assert "--desk-root FILE" in str(met.value.advice)
    assert server.heard == []  # the password went nowhere
    with (
        pytest.raises(DeskUnreachable, match="cannot be reached"),
        DeskClient("https://127.0.0.1:1", server.root) as desk,
    ):
        desk.sign_in("alamb", "x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_whatever_is_shown_is_safe_and_can_be_written(document: Any) -> None:
    text = json.dumps(shown(document), ensure_ascii=False)
    text.encode()
    assert all(c.isprintable() for c in text)


def test_a_draft_keeps_its_end(desk: DeskClient, server: DeskServer) -> None:
    server.say(
        "GET /incidents/i1/draft", json.dumps({"draft": "a line of the audit log\n" * 5000 + "the end"}).encode()
    )
    assert desk.get("incidents", "i1", "draft")["draft"].endswith("the end")


def test_every_refusal_is_ours() -> None:
    assert all(issubclass(one, RenewAgentError) for one in (DeskRefused, DeskUnreachable, FormError))

"""`renewagent token`, against a stand-in for the desk: what is sent, what is said, and what is refused before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from renewagent.cli import main
from tests.unit.tokens.desk_server import DeskServer

ACTIVE = {"serial": "GAHE12345678", "kind": "hardware", "state": "active", "drift": 40}
OLD = {"serial": "GAHE00000001", "kind": "hardware", "state": "deactivated"}
STANDING = {"person": {"name": "Dr Ada Lamb"}, "tokens": [OLD, ACTIVE], "tickets": [], "findings": []}
RESET = {"provider": "Ada Lamb", "npi": "1234567893", "serial": "GAHE12345678", "first": "123456", "second": "654321"}
SPARE = {
    "provider": "Ada Lamb",
    "email": "ada@clinic.example",
    "company": "The Clinic",
    "attention": "Ada Lamb",
    "street1": "1 High Street",
    "suite": "200",
    "city": "Springfield",
    "state": "IL",
    "postal_code": "62704",
    "country": "US",
    "phone": "217 555 0100",
    "tracking_email": "ada@clinic.example",
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[DeskServer]:
    with DeskServer(tmp_path).running() as one:
        one.say("GET /standing", STANDING)
        yield one


def run(
    capsys: pytest.CaptureFixture[str], desk: DeskServer, *words: object, status: int = 0
) -> tuple[dict[str, Any], str]:
    assert main(["token", *map(str, words), *desk.words(), "--json"]) == status, capsys.readouterr().err
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def codes(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "codes"
    file.write_text("\n".join(lines))
    return file


def test_two_codes_are_sent_once_the_serial_is_the_right_one(
    desk: DeskServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    desk.say("POST /tokens/GAHE12345678/resync", {"drift": 40, "advice": {"said": "It was 40 presses ahead."}})
    file = codes(tmp_path, "123456", "654321")
    found, said = run(capsys, desk, "resync", "--back", "gahe 1234-5678", "--code-file", file)
    assert found == {"ok": True, "drift": 40, "advice": {"said": "It was 40 presses ahead."}}
    assert said == "It was 40 presses ahead.\n"
    assert desk.sent("POST /tokens/GAHE12345678/resync") == [{"back": "gahe 1234-5678", "codes": ["123456", "654321"]}]
    assert desk.heard[-1][1] == "/sign-out"


def test_another_token_is_refused_before_any_code_is_sent(
    desk: DeskServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = codes(tmp_path, "123456", "654321")
    found, said = run(capsys, desk, "resync", "--back", "GAHE12345679", "--code-file", file, status=1)
    assert found["error"]["code"] == "RA-TOKEN-FORM"
    assert "The token that is registered is GAHE12345678; the one in your hand is GAHE12345679." in said
    assert not any("resync" in path for _, path, _, _ in desk.heard)


@pytest.mark.parametrize("lines", [(), ("123456",), ("123456", "")])
def test_one_code_is_not_enough(
    desk: DeskServer, capsys: pytest.CaptureFixture[str], tmp_path: Path, lines: tuple[str, ...]
) -> None:
    file = codes(tmp_path, *lines)
    _, said = run(capsys, desk, "resync", "--back", "GAHE12345678", "--code-file", file, status=2)
    assert "There are no two codes in" in said


def test_what_is_missing_is_named_and_nobody_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "resync", "--desk", "https://desk.example"]) == 2
    said = capsys.readouterr().err
    assert "Give --user NAME, --password-file FILE, --back SERIAL, --code-file FILE; or run it at a terminal." in said
    assert main(["token", "replace", "--user", "a", "--password-file", "b"]) == 2
    assert "Give --form FILE; or run it at a terminal." in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://desk.example", "https://desk.example/epcs", "https://u@desk.example", "desk"])
def test_only_an_address_of_https_is_a_desk(capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str) -> None:
    password = codes(tmp_path, "secret")
    words = ["token", "show", "--desk", url, "--user", "a", "--password-file", str(password)]
    assert main(words) == 2
    assert "is not the address of a console" in capsys.readouterr().err


def test_no_desk_is_configured(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    empty = codes(tmp_path, "")
    assert main(["token", "show", "--config", str(empty), "--user", "a", "--password-file", str(empty)]) == 2
    assert "No EPCS desk is configured.\nSet desk.url in" in capsys.readouterr().err


def test_the_desk_is_the_configured_one(desk: DeskServer, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[desk]\nurl = "{desk.url}/"\nroot = "{desk.root}"\n')
    who = ["--user", "alamb", "--password-file", str(desk.password)]
    assert main(["token", "show", "--config", str(config), *who]) == 0
    assert "GAHE12345678: active." in capsys.readouterr().err
    assert desk.sent("POST /sign-in") == [{"user": "alamb", "password": "correct horse"}]


def test_an_empty_password_file(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    desk.password.write_text("\n")
    _, said = run(capsys, desk, "show", status=2)
    assert f"There is no password in {desk.password}." in said
    assert desk.heard == []


def test_what_the_vendor_has_done_is_noted_as_told(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    done = {
        "id": "t1",
        "kind": "reset",
        "serial": "GAHE12345678",
        "state": "done",
        "number": "EX-1",
        "outcome": "Done.",
    }
    sent = {"id": "t2", "kind": "spare", "state": "sent", "serial": ""}
    desk.say("GET /standing", {**STANDING, "tickets": [done, sent]})
    desk.say("POST /tickets/t1/seen", {"ok": True})
    found, said = run(capsys, desk, "show")
    assert [one["id"] for one in found["tickets"]] == ["t1", "t2"]
    assert (
        "The ticket t1, reset of GAHE12345678, was done by the vendor (number EX-1).\n  The vendor says: Done." in said
    )
    assert "The ticket t2, spare token, is with the vendor." in said
    assert desk.sent("POST /tickets/t1/seen") == [{}]
    run(capsys, desk, "show", "--for", "bbaig")  # an administrator looks: the prescriber has not been told by that
    assert desk.sent("POST /tickets/t1/seen") == [{}]
    assert "/standing?user=bbaig" in [path for _, path, _, _ in desk.heard]


def test_a_token_is_registered(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    desk.say("POST /tokens", {"token": {"serial": "GALH00000002", "state": "spare"}})
    _, said = run(capsys, desk, "register", "--serial", "GALH 0000 0002", "--back", "GALH00000002", "--for", "bbaig")
    assert desk.sent("POST /tokens") == [{"serial": "GALH 0000 0002", "back": "GALH00000002", "user": "bbaig"}]
    assert "The token GALH00000002 is registered: spare. It is your spare" in said


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (("lost", "gahe-12345678", "--reason", "stolen"), {"reason": "stolen"}),
        (("activate", "GAHE12345678"), {}),
        (("retire", "GAHE12345678"), {}),
    ],
)
def test_changes(
    desk: DeskServer, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sent: dict[str, str]
) -> None:
    desk.say(f"POST /tokens/GAHE12345678/{words[0]}", {"advice": "Order another one."})
    _, said = run(capsys, desk, *words)
    assert desk.sent(f"POST /tokens/GAHE12345678/{words[0]}") == [sent]
    assert said.startswith("The token GAHE12345678 is ") and said.endswith("Order another one.\n")


@pytest.mark.parametrize("form", ["json", "toml"])
def test_a_form_from_a_file(desk: DeskServer, capsys: pytest.CaptureFixture[str], tmp_path: Path, form: str) -> None:
    file = tmp_path / f"form.{form}"
    text = json.dumps(RESET) if form == "json" else "\n".join(f'{name} = "{value}"' for name, value in RESET.items())
    file.write_text(text)
    desk.say("POST /tickets", {"ticket": {"id": "t9", "state": "open"}})
    _, said = run(capsys, desk, "reset", "--form", file)
    assert desk.sent("POST /tickets") == [{"kind": "reset", **RESET}]
    assert "Your reset ticket t9 is being sent to the vendor." in said


def test_an_order_for_a_spare(desk: DeskServer, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "form.json"
    file.write_text(json.dumps(SPARE))
    desk.say("POST /tickets", {"ticket": {"id": "t9", "state": "sent"}})
    _, said = run(capsys, desk, "spare", "--form", file, "--for", "bbaig")
    assert desk.sent("POST /tickets") == [{"kind": "spare", "user": "bbaig", **SPARE}]
    assert "Your order t9 is with the vendor." in said


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("{", 2, "neither JSON nor TOML"),
        ("[1]", 2, "is no line of this form"),
        ('{"nonsense": "x"}', 2, "nonsense is no line of this form. Its lines are first, npi, provider"),
        ('{"npi": true}', 2, "npi must be a text"),
        ('{"npi": ["1"]}', 2, "npi must be a text"),
        ('{"pictures": {"side": "x"}}', 2, "pictures are of the front, back, error"),
        (json.dumps({**RESET, "npi": "1234567890"}), 1, "its last digit does not fit"),
        (json.dumps({**RESET, "second": "123456"}), 1, "Code 1 and Code 2 are the same."),
        (json.dumps({**RESET, "serial": "GALH12345678", "second": "1"}), 1, "Counter numbers only go up"),
        ('{"provider": "Ada Lamb"}', 1, "National Provider Identifier (NPI): this is needed."),
    ],
)
def test_a_form_that_cannot_be_sent(
    desk: DeskServer, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, status: int, said: str
) -> None:
    file = tmp_path / "form"
    file.write_text(text)
    _, heard = run(capsys, desk, "reset", "--form", file, status=status)
    assert said in heard
    assert desk.heard == []  # nobody signed in for it


def test_a_reset_needs_a_refused_resync_and_says_so(
    desk: DeskServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "form"
    file.write_text(json.dumps(RESET))
    refusal = {"error": "Two codes come first.", "advice": "Run: renewagent token resync.", "code": "RA-EPCS-REFUSED"}
    desk.say("POST /tickets", refusal, status=409)
    found, said = run(capsys, desk, "reset", "--form", file, status=1)
    assert found["error"] == {
        "code": "RA-EPCS-REFUSED",
        "message": "Two codes come first.",
        "advice": "Run: renewagent token resync.",
    }
    assert said == "Two codes come first.\nRun: renewagent token resync.\n"


def explain(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> tuple[dict[str, Any], str]:
    assert main(["token", "explain", *words, "--json"]) == status
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def test_explaining_needs_no_network(capsys: pytest.CaptureFixture[str]) -> None:
    found, said = explain(capsys, status=2)
    assert found["question"]["name"] == "kind" and not found["ok"]
    assert "Give --answer kind=ANSWER" in said
    found, said = explain(capsys, "--answer", "kind=hardware", "--answer", "state=spare")
    assert found["ok"] and found["ending"]["step"] == "spare"
    assert "Run: renewagent token activate SERIAL." in said
    _, said = explain(capsys, "--answer", "kind=nonsense", status=1)
    assert '"Where does the code come from?" is answered by one of: hardware, soft.' in said
    _, said = explain(capsys, "--answer", "kind", status=2)
    assert "--answer kind names no question." in said


def test_what_the_desk_knows_is_not_asked(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    later = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    desk.say("GET /standing", {**STANDING, "tokens": [{**ACTIVE, "locked_until": later}]})
    found, said = run(capsys, desk, "explain", "--serial", "GAHE12345678")
    assert found["ending"]["step"] == "wait"
    assert "The token is locked for a while" in said
    desk.say("GET /standing", {**STANDING, "tokens": [{**ACTIVE, "locked_until": None}]})
    found, _ = run(capsys, desk, "explain", status=2)
    assert found["question"]["name"] == "serial"  # nobody has looked at the back as yet
    found, _ = run(capsys, desk, "explain", "--serial", "GAHE99999999")
    assert found["ending"]["name"] == "is-missing"

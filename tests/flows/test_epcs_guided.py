"""The EPCS commands at a real terminal: asked step by step, a slip, a step back, and what reaches the desk in the end.
The desk is a stand-in; the real one is in test_epcs_commands."""

from __future__ import annotations

import base64
import json
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.flows.desk import Conversation
from tests.unit.tokens.desk_server import DeskServer

SERIAL = "GAHE12345678"
ACTIVE = {"serial": SERIAL, "kind": "hardware", "state": "active"}
STANDING = {"person": {"name": "Dr Ada Lamb"}, "tokens": [ACTIVE], "runs": []}
REFUSED = {"error": "The two codes were not accepted.", "advice": "Try again.", "code": "RA-TOKEN-REFUSED"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[DeskServer]:
    with DeskServer(tmp_path).running() as one:
        one.say("GET /standing", STANDING)
        yield one


def talk(desk: DeskServer, *words: object, options: list[str] | None = None) -> Conversation:
    given = desk.words() if options is None else options
    command = [sys.executable, "-P", "-m", "renewagent", *map(str, words), *given]
    return Conversation(command, {**os.environ, "HOME": str(desk.root.parent)}, at_terminal=True)


def answers(here: Conversation, *lines: str) -> None:
    for line in lines:
        here.hear(": ")
        here.type(line)


def png(path: Path) -> Path:
    """A picture that is one, of 240 by 240 pixels."""

    def chunk(kind: bytes, octets: bytes) -> bytes:
        return struct.pack(">I", len(octets)) + kind + octets + struct.pack(">I", zlib.crc32(kind + octets))

    rows = zlib.compress(b"".join(b"\0" + bytes(240) for _ in range(240)))
    header = struct.pack(">IIBBBBB", 240, 240, 8, 0, 0, 0, 0)
    text = chunk(b"tEXt", b"Comment\0taken at home")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + text + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def test_resync_asks_first_whether_it_is_that_token(desk: DeskServer) -> None:
    desk.say(f"POST /tokens/{SERIAL}/resync", {"said": "It was 40 presses ahead. It is in step again."})
    here = talk(desk, "token", "resync", options=desk.words()[:4])
    here.hear("Sign in to the EPCS desk at https://127.0.0.1:", "User name: ")
    answers(here, "alamb")
    here.hear("Password (it is not shown): ")
    here.type("correct horse")
    here.hear(f"The token that is registered is {SERIAL}. Is it the one in your hand?")
    here.hear("The serial number on its back: ")
    here.type("GAHE87654321")
    here.hear(f"The token that is registered is {SERIAL}; the one in your hand is GAHE87654321.")
    here.hear("The serial number on its back: ")
    here.type("gahe 1234 5678")
    here.hear("Press the white button", "One-Time Password 1: ")
    answers(here, "12345")
    here.hear("A code is the six digits that the token shows.")
    answers(here, "123 456")
    here.hear("Wait until the token's display has gone blank")
    answers(here, "123456")
    here.hear("That is the first one again.")
    answers(here, "654321")
    here.hear("It was 40 presses ahead. It is in step again.")
    done = here.end()
    assert (done.status, done.out) == (0, "")
    assert "correct horse" not in here.heard
    assert desk.sent(f"POST /tokens/{SERIAL}/resync") == [{"back": "gahe 1234 5678", "codes": ["123456", "654321"]}]


def test_two_codes_come_before_a_ticket(desk: DeskServer) -> None:
    desk.say(f"POST /tokens/{SERIAL}/resync", REFUSED, status=409)
    desk.say("POST /tickets", {"ticket": {"id": "t1", "state": "sent"}})
    here = talk(desk, "token", "reset")
    here.hear("Two codes come first")
    answers(here, SERIAL, "123456", "654321")
    here.hear("The two codes were not accepted.")
    here.hear("A few questions, one after the other.")
    here.hear("Provider Full Name", "[Dr Ada Lamb]: ")
    here.type("Ada")
    here.hear("The provider's full name is their first and their last name.")
    answers(here, "")
    here.hear("National Provider Identifier (NPI)")
    answers(here, "1234567890")
    here.hear("its last digit does not fit the others")
    answers(here, "<")
    here.hear("Provider Full Name")
    answers(here, "Ada Lamb", "1234567893", "GALH12345678")
    here.hear("Counter Number 1")
    answers(here, "<")
    here.hear("Hardware Token Serial Number")
    answers(here, SERIAL)
    here.hear("Code 1")
    answers(here, "111111")
    here.hear("Code 2")
    answers(here, "222222")
    here.hear("A reset ticket:", "Send it? ")
    answers(here, "")
    here.hear("Your reset ticket t1 is with the vendor.")
    assert here.end().status == 0
    form = {"provider": "Ada Lamb", "npi": "1234567893", "serial": SERIAL, "first": "111111", "second": "222222"}
    assert desk.sent("POST /tickets") == [{"kind": "reset", **form}]


def test_two_codes_that_help_need_no_ticket(desk: DeskServer) -> None:
    desk.say(f"POST /tokens/{SERIAL}/resync", {"said": "It is in step again."})
    here = talk(desk, "token", "reset")
    answers(here, SERIAL, "123456", "654321")
    here.hear("It is in step again.\nNo ticket is needed.")
    assert here.end().status == 0
    assert desk.sent("POST /tickets") == []


def test_after_a_refusal_the_form_comes_at_once(desk: DeskServer) -> None:
    refused = {"refused": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    desk.say("GET /standing", {"tokens": [{**ACTIVE, **refused}]})
    here = talk(desk, "token", "reset")
    assert here.hear("Provider Full Name", "Two codes come first") == "Provider Full Name"
    here.interrupt()
    done = here.end()
    assert done.status == 1 and "Stopped at your request." in here.heard
    assert desk.heard[-1][1] == "/sign-out"


def test_a_replacement_with_its_pictures(desk: DeskServer, tmp_path: Path) -> None:
    desk.say("POST /tickets", {"ticket": {"id": "t2", "state": "open"}})
    front, back = png(tmp_path / "front.png"), png(tmp_path / "back.png")
    (tmp_path / "no-picture.png").write_text("hello")
    here = talk(desk, "token", "replace", "--picture-front", front)
    here.hear("Taken out of the picture of the front:")
    address = ["The Clinic", "Ada Lamb", "1 High Street", "", "Suite 200", "Springfield", "IL", "62704", "US"]
    answers(here, "Ada Lamb", "ada@clinic.example", SERIAL)
    here.hear("What happened")
    answers(here, "3", "The display stays blank.", *address, "217 555 0100", "ada@clinic.example")
    here.hear("A picture of the front of the token", "[as added]: ")
    here.type("")
    here.hear("A picture of the back of the token")
    answers(here, str(tmp_path / "no-picture.png"))
    here.hear("not a photograph")
    answers(here, str(tmp_path / "missing.png"))
    here.hear("cannot be read")
    answers(here, str(back))
    here.hear("A picture of the error message")
    answers(here, "")
    here.hear("What happened: It stopped working by itself.", "Send it?")
    answers(here, "y")
    here.hear("Your order t2 is being sent to the vendor.")
    assert here.end().status == 0
    (sent,) = desk.sent("POST /tickets")
    assert (sent["kind"], sent["cause"], sent["suite"], sent["serial"]) == (
        "replacement",
        "flaw",
        "Suite 200",
        SERIAL,
    )
    pictures = {one["side"]: base64.b64decode(one["base64"]) for one in sent["pictures"]}
    assert set(pictures) == {"front", "back"}
    assert all(octets.startswith(b"\x89PNG") and b"taken at home" not in octets for octets in pictures.values())


def test_a_mistake_that_shows_late_is_gone_back_to(desk: DeskServer) -> None:
    """The postal code is asked before the country, and only the country says whether it can be so."""
    desk.say("POST /tickets", {"ticket": {"id": "t3", "state": "open"}})
    here = talk(desk, "token", "spare")
    address = ["The Clinic", "Ada Lamb", "1 High Street", "", "", "Ottawa", "ON", "62704", "Canada"]
    answers(here, "Ada Lamb", "ada@clinic.example", *address, "613 555 0100", "ada@clinic.example")
    here.hear("such as K1A 0B1")
    here.hear("Ship To Zip/Postal Code", "[62704]: ")
    here.type("K1A 0B1")
    for known in ("[Canada]: ", "[613 555 0100]: ", "[ada@clinic.example]: "):
        here.hear(known)
        here.type("")
    here.hear("Ship To Zip/Postal Code: K1A 0B1")
    here.hear("Send it?")
    here.type("")
    here.hear("Your order t3")
    assert here.end().status == 0
    assert desk.sent("POST /tickets")[0]["postal_code"] == "K1A 0B1"


def test_why_a_code_is_refused(desk: DeskServer) -> None:
    here = talk(desk, "token", "explain", options=[])
    here.hear("Your OTP has been entered incorrectly")
    here.hear("Where does the code come from?")
    answers(here, "1")
    here.hear("What is the token called")
    answers(here, "<")
    here.hear("Where does the code come from?")
    answers(here, "1", "1", "1", "1", "1", "2", "3")
    here.hear("too far ahead to be resynchronised", "Run: renewagent token reset.")
    assert here.end().status == 0
    assert desk.heard == []


def test_why_a_soft_token_expired(desk: DeskServer) -> None:
    here = talk(desk, "softtoken", "explain", options=[])
    here.hear("Do you use the same phone")
    answers(here, "2")
    here.hear("Was the app removed")
    answers(here, "1", "1", "1")
    here.hear("You have a new phone")
    here.hear('The "Device Username" is noted')
    here.hear("renewagent softtoken reregister")
    assert here.end().status == 0


def run(state: str, who: str, happened: str = "It is so.", **more: Any) -> dict[str, Any]:
    return {"id": "r1", "state": state, "who": who, "happened": happened, "next": "Something.", **more}


def test_a_registration_is_followed_to_its_end(desk: DeskServer) -> None:
    desk.say("POST /soft/runs", run("prepare", "desk"))
    desk.say(
        "POST /soft/runs/r1",
        run("override", "administrator", "The device is registered again."),
        run("override", "administrator", "The device is registered again."),
        run("done", "nobody", "You can sign with the app again."),
    )
    here = talk(desk, "softtoken", "reregister", "--cause", "new-phone", "--wait", "5")
    here.hear("Step 4 of 11. It is so.", "Next: Something.")
    here.hear("Step 7 of 11. The device is registered again.")
    here.hear("An EPCS administrator acts next.")
    here.hear("Done. You can sign with the app again.")
    assert here.end().status == 0
    assert here.heard.count("The device is registered again.") == 1  # said once, however long it takes
    assert desk.sent("POST /soft/runs") == [{"cause": "new-phone"}]


def test_whoever_stops_goes_on_later(desk: DeskServer) -> None:
    desk.say("POST /soft/runs", run("grant", "two"))
    desk.say("POST /soft/runs/r1", run("grant", "two"))
    here = talk(desk, "softtoken", "reregister", "--cause", "new-phone")
    here.hear("Two people act next.")
    here.interrupt()
    done = here.end()
    assert done.status == 1 and "Nothing is lost: the same command goes on from there." in here.heard
    assert desk.heard[-1][1] == "/sign-out"
    desk.say("GET /standing", {**STANDING, "runs": [{"id": "r1", "finished": None}]})
    desk.say("GET /soft/runs/r1", run("grant", "two"))
    desk.say("POST /soft/runs/r1", run("done", "nobody"))
    here = talk(desk, "softtoken", "reregister", "--wait", "1")
    here.hear("A registration that was begun earlier goes on.")
    here.hear("Done.")
    assert here.end().status == 0
    assert len(desk.sent("POST /soft/runs")) == 1


def document(**more: Any) -> str:
    person = {"id": "p2", "name": "Dr Bilal Baig", "user": "bbaig", "dea": "AB1234563"}
    by = {"id": "p3", "name": "Carys Cole", "user": "ccole", "dea": ""}
    times = {"entered": "2026-11-22T09:00:00.000+00:00", "ends": "2026-11-23T09:00:00.000+00:00"}
    what = {"document": "renewagent EPCS request v1", "id": "q1", "action": "grant", "reason": "New here."}
    told = {**what, **times, "subject": person, "entered_by": by, **more}
    return json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def test_what_is_approved_is_shown_first(desk: DeskServer) -> None:
    waiting = {"id": "q1", "state": "waiting", "action": "grant", "reason": "New here.", "subject": {"name": "Dr B"}}
    desk.say("GET /requests", {"requests": [waiting, {"id": "q0", "state": "executed"}]})
    desk.say("POST /requests/q1/challenge", {"document": document(), "nonce": "00" * 32, "origin": desk.url})
    desk.say("POST /requests/q1/execute", {"request": {"id": "q1", "state": "executed", "action": "grant"}})
    here = talk(desk, "epcs", "approve", "--otp")
    here.hear("Request q1: grant of EPCS to Dr B")
    here.hear("Which one? Its number, or Enter for the first: ")
    here.type("q1")
    here.hear("Let Dr Bilal Baig sign prescriptions of controlled substances (grant EPCS).")
    here.hear("For: Dr Bilal Baig (EHR user name bbaig, DEA number AB1234563, p2)")
    here.hear("Why: New here.")
    here.hear("Entered by: Carys Cole (EHR user name ccole, p3), on 22 November 2026 at 09:00 UTC")
    here.hear("Do you approve it? Type yes, then Enter: ")
    assert desk.sent("POST /requests/q1/execute") == []
    here.type("yes")
    here.hear(f"Press the button of the token {SERIAL} once.")
    answers(here, "123456")
    here.hear("It is done")
    assert here.end().status == 0
    assert desk.sent("POST /requests/q1/execute") == [{"otp": {"serial": SERIAL, "code": "123456"}}]


def test_whoever_does_not_say_yes_has_approved_nothing(desk: DeskServer) -> None:
    desk.say("POST /requests/q1/challenge", {"document": document()})
    here = talk(desk, "epcs", "approve", "q1", "--otp")
    here.hear("Do you approve it?")
    here.type("")
    done = here.end()
    assert done.status == 1 and "You did not say yes: nothing was sent." in here.heard
    assert desk.sent("POST /requests/q1/execute") == []


def test_the_digest_is_that_of_what_was_shown() -> None:
    from renewagent.tokens import approval

    text = document()
    assert approval.read(text, "q1").digest == sha256(text.encode()).hexdigest()


def test_a_kind_of_token_that_only_the_desk_knows(desk: DeskServer) -> None:
    added = {"serial": "GAXE00000007", "asks": "counters", "maker": "Example token", "kind": "hardware"}
    lately = {"refused": datetime.now(UTC).isoformat(), "state": "active"}
    desk.say("GET /standing", {"person": {"name": "Ada Lamb"}, "tokens": [{**added, **lately}]})
    desk.say("POST /tickets", {"ticket": {"id": "t1", "state": "sent"}})
    here = talk(desk, "token", "reset")
    answers(here, "", "1234567893", "GAXE00000008")
    here.hear("No kind of token that is known here")
    answers(here, "GAXE00000007")
    here.hear("Counter Number 1")
    answers(here, "7", "8", "")
    here.hear("Your reset ticket t1 is with the vendor.")
    assert here.end().status == 0

"""`renewagent softtoken` and `renewagent epcs`, against a stand-in for the desk: what is sent, and what is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from renewagent.cli import main
from renewagent.tokens.guided_soft import Following
from tests.unit.tokens.desk_server import DeskServer


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[DeskServer]:
    with DeskServer(tmp_path).running() as one:
        one.say("GET /standing", {"tokens": [], "runs": [], "findings": []})
        yield one


def run(
    capsys: pytest.CaptureFixture[str], desk: DeskServer, *words: object, status: int = 0
) -> tuple[dict[str, Any], str]:
    assert main([*map(str, words), *desk.words(), "--json"]) == status, capsys.readouterr().err
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def soft_run(state: str, who: str = "desk", **more: Any) -> dict[str, Any]:
    return {"id": "r1", "state": state, "who": who, "happened": f"It is at {state}.", "next": "On.", **more}


# --- softtoken


def test_without_a_desk_the_answers_alone_say_why(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["softtoken", "explain", "--answer", "phone=new", "--answer", "app=no", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)["diagnosis"]
    assert found["likely"][0] == {"cause": "new-phone", "sureness": "likely", "why": ["You have another phone."]}
    assert found["new_device"] and [one["id"] for one in found["ask"]] == ["password", "certificate"]
    assert main(["softtoken", "explain", "--answer", "phone=blue"]) == 1
    assert "Answer one of: same, new, unsure." in capsys.readouterr().err


def test_the_desk_is_asked_with_the_answers(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    likely = [{"cause": "reinstalled", "sureness": "certain", "why": ["The app was activated yesterday."]}]
    desk.say(
        "GET /soft/diagnosis", {"likely": likely, "ask": [], "plan": ["One.", "Two."], "minutes": 25, "warning": "!"}
    )
    found, said = run(capsys, desk, "softtoken", "explain", "--for", "bbaig", "--answer", "phone=same")
    assert found["diagnosis"]["likely"] == likely
    assert "/soft/diagnosis?user=bbaig&phone=same" in [path for _, path, _, _ in desk.heard]
    assert "The app was installed again, which makes it a new device. This is certain.\n  The app was" in said
    assert "  2. Two." in said and "\n!\n" in said


def test_a_run_to_its_end(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    desk.say("POST /soft/runs", {"run": soft_run("prepare")})
    desk.say("POST /soft/runs/r1", {"run": soft_run("clear")}, {"run": soft_run("done", "nobody")})
    found, said = run(capsys, desk, "softtoken", "reregister", "--cause", "reinstalled", "--username", "al")
    assert (found["ok"], found["run"]["state"]) == (True, "done")
    assert desk.sent("POST /soft/runs") == [{"cause": "reinstalled", "username": "al"}]
    assert said.index("It is at prepare.") < said.index("It is at clear.") < said.index("Done. It is at done.")


def test_a_run_that_waits_is_not_done(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal nobody is waited for, unless --wait says so."""
    desk.say("POST /soft/runs", soft_run("override", "administrator"))
    desk.say("POST /soft/runs/r1", soft_run("override", "administrator"))
    found, said = run(capsys, desk, "softtoken", "reregister", "--cause", "reinstalled", status=1)
    assert (found["ok"], found["run"]["who"]) == (False, "administrator")
    assert "It is not finished. Nothing is lost: run the same command again to go on." in said


def test_what_goes_wrong_outside_is_told(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    problem = {"error": "The EHR does not answer.", "advice": "Nothing is lost.", "code": "RA-EHR-UNREACHABLE"}
    desk.say("POST /soft/runs", soft_run("clear"))
    desk.say("POST /soft/runs/r1", soft_run("clear", problem=problem))
    _, said = run(capsys, desk, "softtoken", "reregister", "--cause", "reinstalled", status=1)
    assert said.count("The EHR does not answer. Nothing is lost.") == 1
    assert len(desk.sent("POST /soft/runs/r1")) == 1


def test_without_a_cause_the_diagnosis_decides(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    likely = [{"cause": "password-changed", "sureness": "likely", "why": []}]
    desk.say("GET /soft/diagnosis", {"diagnosis": {"likely": likely, "ask": [], "plan": [], "minutes": 10}})
    desk.say("POST /soft/runs", soft_run("done", "nobody"))
    run(capsys, desk, "softtoken", "reregister")
    assert desk.sent("POST /soft/runs") == [{"cause": "password-changed"}]
    desk.say("GET /soft/diagnosis", {"diagnosis": {"likely": [], "ask": []}})
    _, said = run(capsys, desk, "softtoken", "reregister", status=2)
    assert "Give --cause CAUSE." in said


def test_waiting_is_polite_and_ends() -> None:
    asked: list[str] = []
    slept: list[float] = []

    class Desk:
        def post(self, *path: str, **document: Any) -> dict[str, Any]:
            asked.append("/".join(path))
            return soft_run("grant", "two")

    told: list[str] = []
    following = Following(Desk(), told.append, 60, clock=lambda: sum(slept), sleep=slept.append)
    assert following.follow(soft_run("grant", "two"))["state"] == "grant"
    assert slept == [5.0] * 12 and len(asked) == 13
    assert len(told) == 1


def test_a_desk_that_goes_in_circles_is_left() -> None:
    class Desk:
        def post(self, *path: str, **document: Any) -> dict[str, Any]:
            return soft_run("clear")

    assert Following(Desk(), lambda _: None, 0, clock=lambda: 0, sleep=lambda _: None).follow(soft_run("clear"))


REMINDERS = {
    "deadlines": [
        {"what": "password", "username": "alamb", "ends": "2999-01-02T00:00:00Z"},
        {"what": "certificate", "username": "alamb", "ends": "2020-01-02T00:00:00Z"},
    ],
    "reminders": [],
}


def test_reminders_and_a_calendar(desk: DeskServer, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    desk.say("GET /soft/reminders", REMINDERS)
    file = tmp_path / "days.ics"
    _, said = run(capsys, desk, "softtoken", "remind", "--ics", file)
    assert "The password of your app ends on 2 January 2999, in" in said
    assert "Your certificate ended on 2 January 2020." in said
    assert "How a certificate is renewed:\n  1. Choose a time when you do not prescribe." in said
    text = file.read_bytes().decode()
    assert text.startswith("BEGIN:VCALENDAR\r\n") and "DTSTART;VALUE=DATE:29990102" in text
    _, said = run(capsys, desk, "softtoken", "remind", "--ics", tmp_path / "none" / "days.ics", status=2)
    assert "cannot be written" in said


# --- epcs


def test_why_somebody_cannot_sign(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    findings = [
        {"name": "EPCS enabled", "health": "ok", "said": "EPCS is enabled in the EHR.", "advice": "Nothing."},
        {"name": "EPCS granted", "health": "fail", "said": "EPCS is not granted to you.", "advice": "Two people do."},
    ]
    runs = [{"id": "r1", "finished": None}, {"id": "r0", "finished": "2026-01-01T00:00:00Z"}]
    desk.say("GET /standing", {"person": {"name": "Dr Ada Lamb"}, "findings": findings, "runs": runs})
    found, said = run(capsys, desk, "epcs", "show")
    assert found["findings"] == findings
    assert said.startswith(
        "Dr Ada Lamb:\n  OK       EPCS is enabled in the EHR.\n  Fault    EPCS is not granted to you.\n"
    )
    assert "Two people do." in said and "Nothing." not in said
    assert said.count("A soft token is being registered anew.") == 1


@pytest.mark.parametrize(("command", "action"), [("request", "grant"), ("revoke", "revoke")])
def test_a_request_is_entered(desk: DeskServer, capsys: pytest.CaptureFixture[str], command: str, action: str) -> None:
    desk.say("POST /requests", {"request": {"id": "q1", "ends": "2026-11-23T09:00:00Z"}})
    _, said = run(capsys, desk, "epcs", command, "--for", "bbaig", "--reason", "New here.")
    assert desk.sent("POST /requests") == [{"user": "bbaig", "action": action, "reason": "New here."}]
    assert "Request q1 is entered. It waits until 23 November 2026 at 09:00 UTC." in said
    assert "renewagent epcs approve q1." in said


def test_what_waits_and_is_withdrawn(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    one = {"id": "q1", "state": "waiting", "action": "revoke", "reason": "Left.", "ends": "2026-11-23T09:00:00Z"}
    people = {"subject": {"person": {"name": "Dr B"}}, "entered_by": {"name": "Carys"}}
    desk.say("GET /requests", {"requests": [{**one, **people}]})
    _, said = run(capsys, desk, "epcs", "waiting")
    assert "Request q1: revocation of EPCS of Dr B, entered by Carys; it waits until 23 November 2026" in said
    desk.say("POST /requests/q1/withdraw", {"request": {**one, "state": "withdrawn"}})
    _, said = run(capsys, desk, "epcs", "withdraw", "q1")
    assert said == "Request q1 is withdrawn.\n"


@pytest.mark.parametrize("words", [(), ("q1",), ("q1", "--yes")])
def test_approving_by_a_code_names_what_is_missing(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert main(["epcs", "approve", "--otp", *words]) == 2
    said = capsys.readouterr().err
    assert "--code-file FILE" in said
    assert ("Give --user NAME, --password-file FILE, ID, --yes" in said) is (words == ())


def test_a_document_that_hides_something_is_not_approved(
    desk: DeskServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "code").write_text("123456\n")
    desk.say("POST /requests/q1/challenge", {"document": "{}", "nonce": "00" * 32, "origin": desk.url})
    words = ("epcs", "approve", "q1", "--otp", "--yes", "--code-file", tmp_path / "code")
    _, said = run(capsys, desk, *words, status=1)
    assert "cannot be shown to you as it is" in said
    assert desk.heard[-1][1] == "/sign-out"


def test_an_override_is_lent_listed_and_taken_back(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    lease = {"id": "o1", "purpose": "enabling EPCS", "ends": "2026-11-22T09:15:00Z", "subject": {"name": "Dr B"}}
    desk.say("POST /overrides", {"override": lease})
    _, said = run(capsys, desk, "epcs", "override", "give", "--for", "bbaig", "--minutes", "10")
    assert desk.sent("POST /overrides") == [{"user": "bbaig", "purpose": "enabling EPCS", "minutes": 10}]
    assert "bbaig has the administrator override until 22 November 2026 at 09:15 UTC" in said
    desk.say("GET /standing", {"overrides": [lease]})
    _, said = run(capsys, desk, "epcs", "override", "list", "--for", "bbaig")
    assert said == "Override o1 of Dr B, for enabling EPCS, until 22 November 2026 at 09:15 UTC.\n"
    desk.say("POST /overrides/o1/end", {"override": lease})
    _, said = run(capsys, desk, "epcs", "override", "end", "o1")
    assert "is taken back" in said


def test_epcs_is_enabled(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    desk.say("POST /enable", {"access": {"epcs_enabled": True, "epcs_granted": False, "administrator": False}})
    _, said = run(capsys, desk, "epcs", "enable")
    assert desk.sent("POST /enable") == [{}]
    assert said.startswith("EPCS is enabled in the EHR.\nNo administrator override is left.\nEPCS is not granted yet.")


def test_a_suspension_needs_one_person(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    incident = {"id": "i1", "due": "2026-11-23T22:00:00Z", "what": "A token was lost."}
    desk.say("POST /suspensions", {"incident": incident, "said": "Dr B can no longer sign."})
    _, said = run(capsys, desk, "epcs", "suspend", "--for", "bbaig", "--reason", "lost", "--note", "On a train.")
    assert desk.sent("POST /suspensions") == [{"user": "bbaig", "reason": "lost", "note": "On a train."}]
    assert "Dr B can no longer sign." in said and "Report the incident by 23 November 2026 at 22:00 UTC" in said


def test_incidents(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    incident = {"id": "i1", "due": "2026-11-23T22:00:00Z", "what": "A token was lost.", "reported": None}
    desk.say("GET /incidents", {"incidents": [incident]})
    _, said = run(capsys, desk, "epcs", "incidents")
    assert said == "Incident i1, to be reported by 23 November 2026 at 22:00 UTC: A token was lost.\n"
    desk.say("GET /incidents/i1/draft", {"draft": "SECURITY INCIDENT REPORT\n\n1. What was found"})
    _, said = run(capsys, desk, "epcs", "incidents", "--draft", "i1")
    assert "1. What was found" in said
    desk.say("POST /incidents/i1/report", {"incident": incident})
    run(capsys, desk, "epcs", "incidents", "--report", "i1", "--text", "Found again.")
    assert desk.sent("POST /incidents/i1/report") == [{"text": "Found again."}]


REPORT: dict[str, Any] = {
    "day": "2026-11-21",
    "counts": {"epcs.grant-executed": 2},
    "suspicious": [{"said": "Five refusals in a row.", "entries": [7]}],
    "incidents": ["i1"],
    "overrides": [],
    "log": {"whole": True, "wrong": "", "last": {"number": 9, "digest": "ab" * 32}},
    "looked_at_by": [],
}


def test_the_report_of_a_day(desk: DeskServer, capsys: pytest.CaptureFixture[str]) -> None:
    desk.say("GET /reports/2026-11-21", REPORT)
    desk.say("POST /reports/2026-11-21/seen", {**REPORT, "looked_at_by": ["Carys (p3)"]})
    _, said = run(capsys, desk, "epcs", "audit", "--day", "2026-11-21", "--seen")
    for words in ("2  epcs.grant-executed", "Suspicious: Five refusals in a row.", "Incidents: i1.", "by: Carys (p3)."):
        assert words in said
    assert main(["epcs", "audit", "--day", "yesterday"]) == 2


@pytest.mark.parametrize("whole", [True, False])
def test_the_log_is_looked_at_now(desk: DeskServer, capsys: pytest.CaptureFixture[str], whole: bool) -> None:
    """Where it is still yesterday at the desk, today's report does not exist."""
    from datetime import UTC, datetime, timedelta

    today, before = (f"{datetime.now(UTC) - timedelta(days=n):%Y-%m-%d}" for n in (0, 1))
    desk.say(f"GET /reports/{today}", {"error": "That day has not begun."}, status=409)
    desk.say(f"GET /reports/{before}", {**REPORT, "log": {**REPORT["log"], "whole": whole, "wrong": "Entry 3."}})
    found, said = run(capsys, desk, "epcs", "audit", "--verify", status=0 if whole else 1)
    assert found["ok"] is whole
    assert ("The audit log is whole.\nNote down" in said) is whole
    assert ("NOT whole. Entry 3." in said) is not whole

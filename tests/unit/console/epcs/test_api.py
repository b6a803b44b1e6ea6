"""The desk's addresses for programs, each used as a program would: what is asked for is done, what is wrong is told
with its field and code, and what belongs to somebody else is as if it did not exist."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from renewagent.console.permissions import Role
from renewagent.tokens.errors import (
    EhrMisbehaved,
    EhrRefused,
    EhrUnreachable,
    TokenLocked,
    TokenServerMisbehaved,
    TokenServerUnreachable,
)
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from renewagent_fixtures.virtual_tokens.phone import PhoneApp
from tests.console import Dice
from tests.epcs_desk import Bench, Program, npi, said
from tests.house import ROOT

SERIAL, SPARE, HERS = "GAHE00000017", "GAHE00000025", "GAHE00000033"
ADDRESS = {
    "company": "Clinic",
    "attention": "Dr Osei",
    "street1": "1 Main St",
    "city": "Springfield",
    "state": "IL",
    "postal_code": "62701",
    "country": "US",
    "phone": "+1 217 555 0100",
    "tracking_email": "osei@clinic.example",
}


@dataclass
class Desk:
    """Ada looks after tokens, Bea executes by her token, Osei prescribes; each with a program that is signed in."""

    bench: Bench
    ada: Program
    bea: Program
    osei: Program
    token: ButtonToken


@pytest.fixture
def desk(bench: Bench) -> Desk:
    bench.person("osei", dea="BO1234563")
    bench.person("ada", Role.EPCS_ADMINISTRATOR, organisations="*")
    bench.person("bea", dea="AB1234563")
    token, bea = bench.token(HERS), bench.program("bea")
    said(bea.post("/epcs/api/tokens", {"serial": HERS, "back": HERS}))
    return Desk(bench, bench.program("ada"), bea, bench.program("osei"), token)


def registered(desk: Desk, serial: str = SERIAL, by: Program | None = None) -> Any:
    token = desk.bench.token(serial)
    said((by or desk.osei).post("/epcs/api/tokens", {"serial": serial, "back": serial.lower()}))
    return token


# --- hardware tokens and tickets


def test_a_token_is_registered_and_put_in_step(desk: Desk) -> None:
    token = registered(desk)
    token.lose_presses(40)
    codes = token.press_twice()
    found = said(desk.osei.post(f"/epcs/api/tokens/{SERIAL}/resync", {"back": SERIAL, "codes": codes}))
    assert (found["drift"], found["token"]["serial"], found["advice"]["weight"]) == (40, SERIAL, "warn")
    assert said(desk.osei.get("/epcs/api/standing"))["tokens"][0]["drift"] == 40


def test_two_wrong_codes_are_a_conflict_and_lead_to_a_ticket(desk: Desk) -> None:
    token = registered(desk)
    token.lose_presses(76)
    wrong = desk.osei.post(f"/epcs/api/tokens/{SERIAL}/resync", {"back": SERIAL, "codes": token.press_twice()})
    assert said(wrong, 409)["code"] == "RA-TOKEN-REFUSED"
    first, second = token.press_twice()
    form = {"provider": "Nadia Osei", "npi": npi("osei"), "serial": SERIAL, "first": first, "second": second}
    opened = said(desk.osei.post("/epcs/api/tickets", {"kind": "reset", **form}))["ticket"]
    assert opened["state"] == "sent" and first not in json.dumps(opened)
    desk.bench.vendor.work_ticket(opened["number"])
    desk.bench.clock.move(timedelta(minutes=1))
    from renewagent.console.epcs import tickets

    tickets.follow(desk.bench.desk)
    address = f"/epcs/api/tickets/{opened['id']}"
    assert said(desk.osei.get(address))["ticket"]["state"] == "done"
    assert said(desk.osei.post(address + "/seen"))["ticket"]["state"] == "notified"
    for there, by in ((address, desk.bea), ("/epcs/api/tickets/0000000000000000", desk.osei)):
        assert said(by.get(there), 403)["code"] == "RA-EPCS-REFUSED"


def test_a_spare_is_ordered_with_every_field_and_one_that_is_wrong_is_named(desk: Desk) -> None:
    form = {"kind": "spare", "provider": "Nadia Osei", "email": "osei@clinic.example", **ADDRESS}
    wrong = said(desk.osei.post("/epcs/api/tickets", {**form, "postal_code": "abc"}), 422)
    assert wrong.keys() == {"error", "advice", "code", "field"} and wrong["field"] == "postal_code"
    assert said(desk.osei.post("/epcs/api/tickets", form))["ticket"]["kind"] == "spare"


def test_pictures_are_taken_and_looked_at(desk: Desk) -> None:
    registered(desk)
    form = {"kind": "replacement", "provider": "Nadia Osei", "email": "osei@clinic.example", **ADDRESS}
    form |= {"serial": SERIAL, "cause": "flaw", "explanation": "The display is dark."}
    missing = said(desk.osei.post("/epcs/api/tickets", form), 422)
    assert missing["field"] == "front"

    def picture(side: str, octets: bytes) -> dict[str, str]:
        return {"side": side, "media_type": "image/jpeg", "base64": base64.b64encode(octets).decode()}

    for wrong, field in (
        ({"pictures": "x"}, "pictures"),
        ({"pictures": [1]}, "pictures"),
        ({"pictures": [{}] * 4}, "pictures"),
        ({"pictures": [{"side": "top", "media_type": "image/jpeg", "base64": ""}]}, "pictures"),
        ({"pictures": [{"side": "front", "media_type": "image/jpeg", "base64": "?"}]}, "front"),
        ({"pictures": [{"side": "front", "media_type": "image/jpeg"}]}, "front"),
        ({"pictures": [picture("front", b"no picture")]}, "front"),
    ):
        assert said(desk.osei.post("/epcs/api/tickets", {**form, **wrong}), 422)["field"] == field
    good = [picture(side, (ROOT / "tests/unit/tokens/pictures/plain.jpg").read_bytes()) for side in ("front", "back")]
    ticket = said(desk.osei.post("/epcs/api/tickets", {**form, "pictures": good}))["ticket"]
    assert ticket["kind"] == "replacement" and "base64" not in json.dumps(ticket)


def test_a_spare_takes_over_and_a_lost_token_is_over_at_once(desk: Desk) -> None:
    registered(desk)
    registered(desk, SPARE)
    assert said(desk.osei.post(f"/epcs/api/tokens/{SPARE}/activate"))["token"]["state"] == "active"
    lost = said(desk.osei.post(f"/epcs/api/tokens/{SPARE}/lost", {"reason": "stolen"}))
    assert lost["token"]["state"] == "lost" and lost["said"] and lost["advice"]
    assert desk.bench.ehr.access("osei").epcs_suspended
    assert said(desk.osei.post(f"/epcs/api/tokens/{SPARE}/activate"), 409)["code"] == "RA-TOKEN-REFUSED"
    assert said(desk.osei.post(f"/epcs/api/tokens/{SERIAL}/lost", {"reason": "mislaid"}), 422)["field"] == "reason"


def test_the_last_working_token_is_not_given_up(desk: Desk) -> None:
    registered(desk)
    assert said(desk.osei.post(f"/epcs/api/tokens/{SERIAL}/retire"), 403)["advice"]


def test_a_token_that_is_locked_is_told_with_the_time(desk: Desk) -> None:
    registered(desk)
    statuses = []
    for number in range(12):
        codes = [f"{number:06}", f"{number + 500:06}"]
        answer = desk.osei.post(f"/epcs/api/tokens/{SERIAL}/resync", {"back": SERIAL, "codes": codes})
        statuses.append(answer.status)
    assert statuses[0] == 409 and statuses[-1] == 429
    locked = said(answer, 429)
    assert locked["code"] == "RA-TOKEN-LOCKED" and locked["until"].endswith("Z") and answer.header("retry-after")


# --- soft tokens


def test_a_soft_token_comes_back_by_its_run(desk: Desk) -> None:
    """From "Soft Token Expired" to signing: the program goes on, others do their parts, and nothing is left over."""
    bench = desk.bench
    phone = with_phone(desk)
    phone.change_password("a password of the app", "another one of it")
    bench.clock.move(timedelta(minutes=1))
    diagnosis = said(desk.osei.get("/epcs/api/soft/diagnosis?password=changed"))["diagnosis"]
    assert diagnosis["cause"] == "password-changed" and diagnosis["plan"] and diagnosis["takes"]
    run = said(desk.osei.post("/epcs/api/soft/runs", {"cause": diagnosis["cause"]}))["run"]
    for _ in range(40):
        run = said(desk.osei.post(f"/epcs/api/soft/runs/{run['id']}"))["run"]
        if run["over"]:
            break
        if run["state"] == "override":
            said(desk.ada.post("/epcs/api/overrides", {"user": "osei", "purpose": run["id"]}))
        if run["state"] == "grant":
            granted(desk)
        bench.clock.move(timedelta(seconds=20))
    assert run["state"] == "done", run
    assert said(desk.osei.get(f"/epcs/api/soft/runs/{run['id']}"))["run"] == run
    access = bench.ehr.access("osei")
    assert access.epcs_enabled and access.epcs_granted and not access.administrator
    assert said(desk.bea.get(f"/epcs/api/soft/runs/{run['id']}"), 403)
    ends = said(desk.osei.get("/epcs/api/soft/reminders"))
    assert {one["what"] for one in ends["deadlines"]} == {"password", "certificate"}


def with_phone(desk: Desk) -> PhoneApp:
    bench = desk.bench
    bench.vendor.enrol("osei.soft", "osei@clinic.test", "+15550100")
    phone = PhoneApp(bench.vendor, now=bench.clock, entropy=Dice())
    phone.install("a password of the app")
    bench.vendor.invite("osei.soft")
    phone.activate_from(bench.vendor.outbox("osei@clinic.test"), bench.vendor.outbox("+15550100"))
    bench.ehr.register_device("osei", "osei.soft")
    return phone


def test_a_run_is_given_up(desk: Desk) -> None:
    with_phone(desk)
    run = said(desk.osei.post("/epcs/api/soft/runs", {"cause": "reinstalled"}))["run"]
    given_up = said(desk.osei.post(f"/epcs/api/soft/runs/{run['id']}/abandon"))["run"]
    assert given_up["over"] and given_up["state"] != "done"


# --- who may sign


def granted(desk: Desk, action: str = "grant") -> Any:
    """By two people, the second by her own token's code."""
    body = {"user": "osei", "action": action, "reason": "New at the practice."}
    request = said(desk.ada.post("/epcs/api/requests", body))["request"]
    otp = {"serial": HERS, "code": desk.token.press()}
    return said(desk.bea.post(f"/epcs/api/requests/{request['id']}/execute", {"otp": otp}))["request"]


def test_two_people_grant_and_revoke(desk: Desk) -> None:
    done = granted(desk)
    assert (done["state"], done["decided_by"]["name"], done["entered_by"]["name"]) == ("executed", "Bea", "Ada")
    assert desk.bench.ehr.access("osei").epcs_granted
    assert granted(desk, "revoke")["state"] == "executed"
    assert not desk.bench.ehr.access("osei").epcs_granted


def test_a_request_is_seen_and_withdrawn(desk: Desk) -> None:
    body = {"user": "osei", "action": "grant", "reason": "New."}
    request = said(desk.ada.post("/epcs/api/requests", body))["request"]
    for who in (desk.ada, desk.bea, desk.osei):
        assert [one["id"] for one in said(who.get("/epcs/api/requests"))["requests"]] == [request["id"]]
    far = desk.bench.person("far", dea="FF1234563", organisations="Y90")
    assert said(desk.bench.program("far").get("/epcs/api/requests"))["requests"] == [] and far
    challenge = said(desk.bea.post(f"/epcs/api/requests/{request['id']}/challenge"))
    assert challenge.keys() == {"nonce", "origin", "document", "seconds"} and challenge["seconds"] == 300
    assert json.loads(challenge["document"])["reason"] == "New."
    for wrong in ({}, {"otp": {}, "card": "x"}, {"otp": 1}, {"otp": {"serial": "x"}}, {"card": "?"}, {"card": 1}):
        assert desk.bea.post(f"/epcs/api/requests/{request['id']}/execute", wrong).status == 422, wrong
    card = base64.b64encode(b"no statement").decode()
    assert said(desk.bea.post(f"/epcs/api/requests/{request['id']}/execute", {"card": card}), 403)["error"]
    withdrawn = said(desk.ada.post(f"/epcs/api/requests/{request['id']}/withdraw"))["request"]
    assert withdrawn["state"] == "withdrawn"


def test_an_override_is_lent_and_taken_back(desk: Desk) -> None:
    body = {"user": "osei", "purpose": "enable EPCS", "minutes": 5}
    lease = said(desk.ada.post("/epcs/api/overrides", body))["override"]
    assert (lease["subject"]["user"], lease["ends"]) == ("osei", "2026-11-22T09:35:00Z")
    assert [one["id"] for one in said(desk.ada.get("/epcs/api/overrides"))["overrides"]] == [lease["id"]]
    assert said(desk.bea.post(f"/epcs/api/overrides/{lease['id']}/end"), 403)
    assert said(desk.osei.post("/epcs/api/enable"))["access"]["epcs_enabled"]
    assert said(desk.ada.get("/epcs/api/overrides"))["overrides"] == []
    assert not desk.bench.ehr.access("osei").administrator
    for minutes in (0, 61, "5", True, 1.5):
        assert said(desk.ada.post("/epcs/api/overrides", {**body, "minutes": minutes}), 422)["field"] == "minutes"


def test_the_one_who_has_it_gives_an_override_back(desk: Desk) -> None:
    lease = said(desk.ada.post("/epcs/api/overrides", {"user": "osei", "purpose": "enable EPCS"}))["override"]
    assert said(desk.osei.post(f"/epcs/api/overrides/{lease['id']}/end"))["override"]["ended"]
    assert said(desk.osei.post(f"/epcs/api/overrides/{lease['id']}/end"), 403)


def test_one_person_suspends_at_once_and_the_incident_is_reported(desk: Desk) -> None:
    granted(desk)
    done = said(desk.ada.post("/epcs/api/suspensions", {"user": "osei", "reason": "left", "note": "On Friday."}))
    assert done["said"] and done["incident"]["subject"]["user"] == "osei"
    assert desk.bench.ehr.access("osei").epcs_suspended
    (incident,) = said(desk.ada.get("/epcs/api/incidents"))["incidents"]
    draft = said(desk.ada.get(f"/epcs/api/incidents/{incident['id']}/draft"))["draft"]
    assert f"What:        {incident['what']}" in draft
    reported = said(desk.ada.post(f"/epcs/api/incidents/{incident['id']}/report", {"text": "Told the DEA.\nDone."}))
    assert reported["incident"]["report"] == "Told the DEA.\nDone."
    assert said(desk.ada.post("/epcs/api/suspensions", {"user": "osei", "reason": "bored"}), 422)["field"] == "reason"


def test_a_prescriber_suspends_themself_and_nobody_else(desk: Desk) -> None:
    assert said(desk.osei.post("/epcs/api/suspensions", {"user": "bea", "reason": "lost"}), 403)
    assert said(desk.osei.post("/epcs/api/suspensions", {"reason": "compromised", "tokens": []}))["request"]
    assert desk.bench.ehr.access("osei").epcs_suspended and not desk.bench.ehr.access("bea").epcs_suspended


def test_the_report_of_a_day_is_for_whoever_answers_for_all(desk: Desk) -> None:
    desk.bench.person("local", Role.EPCS_ADMINISTRATOR)
    desk.bench.clock.move(timedelta(days=1))
    ada, local = desk.bench.program("ada"), desk.bench.program("local")
    report = said(ada.get("/epcs/api/reports/2026-11-22"))["report"]
    assert report["day"] == "2026-11-22" and report["log"]["whole"] is True
    assert said(ada.post("/epcs/api/reports/2026-11-22/seen"))["report"]["looked_at_by"]
    assert said(local.get("/epcs/api/reports/2026-11-22"), 403)
    for day in ("today", "2026-13-01", "1999-01-01", "2026-11-22T00", "20261122", "0001-01-01"):
        assert said(ada.get(f"/epcs/api/reports/{day}"), 403), day
    assert said(ada.get("/epcs/api/reports/2099-01-01"), 403)["error"] == "That day has not begun."


# --- what is wrong is told


Ask = Callable[[Desk], Any]
UNREADABLE: dict[str, Ask] = {
    "a number for a text": lambda d: d.osei.post("/epcs/api/tokens", {"serial": 1, "back": SERIAL}),
    "nothing": lambda d: d.osei.post("/epcs/api/tokens"),
    "an empty text": lambda d: d.osei.post("/epcs/api/tokens", {"serial": " ", "back": SERIAL}),
    "too long a text": lambda d: d.osei.post("/epcs/api/tokens", {"serial": "x" * 300, "back": SERIAL}),
    "half a character": lambda d: d.osei.post("/epcs/api/tokens", {"serial": "\ud800", "back": SERIAL}),
    "a line's end": lambda d: d.osei.post("/epcs/api/tokens", {"serial": "a\nb", "back": SERIAL}),
    "nobody's name": lambda d: d.ada.post("/epcs/api/tokens", {"serial": SERIAL, "back": SERIAL, "user": "zoe"}),
    "one code": lambda d: d.osei.post(f"/epcs/api/tokens/{SERIAL}/resync", {"back": SERIAL, "codes": ["1"]}),
    "no codes": lambda d: d.osei.post(f"/epcs/api/tokens/{SERIAL}/resync", {"back": SERIAL}),
    "a kind of ticket": lambda d: d.osei.post("/epcs/api/tickets", {"kind": "wish"}),
    "a nested field": lambda d: d.osei.post("/epcs/api/tickets", {"kind": "reset", "npi": {"a": 1}}),
    "a cause": lambda d: d.osei.post("/epcs/api/soft/runs", {"cause": "bad luck"}),
    "an answer": lambda d: d.osei.get("/epcs/api/soft/diagnosis?phone=maybe"),
    "a question": lambda d: d.osei.get("/epcs/api/soft/diagnosis?weather=fine"),
    "an action": lambda d: d.ada.post("/epcs/api/requests", {"user": "osei", "action": "suspend", "reason": "x"}),
    "no user": lambda d: d.ada.post("/epcs/api/requests", {"action": "grant", "reason": "x"}),
    "no reason": lambda d: d.ada.post("/epcs/api/requests", {"user": "osei", "action": "grant"}),
    "tokens": lambda d: d.osei.post("/epcs/api/suspensions", {"reason": "lost", "tokens": [1]}),
}


@pytest.mark.parametrize("ask", UNREADABLE.values(), ids=UNREADABLE)
def test_a_field_that_cannot_be_so_is_named(desk: Desk, ask: Ask) -> None:
    told = said(ask(desk), 422)
    assert told.keys() == {"error", "advice", "code", "field"} and told["code"] == "RA-TOKEN-FORM"


def test_a_token_that_nobody_knows_is_not_found(desk: Desk) -> None:
    for what in ("resync", "activate", "retire", "lost"):
        body = {"back": SERIAL, "codes": ["123456", "654321"], "reason": "lost"}
        answer = desk.osei.post(f"/epcs/api/tokens/{SERIAL}/{what}", body)
        assert said(answer, 404)["code"] == "RA-TOKEN-UNKNOWN", what
    assert desk.osei.post("/epcs/api/tokens", {"serial": SERIAL, "back": SERIAL}).status == 404


@pytest.mark.parametrize(
    ("problem", "status", "headers"),
    [
        (TokenServerUnreachable("Away."), 503, {"retry-after"}),
        (EhrUnreachable("Away."), 503, {"retry-after"}),
        (TokenServerMisbehaved("Odd."), 502, set()),
        (EhrMisbehaved("Odd."), 502, set()),
        (EhrRefused("No."), 409, set()),
    ],
)
def test_an_outside_system_that_fails_is_told_as_such(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, problem: Exception, status: int, headers: set[str]
) -> None:
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(desk.bench.vendor, "standing", fail)
    answer = desk.osei.post("/epcs/api/tokens", {"serial": SERIAL, "back": SERIAL})
    assert said(answer, status)["error"] == str(problem) and headers <= answer.headers.keys()
    assert said(answer, status)["code"].startswith("RA-") and TokenLocked.code


def test_an_ehr_that_is_away_stops_no_page_of_standing(desk: Desk) -> None:
    desk.bench.ehr.moods = EhrMoods(rude=True)
    found = said(desk.osei.get("/epcs/api/standing"))
    assert found["access"] is None and "unknown" in {one["health"] for one in found["findings"]}
    assert said(desk.osei.get("/epcs/api/soft/diagnosis"), 502)["code"] == "RA-EHR-MISBEHAVED"

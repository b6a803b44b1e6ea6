"""The pages of those who look after others: requests by two people, overrides that are lent, the list of prescribers,
incidents and the audit report of a day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from renewagent.console.epcs import daily_report, hardware, scheduler
from renewagent.console.permissions import Role
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from tests.epcs_desk import Bench, new_bench
from tests.epcs_visitors import Away, Place, Visitor, new_place, words_of

REEDS = "GALH00000017"
ENABLE = "Enable EPCS"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = new_place(new_bench(tmp_path))
    scheduler.look_first(made.bench.desk)
    yield made
    made.bench.close()


@pytest.fixture
def token(place: Place) -> ButtonToken:
    """Reed's, registered."""
    made = place.bench.token(REEDS)
    hardware.register(place.bench.desk, place.reed.person, place.reed.person, REEDS, REEDS)
    return made


# --- requests


def entered(place: Place, action: str = "grant") -> str:
    """The address of a request about Lee."""
    answer = place.hale.post("/epcs/requests", user="lee", action=action, reason="New in the practice")
    assert answer.status == 303, words_of(answer)
    return answer.header("location").partition("?")[0]


def enabled(place: Place) -> None:
    """EPCS, for Lee."""
    place.hale.done("/epcs/overrides", user="lee", purpose=ENABLE, minutes="5")
    assert "No override that was lent here is left." in place.lee.done("/epcs/enable")


def test_a_grant_is_entered_by_one_and_executed_by_another_with_a_code(place: Place, token: ButtonToken) -> None:
    enabled(place)
    one = entered(place)
    page = place.reed.get(one)
    assert "Let Lee sign prescriptions of controlled substances (grant EPCS)." in page
    assert "Why: New in the practice" in page and f"renewagent epcs approve {one.rsplit('/', 1)[1]} --card" in page
    after = place.reed.done(f"{one}/execute", serial=REEDS, code=token.press())
    assert "Executed" in after and "Decided by Reed" in after
    assert place.bench.ehr.access("lee").epcs_granted


def test_who_may_not_execute_is_told_why_before_a_code_is_used_up(place: Place, token: ButtonToken) -> None:
    one = entered(place)
    assert "You cannot execute this." in place.lee.get(one)
    assert "A DEA registrant executes it" in place.hale.get(one)
    assert place.hale.post(f"{one}/execute", serial=REEDS, code="123456").status == 403
    wrong = place.reed.post(f"{one}/execute", serial=REEDS, code="654321")
    assert wrong.status == 409 and "has been entered incorrectly" in wrong.text and "654321" not in wrong.text
    missing = place.reed.post(f"{one}/execute", serial=REEDS)
    assert missing.status == 422 and 'id="e-code"' in missing.text
    assert not place.bench.ehr.access("lee").epcs_granted


def test_a_request_needs_somebody_who_is_known_a_reason_and_what_is_to_be_done(place: Place) -> None:
    for fields, name in (
        ({"user": "nobody", "action": "grant", "reason": "New"}, "user"),
        ({"user": "lee", "action": "grant", "reason": " "}, "reason"),
        ({"user": "lee", "reason": "New"}, "action"),
    ):
        answer = place.hale.post("/epcs/requests", **fields)
        assert answer.status == 422 and f'id="e-{name}"' in answer.text, name
        assert 'value="New"' in answer.text or name == "reason"
    assert place.reed.post("/epcs/requests", user="lee", action="grant", reason="New").status == 403
    assert place.far.post("/epcs/requests", user="lee", action="grant", reason="New").status == 422


def test_a_request_is_seen_by_whom_it_concerns_and_withdrawn_by_an_administrator(place: Place) -> None:
    one = entered(place, "revoke")
    ned = Visitor(place.bench, place.bench.person("ned"))
    assert ned.browser.get(one).status == 403 and place.far.browser.get(one).status == 403
    assert "Revoke EPCS of Lee" in place.lee.get("/epcs/requests")
    assert "Nothing waits." in ned.get("/epcs/requests") and "Nothing waits." in place.far.get("/epcs/requests")
    assert place.far.post(f"{one}/withdraw").status == 403
    assert "Withdrawn" in place.hale.done(f"{one}/withdraw")
    assert "Nothing waits." in place.lee.get("/epcs/requests")


# --- overrides


def test_an_override_is_lent_with_the_minutes_that_are_left_and_taken_back(place: Place) -> None:
    after = place.hale.done("/epcs/overrides", user="lee", purpose=ENABLE, minutes="10")
    assert "Ends in 10 minutes" in after
    place.bench.clock.move(timedelta(minutes=3))
    assert "Ends in 7 minutes" in place.hale.get("/epcs/overrides")
    page = place.hale.browser.get("/epcs/overrides")
    assert 'data-every="20"' in page.text, "it counts down by itself"
    (identity,) = re.findall(r"/epcs/overrides/(\w+)/end", page.text)
    assert place.reed.post(f"/epcs/overrides/{identity}/end").status == 403
    assert "Take it back now" in place.lee.get("/epcs")
    assert "None stands." in place.hale.done(f"/epcs/overrides/{identity}/end", list="1")
    assert not place.bench.ehr.access("lee").administrator


def test_whoever_has_an_override_gives_it_back_themself(place: Place) -> None:
    place.hale.done("/epcs/overrides", user="lee", purpose=ENABLE)
    (identity,) = re.findall(r"/epcs/overrides/(\w+)/end", place.lee.browser.get("/epcs").text)
    assert "Take it back now" not in place.lee.done(f"/epcs/overrides/{identity}/end")


def test_nobody_lends_themself_an_override_or_one_that_is_too_long(place: Place) -> None:
    own = place.hale.post("/epcs/overrides", user="hale", purpose=ENABLE)
    assert own.status == 403 and "This is about yourself" in own.text
    for minutes in ("0", "61", "999", "-1", "ten"):
        answer = place.hale.post("/epcs/overrides", user="lee", purpose=ENABLE, minutes=minutes)
        assert answer.status == 422 and 'id="e-minutes"' in answer.text, minutes
    assert "None stands." in place.hale.get("/epcs/overrides")


# --- prescribers


def test_the_list_says_how_everybody_stands_and_asks_nobody_outside(place: Place, token: ButtonToken) -> None:
    entered(place)
    place.reed.post(f"/epcs/tokens/{REEDS}/resync", back=REEDS, first="111111", second="222222")
    bench, away = place.bench, Away()
    alone = replace(bench.desk, authority=away, support=away, soft=away, ehr=away)
    hale = Visitor(Bench(bench.site, bench.clock, bench.vendor, bench.ehr, alone), place.hale.person)
    page = hale.get("/epcs/people")
    assert "Look A grant waits for the second person." in page
    assert f"Fault Token {REEDS}: two codes were refused." in page
    assert "Not known No token is registered here, and nothing is under way." in page
    assert "Far" not in page and "1 person" in hale.get("/epcs/people?name=REED")
    assert "Lee" not in place.far.get("/epcs/people")
    assert place.lee.browser.get("/epcs/people").status == 403


def test_the_list_does_not_ask_more_of_the_database_for_more_people(place: Place) -> None:
    def questions() -> int:
        count = 0

        def note(*_: object) -> None:
            nonlocal count
            count += 1

        engine = place.bench.site.store.engine
        sa.event.listen(engine, "before_cursor_execute", note)
        place.hale.get("/epcs/people")
        sa.event.remove(engine, "before_cursor_execute", note)
        return count

    before = questions()
    for number in range(30):
        place.bench.person(f"user{number}")
    assert questions() == before


# --- incidents and reports


def test_an_incident_is_shown_with_its_time_and_reported_in_the_words_of_its_form(place: Place) -> None:
    place.hale.done("/epcs/suspend", user="lee", reason="lost", what="phone", note="On a train.")
    page = place.hale.browser.get("/epcs/incidents")
    assert "On a train." in words_of(page) and "To be reported by" in words_of(page)
    (one,) = re.findall(r'href="(/epcs/incidents/\w+)"', page.text)
    assert "SECURITY INCIDENT REPORT" in place.hale.get(one)
    assert place.far.browser.get(one).status == 403 and "On a train." not in place.far.get("/epcs/incidents")
    empty = place.hale.post(f"{one}/report", text=" ")
    assert empty.status == 422 and 'id="e-text"' in empty.text
    after = place.hale.done(f"{one}/report", text="Told to the DEA.\r\nAll prescriptions were checked.")
    assert "It is noted as reported" in after and "All prescriptions were checked." in after
    assert place.hale.post(f"{one}/report", text="Again").status == 403


def test_what_somebody_has_found_becomes_an_incident(place: Place) -> None:
    after = place.hale.done("/epcs/incidents", what="A code was read aloud at the desk.", user="lee")
    assert "The incident is open." in after and "A code was read aloud at the desk." in after and "About Lee" in after
    for fields, name in (({"what": " "}, "what"), ({"what": "This.", "user": "nobody"}, "user")):
        refused = place.hale.post("/epcs/incidents", **fields)
        assert refused.status == 422 and f'id="e-{name}"' in refused.text
    assert place.lee.post("/epcs/incidents", what="This.").status == 403


def test_an_incident_that_is_late_says_so_in_words(place: Place) -> None:
    place.hale.done("/epcs/suspend", user="lee", reason="left")
    place.bench.clock.move(timedelta(days=5))
    hale = Visitor(place.bench, place.hale.person)
    assert "Overdue" in hale.get("/epcs/incidents")
    assert "Fault" in hale.get("/epcs/people") and "Fault" in hale.get("/epcs?user=lee")


def test_the_report_of_a_day_is_looked_at_by_somebody_who_answers_for_all(place: Place) -> None:
    desk, bench = place.bench.desk, place.bench
    bench.clock.move(timedelta(days=1))
    daily_report.tend(desk)
    vera = Visitor(bench, bench.person("vera", Role.EPCS_ADMINISTRATOR, organisations="*"))
    page = vera.browser.get("/epcs/reports")
    assert "Nobody has looked at it yet" in words_of(page) and "The audit log is whole" in words_of(page)
    assert "Daily report" in page.text
    day = re.findall(r'action="(/epcs/reports/[\d-]+/seen)"', page.text)[0]
    after = vera.done(day)
    assert "It is noted that you have looked at it." in after and "Looked at by Vera" in after
    hale = Visitor(bench, place.hale.person)
    assert hale.browser.get("/epcs/reports").status == 403 and "Daily report" not in hale.browser.get("/epcs").text
    assert vera.browser.get("/epcs/reports?day=nonsense").status == 403
    today = bench.clock().date().isoformat()
    assert "This day is not over" in vera.get(f"/epcs/reports?day={today}")

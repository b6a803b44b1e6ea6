"""The pages of tickets and orders, and of the soft token: forms with pictures, what is wrong with them beside each
field, and a registration step by step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from renewagent.console.epcs import tickets
from renewagent.console.epcs.pages_tickets import _LARGEST
from renewagent.console.tables import REVISION
from renewagent.tokens.errors import EhrUnreachable
from renewagent.tokens.soft_causes import Cause
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from tests.console import Answer
from tests.epcs_desk import Bench, new_bench, npi
from tests.epcs_visitors import Away, Place, Visitor, new_place, words_of
from tests.unit.console.epcs.soft_world import SoftWorld, new_world
from tests.unit.console.epcs.vendor_forms import REPLACEMENT, SHIP_TO, picture

SERIAL = "GAHE00000017"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = new_place(new_bench(tmp_path))
    yield made
    made.bench.close()


@pytest.fixture
def token(place: Place) -> ButtonToken:
    """Lee's, registered."""
    made = place.bench.token(SERIAL)
    place.lee.done("/epcs/register", serial=SERIAL, back=SERIAL)
    return made


# --- tickets and orders


def reset(place: Place, **fields: str) -> Answer:
    known = {"kind": "reset", "provider": "Ann Lee", "npi": npi("lee"), "serial": SERIAL}
    return place.lee.post("/epcs/tickets/new", **{**known, "first": "111111", "second": "222222", **fields})


def test_a_reset_asks_for_what_this_token_shows_and_only_after_two_codes(place: Place, token: ButtonToken) -> None:
    page = place.lee.get(f"/epcs/tickets/new?kind=reset&serial={SERIAL}")
    assert "Code 1" in page and "Counter Number" not in page
    assert "Counter Number 1" in place.lee.get("/epcs/tickets/new?kind=reset&serial=GALH00000017")
    early = reset(place)
    assert early.status == 403 and "Two codes come first" in early.text
    refused = place.lee.post(f"/epcs/tokens/{SERIAL}/resync", back=SERIAL, first="111111", second="222222")
    assert refused.status == 409
    answer = reset(place)
    assert answer.status == 303
    page = place.lee.get(answer.header("location"))
    assert "It is taken in." in page and "With the vendor" in page
    assert "Reset of GAHE00000017" in place.lee.get("/epcs") and "111111" not in place.lee.get("/epcs/tickets")


def test_everything_that_is_wrong_is_said_beside_its_field_and_the_rest_is_kept(
    place: Place, token: ButtonToken
) -> None:
    wrong = reset(place, npi="1234567890", second="22", first="111111")
    assert wrong.status == 422
    assert "These have to be corrected" in words_of(wrong)
    assert re.search(r'id="e-npi"', wrong.text) and re.search(r'id="e-second"', wrong.text)
    assert 'value="Ann Lee"' in wrong.text and 'value="111111"' in wrong.text
    other = reset(place, npi=npi("reed"))
    assert other.status == 422 and "is not the NPI that the EHR has for Lee" in words_of(other)
    assert 'id="e-npi"' in other.text


@pytest.mark.parametrize("fits", [True, False])
def test_a_ticket_that_is_over_is_told_of_until_it_is_known(place: Place, token: ButtonToken, fits: bool) -> None:
    place.lee.post(f"/epcs/tokens/{SERIAL}/resync", back=SERIAL, first="111111", second="222222")
    first, second = token.press_twice() if fits else ("111111", "222222")
    path = reset(place, first=first, second=second).header("location").partition("?")[0]
    ticket = tickets.tickets_of(place.bench.desk, place.lee.person)[0]
    place.bench.vendor.work_ticket(ticket.number)
    place.bench.clock.move(timedelta(minutes=20))
    tickets.follow(place.bench.desk)
    said = "Done by the vendor" if fits else "Refused by the vendor"
    assert said in place.lee.get(path) and said in place.lee.get("/epcs")
    assert ("Send another one" in place.lee.get(path)) is not fits
    assert "They know" in place.hale.get(f"{path}?user=lee")
    assert "It is noted that you know." in place.lee.done(f"{path}/seen")
    assert "At the vendor" not in place.lee.get("/epcs")
    assert place.reed.browser.get(path).status == 403


def replacement(**fields: str) -> dict[str, str]:
    return {**REPLACEMENT, "serial": SERIAL, "provider": "Ann Lee", **fields}


def files(**names: str) -> list[tuple[str, str, bytes]]:
    return [(side, name, picture(side, name).octets) for side, name in names.items()]


def test_a_replacement_with_pictures_is_ordered_and_says_what_was_taken_out_of_them(
    place: Place, token: ButtonToken
) -> None:
    answer = place.lee.send("/epcs/tickets/new", replacement(), files(front="turned.jpg", back="turned.jpg"))
    assert answer.status == 303, words_of(answer)
    page = place.lee.get(answer.header("location"))
    assert "is taken out of them" in page and SERIAL in page
    assert place.bench.vendor.filed(tickets.tickets_of(place.bench.desk, place.lee.person)[0].number).number


def test_what_is_wrong_with_a_picture_is_said_beside_it(place: Place, token: ButtonToken) -> None:
    sent = [("front", "front.jpg", b"%PDF-1.7 no photograph"), ("back", "", b"")]
    answer = place.lee.send("/epcs/tickets/new", replacement(city=""), sent)
    assert answer.status == 422
    beside = {name: words for name, words in re.findall(r'(?s)id="e-(\w+)">(.*?)</span></span>', answer.text)}
    assert set(beside) == {"city", "front", "back"}
    assert "a PDF document" in beside["front"] and "back of the token is missing" in beside["back"]
    assert "a browser does not keep them" in words_of(answer)
    assert "Main Street Clinic" in answer.text
    assert not tickets.tickets_of(place.bench.desk, place.lee.person)


def test_a_paid_cause_leads_to_a_spare_and_a_spare_needs_no_picture(place: Place, token: ButtonToken) -> None:
    paid = place.lee.send("/epcs/tickets/new", replacement(cause="lost"), files(front="turned.jpg", back="turned.jpg"))
    assert paid.status == 422 and "which is bought" in words_of(paid)
    spare = {"kind": "spare", "provider": "Ann Lee", "email": "lee@clinic.example", **SHIP_TO}
    assert "It is taken in." in place.lee.done("/epcs/tickets/new", **spare)
    assert place.lee.browser.get("/epcs/tickets/new?kind=nonsense").status == 403


def test_pictures_that_are_too_large_are_not_read(place: Place) -> None:
    answer = place.lee.send("/epcs/tickets/new", replacement(), [("front", "f.jpg", b"\xff\xd8\xff" + bytes(_LARGEST))])
    assert answer.status == 413


def test_a_vendor_that_is_away_is_told_of_and_an_order_waits_for_it(place: Place, token: ButtonToken) -> None:
    bench, away = place.bench, Away()
    silent = replace(bench.desk, authority=away, support=away, soft=away)
    owner = Visitor(Bench(bench.site, bench.clock, bench.vendor, bench.ehr, silent), place.lee.person)
    spare = {"kind": "spare", "provider": "Ann Lee", "email": "lee@clinic.example", **SHIP_TO}
    assert "Being sent" in owner.done("/epcs/tickets/new", **spare)
    assert "The vendor does not answer. The states below are those last heard of." in owner.get("/epcs/tokens")
    assert f"Not known The vendor does not answer. How {SERIAL} stands is not known." in owner.get("/epcs")
    codes = {"back": SERIAL, "first": "111111", "second": "222222"}
    later = owner.post(f"/epcs/tokens/{SERIAL}/resync", **codes)
    assert later.status == 503 and "The vendor does not answer." in later.text


# --- the soft token


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SoftWorld]:
    made = new_world(tmp_path)
    yield made
    made.close()


def lee(world: SoftWorld) -> Visitor:
    return Visitor(world.bench, world.lee)


def test_a_changed_password_is_found_and_led_to_the_end_by_three_people(world: SoftWorld) -> None:
    owner, hale = lee(world), Visitor(world.bench, world.hale)
    assert "Yes You can sign" in owner.get("/epcs")
    world.befall(Cause.PASSWORD_CHANGED)
    first = owner.get("/epcs")
    assert "No You cannot sign" in first and 'So the EHR says "Soft Token Expired"' in first
    page = owner.browser.get("/epcs/soft")
    assert "Certain The password of the app was changed" in words_of(page)
    assert re.search(r'value="password-changed" required checked', page.text)
    answer = owner.post("/epcs/soft/runs", cause="password-changed")
    run = answer.header("location")
    assert "Nothing has been removed." in owner.get(run)
    assert "Do this first: your soft token is being registered anew." in owner.get("/epcs")
    waits = owner.done(run)
    assert "Waits An administrator lends the override" in waits and "Done Register the device" in waits
    assert owner.post("/epcs/overrides", user="lee", purpose=run.rsplit("/", 1)[1]).status == 403
    lent = hale.done("/epcs/overrides", user="lee", purpose=run.rsplit("/", 1)[1])
    assert "the override is gone" in lent and "Enter the grant" in lent
    assert "It is entered." in hale.done("/epcs/requests", user="lee", action="grant", reason="Registered anew")
    assert "The grant has been entered" in owner.done(run)


def test_no_cause_and_no_answer_that_is_none(world: SoftWorld) -> None:
    owner = lee(world)
    world.befall(Cause.NEW_PHONE)
    none = owner.post("/epcs/soft/runs")
    assert none.status == 422 and 'id="e-cause"' in none.text
    assert owner.browser.get("/epcs/soft?phone=purple").status == 422
    assert "Likely You have a new phone" in owner.get("/epcs/soft?phone=new")
    other = owner.post("/epcs/soft/runs", cause="new-phone", username="somebody.app")
    assert other.status == 403


def test_a_registration_is_given_up_and_shown_as_such(world: SoftWorld) -> None:
    owner = lee(world)
    world.befall(Cause.PASSWORD_CHANGED)
    run = owner.post("/epcs/soft/runs", cause="password-changed").header("location")
    assert "This was abandoned" in owner.done(f"{run}/abandon")
    assert "nothing of it is to come" in owner.get(run)
    assert "abandoned" in owner.get("/epcs/soft")


def test_an_ehr_that_is_away_is_told_of_and_nothing_is_lost(world: SoftWorld) -> None:
    owner = lee(world)
    world.befall(Cause.PASSWORD_CHANGED)
    run = owner.post("/epcs/soft/runs", cause="password-changed").header("location")
    world.bench.ehr.moods = EhrMoods(cuts="before")
    assert "What it knows is missing on this page." in owner.get("/epcs/soft")
    stuck = owner.done(run)
    assert EhrUnreachable.advice in stuck and "Continue" in stuck
    world.bench.ehr.moods = EhrMoods()
    assert "Waits An administrator lends the override" in owner.done(run)


def test_both_days_go_into_a_calendar(world: SoftWorld) -> None:
    answer = lee(world).browser.get("/epcs/soft/reminders.ics")
    assert answer.header("content-type") == "text/calendar; charset=utf-8"
    assert answer.text.count("BEGIN:VEVENT") == 2 and answer.header("content-disposition").startswith("attachment")


def test_every_step_is_news_and_looking_is_none(world: SoftWorld) -> None:
    owner = lee(world)
    world.befall(Cause.PASSWORD_CHANGED)

    def number() -> int:
        rows = world.desk.read(lambda connection: connection.execute(REVISION.select()).all())
        return next((row.number for row in rows if row.name == "epcs"), 0)

    before = number()
    run = owner.post("/epcs/soft/runs", cause="password-changed").header("location")
    begun = number()
    owner.get(run)
    owner.get("/epcs")
    assert begun > before and number() == begun
    owner.done(run)
    assert number() > begun

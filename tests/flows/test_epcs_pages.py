"""The pages of the EPCS desk, without a browser: whom they let in, what each form does and says, and that what was
typed is kept. A real browser is in test_epcs_pages_browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from renewagent.console.app import _epcs, _people
from renewagent.console.epcs import pages_frame
from renewagent.console.gate import Guarded
from renewagent.console.pages import WAYS, WAYS_OF_EPCS
from renewagent.console.permissions import Role
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from tests.epcs_desk import Bench, new_bench
from tests.epcs_visitors import Place, Visitor, new_place, words_of

SERIAL, SPARE = "GAHE00000017", "GAHE00000018"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = new_place(new_bench(tmp_path))
    yield made
    made.bench.close()


@pytest.fixture
def token(place: Place) -> ButtonToken:
    """Lee's, registered."""
    made = place.bench.token(SERIAL)
    assert "registered and active" in place.lee.done("/epcs/register", serial=SERIAL, back="gahe 0000 0017")
    return made


# --- who gets in


def routes(bench: Bench) -> list[tuple[str, str, Guarded]]:
    """Every address of the desk's pages."""
    found = []
    for route in _epcs(bench.desk):
        assert isinstance(route, Route)
        if isinstance(route.endpoint, Guarded):
            found += [(method, route.path, route.endpoint) for method in (route.methods or set()) - {"HEAD"}]
    return found


def test_every_page_of_the_desk_has_a_permission(place: Place) -> None:
    found = routes(place.bench)
    assert len(found) > 10
    assert all(guarded.permission is not None for _, _, guarded in found)


def test_those_of_the_ra_see_none_of_it_and_those_of_epcs_none_of_the_ra(place: Place) -> None:
    for role in Role:
        of_epcs = role in (Role.EPCS_ADMINISTRATOR, Role.PRESCRIBER)
        visitor = Visitor(place.bench, place.bench.person(role.value, role, organisations="*"))
        for method, path, _ in routes(place.bench):
            if not of_epcs:
                answer = visitor.browser.get(filled(path)) if method == "GET" else visitor.post(filled(path))
                assert answer.status == 403, (role, method, path)
        first = visitor.browser.get("/")
        assert (first.status, first.header("location")) == ((303, "/epcs") if of_epcs else (200, ""))
        menu = visitor.browser.get("/epcs" if of_epcs else "/").text
        others = WAYS if of_epcs else WAYS_OF_EPCS
        assert not [way.path for way in others if f'<li><a href="{way.path}"' in menu]
        for way in WAYS if of_epcs else ():
            assert visitor.browser.get(way.path).status == (303 if way.path == "/" else 403), way


def test_without_a_desk_there_is_no_such_page(place: Place) -> None:
    assert not [one for one in _people(place.bench.site) if isinstance(one, Route) and one.path.startswith("/epcs")]


def test_no_form_is_taken_without_its_token(place: Place) -> None:
    for method, path, _ in routes(place.bench):
        if method == "POST":
            visitor = place.reed if path.endswith("/execute") else place.hale
            answer = visitor.browser.post(filled(path), {"csrf": "0" * 64})
            assert answer.status == 403 and "not made for your session" in answer.text, path


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "0", path)


def test_prescribers_see_their_own_alone(place: Place, token: ButtonToken) -> None:
    assert place.hale.get("/epcs/tokens?user=lee").count(SERIAL)
    assert "lets you see and do your own things alone" in place.reed.get("/epcs/tokens?user=lee", 403)
    assert "Nobody who uses this desk" in place.far.get("/epcs/tokens?user=lee", 422)
    refused = place.reed.post(f"/epcs/tokens/{SERIAL}/lost", user="lee", reason="lost")
    assert refused.status == 403
    assert SERIAL not in place.reed.get("/epcs/tokens")


# --- can I sign?


def test_the_first_page_says_whether_one_can_sign_and_what_comes_first(place: Place, token: ButtonToken) -> None:
    before = place.lee.get("/epcs")
    assert "No You cannot sign" in before and "Do this first: Have it enabled." in before
    assert "renewagent" not in before.replace("renewagent console", "")
    ehr = place.bench.ehr
    ehr.give_override("lee", place.bench.clock() + timedelta(minutes=5))
    ehr.enable_epcs("lee")
    ehr.remove_override("lee")
    ehr.grant_epcs("lee", entered_by="hale", executed_by="reed")
    after = place.lee.get("/epcs")
    assert "Yes You can sign" in after and "Do this first" not in after
    assert f"In order Your token {SERIAL} is active." in after
    assert "Can Lee sign?" in place.hale.get("/epcs?user=lee")


def test_enabling_says_that_an_override_is_needed_in_words_for_a_page(place: Place) -> None:
    refused = place.lee.post("/epcs/enable")
    assert refused.status == 403
    assert "needs the administrator override" in words_of(refused)
    assert "renewagent epcs" not in words_of(refused)


def test_suspending_needs_a_reason_and_is_done_at_once(place: Place, token: ButtonToken) -> None:
    refused = place.lee.post("/epcs/suspend", note="In the car park")
    assert refused.status == 422 and "In the car park" in refused.text
    after = place.lee.done("/epcs/suspend", reason="stolen", what="token", note="In the car park\r\nat noon")
    assert "The suspension is noted." in after and "EPCS is suspended" in after
    assert "It has to be reported by" in after
    assert "Lost" in place.lee.get("/epcs/tokens")


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("Have it enabled: renewagent epcs enable.", "Have it enabled."),
        ("Lend it: renewagent epcs override give --for ann.lee. Then do this again.", "Lend it. Then do this again."),
        ("Order one: renewagent token replace, or renewagent token spare.", "Order one."),
        ("Plan it well. renewagent softtoken remind lists the steps.", "Plan it well."),
        ("Nothing of the kind.", "Nothing of the kind."),
    ],
)
def test_commands_are_left_out_where_somebody_has_a_page(told: str, shown: str) -> None:
    assert pages_frame.without_commands(told) == shown


# --- hardware tokens


def test_a_serial_that_is_not_the_one_on_the_back_is_said_beside_its_field(place: Place) -> None:
    place.bench.token(SERIAL)
    answer = place.lee.post("/epcs/register", serial=SERIAL, back=SPARE)
    assert answer.status == 422
    assert f'value="{SERIAL}"' in answer.text and f'value="{SPARE}"' in answer.text, "what was typed is kept"
    back = re.search(r'<input id="f-back"[^>]*>', answer.text)
    assert back and 'aria-invalid="true"' in back.group() and "e-back" in back.group()
    assert 'href="#f-back"' in answer.text


def test_two_codes_put_a_token_in_step_and_its_page_says_how_far_it_was(place: Place, token: ButtonToken) -> None:
    token.lose_presses(40)
    asked = place.lee.get(f"/epcs/tokens/{SERIAL}/resync")
    assert "Is the serial number on the screen the one on the back?" in asked and SERIAL in asked
    codes: dict[str, str] = {"first": token.press(), "second": token.press()}
    after = place.lee.done(f"/epcs/tokens/{SERIAL}/resync", back=SERIAL, **codes)
    assert "in step again" in after and "40 presses ahead" in after


def test_refused_codes_are_not_kept_and_lead_to_a_ticket_and_to_a_lock(place: Place, token: ButtonToken) -> None:
    refused = place.lee.post(f"/epcs/tokens/{SERIAL}/resync", back=SERIAL, first="111111", second="222222")
    assert refused.status == 409 and "The two codes were not accepted." in refused.text
    assert "111111" not in refused.text and f'value="{SERIAL}"' in refused.text
    assert "Have the vendor reset it" in refused.text
    mistyped = place.lee.post(f"/epcs/tokens/{SERIAL}/resync", back=SERIAL, first="11111", second="222222")
    assert mistyped.status == 422 and "222222" in mistyped.text
    for _ in range(4):
        place.lee.post(f"/epcs/tokens/{SERIAL}/resync", back=SERIAL, first="111111", second="222222")
    locked = place.lee.post(f"/epcs/tokens/{SERIAL}/resync", back=SERIAL, first="111111", second="222222")
    assert locked.status == 429 and "locked until" in locked.text
    assert "Locked until" not in place.lee.get("/epcs/tokens"), "signing in goes on with good codes"
    for _ in range(5):
        place.bench.vendor.check(SERIAL, "111111")
    assert "Locked until" in place.lee.get("/epcs/tokens")


def test_a_spare_takes_over_and_the_last_token_is_not_given_up(place: Place, token: ButtonToken) -> None:
    last = place.lee.post(f"/epcs/tokens/{SERIAL}/retire")
    assert last.status == 403 and "is the last thing that Lee can sign with" in last.text
    place.bench.token(SPARE)
    assert "registered as your spare" in place.lee.done("/epcs/register", serial=SPARE, back=SPARE)
    after = place.lee.done(f"/epcs/tokens/{SPARE}/activate")
    assert "The token is active now." in after and "Deactivated" in after


def test_a_lost_token_is_reported_with_a_reason(place: Place, token: ButtonToken) -> None:
    page = place.lee.get(f"/epcs/tokens/{SERIAL}/lost")
    assert "never works again" in page
    assert place.lee.post(f"/epcs/tokens/{SERIAL}/lost").status == 422
    after = place.lee.done(f"/epcs/tokens/{SERIAL}/lost", reason="lost")
    assert "never works again" in after and "Lost" in after
    assert "not registered here" in place.lee.get("/epcs/tokens/GAHE00000099/lost", 404)


# --- why is my code refused?


def test_the_questions_lead_to_an_answer_and_a_door(place: Place, token: ButtonToken) -> None:
    assert "Where does the code come from?" in place.lee.get("/epcs/explain")
    assert "Select an answer." in place.lee.get("/epcs/explain?asked=kind")
    asked: Any = "kind=hardware&state=active&serial=same&locked=no&display=code&typed=refused&resync=no"
    answer = place.lee.browser.get(f"/epcs/explain?{asked}")
    assert "Resynchronise it with two codes" in words_of(answer) and 'href="/epcs/tokens"' in answer.text
    assert "Where does the code come from?" in place.lee.get("/epcs/explain?kind=nonsense")
    known = place.lee.get(f"/epcs/explain?token={SERIAL}")
    assert "(known here)" in known and "Is the serial number on the screen the one on the back" in known
    assert "What does the token show" in place.lee.get(f"/epcs/explain?token={SERIAL}&serial=same")

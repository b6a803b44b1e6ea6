"""Signing in with the EHR's user name and password: the right person alone, nobody told which of the two was wrong, not
too often; and what a bearer token opens."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from renewagent.console import audit, people
from renewagent.console.app import people_app
from renewagent.console.epcs.hands import Hands
from renewagent.console.permissions import Role
from renewagent.console.tables import SESSION
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from tests.console import Answer, Browser, form_token, new_person, sign_in
from tests.epcs_desk import Bench, Program, password, said

WRONG = "Nobody is signed in with that user name and password."


@pytest.fixture
def osei(bench: Bench) -> Bench:
    bench.person("osei", dea="AB1234563")
    return bench


def by_form(bench: Bench, user: str, given: str, **browser: str) -> Answer:
    here = Browser(bench.app, **browser)  # type: ignore[arg-type]
    return here.post("/sign-in/ehr", {"user": user, "password": given, "next": "/epcs"})


def by_program(bench: Bench, user: object, given: object) -> Answer:
    return bench.program().post("/epcs/api/sign-in", {"user": user, "password": given})


def test_a_program_gets_a_token_that_says_who_it_is(osei: Bench) -> None:
    answer = said(by_program(osei, "osei", password("osei")))
    assert answer.keys() == {"token", "person", "seconds"}
    person = answer["person"]
    assert (person["name"], person["user"], person["role"], person["dea"]) == ("Osei", "osei", "prescriber", True)
    assert said(Program(osei.program().client, answer["token"]).get("/epcs/api/standing"))["person"] == person
    assert answer["seconds"] == osei.site.settings.idle.total_seconds()


def test_a_person_signs_in_by_the_form(osei: Bench) -> None:
    page = Browser(osei.app).get("/sign-in?next=%2Fepcs")
    assert 'action="/sign-in/ehr"' in page.text and 'value="/epcs"' in page.text
    answer = by_form(osei, "osei", password("osei"))
    assert (answer.status, answer.header("location")) == (303, "/epcs")
    assert answer.cookie and "HttpOnly" in answer.header("set-cookie")
    home = Browser(osei.app, answer.cookie).get("/")
    assert (home.status, home.header("location")) == (303, "/epcs")


@pytest.mark.parametrize("wanted", ["//evil.test", "https://evil.test/", "/\\evil.test", "x", ""])
def test_the_form_leads_to_no_other_host(osei: Bench, wanted: str) -> None:
    form = {"user": "osei", "password": password("osei"), "next": wanted}
    assert Browser(osei.app).post("/sign-in/ehr", form).header("location") == "/"


@pytest.mark.parametrize(
    "user, given",
    [
        ("osei", "wrong"),
        ("osei", ""),
        ("osei", password("osei") + " "),
        ("Osei", password("osei")),
        ("nobody", "anything"),
        ("", ""),
        ("", password("osei")),
        ("osei\x00", password("osei")),
        ("o" * 300, "x"),
        ("osei", "x" * 2000),
        ("\ud800", "x"),
        ("manager", password("manager")),
        ("outsider", password("outsider")),
        ("left", password("left")),
    ],
)
def test_whatever_is_wrong_the_answer_is_the_same(osei: Bench, user: str, given: str) -> None:
    """A password wrong, or nobody of that name; right in the EHR, and nobody's here, or of somebody who has no part in
    this desk, or of somebody who has left."""
    osei.person("manager", Role.RA_MANAGER, organisations="*")
    left = osei.person("left")
    osei.site.store.writing(lambda connection: people.end(connection, osei.clock(), "tests", left))
    osei.person("outsider")
    with osei.site.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE person SET ehr = '' WHERE ehr = 'outsider'")
    answer = by_program(osei, user, given)
    assert said(answer, 403)["error"] == WRONG
    assert said(answer, 403) == said(by_program(osei, "nobody-at-all", "wrong"), 403)
    if user.isascii():
        page = by_form(osei, user, given)
        assert page.status == 403 and WRONG in page.text and page.cookie == ""
        assert len(given) < 9 or given not in page.text
    assert osei.desk.read(lambda c: c.execute(sa.select(SESSION)).first()) is None


@pytest.mark.parametrize("document", [{}, {"user": 1, "password": 2}, {"user": None, "password": []}, {"user": {}}])
def test_no_texts_sign_nobody_in(osei: Bench, document: object) -> None:
    assert osei.program().post("/epcs/api/sign-in", document).status == 403


def test_an_account_that_the_ehr_has_locked_is_not_told_of(osei: Bench) -> None:
    osei.ehr.moods = EhrMoods(refuses=frozenset({"sign_in"}))
    assert said(by_program(osei, "osei", password("osei")), 403)["error"] == WRONG


def test_an_ehr_that_does_not_answer_is_said_to_be_silent(osei: Bench) -> None:
    osei.ehr.moods = EhrMoods(cuts="before")
    answer = by_program(osei, "osei", password("osei"))
    assert said(answer, 503)["code"] == "RA-EHR-UNREACHABLE" and answer.header("retry-after")
    page = by_form(osei, "osei", password("osei"))
    assert page.status == 503 and "broke off" in page.text


def test_strangers_at_a_slow_ehr_keep_nobody_out_who_is_in(osei: Bench) -> None:
    """They wait at a door of their own, which lets only so many wait."""
    inside = osei.program("osei")
    full = replace(osei.desk, door=Hands(threads=1, most=0))
    osei.app = people_app(osei.site, full)
    assert by_program(osei, "osei", password("osei")).status == 503
    assert Program(osei.program().client, inside.token).get("/epcs/api/standing").status == 200


def test_only_failures_count_and_ten_are_the_most(osei: Bench) -> None:
    for _ in range(25):
        assert by_program(osei, "osei", password("osei")).status == 200
    for _ in range(10):
        assert by_program(osei, "osei", "wrong").status == 403
    for name in ("osei", "OSEI"):
        refused = by_program(osei, name, password("osei"))
        assert refused.status == 429 and int(refused.header("retry-after")) > 0
    assert by_form(osei, "osei", password("osei")).status == 429
    assert by_program(osei, "nobody", "x").status == 403, "others go on"
    osei.clock.move(timedelta(hours=2))  # the EHR has locked the account as well, for a while
    assert by_program(osei, "osei", password("osei")).status == 200


def test_an_address_does_not_try_one_name_after_the_other(osei: Bench) -> None:
    statuses = [by_program(osei, f"user{number}", "x").status for number in range(61)]
    assert statuses == [403] * 60 + [429]
    for _ in range(20):
        assert by_program(osei, "osei", "wrong").status == 429, "and then uses up nobody's tries"
    other = osei.program(address="203.0.113.10")
    assert other.post("/epcs/api/sign-in", {"user": "osei", "password": password("osei")}).status == 200
    assert osei.program(address="203.0.113.9").post("/epcs/api/sign-in", {"user": "a", "password": "b"}).status == 403


def test_a_password_is_nowhere(osei: Bench, caplog: pytest.LogCaptureFixture) -> None:
    secrets = (password("osei"), "a-wrong-one-of-hers")
    with caplog.at_level(logging.DEBUG):
        by_program(osei, "osei", secrets[0])
        by_program(osei, "osei", secrets[1])
        by_form(osei, "osei", secrets[1])
    kept = b"".join(file.read_bytes() for file in osei.site.settings.data.glob("console.db*"))
    told = caplog.text + repr([vars(record) for record in caplog.records])
    assert not [one for one in secrets if one.encode() in kept or one in told]


def test_the_log_names_who_tried(osei: Bench) -> None:
    by_program(osei, "osei", "wrong")
    by_program(osei, "a-password-typed-as-a-name", "wrong")
    by_program(osei, "osei", password("osei"))
    log = [one for one in osei.desk.read(audit.entries) if one.event != "person.added"]
    assert [one.event for one in log] == ["sign-in.refused", "sign-in.refused", "session.begun"]
    assert log[0].actor.startswith("Osei (") and log[1].actor == "nobody"
    assert json.loads(log[0].details) == {"how": "ehr", "client": "198.51.100.7"}
    assert "typed-as" not in log[1].details


def test_the_form_is_taken_from_our_own_page_alone(osei: Bench) -> None:
    """Login CSRF: nobody is signed in as somebody else by another site."""
    form = {"user": "osei", "password": password("osei")}
    for headers in ([("origin", "https://evil.test")], [("sec-fetch-site", "cross-site")], []):
        refused = Browser(osei.app, headers=headers).post("/sign-in/ehr", form)
        assert refused.status == 403 and "set-cookie" not in refused.headers


def test_another_person_at_the_same_browser_ends_the_first_ones_session(osei: Bench) -> None:
    osei.person("adeyemi")
    first = by_form(osei, "osei", password("osei")).cookie
    second = by_form(osei, "adeyemi", password("adeyemi"), token=first).cookie
    assert second not in ("", first)
    assert Browser(osei.app, first).get("/").header("location").startswith("/sign-in")


# --- bearer tokens


def test_a_token_is_no_cookie_and_a_cookie_no_token(osei: Bench) -> None:
    program = osei.program("osei")
    cookie = by_form(osei, "osei", password("osei")).cookie
    assert Browser(osei.app, program.token).get("/").header("location").startswith("/sign-in")
    assert Program(program.client, cookie).get("/epcs/api/standing").status == 401
    for how in ("card", "sso", "ehr"):
        person = new_person(osei.site, Role.PRESCRIBER, "RX1", account=f"{how}-1")
        other = Program(program.client, sign_in(osei.site, person, how))
        assert other.get("/epcs/api/standing").status == 401


def test_authorization_opens_no_page(osei: Bench) -> None:
    bearer = ("authorization", f"Bearer {osei.program('osei').token}")
    assert Browser(osei.app).get("/", bearer).header("location").startswith("/sign-in")
    cookie = by_form(osei, "osei", password("osei")).cookie
    token = form_token(osei.site, cookie)
    assert Browser(osei.app).post("/sign-out", {"csrf": token}, bearer).status == 401


def test_whoever_sends_a_cookie_is_turned_away(osei: Bench) -> None:
    program = osei.program("osei")
    for cookie in ("a=b", f"__Host-renewagent={program.token}"):
        assert program.get("/epcs/api/standing", ("cookie", cookie)).status == 400
        assert program.post("/epcs/api/sign-in", {}, ("cookie", cookie)).status == 400
        assert program.post("/epcs/api/sign-out", {}, ("cookie", cookie)).status == 400


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer " + "x" * 43)],
        [("authorization", "Bearer " + "x" * 5000)],
        [("authorization", "Basic {token}")],
        [("authorization", "Bearer {token} {token}")],
        [("authorization", "Bearer {token}"), ("authorization", "Bearer {token}")],
        [("authorization", "{token}")],
    ],
)
def test_anything_but_one_token_is_nobody(osei: Bench, headers: list[tuple[str, str]]) -> None:
    token = osei.program("osei").token
    given = [(name, value.format(token=token)) for name, value in headers]
    answer = osei.program().get("/epcs/api/standing", *given)
    assert said(answer, 401)["error"] and answer.header("www-authenticate") == "Bearer"


def test_a_token_ends_by_signing_out_by_idling_and_with_its_person(osei: Bench) -> None:
    program = osei.program("osei")
    assert program.post("/epcs/api/sign-out").status == 200
    assert program.get("/epcs/api/standing").status == 401
    assert program.post("/epcs/api/sign-out").status == 401
    idle = osei.program("osei")
    for _ in range(3):
        osei.clock.move(timedelta(minutes=20))
        assert idle.get("/epcs/api/standing").status == 200, "use keeps it awake"
    osei.clock.move(timedelta(minutes=31))
    assert idle.get("/epcs/api/standing").status == 401
    ended = osei.program("osei")
    person = osei.desk.read(lambda connection: people.by_ehr(connection, "osei"))
    assert person is not None
    osei.site.store.writing(lambda connection: people.end(connection, osei.clock(), "tests", person))
    assert ended.get("/epcs/api/standing").status == 401


def test_bodies_are_json_objects_of_a_fitting_size(osei: Bench) -> None:
    program = osei.program("osei")
    ask = program.client.ask
    json_type = ("content-type", "application/json")
    for body, status in ((b"{", 400), (b"[]", 400), (b"\xff", 400), (b"[" * 100_000, 413), (b"x" * 5000, 413)):
        answer = ask("POST", "/epcs/api/sign-in", [json_type], [body])
        assert said(answer, status)["error"], body[:10]
    assert ask("POST", "/epcs/api/sign-in", [json_type], [b"[" * 3000]).status == 400
    form = ("content-type", "application/x-www-form-urlencoded")
    assert ask("POST", "/epcs/api/sign-in", [form], [b"user=osei&password=x"]).status == 415


def test_a_desk_that_is_not_there_has_no_addresses_and_no_form(osei: Bench) -> None:
    from renewagent.console.app import people_app

    without = replace(osei.site, settings=replace(osei.site.settings, epcs=None))
    app = people_app(without)
    assert "sign-in/ehr" not in Browser(app).get("/sign-in").text
    assert Browser(app).post("/sign-in/ehr", {}).status == 404
    assert Browser(app, headers=[]).get("/epcs/api/standing").status == 404
    person = sign_in(without, new_person(without, Role.PRESCRIBER, "RX1", account="p"))
    assert Browser(app, person).get("/").status == 403

"""Why can I not sign? One answer across tokens, app, EHR, overrides, requests and incidents; whoever of the outside
world does not answer makes its part unknown, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from renewagent.console.epcs import incidents, overrides, requests, soft
from renewagent.console.epcs.findings import Heard, Held, Waiting, findings
from renewagent.console.epcs.incidents import Incident
from renewagent.console.epcs.standing import why
from renewagent.console.epcs.tables import EPCS_TOKEN
from renewagent.console.permissions import Person, Role
from renewagent.health import Health, Observation
from renewagent.tokens.errors import TokenServerUnreachable
from renewagent.tokens.grants import Action
from renewagent.tokens.leases import Lease
from renewagent.tokens.model import Access, Device, SoftToken, TokenKind, TokenStanding, TokenState
from renewagent.tokens.soft_causes import Cause
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from tests.console import NOW
from tests.epcs_desk import Bench, said

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MAY = Access(epcs_enabled=True, epcs_granted=True, epcs_suspended=False, administrator=False)
DEVICE = Device("Pixel", "P-1", "osei.soft", authenticated=True, registered=NOW - 9 * DAY)
SOFT = SoftToken(
    "osei.soft", "P-1", "r1", NOW - 10 * DAY, NOW - 10 * DAY, NOW - 10 * DAY, NOW + 400 * DAY, working=True
)
TOKEN = Held("GAHE00000017", TokenKind.HARDWARE, TokenState.ACTIVE)
STANDS = TokenStanding(TOKEN.serial, TokenKind.HARDWARE, TokenState.ACTIVE, "osei")


def held(state: TokenState = TokenState.ACTIVE, **more: Any) -> Held:
    vendor = more.pop("vendor", TokenStanding(TOKEN.serial, TokenKind.HARDWARE, state, "osei"))
    return Held(TOKEN.serial, TokenKind.HARDWARE, state, vendor=vendor, **more)


def lease(ends: timedelta) -> Lease:
    return Lease("1", "2", "enable", "3", NOW - HOUR, NOW + ends)


def incident(due: timedelta) -> Incident:
    return Incident("1", "lost", "2", "A token was lost.", "3", NOW, NOW + due)


WELL: dict[str, Any] = {"tokens": (held(),), "soft": SOFT, "device": DEVICE, "access": MAY}


def test_whoever_can_sign_is_told_so() -> None:
    found = findings(Heard(**WELL), NOW)
    assert {one.health for one in found} == {Health.OK}
    assert {one.name for one in found} == {
        "EPCS enabled",
        "EPCS granted",
        "hardware token",
        "soft token",
        "password",
        "certificate",
    }


@pytest.mark.parametrize(
    ("change", "name", "state", "words"),
    [
        ({"access": Access(False, True, False, False)}, "EPCS enabled", "fail", "not enabled"),
        ({"access": Access(True, False, False, False)}, "EPCS granted", "fail", "not granted"),
        ({"access": Access(True, True, True, False)}, "EPCS suspended", "fail", "suspended"),
        ({"access": None, "ehr_silent": "The EHR is away."}, "EPCS", "unknown", "The EHR is away."),
        ({"access": None, "ehr_silent": "The EHR is away."}, "soft token", "unknown", "The EHR is away."),
        ({"tokens": (held(vendor=None),)}, "hardware token", "fail", "does not know your token GAHE00000017"),
        (
            {"tokens": (held(vendor=TokenStanding("x", TokenKind.HARDWARE, TokenState.ACTIVE, "o", NOW + HOUR)),)},
            "hardware token",
            "fail",
            "locked until 10:30 UTC",
        ),
        ({"tokens": (held(refused=NOW - HOUR, refusals=2),)}, "hardware token", "fail", "could not be resynchronised"),
        ({"tokens": (held(refused=NOW - 2 * DAY, refusals=1),)}, "hardware token", "warn", "on 20 November 2026"),
        ({"tokens": (held(drift=40),)}, "presses", "warn", "40 presses ahead"),
        ({"tokens": (held(TokenState.LOST),)}, "hardware token", "fail", "is lost: it cannot be used again"),
        ({"tokens": (held(TokenState.SPARE),)}, "hardware token", "fail", "None of your tokens is active"),
        (
            {"tokens": (held(vendor=None),), "vendor_silent": "The vendor is away."},
            "hardware token",
            "unknown",
            "The vendor is away. How GAHE00000017 stands is not known.",
        ),
        ({"soft": None, "vendor_silent": "The vendor is away."}, "soft token", "unknown", "The vendor is away."),
        ({"soft": None}, "soft token", "fail", "does not know osei.soft"),
        ({"device": None}, "soft token", "fail", '"EPCS Device Registration" shows "None"'),
        (
            {"device": Device("Pixel", "P-1", "osei.soft", authenticated=False)},
            "soft token",
            "fail",
            '"Soft Token Expired"',
        ),
        (
            {"device": Device("Old", "P-0", "osei.soft", True)},
            "soft token",
            "fail",
            "has the device P-0, the vendor P-1",
        ),
        (
            {"soft": SoftToken("osei.soft", "P-1", "r", NOW, NOW, NOW, NOW + 400 * DAY, working=False)},
            "soft token",
            "fail",
            "does not work any more",
        ),
        (
            {"soft": SoftToken("osei.soft", "P-1", "r", NOW - 10 * DAY, NOW, NOW - 10 * DAY, NOW + 400 * DAY, True)},
            "soft token",
            "fail",
            "set on 22 November 2026",
        ),
        (
            {"soft": SoftToken("osei.soft", "P-1", "r", NOW, NOW, NOW, NOW + 20 * DAY, working=True)},
            "certificate",
            "warn",
            "in 20 days",
        ),
        (
            {"soft": SoftToken("osei.soft", "P-1", "r", NOW, NOW - 731 * DAY, NOW, NOW + 400 * DAY, working=True)},
            "password",
            "fail",
            "ended on 21 November 2026",
        ),
        ({"leases": (lease(HOUR),)}, "override", "warn", "stands until 10:30 UTC, for enable"),
        ({"leases": (lease(-timedelta(seconds=5)),)}, "override", "warn", "should have ended at 09:29 UTC"),
        ({"leases": (lease(-HOUR),)}, "override", "fail", "should have ended at 08:30 UTC"),
        ({"access": Access(True, True, False, True, NOW + HOUR)}, "override", "warn", "was not given here"),
        ({"requests": (Waiting("grant", "Ada", NOW + HOUR),)}, "request", "warn", "Ada entered waits"),
        ({"incidents": (incident(HOUR),)}, "incident", "warn", "has to be reported by"),
        ({"incidents": (incident(timedelta()),)}, "incident", "fail", "had to be reported by"),
        (
            {"tokens": (), "soft": None, "device": None},
            "second factor",
            "fail",
            "neither a hardware token nor a soft token",
        ),
    ],
)
def test_one_thing_wrong_is_one_finding(change: dict[str, Any], name: str, state: str, words: str) -> None:
    found = [one for one in findings(Heard(**{**WELL, **change}), NOW) if one.name == name and words in one.said]
    assert len(found) == 1 and found[0].health.value == state
    assert found[0].advice and found[0].advice[-1] == "."
    others = {one.name: one.health for one in findings(Heard(**{**WELL, **change}), NOW) if one.name != name}
    silent = "vendor_silent" in change or "ehr_silent" in change or "soft" in change
    assert silent or set(others.values()) == {Health.OK}


def test_whoever_has_only_a_hardware_token_needs_no_app() -> None:
    found = findings(Heard(tokens=(held(),), access=MAY), NOW)
    assert {one.health for one in found} == {Health.OK} and "soft token" not in {one.name for one in found}


def test_a_resynchronisation_that_went_well_later_counts() -> None:
    token = held(refused=NOW - 2 * HOUR, resynchronised=NOW - HOUR, refusals=0, drift=2)
    assert {one.health for one in findings(Heard(**{**WELL, "tokens": (token,)}), NOW)} == {Health.OK}


# --- asked of the mocks


@pytest.fixture
def osei(bench: Bench) -> Person:
    return bench.person("osei", dea="AB1234563")


def keep_token(bench: Bench, owner: Person, serial: str, **more: Any) -> None:
    row = {"serial": serial, "owner": owner.id, "kind": "hardware", "state": "active", **more}
    bench.site.store.writing(
        lambda c: c.execute(sa.insert(EPCS_TOKEN).values(**row, registered=bench.clock(), changed=bench.clock()))
    )


def by_name(found: list[Observation]) -> dict[str, str]:
    return {one.name: one.health.value for one in found}


def test_somebody_new_is_told_what_is_missing(bench: Bench, osei: Person) -> None:
    assert by_name(why(bench.desk, osei)) == {"EPCS enabled": "fail", "EPCS granted": "fail", "second factor": "fail"}


def test_the_vendor_and_the_ehr_are_asked(bench: Bench, osei: Person) -> None:
    bench.token("GAHE00000017", "osei")
    keep_token(bench, osei, "GAHE00000017", drift=40)
    assert by_name(why(bench.desk, osei))["hardware token"] == "ok"
    bench.vendor.disable("GAHE00000017", lost=True)
    assert by_name(why(bench.desk, osei))["hardware token"] == "fail", "what is kept here is older than the vendor's"


def test_an_ehr_that_is_away_makes_its_part_unknown(bench: Bench, osei: Person) -> None:
    bench.token("GAHE00000017", "osei")
    keep_token(bench, osei, "GAHE00000017")
    for moods in (EhrMoods(cuts="before"), EhrMoods(rude=True), EhrMoods(refuses=frozenset({"device", "access"}))):
        bench.ehr.moods = moods
        assert by_name(why(bench.desk, osei)) == {"EPCS": "unknown", "hardware token": "ok", "soft token": "unknown"}


def test_a_vendor_that_is_away_makes_its_part_unknown(
    bench: Bench, osei: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def away(*_: object) -> None:
        asked.append(1)
        raise TokenServerUnreachable("The vendor does not answer.")

    bench.token("GAHE00000017", "osei")
    keep_token(bench, osei, "GAHE00000017")
    keep_token(bench, osei, "GAHE00000025", state="spare")
    monkeypatch.setattr(bench.vendor, "standing", away)
    monkeypatch.setattr(bench.vendor, "soft_tokens", away)
    found = by_name(why(bench.desk, osei))
    assert found["hardware token"] == "unknown" and found["EPCS granted"] == "fail"
    assert len(asked) == 1, "once it does not answer it is not asked again"


def test_whoever_has_no_account_in_the_ehr(bench: Bench) -> None:
    from tests.console import new_person

    person = new_person(bench.site, Role.PRESCRIBER, "RX1", account="sso-only")
    assert by_name(why(bench.desk, person))["EPCS"] == "unknown"


def test_programs_read_all_of_it(bench: Bench, osei: Person) -> None:
    bench.token("GAHE00000017", "osei")
    keep_token(bench, osei, "GAHE00000017")
    ada = bench.person("ada", Role.EPCS_ADMINISTRATOR)
    bench.vendor.enrol("osei.soft", "osei@clinic.test", "+15550100")
    soft.begin(bench.desk, ada, osei, Cause.NEW_PHONE, "osei.soft")
    requests.enter(bench.desk, ada, osei, Action.GRANT, "New here.")
    overrides.give(bench.desk, ada, osei, "enable EPCS")
    incidents.found(bench.desk, ada, "note", osei, "Something was odd.")
    document = said(bench.program("osei").get("/epcs/api/standing"))
    lists = {"tokens", "tickets", "runs", "requests", "overrides", "incidents", "reminders", "findings"}
    assert document.keys() == {"person", "access", "device", "soft"} | lists
    assert document["tokens"][0]["serial"] == "GAHE00000017" and document["tokens"][0]["locked_until"] is None
    (override,) = document["overrides"]
    assert override["given_by"] == {"id": ada.id, "name": "Ada", "user": "ada"}
    assert override["ends"] == "2026-11-22T09:45:00Z"
    (run,) = document["runs"]
    assert (run["cause"], run["over"], run["owner"]["user"]) == ("new-phone", False, "osei") and run["next"]
    (request,) = document["requests"]
    assert (request["state"], request["entered_by"]["name"]) == ("waiting", "Ada")
    assert "card" not in request["entered_by"] and "account" not in request["entered_by"]
    assert document["access"]["epcs_granted"] is False and document["device"] is None
    assert {one.keys() == {"name", "health", "said", "advice"} for one in document["findings"]} == {True}
    assert {"request", "override", "incident"} <= {one["name"] for one in document["findings"]}
    assert "report" not in document["incidents"][0]
    assert "report" in said(bench.program("ada").get("/epcs/api/standing?user=osei"))["incidents"][0]


def test_others_are_for_those_who_look_after_them(bench: Bench, osei: Person) -> None:
    bench.person("ada", Role.EPCS_ADMINISTRATOR)
    bench.person("elsewhere", organisations="Y90")
    bench.person("boss", Role.EPCS_ADMINISTRATOR, organisations="*")
    address = "/epcs/api/standing?user="
    assert said(bench.program("ada").get(address + "osei"))["person"]["user"] == "osei"
    assert said(bench.program("osei").get(address + "osei"))["person"]["user"] == "osei"
    assert said(bench.program("boss").get(address + "elsewhere"))["person"]["user"] == "elsewhere"
    refused = said(bench.program("osei").get(address + "ada"), 403)
    assert refused == said(bench.program("osei").get(address + "no-such"), 403)
    for user in ("elsewhere", "no-such", "no%00such", "%ff"):
        missing = said(bench.program("ada").get(address + user), 422)
        assert (missing["field"], missing["code"]) == ("user", "RA-TOKEN-FORM"), user


def test_a_slow_ehr_does_not_hold_the_desk_for_others(bench: Bench, osei: Person) -> None:
    """Flows run in the desk's own threads, and no more wait than there is room for."""
    import asyncio

    from starlette.exceptions import HTTPException

    from renewagent.console.epcs.hands import Hands

    async def crowd() -> list[object]:
        hands = Hands(threads=2, most=4)
        work: Callable[[], None] = lambda: time.sleep(0.2)  # noqa: E731
        return await asyncio.gather(*(hands.do(work) for _ in range(6)), return_exceptions=True)

    outcomes = asyncio.run(crowd())
    refused = [one for one in outcomes if isinstance(one, HTTPException)]
    assert len(refused) == 2 and {one.status_code for one in refused} == {503}

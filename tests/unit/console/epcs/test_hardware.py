"""Hardware tokens at the desk: H1 to H4, one active token, and never without the last thing to sign with."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs import token_orders, token_rows
from renewagent.console.epcs.hardware import (
    activate_spare,
    register,
    report_lost,
    resynchronise,
    retire,
    tend,
    tokens_of,
)
from renewagent.console.epcs.tables import EPCS_RUN
from renewagent.console.epcs.token_orders import HOLD
from renewagent.console.permissions import Person, Role
from renewagent.tokens.advice import KEEP_SAFE, Weight
from renewagent.tokens.errors import (
    DeskRefused,
    EhrUnreachable,
    FormError,
    TokenLocked,
    TokenRefused,
    TokenServerUnreachable,
    UnknownToken,
)
from renewagent.tokens.model import Answer, Checked, TokenStanding, TokenState
from renewagent.tokens.serials import extended
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from tests.epcs_desk import Bench
from tests.mortal import Away

GAHE, GALH = "GAHE00012345", "GALH00067890"


@pytest.fixture
def pat(bench: Bench) -> Person:
    return bench.person("pat", dea="AB1234563")


@pytest.fixture
def dana(bench: Bench) -> Person:
    return bench.person("dana", Role.EPCS_ADMINISTRATOR)


def registered(bench: Bench, owner: Person, serial: str = GAHE) -> ButtonToken:
    token = bench.token(serial)
    register(bench.desk, owner, owner, serial, serial)
    return token


def soft_token(bench: Bench, user: str) -> None:
    """An app on a phone that works at the vendor and in the EHR."""
    name = f"{user}.soft"
    bench.vendor.enrol(name, f"{user}@clinic.example", "+12175550142")
    bench.vendor.invite(name)
    invite, activation = (
        bench.vendor.outbox(address)[-1].text.split(": ")[1] for address in (f"{user}@clinic.example", "+12175550142")
    )
    bench.vendor.activate_app(invite, activation, "PHONE0001")
    bench.ehr.register_device(user, name)


def states(bench: Bench, owner: Person) -> dict[str, str]:
    return {token.serial: token.state.value for token in tokens_of(bench.desk, owner)}


def at_vendor(bench: Bench, serial: str) -> TokenState:
    return bench.vendor.standing(serial).state


def events(bench: Bench) -> list[str]:
    return [entry.event for entry in bench.site.store.reading(audit.entries)]


# --- Registering


def test_the_first_token_is_active_and_the_next_one_a_spare(bench: Bench, pat: Person) -> None:
    bench.token(GAHE), bench.token(GALH)
    first = register(bench.desk, pat, pat, " gahe-0001 2345", "GAHE00012345")
    second = register(bench.desk, pat, pat, GALH, "galh 0006 7890")
    assert (first.serial, first.state) == (GAHE, TokenState.ACTIVE)
    assert (second.serial, second.state) == (GALH, TokenState.SPARE)
    assert bench.vendor.standing(GAHE).account == "pat"
    assert tokens_of(bench.desk, pat) == (first, second)


def test_again_is_as_good_as_once(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    before = events(bench)
    assert register(bench.desk, pat, pat, GAHE, GAHE) == tokens_of(bench.desk, pat)[0]
    assert events(bench) == before


def test_the_serial_on_the_screen_is_the_one_on_the_back_or_nothing_is_asked(bench: Bench, pat: Person) -> None:
    bench.token(GAHE)
    with pytest.raises(FormError, match="registered is GAHE00012345; the one in your hand is GAHE00012346") as raised:
        register(bench.desk, pat, pat, GAHE, "GAHE00012346")
    assert raised.value.field == "back" and bench.vendor.standing(GAHE).account == ""


def test_what_cannot_be_registered(bench: Bench, pat: Person) -> None:
    bench.token(GALH, account="somebody-else")
    bench.vendor.add_hardware("GAHE00000001", b"s" * 20, fips_level=0)
    with pytest.raises(FormError, match="begins with QQQQ") as unknown:
        register(bench.desk, pat, pat, "QQQQ12345678", "QQQQ12345678")
    assert "EPCS administrator" in unknown.value.advice
    with pytest.raises(FormError, match="an app"):
        register(bench.desk, pat, pat, "VSST12345678", "VSST12345678")
    with pytest.raises(UnknownToken):
        register(bench.desk, pat, pat, "GAHE99999999", "GAHE99999999")
    with pytest.raises(TokenRefused, match="another account"):
        register(bench.desk, pat, pat, GALH, GALH)
    with pytest.raises(DeskRefused, match="FIPS 140"):
        register(bench.desk, pat, pat, "GAHE00000001", "GAHE00000001")
    assert tokens_of(bench.desk, pat) == ()


def test_an_administrators_prefix_counts_at_the_desk(bench: Bench, pat: Person) -> None:
    bench.token("QQQQ12345678")
    profiles = extended({"QQQQ": {"asks": "counters", "maker": "Q"}})
    settings = replace(bench.site.settings, epcs=replace(bench.desk.settings, profiles=profiles))
    desk = replace(bench.desk, site=replace(bench.site, settings=settings))
    assert register(desk, pat, pat, "QQQQ12345678", "QQQQ12345678").state is TokenState.ACTIVE


def test_others_tokens_are_for_those_who_look_after_them(bench: Bench, pat: Person, dana: Person) -> None:
    token, stranger = registered(bench, pat), bench.person("sam")
    other = bench.person("alex", Role.EPCS_ADMINISTRATOR, organisations="RX2")
    first, second = token.press_twice()
    for by in (stranger, other):
        for attempt in (
            lambda by=by: register(bench.desk, by, pat, GAHE, GAHE),
            lambda by=by: resynchronise(bench.desk, by, pat, GAHE, first, second),
            lambda by=by: activate_spare(bench.desk, by, pat, GAHE),
            lambda by=by: retire(bench.desk, by, pat, GAHE),
            lambda by=by: report_lost(bench.desk, by, pat, GAHE, "lost"),
        ):
            with pytest.raises(DeskRefused, match="somebody else's"):
                attempt()
    with pytest.raises(UnknownToken, match="not registered here for Sam"):
        activate_spare(bench.desk, stranger, stranger, GAHE)
    assert resynchronise(bench.desk, dana, pat, GAHE, first, second).drift == 0


# --- Resynchronising


@pytest.mark.parametrize("lost", [0, 1, 40, 75])
def test_two_codes_put_a_token_in_step(bench: Bench, pat: Person, lost: int) -> None:
    token = registered(bench, pat)
    token.lose_presses(lost)
    done = resynchronise(bench.desk, pat, pat, GAHE, *token.press_twice())
    assert done.drift == done.token.drift == lost and done.token.refusals == 0
    assert (done.advice.weight is Weight.FINE) == (lost < 25)
    assert (done.advice.advice == KEEP_SAFE) == (lost > 3)
    assert bench.vendor.check(GAHE, token.press()).answer is Answer.ACCEPTED


def test_beyond_the_window_it_is_refused_in_the_same_words_as_wrong_codes(bench: Bench, pat: Person) -> None:
    token = registered(bench, pat)
    token.lose_presses(76)
    with pytest.raises(TokenRefused) as beyond:
        resynchronise(bench.desk, pat, pat, GAHE, *token.press_twice())
    assert tokens_of(bench.desk, pat)[0].refusals == 1
    assert tokens_of(bench.desk, pat)[0].refused == bench.clock()
    other = bench.token(GALH)
    register(bench.desk, pat, pat, GALH, GALH)
    with pytest.raises(TokenRefused) as wrong:
        resynchronise(bench.desk, pat, pat, GALH, *reversed(other.press_twice()), serial=GALH)
    assert (beyond.value.message, beyond.value.advice) == (wrong.value.message, wrong.value.advice)


def test_codes_of_another_token_in_the_hand_are_not_even_sent(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    with pytest.raises(FormError) as raised:
        resynchronise(bench.desk, pat, pat, GALH, "123456", "654321")
    assert raised.value.field == "back"
    assert tokens_of(bench.desk, pat)[0].refused is None


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [("12345", "123456", "first"), ("123456", "", "second"), ("123456", "123 456", "second"), ("x23456", "1", "first")],
)
def test_what_is_no_code_is_not_sent(bench: Bench, pat: Person, first: str, second: str, field: str) -> None:
    registered(bench, pat)
    with pytest.raises(FormError) as raised:
        resynchronise(bench.desk, pat, pat, GAHE, first, second)
    assert raised.value.field == field and tokens_of(bench.desk, pat)[0].refused is None


def test_refusals_are_counted_then_it_is_locked_then_a_right_pair_clears_it(bench: Bench, pat: Person) -> None:
    token = registered(bench, pat)
    for time in range(1, 6):
        with pytest.raises(TokenRefused) as refused:
            resynchronise(bench.desk, pat, pat, GAHE, "000000", "000001")
        assert ("vendor" in refused.value.advice) == (time > 1)
    pair = token.press_twice()
    with pytest.raises(TokenLocked, match="locked until") as locked:
        resynchronise(bench.desk, pat, pat, GAHE, *pair)
    assert locked.value.until > bench.clock()
    bench.clock.move(locked.value.until - bench.clock())
    assert resynchronise(bench.desk, pat, pat, GAHE, *pair).token.refusals == 0


def test_nobody_without_a_token_is_resynchronised(bench: Bench, pat: Person) -> None:
    with pytest.raises(UnknownToken, match="No hardware token of Pat's is active"):
        resynchronise(bench.desk, pat, pat, GAHE, "123456", "654321")


def test_no_code_stands_in_the_database_or_in_the_audit_log(bench: Bench, pat: Person) -> None:
    token = registered(bench, pat)
    pair = token.press_twice()
    resynchronise(bench.desk, pat, pat, GAHE, *pair)
    with pytest.raises(TokenRefused):
        resynchronise(bench.desk, pat, pat, GAHE, *pair)
    bench.site.store.close()
    kept = b"".join(path.read_bytes() for path in bench.site.settings.data.glob("console.db*"))
    assert not any(code.encode() in kept for code in pair)


def test_the_vendors_word_counts(bench: Bench, pat: Person) -> None:
    token = registered(bench, pat)
    registered(bench, pat, GALH)
    bench.vendor.activate(GALH)  # by telephone, say
    with pytest.raises(TokenRefused, match="never works again"):
        resynchronise(bench.desk, pat, pat, GAHE, *token.press_twice())
    assert states(bench, pat) == {GAHE: "deactivated", GALH: "spare"}
    assert activate_spare(bench.desk, pat, pat, GALH).state is TokenState.ACTIVE
    bench.vendor.disable(GALH, lost=False)
    bench.token("GAHE00000003")
    assert register(bench.desk, pat, pat, "GAHE00000003", "GAHE00000003").state is TokenState.ACTIVE
    assert states(bench, pat) == {GAHE: "deactivated", GALH: "deactivated", "GAHE00000003": "active"}


def test_a_token_that_is_anothers_at_the_vendor(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    elsewhere = replace(bench.vendor.standing(GAHE), account="somebody-else")

    class Moved:
        def standing(self, serial: str) -> TokenStanding:
            return elsewhere

    desk = replace(bench.desk, authority=Moved())  # type: ignore[arg-type]
    with pytest.raises(UnknownToken, match="does not have the token GAHE00012345 as Pat's"):
        resynchronise(desk, pat, pat, GAHE, "123456", "654321")


def test_a_lock_into_the_next_day_says_so(bench: Bench, pat: Person) -> None:
    registered(bench, pat)

    class Locked:
        standing = bench.vendor.standing

        def resynchronise(self, serial: str, first: str, second: str) -> Checked:
            return Checked(Answer.LOCKED, bench.clock() + timedelta(hours=20))

    desk = replace(bench.desk, authority=Locked())  # type: ignore[arg-type]
    with pytest.raises(TokenLocked, match="locked until 23 November, 05:30 UTC"):
        resynchronise(desk, pat, pat, GAHE, "123456", "654321")


# --- The spare, and giving up


def test_the_spare_takes_over_and_the_old_one_never_comes_back(bench: Bench, pat: Person) -> None:
    registered(bench, pat), registered(bench, pat, GALH)
    assert activate_spare(bench.desk, pat, pat, GALH).state is TokenState.ACTIVE
    assert states(bench, pat) == {GAHE: "deactivated", GALH: "active"}
    assert (at_vendor(bench, GAHE), at_vendor(bench, GALH)) == (TokenState.DEACTIVATED, TokenState.ACTIVE)
    assert activate_spare(bench.desk, pat, pat, GALH).state is TokenState.ACTIVE
    for attempt in (
        lambda: activate_spare(bench.desk, pat, pat, GAHE),
        lambda: register(bench.desk, pat, pat, GAHE, GAHE),
        lambda: resynchronise(bench.desk, pat, pat, GAHE, "123456", "654321", serial=GAHE),
    ):
        with pytest.raises(TokenRefused, match=r"never works again|can never be used again"):
            attempt()


def test_the_last_thing_to_sign_with_is_not_given_up(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    with pytest.raises(DeskRefused, match="the last thing that Pat can sign with") as alone:
        retire(bench.desk, pat, pat, GAHE)
    assert "Register another token" in alone.value.advice
    registered(bench, pat, GALH)
    with pytest.raises(DeskRefused, match="the last thing") as spare:
        retire(bench.desk, pat, pat, GAHE)
    assert f"Activate the spare {GALH}" in spare.value.advice
    assert retire(bench.desk, pat, pat, GALH).state is TokenState.DEACTIVATED
    assert retire(bench.desk, pat, pat, GALH).state is TokenState.DEACTIVATED
    assert states(bench, pat) == {GAHE: "active", GALH: "deactivated"}
    assert at_vendor(bench, GALH) is TokenState.DEACTIVATED


def test_a_soft_token_that_works_counts_and_one_that_does_not_does_not(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    soft_token(bench, "pat")
    serial = bench.vendor.soft_tokens(["pat.soft"])["pat.soft"].serial
    bench.vendor.disable(serial, lost=False)
    with pytest.raises(DeskRefused, match="the last thing"):
        retire(bench.desk, pat, pat, GAHE)


def test_with_a_soft_token_that_works_the_token_may_go(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    soft_token(bench, "pat")
    assert retire(bench.desk, pat, pat, GAHE).state is TokenState.DEACTIVATED


def test_a_soft_token_that_is_being_registered_anew_does_not_count(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    soft_token(bench, "pat")
    run = {"id": "run", "owner": pat.id, "begun": bench.clock(), "changed": bench.clock()}
    bench.site.store.writing(lambda connection: connection.execute(sa.insert(EPCS_RUN).values(**run)))
    with pytest.raises(DeskRefused, match="the last thing"):
        retire(bench.desk, pat, pat, GAHE)


def test_where_the_ehr_does_not_answer_nothing_is_given_up(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    soft_token(bench, "pat")
    desk = replace(bench.desk, ehr=Away.ehr(bench.ehr))
    with pytest.raises(EhrUnreachable):
        retire(desk, pat, pat, GAHE)
    assert states(bench, pat) == {GAHE: "active"} and tokens_of(bench.desk, pat)[0].ordered == ""


# --- Lost


@pytest.mark.parametrize("reason", ["lost", "stolen", "compromised"])
def test_a_lost_token_is_over_at_once_even_if_it_is_the_last(bench: Bench, pat: Person, reason: str) -> None:
    registered(bench, pat)
    lost = report_lost(bench.desk, pat, pat, GAHE, reason)
    assert lost.token.state is at_vendor(bench, GAHE) is TokenState.LOST
    assert lost.suspended is not None and bench.ehr.access("pat").epcs_suspended
    assert "never works again" in lost.said and "Order another token" in lost.advice
    assert tokens_of(bench.desk, pat)[0].ordered == ""
    assert lost.suspended.incident.subject == pat.id


def test_reported_again_it_is_said_again_and_done_once(bench: Bench, pat: Person, dana: Person) -> None:
    registered(bench, pat)
    report_lost(bench.desk, pat, pat, GAHE, "lost")
    before = events(bench)
    again = report_lost(bench.desk, dana, pat, GAHE, "stolen")
    assert again.suspended is None and "never works again" in again.said
    assert events(bench) == before


def test_a_lost_spare_takes_nobodys_epcs_away(bench: Bench, pat: Person) -> None:
    registered(bench, pat), registered(bench, pat, GALH)
    lost = report_lost(bench.desk, pat, pat, GALH, "lost")
    assert lost.suspended is None and at_vendor(bench, GALH) is TokenState.LOST
    assert not bench.ehr.access("pat").epcs_suspended
    assert events(bench).count("epcs.incident-found") == 1
    assert states(bench, pat) == {GAHE: "active", GALH: "lost"}


def test_whoever_has_a_spare_is_told_of_it(bench: Bench, pat: Person) -> None:
    registered(bench, pat), registered(bench, pat, GALH)
    assert f"activate {GALH}" in report_lost(bench.desk, pat, pat, GAHE, "stolen").advice
    assert activate_spare(bench.desk, pat, pat, GALH).state is TokenState.ACTIVE
    assert states(bench, pat)[GAHE] == "lost"


def test_what_happened_is_one_of_three(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    with pytest.raises(FormError, match="lost, stolen, compromised") as raised:
        report_lost(bench.desk, pat, pat, GAHE, "left")
    assert raised.value.field == "reason" and states(bench, pat) == {GAHE: "active"}


def test_a_vendor_that_is_away_is_told_once_it_is_back(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    away = replace(bench.desk, authority=Away.vendor(bench.vendor))
    lost = report_lost(away, pat, pat, GAHE, "compromised")
    assert "told as soon as it answers" in lost.said and bench.ehr.access("pat").epcs_suspended
    assert states(bench, pat) == {GAHE: "lost"} and at_vendor(bench, GAHE) is TokenState.ACTIVE
    suspensions = events(bench).count("epcs.suspend-entered")
    for desk in (away, away, bench.desk):
        bench.clock.move(timedelta(minutes=2))
        tend(desk)
    assert at_vendor(bench, GAHE) is TokenState.LOST and tokens_of(bench.desk, pat)[0].ordered == ""
    assert events(bench).count("epcs.suspend-entered") == suspensions == 1


# --- Orders whose answer nobody heard


def test_an_order_that_was_cut_off_is_finished_or_dropped_by_what_the_vendor_says(bench: Bench, pat: Person) -> None:
    registered(bench, pat), registered(bench, pat, GALH)
    cut = replace(bench.desk, authority=Away.vendor(bench.vendor, "activate", answers_lost=True))
    with pytest.raises(TokenServerUnreachable):
        activate_spare(cut, pat, pat, GALH)
    assert at_vendor(bench, GALH) is TokenState.ACTIVE
    assert states(bench, pat) == {GAHE: "active", GALH: "spare"}
    with pytest.raises(DeskRefused, match="Something else"):
        retire(bench.desk, pat, pat, GAHE)
    tend(bench.desk)
    assert states(bench, pat) == {GAHE: "active", GALH: "spare"}
    bench.clock.move(HOLD)
    tend(bench.desk)
    assert states(bench, pat) == {GAHE: "deactivated", GALH: "active"}


def test_an_order_that_never_reached_the_vendor_is_dropped(bench: Bench, pat: Person) -> None:
    registered(bench, pat), registered(bench, pat, GALH)
    away = replace(bench.desk, authority=Away.vendor(bench.vendor, "activate"))
    with pytest.raises(TokenServerUnreachable):
        activate_spare(away, pat, pat, GALH)
    bench.clock.move(HOLD)
    tend(replace(bench.desk, authority=Away.vendor(bench.vendor)))
    assert [token.ordered for token in tokens_of(bench.desk, pat)] == ["", "activate"]
    assert retire(bench.desk, pat, pat, GALH).state is TokenState.DEACTIVATED  # settles what is old first
    assert states(bench, pat) == {GAHE: "active", GALH: "deactivated"}


def test_what_is_over_stays_over_whoever_comes_late(bench: Bench, pat: Person) -> None:
    registered(bench, pat), registered(bench, pat, GALH)
    spare = tokens_of(bench.desk, pat)[1]
    report_lost(bench.desk, pat, pat, GALH, "lost")
    asked: list[str] = []
    with pytest.raises(TokenRefused, match="never works again"):
        token_orders.carry_out(bench.desk, pat, spare, token_rows.ACTIVATE, lambda: asked.append(GALH))
    assert asked == []
    late = bench.desk.write(
        lambda connection: token_rows.become(connection, bench.clock(), "tests", GALH, TokenState.ACTIVE)
    )
    assert late.state is TokenState.LOST and states(bench, pat) == {GAHE: "active", GALH: "lost"}


def test_every_change_is_in_the_audit_log_which_is_whole(bench: Bench, pat: Person) -> None:
    token = registered(bench, pat)
    registered(bench, pat, GALH)
    resynchronise(bench.desk, pat, pat, GAHE, *token.press_twice())
    activate_spare(bench.desk, pat, pat, GALH)
    report_lost(bench.desk, pat, pat, GALH, "lost")
    log = bench.site.store.reading(audit.entries)
    assert audit.verify_chain(log) is None
    mine = [entry for entry in log if entry.event.startswith("epcs.token")]
    assert [entry.event for entry in mine] == [
        "epcs.token-registered",
        "epcs.token-registered",
        "epcs.token-resynchronised",
        "epcs.token-activate-ordered",
        "epcs.token-deactivated",
        "epcs.token-active",
        "epcs.token-lost",
    ]
    assert all(json.loads(entry.details)["owner"] == pat.id for entry in mine)


def test_an_answer_without_a_drift_is_none(bench: Bench, pat: Person) -> None:
    token = registered(bench, pat)

    class Terse:
        standing = bench.vendor.standing

        def resynchronise(self, serial: str, first: str, second: str) -> Checked:
            return Checked(Answer.ACCEPTED)

    desk = replace(bench.desk, authority=Terse())  # type: ignore[arg-type]
    assert resynchronise(desk, pat, pat, GAHE, *token.press_twice()).drift == 0

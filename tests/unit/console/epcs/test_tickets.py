"""Reset tickets and orders at the desk: open, sent, done, notified, whoever is away (H5, H6)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs.hardware import activate_spare, register, report_lost, resynchronise, tokens_of
from renewagent.console.epcs.tables import EPCS_PICTURE, EPCS_TICKET
from renewagent.console.epcs.ticket_rows import Ticket
from renewagent.console.epcs.tickets import LATELY, find, follow, open_reset, order, seen, tickets_of
from renewagent.console.permissions import Person, Role
from renewagent.tokens.errors import DeskRefused, FormError, TokenRefused, UnknownToken
from renewagent.tokens.model import Answer, Picture, Staff, TokenState
from renewagent.tokens.tickets import TicketState
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from tests.epcs_desk import Bench, npi, password
from tests.mortal import Away
from tests.unit.console.epcs.vendor_forms import ORDER, REPLACEMENT, picture

GAHE, GALH = "GAHE00012345", "GALH00067890"
NPI = npi("pat")


@pytest.fixture
def pat(bench: Bench) -> Person:
    return bench.person("pat", dea="AB1234563")


def registered(bench: Bench, owner: Person, serial: str = GAHE) -> ButtonToken:
    token = bench.token(serial)
    register(bench.desk, owner, owner, serial, serial)
    return token


def form(token: ButtonToken, values: tuple[str, str], **more: str) -> dict[str, str]:
    given = {"provider": "Pat Prescriber", "npi": NPI, "serial": token.serial}
    return {**given, "first": values[0], "second": values[1], **more}


def refused(bench: Bench, owner: Person, token: ButtonToken) -> None:
    """Two codes were tried, as always before a ticket."""
    with pytest.raises(TokenRefused):
        resynchronise(bench.desk, owner, owner, token.serial, *token.press_twice(), serial=token.serial)


def far_ahead(bench: Bench, owner: Person, serial: str = GAHE) -> ButtonToken:
    token = registered(bench, owner, serial)
    token.lose_presses(76)
    refused(bench, owner, token)
    return token


def row(bench: Bench, ticket: Ticket) -> Any:
    wanted = sa.select(EPCS_TICKET).where(EPCS_TICKET.c.id == ticket.id)
    return bench.site.store.reading(lambda connection: connection.execute(wanted).one())


def pictures_kept(bench: Bench) -> int:
    count = sa.select(sa.func.count()).select_from(EPCS_PICTURE)
    return bench.site.store.reading(lambda connection: int(connection.execute(count).scalar_one()))


# --- A reset


def test_pressed_76_times_through_a_ticket_and_back_to_signing(bench: Bench, pat: Person) -> None:
    token = far_ahead(bench, pat)
    opened = open_reset(bench.desk, pat, pat, form(token, token.press_twice())).ticket
    assert (opened.state, opened.kind, opened.serial) == (TicketState.SENT, "reset", GAHE)
    assert opened.number and opened.sent == bench.clock()
    bench.clock.move(timedelta(minutes=5))
    follow(bench.desk)
    assert find(bench.desk, pat, opened.id).state is TicketState.SENT
    bench.vendor.work_ticket(opened.number)
    bench.clock.move(timedelta(minutes=5))
    follow(bench.desk)
    done = find(bench.desk, pat, opened.id)
    assert (done.state, done.outcome) == (TicketState.DONE, "The token was reset. Use it as before.")
    assert tokens_of(bench.desk, pat)[0].refused is None
    assert bench.vendor.check(GAHE, token.press()).answer is Answer.ACCEPTED
    assert seen(bench.desk, pat, opened.id).state is TicketState.NOTIFIED
    assert seen(bench.desk, pat, opened.id) == find(bench.desk, pat, opened.id)
    log = [entry.event for entry in bench.site.store.reading(audit.entries) if "ticket" in entry.event]
    assert log == [f"epcs.ticket-{event}" for event in ("opened", "sent", "done", "notified")]


def test_counter_numbers_for_a_galh(bench: Bench, pat: Person) -> None:
    token = far_ahead(bench, pat, GALH)
    ticket = open_reset(bench.desk, pat, pat, form(token, token.read_counters())).ticket
    bench.vendor.work_ticket(ticket.number)
    follow(bench.desk)
    assert find(bench.desk, pat, ticket.id).state is TicketState.DONE
    assert bench.vendor.check(GALH, token.press()).answer is Answer.ACCEPTED


def test_two_codes_come_first_always(bench: Bench, pat: Person) -> None:
    token = registered(bench, pat)
    token.lose_presses(80)

    def is_told() -> None:
        with pytest.raises(DeskRefused, match="Two codes come first") as raised:
            open_reset(bench.desk, pat, pat, form(token, token.press_twice()))
        assert "takes a minute" in raised.value.advice and tickets_of(bench.desk, pat) == ()

    is_told()
    refused(bench, pat, token)
    bench.clock.move(LATELY + timedelta(seconds=1))
    is_told()
    bench.clock.move(-timedelta(seconds=1))
    assert open_reset(bench.desk, pat, pat, form(token, token.press_twice())).ticket.state is TicketState.SENT


def test_a_token_that_is_in_step_needs_no_ticket(bench: Bench, pat: Person) -> None:
    token = registered(bench, pat)
    with pytest.raises(TokenRefused):
        resynchronise(bench.desk, pat, pat, GAHE, "000000", "000001")
    bench.clock.move(timedelta(minutes=1))
    resynchronise(bench.desk, pat, pat, GAHE, *token.press_twice())
    with pytest.raises(DeskRefused, match="Two codes come first"):
        open_reset(bench.desk, pat, pat, form(token, token.press_twice()))


def test_what_is_typed_is_checked_before_anything_is_written(bench: Bench, pat: Person) -> None:
    token = far_ahead(bench, pat)
    good = form(token, token.press_twice())
    for field, typed in (("npi", "1234567890"), ("serial", "QQQQ12345678"), ("provider", "Pat"), ("second", "12")):
        with pytest.raises(FormError) as raised:
            open_reset(bench.desk, pat, pat, {**good, field: typed})
        assert raised.value.field == field
    with pytest.raises(UnknownToken, match="not registered here for Pat"):
        open_reset(bench.desk, pat, pat, {**good, "serial": "GAHE00012346"})
    assert tickets_of(bench.desk, pat) == ()


def test_an_npi_that_is_anothers_in_the_ehr_is_noticed_unless_the_ehr_is_away(bench: Bench, pat: Person) -> None:
    token = far_ahead(bench, pat)
    typed = form(token, token.press_twice())
    bench.ehr.add_staff(Staff("pat", "Pat", npi="1245319599"), password("pat"))
    with pytest.raises(FormError, match="not the NPI that the EHR has for Pat") as raised:
        open_reset(bench.desk, pat, pat, typed)
    assert raised.value.field == "npi"
    away = replace(bench.desk, ehr=Away.ehr(bench.ehr))
    assert open_reset(away, pat, pat, typed).ticket.state is TicketState.SENT


def test_while_one_is_under_way_there_is_no_second_one(bench: Bench, pat: Person) -> None:
    token = far_ahead(bench, pat)
    first = open_reset(bench.desk, pat, pat, form(token, token.press_twice())).ticket
    again = open_reset(bench.desk, pat, pat, form(token, token.press_twice())).ticket
    assert again == first and tickets_of(bench.desk, pat) == (first,)


def test_values_that_do_not_fit_reset_nothing_and_another_ticket_may_follow(bench: Bench, pat: Person) -> None:
    token = far_ahead(bench, pat)
    ticket = open_reset(bench.desk, pat, pat, form(token, ("111111", "222222"))).ticket
    bench.vendor.work_ticket(ticket.number)
    follow(bench.desk)
    ended = find(bench.desk, pat, ticket.id)
    assert (ended.state, ended.done) == (TicketState.REFUSED, None)
    assert ended.outcome == "The two values do not fit this token. Please send two new ones."
    assert tokens_of(bench.desk, pat)[0].refused is not None, "it is as far out of step as before"
    known = seen(bench.desk, pat, ticket.id)
    assert (known.state, known.notified) == (TicketState.REFUSED, bench.clock())
    bench.clock.move(timedelta(minutes=1))
    assert seen(bench.desk, pat, ticket.id) == known
    log = [entry.event for entry in bench.site.store.reading(audit.entries) if "ticket" in entry.event]
    assert log[-2:] == ["epcs.ticket-refused", "epcs.ticket-notified"]
    second = open_reset(bench.desk, pat, pat, form(token, token.press_twice())).ticket
    assert second.id != ticket.id and [one.id for one in tickets_of(bench.desk, pat)] == [second.id, ticket.id]


def test_codes_leave_the_row_once_it_is_sent_and_are_nowhere_else(bench: Bench, pat: Person) -> None:
    token = far_ahead(bench, pat)
    values = token.press_twice()
    away = replace(bench.desk, support=Away.vendor(bench.vendor))
    waiting = open_reset(away, pat, pat, form(token, values)).ticket
    assert waiting.state is TicketState.OPEN and json.loads(row(bench, waiting).document)["values"] == list(values)
    assert not any(value in repr(waiting) for value in values)
    follow(bench.desk)
    sent = find(bench.desk, pat, waiting.id)
    assert sent.state is TicketState.SENT and "values" not in row(bench, sent).document
    log = bench.site.store.reading(audit.entries)
    assert not any(value in entry.details for entry in log for value in values)


def test_a_vendor_that_is_away_gets_it_later_and_once(bench: Bench, pat: Person) -> None:
    token = far_ahead(bench, pat)
    lost = replace(bench.desk, support=Away.vendor(bench.vendor, answers_lost=True))
    ticket = open_reset(lost, pat, pat, form(token, token.press_twice())).ticket
    assert ticket.state is TicketState.OPEN
    bench.clock.move(timedelta(minutes=1))
    follow(lost)
    bench.clock.move(timedelta(minutes=1))
    follow(bench.desk)
    sent = find(bench.desk, pat, ticket.id)
    assert (sent.state, sent.number) == (TicketState.SENT, "EX-100001")
    with pytest.raises(UnknownToken):
        bench.vendor.filed("EX-100002")


def test_a_token_that_comes_back_into_step_needs_its_waiting_ticket_no_more(bench: Bench, pat: Person) -> None:
    token = registered(bench, pat)
    refused_pair = ("000000", "000001")
    with pytest.raises(TokenRefused):
        resynchronise(bench.desk, pat, pat, GAHE, *refused_pair)
    away = replace(bench.desk, support=Away.vendor(bench.vendor))
    ticket = open_reset(away, pat, pat, form(token, token.press_twice())).ticket
    resynchronise(bench.desk, pat, pat, GAHE, *token.press_twice())
    follow(bench.desk)
    after = find(bench.desk, pat, ticket.id)
    assert (after.state, after.number) == (TicketState.DONE, "") and "resynchronised" in after.outcome
    assert "values" not in row(bench, after).document


def test_a_ticket_for_a_token_that_is_over_is_none(bench: Bench, pat: Person) -> None:
    token = far_ahead(bench, pat)
    report_lost(bench.desk, pat, pat, GAHE, "lost")
    with pytest.raises(TokenRefused, match="never works again"):
        open_reset(bench.desk, pat, pat, form(token, token.press_twice()))


def test_what_the_vendor_refuses_is_said_and_over(bench: Bench, pat: Person) -> None:
    token = far_ahead(bench, pat)

    class Refuses:
        def file_reset(self, *_: object) -> None:
            raise TokenRefused("The vendor wants something else.", advice="Call them.")

    desk = replace(bench.desk, support=Refuses())  # type: ignore[arg-type]
    with pytest.raises(TokenRefused, match="wants something else"):
        open_reset(desk, pat, pat, form(token, token.press_twice()))
    ticket = tickets_of(bench.desk, pat)[0]
    assert ticket.state is TicketState.REFUSED and ticket.outcome == "The vendor wants something else. Call them."
    assert "values" not in row(bench, ticket).document
    follow(bench.desk)
    assert find(bench.desk, pat, ticket.id) == ticket


def test_a_vendor_that_has_forgotten_a_ticket(bench: Bench, pat: Person) -> None:
    token = far_ahead(bench, pat)
    ticket = open_reset(bench.desk, pat, pat, form(token, token.press_twice())).ticket
    bench.vendor.moods = replace(bench.vendor.moods, forgets_tickets=True)
    follow(bench.desk)
    told = find(bench.desk, pat, ticket.id)
    assert told.state is TicketState.SENT and "knows no ticket" in told.outcome
    bench.vendor.moods = replace(bench.vendor.moods, forgets_tickets=False)
    bench.vendor.work_ticket(ticket.number)
    bench.clock.move(timedelta(minutes=1))
    follow(bench.desk)
    assert find(bench.desk, pat, ticket.id).state is TicketState.DONE


def test_the_longer_it_takes_the_less_often_the_vendor_is_asked(bench: Bench, pat: Person) -> None:
    token = far_ahead(bench, pat)
    open_reset(bench.desk, pat, pat, form(token, token.press_twice()))
    asked: list[str] = []

    class Counting:
        def filed(self, number: str) -> object:
            asked.append(number)
            return bench.vendor.filed(number)

    desk = replace(bench.desk, support=Counting())  # type: ignore[arg-type]
    for _ in range(24 * 3600 // 5):
        bench.clock.move(timedelta(seconds=5))
        if bench.clock().second == 0 or len(asked) < 30:
            follow(desk)
    assert 100 < len(asked) < 160


# --- Orders


def test_a_replacement_is_sent_with_its_pictures_and_comes_as_the_spare(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    opened = order(bench.desk, pat, pat, REPLACEMENT, [picture("front"), picture("back", "plain.jpg")])
    assert opened.ticket.state is TicketState.SENT and pictures_kept(bench) == 0
    assert [sentence for sentence in opened.told if "picture of the front: where" in sentence]
    assert opened.ticket.form["address"]["city"] == "Springfield"
    serial = bench.vendor.ship(opened.ticket.number)
    bench.clock.move(timedelta(minutes=1))
    follow(bench.desk)
    shipped = find(bench.desk, pat, opened.ticket.id)
    assert (shipped.state, shipped.new_serial) == (TicketState.DONE, serial) and shipped.tracking
    parcel = ButtonToken(serial, bench.vendor.parcel(serial))
    assert register(bench.desk, pat, pat, serial, serial).state is TokenState.SPARE
    activate_spare(bench.desk, pat, pat, serial)
    assert bench.vendor.check(serial, parcel.press()).answer is Answer.ACCEPTED
    assert {token.serial: token.state.value for token in tokens_of(bench.desk, pat)} == {
        GAHE: "deactivated",
        serial: "active",
    }


def test_pictures_wait_with_their_order_and_have_no_places_in_them(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    away = replace(bench.desk, support=Away.vendor(bench.vendor))
    ticket = order(away, pat, pat, REPLACEMENT, [picture("front"), picture("back", "notes.png")]).ticket
    assert ticket.state is TicketState.OPEN and pictures_kept(bench) == 2
    kept = bench.site.store.reading(lambda connection: connection.execute(sa.select(EPCS_PICTURE)).all())
    assert {one.media_type for one in kept} == {"image/jpeg", "image/png"}
    assert not any(b"SECRET" in one.octets for one in kept)
    follow(bench.desk)
    assert find(bench.desk, pat, ticket.id).state is TicketState.SENT and pictures_kept(bench) == 0


@pytest.mark.parametrize(
    ("form_", "pictures", "field"),
    [
        ({**REPLACEMENT, "city": ""}, ["front", "back"], "city"),
        (REPLACEMENT, ["front"], "back"),
        (REPLACEMENT, ["front", "back", "back"], "pictures"),
        ({**REPLACEMENT, "cause": "lost"}, ["front", "back"], "cause"),
        ({**REPLACEMENT, "kind": "reset"}, [], "kind"),
        (ORDER, [], "kind"),
        (REPLACEMENT, ["front", "left"], "side"),
    ],
)
def test_an_order_that_cannot_be_sent(
    bench: Bench, pat: Person, form_: dict[str, str], pictures: list[str], field: str
) -> None:
    registered(bench, pat)
    with pytest.raises(FormError) as raised:
        order(bench.desk, pat, pat, form_, [picture(side) for side in pictures])
    assert raised.value.field == field and tickets_of(bench.desk, pat) == ()


def test_a_picture_that_is_none(bench: Bench, pat: Person) -> None:
    registered(bench, pat)
    letter = Picture("back", "image/jpeg", b"Dear vendor, it is broken.")
    with pytest.raises(FormError, match="for the back is a text, not a photograph"):
        order(bench.desk, pat, pat, REPLACEMENT, [picture("front"), letter])


def test_a_spare_is_bought_once_however_often_it_is_clicked(bench: Bench, pat: Person) -> None:
    first = order(bench.desk, pat, pat, {**ORDER, "kind": "spare"}).ticket
    assert order(bench.desk, pat, pat, {**ORDER, "kind": "spare", "suite": "Suite 301"}).ticket == first
    bench.vendor.ship(first.number)
    follow(bench.desk)
    assert order(bench.desk, pat, pat, {**ORDER, "kind": "spare"}).ticket.id != first.id


def test_one_that_never_arrived_has_neither_pictures_nor_a_serial(bench: Bench, pat: Person) -> None:
    absent = {**REPLACEMENT, "cause": "never-arrived", "serial": "", "explanation": "Ordered three weeks ago."}
    ticket = order(bench.desk, pat, pat, absent).ticket
    assert (ticket.state, ticket.serial) == (TicketState.SENT, "")


def test_a_broken_token_is_ones_own(bench: Bench, pat: Person) -> None:
    registered(bench, bench.person("sam"))
    with pytest.raises(UnknownToken, match="not registered here for Pat"):
        order(bench.desk, pat, pat, REPLACEMENT, [picture("front"), picture("back")])


def test_others_tickets_are_nobodys_business(bench: Bench, pat: Person) -> None:
    sam, dana = bench.person("sam"), bench.person("dana", Role.EPCS_ADMINISTRATOR)
    with pytest.raises(DeskRefused, match="somebody else's"):
        order(bench.desk, sam, pat, {**ORDER, "kind": "spare"})
    ticket = order(bench.desk, dana, pat, {**ORDER, "kind": "spare"}).ticket
    with pytest.raises(DeskRefused, match="no such ticket"):
        find(bench.desk, sam, ticket.id)
    with pytest.raises(DeskRefused, match="no such ticket"):
        seen(bench.desk, sam, ticket.id)
    with pytest.raises(DeskRefused, match="no such ticket"):
        find(bench.desk, pat, "nothing")
    assert seen(bench.desk, pat, ticket.id).state is TicketState.SENT  # not done yet

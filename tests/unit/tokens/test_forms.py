"""A vendor's forms: what is sent is what was typed, and each field that cannot be so is named (H5, H6)."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.tokens.errors import FormError
from renewagent.tokens.forms import (
    FREE_CAUSES,
    KINDS,
    PAID_CAUSES,
    REPLACEMENT,
    RESET,
    SPARE,
    faults,
    fields_of,
    read_order,
    read_reset,
)
from renewagent.tokens.model import Address, Picture
from renewagent.tokens.serials import extended, profile_of
from renewagent.tokens.tickets import OrderKind, ResetTicket

RESET_FORM = {
    "provider": "Pat Q. Prescriber",
    "npi": "1234567893",
    "serial": "GAHE00012345",
    "first": "755224",
    "second": "287082",
}
SHIP_TO = {
    "company": "Main Street Clinic",
    "attention": "Front desk",
    "street1": "12 Main Street",
    "street2": "",
    "suite": "Suite 300",
    "city": "Springfield",
    "state": "Illinois",
    "postal_code": "62704 1234",
    "country": "United States",
    "phone": "(217) 555-0142 ext 7",
    "tracking_email": "desk@clinic.example",
}
ORDER_FORM = {"provider": "Pat Prescriber", "email": "pat@clinic.example", **SHIP_TO}
REPLACEMENT_FORM = {
    **ORDER_FORM,
    "serial": "GAHE00012345",
    "cause": "flaw",
    "explanation": "The display  stays dark.",
}
PICTURES = (Picture("front", "image/jpeg", b"f"), Picture("back", "image/png", b"b"))


def test_a_reset_ticket_with_codes() -> None:
    assert read_reset(RESET_FORM) == ResetTicket(
        "Pat Q. Prescriber", "1234567893", "GAHE00012345", "codes", ("755224", "287082")
    )


def test_a_reset_ticket_with_counter_numbers() -> None:
    typed = {**RESET_FORM, "serial": "galh-0001-2345", "first": "00 90", "second": "91"}
    assert read_reset(typed) == ResetTicket(
        "Pat Q. Prescriber", "1234567893", "GALH00012345", "counters", ("0090", "91")
    )


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("provider", "", "this is needed"),
        ("provider", "Prescriber", "first and their last name"),
        ("provider", "Pat Prescriber 2", "first and their last name"),
        ("provider", "Pat\u202ePrescriber", "nobody can read"),
        ("provider", "Pat " + "P" * 60, "at most 60"),
        ("npi", "1234567890", "does not fit"),
        ("serial", "QQ12345678", "No kind of token"),
        ("serial", "AVT812345678", "resets no tokens"),
        ("first", "75522", "six digits"),
        ("first", "", "this is needed"),
        ("second", "755224", "are the same"),
        ("second", "28708x", "six digits"),
    ],
)
def test_a_reset_ticket_with_a_field_that_cannot_be_so(field: str, typed: str, said: str) -> None:
    with pytest.raises(FormError, match=said) as raised:
        read_reset({**RESET_FORM, field: typed})
    assert raised.value.field == field and raised.value.advice
    assert [fault.field for fault in faults(RESET, {**RESET_FORM, field: typed})] == [field]


def test_counter_numbers_go_up() -> None:
    counters = {**RESET_FORM, "serial": "GALH00012345", "first": "91", "second": "90"}
    with pytest.raises(FormError, match="only go up"):
        read_reset(counters)
    with pytest.raises(FormError, match="digits alone"):
        read_reset({**counters, "second": "9x"})


def test_an_administrators_table_decides_too() -> None:
    table = extended({"QQ": {"asks": "counters", "maker": "Q"}})
    assert read_reset({**RESET_FORM, "serial": "QQ12345678", "second": "755225"}, table).asks_for == "counters"


def test_the_lines_of_the_form_are_the_vendors() -> None:
    codes, counters = (profile_of(serial)[1] for serial in ("GAHE00012345", "GALH00012345"))
    assert [line.label for line in fields_of(RESET, codes)][-2:] == ["Code 1", "Code 2"]
    assert [line.label for line in fields_of(RESET, counters)][-2:] == ["Counter Number 1", "Counter Number 2"]
    address = [line.name for line in fields_of(SPARE)][2:]
    assert address == [one.name for one in fields(Address)] and len(address) == 11
    assert {line.name for line in fields_of(REPLACEMENT)} - {line.name for line in fields_of(SPARE)} == {
        "serial",
        "cause",
        "explanation",
    }


def test_a_replacement_as_it_is_sent() -> None:
    order = read_order(OrderKind.REPLACEMENT, REPLACEMENT_FORM, PICTURES)
    assert order.explanation == "It stopped working by itself. The display stays dark."
    assert (order.kind, order.provider, order.email, order.serial) == (
        OrderKind.REPLACEMENT,
        "Pat Prescriber",
        "pat@clinic.example",
        "GAHE00012345",
    )
    assert order.address == Address(
        "Main Street Clinic",
        "Front desk",
        "12 Main Street",
        "",
        "Suite 300",
        "Springfield",
        "IL",
        "62704-1234",
        "US",
        "(217) 555-0142 ext 7",
        "desk@clinic.example",
    )
    assert order.pictures == PICTURES


def test_a_spare_needs_no_pictures_and_no_explanation() -> None:
    order = read_order(OrderKind.SPARE, ORDER_FORM)
    assert (order.kind, order.serial, order.explanation, order.pictures) == (OrderKind.SPARE, "", "", ())


def test_a_replacement_needs_pictures_of_both_sides_unless_there_is_no_token() -> None:
    found = faults(REPLACEMENT, REPLACEMENT_FORM, PICTURES[:1])
    assert [(fault.field, fault.message) for fault in found] == [
        ("back", "A picture of the back of the token is missing.")
    ]
    absent = {**REPLACEMENT_FORM, "cause": "never-arrived", "serial": "", "explanation": "Ordered three weeks ago."}
    order = read_order(OrderKind.REPLACEMENT, absent)
    assert order.serial == "" and order.explanation == "It never arrived. Ordered three weeks ago."
    known = read_order(OrderKind.REPLACEMENT, {**absent, "serial": "GAHE00012345"})
    assert known.serial == "" and known.explanation.endswith("(Serial number GAHE00012345.)")


@pytest.mark.parametrize("cause", PAID_CAUSES)
def test_what_is_bought_is_no_replacement(cause: str) -> None:
    with pytest.raises(FormError, match="for nothing only if") as raised:
        read_order(OrderKind.REPLACEMENT, {**REPLACEMENT_FORM, "cause": cause}, PICTURES)
    assert raised.value.field == "cause" and "spare" in raised.value.advice


def test_a_cause_is_one_of_those() -> None:
    assert FREE_CAUSES.keys().isdisjoint(PAID_CAUSES)
    with pytest.raises(FormError, match="is one of"):
        read_order(OrderKind.REPLACEMENT, {**REPLACEMENT_FORM, "cause": "dog"}, PICTURES)


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("email", "pat", "no e-mail address"),
        ("email", "pat@clinic", "no e-mail address"),
        ("email", "pat@@clinic.example", "no e-mail address"),
        ("email", "pat..p@clinic.example", "no e-mail address"),
        ("email", "pat@clinic.example, x@y.example", "no e-mail address"),
        ("tracking_email", "", "this is needed"),
        ("tracking_email", "desk@-clinic.example", "no e-mail address"),
        ("company", "", "this is needed"),
        ("attention", "", "this is needed"),
        ("street1", "", "this is needed"),
        ("city", "", "this is needed"),
        ("state", "Ilinois", "no state of the US"),
        ("state", "", "this is needed"),
        ("postal_code", "6270", "no ZIP code"),
        ("postal_code", "90210", "ZIP code 90210 is not in Illinois"),
        ("country", "Freedonia", "no country"),
        ("phone", "555-0142", "no telephone number"),
        ("phone", "117-555-0142", "no telephone number"),
        ("phone", "217-555-0142 ext home", "no telephone number"),
    ],
)
def test_an_order_with_a_field_that_cannot_be_so(field: str, typed: str, said: str) -> None:
    found = faults(SPARE, {**ORDER_FORM, field: typed})
    assert [fault.field for fault in found] == [field]
    assert said in found[0].message
    with pytest.raises(FormError, match=said):
        read_order(OrderKind.SPARE, {**ORDER_FORM, field: typed})


@pytest.mark.parametrize(
    "place",
    [
        {"country": "Canada", "state": "ON", "postal_code": "k1a 0b1", "phone": "+1 613 555 0142"},
        {"country": "GB", "state": "", "postal_code": "SW1A 1AA", "phone": "+44 20 7946 0123"},
        {"country": "ie", "state": "", "postal_code": "", "phone": "+353 1 555 0142"},
        {"country": "USA", "state": "TX", "postal_code": "88510"},
        {"country": "U.S.A.", "state": "D.C.", "postal_code": "20001"},
        {"country": "us", "state": "puerto rico", "postal_code": "00901", "phone": "1-787-555-0142"},
        {"country": "us", "state": "AE", "postal_code": "09012"},
    ],
)
def test_other_places(place: dict[str, str]) -> None:
    assert faults(SPARE, {**ORDER_FORM, **place}) == []


def test_a_postal_code_of_another_country() -> None:
    elsewhere = {**ORDER_FORM, "country": "Canada", "state": "ON", "postal_code": "62704"}
    assert [fault.field for fault in faults(SPARE, elsewhere)] == ["postal_code"]


def test_an_empty_form_names_every_field_that_is_needed_in_order() -> None:
    for kind in KINDS:
        needed = [line.name for line in fields_of(kind) if line.required]
        pictures = ["front", "back"] if kind == REPLACEMENT else []
        assert [fault.field for fault in faults(kind, {})] == [*needed, *pictures]


names = st.sampled_from(sorted(REPLACEMENT_FORM | RESET_FORM))


@given(kind=st.sampled_from(KINDS), typed=st.dictionaries(names, st.text(max_size=40)))
def test_whatever_is_typed_is_answered(kind: str, typed: dict[str, str]) -> None:
    for fault in faults(kind, typed):
        assert fault.message and fault.advice and fault.field


def test_a_cause_of_no_text_is_no_crash() -> None:
    broken: dict[str, object] = {**REPLACEMENT_FORM, "city": 7}
    assert [fault.field for fault in faults(REPLACEMENT, broken, PICTURES)] == ["city"]  # type: ignore[arg-type]

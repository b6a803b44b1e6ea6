"""What a vendor promises besides validating codes: its support desk, and phone apps. One list, run over the mock vendor
without any network, and over the product's client and the mock's server alike.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

import pytest

from renewagent.tokens.authority import SoftTokenVendor, TokenAuthority, VendorSupport
from renewagent.tokens.errors import TokenRefused, UnknownToken
from renewagent.tokens.model import Address, Answer, Picture, SoftToken, TokenKind, TokenState
from renewagent.tokens.tickets import Order, OrderKind, ResetTicket, TicketState
from renewagent_fixtures.mock_epcs.vendor import MockVendor
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from renewagent_fixtures.virtual_tokens.phone import PhoneApp

EMAIL, PHONE, USER = "maria.lopez@clinic.example", "+1 555 0100 42", "mlopez-soft"
ADDRESS = Address(
    company="Valley Clinic",
    attention="Dr Maria Lopez",
    street1="1 Main Street",
    street2="",
    suite="Suite 4",
    city="Fresno",
    state="CA",
    postal_code="93701",
    country="US",
    phone="+1 555 0100",
    tracking_email="tracking@clinic.example",
)
PICTURES = (Picture("front", "image/png", b"\x89PNG front"), Picture("back", "image/png", b"\x89PNG back"))


class Whole(TokenAuthority, VendorSupport, SoftTokenVendor, Protocol):
    """A vendor who is all three."""


class VendorBench(Protocol):
    """`vendor` is asked; `world` is the mock itself, for what others do there."""

    @property
    def vendor(self) -> Whole: ...
    @property
    def world(self) -> MockVendor: ...
    def token(self, serial: str = "") -> ButtonToken: ...
    def phone(self) -> PhoneApp: ...
    def account(self) -> str: ...
    def now(self) -> datetime: ...
    def pass_time(self, time: timedelta) -> None: ...


def reset_ticket(serial: str, asks_for: str, values: tuple[str, str]) -> ResetTicket:
    return ResetTicket("Dr Maria Lopez", "1234567893", serial, asks_for, values)


def replacement(serial: str) -> Order:
    name, why = "Dr Maria Lopez", "The display is blank."
    return Order(OrderKind.REPLACEMENT, name, EMAIL, ADDRESS, serial, why, PICTURES)


def pressed_in_a_pocket(bench: VendorBench, serial: str, presses: int) -> ButtonToken:
    """In somebody's use, then pressed so often, then two codes that did not help."""
    token = bench.token(serial)
    bench.vendor.register(token.serial, bench.account())
    assert bench.vendor.check(token.serial, token.press()).answer is Answer.ACCEPTED
    token.lose_presses(presses)
    return token


# --- Reset tickets


def test_a_token_pressed_76_times_comes_back_by_a_ticket_with_two_codes(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    token = pressed_in_a_pocket(bench, "GAHE00000076", 76)
    assert bench.vendor.resynchronise(token.serial, *token.press_twice()).answer is Answer.REFUSED
    filed = bench.vendor.file_reset(reset_ticket(token.serial, "codes", token.press_twice()), "key-1")
    assert (filed.state, filed.outcome) == (TicketState.SENT, "")
    assert bench.vendor.filed(filed.number).state is TicketState.SENT
    bench.world.work_ticket(filed.number)
    done = bench.vendor.filed(filed.number)
    assert done.state is TicketState.DONE
    assert "reset" in done.outcome
    assert bench.vendor.check(token.serial, token.press()).answer is Answer.ACCEPTED


def test_a_token_that_shows_its_counter_comes_back_by_two_counter_numbers(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    token = pressed_in_a_pocket(bench, "GALH00000076", 5000)
    filed = bench.vendor.file_reset(reset_ticket(token.serial, "counters", token.read_counters()), "key-1")
    bench.world.work_ticket(filed.number)
    assert bench.vendor.check(token.serial, token.press()).answer is Answer.ACCEPTED


@pytest.mark.parametrize(
    ("serial", "asks_for", "values"),
    [
        ("GAHE00000001", "codes", ("000000", "111111")),
        ("GALH00000001", "counters", ("7", "6")),
        ("GALH00000002", "counters", ("0", "0")),
    ],
)
def test_values_that_do_not_fit_reset_nothing_and_it_is_said(
    vendor_bench: VendorBench, serial: str, asks_for: str, values: tuple[str, str]
) -> None:
    bench = vendor_bench
    token = pressed_in_a_pocket(bench, serial, 100)
    filed = bench.vendor.file_reset(reset_ticket(token.serial, asks_for, values), "key-1")
    bench.world.work_ticket(filed.number)
    assert "do not fit" in bench.vendor.filed(filed.number).outcome
    assert bench.vendor.check(token.serial, token.press()).answer is Answer.REFUSED


def test_a_token_that_is_over_is_not_reset(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    token = pressed_in_a_pocket(bench, "GAHE00000001", 100)
    filed = bench.vendor.file_reset(reset_ticket(token.serial, "codes", token.press_twice()), "key-1")
    bench.vendor.disable(token.serial, lost=True)
    bench.world.work_ticket(filed.number)
    assert "cannot be used again" in bench.vendor.filed(filed.number).outcome


def test_a_ticket_that_is_sent_again_is_the_same_one(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    token = pressed_in_a_pocket(bench, "GAHE00000001", 100)
    ticket = reset_ticket(token.serial, "codes", token.press_twice())
    assert bench.vendor.file_reset(ticket, "key-1") == bench.vendor.file_reset(ticket, "key-1")
    assert bench.vendor.file_reset(ticket, "key-2").number != bench.vendor.file_reset(ticket, "key-1").number


def test_a_ticket_about_an_unknown_token_is_not_taken(vendor_bench: VendorBench) -> None:
    with pytest.raises(UnknownToken):
        vendor_bench.vendor.file_reset(reset_ticket("GAHE99999999", "codes", ("123456", "234567")), "key-1")
    with pytest.raises(UnknownToken):
        vendor_bench.vendor.file_order(replacement("GAHE99999999"), "key-2")
    for number in ("EX-999999", "", "nonsense", "../tokens", "EX-1000000000000"):
        with pytest.raises(UnknownToken):
            vendor_bench.vendor.filed(number)


def test_a_ticket_with_an_empty_field_is_refused(vendor_bench: VendorBench) -> None:
    token = pressed_in_a_pocket(vendor_bench, "GAHE00000001", 100)
    with pytest.raises(TokenRefused):
        vendor_bench.vendor.file_reset(ResetTicket(" ", "", token.serial, "codes", ("", "")), "key-1")


# --- Orders


def test_a_broken_token_is_replaced_and_the_new_one_takes_over(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    account = bench.account()
    broken = bench.token("GALH00000007")
    bench.vendor.register(broken.serial, account)
    filed = bench.vendor.file_order(replacement(broken.serial), "key-1")
    assert filed.state is TicketState.SENT
    serial = bench.world.ship(filed.number)
    shipped = bench.vendor.filed(filed.number)
    assert (shipped.state, shipped.serial, serial[:4]) == (TicketState.DONE, serial, "GALH")
    assert shipped.tracking
    assert shipped.tracking in bench.world.outbox(ADDRESS.tracking_email)[-1].text
    token = ButtonToken(serial, bench.world.parcel(serial))
    assert bench.vendor.register(serial, account).state is TokenState.SPARE
    assert bench.vendor.activate(serial).state is TokenState.ACTIVE
    assert bench.vendor.standing(broken.serial).state is TokenState.DEACTIVATED
    assert bench.vendor.check(serial, token.press()).answer is Answer.ACCEPTED


def test_a_spare_is_ordered_without_a_broken_one(vendor_bench: VendorBench) -> None:
    order = Order(OrderKind.SPARE, "Dr Maria Lopez", EMAIL, ADDRESS)
    filed = vendor_bench.vendor.file_order(order, "key-1")
    assert vendor_bench.vendor.file_order(order, "key-1") == filed
    assert vendor_bench.world.ship(filed.number) == vendor_bench.world.ship(filed.number)


def test_a_replacement_without_both_pictures_is_refused(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    broken = bench.token()
    order = Order(OrderKind.REPLACEMENT, "Dr Maria Lopez", EMAIL, ADDRESS, broken.serial, "Blank.", PICTURES[:1])
    with pytest.raises(TokenRefused):
        bench.vendor.file_order(order, "key-1")


# --- Phone apps


def activated(bench: VendorBench) -> tuple[PhoneApp, SoftToken]:
    bench.world.enrol(USER, EMAIL, PHONE)
    phone = bench.phone()
    phone.install("first password")
    invitation = bench.vendor.invite(USER)
    phone.activate_from(bench.world.outbox(EMAIL), bench.world.outbox(PHONE))
    soft = bench.vendor.invitation(invitation.id)
    assert soft is not None
    return phone, soft


def test_two_codes_by_two_channels_activate_an_app(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    phone, soft = activated(bench)
    assert (soft.username, soft.serial, soft.working) == (USER, phone.serial, True)
    assert soft.activated == soft.password_set == soft.certificate_issued == bench.now()
    assert soft.certificate_ends == bench.now() + timedelta(days=730)
    assert bench.vendor.soft_tokens([USER, "nobody"]) == {USER: soft}
    assert bench.vendor.check(phone.serial, phone.code()).answer is Answer.ACCEPTED
    assert bench.vendor.check(phone.serial, phone.code()).answer is Answer.REFUSED
    standing = bench.vendor.standing(phone.serial)
    assert (standing.kind, standing.state, standing.account) == (TokenKind.SOFT, TokenState.ACTIVE, USER)


def test_no_channel_carries_both_codes_and_the_organisation_sees_neither(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    bench.world.enrol(USER, EMAIL, PHONE)
    shown = repr(bench.vendor.invite(USER))
    (mail,), (text,) = bench.world.outbox(EMAIL), bench.world.outbox(PHONE)
    assert (mail.channel, text.channel) == ("e-mail", "phone")
    invite, activation = mail.text.split()[-1], text.text.split()[-1]
    assert invite not in text.text + shown
    assert activation not in mail.text + shown
    assert EMAIL not in shown
    assert PHONE not in shown


def test_an_open_invitation_is_given_again_and_nothing_is_sent_twice(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    bench.world.enrol(USER, EMAIL, PHONE)
    first = bench.vendor.invite(USER)
    assert bench.vendor.invite(USER) == first
    assert first.channels == ("m...@clinic.example", "phone ending 42")
    assert bench.vendor.invitation(first.id) is None
    assert len(bench.world.outbox(EMAIL)) == len(bench.world.outbox(PHONE)) == 1
    bench.pass_time(timedelta(days=8))
    assert bench.vendor.invite(USER).id != first.id
    assert len(bench.world.outbox(EMAIL)) == len(bench.world.outbox(PHONE)) == 2


def test_nobody_is_invited_who_is_not_enrolled(vendor_bench: VendorBench) -> None:
    with pytest.raises(UnknownToken):
        vendor_bench.vendor.invite("nobody")
    with pytest.raises(UnknownToken):
        vendor_bench.vendor.invitation("INV-nothing")


def test_a_failed_activation_keeps_the_old_app_and_a_new_one_ends_it(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    old, soft = activated(bench)
    assert bench.vendor.invite(USER).keeps_old
    new = old.new_phone("second password")
    with pytest.raises(TokenRefused):
        new.activate(bench.world.outbox(EMAIL)[-1].text.split()[-1], "00000000")
    assert bench.vendor.soft_tokens([USER]) == {USER: soft}
    assert bench.vendor.check(old.serial, old.code()).answer is Answer.ACCEPTED
    new.activate_from(bench.world.outbox(EMAIL), bench.world.outbox(PHONE))
    now = bench.vendor.soft_tokens([USER])[USER]
    assert (now.serial, now.working) == (new.serial, True)
    assert now.registration != soft.registration
    bench.pass_time(timedelta(seconds=30))
    assert bench.vendor.check(new.serial, new.code()).answer is Answer.ACCEPTED
    assert bench.vendor.check(old.serial, old.code()).answer is Answer.REFUSED


def test_another_password_is_another_registration_of_the_same_app(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    phone, soft = activated(bench)
    bench.pass_time(timedelta(days=100))
    phone.change_password("first password", "second password")
    now = bench.vendor.soft_tokens([USER])[USER]
    assert (now.serial, now.working, now.password_set) == (soft.serial, True, bench.now())
    assert now.registration != soft.registration
    assert now.certificate_ends == soft.certificate_ends


def test_a_password_of_two_years_works_no_more_until_it_is_changed(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    phone, _ = activated(bench)
    bench.pass_time(timedelta(days=729))
    phone.renew_certificate()
    assert bench.vendor.check(phone.serial, phone.code()).answer is Answer.ACCEPTED
    bench.pass_time(timedelta(days=1))
    assert not bench.vendor.soft_tokens([USER])[USER].working
    assert bench.vendor.check(phone.serial, phone.code()).answer is Answer.REFUSED
    phone.change_password("first password", "second password")
    assert bench.vendor.soft_tokens([USER])[USER].working
    assert bench.vendor.check(phone.serial, phone.code()).answer is Answer.ACCEPTED


def test_a_renewed_certificate_ends_the_registration_at_once(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    phone, soft = activated(bench)
    bench.pass_time(timedelta(days=700))
    phone.renew_certificate()
    now = bench.vendor.soft_tokens([USER])[USER]
    assert now.registration != soft.registration
    assert now.certificate_ends == bench.now() + timedelta(days=730)
    assert now.password_set == soft.password_set


def test_an_installed_again_app_is_another_device_and_needs_an_invitation(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    phone, soft = activated(bench)
    phone.reinstall("other password")
    assert phone.serial != soft.serial
    bench.vendor.invite(USER)
    phone.activate_from(bench.world.outbox(EMAIL), bench.world.outbox(PHONE))
    assert bench.vendor.soft_tokens([USER])[USER].serial == phone.serial


def test_a_lost_phone_works_no_more(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    phone, soft = activated(bench)
    bench.vendor.disable(soft.serial, lost=True)
    assert not bench.vendor.soft_tokens([USER])[USER].working
    assert bench.vendor.check(soft.serial, phone.code()).answer is Answer.REFUSED


def test_a_service_deleted_in_the_app_is_deleted_at_the_vendor(vendor_bench: VendorBench) -> None:
    bench = vendor_bench
    phone, soft = activated(bench)
    phone.delete_service()
    assert not bench.vendor.soft_tokens([USER])[USER].working
    assert bench.vendor.standing(soft.serial).state is TokenState.DEACTIVATED

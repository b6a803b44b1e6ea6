""" "Soft Token Expired": five causes, told apart, with how sure that is and what follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.tokens.errors import FormError
from renewagent.tokens.model import Device, SoftToken
from renewagent.tokens.soft_causes import Cause, Diagnosis, Sureness, diagnose, needs_new_device
from renewagent.tokens.soft_questions import QUESTIONS

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
BEGUN = NOW - timedelta(days=400)
REGISTERED = BEGUN + timedelta(hours=1)
DEVICE = Device("iPhone", "AA11", "ann.lee", True, REGISTERED)
DAYS = timedelta(days=1)


def soft(
    *,
    serial: str = "AA11",
    activated: datetime = BEGUN,
    password_set: datetime = BEGUN,
    issued: datetime = BEGUN,
    working: bool = True,
) -> SoftToken:
    return SoftToken("ann.lee", serial, "r1", activated, password_set, issued, issued + 730 * DAYS, working)


def said(token: SoftToken | None, device: Device | None = DEVICE, /, **answers: str) -> Diagnosis:
    return diagnose(device, token, answers, NOW)


def best(diagnosis: Diagnosis) -> tuple[Cause, Sureness]:
    return diagnosis.likely[0].cause, diagnosis.likely[0].sureness


@pytest.mark.parametrize(
    ("token", "cause"),
    [
        (soft(password_set=NOW - DAYS), Cause.PASSWORD_CHANGED),
        (soft(activated=NOW - DAYS, password_set=NOW - DAYS), Cause.REINSTALLED),
        (soft(issued=NOW - DAYS), Cause.CERTIFICATE_RENEWED),
    ],
)
def test_the_vendors_record_is_enough(token: SoftToken, cause: Cause) -> None:
    diagnosis = said(token)
    assert best(diagnosis) == (cause, Sureness.CERTAIN)
    assert not diagnosis.ask and not diagnosis.new_device and diagnosis.minutes == 10
    assert "21 November 2026" in " ".join(diagnosis.likely[0].why)


def test_a_certificate_and_then_a_new_device_is_the_certificate_where_the_device_is_the_same() -> None:
    assert said(soft(issued=NOW - 2 * DAYS, activated=NOW - DAYS)).cause is Cause.CERTIFICATE_RENEWED


def test_another_device_is_a_new_phone_or_an_app_that_was_installed_again_until_the_person_says_which() -> None:
    token = soft(serial="BB22", activated=NOW - DAYS, password_set=NOW - DAYS, issued=NOW - DAYS)
    open_question = said(token)
    assert [one.cause for one in open_question.likely] == [Cause.NEW_PHONE, Cause.REINSTALLED]
    assert open_question.likely[0].sureness is Sureness.LIKELY
    assert {question.id for question in open_question.ask} == {"phone", "app", "password", "certificate"}
    assert best(said(token, phone="new")) == (Cause.NEW_PHONE, Sureness.CERTAIN)
    assert best(said(token, phone="same", app="reinstalled")) == (Cause.REINSTALLED, Sureness.CERTAIN)


def test_a_password_that_is_two_years_old_is_told_before_anything_else_is_done() -> None:
    device = Device("iPhone", "AA11", "ann.lee", True, NOW - 730 * DAYS)
    old = soft(activated=NOW - 731 * DAYS, password_set=NOW - 731 * DAYS, issued=NOW - 731 * DAYS, working=False)
    renewed = SoftToken(
        old.username, old.serial, "r2", old.activated, old.password_set, old.activated, NOW + DAYS, False
    )
    diagnosis = said(renewed, device)
    assert best(diagnosis) == (Cause.PASSWORD_EXPIRED, Sureness.CERTAIN)
    assert diagnosis.first == "Open the app on your phone and set a new password."
    assert not diagnosis.new_device


def test_a_password_set_after_two_years_is_likely_the_one_that_the_app_asked_for() -> None:
    device = Device("iPhone", "AA11", "ann.lee", True, NOW - 735 * DAYS)
    token = SoftToken("ann.lee", "AA11", "r2", NOW - 735 * DAYS, NOW - DAYS, NOW - 735 * DAYS, NOW + DAYS, True)
    assert best(said(token, device)) == (Cause.PASSWORD_EXPIRED, Sureness.LIKELY)
    assert best(said(token, device, password="expired")) == (Cause.PASSWORD_EXPIRED, Sureness.CERTAIN)
    assert said(token, device, password="changed").cause is Cause.PASSWORD_CHANGED


def test_a_certificate_that_has_ended_is_renewed_first() -> None:
    diagnosis = said(soft(issued=NOW - 800 * DAYS, working=False))
    assert best(diagnosis) == (Cause.CERTIFICATE_RENEWED, Sureness.CERTAIN)
    assert "Renew your certificate at the vendor" in diagnosis.first
    assert "ended on" in diagnosis.likely[0].why[0]


@pytest.mark.parametrize(
    ("answers", "cause", "new_device"),
    [
        ({"phone": "new"}, Cause.NEW_PHONE, True),
        ({"phone": "same", "app": "reinstalled"}, Cause.REINSTALLED, True),
        ({"phone": "same", "app": "no", "password": "changed"}, Cause.PASSWORD_CHANGED, False),
        ({"password": "expired", "phone": "same"}, Cause.PASSWORD_EXPIRED, False),
        ({"certificate": "renewed", "password": "no"}, Cause.CERTIFICATE_RENEWED, False),
        ({"password": "forgotten"}, Cause.REINSTALLED, True),
    ],
)
def test_without_the_vendors_record_the_person_is_believed_but_never_for_certain(
    answers: dict[str, str], cause: Cause, new_device: bool
) -> None:
    diagnosis = said(None, **answers)
    assert best(diagnosis) == (cause, Sureness.LIKELY)
    assert diagnosis.new_device is new_device and diagnosis.minutes == (25 if new_device else 10)
    assert ("Two codes are sent" in " ".join(diagnosis.plan)) is new_device
    assert {question.id for question in diagnosis.ask} == {q.id for q in QUESTIONS} - set(answers)


def test_a_new_phone_that_is_not_activated_yet_needs_two_codes_and_one_that_is_does_not() -> None:
    assert said(soft(), phone="new").new_device
    assert not said(soft(serial="BB22", activated=NOW - DAYS), phone="new").new_device
    assert needs_new_device(Cause.NEW_PHONE, None, soft(), NOW)


def test_an_app_that_the_vendor_has_ended_has_to_be_activated_anew_whatever_the_person_thinks() -> None:
    diagnosis = said(soft(working=False), password="changed")
    assert diagnosis.cause in (Cause.NEW_PHONE, Cause.REINSTALLED) and diagnosis.new_device
    assert needs_new_device(Cause.PASSWORD_CHANGED, DEVICE, soft(working=False), NOW)


def test_a_change_that_the_person_denies_is_named() -> None:
    diagnosis = said(soft(password_set=NOW - DAYS), password="no")
    assert best(diagnosis) == (Cause.PASSWORD_CHANGED, Sureness.LIKELY)
    assert "suspended at once" in diagnosis.warning
    assert "You did not change" in " ".join(diagnosis.likely[0].why)
    assert not said(soft(password_set=NOW - DAYS), password="changed").warning


def test_nothing_known_and_nothing_said_is_no_cause_but_all_the_questions() -> None:
    diagnosis = said(None, None)
    assert diagnosis.cause is None and diagnosis.likely == () and diagnosis.ask == QUESTIONS


def test_an_app_that_works_and_is_not_registered_at_all_only_has_to_be_registered() -> None:
    diagnosis = said(soft(), None)
    assert best(diagnosis) == (Cause.PASSWORD_CHANGED, Sureness.POSSIBLE) and not diagnosis.new_device
    assert "shows no device" in diagnosis.likely[0].why[0]
    assert said(soft(), None, phone="new").cause is Cause.NEW_PHONE


def test_an_old_registration_alone_is_a_hint() -> None:
    diagnosis = said(None, Device("iPhone", "AA11", "ann.lee", True, NOW - 731 * DAYS))
    assert {one.cause for one in diagnosis.likely} == {Cause.PASSWORD_EXPIRED, Cause.CERTIFICATE_RENEWED}
    assert all(one.sureness is Sureness.POSSIBLE for one in diagnosis.likely)


@pytest.mark.parametrize(("name", "value"), [("phone", "pink"), ("shoe", "new")])
def test_an_answer_that_is_none_of_the_choices_is_refused_by_its_question(name: str, value: str) -> None:
    with pytest.raises(FormError) as refused:
        said(None, **{name: value})
    assert refused.value.field == name


_MOMENTS = st.datetimes(datetime(2022, 1, 1), datetime(2026, 11, 22), timezones=st.just(UTC))  # noqa: DTZ001
_ANSWERS = st.fixed_dictionaries(
    {}, optional={q.id: st.sampled_from([choice.value for choice in q.choices]) for q in QUESTIONS}
)
_SOFT = st.builds(
    soft,
    serial=st.sampled_from(["AA11", "BB22"]),
    activated=_MOMENTS,
    password_set=_MOMENTS,
    issued=_MOMENTS,
    working=st.booleans(),
)


@given(token=st.none() | _SOFT, answers=_ANSWERS, registered=st.none() | _MOMENTS)
def test_whatever_is_known_the_diagnosis_is_in_order_and_says_why(
    token: SoftToken | None, answers: dict[str, str], registered: datetime | None
) -> None:
    diagnosis = diagnose(Device("iPhone", "AA11", "ann.lee", True, registered), token, answers, NOW)
    order = [Sureness.CERTAIN, Sureness.LIKELY, Sureness.POSSIBLE]
    ranks = [order.index(one.sureness) for one in diagnosis.likely]
    assert ranks == sorted(ranks)
    assert len({one.cause for one in diagnosis.likely}) == len(diagnosis.likely)
    assert all(one.why for one in diagnosis.likely)
    assert diagnosis.certain == (not diagnosis.ask) or set(answers) == {q.id for q in QUESTIONS}
    assert not {question.id for question in diagnosis.ask} & set(answers)

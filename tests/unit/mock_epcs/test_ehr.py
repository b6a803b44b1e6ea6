"""The mock EHR in this process: the screen that goes on showing what is gone, and who may do what."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from renewagent.tokens.ehr import Ehr
from renewagent.tokens.errors import EhrMisbehaved, EhrRefused, EhrUnreachable
from renewagent.tokens.model import TokenState
from renewagent_fixtures.mock_epcs.ehr import EXPIRED, WRONG_CODE, MockEhr
from renewagent_fixtures.mock_epcs.ehr_moods import CHANGES, EhrMoods
from tests.unit.mock_epcs.stand_in import LAMB, PASSWORDS, Clock, StandInVendor, hardware, phone, staffed


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vendor() -> StandInVendor:
    return StandInVendor({"lamb-phone": phone("lamb-phone")}, {"GALH00000001": hardware("GALH00000001", "lamb")})


@pytest.fixture
def ehr(vendor: StandInVendor, clock: Clock) -> Iterator[MockEhr]:
    made = staffed(vendor, clock)
    yield made
    made.close()


def clear(ehr: Ehr, user: str) -> int:
    """As people do it; how many rounds it took."""
    for done in range(10):
        if ehr.device(user) is None:
            return done
        ehr.remove_device(user)
        ehr.refresh_shared_tables()
    raise AssertionError("never cleared")


def make_able(ehr: MockEhr, clock: Clock, user: str = "lamb", username: str = "lamb-phone") -> None:
    ehr.register_device(user, username)
    ehr.give_override(user, clock() + timedelta(minutes=15))
    ehr.enable_epcs(user)
    ehr.remove_override(user)
    ehr.grant_epcs(user, entered_by="hale", executed_by="reed")


def sign(ehr: MockEhr, code: str = "123456", serial: str = "") -> str:
    return ehr.prescribe("lamb", PASSWORDS["lamb"], code, serial)


def test_a_prescription_is_signed_with_the_phone(ehr: MockEhr, clock: Clock) -> None:
    make_able(ehr, clock)
    assert sign(ehr).startswith("RX")
    with pytest.raises(EhrRefused) as caught:
        sign(ehr, "123457")
    assert caught.value.message == WRONG_CODE
    assert "123457" not in str(ehr.audit()) and PASSWORDS["lamb"] not in str(ehr.audit())


def test_a_prescription_is_signed_with_a_hardware_token(ehr: MockEhr, clock: Clock, vendor: StandInVendor) -> None:
    make_able(ehr, clock)
    assert sign(ehr, serial="GALH00000001")
    vendor.tokens["GALH00000002"] = hardware("GALH00000002", "reed")
    vendor.tokens["GALH00000003"] = hardware("GALH00000003", "lamb", TokenState.LOST)
    for serial, words in (
        ("GALH00000002", "not yours"),
        ("GALH00000003", "not active"),
        ("GALH00000009", "Your OTP has been entered incorrectly"),
    ):
        with pytest.raises(EhrRefused, match=words):
            sign(ehr, serial=serial)


def test_no_code_is_used_up_without_permission(ehr: MockEhr, clock: Clock, vendor: StandInVendor) -> None:
    with pytest.raises(EhrRefused, match="EPCS permission"):
        sign(ehr)
    make_able(ehr, clock)
    ehr.suspend_epcs("lamb")
    with pytest.raises(EhrRefused, match="EPCS permission"):
        sign(ehr)
    with pytest.raises(EhrRefused, match="password"):
        ehr.prescribe("lamb", "wrong", "123456")
    assert "check" not in vendor.asked


@pytest.mark.parametrize("now_there", [phone("lamb-phone", "r2"), phone("lamb-phone", working=False), None])
def test_a_soft_token_expires(ehr: MockEhr, clock: Clock, vendor: StandInVendor, now_there: object) -> None:
    make_able(ehr, clock)
    vendor.phones.clear()
    if now_there is not None:
        vendor.phones["lamb-phone"] = now_there  # type: ignore[assignment]
    with pytest.raises(EhrRefused) as caught:
        sign(ehr)
    assert caught.value.message == EXPIRED
    assert "check" not in vendor.asked


def test_registering_anew_takes_every_step_again(ehr: MockEhr, clock: Clock, vendor: StandInVendor) -> None:
    make_able(ehr, clock)
    vendor.phones["lamb-phone"] = phone("lamb-phone", "r2")
    assert clear(ehr, "lamb") == 2
    access = ehr.access("lamb")
    assert not access.epcs_enabled and not access.epcs_granted
    ehr.register_device("lamb", "lamb-phone")
    for step in (
        lambda: ehr.give_override("lamb", clock() + timedelta(minutes=15)),
        lambda: ehr.enable_epcs("lamb"),
        lambda: ehr.grant_epcs("lamb", entered_by="hale", executed_by="reed"),
    ):
        with pytest.raises(EhrRefused):
            sign(ehr)
        step()
    assert sign(ehr)


@pytest.mark.parametrize("stale", [0, 1, 2, 4])
def test_so_many_clears_are_hidden(ehr: MockEhr, stale: int) -> None:
    ehr.moods = EhrMoods(stale_clears=stale)
    ehr.register_device("lamb", "lamb-phone")
    assert clear(ehr, "lamb") == stale + 1


def test_refreshing_alone_never_shows_it(ehr: MockEhr) -> None:
    ehr.register_device("lamb", "lamb-phone")
    before = ehr.device("lamb")
    ehr.remove_device("lamb")
    for _ in range(3):
        ehr.refresh_shared_tables()
        assert ehr.device("lamb") == before is not None
    ehr.remove_device("lamb")
    assert ehr.device("lamb") == before
    ehr.refresh_shared_tables()
    assert ehr.device("lamb") is None


def test_nothing_is_registered_over_what_still_shows(ehr: MockEhr, vendor: StandInVendor) -> None:
    ehr.register_device("lamb", "lamb-phone")
    vendor.phones["lamb-phone"] = phone("lamb-phone", "r2")
    for _ in range(2):
        with pytest.raises(EhrRefused, match='Select "None"'):
            ehr.register_device("lamb", "lamb-phone")
        ehr.remove_device("lamb")
        ehr.refresh_shared_tables()
    ehr.register_device("lamb", "lamb-phone")


def test_a_device_that_cannot_be_registered(ehr: MockEhr, vendor: StandInVendor) -> None:
    with pytest.raises(EhrRefused, match="nobody-phone"):
        ehr.register_device("lamb", "nobody-phone")
    ehr.register_device("lamb", "lamb-phone")
    with pytest.raises(EhrRefused, match="another user"):
        ehr.register_device("reed", "lamb-phone")
    vendor.away = True
    with pytest.raises(EhrRefused, match="does not answer"):
        ehr.register_device("reed", "lamb-phone")


def test_enabling_needs_the_override_at_that_moment(ehr: MockEhr, clock: Clock) -> None:
    ehr.register_device("lamb", "lamb-phone")
    assert ehr.give_override("lamb", clock() + timedelta(minutes=15)) is True
    assert ehr.access("lamb").administrator
    clock.go(minutes=15)
    assert not ehr.access("lamb").administrator
    with pytest.raises(EhrRefused, match="Rx Management"):
        ehr.enable_epcs("lamb")
    assert not ehr.access("lamb").epcs_enabled


def test_an_override_that_nobody_ends(ehr: MockEhr, clock: Clock) -> None:
    ehr.moods = EhrMoods(enforces_override=False)
    assert ehr.give_override("lamb", clock() + timedelta(minutes=15)) is False
    clock.go(days=2)
    assert ehr.access("lamb").administrator and ehr.access("lamb").override_ends is None
    ehr.remove_override("lamb")
    ehr.remove_override("lamb")
    assert not ehr.access("lamb").administrator


def test_overrides_that_make_no_sense(ehr: MockEhr, clock: Clock) -> None:
    with pytest.raises(EhrRefused, match="passed"):
        ehr.give_override("lamb", clock())
    ehr.add_staff(LAMB, "", administrator=True)
    with pytest.raises(EhrRefused, match="already"):
        ehr.give_override("lamb", clock() + timedelta(minutes=1))
    ehr.remove_override("lamb")
    assert ehr.access("lamb").administrator, "an administrator for good is no override"


@pytest.mark.parametrize(
    ("entered_by", "executed_by"),
    [("hale", "hale"), ("lamb", "reed"), ("hale", "lamb"), ("reed", "hale"), ("nobody", "reed"), ("hale", "nobody")],
)
def test_two_others_grant_and_revoke(ehr: MockEhr, entered_by: str, executed_by: str) -> None:
    for call in (ehr.grant_epcs, ehr.revoke_epcs):
        with pytest.raises(EhrRefused):
            call("lamb", entered_by=entered_by, executed_by=executed_by)
    assert not ehr.access("lamb").epcs_granted


def test_a_lenient_ehr_lets_anybody_grant(ehr: MockEhr) -> None:
    ehr.moods = EhrMoods(lenient=True)
    ehr.grant_epcs("lamb", entered_by="lamb", executed_by="lamb")
    assert ehr.access("lamb").epcs_granted


def test_suspended_at_once_and_ended_by_a_grant(ehr: MockEhr) -> None:
    ehr.grant_epcs("lamb", entered_by="hale", executed_by="reed")
    ehr.suspend_epcs("lamb")
    assert ehr.access("lamb").epcs_suspended
    ehr.grant_epcs("lamb", entered_by="hale", executed_by="reed")
    assert not ehr.access("lamb").epcs_suspended
    ehr.revoke_epcs("lamb", entered_by="hale", executed_by="reed")
    assert not ehr.access("lamb").epcs_granted


def test_wrong_passwords_lock_an_account(ehr: MockEhr, clock: Clock) -> None:
    assert ehr.sign_in("lamb", PASSWORDS["lamb"])
    for _ in range(5):
        assert not ehr.sign_in("lamb", "wrong")
    assert not ehr.sign_in("lamb", PASSWORDS["lamb"]), "locked"
    clock.go(minutes=15)
    assert ehr.sign_in("lamb", PASSWORDS["lamb"])
    assert not ehr.sign_in("nobody", "") and not ehr.sign_in("nobody", "x")


def test_a_lock_is_reached_at_the_signing_screen_as_well(ehr: MockEhr) -> None:
    for _ in range(5):
        with pytest.raises(EhrRefused, match="password"):
            ehr.prescribe("lamb", "wrong", "123456")
    assert not ehr.sign_in("lamb", PASSWORDS["lamb"])


@pytest.mark.parametrize("call", sorted(CHANGES))
def test_it_says_saved_and_is_not(ehr: MockEhr, clock: Clock, vendor: StandInVendor, call: str) -> None:
    make_able(ehr, clock)
    ehr.give_override("lamb", clock() + timedelta(minutes=5))
    arguments: dict[str, tuple[object, ...]] = {
        "refresh_shared_tables": (),
        "register_device": ("reed", "reed-phone"),
        "give_override": ("reed", clock() + timedelta(minutes=5)),
    }
    by = {"entered_by": "hale", "executed_by": "reed"} if call in ("grant_epcs", "revoke_epcs") else {}
    vendor.phones["reed-phone"] = phone("reed-phone")
    if call == "refresh_shared_tables":
        ehr.remove_device("lamb")
        ehr.remove_device("lamb")
    if call == "grant_epcs":
        ehr.revoke_epcs("lamb", entered_by="hale", executed_by="reed")
    if call == "enable_epcs":
        arguments[call] = ("lamb",)
        ehr.remove_device("lamb")  # which takes it away

    def state() -> list[object]:
        return [(ehr.device(user), ehr.access(user)) for user in ("lamb", "reed")]

    before = state()
    ehr.moods = EhrMoods(says_saved_and_is_not=frozenset({call}))
    getattr(ehr, call)(*arguments.get(call, ("lamb",)), **by)
    if call == "remove_device":  # what is shown is the same either way
        ehr.moods = EhrMoods(stale_clears=0)
        ehr.refresh_shared_tables()
    assert state() == before
    ehr.moods = EhrMoods(stale_clears=0)
    getattr(ehr, call)(*arguments.get(call, ("lamb",)), **by)
    if call == "remove_device":
        ehr.refresh_shared_tables()
    assert state() != before


def test_bad_answers_in_process(ehr: MockEhr) -> None:
    for moods, error, done in (
        (EhrMoods(rude=True), EhrMisbehaved, False),
        (EhrMoods(cuts="before"), EhrUnreachable, False),
        (EhrMoods(cuts="after"), EhrUnreachable, True),
        (EhrMoods(no_json=True), EhrMisbehaved, True),
        (EhrMoods(refuses=frozenset({"suspend_epcs"})), EhrRefused, False),
    ):
        ehr.grant_epcs("lamb", entered_by="hale", executed_by="reed")
        ehr.moods = moods
        with pytest.raises(error):
            ehr.suspend_epcs("lamb")
        ehr.moods = EhrMoods(rude=True, only=frozenset({"sign_in"}))
        assert ehr.access("lamb").epcs_suspended is done
        ehr.moods = EhrMoods()


def test_it_writes_down_who_did_what(ehr: MockEhr, clock: Clock) -> None:
    make_able(ehr, clock)
    with pytest.raises(EhrRefused):
        ehr.grant_epcs("lamb", entered_by="lamb", executed_by="lamb")
    lines = [(line.who, line.what, line.user, line.said) for line in ehr.audit()]
    assert ("reed", "grant_epcs", "lamb", "entered by hale") in lines
    assert ("lamb", "enable_epcs", "lamb", "") in lines
    assert [line for line in lines if line[:3] == ("lamb", "grant_epcs", "lamb") and "refused" in line[3]]


def test_what_was_kept_is_there_again(vendor: StandInVendor, clock: Clock, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ehr.db"
    first = staffed(vendor, clock, url=url)
    make_able(first, clock)
    first.remove_device("lamb")
    shown, access = first.device("lamb"), first.access("lamb")
    first.close()
    second = MockEhr(url, vendor=vendor, now=clock, entropy=bytes)
    assert (second.device("lamb"), second.access("lamb")) == (shown, access)
    assert second.sign_in("lamb", PASSWORDS["lamb"])
    second.close()


def test_many_at_once(ehr: MockEhr) -> None:
    problems: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                ehr.suspend_epcs("lamb")
                ehr.access("lamb")
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert len([line for line in ehr.audit() if line.what == "suspend_epcs"]) == 120

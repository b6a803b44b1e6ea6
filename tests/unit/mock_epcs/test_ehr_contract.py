"""What every `Ehr` promises, held over the mock in this process and over the client and the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from renewagent.tokens.ehr import Ehr
from renewagent.tokens.ehr_http import EhrClient
from renewagent.tokens.errors import EhrMisbehaved, EhrRefused, EhrUnreachable
from renewagent.tokens.model import Access, Device
from renewagent_fixtures.mock_epcs.ehr import MockEhr
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from renewagent_fixtures.mock_epcs.ehr_server import ehr_app
from renewagent_fixtures.mock_epcs.serving import Served
from tests.unit.mock_epcs.stand_in import BEGIN, HALE, LAMB, PASSWORDS, Clock, StandInVendor, phone, staffed

KEY = "the-key-of-the-console"
SOON = BEGIN + timedelta(minutes=15)


@dataclass
class Cast:
    """An EHR of either sort, with what tests turn at behind it."""

    ehr: Ehr
    behind: MockEhr
    vendor: StandInVendor
    clock: Clock


@pytest.fixture(params=["in process", "over HTTP"])
def cast(request: pytest.FixtureRequest) -> Iterator[Cast]:
    vendor, clock = StandInVendor({"lamb-phone": phone("lamb-phone"), "reed-phone": phone("reed-phone")}), Clock()
    behind = staffed(vendor, clock)
    if request.param == "in process":
        yield Cast(behind, behind, vendor, clock)
    else:
        with Served(ehr_app(behind, KEY)) as served:
            client = EhrClient(served.url, KEY)
            yield Cast(client, behind, vendor, clock)
            client.close()
    behind.close()


def test_people(cast: Cast) -> None:
    assert cast.ehr.sign_in("lamb", PASSWORDS["lamb"]) is True
    assert cast.ehr.sign_in("lamb", PASSWORDS["reed"]) is False
    assert cast.ehr.sign_in("nobody", "") is False
    assert cast.ehr.staff("lamb") == LAMB
    assert cast.ehr.staff("nobody") is None
    cast.behind.add_staff(replace(HALE, active=False), "")
    assert cast.ehr.staff("hale") == replace(HALE, active=False)
    assert cast.ehr.sign_in("hale", PASSWORDS["hale"]) is False


def test_a_device_comes_and_goes(cast: Cast) -> None:
    ehr = cast.ehr
    assert ehr.device("lamb") is None
    for _ in range(2):  # again is as good as once
        ehr.register_device("lamb", "lamb-phone")
    there = Device("Phone of Ada Lamb", "HID-lamb-phone", "lamb-phone", authenticated=True, registered=BEGIN)
    assert ehr.device("lamb") == there
    ehr.remove_device("lamb")
    ehr.refresh_shared_tables()
    assert ehr.device("lamb") == there, "most of the time it is still showing"
    ehr.remove_device("lamb")
    ehr.refresh_shared_tables()
    assert ehr.device("lamb") is None
    ehr.remove_device("lamb")
    ehr.refresh_shared_tables()
    assert ehr.device("lamb") is None


def test_registering_again_moves_nothing(cast: Cast) -> None:
    cast.ehr.register_device("lamb", "lamb-phone")
    cast.clock.go(hours=1)
    cast.ehr.register_device("lamb", "lamb-phone")
    device = cast.ehr.device("lamb")
    assert device is not None and device.registered == BEGIN


def test_rights(cast: Cast) -> None:
    ehr = cast.ehr
    nothing = Access(epcs_enabled=False, epcs_granted=False, epcs_suspended=False, administrator=False)
    assert ehr.access("lamb") == nothing
    for _ in range(2):
        assert ehr.give_override("lamb", SOON) is True
    assert ehr.access("lamb") == replace(nothing, administrator=True, override_ends=SOON)
    for _ in range(2):
        ehr.enable_epcs("lamb")
    for _ in range(2):
        ehr.remove_override("lamb")
    for _ in range(2):
        ehr.grant_epcs("lamb", entered_by="hale", executed_by="reed")
    assert ehr.access("lamb") == replace(nothing, epcs_enabled=True, epcs_granted=True)
    for _ in range(2):
        ehr.suspend_epcs("lamb")
    for _ in range(2):
        ehr.revoke_epcs("lamb", entered_by="hale", executed_by="reed")
    assert ehr.access("lamb") == replace(nothing, epcs_enabled=True, epcs_suspended=True)


def test_an_override_ends_by_itself_or_says_that_it_does_not(cast: Cast) -> None:
    cast.ehr.give_override("lamb", SOON)
    cast.clock.go(minutes=15)
    assert not cast.ehr.access("lamb").administrator
    cast.behind.moods = EhrMoods(enforces_override=False)
    assert cast.ehr.give_override("lamb", SOON + timedelta(minutes=15)) is False
    cast.clock.go(minutes=15)
    assert cast.ehr.access("lamb").administrator
    assert cast.ehr.access("lamb").override_ends is None


def test_no_is_said_in_the_ehrs_words(cast: Cast) -> None:
    ehr = cast.ehr
    with pytest.raises(EhrRefused) as caught:
        ehr.enable_epcs("lamb")
    assert caught.value.message == "You do not have permission to administrate the Rx Management System."
    assert "Overrides Role Based Permissions" in caught.value.advice
    for refused in (
        lambda: ehr.grant_epcs("lamb", entered_by="hale", executed_by="hale"),
        lambda: ehr.grant_epcs("lamb", entered_by="lamb", executed_by="reed"),
        lambda: ehr.revoke_epcs("lamb", entered_by="hale", executed_by="lamb"),
        lambda: ehr.register_device("lamb", "unknown-phone"),
        lambda: ehr.give_override("lamb", BEGIN),
        lambda: ehr.suspend_epcs("nobody"),
        lambda: ehr.access("nobody"),
        lambda: ehr.device("nobody"),
        lambda: ehr.remove_device("nobody"),
        lambda: ehr.remove_override("nobody"),
    ):
        with pytest.raises(EhrRefused):
            refused()


@pytest.mark.parametrize(
    ("moods", "error", "done"),
    [
        (EhrMoods(rude=True), EhrMisbehaved, False),
        (EhrMoods(cuts="before"), EhrUnreachable, False),
        (EhrMoods(cuts="after"), EhrUnreachable, True),
        (EhrMoods(no_json=True), EhrMisbehaved, True),
        (EhrMoods(refuses=frozenset({"suspend_epcs"})), EhrRefused, False),
    ],
    ids=["rude", "cuts before", "cuts after", "no JSON", "refuses"],
)
def test_bad_answers(cast: Cast, moods: EhrMoods, error: type[Exception], done: bool) -> None:
    cast.behind.moods = moods
    with pytest.raises(error):
        cast.ehr.suspend_epcs("lamb")
    cast.behind.moods = EhrMoods()
    assert cast.ehr.access("lamb").epcs_suspended is done


def test_a_slow_ehr(cast: Cast) -> None:
    cast.behind.moods = EhrMoods(slow=0.3)
    begun = time.monotonic()
    cast.ehr.suspend_epcs("lamb")
    assert time.monotonic() - begun >= 0.3
    cast.behind.moods = EhrMoods()
    assert cast.ehr.access("lamb").epcs_suspended


def test_moods_for_some_calls_alone(cast: Cast) -> None:
    cast.behind.moods = EhrMoods(rude=True, only=frozenset({"suspend_epcs"}))
    assert not cast.ehr.access("lamb").epcs_suspended
    with pytest.raises(EhrMisbehaved):
        cast.ehr.suspend_epcs("lamb")


def test_it_says_saved_and_is_not(cast: Cast) -> None:
    cast.behind.moods = EhrMoods(says_saved_and_is_not=frozenset({"suspend_epcs", "register_device"}))
    cast.ehr.suspend_epcs("lamb")
    cast.ehr.register_device("lamb", "lamb-phone")
    assert not cast.ehr.access("lamb").epcs_suspended
    assert cast.ehr.device("lamb") is None


def test_names_that_look_like_paths(cast: Cast) -> None:
    odd = replace(LAMB, user="a/../b?c#d é@clinic.example", email="")
    cast.behind.add_staff(odd, "x")
    assert cast.ehr.staff(odd.user) == odd
    assert cast.ehr.sign_in(odd.user, "x")

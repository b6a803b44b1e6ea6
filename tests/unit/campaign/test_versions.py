"""The next version of a campaign: one higher, published now, everything else as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from renewagent.campaign.document import campaign_to_json, parse_campaign
from renewagent.campaign.versions import next_version
from renewagent.errors import CampaignError
from renewagent.rules import Campaign
from tests.unit.campaign.documents import complete, octets
from tests.unit.campaign.test_document import campaigns

NOW = datetime(2020, 10, 5, 8, 30, 15, 123456, tzinfo=UTC)


def document(octets: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(octets)
    return found


def test_a_pause_changes_the_pause_the_number_and_the_time_and_nothing_else() -> None:
    before = complete()
    after = document(next_version(octets(), now=NOW, paused=True))
    assert after == {**before, "version": 4, "published": "2020-10-05T08:30:15Z", "paused": True}
    assert list(after) == list(before)


def test_it_goes_on_again_and_is_withdrawn_in_the_end() -> None:
    paused = next_version(octets(), now=NOW, paused=True)
    on = next_version(paused, now=NOW + timedelta(hours=1), paused=False)
    gone = next_version(on, now=NOW + timedelta(hours=2), withdrawn=True)
    assert [parse_campaign(one).over(NOW) for one in (paused, on, gone)] == [True, False, True]
    assert [parse_campaign(one).version for one in (paused, on, gone)] == [4, 5, 6]


def test_names_of_ones_own_stay_at_any_depth() -> None:
    whole = complete()
    rules: Any = whole["rules"]
    rules[0]["x-ticket"] = "INC-1"
    whole["x-note"] = {"anything": [1.5, None]}
    after = document(next_version(json.dumps(whole).encode(), now=NOW, paused=True))
    assert after["x-note"] == {"anything": [1.5, None]}
    assert after["rules"][0]["x-ticket"] == "INC-1"


def test_changes_are_by_name_and_none_takes_away() -> None:
    after = parse_campaign(
        next_version(
            octets(), now=NOW, changes={"deadline": None, "expires": "2021-06-01T00:00:00Z", "remedy": "see-ra"}
        )
    )
    assert (after.deadline, after.expires, after.remedy) == (None, datetime(2021, 6, 1, tzinfo=UTC), "see-ra")


LATE = datetime(2021, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "how", "said"),
    [
        (octets(withdrawn=True), {"paused": True}, "2020-10-eps-signing/3 is withdrawn, and that is for good"),
        (octets(withdrawn=True), {"withdrawn": True}, "is withdrawn"),
        (octets(paused=True), {"paused": True}, "is paused already"),
        (octets(), {"paused": False}, "is not paused"),
        (octets(), {"changes": {"id": "other"}}, "The id of a next version is not to be chosen"),
        (octets(), {"changes": {"version": 9}}, "The version of a next version is not to be chosen"),
        (octets(), {"changes": {"remedy": "pray"}}, "remedy must be"),
        (octets(), {"changes": {"rules": None}}, "rules is missing"),
        (octets(), {"changes": {"colour": "red"}}, "colour is not a known field"),
        (octets(), {"now": LATE, "withdrawn": True}, "expired on 1 January 2021 at 00:00 UTC"),
        (
            octets(),
            {"now": LATE, "changes": {"expires": "2020-12-31T00:00:00Z"}},
            "expires must be later than published",
        ),
        (octets(version=2**31 - 1), {"paused": True}, "version must be a whole number"),
        (b"{}", {"paused": True}, "id is missing"),
    ],
)
def test_what_would_be_no_version_is_refused_with_advice(before: bytes, how: dict[str, Any], said: str) -> None:
    with pytest.raises(CampaignError, match=said) as refused:
        next_version(before, **{"now": NOW, **how})
    assert refused.value.message.endswith(".")


def test_an_expired_one_may_be_given_a_later_end() -> None:
    after = next_version(octets(), now=LATE, changes={"expires": "2021-06-01T00:00:00Z"})
    assert not parse_campaign(after).over(LATE)


@given(campaign=campaigns)
def test_any_campaign_has_a_next_version_until_it_is_over_for_good(campaign: Campaign) -> None:
    now = campaign.published
    if campaign.withdrawn or campaign.version == 2**31 - 1:
        return
    after = parse_campaign(next_version(campaign_to_json(campaign), now=now, paused=not campaign.paused))
    assert (after.paused, after.version) == (not campaign.paused, campaign.version + 1)
    assert after.rules == campaign.rules

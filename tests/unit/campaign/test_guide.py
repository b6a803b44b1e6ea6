"""The guided `campaign new`: a scripted person answers, slips, goes back, and ends with a campaign that parses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renewagent.campaign.document import parse_campaign
from renewagent.campaign.drafting import new_document
from renewagent.campaign.guide import Guide
from renewagent.campaign.questions import FIRST, LAST, RULE
from renewagent.errors import PersonStopped

NOW = datetime(2026, 10, 15, 9, tzinfo=UTC)
RULE_ANSWERS = ["October batch", "2026-10-10", "2026-10-13T12:00:00Z", "CN=Signing CA,O=nhs,C=GB"]
RULE_ANSWERS += ["00:1A:2B, 2000-2fff", "", "sha1WithRSAEncryption", "rsa, ec", "2048", "piv"]
LAST_ANSWERS = ["1", "2", "", "", "2", "2026-11-01", "2027-01-15", "RA", "0300", "https://ra.example", "9 to 5"]


class Person:
    """Types these lines, then leaves."""

    def __init__(self, *answers: str) -> None:
        self._answers: Iterator[str] = iter(answers)
        self.heard: list[str] = []
        self.typed = 0

    def say(self, text: str) -> None:
        self.heard.append(text)

    def ask(self, prompt: str) -> str:
        self.heard.append(prompt)
        self.typed += 1
        for answer in self._answers:
            return answer
        raise PersonStopped("You stopped.")

    @property
    def all(self) -> str:
        return "\n".join(self.heard)


def guided(*answers: str, **known: Any) -> tuple[dict[str, Any], Person]:
    person = Person(*answers)
    return Guide(person, known, NOW).run(), person


def test_from_the_first_question_to_a_campaign() -> None:
    members, person = guided("autumn", "It is faulty.", *RULE_ANSWERS, "n", *LAST_ANSWERS, "")
    assert members == {
        "id": "autumn",
        "reason": {"en": "It is faulty."},
        "rules": [
            {
                "name": "October batch",
                "issued_from": "2026-10-10T00:00:00Z",
                "issued_to": "2026-10-13T12:00:00Z",
                "issuer": "CN=Signing CA,O=nhs,C=GB",
                "serials": ["1a2b", "2000-2fff"],
                "key_usage": "contentCommitment",
                "signature_algorithms": ["sha1WithRSAEncryption"],
                "key_algorithms": ["rsa", "ec"],
                "key_bits_below": 2048,
                "card_models": ["piv"],
            }
        ],
        "remedy": "renew",
        "renews": "pair",
        "rekey": "required",
        "old_key": "usable",
        "removal_ends_session": False,
        "deadline": "2026-11-01T00:00:00Z",
        "expires": "2027-01-15T00:00:00Z",
        "contact": {"name": "RA", "phone": "0300", "url": "https://ra.example", "hours": "9 to 5"},
    }
    assert parse_campaign(new_document(members, NOW)).id == "autumn"
    for words in (
        'Rule "October batch" hits certificates of which all of this is true:',
        "issued before 13 October 2026 at 12:00 UTC",
        "This is campaign autumn:",
        "What people are told: It is faulty.",
        "Whom they may ask: RA, 0300, https://ra.example, 9 to 5.",
        "It is in force until 15 January 2027 at 00:00 UTC.",
    ):
        assert words in person.all


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        (["", "no spaces!"], "autumn", "This is needed."),
        (["no spaces!"], "autumn", 'Id cannot be "no spaces!".'),
    ],
)
def test_a_slip_is_told_and_asked_again(wrong: list[str], right: str, said: str) -> None:
    members, person = guided(*wrong, right, "R.", *RULE_ANSWERS, "n", *LAST_ANSWERS, "")
    assert members["id"] == "autumn"
    assert said in person.heard


def test_slips_within_a_rule() -> None:
    answers = ["batch", "soon", "2026-10-10", "2026-10-09", "2026-10-13", "nobody", "CN=A", "zz", "2-1", "1", "signing"]
    answers += ["any", "md5", "sha1WithRSAEncryption", "wood", "rsa", "many", "0", "2048", "", "n"]
    members, person = guided("a", "R.", *answers, *LAST_ANSWERS, "")
    assert members["rules"][0] == {
        "name": "batch",
        "issued_from": "2026-10-10T00:00:00Z",
        "issued_to": "2026-10-13T00:00:00Z",
        "issuer": "CN=A",
        "serials": ["1"],
        "key_usage": "any",
        "signature_algorithms": ["sha1WithRSAEncryption"],
        "key_algorithms": ["rsa"],
        "key_bits_below": 2048,
    }
    for said in (
        "'soon' is no time; write 2020-09-28 or 2020-09-28T08:00:00Z.",
        "Rules[0].issued_to must be later than issued_from.",
        "'zz' is no serial number in hexadecimal digits, nor a range of two.",
        "'2-1' runs from the higher serial number to the lower one.",
        "'many' is no number from 1 to 65536.",
    ):
        assert said in person.heard


def test_back_over_everything_and_on_again_changes_nothing() -> None:
    count = len(FIRST) + len(RULE) + 1 + len(LAST)
    enters = [""] * (count + 1)
    members, person = guided("autumn", "R.", *RULE_ANSWERS, "n", *LAST_ANSWERS, *["<"] * (count + 3), *enters)
    again, _ = guided("autumn", "R.", *RULE_ANSWERS, "n", *LAST_ANSWERS, "")
    assert members == again
    assert person.typed == 2 * (count + 1) + count + 2


def test_a_question_that_does_not_apply_is_passed_over_both_ways() -> None:
    last = ["2", "<", "2", "2026-11-01", "<", "-", "2027-01-15", "RA", "", "", "", ""]
    members, person = guided("autumn", "R.", *RULE_ANSWERS, "n", *last)
    assert members["remedy"] == "replace-card"
    assert {"renews", "rekey", "old_key", "removal_ends_session", "deadline"}.isdisjoint(members)
    assert "With a new key?" not in person.all


def test_more_rules_and_back_into_the_earlier_ones() -> None:
    second = ["second", "", "", "", "ff", "", "", "", "", ""]
    answers = ["autumn", "R.", *RULE_ANSWERS, "y", *["<"] * 2, "", *["", ""], *second, "n", *LAST_ANSWERS, ""]
    members, _ = guided(*answers)
    assert [rule["name"] for rule in members["rules"]] == ["October batch", "second"]
    assert members["rules"][1]["serials"] == ["ff"]


def test_a_rule_that_hits_everything_is_remarked_on() -> None:
    nothing = ["all", *[""] * (len(RULE) - 1)]
    _, person = guided("autumn", "R.", *nothing, "n", *LAST_ANSWERS, "")
    assert "hits EVERY certificate" in person.all
    assert "seldom what is meant" in person.all


def test_what_is_known_stands_in_brackets_and_unknown_members_stay() -> None:
    known: dict[str, Any] = {
        "id": "autumn",
        "reason": {"en": "R.", "cy": "Rh."},
        "rules": [{"name": "one", "serials": ["1"], "x-ticket": 1}, {"name": "two", "serials": ["2"]}],
        "x-note": [1],
        "contact": {"name": "RA"},
    }
    count = len(FIRST) + 2 * (len(RULE) + 1) + len(LAST) + 1
    members, person = guided(*[""] * count, **known)
    assert "[autumn]: " in person.heard
    assert "[2027-01-13T09:00:00Z]: " in person.heard  # in 90 days
    assert members["rules"] == [
        {"name": "one", "serials": ["1"], "x-ticket": 1, "key_usage": "contentCommitment"},
        {"name": "two", "serials": ["2"], "key_usage": "contentCommitment"},
    ]
    assert (members["x-note"], members["reason"]) == ([1], {"en": "R.", "cy": "Rh."})
    assert known["rules"][0] == {"name": "one", "serials": ["1"], "x-ticket": 1}


def test_whoever_leaves_has_written_nothing() -> None:
    with pytest.raises(PersonStopped):
        guided("autumn", "R.")


typed = st.sampled_from(["", "<", "-", "1", "2", "y", "n", "a", "2026-10-10", "2026-12-01", "CN=A", "rsa", "9,10-1f"])


@settings(max_examples=200)
@given(answers=st.lists(typed, max_size=120))
def test_whatever_is_typed_what_comes_out_parses(answers: list[str]) -> None:
    try:
        members, _ = guided(*answers)
    except PersonStopped:
        return
    parse_campaign(new_document(members, NOW))

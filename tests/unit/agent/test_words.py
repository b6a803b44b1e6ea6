"""The sentences: dates without locale, the passcode's two names, and a contact wherever a message ends at a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from renewagent import errors
from renewagent.agent import desk_words, times_in_words, words
from renewagent.agent.removal_words import sign_in_again
from renewagent.model import CardIdentity, CertificateHead, Finding, Verdict
from renewagent.rules import AffectedRule, Campaign, Contact

NOW = datetime(2020, 10, 2, 9, 12, tzinfo=UTC)
CARD = CardIdentity("chuid", "aa4821")
RA = Contact("Registration Authority", "0300 303 5035", "https://ra.example", "weekdays 9 to 5")
HEAD = CertificateHead(1, (), datetime(2020, 9, 29, tzinfo=UTC), datetime(2023, 9, 29, tzinfo=UTC))


def day(*ymd: int) -> datetime:
    year, month, date = ymd
    return datetime(year, month, date, tzinfo=UTC)


def campaign(**more: object) -> Campaign:
    rules = (AffectedRule("autumn batch", day(2020, 9, 28), day(2020, 10, 1)),)
    fields: dict[str, object] = {
        "id": "c",
        "version": 1,
        "published": NOW,
        "expires": NOW + timedelta(days=90),
        "reason": {},
        "rules": rules,
        "contact": RA,
    }
    return Campaign(**{**fields, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "end", "text"),
    [
        (day(2020, 9, 28), day(2020, 10, 1), "between 28 and 30 September 2020"),
        (day(2020, 9, 28), datetime(2020, 10, 1, 12, tzinfo=UTC), "between 28 September and 1 October 2020"),
        (day(2019, 12, 30), day(2020, 1, 3), "between 30 December 2019 and 2 January 2020"),
        (day(2020, 9, 28), day(2020, 9, 29), "on 28 September 2020"),
        (day(2020, 9, 28), None, "from 28 September 2020"),
        (None, day(2020, 9, 28), "until 27 September 2020"),
        (None, None, ""),
    ],
)
def test_dates(first: datetime | None, end: datetime | None, text: str) -> None:
    assert times_in_words.dates_in_words(first, end) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "A few seconds left."),
        (30, "About half a minute left."),
        (60, "About 1 minute left."),
        (170, "About 3 minutes left."),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert times_in_words.left_in_words(seconds) == text


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (timedelta(seconds=59), "in a few seconds"),
        (timedelta(minutes=78), "after 10:30 today"),
        (timedelta(hours=14, minutes=47), "after 23:59 today"),
        (timedelta(days=1), "on Saturday 3 October after 09:12"),
        (timedelta(days=100), "on Sunday 10 January 2021 after 09:12"),
    ],
)
def test_when_the_ra_is_asked_again(ahead: timedelta, text: str) -> None:
    assert times_in_words.moment_in_words(NOW + ahead, NOW) == text
    for message in (words.waiting(NOW + ahead, NOW, RA), desk_words.busy_ra(NOW + ahead, NOW, RA)):
        assert text in message.body


def test_an_affected_card_says_which_dates_and_what_to_do() -> None:
    text = words.affected(campaign(), "autumn batch").text
    assert "There is a problem with certificates issued between 28 and 30 September 2020." in text
    assert "Do not sign prescriptions with this smartcard until you renew it." in text
    assert "Run: renewagent renew." in text
    assert "0300 303 5035" in text


def test_the_campaigns_own_reason_goes_first() -> None:
    assert words.affected(campaign(reason={"en": "A fault."}), None).body.startswith("A fault. Do not sign")


@pytest.mark.parametrize(
    ("remedy", "title"), [("replace-card", "Replace your smartcard"), ("see-ra", "See your Registration Authority")]
)
def test_the_other_remedies(remedy: str, title: str) -> None:
    message = words.affected(campaign(remedy=remedy), "autumn batch")
    assert message.title == title
    assert "weekdays 9 to 5" in message.text
    assert "renewagent renew" not in message.text


def test_both_removal_profiles_have_their_own_words() -> None:
    ends = sign_in_again(CARD, removal_ends_session=True).text
    stays = sign_in_again(CARD, removal_ends_session=False).text
    assert "sign in again" in ends and "ends your session" in ends
    assert "does not sign you out" in stays and "put it back in" in stays


def test_a_wrong_card_is_named_by_both_endings() -> None:
    text = words.wrong_card(CardIdentity("chuid", "bb1170"), CARD).body
    assert text == "This is a different smartcard (ending 1170). Insert the one ending 4821."


@pytest.mark.parametrize(
    "message",
    [
        words.expired(NOW, RA),
        words.for_error(errors.PinBlocked("No tries left."), RA),
        words.for_error(errors.LastPinTry("1 try left."), RA),
        words.unreadable("It does not answer.", RA),
        words.no_certificate(RA),
        words.part_way(RA),
        words.for_error(errors.RenewalImpossible("This card cannot be renewed here."), RA),
        words.waiting(NOW, NOW, RA),
        words.for_error(errors.RaUnreachable("The RA does not answer."), RA),
        words.done_not_signed_in(CARD, RA),
    ],
)
def test_the_contact_is_there_where_a_message_ends_at_a_person(message: words.Message) -> None:
    assert "Contact: Registration Authority, 0300 303 5035, https://ra.example, weekdays 9 to 5." in message.text


def test_nobody_is_sent_to_the_ra_for_what_mends_itself_by_hand() -> None:
    assert "Contact" not in words.for_error(errors.CardRemoved("The smartcard was removed."), RA).text


def test_an_error_keeps_its_code_in_the_small_print() -> None:
    assert words.for_error(errors.CardBusy("Busy."), Contact()).text.endswith("(RA-CARD-BUSY)")


@pytest.mark.parametrize(
    ("finding", "kind"),
    [
        (Finding(Verdict.AFFECTED, "r", HEAD, "c", "autumn batch"), "affected"),
        (Finding(Verdict.UNAFFECTED, "r", HEAD), "not-affected"),
        (Finding(Verdict.PART_WAY, "r", HEAD), "part-way"),
        (Finding(Verdict.PART_WAY, words.OLD_LEFT, HEAD), "old-left"),
        (Finding(Verdict.UNREADABLE, "r"), "unreadable"),
        (Finding(Verdict.NO_CERTIFICATE, "r"), "no-certificate"),
    ],
)
def test_each_finding_has_its_message(finding: Finding, kind: str) -> None:
    assert words.for_finding(finding, campaign(), NOW, NOW, RA).kind == kind


def test_an_unaffected_card_that_has_expired_is_no_good_card() -> None:
    finding = Finding(Verdict.UNAFFECTED, "r", HEAD)
    later = HEAD.not_after + timedelta(seconds=1)
    message = words.for_finding(finding, None, later, later, RA)
    assert message.body == "The certificate on this smartcard expired on 29 September 2023."


def test_a_campaign_without_a_contact_falls_back_on_the_configuration() -> None:
    finding = Finding(Verdict.AFFECTED, "r", HEAD, "c", "autumn batch")
    message = words.for_finding(finding, campaign(contact=Contact()), NOW, NOW, RA)
    assert "0300 303 5035" in message.text


def test_the_checked_time() -> None:
    assert words.not_affected(NOW, NOW).body == "Checked today at 09:12."
    assert words.not_affected(NOW, NOW + timedelta(days=1)).body == "Checked on 2 October 2020 at 09:12."


def test_progress() -> None:
    text = words.running(2, 4, "making the new key", 60)
    assert text == "Renewing. Keep the smartcard in. Step 2 of 4: making the new key. About 1 minute left."

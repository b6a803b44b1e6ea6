"""The cheap check: stop as soon as a verdict is certain, read other slots only when the first does not settle it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from renewagent.agent.inspector import CountingConnection, HeadResult, inspect_head
from renewagent.card.interface import AdminSession, Capabilities, SigningSession
from renewagent.errors import CardBusy, CardDataError, CardRemoved, CardReset, RenewAgentError
from renewagent.model import CardIdentity, CertificateHead, Slot, Verdict
from renewagent.names import parse_name
from renewagent.pin import Pin
from renewagent.rules import AffectedRule, Campaign
from renewagent_fixtures.readers import VirtualReaders

NOW = datetime(2020, 10, 2, tzinfo=UTC)
SIGNING = parse_name("CN=NHS Signing G2,O=nhs,C=GB")
OTHER = parse_name("CN=NHS Authentication G2,O=nhs,C=GB")
S9C, S9A, S82 = Slot("9c"), Slot("9a"), Slot("82")
CAMPAIGN = Campaign("c", 1, NOW, NOW + timedelta(days=90), {}, (AffectedRule("autumn", NOW - timedelta(days=4), NOW),))


def head(issuer: str = "signing", days_ago: int = 400) -> CertificateHead:
    name = SIGNING if issuer == "signing" else OTHER
    return CertificateHead(7, name, NOW - timedelta(days=days_ago), NOW + timedelta(days=1000))


class Heads:
    """A driver that knows heads and nothing else, and which were asked for."""

    def __init__(self, heads: Mapping[Slot, CertificateHead | RenewAgentError]) -> None:
        self._heads = dict(heads)
        self.asked: list[Slot] = []

    def slots(self) -> Sequence[Slot]:
        return (S9C, S9A, S82)

    def head(self, slot: Slot) -> CertificateHead | None:
        self.asked.append(slot)
        found = self._heads.get(slot)
        if isinstance(found, CardReset):
            del self._heads[slot]
        if isinstance(found, RenewAgentError):
            raise found
        return found

    def identity(self) -> CardIdentity:
        raise AssertionError("not needed for a head")

    def certificate(self, slot: Slot) -> bytes | None:
        raise AssertionError("no whole certificate here")

    def capabilities(self) -> Capabilities:
        raise AssertionError("not needed for a head")

    def signing(self, pin: Pin) -> AbstractContextManager[SigningSession]:
        raise AssertionError("never")

    def administration(self, pin: Pin | None = None) -> AbstractContextManager[AdminSession]:
        raise AssertionError("never")


def inspected(driver: Heads, *, issuers: bool = True) -> HeadResult:
    return inspect_head(driver, [CAMPAIGN], [SIGNING] if issuers else [], NOW)


@pytest.mark.parametrize("issuers", [True, False])
def test_one_head_is_enough_for_a_clear_card(issuers: bool) -> None:
    driver = Heads({S9C: head(), S9A: head("other")})
    result = inspected(driver, issuers=issuers)
    assert result.finding and result.finding.verdict is Verdict.UNAFFECTED
    assert (result.slot, result.to_read, driver.asked) == (S9C, (), [S9C])


def test_a_head_that_a_rule_may_hit_asks_for_the_whole_certificate() -> None:
    driver = Heads({S9C: head(days_ago=2), S9A: head("other")})
    result = inspected(driver)
    assert (result.finding, result.slot, result.to_read, driver.asked) == (None, S9C, (S9C,), [S9C])


@pytest.mark.parametrize(
    ("signing", "beside", "renews", "paused"),
    [(2, 400, "signing", "c"), (400, 2, "signing", None), (400, 2, "pair", "c"), (400, 400, "pair", None)],
)
def test_what_a_pause_holds_back_is_told_by_heads_alone(
    signing: int, beside: int, renews: Literal["signing", "pair"], paused: str | None
) -> None:
    driver = Heads({S9C: head(days_ago=signing), S9A: head("other", days_ago=beside)})
    result = inspect_head(driver, [replace(CAMPAIGN, paused=True, renews=renews)], [SIGNING], NOW)
    assert result.finding and result.finding.verdict is Verdict.UNAFFECTED
    assert (result.finding.paused, result.to_read) == (paused, ())


def test_a_signing_certificate_in_another_slot_is_found_by_its_issuer() -> None:
    driver = Heads({S9C: head("other"), S82: head(days_ago=2)})
    assert inspected(driver).to_read == (S82,)
    assert driver.asked == [S9C, S9A, S82]


def test_an_empty_card_has_no_certificate() -> None:
    result = inspected(Heads({}), issuers=False)
    assert result.finding and result.finding.verdict is Verdict.NO_CERTIFICATE


def test_certificates_of_other_issuers_alone_are_no_signing_certificate() -> None:
    result = inspected(Heads({S9C: head("other"), S9A: head("other")}))
    assert result.finding and result.finding.verdict is Verdict.NO_CERTIFICATE
    assert "signing issuer" in result.finding.reason


def test_without_known_issuers_key_usage_decides_about_the_other_slots() -> None:
    result = inspected(Heads({S9A: head("other"), S82: head()}), issuers=False)
    assert (result.finding, result.to_read) == (None, (S9A, S82))


def test_a_broken_certificate_is_a_finding() -> None:
    result = inspected(Heads({S9C: CardDataError("The certificate does not parse."), S9A: head("other")}))
    assert result.finding and result.finding.verdict is Verdict.UNREADABLE
    assert result.finding.reason == "The certificate does not parse."
    assert isinstance(result.error, CardDataError)


def test_a_broken_certificate_does_not_hide_the_signing_certificate() -> None:
    assert inspected(Heads({S9C: CardDataError("x"), S82: head(days_ago=2)})).to_read == (S82,)


def test_a_busy_card_is_a_finding() -> None:
    result = inspected(Heads({S9C: CardBusy("Another program is using the smartcard.")}))
    assert result.finding and result.finding.verdict is Verdict.UNREADABLE


def test_a_reset_by_another_program_is_tried_once_more() -> None:
    assert inspected(Heads({S9C: CardReset("x")})).finding is not None
    driver = Heads({S9A: CardReset("x"), S9C: head("other"), S82: head(days_ago=2)})
    assert inspected(driver).to_read == (S82,)


def test_a_removed_card_is_no_finding() -> None:
    with pytest.raises(CardRemoved):
        inspected(Heads({S9C: CardRemoved("The smartcard was removed.")}))


class _Echo:
    atr = b"\x3b\x00"

    def power_on(self) -> bytes:
        return self.atr

    reset = power_on

    def power_off(self) -> None:
        pass

    def transmit(self, command: bytes) -> bytes:
        return b"abc\x90\x00"


def test_commands_and_responses_are_counted() -> None:
    readers = VirtualReaders(["R"])
    readers.insert("R", _Echo())
    connection = CountingConnection(readers.connect("R"))
    with connection.transaction():
        assert connection.transmit(b"\x00\xa4\x04\x00") == b"abc\x90\x00"
        connection.transmit(b"\x00\xcb\x3f\xff\x00")
    assert (connection.apdus, connection.octets) == (2, 4 + 5 + 5 + 5)
    assert (connection.reader, connection.atr) == ("R", b"\x3b\x00")
    connection.close()

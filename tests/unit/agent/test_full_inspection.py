"""The full inspection on virtual cards: heads where they suffice, whole certificates where not, the RA's word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from renewagent.agent.full_inspection import AskRa, Inspection, Inspector
from renewagent.campaign.document import parse_campaign
from renewagent.errors import RaUnreachable
from renewagent.model import Slot, Verdict
from renewagent.names import Name, parse_name
from renewagent.rules import Campaign
from renewagent_drivers import open_card
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.virtual_card.card import VirtualCard
from tests.unit.agent.place import ISSUER, NOW, Ca, campaign_json, days_ago

CA = Ca()
READER = "Virtual Reader 1"
CAMPAIGN = parse_campaign(campaign_json())


@dataclass(frozen=True)
class Standing:
    state: str | None = None
    revoked: bool = False
    looked_at_for: int | None = None
    pair: str | None = None


def inspected(
    card: VirtualCard,
    *,
    campaigns: Sequence[Campaign] = (CAMPAIGN,),
    issuers: Sequence[str] = (ISSUER,),
    ask_ra: AskRa | None = None,
) -> Inspection:
    readers = VirtualReaders((READER,))
    readers.insert(READER, card)
    inspector = Inspector(open_card, campaigns, [parse_name(name) for name in issuers], ask_ra)
    connection = readers.connect(READER)
    try:
        return inspector.inspect(connection, NOW)
    finally:
        connection.close()


def test_a_clear_card_costs_two_exchanges() -> None:
    found = inspected(CA.card(days_ago(400)))
    assert found.judgement.finding.verdict is Verdict.UNAFFECTED
    assert (found.apdus, found.judgement.certificate, found.judgement.slot) == (2, None, Slot("9c"))
    assert found.octets <= 420
    assert found.pin_tries == 3
    assert found.card is not None and found.card.scheme == "chuid"


def test_an_affected_card_is_read_whole() -> None:
    found = inspected(CA.card(days_ago(7)))
    finding = found.judgement.finding
    assert (finding.verdict, finding.campaign, finding.rule) == (Verdict.AFFECTED, "test-batch", "bad week")
    document = found.document()
    assert document["certificate"]["sha256"] == found.judgement.certificate.sha256 if found.judgement.certificate else 0
    assert document["certificate"]["issuer"] == ISSUER
    assert document["check"] == {"apdus": found.apdus, "bytes": found.octets}


def test_a_certificate_for_something_else_in_the_window_is_not_affected() -> None:
    found = inspected(CA.card(days_ago(7), usage="digital_signature"))
    assert found.judgement.finding.verdict is Verdict.UNAFFECTED
    assert "key usage" in found.judgement.finding.reason


@pytest.mark.parametrize("issuers", [(ISSUER,), ()])
def test_a_signing_certificate_in_another_slot_is_found(issuers: tuple[str, ...]) -> None:
    card = CA.card(days_ago(7), slot=0x9D)
    if not issuers:
        CA.put(card, days_ago(7), slot=0x9A, usage="digital_signature")
    found = inspected(card, issuers=issuers)
    assert (found.judgement.finding.verdict, found.judgement.slot) == (Verdict.AFFECTED, Slot("9d"))


def test_without_known_issuers_a_card_with_an_authentication_certificate_alone_cannot_sign() -> None:
    found = inspected(CA.card(days_ago(7), slot=0x9A, usage="digital_signature"), issuers=())
    assert found.judgement.finding.verdict is Verdict.NO_CERTIFICATE


def test_an_empty_card() -> None:
    found = inspected(VirtualCard.create(None))
    assert found.judgement.finding.verdict is Verdict.NO_CERTIFICATE
    assert found.card is not None


def test_a_certificate_that_does_not_parse_is_a_finding() -> None:
    card = VirtualCard.create(None)
    card.write_certificate(0x9C, b"\x30\x82\x01\x00" + b"\xff" * 300)
    found = inspected(card)
    assert found.judgement.finding.verdict is Verdict.UNREADABLE
    assert found.judgement.finding.reason.endswith(".")


def test_no_piv_card_is_a_finding() -> None:
    class BankCard(VirtualCard):
        def transmit(self, command: bytes) -> bytes:
            return b"\x6a\x82"

    found = inspected(BankCard.create(None))
    assert found.judgement.finding.verdict is Verdict.UNREADABLE
    assert found.card is None


@pytest.mark.parametrize("state", ["open", "armed", "issued", "confirmed"])
@pytest.mark.parametrize("age", [400, 7])
def test_what_was_begun_anywhere_is_part_way(state: str, age: int) -> None:
    asked: list[tuple[Name, int]] = []

    def ask(issuer: Name, serial: int) -> Standing:
        asked.append((issuer, serial))
        return Standing(state)

    found = inspected(CA.card(days_ago(age)), ask_ra=ask)
    assert found.judgement.finding.verdict is Verdict.PART_WAY
    assert found.judgement.finding.head is not None
    assert asked == [(parse_name(ISSUER), found.judgement.finding.head.serial)]
    assert not found.judgement.nothing_open


@pytest.mark.parametrize("state", [None, "closed"])
def test_nothing_open(state: str | None) -> None:
    found = inspected(CA.card(days_ago(400)), ask_ra=lambda issuer, serial: Standing(state))
    assert found.judgement.finding.verdict is Verdict.UNAFFECTED
    assert found.judgement.nothing_open


def test_a_revoked_certificate_is_said_to_be() -> None:
    found = inspected(CA.card(days_ago(400)), ask_ra=lambda issuer, serial: Standing("closed", revoked=True))
    assert found.judgement.revoked and not found.judgement.nothing_open


def test_an_ra_that_is_down_leaves_the_verdict_and_a_note() -> None:
    def ask(issuer: Name, serial: int) -> Standing:
        raise RaUnreachable("The Registration Authority does not answer.")

    found = inspected(CA.card(days_ago(7)), ask_ra=ask)
    assert found.judgement.finding.verdict is Verdict.AFFECTED
    assert "does not answer" in found.judgement.note
    assert not found.judgement.nothing_open


def test_an_ra_without_a_status_address_changes_nothing() -> None:
    found = inspected(CA.card(days_ago(400)), ask_ra=lambda issuer, serial: None)
    assert found.judgement.finding.verdict is Verdict.UNAFFECTED
    assert not found.judgement.nothing_open


def test_a_renewal_starts_from_the_whole_certificate_of_any_card() -> None:
    readers = VirtualReaders((READER,))
    readers.insert(READER, CA.card(days_ago(400)))
    judgement = Inspector(open_card, (CAMPAIGN,), (), None).judge(open_card(readers.connect(READER)), NOW)
    assert judgement.finding.verdict is Verdict.UNAFFECTED
    assert judgement.certificate is not None and judgement.slot == Slot("9c")

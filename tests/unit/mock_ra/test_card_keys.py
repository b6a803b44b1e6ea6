"""The management keys that the RA keeps: whose card is opened, and for whom."""

from __future__ import annotations

import json

import pytest
from cryptography import x509

from renewagent.cmp import private
from renewagent_fixtures.bureau import bureau_mac
from renewagent_fixtures.mock_ra.certificates import holder_of
from renewagent_fixtures.mock_ra.knobs import Knobs
from renewagent_fixtures.mock_ra.office import Office
from renewagent_fixtures.mock_ra.rows import AuditRow, RelayRow
from tests.unit.mock_ra.peer import HOLDER, Answer
from tests.unit.mock_ra.person import CARD, Person, person, ticket_of

BOB = "CN=Dr Bob,O=Surgery,C=GB"


@pytest.fixture
def keeping(ra: Office) -> Office:
    """The RA keeps the key of Ada's card."""
    ra.turn(Knobs(key_relay=True))
    ra.card_keys.enrol(CARD, 0x0A, holder_of(HOLDER), ra.now())
    return ra


def asked(of: Person, card: str = CARD) -> Answer:
    return of.ask(private.KEY_LEAVE, private.KeyLeaveRequest(card=card, step="stage"))


def test_a_ticket_that_names_somebody_elses_card_opens_it_for_nobody(keeping: Office) -> None:
    """A ticket is opened for the card that the statement names, and a hostile workstation writes the statement. Whoever
    has a card and a passcode of their own must not have a colleague's card opened, which lies in the next reader."""
    bob = person(keeping, subject=x509.Name.from_rfc4514_string(BOB).public_bytes())
    assert ticket_of(bob.request_ticket(bob.statement(card=CARD))).state == "open"
    assert asked(bob).failures == {"notAuthorized"}
    assert keeping.store.find(RelayRow) == []
    refused = [json.loads(row.details) for row in keeping.store.find(AuditRow) if row.event == "key-relay.refused"]
    assert [entry["card"] for entry in refused] == [CARD]


def test_its_holder_is_not_kept_from_it_by_such_a_ticket(keeping: Office) -> None:
    ada, bob = person(keeping), person(keeping, subject=x509.Name.from_rfc4514_string(BOB).public_bytes())
    ticket_of(bob.request_ticket(bob.statement(card=CARD)))
    ticket_of(ada.request_ticket())
    assert [item.oid for item in asked(ada).info] == [private.KEY_LEAVE_ANSWER]
    assert asked(bob).failures == {"notAuthorized"}


def test_the_bureau_says_whose_card_it_is(ra: Office) -> None:
    ra.turn(Knobs(key_relay=True))
    fields = {"reference": ra.pki.reference, "card": CARD, "algorithm": "aes192", "subject": BOB, "nonce": "11" * 16}
    secret = ra.pki.secret.encode()
    mac = bureau_mac(secret, *fields.values())
    assert ra.bureau.key({**fields, "subject": "CN=Mallory", "mac": mac}, ra.now()) is None
    assert ra.bureau.key({**fields, "mac": mac}, ra.now())
    ada, bob = person(ra), person(ra, subject=x509.Name.from_rfc4514_string(BOB).public_bytes())
    for one in (ada, bob):
        ticket_of(one.request_ticket())
    assert asked(ada).failures == {"notAuthorized"}
    assert asked(bob).failures == frozenset()

"""The whole product at the RA's desk: `renewagent renew --officer-reader`, two cards in two readers, two passcodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent_fixtures.mock_ra.knobs import Knobs
from renewagent_fixtures.mock_ra.roles import by_holder
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.desk import PIN, READER, Desk, Office, signs
from tests.flows.test_kills import ASKED, PASSCODE, sign_in_again

OFFICERS_READER = "Officer's reader"
OFFICER, OFFICERS_PIN = "CN=Olive Officer,OU=RA,O=Mock Hospital,C=GB", "13572468"


@dataclass
class Counter:
    """A desk with two readers, and the officer's card."""

    here: Desk
    officer: VirtualCard


@pytest.fixture
def counter(tmp_path: Path, ra: Office) -> Iterator[Counter]:
    readers = VirtualReaders((READER, OFFICERS_READER))
    officer = VirtualCard.create(None, profile="plain", pin=OFFICERS_PIN)
    spki = officer.generate(0x9A, "p256").public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    officer.write_certificate(0x9A, ra.ra.issue(spki, OFFICER, "authentication"))
    with RelayServer(readers, tmp_path / "readers.sock") as relay:
        here = Desk(tmp_path, ra, readers, relay.where)
        yield Counter(here, officer)
        here.close()
    ra.ra.turn(Knobs())


def test_an_officer_has_a_card_renewed(counter: Counter, ra: Office) -> None:
    here = counter.here
    ra.ra.turn(Knobs(roles=by_holder({OFFICER: "RAA"}), max_self_renewals=0))
    card = here.insert()
    refused = here.run("renew", typed="1\n" + PIN + "\n")
    assert refused.status == 1
    assert "Only your Registration Authority can renew it, in person." in refused.err
    here.readers.insert(OFFICERS_READER, counter.officer)
    talk = here.talk("renew", "--officer-reader", OFFICERS_READER, "--json")
    talk.hear(f"type the passcode (PIN) of your own smartcard, ending {counter.officer.guid.hex()[-4:].upper()}")
    talk.hear(PASSCODE)
    talk.type(OFFICERS_PIN)
    talk.hear("has your order to renew")
    talk.hear(ASKED)
    talk.type("1")
    talk.hear("Now its holder: type the passcode (PIN) of the smartcard ending")
    talk.hear(PASSCODE)
    talk.type(PIN)
    talk.hear("Remove the smartcard ending ")
    done = sign_in_again(here, card, talk)
    assert done.status == 0
    (outcome,) = done.document["cards"]
    assert (outcome["signed_in"], outcome["officer"]) == (True, f"chuid:{counter.officer.guid.hex()}")
    here.readers.remove(READER)
    assert signs(card)


def test_the_same_reader_twice_is_wrong_usage(counter: Counter) -> None:
    done = counter.here.run("renew", "--officer-reader", READER, "--reader", READER)
    assert done.status == 2
    assert "cannot be in the same reader" in done.err


def test_an_officer_without_the_role_is_told_and_nothing_is_changed(counter: Counter, ra: Office) -> None:
    here = counter.here
    card = here.insert()
    before = card.image
    here.readers.insert(OFFICERS_READER, counter.officer)
    done = here.run("renew", "--officer-reader", OFFICERS_READER, typed=OFFICERS_PIN + "\n")
    assert done.status == 1
    assert "this role may not have such a smartcard renewed" in done.err
    assert card.image == before

"""A campaign signed with a smartcard: the right certificate found, the passcode asked for as a renewal asks, the card
logged out afterwards; and openssl believes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from renewagent.agent.passcode import RenewableCard
from renewagent.campaign.pem import read_certificates, read_signer
from renewagent.campaign.signing_card import sign_by_card, signing_card
from renewagent.campaign.verify import verify_campaign
from renewagent.card.interface import CardConnection
from renewagent.cms import open_signed
from renewagent.errors import (
    CampaignError,
    CardDataError,
    LastPinTry,
    NoCard,
    PersonStopped,
    PinBlocked,
    RenewAgentError,
)
from renewagent.model import Slot
from renewagent_drivers import open_card
from renewagent_fixtures.mock_ra import MockRa
from renewagent_fixtures.person import ScriptedPerson
from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from renewagent_fixtures.soft_token import SoftTokens
from renewagent_fixtures.soft_token.readers import SoftReaders
from renewagent_fixtures.virtual_card import VirtualCard
from renewagent_fixtures.vpcd import VpcdLink
from tests.flows.desk import Conversation
from tests.flows.workshop import Tape
from tests.pcsc import until
from tests.programs import require
from tests.soft import OtherProgram
from tests.unit.agent.place import campaign_json
from tests.unit.campaign.authority import AUTHORITY, PRESCRIBER, SIGNER, Holder, root

READER, OTHER = "Desk reader", "Other reader"
PIN, WRONG = "123456", "11112222"
NOW = datetime.now(UTC).replace(microsecond=0)
DOCUMENT = campaign_json()
SIGN_SLOT, AUTH_SLOT = 0x9C, 0x9A


@dataclass
class Bench:
    """Two readers, and cards of campaign signers below one root."""

    tape: Tape = field(default_factory=Tape)
    top: Holder = field(default_factory=root)

    def __post_init__(self) -> None:
        self.readers = VirtualReaders([READER, OTHER], on_exchange=self.tape)

    def issue(self, name: str = "RA manager", **more: Any) -> Holder:
        times = {"start": NOW - timedelta(days=1), "end": NOW + timedelta(days=365)}
        return self.top.issue(name, more.pop("extensions", SIGNER), **{**times, **more})

    def card(self, *holders: tuple[int, Holder], reader: str = READER, **more: Any) -> VirtualCard:
        card = VirtualCard.create(None, **more)
        for slot, holder in holders:
            put(card, slot, holder)
        self.readers.insert(reader, card)
        return card

    def sign(self, person: ScriptedPerson | None = None, **where: Any) -> bytes:
        def opened(connection: CardConnection) -> RenewableCard:
            return cast(RenewableCard, open_card(connection))

        with signing_card(self.readers, opened, **where) as signer:
            return sign_by_card(DOCUMENT, signer, person or ScriptedPerson(), NOW)

    def logged_in(self, reader: str = READER) -> bool:
        """What the next program would find: an empty VERIFY (SP 800-73-4 part 2, 3.2.1)."""
        with closing(self.readers.connect(reader)) as connection, connection.transaction():
            connection.transmit(bytes.fromhex("00a4040009a00000030800001000"))
            return connection.transmit(bytes.fromhex("00200080")) == b"\x90\x00"


def put(card: VirtualCard, slot: int, holder: Holder) -> None:
    card.import_key(slot, holder.key)
    card.write_certificate(slot, holder.certificate.public_bytes(Encoding.DER))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
@pytest.mark.parametrize("slot", [SIGN_SLOT, AUTH_SLOT, 0x9D])
def test_the_signers_certificate_is_found_wherever_it_is(bench: Bench, kind: str, slot: int) -> None:
    bench.card((slot, bench.issue(kind=kind)))
    person = ScriptedPerson()
    signed = bench.sign(person)
    assert open_signed(signed).content == DOCUMENT
    assert verify_campaign(signed, [bench.top.certificate], NOW).id == "test-batch"
    assert bench.tape.verifies == 1
    assert not bench.logged_in()
    (asked,) = person.said
    assert (asked.how, asked.tries_left) == ("pin", 3)
    assert "You have 3 tries." in asked.message.text


def test_a_prescribers_certificates_beside_it_are_passed_over(bench: Bench) -> None:
    prescriber = bench.issue("Dr Ada Example", extensions=PRESCRIBER)
    card = bench.card((SIGN_SLOT, prescriber), (AUTH_SLOT, bench.issue()))
    card.write_certificate(0x9D, b"\x30\x03\x02\x01\x00")
    assert "RA manager" in open_signed(bench.sign()).certificate.subject.rfc4514_string()


def test_another_card_in_the_other_reader_is_left_alone(bench: Bench) -> None:
    bench.card((SIGN_SLOT, bench.issue("Dr Ada Example", extensions=PRESCRIBER)), reader=OTHER)
    bench.card((SIGN_SLOT, bench.issue()))
    bench.sign()
    assert bench.tape.verifies == 1


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({}, "There are 2 certificates for signing campaigns: CN=RA manager,O=Trust in slot 9C of Desk reader; "),
        ({"slot": Slot("9d")}, "There is no certificate for signing campaigns"),
    ],
)
def test_which_one_must_be_clear(bench: Bench, where: dict[str, Any], said: str) -> None:
    bench.card((SIGN_SLOT, bench.issue()))
    bench.card((SIGN_SLOT, bench.issue("Deputy")), reader=OTHER)
    with pytest.raises(CampaignError, match=said) as refused:
        bench.sign(**where)
    assert "--reader and --slot" in refused.value.advice
    assert bench.tape.verifies == 0
    deputy = bench.sign(reader=OTHER, slot=Slot("9c"))
    assert "Deputy" in open_signed(deputy).certificate.subject.rfc4514_string()


def test_no_card_and_no_signer(bench: Bench) -> None:
    with pytest.raises(NoCard):
        bench.sign()
    bench.card((SIGN_SLOT, bench.issue("Dr Ada Example", extensions=PRESCRIBER)))
    with pytest.raises(CampaignError, match="There is no certificate for signing campaigns on the smartcard"):
        bench.sign()


def test_what_agents_would_refuse_is_not_signed(bench: Bench) -> None:
    bench.card((SIGN_SLOT, bench.issue(end=NOW - timedelta(hours=1))))
    with pytest.raises(CampaignError, match="The certificate that signs this campaign expired on"):
        bench.sign()
    assert bench.tape.verifies == 0


def test_a_mistyped_passcode_is_asked_for_again_and_never_sent_twice(bench: Bench) -> None:
    card = bench.card((SIGN_SLOT, bench.issue()))
    person = ScriptedPerson(pins=(WRONG, WRONG, PIN))
    bench.sign(person)
    assert person.kinds == ["pin", "wrong-pin", "pin", "pin-known-wrong", "pin"]
    assert (bench.tape.verifies, card.pin_tries) == (2, 3)


@pytest.mark.parametrize(("tries", "error"), [(1, LastPinTry), (0, PinBlocked)])
def test_the_last_try_is_not_spent(bench: Bench, tries: int, error: type[RenewAgentError]) -> None:
    card = bench.card((SIGN_SLOT, bench.issue()))
    card.set_pin_tries(tries) if tries else card.block_pin()
    person = ScriptedPerson()
    with pytest.raises(error):
        bench.sign(person)
    assert (person.said, bench.tape.verifies) == ([], 0)


def test_whoever_stops_has_signed_nothing(bench: Bench) -> None:
    bench.card((SIGN_SLOT, bench.issue()))
    with pytest.raises(PersonStopped):
        bench.sign(ScriptedPerson(pins=()))
    assert bench.tape.verifies == 0


def test_a_key_that_does_not_fit_is_told_and_the_card_logged_out(bench: Bench) -> None:
    card = bench.card((SIGN_SLOT, bench.issue()))
    card.misfit_key(SIGN_SLOT)
    with pytest.raises(CardDataError, match="does not belong to the certificate"):
        bench.sign()
    assert not bench.logged_in()


# -- the command -------------------------------------------------------------------------------------------------------


@dataclass
class Counter:
    """An RA manager's folder and card, whose certificate the mock RA's own authority issued."""

    folder: Path
    ra: MockRa
    env: dict[str, str]
    where: str = "pcsc"

    def __post_init__(self) -> None:
        self.draft, self.out = self.folder / "draft.json", self.folder / "autumn.campaign"
        self.draft.write_bytes(DOCUMENT)
        self.config = self.folder / "config.toml"
        self.configure()

    def configure(self, **card: str) -> None:
        settings = {"readers": self.where, **card}
        self.config.write_text("[card]\n" + "".join(f'{name} = "{value}"\n' for name, value in settings.items()))

    def card(self, slot: int = SIGN_SLOT) -> VirtualCard:
        signer, card = read_signer(self.ra.campaign_signer), VirtualCard.create(None)
        put(card, slot, Holder(signer.key, signer.certificate))
        return card

    def words(self, *more: str) -> list[str]:
        given = ["campaign", "sign", str(self.draft), "--out", str(self.out), "--card", "--config", str(self.config)]
        return [sys.executable, "-P", "-m", "renewagent", *given, *more]

    def run(self, *more: str, typed: str = PIN + "\n") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*more), env=self.env, input=typed, capture_output=True, text=True, timeout=60, check=False
        )

    def believed(self) -> None:
        """By us, and by openssl."""
        (anchor,) = read_certificates(self.ra.campaign_anchor)
        assert verify_campaign(self.out.read_bytes(), [anchor], NOW).id == "test-batch"
        require("openssl")
        ask = ["openssl", "cms", "-verify", "-inform", "DER", "-in", self.out, "-CAfile", self.ra.campaign_anchor]
        done = subprocess.run([*map(str, ask), "-purpose", "any"], capture_output=True, check=True)
        assert done.stdout == DOCUMENT


@pytest.fixture(scope="module")
def ra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockRa]:
    with MockRa(tmp_path_factory.mktemp("ra") / "data") as made:
        yield made


@pytest.fixture
def counter(tmp_path: Path, ra: MockRa, virtual_readers: VirtualReaders) -> Iterator[Counter]:
    with RelayServer(virtual_readers, tmp_path / "readers.sock") as relay:
        yield Counter(tmp_path, ra, {**os.environ, "HOME": str(tmp_path)}, relay.where)


def test_signed_at_a_terminal(counter: Counter, virtual_readers: VirtualReaders) -> None:
    reader = sorted(virtual_readers.states())[0]
    card = counter.card()
    virtual_readers.insert(reader, card)
    talk = Conversation(counter.words(), counter.env, at_terminal=True)
    talk.hear('Rule "bad week" hits certificates')
    talk.hear("Signing as CN=Mock Campaign Signer")
    talk.hear("You have 3 tries.")
    talk.hear("Passcode (it is not shown):")
    talk.type(WRONG)
    talk.hear("Your passcode was wrong. You have 2 tries left.")
    talk.hear("Passcode (it is not shown):")
    talk.type(PIN)
    talk.hear("Signed campaign test-batch, version 1, as CN=Mock Campaign Signer")
    assert talk.end().status == 0
    assert PIN not in talk.heard and WRONG not in talk.heard
    counter.believed()
    assert card.pin_tries == 3


def test_signed_by_a_script(counter: Counter, virtual_readers: VirtualReaders) -> None:
    reader = sorted(virtual_readers.states())[0]
    virtual_readers.insert(reader, counter.card(AUTH_SLOT))
    done = counter.run("--json", "--slot", "9A", "--reader", reader)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["slot"], said["reader"], said["out"]) == ("9A", reader, str(counter.out))
    assert said["card"].startswith("chuid:")
    counter.believed()


def test_nothing_is_written_where_nobody_types(counter: Counter, virtual_readers: VirtualReaders) -> None:
    reader = sorted(virtual_readers.states())[0]
    virtual_readers.insert(reader, counter.card())
    done = counter.run(typed="")
    assert done.returncode == 1
    assert "No passcode was typed: the campaign is not signed." in done.stderr
    assert not counter.out.exists()
    virtual_readers.remove(reader)
    assert "There is no smartcard in the reader." in counter.run().stderr


def test_the_chain_goes_along(counter: Counter, virtual_readers: VirtualReaders) -> None:
    reader = sorted(virtual_readers.states())[0]
    top = root()
    middle = top.issue("Campaign CA", AUTHORITY, end=NOW + timedelta(days=400))
    card = VirtualCard.create(None)
    put(card, SIGN_SLOT, middle.issue("RA manager", start=NOW - timedelta(days=1), end=NOW + timedelta(days=1)))
    virtual_readers.insert(reader, card)
    chain = counter.folder / "chain.pem"
    chain.write_bytes(middle.certificate.public_bytes(Encoding.PEM))
    assert counter.run().returncode == 0
    with pytest.raises(CampaignError, match="does not lead to the anchor"):
        verify_campaign(counter.out.read_bytes(), [top.certificate], NOW)
    assert counter.run("--chain", str(chain)).returncode == 0
    assert verify_campaign(counter.out.read_bytes(), [top.certificate], NOW).version == 1


def test_paused_with_the_card_at_once(counter: Counter, virtual_readers: VirtualReaders) -> None:
    reader = sorted(virtual_readers.states())[0]
    virtual_readers.insert(reader, counter.card())
    assert counter.run().returncode == 0
    words = [word if word != "sign" else "pause" for word in counter.words("--json")]
    words[words.index(str(counter.draft))] = str(counter.out)
    done = subprocess.run(words, env=counter.env, input=PIN + "\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == 2
    (anchor,) = read_certificates(counter.ra.campaign_anchor)
    assert verify_campaign(counter.out.read_bytes(), [anchor], NOW).paused


def test_signed_through_pcscd(tmp_path: Path, ra: MockRa, private_pcscd: PrivatePcscd) -> None:
    counter = Counter(tmp_path, ra, {**os.environ, **private_pcscd.env, "HOME": str(tmp_path)})
    reader = private_pcscd.reader_names[0]
    with VpcdLink(counter.card(), private_pcscd.ports[0]):
        until(lambda: "There is no smartcard" not in counter.run("--reader", reader, typed="").stderr)
        done = counter.run("--reader", reader)
    assert done.returncode == 0, done.stderr
    counter.believed()


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_signed_with_a_vendors_card(tmp_path: Path, soft_tokens: SoftTokens, always: bool, kind: str) -> None:
    top = root()
    holder = top.issue("RA manager", kind=kind, start=NOW - timedelta(days=1), end=NOW + timedelta(days=1))
    serial = soft_tokens.create()
    soft_tokens.insert(READER, serial)
    other = OtherProgram(soft_tokens, serial)
    other.imports("0a", holder.key, holder.certificate.public_bytes(Encoding.DER), always=always)
    with RelayServer(SoftReaders(soft_tokens, READER), tmp_path / "readers.sock") as relay:
        counter = Counter(tmp_path, cast(MockRa, None), {**os.environ, **soft_tokens.environment}, relay.where)
        counter.configure(pkcs11_module=str(soft_tokens.module))
        done = counter.run("--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["slot"] == "0A"
    assert verify_campaign(counter.out.read_bytes(), [top.certificate], NOW).version == 1
    assert not other.sees_private_keys()


def test_a_password_is_typed_at_the_terminal_and_not_shown(tmp_path: Path) -> None:
    top = root()
    holder = top.issue("RA manager", start=NOW - timedelta(days=1), end=NOW + timedelta(days=1))
    cover = BestAvailableEncryption(b"open sesame")
    key, draft, out = tmp_path / "ra.p12", tmp_path / "draft.json", tmp_path / "a.campaign"
    key.write_bytes(serialize_key_and_certificates(None, holder.key, holder.certificate, None, cover))
    draft.write_bytes(DOCUMENT)
    words = [sys.executable, "-P", "-m", "renewagent", "campaign", "sign", draft, "--key", key, "--out", out]
    talk = Conversation([*map(str, words)], {**os.environ, "HOME": str(tmp_path)}, at_terminal=True)
    talk.hear(f"Password of {key} (it is not shown): ")
    talk.type("open sesame")
    talk.hear("Signed campaign test-batch")
    assert talk.end().status == 0
    assert "sesame" not in talk.heard
    assert verify_campaign(out.read_bytes(), [top.certificate], NOW).version == 1

"""A vendor's card, behind a PKCS#11 module, gets a second key and certificate beside the first: way C."""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pkcs11 import Attribute, ObjectClass

from renewagent.agent import words
from renewagent.agent.campaigns import Accepted
from renewagent.agent.full_inspection import Inspection, Inspector
from renewagent.agent.job import Workplace
from renewagent.agent.journal import Journal
from renewagent.agent.ra_desk import RaDesk, utc_now
from renewagent.agent.renew_card import renew_card
from renewagent.model import Verdict
from renewagent.ra_transport import HttpRaTransport
from renewagent_drivers import drivers, open_card
from renewagent_fixtures.person import ScriptedPerson
from renewagent_fixtures.soft_token import PIN, SoftTokens
from renewagent_fixtures.soft_token.readers import SoftReaders
from tests.flows.test_resumed_elsewhere import places
from tests.flows.workshop import CONTACT, Cut, Killed, Workshop, openssl_verdict, sha256
from tests.soft import OtherProgram

READER = "Vendor Reader 00 00"
OLD, AUTHENTICATION = "0a", "0b"
ORDER = [
    "ready",
    "agreed",
    "ticket-granted",
    "staging",
    "generated",
    "asked",
    "issued",
    "staging",
    "stored",
    "tried",
    "confirmed",
    "receipted",
    "begun",
    "dropped",
    "removed",
    "returned",
    "signed-in",
]


@dataclass
class VendorCard:
    """A token that the RA certified, and the workstation that it is used at."""

    workshop: Workshop
    tokens: SoftTokens
    serial: str
    old: bytes
    folder: Path
    kinds: tuple[str, ...] = ()
    campaign: Accepted | None = None

    def renew(self, *, journal: str = "here", cut: Cut | None = None, rekey: str = "required") -> dict[str, Any]:
        """Insert it, renew it."""
        accepted = self.campaign = self.campaign or self.workshop.campaign(rekey=rekey)
        campaigns = {accepted.campaign.id: accepted}
        readers = SoftReaders(self.tokens, READER)
        self.tokens.insert(READER, self.serial)
        person = ScriptedPerson(
            pins=(PIN,),
            remove=lambda reader, _: self.tokens.remove(reader),
            insert=lambda reader, _: self.tokens.insert(reader, self.serial),
        )
        transport = HttpRaTransport(self.workshop.ra.url, timeout=5)
        desk = RaDesk(transport, self.workshop.anchors, f"{self.workshop.ra.origin}/sign-in", utc_now)
        known = drivers(self.tokens.module)

        def opened(connection: Any) -> Any:
            return open_card(connection, among=known)

        with Journal(self.folder / f"{journal}.db") as kept:
            place = Workplace(
                readers=readers,
                open_card=opened,
                desk=desk,
                journal=cut.journal(kept) if cut else kept,
                prompter=person,
                contact=CONTACT,
            )
            inspector = Inspector(opened, [accepted.campaign], (), desk.standing)
            try:
                return renew_card(place, campaigns, inspector, READER)
            finally:
                self.kinds = tuple(event.name for event in kept.replay())
                transport.close()

    def inspect(self) -> Inspection:
        """What a workstation says that knows nothing of it."""
        assert self.campaign is not None
        self.tokens.insert(READER, self.serial)
        transport = HttpRaTransport(self.workshop.ra.url, timeout=5)
        desk = RaDesk(transport, self.workshop.anchors, f"{self.workshop.ra.origin}/sign-in", utc_now)
        known = drivers(self.tokens.module)
        inspector = Inspector(lambda c: open_card(c, among=known), [self.campaign.campaign], (), desk.standing)
        with closing(transport):
            return inspector.inspect(SoftReaders(self.tokens, READER).connect(READER), utc_now())

    def certificates(self) -> dict[str, bytes]:
        """What lies on the token, by CKA_ID, as another program sees it."""
        self.tokens.insert(READER, self.serial)
        other = OtherProgram(self.tokens, self.serial)
        other.starts_afresh()
        return {found[Attribute.ID].hex(): found[Attribute.VALUE] for found in other.objects(ObjectClass.CERTIFICATE)}

    def assert_renewed(self) -> None:
        """One signing certificate, new, trusted, with its key; the old pair is gone, and its certificate revoked."""
        ((at, new),) = ((at, der) for at, der in self.certificates().items() if at != AUTHENTICATION)
        assert at != OLD and new != self.old
        assert (openssl_verdict(self.workshop, new), openssl_verdict(self.workshop, self.old)) == (
            "OK",
            "certificate revoked",
        )
        other = OtherProgram(self.tokens, self.serial)
        with other.session(pin=PIN) as session:
            keys = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
            assert sorted(key.id.hex() for key in keys) == sorted([at, AUTHENTICATION])


@pytest.fixture(params=["p256", "rsa2048"])
def vendor_card(
    request: pytest.FixtureRequest, workshop: Workshop, soft_tokens: SoftTokens, tmp_path: Path
) -> VendorCard:
    return made(workshop, soft_tokens, tmp_path, request.param)


def made(workshop: Workshop, tokens: SoftTokens, folder: Path, kind: str) -> VendorCard:
    """A token with a signing and an authentication certificate, issued forty days ago."""
    serial = tokens.create()
    tokens.insert(READER, serial)
    holder = f"CN=Dr {secrets.token_hex(6)},O=Mock Hospital,C=GB"
    issued = utc_now() - timedelta(days=40)
    old = b""
    for at, profile in ((OLD, "signing"), (AUTHENTICATION, "authentication")):
        key: Any = ec.generate_private_key(ec.SECP256R1()) if kind == "p256" else rsa.generate_private_key(65537, 2048)
        der = workshop.ra.issue(key.public_key(), holder, profile, not_before=issued)  # type: ignore[arg-type]
        OtherProgram(tokens, serial).imports(at, key, der)
        old = der if at == OLD else old
    return VendorCard(workshop, tokens, serial, old, folder)


def test_a_second_key_is_made_tried_and_the_first_deleted(vendor_card: VendorCard) -> None:
    outcome = vendor_card.renew()
    assert list(vendor_card.kinds) == ORDER
    assert (outcome["way"], outcome["state"], outcome["old"]["sha256"]) == ("C", "done", sha256(vendor_card.old))
    assert all(outcome[name] for name in ("trial_signature", "receipt", "removed", "signed_in"))
    vendor_card.assert_renewed()


def test_with_the_same_key_allowed_nothing_new_is_made(
    workshop: Workshop, soft_tokens: SoftTokens, tmp_path: Path
) -> None:
    card = made(workshop, soft_tokens, tmp_path, "p256")
    before = x509.load_der_x509_certificate(card.old).public_key()
    outcome = card.renew(rekey="allowed")
    assert (outcome["way"], outcome["state"]) == ("A", "done")
    held = card.certificates()
    assert set(held) == {OLD, AUTHENTICATION} and held[OLD] != card.old
    assert x509.load_der_x509_certificate(held[OLD]).public_key() == before


@pytest.mark.parametrize(
    ("ending", "elsewhere"),
    [("journalled", False), ("lost", False), ("journalled", True)],
    ids=["here", "lost", "other"],
)
@pytest.mark.parametrize("at", places(ORDER))
def test_it_goes_on_after_the_process_ended(
    workshop: Workshop, soft_tokens: SoftTokens, tmp_path: Path, at: int, ending: str, elsewhere: bool
) -> None:
    card = made(workshop, soft_tokens, tmp_path, "p256")
    with pytest.raises(Killed):
        card.renew(cut=Cut(at, lost=ending == "lost"))
    held = card.certificates().values()
    assert card.old in held or ORDER[at] in ("begun", "dropped", "removed", "returned", "signed-in")
    card.renew(journal="elsewhere" if elsewhere else "here")
    card.assert_renewed()
    if elsewhere and ORDER[at] in ("receipted", "begun"):
        assert card.renew()["state"] == "done"  # back where it began: somebody else has tidied up
        card.assert_renewed()


def test_an_old_pair_that_was_left_is_seen_at_any_workstation(
    workshop: Workshop, soft_tokens: SoftTokens, tmp_path: Path
) -> None:
    card = made(workshop, soft_tokens, tmp_path, "p256")
    with pytest.raises(Killed):
        card.renew(cut=Cut(ORDER.index("receipted")))
    seen = card.inspect()
    assert (seen.judgement.finding.verdict, seen.judgement.finding.reason) == (Verdict.PART_WAY, words.OLD_LEFT)
    card.renew(journal="elsewhere")
    assert card.inspect().judgement.finding.verdict is Verdict.UNAFFECTED


def test_what_no_renewal_has_replaced_is_left_alone(
    workshop: Workshop, soft_tokens: SoftTokens, tmp_path: Path
) -> None:
    """An older signing certificate of the same person, on the same card, revoked by an officer."""
    card = made(workshop, soft_tokens, tmp_path, "p256")
    card.renew()
    held = card.certificates()
    holder = x509.load_der_x509_certificate(card.old).subject.rfc4514_string()
    key = ec.generate_private_key(ec.SECP256R1())
    older = workshop.ra.issue(key.public_key(), holder, "signing", not_before=utc_now() - timedelta(days=400))
    OtherProgram(soft_tokens, card.serial).imports("0c", key, older)
    with workshop.ra.office.lock:
        assert workshop.ra.office.revoke(sha256(older), "superseded")
    outcome = card.renew()
    assert (outcome["verdict"], outcome["renewed"]) == ("UNAFFECTED", False)
    assert card.certificates() == {**held, "0c": older}

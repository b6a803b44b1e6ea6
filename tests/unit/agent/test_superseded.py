"""What may be taken off a card: every proof, and everything that stays because there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.agent.journal import HOUSEKEEPING, JournalEvent
from renewagent.agent.old_keys import TIDIED, TIDYING, old_keys
from renewagent.agent.superseded import Held, Proofs, proofs, superseded
from renewagent.certificates import read_certificate
from renewagent.model import CardIdentity, SigningCertificate, Slot
from tests.made import certificate

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RENEWED = NOW - timedelta(days=20)
CARD = CardIdentity("chuid", "aa4821")
SIGNATURE, AUTHENTICATION, KEY_MANAGEMENT = Slot("9c"), Slot("9a"), Slot("9d")
FIRST, SECOND = Slot("82"), Slot("83")
KEYS = [ec.generate_private_key(ec.SECP256R1()).public_key() for _ in range(6)]
OLD, NEW, OTHER = 0, 1, 2


def spki(key: int) -> bytes:
    return KEYS[key].public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def der(key: int, day: int, **fields: Any) -> bytes:
    """Issued so many days before the renewal."""
    begins = RENEWED - timedelta(days=day)
    return certificate(KEYS[key], **{"not_before": begins, "not_after": NOW + timedelta(days=300), **fields})


def held(slot: Slot, key: int | None, cert: bytes | None, *, torn: bool = False) -> Held:
    return Held(slot, None if key is None else spki(key), cert, torn)


BEFORE, AFTER = der(OLD, 100), der(NEW, 0)
PARKED, MAIN = held(FIRST, OLD, BEFORE), held(SIGNATURE, NEW, AFTER)
NOTHING = Proofs()
REPLACED = Proofs(replaced={spki(OLD): (read_certificate(BEFORE), RENEWED)})


@dataclass
class Ra:
    """Says whether certificates are gone, and was asked so often."""

    gone: bool = True
    asked: int = 0

    def __call__(self, old: SigningCertificate, new: SigningCertificate) -> bool:
        self.asked += 1
        return self.gone


def going(
    retired: Sequence[Held], main: Sequence[Held] = (MAIN,), known: Proofs = NOTHING, days: int = 14, gone: bool = False
) -> list[Slot]:
    return [one.slot for one in superseded(retired, main, known, NOW, days, Ra(gone))]


def test_what_the_journal_knows_goes_after_its_days_without_asking_anybody() -> None:
    ra = Ra()
    assert superseded([PARKED], [MAIN], REPLACED, NOW, 20, ra) == [PARKED]
    assert superseded([PARKED], [MAIN], REPLACED, NOW, 21, ra) == []
    assert ra.asked == 0


def test_what_the_journal_does_not_know_goes_by_the_ras_word_alone() -> None:
    assert going([PARKED], gone=True) == [FIRST]
    assert going([PARKED], gone=False) == []
    too_early = Ra()
    assert superseded([PARKED], [MAIN], NOTHING, NOW, 21, too_early) == []
    assert too_early.asked == 0


@pytest.mark.parametrize("main", [
    [],
    [held(SIGNATURE, None, AFTER)],
    [held(SIGNATURE, NEW, None)],
    [held(SIGNATURE, OTHER, AFTER)],  # another key than the certificate's
    [held(SIGNATURE, NEW, der(NEW, 0, not_after=NOW - timedelta(days=1)))],
    [held(SIGNATURE, NEW, der(NEW, -30))],  # not valid yet
    [held(SIGNATURE, NEW, der(NEW, 200))],  # older than the old one
    [held(SIGNATURE, NEW, der(NEW, 0, subject=x509.Name.from_rfc4514_string("CN=Dr Bob")))],
    [held(SIGNATURE, NEW, der(NEW, 0, issuer=x509.Name.from_rfc4514_string("CN=Another CA")))],
    [held(SIGNATURE, NEW, der(NEW, 0, usage=("digital_signature",)))],
    [held(SIGNATURE, NEW, b"no certificate")],
    [held(SIGNATURE, OLD, der(OLD, 0))],  # the same key, renewed: a move that was cut short left it twice
    [held(SIGNATURE, None, None), held(AUTHENTICATION, NEW, AFTER)],  # it is the signing slot that must be well
])  # fmt: skip
def test_nothing_goes_unless_a_working_credential_took_over(main: list[Held]) -> None:
    assert going([PARKED], main, REPLACED, days=0, gone=True) == []


@pytest.mark.parametrize(
    "usage", [("key_encipherment",), ("key_agreement",), ("digital_signature", "key_encipherment")]
)
def test_a_key_that_decrypts_stays_for_ever(usage: tuple[str, ...]) -> None:
    """That is what retired slots are for; its successor is in 9D, and the RA has revoked it long since."""
    old, new = der(OLD, 100, usage=usage), der(NEW, 0, usage=usage)
    main = [held(SIGNATURE, OTHER, der(OTHER, 0)), held(KEY_MANAGEMENT, NEW, new)]
    known = Proofs(replaced={spki(OLD): (read_certificate(old), RENEWED)})
    for proof in (NOTHING, known):
        assert going([held(FIRST, OLD, old)], main, proof, days=0, gone=True) == []


def test_a_certificate_beside_another_key_proves_nothing() -> None:
    assert going([held(FIRST, OTHER, BEFORE)], days=0, gone=True) == []


def test_an_old_authentication_key_goes_as_well() -> None:
    old, new = (der(key, day, usage=("digital_signature",)) for key, day in ((3, 100), (4, 0)))
    assert going([held(FIRST, 3, old)], [MAIN, held(AUTHENTICATION, 4, new)], gone=True) == [FIRST]


def test_only_the_last_old_key_is_kept_for_its_days() -> None:
    older = der(3, 300)
    known = replace(REPLACED, replaced={**REPLACED.replaced, spki(3): (read_certificate(older), NOW)})
    assert going([held(SECOND, 3, older), PARKED], known=known, days=100) == [SECOND]
    assert going([held(SECOND, 3, older), PARKED], days=100, gone=True) == [SECOND]
    other_use = held(FIRST, OLD, der(OLD, 100, usage=("digital_signature",)))
    assert going([held(SECOND, 3, older), other_use], days=100, gone=True) == []


def test_a_key_that_was_made_here_and_never_certified_goes_after_its_days() -> None:
    known = Proofs(made={spki(OTHER): RENEWED})
    assert going([held(FIRST, OTHER, None)], known=known, days=20) == [FIRST]
    assert going([held(FIRST, OTHER, None)], known=known, days=21) == []
    assert going([held(FIRST, OTHER, None)], days=0, gone=True) == []  # of whoever it is
    assert going([held(FIRST, OTHER, der(OTHER, 0))], known=known, days=0) == []  # it may have been at work since


def test_certificates_without_a_key() -> None:
    alone = held(FIRST, None, BEFORE)
    assert going([alone]) == []
    assert going([alone], gone=True) == [FIRST]
    assert going([alone], known=Proofs(certificates=frozenset({hashlib.sha256(BEFORE).hexdigest()}))) == [FIRST]
    assert going([held(FIRST, None, AFTER)]) == [FIRST]  # a copy of what is in 9C
    assert going([held(FIRST, None, None, torn=True)], gone=True) == []
    assert going([held(FIRST, None, None, torn=True)], known=Proofs(slots=frozenset({FIRST}))) == [FIRST]
    assert going([held(FIRST, OTHER, None, torn=True)], known=Proofs(slots=frozenset({FIRST}))) == []
    assert going([held(FIRST, None, b"unreadable")], gone=True) == []


# -- out of the journal -----------------------------------------------------------------------------------------------


def journal(*said: tuple[str, str, dict[str, str]], card: str = str(CARD)) -> list[JournalEvent]:
    return [JournalEvent(n, RENEWED, renewal, card, name, f) for n, (renewal, name, f) in enumerate(said, 1)]


BEGUN = ("r", "ready", {"way": "B", "old_certificate": BEFORE.hex()})
STAGED = ("r", "staging", {"staging": "83", "parking": "82"})
GENERATED = ("r", "generated", {"public_key": spki(NEW).hex()})
ISSUED = ("r", "issued", {"certificate": AFTER.hex()})
MOVED = ("r", "moved", {"moved": "yes"})
SIGNED_IN: tuple[str, str, dict[str, str]] = ("r", "signed-in", {})
WHOLE = (BEGUN, STAGED, GENERATED, ISSUED, MOVED, SIGNED_IN)


def test_a_finished_renewal_proves_what_it_replaced() -> None:
    known = proofs(journal(*WHOLE), CARD)
    assert known.replaced == {spki(OLD): (read_certificate(BEFORE), RENEWED)}
    assert known.slots == {FIRST, SECOND}
    assert known.certificates == {hashlib.sha256(one).hexdigest() for one in (BEFORE, AFTER)}
    assert going([PARKED], known=known) == [FIRST]


@pytest.mark.parametrize("said", [
    WHOLE[:-1],  # not over
    (*WHOLE[:-1], ("r", "found-nothing", {})),  # given up
    tuple((renewal, name, {**fields, "certificate": der(OLD, 0).hex()}) for renewal, name, fields in WHOLE),  # way A's
])  # fmt: skip
def test_another_does_not(said: tuple[tuple[str, str, dict[str, str]], ...]) -> None:
    assert proofs(journal(*said), CARD).replaced == {}


def test_the_journal_of_another_card_proves_nothing() -> None:
    assert proofs(journal(*WHOLE, card="chuid:bb9558"), CARD) == NOTHING


def test_what_a_cleaning_was_at_is_known_until_it_is_over() -> None:
    begun = (HOUSEKEEPING, TIDYING, {"slots": "84 85", "history": "5300"})
    assert proofs(journal(begun), CARD).slots == {Slot("84"), Slot("85")}
    assert proofs(journal(begun), CARD).history == b"\x53\x00"
    assert proofs(journal(begun, (HOUSEKEEPING, TIDIED, {"slots": "84 85"})), CARD) == NOTHING


@pytest.mark.parametrize(("said", "slots"), [
    (WHOLE, ["82"]),
    (WHOLE[:-1], []),
    ((*WHOLE, (HOUSEKEEPING, TIDIED, {"slots": "82"})), []),
    ((*WHOLE, (HOUSEKEEPING, TIDIED, {"slots": "83"})), ["82"]),
    ((*WHOLE[:-1], (HOUSEKEEPING, TIDIED, {"slots": "82"}), SIGNED_IN), []),
    (((HOUSEKEEPING, TIDIED, {"slots": "82"}), *WHOLE), ["82"]),
    (tuple((r, n, {**f, "way": "D"}) for r, n, f in WHOLE), []),
])  # fmt: skip
def test_which_old_keys_are_kept(said: tuple[tuple[str, str, dict[str, str]], ...], slots: list[str]) -> None:
    events = journal(*said)
    assert [key.slot for key in old_keys(events, CARD)] == slots
    assert old_keys(events, CardIdentity("chuid", "bb9558")) == []
    for key in old_keys(events):
        assert key.document(14)["kept_until"] == f"{RENEWED + timedelta(days=14):%Y-%m-%dT%H:%M:%SZ}"

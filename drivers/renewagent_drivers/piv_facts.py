"""What a PIV card tells of itself and of its keys: which card it is, what a slot's key is like, how many tries remain.

Everything here reads, by an applet that is selected; nothing needs the PIN.
"""

from __future__ import annotations

from renewagent.card.apdu import StatusWord
from renewagent.card.head import KeyKind, certificate_head, certificate_key, public_key_kind
from renewagent.errors import CardDataError, CardRefused, UnsupportedCard
from renewagent.language import _
from renewagent.model import CardIdentity, Slot
from renewagent_drivers.piv_applet import KINDS, PivApplet, reference
from renewagent_drivers.piv_objects import (
    AUTHENTICATION,
    CHUID,
    KEY_HISTORY,
    RETIRED_SLOTS,
    certificate_in,
    certificate_object,
    guid_in,
    parse,
    retired_in_use,
)
from renewagent_drivers.piv_probe import read_serial
from renewagent_drivers.piv_signing import PinPolicy, SlotKey, default_policy

_ALGORITHM, _POLICY = 0x01, 0x02  # fields of Yubico's METADATA
_POLICIES = {1: PinPolicy.NEVER, 2: PinPolicy.ONCE, 3: PinPolicy.ALWAYS, 4: PinPolicy.ONCE, 5: PinPolicy.ALWAYS}
NO_KEY = frozenset({StatusWord.REFERENCE_NOT_FOUND, StatusWord.NOT_FOUND})


def read_identity(applet: PivApplet) -> CardIdentity:
    """Which card this is: the CHUID's GUID; where that is missing or zero, the serial number that Yubico's extension
    tells, in decimal as it is printed on the card; else the fingerprint of the
    authentication certificate, which names the card until that certificate is renewed. Raises UnsupportedCard."""
    guid = _read_guid(applet)
    if guid is not None:
        return CardIdentity("chuid", guid.hex())
    serial = read_serial(applet)
    if serial is not None:
        return CardIdentity("serial", serial)
    certificate = read_certificate_object(applet, AUTHENTICATION)
    if certificate is not None:
        import hashlib  # see renewagent.model

        return CardIdentity("certificate", hashlib.sha256(certificate).hexdigest())
    raise UnsupportedCard(_("This smartcard carries nothing by which it could be told from another."))


def _read_guid(applet: PivApplet) -> bytes | None:
    chuid = applet.data_object(CHUID)
    try:
        return None if chuid is None else guid_in(chuid)
    except ValueError:  # a broken CHUID names no card; another name may
        return None


def read_certificate_object(applet: PivApplet, slot: Slot) -> bytes | None:
    """The certificate (DER) of `slot`, None when there is none. Raises CardDataError."""
    data = applet.data_object(certificate_object(slot))
    if data is None:
        return None
    try:
        certificate = certificate_in(data)
    except ValueError as e:
        raise CardDataError(
            _("The certificate in slot {slot} of the smartcard cannot be read: {why}.").format(slot=slot, why=e)
        ) from e
    if certificate is not None and certificate_head(certificate, len(certificate)) is None:
        raise CardDataError(
            _("The certificate in slot {slot} of the smartcard cannot be read: it is cut short.").format(slot=slot)
        )
    return certificate


def retired_slots_in_use(applet: PivApplet) -> tuple[Slot, ...]:
    """Retired slots whose certificates the Key History object says are on the card; none where it says nothing."""
    history = applet.data_object(KEY_HISTORY)
    try:
        return RETIRED_SLOTS[: retired_in_use(history)] if history is not None else ()
    except ValueError:
        return ()


def read_metadata(applet: PivApplet, key_reference: int) -> dict[int, bytes]:
    """Yubico's METADATA of a key or PIN; empty where the card does not know it, or answers oddly."""
    response = applet.metadata(key_reference)
    try:
        return parse(response.data) if response.ok else {}
    except ValueError:
        return {}


def management_key_algorithm(applet: PivApplet, key_reference: int) -> int | None:
    """The algorithm that the card wants for its management key, None where it does not say."""
    algorithm = read_metadata(applet, key_reference).get(_ALGORITHM, b"")
    return algorithm[0] if len(algorithm) == 1 else None


def read_slot_key(applet: PivApplet, slot: Slot, generated: bytes | None) -> SlotKey:
    """Kind and PIN policy of the key in `slot`: from METADATA, else from `generated` (its SubjectPublicKeyInfo, when we
    made it), else from the certificate, with the standard's policy. Raises CardRefused for an empty slot."""
    response = applet.metadata(reference(slot))
    if response.sw in NO_KEY:
        raise CardRefused(_("There is no key in slot {slot} of the smartcard.").format(slot=slot), response.sw)
    try:
        told = parse(response.data) if response.ok else {}
    except ValueError:
        told = {}
    kind = KINDS.get(int.from_bytes(told.get(_ALGORITHM, b""), "big"))
    policy = _POLICIES.get(int.from_bytes(told.get(_POLICY, b"")[:1], "big"), default_policy(slot))
    return SlotKey(kind or _kind_from_data(applet, slot, generated), policy)


def _kind_from_data(applet: PivApplet, slot: Slot, generated: bytes | None) -> KeyKind:
    if generated is None:
        certificate = read_certificate_object(applet, slot)
        if certificate is None:
            sw = StatusWord.REFERENCE_NOT_FOUND
            raise CardRefused(
                _("There is no certificate in slot {slot} of the smartcard to sign under.").format(slot=slot), sw
            )
        generated = certificate_key(certificate)
    kind = public_key_kind(generated)
    if kind not in KINDS.values() or kind is None:
        raise UnsupportedCard(
            _("The key in slot {slot} of the smartcard is of a kind that renewagent does not know.").format(slot=slot)
        )
    return kind

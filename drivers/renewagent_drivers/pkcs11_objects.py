"""What lies on a token: certificates, keys and how they belong together. Reading only; nothing here needs the PIN,
but for private keys, which a token shows to who is logged in. For children: imports cryptography.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, CertificateType, KeyType, ObjectClass

from renewagent.card.head import KeyKind, certificate_head, certificate_key, public_key_kind
from renewagent.certificates import read_certificate
from renewagent.errors import CardDataError, RenewAgentError
from renewagent.language import _
from renewagent.model import Slot

MADE_HERE = "renewagent"
"""The CKA_LABEL of key pairs that renewagent makes: by it they are known for ours, at any workstation."""

_CURVES: dict[bytes, type[ec.EllipticCurve]] = {  # CKA_EC_PARAMS: the DER of the curve's name (RFC 5480 2.1.1.1)
    bytes.fromhex("06082a8648ce3d030107"): ec.SECP256R1,
    bytes.fromhex("06052b81040022"): ec.SECP384R1,
    bytes.fromhex("06052b81040023"): ec.SECP521R1,
}
Session = Any
"""A session of python-pkcs11, whose objects have their type's methods only once they were found."""


def slot_of(found: Any) -> Slot:
    """The slot of an object: its CKA_ID."""
    return Slot(bytes(attribute(found, Attribute.ID) or b"").hex())


def identifier(slot: Slot) -> bytes:
    """The CKA_ID of a slot."""
    return bytes.fromhex(slot.reference)


def attribute(found: Any, name: Attribute) -> Any:
    """An attribute of an object, None where the token does not tell."""
    try:
        return found[name]
    except (pkcs11.AttributeTypeInvalid, pkcs11.AttributeSensitive, pkcs11.FunctionFailed):
        return None


def objects(session: Session, kind: ObjectClass, slot: Slot | None = None) -> list[Any]:
    """All objects of a kind, or those in `slot`."""
    wanted: dict[Attribute, Any] = {Attribute.CLASS: kind}
    if slot is not None:
        wanted[Attribute.ID] = identifier(slot)
    return list(session.get_objects(wanted))


@dataclass(frozen=True, slots=True)
class Stored:
    """A certificate object."""

    slot: Slot
    der: bytes
    handle: Any


def certificates(session: Session, slot: Slot | None = None) -> Iterator[Stored]:
    """X.509 certificates that belong to a key: those with a CKA_ID."""
    return (stored for stored in certificate_objects(session, slot) if stored.der)


def certificate_objects(session: Session, slot: Slot | None = None) -> Iterator[Stored]:
    """The same, and objects for one that a write cut short has left without a value (`der` is empty)."""
    for found in objects(session, ObjectClass.CERTIFICATE, slot):
        kind = attribute(found, Attribute.CERTIFICATE_TYPE)
        at, der = slot_of(found), attribute(found, Attribute.VALUE)
        if kind in (None, CertificateType.X_509) and at.reference:
            yield Stored(at, bytes(der or b""), found)


def certificate_in(session: Session, slot: Slot) -> bytes | None:
    """The certificate of `slot`, the newest where a replacement was cut short half-way, and one that can be read before
    one that cannot. Raises CardDataError."""
    found = [stored.der for stored in certificates(session, slot)]
    whole = [der for der in found if _rank(der) != _TORN]
    return max(whole or found, key=_begins, default=None)


def _begins(der: bytes) -> tuple[float, int]:
    try:
        head = certificate_head(der, len(der))
    except CardDataError as e:
        raise CardDataError(_("A certificate on the smartcard cannot be read: {why}").format(why=e.message)) from e
    if head is None:
        raise CardDataError(_("A certificate on the smartcard cannot be read: it is cut short."))
    return head.not_before.timestamp(), head.serial


def ordered_slots(session: Session) -> tuple[Slot, ...]:
    """The slots that hold certificates of people: what cannot be read first, since it may be the one, then
    certificates for signing prescriptions (contentCommitment), then the rest; among equals the newest first.

    Who asks for the likeliest slot must not be given a certificate for something else: where no certificate is for
    signing, the first slot is an empty one.
    """
    ranked: dict[Slot, tuple[int, float, int]] = {}
    for stored in certificates(session):
        rank = _rank(stored.der)
        if rank is not None and (stored.slot not in ranked or rank < ranked[stored.slot]):
            ranked[stored.slot] = rank
    slots = tuple(sorted(ranked, key=lambda slot: (ranked[slot], slot)))
    if slots and ranked[slots[0]][0] > _SIGNING:
        return (_empty(slots), *slots)
    return slots


_UNREADABLE, _SIGNING, _OTHER = range(3)
_TORN = (_UNREADABLE, 0, 0)


def _rank(der: bytes) -> tuple[int, float, int] | None:
    """None for an authority's certificate, which many cards carry along."""
    try:
        certificate = read_certificate(der)
        begins, serial = _begins(der)
    except RenewAgentError:
        return _TORN
    usage = certificate.key_usage or frozenset()
    if "keyCertSign" in usage:
        return None
    return (_SIGNING if "contentCommitment" in usage else _OTHER, -begins, -serial)


def _empty(taken: tuple[Slot, ...]) -> Slot:
    return next(slot for number in range(256) if (slot := Slot(f"{number:02x}")) not in taken)


# --- keys


def private_key(session: Session, slot: Slot) -> Any | None:
    """The private key in `slot`; the session must be logged in."""
    return next(iter(objects(session, ObjectClass.PRIVATE_KEY, slot)), None)


def public_key(session: Session, slot: Slot) -> bytes | None:
    """The public key in `slot` as DER SubjectPublicKeyInfo, from its own object; None where there is none."""
    found = next(iter(objects(session, ObjectClass.PUBLIC_KEY, slot)), None)
    return None if found is None else key_info(found)


def key_info(found: Any) -> bytes:
    """SubjectPublicKeyInfo of a public key object. Raises CardDataError."""
    try:
        key = _rsa(found) if attribute(found, Attribute.KEY_TYPE) == KeyType.RSA else _ec(found)
    except (ValueError, TypeError, KeyError) as e:
        raise CardDataError(_("A public key on the smartcard makes no sense.")) from e
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _rsa(found: Any) -> rsa.RSAPublicKey:
    modulus, exponent = found[Attribute.MODULUS], found[Attribute.PUBLIC_EXPONENT]
    return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()


def _ec(found: Any) -> ec.EllipticCurvePublicKey:
    curve = _CURVES[bytes(found[Attribute.EC_PARAMS])]()
    point = bytes(found[Attribute.EC_POINT])
    size = 1 + 2 * ((curve.key_size + 7) // 8)
    if len(point) > size:  # as it should be, the DER of an OCTET STRING; some modules give the bare point
        point = point[-size:]
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)


def key_kind(session: Session, slot: Slot, key: Any) -> KeyKind | None:
    """What kind of key a private key is: by its own attributes, its public key, or its certificate."""
    kind = attribute(key, Attribute.KEY_TYPE)
    if kind == KeyType.RSA and (modulus := attribute(key, Attribute.MODULUS)):
        return KeyKind("rsa", int.from_bytes(modulus, "big").bit_length())
    if kind == KeyType.EC and (curve := _CURVES.get(bytes(attribute(key, Attribute.EC_PARAMS) or b""))):
        return KeyKind("ec", curve().key_size)
    info = public_key(session, slot)
    if info is None and (der := certificate_in(session, slot)) is not None:
        info = certificate_key(der)
    return None if info is None else public_key_kind(info)


def made_here_without_certificate(session: Session) -> tuple[Slot, ...]:
    """Key pairs of ours that have no certificate: what a renewal left that was cut short."""
    filled = {stored.slot for stored in certificates(session)}
    ours = {slot_of(found) for found in objects(session, ObjectClass.PUBLIC_KEY) if is_ours(found)}
    return tuple(sorted(slot for slot in ours - filled if slot.reference))


def is_ours(found: Any) -> bool:
    """True for a key that renewagent made."""
    label: str | None = None
    with contextlib.suppress(UnicodeDecodeError):
        label = attribute(found, Attribute.LABEL)
    return label == MADE_HERE


def taken(session: Session) -> frozenset[Slot]:
    """Every CKA_ID in use, as far as one sees: private keys too where somebody is logged in."""
    kinds = (ObjectClass.CERTIFICATE, ObjectClass.PUBLIC_KEY, ObjectClass.PRIVATE_KEY)
    return frozenset(slot_of(found) for kind in kinds for found in objects(session, kind))

"""Writing to a PKCS#11 token: a second key pair, certificates, and taking away what has been replaced. For children.

Nothing here changes a key pair that is there: a new key has a CKA_ID of its own, and the old one goes only by `remove`.
How a session begins and ends is `pkcs11.Pkcs11Driver.administration`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pkcs11
from cryptography import x509
from pkcs11 import Attribute, CertificateType, MechanismFlag, ObjectClass
from pkcs11 import KeyType as TokenKeyType
from pkcs11.util.ec import encode_named_curve_parameters

from renewagent.card.interface import KeyType
from renewagent.errors import CardDataError, CardRefused, NoRoom
from renewagent.language import _
from renewagent.loading import load_certificate
from renewagent.model import Slot
from renewagent_drivers.pkcs11_errors import DEVICE_MEMORY, GENERAL_ERROR
from renewagent_drivers.pkcs11_objects import (
    MADE_HERE,
    Session,
    certificate_objects,
    identifier,
    is_ours,
    key_info,
    objects,
    taken,
)

T = TypeVar("T")
_RSA = {KeyType.RSA2048: 2048, KeyType.RSA3072: 3072}
_CURVES = {KeyType.P256: "secp256r1", KeyType.P384: "secp384r1"}
_SIGNATURES = MechanismFlag.SIGN | MechanismFlag.VERIFY
_ON_CARD = {Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
_IN_THE_OPEN = {Attribute.PRIVATE: False}


class Pkcs11AdminSession:
    """See `renewagent.card.interface.AdminSession` and `RemovesKeys`. `run` runs an errand in the module's thread."""

    def __init__(self, session: Session, run: Callable[[Callable[[], Any]], Any]) -> None:
        self._session = session
        self._run = run

    def generate(self, slot: Slot, key_type: KeyType, destined: Slot | None = None) -> bytes:
        """C_GenerateKeyPair under the CKA_ID of `slot`, which must be free: nothing is replaced. The private key is
        the token's own, sensitive and not extractable. Raises CardRefused, CardDataError."""
        return bytes(self._run(lambda: self._generate(slot, key_type)))

    def store(self, slot: Slot, certificate: bytes | None) -> None:
        """C_CreateObject, then away with an older certificate of the same key, so that there is one at any time; None
        takes all away. Raises CardRefused."""
        self._run(lambda: self._store(slot, certificate))

    def remove(self, slot: Slot) -> None:
        """Take away a key pair and its certificate; what is gone already is no error. Raises CardRefused."""
        self._run(lambda: self._remove(slot))

    def require_room(self, octets: int) -> None:
        """Prove that the card has room for so much by writing it, and taking it away. Raises NoRoom."""
        self._run(lambda: self._try_room(octets))

    def _generate(self, slot: Slot, key_type: KeyType) -> bytes:
        if slot in taken(self._session):
            raise CardRefused(
                _("There is a key or certificate in slot {slot} already, and it stays.").format(slot=slot),
                GENERAL_ERROR,
            )
        templates = {
            "id": identifier(slot),
            "label": MADE_HERE,
            "store": True,
            "capabilities": _SIGNATURES,
            "public_template": _IN_THE_OPEN,
            "private_template": _ON_CARD,
        }
        if key_type in _RSA:
            pair = self._session.generate_keypair(TokenKeyType.RSA, _RSA[key_type], **templates)
        else:
            named = {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVES[key_type])}
            curve = self._session.create_domain_parameters(TokenKeyType.EC, named, local=True)
            pair = curve.generate_keypair(**templates)
        return key_info(pair[0])

    def _store(self, slot: Slot, certificate: bytes | None) -> None:
        before = list(certificate_objects(self._session, slot))
        if certificate is not None and any(stored.der == certificate for stored in before):
            before = [stored for stored in before if stored.der != certificate]
        elif certificate is not None:
            self._session.create_object(_certificate_template(slot, certificate))
        for stored in before:
            stored.handle.destroy()

    def _remove(self, slot: Slot) -> None:
        """Cut short, it must leave what any workstation can tell for a leftover: of ours a key pair without a
        certificate (see `made_here_without_certificate`), of others' a certificate older than that of the new key."""
        pairs = [
            *objects(self._session, ObjectClass.PRIVATE_KEY, slot),
            *objects(self._session, ObjectClass.PUBLIC_KEY, slot),
        ]
        held = [stored.handle for stored in certificate_objects(self._session, slot)]
        ours = any(is_ours(found) for found in pairs)
        for found in [*held, *pairs] if ours else [*pairs, *held]:
            found.destroy()

    def _try_room(self, octets: int) -> None:
        trial = {Attribute.CLASS: ObjectClass.DATA, Attribute.LABEL: MADE_HERE, Attribute.APPLICATION: MADE_HERE}
        for found in list(self._session.get_objects(trial)):  # of a trial that was cut short
            found.destroy()
        filled = {**trial, Attribute.TOKEN: True, Attribute.PRIVATE: False, Attribute.VALUE: bytes(octets)}
        try:
            self._session.create_object(filled).destroy()
        except (pkcs11.DeviceMemory, pkcs11.HostMemory) as e:
            raise NoRoom(_("The smartcard has no room for another key and certificate."), DEVICE_MEMORY) from e
        except pkcs11.DeviceRemoved:
            raise
        except pkcs11.PKCS11Error:  # many cards keep nothing but keys and certificates: then it cannot be known
            return


def _certificate_template(slot: Slot, der: bytes) -> dict[Attribute, Any]:
    try:
        certificate = load_certificate(der)
        serial = certificate.serial_number
        named = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    except ValueError as e:
        raise CardDataError(_("The certificate to be stored cannot be read.")) from e
    return {
        Attribute.CLASS: ObjectClass.CERTIFICATE,
        Attribute.CERTIFICATE_TYPE: CertificateType.X_509,
        Attribute.TOKEN: True,
        Attribute.PRIVATE: False,
        Attribute.ID: identifier(slot),
        Attribute.LABEL: str(named[0].value) if named else MADE_HERE,
        Attribute.SUBJECT: certificate.subject.public_bytes(),
        Attribute.ISSUER: certificate.issuer.public_bytes(),
        Attribute.SERIAL_NUMBER: _integer(serial),
        Attribute.VALUE: der,
    }


def _integer(value: int) -> bytes:
    """DER, as CKA_SERIAL_NUMBER wants it."""
    octets = value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
    return b"\x02" + bytes((len(octets),)) + octets

"""A certificate read whole, for `renewagent.rules.judge`. For children: imports cryptography.

Serial, names and dates come from the reader that reads heads (`card.head`), so that a certificate is judged by the same
values whether it was read in part or in full. A batch can be faulty in ways that cryptography refuses to look past (a
negative serial, say); then asn1crypto reads on, since it is just such certificates that must be recognised.
"""

from __future__ import annotations

import warnings

from asn1crypto import x509 as lenient
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.algorithms import KEY_USAGES, key_algorithm, signature_algorithm
from renewagent.card.head import certificate_algorithms, certificate_head, certificate_names
from renewagent.errors import CardDataError
from renewagent.language import _
from renewagent.loading import UNREADABLE
from renewagent.model import SigningCertificate

_SIZED = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, dsa.DSAPublicKey)
_ASN1CRYPTO_NAMES = {
    "digital_signature": "digitalSignature",
    "non_repudiation": "contentCommitment",
    "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment",
    "key_agreement": "keyAgreement",
    "key_cert_sign": "keyCertSign",
    "crl_sign": "cRLSign",
    "encipher_only": "encipherOnly",
    "decipher_only": "decipherOnly",
}


def read_certificate(der: bytes, card_model: str | None = None) -> SigningCertificate:
    """The certificate `der`, which was read from a card of `card_model`. Raises CardDataError."""
    head = certificate_head(der, len(der))
    if head is None:
        raise CardDataError(_("The certificate on the smartcard cannot be read: it is cut short."))
    _issuer, subject = certificate_names(der)
    signed_with, key_kind = certificate_algorithms(der)
    key_usage, key_bits = _usage_and_bits(der)
    return SigningCertificate(
        head=head,
        subject=subject,
        key_usage=key_usage,
        signature_algorithm=signature_algorithm(signed_with),
        key_algorithm=key_algorithm(key_kind),
        key_bits=key_bits,
        der=der,
        card_model=card_model,
    )


def public_key(der: bytes) -> bytes:
    """DER SubjectPublicKeyInfo of a certificate. Raises what cryptography raises for one that it does not read."""
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _usage_and_bits(der: bytes) -> tuple[frozenset[str] | None, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it deprecates today it refuses tomorrow: see below
            return _by_cryptography(x509.load_der_x509_certificate(der))
    except UNREADABLE:
        pass
    try:
        return _by_asn1crypto(lenient.Certificate.load(der, strict=True))
    except (ValueError, TypeError, LookupError) as e:  # IndexError: an empty BIT STRING
        raise CardDataError(_("The certificate on the smartcard cannot be read.")) from e


def _by_cryptography(certificate: x509.Certificate) -> tuple[frozenset[str] | None, int]:
    usage = stated_key_usage(certificate)
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):  # a kind of key that it does not know, or one with a fault
        return usage, 0
    return usage, key.key_size if isinstance(key, _SIZED) else 0


def stated_key_usage(certificate: x509.Certificate) -> frozenset[str] | None:
    """The names of RFC 5280 4.2.1.3 that `certificate` is marked for; None without the extension.

    Raises what `cryptography` raises for extensions that make no sense (`loading.UNREADABLE`).
    """
    try:
        return _named_usage(certificate.extensions.get_extension_for_class(x509.KeyUsage).value)
    except x509.ExtensionNotFound:
        return None


def _named_usage(found: x509.KeyUsage) -> frozenset[str]:
    bits = (
        found.digital_signature,
        found.content_commitment,
        found.key_encipherment,
        found.data_encipherment,
        found.key_agreement,
        found.key_cert_sign,
        found.crl_sign,
        found.key_agreement and found.encipher_only,  # cryptography does not tell these two without key_agreement
        found.key_agreement and found.decipher_only,
    )
    return frozenset(name for name, bit in zip(KEY_USAGES, bits, strict=True) if bit)


def _by_asn1crypto(certificate: lenient.Certificate) -> tuple[frozenset[str] | None, int]:
    found = certificate.key_usage_value
    usage = None if found is None else frozenset(_ASN1CRYPTO_NAMES[name] for name in found.native)
    public_key = certificate.public_key
    try:
        bits = int(public_key.bit_size) if public_key.algorithm in ("rsa", "ec", "dsa") else 0
    except (ValueError, LookupError):
        bits = 0
    return usage, bits

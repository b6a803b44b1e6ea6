"""What an RA says beforehand of the keys that it certifies: id-it-certReqTemplate (RFC 9483 4.3.3, RFC 9810 5.3.19.16).

Of the template itself nothing is taken: an update keeps the old certificate's contents. `keySpec` is what can refuse a
key that a smartcard has already made, so it is asked for before.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat import asn1

from renewagent.cmp import der

CertifiedKeys = frozenset[tuple[str, int]] | None
"""Keys of which an RA certifies one, as ("rsa" or "ec", bits); None where it certifies any."""

_ALGORITHM = x509.ObjectIdentifier("1.3.6.1.5.5.7.5.1.11")  # id-regCtrl-algId: any but RSA
_RSA_BITS = x509.ObjectIdentifier("1.3.6.1.5.5.7.5.1.12")  # id-regCtrl-rsaKeyLen
_EC_BITS = {  # AlgorithmIdentifier: id-ecPublicKey with a named curve (RFC 5480 2.1.1)
    bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"): 256,
    bytes.fromhex("301006072a8648ce3d020106052b81040022"): 384,
}


@asn1.sequence
class _Control:
    oid: x509.ObjectIdentifier
    value: asn1.TLV


@asn1.sequence
class _RsaBits:
    bits: int


def read_certified_keys(value: bytes | None) -> CertifiedKeys:
    """From the infoValue of a genp (CertReqTemplateContent); none at all, and one without keySpec, requires nothing.
    Kinds that no smartcard makes are left out. Raises ValueError."""
    if value is None:
        return None
    parts = der.split(der.unwrap(value, der.SEQUENCE))
    if not 1 <= len(parts) <= 2:
        raise ValueError("neither a template nor a template with a keySpec")
    der.unwrap(parts[0], der.SEQUENCE)
    if len(parts) == 1:
        return None
    controls = [asn1.decode_der(_Control, part) for part in der.split(der.unwrap(parts[1], der.SEQUENCE))]
    return frozenset(kind for control in controls if (kind := _kind(control)) is not None)


def _kind(control: _Control) -> tuple[str, int] | None:
    value = der.raw(control.value)
    if control.oid == _RSA_BITS:
        return "rsa", asn1.decode_der(_RsaBits, der.sequence((value,))).bits
    if control.oid == _ALGORITHM and value in _EC_BITS:
        return "ec", _EC_BITS[value]
    return None

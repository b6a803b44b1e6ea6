"""CMS SignedData (RFC 5652): campaigns, tickets and receipts travel in it. For children only: it loads cryptography.

`sign` wraps content with an attached signature and the chain; `open_signed` takes it apart and checks the signature
and nothing beyond: who may sign what, and whether the certificate chains to an anchor, is the caller's to judge.
Without that chain nothing in the certificate but its key is vouched for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asn1crypto import cms, util
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

from renewagent.language import _
from renewagent.loading import load_certificate, serial_number

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
# What asn1crypto and cryptography let out on broken input, besides ValueError.
_BROKEN = (
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
    UnsupportedAlgorithm,
)


@dataclass(frozen=True, slots=True)
class SignedContent:
    """What was signed and by whom. `signing_time` is the signer's claim (aware UTC), None where absent.

    `digest` is "sha256", "sha384" or "sha512"; `signature_algorithm` is "rsassa_pkcs1v15" or "ecdsa".
    """

    content: bytes
    certificate: x509.Certificate
    others: tuple[x509.Certificate, ...]
    signing_time: datetime | None
    digest: str
    signature_algorithm: str


def sign(
    content: bytes,
    certificate: x509.Certificate,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    chain: Sequence[x509.Certificate] = (),
) -> bytes:
    """DER of SignedData around `content` (id-data, SHA-256, binary), with the certificate and `chain` inside.

    `key` may be a card's: it is asked for exactly one signature. signingTime is the system's clock.
    """
    builder = PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, hashes.SHA256())
    for other in chain:
        if other != certificate:
            builder = builder.add_certificate(other)
    return builder.sign(Encoding.DER, [PKCS7Options.Binary, PKCS7Options.NoCapabilities])


def open_signed(octets: bytes) -> SignedContent:
    """The content and its signer, the signature checked. Raises ValueError that says what is wrong."""
    try:
        return _open(octets)
    except InvalidSignature as error:
        raise ValueError(_("the signature over the content is wrong")) from error
    except _BROKEN as error:
        raise ValueError("not CMS SignedData") from error


def _open(octets: bytes) -> SignedContent:
    signed = _signed_data(octets)
    content = _content(signed)
    signer = _only_signer(signed)
    certificates = _certificates(signed)
    certificate = _signer_certificate(signer, certificates)
    digest = _digest_name(signer)
    attributes = _attributes(signer)
    _check_attributes(attributes, hashlib.new(digest, content).digest())
    algorithm = _check_signature(signer, certificate, digest)
    others = tuple(c for c in certificates if c != certificate)
    return SignedContent(content, certificate, others, _signing_time(attributes), digest, algorithm)


def _signed_data(octets: bytes) -> Any:
    info = cms.ContentInfo.load(octets, strict=True)
    if info["content_type"].native != "signed_data":
        raise ValueError(_("CMS, but not SignedData"))
    return info["content"]


def _content(signed: Any) -> bytes:
    inner = signed["encap_content_info"]
    if inner["content_type"].native != "data":
        raise ValueError(_("the signed content is not plain data"))
    content = inner["content"].native
    if not isinstance(content, bytes):
        raise ValueError(_("the signed content is not inside"))
    return content


def _only_signer(signed: Any) -> Any:
    signers = signed["signer_infos"]
    if len(signers) != 1:
        raise ValueError(_("{signers} signers where there must be one").format(signers=len(signers)))
    return signers[0]


def _certificates(signed: Any) -> list[x509.Certificate]:
    if not isinstance(signed["certificates"], cms.CertificateSet):
        return []
    found = signed["certificates"]
    return [load_certificate(c.chosen.dump()) for c in found if c.name == "certificate"]


def _signer_certificate(signer: Any, certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    sid = signer["sid"]
    for certificate in certificates:
        if sid.name == "issuer_and_serial_number":
            issuer, serial = sid.chosen["issuer"].dump(), sid.chosen["serial_number"].native
            if serial_number(certificate) == serial and certificate.issuer.public_bytes() == issuer:
                return certificate
        elif _key_identifier(certificate) == sid.chosen.native:
            return certificate
    raise ValueError(_("the signer's certificate is not inside"))


def _key_identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


def _digest_name(signer: Any) -> str:
    name = signer["digest_algorithm"]["algorithm"].native
    if name not in _HASHES:
        raise ValueError(_("hash {name} is not accepted").format(name=name))
    return str(name)


def _attributes(signer: Any) -> dict[str, Any]:
    if not isinstance(signer["signed_attrs"], cms.CMSAttributes):
        raise ValueError(_("a signature without signed attributes"))
    found: dict[str, Any] = {}
    for attribute in signer["signed_attrs"]:
        name, values = attribute["type"].native, attribute["values"]
        if name in found or len(values) != 1:  # RFC 5652 5.3, 11
            raise ValueError(_("signed attribute {name} does not stand exactly once").format(name=name))
        found[name] = values[0].native
    return found


def _check_attributes(attributes: dict[str, Any], digest: bytes) -> None:
    if attributes.get("content_type") != "data":
        raise ValueError(_("the signed content type is missing or another one"))
    if attributes.get("message_digest") != digest:
        raise ValueError(_("the content is not what was signed"))


def _check_signature(signer: Any, certificate: x509.Certificate, digest: str) -> str:
    # The signature covers the attributes with the tag of a SET OF (RFC 5652 5.4).
    covered = b"\x31" + signer["signed_attrs"].dump()[1:]
    signature, algorithm = signer["signature"].native, signer["signature_algorithm"]
    kind, key = algorithm.signature_algo, certificate.public_key()
    if algorithm["algorithm"].native not in ("rsassa_pkcs1v15", kind) and algorithm.hash_algo != digest:
        raise ValueError(_("the signature uses another hash than it says"))
    if kind == "rsassa_pkcs1v15" and isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, covered, padding.PKCS1v15(), _HASHES[digest])
    elif kind == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, covered, ec.ECDSA(_HASHES[digest]))
    else:
        raise ValueError(_("signature algorithm {kind} is not accepted, or does not fit the key").format(kind=kind))
    return str(kind)


def _signing_time(attributes: dict[str, Any]) -> datetime | None:
    at = attributes.get("signing_time")
    if at is None:
        return None
    if not isinstance(at, datetime) or isinstance(at, util.extended_datetime):
        raise ValueError(_("a signing time that makes no sense"))
    return at.astimezone(UTC)

"""CRMF (RFC 4211): certificate requests with their template, controls and proof of possession. Wire types and codec.

A decoded request keeps its CertRequest as received (`raw`), which is what the proof of possession signs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1

from renewagent.cmp import codec, der
from renewagent.cmp.wire import Algorithm, CertId, InfoValue, Oid

_ISSUER, _SUBJECT, _PUBLIC_KEY = 0xA3, 0xA5, 0xA6  # RFC 4211 5
_POPO_RA_VERIFIED, _POPO_SIGNATURE = 0x80, 0xA1  # RFC 4211 4, IMPLICIT tags


@dataclass(frozen=True, slots=True)
class CertTemplate:
    """What is asked for; None where the CA may choose. Names and `public_key` (SubjectPublicKeyInfo) are DER.

    An end entity leaves `version`, `serial`, `signing_algorithm` and `issuer` alone, but in an rr, where issuer and
    serial name the certificate.
    """

    subject: bytes | None = None
    public_key: bytes | None = None
    issuer: bytes | None = None
    serial: int | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    extensions: tuple[TemplateExtension, ...] = ()
    version: int | None = None
    signing_algorithm: Algorithm | None = None


@dataclass(frozen=True, slots=True)
class TemplateExtension:
    """One extension; `value` is the DER inside the OCTET STRING."""

    oid: x509.ObjectIdentifier
    value: bytes
    critical: bool = False


@dataclass(frozen=True, slots=True)
class CertRequest:
    """CertRequest. `controls` are (OID, DER) pairs. `raw` is its DER, filled by `encode_request` and by decoding."""

    cert_req_id: int
    template: CertTemplate
    controls: tuple[InfoValue, ...] = ()
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class SignaturePopo:
    """Proof by a signature. `key_input` is the raw POPOSigningKeyInput where there is one; else it is over `raw`."""

    algorithm: Algorithm
    signature: bytes
    key_input: bytes | None = None


@dataclass(frozen=True, slots=True)
class OtherPopo:
    """Any other proof, as received. `ra_verified` for a claim by an RA that it has checked."""

    raw: bytes

    @property
    def ra_verified(self) -> bool:
        """True for raVerified."""
        return self.raw == bytes((_POPO_RA_VERIFIED, 0))


@dataclass(frozen=True, slots=True)
class CertReqMsg:
    """One request with its proof; `reg_info` is raw."""

    request: CertRequest
    popo: SignaturePopo | OtherPopo | None = None
    reg_info: bytes | None = None


@asn1.sequence
class _Extension:
    oid: x509.ObjectIdentifier
    critical: Annotated[bool, asn1.Default(False)]
    value: bytes


@asn1.sequence
class _Validity:
    not_before: Annotated[asn1.UTCTime | asn1.GeneralizedTime | None, asn1.Explicit(0)]
    not_after: Annotated[asn1.UTCTime | asn1.GeneralizedTime | None, asn1.Explicit(1)]


@asn1.sequence
class _Template:
    version: Annotated[int | None, asn1.Implicit(0)]
    serial: Annotated[int | None, asn1.Implicit(1)]
    signing_algorithm: Annotated[list[asn1.TLV] | None, asn1.Implicit(2)]
    issuer: Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]  # EXPLICIT: Name is a CHOICE
    validity: Annotated[_Validity | None, asn1.Implicit(4)]
    subject: Annotated[list[asn1.TLV] | None, asn1.Explicit(5)]
    public_key: Annotated[list[asn1.TLV] | None, asn1.Implicit(6)]
    issuer_uid: Annotated[asn1.BitString | None, asn1.Implicit(7)]
    subject_uid: Annotated[asn1.BitString | None, asn1.Implicit(8)]
    extensions: Annotated[list[_Extension] | None, asn1.Implicit(9)]


@asn1.sequence
class _CertRequest:
    cert_req_id: int
    template: _Template
    controls: list[list[asn1.TLV]] | None


@asn1.sequence
class _SigningKey:
    key_input: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    algorithm: list[asn1.TLV]
    signature: asn1.BitString


@asn1.sequence
class _CertId:
    issuer: asn1.TLV
    serial: int


def template(octets: bytes) -> CertTemplate:
    """DER of a CertTemplate, read. Raises ValueError."""
    return _template(asn1.decode_der(_Template, octets), octets)


def _template(node: _Template, octets: bytes) -> CertTemplate:
    parts = {part[0]: part for part in der.split(der.unwrap(octets, der.SEQUENCE))}
    issuer, subject, public_key = (parts.get(tag) for tag in (_ISSUER, _SUBJECT, _PUBLIC_KEY))
    validity = node.validity
    return CertTemplate(
        subject=subject and der.unwrap(subject, _SUBJECT),
        public_key=public_key and bytes((der.SEQUENCE,)) + public_key[1:],  # its tag is IMPLICIT
        issuer=issuer and der.unwrap(issuer, _ISSUER),
        serial=node.serial,
        not_before=codec.aware(validity.not_before) if validity else None,
        not_after=codec.aware(validity.not_after) if validity else None,
        extensions=tuple(_extension(e) for e in node.extensions or ()),
        version=node.version,
        signing_algorithm=None if node.signing_algorithm is None else codec.algorithm(node.signing_algorithm),
    )


def encode_template(value: CertTemplate) -> bytes:
    """DER of a CertTemplate."""
    return asn1.encode_der(_template_node(value))


def _template_node(value: CertTemplate) -> _Template:
    alg = value.signing_algorithm
    return _Template(
        version=value.version,
        serial=value.serial,
        signing_algorithm=None if alg is None else codec.algorithm_nodes(alg),
        issuer=_parted(value.issuer),
        validity=_validity(value.not_before, value.not_after),
        subject=_parted(value.subject),
        public_key=_parted(value.public_key),
        issuer_uid=None,
        subject_uid=None,
        extensions=[_extension_node(e) for e in value.extensions] or None,
    )


def _extension(node: _Extension) -> TemplateExtension:
    return TemplateExtension(node.oid, node.value, node.critical)


def _extension_node(value: TemplateExtension) -> _Extension:
    return _Extension(oid=value.oid, critical=value.critical, value=value.value)


def read_extensions(nodes: Iterable[asn1.TLV]) -> tuple[TemplateExtension, ...]:
    """Extensions, read."""
    return tuple(_extension(node.parse(_Extension)) for node in nodes)


def extension_nodes(values: Iterable[TemplateExtension]) -> list[asn1.TLV]:
    """The reverse."""
    return [der.node(asn1.encode_der(_extension_node(value))) for value in values]


def _joined(parts: list[asn1.TLV] | None) -> bytes | None:
    return None if parts is None else der.sequence(der.raw(part) for part in parts)


def _parted(octets: bytes | None) -> list[asn1.TLV] | None:
    return None if octets is None else der.elements(der.unwrap(octets, der.SEQUENCE))


def _validity(not_before: datetime | None, not_after: datetime | None) -> _Validity | None:
    if not_before is None and not_after is None:
        return None
    return _Validity(not_before=_time(not_before), not_after=_time(not_after))


def _time(at: datetime | None) -> asn1.UTCTime | asn1.GeneralizedTime | None:
    if at is None:
        return None
    at = at.astimezone(UTC).replace(microsecond=0)
    return asn1.UTCTime(at) if at.year < 2050 else asn1.GeneralizedTime(at)  # RFC 5280 4.1.2.5


def encode_request(request: CertRequest) -> bytes:
    """DER of a CertRequest: what the new key signs to prove that it is there (RFC 4211 4.1)."""
    node = _CertRequest(
        cert_req_id=request.cert_req_id,
        template=_template_node(request.template),
        controls=[der.elements(codec.encode_oid(c.oid) + (c.value or b"")) for c in request.controls] or None,
    )
    return asn1.encode_der(node)


def read_request(octets: bytes) -> CertRequest:
    """The reverse. Raises ValueError."""
    node = asn1.decode_der(_CertRequest, octets)
    _, raw_template, *controls = der.split(der.unwrap(octets, der.SEQUENCE))
    asked = _template(node.template, raw_template)
    return CertRequest(node.cert_req_id, asked, codec.read_info_values(controls[0]) if controls else (), octets)


def encode_popo(algorithm: Algorithm, signature: bytes) -> bytes:
    """ProofOfPossession by a signature over the CertRequest."""
    bits = asn1.BitString(signature, 0)
    node = _SigningKey(key_input=None, algorithm=codec.algorithm_nodes(algorithm), signature=bits)
    return der.tlv(_POPO_SIGNATURE, der.unwrap(asn1.encode_der(node), der.SEQUENCE))


def encode_req_msg(raw_request: bytes, popo: bytes | None) -> bytes:
    """CertReqMsg from a CertRequest's DER and a ProofOfPossession's."""
    return der.sequence((raw_request, popo or b""))


def read_req_msg(octets: bytes) -> CertReqMsg:
    """CertReqMsg, read. Raises ValueError."""
    parts = der.split(der.unwrap(octets, der.SEQUENCE))
    if not parts:
        raise ValueError("an empty CertReqMsg")
    request = read_request(parts.pop(0))
    popo = _popo(parts.pop(0)) if parts and parts[0][0] != der.SEQUENCE else None
    reg_info = parts.pop(0) if parts and parts[0][0] == der.SEQUENCE else None
    if parts:
        raise ValueError("a CertReqMsg with more than belongs in it")
    return CertReqMsg(request, popo, reg_info)


def _popo(octets: bytes) -> SignaturePopo | OtherPopo:
    if octets[0] != _POPO_SIGNATURE:
        if octets != bytes((_POPO_RA_VERIFIED, 0)) and octets[0] not in (0xA2, 0xA3):
            raise ValueError("a proof of possession of no known kind")
        return OtherPopo(octets)
    node = asn1.decode_der(_SigningKey, bytes((der.SEQUENCE,)) + octets[1:])  # its tag is IMPLICIT
    *_, algorithm, _ = der.split(der.unwrap(octets, _POPO_SIGNATURE))
    key_input = _joined(node.key_input)
    return SignaturePopo(codec.read_algorithm(algorithm), codec.whole_bits(node.signature), key_input)


def encode_cert_id(cert_id: CertId) -> bytes:
    """CertId, the value of the control id-regCtrl-oldCertID (RFC 4211 6.5)."""
    return asn1.encode_der(_CertId(issuer=der.node(cert_id.issuer), serial=cert_id.serial))


def read_cert_id(octets: bytes) -> CertId:
    """The reverse. Raises ValueError."""
    node = asn1.decode_der(_CertId, octets)
    return CertId(der.split(der.unwrap(octets, der.SEQUENCE))[0], node.serial)


def old_cert_id(certificate: x509.Certificate) -> InfoValue:
    """The control that names the certificate to be replaced (RFC 9483 4.1.3)."""
    cert_id = CertId(codec.directory(certificate.issuer), certificate.serial_number)
    return InfoValue(Oid.OLD_CERT_ID, encode_cert_id(cert_id))


def key_usage_extension(usage: x509.KeyUsage) -> TemplateExtension:
    """keyUsage, critical, for a template."""
    return TemplateExtension(usage.oid, usage.public_bytes(), critical=True)

"""A test's own RA: a small PKI, and answers in which any one thing can be made wrong. Checks nothing."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent.cmp import bodies, codec, macs, signatures
from renewagent.cmp.wire import (
    Algorithm,
    BodyType,
    CertRepMessage,
    CertResponse,
    Header,
    InfoValue,
    Message,
    Oid,
    PkiStatus,
    StatusInfo,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Party:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: SigningKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def new_key(bits: int = 256) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1() if bits == 256 else ec.SECP384R1())


def key_usage(*names: str) -> x509.KeyUsage:
    known = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: name in names for name in known.split()})


def distinguished(common_name: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(f"CN={common_name},O=trust,C=GB")


@dataclass(frozen=True)
class Recipe:
    """What a certificate is made of."""

    name: str = "holder"
    usage: tuple[str, ...] | None = ("digital_signature", "content_commitment")
    purposes: tuple[x509.ObjectIdentifier, ...] = ()
    authority: bool = False
    path_length: int | None = None
    begins: datetime = NOW - timedelta(days=10)
    ends: datetime = NOW + timedelta(days=1000)
    serial: int = 0
    extra: tuple[x509.Extension[x509.ExtensionType], ...] = field(default=())


def certify(recipe: Recipe, issuer: Party | None, key: SigningKey) -> Party:
    """Issue what the recipe says, by `issuer` or by the key itself."""
    name = distinguished(recipe.name)
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .serial_number(recipe.serial or x509.random_serial_number())
        .not_valid_before(recipe.begins)
        .not_valid_after(recipe.ends)
        .public_key(key.public_key())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.BasicConstraints(recipe.authority, recipe.path_length), critical=True)
    )
    if recipe.usage is not None:
        builder = builder.add_extension(key_usage(*recipe.usage), critical=True)
    if recipe.purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(recipe.purposes), critical=False)
    for extension in recipe.extra:
        builder = builder.add_extension(extension.value, extension.critical)
    return Party(builder.sign(signer, hashes.SHA256()), key)


ROOT = Recipe("root", ("key_cert_sign", "crl_sign"), authority=True)
RA = Recipe("the RA", ("digital_signature",), (Oid.CMC_RA,))


@dataclass(frozen=True)
class Pki:
    """A root, a signing CA, an RA, a holder with a signing and an authentication certificate, and a stranger."""

    root: Party
    signing: Party
    ra: Party
    holder: Party
    authentication: Party
    stranger: Party
    other_root: Party
    other_ra: Party


@cache
def pki() -> Pki:
    root = certify(ROOT, None, new_key())
    signing = certify(replace(ROOT, name="signing CA"), root, new_key())
    other_root = certify(replace(ROOT, name="other root"), None, new_key())
    return Pki(
        root=root,
        signing=signing,
        ra=certify(RA, root, new_key()),
        holder=certify(Recipe(), signing, new_key()),
        authentication=certify(Recipe(usage=("digital_signature",)), root, new_key()),
        stranger=certify(Recipe("stranger"), signing, new_key()),
        other_root=other_root,
        other_ra=certify(RA, other_root, new_key()),
    )


@dataclass(frozen=True)
class Wrong:
    """What is to be wrong with an answer; by default nothing is."""

    signer: Party | None = None
    key: SigningKey | None = None
    secret: bytes | None = None
    mac: Algorithm | None = None
    protect: bool = True
    tamper: bool = False
    extra: Sequence[bytes] | None = None
    header: dict[str, object] = field(default_factory=dict)


def answer(request: bytes, body: bytes, wrong: Wrong | None = None, now: datetime = NOW) -> bytes:
    """A well-made answer to `request`, but for `wrong`."""
    wrong = wrong or Wrong()
    signer = wrong.signer or pki().ra
    key = wrong.key or signer.key
    algorithm = signatures.algorithm_for(key)
    if wrong.secret is not None:
        algorithm = wrong.mac or macs.password_based_mac(secrets.token_bytes(16), 500)
    header = _header(codec.decode_message(request).header, signer, algorithm, now)
    header = replace(header, **wrong.header)  # type: ignore[arg-type]
    raw_header = codec.encode_header(header if wrong.protect else replace(header, protection_alg=None))
    covered = codec.protected_part(raw_header, body)
    protection = _protection(covered, key, algorithm, wrong)
    extra = [signer.der, pki().signing.der] if wrong.extra is None else list(wrong.extra)
    return codec.encode_message(raw_header, body, protection, extra)


def _protection(covered: bytes, key: SigningKey, algorithm: Algorithm, wrong: Wrong) -> bytes | None:
    if not wrong.protect:
        return None
    if wrong.tamper:
        covered += b"\0"
    if wrong.secret is not None:
        return macs.compute(algorithm, wrong.secret, covered)
    return signatures.sign(key, algorithm, covered)


def _header(asked: Header, signer: Party, algorithm: Algorithm, now: datetime) -> Header:
    identifier = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return Header(
        sender=codec.directory(signer.certificate.subject),
        recipient=asked.sender,
        message_time=now,
        protection_alg=algorithm,
        sender_kid=identifier.value.digest,
        transaction_id=asked.transaction_id,
        sender_nonce=secrets.token_bytes(16),
        recip_nonce=asked.sender_nonce,
    )


def request_of(octets: bytes) -> Message:
    return codec.decode_message(octets)


ANSWERS = {BodyType.IR: BodyType.IP, BodyType.CR: BodyType.CP, BodyType.KUR: BodyType.KUP}


def grant(request: bytes, certificate: bytes | None, **changes: object) -> bytes:
    """The body ip, cp or kup that fits `request`, with one CertResponse."""
    response = CertResponse(0, StatusInfo(PkiStatus.ACCEPTED), certificate)
    rep = CertRepMessage((replace(response, **changes),))  # type: ignore[arg-type]
    return bodies.write_cert_rep(ANSWERS[request_of(request).body_type], rep)


def implicit_confirm() -> tuple[InfoValue, ...]:
    return (InfoValue(Oid.IMPLICIT_CONFIRM, b"\x05\x00"),)

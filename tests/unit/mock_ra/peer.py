"""An end entity to try the RA with: builds every message by hand, so that each part of it can be made wrong.

Uses the wire's codecs and nothing else of the product: protection and checks are written here once more.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ObjectIdentifier

from renewagent.cmp import bodies, codec, crmf, der
from renewagent.cmp.private import TICKET_CONTROL
from renewagent.cmp.wire import Algorithm, BodyType, CertStatus, Header, InfoValue, Message
from renewagent_fixtures.mock_ra.certificates import Wanted
from renewagent_fixtures.mock_ra.knobs import Knobs
from renewagent_fixtures.mock_ra.office import Office

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ORIGIN = "http://127.0.0.1:8080"
ECDSA_SHA256 = Algorithm(ObjectIdentifier("1.2.840.10045.4.3.2"))
RSA_SHA256 = Algorithm(ObjectIdentifier("1.2.840.113549.1.1.11"))
PBM = ObjectIdentifier("1.2.840.113533.7.66.13")
HOLDER = x509.Name.from_rfc4514_string("CN=Dr Ada Example,O=Surgery,C=GB").public_bytes()
SIGNING = frozenset({"contentCommitment"})
BOTH = frozenset({"digitalSignature", "contentCommitment"})
AUTHENTICATION = frozenset({"digitalSignature"})
_RECIPIENT = codec.directory(b"\x30\x00")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


def office(folder: Path, clock: Clock, knobs: Knobs | None = None) -> Office:
    """An RA without a network."""
    made = Office(folder, knobs or Knobs(), clock=clock)
    made.reached_at(frozenset({ORIGIN}), f"{ORIGIN}/crl")
    return made


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public(key: Any) -> bytes:
    octets: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return octets


def sign(key: Any, octets: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    signature: bytes = key.sign(octets, ec.ECDSA(hashes.SHA256()))
    return signature


def algorithm(key: Any) -> Algorithm:
    return RSA_SHA256 if isinstance(key, rsa.RSAPrivateKey) else ECDSA_SHA256


@dataclass(frozen=True)
class Answer:
    """What came back."""

    message: Message

    @property
    def kind(self) -> BodyType:
        return self.message.body_type

    @property
    def failures(self) -> frozenset[str]:
        """The failInfo, empty unless it is an error."""
        return bodies.read_error(self.message).status.fail_info if self.kind is BodyType.ERROR else frozenset()

    @property
    def why(self) -> str:
        """What an error says."""
        return " ".join(bodies.read_error(self.message).status.text) if self.kind is BodyType.ERROR else ""

    @property
    def certificate(self) -> bytes:
        """The certificate in an ip, cp or kup."""
        assert self.kind in bodies.RESPONSES, self.why
        found = bodies.read_cert_rep(self.message).responses[0].certificate
        assert found is not None
        return found

    @property
    def nonce(self) -> bytes:
        return self.message.header.sender_nonce or b""

    @property
    def info(self) -> tuple[InfoValue, ...]:
        assert self.kind is BodyType.GENP, self.why
        return bodies.read_info(self.message)


@dataclass(frozen=True)
class Peer:
    """One end entity at one RA. Without a key it uses the shared secret."""

    office: Office
    key: Key | None = None
    certificate: bytes = b""
    chain: tuple[bytes, ...] = ()
    secret: bytes = b""
    transaction: bytes = field(default_factory=lambda: os.urandom(16))

    def anew(self) -> Peer:
        """The same one, in a new conversation."""
        return replace(self, transaction=os.urandom(16))

    def header(self) -> Header:
        parsed = x509.load_der_x509_certificate(self.certificate) if self.certificate else None
        kid = x509_key_identifier(parsed) if parsed else self.office.pki.reference.encode()
        return Header(
            sender=codec.directory(parsed.subject) if parsed else codec.directory(b"\x30\x00"),
            recipient=_RECIPIENT,
            message_time=self.office.now(),
            protection_alg=algorithm(self.key) if self.key else pbm_algorithm(),
            sender_kid=kid,
            transaction_id=self.transaction,
            sender_nonce=os.urandom(16),
        )

    def protect(self, header: Header, body: bytes) -> bytes:
        raw = codec.encode_header(header)
        covered = codec.protected_part(raw, body)
        if self.key is not None:
            return codec.encode_message(raw, body, sign(self.key, covered), (self.certificate, *self.chain))
        secret = self.secret or self.office.pki.secret.encode()
        return codec.encode_message(raw, body, pbm(secret, header.protection_alg, covered))

    def say(self, body: bytes, **changes: Any) -> Answer:
        """Send a body; `changes` are to the header."""
        return self.send(self.protect(replace(self.header(), **changes), body))

    def send(self, octets: bytes) -> Answer:
        """Send bytes; the answer's protection is checked here."""
        with self.office.lock:
            answer = self.office.answer(octets)
            self.office.flush()
        return Answer(check_protection(self.office, answer))

    def confirm(self, answer: Answer, *, body: bytes | None = None, **changes: Any) -> Answer:
        """certConf for the certificate in `answer`."""
        digest = hashlib.sha256(answer.certificate).digest()
        req_id = bodies.read_cert_rep(answer.message).responses[0].cert_req_id
        body = body or bodies.write_confirmations((CertStatus(digest, req_id),))
        return self.say(body, **({"recip_nonce": answer.nonce} | changes))


def x509_key_identifier(certificate: x509.Certificate) -> bytes:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def pbm_algorithm(*, iterations: int = 500) -> Algorithm:
    """PasswordBasedMac as openssl has it by default."""
    sha256 = codec.encode_algorithm(Algorithm(ObjectIdentifier("2.16.840.1.101.3.4.2.1")))
    mac = codec.encode_algorithm(Algorithm(ObjectIdentifier("1.3.6.1.5.5.8.1.2")))
    count = der.tlv(0x02, iterations.to_bytes(4, "big").lstrip(b"\0"))
    return Algorithm(PBM, der.sequence((der.tlv(0x04, b"sixteen of salt."), sha256, count, mac)))


def pbm(secret: bytes, alg: Algorithm | None, covered: bytes, iterations: int = 500) -> bytes:
    assert alg is not None
    key = secret + b"sixteen of salt."
    for _ in range(iterations):
        key = hashlib.sha256(key).digest()
    return hmac.new(key, covered, "sha1").digest()


def check_protection(office: Office, octets: bytes) -> Message:
    """Every answer is protected: by the RA's key, or under the shared secret where the request was."""
    message = codec.decode_message(octets)
    covered = codec.protected_part(message.raw_header, message.raw_body)
    alg = message.header.protection_alg
    assert alg is not None
    if alg.oid == PBM:
        assert message.protection == pbm(office.pki.secret.encode(), alg, covered)
        return message
    signer = x509.load_der_x509_certificate(message.extra_certs[0])
    assert signer.subject.rfc4514_string() == "CN=Mock RA,O=renewagent,C=GB"
    key = signer.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(message.protection or b"", covered, padding.PKCS1v15(), hashes.SHA256())
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(message.protection or b"", covered, ec.ECDSA(hashes.SHA256()))
    return message


@dataclass(frozen=True)
class Request:
    """A certificate request to be; everything in it can be made wrong."""

    kind: BodyType
    key: Any
    subject: bytes | None = HOLDER
    usages: frozenset[str] | None = None
    old: bytes | None = None
    ticket: str | None = None
    controls: tuple[InfoValue, ...] = ()
    req_id: int = 0
    template: dict[str, Any] = field(default_factory=dict)
    popo: Callable[[bytes], bytes | None] | None = None
    times: int = 1

    def body(self) -> bytes:
        return bodies.write_cert_requests(self.kind, [self._one()] * self.times)

    def _one(self) -> bytes:
        extensions = () if self.usages is None else (crmf.key_usage_extension(usage_extension(self.usages)),)
        plain: dict[str, Any] = {"subject": self.subject, "public_key": public(self.key), "extensions": extensions}
        template = crmf.CertTemplate(**(plain | self.template))
        raw = crmf.encode_request(crmf.CertRequest(self.req_id, template, (*self._controls(), *self.controls)))
        popo = self.popo or (lambda octets: crmf.encode_popo(algorithm(self.key), sign(self.key, octets)))
        return crmf.encode_req_msg(raw, popo(raw))

    def _controls(self) -> Sequence[InfoValue]:
        found = []
        if self.old is not None:
            found.append(crmf.old_cert_id(x509.load_der_x509_certificate(self.old)))
        if self.ticket is not None:
            found.append(InfoValue(TICKET_CONTROL, der.utf8_string(self.ticket)))
        return found


def usage_extension(usages: frozenset[str]) -> x509.KeyUsage:
    names = ("digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement")
    more = ("keyCertSign", "cRLSign", "encipherOnly", "decipherOnly")
    return x509.KeyUsage(*(name in usages for name in (*names, *more)))


def enrolled(office: Office, usages: frozenset[str], key: Key | None = None, subject: bytes = HOLDER) -> Peer:
    """Somebody who holds a valid certificate of this RA."""
    key = key or p256()
    der_ = office.issue(Wanted(subject, public(key), usages, office.now() - timedelta(days=100)))
    return Peer(office, key, der_)


def stranger(office: Office, *, chain: bool = True, usages: frozenset[str] = BOTH) -> Peer:
    """Somebody with a certificate of a PKI that this RA does not know."""
    root_key, key = p256(), p256()
    root_name = x509.Name.from_rfc4514_string("CN=Another Root,C=GB")
    root = _foreign(root_name, root_name, root_key, root_key, office.now(), None)
    leaf = _foreign(x509.Name.from_rfc4514_string("CN=Stranger"), root_name, key, root_key, office.now(), usages)
    return Peer(office, key, leaf, (root,) if chain else ())


def _foreign(
    subject: x509.Name, issuer: x509.Name, key: Any, signer: Any, now: datetime, usages: frozenset[str] | None
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if usages is not None:
        builder = builder.add_extension(usage_extension(usages), critical=True)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)

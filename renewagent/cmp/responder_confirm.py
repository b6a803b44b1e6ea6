"""What a certConf and a pollReq say, judged by RFC 9810 5.3.18, 5.3.22 and RFC 9483 4.1, 4.4."""

from __future__ import annotations

import hashlib
import hmac

from cryptography import x509

from renewagent.cmp import bodies
from renewagent.cmp.responder_words import Refusal, Transaction
from renewagent.cmp.wire import Algorithm, CertStatus, Message, PkiStatus

_HASHES = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}


def accepted(message: Message, transaction: Transaction) -> bool:
    """Whether the certConf accepts the certificate of this transaction. Raises Refusal for one that makes no sense."""
    try:
        statuses = bodies.read_confirmations(message)
    except ValueError as problem:
        raise Refusal(f"the certConf cannot be read: {problem}", "badDataFormat") from problem
    if len(statuses) != 1:
        raise Refusal("a certConf holds one CertStatus", "badRequest")
    status = statuses[0]
    if not _names_request(status.cert_req_id, transaction):
        raise Refusal("the certReqId is not that of the request", "badRequest")
    yes = status.status is None or status.status.status in (PkiStatus.ACCEPTED, PkiStatus.GRANTED_WITH_MODS)
    if yes and status.status is not None and status.status.fail_info:
        raise Refusal("a certificate cannot be accepted with a failure", "badRequest")
    expected = hashlib.new(_hash_name(message, status, transaction), transaction.certificate).digest()
    if not hmac.compare_digest(expected, status.cert_hash):
        raise Refusal("the certHash is not that of the certificate issued", "badCertId")
    return yes


def _names_request(given: int, transaction: Transaction) -> bool:
    # For a p10cr it is -1 (erratum 8806 of RFC 9483); openssl 3.0 sends 0.
    return given == transaction.cert_req_id or (transaction.cert_req_id == -1 and given == 0)


def _hash_name(message: Message, status: CertStatus, transaction: Transaction) -> str:
    own = x509.load_der_x509_certificate(transaction.certificate).signature_hash_algorithm
    default = own.name if own is not None else "sha512"  # Ed25519 means SHA-512 (RFC 9481 2.3)
    if status.hash_alg is None:
        return default
    named = _named_hash(status.hash_alg)
    if message.header.pvno != 3 and named != default:
        raise Refusal("a hashAlg of one's own choice needs version 3", "badCertId")
    return named


def _named_hash(algorithm: Algorithm) -> str:
    name = _HASHES.get(algorithm.oid.dotted_string)
    if name is None:
        raise Refusal("this hashAlg is not supported", "badAlg", "badCertId")
    return name


def the_only_poll(message: Message, transaction: Transaction) -> None:
    """Check that a pollReq asks after the one request of this transaction."""
    try:
        asked = bodies.read_poll_requests(message)
    except ValueError as problem:
        raise Refusal(f"the pollReq cannot be read: {problem}", "badDataFormat") from problem
    if len(asked) != 1 or not (_names_request(asked[0], transaction) or asked[0] == -1):
        raise Refusal("the pollReq does not name the request of this transaction", "badRequest")

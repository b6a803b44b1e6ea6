"""The words of CMP (RFC 9810) as data: header, status, failure, and what each body holds. No encoding here
(`cmp.codec`, `cmp.bodies`, `cmp.crmf`) and no judgement: both ends share these types and nothing else.

Names and certificates stay DER as received, so that what was signed is what is compared. Times are aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from cryptography.x509 import ObjectIdentifier

CONTENT_TYPE = "application/pkixcmp"  # RFC 9811 3.2
NULL_DN = b"\x30\x00"
"""DER of the empty Name, for a party whose name is not known (RFC 9810 5.1.1)."""


class BodyType(IntEnum):
    """PKIBody's tags (RFC 9810 5.1.2)."""

    IR = 0
    IP = 1
    CR = 2
    CP = 3
    P10CR = 4
    POPDECC = 5
    POPDECR = 6
    KUR = 7
    KUP = 8
    KRR = 9
    KRP = 10
    RR = 11
    RP = 12
    CCR = 13
    CCP = 14
    CKUANN = 15
    CANN = 16
    RANN = 17
    CRLANN = 18
    PKICONF = 19
    NESTED = 20
    GENM = 21
    GENP = 22
    ERROR = 23
    CERTCONF = 24
    POLLREQ = 25
    POLLREP = 26


class PkiStatus(IntEnum):
    """RFC 9810 5.2.3."""

    ACCEPTED = 0
    GRANTED_WITH_MODS = 1
    REJECTION = 2
    WAITING = 3
    REVOCATION_WARNING = 4
    REVOCATION_NOTIFICATION = 5
    KEY_UPDATE_WARNING = 6


FAIL_INFO = (
    "badAlg",
    "badMessageCheck",
    "badRequest",
    "badTime",
    "badCertId",
    "badDataFormat",
    "wrongAuthority",
    "incorrectData",
    "missingTimeStamp",
    "badPOP",
    "certRevoked",
    "certConfirmed",
    "wrongIntegrity",
    "badRecipientNonce",
    "timeNotAvailable",
    "unacceptedPolicy",
    "unacceptedExtension",
    "addInfoNotAvailable",
    "badSenderNonce",
    "badCertTemplate",
    "signerNotTrusted",
    "transactionIdInUse",
    "unsupportedVersion",
    "notAuthorized",
    "systemUnavail",
    "systemFailure",
    "duplicateCertReq",
)
"""PKIFailureInfo, by bit number (RFC 9810 5.2.3)."""


class Oid:
    """Object identifiers of CMP and CRMF."""

    IMPLICIT_CONFIRM = ObjectIdentifier("1.3.6.1.5.5.7.4.13")
    CONFIRM_WAIT_TIME = ObjectIdentifier("1.3.6.1.5.5.7.4.14")
    ORIG_PKI_MESSAGE = ObjectIdentifier("1.3.6.1.5.5.7.4.15")
    UNSUPPORTED_OIDS = ObjectIdentifier("1.3.6.1.5.5.7.4.7")
    CA_CERTS = ObjectIdentifier("1.3.6.1.5.5.7.4.17")
    ROOT_CA_KEY_UPDATE = ObjectIdentifier("1.3.6.1.5.5.7.4.18")
    CERT_REQ_TEMPLATE = ObjectIdentifier("1.3.6.1.5.5.7.4.19")
    ROOT_CA_CERT = ObjectIdentifier("1.3.6.1.5.5.7.4.20")
    CERT_PROFILE = ObjectIdentifier("1.3.6.1.5.5.7.4.21")
    CRL_STATUS_LIST = ObjectIdentifier("1.3.6.1.5.5.7.4.22")
    CRLS = ObjectIdentifier("1.3.6.1.5.5.7.4.23")
    REG_TOKEN = ObjectIdentifier("1.3.6.1.5.5.7.5.1.1")
    OLD_CERT_ID = ObjectIdentifier("1.3.6.1.5.5.7.5.1.5")
    CMC_RA = ObjectIdentifier("1.3.6.1.5.5.7.3.28")
    """Extended key usage id-kp-cmcRA: may speak for the CA (RFC 9810 4.5)."""
    CMC_CA = ObjectIdentifier("1.3.6.1.5.5.7.3.27")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """AlgorithmIdentifier; `parameters` is their DER, None where absent."""

    oid: ObjectIdentifier
    parameters: bytes | None = None


@dataclass(frozen=True, slots=True)
class InfoValue:
    """InfoTypeAndValue; `value` is its DER, None where absent."""

    oid: ObjectIdentifier
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class StatusInfo:
    """PKIStatusInfo. `status` may be a number that `PkiStatus` does not know; unknown failure bits are "bit 31"."""

    status: int
    text: tuple[str, ...] = ()
    fail_info: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Header:
    """PKIHeader. `sender` and `recipient` are the DER of a GeneralName (`codec.directory`, `codec.directory_name`)."""

    sender: bytes
    recipient: bytes
    pvno: int = 2
    message_time: datetime | None = None
    protection_alg: Algorithm | None = None
    sender_kid: bytes | None = None
    recip_kid: bytes | None = None
    transaction_id: bytes | None = None
    sender_nonce: bytes | None = None
    recip_nonce: bytes | None = None
    free_text: tuple[str, ...] = ()
    general_info: tuple[InfoValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """PKIMessage with header and body as received (`raw_header`, `raw_body`: whole elements, what protection covers).

    `body_type` is a known tag; what is inside is parsed by `cmp.bodies`, after protection was checked. `protection` is
    the BIT STRING's bytes, None where absent.
    """

    header: Header
    body_type: BodyType
    raw_header: bytes
    raw_body: bytes
    protection: bytes | None = None
    extra_certs: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class CertResponse:
    """One CertResponse. `certificate` is DER; `encrypted` and `private_key` are raw and for others to understand."""

    cert_req_id: int
    status: StatusInfo
    certificate: bytes | None = None
    encrypted: bytes | None = None
    private_key: bytes | None = None
    rsp_info: bytes | None = None


@dataclass(frozen=True, slots=True)
class CertRepMessage:
    """What ip, cp, kup and ccp hold."""

    responses: tuple[CertResponse, ...]
    ca_pubs: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class CertStatus:
    """One CertStatus of a certConf; no `status` means accepted (RFC 9810 5.3.18)."""

    cert_hash: bytes
    cert_req_id: int
    status: StatusInfo | None = None
    hash_alg: Algorithm | None = None


@dataclass(frozen=True, slots=True)
class ErrorContent:
    """ErrorMsgContent."""

    status: StatusInfo
    code: int | None = None
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PollReply:
    """One element of PollRepContent; `check_after` in seconds."""

    cert_req_id: int
    check_after: int
    reason: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CertId:
    """CertId of CRMF: `issuer` is the DER of a GeneralName."""

    issuer: bytes
    serial: int


@dataclass(frozen=True, slots=True)
class RevocationAnswer:
    """RevRepContent."""

    statuses: tuple[StatusInfo, ...]
    certificates: tuple[CertId, ...] = ()
    crls: tuple[bytes, ...] = ()

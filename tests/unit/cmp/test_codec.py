"""The wire: everything comes back as it went, nothing but DER is read, and rubbish is a ValueError."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from renewagent.cmp import bodies, codec, crmf, der, macs
from renewagent.cmp.wire import (
    FAIL_INFO,
    NULL_DN,
    Algorithm,
    BodyType,
    CertId,
    CertRepMessage,
    CertResponse,
    CertStatus,
    ErrorContent,
    Header,
    InfoValue,
    Message,
    Oid,
    PkiStatus,
    PollReply,
    StatusInfo,
)
from tests.unit.cmp.scripted_ra import NOW, key_usage, pki


def key_info() -> bytes:
    key = pki().holder.certificate.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


SHA256 = Algorithm(x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1"), der.NULL)
HEADER = Header(
    sender=codec.directory(pki().holder.certificate.subject),
    recipient=codec.directory(NULL_DN),
    pvno=3,
    message_time=NOW,
    protection_alg=SHA256,
    sender_kid=b"kid",
    recip_kid=b"their kid",
    transaction_id=b"t" * 16,
    sender_nonce=b"s" * 16,
    recip_nonce=b"r" * 16,
    free_text=("ein Wort", "zwei"),
    general_info=(InfoValue(Oid.IMPLICIT_CONFIRM, der.NULL), InfoValue(Oid.CA_CERTS)),
)
TEMPLATE = crmf.CertTemplate(
    subject=pki().holder.certificate.subject.public_bytes(),
    public_key=key_info(),
    issuer=pki().signing.certificate.subject.public_bytes(),
    serial=-5,
    not_before=NOW,
    not_after=datetime(2051, 1, 1, tzinfo=UTC),
    extensions=(crmf.key_usage_extension(key_usage("content_commitment")),),
    version=2,
    signing_algorithm=SHA256,
)
REJECTED = StatusInfo(PkiStatus.REJECTION, ("no", "nein"), frozenset({"badAlg", "duplicateCertReq"}))


def message(body: bytes, header: Header = HEADER, protection: bytes | None = b"\1\2") -> bytes:
    return codec.encode_message(codec.encode_header(header), body, protection, (pki().ra.der, pki().root.der))


def request_body(popo: bytes | None = None) -> bytes:
    request = crmf.CertRequest(7, TEMPLATE, (crmf.old_cert_id(pki().holder.certificate),))
    return bodies.write_cert_requests(BodyType.CR, [crmf.encode_req_msg(crmf.encode_request(request), popo)])


@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        Header(HEADER.sender, HEADER.recipient),
        replace(HEADER, general_info=(), free_text=()),
        replace(HEADER, sender=b"\x86\x03a:b"),
    ],
    ids=["full", "bare", "no lists", "a URI"],
)
def test_a_header_there_and_back(header: Header) -> None:
    found = codec.decode_message(message(bodies.write_pki_conf(), header))
    assert found.header == header
    assert found.raw_header == codec.encode_header(header) and found.raw_body == bodies.write_pki_conf()
    assert found.protection == b"\1\2" and found.extra_certs == (pki().ra.der, pki().root.der)


def test_a_message_without_protection_and_certificates() -> None:
    octets = codec.encode_message(codec.encode_header(HEADER), bodies.write_pki_conf(), None)
    found = codec.decode_message(octets)
    assert found.protection is None and found.extra_certs == ()
    assert codec.encode_message(found.raw_header, found.raw_body, None) == octets


def test_protection_covers_header_and_body_as_received() -> None:
    found = codec.decode_message(message(bodies.write_pki_conf()))
    part = codec.protected_part(found.raw_header, found.raw_body)
    assert core.Sequence.load(part).contents == found.raw_header + found.raw_body


RESPONSES = (
    CertResponse(0, StatusInfo(PkiStatus.ACCEPTED), pki().holder.der, rsp_info=b"x"),
    CertResponse(1, REJECTED),
)
BODIES: dict[str, tuple[bytes, Callable[[Message], object], object]] = {
    "kup": (
        bodies.write_cert_rep(BodyType.KUP, CertRepMessage(RESPONSES, (pki().root.der,))),
        bodies.read_cert_rep,
        CertRepMessage(RESPONSES, (pki().root.der,)),
    ),
    "certConf": (
        bodies.write_confirmations([CertStatus(b"h", 0), CertStatus(b"h", -1, REJECTED, SHA256)]),
        bodies.read_confirmations,
        (CertStatus(b"h", 0), CertStatus(b"h", -1, REJECTED, SHA256)),
    ),
    "pkiConf": (bodies.write_pki_conf(), bodies.read_pki_conf, None),
    "error": (
        bodies.write_error(ErrorContent(REJECTED, 5, ("why",))),
        bodies.read_error,
        ErrorContent(REJECTED, 5, ("why",)),
    ),
    "genm": (
        bodies.write_info(BodyType.GENM, HEADER.general_info),
        bodies.read_info,
        HEADER.general_info,
    ),
    "genp, empty": (bodies.write_info(BodyType.GENP, ()), bodies.read_info, ()),
    "pollReq": (bodies.write_poll_requests([0, -1]), bodies.read_poll_requests, (0, -1)),
    "pollRep": (
        bodies.write_poll_replies([PollReply(0, 60), PollReply(1, 5, ("later",))]),
        bodies.read_poll_replies,
        (PollReply(0, 60), PollReply(1, 5, ("later",))),
    ),
    "rr": (
        bodies.write_revocation(TEMPLATE, TEMPLATE.extensions),
        bodies.read_revocations,
        ((TEMPLATE, TEMPLATE.extensions),),
    ),
    "rp": (
        bodies.write_revocation_answer([REJECTED], [CertId(HEADER.sender, 9)]),
        lambda m: (bodies.read_revocation_answer(m).statuses, bodies.read_revocation_answer(m).certificates),
        ((REJECTED,), (CertId(HEADER.sender, 9),)),
    ),
    "nested": (
        bodies.write_nested([message(bodies.write_pki_conf())]),
        bodies.read_nested,
        (message(bodies.write_pki_conf()),),
    ),
    "p10cr": (bodies.write_pkcs10(b"\x30\x02\x05\x00"), bodies.read_pkcs10, b"\x30\x02\x05\x00"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_there_and_back(name: str) -> None:
    body, read, wanted = BODIES[name]
    assert read(codec.decode_message(message(body))) == wanted


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_read_only_as_what_it_is(name: str) -> None:
    _, read, _ = BODIES[name]
    other = "certConf" if name != "certConf" else "error"
    with pytest.raises(ValueError, match="where another body belongs"):
        read(codec.decode_message(message(BODIES[other][0])))


def test_a_request_there_and_back() -> None:
    popo = crmf.encode_popo(SHA256, b"signature")
    (found,) = bodies.read_cert_requests(codec.decode_message(message(request_body(popo))))
    assert found.request.template == TEMPLATE and found.request.cert_req_id == 7
    assert crmf.encode_request(found.request) == found.request.raw
    assert found.popo == crmf.SignaturePopo(SHA256, b"signature") and found.reg_info is None
    (control,) = found.request.controls
    assert control.oid == Oid.OLD_CERT_ID and control.value is not None
    holder = pki().holder.certificate
    assert crmf.read_cert_id(control.value) == CertId(codec.directory(holder.issuer), holder.serial_number)


def test_ra_verified_and_other_proofs() -> None:
    for popo, verified in ((b"\x80\x00", True), (b"\xa2\x03\x82\x01\x00", False), (b"\xa3\x03\x82\x01\x00", False)):
        (found,) = bodies.read_cert_requests(codec.decode_message(message(request_body(popo))))
        assert isinstance(found.popo, crmf.OtherPopo) and found.popo.ra_verified is verified
    (found,) = bodies.read_cert_requests(codec.decode_message(message(request_body())))
    assert found.popo is None


@pytest.mark.parametrize("popo", [b"\x80\x01\x00", b"\x81\x00", b"\xa4\x00", b"\xa1\x00", b"\x30\x00\x05\x00"])
def test_proofs_of_no_kind(popo: bytes) -> None:
    with pytest.raises(ValueError):
        bodies.read_cert_requests(codec.decode_message(message(request_body(popo))))


def test_an_empty_template_and_a_public_key() -> None:
    for template in (crmf.CertTemplate(), crmf.CertTemplate(public_key=key_info()), crmf.CertTemplate(not_after=NOW)):
        request = crmf.CertRequest(0, template)
        assert crmf.read_request(crmf.encode_request(request)).template == template


@pytest.mark.parametrize("number", range(len(FAIL_INFO)))
def test_each_failure_has_its_bit(number: int) -> None:
    status = StatusInfo(PkiStatus.REJECTION, (), frozenset({FAIL_INFO[number]}))
    body = bodies.write_error(ErrorContent(status))
    assert bodies.read_error(codec.decode_message(message(body))).status == status
    witness = core.Sequence.load(codec.body_content(codec.decode_message(message(body))))[0]
    bits = core.BitString.load(core.Sequence.load(witness.dump())[1].dump()).native
    assert bits == (0,) * number + (1,)


def test_a_failure_without_a_name() -> None:
    bits = der.tlv(3, b"\x00\x00\x00\x00\x01")
    content = der.sequence((der.sequence((b"\x02\x01\x02", bits)),))
    found = bodies.read_error(codec.decode_message(message(codec.encode_body(BodyType.ERROR, content))))
    assert found.status.fail_info == {"bit 31"}
    with pytest.raises(ValueError):
        bodies.write_error(ErrorContent(found.status))


def test_directory_names() -> None:
    name = pki().holder.certificate.subject
    assert codec.directory_name(codec.directory(name)) == name.public_bytes()
    assert codec.directory_name(codec.directory(NULL_DN)) == NULL_DN
    assert codec.directory_name(b"\x86\x01x") is None
    with pytest.raises(ValueError):
        codec.directory_name(b"\xa4\x02\x05\x00")


def test_times() -> None:
    assert der.read_generalized_time(der.generalized_time(NOW)) == NOW
    assert der.generalized_time(NOW) == b"\x18\x0f20260301120000Z"
    with pytest.raises(ValueError):
        der.read_generalized_time(b"\x17\x0d260301120000Z")


WHOLE = message(request_body(crmf.encode_popo(SHA256, b"signature")))
LONG_LENGTH = b"\x30\x84\x00" + len(WHOLE[4:]).to_bytes(3, "big") + WHOLE[4:]
INDEFINITE = b"\x30\x80" + WHOLE[4:] + b"\0\0"


@pytest.mark.parametrize("octets", [WHOLE + b"\0", WHOLE[:-1], WHOLE[1:], LONG_LENGTH, INDEFINITE, b"", b"\x30\x00"])
def test_only_der_is_read(octets: bytes) -> None:
    with pytest.raises(ValueError):
        codec.decode_message(octets)


@pytest.mark.parametrize(
    "body",
    [b"\xbb\x02\x05\x00", b"\xbf\x1f\x02\x05\x00", b"\x05\x00", b"\xb3\x04\x05\x00\x05\x00", b"\xb3\x00", b"\x93\x00"],
    ids=["27", "31", "untagged", "two elements", "none", "primitive"],
)
def test_a_body_of_no_known_shape(body: bytes) -> None:
    with pytest.raises(ValueError):
        octets = der.sequence((codec.encode_header(HEADER), body))
        codec.decode_message(octets)


def test_protection_of_odd_bits_is_refused() -> None:
    octets = der.sequence((codec.encode_header(HEADER), bodies.write_pki_conf(), b"\xa0\x04\x03\x02\x01\x02"))
    with pytest.raises(ValueError):
        codec.decode_message(octets)


def read_all(octets: bytes) -> None:
    """Everything that either end would read of a message."""
    found = codec.decode_message(octets)
    codec.directory_name(found.header.sender)
    readers = (
        *(read for _, read, _ in BODIES.values()),
        bodies.read_cert_requests,
    )
    for read in readers:
        try:
            read(found)
        except ValueError:
            continue
    if found.header.protection_alg is not None and macs.is_mac(found.header.protection_alg):
        macs.compute(found.header.protection_alg, b"s", b"d")


SEEDS = [WHOLE, *(message(body) for body, _, _ in BODIES.values())]


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_mutated_messages_raise_nothing_but_value_errors(seed: bytes, data: st.DataObject) -> None:
    octets = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 8))
    try:
        read_all(bytes(octets[: len(octets) - cut]))
    except ValueError:
        return


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_value_errors(octets: bytes) -> None:
    for candidate in (octets, der.sequence((codec.encode_header(HEADER), octets))):
        try:
            read_all(candidate)
        except ValueError:
            continue


def test_what_is_read_is_written_alike() -> None:
    for seed in SEEDS:
        found = codec.decode_message(seed)
        assert codec.encode_message(found.raw_header, found.raw_body, found.protection, found.extra_certs) == seed
        assert codec.encode_header(found.header) == found.raw_header


def test_elements_of_any_length() -> None:
    for size in (0, 1, 127, 128, 255, 256, 65535, 65536):
        element = der.tlv(4, b"x" * size)
        assert core.OctetString.load(element, strict=True).native == b"x" * size
        assert der.raw(der.node(element)) == element
        assert der.split(element * 3) == [element] * 3
        assert der.unwrap(element, 4) == b"x" * size


def as_cryptography_cuts(octets: bytes) -> list[bytes] | None:
    try:
        return [der.raw(element) for element in der.elements(octets)]
    except ValueError:
        return None


def as_we_cut(octets: bytes) -> list[bytes] | None:
    try:
        return der.split(octets)
    except ValueError:
        return None


LENGTHS = st.sampled_from(
    (b"\x00", b"\x01", b"\x7f", b"\x80", b"\x81\x01", b"\x81\x80", b"\x82\x00\x80", b"\x82\x01\x00")
)
HEADS = st.tuples(st.binary(min_size=1, max_size=1), LENGTHS).map(b"".join)
LUMPS = st.lists(st.one_of(HEADS, st.binary(max_size=6), st.just(b"\x04\x03abc"), st.just(bytes(128)))).map(b"".join)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.binary(max_size=40), LUMPS))
def test_octets_are_cut_as_cryptography_cuts_them(octets: bytes) -> None:
    assert as_we_cut(octets) == as_cryptography_cuts(octets)


@pytest.mark.parametrize(
    "octets",
    [
        *(
            b"",
            b"\x04",
            b"\x04\x80\x00\x00",
            b"\x04\x81\x01x",
            b"\x04\x82\x00\x80" + bytes(128),
            b"\x04\x81",
            b"\x04\x02x",
        ),
        *(b"\x1f\x01\x00", b"\x04\xff" + b"\x01" * 200, b"\x04\x00\x04\x00", b"\x05\x00"),
    ],
)
def test_what_is_no_single_element_is_not_unwrapped(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"element|length|tag|follows"):
        der.unwrap(octets, 4)

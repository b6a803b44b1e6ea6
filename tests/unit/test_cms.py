"""CMS SignedData: ours opened by openssl, openssl's opened by us, and everything that must not be accepted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms as asn1_cms
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from renewagent.cms import open_signed, sign
from tests.programs import require
from tests.unit.cmp.scripted_ra import ROOT, Party, Recipe, certify, new_key, pki

CONTENT = b"renewagent receipt v1\nline\r\n\x00\xff"
NOW = datetime.now(UTC)


def rsa_party() -> Party:
    return certify(Recipe(begins=NOW - timedelta(1), ends=NOW + timedelta(9)), pki().signing, RSA)


RSA = rsa.generate_private_key(65537, 2048)
MAKERS: dict[str, Callable[[], Party]] = {
    "P-256": lambda: pki().holder,
    "P-384": lambda: certify(Recipe(), pki().signing, new_key(384)),
    "RSA-2048": rsa_party,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_there_and_back(kind: str) -> None:
    party = MAKERS[kind]()
    octets = sign(CONTENT, party.certificate, party.key, [party.certificate, pki().signing.certificate])
    found = open_signed(octets)
    assert found.content == CONTENT and found.certificate == party.certificate
    assert found.others == (pki().signing.certificate,) and found.digest == "sha256"
    assert found.signature_algorithm == ("ecdsa" if kind.startswith("P") else "rsassa_pkcs1v15")
    assert found.signing_time is not None and abs(found.signing_time - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("kind", MAKERS)
def test_openssl_opens_ours(kind: str, tmp_path: Path) -> None:
    party = MAKERS[kind]()
    (tmp_path / "ours.der").write_bytes(sign(CONTENT, party.certificate, party.key))
    (tmp_path / "ca.pem").write_bytes(pki().signing.certificate.public_bytes(Encoding.PEM))
    options = "-verify -binary -inform DER -in ours.der -CAfile ca.pem -partial_chain -purpose any -no_check_time"
    done = openssl(tmp_path, *options.split())
    assert done.stdout == CONTENT


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", MAKERS)
def test_we_open_openssls(kind: str, digest: str, tmp_path: Path) -> None:
    party = MAKERS[kind]()
    octets = by_openssl(tmp_path, party, "-nodetach", "-md", digest)
    found = open_signed(octets)
    assert (found.content, found.certificate, found.digest) == (CONTENT, party.certificate, digest)


def by_openssl(folder: Path, party: Party, *options: str) -> bytes:
    for name, who in (("signer.pem", party), ("second.pem", pki().stranger)):
        key = who.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / name).write_bytes(who.certificate.public_bytes(Encoding.PEM) + key)
    (folder / "content").write_bytes(CONTENT)
    fixed = ["-sign", "-binary", "-outform", "DER", "-in", "content", "-signer", "signer.pem", "-out", "theirs.der"]
    openssl(folder, *fixed, *options)
    return (folder / "theirs.der").read_bytes()


def openssl(folder: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    command = [require("openssl"), "cms", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "not inside"),
        (("-nodetach", "-nocerts"), "certificate is not inside"),
        (("-nodetach", "-noattr"), "without signed attributes"),
        (("-nodetach", "-md", "sha1"), "sha1 is not accepted"),
        (("-nodetach", "-econtent_type", "1.2.3.4"), "not plain data"),
        (("-nodetach", "-signer", "second.pem"), "2 signers"),
    ],
    ids=["detached", "without certificate", "without attributes", "SHA-1", "another content type", "two signers"],
)
def test_what_openssl_can_make_and_we_refuse(options: tuple[str, ...], words: str, tmp_path: Path) -> None:
    octets = by_openssl(tmp_path, pki().holder, *options)
    with pytest.raises(ValueError, match=words):
        open_signed(octets)


def test_a_signer_named_by_key_identifier(tmp_path: Path) -> None:
    octets = by_openssl(tmp_path, pki().holder, "-nodetach", "-keyid")
    assert open_signed(octets).certificate == pki().holder.certificate


def test_pss_is_refused_not_misread(tmp_path: Path) -> None:
    octets = by_openssl(tmp_path, rsa_party(), "-nodetach", "-keyopt", "rsa_padding_mode:pss")
    with pytest.raises(ValueError, match="not accepted"):
        open_signed(octets)


def changed(change: Callable[[Any, Any], None]) -> bytes:
    """SignedData by the holder, changed, with the attributes signed anew: only what `change` did is wrong."""
    party = pki().holder
    info = asn1_cms.ContentInfo.load(sign(CONTENT, party.certificate, party.key))
    signer = info["content"]["signer_infos"][0]
    change(info["content"], signer)
    assert isinstance(party.key, ec.EllipticCurvePrivateKey)
    covered = b"\x31" + signer["signed_attrs"].dump()[1:]
    signer["signature"] = party.key.sign(covered, ec.ECDSA(hashes.SHA256()))
    octets = info.dump(force=True)
    assert isinstance(octets, bytes)
    return octets


def without(kind: str) -> Callable[[Any, Any], None]:
    def change(signed: Any, signer: Any) -> None:
        kept = [a for a in signer["signed_attrs"] if a["type"].native != kind]
        signer["signed_attrs"] = asn1_cms.CMSAttributes(kept)

    return change


def twice(signed: Any, signer: Any) -> None:
    attributes = list(signer["signed_attrs"])
    signer["signed_attrs"] = asn1_cms.CMSAttributes([*attributes, attributes[0]])


def other_digest(signed: Any, signer: Any) -> None:
    kept = [a for a in signer["signed_attrs"] if a["type"].native != "message_digest"]
    wrong = asn1_cms.CMSAttribute({"type": "message_digest", "values": [b"x" * 32]})
    signer["signed_attrs"] = asn1_cms.CMSAttributes([*kept, wrong])


def other_content(signed: Any, signer: Any) -> None:
    signed["encap_content_info"]["content"] = CONTENT + b"!"


CHANGES: dict[str, tuple[Callable[[Any, Any], None], str]] = {
    "no content type": (without("content_type"), "content type is missing"),
    "no digest": (without("message_digest"), "not what was signed"),
    "another digest": (other_digest, "not what was signed"),
    "another content": (other_content, "not what was signed"),
    "an attribute twice": (twice, "exactly once"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_signed_attributes_must_be_right(case: str) -> None:
    change, words = CHANGES[case]
    with pytest.raises(ValueError, match=words):
        open_signed(changed(change))


def test_what_is_only_signed_anew_is_accepted() -> None:
    assert open_signed(changed(lambda signed, signer: None)).content == CONTENT


def test_no_signing_time_is_no_fault() -> None:
    assert open_signed(changed(without("signing_time"))).signing_time is None


def test_a_signature_by_another_key_under_the_same_certificate() -> None:
    octets = sign(CONTENT, pki().holder.certificate, new_key())
    with pytest.raises(ValueError, match="signature over the content is wrong"):
        open_signed(octets)


def test_a_key_of_another_kind_than_the_certificate() -> None:
    octets = sign(CONTENT, pki().holder.certificate, RSA)
    with pytest.raises(ValueError, match="does not fit the key"):
        open_signed(octets)


def test_nothing_may_follow() -> None:
    octets = sign(CONTENT, pki().holder.certificate, pki().holder.key)
    with pytest.raises(ValueError):
        open_signed(octets + b"\0")


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"{}", ROOT.name.encode()])
def test_not_cms_at_all(octets: bytes) -> None:
    with pytest.raises(ValueError):
        open_signed(octets)


def test_a_key_that_only_signs_when_asked_is_asked_once() -> None:
    class Card(rsa.RSAPrivateKey):
        asked = 0

        def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
            Card.asked += 1
            return RSA.sign(data, padding, algorithm)

        def public_key(self) -> rsa.RSAPublicKey:
            return RSA.public_key()

        def _unused(self, *args: Any, **options: Any) -> Any:
            raise AssertionError("a card cannot do that")

        key_size = property(_unused)
        decrypt = private_numbers = private_bytes = __copy__ = __deepcopy__ = _unused

    party = rsa_party()
    assert open_signed(sign(CONTENT, party.certificate, Card())).content == CONTENT
    assert Card.asked == 1


SIGNED = sign(CONTENT, pki().holder.certificate, pki().holder.key, [pki().signing.certificate])


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_a_changed_byte_changes_neither_the_content_nor_the_key_that_signed_it(at: int, bits: int) -> None:
    octets = bytearray(SIGNED)
    octets[at] ^= bits
    try:
        found = open_signed(bytes(octets))
    except ValueError:
        return
    # The rest of the certificate is vouched for by its chain, not by this signature.
    assert found.content == CONTENT and found.certificate.public_key() == pki().holder.certificate.public_key()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_rubbish_is_a_value_error(octets: bytes) -> None:
    with pytest.raises(ValueError):
        open_signed(octets)

"""PSKC: RFC 6030's own examples, what vendors vary, what must not be believed, and documents that mean harm."""

from __future__ import annotations

import base64
import io
import time
import tracemalloc

import pytest
from pskc import PSKC

from renewagent.tokens.codes import Hash
from renewagent.tokens.errors import SeedFileError
from renewagent.tokens.seeds import LARGEST_FILE, FileSecret, Seed, parse_seeds
from renewagent.tokens.validation import CodeProfile, Moving
from tests.unit.tokens.pskc_files import (
    AGREED_KEY,
    FIGURE_6_SECRET,
    FIGURE_7_SECRET,
    PASSPHRASE,
    container,
    figure_6,
    figure_7,
    hidden,
    package,
    plain,
    plain_file,
    response,
)

OCTETS = b"12345678901234567890"
SECRET = plain("Secret", base64.b64encode(OCTETS).decode())
AGREED, SPOKEN = FileSecret(key=AGREED_KEY), FileSecret(passphrase=PASSPHRASE)


def refused(octets: bytes, secret: FileSecret = SPOKEN) -> SeedFileError:
    with pytest.raises(SeedFileError) as caught:
        parse_seeds(octets, secret)
    return caught.value


def problem(token: str) -> str:
    (found,) = refused(container(token)).problems
    assert found.where == "Key 1"
    return found.said


# --- What is read


def test_the_rfcs_file_for_an_agreed_key_opens_with_it() -> None:
    (seed,) = parse_seeds(figure_6(), AGREED)
    assert seed == Seed("987654321", OCTETS, CodeProfile(digits=8))
    assert seed.octets == OCTETS


def test_the_rfcs_file_for_a_passphrase_opens_with_it() -> None:
    assert parse_seeds(figure_7(), SPOKEN) == (Seed("987654321", OCTETS, CodeProfile(digits=8)),)


def test_a_plain_file_needs_nothing_and_ignores_a_passphrase() -> None:
    token = package("gahe 0000 0001", SECRET + plain("Counter", "42"))
    for secret in (SPOKEN, FileSecret()):
        assert parse_seeds(container(token), secret) == (Seed("GAHE00000001", OCTETS, counter=42),)


def test_a_token_by_time_has_its_hash_period_and_drift() -> None:
    data = SECRET + plain("Time", "0") + plain("TimeInterval", "60") + plain("TimeDrift", "4")
    token = package("A01", data, algorithm="totp", parameters="<Suite>HMAC-SHA256</Suite>" + response(8))
    (seed,) = parse_seeds(container(token))
    assert seed == Seed("A01", OCTETS, CodeProfile(Moving.TIME, 8, Hash.SHA256, 60), drift=4)


@pytest.mark.parametrize("algorithm", ["aes128-cbc", "aes256-cbc", "kw-aes128", "kw-aes256"])
def test_what_python_pskc_writes_is_read(algorithm: str) -> None:
    document = PSKC()
    for number in range(3):
        document.add_key(
            id=str(number),
            serial=f"A0{number}",
            secret=OCTETS[:16] + bytes([number] * 8),
            algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp",
            response_length=6,
            response_encoding="DECIMAL",
        )
    document.encryption.setup_pbkdf2("correct horse", algorithm=algorithm)
    path = _written(document)
    seeds = parse_seeds(path, FileSecret(passphrase="correct horse"))
    assert [(seed.serial, seed.octets[-1]) for seed in seeds] == [("A00", 0), ("A01", 1), ("A02", 2)]
    assert "does not open it" in refused(path).message


def _written(document: PSKC) -> bytes:
    file = io.BytesIO()
    document.write(file)
    return file.getvalue()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_its_encoding_does_not_matter(encoding: str) -> None:
    text = container(package("A01", SECRET)).decode().replace("UTF-8", encoding.replace("-sig", ""))
    assert parse_seeds(text.encode(encoding)) == (Seed("A01", OCTETS),)


# --- What is not believed


def test_an_encrypted_file_does_not_open_with_nothing_or_something_else() -> None:
    assert refused(figure_7(), FileSecret()).message == "The seed file is encrypted, and must be opened."
    for secret in (FileSecret(passphrase="qwertz"), AGREED, FileSecret(key=b"short")):
        assert "does not open it" in refused(figure_7(), secret).message
    assert "does not open it" in refused(figure_6(), SPOKEN).message


def test_a_seed_that_was_changed_on_its_way_is_found() -> None:
    changed = base64.b64decode(FIGURE_6_SECRET[0])
    value = base64.b64encode(bytes([changed[0] ^ 1]) + changed[1:]).decode()  # changes the seed's first octet
    assert "does not open it" in refused(figure_6((value, FIGURE_6_SECRET[1])), AGREED).message
    assert "does not open it" in refused(figure_6((FIGURE_6_SECRET[0], FIGURE_7_SECRET[1])), AGREED).message


@pytest.mark.parametrize("mac", [None, "", " ", "!!!!", "AAAA", "A"])
def test_a_seed_whose_change_nothing_would_show_is_refused(mac: str | None) -> None:
    assert "nothing shows that they were not changed" in refused(figure_6((FIGURE_6_SECRET[0], mac)), AGREED).message


def test_an_encrypted_value_of_no_named_kind_needs_a_code_too() -> None:
    bare = hidden(FIGURE_6_SECRET[0], None).replace(' Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"', "")
    assert "nothing shows" in refused(container(package("A01", bare)), AGREED).message


TOKENS = {
    "no serial": (package("", SECRET), "The serial number must have"),
    "no seed": (package("A01", ""), "The seed must have 10 to 128 octets, and has 0."),
    "short seed": (package("A01", plain("Secret", "AAAA")), "and has 3."),
    "other algorithm": (package("A01", SECRET, algorithm="pin"), "It is not for one-time passwords"),
    "other suite": (package("A01", SECRET, parameters="<Suite>HMAC-MD5</Suite>"), "The hash must be"),
    "four digits": (package("A01", SECRET, parameters=response(4)), "codes have 6 to 8 digits"),
    "letters": (package("A01", SECRET, parameters=response(6).replace("DECIMAL", "HEXADECIMAL")), "decimal digits"),
    "check digit": (package("A01", SECRET, parameters=response(6).replace("/>", ' CheckDigits="true"/>')), "decimal"),
    "negative counter": (package("A01", SECRET + plain("Counter", "-1")), "The counter must be a number from 0 on."),
    "far drift": (package("A01", SECRET + plain("TimeDrift", "999999"), algorithm="totp"), "too far off"),
    "other usage": (package("A01", SECRET, policy="<Policy><KeyUsage>Encrypt</KeyUsage></Policy>"), "Its policy"),
    "unknown policy": (package("A01", SECRET, policy="<Policy><OnlyOnSundays/></Policy>"), "Its policy"),
}


@pytest.mark.parametrize("what", TOKENS)
def test_a_token_that_cannot_be_used_is_told_of(what: str) -> None:
    token, words = TOKENS[what]
    assert words in problem(token)


def test_a_policy_that_allows_codes_is_kept() -> None:
    token = package("A01", SECRET, policy="<Policy><KeyUsage>OTP</KeyUsage></Policy>")
    assert parse_seeds(container(token)) == (Seed("A01", OCTETS),)


# --- What means harm

_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
HARMFUL = {
    "a billion laughs": f'<!DOCTYPE a [<!ENTITY l0 "ha">{_LAUGHS}]><a>&l9;</a>'.encode(),
    "a quadratic one": f'<!DOCTYPE a [<!ENTITY a "{"a" * 50_000}">]><a>{"&a;" * 50_000}</a>'.encode(),
    "a file": b'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><a>&f;</a>',
    "an address": b'<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><a/>',
    "a parameter entity": b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://192.0.2.1/a"> %p;]><a/>',
    "in UTF-16": '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><a>&f;</a>'.encode("utf-16"),
    "deep": b"<a>" * 200_000 + b"</a>" * 200_000,
    "rather deep": b"<a>" * 50 + b"</a>" * 50,
    "many tags": b"<r>" + b"<a/>" * 1_000_000 + b"</r>",
    "many attributes": b"<r " + b" ".join(b'a%d=""' % n for n in range(500_000)) + b"/>",
    "long text": container("x" * 100_000),
    "a long number": container(package("A01", SECRET + plain("Counter", "9" * 100_000))),
    "hours of derivation": figure_7(iterations=10**9),
    "a long key": figure_7(length=10**8),
    "derivation of no number": figure_7(iterations="many"),
    "negative derivation": figure_7(iterations=-1),
}


@pytest.mark.parametrize("what", HARMFUL)
def test_a_document_that_means_harm_is_not_read(what: str) -> None:
    octets = HARMFUL[what]
    assert len(octets) <= LARGEST_FILE
    tracemalloc.start()
    started = time.process_time()
    assert "might do harm" in refused(octets).message
    took, (_, most) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 10
    assert most < 200_000_000


@pytest.mark.parametrize(
    "octets",
    [
        b"<",
        b"<a>",
        b"<a/>",
        b"<?xml version='1.0' encoding='nothing'?><a/>",
        b"<a>&nothing;</a>",
        b"<a>\x00</a>",
        container().replace(b'Version="1.0"', b'Version="9"'),
        container(package("A01", plain("Secret", "A"))),
        container(package("A01", SECRET + plain("Counter", "two"))),
        container(package("A01", SECRET, parameters='<ResponseFormat Length="six"/>')),
    ],
)
def test_what_is_no_pskc_is_said_to_be_none(octets: bytes) -> None:
    assert "no PSKC document" in refused(octets).message


def test_a_container_without_keys_has_no_tokens() -> None:
    assert refused(container()).message == "There is no token in the file."


def test_two_thousand_tokens_are_read() -> None:
    serials = [f"A{number:05}" for number in range(2_000)]
    assert [seed.serial for seed in parse_seeds(plain_file(serials))] == serials

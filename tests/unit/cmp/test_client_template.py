"""Which keys an RA certifies, read from its certReqTemplate. The octets here are written out by hand, from the ASN.1 of
RFC 9810 5.3.19.16 and RFC 4211, and once more taken from what the mock RA makes."""

from __future__ import annotations

import pytest

from renewagent.cmp.client_template import read_certified_keys
from renewagent_fixtures.mock_ra.key_policy import template

RSA_3072 = "300f 0609 2b0601050507 05010c 0202 0c00"
P256 = "3020 0609 2b0601050507 05010b 3013 0607 2a8648ce3d0201 0608 2a8648ce3d030107"
ED25519 = "3012 0609 2b0601050507 05010b 3005 0603 2b6570"
REG_TOKEN = "300e 0609 2b0601050507 050101 0c01 41"


def octets(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


def content(*controls: str) -> bytes:
    inside = b"".join(octets(control) for control in controls)
    key_spec = bytes((0x30, len(inside))) + inside
    return bytes((0x30, 2 + len(key_spec))) + b"\x30\x00" + key_spec


@pytest.mark.parametrize(
    ("controls", "kinds"),
    [
        ((RSA_3072,), {("rsa", 3072)}),
        ((P256,), {("ec", 256)}),
        ((RSA_3072, P256), {("rsa", 3072), ("ec", 256)}),
        ((ED25519,), set()),
        ((REG_TOKEN, RSA_3072), {("rsa", 3072)}),
    ],
)
def test_the_kinds_that_a_card_could_make(controls: tuple[str, ...], kinds: set[tuple[str, int]]) -> None:
    certified = read_certified_keys(content(*controls))
    assert certified == frozenset(kinds)


@pytest.mark.parametrize("value", [None, b"\x30\x02\x30\x00"])
def test_no_requirement_at_all(value: bytes | None) -> None:
    assert read_certified_keys(value) is None


@pytest.mark.parametrize(
    "value",
    [b"", b"\x30\x00", b"\x05\x00", b"\x30\x04\x30\x00\x30", content("0500"), content("300b 0609 2b0601050507 05010c")],
)
def test_what_makes_no_sense(value: bytes) -> None:
    with pytest.raises(ValueError):
        read_certified_keys(value)


@pytest.mark.parametrize("cut", range(1, 40))
def test_what_is_cut_short(cut: int) -> None:
    whole = template(("rsa2048", "p256"))
    with pytest.raises(ValueError):
        read_certified_keys(whole[:-cut])


def test_the_mock_says_what_is_understood() -> None:
    kinds = {"rsa2048": ("rsa", 2048), "rsa4096": ("rsa", 4096), "p256": ("ec", 256), "p384": ("ec", 384)}
    for name, kind in kinds.items():
        assert read_certified_keys(template((name,))) == frozenset({kind})
    assert read_certified_keys(template(tuple(kinds))) == frozenset(kinds.values())

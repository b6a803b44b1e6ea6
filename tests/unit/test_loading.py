"""Certificates that make no sense are ValueErrors, whatever `cryptography` makes of them."""

from __future__ import annotations

import pytest

from renewagent.certificates import read_certificate
from renewagent.loading import load_certificate
from tests.made import certificate

COMMON_NAME = bytes.fromhex("0603550403")


def with_bit_string_in_names(der: bytes) -> bytes:
    """Every common name becomes a BIT STRING of the same length."""
    assert der.count(COMMON_NAME + b"\x0c") == 2
    return der.replace(COMMON_NAME + b"\x0c", COMMON_NAME + b"\x03")


def test_a_bit_string_in_a_name() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        load_certificate(with_bit_string_in_names(certificate()))


def test_a_faulty_batch_may_have_one_and_is_recognised_all_the_same() -> None:
    found = read_certificate(with_bit_string_in_names(certificate()))
    assert (found.head.serial, found.key_usage) == (0x1A2B, frozenset({"contentCommitment"}))

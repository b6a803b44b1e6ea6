"""Codes as the RFCs' own appendices have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from renewagent.tokens.codes import Hash, codes_of, hotp, step_of, totp

SEED = b"12345678901234567890"
APPENDIX_D = "755224 287082 359152 969429 338314 254676 287922 162583 399871 520489".split()  # RFC 4226
SEEDS = {Hash.SHA1: (SEED * 4)[:20], Hash.SHA256: (SEED * 4)[:32], Hash.SHA512: (SEED * 4)[:64]}
APPENDIX_B = {  # RFC 6238, by seconds since 1970
    59: ("94287082", "46119246", "90693936"),
    1111111109: ("07081804", "68084774", "25091201"),
    1111111111: ("14050471", "67062674", "99943326"),
    1234567890: ("89005924", "91819424", "93441116"),
    2000000000: ("69279037", "90698825", "38618901"),
    20000000000: ("65353130", "77737706", "47863826"),
}


def test_hotp_is_that_of_rfc_4226() -> None:
    assert [hotp(SEED, counter) for counter in range(10)] == APPENDIX_D
    assert list(codes_of(SEED, range(10), 6, Hash.SHA1)) == APPENDIX_D


@pytest.mark.parametrize("seconds", APPENDIX_B)
@pytest.mark.parametrize("hash", Hash)
def test_totp_is_that_of_rfc_6238(seconds: int, hash: Hash) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    assert totp(SEEDS[hash], at, 8, hash) == APPENDIX_B[seconds][list(Hash).index(hash)]


def test_a_step_begins_with_its_first_second_in_every_time_zone() -> None:
    at = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
    assert step_of(at, 30) == step_of(at + timedelta(seconds=29.999), 30) == step_of(at - timedelta(seconds=1), 30) + 1
    assert step_of(at.astimezone(timezone(timedelta(hours=-8))), 30) == step_of(at, 30)
    assert step_of(at, 60) == step_of(at - timedelta(seconds=30), 60)


def test_a_seed_shorter_than_the_rfc_wants_makes_codes_all_the_same() -> None:
    assert len(hotp(b"0123456789", 0)) == 6


def test_codes_keep_their_leading_noughts() -> None:
    assert any(code.startswith("0") for code in codes_of(SEED, range(50), 6, Hash.SHA1))
    assert {len(code) for code in codes_of(SEED, range(50), 7, Hash.SHA1)} == {7}

"""Seed files as CSV: what vendors write, and what is said of what they should not have written."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.tokens.codes import Hash
from renewagent.tokens.errors import SeedFileError
from renewagent.tokens.seeds import LARGEST_FILE, MOST_TOKENS, Seed, parse_seeds, read_seeds
from renewagent.tokens.validation import CodeProfile, Moving

OCTETS = b"12345678901234567890"
HEX = OCTETS.hex()
OTHER = HEX[::-1]
ONE = "GAHE00000001"


def refused(text: str | bytes) -> SeedFileError:
    with pytest.raises(SeedFileError) as caught:
        parse_seeds(text if isinstance(text, bytes) else text.encode())
    assert HEX not in str(caught.value) + str(caught.value.problems)
    return caught.value


def said(text: str) -> list[tuple[str, str]]:
    return [(problem.where, problem.said) for problem in refused(text).problems]


@pytest.mark.parametrize(
    "text",
    [
        f"serial,seed\n{ONE},{HEX}\n",
        f"\ufeffSerial Number;Secret (hex);remark\r\n{ONE};{HEX.upper()};first\r\n",
        f"# from Acme\n\nSEED\tSERIAL\n\n{HEX}\tgahe-0000 0001\n",
        f'"serial","key"\n"{ONE}","{HEX}"',
        f"serial,seed_base32\n{ONE},{base64.b32encode(OCTETS).decode().lower()}\n",
        f"serial,type,digits,hash,counter,seed\n{ONE},HOTP,6,HMAC-SHA-1,0,{HEX}\n",
        f"{ONE}, {HEX}\n",
        f"{ONE}, {HEX}, hotp, 6\n",
    ],
)
def test_vendors_write_the_same_in_many_ways(text: str) -> None:
    assert parse_seeds(text.encode()) == (Seed(ONE, OCTETS),)


def test_tokens_may_differ_from_what_is_usual() -> None:
    text = f"serial,seed,type,digits,hash,period,counter\nA01,{HEX},totp,8,SHA256,60,\nA02,{OTHER},,,,,4711\n"
    assert parse_seeds(text.encode()) == (
        Seed("A01", OCTETS, CodeProfile(Moving.TIME, 8, Hash.SHA256, 60)),
        Seed("A02", bytes.fromhex(OTHER), counter=4711),
    )


def test_each_line_that_is_wrong_is_told_of_and_none_is_used() -> None:
    text = (
        f"serial,seed\nA01,{HEX}\n!,{HEX}\nA03,xyz\nA04,\nA05,1234\nA06,{'00' * 20}\nA01,{OTHER}\nA08,{HEX}\nA09,1,2\n"
    )
    assert said(text) == [
        ("Line 3", "The serial number must have 3 to 40 letters and digits."),
        ("Line 4", "The seed is not a hexadecimal number with two digits for each octet."),
        ("Line 5", "There is no seed."),
        ("Line 6", "The seed must have 10 to 128 octets, and has 2."),
        ("Line 7", "The seed is one octet repeated, and no secret."),
        ("A01", "This token is in the file twice."),
        ("A08", "Another token in the file has the same seed."),
        ("Line 10", "There are 3 cells, and 2 columns."),
    ]
    assert refused(text).message.startswith("The seed file cannot be used. Line 3: The serial number must")
    assert refused(text).message.endswith("There are 7 more that are wrong.")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("A01,{},hotp,5,,,", "codes have 6 to 8 digits, not 5"),
        ("A01,{},hotp,six,,,", "In the column digits must be a number."),
        ("A01,{},hotp,9999999999999999999999,,,", "In the column digits must be a number."),
        ("A01,{},ocra,,,,", "The type must be hotp or totp."),
        ("A01,{},totp,,MD5,,", "The hash must be SHA1, SHA256 or SHA512."),
        ("A01,{},totp,,,0,", "a code lasts 1 to 3600 seconds, not 0"),
        ("A01,{},hotp,,,,9223372036854775807", "The counter must be a number from 0 on."),
        ("A01,{},hotp,,,,-1", "In the column counter must be a number."),
    ],
)
def test_what_no_token_can_have_is_said_to_be_so(row: str, words: str) -> None:
    ((where, sentence),) = said("serial,seed,type,digits,hash,period,counter\n" + row.format(HEX))
    assert where == "Line 2"
    assert words in sentence


def test_what_a_spreadsheet_has_rewritten_is_recognised() -> None:
    assert said(f'serial;seed\n"1,23457E+11";{HEX}\nA02;3.13233E+39\n') == [
        ("Line 2", "A spreadsheet has rewritten the serial number: have the file sent again, and do not open it."),
        ("Line 3", "A spreadsheet has rewritten the seed: have the file sent again, and do not open it."),
    ]


def test_columns_without_a_seed_or_with_two_are_refused() -> None:
    assert refused("serial,colour\nA01,red\n").message == "The first line must name one column seed or seed_base32."
    assert "one column serial" in refused(f"token,seed\nA01,{HEX}\n").message
    assert "one column seed" in refused(f"serial,seed,secret\nA01,{HEX},{HEX}\n").message


@pytest.mark.parametrize("text", [b"", b"\n\n", b"# nothing\n", b"serial,seed\n"])
def test_a_file_without_tokens_is_none(text: bytes) -> None:
    assert refused(text).message == "There is no token in the file."


@pytest.mark.parametrize(
    "octets", [b"\x80\x81\x82", b"PK\x03\x04\xff\xfe", "serial,seed\n".encode("utf-16-le") + b"\xff"]
)
def test_what_is_no_text_is_said_to_be_none(octets: bytes) -> None:
    assert "neither PSKC nor text" in refused(octets).message


def test_a_quotation_mark_that_never_ends_is_found() -> None:
    assert "Line" in refused(f'serial,seed\nA01,"{HEX}\n').message


def test_files_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "seeds.csv"
    path.write_bytes(b"#" * (LARGEST_FILE + 1))
    with pytest.raises(SeedFileError, match="larger than 8 MiB"):
        read_seeds(path)
    rows = "\n".join(f"A{n:05},{n:040x}" for n in range(1, MOST_TOKENS + 2))
    assert f"more than {MOST_TOKENS} tokens" in refused(rows).message
    assert refused("serial,seed\nA01," + "1" * 200_000).message.endswith("Line 2 is no line of a CSV file.")


def test_one_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(SeedFileError, match="cannot be read"):
        read_seeds(tmp_path / "none.csv")
    path = tmp_path / "one.csv"
    path.write_text(f"serial,seed\n{ONE},{HEX}\n")
    assert read_seeds(path) == (Seed(ONE, OCTETS),)


def test_a_seed_is_not_shown() -> None:
    assert "123456" not in repr(parse_seeds(f"serial,seed\n{ONE},{HEX}\n".encode()))


@given(st.lists(st.binary(min_size=10, max_size=64).filter(lambda o: len(set(o)) > 1), min_size=1, unique=True))
def test_what_is_written_is_read(seeds: list[bytes]) -> None:
    text = "serial,seed\n" + "".join(f"A{n:03},{seed.hex()}\n" for n, seed in enumerate(seeds))
    assert [seed.octets for seed in parse_seeds(text.encode())] == seeds

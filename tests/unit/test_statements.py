"""Statements that cards sign: written one way only, and nothing of a peer's choosing in them but a nonce."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.statements import Purpose, Statement

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NONCE = "00112233445566ff"
FIELDS = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.characters(min_codepoint=0xA0, max_codepoint=0xD7FF)
)
STATEMENTS = st.builds(
    Statement,
    purpose=st.sampled_from(Purpose),
    origin=FIELDS,
    card=FIELDS,
    certificate=FIELDS,
    at=st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)).map(lambda t: t.replace(microsecond=0)),  # noqa: DTZ001
    nonce=st.binary(min_size=8, max_size=64).map(bytes.hex),
    old=FIELDS,
    campaign=FIELDS,
)


def statement(**changes: object) -> Statement:
    fields: dict[str, object] = {
        "purpose": Purpose.RECEIPT,
        "origin": "https://ra.example:443",
        "card": "chuid:0102",
        "certificate": "ab" * 32,
        "at": AT,
        "nonce": NONCE,
        "old": "cd" * 32,
        "campaign": "2020-10-eps/3",
    }
    return Statement(**{**fields, **changes})  # type: ignore[arg-type]


def test_how_a_statement_looks() -> None:
    assert statement().encode().decode() == (
        "renewagent receipt v1\n"
        "origin: https://ra.example:443\n"
        "card: chuid:0102\n"
        f"certificate: {'ab' * 32}\n"
        f"old: {'cd' * 32}\n"
        "campaign: 2020-10-eps/3\n"
        "time: 2026-01-02T03:04:05Z\n"
        "nonce: 00112233445566ff\n"
    )


@given(STATEMENTS)
def test_what_is_written_reads_back_the_same(written: Statement) -> None:
    assert Statement.decode(written.encode()) == written


@given(STATEMENTS, st.integers(0, 2000), st.binary(max_size=3))
def test_bytes_that_decode_are_the_only_ones_for_their_statement(written: Statement, at: int, junk: bytes) -> None:
    octets = written.encode()
    changed = octets[:at] + junk + octets[at + 1 :]
    try:
        assert Statement.decode(changed).encode() == changed
    except ValueError:
        pass


@given(st.binary(max_size=300))
def test_a_statement_begins_with_its_purpose_so_that_nothing_else_is_one(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Statement.decode(octets)


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": ""},
        {"nonce": "0011"},
        {"nonce": NONCE.upper()},
        {"nonce": "0" * 15},
        {"nonce": "00" * 65},
        {"nonce": NONCE + "\n"},
        {"nonce": f"{NONCE}\nnonce: {NONCE}"},
        {"origin": "https://ra.example\ncard: chuid:9999"},
        {"card": "chuid:01\r"},
        {"campaign": "a\x00b"},
        {"certificate": "\x85"},
        {"old": "\U0001f600"},
    ],
)
def test_what_could_pass_for_another_line_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"nonce|control character"):
        statement(**changes).encode()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda o: o[:-1],
        lambda o: o + b"\n",
        lambda o: o + b"more: x\n",
        lambda o: o.replace(b"v1", b"v2"),
        lambda o: o.replace(b"05Z", b"05+00:00"),
        lambda o: o.replace(b"2026-01", b"2026-1"),
        lambda o: o.replace(b"card: ", b"card:"),
        lambda o: o.replace(b"\n", b"\r\n"),
        lambda o: b"\xef\xbb\xbf" + o,
        lambda o: o.replace(b"chuid", b"chu\xff"),
        lambda o: b"\n".join([o.split(b"\n")[0], *sorted(o.split(b"\n")[1:-1]), b""]),
    ],
)
def test_what_is_no_statement(spoil) -> None:  # type: ignore[no-untyped-def]
    spoilt = spoil(statement().encode())
    assert spoilt != statement().encode()
    with pytest.raises(ValueError, match=r".+"):
        Statement.decode(spoilt)


def test_times_are_written_in_utc() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert statement(at=elsewhere).encode() == statement().encode()

"""The words of a check-in: out and in again the same, and nothing else comes in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.check_ins import CLAIMED, LARGEST_RECEIPT, CardState, CertificateClaim, CheckIn

AT = datetime(2026, 11, 22, 9, 30, 1, tzinfo=UTC)
TIMES = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0)).filter(lambda at: at.year > 999)
WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"], max_codepoint=0xFFFF), max_size=30)
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
CERTIFICATES = st.builds(
    CertificateClaim,
    issuer=WORDS.filter(bool),
    serial=st.integers(-(2**100), 2**160).map(lambda number: format(number, "x")),
    not_before=TIMES,
    not_after=TIMES,
    sha256=st.just("") | HEX,
)
CHECK_INS = st.builds(
    CheckIn,
    id=HEX.map(lambda text: text[:32]),
    at=TIMES,
    card=WORDS.filter(bool),
    state=st.sampled_from([state for state in CardState if state in CLAIMED]),
    certificate=st.none() | CERTIFICATES,
    campaign=WORDS,
    rule=WORDS,
    model=WORDS,
    why=WORDS,
    until=st.none() | TIMES,
    order=st.just("") | HEX.map(lambda text: text[:32]),
    receipt=st.binary(max_size=100),
)
WHOLE = CheckIn(
    "ab" * 16, AT, "chuid:ab", CardState.TOLD, CertificateClaim("CN=x", "1a", AT, AT, "cd" * 32), "c/1"
).to_json()


@given(CHECK_INS)
def test_out_and_in_again(check_in: CheckIn) -> None:
    assert CheckIn.from_json(json.loads(json.dumps(check_in.to_json()))) == check_in


@pytest.mark.parametrize(
    "change",
    [
        {"id": "AB" * 16},
        {"id": None},
        {"at": "2026-11-22 09:30:00Z"},
        {"at": "2026-11-22T09:30:00+00:00"},
        {"at": "2026-11-22T09:30:00.5Z"},
        {"at": "2026-02-30T09:30:00Z"},
        {"at": "٢٠٢٦-11-22T09:30:00Z"},
        {"at": 5},
        {"card": ""},
        {"card": "x" * 201},
        {"why": "a\nb"},
        {"why": "\ud800"},
        {"state": "stuck"},
        {"state": "not-seen"},
        {"state": ["done"]},
        {"order": "all"},
        {"until": None},
        {"holder": "Dr Ada Example"},
        {"receipt": "AA"},
        {"receipt": "A" * (LARGEST_RECEIPT * 4 // 3 + 8)},
        {"certificate": {}},
        {"certificate": {**WHOLE["certificate"], "serial": "0x1"}},
        {"certificate": {**WHOLE["certificate"], "subject": "CN=Dr Ada Example"}},
    ],
)
def test_nothing_else_comes_in(change: dict[str, Any]) -> None:
    assert CheckIn.from_json(WHOLE)
    with pytest.raises(ValueError):
        CheckIn.from_json({**WHOLE, **change})

"""How far a card is: newest claim first, proof for ever, and nothing done without a receipt."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.check_ins import CLAIMED, CardState
from renewagent.console.states import (
    OUTSTANDING,
    Certificate,
    Claim,
    Standing,
    believable,
    hear,
    shown,
)

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
OLD = Certificate("CN=issuer", "1a", NOW - timedelta(days=100), "aa" * 32)
NEW = Certificate("CN=issuer", "2b", NOW - timedelta(days=1))
NOT_KNOWN = Certificate("", "")
MINUTE = timedelta(minutes=1)


def claim(word: str, minute: int = 0, **fields: object) -> Claim:
    made = Claim(NOW + minute * MINUTE, CardState(word), OLD, 1, "agent", "RX1")
    return replace(made, **fields)  # type: ignore[arg-type]


def after(*claims: Claim) -> Standing:
    standing = None
    for one in claims:
        standing = hear(standing, one)
    assert standing is not None
    return standing


PROOF = "f" * 64


@pytest.mark.parametrize(
    ("claims", "state"),
    [
        ([claim("affected")], "affected"),
        ([claim("affected"), claim("told", 1)], "told"),
        ([claim("told", 1), claim("affected")], "told"),
        ([claim("told", 1), claim("affected", 1)], "told"),
        ([claim("affected"), claim("clear", 1)], "clear"),
        ([claim("renewed", receipt=PROOF)], "renewed"),
        ([claim("done")], "renewed"),
        ([claim("done", receipt=PROOF)], "done"),
        ([claim("renewed", receipt=PROOF), claim("done", 1)], "done"),
        ([claim("done", 1), claim("renewed", receipt=PROOF)], "done"),
        ([claim("renewed", 1), claim("running", receipt=PROOF)], "renewed"),
        ([claim("renewed", receipt=PROOF), claim("done", 1), claim("clear", 2)], "done"),
        ([claim("renewed", receipt=PROOF), claim("clear", 2)], "renewed"),
        ([claim("done", receipt=PROOF), claim("affected", 1)], "affected"),
        ([claim("done", receipt=PROOF), claim("affected", 1), claim("done", 2)], "done"),
        ([claim("done", receipt=PROOF), claim("locked", 1, certificate=NEW)], "done"),
        ([claim("done", receipt=PROOF), claim("affected", 1, certificate=NEW, version=2)], "affected"),
        ([claim("affected"), claim("affected", 1, certificate=NEW)], "affected"),
        ([claim("affected"), claim("clear", 1, certificate=NEW)], "clear"),
        ([claim("affected", 1), claim("clear", certificate=NEW)], "affected"),
        ([claim("affected"), claim("clear", 1, listed=True)], "affected"),
        ([claim("clear", 9, certificate=NEW), claim("affected")], "clear"),
        ([claim("clear", 9, certificate=NEW), claim("affected", listed=True)], "affected"),
        ([claim("clear", 9, certificate=NEW), claim("affected"), claim("done", 1, receipt=PROOF)], "done"),
        ([claim("clear", 9, certificate=NEW), claim("renewed", 1, receipt=PROOF)], "renewed"),
        ([claim("affected"), claim("renewed", 1, certificate=NOT_KNOWN, receipt=PROOF)], "renewed"),
        ([claim("done", 1, certificate=NOT_KNOWN, receipt=PROOF), claim("affected")], "done"),
        ([claim("done", 1, receipt=PROOF), claim("locked", 2, certificate=NOT_KNOWN)], "done"),
        ([claim("done", 1, receipt=PROOF), claim("locked", 2, certificate=NOT_KNOWN, version=2)], "locked"),
        ([claim("affected"), claim("clear", 1, certificate=NEW, listed=True)], "affected"),
    ],
)
def test_what_claims_come_to(claims: list[Claim], state: str) -> None:
    assert after(*claims).state is CardState(state)


def test_a_listed_certificate_is_not_cleared_by_word_of_mouth() -> None:
    assert hear(None, claim("clear", listed=True)) is None


def test_another_affected_certificate_begins_anew_and_wants_its_own_receipt() -> None:
    again = after(claim("done", receipt=PROOF), claim("done", 5, certificate=NEW, version=2))
    assert again.certificate == NEW
    assert (again.state, again.receipt, again.first) == (CardState.RENEWED, "", NOW)


def test_a_certificate_that_was_not_known_is_learned() -> None:
    standing = after(claim("renewed", 3, certificate=NOT_KNOWN), claim("affected"))
    assert standing.certificate == OLD


def test_since_is_when_the_state_began_and_an_older_claim_does_not_move_it() -> None:
    standing = after(claim("told", 1), claim("told", 9), claim("told", 4))
    assert (standing.since, standing.heard, standing.first) == (NOW + MINUTE, NOW + 9 * MINUTE, NOW + MINUTE)
    assert standing.told == NOW + 9 * MINUTE


def test_what_was_put_off_and_what_failed_is_counted() -> None:
    standing = after(
        claim("put-off", 1, until=NOW + timedelta(hours=2)),
        claim("put-off", 2),
        claim("part-way", 3, why="RA-CARD-REMOVED"),
        claim("part-way", 4, why="RA-UNREACHABLE"),
        claim("affected", 5, why="RA-STOPPED"),
    )
    assert (standing.put_off, standing.failures, standing.why) == (2, 2, "RA-STOPPED")
    assert after(claim("part-way", why="RA-UNREACHABLE"), claim("renewed", 1)).failures == 0


@pytest.mark.parametrize("state", [state for state in CardState if state in CLAIMED])
def test_stuck_is_what_is_outstanding_for_too_long_or_failed_too_often(state: CardState) -> None:
    standing = replace(after(claim("affected")), state=state)
    long = timedelta(days=3)
    stuck = CardState.STUCK if state in OUTSTANDING else state
    assert shown(standing, NOW + long, long) is state
    assert shown(standing, NOW + long + MINUTE, long) is stuck
    assert shown(replace(standing, failures=2), NOW, long) is state
    assert shown(replace(standing, failures=3), NOW, long) is stuck


def test_a_clock_that_is_ahead_is_believed_for_five_minutes_only() -> None:
    assert believable(NOW + timedelta(days=9), NOW) == NOW + timedelta(minutes=5)
    assert believable(NOW - timedelta(days=9), NOW) == NOW - timedelta(days=9)


CLAIMS = st.lists(
    st.builds(
        lambda state, minute, proof, version: claim(
            state,
            minute,
            receipt=PROOF if proof and state in ("renewed", "done") else "",
            version=version,
            certificate=NEW if proof and state == "clear" else OLD,
        ),
        st.sampled_from(sorted(state.value for state in CLAIMED)),
        st.integers(0, 4),
        st.booleans(),
        st.integers(1, 2),
    ),
    min_size=1,
    max_size=6,
)


@given(CLAIMS, st.randoms(use_true_random=False))
def test_the_order_of_delivery_does_not_matter(claims: list[Claim], chance: object) -> None:
    shuffled = list(claims)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    straight, mixed = after(*claims), after(*shuffled)
    for name in ("state", "heard", "first", "receipt", "signed_in"):
        assert getattr(straight, name) == getattr(mixed, name), name


@given(CLAIMS)
def test_done_only_with_a_receipt_and_a_sign_in(claims: list[Claim]) -> None:
    standing = after(*claims)
    if standing.state is CardState.DONE:
        assert any(one.receipt for one in claims)
        assert any(one.state is CardState.DONE for one in claims)


@given(CLAIMS)
def test_hearing_everything_twice_changes_no_state(claims: list[Claim]) -> None:
    assert after(*claims).state is after(*claims, *claims).state


def test_a_whole_renewal_in_every_order() -> None:
    story = [
        claim("affected"),
        claim("told", 1),
        claim("running", 2),
        claim("renewed", 3, receipt=PROOF),
        claim("done", 4),
    ]
    assert {after(*order).state for order in permutations(story)} == {CardState.DONE}

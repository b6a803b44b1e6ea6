"""An override is lent: every moment of its life."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from renewagent.tokens import leases
from renewagent.tokens.leases import Lease, Life

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
ENDS = NOW + timedelta(minutes=15)
LEASE = Lease("l1", "sue", "enable EPCS", "ada", NOW, ENDS)
MOMENT = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOW, Life.GIVEN),
        (ENDS - MOMENT, Life.GIVEN),
        (ENDS, Life.DUE),
        (ENDS + leases.GRACE - MOMENT, Life.DUE),
        (ENDS + leases.GRACE, Life.OUTLIVED),
    ],
)
def test_its_life(at: datetime, expected: Life) -> None:
    assert leases.life(LEASE, at) is expected
    assert leases.life(replace(LEASE, ended=at), at) is Life.ENDED
    served = replace(LEASE, ends=at, why="served")
    assert leases.life(served, at) is Life.DUE


@pytest.mark.parametrize(
    ("minutes", "fits"), [(0, False), (0.99, False), (1, True), (15, True), (60, True), (60.01, False), (-5, False)]
)
def test_its_length(minutes: float, fits: bool) -> None:
    assert leases.is_length(timedelta(minutes=minutes)) is fits


@pytest.mark.parametrize(
    ("promised", "shown", "enforced"),
    [
        (True, ENDS, True),
        (True, ENDS - timedelta(minutes=3), True),
        (True, ENDS + timedelta(seconds=59), True),
        (True, ENDS + timedelta(minutes=2), False),
        (True, None, False),
        (False, ENDS, False),
    ],
)
def test_an_ehr_is_believed_to_end_it_only_where_it_shows_the_end(
    promised: bool, shown: datetime | None, enforced: bool
) -> None:
    assert leases.is_enforced(LEASE, promised, shown) is enforced


def test_a_scheduler_lives_for_four_looks() -> None:
    assert not leases.pulse_is_fresh(None, NOW, 5.0)
    assert leases.pulse_is_fresh(NOW - timedelta(seconds=20), NOW, 5.0)
    assert not leases.pulse_is_fresh(NOW - timedelta(seconds=20, milliseconds=1), NOW, 5.0)
    assert not leases.pulse_is_fresh(NOW + timedelta(hours=1), NOW, 5.0)  # somebody has set a clock back


@pytest.mark.parametrize(
    ("at", "still_there", "alarming"),
    [
        (ENDS, True, False),
        (ENDS + leases.GRACE, True, True),
        (ENDS + leases.GRACE, None, True),
        (ENDS + leases.GRACE, False, False),
        (ENDS + timedelta(days=3), True, True),
    ],
)
def test_somebody_is_told_once_when_it_outlives_its_end(at: datetime, still_there: bool | None, alarming: bool) -> None:
    assert leases.is_alarming(LEASE, at, still_there=still_there) is alarming
    assert not leases.is_alarming(replace(LEASE, alarmed=at), at, still_there=still_there)
    kept = replace(LEASE, enforced=True)
    assert leases.is_alarming(kept, at, still_there=still_there) is (alarming and still_there is True)


def test_it_is_not_gone_before_it_can_no_longer_come() -> None:
    """The EHR was asked and nobody heard the answer: it may still be giving it."""
    assert not leases.can_end(LEASE, NOW + leases.ON_ITS_WAY - MOMENT)
    assert leases.can_end(LEASE, NOW + leases.ON_ITS_WAY)
    assert leases.can_end(replace(LEASE, known=True), NOW)

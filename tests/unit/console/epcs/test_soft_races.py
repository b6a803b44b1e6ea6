"""Many go on with one run at the same moment, on both databases: each thing is done once, and nobody trips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from renewagent.console import audit
from renewagent.console.epcs import reminders, soft
from renewagent.tokens.reregistration import State
from renewagent.tokens.soft_causes import Cause
from tests.unit.console.databases import KINDS, in_file
from tests.unit.console.epcs.soft_world import EMAIL, SoftWorld, new_world

T = TypeVar("T")
MANY = 6


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SoftWorld]:
    kind: str = request.param
    database = in_file(tmp_path) if kind == "sqlite" else request.getfixturevalue("postgresql_database")
    made = new_world(tmp_path, database=database)
    yield made
    made.close()


def at_once(work: Callable[[], T]) -> list[T]:
    with ThreadPoolExecutor(MANY) as pool:
        return [one.result() for one in [pool.submit(work) for _ in range(MANY)]]


def test_one_run_is_begun_and_each_step_is_done_once(world: SoftWorld) -> None:
    world.befall(Cause.NEW_PHONE)
    begun = at_once(lambda: world.begin(Cause.NEW_PHONE))
    assert len({run.id for run in begun}) == 1
    sent = len(world.bench.vendor.outbox(EMAIL))
    at_once(lambda: world.go_on(begun[0]))
    assert len(world.bench.vendor.outbox(EMAIL)) == sent + 1
    world.activate()
    assert {run.state for run in at_once(lambda: world.go_on(begun[0]))} <= set(State)
    world.override()
    at_once(lambda: world.go_on(begun[0]))
    world.bench.clock.move(timedelta(minutes=5))
    assert [run.state for run in soft.tend(world.desk)] in ([State.GRANT], [])
    world.grant()
    at_once(lambda: world.go_on(begun[0]))
    assert soft.run_of(world.desk, world.lee, begun[0].id).state is State.DONE
    assert world.signs() == ""
    done = Counter(line.what for line in world.bench.ehr.audit())
    by_hand = 1
    assert (done["remove_device"], done["register_device"], done["enable_epcs"]) == (2, by_hand + 1, by_hand + 1)
    log = world.desk.read(audit.entries)
    assert audit.verify_chain(log) is None
    assert max(Counter(entry.event for entry in log if entry.event.startswith("epcs.soft-")).values()) <= 3


def test_a_reminder_is_given_by_one_scheduler_alone(world: SoftWorld) -> None:
    ends = world.bench.vendor.soft_tokens(["lee.app"])["lee.app"].certificate_ends
    world.bench.clock.move(ends - timedelta(days=14) - world.bench.clock())
    given = at_once(lambda: reminders.remind(world.desk))
    assert sorted(len(one) for one in given) == [0] * (MANY - 1) + [2]

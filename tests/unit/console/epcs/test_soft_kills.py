"""The program is killed before every single thing that it asks of the outside world, or writes down. What stands then
is said as it is, and whoever goes on, elsewhere and later, comes to the end: signing, with no override left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from renewagent.console import audit
from renewagent.console.epcs import overrides, soft
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.soft import SoftRun
from renewagent.tokens.reregistration import State
from renewagent.tokens.reregistration_words import Who
from renewagent.tokens.soft_causes import Cause
from renewagent_fixtures.mock_epcs import ehr_screen
from renewagent_fixtures.mock_epcs.vendor_moods import VendorMoods
from tests.unit.console.epcs.mortal import Killed, Life, mortal
from tests.unit.console.epcs.soft_world import APP_PASSWORD, EMAIL, NEW_PASSWORD, USERNAME, SoftWorld, new_world

LATER = timedelta(minutes=2)
STORIES = ("the password changed", "a new phone", "a new phone, whose invitation ends the old app")


TRIED = {STORIES[1]: 36}
"""From there on, the device being registered, it goes as in the first story."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SoftWorld]:
    memory = Path("/dev/shm")  # noqa: S108 - where there is one: thousands of small writes, and no power cut
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        made = new_world(Path(folder))
        yield made
        made.close()


def cause_of(story: str) -> Cause:
    return Cause.PASSWORD_CHANGED if story == STORIES[0] else Cause.NEW_PHONE


def befall(world: SoftWorld, story: str, again: int) -> None:
    world.bench.vendor.moods = VendorMoods(keeps_old_until_new=story != STORIES[2])
    if cause_of(story) is Cause.NEW_PHONE:
        world.befall(Cause.NEW_PHONE)
    else:
        passwords = (APP_PASSWORD, NEW_PASSWORD)
        world.phone.change_password(passwords[again % 2], passwords[(again + 1) % 2])


def tell(world: SoftWorld, desk: Desk, story: str) -> SoftRun:
    """From where it stands to the end, everybody doing what they are told to."""
    run = soft.begin(desk, world.lee, world.lee, cause_of(story))
    for _ in range(12):
        run = soft.go_on(desk, world.lee, run.id)
        assert not run.busy and run.problem is None, run
        if run.over:
            return run
        if run.who is Who.PRESCRIBER and run.state is State.ACTIVATE:
            world.activate()
        elif run.who is Who.ADMINISTRATOR:
            world.override()
        elif run.who is Who.TWO:
            world.grant()
    raise AssertionError(run)


def is_really_registered(world: SoftWorld) -> tuple[bool, bool]:
    """Whether the EHR has a device, whatever its screen shows; and whether it is the one that the vendor has now."""
    with world.bench.ehr._store.open() as connection:
        real = ehr_screen.registered(connection, "lee")
    now = world.bench.vendor.soft_tokens([USERNAME])[USERNAME]
    return real is not None, real is not None and real[2] == now.registration and now.working


def check_what_is_said(world: SoftWorld) -> None:
    """Whatever the words say of the EHR is so."""
    there, current = is_really_registered(world)
    access = world.bench.ehr.access("lee")
    if access.administrator:
        assert overrides.open_leases(world.desk), "an override that nothing explains"
    runs = soft.runs_of(world.desk, world.lee)
    if not runs or runs[0].over:
        whole = there and access.epcs_enabled and access.epcs_granted and not access.administrator
        return check_abandoned(world, runs[0]) if runs and not whole else None
    run = runs[0]
    assert run.username == USERNAME and run.next
    assert there or not run.signs
    said = run.happened
    for words, so in {
        "Nothing has been removed": there and access.epcs_enabled,
        "o device is registered": not there,
        "The device is registered again": current,
        "EPCS is not enabled yet": not access.epcs_enabled,
        "EPCS is enabled": access.epcs_enabled,
        "the override is gone": not access.administrator,
        "The old device stays registered": there,
    }.items():
        assert so or words not in said, (words, said)
    if run.state not in (State.OVERRIDE, State.ENABLE, State.LIFT):
        assert not access.administrator
    app = world.bench.vendor.soft_tokens([USERNAME])[USERNAME].working
    assert app or run.state in (State.INVITE, State.CLEAR, State.ACTIVATE), "no factor, and nothing that says so"


def check_the_end(world: SoftWorld, run: SoftRun) -> None:
    assert (run.state, run.signs) == (State.DONE, True)
    assert world.signs() == ""
    assert not world.bench.ehr.access("lee").administrator
    assert overrides.open_leases(world.desk) == []


def killed_at_steps(world: SoftWorld, story: str, every: bool, after: Callable[[int, str], None]) -> range:
    """The story, killed before its first, second, ... step, or before every third; then `after`. Those steps, the last
    of which may be one that it does not have."""
    apart = 1 if every else 3
    for step in range(0, TRIED.get(story, 1000), apart):
        befall(world, story, step)
        before = latest(world)
        life = Life(step)
        try:
            run = tell(world, mortal(world.desk, life), story)
        except Killed:
            check_what_is_said(world)
            world.bench.clock.move(LATER)
            done = latest(world)
            if done is not None and done.state is State.DONE and done != before:
                check_the_end(world, done)  # killed when it was done
            else:
                after(step, life.last)
        else:
            check_the_end(world, run)
            return range(0, step + 1, apart)
    return range(0, TRIED[story], apart)


def latest(world: SoftWorld) -> SoftRun | None:
    return next(iter(soft.runs_of(world.desk, world.lee)), None)


@pytest.mark.parametrize("story", STORIES)
def test_whoever_goes_on_comes_to_the_end(world: SoftWorld, story: str, every: bool) -> None:
    died_of = set()
    began = len(world.bench.vendor.outbox(EMAIL))

    def go_on(step: int, last: str) -> None:
        died_of.add(last)
        if step % 2 and world.bench.ehr.access("lee").administrator:
            world.bench.clock.move(timedelta(minutes=16))  # nobody came: it has ended by itself
            assert not world.bench.ehr.access("lee").administrator
            overrides.tend(world.desk)
        check_the_end(world, tell(world, world.desk, story))

    steps = killed_at_steps(world, story, every, go_on)
    assert steps.stop > 35
    assert {"a write", "device"} <= died_of and len(died_of) > 3
    if every:
        assert {"soft_tokens", "remove_device", "refresh_shared_tables", "register_device"} <= died_of
        assert {"access", "enable_epcs", "remove_override"} <= died_of or story in TRIED
    assert audit.verify_chain(world.desk.read(audit.entries)) is None
    invited = len(world.bench.vendor.outbox(EMAIL)) - began
    assert invited == (0 if story == STORIES[0] else len(steps)), "one e-mail for each story, killed or not"


def test_whoever_gives_it_up_is_told_what_stands_and_may_begin_again(world: SoftWorld, every: bool) -> None:
    story = STORIES[2]

    def give_up(step: int, last: str) -> None:
        run = latest(world)
        if run is not None and not run.over:
            gone = soft.abandon(world.desk, world.hale, run.id)
            assert gone.state is State.ABANDONED and gone.over
            check_abandoned(world, gone)
        check_the_end(world, tell(world, world.desk, story))

    assert killed_at_steps(world, story, every, give_up).stop > 40


def check_abandoned(world: SoftWorld, gone: SoftRun) -> None:
    there, _ = is_really_registered(world)
    access = world.bench.ehr.access("lee")
    assert not access.administrator and overrides.open_leases(world.desk) == []
    if gone.state is State.ABANDONED:
        assert there or "A device is registered at the EHR" not in gone.happened
        assert not there or "No device is registered at the EHR" not in gone.happened
        assert ("EPCS is enabled" in gone.happened) == access.epcs_enabled
        assert ("and granted" in gone.happened) == access.epcs_granted
        assert not gone.signs or (there and access.epcs_enabled and access.epcs_granted)
        assert "start the registration again" in gone.next.lower()
        works = world.bench.vendor.soft_tokens([USERNAME])[USERNAME].working
        assert works == ("not active at the vendor" not in gone.happened)
        assert works or (not gone.signs and USERNAME in gone.next)


def test_one_who_is_killed_while_giving_it_up_can_do_it_again(world: SoftWorld) -> None:
    for step in count():
        befall(world, STORIES[0], step)
        run = soft.go_on(world.desk, world.lee, soft.begin(world.desk, world.lee, world.lee, cause_of(STORIES[0])).id)
        world.override()
        try:
            soft.abandon(mortal(world.desk, Life(step)), world.lee, run.id)
        except Killed:
            check_what_is_said(world)
            world.bench.clock.move(LATER)
            check_abandoned(world, soft.abandon(world.desk, world.lee, run.id))
            check_the_end(world, tell(world, world.desk, STORIES[0]))
        else:
            break
    assert step >= 6

"""The console is killed at every write and at every word with the EHR or the vendor, and another one goes on: nobody is
left with an override, nothing is granted by one person or twice, and whatever stands at the EHR is explained here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs import carrying_out, incidents, overrides, requests, scheduler, suspensions
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.tables import EPCS_REQUEST, EPCS_TOKEN
from renewagent.errors import RenewAgentError
from renewagent.tokens.grants import Action, SuspensionReason
from renewagent.tokens.model import TokenState
from renewagent_fixtures.mock_epcs.ehr_moods import EhrMoods
from tests.unit.console.databases import in_file
from tests.unit.console.epcs.practice import Practice, new_practice

TASK, SERIAL = "enable EPCS", "GALH00000001"
CALLS = frozenset(
    "give_override remove_override grant_epcs revoke_epcs suspend_epcs enable_epcs access disable".split()
)


class Killed(BaseException):
    """As by SIGKILL: nothing of ours catches it."""


@dataclass
class Countdown:
    """Kills at the moment of this number; every moment is before or after something durable or said outside."""

    left: int
    met: int = 0

    def moment(self) -> None:
        self.met += 1
        if self.met > self.left:
            raise Killed

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def done(*words: Any, **named: Any) -> Any:
            self.moment()
            result = work(*words, **named)
            self.moment()
            return result

        return done


class Outside:
    """The EHR or the vendor, with the countdown around what is said to it."""

    def __init__(self, real: object, countdown: Countdown) -> None:
        self._real, self._countdown = real, countdown

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self._countdown.around(found) if name in CALLS else found


class Mortal(Desk):
    """A desk whose writes count as well."""

    def write(self, work: Callable[[sa.Connection], Any]) -> Any:
        countdown: Countdown = self.ehr._countdown  # type: ignore[attr-defined]
        return countdown.around(super().write)(work)


def mortal(desk: Desk, countdown: Countdown) -> Desk:
    ehr, authority = Outside(desk.ehr, countdown), Outside(desk.authority, countdown)
    return Mortal(desk.site, authority, desk.support, desk.soft, ehr)


# --- Flows, each by a desk that may die


def grants(desk: Desk, practice: Practice) -> None:
    request = requests.enter(desk, practice.ada, practice.sue, Action.GRANT, "New phone")
    requests.execute(desk, practice.factor(request), request.id)


def revokes(desk: Desk, practice: Practice) -> None:
    request = requests.enter(desk, practice.ada, practice.sue, Action.REVOKE, "Left")
    requests.execute(desk, practice.factor(request), request.id)


def lends(desk: Desk, practice: Practice) -> None:
    overrides.give(desk, practice.ada, practice.sue, TASK)
    desk.ehr.enable_epcs("sue")
    overrides.serve_purpose(desk, practice.sue, TASK)


def lends_and_forgets(desk: Desk, practice: Practice) -> None:
    overrides.give(desk, practice.ada, practice.sue, TASK)
    practice.clock.forward(timedelta(minutes=15))
    scheduler.look(desk)


def suspends(desk: Desk, practice: Practice) -> None:
    suspensions.suspend(desk, practice.ada, practice.sue, SuspensionReason.STOLEN)


def nothing(practice: Practice) -> None:
    """Beforehand."""


def granted(practice: Practice) -> None:
    practice.grant()


def with_everything(practice: Practice) -> None:
    """A grant and a request that waits, an override, and a token."""
    practice.entered()
    practice.vendor.add_hardware(SERIAL, b"12345678901234567890")
    practice.vendor.register(SERIAL, "sue")
    row = {"serial": SERIAL, "owner": practice.sue.id, "kind": "hardware", "state": "active"}
    adding = sa.insert(EPCS_TOKEN).values(**row, registered=practice.clock(), changed=practice.clock())
    practice.desk.write(lambda c: c.execute(adding))
    overrides.give(practice.desk, practice.ada, practice.sue, TASK)


Killings = Callable[
    [EhrMoods, Callable[[Practice], None], Callable[[Desk, Practice], None]], Iterator[tuple[int, Practice]]
]


@pytest.fixture
def killed_at_moments(tmp_path: Path, every: bool) -> Killings:
    """See `at_moments`: at each of them, or the first and every third after it."""
    return lambda moods, beforehand, flow: at_moments(tmp_path, moods, beforehand, flow, 1 if every else 3)


def at_moments(
    folder: Path,
    moods: EhrMoods,
    beforehand: Callable[[Practice], None],
    flow: Callable[[Desk, Practice], None],
    apart: int,
) -> Iterator[tuple[int, Practice]]:
    """For each moment the practice as another console has left it, which looked again and again for two days."""
    template = opened(folder / "template", moods)
    scheduler.look(template.desk)
    beforehand(template)
    template.close()
    moment, finished = 0, False
    while not finished:
        place = folder / str(moment)
        shutil.copytree(folder / "template", place)
        practice = opened(place, moods)
        practice.clock.at = template.clock.at
        try:
            flow(mortal(practice.desk, Countdown(moment)), practice)
            finished = True
        except Killed:
            pass
        go_on(practice)
        yield moment, practice
        practice.close()
        moment += apart


def opened(place: Path, moods: EhrMoods) -> Practice:
    place.mkdir(exist_ok=True)
    practice = new_practice(place, in_file(place))
    practice.ehr.moods = moods
    return practice


def go_on(practice: Practice) -> None:
    """Another console."""
    for forward in (timedelta(), carrying_out.HOLD, timedelta(minutes=15), timedelta(minutes=2), timedelta(days=2)):
        practice.clock.forward(forward)
        scheduler.look(replace(practice.desk))


def check(practice: Practice) -> None:
    """What holds whatever was killed."""
    assert not any(practice.access(each).administrator for each in (practice.sue, practice.ned, practice.ray))
    assert overrides.open_leases(practice.desk) == []
    assert audit.verify_chain(practice.desk.read(audit.entries)) is None
    rows = practice.desk.read(lambda c: c.execute(sa.select(EPCS_REQUEST)).all())
    assert all(row.state not in ("waiting", "executing") for row in rows)
    told = {(row.action, row.entered_by, row.decided_by) for row in rows if row.state == "executed"}
    for action in ("grant", "revoke"):
        asked = practice.ehr_did(f"{action}_epcs")
        assert asked in ([], [("ray", "entered by ada")])
        assert bool(asked) is ((action, practice.ada.id, practice.ray.id) in told)


ENFORCES, STANDS = EhrMoods(), EhrMoods(enforces_override=False)


@pytest.mark.parametrize("moods", [ENFORCES, STANDS])
def test_lending(killed_at_moments: Killings, moods: EhrMoods) -> None:
    last = 0
    for moment, practice in killed_at_moments(moods, nothing, lends):
        check(practice)
        assert all(each.kind == "override" for each in incidents.latest(practice.desk))
        last = moment
    assert last > 15


@pytest.mark.parametrize("moods", [ENFORCES, STANDS])
def test_lending_and_forgetting_and_a_scheduler_that_dies_over_it(killed_at_moments: Killings, moods: EhrMoods) -> None:
    last = 0
    for moment, practice in killed_at_moments(moods, nothing, lends_and_forgets):
        check(practice)
        last = moment
    assert last > 15


def test_granting(killed_at_moments: Killings) -> None:
    states: set[str] = set()
    for _, practice in killed_at_moments(ENFORCES, nothing, grants):
        check(practice)
        rows = practice.desk.read(lambda c: c.execute(sa.select(EPCS_REQUEST.c.state)).scalars().all())
        states.update(rows)
        assert practice.access().epcs_granted is (rows == ["executed"])
    assert states == {"over", "executed"}


def test_revoking(killed_at_moments: Killings) -> None:
    for _, practice in killed_at_moments(ENFORCES, granted, revokes):
        check(practice)
        assert practice.access().epcs_granted is (practice.ehr_did("revoke_epcs") == [])


@pytest.mark.parametrize("moods", [ENFORCES, STANDS])
def test_suspending(killed_at_moments: Killings, moods: EhrMoods) -> None:
    """From the first durable word on, it is done, all of it: at the EHR and at the vendor."""
    for moment, practice in killed_at_moments(moods, with_everything, suspends):
        check(practice)
        begun = moment >= 1
        assert practice.access().epcs_suspended is begun
        assert (practice.vendor.standing(SERIAL).state is TokenState.LOST) is begun
        assert len([each for each in incidents.latest(practice.desk) if "stolen" in each.kind]) == begun
        assert practice.ehr_did("grant_epcs") == []


def test_a_scheduler_that_dies_over_what_another_console_left(killed_at_moments: Killings) -> None:
    def left(practice: Practice) -> None:
        """A grant that was decided, a suspension of somebody else, and an override: none of them carried out."""
        practice.ehr.grant_epcs("ray", entered_by="ada", executed_by="sue")
        overrides.give(practice.desk, practice.ada, practice.ned, TASK)
        request = practice.entered()
        factor = practice.factor(request)
        practice.ehr.moods = replace(
            STANDS, says_saved_and_is_not=frozenset({"grant_epcs", "suspend_epcs", "remove_override"})
        )
        with pytest.raises(RenewAgentError):
            requests.execute(practice.desk, factor, request.id)
        suspensions.suspend(practice.desk, practice.ada, practice.ray, SuspensionReason.LEFT)
        practice.forget_ehr_log()
        practice.ehr.moods = STANDS
        practice.clock.forward(carrying_out.HOLD)

    def looks(desk: Desk, practice: Practice) -> None:
        scheduler.look(desk)

    for _, practice in killed_at_moments(STANDS, left, looks):
        check(practice)
        assert practice.access().epcs_granted
        assert practice.access(practice.ray).epcs_suspended

"""The report of each calendar day: made once; it names what is suspicious, and a log that is not whole."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs import daily_report, incidents, requests, scheduler
from renewagent.console.epcs.tables import EPCS_REPORT
from renewagent.console.tables import AUDIT
from renewagent.tokens.errors import DeskRefused
from tests.unit.console.epcs.practice import NOW, Practice

MONDAY = NOW.date()
DAY = timedelta(days=1)


def next_day(practice: Practice) -> None:
    practice.clock.forward(DAY)
    scheduler.look(practice.desk)


def days(practice: Practice) -> list[str]:
    return practice.desk.read(lambda c: list(c.execute(sa.select(EPCS_REPORT.c.day).order_by("day")).scalars()))


def test_it_counts_and_names_what_is_auditable(practice: Practice) -> None:
    practice.grant()
    next_day(practice)
    report = daily_report.make(practice.desk, MONDAY)
    assert (report["day"], report["from"], report["to"]) == (
        "2026-11-23",
        "2026-11-23T00:00:00Z",
        "2026-11-24T00:00:00Z",
    )
    assert report["counts"]["epcs.grant-executed"] == 1
    assert report["counts"]["person.added"] == 6
    executed = next(line for line in report["auditable"] if line["event"] == "epcs.grant-executing")
    assert (executed["actor"], executed["kind"]) == (practice.ray.actor, "logical access control set or changed")
    assert executed["details"]["entered_by"] == practice.ada.actor
    assert (report["log"]["whole"], report["suspicious"], report["looked_at_by"]) == (True, [], [])


def test_every_day_has_one_also_when_nothing_ran(practice: Practice) -> None:
    scheduler.look(practice.desk)
    assert days(practice) == ["2026-11-22"]
    practice.clock.forward(5 * DAY)
    scheduler.look(practice.desk)
    scheduler.look(practice.desk)
    assert days(practice) == [f"2026-11-{number}" for number in range(22, 28)]
    assert practice.events().count("epcs.report-made") == 6


def test_today_has_none_to_keep_and_tomorrow_none_at_all(practice: Practice) -> None:
    practice.grant()
    assert daily_report.make(practice.desk, MONDAY)["counts"]["epcs.grant-executed"] == 1
    assert days(practice) == []
    with pytest.raises(DeskRefused, match="has not begun"):
        daily_report.make(practice.desk, MONDAY + DAY)


def test_what_was_made_is_not_made_anew(practice: Practice) -> None:
    next_day(practice)
    before = daily_report.make(practice.desk, MONDAY)
    practice.clock.forward(timedelta(hours=1))
    assert daily_report.make(practice.desk, MONDAY) == before


def test_an_administrator_looks_at_it(practice: Practice) -> None:
    with pytest.raises(DeskRefused, match="no report of that day"):
        daily_report.look_at(practice.desk, practice.ada, MONDAY)
    next_day(practice)
    with pytest.raises(DeskRefused):
        daily_report.look_at(practice.desk, practice.ray, MONDAY)
    assert daily_report.unlooked(practice.desk) == ["2026-11-23"]
    for person in (practice.ada, practice.amy, practice.ada):
        daily_report.look_at(practice.desk, person, MONDAY)
    report = daily_report.make(practice.desk, MONDAY)
    assert report["looked_at_by"] == [practice.ada.actor, practice.amy.actor]
    assert practice.events().count("epcs.report-looked-at") == 2
    assert daily_report.unlooked(practice.desk) == []


def test_attempts_at_what_somebody_may_not_do_are_named(practice: Practice) -> None:
    request = practice.entered()
    with pytest.raises(DeskRefused):
        requests.execute(practice.desk, practice.factor(request, practice.sue), request.id)
    report = daily_report.make(practice.desk, MONDAY)
    (found,) = report["suspicious"]
    told = "tried (grant execute) and was refused. This is about yourself: another person has to do it."
    assert found["said"] == f"{practice.sue.actor} {told}"
    refused = next(line for line in report["auditable"] if line["number"] == found["entries"][0])
    assert refused["kind"] == "attempted access or change that was refused"


def change(connection: sa.Connection) -> None:
    connection.execute(sa.update(AUDIT).where(AUDIT.c.number == 3).values(actor="nobody"))


def leave_out(connection: sa.Connection) -> None:
    connection.execute(sa.delete(AUDIT).where(AUDIT.c.number == 3))


@pytest.mark.parametrize(("tamper", "said"), [(change, "Entry 3 was changed."), (leave_out, "Entry 3 is missing.")])
def test_a_log_that_was_tampered_with_is_an_incident(
    practice: Practice, tamper: Callable[[sa.Connection], None], said: str
) -> None:
    practice.desk.write(tamper)
    next_day(practice)
    report = daily_report.make(practice.desk, MONDAY)
    assert (report["log"]["whole"], report["log"]["wrong"]) == (False, said)
    assert {"said": said, "entries": []} in report["suspicious"]
    (incident,) = incidents.latest(practice.desk)
    assert (incident.kind, incident.what) == ("audit", f"The audit log is not whole. {said}")
    next_day(practice)
    assert not daily_report.make(practice.desk, MONDAY + DAY)["log"]["whole"]
    assert [each.id for each in incidents.latest(practice.desk)] == [incident.id]  # of the same break one is enough


def test_a_log_that_was_cut_at_its_end_is_an_incident(practice: Practice) -> None:
    """What is left of it is a whole chain: only the day before knows more."""
    next_day(practice)
    last = practice.desk.read(lambda c: c.execute(sa.select(sa.func.max(AUDIT.c.number))).scalar_one())
    practice.desk.write(lambda c: c.execute(sa.delete(AUDIT).where(AUDIT.c.number >= last - 3)))
    assert practice.desk.read(lambda c: audit.verify_chain(audit.entries(c))) is None
    next_day(practice)
    assert "is not the one that was there" in daily_report.make(practice.desk, MONDAY + DAY)["log"]["wrong"]
    assert [each.kind for each in incidents.latest(practice.desk)] == ["audit"]


def test_a_log_whose_beginning_was_put_away_is_whole(practice: Practice) -> None:
    def put_away(connection: sa.Connection) -> None:
        old = audit.old_entries(connection, practice.clock() + DAY, 4)
        audit.put_away(connection, practice.clock(), old, "a file")

    practice.grant()
    practice.desk.write(put_away)
    next_day(practice)
    report = daily_report.make(practice.desk, MONDAY)
    assert report["log"]["whole"]
    assert any(line["event"] == "audit.put-away" for line in report["auditable"])


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_schedulers_at_once_make_it_once(practice: Practice) -> None:
    practice.grant()
    practice.clock.forward(DAY)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: scheduler.look(practice.desk), range(4)))
    assert days(practice) == ["2026-11-23"]
    assert practice.events().count("epcs.report-made") == 1


def test_many_entries_are_counted_and_not_all_listed(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily_report, "MOST_LISTED", 4)
    practice.grant()
    report = daily_report.make(practice.desk, MONDAY)
    assert (len(report["auditable"]), report["left_out"] > 0) == (4, True)
    assert sum(report["counts"].values()) == report["log"]["entries"]


def test_a_day_is_that_of_the_place(practice: Practice) -> None:
    practice.move_to("America/Los_Angeles")
    practice.clock.at = datetime(2026, 11, 24, 7, 59, tzinfo=UTC)
    scheduler.look(practice.desk)
    assert days(practice) == ["2026-11-22"]
    practice.clock.forward(timedelta(minutes=1))
    scheduler.look(practice.desk)
    assert days(practice) == ["2026-11-22", "2026-11-23"]
    assert daily_report.make(practice.desk, date(2026, 11, 23))["to"] == "2026-11-24T08:00:00Z"

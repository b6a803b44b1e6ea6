"""Security incidents: found, due within one business day, said to be overdue once, reported once; and their drafts."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from renewagent.console import people
from renewagent.console.epcs import incident_drafts, incidents, scheduler, suspensions
from renewagent.console.epcs.asked import those_at_hand
from renewagent.console.permissions import Role
from renewagent.console.tables import AUDIT
from renewagent.tokens.errors import DeskRefused, FormError
from renewagent.tokens.grants import SuspensionReason
from tests.unit.console.epcs.practice import Practice


def find(practice: Practice) -> incidents.Incident:
    return incidents.found(practice.desk, practice.ada, "access", practice.sue, "A stranger sat at Sue's desk.")


def test_it_is_due_at_the_end_of_the_next_business_day_of_the_place(practice: Practice) -> None:
    assert find(practice).due == datetime(2026, 11, 24, 23, 59, 59, tzinfo=UTC)
    practice.move_to("America/Los_Angeles")
    practice.clock.at = datetime(2026, 11, 26, 5, tzinfo=UTC)  # there: Wednesday evening; then comes Thanksgiving
    assert find(practice).due == datetime(2026, 11, 28, 7, 59, 59, tzinfo=UTC)


def test_it_is_reported_once_by_an_administrator(practice: Practice) -> None:
    incident = find(practice)
    with pytest.raises(DeskRefused):
        incidents.report(practice.desk, practice.ray, incident.id, "Told the DEA.")
    practice.clock.forward(timedelta(hours=1))
    done = incidents.report(practice.desk, practice.amy, incident.id, "Told the DEA.\nTold the provider.")
    assert (done.reported, done.reported_by) == (practice.clock(), practice.amy.id)
    assert incidents.find(practice.desk, incident.id).report == "Told the DEA.\nTold the provider."
    with pytest.raises(DeskRefused, match="reported already"):
        incidents.report(practice.desk, practice.ada, incident.id, "Again.")
    with pytest.raises(DeskRefused, match="no such incident"):
        incidents.find(practice.desk, "no-such")


@pytest.mark.parametrize("text", ["", " \n ", "x" * 20_001, "bell\x07"])
def test_a_report_is_text(practice: Practice, text: str) -> None:
    with pytest.raises(FormError):
        incidents.report(practice.desk, practice.ada, find(practice).id, text)


def test_others_incidents_take_no_room_from_ones_own(practice: Practice) -> None:
    newcomer = people.Newcomer("Far", Role.PRESCRIBER, ("RX2",), ehr="far")
    far = practice.desk.write(lambda c: people.add(c, practice.clock(), "console", newcomer, secrets.token_bytes))
    for _ in range(3):
        incidents.found(practice.desk, practice.ada, "access", far, "Somewhere else.")
    practice.clock.forward(timedelta(days=2))
    mine, nobodys = find(practice), incidents.found(practice.desk, practice.ada, "access", None, "A door stood open.")
    theirs = those_at_hand(practice.desk, practice.ada)
    assert {one.id for one in incidents.latest(practice.desk, theirs, most=2)} == {mine.id, nobodys.id}
    assert [one.subject for one in incidents.latest(practice.desk, most=2)] == [far.id] * 2


def test_only_an_administrator_says_that_something_is_one(practice: Practice) -> None:
    with pytest.raises(DeskRefused):
        incidents.found(practice.desk, practice.ray, "access", None, "Something.")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_what_is_overdue_is_said_once(practice: Practice, caplog: pytest.LogCaptureFixture) -> None:
    incident, reported = find(practice), find(practice)
    incidents.report(practice.desk, practice.ada, reported.id, "Told the DEA.")
    practice.clock.at = incident.due
    scheduler.look(practice.desk)
    assert incidents.overdue(practice.desk) == []
    practice.clock.forward(timedelta(seconds=1))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            scheduler.look(practice.desk)
    assert [each.id for each in incidents.overdue(practice.desk)] == [incident.id]
    assert practice.events().count("epcs.incident-overdue") == 1
    assert caplog.text.count("should have been reported") == 1


def test_the_list_begins_with_what_is_to_be_reported(practice: Practice) -> None:
    first = find(practice)
    practice.clock.forward(timedelta(days=1))
    second = find(practice)
    practice.clock.forward(timedelta(days=1))
    third = find(practice)
    for each in (first, second):
        incidents.report(practice.desk, practice.ada, each.id, "Told the DEA.")
    assert [each.id for each in incidents.latest(practice.desk)] == [third.id, second.id, first.id]


def test_a_draft_says_what_is_known(practice: Practice) -> None:
    practice.grant()
    done = suspensions.suspend(practice.desk, practice.ada, practice.sue, SuspensionReason.STOLEN, "In a taxi.")
    said, now = incident_drafts.draft(practice.desk, done.incident.id), "2026-11-23 15:00 UTC"
    for line in (
        "To reach the provider of the EHR and the DEA by 2026-11-24 23:59 UTC.",
        "   Kind:        suspension: stolen",
        "   Found:       2026-11-23 15:00 UTC, by Ada",
        "   What:        Sue: a token, or another factor, was stolen. In a taxi.",
        "   Sue, in the EHR sue, DEA registration BS1111119",
        f"   grant (New phone): executed, entered by Ada {now}, decided by Ray, done {now}",
        f"   suspend (stolen): executed, entered by Ada {now}, done {now}",
        "4. From the audit log, which is whole",
    ):
        assert line in said.splitlines()
    assert f"{practice.ada.actor}  epcs.suspend-entered  reason: stolen" in said


def test_a_draft_says_that_the_log_is_not_whole(practice: Practice) -> None:
    incident = find(practice)
    practice.desk.write(lambda c: c.execute(sa.update(AUDIT).where(AUDIT.c.number == 2).values(details="{}")))
    assert "which IS NOT WHOLE: Entry 2 was changed." in incident_drafts.draft(practice.desk, incident.id)

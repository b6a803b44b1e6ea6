"""What a daily report names, and what in it somebody should look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from renewagent.tokens import auditable
from renewagent.tokens.auditable import Kind, Suspicion

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    event: str
    actor: str = "Ada (a1)"
    details: str = "{}"
    at: datetime = NOW


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("epcs.grant-executed", Kind.CONTROL),
        ("epcs.grant-execute-refused", Kind.REFUSED),
        ("epcs.override-given", Kind.CONTROL),
        ("epcs.override-alarm", Kind.ALARM),
        ("epcs.suspend-entered", Kind.CONTROL),
        ("epcs.enabled", Kind.CONTROL),
        ("epcs.token-lost", Kind.CREDENTIAL),
        ("epcs.token-refused", Kind.REFUSED),
        ("epcs.token-locked", Kind.REFUSED),
        ("epcs.incident-found", Kind.ALARM),
        ("epcs.incident-reported", Kind.TRAIL),
        ("epcs.report-looked-at", Kind.TRAIL),
        ("sign-in.refused", Kind.REFUSED),
        ("person.changed", Kind.CONTROL),
        ("audit.put-away", Kind.TRAIL),
        ("session.begun", None),
        ("campaign.accepted", None),
    ],
)
def test_its_kind(event: str, kind: Kind | None) -> None:
    assert auditable.kind(event) is kind


def test_an_ordinary_day_is_not_suspicious() -> None:
    events = ("session.begun", "sign-in.refused", "epcs.grant-entered", "epcs.grant-executed", "epcs.token-refused")
    assert auditable.suspicions([Line(number, event) for number, event in enumerate(events)]) == []


def test_every_attempt_at_access_control_that_was_refused_is_named() -> None:
    why = json.dumps({"why": "This is about yourself."})
    found = auditable.suspicions([Line(7, "epcs.override-refused", details=why)])
    assert found == [Suspicion("Ada (a1) tried (override) and was refused. This is about yourself.", (7,))]


def test_many_refusals_of_one_person_are_named_once() -> None:
    lines = [Line(number, "sign-in.refused", actor) for number, actor in enumerate(("Eve", "Bob", "Eve", "Bob", "Eve"))]
    assert auditable.suspicions(lines) == [Suspicion("Eve: sign-in.refused, 3 times in one day.", (0, 2, 4))]


def test_alarms_and_a_clock_that_was_set_back_are_named() -> None:
    alarm = Line(1, "epcs.override-alarm", details=json.dumps({"what": "It was to end long before."}))
    lines = [alarm, Line(2, "epcs.reminded", at=NOW - timedelta(seconds=61)), Line(3, "epcs.reminded", at=NOW)]
    assert auditable.suspicions(lines) == [
        Suspicion("epcs.override-alarm: It was to end long before.", (1,)),
        Suspicion("A clock was set back between these entries.", (1, 2)),
    ]


@pytest.mark.parametrize("details", ["", "[]", "not JSON", '{"why": 5}'])
def test_details_that_are_not_ours_do_no_harm(details: str) -> None:
    (found,) = auditable.suspicions([Line(1, "epcs.grant-enter-refused", details=details)])
    assert found.entries == (1,)

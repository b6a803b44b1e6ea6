"""Two people for every grant: every way in which one person could be both, or have a part in their own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.console.permissions import Person, Role
from renewagent.tokens import grants
from renewagent.tokens.grants import Action, Factor, Party, Request, RequestState

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
EVERYWHERE = frozenset({"*"})


def party(name: str, role: Role, dea: str = "", organisations: frozenset[str] = EVERYWHERE) -> Party:
    return Party(Person(f"id-{name}", name, role, organisations, f"user-{name}", dea), f"CN={name}", f"sso-{name}")


ADA = party("Ada", Role.EPCS_ADMINISTRATOR)
RAY = party("Ray", Role.PRESCRIBER, "AR1234563")
SUE = party("Sue", Role.PRESCRIBER, "BS1234563")
REQUEST = Request("r1", SUE, Action.GRANT, "New phone", RequestState.WAITING, ADA, NOW, NOW + grants.VALID)
FACTOR = Factor(RAY.person, "r1", "card", "ab" * 32, NOW)


def test_one_enters_and_another_executes() -> None:
    assert grants.may_not_enter(ADA, SUE) is None
    assert grants.may_not_execute(REQUEST, RAY, NOW) is None
    assert grants.does_not_show(REQUEST, FACTOR, RAY, NOW) is None


@pytest.mark.parametrize(
    "enterer",
    [
        RAY,  # no administrator
        party("Ann", Role.RA_MANAGER),
        replace(ADA, here=False),
        party("Ann", Role.EPCS_ADMINISTRATOR, organisations=frozenset({"RX2"})),
    ],
)
def test_only_an_administrator_of_the_place_enters(enterer: Party) -> None:
    subject = party("Sue", Role.PRESCRIBER, organisations=frozenset({"RX1"}))
    assert grants.may_not_enter(enterer, subject)
    assert grants.may_not_execute(replace(REQUEST, subject=subject, entered_by=enterer), RAY, NOW)


def twins(of: Party) -> list[Party]:
    """Other accounts of one human being: each has one thing in common with the first."""
    other = party("Twin", Role.EPCS_ADMINISTRATOR, "AT1234563")
    mine = of.person
    found = [
        replace(other, person=replace(other.person, id=mine.id)),
        replace(other, person=replace(other.person, ehr=f" {mine.ehr.upper()}")),
        replace(other, card=of.card),
        replace(other, account=of.account),
    ]
    return [*found, replace(other, person=replace(other.person, dea=mine.dea.lower()))] if mine.dea else found


@pytest.mark.parametrize("twin", twins(SUE))
def test_nobody_enters_or_executes_what_is_about_themself(twin: Party) -> None:
    assert "yourself" in str(grants.may_not_enter(twin, SUE))
    assert "yourself" in str(grants.may_not_execute(REQUEST, twin, NOW))


@pytest.mark.parametrize("twin", twins(ADA))
def test_nobody_executes_what_they_entered(twin: Party) -> None:
    assert "entered this yourself" in str(grants.may_not_execute(REQUEST, twin, NOW))


@pytest.mark.parametrize("twin", twins(SUE))
def test_what_somebody_got_in_for_themself_is_not_executed_by_another(twin: Party) -> None:
    """Should a row ever say so, whoever wrote it."""
    assert "may not do so any more" in str(grants.may_not_execute(replace(REQUEST, entered_by=twin), RAY, NOW))


def test_people_without_cards_and_accounts_are_still_two() -> None:
    bare = [replace(who, card="", account="", person=replace(who.person, dea="")) for who in (ADA, SUE)]
    assert grants.shared(bare[0], bare[1]) is None


@pytest.mark.parametrize(
    "executor",
    [
        party("Eve", Role.EPCS_ADMINISTRATOR),  # no DEA registrant
        party("Eve", Role.RA_MANAGER, "AE1234563"),
        replace(RAY, here=False),
        party("Eve", Role.PRESCRIBER, "AE1234563", frozenset({"RX2"})),
    ],
)
def test_only_a_registrant_of_the_place_executes(executor: Party) -> None:
    subject = party("Sue", Role.PRESCRIBER, organisations=frozenset({"RX1"}))
    assert grants.may_not_execute(replace(REQUEST, subject=subject), executor, NOW)


@pytest.mark.parametrize("state", [state for state in RequestState if state is not RequestState.WAITING])
def test_only_what_waits_is_executed(state: RequestState) -> None:
    assert grants.may_not_execute(replace(REQUEST, state=state), RAY, NOW)


def test_a_suspension_is_nobodys_to_approve() -> None:
    assert grants.may_not_execute(replace(REQUEST, action=Action.SUSPEND), RAY, NOW)


def test_it_waits_for_a_day() -> None:
    last = NOW + timedelta(hours=24) - timedelta(milliseconds=1)
    assert grants.may_not_execute(REQUEST, RAY, last) is None
    assert grants.may_not_execute(REQUEST, RAY, NOW + timedelta(hours=24))


@pytest.mark.parametrize(
    ("factor", "says"),
    [
        (replace(FACTOR, request="r2"), "another request"),
        (replace(FACTOR, person=ADA.person), "somebody else"),
        (replace(FACTOR, at=NOW - timedelta(minutes=5, milliseconds=1)), "just now"),
        (replace(FACTOR, at=NOW + timedelta(minutes=2)), "just now"),
        (replace(FACTOR, how="password"), "Nothing"),
        (replace(FACTOR, evidence=""), "Nothing"),
    ],
)
def test_a_factor_of_another_kind_person_request_or_time_shows_nothing(factor: Factor, says: str) -> None:
    assert says in str(grants.does_not_show(REQUEST, factor, RAY, NOW))


def test_the_document_says_what_is_decided_and_does_not_change_while_it_waits() -> None:
    read = json.loads(grants.document(REQUEST))
    assert read == {
        "action": "grant",
        "document": "renewagent EPCS request v1",
        "ends": "2026-11-23T09:00:00.000+00:00",
        "entered": "2026-11-22T09:00:00.000+00:00",
        "entered_by": {"dea": "", "id": "id-Ada", "name": "Ada", "user": "user-Ada"},
        "id": "r1",
        "reason": "New phone",
        "subject": {"dea": "BS1234563", "id": "id-Sue", "name": "Sue", "user": "user-Sue"},
    }
    decided = replace(REQUEST, state=RequestState.EXECUTING, decided_by=RAY, decided=NOW, factor="card x")
    assert grants.document(decided) == grants.document(REQUEST)
    assert grants.digest(REQUEST) == hashlib.sha256(grants.document(REQUEST)).hexdigest()


TEXT = st.text(max_size=20)


@given(TEXT, TEXT, st.sampled_from(Action))
def test_two_requests_are_never_one_document(reason: str, identity: str, action: Action) -> None:
    other = replace(REQUEST, reason=reason, id=identity, action=action)
    assert (grants.document(other) == grants.document(REQUEST)) is (other == REQUEST)


def test_reasons_that_take_the_token() -> None:
    taking = [reason.value for reason in grants.SuspensionReason if reason.takes_token]
    assert taking == ["lost", "stolen"]

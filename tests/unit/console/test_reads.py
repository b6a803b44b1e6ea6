"""What the dashboard counts, against the same counted one by one from the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from renewagent.check_ins import CardState
from renewagent.console import reads
from renewagent.console.permissions import Person, Role
from renewagent.console.standings import shown_state
from renewagent.console.store import Store
from renewagent.console.tables import CARD, STANDING, TARGET
from tests.flows.console_seed import CAMPAIGN_ID, NOW, OTHER_CAMPAIGN_ID, seed
from tests.postgresql import server

EVERYTHING = Person("m", "M", Role.RA_MANAGER, frozenset({"*"}))
LAKESIDE = Person("s", "S", Role.SPONSOR, frozenset({"Y90"}))
NOBODY = Person("n", "N", Role.SPONSOR, frozenset())
SHOWN = shown_state(NOW, timedelta(days=3))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if request.param == "sqlite":
        yield from _seeded(f"sqlite:///{tmp_path_factory.mktemp('console') / 'console.db'}")
    else:
        with server() as url:
            yield from _seeded(url)


def _seeded(url: str) -> Iterator[Store]:
    store = Store(url)
    store.migrate()
    seed(store)
    yield store
    store.close()


def numbers(store: Store, person: Person = EVERYTHING, campaign: str = CAMPAIGN_ID) -> reads.Numbers:
    return store.reading(lambda connection: reads.numbers(connection, campaign, person, SHOWN, NOW.date()))


def rows(store: Store, table: sa.Table) -> list[Any]:
    return store.reading(lambda connection: list(connection.execute(sa.select(table))))


def shown(standing: Any) -> CardState:
    state = CardState(standing.state)
    late = NOW - standing.since > timedelta(days=3) or standing.failures >= 3
    return CardState.STUCK if late and state not in (CardState.DONE, CardState.CLEAR) else state


@pytest.mark.parametrize("person", [EVERYTHING, LAKESIDE, NOBODY], ids=lambda person: person.id)
def test_every_card_is_counted_once_for_whoever_may_see_it(store: Store, person: Person) -> None:
    found = numbers(store, person)
    expected: dict[str, Counter[CardState]] = {}
    standings = [row for row in rows(store, STANDING) if row.campaign == CAMPAIGN_ID]
    seen = {(row.issuer, row.serial) for row in standings}
    cards = [(row.organisation, shown(row)) for row in standings]
    cards += [(r.organisation, CardState.NOT_SEEN) for r in rows(store, TARGET) if (r.issuer, r.serial) not in seen]
    known = {row.card for row in standings}
    cards += [(row.organisation, CardState.CLEAR) for row in rows(store, CARD) if row.identity not in known]
    for organisation, state in cards:
        if person.covers(organisation):
            expected.setdefault(organisation, Counter())[state] += 1
    assert found.counts == expected
    assert found.total.total() == sum(states.total() for states in expected.values())


def test_the_story_has_every_state(store: Store) -> None:
    total = numbers(store).total
    assert {state for state, count in total.items() if count} == set(CardState)


@pytest.mark.parametrize("person", [EVERYTHING, LAKESIDE], ids=lambda person: person.id)
def test_the_burn_down_ends_where_the_tiles_are(store: Store, person: Person) -> None:
    found = numbers(store, person)
    days, total = found.days, found.total
    assert days[0].day == (NOW - timedelta(days=8)).date()
    assert days[-1].day == NOW.date()
    assert days[-1].done == total[CardState.DONE]
    assert days[-1].outstanding == total.total() - total[CardState.DONE] - total[CardState.CLEAR]
    assert all(later.day - one.day == timedelta(days=1) and later.done >= one.done for one, later in pairwise(days))


def test_one_that_was_no_target_counts_from_when_it_was_heard_of(store: Store) -> None:
    def read(connection: sa.Connection) -> tuple[list[reads.Day], list[reads.Day]]:
        before = reads.numbers(connection, CAMPAIGN_ID, EVERYTHING, SHOWN, NOW.date()).days
        standing = dict(connection.execute(sa.select(STANDING).limit(1)).mappings().one())
        first = NOW - timedelta(days=2)
        more = {"card": "chuid:stranger", "serial": "ff00ff", "state": "told", "first": first, "since": NOW}
        connection.execute(sa.insert(STANDING).values({**standing, **more}))
        after = reads.numbers(connection, CAMPAIGN_ID, EVERYTHING, SHOWN, NOW.date()).days
        connection.rollback()
        return before, after

    before, after = store.reading(read)
    grown = [later.known - one.known for one, later in zip(before, after, strict=True)]
    assert grown == [0] * (len(before) - 3) + [1, 1, 1]


def test_days_of_issue_add_up(store: Store) -> None:
    days = numbers(store).issued
    total = numbers(store).total
    assert sum(one.done for one in days.values()) == total[CardState.DONE]
    assert sum(one.clear for one in days.values()) == total[CardState.CLEAR]
    outstanding = total.total() - total[CardState.DONE] - total[CardState.CLEAR]
    assert sum(one.outstanding for one in days.values()) == outstanding
    hit = [day for day, one in days.items() if one.outstanding + one.done]
    assert min(hit) >= date(2026, 9, 23) and max(hit) <= date(2026, 9, 26)


def test_a_campaign_without_targets_or_standings(store: Store) -> None:
    found = numbers(store, campaign=OTHER_CAMPAIGN_ID)
    assert set(found.total) == {CardState.CLEAR}
    assert [(one.day, one.known) for one in found.days] == [(NOW.date(), 0)]


def test_the_highest_version_of_each_campaign(store: Store) -> None:
    published = store.reading(reads.campaigns)
    assert [one.campaign.label for one in published] == [f"{CAMPAIGN_ID}/2", f"{OTHER_CAMPAIGN_ID}/1"]
    every = store.reading(lambda connection: reads.versions(connection, CAMPAIGN_ID))
    assert [one.campaign.version for one in every] == [2, 1]


def test_organisations_are_named_to_those_who_answer_for_them(store: Store) -> None:
    assert store.reading(lambda connection: reads.organisations(connection, LAKESIDE)) == {"Y90": "Lakeside Surgery"}


def test_nobody_reads_anything(store: Store) -> None:
    found = numbers(store, NOBODY)
    assert (found.counts, found.issued) == ({}, {})

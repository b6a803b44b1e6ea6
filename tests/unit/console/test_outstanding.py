"""The lists of single cards: every card once, whatever the filter, and never another organisation's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from renewagent.check_ins import CardState
from renewagent.console import outstanding, reads
from renewagent.console.outstanding import Filter, Row
from renewagent.console.permissions import Person, Role
from renewagent.console.standings import shown_state
from renewagent.console.store import Store
from renewagent.console.tables import STANDING, TARGET
from tests.flows.console_seed import CAMPAIGN_ID, NOW, seed
from tests.postgresql import server

EVERYTHING = Person("m", "M", Role.RA_MANAGER, frozenset({"*"}))
LAKESIDE = Person("s", "S", Role.SPONSOR, frozenset({"Y90"}))
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


def listed(store: Store, wanted: Filter, person: Person = EVERYTHING, size: int = 17) -> list[Row]:
    """All pages, one after the other."""

    def read(connection: sa.Connection) -> list[Row]:
        found: list[Row] = []
        after = ""
        while True:
            page = outstanding.page(connection, CAMPAIGN_ID, person, wanted, NOW, SHOWN, after=after, size=size)
            assert len(page.rows) == size or not page.after
            found += page.rows
            after = page.after
            if not after:
                return found

    return store.reading(read)


def test_all_that_is_outstanding_oldest_first_each_once(store: Store) -> None:
    rows = listed(store, Filter())
    total = store.reading(lambda c: reads.numbers(c, CAMPAIGN_ID, EVERYTHING, SHOWN, NOW.date())).total
    assert len(rows) == total.total() - total[CardState.DONE] - total[CardState.CLEAR]
    assert [row.since for row in rows] == sorted(row.since for row in rows)
    assert len({row.key for row in rows}) == len(rows)


@pytest.mark.parametrize("state", [state for state in CardState if state is not CardState.CLEAR])
def test_one_state_is_as_many_as_its_tile_says(store: Store, state: CardState) -> None:
    rows = listed(store, Filter(states=frozenset({state})))
    total = store.reading(lambda c: reads.numbers(c, CAMPAIGN_ID, EVERYTHING, SHOWN, NOW.date())).total
    assert {row.state for row in rows} == {state}
    assert len(rows) == total[state]


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_pages_of_any_size_hold_the_same(store: Store, size: int) -> None:
    assert listed(store, Filter(organisation="RX2"), size=size) == listed(store, Filter(organisation="RX2"))


def test_times_that_are_equal_lose_nobody(store: Store) -> None:
    """Targets come in one upload, and are of the same moment."""
    rows = listed(store, Filter(states=frozenset({CardState.NOT_SEEN})), size=3)
    assert len({row.since for row in rows}) < len(rows)
    assert len({row.serial for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Filter(organisation="FA7"), lambda row: row.organisation == "FA7"),
        (Filter(model="pkcs11"), lambda row: row.model == "pkcs11"),
        (Filter(expires_within=30), lambda row: row.not_after and NOW <= row.not_after <= NOW + timedelta(days=30)),
        (Filter(issued_from=NOW - timedelta(days=58)), lambda row: row.not_before >= NOW - timedelta(days=58)),
        (Filter(issued_before=NOW - timedelta(days=59)), lambda row: row.not_before < NOW - timedelta(days=59)),
        (Filter(organisation="RX1", model="piv"), lambda row: row.organisation == "RX1" and row.model == "piv"),
    ],
)
def test_filters_leave_what_fits_and_nothing_else(store: Store, wanted: Filter, fits: Any) -> None:
    every = listed(store, Filter(), size=1000)
    expected = [row for row in every if fits(row)]
    assert listed(store, wanted) == expected
    assert 0 < len(expected) < len(every)


def test_holders_of_several_cards(store: Store) -> None:
    targets = store.reading(lambda connection: list(connection.execute(sa.select(TARGET.c.holder))))
    held = [holder for (holder,) in targets]
    several = {holder for holder in held if held.count(holder) > 1}
    rows = listed(store, Filter(cards_held=2))
    assert several and {row.holder for row in rows} <= several
    assert not {row.holder for row in listed(store, Filter(cards_held=1))} & several
    assert len(rows) + len(listed(store, Filter(cards_held=1))) == len(listed(store, Filter()))


def test_another_organisations_cards_are_not_there(store: Store) -> None:
    assert {row.organisation for row in listed(store, Filter(), LAKESIDE)} == {"Y90"}
    assert listed(store, Filter(organisation="RX1"), LAKESIDE) == []
    card = store.reading(
        lambda c: c.execute(sa.select(STANDING.c.card).where(STANDING.c.organisation == "RX1")).scalar()
    )

    def one(person: Person) -> Row | None:
        return store.reading(lambda c: outstanding.one(c, CAMPAIGN_ID, person, str(card), SHOWN))

    assert one(LAKESIDE) is None
    found = one(EVERYTHING)
    assert found is not None and found.card == card


def test_nobody_with_no_email_is_lost(store: Store) -> None:
    assert any(row.email == "" for row in listed(store, Filter()))


@pytest.mark.parametrize(
    "after", ["x", "e30", "WzEsMiwzXQ", "WyJhIiwiIiwiIl0", "é", "bnVsbA", "WzFlOTksIiIsIiJd", "LTE"]
)
def test_a_place_that_is_none_of_ours(store: Store, after: str) -> None:
    with pytest.raises(ValueError, match="not a place"):
        store.reading(lambda c: outstanding.page(c, CAMPAIGN_ID, EVERYTHING, Filter(), NOW, SHOWN, after=after))


def test_without_the_holder_nothing_of_the_holder_is_left(store: Store) -> None:
    row = next(row for row in listed(store, Filter()) if row.holder and row.email)
    bare = outstanding.without_holder(row)
    assert (bare.holder, bare.email, bare.card_number) == ("", None, "")
    assert bare.key == row.key

"""However check-ins are delivered, in whatever order and how many at once: they come to what they do one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from renewagent.check_ins import CLAIMED, CheckIn
from renewagent.console.recording import Delivery, record
from renewagent.console.site import Site
from renewagent.console.tables import AGENT, CARD, CHECK_IN, METADATA, STANDING
from tests.console import NOW, new_site
from tests.flows.stations import claim

AGENTS = {"a": "RX1", "b": "RX2"}
WORDS = sorted(state.value for state in CLAIMED)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder:
        made = new_site(Path(folder))
        yield made
        made.store.close()


def begin(connection: sa.Connection) -> None:
    for table in METADATA.tables.values():
        connection.execute(sa.delete(table))
    rows = [{"id": name, "organisation": place, "enrolled": NOW} for name, place in AGENTS.items()]
    connection.execute(sa.insert(AGENT), rows)


def what_there_is(connection: sa.Connection) -> Any:
    standings = sa.select(STANDING.c.card, STANDING.c.state, STANDING.c.heard, STANDING.c.first).order_by(
        STANDING.c.card
    )
    cards = sa.select(CARD.c.identity, CARD.c.last_seen, CARD.c.first_seen).order_by(CARD.c.identity)
    ids = sa.select(CHECK_IN.c.id).order_by(CHECK_IN.c.id)
    return [[tuple(row) for row in connection.execute(query)] for query in (standings, cards, ids)]


CLAIMS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 6), st.sampled_from(WORDS)),
    min_size=1,
    max_size=12,
).map(lambda said: [made(n, *one) for n, one in enumerate(said)])


def made(number: int, agent: str, card: int, minute: int, word: str) -> tuple[str, CheckIn]:
    return agent, claim(card, number, word, NOW - timedelta(minutes=minute))


@settings(max_examples=60, deadline=None)
@given(CLAIMS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_way_of_delivery_comes_to_the_same(
    site: Site, claims: list[tuple[str, CheckIn]], chance: Any, size: int
) -> None:
    def one_by_one(connection: sa.Connection) -> Any:
        begin(connection)
        for agent, check_in in sorted(claims, key=lambda pair: pair[1].at):
            record(connection, NOW, [Delivery(agent, ((check_in, None),))])
        return what_there_is(connection)

    def in_heaps(connection: sa.Connection) -> Any:
        begin(connection)
        mixed = [*claims, *claims]
        chance.shuffle(mixed)
        heaps = [mixed[n : n + size] for n in range(0, len(mixed), size)]
        for heap in heaps:
            record(connection, NOW, [Delivery(agent, ((check_in, None),)) for agent, check_in in heap])
        return what_there_is(connection)

    assert site.store.writing(one_by_one) == site.store.writing(in_heaps)

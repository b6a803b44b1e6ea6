"""A number is good for one thing, one person, once, and for five minutes; on both databases, whoever asks at the same
moment."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from renewagent.console import challenges
from renewagent.console.store import Store
from renewagent.console.tables import CHALLENGE
from tests.console import NOW
from tests.unit.console.databases import in_file


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    sqlite = request.param == "sqlite"
    made = Store(in_file(tmp_path) if sqlite else request.getfixturevalue("postgresql_database"))
    made.migrate()
    yield made
    made.close()


def give(store: Store, kind: str, person: str = "", after: timedelta = timedelta()) -> str:
    return store.writing(lambda c: challenges.give(c, secrets.token_bytes, NOW + after, kind, person))


def take(store: Store, nonce: str, kind: str, person: str = "", after: timedelta = timedelta()) -> bool:
    return store.writing(lambda c: challenges.take(c, NOW + after, nonce, kind, person))


def test_it_is_good_for_what_and_whom_it_was_given(store: Store) -> None:
    nonce = give(store, "epcs 1", "bea")
    assert not take(store, nonce, "epcs 2", "bea")
    assert not take(store, nonce, "epcs 1", "ada")
    assert not take(store, nonce, "epcs 1")
    assert not take(store, nonce[::-1], "epcs 1", "bea")
    assert take(store, nonce, "epcs 1", "bea")
    assert not take(store, nonce, "epcs 1", "bea")


def test_it_is_good_for_five_minutes(store: Store) -> None:
    nonce = give(store, "card")
    assert not take(store, nonce, "card", after=challenges.WINDOW)
    assert take(store, nonce, "card", after=challenges.WINDOW - timedelta(milliseconds=1))


def test_a_person_has_one_for_each_thing_and_others_keep_theirs(store: Store) -> None:
    first, other, hers = give(store, "epcs 1", "bea"), give(store, "epcs 2", "bea"), give(store, "epcs 1", "ada")
    nobody = give(store, "card"), give(store, "card")
    second = give(store, "epcs 1", "bea")
    assert not take(store, first, "epcs 1", "bea")
    assert take(store, second, "epcs 1", "bea") and take(store, other, "epcs 2", "bea")
    assert take(store, hers, "epcs 1", "ada") and all(take(store, one, "card") for one in nobody)


def test_it_is_kept_hashed_and_not_for_long(store: Store) -> None:
    nonce = give(store, "card")
    rows = store.reading(lambda c: c.execute(sa.select(CHALLENGE.c.nonce)).scalars().all())
    assert rows and nonce not in rows
    give(store, "card", after=challenges.WINDOW)
    assert len(store.reading(lambda c: c.execute(sa.select(CHALLENGE)).all())) == 1


def test_at_the_same_moment_one_takes_it(store: Store) -> None:
    nonce = give(store, "epcs 1", "bea")
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda _: take(store, nonce, "epcs 1", "bea"), range(6)))
    assert taken.count(True) == 1

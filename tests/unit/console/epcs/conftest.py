"""A desk for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.epcs_desk import Bench, new_bench
from tests.unit.console.databases import in_file
from tests.unit.console.epcs.practice import Practice, new_practice


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = new_bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Embedded, unless a test asks for the other kind as well."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return in_file(tmp_path)
    address: str = request.getfixturevalue("postgresql_database")
    return address


@pytest.fixture
def practice(tmp_path: Path, database: str) -> Iterator[Practice]:
    made = new_practice(tmp_path, database)
    yield made
    made.close()

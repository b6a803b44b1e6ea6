"""PostgreSQL for the console's tests: one server for all of them, an empty database for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import postgresql
from tests.unit.console.databases import on_server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    with postgresql.server() as address:
        yield address


@pytest.fixture
def postgresql_database(postgresql_server: str) -> Iterator[str]:
    with on_server(postgresql_server) as address:
        yield address

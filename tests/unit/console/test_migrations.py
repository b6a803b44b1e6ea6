"""Migrations lead to the tables exactly, on both databases, also when several processes start at once; and they never
touch a database that is newer than the program."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import renewagent.console.epcs.tables  # noqa: F401  # the desk's tables are in the same METADATA
from renewagent.console.migrations import head, revision
from renewagent.console.opening import open_store
from renewagent.console.settings import Listener, Settings
from renewagent.console.store import Store
from renewagent.console.tables import METADATA
from renewagent.errors import ConfigurationError
from tests.house import ROOT


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    is_sqlite = request.param == "sqlite"
    yield f"sqlite:///{tmp_path}/console.db" if is_sqlite else request.getfixturevalue("postgresql_database")


def settings(folder: Path, url: str) -> Settings:
    listener = Listener("127.0.0.1", 0, "")
    return Settings(folder, url, listener, listener, folder, folder)


def test_they_lead_to_the_tables_exactly(url: str) -> None:
    store = Store(url)
    store.migrate()
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        assert revision(connection) == head()
    migrated = described(store)
    store.writing(lambda connection: METADATA.drop_all(connection))
    METADATA.create_all(store.engine)
    assert described(store) == migrated
    store.close()


def described(store: Store) -> list[object]:
    """Every column with its type and default, every key and index, as the database itself tells."""
    look = sa.inspect(store.engine)
    return [
        (
            name,
            [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in look.get_columns(name)],
            look.get_pk_constraint(name),
            sorted(str(index) for index in look.get_indexes(name)),
        )
        for name in sorted(METADATA.tables)
    ]


def test_a_difference_would_be_found(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/console.db")
    store.migrate()
    store.writing(lambda connection: connection.exec_driver_sql("ALTER TABLE person DROP COLUMN name"))
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA)
    store.close()


def test_several_at_once_do_it_once(url: str) -> None:
    stores = [Store(url) for _ in range(6)]
    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(Store.migrate, stores))
    with stores[0].engine.connect() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all() == [head()]
    for store in stores:
        store.close()


def test_what_is_there_stays(url: str) -> None:
    store = Store(url)
    store.migrate()
    store.writing(lambda c: c.exec_driver_sql("INSERT INTO organisation (code, name) VALUES ('RX1', 'One')"))
    store.migrate()
    assert store.reading(lambda c: c.exec_driver_sql("SELECT count(*) FROM organisation").scalar()) == 1
    store.close()


def test_the_embedded_database_is_its_owners_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # as systemd makes a StateDirectory
    with closing(open_store(settings(tmp_path, f"sqlite:///{tmp_path}/console.db"))):
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("console.db*")}
    assert modes == dict.fromkeys(("console.db", "console.db-wal", "console.db-shm"), 0o600)


def test_a_newer_database_is_left_alone(url: str, tmp_path: Path) -> None:
    store = Store(url)
    store.migrate()
    store.writing(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = 'later'"))
    store.close()
    with pytest.raises(ConfigurationError, match="made by a newer version"):
        open_store(settings(tmp_path, url))


def test_a_migration_that_fails_leaves_nothing_behind(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(url)
    store.writing(lambda connection: connection.exec_driver_sql("CREATE TABLE target (x TEXT)"))  # in the way
    with pytest.raises(sa.exc.SQLAlchemyError):
        store.migrate()
    assert sa.inspect(store.engine).get_table_names() == ["target"]
    store.close()


def test_everything_that_the_console_reads_from_disk_is_shipped() -> None:
    """Every folder with modules is a package, and every other file fits a pattern of the package's data."""
    package = ROOT / "renewagent"
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["renewagent"]
    carried = {file for pattern in patterns for file in package.glob(pattern)}
    for file in (package / "console").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert file in carried or (file.suffix == ".py" and (file.parent / "__init__.py").is_file()), file

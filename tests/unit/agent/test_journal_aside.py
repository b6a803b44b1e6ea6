"""A damaged journal is put aside whole, under a name of its own, and told; a good one never is, nor one that only
cannot be opened now."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from renewagent.agent.journal import MIGRATIONS, Journal
from renewagent.agent.journal_aside import open_journal, put_aside
from renewagent.agent.words import Message
from renewagent.errors import JournalError

NOW = datetime(2020, 10, 1, 12, 0, tzinfo=UTC)
ASIDE = "journal.db.damaged-20201001T120000Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def opened(path: Path) -> list[Message]:
    """What was told while it was opened."""
    told: list[Message] = []
    with open_journal(path, told.append, NOW) as journal:
        journal.append("r", "card", "begun", {}, NOW)
    return told


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if not file.name.endswith(".lock")}


def test_a_good_journal_and_a_missing_one_are_opened(path: Path) -> None:
    assert opened(path) == opened(path) == []
    with Journal(path) as journal:
        assert len(journal.replay()) == 2


def test_a_damaged_one_makes_way_with_its_log_and_no_name_is_taken_twice(path: Path) -> None:
    path.write_bytes(b"first")
    path.with_name("journal.db-wal").write_bytes(b"its log")
    (message,) = opened(path)
    assert (message.kind, str(path.with_name(ASIDE)) in message.text) == ("journal-put-aside", True)
    path.write_bytes(b"second")
    assert len(opened(path)) == 1
    assert names(path.parent) == {"journal.db", ASIDE, f"{ASIDE}-wal", f"{ASIDE}-1"}
    assert path.with_name(ASIDE).read_bytes() == b"first"
    assert path.with_name(f"{ASIDE}-wal").read_bytes() == b"its log"
    assert path.with_name(f"{ASIDE}-1").read_bytes() == b"second"


def test_what_another_process_has_put_aside_already_stays(path: Path) -> None:
    path.write_bytes(b"damaged")
    inode = path.stat().st_ino
    path.rename(path.with_name("taken"))
    opened(path)
    assert put_aside(path, inode, NOW) is None
    with Journal(path) as journal:
        assert len(journal.replay()) == 1


def test_what_is_not_damaged_is_told_and_stays(path: Path) -> None:
    with Journal(path, migrations=(*MIGRATIONS, ("CREATE TABLE later (x)",))):
        pass
    with pytest.raises(JournalError, match="newer"):
        opened(path)
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(JournalError, match="is not a record of renewals"):
        opened(path)
    assert names(path.parent) == {"journal.db"}

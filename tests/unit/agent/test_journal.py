"""The journal: what is appended is on disk, in order, for ever; and what a bad disk does to it, in plain words."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from renewagent.agent import journal as journal_module
from renewagent.agent.disk import Reserve, file_system
from renewagent.agent.journal import CLOSING, MIGRATIONS, Journal, OpenRenewal
from renewagent.agent.locks import card_lock
from renewagent.errors import AgentError, JournalError
from renewagent.model import CardIdentity
from renewagent.pin import Pin
from renewagent.renewal import FINAL, TABLE

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CARD = CardIdentity("chuid", "00112233aabb4821")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


def append(journal: Journal, name: str = "begun", renewal: str = "r1", **fields: object) -> int:
    return journal.append(renewal, str(CARD), name, fields, NOW)


def test_events_come_back_in_order_and_as_they_were(path: Path) -> None:
    with Journal(path) as journal:
        numbers = [append(journal, "begun", what="generate"), append(journal, renewal="r2"), append(journal, "armed")]
        assert numbers == sorted(numbers)
        first, second = journal.events("r1")
        assert (first.name, first.fields, first.at, first.card) == ("begun", {"what": "generate"}, NOW, str(CARD))
        assert (second.name, second.seq) == ("armed", numbers[2])
        assert [event.seq for event in journal.replay()] == numbers
    with Journal(path) as again:
        assert [event.name for event in again.events("r1")] == ["begun", "armed"]
        assert again.events("r3") == []


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.dictionaries(st.text("abcé ", max_size=5), values, max_size=4), at=st.datetimes(timezones=st.just(UTC))
)
def test_any_json_and_any_time_come_back(tmp_path: Path, fields: dict[str, object], at: datetime) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        number = journal.append("r", "c", "n", fields, at)
        event = journal.events("r")[-1]
        assert (event.seq, event.fields, event.at) == (number, fields, at)


def test_times_are_kept_in_utc_and_one_without_a_zone_is_refused(path: Path) -> None:
    with Journal(path) as journal:
        journal.append("r", "c", "n", {}, datetime(2026, 6, 1, 13, tzinfo=timezone(timedelta(hours=1))))
        (event,) = journal.events("r")
        assert (event.at, event.at.utcoffset()) == (datetime(2026, 6, 1, 12, tzinfo=UTC), timedelta(0))
        with pytest.raises(ValueError, match="zone"):
            journal.append("r", "c", "n", {}, datetime(2026, 6, 1))  # noqa: DTZ001


def test_only_this_user_can_read_it(path: Path) -> None:
    with Journal(path) as journal:
        append(journal)
        journal.check_writable()
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "wrap", [lambda pin: pin, lambda pin: {"a": [1, pin]}, lambda pin: (pin,), lambda pin: {pin: 1}]
)
def test_a_pin_is_never_journalled(path: Path, wrap: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pin, "__hash__", lambda pin: 1)
    with Journal(path) as journal, Pin("246802") as pin:
        with pytest.raises(TypeError, match="PIN") as refused:
            append(journal, value=wrap(pin))  # type: ignore[operator]
        assert "246802" not in str(refused.value)
        assert journal.replay() == []
    assert not any(b"246802" in file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET name = 'x'",
        "DELETE FROM event",
        "REPLACE INTO event SELECT seq, at, renewal, card, 'x', fields FROM event",
    ],
)
def test_the_table_refuses_to_be_rewritten(path: Path, statement: str) -> None:
    with Journal(path) as journal:
        append(journal)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            journal._connection.execute(statement)
        assert [event.name for event in journal.replay()] == ["begun"]


def test_its_manners_on_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pragma(journal: Journal, name: str) -> object:
        return journal._connection.execute(f"PRAGMA {name}").fetchone()[0]

    with Journal(path) as journal:
        append(journal)
        assert (pragma(journal, "journal_mode"), pragma(journal, "synchronous")) == ("wal", 2)
    monkeypatch.setattr(journal_module, "on_network", lambda folder: True)
    with Journal(path) as journal:  # the folder has moved to a network since
        append(journal)
        assert (pragma(journal, "journal_mode"), pragma(journal, "synchronous")) == ("delete", 2)
        assert len(journal.replay()) == 2


MOUNTS = """/dev/sda1 / ext4 rw 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/ann/local tmpfs rw 0 0
//server/share /mnt/my\\040share cifs rw 0 0
/dev/sdb1 /mnt/over ext4 rw 0 0
host: /mnt/over fuse.sshfs rw 0 0
short
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib/x", "ext4"),
        ("/home/ann/.local/state", "nfs4"),
        ("/home/ann/local/state", "tmpfs"),
        ("/homes", "ext4"),
        ("/mnt/my share/state", "cifs"),
        ("/mnt/over/state", "fuse.sshfs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(folder: str, kind: str) -> None:
    assert file_system(Path(folder), MOUNTS) == kind
    assert file_system(Path(folder), "") == ""


def test_closing_events_end_a_renewal_wherever_they_stand() -> None:
    assert {"signed-in", "paired", "stopped", "superseded", "found-nothing"} == CLOSING
    assert all((state in FINAL) == (kind.value in CLOSING) for row in TABLE.values() for kind, state in row.items())


def test_open_renewals_are_those_without_an_end(path: Path) -> None:
    with Journal(path) as journal:
        assert journal.open_renewals() == []
        append(journal, "ready", "r1")
        append(journal, "ready", "r2")
        journal.append("r1", str(CARD), "begun", {}, NOW + timedelta(minutes=1))
        append(journal, "stopped", "r2")
        append(journal, "ready", "r3")
        assert journal.open_renewals() == [
            OpenRenewal("r1", str(CARD), NOW, "begun"),
            OpenRenewal("r3", str(CARD), NOW, "ready"),
        ]
        append(journal, "signed-in", "r1")
        assert [renewal.renewal for renewal in journal.open_renewals()] == ["r3"]


# Another process: what it was told is written stays written, whatever becomes of it.
APPENDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from renewagent.agent.journal import Journal
with Journal(Path(sys.argv[1])) as journal:
    for number in range(int(sys.argv[3])):
        print(journal.append(sys.argv[2], "card", "begun", {"number": number}, datetime.now(UTC)), flush=True)
"""


def appender(path: Path, renewal: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", APPENDER, str(path), renewal, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_what_was_appended_survives_a_kill(path: Path) -> None:
    with appender(path, "killed", 100_000) as process:
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(25)]
        process.send_signal(signal.SIGKILL)
        seen += [int(line) for line in process.stdout.read().splitlines() if line]
    with Journal(path) as journal:
        assert [event.seq for event in journal.events("killed")][: len(seen)] == seen


def test_several_processes_append_and_lose_nothing(path: Path) -> None:
    processes = [appender(path, f"r{number}", 60) for number in range(3)]
    numbers = [int(line) for process in processes for line in process.communicate()[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(set(numbers)) == len(numbers) == 180
    with Journal(path) as journal:
        for number in range(3):
            assert [event.fields["number"] for event in journal.events(f"r{number}")] == list(range(60))


def test_a_journal_held_by_another_program_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "PATIENCE", 0.1)
    with Journal(path) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            for attempt in (lambda: append(journal), journal.check_writable):
                with pytest.raises(JournalError, match="Another program holds the record of renewals"):
                    attempt()
        finally:
            other.close()
        append(journal)
        assert len(journal.replay()) == 1


def test_an_older_journal_is_brought_up_to_date_and_a_newer_one_refused(path: Path) -> None:
    with Journal(path) as journal:
        append(journal)
    newer = (*MIGRATIONS, ("CREATE TABLE later (x)", "CREATE INDEX later_x ON later (x)"))
    with Journal(path, migrations=newer) as journal:
        assert [event.name for event in journal.replay()] == ["begun"]
        assert journal._connection.execute("SELECT count(*) FROM later").fetchone() == (0,)
        append(journal)
    with Journal(path, migrations=newer) as journal:
        assert len(journal.replay()) == 2
    with pytest.raises(JournalError, match="written by a newer renewagent") as refused:
        Journal(path)
    assert "update" in refused.value.advice


def test_a_migration_that_fails_leaves_the_journal_as_it_was(path: Path) -> None:
    with Journal(path) as journal:
        append(journal)
    with pytest.raises(JournalError):
        Journal(path, migrations=(*MIGRATIONS, ("CREATE TABLE later (x)", "not SQL")))
    with Journal(path) as journal:
        assert [event.name for event in journal.replay()] == ["begun"]
        assert journal._connection.execute("SELECT name FROM sqlite_schema WHERE name = 'later'").fetchone() is None


@pytest.mark.parametrize("octets", [b"garbage" * 1000, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_journal_is_told_and_left_alone(path: Path, octets: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(octets)
    with pytest.raises(JournalError, match="is damaged") as refused:
        Journal(path)
    assert "move this file away" in refused.value.advice
    assert path.read_bytes() == octets


def test_damage_found_while_reading_is_told(path: Path) -> None:
    with Journal(path) as journal:
        for _ in range(200):
            append(journal, padding="x" * 200)
    octets = bytearray(path.read_bytes())
    octets[8192:] = b"\xa5" * (len(octets) - 8192)
    path.write_bytes(octets)
    with pytest.raises(JournalError, match="is damaged"), Journal(path) as journal:
        journal.replay()


def test_another_programs_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="is not a record of renewals"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be opened: "):
        Journal(tmp_path / "file" / "journal.db")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=768k", "renewagent-test", place], capture_output=True)
    if made.returncode:
        pytest.skip("mounting needs root; test_a_write_that_fails_at_a_limit covers the rest")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> Path:
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return filler


def test_on_a_full_disk_the_reserve_serves_what_has_begun_and_then_the_person_is_told(small_disk: Path) -> None:
    with Journal(small_disk / "journal.db") as journal:
        journal.check_writable()
        append(journal, "begun", what="generate")
        filler = fill(small_disk)
        append(journal, "generated", public_key="30" * 300)
        written = 2
        fill(small_disk)
        with pytest.raises(JournalError, match="The disk is full") as refused:
            for _ in range(100_000):
                append(journal, padding="x" * 2000)
                written += 1
        assert refused.value.advice == "Free some disk space, then try again."
        assert len(journal.replay()) == written
        with pytest.raises(JournalError, match="The disk is full"):
            journal.check_writable()
        filler.unlink()
        journal.check_writable()
        append(journal, "confirmed")
        assert [event.name for event in journal.replay()][-1] == "confirmed"


def test_a_journal_opens_on_a_full_disk_while_there_is_a_reserve(small_disk: Path) -> None:
    with Journal(small_disk / "journal.db") as journal:
        journal.check_writable()
        append(journal)
    fill(small_disk)
    with Journal(small_disk / "journal.db") as journal:
        append(journal, "generated")
        assert [event.name for event in journal.replay()] == ["begun", "generated"]


def test_a_new_journal_on_a_full_disk_is_told(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(JournalError, match="The disk is full"):
        Journal(small_disk / "state" / "journal.db").check_writable()


def test_a_read_only_disk_is_told(small_disk: Path) -> None:
    with Journal(small_disk / "journal.db") as journal:
        append(journal)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(JournalError, match="cannot be written: that is not allowed") as refused:
        Journal(small_disk / "journal.db")
    assert "IT support" in refused.value.advice
    with pytest.raises(JournalError, match="cannot write in its folder"), card_lock(small_disk, CARD):
        pass


LIMITED = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from renewagent.agent.journal import Journal
from renewagent.errors import JournalError
with Journal(Path(sys.argv[1])) as journal:
    journal.append("r", "card", "begun", {}, datetime.now(UTC))
    size = max(file.stat().st_size for file in Path(sys.argv[1]).parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        for number in range(1000):
            journal.append("r", "card", "begun", {"padding": "x" * 1000}, datetime.now(UTC))
    except JournalError as error:
        print(number, len(journal.replay()), error.message, error.advice)
"""


def test_a_write_that_fails_at_a_limit_is_told_and_nothing_is_half_written(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True)
    number, events, *words = done.stdout.split()
    assert int(events) == int(number) + 1
    assert "could not be read or written" in " ".join(words) or "The disk is full" in " ".join(words)
    with Journal(path) as journal:
        assert len(journal.replay()) == int(events)


def test_a_reserve_that_finds_no_room_leaves_nothing(small_disk: Path) -> None:
    reserve = Reserve(small_disk / "reserve", 2 * 1024 * 1024)
    with pytest.raises(OSError, match="No space"):
        reserve.hold()
    assert not (small_disk / "reserve").exists()
    assert reserve.release() is False


def test_one_renewal_per_card_at_a_time(path: Path) -> None:
    other = CardIdentity("chuid", "00112233aabb0001")
    with Journal(path) as journal, journal.card_lock(CARD):
        with pytest.raises(AgentError, match=r"This smartcard is already being renewed \(ending 4821\)") as refused:
            journal.card_lock(CARD).__enter__()
        assert refused.value.advice
        with journal.card_lock(other):
            pass
    with Journal(path) as journal, journal.card_lock(CARD):
        pass


HOLDER = """
import sys
from pathlib import Path
from renewagent.agent.locks import card_lock
from renewagent.model import CardIdentity
with card_lock(Path(sys.argv[1]), CardIdentity("chuid", "00112233aabb4821")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(AgentError), card_lock(tmp_path, CARD):
            pass
        os.kill(process.pid, signal.SIGKILL)
    with card_lock(tmp_path, CARD):
        pass
    assert all("00112233" not in file.name for file in tmp_path.iterdir())

"""What the console forgets, and when: single check-ins, orders and codes long ended, sessions that are over, and the
beginning of the audit log, which is put into files that verify by themselves before it leaves the database.

Done once an hour by each server process; several at once do no harm. Work is done in small transactions, so that
nobody waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from renewagent.atomic import write_atomically
from renewagent.console import audit
from renewagent.console.rate_limits import forget_old_attempts
from renewagent.console.sessions import forget_old_sessions
from renewagent.console.settings import Settings
from renewagent.console.store import Store
from renewagent.console.tables import CHECK_ANSWER, CHECK_IN, CHECK_ORDER, FLEET_CODE

_AT_ONCE = 1_000
_ENTRIES = 10_000
"""In one file of the audit log."""
_ENDED = timedelta(days=30)
"""How long orders and fleet codes stay after their end, for whoever asks what became of them."""
_LOG = logging.getLogger(__name__)


def forget(store: Store, settings: Settings, now: datetime) -> None:
    """Do all of it."""
    check_ins = sum(_delete_check_ins(store, now - settings.keep_check_ins))
    store.writing(lambda connection: _delete_ended(connection, now - _ENDED))
    store.writing(lambda connection: forget_old_sessions(connection, settings, now))
    store.writing(lambda connection: forget_old_attempts(connection, now))
    entries = sum(_put_audit_away(store, settings, now))
    if check_ins or entries:
        _LOG.info("what is old was put away", extra={"fields": {"check_ins": check_ins, "audit_entries": entries}})


def _delete_check_ins(store: Store, before: datetime) -> Iterator[int]:
    old = sa.select(CHECK_IN.c.id).where(CHECK_IN.c.received < before).limit(_AT_ONCE)
    statement = sa.delete(CHECK_IN).where(CHECK_IN.c.id.in_(old))
    while count := store.writing(lambda connection: connection.execute(statement).rowcount):
        yield count


def _delete_ended(connection: sa.Connection, before: datetime) -> None:
    ended = sa.select(CHECK_ORDER.c.id).where(CHECK_ORDER.c.ends < before)
    connection.execute(sa.delete(CHECK_ANSWER).where(CHECK_ANSWER.c.order.in_(ended)))
    connection.execute(sa.delete(CHECK_ORDER).where(CHECK_ORDER.c.ends < before))
    connection.execute(sa.delete(FLEET_CODE).where(FLEET_CODE.c.ends < before))


def _put_audit_away(store: Store, settings: Settings, now: datetime) -> Iterator[int]:
    folder = settings.data / "audit"

    def work(connection: sa.Connection) -> int:
        old = audit.old_entries(connection, now - settings.keep_audit, _ENTRIES)
        if old:
            audit.put_away(connection, now, old, _written(folder, old).name)
        return len(old)

    count = _ENTRIES
    while count == _ENTRIES:  # what is left then is not worth a file, or is the note of what was just put away
        count = store.writing(work)
        yield count


def _written(folder: Path, old: list[audit.Entry]) -> Path:
    """On disk before they leave the database. A file that an interrupted attempt left is written again."""
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / f"audit-{old[0].number:09}-{old[-1].number:09}.jsonl"
    write_atomically(file, b"".join(entry.to_line().encode() + b"\n" for entry in old))
    return file

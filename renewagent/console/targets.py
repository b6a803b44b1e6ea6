"""Target lists: the certificates that a bulk check found for a campaign, against which receipts are counted.

A file is uploaded, or pointed at below the folder that the administrator has set aside for it. It is taken in piece by
piece beside the list that is there, and takes its place at the end, all at once: check-ins go on meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from renewagent.check_ins import CardState
from renewagent.console import audit
from renewagent.console.settings import Settings
from renewagent.console.site import Site
from renewagent.console.store import raise_revision
from renewagent.console.tables import CAMPAIGN, STANDING, TARGET
from renewagent.console.target_rows import Columns, Target, TargetsRefused, find_columns, read_pieces, target_of
from renewagent.console.upserts import put

MOST = 1_000_000
"""Targets of one campaign."""
LARGEST = 512 * 1024 * 1024
"""Octets of a file."""
_ASIDE = "~"
"""What the name begins with under which a list is put together: no campaign's id does."""


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What came of a file. `rows` in it, `targets` now on the list, `unnamed`: rows that are affected or damaged, but
    whose certificate cannot be named; `columns` as they were found."""

    rows: int
    targets: int
    unnamed: int
    columns: Columns


@dataclass(frozen=True, slots=True)
class Counted:
    """A campaign's targets: all of them, those that some workstation has seen, those with a receipt, and those done."""

    targets: int
    seen: int
    receipts: int
    done: int


def below(settings: Settings, name: str) -> Path:
    """The file `name` (relative) in the folder for inventories. Raises TargetsRefused for anything outside of it."""
    if settings.inventories is None:
        raise TargetsRefused(
            "This console reads no files by name.", advice="Upload the file, or set console.inventories to a folder."
        )
    try:
        folder = settings.inventories.resolve(strict=True)
        path = (folder / name).resolve(strict=True)
        inside = path.is_relative_to(folder) and path.is_file()
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        raise TargetsRefused("There is no such file in the folder for inventories.", advice="Check its name.")
    return path


def take_targets(
    site: Site, campaign: str, path: Path, kind: str, actor: str, *, organisation_column: str = ""
) -> TakenIn:
    """Make the result in `path` the target list of `campaign` (its id). `kind`: the ending of the name that the file
    came by. Takes a while: call it in a thread. Raises TargetsRefused; then the list stays as it was."""
    now, aside = site.now(), _ASIDE + site.entropy(16).hex()
    site.store.reading(lambda connection: _check_campaign(connection, campaign))
    if path.stat().st_size > LARGEST:
        raise TargetsRefused(f"The file is larger than {LARGEST // 1024**2} MB.", advice="Give the affected rows only.")
    rows = unnamed = 0
    columns = None
    try:
        for piece in read_pieces(path, kind):
            columns = columns or find_columns(piece[0], organisation_column)
            found, nameless = _targets(piece, columns)
            rows, unnamed = rows + len(piece), unnamed + nameless
            if found:
                made = _rows(aside, found, now)
                site.store.writing(lambda connection, made=made: put(connection, TARGET, made))  # type: ignore[misc]
        taken = TakenIn(rows, 0, unnamed, columns or Columns())
        return site.store.writing(lambda connection: _put_in_place(connection, now, aside, campaign, taken, actor))
    finally:
        site.store.writing(lambda connection: _clear(connection, aside, now))


def drop_targets(connection: sa.Connection, now: datetime, campaign: str, actor: str) -> int:
    """Take the list away; how many were on it."""
    count = connection.execute(sa.delete(TARGET).where(TARGET.c.campaign == campaign)).rowcount
    if count:
        _tell(connection, now, actor, "targets.dropped", {"campaign": campaign, "targets": count})
    return count


def count_targets(connection: sa.Connection, campaign: str, organisations: Iterable[str] | None = None) -> Counted:
    """Count receipts against the list; `organisations` None for all of them. A target of which several cards are
    claimed counts once, and as done when one of them is."""
    same = sa.and_(
        STANDING.c.campaign == TARGET.c.campaign,
        STANDING.c.issuer == TARGET.c.issuer,
        STANDING.c.serial == TARGET.c.serial,
    )
    of_it = TARGET.c.campaign == campaign
    if organisations is not None:
        of_it = sa.and_(of_it, TARGET.c.organisation.in_(list(organisations)))

    def having(*more: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        met = sa.exists().where(same, *more).correlate(TARGET)
        return sa.func.coalesce(sa.func.sum(sa.case((met, 1), else_=0)), 0)

    done, receipt = STANDING.c.state == CardState.DONE.value, STANDING.c.receipt != ""
    query = sa.select(sa.func.count(), having(), having(receipt), having(done)).select_from(TARGET).where(of_it)
    return Counted(*(int(number) for number in connection.execute(query).one()))


def _check_campaign(connection: sa.Connection, campaign: str) -> None:
    if not connection.execute(sa.select(CAMPAIGN.c.id).where(CAMPAIGN.c.id == campaign).limit(1)).first():
        raise TargetsRefused("There is no such campaign here.", advice="Publish the signed campaign first.")


def _targets(piece: Sequence[dict[str, Any]], columns: Columns) -> tuple[list[Target], int]:
    found, nameless = [], 0
    for row in piece:
        try:
            target = target_of(row, columns)
        except ValueError:
            nameless += 1
            continue
        if target is not None:
            found.append(target)
    return found, nameless


def _rows(aside: str, targets: Iterable[Target], now: datetime) -> list[dict[str, Any]]:
    """Each certificate once: PostgreSQL takes no two of one key in one statement."""
    rows = {
        (one.issuer, one.serial): {
            "campaign": aside,
            "issuer": one.issuer,
            "serial": one.serial,
            "sha256": one.sha256,
            "verdict": one.verdict,
            "rule": one.rule,
            "organisation": one.organisation,
            "holder": one.holder,
            "email": one.email,
            "card_number": one.card_number,
            "not_before": one.not_before,
            "carried": json.dumps(one.carried, ensure_ascii=False) if one.carried else "",
            "added": now,
        }
        for one in targets
    }
    return list(rows.values())


def _put_in_place(
    connection: sa.Connection, now: datetime, aside: str, campaign: str, taken: TakenIn, actor: str
) -> TakenIn:
    count = connection.execute(sa.select(sa.func.count()).where(TARGET.c.campaign == aside)).scalar_one()
    if not count:
        raise TargetsRefused("The file names no affected or damaged certificate.")
    if count > MOST:
        raise TargetsRefused(f"The file names more than {MOST:,} certificates.", advice="Split the campaign.")
    connection.execute(sa.delete(TARGET).where(TARGET.c.campaign == campaign))
    connection.execute(sa.update(TARGET).where(TARGET.c.campaign == aside).values(campaign=campaign))
    _claim_standings(connection, campaign, now)
    details = {"campaign": campaign, "rows": taken.rows, "targets": count, "unnamed": taken.unnamed}
    _tell(connection, now, actor, "targets.taken-in", details)
    return TakenIn(taken.rows, count, taken.unnamed, taken.columns)


def _claim_standings(connection: sa.Connection, campaign: str, now: datetime) -> None:
    """Cards that were heard of before they were listed belong where the list says, and are not clear by word alone;
    a receipt for another certificate than the one on the list is theirs no more."""
    same = (
        TARGET.c.campaign == STANDING.c.campaign,
        TARGET.c.issuer == STANDING.c.issuer,
        TARGET.c.serial == STANDING.c.serial,
    )
    listed = sa.and_(STANDING.c.campaign == campaign, sa.exists().where(*same).correlate(STANDING))
    organisation = sa.select(TARGET.c.organisation).where(*same).correlate(STANDING).scalar_subquery()
    named = sa.case((organisation == "", STANDING.c.organisation), else_=organisation)
    connection.execute(sa.update(STANDING).where(listed).values(organisation=named))
    clear = sa.and_(listed, STANDING.c.state == CardState.CLEAR.value)
    connection.execute(sa.update(STANDING).where(clear).values(state=CardState.AFFECTED.value, since=now))
    sha256 = sa.select(TARGET.c.sha256).where(*same).correlate(STANDING).scalar_subquery()
    wrong = sa.exists().where(*same, TARGET.c.sha256 != "", TARGET.c.sha256 != STANDING.c.sha256).correlate(STANDING)
    of_it = sa.and_(STANDING.c.campaign == campaign, wrong)
    undone = sa.and_(of_it, STANDING.c.state == CardState.DONE.value)
    connection.execute(sa.update(STANDING).where(undone).values(state=CardState.RENEWED.value, since=now))
    connection.execute(sa.update(STANDING).where(of_it).values(sha256=sha256, receipt=""))


def _clear(connection: sa.Connection, aside: str, now: datetime) -> None:
    """What did not become a list: ours, and what a server that was killed has left."""
    left = sa.and_(TARGET.c.campaign.like(f"{_ASIDE}%"), TARGET.c.added < now - timedelta(days=1))
    connection.execute(sa.delete(TARGET).where(sa.or_(TARGET.c.campaign == aside, left)))


def _tell(connection: sa.Connection, now: datetime, actor: str, event: str, details: dict[str, object]) -> None:
    for news in ("targets", "standings"):
        raise_revision(connection, news)
    audit.record(connection, now, actor, event, details)

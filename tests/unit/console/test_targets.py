"""Target lists: results of bulk checks in any of their forms, whole or not at all; receipts counted against them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import sqlalchemy as sa
from starlette.applications import Starlette

from renewagent.bulk.results import Results
from renewagent.check_ins import CheckIn
from renewagent.console import agents
from renewagent.console.audit import entries
from renewagent.console.mishaps import HANDLERS
from renewagent.console.site import Site
from renewagent.console.standings import canonical_issuer
from renewagent.console.tables import CAMPAIGN, STANDING, TARGET
from renewagent.console.target_rows import Columns, TargetsRefused, find_columns, read_pieces
from renewagent.console.targets import TakenIn, below, count_targets, drop_targets, take_targets
from tests.console import NOW, Clock, new_site
from tests.flows import console_seed
from tests.unit.campaign.authority import root
from tests.unit.console.databases import KINDS, in_file
from tests.unit.console.workstations import DAY, ISSUER, SmartCard, Workstation, fleet_code, new_signer

ID = console_seed.CAMPAIGN_ID
FORMS = (".csv", ".jsonl", ".parquet")


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    lazily = request.getfixturevalue
    url = in_file(tmp_path) if request.param == "sqlite" else lazily("postgresql_database")
    made = new_site(tmp_path, Clock(), database=url, inventories=tmp_path / "inventories")
    row = {"id": ID, "version": 1, "signed": b"", "document": b"", "published": NOW, "expires": NOW, "received": NOW}
    made.store.writing(lambda c: c.execute(sa.insert(CAMPAIGN).values(row)))
    yield made
    made.store.close()


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "source": "inventory.csv",
        "index": number,
        "verdict": "affected",
        "rule": "autumn batch",
        "serial": f"{number + 1:x}",
        "issuer": ISSUER,
        "not_before": "2026-08-14T09:30:00Z",
        "why": "issued between",
        "sha256": SmartCard(f"serial:{number:02x}", f"{number + 1:x}", NOW).old,
        "Name": f"Dr {number}",
        "ODS code": f"RX{number % 3}",
        "E-mail": f"{number}@nhs.test",
        "Card number": f"9{number:05}",
        "Ward": "7",
        **changes,
    }


def written(folder: Path, rows: list[dict[str, Any]], kind: str = ".csv") -> Path:
    results = Results(folder / f"affected{kind}")
    results.write(rows)
    results.finish()
    return folder / f"affected{kind}"


def targets(site: Site) -> list[Any]:
    with site.store.engine.connect() as connection:
        return list(connection.execute(sa.select(TARGET).order_by(TARGET.c.serial)))


def take(site: Site, path: Path, **options: str) -> TakenIn:
    return take_targets(site, ID, path, path.suffix, "manager", **options)


@pytest.mark.parametrize("kind", FORMS)
def test_what_check_writes_becomes_the_list(site: Site, tmp_path: Path, kind: str) -> None:
    given = [
        row(0),
        row(1, verdict="damaged", serial="-5", rule="", not_before=""),
        row(2, verdict="unaffected"),
        row(3, verdict="unreadable", serial="", issuer=""),
        row(4, verdict="damaged", serial=""),
        row(5, Name="=HYPERLINK()", issuer="c=GB, o=NHS , cn=nhs  signing g2".replace(" ,", ",")),
    ]
    taken = take(site, written(tmp_path, given, kind))
    assert (taken.rows, taken.targets, taken.unnamed) == (6, 3, 1)
    assert taken.columns == Columns("ODS code", "Name", "E-mail", "Card number")
    found = {one.serial: one for one in targets(site)}
    assert set(found) == {"1", "-5", "6"}
    assert {one.campaign for one in found.values()} == {ID}
    first = found["1"]
    assert (first.issuer, first.verdict, first.rule) == (canonical_issuer(ISSUER), "affected", "autumn batch")
    assert (first.organisation, first.holder, first.email, first.card_number) == (
        "RX0",
        "Dr 0",
        "0@nhs.test",
        "900000",
    )
    assert first.not_before is not None
    assert json.loads(first.carried) == {"Ward": "7"}
    assert first.sha256 == given[0]["sha256"]
    assert found["-5"].sha256 == ""  # of a damaged copy
    assert found["-5"].not_before is None
    assert found["6"].holder == "=HYPERLINK()"
    with site.store.engine.connect() as connection:
        assert [entry.event for entry in entries(connection)] == ["targets.taken-in"]


def test_the_column_of_organisations_may_be_given(site: Site, tmp_path: Path) -> None:
    path = written(tmp_path, [row(0)])
    assert take(site, path, organisation_column="Ward").columns.organisation == "Ward"
    assert [one.organisation for one in targets(site)] == ["7"]
    with pytest.raises(TargetsRefused, match="Trust"):
        take(site, path, organisation_column="Trust")
    assert find_columns({**row(0), "site": "x"}).organisation == "ODS code"


@pytest.mark.parametrize("said", [None, "", "AB" * 32, "ab", "=1", "ab" * 33])
def test_a_hash_that_is_none_is_not_known(site: Site, tmp_path: Path, said: str | None) -> None:
    given = {name: cell for name, cell in row(0, sha256=said).items() if cell is not None}
    path = tmp_path / "older.jsonl"
    path.write_text(json.dumps(given) + "\n")
    take(site, path)
    assert [(one.serial, one.sha256) for one in targets(site)] == [("1", "")]


def test_another_upload_takes_the_place_of_the_first(site: Site, tmp_path: Path) -> None:
    take(site, written(tmp_path, [row(n) for n in range(5)]))
    take(site, written(tmp_path, [row(n) for n in range(3, 6)]))
    assert [one.serial for one in targets(site)] == ["4", "5", "6"]
    with pytest.raises(TargetsRefused, match="no affected"):
        take(site, written(tmp_path, [row(0, verdict="unaffected")]))
    assert len(targets(site)) == 3
    assert site.store.writing(lambda c: drop_targets(c, NOW, ID, "manager")) == 3
    assert targets(site) == []


def test_one_certificate_in_many_rows_is_one_target(site: Site, tmp_path: Path) -> None:
    taken = take(site, written(tmp_path, [row(0)] * 1500))
    assert (taken.rows, taken.targets) == (1500, 1)


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("a.csv", b""),
        ("a.csv", b"name,ods\nx,y\n"),
        ("a.csv", b"verdict,serial,issuer\naffected,1,\xff\xfe\n"),
        ("a.csv", b'verdict,serial,issuer\naffected,"1,CN=x\n'),
        ("a.csv", b"verdict,serial,issuer\n" + b"x" * 100_000),
        ("a.jsonl", b"{\n"),
        ("a.jsonl", b"[1]\n"),
        ("a.jsonl", b"[" * 60_000),
        ("a.jsonl", b'{"verdict": "affected", "issuer": "CN=x"}\n'),
        ("a.parquet", b"PAR1"),
        ("a.xlsx", b"PK"),
    ],
)
def test_what_is_no_result_changes_nothing(site: Site, tmp_path: Path, name: str, octets: bytes) -> None:
    take(site, written(tmp_path, [row(7)]))
    (tmp_path / name).write_bytes(octets)
    with pytest.raises(TargetsRefused):
        take(site, tmp_path / name)
    assert [one.serial for one in targets(site)] == ["8"]


def test_a_file_that_breaks_off_late_leaves_the_list_as_it_was(site: Site, tmp_path: Path) -> None:
    take(site, written(tmp_path, [row(7)]))
    path = tmp_path / "late.jsonl"
    path.write_text("".join(json.dumps(row(n)) + "\n" for n in range(3000)) + "{")
    with pytest.raises(TargetsRefused, match="damaged"):
        take(site, path)
    assert [one.serial for one in targets(site)] == ["8"]  # and nothing aside


def test_odd_text_is_kept_as_far_as_a_database_can(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    odd = row(0, Name="a\x00b", Ward="\ud800", **{"E-mail": 5, "Card number": ["x"]})
    path.write_text(json.dumps(odd) + "\n")
    take(site, path)
    (one,) = targets(site)
    assert (one.holder, one.email, one.card_number) == ("ab", "5", "['x']")


def test_too_many_are_refused(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renewagent.console.targets.MOST", 2)
    with pytest.raises(TargetsRefused, match="more than"):
        take(site, written(tmp_path, [row(n) for n in range(3)]))
    monkeypatch.setattr("renewagent.console.targets.LARGEST", 10)
    with pytest.raises(TargetsRefused, match="larger"):
        take(site, written(tmp_path, [row(n) for n in range(3)]))
    assert targets(site) == []


def test_there_must_be_such_a_campaign(site: Site, tmp_path: Path) -> None:
    with pytest.raises(TargetsRefused, match="no such campaign"):
        take_targets(site, "another", written(tmp_path, [row(0)]), ".csv", "manager")


def test_files_by_name_lie_below_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "inventories"
    (folder / "2026").mkdir(parents=True)
    (folder / "2026" / "a.csv").write_text("x")
    (tmp_path / "secret.csv").write_text("x")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    site = new_site(tmp_path, inventories=folder)
    assert below(site.settings, "2026/a.csv") == folder / "2026" / "a.csv"
    for name in ("../secret.csv", str(tmp_path / "secret.csv"), "link.csv", "2026", "", "none.csv", "a\0b", "x" * 5000):
        with pytest.raises(TargetsRefused, match="no such file"):
            below(site.settings, name)
    with pytest.raises(TargetsRefused, match="by name"):
        below(replace(site.settings, inventories=None), "2026/a.csv")


def test_receipts_are_counted_against_the_list(site: Site, tmp_path: Path) -> None:
    ra = root("Signing CA")
    (tmp_path / "ra-root.pem").write_bytes(ra.pem())
    app = Starlette(routes=agents.routes(site), exception_handlers=dict(HANDLERS))
    one, other = Workstation(app), Workstation(app)
    one.enrol(fleet_code(site, "RX1"))
    other.enrol(fleet_code(site, "RX9"))
    cards = [SmartCard(f"serial:{n:02x}", f"{n + 1:x}", NOW - 100 * DAY) for n in range(4)]
    one.deliver(cards[0].claim("clear", NOW - DAY), cards[1].claim("told", NOW - DAY))
    take(site, written(tmp_path, [row(n) for n in range(10)]))
    with site.store.engine.connect() as connection:
        kept = {(s.card, s.state, s.organisation) for s in connection.execute(sa.select(STANDING))}
    assert kept == {("serial:00", "affected", "RX0"), ("serial:01", "told", "RX1")}
    receipt = cards[2].receipt(new_signer(ra, NOW), NOW)
    one.deliver(cards[2].claim("renewed", NOW, receipt=receipt), cards[1].claim("done", NOW))
    receipt = cards[3].receipt(new_signer(ra, NOW), NOW)
    one.deliver(cards[3].claim("done", NOW, receipt=receipt))
    other.deliver(*(replace(card, number=90).claim("clear", NOW + DAY) for card in cards))
    pretended = replace(cards[0], identity="serial:99")
    other.deliver(pretended.claim("affected", NOW))

    def count(*organisations: str) -> tuple[int, ...]:
        found = site.store.reading(lambda c: count_targets(c, ID, organisations or None))
        return (found.targets, found.seen, found.receipts, found.done)

    assert count() == (10, 4, 2, 1)
    assert count("RX0") == (4, 2, 1, 1)
    assert count("RX9") == (0, 0, 0, 0)


def test_a_receipt_for_another_certificate_does_not_outlive_the_list(site: Site, tmp_path: Path) -> None:
    """What was heard before the list was known, or under one without hashes, is judged again."""
    ra = root("Signing CA")
    (tmp_path / "ra-root.pem").write_bytes(ra.pem())
    workstation = Workstation(Starlette(routes=agents.routes(site), exception_handlers=dict(HANDLERS)))
    workstation.enrol(fleet_code(site, "RX1"))
    wrong, right, waiting = (SmartCard(f"serial:{n:02x}", f"{n + 1:x}", NOW - 100 * DAY) for n in range(3))
    receipt = wrong.receipt(new_signer(ra, NOW), NOW, old="cd" * 32)
    workstation.deliver(claiming(wrong, "done", sha256="cd" * 32, receipt=receipt))
    workstation.deliver(right.claim("done", NOW, receipt=right.receipt(new_signer(ra, NOW), NOW)))
    receipt = waiting.receipt(new_signer(ra, NOW), NOW, old="cd" * 32)
    workstation.deliver(claiming(waiting, "renewed", sha256="cd" * 32, receipt=receipt))

    def standings() -> dict[str, tuple[str, str, bool]]:
        with site.store.engine.connect() as connection:
            found = connection.execute(sa.select(STANDING)).all()
        return {one.card: (one.state, one.sha256, one.receipt != "") for one in found}

    take(site, written(tmp_path, [row(n, sha256="") for n in range(3)]))  # tells no more than before
    assert standings() == {
        wrong.identity: ("done", "cd" * 32, True),
        right.identity: ("done", right.old, True),
        waiting.identity: ("renewed", "cd" * 32, True),
    }
    take(site, written(tmp_path, [row(n) for n in range(3)]))
    assert standings() == {
        wrong.identity: ("renewed", wrong.old, False),
        right.identity: ("done", right.old, True),
        waiting.identity: ("renewed", waiting.old, False),
    }
    found = site.store.reading(lambda c: count_targets(c, ID))
    assert (found.targets, found.seen, found.receipts, found.done) == (3, 3, 1, 1)
    workstation.deliver(wrong.claim("done", NOW + DAY, receipt=wrong.receipt(new_signer(ra, NOW), NOW)))
    assert standings()[wrong.identity] == ("done", wrong.old, True)


def claiming(card: SmartCard, state: str, sha256: str, **more: Any) -> CheckIn:
    """A claim that gives the card's certificate another hash than it has."""
    claim = card.claim(state, NOW, **more)
    assert claim.certificate is not None
    return replace(claim, certificate=replace(claim.certificate, sha256=sha256))


@pytest.mark.parametrize(("kind", "count"), [(".csv", 100_000), (".jsonl", 5_000), (".parquet", 5_000)])
def test_many_rows_in_pieces(site: Site, tmp_path: Path, kind: str, count: int) -> None:
    path = tmp_path / f"large{kind}"
    rows = [row(n, verdict="affected" if n % 10 else "unaffected") for n in range(count)]
    if kind == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as file:
            if kind == ".csv":
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            else:
                file.writelines(json.dumps(one) + "\n" for one in rows)
    assert max(map(len, read_pieces(path, kind))) <= 1000
    taken = take(site, path)
    assert (taken.rows, taken.targets) == (count, count // 10 * 9)
    found = site.store.reading(lambda c: count_targets(c, ID))
    assert (found.targets, found.seen) == (taken.targets, 0)

"""The file of results: whole or not there, the same rows in every form, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from renewagent.bulk.results import COLUMNS, Results, own_name
from renewagent.errors import ConfigurationError

ROW: dict[str, Any] = {
    **dict.fromkeys(COLUMNS, ""),
    "source": "a.csv",
    "index": 3,
    "verdict": "affected",
    "serial": "1a",
}
LATER: dict[str, Any] = {**ROW, "index": 4, "mail": "x@y", "why": "a, b\nc"}


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return [{**row, "index": int(row["index"])} for row in csv.DictReader(file)]
    if path.suffix == ".parquet":
        return [
            {k: "" if v is None else v for k, v in row.items()} for row in pyarrow.parquet.read_table(path).to_pylist()
        ]
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_columns_that_turn_up_late(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{ending}"
    results = Results(path)
    results.write([ROW, ROW])
    results.write([])
    results.write([LATER])
    results.write([{**ROW, "name": "é"}])
    assert not path.exists()
    results.finish()
    found = read(path)
    assert [row["index"] for row in found] == [3, 3, 4, 3]
    assert found[2]["mail"] == "x@y"
    assert found[2]["why"] == "a, b\nc"
    assert found[3]["name"] == "é"
    if ending != ".jsonl":
        assert list(found[0]) == [*COLUMNS, "mail", "name"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_no_rows(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{ending}"
    Results(path).finish()
    assert read(path) == []
    if ending == ".csv":
        assert path.read_text().strip() == ",".join(COLUMNS)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_an_old_file_stays_until_the_new_one_is_whole(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{ending}"
    path.write_text("old")
    results = Results(path)
    results.write([ROW])
    results.abandon()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201"]
)
def test_no_cell_is_a_formula(cell: str, tmp_path: Path) -> None:
    results = Results(tmp_path / "out.csv")
    results.write([{**ROW, "note": cell, cell: "x"}])
    results.write([{**ROW, "more": cell}])  # the file is written anew for the column that turned up
    results.finish()
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        cells = [one for row in csv.reader(file) for one in row]
    assert cells.count(f"'{cell}") == 3
    assert not any(one.startswith(cell) for one in cells)


def test_names_that_are_ours() -> None:
    assert own_name("issuer") == "issuer (carried)"
    assert own_name("sha256") == "sha256 (carried)"
    assert own_name("mail") == "mail"


@pytest.mark.parametrize("name", ["out.txt", "out", "no/such/folder/out.csv"])
def test_files_that_cannot_be(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        Results(tmp_path / name)

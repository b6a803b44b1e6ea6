"""`renewagent demo tokens`: the other ways in which a prescriber cannot sign, each brought back to signing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from renewagent_fixtures.demo_tokens import hardware
from renewagent_fixtures.demo_tokens.rows import TITLES, NotSo, Rows
from renewagent_fixtures.demo_tokens.stage import stage

COMMAND = [sys.executable, "-W", "error", "-m", "renewagent", "demo", "tokens"]


def test_every_row_is_shown() -> None:
    done = subprocess.run([*COMMAND, "--json"], capture_output=True, text=True, timeout=180, check=False)
    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert document["ok"] is True
    assert list(document["rows"]) == [*(f"H{n}" for n in range(1, 8)), *(f"S{n}" for n in range(1, 9))]
    assert {row: said["ok"] for row, said in document["rows"].items()} == dict.fromkeys(TITLES, True)
    what = {row: str(said["what"]) for row, said in document["rows"].items()}
    assert "40 presses ahead" in what["H4"] and "EX-" in what["H5"]
    for name in ("Elin Evans", "Felix Fox", "Grace Gray", "Hugo Hope", "Iman Iqbal"):
        assert f"{name} cannot sign: Soft Token Expired." in what["S1"]
        assert f"{name} signs again." in what["S6"] and f"{name} has no override any more." in what["S7"]


def test_it_is_told_at_a_terminal_and_leaves_nothing_when_it_is_stopped(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [word for word in COMMAND if word not in ("-W", "error")]  # stopped within open(), it warns of the file
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None and process.stderr is not None
    with process:
        for line in process.stdout:
            if "signs with the token" in line:
                process.send_signal(signal.SIGINT)
                break
        said = process.stderr.read()
        assert process.wait(30) == 1
    assert "Stopped at your request." in said and "Traceback" not in said
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in running and not list(tmp_path.iterdir())


def test_a_vendor_that_says_done_and_is_not_is_found_out(tmp_path: Path) -> None:
    rows = Rows(lambda _: None)
    with stage(tmp_path) as players:
        knobs = players.world.knobs.read()
        lying = replace(knobs, vendor=replace(knobs.vendor, says_done_and_is_not=True))
        players.world.knobs.write(lying)
        players.world.attend()
        hardware.play(players, rows)
    document = rows.document()
    assert document["H5"]["ok"] is False and "signs again" in str(document["H5"]["what"])
    assert document["H1"]["ok"] is document["H3"]["ok"] is document["H6"]["ok"] is True
    assert document["S1"]["ok"] is False, "nothing was shown"


def test_a_row_is_good_only_if_something_was_shown_and_all_of_it_was_so() -> None:
    rows = Rows(lambda _: None)
    with rows.playing("H1"):
        rows.need("H1", True, "one")
    with rows.playing("H2", "H3"):
        rows.show("H2", "one")
        rows.need("H2", False, "two")
    assert rows.document()["H1"] == {"ok": True, "what": "one"}
    assert not any(rows.document()[row]["ok"] for row in ("H2", "H3", "S1"))
    with pytest.raises(NotSo, match="two"):
        rows.need("H1", False, "two")

"""Somebody has had enough, or watches: what is said, and what is left behind."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO

import pytest

from tests.flows.inventories import COMMAND, WINDOW
from tests.inventory import Issuing


def wait_for(something: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not something() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.05)
    assert something()  # type: ignore[operator]


def feed(pipe: IO[bytes], block: bytes) -> None:
    """Certificates without end, until nobody takes them any more."""
    with contextlib.suppress(BrokenPipeError):
        while True:
            pipe.write(block)
    with contextlib.suppress(BrokenPipeError):
        pipe.close()


@pytest.mark.parametrize("more", [(), ("--jobs", "2")], ids=["alone", "two processes"])
def test_interrupted(more: tuple[str, ...], tmp_path: Path) -> None:
    """Ctrl-C in the middle of a pipe that goes on and on: how far it came, and no half file."""
    block = b"".join(Issuing(61).many(2000)) * 3
    out = tmp_path / "out.csv"
    words = [*COMMAND, "-", *WINDOW, "--out", str(out), "--all", "--json", *more]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as check:
        assert check.stdin and check.stdout and check.stderr
        feeder = threading.Thread(target=feed, args=(check.stdin, block))
        feeder.start()
        try:
            wait_for(lambda: any(one.stat().st_size > 1000 for one in tmp_path.glob(".out.csv.*/*")))
            os.killpg(check.pid, signal.SIGINT)  # as a terminal does: to all of them
            document, said = check.stdout.read().decode(), check.stderr.read().decode()
            assert check.wait(60) == 1
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(check.pid, signal.SIGKILL)
            feeder.join(60)
    assert "Stopped at your request: " in said
    assert "certificates had been checked, the last of them in -." in said
    assert f"The file {out} was not written." in said
    assert "Traceback" not in said
    assert '"ok": false' in document
    assert list(tmp_path.iterdir()) == []


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.der").write_bytes(b"".join(Issuing(62).many(3000)) * 150)
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, str(tmp_path / "a.der"), *WINDOW], stderr=theirs, stdout=subprocess.PIPE) as check:
        os.close(theirs)
        said = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end has closed
                break
            if not piece:
                break
            said += piece
        assert check.wait(60) == 0
    os.close(ours)
    words = said.decode()
    assert " a second, " in words
    assert "% about" in words.replace("%,", "%")
    assert "\rChecked 450,000 certificates" in words


def test_no_progress_in_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "a.der").write_bytes(b"".join(Issuing(63).many(500)))
    done = subprocess.run([*COMMAND, str(tmp_path / "a.der"), *WINDOW], capture_output=True, check=True)
    assert b"\r" not in done.stderr
    assert b"left" not in done.stderr


def test_a_chart(tmp_path: Path) -> None:
    (tmp_path / "a.der").write_bytes(b"".join(Issuing(64).many(500)))
    chart = tmp_path / "chart.svg"
    subprocess.run([*COMMAND, str(tmp_path / "a.der"), *WINDOW, "--chart", str(chart)], check=True)
    assert chart.read_text().startswith("<svg ")
    assert "of 500" in chart.read_text()
    done = subprocess.run(
        [*COMMAND, str(tmp_path / "a.der"), *WINDOW, "--chart", "/no/such/a.svg"], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"cannot be written" in done.stderr

"""A visitor of the demonstration who presses Ctrl-C at a question: one line, and everything has ended."""

from __future__ import annotations

import os
import pty
import select
import sys
import time

import pytest


@pytest.mark.parametrize("question", [b"then Enter: ", b"not shown): "])
def test_ctrl_c_at_a_question_ends_the_demonstration(question: bytes) -> None:
    child, keyboard = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-P", "-m", "renewagent", "demo"])  # noqa: S606
    shown, end, stopped = b"", time.monotonic() + 60, False
    while time.monotonic() < end and select.select([keyboard], [], [], 30)[0]:
        try:
            octets = os.read(keyboard, 4096)
        except OSError:  # the other end has closed (pty(7))
            break
        shown += octets
        if not stopped and shown.endswith(question):
            os.write(keyboard, b"\x03")
            stopped = True
        elif not stopped and shown.endswith(b"then Enter: "):
            os.write(keyboard, b"\n")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    os.close(keyboard)
    assert shown.endswith(b"Stopped at your request.\r\n"), shown[-400:]
    assert b"not running" not in shown

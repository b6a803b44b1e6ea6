"""Children that answer, and children whose parent does not wait for it."""

from __future__ import annotations

import subprocess
import sys

ANSWERS = "import sys; sys.stdin.read(); from renewagent.agent.children import hand_over; hand_over({'ok': True})"


def test_nobody_waits_for_the_answer() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ANSWERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        child.stdout.close()
        child.stdin.close()
        assert child.stderr.read() == b""
        assert child.wait(10) == 0

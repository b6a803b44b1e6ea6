"""The soak in little: a few cards at once, with everything that `./dev bench soak` does to fifty."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"
WORDS = "--renewals 3 --at-once 4 --seed 3 --pool 8 --ra-lives 6 --time-limit 3 --json".split()


@pytest.mark.skipif(sys.platform != "linux", reason="its processes end with their parent by prctl(2)")
def test_nothing_is_lost() -> None:
    done = subprocess.run([sys.executable, SOAK, *WORDS], capture_output=True, text=True)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert (done.returncode, found["lost"]) == (0, []), done.stderr
    assert found["renewals"]["finished"] >= 3
    assert len(found["renewals"]["by_way"]) > 1
    assert found["tries"] > found["renewals"]["finished"], "nothing was cut"
    assert sum(found["resumed"].values()) >= 2
    assert found["audit_entries"] > 10 * found["renewals"]["finished"]

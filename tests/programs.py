"""Other people's programs in tests: skipped where one is missing, but a failure in CI, where none may be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it under CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; CI must have it")
    pytest.skip(what)


def require(program: str) -> str:
    """The path of `program`: beside this Python, or on PATH."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin"))
    found = shutil.which(program, path=path)
    if found is None:
        missing(f"{program} is not installed")
    return found


def run(
    program: str,
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes = b"",
    status: int | None = 0,
    limit: float = 60,
) -> str:
    """Run `program`, which must end with `status` (None: with any); what it wrote to both outputs."""
    octets = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [require(program), *map(str, arguments)],
        input=octets,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=None if env is None else dict(env),
        timeout=limit,
        check=False,
    )
    output = done.stdout.decode("utf-8", "replace")
    assert status in (None, done.returncode), f"{program} {' '.join(map(str, arguments))}: {done.returncode}\n{output}"
    return output

"""A PostgreSQL server of the tests' own: its own folder, a unix socket and no network, run by the user postgres."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.programs import missing


def programs() -> Path:
    """The folder of initdb and pg_ctl: Debian keeps them off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        missing("PostgreSQL is not installed")
    return found[-1] if found else Path(str(on_path)).parent


@contextmanager
def server(*, durable: bool = False) -> Iterator[str]:
    """The address of a running server, which ends with the block. `durable`: as in earnest, for what is measured."""
    place = programs()
    folder = Path(tempfile.mkdtemp(prefix="renewagent-postgresql-"))
    user = None if os.geteuid() else "postgres"  # it refuses to run as root
    if user:
        shutil.chown(folder, user)

    def run(program: str, *words: str) -> None:
        command = [str(place / program), *words]
        subprocess.run(command, check=True, timeout=60, user=user, cwd=folder, env={}, stdout=subprocess.DEVNULL)

    try:
        run("initdb", "-D", "data", "-U", "renewagent", "--auth=trust", "-E", "UTF8", "--no-sync", "--locale=C")
        settings = f"-c listen_addresses='' -c fsync={'on' if durable else 'off'} -k {folder}"
        run("pg_ctl", "-D", "data", "-o", settings, "-l", "log", "-w", "start")
        try:
            yield f"postgresql://renewagent@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)

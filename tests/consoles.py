"""A console as its operator runs it: the real command in a process of its own, over real TLS."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3


@dataclass(frozen=True)
class Console:
    """`agents`, `people` and `operations` are addresses without a path; `log` holds what went to standard error."""

    agents: str
    people: str
    operations: str
    certificate: Path
    config: Path
    log: Path
    process: subprocess.Popen[str]

    def get(self, address: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """GET, or what `method` says, with the server's certificate checked."""
        method = options.pop("method", "GET")
        with urllib3.PoolManager(ssl_context=self.trust(), retries=False, timeout=20) as pool:
            return pool.request(method, address, **options)

    def trust(self) -> ssl.SSLContext:
        """A client's context that trusts this console alone."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Have it end; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=20)


def settings_text(folder: Path, more: str = "", console: str = "") -> str:
    """A file that the command takes: ports of the system's choice, everything in `folder`. `console` goes into the
    section of that name, `more` behind all."""
    return f"""
[console]
data = "{folder}/data"
ra_root = "{folder}/ra-root.pem"
campaign_anchor = "{folder}/campaign-anchor.pem"
{console}
[agents]
port = 0
[people]
port = 0
[operations]
port = 0
{more}
"""


@contextmanager
def console(folder: Path, more: str = "", *, console: str = "", name: str = "console") -> Iterator[Console]:
    """Serve as `settings_text` says; ends with the block. Several with different names may share a folder."""
    config, log = folder / f"{name}.toml", folder / f"{name}.log"
    config.write_text(settings_text(folder, more, console))
    with log.open("w") as errors:
        process = started("console", "serve", "--config", str(config), "--json", stderr=errors)
    assert process.stdout is not None
    with process, process.stdout:
        try:
            line = process.stdout.readline()
            assert line, log.read_text()
            facts = json.loads(line)
            yield Console(
                facts["agents"],
                facts["people"],
                facts.get("operations", ""),
                Path(facts.get("certificate", "")),
                config,
                log,
                process,
            )
        finally:
            if process.poll() is None:
                process.kill()


def started(*words: str, stderr: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    """The command `renewagent`, running."""
    command = [sys.executable, "-W", "error", "-m", "renewagent", *words]
    environment = dict(os.environ, PYTHONPATH="")
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment)

"""Two server processes on one PostgreSQL, started in the same moment: one console to everybody, and still there when
one of them is killed."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from renewagent.console import audit
from renewagent.console.store import Store, raise_revision
from tests import postgresql
from tests.consoles import Console, console, started
from tests.flows.test_console_serve import enrolled


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgresql.server() as address:
        yield address


@pytest.fixture
def both(tmp_path: Path, url: str) -> Iterator[list[Console]]:
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        makers = [console(tmp_path, console=f'database = "{url}"', name=name) for name in ("one", "two")]
        yield list(pool.map(stack.enter_context, makers))


def listening(one: Console, trust: ssl.SSLContext) -> ssl.SSLSocket:
    parts = urlsplit(one.agents)
    plain = socket.create_connection((parts.hostname, parts.port), 20)
    line = trust.wrap_socket(plain, server_hostname="localhost")
    line.sendall(b"GET /agents/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
    return line


def hears(line: ssl.SSLSocket, what: bytes) -> float:
    """Seconds until it does."""
    begun, heard = time.monotonic(), b""
    while what not in heard:
        heard += line.recv(4096) or pytest.fail("the stream ended")
    return time.monotonic() - begun


def numbers(one: Console) -> dict[str, Any]:
    text = one.get(f"{one.operations}/metrics").data.decode()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def test_two_are_one_console(both: list[Console], tmp_path: Path, url: str) -> None:
    one, two = both
    assert one.certificate.read_bytes() == two.certificate.read_bytes()
    with started("console", "enrol", "--config", str(one.config), "--organisation", "RX1", "--json") as process:
        code = json.loads(process.communicate(timeout=60)[0])["code"]
    trust = enrolled(one, code, tmp_path)
    with closing(Store(url)) as store, listening(one, trust) as here, listening(two, trust) as there:
        for line in (here, there):
            hears(line, b": \n\n")  # known to both, whoever enrolled it
        assert [numbers(each)["renewagent_streams_held"] for each in both] == [1, 1]
        time.sleep(0.6)
        store.writing(lambda connection: raise_revision(connection, "campaigns"))
        assert hears(here, b"look-again") < 2
        assert hears(there, b"look-again") < 2
        one.process.kill()
        one.process.wait()
        store.writing(lambda connection: raise_revision(connection, "campaigns"))
        assert hears(there, b"look-again") < 2
        assert numbers(two)["renewagent_agents"] == 1
        assert two.get(f"{two.agents}/healthz").status == 200
        log = store.reading(audit.entries)
        assert audit.verify_chain(log) is None and len(log) >= 2
    assert two.end() == 0
    assert [line for line in two.lines() if line["level"] == "error"] == []

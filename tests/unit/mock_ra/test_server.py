"""The mock RA over HTTP: nothing is answered that is not on disk, and many conversations share a transaction."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from renewagent.cmp.wire import CONTENT_TYPE, BodyType
from renewagent_fixtures.mock_ra import Knobs, MockRa
from renewagent_fixtures.mock_ra.server import is_cmp_path
from tests.unit.mock_ra.peer import BOTH, Answer, Peer, Request, check_protection, enrolled, p256


@pytest.fixture
def ra(tmp_path: Path) -> Iterator[MockRa]:
    with MockRa(tmp_path / "ra") as made:
        yield made


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False, maxsize=8) as pool:
        yield pool


def post(http: urllib3.PoolManager, ra: MockRa, octets: bytes) -> urllib3.BaseHTTPResponse:
    return http.request("POST", ra.url, body=octets, headers={"Content-Type": CONTENT_TYPE}, timeout=10)


def message(peer: Peer) -> bytes:
    return peer.protect(peer.header(), Request(BodyType.KUR, p256(), old=peer.certificate).body())


@pytest.mark.parametrize(
    "path", ["", "/", "/kur", "/keyupdate", "/p/any", "/p/any/", "/p/any/keyupdate", "/p/any/kur", "/certConf"]
)
def test_addresses_of_cmp(path: str) -> None:
    assert is_cmp_path("/.well-known/cmp" + path)


@pytest.mark.parametrize("path", ["/unknown", "/p/any/unknown", "/kur/kur", "/p/a/b/c"])
def test_other_addresses(path: str) -> None:
    assert not is_cmp_path("/.well-known/cmp" + path)


def test_nothing_is_promised_that_cannot_be_written(
    ra: MockRa, http: urllib3.PoolManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: 503 and no certificate leaves; once there is room the same person is served."""

    def full(statement: str, parameters: object) -> None:
        raise OSError("no space left on device")

    peer = enrolled(ra.office, BOTH)
    with monkeypatch.context() as trouble:
        trouble.setattr(ra.office.store, "_execute", full)
        assert post(http, ra, message(peer)).status == 503
    other = enrolled(ra.office, BOTH)
    answer = post(http, ra, message(other))
    assert Answer(check_protection(ra.office, answer.data)).kind is BodyType.KUP


def test_many_at_once_share_transactions(ra: MockRa, http: urllib3.PoolManager) -> None:
    peers = [enrolled(ra.office, BOTH) for _ in range(24)]
    octets = [message(peer) for peer in peers]
    statements: list[str] = []
    ra.office.store._driver.dbapi_connection.set_trace_callback(statements.append)  # type: ignore[union-attr]
    answers: list[bytes] = []
    ra.office.lock.acquire()  # the RA is busy: all of them arrive meanwhile
    threads = [threading.Thread(target=lambda o=one: answers.append(post(http, ra, o).data)) for one in octets]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    ra.office.lock.release()
    for thread in threads:
        thread.join(timeout=20)
    kinds = {Answer(check_protection(ra.office, answer)).kind for answer in answers}
    assert (kinds, len(answers)) == ({BodyType.KUP}, 24)
    assert statements.count("COMMIT") <= 12


def test_an_answer_can_be_held_back(tmp_path: Path, http: urllib3.PoolManager) -> None:
    with MockRa(tmp_path / "slow", knobs=Knobs(delay=0.5)) as ra, pytest.raises(urllib3.exceptions.ReadTimeoutError):
        http.request("POST", ra.url, body=b"x", headers={"Content-Type": CONTENT_TYPE}, timeout=0.2)


def test_two_cannot_have_one_port(ra: MockRa, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="in use"):
        MockRa(tmp_path / "second", port=ra.port)


@pytest.mark.parametrize("url", ["bogus://", "nonsense", "sqlite:////nowhere/at/all.db?password=hunter2"])
def test_a_wrong_database_is_blamed_on_its_url(tmp_path: Path, url: str) -> None:
    command = [sys.executable, "-m", "renewagent", "mock-ra", "serve", "--data", str(tmp_path / "ra"), "--port", "0"]
    done = subprocess.run([*command, "--database", url], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (1 if url.startswith("sqlite") else 2)
    assert "The mock RA cannot use the database that --database names: " in done.stderr
    assert "Check the command line: --database wants an SQLAlchemy URL" in done.stderr
    assert "folder" not in done.stderr
    assert "hunter2" not in done.stderr

"""By a proxy, as the environment says: campaigns, the console and the RA, through a real one that answers CONNECT."""

from __future__ import annotations

import base64
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3

from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.agent.console_status import CONSOLE
from renewagent.agent.console_visit import visit
from renewagent.agent.poll_patience import PollPatience
from renewagent.campaign.download import download, http_client
from renewagent.configuration import ConsoleSettings
from renewagent.errors import ConfigurationError, RaUnreachable
from renewagent.proxies import credentials, is_this_computer, proxy_for, tls_context
from renewagent.ra_transport import HttpRaTransport, PlainAnswer
from tests.unit.agent.agents_server import AgentsServer
from tests.unit.agent.test_console_visit import claim


class Proxy(http.server.ThreadingHTTPServer):
    """Knows where `console.test` and `ra.test` are, which nobody else does. `asked`: each request's first line, and who
    it was from; with `wants`, only with that user name and password."""

    def __init__(self, places: dict[str, int], wants: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Carrier)
        self.places, self.wants = places, wants
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Carrier(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _lets_in(self) -> bool:
        self.server.asked.append(f"{self.command} {self.path}")
        sent = self.headers.get("Proxy-Authorization", "").removeprefix("Basic ")
        if base64.b64decode(sent).decode() == self.server.wants:
            return True
        self.send_error(407)
        return False

    def do_CONNECT(self) -> None:
        if not self._lets_in():
            return
        name = self.path.partition(":")[0]
        if name not in self.server.places:
            return self.send_error(502)
        with socket.create_connection(("127.0.0.1", self.server.places[name])) as goal:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_copy, args=(goal, self.connection), daemon=True)
            back.start()
            _copy(self.connection, goal)
            back.join()
        self.close_connection = True

    def do_GET(self) -> None:
        if not self._lets_in():
            return
        parts = urlsplit(self.path)
        body = f"from {parts.hostname}{parts.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _copy(source: socket.socket, goal: socket.socket) -> None:
    with suppress(OSError):
        while octets := source.recv(65536):
            goal.sendall(octets)
    with suppress(OSError):
        goal.shutdown(socket.SHUT_WR)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tester's own are."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AgentsServer]:
    with AgentsServer(tmp_path).running() as server:
        yield server


@pytest.fixture
def proxy(server: AgentsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy({"console.test": server.port, "ra.test": server.port}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        yield proxy
        proxy.shutdown()


def test_the_console_is_reached_by_the_proxy_and_its_tls_ends_at_the_console(
    server: AgentsServer, proxy: Proxy, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    CheckInQueue(state).add(claim(1))
    settings = ConsoleSettings("https://console.test", "let-us-in", server.root)
    patience = PollPatience(state, 300, lambda: 0.0)
    assert visit(settings, state, patience, datetime.now(UTC)).poll == 300, patience.of(CONSOLE)
    assert server.paths() == ["enrol", "check-ins"]
    assert server.heard[1][1] in server.known  # by its own certificate, through the tunnel
    assert proxy.asked == ["CONNECT console.test:443"] * 2


def test_a_proxy_that_says_no_is_told(server: AgentsServer, proxy: Proxy, tmp_path: Path) -> None:
    proxy.wants = "us:secret"
    patience = PollPatience(tmp_path, 300, lambda: 0.0)
    visit(ConsoleSettings("https://console.test", "code", server.root), tmp_path, patience, datetime.now(UTC))
    assert patience.of(CONSOLE).problem == "The console cannot be reached: the proxy does not let us through."
    assert server.heard == []


def test_a_name_and_a_password_for_the_proxy_stand_in_its_address(
    server: AgentsServer, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.wants = "us:s/cret"
    monkeypatch.setenv("HTTPS_PROXY", f"http://us:s%2Fcret@{proxy.address}")
    monkeypatch.setenv("http_proxy", f"http://us:s%2Fcret@{proxy.address}")
    server.say("orders", 200, {"here": True})
    assert asked("https://console.test/agents/v1/orders", server.root).document == {"here": True}
    assert asked("http://ra.test/nonce").status == 200
    with http_client() as client:
        assert download("http://campaigns.test/a.campaign", client, 100).octets == b"from campaigns.test/a.campaign"


def test_campaigns_come_by_the_proxy_over_http_and_https(server: AgentsServer, proxy: Proxy) -> None:
    with http_client(server.root) as client:
        assert download("http://campaigns.test/a.campaign", client, 100).octets == b"from campaigns.test/a.campaign"
        server.answers["/a.campaign"] = [(200, {"ETag": '"7"'}, b"signed")]
        answer = download("https://console.test/a.campaign", client, 100)
    assert (answer.octets, answer.etag) == (b"signed", '"7"')
    assert proxy.asked == ["GET http://campaigns.test/a.campaign", "CONNECT console.test:443"]


def test_the_ra_is_reached_by_the_proxy(server: AgentsServer, proxy: Proxy) -> None:
    server.say("orders", 200, {"here": True})
    with pytest.raises(RaUnreachable, match="could not be verified"):  # that is not the name in its certificate
        asked("https://ra.test:8443/agents/v1/orders", server.root)
    assert asked("https://console.test:8443/agents/v1/orders", server.root).document == {"here": True}
    assert asked("http://ra.test/nonce?x=1").status == 200
    assert proxy.asked == ["CONNECT ra.test:8443", "CONNECT console.test:8443", "GET http://ra.test/nonce?x=1"]
    with pytest.raises(RaUnreachable, match="cannot be reached"):
        asked("https://nowhere.test/nonce", server.root)


def asked(url: str, root: Path | None = None) -> PlainAnswer:
    """What an RA answers at a plain address."""
    with closing(HttpRaTransport(url, root)) as ra:
        return ra.get_json(url)


def test_whom_the_environment_excepts_and_this_computer_are_asked_without(
    server: AgentsServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "intra.test,.trust.test")
    assert proxy_for("https://ra.test/cmp") == f"http://{proxy.address}"
    for url in ("https://intra.test/", "https://a.trust.test:8443/", "http://localhost:1/", server.url):
        assert proxy_for(url) is None
    server.say("orders", 200, {"here": True})
    with http_client(server.root) as client:
        assert isinstance(client, urllib3.PoolManager)
        assert client.request("GET", f"{server.url}/agents/v1/orders").json() == {"here": True}
    assert proxy.asked == []


def test_a_proxy_without_a_scheme_and_one_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for("https://ra.test/") is None
    monkeypatch.setenv("ALL_PROXY", "proxy.test:3128")
    assert proxy_for("https://ra.test/") == "http://proxy.test:3128"
    assert credentials("http://proxy.test:3128") == {}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_computer(host: str) -> None:
    assert is_this_computer(host) and not is_this_computer(f"{host}.example")


def test_why_a_root_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"root\.pem cannot be read: No such file or directory\.$"):
        tls_context(tmp_path / "root.pem")

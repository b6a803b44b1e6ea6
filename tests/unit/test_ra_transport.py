"""CMP over HTTP against servers that answer well, badly, slowly, endlessly or not at all."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from renewagent.errors import ConfigurationError, RaUnreachable, RaWaiting
from renewagent.ra_transport import LARGEST_ANSWER, HttpRaTransport, RaTransport
from tests.unit.cmp.scripted_ra import ROOT, Party, Recipe, certify, new_key

Script = Callable[[socket.socket], None]
CMP = b"application/pkixcmp"


def reply(body: bytes, kind: bytes = CMP, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    head = b"HTTP/1.1 " + status + b"\r\nContent-Type: " + kind + b"\r\n" + more
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Server:
    """Accepts connections and plays `script` on each; `heard` is every recv of what clients sent."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._script, self._context = script, context
        self.accepted = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.accepted += 1
            with suppress(OSError), connection:
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
                with connection:
                    self._script(connection)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@contextmanager
def serving(script: Script, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(script, context)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def transport(server: Server, timeout: float = 5) -> Iterator[HttpRaTransport]:
    made = HttpRaTransport(f"http://{server.address}/.well-known/cmp?x=1", timeout=timeout)
    try:
        yield made
    finally:
        made.close()


def hear(connection: socket.socket) -> None:
    """A request to its end, whose body may come in a packet of its own: who closes with octets unread resets."""
    octets = connection.recv(65536)
    while octets.startswith(b"POST") and octets.endswith(b"\r\n\r\n") and b"content-length: 0" not in octets.lower():
        octets += connection.recv(65536)


def always(octets: bytes, heard: list[bytes] | None = None) -> Script:
    def script(connection: socket.socket) -> None:
        while got := connection.recv(65536):
            if heard is not None:
                heard.append(got)
            connection.sendall(octets)

    return script


def test_one_request_is_one_write_and_the_connection_is_kept() -> None:
    heard: list[bytes] = []
    with serving(always(reply(b"answer"), heard)) as server, transport(server) as to:
        way: RaTransport = to
        assert way.exchange(b"request") == b"answer"
        assert way.exchange(b"x" * 3000) == b"answer"
        assert server.accepted == 1 and len(heard) == 2
        host = server.address.encode()
    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert body == b"request" and head.startswith(b"POST /.well-known/cmp?x=1 HTTP/1.1\r\n")
    lines = head.lower().split(b"\r\n")
    assert b"content-type: application/pkixcmp" in lines and b"content-length: 7" in lines
    assert b"host: " + host in lines


def test_small_writes_are_not_held_back() -> None:
    with serving(always(reply(b"a"))) as server, transport(server) as to:
        to.exchange(b"r")
        began = time.perf_counter()
        for _ in range(10):
            to.exchange(b"r")
        assert time.perf_counter() - began < 0.2


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request", b"500 Oh"])
def test_cmp_is_taken_from_any_status(status: bytes) -> None:
    with serving(always(reply(b"answer", b"Application/PKIXCMP; x=y", status))) as server, transport(server) as to:
        assert to.exchange(b"r") == b"answer"


NOT_CMP: dict[str, tuple[bytes, str]] = {
    "a web page": (reply(b"<html>", b"text/html"), "not CMP but text/html"),
    "nothing": (reply(b""), "not CMP"),
    "a portal": (reply(b"", b"text/html", b"302 Found", b"Location: http://127.0.0.1:1/\r\n"), "another address"),
    "a barrier": (reply(b"", b"text/html", b"403 Forbidden"), "barred"),
    "a broken server": (reply(b"oh", b"text/plain", b"503 No"), "out of order"),
    "no such page": (reply(b"no", b"text/plain", b"404 Not Found"), "not a Registration Authority"),
    "CMP that redirects": (reply(b"x", CMP, b"307 Go", b"Location: /\r\n"), "another address"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "makes no sense"),
    "a lying length": (reply(b"x", more=b"Content-Length: 99\r\n"), "broke off|makes no sense"),
    "an answer cut short": (reply(b"x" * 99)[:-1], "broke off"),
    "a chunk cut short": (
        b"HTTP/1.1 200 OK\r\nContent-Type: " + CMP + b"\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nxyz",
        "broke off",
    ),
    "headers without end": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5000, "makes no sense"),
}


@pytest.mark.parametrize("case", NOT_CMP)
def test_what_is_not_cmp(case: str) -> None:
    octets, words = NOT_CMP[case]

    def script(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(octets)

    with serving(script) as server, transport(server) as to, pytest.raises(RaUnreachable, match=words) as caught:
        to.exchange(b"r")
    assert caught.value.advice


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_without_end_is_cut(chunked: bool) -> None:
    def script(connection: socket.socket) -> None:
        hear(connection)
        framing = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/pkixcmp\r\n" + framing + b"\r\n")
        piece = b"x" * 65536
        while True:
            connection.sendall(b"10000\r\n" + piece + b"\r\n" if chunked else piece)

    with serving(script) as server, transport(server) as to, pytest.raises(RaUnreachable, match="makes no sense"):
        to.exchange(b"r")


def test_the_largest_answer_still_fits() -> None:
    with serving(always(reply(b"x" * LARGEST_ANSWER))) as server, transport(server) as to:
        assert len(to.exchange(b"r")) == LARGEST_ANSWER


def silent(connection: socket.socket) -> None:
    hear(connection)
    time.sleep(1.2)


def dripping(connection: socket.socket) -> None:
    hear(connection)
    for octet in reply(b"x" * 1000):
        connection.sendall(bytes((octet,)))
        time.sleep(0.1)


@pytest.mark.parametrize("script", [silent, dripping])
def test_a_slow_server_meets_one_limit_for_all(script: Script) -> None:
    with serving(script) as server, transport(server, timeout=0.5) as to:
        began = time.perf_counter()
        with pytest.raises(RaUnreachable, match="in time"):
            to.exchange(b"r")
        assert time.perf_counter() - began < 1.5


def headers_that_stop(connection: socket.socket) -> None:
    hear(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Ty")
    time.sleep(1.2)


def test_headers_that_stop_are_no_answer_without_a_body(caplog: pytest.LogCaptureFixture) -> None:
    with serving(headers_that_stop) as server, transport(server, timeout=0.3) as to:
        with pytest.raises(RaUnreachable, match="in time"):
            to.get_json(f"{to.url}nonce")
    assert caplog.text == ""  # a person's terminal would show it


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(RaUnreachable, match="cannot be reached"):
        HttpRaTransport(f"http://127.0.0.1:{port}/").exchange(b"r")


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(RaUnreachable, match="cannot be reached"):
        HttpRaTransport("http://no-such-host.invalid/", timeout=5).exchange(b"r")


def test_a_name_server_that_does_not_answer_meets_the_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card waits in a transaction for this, which Windows resets after five seconds."""
    asked, let_go = threading.Event(), threading.Event()

    def never(*_: object, **__: object) -> list[object]:
        asked.set()
        let_go.wait(10)
        raise socket.gaierror("nobody knows")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    begun, transport = time.monotonic(), HttpRaTransport("http://ra.test/cmp")
    with pytest.raises(RaUnreachable, match="did not answer in time"):
        transport.post_within("http://ra.test/key-relay", b"{}", "application/json", 0.5)
    assert time.monotonic() - begun < 2 and asked.is_set()
    let_go.set()


def test_after_a_failure_the_next_exchange_starts_afresh() -> None:
    turns = iter((b"rubbish\r\n\r\n", reply(b"answer")))

    def script(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(next(turns))

    with serving(script) as server, transport(server) as to:
        with pytest.raises(RaUnreachable):
            to.exchange(b"r")
        assert to.exchange(b"r") == b"answer" and server.accepted == 2


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    def script(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(reply(b"answer"))

    with serving(script) as server, transport(server) as to:
        assert to.exchange(b"r") == b"answer"
        time.sleep(0.05)
        assert to.exchange(b"r") == b"answer" and server.accepted == 2


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ra.example",
        "ftp://ra.example/",
        "http://",
        "http://ra.example:99999/",
        "http://[::1/",
        "http://a b/",
        "http://a/\r\nX: y",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not a web address"):
        HttpRaTransport(url)


def test_plain_addresses() -> None:
    date = b"Date: Sun, 01 Mar 2026 12:00:00 GMT\r\n"
    with serving(always(reply(b'{"nonce": "00"}', b"application/json", more=date))) as server, transport(server) as to:
        found = to.get_json(f"http://{server.address}/nonce")
        assert (found.status, found.document) == (200, {"nonce": "00"})
        assert found.date == datetime(2026, 3, 1, 12, tzinfo=UTC)
        assert to.post(f"http://{server.address}/sign-in", b"x", "application/pkcs7-mime").document == {"nonce": "00"}


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{", b"[" * 100_000, b"<html>"])
def test_plain_addresses_that_answer_no_object(body: bytes) -> None:
    octets = reply(body, b"application/json", b"404 No", b"Date: yesterday\r\n")
    with serving(always(octets)) as server, transport(server) as to:
        found = to.get_json(f"http://{server.address}/status")
        assert (found.status, found.document, found.date) == (404, None, None)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.now(UTC)
    span = (now - timedelta(days=1), now + timedelta(days=1))
    root = certify(Recipe("root", ROOT.usage, authority=True, begins=span[0], ends=span[1]), None, new_key())
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    extension = x509.Extension(names.oid, False, names)
    recipe = Recipe("server", ("digital_signature",), begins=span[0], ends=span[1], extra=(extension,))
    server = certify(recipe, root, new_key())
    (folder / "root.pem").write_bytes(pem(root))
    (folder / "server.pem").write_bytes(pem(server) + key_pem(server))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return folder / "root.pem", context


def pem(party: Party) -> bytes:
    return party.certificate.public_bytes(Encoding.PEM)


def key_pem(party: Party) -> bytes:
    return party.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_tls_by_a_root_of_our_own(tls: tuple[Path, ssl.SSLContext]) -> None:
    root, context = tls
    heard: list[bytes] = []
    with serving(always(reply(b"answer"), heard), context) as server:
        to = HttpRaTransport(f"https://{server.address}/", root, timeout=5)
        assert to.exchange(b"r") == b"answer" and to.exchange(b"r") == b"answer"
        assert len(heard) == 2 and server.accepted == 1
        to.close()


def test_tls_by_somebody_unknown(tls: tuple[Path, ssl.SSLContext]) -> None:
    _, context = tls
    with serving(always(reply(b"answer")), context) as server:
        with pytest.raises(RaUnreachable, match="could not be verified"):
            HttpRaTransport(f"https://{server.address}/", timeout=5).exchange(b"r")


def test_tls_that_drips_meets_the_limit(tls: tuple[Path, ssl.SSLContext]) -> None:
    root, context = tls
    with serving(dripping, context) as server:
        began = time.perf_counter()
        with pytest.raises(RaUnreachable, match="in time"):
            HttpRaTransport(f"https://{server.address}/", root, timeout=0.5).exchange(b"r")
        assert time.perf_counter() - began < 1.5


def test_tls_handshake_that_never_comes(tls: tuple[Path, ssl.SSLContext]) -> None:
    root, _ = tls
    with serving(silent) as server:
        with pytest.raises(RaUnreachable, match="in time"):
            HttpRaTransport(f"https://{server.address}/", root, timeout=0.5).exchange(b"r")


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_root_file_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "root.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"root\.pem (cannot be read|holds no certificate)"):
        HttpRaTransport("https://127.0.0.1/", file)


@pytest.mark.parametrize("url", ["http://ann:secret@ra.example/cmp", "https://ann@ra.example", "http://@ra.example"])
def test_an_address_with_a_user_name_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="user name or password") as told:
        HttpRaTransport(url)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("status", "more", "seconds"),
    [
        (b"503 Busy", b"Retry-After: 120\r\n", 120),
        (b"429 Too Many", b"Retry-After: 0\r\n", 1),
        (b"503 Busy", b"Retry-After: 99999999999999999999\r\n", 14 * 86400),
        (
            b"503 Busy",
            b"Date: Sun, 22 Nov 2026 09:00:00 GMT\r\nRetry-After: Sun, 22 Nov 2026 10:30:00 GMT\r\n",
            5400,
        ),
        (b"503 Busy", b"Date: Sun, 22 Nov 2026 09:00:00 GMT\r\nRetry-After: Sun, 22 Nov 2026 08:00:00 GMT\r\n", 1),
    ],
)
def test_a_server_that_says_when_to_come_back(status: bytes, more: bytes, seconds: int) -> None:
    def script(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(reply(b"later", b"text/plain", status, more))

    with serving(script) as server:
        for ask in (_send, _get, _post):
            with transport(server) as way, pytest.raises(RaWaiting) as told:
                ask(way)
            assert told.value.check_after == seconds


def _send(way: HttpRaTransport) -> object:
    return way.exchange(b"x")


def _get(way: HttpRaTransport) -> object:
    return way.get_json(way.url)


def _post(way: HttpRaTransport) -> object:
    return way.post(way.url, b"", "")


@pytest.mark.parametrize("more", [b"", b"Retry-After: soon\r\n", b"Retry-After: -5\r\n", b"Retry-After: \r\n"])
def test_a_server_that_does_not_say_when(more: bytes) -> None:
    def script(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(reply(b"later", b"text/plain", b"503 Busy", more))

    with serving(script) as server:
        with transport(server) as way, pytest.raises(RaUnreachable, match="out of order"):
            way.exchange(b"x")
        with transport(server) as way:  # a fresh connection: the server may be about to close the first
            assert way.get_json(way.url).status == 503

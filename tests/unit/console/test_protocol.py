"""The limits on a request's head and on its time, and the client's certificate in the scope."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from uvicorn.server import ServerState

from renewagent.console import protocol, tls
from renewagent.console.agents_ca import agents_ca, read_request
from renewagent.console.protocol import Protocol
from renewagent.console.settings import Listener, Settings
from renewagent.console.store import Store

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, waits as long as the query says, answers with the certificate's length."""
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(float(scope["query_string"] or 0))
    shown = scope["state"]["client_certificate"]
    body = b"none" if shown is None else str(len(shown)).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    config = uvicorn.Config(_app, http=Protocol, lifespan="off", ws="none", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0.05)


def run(story: Callable[[Client], Awaitable[None]]) -> None:
    async def told() -> None:
        async with serving() as port, asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await story((reader, writer))
            writer.close()

    asyncio.run(told())


async def cut_off(client: Client, parts: Iterable[bytes], every: float) -> float:
    """Send the parts one by one; seconds until the server has had enough."""
    reader, writer = client
    begun = time.monotonic()
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every):
                    if not await reader.read(100):
                        break
        else:
            await reader.read(1)
    return time.monotonic() - begun


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_WITHIN", 0.4)
    monkeypatch.setattr(protocol, "WHOLE_WITHIN", 0.8)


@pytest.mark.usefixtures("quick")
def test_a_client_that_says_nothing_is_cut_off() -> None:
    async def story(client: Client) -> None:
        assert 0.3 < await cut_off(client, [b""], 5) < 3

    run(story)


@pytest.mark.usefixtures("quick")
def test_a_head_that_comes_octet_by_octet_is_cut_off_all_the_same() -> None:
    async def story(client: Client) -> None:
        assert 0.3 < await cut_off(client, [HEAD[i : i + 1] for i in range(len(HEAD))], 0.1) < 3

    run(story)


@pytest.mark.usefixtures("quick")
def test_a_body_that_does_not_come_is_cut_off_later() -> None:
    async def story(client: Client) -> None:
        assert 0.7 < await cut_off(client, [HEAD], 5) < 4

    run(story)


@pytest.mark.usefixtures("quick")
def test_a_slow_answer_is_waited_for_and_the_next_head_has_its_own_time() -> None:
    async def story(client: Client) -> None:
        reader, writer = client
        writer.write(HEAD.replace(b"POST /", b"POST /?1.2") + b"body")
        assert (await reader.readuntil(b"none")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.6)  # kept alive: nobody is in a hurry between requests
        writer.write(HEAD + b"body")
        assert (await reader.readuntil(b"none")).startswith(b"HTTP/1.1 200")
        assert 0.3 < await cut_off(client, [b"POST / HT"], 5) < 3

    run(story)


@pytest.mark.parametrize("head", [b"GET /" + b"a" * 300_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000])
def test_a_head_that_is_too_large_is_refused(head: bytes) -> None:
    async def story(client: Client) -> None:
        reader, writer = client
        writer.write(head)
        assert (await reader.read(100)).startswith(b"HTTP/1.1 400")

    run(story)


def test_of_two_consoles_that_begin_at_once_the_quicker_ones_certificate_is_both_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, now = Listener("127.0.0.1", 0, ""), datetime.now(UTC)
    settings, make = Settings(tmp_path, "", listener, listener, tmp_path, tmp_path), tls._self_signed
    first: list[bytes] = []

    def slowly(names: list[str], at: datetime) -> bytes:
        monkeypatch.setattr(tls, "_self_signed", make)
        first.append(tls.pair(settings, now).certificate.read_bytes())  # another process's, meanwhile
        return make(names, at)

    monkeypatch.setattr(tls, "_self_signed", slowly)
    assert tls.pair(settings, now).certificate.read_bytes() == first[0]


def test_the_clients_certificate_is_in_the_scope_and_a_strangers_does_not_get_so_far(tmp_path: Path) -> None:
    listener, now = Listener("127.0.0.1", 0, ""), datetime.now(UTC)
    own = tls.pair(Settings(tmp_path, "", listener, listener, tmp_path, tmp_path), now)
    root = own.certificate.read_text().partition("-----BEGIN PRIVATE")[0]
    shown = {name: agent_certificate(tmp_path / name, now) for name in ("ours", "strangers")}

    async def ask(port: int, name: str | None) -> bytes:
        context = ssl.create_default_context(cadata=root)
        if name is not None:
            context.load_cert_chain(tmp_path / name)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(HEAD + b"body")
        try:
            return (await reader.readuntil(b"\r\n\r\n") + await reader.read(4)).rpartition(b"\r\n")[2]
        finally:
            writer.transport.abort()

    async def told() -> None:
        async with serving(tls.server_context(own, shown["ours"].ca)) as port:
            assert await ask(port, None) == b"none"
            assert await ask(port, "ours") == str(shown["ours"].octets).encode()
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await ask(port, "strangers")

    asyncio.run(told())


@dataclass(frozen=True)
class Shown:
    ca: str
    octets: int


def agent_certificate(file: Path, now: datetime) -> Shown:
    """An agent's, under an authority of its own; its key and itself are in `file`."""
    store = Store(f"sqlite:///{file}.db")
    store.migrate()
    ca = store.writing(lambda connection: agents_ca(connection, now))
    store.close()
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    issued = ca.issue("0" * 32, read_request(csr.public_bytes(Encoding.PEM).decode()), now)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(secret + issued.public_bytes(Encoding.PEM))
    return Shown(ca.pem, len(issued.public_bytes(Encoding.DER)))

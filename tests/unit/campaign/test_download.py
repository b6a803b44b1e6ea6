"""Where a download may be sent on to, and what it takes from a server; whole servers are in `test_fetch`."""

from __future__ import annotations

import io
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
import urllib3

from renewagent.campaign.download import MOST_REDIRECTIONS, Answer, download
from renewagent.errors import RaUnreachable
from tests.unit.campaign.authority import root

ASKED = "https://ra.example/a.campaign"


@dataclass
class Scripted:
    """A client whose server answers by address: where to go on, or the document."""

    answers: dict[str, str | bytes]
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def request(self, method: str, url: str, **options: Any) -> urllib3.HTTPResponse:
        self.asked.append(url)
        assert (method, options["redirect"], options["retries"]) == ("GET", False, False)
        answer = self.answers[url]
        moved = isinstance(answer, str)
        headers = {"Location": str(answer)} if moved else {"ETag": '"1"', **self.headers}
        body = io.BytesIO(b"" if isinstance(answer, str) else answer)
        return urllib3.HTTPResponse(body, headers, 302 if moved else 200, preload_content=False, decode_content=False)


def fetched(url: str, answers: dict[str, str | bytes], **headers: str) -> tuple[Answer, list[str]]:
    client = Scripted(answers, {name.replace("_", "-"): value for name, value in headers.items()})
    return download(url, cast(urllib3.PoolManager, client), 100), client.asked


@pytest.mark.parametrize(
    ("url", "location", "then"),
    [
        (ASKED, "/b", "https://ra.example/b"),
        (ASKED, "b?x=1", "https://ra.example/b?x=1"),
        (ASKED, "https://ra.example/c/d", "https://ra.example/c/d"),
        (ASKED, "https://RA.example/c", "https://RA.example/c"),
        ("http://ra.example/a", "https://ra.example/a", "https://ra.example/a"),
        ("http://ra.example:8080/a", "/b", "http://ra.example:8080/b"),
    ],
)
def test_within_one_host_it_is_followed(url: str, location: str, then: str) -> None:
    answer, asked = fetched(url, {url: location, then: b"good"})
    assert (answer, asked) == (Answer(b"good", '"1"'), [url, then])


@pytest.mark.parametrize(
    "location",
    [
        "http://ra.example/a.campaign",
        "https://ra.example:8443/a.campaign",
        "https://other.example/a.campaign",
        "//other.example/a.campaign",
        "https://ra.example.other.example/",
        "https://ra.example@other.example/",
        "file:///etc/passwd",
        "ftp://ra.example/a",
        "http://169.254.169.254/latest/meta-data/",
        "https://[::1",
        "https://ra.example:port/",
        "javascript:1",
    ],
)
def test_anywhere_else_it_is_not(location: str) -> None:
    with pytest.raises(RaUnreachable, match=f"{ASKED} could not be fetched: the server sends us somewhere else."):
        fetched(ASKED, {ASKED: location})


def test_not_for_ever() -> None:
    steps = [f"https://ra.example/{n}" for n in range(MOST_REDIRECTIONS + 2)]
    answers: dict[str, str | bytes] = dict(pairwise(steps))
    assert fetched(steps[1], {**answers, steps[-1]: b"good"})[0].octets == b"good"
    with pytest.raises(RaUnreachable, match="round and round"):
        fetched(steps[0], {**answers, steps[-1]: b"good"})


@pytest.mark.parametrize("how", ["gzip", "br", "identity, gzip"])
def test_what_is_packed_is_refused(how: str) -> None:
    with pytest.raises(RaUnreachable, match="compressed"):
        fetched(ASKED, {ASKED: b"x"}, Content_Encoding=how)
    assert fetched(ASKED, {ASKED: b"x"}, Content_Encoding="identity")[0].octets == b"x"


def test_one_octet_too_many_is_enough() -> None:
    answer, _ = fetched(ASKED, {ASKED: bytes(10_000_000)})
    assert answer.octets is not None
    assert 100 < len(answer.octets) <= 100 + 65536


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (b"", "cut short, or no HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cut short, or no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "cut short, or no HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha", "cut short, or no HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n", "cut short, or no HTTP"),
    ],
)
def test_the_help_desk_hears_why(client: urllib3.PoolManager, answers: bytes, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a"

        def answer() -> None:
            with server.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(answers)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RaUnreachable, match=said):
            download(url, client, 100)
        thread.join()
        with pytest.raises(RaUnreachable, match=r"could not be fetched\.$"):
            server.close()
            download(url, client, 100)


def test_a_name_that_nobody_knows(client: urllib3.PoolManager, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(RaUnreachable, match="nobody knows that server's name"):
        download("http://no-such-host.invalid/a", client, 100)


def test_a_server_that_nobody_vouches_for(client: urllib3.PoolManager) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        holder = root()
        context.load_cert_chain(holder.written(Path(folder) / "server.pem"))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with suppress(OSError):
                peer = server.accept()[0]
                with peer, context.wrap_socket(peer, server_side=True):
                    pass

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(RaUnreachable, match="certificate is not trusted here"):
            download(f"https://127.0.0.1:{server.getsockname()[1]}/a", client, 100)
        thread.join()

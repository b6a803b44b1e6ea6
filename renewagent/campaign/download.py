"""Getting one document over HTTP, whole or not at all, with limits on its size and on time. For children only.

What a server says is not believed: it may send us on to another address of its own, but nowhere else, and what it
packed is not unpacked.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from renewagent.errors import RaUnreachable
from renewagent.language import _

if TYPE_CHECKING:
    import urllib3

PATIENCE = 10.0
"""Seconds for a connection, and for each answer to come on."""
LONGEST = 30.0
"""Seconds for a whole answer, from the connection on."""
MOST_REDIRECTIONS = 3
_SCHEMES = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Answer:
    """`octets` is None where the server says that nothing has changed since `etag`."""

    octets: bytes | None
    etag: str = ""


def is_address(source: str) -> bool:
    """True for what is asked of a server, False for a path."""
    return source.startswith(_SCHEMES)


class ComeLater(RaUnreachable):
    """The server is busy, and said for how many seconds it wants to be left alone."""

    code = "RA-BUSY"

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


def http_client(root: Path | None = None) -> urllib3.PoolManager:
    """Checks servers against the system's own trust, and `root` (PEM) besides; what is fetched carries its own
    signature. Goes by the system's proxies. Raises ConfigurationError."""
    import urllib3

    from renewagent.proxies import HttpClient, tls_context

    return HttpClient(tls_context(root), urllib3.Timeout(connect=PATIENCE, read=PATIENCE))


def download(url: str, http: urllib3.PoolManager, limit: int, etag: str = "", *, longest: float = LONGEST) -> Answer:
    """The document at `url`, cut off after `limit` + 1 octets, in `longest` seconds. Raises RaUnreachable."""
    answers: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(_download(url, http, limit, etag))
        except BaseException as problem:
            answers.put(problem)

    # In a thread, since time-outs of a socket begin anew with each octet: a server could take for ever over a header.
    threading.Thread(target=work, name="download", daemon=True).start()
    try:
        answer = answers.get(timeout=longest)
    except queue.Empty as problem:
        raise _too_slow(url) from problem
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _download(url: str, http: urllib3.PoolManager, limit: int, etag: str) -> Answer:
    import urllib3

    headers = {"Accept-Encoding": "identity", **({"If-None-Match": etag} if etag else {})}
    where = url
    try:
        for _turn in range(MOST_REDIRECTIONS + 1):
            response = http.request(
                "GET",
                where,
                headers=headers,
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
            )
            try:
                if not (location := response.get_redirect_location()):
                    return _answer(url, response, limit, asked_for_news=bool(etag))
            finally:
                response.close()
            where = _followed(url, where, location)
    except (urllib3.exceptions.HTTPError, OSError) as problem:
        raise _not_fetched(url, _why(problem)) from problem
    raise _not_fetched(url, _("the server sends us round and round"))


def _followed(url: str, where: str, location: str) -> str:
    """The next address: on the same host, and never from https back to http. Raises RaUnreachable."""
    try:
        there, here = urlsplit(urljoin(where, location)), urlsplit(where)
        same = (there.hostname, there.port) == (here.hostname, here.port) and there.scheme == here.scheme
        secured = (there.hostname, there.port, there.scheme) == (here.hostname, here.port, "https") and not here.port
    except ValueError:
        same = secured = False
    if not same and not secured:
        raise _not_fetched(url, _("the server sends us somewhere else"))
    return urljoin(where, location)


def _answer(url: str, response: urllib3.BaseHTTPResponse, limit: int, *, asked_for_news: bool) -> Answer:
    if response.status == 304 and asked_for_news:
        return Answer(None)
    if response.status in (429, 503) and (seconds := retry_after(response.headers)) is not None:
        raise ComeLater(_("{url} could not be fetched: the server is busy.").format(url=url), seconds)
    if response.status != 200:
        raise _not_fetched(url, _("the server answered {status}").format(status=response.status))
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _not_fetched(url, _("the server sends it compressed, which nobody asked for"))
    end = time.monotonic() + LONGEST
    octets = bytearray()
    while len(octets) <= limit and (part := response.read1(65536)):
        octets += part
        if time.monotonic() > end:
            raise _too_slow(url)
    return Answer(bytes(octets), response.headers.get("ETag", ""))


def retry_after(headers: Mapping[str, str]) -> int | None:
    """Seconds, from a number or a date (RFC 9110 10.2.3); None where there is nothing that makes sense."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return max(1, int(text[:10]))
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return max(1, math.ceil((until - datetime.now(UTC)).total_seconds()))


def _why(problem: Exception) -> str:
    """What the help desk wants to know, "" where nothing is to be known."""
    from urllib3 import exceptions

    reasons: tuple[tuple[type[Exception], str], ...] = (
        (exceptions.ProxyError, _("the proxy does not let us through")),
        (exceptions.SSLError, _("the server's certificate is not trusted here")),
        (exceptions.NameResolutionError, _("nobody knows that server's name")),
        (exceptions.NewConnectionError, ""),  # offline is normal
        (exceptions.TimeoutError, _("the server does not answer")),
        (exceptions.ProtocolError, _("what came back is cut short, or no HTTP")),
    )
    return next((words for kind, words in reasons if isinstance(problem, kind)), "")


def _too_slow(url: str) -> RaUnreachable:
    return _not_fetched(url, _("the server is too slow"))


def _not_fetched(url: str, why: str = "") -> RaUnreachable:
    if not why:
        return RaUnreachable(_("{url} could not be fetched.").format(url=url))
    return RaUnreachable(_("{url} could not be fetched: {why}.").format(url=url, why=why))

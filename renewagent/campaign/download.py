"""Getting one document over HTTP, whole or not at all, with limits on its size and on time. For children only."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from renewagent.errors import RaUnreachable

if TYPE_CHECKING:
    import urllib3

PATIENCE = 10.0
"""Seconds for a connection, and for each answer to come on."""
LONGEST = 30.0
"""Seconds for a whole answer."""
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

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


def http_client(root: Path | None = None) -> urllib3.PoolManager:
    """Checks servers against the system's own trust, and `root` (PEM) besides; what is fetched carries its own
    signature. Goes by the system's proxies. Raises ConfigurationError."""
    import urllib3

    from renewagent.proxies import HttpClient, tls_context

    return HttpClient(tls_context(root), urllib3.Timeout(connect=PATIENCE, read=PATIENCE))


def download(url: str, http: urllib3.PoolManager, limit: int, etag: str = "") -> Answer:
    """The document at `url`, cut off after `limit` + 1 octets. Raises RaUnreachable."""
    import urllib3

    headers = {"Accept-Encoding": "identity", **({"If-None-Match": etag} if etag else {})}
    retries = urllib3.Retry(total=3, connect=0, read=0, redirect=3, status=0, other=0)
    try:
        response = http.request(
            "GET", url, headers=headers, preload_content=False, decode_content=False, retries=retries
        )
        try:
            return _answer(url, response, limit, asked_for_news=bool(etag))
        finally:
            response.close()
    except (urllib3.exceptions.HTTPError, OSError) as problem:
        raise _not_fetched(url) from problem


def _answer(url: str, response: urllib3.BaseHTTPResponse, limit: int, *, asked_for_news: bool) -> Answer:
    if response.status == 304 and asked_for_news:
        return Answer(None)
    if response.status in (429, 503) and (seconds := retry_after(response.headers)) is not None:
        raise ComeLater(f"{url} could not be fetched: the server is busy.", seconds)
    if response.status != 200:
        raise _not_fetched(url, f": the server answered {response.status}")
    end = time.monotonic() + LONGEST
    octets = bytearray()
    while len(octets) <= limit and (part := response.read1(65536)):
        octets += part
        if time.monotonic() > end:
            raise _not_fetched(url, ": the server is too slow")
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


def _not_fetched(url: str, why: str = "") -> RaUnreachable:
    return RaUnreachable(f"{url} could not be fetched{why}.")

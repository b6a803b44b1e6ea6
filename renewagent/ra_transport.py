"""CMP over HTTP (RFC 9811), and the RA's few plain addresses (status, nonce, sign-in). An edge: it opens connections.

One request is one write on a TCP_NODELAY socket, no redirects are followed, answers are bounded in size and the whole
exchange in time. What comes back is bytes; `cmp.client` says whether to believe them.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import logging
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError

from renewagent.cmp.wire import CONTENT_TYPE
from renewagent.errors import ConfigurationError, RaUnreachable, RaWaiting
from renewagent.language import _
from renewagent.proxies import credentials, proxy_for, tls_context

LONGEST_WAIT = 14 * 86400
"""Seconds: a server cannot put us off for ever."""
LARGEST_ANSWER = 1 << 20
"""Bytes."""
_IDLE = 2.0
"""Seconds after which a kept connection is not used again: servers close idle ones, uvicorn after five."""


class RaTransport(Protocol):
    """The way to one RA."""

    @property
    def url(self) -> str:
        """The CMP address."""

    def exchange(self, octets: bytes) -> bytes:
        """Deliver one PKIMessage and fetch the answer. Raises RaUnreachable, RaWaiting."""

    def get_json(self, url: str) -> PlainAnswer:
        """GET a plain address. As `exchange`."""

    def post(self, url: str, body: bytes, content_type: str) -> PlainAnswer:
        """POST to a plain address. As `exchange`."""

    def post_within(self, url: str, body: bytes, content_type: str, seconds: float) -> PlainAnswer:
        """The same, the whole exchange in so many seconds."""


@dataclass(frozen=True, slots=True)
class PlainAnswer:
    """What a plain address answered. `document`: its JSON object, None for aught else; `date`: the server's clock."""

    status: int
    document: dict[str, Any] | None
    date: datetime | None


@dataclass(frozen=True, slots=True)
class _HttpAnswer:
    status: int
    content_type: str
    body: bytes
    date: datetime | None
    retry_after: str = ""


class HttpRaTransport:
    """TLS servers are verified with the operating system's store, and with the PEM `root_file` besides.

    `timeout` in seconds bounds one exchange as a whole. Not for several threads at once.
    """

    def __init__(self, url: str, root_file: Path | None = None, timeout: float = 30.0) -> None:
        self.url = url
        self._timeout = timeout
        self._context = tls_context(root_file) if _split(url).scheme == "https" or root_file else None
        self._kept: dict[tuple[str, str], tuple[_Connection, float]] = {}
        # It shows a traceback for headers that were cut short, which would reach the person's terminal.
        logging.getLogger("urllib3.connection").setLevel(logging.ERROR)

    def exchange(self, octets: bytes) -> bytes:
        """Deliver one PKIMessage and fetch the answer, which is taken from 2xx, 4xx and 5xx alike (RFC 9811 3.2).

        Raises RaUnreachable for anything that is not CMP, RaWaiting for a server that says when to come back.
        """
        answer = self._ask("POST", self.url, octets, CONTENT_TYPE)
        if answer.content_type == CONTENT_TYPE and answer.status // 100 in (2, 4, 5) and answer.body:
            return answer.body
        _refuse_busy(answer)
        raise RaUnreachable(_not_cmp(answer))

    def get_json(self, url: str) -> PlainAnswer:
        """GET a plain address. Raises RaUnreachable where nothing answers; a status is the caller's to judge."""
        return _plain(self._ask("GET", url, None, ""))

    def post(self, url: str, body: bytes, content_type: str) -> PlainAnswer:
        """POST to a plain address. As `get_json`."""
        return _plain(self._ask("POST", url, body, content_type))

    def post_within(self, url: str, body: bytes, content_type: str, seconds: float) -> PlainAnswer:
        """POST to a plain address, in so many seconds, whatever `timeout` says. As `get_json`."""
        answers: queue.SimpleQueue[_HttpAnswer | BaseException] = queue.SimpleQueue()

        def work() -> None:
            try:
                answers.put(self._ask("POST", url, body, content_type, seconds))
            except BaseException as problem:
                answers.put(problem)

        # In a thread, since nothing cuts off a look-up of the server's name, which may take half a minute.
        threading.Thread(target=work, name="within", daemon=True).start()
        try:
            answer = answers.get(timeout=seconds)
        except queue.Empty as problem:
            raise RaUnreachable(_no_answer(_split(url), TimeoutError(), late=True)) from problem
        if isinstance(answer, BaseException):
            raise answer
        return _plain(answer)

    def close(self) -> None:
        """Close kept connections."""
        for connection, _since in self._kept.values():
            connection.close()
        self._kept.clear()

    def _ask(
        self, method: str, url: str, body: bytes | None, content_type: str, seconds: float | None = None
    ) -> _HttpAnswer:
        parts, seconds = _split(url), self._timeout if seconds is None else seconds
        connection = self._connection(parts, seconds)
        late = threading.Event()
        try:
            with _cut_off(connection, seconds, late):
                answer = _exchange(connection, method, parts, body, content_type)
            if late.is_set():  # headers that were cut off would pass for an answer without a body
                raise TimeoutError("cut off")
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            connection.close()
            raise RaUnreachable(_no_answer(parts, error, late.is_set())) from error
        except BaseException:
            connection.close()
            raise
        self._keep(parts, connection)
        return answer

    def _connection(self, parts: SplitResult, seconds: float) -> _Connection:
        kept, since = self._kept.pop((parts.scheme, parts.netloc), (None, 0.0))
        if kept is not None and time.monotonic() - since < _IDLE and kept.is_connected:
            return kept
        if kept is not None:
            kept.close()
        proxy = proxy_for(f"{parts.scheme}://{parts.netloc}")
        way = urlsplit(proxy) if proxy is not None else parts
        host, port = way.hostname or "", way.port
        if parts.scheme == "http":
            return _PlainConnection(host, port, timeout=seconds, by=proxy)
        context = self._context or tls_context()
        connection = _TlsConnection(host, port or (80 if proxy else None), timeout=seconds, ssl_context=context)
        if proxy is not None:
            connection.set_tunnel(parts.hostname or "", parts.port or 443, credentials(proxy))
        return connection

    def _keep(self, parts: SplitResult, connection: _Connection) -> None:
        self._kept[(parts.scheme, parts.netloc)] = (connection, time.monotonic())


class _OneWrite(HTTPConnection):
    """Header and body leave in one write: two small ones cost a delayed acknowledgement (40 ms and more)."""

    _held: list[bytes] | None = None

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> None:
        self._held = []
        try:
            super().request(method, url, body, headers, **options)
            octets = b"".join(self._held)
        finally:
            self._held = None
        self.send(octets)

    def send(self, data: Any) -> None:
        if self._held is None:
            super().send(data)
        else:
            self._held.append(bytes(data))


class _PlainConnection(_OneWrite):
    """`by`: the proxy at the other end, which is told the whole address (RFC 9112 3.2.2)."""

    def __init__(self, host: str, port: int | None, timeout: float, by: str | None) -> None:
        super().__init__(host, port, timeout=timeout)
        self.by = by


class _TlsConnection(_OneWrite, HTTPSConnection):
    pass


_Connection = _PlainConnection | _TlsConnection


def _exchange(
    connection: _Connection, method: str, parts: SplitResult, body: bytes | None, content_type: str
) -> _HttpAnswer:
    headers, target = {"User-Agent": "renewagent", "Accept": "*/*", "Accept-Encoding": "identity"}, _target(parts)
    if isinstance(connection, _PlainConnection) and connection.by is not None:
        headers, target = {**headers, **credentials(connection.by)}, f"http://{parts.netloc}{target}"
    if content_type:
        headers["Content-Type"] = content_type
    connection.request(method, target, body, headers, preload_content=False, decode_content=False)
    response = connection.getresponse()
    octets = bytearray()
    while piece := response.read(65536):  # only the read that finds the end sees an answer that was cut short
        octets += piece
        if len(octets) > LARGEST_ANSWER:
            raise ValueError("an answer without end")
    if response.headers.get("Connection", "").lower() == "close":
        connection.close()
    kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    date, retry_after = _date(response.headers.get("Date")), response.headers.get("Retry-After", "").strip()
    return _HttpAnswer(response.status, kind, bytes(octets), date, retry_after)


@contextlib.contextmanager
def _cut_off(connection: _Connection, seconds: float, late: threading.Event) -> Iterator[None]:
    """Ends the exchange when its time is up: a byte now and then would keep a socket's own time-out from coming."""
    done = threading.Event()

    def watch() -> None:
        if done.wait(seconds):
            return
        late.set()
        while not done.wait(0.1):
            with contextlib.suppress(OSError):
                if connection.sock is not None:  # below TLS: SSLSocket.shutdown would confuse the reading thread
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    if "@" in url.partition("://")[2].partition("/")[0]:  # nobody's password goes into a statement's origin, or in here
        raise ConfigurationError(_("A web address must not hold a user name or password."))
    if not well_formed or any(c <= " " or c > "~" for c in url):
        raise ConfigurationError(_("{url} is not a web address (http://... or https://...).").format(url=repr(url)))
    return parts


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _date(text: str | None) -> datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(text or "")
    except (ValueError, TypeError):
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _refuse_busy(answer: _HttpAnswer) -> None:
    """Raises RaWaiting for a 503 or 429 whose Retry-After, seconds or a date, makes sense (RFC 9110 10.2.3)."""
    if answer.status not in (429, 503) or not answer.retry_after:
        return
    until = _date(answer.retry_after)
    if answer.retry_after.isascii() and answer.retry_after.isdecimal():
        seconds = int(answer.retry_after[:10])
    elif until is not None:
        seconds = int((until - (answer.date or datetime.now(UTC))).total_seconds())
    else:
        return
    raise RaWaiting(_("The Registration Authority is busy."), max(1, min(seconds, LONGEST_WAIT)))


def _plain(answer: _HttpAnswer) -> PlainAnswer:
    _refuse_busy(answer)
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    return PlainAnswer(answer.status, document if isinstance(document, dict) else None, answer.date)


def _no_answer(parts: SplitResult, error: Exception, late: bool) -> str:
    if isinstance(error, NewConnectionError) and not late:
        return _("The Registration Authority at {server} cannot be reached.").format(server=parts.netloc)
    if late or isinstance(error, TimeoutError | ConnectTimeoutError):
        return _("The Registration Authority at {server} did not answer in time.").format(server=parts.netloc)
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return _(
            "The Registration Authority at {server} could not be verified: it may not be the one that it says it is."
        ).format(server=parts.netloc)
    if isinstance(error, ProtocolError | ConnectionResetError | http.client.RemoteDisconnected):
        return _("The Registration Authority at {server} broke off in the middle.").format(server=parts.netloc)
    if isinstance(error, OSError):
        return _("The Registration Authority at {server} cannot be reached.").format(server=parts.netloc)
    return _("The Registration Authority at {server} gave an answer that makes no sense.").format(server=parts.netloc)


def _not_cmp(answer: _HttpAnswer) -> str:
    if answer.status // 100 == 3:
        return _(
            "The Registration Authority sent us to another address (HTTP {status}), and we do not go there."
        ).format(status=answer.status)
    if answer.status in (401, 403, 407):
        return _("The way to the Registration Authority is barred (HTTP {status}).").format(status=answer.status)
    if answer.status // 100 == 5:
        return _("The Registration Authority's server is out of order (HTTP {status}).").format(status=answer.status)
    if not answer.content_type:
        return _("What answered is not a Registration Authority: its answer is not CMP (HTTP {status}).").format(
            status=answer.status
        )
    return _("What answered is not a Registration Authority: its answer is not CMP but {kind} (HTTP {status}).").format(
        kind=answer.content_type, status=answer.status
    )

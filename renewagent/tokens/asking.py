"""Asking an EHR's or a vendor's server, in JSON over HTTP: one question, one bounded answer, within a limit of time.

No redirect is followed, and nothing is asked twice: whether that does harm, only the caller knows. Neither questions
nor keys go into any message.
"""

from __future__ import annotations

import json
import queue
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import urllib3

from renewagent.proxies import HttpClient, tls_context

LARGEST_ANSWER = 1 << 20
"""Octets."""
CONNECTING, ANSWERING, LONGEST = 5.0, 30.0, 60.0
"""Seconds: for a connection; for an answer to come on; for a question and its answer in all."""
_MOST_TEXT = 400
_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Answered:
    """`document` is None where what came is no JSON object."""

    status: int
    document: dict[str, Any] | None


class NoAnswer(Exception):
    """Its text says why, in words that go on after "The EHR" or "The vendor"."""


class Service:
    """One server, for any thread. `key`, if there is one, is shown to it in every question; `root`: PEM of what its TLS
    certificate leads to, besides what the system trusts. Raises ConfigurationError for a file that is none."""

    def __init__(self, url: str, key: str | None, root: Path | None = None, *, longest: float = LONGEST) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/json", "User-Agent": "renewagent"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._longest = longest
        self._http = HttpClient(tls_context(root), urllib3.Timeout(connect=CONNECTING, read=min(ANSWERING, longest)))
        self._http.connection_pool_kw["maxsize"] = _AT_ONCE

    def close(self) -> None:
        """Let go of open connections."""
        self._http.clear()

    def post(self, path: str, document: Mapping[str, Any]) -> Answered:
        """Raises NoAnswer."""
        return self.ask("POST", path, document)

    def ask(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Answered:
        """Raises NoAnswer."""
        answers: queue.SimpleQueue[Answered | BaseException] = queue.SimpleQueue()

        def work() -> None:
            try:
                answers.put(self._ask(method, path, document, headers))
            except BaseException as problem:
                answers.put(problem)

        # In a thread: time-outs of a socket begin anew with each octet, and a header can be sent for ever.
        threading.Thread(target=work, name="asking", daemon=True).start()
        try:
            answer = answers.get(timeout=self._longest)
        except queue.Empty as problem:
            raise NoAnswer("did not answer in time") from problem
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _ask(self, method: str, path: str, document: Mapping[str, Any] | None, headers: Mapping[str, str]) -> Answered:
        body = None if document is None else json.dumps(document).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        try:
            response = self._http.request(
                method,
                self._url + path,
                body=body,
                headers={**self._headers, **kind, **headers},
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
            )
            try:
                octets = _read(response, time.monotonic() + self._longest)
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as problem:
            raise NoAnswer(_why(problem)) from problem
        return Answered(response.status, _object(octets))


def _read(response: urllib3.BaseHTTPResponse, until: float) -> bytes:
    octets = bytearray()
    while len(octets) <= LARGEST_ANSWER and (part := response.read1(65536)):
        octets += part
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(octets)


def plain(text: object) -> str:
    """A peer's text as it may be shown: one line, printable, not endless; "" for what is no text."""
    if not isinstance(text, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_MOST_TEXT]


def _object(octets: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(octets) if len(octets) <= LARGEST_ANSWER else None
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else None


def _why(problem: Exception) -> str:
    if isinstance(problem, urllib3.exceptions.SSLError | ssl.SSLError):
        return "could not be verified: it may not be what it says it is"
    if isinstance(problem, urllib3.exceptions.ProxyError):
        return "cannot be reached: the proxy does not let us through"
    if isinstance(problem, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError):
        return "cannot be reached"
    if isinstance(problem, urllib3.exceptions.TimeoutError | TimeoutError):
        return "did not answer in time"
    return "broke the connection off"

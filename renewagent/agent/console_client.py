"""The console's addresses for agents, as the agent asks them: JSON over TLS, by mutual authentication where we are
enrolled. For children; what an answer means for the queue and for the agent is `renewagent.agent.console_visit`.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import urllib3

from renewagent.agent.console_identity import Enrolled
from renewagent.campaign.download import retry_after
from renewagent.errors import AgentError, Retry
from renewagent.language import N_, _
from renewagent.proxies import HttpClient, tls_context

LARGEST_ANSWER = 1 << 20
"""Octets."""
PATIENCE = 15.0
"""Seconds for a connection, and for each answer to come on."""


class ConsoleError(AgentError):
    """The console cannot be reached, or does not answer as it should. `retry_after`: seconds, where it said so."""

    code = "RA-CONSOLE"
    retry = Retry.LATER
    advice = N_("You do not need to do anything: it is tried again.")

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotKnown(ConsoleError):
    """The console does not accept who we are, or the code by which we enrol."""

    code = "RA-CONSOLE-UNKNOWN"
    retry = Retry.NEVER
    advice = N_("Ask your IT support to check console.enrolment in renewagent's configuration.")


class ConsoleClient:
    """One console, for one process. `enrolled` is None before we are."""

    def __init__(self, url: str, root: Path | None, enrolled: Enrolled | None) -> None:
        self._url = url.rstrip("/")
        context = tls_context(root)
        if enrolled is not None:
            context.load_cert_chain(enrolled.certificate, enrolled.key)
        self._http = HttpClient(context, urllib3.Timeout(connect=PATIENCE, read=PATIENCE))

    def __enter__(self) -> ConsoleClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.clear()

    def enrol(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """POST /agents/v1/enrol. Raises ConsoleError; NotKnown where the code is not accepted."""
        return self._ask("POST", "/agents/v1/enrol", asked)

    def renew(self, request: str) -> dict[str, Any]:
        """POST /agents/v1/certificate."""
        return self._ask("POST", "/agents/v1/certificate", {"csr": request})

    def deliver(self, check_ins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """POST /agents/v1/check-ins."""
        return self._ask("POST", "/agents/v1/check-ins", {"check_ins": list(check_ins)})

    def orders(self) -> dict[str, Any]:
        """GET /agents/v1/orders."""
        return self._ask("GET", "/agents/v1/orders")

    @contextmanager
    def stream(self, patience: float) -> Iterator[urllib3.BaseHTTPResponse]:
        """GET /agents/v1/stream, not read yet. `patience`: seconds of silence after which it counts as broken."""
        with self._told():
            response = self._http.request(
                "GET",
                f"{self._url}/agents/v1/stream",
                headers={"Accept": "text/event-stream"},
                timeout=urllib3.Timeout(connect=PATIENCE, read=patience),
                preload_content=False,
                retries=False,
            )
            try:
                if response.status != 200:
                    raise _refused(response)
                yield response
            finally:
                response.close()

    def _ask(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = json.dumps(document).encode() if document is not None else None
        headers = {"Content-Type": "application/json"} if body is not None else {}
        with self._told():
            response = self._http.request(
                method, self._url + path, body=body, headers=headers, preload_content=False, retries=False
            )
            try:
                octets = response.read(LARGEST_ANSWER + 1)
            finally:
                response.close()
            if response.status // 100 != 2:
                raise _refused(response)
            return _object(octets)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (urllib3.exceptions.HTTPError, OSError) as problem:
            raise ConsoleError(_no_answer(problem)) from problem


def _object(octets: bytes) -> dict[str, Any]:
    try:
        found = json.loads(octets) if len(octets) <= LARGEST_ANSWER else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConsoleError(_("What answered is not the console: its answer makes no sense."))
    return found


def _refused(response: urllib3.BaseHTTPResponse) -> ConsoleError:
    if response.status in (401, 403):
        return NotKnown(_("The console does not accept this computer (HTTP {status}).").format(status=response.status))
    if response.status in (413, 429, 503):
        return ConsoleError(
            _("The console is busy (HTTP {status}).").format(status=response.status), retry_after(response.headers)
        )
    return ConsoleError(_("The console does not answer as it should (HTTP {status}).").format(status=response.status))


def _no_answer(problem: Exception) -> str:
    if isinstance(problem, urllib3.exceptions.SSLError | ssl.SSLError):
        return _("The console could not be verified, or did not accept our certificate.")
    if isinstance(problem, urllib3.exceptions.ProxyError):
        return _("The console cannot be reached: the proxy does not let us through.")
    if isinstance(problem, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError):
        return _("The console cannot be reached.")
    if isinstance(problem, urllib3.exceptions.TimeoutError | TimeoutError):
        return _("The console did not answer in time.")
    return _("The connection to the console broke off.")

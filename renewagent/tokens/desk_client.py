"""The EPCS desk of the console as a command asks it: JSON over TLS, under a session that lasts for one command.

For short-lived processes. The password goes to the desk alone, in one request, and is not kept; the session is signed
out when the command ends, however it ends. What the desk says is made safe for a terminal here, once for everybody.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from renewagent.errors import RenewAgentError
from renewagent.language import _
from renewagent.proxies import HttpClient, tls_context
from renewagent.tokens.errors import DeskRefused, DeskUnreachable, FormError

LARGEST_ANSWER = 4 << 20
"""Octets."""
CONNECTING, ANSWERING, SIGNING_OUT = 15.0, 90.0, 5.0
"""Seconds: the desk answers when the vendor or the EHR has."""
_LONGEST = 1 << 20
"""Characters of one text: the draft of an incident report quotes the audit log, and must not lose its end."""
_API = "/epcs/api"


class DeskClient:
    """One desk, for one command. `origin`: scheme, host and port; `root`: PEM of what its TLS certificate leads to,
    besides what the system trusts. No redirect is followed. `person`: who is signed in, as the desk has them."""

    def __init__(self, origin: str, root: Path | None) -> None:
        self.origin = origin
        self.person: Mapping[str, Any] = {}
        self._session = ""
        timeout = urllib3.Timeout(connect=CONNECTING, read=ANSWERING)
        self._http = HttpClient(tls_context(root), timeout)

    def __enter__(self) -> DeskClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        try:
            self.sign_out()
        finally:
            self._http.clear()

    def sign_in(self, user: str, password: str) -> Mapping[str, Any]:
        """With the EHR's user name and password; who that is. Raises DeskRefused, DeskUnreachable."""
        said = self._ask("POST", "/sign-in", {"user": user, "password": password})
        session, person = said.get("token"), said.get("person")
        if not (isinstance(session, str) and session.isascii() and session.isprintable() and isinstance(person, dict)):
            raise DeskUnreachable(_("What answers at {origin} is not the EPCS desk.").format(origin=self.origin))
        self._session, self.person = session, person
        return person

    def sign_out(self) -> None:
        """Never fails: a session that cannot be ended now ends by itself."""
        if not self._session:
            return
        try:
            self._ask("POST", "/sign-out", {}, patience=SIGNING_OUT)
        except RenewAgentError:
            pass
        self._session, self.person = "", {}

    def get(self, *path: str, **query: str | None) -> dict[str, Any]:
        """What stands at this address below the desk's; parts of `query` that are None are left out. Raises as
        `post`."""
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        return self._ask("GET", _address(path) + (f"?{asked}" if asked else ""))

    def post(self, *path: str, **document: Any) -> dict[str, Any]:
        """Have something done; members that are None are left out. Raises FormError for a field that cannot be so,
        DeskRefused with the desk's own words, DeskUnreachable."""
        return self._ask("POST", _address(path), {name: value for name, value in document.items() if value is not None})

    def _ask(
        self, method: str, path: str, document: Mapping[str, Any] | None = None, *, patience: float = ANSWERING
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json", "User-Agent": "renewagent"}
        if document is not None:
            headers["Content-Type"] = "application/json"
        if self._session:
            headers["Authorization"] = f"Bearer {self._session}"
        body = None if document is None else json.dumps(document).encode()
        address = self.origin + _API + path
        try:
            response = self._http.request(
                method,
                address,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=min(CONNECTING, patience), read=patience),
                preload_content=False,
                retries=False,
            )
            try:
                octets = response.read(LARGEST_ANSWER + 1)
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as problem:
            raise _no_answer(self.origin, problem) from problem
        return self._said(response.status, octets, response.headers.get("Retry-After", ""))

    def _said(self, status: int, octets: bytes, retry_after: str) -> dict[str, Any]:
        try:
            found = shown(json.loads(octets)) if len(octets) <= LARGEST_ANSWER else None
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and status // 100 == 2:
            return found
        if isinstance(found, dict) and isinstance(found.get("error"), str):
            raise _refusal(found)
        if status == 429:
            known = retry_after.isascii() and retry_after.isdecimal()
            wait = _("Try again in {seconds} seconds.") if known else _("Try again later.")
            raise DeskRefused(_("The EPCS desk was asked too often."), advice=wait.format(seconds=retry_after))
        raise DeskUnreachable(
            _("What answers at {origin} is not the EPCS desk, or is not well (HTTP {status}).").format(
                origin=self.origin, status=status
            ),
            advice=_("Check the address (desk.url, or --desk URL). If it is right, try again later."),
        )


def shown(value: Any) -> Any:
    """A document of a peer's, without what a terminal would take for a command: of texts what can be printed and their
    line breaks remain, up to a length."""
    if isinstance(value, str):
        return "".join(c for c in value if c.isprintable() or c == "\n")[:_LONGEST]
    if isinstance(value, dict):
        return {shown(name): shown(one) for name, one in value.items()}
    return [shown(one) for one in value] if isinstance(value, list) else value


def _refusal(said: Mapping[str, Any]) -> DeskRefused | FormError:
    message, advice, code, field = (said.get(name) for name in ("error", "advice", "code", "field"))
    advice = advice if isinstance(advice, str) else None
    if isinstance(field, str) and field:
        return FormError(str(message), field, advice=advice)
    refusal = DeskRefused(str(message), advice=advice)
    if isinstance(code, str) and code.startswith("RA-"):
        refusal.code = code
    return refusal


def _address(path: tuple[str, ...]) -> str:
    return "".join("/" + quote(part, safe="") for part in path)


def _no_answer(origin: str, problem: Exception) -> DeskUnreachable:
    if isinstance(problem, urllib3.exceptions.SSLError | ssl.SSLError):
        return DeskUnreachable(
            _("The EPCS desk at {origin} could not be verified: it may not be what it says it is.").format(
                origin=origin
            ),
            advice=_("Check the address, and the certificate that is trusted (desk.root, or --desk-root FILE)."),
        )
    late = isinstance(problem, urllib3.exceptions.TimeoutError | TimeoutError)
    if late and not isinstance(problem, urllib3.exceptions.NewConnectionError):
        return DeskUnreachable(_("The EPCS desk at {origin} did not answer in time.").format(origin=origin))
    return DeskUnreachable(
        _("The EPCS desk at {origin} cannot be reached.").format(origin=origin),
        advice=_("Check the network connection and the address (desk.url, or --desk URL), then try again."),
    )

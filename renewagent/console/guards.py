"""What stands before every address: the size of a request, and the clock and the log beside it.

Plain ASGI, without a task or a queue per request: thousands of held streams pass through here.
"""

from __future__ import annotations

import logging
from time import perf_counter

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from renewagent.console.site import Site

_LOG = logging.getLogger("renewagent.console.requests")
_QUIET = ("/healthz", "/metrics")


def allow(request: Request, octets: int) -> None:
    """Let this request's body be as large as this: called by an address that knows who asks, before it reads."""
    request.scope["state"]["most_octets"] = octets


class Bounded:
    """Refuses bodies of more than `most` octets with 413, whether they say so beforehand or not."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        state = scope.setdefault("state", {})
        state["most_octets"] = self._most
        said, read = _content_length(scope), 0

        async def bounded() -> Message:
            nonlocal read
            if said > state["most_octets"]:
                raise HTTPException(413)
            message = await receive()
            read += len(message.get("body", b""))
            if read > state["most_octets"]:
                raise HTTPException(413)
            return message

        await self._app(scope, bounded, send)


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


class Measured:
    """Takes the time until an answer begins, counts it, and logs one line per request."""

    def __init__(self, app: ASGIApp, listener: str, site: Site) -> None:
        self._app, self._listener = app, listener
        self._seconds = site.meters.requests
        self._logs = site.settings.log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun = perf_counter()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(scope, message["status"], perf_counter() - begun)
            await send(message)

        await self._app(scope, receive, noted)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        # The address as it is routed: what stands in its place may be a one-time link.
        address = getattr(scope.get("route"), "path", "-")
        self._seconds.labels(self._listener, address, str(status)).observe(seconds)
        if self._logs and address not in _QUIET:
            client = scope["client"][0] if scope.get("client") else "-"
            fields = {
                "listener": self._listener,
                "method": scope["method"],
                "address": address,
                "status": status,
                "ms": round(seconds * 1000, 1),
                "client": client,
            }
            _LOG.info("request", extra={"fields": fields})

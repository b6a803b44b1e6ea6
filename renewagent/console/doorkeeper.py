"""What holds for every answer of the people's listener: the host that was asked for, and the headers that tell browsers
what our pages may do: nothing but show our own styles and pictures, run our own script and send forms to us.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from renewagent.console.settings import Settings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # "no-referrer" would have browsers send forms with "Origin: null" (Fetch, 3.2), which we refuse; to others, nothing
    # is told either way.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_WITHOUT_NAME = "/healthz"
"""A balancer asks by address, and it says nothing of anybody."""


class Doorkeeper:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._host = settings.people.url.partition("://")[2].lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what asks for us."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                _dress(MutableHeaders(scope=message))
            await send(message)

        app = self._app if self._is_ours(scope) else _STRANGER
        await app(scope, receive, dressed)

    def _is_ours(self, scope: Scope) -> bool:
        asked = Headers(scope=scope).getlist("host")
        return scope["path"] == _WITHOUT_NAME or [host.lower() for host in asked] == [self._host]


def _dress(headers: MutableHeaders) -> None:
    for name, value in HEADERS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "no-store")


_STRANGER = PlainTextResponse("This server does not answer to that name.\n", 421)  # RFC 9110 15.5.20

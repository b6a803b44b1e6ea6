"""uvicorn's HTTP protocol with what it lacks: the client's certificate, and limits on how long and how large the head
of a request may be. (A client that sends a byte a minute would otherwise keep its connection for ever.)
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEAD = 32 * 1024
"""Octets of the request line and all headers."""
HEAD_WITHIN = 15.0
"""Seconds from the connection, or a request's first octet, to the end of its head."""
GOODBYE = 1.0
"""Seconds for whoever sent too much to read why it is refused."""
WHOLE_WITHIN = 600.0
"""Seconds to the end of its body: a large upload over a slow line."""


class Protocol(HttpToolsProtocol):
    """See the module. The certificate is DER in `scope["state"]["client_certificate"]`, or None there."""

    _deadline: asyncio.TimerHandle | None = None
    _head = 0
    _in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As asyncio has it."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        shown = tls.getpeercert(binary_form=True) if tls is not None else None
        self.app_state = {**self.app_state, "client_certificate": shown}
        self._within(HEAD_WITHIN)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio has it."""
        self._at_leisure()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As asyncio has it."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > LARGEST_HEAD and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")
                self._within(GOODBYE)  # TLS would listen to it for half a minute more

    def on_message_begin(self) -> None:
        """The first octet of a request."""
        super().on_message_begin()
        self._head, self._in_head = 0, True
        self._within(HEAD_WITHIN)

    def on_headers_complete(self) -> None:
        """The end of the head."""
        self._in_head = False
        self._within(WHOLE_WITHIN)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The end of the body."""
        self._at_leisure()
        super().on_message_complete()

    def _within(self, seconds: float) -> None:
        self._at_leisure()
        self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _at_leisure(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self.transport.abort()

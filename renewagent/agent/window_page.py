"""The page of a renewal: what `WindowPrompter` shows as HTML, a stream that says when it changes, and the buttons.

Everything is drawn here and works without scripts; `window_static/live.js` only fetches the page again when the stream
says so. Who may ask is `window_guard`'s business; nothing here reads a card, and no passcode ever comes here.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import cache
from importlib import resources
from socket import create_server
from typing import Any
from urllib.parse import parse_qs

import jinja2
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from renewagent import __version__
from renewagent.agent import window_states as states
from renewagent.agent.explained import NEEDS_UNLOCKING, unlocking
from renewagent.agent.window import WindowPrompter
from renewagent.agent.window_guard import ARRIVED, COOKIE, LOOPBACK, OPEN, Guard, Keys, is_own
from renewagent.agent.window_states import Shown, Stage, Verb
from renewagent.agent.words import contact_in_words
from renewagent.language import N_, _, ngettext, tag
from renewagent.rules import Contact

HEARTBEAT = 15.0
"""Seconds between signs of life on a stream, which also show that its reader has gone."""
HOLD = 20.0
"""Seconds for which a page without scripts is held back until there is something new."""
BODY_PATIENCE = 10.0
MOST_CONNECTIONS = 24
MOST_STREAMS = 6
_USED = N_("This address was good once. Go back to the page that is open already.")
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


class Page:
    """The ASGI application for one prompter, and what is known of whoever looks at it."""

    def __init__(self, prompter: WindowPrompter, contact: Contact, keys: Keys) -> None:
        self._prompter, self._contact, self._keys = prompter, contact, keys
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._streams = 0
        self._last_look: float | None = None
        self.seen = -1
        """The number of the latest state that a browser has been given."""
        self.closing = False
        prompter.on_change(self._changed)

    @property
    def looked_at(self) -> bool:
        """A browser has been here."""
        return self._last_look is not None

    def alone_for(self, now: float) -> float:
        """Seconds, by the monotonic clock, since anybody was here; 0 while somebody listens."""
        return 0.0 if self._streams or self._last_look is None else now - self._last_look

    def application(self, port: int) -> Guard:
        """To be served at this port of the loopback address."""
        routes = [
            Route(OPEN, self._open, methods=["GET"]),
            Route(ARRIVED, self._arrived, methods=["GET"]),
            Route("/", self._page, methods=["GET"]),
            Route("/live", self._live, methods=["GET"]),
            Route("/pressed", self._pressed, methods=["POST"]),
            Route("/static/{name}", _static, methods=["GET"]),
        ]
        return Guard(Starlette(routes=routes), self._keys, port)

    def close(self) -> None:
        """End the streams; from any thread."""
        self.closing = True
        self._changed()

    def _changed(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there any more
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _open(self, request: Request) -> Response:
        """The one-time token becomes a cookie, and leaves the address."""
        cookie = self._keys.exchange(request.query_params.get("token", ""))
        if cookie is None:
            return PlainTextResponse(f"{_(_USED)}\n", 403)
        response = RedirectResponse(ARRIVED, 303)
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", path="/")
        return response

    async def _arrived(self, request: Request) -> Response:
        """Nothing but the way to the page: a browser that another site (a file, here) sent along brings no Strict
        cookie until it asks of its own (RFC 6265bis, 5.2)."""
        return _drawn("arrived.html", {})

    async def _page(self, request: Request) -> Response:
        self._loop = asyncio.get_running_loop()
        self._last_look = time.monotonic()
        with self._somebody_there():
            await self._held(request.query_params.get("after", ""))
        shown = self._prompter.shown()
        self.seen = max(self.seen, shown.number)
        return page_of(shown, self._contact, self._keys.form)

    async def _held(self, after: str) -> None:
        """Where a page without scripts asks for what comes after a state: until that is there, or for a while."""
        end = time.monotonic() + HOLD
        while after == str(self._prompter.shown().number) and not self.closing and (left := end - time.monotonic()) > 0:
            await self._something_new(left)

    async def _something_new(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def _live(self, request: Request) -> Response:
        self._loop = asyncio.get_running_loop()
        if self._streams >= MOST_STREAMS:
            raise HTTPException(503)
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    @contextlib.contextmanager
    def _somebody_there(self) -> Iterator[None]:
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1
            self._last_look = time.monotonic()

    async def _stream(self) -> AsyncIterator[bytes]:
        told = -1
        with self._somebody_there():
            while not self.closing:
                number = self._prompter.shown().number
                yield b"event: state\ndata: %d\n\n" % number if number != told else b": still here\n\n"
                told = number
                if self._prompter.shown().number == told:
                    await self._something_new(HEARTBEAT)

    async def _pressed(self, request: Request) -> Response:
        """A button. Whatever came of it, the browser is sent to the page as it is then."""
        self._last_look = time.monotonic()
        form = await _form(request)
        if not self._keys.of_form(form.get("form", "")):
            raise HTTPException(403)
        with contextlib.suppress(ValueError):
            self._prompter.pressed(Verb(form.get("verb", "")), int(form.get("number", "-1")))
        return RedirectResponse("/", 303)


async def _form(request: Request) -> Mapping[str, str]:
    try:
        async with asyncio.timeout(BODY_PATIENCE):
            body = await request.body()
    except TimeoutError:
        raise HTTPException(408) from None
    found = parse_qs(body.decode("ascii", "replace"), max_num_fields=8)
    return {name: values[0] for name, values in found.items()}


def page_of(shown: Shown, contact: Contact, form: str) -> Response:
    """The page at this moment; `form` is the secret in its form."""
    context = {
        "shown": shown,
        "stages": list(Stage),
        "at": list(Stage).index(shown.stage),
        "tone": shown.tone.name.lower(),
        "contact": contact_in_words(contact),
        "lasting": states.LASTING,
        "details": states.details(shown, __version__),
        "for_others": states.for_others(shown),
        "unlocking": unlocking() if shown.message.code in NEEDS_UNLOCKING else (),
        "form": form,
    }
    return _drawn("window.html", context)


def _drawn(template: str, context: Mapping[str, Any]) -> Response:
    return HTMLResponse(_environment().get_template(template).render(context))


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _files():
        raise HTTPException(404)
    return Response(_files()[name], media_type=_TYPES[name.rpartition(".")[2]])


@cache
def _files() -> Mapping[str, bytes]:
    folder = resources.files("renewagent.agent") / "window_static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES}


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("renewagent.agent", "window_templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update({"_": _, "ngettext": ngettext, "language": tag})
    return environment


class OwnConnections(H11Protocol):
    """HTTP for this user alone: another one's connection is dropped before anything of it is read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask the kernel who that is."""
        if is_own(transport.get_extra_info("socket")):
            super().connection_made(transport)
        else:
            self.transport = transport
            transport.abort()


@contextlib.contextmanager
def serving(page: Page, keys: Keys) -> Iterator[str]:
    """Serve the page on a free port while this lasts. Gives the address that opens it, with the token in it: it goes
    into no log and on no command line. Raises OSError."""
    listening = create_server((LOOPBACK, 0))
    port = listening.getsockname()[1]
    server = uvicorn.Server(_config(page.application(port)))
    thread = threading.Thread(target=server.run, args=([listening],), name="window", daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{port}{OPEN}?token={keys.token}"
    finally:
        page.close()
        server.should_exit = True
        thread.join(10)
        listening.close()


def _config(application: Guard) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=OwnConnections,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,  # whoever sends X-Forwarded-For is no proxy of ours
        server_header=False,
        date_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=16 * 1024,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
    )

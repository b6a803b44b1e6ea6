"""Who waits for news, and how it reaches them: server-sent events, thousands at once.

One task per server process reads the `REVISION` numbers every half second (`News.watch`, run by the server), so news
travels from any process to all. A held stream costs one sleeping task: it has no thread, no timer and no queue of its
own, and what is written to it is written by a task that lives for one write.

An address that streams answers with `news.stream(...)`, and that is all it does:

    async def stream(request: Request) -> Response:
        return site.news.stream({"campaigns", "orders"}, lambda changed: event("look-again"))

`raise_revision(connection, "campaigns")`, inside whatever transaction changes something, is the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping

import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from renewagent.console.store import Store
from renewagent.console.tables import REVISION

Told = Callable[[frozenset[str]], bytes]
"""From the names of what changed to the octets for the stream (`event`); b"" says nothing."""

EVERY = 0.5
"""Seconds between two looks at the numbers."""
_SLOTS = 50
"""A stream hears a heartbeat once in so many looks: each 25 s, and not all in the same moment."""
_HEARTBEAT = b": \n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # a proxy in front is not to keep it back
]
_LOG = logging.getLogger(__name__)


def event(name: str, data: str = "") -> bytes:
    """One server-sent event. `data` may have several lines."""
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {name}\n{lines}\n".encode()


class News:
    """One per server process. `most`: streams held at once; one more is told to come back later (503)."""

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._slots: tuple[set[Stream], ...] = tuple(set() for _ in range(_SLOTS))
        self._turn = 0
        self._writing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def held(self) -> int:
        """How many streams are held."""
        return sum(map(len, self._slots))

    def stream(self, names: Iterable[str], told: Told, *, lasts: float = 3600.0) -> Response:
        """The answer that streams news of these names until the client goes, `lasts` seconds have gone by (a browser
        and the agent then come back, and are looked at anew), or the server ends. Raises HTTPException 503 if too
        many are held."""
        if self._closed or self.held >= self._most:
            raise HTTPException(503, "Too many listen here already. Try again later.", {"Retry-After": "60"})
        return Stream(self, frozenset(names), told, lasts)

    async def watch(self, store: Store) -> None:
        """Look for news until cancelled. A database in trouble is told of once; what it held back comes later."""
        seen, well = None, True
        while True:
            try:
                now = await store.read(_numbers)
            except sa.exc.SQLAlchemyError as problem:
                if well:
                    _LOG.error("the news cannot be read: the database does not answer", exc_info=problem)
                well = False
            else:
                if seen is not None:
                    self.tell(changed(seen, now))
                seen, well = now, True
            self._beat()
            await asyncio.sleep(EVERY)

    def tell(self, names: frozenset[str]) -> None:
        """Let every stream that listens for one of these know."""
        if names:
            for slot in self._slots:
                for stream in slot:
                    stream.hear(names)

    async def close(self) -> None:
        """End every stream; further ones are refused."""
        self._closed = True
        for slot in self._slots:
            for stream in tuple(slot):
                stream.finish()
        while self._writing:
            await asyncio.wait(tuple(self._writing), timeout=1.0)
            for slow in tuple(self._writing):  # a client that reads nothing keeps nobody waiting
                slow.cancel()

    def join(self, stream: Stream) -> None:
        """It is held from now on."""
        self._slots[(self._turn - 1) % _SLOTS].add(stream)

    def leave(self, stream: Stream) -> None:
        """It is over."""
        for slot in self._slots:
            slot.discard(stream)

    def run(self, stream: Stream) -> None:
        """Have what waits for the stream written."""
        task = asyncio.get_running_loop().create_task(stream.write())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    def _beat(self) -> None:
        now = asyncio.get_running_loop().time()
        for stream in self._slots[self._turn % _SLOTS]:
            stream.beat(now)
        self._turn += 1


class Stream(Response):
    """A held answer: see `News.stream`."""

    def __init__(self, news: News, names: frozenset[str], told: Told, lasts: float) -> None:
        self.status_code, self.background = 200, None
        self.raw_headers = list(_HEADERS)
        self._news, self._names, self._told = news, names, told
        self._lasts, self._until = lasts, 0.0
        self._heard: frozenset[str] = frozenset()
        self._beats = self._over = self._busy = False
        self._send: Send

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send = send
        self._until = asyncio.get_running_loop().time() + self._lasts
        self._busy = True  # until the head is out
        self._news.join(self)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": _HEARTBEAT, "more_body": True})
            self._busy = False
            self._go_on()
            while (await receive())["type"] != "http.disconnect":  # also after the last part has been written
                pass
        finally:
            self._news.leave(self)

    def hear(self, names: frozenset[str]) -> None:
        """Something changed."""
        if concerning := names & self._names:
            self._heard |= concerning
            self._go_on()

    def beat(self, now: float) -> None:
        """Say that we are still there, or that it has lasted long enough."""
        self._beats = True
        self._over = self._over or now >= self._until
        self._go_on()

    def finish(self) -> None:
        """Write the end."""
        self._over = True
        self._go_on()

    def _go_on(self) -> None:
        if not self._busy and (self._heard or self._beats or self._over):
            self._busy = True
            self._news.run(self)

    async def write(self) -> None:
        """Everything that waits, in one part. What comes while a slow client reads it is put together for the next."""
        heard, beats, over = self._heard, self._beats, self._over
        self._heard, self._beats = frozenset(), False
        octets = (self._told(heard) if heard else b"") or (_HEARTBEAT if beats else b"")
        with contextlib.suppress(OSError):  # it went away: `receive` says so, too
            if octets or over:
                await self._send({"type": "http.response.body", "body": octets, "more_body": not over})
        self._busy = over
        self._go_on()


def changed(before: Mapping[str, int], now: Mapping[str, int]) -> frozenset[str]:
    """The names whose number is another one."""
    return frozenset(name for name, number in now.items() if before.get(name) != number)


def _numbers(connection: sa.Connection) -> dict[str, int]:
    return {row.name: row.number for row in connection.execute(sa.select(REVISION))}

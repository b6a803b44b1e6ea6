"""What `renewagent console serve` does: one process, one event loop, a listener for agents and one for people (and one
for the operator's own programs where it is configured). Several such processes may share one PostgreSQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import ssl
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from renewagent.console import sockets, tls
from renewagent.console.agents_ca import agents_ca
from renewagent.console.app import agents_app, operations_app, people_app
from renewagent.console.epcs import scheduler
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.opening import open_desk
from renewagent.console.opening import make_folder, open_store
from renewagent.console.protocol import Protocol
from renewagent.console.retention import forget
from renewagent.console.serving import serving
from renewagent.console.settings import Settings
from renewagent.console.site import Site

_BACKLOG = 2048
_FINISH_WITHIN = 10
_LOOK_EVERY = 30.0
_FORGET_EVERY = 3600.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Facts:
    """Where it serves. `certificate`: the file of a self-signed one, for whoever is to trust it; else ""."""

    agents: str
    people: str
    operations: str
    certificate: str


@dataclass(frozen=True, slots=True)
class _Place:
    socket: sockets.Socket
    app: ASGIApp
    context: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class _Chore:
    every: float
    do: Callable[[], None]


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[sockets.Socket] | None = None) -> None:
        """As uvicorn's, with limits on how long TLS may take to begin and to end."""
        loop, config = asyncio.get_running_loop(), self.config
        begin, end = (15.0, 2.0) if config.ssl else (None, None)
        self.servers = [
            await loop.create_server(
                self._protocol,
                sock=place,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=begin,
                ssl_shutdown_timeout=end,
            )
            for place in sockets or ()
        ]
        self.started = True

    def _protocol(self) -> asyncio.Protocol:
        return Protocol(self.config, self.server_state, app_state={})

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for all servers of the process, and not this one's."""
        yield


def serve(settings: Settings, ready: Callable[[Facts], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way; `ready` is called once connections are accepted.
    Raises RenewAgentError where it cannot begin."""
    most = sockets.allow_many()
    with contextlib.ExitStack() as stack:
        bound = stack.enter_context(sockets.bound(settings))
        make_folder(settings)
        stack.enter_context(serving(settings.data))
        store = stack.enter_context(contextlib.closing(open_store(bound.settings)))
        site = Site(bound.settings, store, lambda: datetime.now(UTC), secrets.token_bytes)
        desk = stack.enter_context(open_desk(site))
        places, chores = _places(site, bound, desk)
        servers = [_Server(_config(place, most)) for place in places]
        runner = stack.enter_context(asyncio.Runner(loop_factory=_loop_factory()))
        runner.run(_run(site, servers, [place.socket for place in places], chores, lambda: ready(_facts(site, bound))))


def _places(site: Site, bound: sockets.Bound, desk: Desk | None) -> tuple[list[_Place], list[_Chore]]:
    own = tls.pair(site.settings, site.now())
    if tls.is_self_signed(site.settings):
        _LOG.warning("no TLS certificate is configured", extra={"fields": {"instead": own.certificate}})
    authority = site.store.writing(lambda connection: agents_ca(connection, site.now()))
    for_agents, for_people = tls.server_context(own, authority.pem), tls.server_context(own, None)
    places = [
        _Place(bound.agents, agents_app(site), for_agents),
        _Place(bound.people, people_app(site, desk), for_people),
    ]
    if bound.operations is not None:
        places.append(_Place(bound.operations, operations_app(site), None))
    return places, [
        _Chore(_LOOK_EVERY, tls.Reloader(own, (for_agents, for_people)).look),
        _Chore(_FORGET_EVERY, lambda: forget(site.store, site.settings, site.now())),
        *(_desk_chores(desk) if desk is not None else ()),
    ]


def _desk_chores(desk: Desk) -> list[_Chore]:
    every = desk.settings.look_every
    looks = (scheduler.look_first, scheduler.look_at_vendor, scheduler.look_at_rest)
    return [_Chore(every, partial(look, desk)) for look in looks]


def _config(place: _Place, most: int) -> uvicorn.Config:
    config = uvicorn.Config(
        place.app,
        http=Protocol,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who asks is who connected; a single-sign-on proxy proves itself
        backlog=_BACKLOG,
        limit_concurrency=most,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=_FINISH_WITHIN,
    )
    config.load()
    config.ssl = place.context
    return config


def _facts(site: Site, bound: sockets.Bound) -> Facts:
    settings = site.settings
    operations = f"http://{sockets.shown(bound.operations)}" if bound.operations is not None else ""
    certificate = str(tls.pair(settings, site.now()).certificate) if tls.is_self_signed(settings) else ""
    return Facts(settings.agents.url, settings.people.url, operations, certificate)


async def _run(
    site: Site,
    servers: Sequence[_Server],
    places: Sequence[sockets.Socket],
    chores: Sequence[_Chore],
    ready: Callable[[], None],
) -> None:
    told = _until_told(servers)
    async with _beside(site.news.watch(site.store), *map(_repeat, chores)):
        serving = [asyncio.create_task(server.serve([place])) for server, place in zip(servers, places, strict=True)]
        while not all(server.started for server in servers) and not any(task.done() for task in serving):
            await asyncio.sleep(0.005)
        ready()
        _LOG.info("serving")
        waiting = asyncio.create_task(told.wait())
        await asyncio.wait((waiting, *serving), return_when=asyncio.FIRST_COMPLETED)
        _LOG.info("ending: what is under way is finished")
        waiting.cancel()
        for server in servers:
            server.should_exit = True
        await site.news.close()
        await asyncio.gather(*serving)


def _until_told(servers: Sequence[_Server]) -> asyncio.Event:
    """Set by SIGTERM and SIGINT; a second one waits for nobody."""
    told, loop = asyncio.Event(), asyncio.get_running_loop()

    def tell() -> None:
        for server in servers:
            server.force_exit = told.is_set()
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(tell))
    return told


@contextlib.asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> Any:
    """Have it run while this context lasts."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(chore: _Chore) -> None:
    while True:
        try:
            await asyncio.to_thread(chore.do)
        except Exception:  # it is done again all the same
            _LOG.exception("a chore was not done")
        await asyncio.sleep(chore.every)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop

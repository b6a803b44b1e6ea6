"""The sockets that the console listens on, bound before anything else is made, so that their ports are known."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from renewagent.console.settings import Listener, Settings
from renewagent.errors import RenewAgentError

Socket = socket.socket
_GONE_AFTER = 60_000
"""Milliseconds without any sign of life after which the other end of a connection has gone."""
_WANTED_FILES = 65_536
_OTHER_FILES = 256


@dataclass(frozen=True, slots=True)
class Bound:
    """`settings` with the addresses that were left to what was bound."""

    settings: Settings
    agents: Socket
    people: Socket
    operations: Socket | None


@contextlib.contextmanager
def bound(settings: Settings) -> Iterator[Bound]:
    """Bind what the settings name. Raises RenewAgentError."""
    with contextlib.ExitStack() as stack:
        agents = stack.enter_context(_bind(settings.agents.host, settings.agents.port, "agents"))
        people = stack.enter_context(_bind(settings.people.host, settings.people.port, "people"))
        operations = None
        if (place := settings.operations) is not None:
            operations = stack.enter_context(_bind(place.host, place.port, "operations"))
        known = replace(settings, agents=_known(settings.agents, agents), people=_known(settings.people, people))
        yield Bound(known, agents, people, operations)


def shown(listener: Socket) -> str:
    """Host and port, as in an address."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def allow_many() -> int:
    """Let this process have as many open files as it may; how many connections that makes."""
    if sys.platform == "win32":
        return 8_000
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max(64, min(soft, _WANTED_FILES) - _OTHER_FILES)


def _bind(host: str, port: int, section: str) -> Socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":  # what is accepted takes these over
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_AFTER)
        listener.bind((host, port))
    except OSError as problem:
        listener.close()
        raise RenewAgentError(
            f"The console cannot listen on {host} port {port}: {problem.strerror or problem}.",
            advice=f"Choose another {section}.host or {section}.port, or end the program that uses this one.",
        ) from problem
    return listener


def _known(listener: Listener, bound_to: Socket) -> Listener:
    return listener if listener.url else replace(listener, url=f"https://{shown(bound_to)}")

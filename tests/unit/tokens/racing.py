"""Server processes of a test, which all do the same to one token at the same moments."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from datetime import datetime
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from renewagent.tokens.errors import UnknownToken
from renewagent.tokens.sealing import read_keys
from renewagent.tokens.store import TokenStore

LIMIT = 60.0
Deed = tuple[str, ...]
"""What is asked of `TokenStore`: a method with serial and codes."""


def race(url: str, keys: Path, deeds: Sequence[Deed], now: datetime, *, processes: int = 2) -> list[tuple[str, ...]]:
    """For each deed what every process was answered, in no order. All begin each deed
    together, and open the database together before that."""
    context = multiprocessing.get_context("spawn")
    barrier, told = context.Barrier(processes), context.Queue()
    servers = [context.Process(target=_serve, args=(url, keys, deeds, now, barrier, told)) for _ in range(processes)]
    for server in servers:
        server.start()
    answers = [told.get(timeout=LIMIT) for _ in servers]
    for server in servers:
        server.join(LIMIT)
        assert server.exitcode == 0
    told.close()
    return list(zip(*answers, strict=True))


def _serve(
    url: str, keys: Path, deeds: Sequence[Deed], now: datetime, barrier: Barrier, told: Queue[list[str]]
) -> None:
    held = read_keys(keys)
    barrier.wait(LIMIT)
    store = TokenStore(url, held)
    answers = []
    for method, *words in deeds:
        barrier.wait(LIMIT)
        try:
            answers.append(getattr(store, method)(*words, now).answer.value)
        except UnknownToken:
            answers.append("unknown")
    told.put(answers)
    store.close()

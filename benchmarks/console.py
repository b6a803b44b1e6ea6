"""What the console carries: check-ins a second, ten thousand workstations in one poll interval, thousands of streams.

Servers are `renewagent console serve`, the load comes from other processes, over real mutual TLS and in the real wire
format; every acknowledged check-in is looked for in the database afterwards.

    python benchmarks/console.py rate    [--seconds N] [--connections N]
    python benchmarks/console.py poll    [--stations N] [--interval SECONDS]
    python benchmarks/console.py streams [--streams N]

`rate`: check-ins one by one over held connections, to one process on SQLite, then to two on PostgreSQL, one of which is
killed half-way. `poll`: each workstation once, by a connection of its own: is there a newer campaign, and a report.
`streams`: held ones, and how soon "look again" reaches the last.

Without a name all three. Prints one JSON document; where others work on the machine too, read `cpu` and `load` with it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import os
import random
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from renewagent.console.agents_ca import CertificateRequest, agents_ca  # noqa: E402
from renewagent.console.store import Store, raise_revision  # noqa: E402
from renewagent.console.tables import AGENT, CAMPAIGN, CHECK_IN, STANDING  # noqa: E402
from tests import postgresql  # noqa: E402
from tests.consoles import Console, console  # noqa: E402
from tests.flows.stations import CAMPAIGN as LABEL  # noqa: E402
from tests.flows.stations import claim  # noqa: E402

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
Answer = tuple[int, dict[bytes, bytes], bytes]


# --- The load: roles of processes of their own, each given a JSON document and printing one


class Line:
    """One connection to a listener."""

    def __init__(self, context: ssl.SSLContext, address: str) -> None:
        parts = urlsplit(address)
        self._host, self._port, self._context = str(parts.hostname), parts.port, context
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        """Connect, shake hands."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, ssl=self._context)

    async def ask(self, method: str, path: str, body: bytes = b"", more: str = "") -> Answer:
        """One request and its answer."""
        assert self._writer is not None
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        status, headers = await self.head()
        return status, headers, await self._reader.readexactly(int(headers.get(b"content-length", b"0")))

    async def head(self) -> tuple[int, dict[bytes, bytes]]:
        """Status and headers of the next answer."""
        lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        return int(lines[0].split()[1]), {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:-2])
        }

    async def listen(self, path: str) -> asyncio.StreamReader:
        """Begin a stream."""
        assert self._writer is not None
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode())
        status, _ = await self.head()
        assert status == 200, status
        return self._reader

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.transport.abort()


def context(trusts: str, certificate: str) -> ssl.SSLContext:
    """One workstation's."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(trusts)
    made.load_cert_chain(certificate)
    return made


def delivery(card: int, number: int, state: str) -> tuple[str, bytes]:
    """A check-in's id, and the delivery of it."""
    check_in = claim(card, number, state)
    return check_in.id, json.dumps({"check_ins": [check_in.to_json()]}).encode()


async def rate(told: dict[str, Any]) -> dict[str, Any]:
    """Each connection delivers one check-in after the other; where a server goes, the same ones go to the next."""
    sent: list[str] = []
    accepted: list[str] = []
    seconds: list[float] = []
    again = 0
    ends = time.monotonic() + told["seconds"]

    async def workstation(number: int) -> None:
        nonlocal again
        shown = context(told["trusts"], told["certificates"][number % len(told["certificates"])])
        addresses = itertools.cycle(told["addresses"][number % len(told["addresses"]) :] + told["addresses"])
        line = None
        for n in itertools.count():
            if time.monotonic() > ends:
                break
            name, body = delivery(told["first"] + number, n, ("affected", "told", "put-off")[n % 3])
            sent.append(name)
            while True:
                begun = time.perf_counter()
                try:
                    if line is None:
                        line = Line(shown, next(addresses))
                        await asyncio.wait_for(line.open(), 5)
                    status, _, answer = await asyncio.wait_for(line.ask("POST", "/agents/v1/check-ins", body), 30)
                    if status == 200:
                        break
                    await asyncio.sleep(0.2)
                except (TimeoutError, OSError, ssl.SSLError, asyncio.IncompleteReadError):
                    if line is not None:
                        line.close()
                    line, again = None, again + 1
                    await asyncio.sleep(0.05)
            seconds.append(time.perf_counter() - begun)
            accepted.extend(json.loads(answer)["accepted"])
        if line is not None:
            line.close()

    begun = time.monotonic()
    await asyncio.gather(*(workstation(n) for n in range(told["connections"])))
    took = time.monotonic() - begun
    return {"sent": sent, "accepted": accepted, "seconds": seconds, "again": again, "took": took}


async def poll(told: dict[str, Any]) -> dict[str, Any]:
    """Each workstation once, at a moment of its own within the interval: is there a newer campaign? and a report."""
    contexts = [context(told["trusts"], file) for file in told["certificates"]]
    begin, cpu = time.monotonic() + 1, time.process_time()
    seconds: list[float] = []
    ended: list[float] = []
    failed = 0
    chance = random.Random(told["first"])  # noqa: S311
    etag = f'If-None-Match: "{told["etag"]}"\r\n'

    async def workstation(number: int, at: float) -> None:
        nonlocal failed
        await asyncio.sleep(max(0.0, begin + at - time.monotonic()))
        begun = time.perf_counter()
        line = Line(contexts[number], told["address"])
        try:
            await line.open()
            status, _, _ = await line.ask("GET", told["campaign"], more=etag)
            assert status == 304, status
            _, body = delivery(told["first"] + number, 0, "affected")
            status, _, answer = await line.ask("POST", "/agents/v1/check-ins", body)
            assert status == 200 and len(json.loads(answer)["accepted"]) == 1, (status, answer)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, AssertionError) as problem:
            failed += 1
            print(repr(problem), file=sys.stderr)
        finally:
            line.close()
        seconds.append(time.perf_counter() - begun)
        ended.append(time.monotonic() - begin)

    # The last few seconds are left for those who come last to be answered in.
    places = [chance.uniform(0, told["interval"] * 0.95) for _ in told["certificates"]]
    await asyncio.gather(*(workstation(n, at) for n, at in enumerate(places)))
    cpu = time.process_time() - cpu
    return {"seconds": seconds, "ended": max(ended), "failed": failed, "cpu": cpu}


async def streams(told: dict[str, Any]) -> dict[str, Any]:
    """Hold streams; say when all are there, then when each has heard."""
    shown = context(told["trusts"], told["certificates"][0])
    gate = asyncio.Semaphore(50)
    lines = []

    async def begin() -> asyncio.StreamReader:
        async with gate:
            line = Line(shown, told["address"])
            lines.append(line)
            await line.open()
            return await line.listen("/agents/v1/stream")

    async def heard(reader: asyncio.StreamReader) -> float:
        while b"look-again" not in await reader.readline():
            pass
        return time.monotonic()

    readers = await asyncio.gather(*(begin() for _ in range(told["streams"])))
    hearing = [asyncio.create_task(heard(reader)) for reader in readers]
    print("ready", flush=True)
    moments = await asyncio.wait_for(asyncio.gather(*hearing), 60)
    for line in lines:
        line.close()
    return {"moments": moments}


ROLES: dict[str, Callable[[dict[str, Any]], Any]] = {"rate": rate, "poll": poll, "streams": streams}


def act(role: str) -> None:
    """Be a part of the load."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    told = json.loads(sys.stdin.readline())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(ROLES[role](told))), flush=True)


def actor(role: str, told: dict[str, Any]) -> subprocess.Popen[str]:
    """A process that plays a role."""
    command = [sys.executable, __file__, "--role", role]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(told) + "\n")
    process.stdin.flush()
    return process


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it found."""
    assert process.stdout is not None
    line = process.stdout.readline()
    with process:
        process.communicate()
    found: dict[str, Any] = json.loads(line)
    return found


# --- The measurements


def known_agents(store: Store, folder: Path, count: int) -> list[str]:
    """So many agents that have enrolled, without the wait; the files of their certificates."""
    now = datetime.now(UTC)
    ca = store.writing(lambda connection: agents_ca(connection, now))
    rows, files = [], []
    for number in range(count):
        key = ec.generate_private_key(ec.SECP256R1())
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        name = hashlib.sha256(spki).hexdigest()[:32]
        pem = ca.issue(name, CertificateRequest(key.public_key()), now).public_bytes(Encoding.PEM)
        file = folder / f"{number}.pem"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem)
        files.append(str(file))
        rows.append({"id": name, "organisation": f"RX{number % 50}", "enrolled": now})
    store.writing(lambda connection: connection.execute(sa.insert(AGENT), rows))
    return files


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Where the middle and the ends are."""
    cuts = quantiles(seconds, n=100)
    return {name: round(at * 1000, 1) for name, at in (("p50", cuts[49]), ("p99", cuts[98]), ("max", max(seconds)))}


def cpu_of(process: int) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_of(process: int) -> int:
    """Octets that are its own."""
    rollup = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Private_"))


@contextmanager
def site(folder: Path, database: str = "", processes: int = 1) -> Iterator[tuple[list[Console], Store]]:
    """Servers that run, and their database."""
    folder.mkdir()
    setting = f'database = "{database}"\nlog_requests = false' if database else "log_requests = false"
    with ExitStack() as stack:
        consoles = [stack.enter_context(console(folder, console=setting, name=f"console{n}")) for n in range(processes)]
        store = Store(database or f"sqlite:///{folder}/data/console.db")
        stack.callback(store.close)
        yield consoles, store


def measure_rate(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Both kinds of database."""
    with site(folder / "sqlite") as (consoles, store):
        embedded = one_rate(consoles, store, folder / "sqlite", options, kill=False)
    with postgresql.server(durable=True) as address, site(folder / "postgresql", address, 2) as (consoles, store):
        served = one_rate(consoles, store, folder / "postgresql", options, kill=False)
        killed = one_rate(consoles, store, folder / "postgresql", options, kill=True)
    return {"sqlite": embedded, "postgresql, two processes": served, "postgresql, one of two killed": killed}


def one_rate(
    consoles: list[Console], store: Store, folder: Path, options: argparse.Namespace, *, kill: bool
) -> dict[str, Any]:
    """So many seconds of load, and a look into the database."""
    place = folder / f"agents{'-kill' if kill else ''}"
    place.mkdir()
    told = {
        "trusts": str(consoles[0].certificate),
        "certificates": known_agents(store, place, options.connections),
        "addresses": [one.agents for one in consoles],
        "connections": options.connections,
        "seconds": options.seconds,
        "first": 500_000 if kill else 0,
    }
    before = sum(cpu_of(one.process.pid) for one in consoles)
    load = actor("rate", told)
    if kill:
        time.sleep(options.seconds / 2)
        before = 0.0
        consoles[0].process.kill()
    found = result(load)
    cpu = 0.0 if kill else sum(cpu_of(one.process.pid) for one in consoles) - before
    with store.engine.connect() as connection:
        mine = CHECK_IN.c.card >= f"serial:{told['first']:08x}"
        stored = list(connection.execute(sa.select(CHECK_IN.c.id).where(mine)).scalars())
    accepted = found["accepted"]
    return {
        "check_ins_per_second": round(len(accepted) / found["took"]),
        **milliseconds(found["seconds"]),
        "connections": options.connections,
        "accepted": len(accepted),
        "lost": len(set(accepted) - set(stored)),
        "stored_twice": len(stored) - len(set(stored)),
        "brought_again_after_the_kill": found["again"],
        "server_cpu_ms_per_check_in": round(cpu / len(accepted) * 1000, 2) if cpu else None,
    }


def measure_poll(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Every workstation once within the interval, SQLite, one server process."""
    with site(folder / "poll") as (consoles, store):
        (one,) = consoles
        place = folder / "poll-agents"
        place.mkdir()
        files = known_agents(store, place, options.stations)
        etag = publish(store)
        shared = {"trusts": str(one.certificate), "address": one.agents, "etag": etag, "interval": options.interval}
        shared |= {"campaign": f"/campaigns/{LABEL.partition('/')[0]}.campaign"}
        before = cpu_of(one.process.pid)
        load = actor("poll", {**shared, "certificates": files, "first": 0})
        found = result(load)
        with store.engine.connect() as connection:
            reported = connection.execute(sa.select(sa.func.count()).select_from(STANDING)).scalar_one()
            seen = sa.select(sa.func.count()).select_from(AGENT).where(AGENT.c.last_seen.is_not(None))
            asked = connection.execute(seen).scalar_one()
        cpu = cpu_of(one.process.pid) - before
    return {
        "workstations": options.stations,
        "interval_s": options.interval,
        "last_answered_after_s": round(found["ended"], 1),
        "polled": asked,
        "reported": reported,
        "failed": found["failed"],
        **milliseconds(found["seconds"]),
        "server_cpu_s": round(cpu, 1),
        "server_cpu_ms_per_workstation": round(cpu / options.stations * 1000, 2),
        "load_cpu_s": round(found["cpu"], 1),
    }


def publish(store: Store) -> str:
    """A campaign that agents ask for; its ETag. Nobody here verifies it."""
    now, signed = datetime.now(UTC), os.urandom(4000)
    digest = hashlib.sha256(signed).hexdigest()
    row = {"id": LABEL.partition("/")[0], "version": 1, "signed": signed, "document": b"", "sha256": digest}
    times = {"published": now, "expires": now, "received": now}
    store.writing(lambda connection: connection.execute(sa.insert(CAMPAIGN).values(**row, **times)))
    return digest


def measure_streams(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """How long until the last one hears, and what each costs the server."""
    with site(folder / "streams") as (consoles, store):
        (one,) = consoles
        place = folder / "stream-agents"
        place.mkdir()
        files = known_agents(store, place, 1)
        told = {"trusts": str(one.certificate), "certificates": files, "address": one.agents}
        result_of_a_few = actor("streams", {**told, "streams": 20})  # what the first ones bring into memory
        look_again(store, result_of_a_few)
        time.sleep(1)
        before = memory_of(one.process.pid)
        load = actor("streams", {**told, "streams": options.streams})
        assert load.stdout is not None
        assert load.stdout.readline() == "ready\n"
        time.sleep(2)
        held = memory_of(one.process.pid) - before
        begun = time.monotonic()
        store.writing(lambda connection: raise_revision(connection, "campaigns"))
        moments = [moment - begun for moment in result(load)["moments"]]
    return {
        "streams": len(moments),
        "first_heard_after_ms": round(min(moments) * 1000),
        "last_heard_after_ms": round(max(moments) * 1000),
        "server_kb_per_stream": round(held / 1024 / len(moments), 1),
    }


def look_again(store: Store, load: subprocess.Popen[str]) -> None:
    """Once for nothing."""
    assert load.stdout is not None
    assert load.stdout.readline() == "ready\n"
    time.sleep(1)
    store.writing(lambda connection: raise_revision(connection, "campaigns"))
    result(load)


MEASUREMENTS: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "rate": measure_rate,
    "poll": measure_poll,
    "streams": measure_streams,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="*", choices=[*MEASUREMENTS, []], help="default: all")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--stations", type=int, default=10_000)
    parser.add_argument("--interval", type=float, default=60)
    parser.add_argument("--streams", type=int, default=4_000)
    parser.add_argument("--role", choices=list(ROLES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        return act(options.role)
    found: dict[str, Any] = {"cpus": os.cpu_count()}
    for name in options.what or MEASUREMENTS:
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory(prefix="renewagent-console-") as folder, suppress(KeyboardInterrupt):
            found[name] = {**MEASUREMENTS[name](Path(folder), options), "load_before": round(load, 1)}
            print(name, "done", file=sys.stderr)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

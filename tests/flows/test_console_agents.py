"""Workstations at a console that runs: mutual TLS for real, and two processes on one PostgreSQL, one of which is killed
while they report."""

from __future__ import annotations

import http.client
import itertools
import json
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec

from renewagent.check_ins import CheckIn
from renewagent.console.enrolment import revoke_agent
from renewagent.console.orders import give_order
from renewagent.console.site import Site
from renewagent.console.store import Store
from renewagent.console.tables import AGENT, CHECK_IN, STANDING
from tests import postgresql
from tests.consoles import Console, console
from tests.flows.stations import Station, claim, self_made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with console(tmp_path_factory.mktemp("console")) as one:
        yield one


def fleet_code(served: Console, organisation: str = "RX1") -> str:
    command = [sys.executable, "-m", "renewagent", "console", "enrol", "--config", str(served.config), "--json"]
    made = subprocess.run([*command, "--organisation", organisation], capture_output=True, check=True, timeout=60)
    return str(json.loads(made.stdout)["code"])


@pytest.fixture
def station(served: Console) -> Station:
    made = Station(served.certificate)
    made.enrol(served.agents, fleet_code(served))
    return made


def store(served: Console) -> Store:
    return Store(f"sqlite:///{served.config.parent}/data/console.db")


def test_from_the_code_to_the_first_check_in(served: Console, station: Station) -> None:
    check_in = claim(1, 1)
    status, answer = station.deliver(served.agents, [check_in])
    assert (status, answer["accepted"]) == (200, [check_in.id])
    assert station.get(served.agents, "/agents/v1/orders") == (200, {"orders": [], "poll": 300})
    kept = store(served)
    with kept.engine.connect() as connection:
        (row,) = connection.execute(sa.select(CHECK_IN).where(CHECK_IN.c.id == check_in.id))
        assert row.agent == station.name
    kept.close()


def test_who_one_is_stands_in_the_certificate_alone(served: Console, station: Station) -> None:
    nobody = Station(served.certificate)
    assert nobody.get(served.agents, "/agents/v1/orders")[0] == 401
    pretender = Station(served.certificate)
    pretender.show(*self_made(station.name))
    # In TLS 1.3 the client's certificate is judged after the client has begun to talk.
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        pretender.get(served.agents, "/agents/v1/orders")
    thief = Station(served.certificate)
    with pytest.raises(ssl.SSLError):  # the certificate without its key
        thief.show(station.chain, ec.generate_private_key(ec.SECP256R1()))


def test_the_peoples_listener_asks_for_no_certificate_and_knows_no_agent(served: Console, station: Station) -> None:
    assert station.get(served.people, "/agents/v1/orders")[0] in (403, 404)


def test_whoever_is_revoked_is_out(served: Console, station: Station) -> None:
    kept = store(served)
    now = claim(0, 0).at
    assert kept.writing(lambda connection: revoke_agent(connection, now, "manager", station.name))
    kept.close()
    assert station.get(served.agents, "/agents/v1/orders")[0] == 403
    assert station.deliver(served.agents, [claim(2, 1)])[0] == 403


def test_an_order_reaches_a_held_stream_at_once(served: Console, station: Station) -> None:
    parts = urlsplit(served.agents)
    line = http.client.HTTPSConnection(str(parts.hostname), parts.port, context=station.context, timeout=20)
    line.request("GET", "/agents/v1/stream")
    answer = line.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.readline() == b": \n"
    time.sleep(1.2)  # the first look at the numbers tells nothing yet
    kept, begun = store(served), time.monotonic()
    now = claim(0, 0).at
    site = Site(settings=None, store=kept, now=lambda: now, entropy=lambda n: b"7" * n)  # type: ignore[arg-type]
    order = kept.writing(lambda connection: give_order(connection, site, "manager"))
    kept.close()
    lines: list[bytes] = []
    while lines[-1:] != [b"event: look-again\n"]:
        lines.append(answer.readline())
    assert time.monotonic() - begun < 2
    line.close()
    assert station.get(served.agents, "/agents/v1/orders")[1]["orders"] == [{"id": order, "kind": "check-now"}]
    status, told = station.deliver(served.agents, [claim(3, 1, order=order)])
    assert (status, told["orders"]) == (200, [])


def test_two_processes_one_killed_under_load_and_nothing_lost(tmp_path: Path) -> None:
    with postgresql.server() as address:
        settings = f'database = "{address}"'
        with console(tmp_path, console=settings, name="one") as one:
            with console(tmp_path, console=settings, name="two") as two:
                stations = enrolled(one, 6)
                sent, acknowledged = report(stations, [one, two], deliveries=40, victim=one)
                assert one.process.poll() == -signal.SIGKILL
                check_stored(Store(address), sent, acknowledged)
                assert two.end() == 0


def enrolled(served: Console, count: int) -> list[Station]:
    code = fleet_code(served)
    stations = [Station(served.certificate) for _ in range(count)]
    for station in stations:
        station.enrol(served.agents, code)
    return stations


def report(
    stations: list[Station], consoles: list[Console], deliveries: int, victim: Console
) -> tuple[list[CheckIn], set[str]]:
    """Each station brings a card's story, two check-ins at a time, and again elsewhere until it is heard."""
    sent: list[CheckIn] = []
    acknowledged: set[str] = set()
    half = threading.Semaphore(0)

    def tell(number: int, station: Station) -> None:
        turns = itertools.cycle(consoles[number % 2 :] + consoles[: number % 2])
        for n in range(deliveries):
            pair = [claim(number, 2 * n + k, "put-off") for k in range(2)]
            sent.extend(pair)
            while (answer := attempt(station, next(turns), pair)) is None:
                time.sleep(0.02)
            acknowledged.update(answer)
            half.release()

    threads = [threading.Thread(target=tell, args=pair) for pair in enumerate(stations)]
    for thread in threads:
        thread.start()
    for _ in range(deliveries * len(stations) // 2):
        half.acquire()
    victim.process.kill()
    for thread in threads:
        thread.join(timeout=120)
    victim.process.wait()
    return sent, acknowledged


def attempt(station: Station, served: Console, check_ins: list[CheckIn]) -> list[str] | None:
    try:
        status, answer = station.deliver(served.agents, check_ins)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return list(answer["accepted"]) if status == 200 else None


def check_stored(kept: Store, sent: list[CheckIn], acknowledged: set[str]) -> None:
    with kept.engine.connect() as connection:
        stored = {row.id for row in connection.execute(sa.select(CHECK_IN.c.id))}
        assert connection.execute(sa.select(sa.func.count()).select_from(CHECK_IN)).scalar() == len(stored)
        assert acknowledged == stored == {one.id for one in sent}
        assert connection.execute(sa.select(sa.func.count()).select_from(AGENT)).scalar() == 6
        assert connection.execute(sa.select(sa.func.count()).select_from(STANDING)).scalar() == 6
    kept.close()

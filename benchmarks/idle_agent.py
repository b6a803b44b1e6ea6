"""What the resident agent costs while nothing happens: memory, and wake-ups over a minute.

Beside it, in the same run, a bare program that blocks in SCardGetStatusChange. Both wait on the same private pcscd with
one card inserted. Prints one JSON document.

    python benchmarks/idle_agent.py [--seconds 60] [--interval 300] [--no-campaign] [--console] [--stream]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.vpcd import VpcdLink
from tests.unit.agent.place import Place, campaign_json, days_ago

BARE = """
from smartcard import scard
_, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
_, readers = scard.SCardListReaders(context, [])
states = [(reader, scard.SCARD_STATE_UNAWARE) for reader in readers]
while True:
    _, found = scard.SCardGetStatusChange(context, scard.INFINITE, states)
    states = [(reader, state) for reader, state, _ in found]
"""


def memory(pid: int) -> dict[str, int]:
    """Resident and proportional set size, in kilobytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines[1:])
    return {"rss_kb": int(fields["Rss"].split()[0]), "pss_kb": int(fields["Pss"].split()[0])}


def switches(pid: int) -> int:
    """How often any thread of the process gave up the processor by itself, waiting for something."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def watched(pid: int, seconds: float) -> dict[str, float]:
    """Memory; wake-ups (moments of work, more than a fifth of a second apart) and context switches over `seconds`.

    A wake-up has several switches where it asks pcscd something and waits for the answer.
    """
    counts = [switches(pid)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.2)
        counts.append(switches(pid))
    active = [later != earlier for earlier, later in pairwise(counts)]
    wake_ups = sum(now and not before for before, now in pairwise([False, *active]))
    threads = len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208
    cost = {"wake_ups": wake_ups, "switches": counts[-1] - counts[0], "seconds": seconds}
    return {**memory(pid), "threads": threads, **cost}


@contextmanager
def running(words: list[str], env: dict[str, str]) -> Iterator[int]:
    """A child, ended by SIGTERM."""
    child = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield child.pid
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(10)


@contextmanager
def reporting_to(folder: Path, interval: int, *, stream: bool) -> Iterator[str]:
    """A console; what the agent's configuration says of it."""
    from renewagent.console import enrolment
    from renewagent.console.store import Store
    from tests.consoles import console

    with console(folder, console=f"poll_interval = {interval}", name="served") as served:
        store = Store(f"sqlite:///{folder}/data/console.db")
        now = datetime.now(UTC)
        code = store.writing(lambda connection: enrolment.make_code(connection, now, os.urandom, "RX1"))
        store.close()
        switched = "stream = true" if stream else ""
        yield f'url = "{served.agents}"\nenrolment = "{code}"\nroot = "{served.certificate}"\n{switched}'


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--interval", type=int, default=300, help="the agent's poll interval")
    parser.add_argument("--no-campaign", action="store_true", help="count without the campaign poll's child")
    parser.add_argument("--console", action="store_true", help="report to a console that serves beside it")
    parser.add_argument("--stream", action="store_true", help="and hold its stream, in a child that is not counted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, PrivatePcscd(1) as pcscd, ExitStack() as stack:
        place = Place(Path(folder))
        place.publish(campaign_json())
        more = {"agent": f'state_dir = "{place.state}"\npoll_interval = {options.interval}'}
        if options.no_campaign:
            more["campaign"] = ""
        if options.console or options.stream:
            more["console"] = stack.enter_context(reporting_to(Path(folder), options.interval, stream=options.stream))
        place.configure("pcsc", **more)
        env = {**place.env, **pcscd.env}
        agent = [sys.executable, "-m", "renewagent", "agent", "--config", str(place.config)]
        with (
            VpcdLink(place.ca.card(days_ago(400)), pcscd.ports[0]),
            running(agent, env) as agent_pid,
            running([sys.executable, "-c", BARE], env) as bare_pid,
        ):
            time.sleep(5)  # start, first campaign poll, first check
            print(
                json.dumps(
                    {
                        "interval": options.interval,
                        "agent": watched(agent_pid, options.seconds),
                        "bare": watched(bare_pid, options.seconds),
                    },
                    indent=1,
                )
            )


if __name__ == "__main__":
    main()

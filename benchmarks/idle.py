"""What watching costs while nothing happens: the resident agent, OpenSC's notify tool, a bare watcher, and pcscd.

All wait on the same private pcscd, in one run, with one unaffected card in one virtual reader. RSS and PSS as at the
end; processor time and context switches of the while; a wake-up is work after two seconds of none. The children that
the agent starts for its polls stand by themselves. The exit status is 1 when the agent misses its budget.

    python benchmarks/idle.py [--seconds 600] [--interval 300] [--no-campaign] [--console] [--stream] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from math import ceil
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.vpcd import VpcdLink
from tests.buses import Desktop, bus
from tests.side_by_side import agent_words, bare_words, descendant, notify_words, running
from tests.unit.agent.place import Place, campaign_json, days_ago

MEMORY = 20_000_000  # octets: the budget, by the stricter reading of MB
SETTLED = 8.0
"""Seconds for the start, the first campaign poll and the first check."""
_LOOK = 0.2
_APART = 2.0
_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


@dataclass
class Process:
    """One that is watched. Times in milliseconds, memory in kilobytes of 1,024 octets, as proc(5) has them."""

    name: str
    pid: int
    rss_kb: int = 0
    pss_kb: int = 0
    threads: int = 0
    wake_ups: int = 0
    switches: int = 0
    cpu_ms: float = 0.0
    children_cpu_ms: float = 0.0
    _seen: dict[str, int] = field(default_factory=dict, repr=False)
    _began: tuple[float, float] = (0.0, 0.0)
    _awake: float = 0.0

    def begin(self) -> None:
        """From now on it counts."""
        self._seen, self._began = switches(self.pid), processor_time(self.pid)

    def look(self, now: float) -> None:
        """Which threads gave up the processor by themselves since the last look: each had something to do before."""
        seen = switches(self.pid)
        more = sum(max(0, count - self._seen.get(thread, 0)) for thread, count in seen.items())
        self._seen = seen
        self.switches += more
        if more:
            self.wake_ups += now - self._awake > _APART
            self._awake = now

    def end(self) -> None:
        """What it came to."""
        own, children = processor_time(self.pid)
        self.cpu_ms, self.children_cpu_ms = own - self._began[0], children - self._began[1]
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines[1:])
        self.rss_kb, self.pss_kb = int(fields["Rss"].split()[0]), int(fields["Pss"].split()[0])
        self.threads = len(self._seen)

    def document(self) -> dict[str, object]:
        return {name: value for name, value in asdict(self).items() if not name.startswith("_") and name != "pid"}


def switches(pid: int) -> dict[str, int]:
    """By thread: how often it gave up the processor, waiting for something."""
    found = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        with suppress(OSError):  # the thread has just ended
            for line in status.read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    found[status.parent.name] = int(line.split()[1])
    return found


def processor_time(pid: int) -> tuple[float, float]:
    """Its own, ended threads included, and that of the children it waited for; milliseconds (proc(5), stat)."""
    after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own, children = sum(map(int, after[11:13])), sum(map(int, after[13:15]))
    return own * _TICK_MS, children * _TICK_MS


def watch(processes: list[Process], seconds: float) -> None:
    """Look at them five times a second."""
    for process in processes:
        process.begin()
    began = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        show(f"\r{now - began:5.0f} of {seconds:.0f} s")
        time.sleep(_LOOK)
        for process in processes:
            process.look(time.monotonic())
    show("\n")
    for process in processes:
        process.end()


def show(text: str) -> None:
    """Where somebody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(text)
        sys.stderr.flush()


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


def measured(options: argparse.Namespace, folder: Path) -> list[Process]:
    """Everything started, settled, and watched."""
    with ExitStack() as stack:
        pcscd = stack.enter_context(PrivatePcscd(1))
        place = Place(folder)
        place.publish(campaign_json())
        more = {"agent": f'state_dir = "{place.state}"\npoll_interval = {options.interval}'}
        if options.no_campaign:
            more["campaign"] = ""
        if options.console or options.stream:
            more["console"] = stack.enter_context(reporting_to(folder, options.interval, stream=options.stream))
        place.configure("pcsc", **more)
        address = stack.enter_context(bus(folder))
        stack.enter_context(Desktop(address))
        env = {**place.env, **pcscd.env, "DBUS_SESSION_BUS_ADDRESS": address}
        stack.enter_context(VpcdLink(place.ca.card(days_ago(400)), pcscd.ports[0]))
        programs = {"agent": agent_words(place.config), "opensc-notify": notify_words(), "bare watcher": bare_words()}
        children = {name: stack.enter_context(running(words, env)) for name, words in programs.items()}
        time.sleep(SETTLED)
        processes = [Process(name, child.pid) for name, child in children.items()]
        processes.append(Process("pcscd", descendant(os.getpid(), "pcscd")))
        watch(processes, options.seconds)
        return processes


def table(processes: list[Process]) -> Iterator[str]:
    yield f"{'':14}{'RSS MB':>8}{'PSS MB':>8}{'threads':>8}{'wake-ups':>9}{'switches':>9}{'CPU ms':>8}{'children':>9}"
    for one in processes:
        memory = f"{one.rss_kb * 1024 / 1e6:8.1f}{one.pss_kb * 1024 / 1e6:8.1f}{one.threads:8}"
        yield f"{one.name:14}{memory}{one.wake_ups:9}{one.switches:9}{one.cpu_ms:8.0f}{one.children_cpu_ms:9.0f}"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--interval", type=int, default=300, help="the agent's poll interval")
    parser.add_argument("--no-campaign", action="store_true", help="count without the campaign poll's child")
    parser.add_argument("--console", action="store_true", help="report to a console that serves beside it")
    parser.add_argument("--stream", action="store_true", help="and hold its stream, in a child that is not counted")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        processes = measured(options, Path(folder))
    agent, polls = processes[0], ceil(options.seconds / options.interval)
    kept = agent.rss_kb * 1024 <= MEMORY and agent.wake_ups <= polls
    if options.json:
        documents = [process.document() for process in processes]
        print(json.dumps({"seconds": options.seconds, "polls": polls, "kept": kept, "processes": documents}, indent=1))
    else:
        print("\n".join(table(processes)))
        said = "kept" if kept else "MISSED"
        print(f"in {options.seconds:.0f} s, a poll every {options.interval} s: the budget is {said}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

"""The bench of virtual cards: APDUs a second, readers started, fifty read at once, a fleet, and what a kill leaves.

APDUs a second are measured in-process and through a private pcscd (vpcd, pyscard's bare `scard`), each beside an empty
card on the same path, which answers 9000 to everything: in turns, so that both meet the same machine. The readers that
are read at once are of several services, each with a client process of its own; what is read is held against the
fleet's index. Prints one JSON document; the exit status is 1 when something read wrong, or was left behind.

    python benchmarks/testbench.py [--apdus 2000] [--turns 5] [--readers 50] [--cards 1000] [--only PART]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from renewagent.agent.full_inspection import Inspector
from renewagent.names import parse_name
from renewagent_drivers import open_card
from renewagent_fixtures.fleet import Fleet, make, usual
from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.readers import Card, VirtualReaders
from renewagent_fixtures.virtual_card import VirtualCard
from renewagent_fixtures.vpcd import VpcdLink

SELECT = bytes.fromhex("00A4040005A000000308")
COMMANDS = {
    "VERIFY without data (2 bytes of answer)": bytes.fromhex("0020008000"),
    "GET DATA of 9C's certificate (258)": bytes.fromhex("00CB3FFF055C035FC10A00"),
}
READER = "Virtual Reader 1"

# Clients: processes of their own, since libpcsclite remembers the first service that a process meets.
APDUS = """
import sys, time
from smartcard import scard
_, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
_, card, protocol = scard.SCardConnect(context, sys.argv[1], scard.SCARD_SHARE_SHARED, scard.SCARD_PROTOCOL_ANY)
scard.SCardTransmit(card, protocol, list(bytes.fromhex(sys.argv[2])))
for line in sys.stdin:
    command, count = line.split()
    apdu = list(bytes.fromhex(command))
    began = time.perf_counter()
    for _ in range(int(count)):
        result, response = scard.SCardTransmit(card, protocol, apdu)
        assert result == scard.SCARD_S_SUCCESS, result
    print(int(count) / (time.perf_counter() - began), flush=True)
"""
FIRST_ANSWER = """
import sys, time
from smartcard import scard
_, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
while True:
    found, card, protocol = scard.SCardConnect(context, sys.argv[1], scard.SCARD_SHARE_SHARED, scard.SCARD_PROTOCOL_ANY)
    if found == scard.SCARD_S_SUCCESS:
        break
    time.sleep(0.002)
assert scard.SCardTransmit(card, protocol, list(bytes.fromhex(sys.argv[2])))[0] == scard.SCARD_S_SUCCESS
"""
READ_ALL = """
import hashlib, json, sys, threading
from renewagent.card.pcsc import PcscReaders
from renewagent.errors import RenewAgentError
from renewagent.model import Slot
from renewagent_drivers import open_card
found = {}
def read(reader):
    connection = PcscReaders().connect(reader)
    try:
        der = open_card(connection).certificate(Slot("9c"))
        found[reader] = der and hashlib.sha256(der).hexdigest()
    except RenewAgentError:
        found[reader] = None
    connection.close()
threads = [threading.Thread(target=read, args=(reader,)) for reader in sys.argv[1:]]
print("ready", flush=True)
sys.stdin.readline()
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(found))
"""


class EmptyCard:
    """The least that is a card: it answers 9000 to everything."""

    atr = bytes.fromhex("3B00")

    def power_on(self) -> bytes:
        return self.atr

    reset = power_on

    def power_off(self) -> None:
        """Nothing to lose."""

    def transmit(self, command: bytes) -> bytes:
        return b"\x90\x00"


def piv_card() -> VirtualCard:
    """A usual one, in memory."""
    return Fleet.make(1, seed=1).members[0].card


# --- APDUs a second ---------------------------------------------------------------------------------------------------

Rate = Callable[[bytes, int], float]


def in_turns(piv: Rate, empty: Rate, apdus: int, turns: int) -> dict[str, Any]:
    """Medians of APDUs a second, of the same command to both."""
    found = {}
    for name, command in COMMANDS.items():
        pairs = [(piv(command, apdus), empty(command, apdus)) for _ in range(turns)]
        rates = [round(statistics.median(rates)) for rates in zip(*pairs, strict=True)]
        share = statistics.median(ours / bare for ours, bare in pairs)
        found[name] = {"virtual_card": rates[0], "empty_card": rates[1], "share": round(share, 2)}
    return found


def apdus_in_process(options: argparse.Namespace) -> dict[str, Any]:
    def rate(card: Card) -> Rate:
        readers = VirtualReaders((READER,))
        readers.insert(READER, card)
        connection = readers.connect(READER)
        connection.transmit(SELECT)

        def measured(command: bytes, count: int) -> float:
            began = time.perf_counter()
            for _ in range(count):
                connection.transmit(command)
            return count / (time.perf_counter() - began)

        return measured

    return in_turns(rate(piv_card()), rate(EmptyCard()), options.apdus, options.turns)


def apdus_through_pcscd(options: argparse.Namespace) -> dict[str, Any]:
    with PrivatePcscd(2) as pcscd, ExitStack() as stack:
        rates = []
        for card, port, reader in zip((piv_card(), EmptyCard()), pcscd.ports, pcscd.reader_names, strict=True):
            powered: list[bytes] = []
            stack.enter_context(VpcdLink(card, port, on_power=powered.append))
            until(lambda powered=powered: powered)
            rates.append(stack.enter_context(client_rate(reader, pcscd.env)))
        return in_turns(*rates, options.apdus, options.turns)


@contextmanager
def client_rate(reader: str, env: dict[str, str]) -> Iterator[Rate]:
    with client(APDUS, env, reader, SELECT.hex()) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def measured(command: bytes, count: int) -> float:
            process.stdin.write(f"{command.hex()} {count}\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        yield measured


# --- readers ----------------------------------------------------------------------------------------------------------


def start_up(options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds: until a private pcscd is ready, until its card has power, until a client has its first answer."""
    rounds = []
    for _ in range(options.turns):
        began, powered = time.perf_counter(), []
        with PrivatePcscd(1) as pcscd:
            ready = time.perf_counter()
            with VpcdLink(EmptyCard(), pcscd.ports[0], on_power=powered.append):
                until(lambda powered=powered: powered)
                power = time.perf_counter()
                with client(FIRST_ANSWER, pcscd.env, pcscd.reader_names[0], SELECT.hex()) as process:
                    assert process.wait(30) == 0
                answered = time.perf_counter()
        rounds.append(tuple(1000 * (moment - began) for moment in (ready, power, answered)))
    names = ("service_ready_ms", "card_has_power_ms", "first_answer_to_a_new_client_ms")
    return {
        name: round(statistics.median(values)) for name, values in zip(names, zip(*rounds, strict=True), strict=True)
    }


def at_once(options: argparse.Namespace) -> dict[str, Any]:
    """Every card of a fleet in a reader of its own; all of their certificates read whole at the same moment."""
    fleet = Fleet.make(options.readers, seed=7)
    truth = [row["sha256"] for row in fleet.rows]
    began = time.perf_counter()
    with fleet.in_real_readers() as places, ExitStack() as stack:
        started = time.perf_counter() - began
        services: dict[str, list[str]] = {}
        for place in places:
            services.setdefault(place.variables["PCSCLITE_CSOCK_NAME"], []).append(place.name)
        before = sum(card.apdus for card in fleet.cards)
        memory = sum(map(pss, daemons([Path(path) for path in services])))
        clients = [
            stack.enter_context(client(READ_ALL, {**os.environ, "PCSCLITE_CSOCK_NAME": path}, *names))
            for path, names in services.items()
        ]
        seconds, found = read_at_once(clients)
    apdus = sum(card.apdus for card in fleet.cards) - before
    return {
        "readers": options.readers,
        "services": len(services),
        "all_cards_have_power_s": round(started, 2),
        "services_pss_mb": round(memory / 1024, 1),
        "all_certificates_read_s": round(seconds, 2),
        "apdus": apdus,
        "apdus_per_second": round(apdus / seconds),
        "ok": found == truth,
    }


def read_at_once(clients: list[subprocess.Popen[str]]) -> tuple[float, list[str | None]]:
    for process in clients:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for process in clients:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found: list[str | None] = []
    for process in clients:
        assert process.stdout is not None
        found += [sha256 for _, sha256 in sorted(json.loads(process.stdout.readline()).items())]
    return time.perf_counter() - began, found


# --- a fleet ----------------------------------------------------------------------------------------------------------


def fleet_of(options: argparse.Namespace) -> dict[str, Any]:
    """Made in memory and in a folder; then every card inspected, and every certificate checked in bulk."""
    now = datetime.now(UTC).replace(microsecond=0)
    began = time.perf_counter()
    fleet = Fleet.make(options.cards, seed=7, now=now)
    in_memory = time.perf_counter() - began
    inspected, right = inspect_all(fleet, now)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        make(Path(folder), usual(now), options.cards, 7)
        in_folder = time.perf_counter() - began
        began = time.perf_counter()
        again = make(Path(folder), usual(now), options.cards, 7)
        read_again = time.perf_counter() - began
        checked, agreed = bulk_check(Path(folder))
    return {
        "cards": options.cards,
        "made_in_memory_per_second": round(options.cards / in_memory),
        "made_in_a_folder_per_second": round(options.cards / in_folder),
        "found_there_again_s": round(read_again, 2),
        "inspected_in_process_per_second": round(options.cards / inspected),
        "bulk_check_s": round(checked, 2),
        "ok": right and agreed and again.made == 0,
    }


def inspect_all(fleet: Fleet, now: datetime) -> tuple[float, bool]:
    issuers = tuple(parse_name(one.name) for one in fleet.wish.issuers)
    inspector = Inspector(open_card, (fleet.campaign,), issuers, None)
    readers = fleet.in_readers()
    began = time.perf_counter()
    found = [inspector.inspect(readers.connect(name), now).judgement.finding.verdict for name in readers.states()]
    return time.perf_counter() - began, found == [member.planned.verdict for member in fleet.members]


def bulk_check(folder: Path) -> tuple[float, bool]:
    """`renewagent check`, the whole process."""
    rows = json.loads((folder / "index.json").read_bytes())["cards"]
    out = folder / "affected.jsonl"
    words = ["check", folder / "certificates.pem", "--campaign", folder / "campaign.json", "--out", out, "--json"]
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "renewagent", *words], check=True, capture_output=True)
    seconds = time.perf_counter() - began
    affected = {json.loads(line)["sha256"] for line in out.read_text().splitlines()}
    return seconds, affected == {row["sha256"] for row in rows if row["verdict"] == "AFFECTED"}


# --- what a kill leaves -----------------------------------------------------------------------------------------------


def killed(options: argparse.Namespace) -> dict[str, Any]:
    """`virtual-card serve --private` of every card of a fleet, killed (SIGKILL) while a client reads."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), usual(datetime.now(UTC).replace(microsecond=0)), options.readers, 7)
        words = ["virtual-card", "serve", Path(folder) / "cards", "--private", "--json"]
        with subprocess.Popen([sys.executable, "-m", "renewagent", *words], stdout=subprocess.PIPE) as bench:
            assert bench.stdout is not None
            services = json.loads(bench.stdout.readline())["services"]
            environment = {**os.environ, **services[0]["environment"]}
            with client(APDUS, environment, services[0]["readers"][0]["reader"], SELECT.hex()) as reading:
                assert reading.stdin is not None
                reading.stdin.write(f"{SELECT.hex()} 1000000\n")
                reading.stdin.flush()
                time.sleep(0.2)
                bench.kill()
                began = time.perf_counter()
                bench.wait()
    folders = [Path(one["environment"]["PCSCLITE_CSOCK_NAME"]).parents[2] for one in services]
    ports = [reader["port"] for one in services for reader in one["readers"]]
    seconds = None
    while time.perf_counter() - began < 10 and seconds is None:
        if not leavings(folders, ports):
            seconds = time.perf_counter() - began
        time.sleep(0.01)
    return {
        "readers": len(ports),
        "services": len(services),
        "all_gone_after_s": None if seconds is None else round(seconds, 2),
        "left": leavings(folders, ports),
        "ok": seconds is not None,
    }


def leavings(folders: list[Path], ports: list[int]) -> list[str]:
    """Folders, processes that were told of them, and ports that somebody listens on."""
    found = [str(folder) for folder in folders if folder.exists()]
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        found += [f"process {entry.parent.name}" for folder in folders if str(folder).encode() in words]
    return found + [f"port {port}" for port in ports if listening(port)]


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- tools ------------------------------------------------------------------------------------------------------------


@contextmanager
def client(program: str, env: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, which is killed in the end."""
    words = [sys.executable, "-c", program, *arguments]
    process = subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("this did not happen within a minute")
        time.sleep(0.001)


def daemons(sockets: list[Path]) -> list[int]:
    folders = [str(path.parents[2]).encode() for path in sockets]
    return [
        int(entry.parent.name)
        for entry in Path("/proc").glob("[0-9]*/cmdline")
        if any(folder in entry.read_bytes() for folder in folders)
    ]


def pss(pid: int) -> int:
    """Proportional set size in kilobytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "apdus_in_process": apdus_in_process,
    "apdus_through_pcscd": apdus_through_pcscd,
    "start_up": start_up,
    "at_once": at_once,
    "fleet": fleet_of,
    "killed": killed,
}


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apdus", type=int, default=2000, help="in one turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--cards", type=int, default=1000)
    parser.add_argument("--only", choices=PARTS, action="append")
    options = parser.parse_args()
    found = {}
    for name in options.only or PARTS:
        if sys.stderr.isatty():
            print(f"{name} ...", file=sys.stderr)
        found[name] = PARTS[name](options)
    print(json.dumps(found, indent=1))
    return 0 if all(part.get("ok", True) for part in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

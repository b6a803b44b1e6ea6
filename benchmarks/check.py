"""What it costs to learn the dates of the signing certificate on an inserted card, beside other people's tools.

Every tool reads the same virtual card through the same private pcscd, in one run. APDUs and bytes (commands plus
responses) are counted at the card; "card ms" runs there from the first command to the last response, "wall ms" is the
tool's whole process. Medians of several rounds. The exit status is 1 when ours misses its budget, or a tool its dates.

    python benchmarks/check.py [--rounds 5] [--profile extended] [--apdu-ms 0] [--byte-us 0] [--json]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

sys.path.insert(0, str(Path(__file__).parent.parent))

from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.virtual_card import Latency, Moment, VirtualCard
from renewagent_fixtures.vpcd import VpcdLink
from tests.made import ENDS, ISSUED, certificate

APDUS, OCTETS = 2, 420  # the budget
OURS = """
import sys
from renewagent.card.pcsc import PcscReaders
from renewagent_drivers import open_card
from renewagent.model import Slot
connection = PcscReaders().connect(sys.argv[1])
head = open_card(connection).head(Slot("9c"))
connection.close()
print(head.not_before, head.not_after)
"""


@dataclass
class Meter:
    """Stands at the card and notes when the first command came and the last response went."""

    card: VirtualCard
    began: float = 0.0
    ended: float = 0.0

    def __call__(self, moment: Moment, command: bytes, response: bytes) -> None:
        if moment is Moment.BEFORE and not self.began:
            self.began = time.perf_counter()
        self.ended = time.perf_counter()
        if moment is Moment.AFTER:  # the card is only about to take its time
            self.ended += self.card.latency.exchange(len(command) + len(response))

    def clear(self) -> None:
        self.card.apdus = self.card.bytes = 0
        self.began = self.ended = 0.0


@dataclass
class Tool:
    """One way to learn the dates. `shows` are the words that its output must hold."""

    name: str
    words: list[str]
    shows: tuple[str, ...]
    rounds: list[tuple[int, int, float, float]] = field(default_factory=list)

    def run(self, meter: Meter, env: dict[str, str]) -> None:
        meter.clear()
        began = time.perf_counter()
        done = subprocess.run(self.words, env=env, capture_output=True, check=True, timeout=60)
        wall = time.perf_counter() - began
        shown = done.stdout.decode() if b"BEGIN CERT" not in done.stdout else dates_of(done.stdout)
        missing = [word for word in self.shows if word not in shown]
        if missing:
            raise SystemExit(f"{self.name} does not show {missing}:\n{shown}")
        self.rounds.append((meter.card.apdus, meter.card.bytes, meter.ended - meter.began, wall))

    def row(self) -> dict[str, str | int | float]:
        apdus, octets, card, wall = (statistics.median(column) for column in zip(*self.rounds, strict=True))
        times = {"card_ms": round(card * 1000, 2), "wall_ms": round(wall * 1000, 1)}
        return {"tool": self.name, "apdus": int(apdus), "bytes": int(octets), **times}


def dates_of(pem: bytes) -> str:
    found = x509.load_pem_x509_certificate(pem)
    return f"{found.not_valid_before_utc} {found.not_valid_after_utc}"


def tools(reader: str, profile: str) -> Iterator[Tool]:
    dates = (str(ISSUED), str(ENDS))
    yield Tool("renewagent", [sys.executable, "-c", OURS, reader], dates)
    piv_tool = shutil.which("yubico-piv-tool")
    if piv_tool:
        yield Tool(
            "yubico-piv-tool read-certificate", [piv_tool, "-r", reader, "-a", "read-certificate", "-s", "9c"], dates
        )
        shown = tuple(f"{moment:%b %d %H:%M:%S %Y}" for moment in (ISSUED, ENDS))
        yield Tool("yubico-piv-tool status", [piv_tool, "-r", reader, "-a", "status", "-s", "9c"], shown)
    ykman = shutil.which("ykman", path=str(Path(sys.executable).parent)) or shutil.which("ykman")
    if ykman and profile == "extended":
        words = [ykman, "--reader", reader, "piv", "certificates", "export", "9c", "-"]
        yield Tool("ykman certificates export", words, dates)


@contextmanager
def inserted(pcscd: PrivatePcscd, options: argparse.Namespace) -> Iterator[Meter]:
    latency = Latency(options.apdu_ms, options.byte_us / 1000) if options.apdu_ms or options.byte_us else None
    card = VirtualCard.create(None, profile=options.profile, latency=latency)
    issuer = rsa.generate_private_key(65537, 2048)
    card.write_certificate(0x9C, certificate(card.generate(0x9C, "rsa2048"), signer=issuer))
    card.write_certificate(0x9A, certificate(card.generate(0x9A, "p256"), usage=("digital_signature",)))
    meter = Meter(card)
    card.hook = meter
    with VpcdLink(card, pcscd.ports[0]):
        end = time.monotonic() + 10
        while not card.powered and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.5)
        yield meter


def measure(options: argparse.Namespace) -> list[dict[str, str | int | float]]:
    with PrivatePcscd(1) as pcscd, inserted(pcscd, options) as meter:
        found = list(tools(pcscd.reader_names[0], options.profile))
        for _ in range(options.rounds):
            for tool in found:
                tool.run(meter, pcscd.env)
        return [tool.row() for tool in found]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", choices=("plain", "extended"), default="extended")
    parser.add_argument("--apdu-ms", type=float, default=0.0, help="what each exchange costs on the card")
    parser.add_argument("--byte-us", type=float, default=0.0, help="what each byte costs on the card")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options)
    ours = rows[0]
    kept = int(ours["apdus"]) <= APDUS and int(ours["bytes"]) <= OCTETS
    if options.json:
        print(json.dumps({"rows": rows, "budget": {"apdus": APDUS, "bytes": OCTETS}, "kept": kept}))
    else:
        print(f"{'':34}{'APDUs':>7}{'bytes':>8}{'card ms':>10}{'wall ms':>10}")
        for row in rows:
            print(f"{row['tool']:34}{row['apdus']:>7}{row['bytes']:>8}{row['card_ms']:>10}{row['wall_ms']:>10}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

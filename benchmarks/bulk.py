"""Certificates a second of `renewagent check`, beside a plain loop over cryptography doing the same from the same file.

Each row is one run of both on one core, taking turns, with the counts compared; rates are by processor time, so that
others on the machine do not count. Then 2 processes beside 1, and 2 Dask workers beside 1, by the clock. `--compare` is
the other half: on 200,000 distinct certificates and 100,000 damaged ones, and on every single-octet change of 200, what
cryptography refuses is never called affected or unaffected, and what it accepts is dated as it dates it. `--memory
ROWS` makes an export of so many rows and tells the most memory that the check takes.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import os
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pyarrow.parquet  # noqa: E402
from cryptography import x509  # noqa: E402

from renewagent.bulk.check import Job, Plan, check  # noqa: E402
from renewagent.bulk.memory import Memory  # noqa: E402
from renewagent.rules import AffectedRule  # noqa: E402
from tests.bulk import compare  # noqa: E402
from tests.flows.inventories import write_csv, write_der, write_ldif, write_parquet, write_pem  # noqa: E402
from tests.inventory import DAMAGES, FROM, TO, Issuing  # noqa: E402

WRITE = {"der": write_der, "parquet": write_parquet, "pem": write_pem, "csv": write_csv, "ldif": write_ldif}
AT_LEAST = {"der": 6.0, "parquet": 6.0, "pem": 4.0, "csv": 4.0, "ldif": 4.0}
RULE = AffectedRule("window", issued_from=FROM, issued_to=TO, key_usage="any")
BLOCK = 20_000


# --- The plain loop


def der_elements(path: Path) -> Iterator[bytes]:
    data, at = path.read_bytes(), 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at:end]
        at = end


def pem_blocks(path: Path) -> Iterator[bytes]:
    lines: list[str] = []
    with path.open() as file:
        for line in file:
            if line.startswith("-----BEGIN CERT"):
                lines = []
            elif line.startswith("-----END CERT"):
                yield base64.b64decode("".join(lines))
            else:
                lines.append(line)


def csv_cells(path: Path) -> Iterator[bytes]:
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            yield base64.b64decode(row["certificate"])


def ldif_values(path: Path) -> Iterator[bytes]:
    value: list[str] = []
    with path.open() as file:
        for line in file:
            if line.startswith("userCertificate;binary::"):
                value = [line[25:]]
            elif value and line.startswith(" "):
                value.append(line[1:])
            elif value:
                yield base64.b64decode("".join(value))
                value = []


def parquet_cells(path: Path) -> Iterator[bytes]:
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["der"], use_threads=False):
            yield from batch.column(0).to_pylist()


READ: dict[str, Callable[[Path], Iterator[bytes]]] = {
    "der": der_elements,
    "parquet": parquet_cells,
    "pem": pem_blocks,
    "csv": csv_cells,
    "ldif": ldif_values,
}


def plain(path: Path, kind: str) -> Counter[tuple[str, str, bool]]:
    """What the product does, without it: all fields that a rule may ask about are read, and the verdicts are counted by
    issuer and month."""
    counts: Counter[tuple[str, str, bool]] = Counter()
    for der in READ[kind](path):
        found = x509.load_der_x509_certificate(der)
        _ = (found.serial_number, found.not_valid_after_utc, found.signature_algorithm_oid)
        try:
            found.extensions.get_extension_for_class(x509.KeyUsage)
        except x509.ExtensionNotFound:
            pass
        getattr(found.public_key(), "key_size", 0)
        issued = found.not_valid_before_utc
        counts[found.issuer.rfc4514_string(), f"{issued:%Y-%m}", FROM <= issued < TO] += 1
    return counts


def dates_alone(path: Path, kind: str) -> int:
    """The least that tells who is affected: less than the product reads."""
    return sum(FROM <= x509.load_der_x509_certificate(der).not_valid_before_utc < TO for der in READ[kind](path))


def affected_in(counts: Counter[tuple[str, str, bool]]) -> int:
    return sum(count for (_, _, hit), count in counts.items() if hit)


# --- Rates


def ours(path: Path, *, jobs: int = 1, engine: str = "local") -> Any:
    return check(Job([str(path)], Plan((RULE,)), jobs=jobs, engine=engine))


def rates(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    ders = list(Issuing(1).many(options.count))
    rows = []
    for kind in options.kinds:
        path = folder / f"a.{kind}"
        WRITE[kind](path, ders)
        best: dict[str, float] = {}
        for _ in range(options.rounds):
            found: dict[str, int] = {}
            for name, work in (
                ("plain", lambda path=path, kind=kind: affected_in(plain(path, kind))),
                ("dates", lambda path=path, kind=kind: dates_alone(path, kind)),
                ("ours", lambda path=path: ours(path).document()["affected"]),
            ):
                began = time.process_time()
                found[name] = work()
                seconds = time.process_time() - began
                best[name] = min(seconds, best.get(name, seconds))
            assert len(set(found.values())) == 1, found
        row = {name: round(len(ders) / seconds) for name, seconds in best.items()}
        ratio = best["plain"] / best["ours"]
        rows.append(
            {"kind": kind, **row, "ratio": round(ratio, 1), "ratio_dates": round(best["dates"] / best["ours"], 1)}
        )
    return rows


def sharing(options: argparse.Namespace, folder: Path, engine: str) -> dict[str, Any]:
    """1 and 2 processes on the same file, taking turns."""
    path = folder / "shared.der"
    with path.open("wb") as file:
        part = b"".join(Issuing(2).many(options.count // 4))
        for _ in range(4 * options.times):
            file.write(part)
    best: dict[int, float] = {}
    for _ in range(options.rounds):
        for jobs in (1, 2):
            summary = ours(path, jobs=jobs, engine=engine)
            best[jobs] = min(summary.seconds, best.get(jobs, summary.seconds))
    count = options.count // 4 * 4 * options.times
    return {
        "engine": engine,
        "one": round(count / best[1]),
        "two": round(count / best[2]),
        "ratio": round(best[1] / best[2], 2),
    }


# --- The comparison


def comparison(options: argparse.Namespace) -> dict[str, Any]:
    memory, made, dice = Memory(), Issuing(options.seed), Random(options.seed)  # noqa: S311 - test data
    warnings.simplefilter("ignore")
    good: Counter[str] = Counter()
    spoilt: Counter[str] = Counter()
    single: Counter[str] = Counter()
    for start in range(0, options.count, BLOCK):
        ders = list(made.many(min(BLOCK, options.count - start)))
        good.update(compare(ders, RULE, memory))
        told(f"{start + len(ders):,} certificates")
        damaged = [dice.choice(DAMAGES).done(der, dice) for der in ders[: len(ders) // 2]]
        spoilt.update(compare(damaged, RULE, memory))
    for number in range(options.singles):
        der = made.certificate()
        changed = [der[:at] + bytes([der[at] ^ dice.randrange(1, 256)]) + der[at + 1 :] for at in range(len(der))]
        single.update(compare(changed, RULE, memory))
        told(f"every octet of {number + 1} certificates")
    return {"certificates": named(good), "damaged": named(spoilt), "single_octets": named(single), "misdated": 0}


def named(counts: Counter[str]) -> dict[str, int]:
    names = {"0": "unaffected", "1": "affected", "2": "damaged", "3": "unreadable", "taken": "by_the_walk"}
    return {"checked": counts.total() - counts["taken"], **{name: counts[key] for key, name in names.items()}}


def told(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{words}  ", end="", file=sys.stderr, flush=True)


# --- Memory

INSIDE = """
import resource, sys
from renewagent.cli import main
status = main(sys.argv[1:])
most = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(*most, file=sys.stderr)
sys.exit(status)
"""


def most_memory(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """An export of so many rows, each of them written out; the largest of all processes, and all of them together."""
    path = folder / "export.csv"
    ders = list(Issuing(3).many(10_000))
    with path.open("w") as file:
        file.write("uid,organisation,certificate\n")
        cells = [base64.b64encode(der).decode() for der in ders]
        for start in range(0, options.memory, len(cells)):
            file.writelines(
                f"{start + n},O{n % 300},{cell}\n" for n, cell in enumerate(cells[: options.memory - start])
            )
    out = folder / "out.csv"
    words = ["check", str(path), "--issued-from", "2020-09-28", "--issued-to", "2020-10-02", "--json", "--all"]
    words += ["--out", str(out), "--jobs", str(options.jobs), "--count-by", "organisation"]
    done = subprocess.run([sys.executable, "-c", INSIDE, *words], capture_output=True, text=True, check=True)
    own, child = (int(word) for word in done.stderr.split()[-2:])
    document = json.loads(done.stdout)
    together = own + options.jobs * child if options.jobs > 1 else own
    return {
        "rows": document["checked"],
        "octets": path.stat().st_size,
        "seconds": document["seconds"],
        "this_process_mib": own // 1024,
        "each_other_mib": child // 1024,
        "together_mib_at_most": together // 1024,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=None, help="certificates (40,000; 200,000 with --compare)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=10, help="how often the file for 2 processes holds them all")
    parser.add_argument("--kinds", nargs="*", default=list(WRITE), choices=list(WRITE))
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--singles", type=int, default=200, help="certificates of which every octet is changed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory", type=int, metavar="ROWS")
    parser.add_argument("--jobs", type=int, default=1, help="processes, with --memory")
    parser.add_argument("--no-dask", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.count = options.count or (200_000 if options.compare else 40_000)
    with TemporaryDirectory() as folder:
        if options.compare:
            document = comparison(options)
        elif options.memory:
            document = most_memory(options, Path(folder))
        else:
            document = measure(options, Path(folder))
    if options.json or options.compare or options.memory:
        print(json.dumps(document))
    else:
        show(document)
    return 0


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    rows = rates(options, folder)
    os.sched_setaffinity(0, cores)
    shared = [sharing(options, folder, "local")]
    if not options.no_dask:
        shared.append(sharing(options, folder, "dask"))
    return {"rates": rows, "shared": shared}


def show(document: dict[str, Any]) -> None:
    print(f"{'certificates a second':24}{'ours':>12}{'plain loop':>12}{'ratio':>7}{'dates alone':>14}{'ratio':>7}")
    for row in document["rates"]:
        print(
            f"{row['kind']:24}{row['ours']:>12,}{row['plain']:>12,}{row['ratio']:>7}"
            f"{row['dates']:>14,}{row['ratio_dates']:>7}"
        )
    for row in document["shared"]:
        print(f"{row['engine'] + ', 2 beside 1':24}{row['two']:>12,}{row['one']:>12,}{row['ratio']:>7}")


if __name__ == "__main__":
    sys.exit(main())

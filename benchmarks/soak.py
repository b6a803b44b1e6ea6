"""Fifty renewals at once against one mock RA while power, processes, network and RA fail at random: nothing is lost.

Each renewal is a process with a card and a journal on disk; the RA is a process with SQLite on disk and is killed now
and then. A card goes on where it was or elsewhere, until it is renewed, signed in and receipted; then the next begins.
When time is up nothing fails any more and every card comes to its end. Exit status 1 where anything was lost.

    python benchmarks/soak.py [--seconds 600 | --renewals N] [--at-once 50] [--seed N] [--only CARD] [--no-pairs]
        [--json]

The same seed gives the same cards and the same faults; what meets what is up to the machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

from renewagent_fixtures.faults.soak.run import Soak
from renewagent_fixtures.faults.soak.tally import Settings

SHOWN = 12


class Progress:
    """One line on a terminal, twice a second; nothing where nobody watches."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._watched, self._next = stream, stream.isatty(), 0.0

    def __call__(self, soak: Soak) -> None:
        now = time.monotonic()
        if not self._watched or now < self._next:
            return
        self._next = now + 0.5
        tally, phase = soak.tally, "" if soak.calm_since is None else ", finishing"
        faults = tally.faults.total() + sum(soak.weather.counts().values())
        self._stream.write(
            f"\r{clock(now - soak.began)}{phase}: {len(soak.running)} processes, {tally.finished.total()} renewed, "
            f"{faults} faults, the RA killed {tally.ra_kills} times, {len(tally.losses)} lost   "
        )
        self._stream.flush()

    def end(self) -> None:
        """The next line."""
        if self._watched:
            self._stream.write("\n")


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def document(soak: Soak, seconds: float) -> dict[str, Any]:
    """What `--json` prints."""
    tally, settings = soak.tally, soak.settings
    return {
        "seed": settings.seed,
        "at_once": settings.at_once,
        "in_flight": round(soak.in_flight, 1),
        "seconds": round(seconds, 1),
        "renewals": {"finished": tally.finished.total(), "by_way": dict(sorted(tally.finished.items()))},
        "tries": tally.attempts,
        "faults": {**dict(sorted(tally.faults.items())), "the RA killed": tally.ra_kills},
        "network": {name: count for name, count in soak.weather.counts().items() if count},
        "resumed": dict(tally.resumed),
        "told": dict(tally.told.most_common()),
        "pin_given_to_another_program": tally.rescued,
        "audit_entries": soak.ledger.entries,
        "lost": [
            {"card": loss.card, "kind": loss.kind, "what": loss.what, "history": loss.history} for loss in tally.losses
        ],
    }


def table(found: dict[str, Any]) -> str:
    """The same for people."""
    rows: list[tuple[str, object]] = [("renewals finished", found["renewals"]["finished"])]
    rows += [(f"  way {way}", count) for way, count in found["renewals"]["by_way"].items()]
    rows += [("in flight on average", found["in_flight"]), ("tries", found["tries"])]
    rows += [(name, count) for name, count in found["faults"].items()]
    rows += [("network faults", sum(found["network"].values()))]
    rows += [(f"  {name}", count) for name, count in found["network"].items()]
    rows += [(f"went on at {name}", count) for name, count in found["resumed"].items()]
    rows += [(f"told: {kind}", count) for kind, count in kinds_told(found["told"]).items()]
    rows += [("entries in the RA's audit log", found["audit_entries"]), ("lost", len(found["lost"]))]
    return "".join(f"{name:36} {count:>8}\n" for name, count in rows)


def kinds_told(told: dict[str, int]) -> Counter[str]:
    """By kind of error."""
    kinds: Counter[str] = Counter()
    for sentence, count in told.items():
        kinds[sentence.partition(":")[0]] += count
    return kinds


def losses(found: dict[str, Any], folder: Path) -> str:
    """What was lost, and how to look into it."""
    lines = []
    for loss in found["lost"][:SHOWN]:
        card = "" if loss["card"] is None else f" card {loss['card']} ({loss['history'][0]})"
        lines += [f"LOST{card}, {loss['kind']}: {loss['what']}", *(f"    {line}" for line in loss["history"][1:])]
    if len(found["lost"]) > SHOWN:
        lines.append(f"... and {len(found['lost']) - SHOWN} more")
    if found["lost"]:
        lines.append(f"Everything is in {folder}. Again: ./dev bench soak --seed {found['seed']} (--only CARD: alone)")
    return "".join(line + "\n" for line in lines)


def main() -> int:
    """Run it, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="take new cards for so long (default 600)")
    parser.add_argument("--renewals", type=int, help="take new cards until so many are renewed")
    parser.add_argument("--at-once", type=int, default=50, help="renewals at once (default 50)")
    parser.add_argument("--seed", default=secrets.token_hex(3), help="what the dice begin with (default: any)")
    parser.add_argument("--only", type=int, metavar="CARD", help="the card with this number, alone")
    parser.add_argument("--ra-lives", type=float, default=12.0, help="seconds between two kills of the RA (default 12)")
    parser.add_argument("--time-limit", type=float, default=10.0, help="seconds for one exchange with it (default 10)")
    parser.add_argument("--pool", type=int, default=24, help="RSA keys made in advance for each card (default 24)")
    both = "some cards renew the authentication certificate as well"
    parser.add_argument("--pairs", action=argparse.BooleanOptionalAction, default=True, help=both)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args()
    seconds = options.seconds or (None if options.renewals or options.only is not None else 600.0)
    folder = Path(tempfile.mkdtemp(prefix="renewagent-soak-"))
    settings = Settings(
        folder / "soak",
        options.seed,
        at_once=options.at_once,
        seconds=seconds,
        renewals=options.renewals,
        only=options.only,
        ra_lives=options.ra_lives,
        time_limit=options.time_limit,
        pool=options.pool,
        pairs=options.pairs,
    )
    progress = Progress(sys.stderr)
    soak = Soak(settings, progress)
    gc.freeze()  # what is there now is shared by all processes: collecting garbage would copy it
    try:
        tally = soak.run()
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        return 130
    finally:
        progress.end()
    found = document(soak, time.monotonic() - soak.began)
    sys.stderr.write(losses(found, folder))
    sys.stdout.write(json.dumps(found) + "\n" if options.json else table(found))
    if not tally.losses:
        shutil.rmtree(folder)
    return 1 if tally.losses else 0


if __name__ == "__main__":
    sys.exit(main())

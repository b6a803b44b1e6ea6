"""Octets that nobody meant, at every place where others' octets come in: coverage-guided fuzzing, by atheris.

`fuzz [TARGET ...] --runs N` runs each target so often, in a process of its own (all of them where none is named; --list
names them). What is wrong is a finding: an exception that the function does not document, an input that takes ten
seconds, two gigabytes of memory, or a promise broken (tests/fuzz). A finding ends its target, and its input is kept:
`fuzz TARGET --again FILE` shows it. Inputs that reached something new are kept as well, in --folder, for the next run.
`--json` prints one document. Exit status 1 if anything was found. docs/fuzzing.md has more.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SECONDS = 10
MEGABYTES = 2048
INSTRUMENTED = ["renewagent", "renewagent_drivers"]
MISSING = "atheris is not installed here: .venv/bin/python -m pip install --require-hashes -r benchmarks/fuzz.lock"


def main() -> int:
    options = _options()
    if options.list:
        print("\n".join(_names(options)))
        return 0
    if options.again is not None:
        return _again(options.targets[0], options.again)
    if importlib.util.find_spec("atheris") is None:
        print(MISSING, file=sys.stderr)
        return 2
    if options.inside:
        return _inside(options.targets[0], options)
    results = [_run(name, options) for name in options.targets or _names(options)]
    if options.json:
        print(json.dumps({"targets": results}))
    return 1 if any(result["finding"] for result in results) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--runs", type=int, default=20_000, help="executions per target (20000)")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer's dice (1)")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fuzz", help="for inputs (build/fuzz)")
    parser.add_argument("--again", type=Path, metavar="FILE", help="one input, once, without a fuzzer")
    parser.add_argument("--list", action="store_true", help="name the targets")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.targets) - set(_names(options))
    if unknown or (options.again is not None and len(options.targets) != 1):
        parser.error(f"no target {', '.join(unknown)}" if unknown else "--again takes one target")
    return options


def _names(options: argparse.Namespace) -> list[str]:
    if options.inside:  # what is imported now would not be instrumented
        return list(options.targets)
    from tests.fuzz.targets import TARGETS

    return list(TARGETS)


def _again(name: str, file: Path) -> int:
    from tests.fuzz.targets import TARGETS

    with TemporaryDirectory() as folder:
        TARGETS[name].opened(Path(folder)).run(file.read_bytes())
    print("Nothing is wrong with it.")
    return 0


def _run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One target in its own process; what came of it."""
    here = options.folder / name
    corpus, found = here / "corpus", here / "findings"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    command = [sys.executable, __file__, name, "--inside", f"--runs={options.runs}", f"--seed={options.seed}"]
    began = time.monotonic()
    with (here / "log").open("w") as log:
        done = subprocess.run([*command, f"--folder={options.folder}"], stdout=log, stderr=log, check=False)
    seconds = time.monotonic() - began
    said = (here / "log").read_text(errors="replace")
    result = {
        "target": name,
        "executions": _number(r"stat::number_of_executed_units:\s+(\d+)", said) or _number(r"(?m)^#(\d+)", said),
        "seconds": round(seconds, 1),
        "peak_megabytes": _number(r"stat::peak_rss_mb:\s+(\d+)", said),
        "finding": _finding(said) if done.returncode else "",
        "inputs": [str(path) for path in sorted(set(found.iterdir()) - before)],
    }
    print(_line(result), file=sys.stderr, flush=True)
    return result


def _number(pattern: str, said: str) -> int:
    numbers = re.findall(pattern, said)
    return int(numbers[-1]) if numbers else 0


def _finding(said: str) -> str:
    """The exception, or libFuzzer's own words."""
    uncaught = re.search(r"Uncaught Python exception: ===\n(.*)", said)
    summary = re.search(r"(?:SUMMARY|ERROR): (?:libFuzzer: )?(.*)", said)
    return (uncaught or summary)[1] if uncaught or summary else "it ended before its time; see its log"


def _line(result: dict[str, Any]) -> str:
    rate = result["executions"] / max(result["seconds"], 0.1)
    verdict = f"FOUND {result['finding']} {' '.join(result['inputs'])}" if result["finding"] else "nothing found"
    counted = f"{result['executions']:>9,} executions in {result['seconds']:,.0f} s ({rate:,.0f}/s)"
    return f"{result['target']:<16} {counted}, {result['peak_megabytes']} MB: {verdict}"


def _inside(name: str, options: argparse.Namespace) -> int:
    """In the target's own process, under the fuzzer."""
    import atheris

    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    here = options.folder / name
    with TemporaryDirectory() as scratch:
        ready = target.opened(Path(scratch))
        seeds = Path(scratch) / "seeds"
        seeds.mkdir()
        for number, seed in enumerate(ready.seeds):
            (seeds / str(number)).write_bytes(seed)
        limits = [f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}", f"-max_len={target.longest}"]
        how = [f"-runs={options.runs}", f"-seed={options.seed}", "-print_final_stats=1", "-detect_leaks=0"]
        where = [f"-artifact_prefix={here / 'findings'}/", str(here / "corpus"), str(seeds)]
        mutator = None if target.change is None else _mutator(target.change)
        run = _keeping(ready.run, here / "findings")
        atheris.Setup([sys.argv[0], *limits, *how, *where], run, custom_mutator=mutator)
        atheris.Fuzz()
    return 0


def _keeping(run: Callable[[bytes], None], folder: Path) -> Callable[[bytes], None]:
    """Keeps what an exception came of; libFuzzer itself keeps what took too long or too much, but not always these."""

    def kept(octets: bytes) -> None:
        try:
            run(octets)
        except Exception:
            (folder / f"input-{hashlib.sha256(octets).hexdigest()[:16]}").write_bytes(octets)
            raise

    return kept


def _mutator(change: Callable[[bytes, Random], bytes]) -> Callable[[bytes, int, int], bytes]:
    """Half of the time a change that keeps the input's form, half of the time any octets."""
    import atheris

    def mutate(octets: bytes, longest: int, seed: int) -> bytes:
        dice = Random(seed)  # noqa: S311  no secret: it must come out the same again
        changed = change(octets, dice) if dice.random() < 0.5 else octets
        if changed != octets and len(changed) <= longest:
            return changed
        return bytes(atheris.Mutate(octets, longest))

    return mutate


if __name__ == "__main__":
    sys.exit(main())

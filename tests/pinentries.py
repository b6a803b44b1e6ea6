"""Pinentry programs from scripts, each a small Python program that does to the Assuan protocol what a test wants."""

from __future__ import annotations

import json
import sys
from pathlib import Path

LIBRARY = """\
import json, os, sys, time

heard = []
FDS = sorted(fd for fd in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{fd}"))

def say(line):
    sys.stdout.write(line + "\\n")
    sys.stdout.flush()

def hear():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    heard.append(line.rstrip("\\n"))
    with open(LOG, "w") as log:
        about = {"argv": sys.argv, "environ": dict(os.environ), "cwd": os.getcwd(), "fds": FDS}
        json.dump({"heard": heard, **about}, log)
    return line.split()[0]

def polite():
    say("OK Pleased to meet you")
    while hear() != "GETPIN":
        say("OK")

"""


class Programs:
    """A folder of scripted pinentries; `environment` knows no other programs, and a display."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PATH": str(folder), "DISPLAY": ":77", "LANG": "C.UTF-8"}

    def add(self, name: str, script: str) -> None:
        """A program of this name, which may `say`, `hear` and be `polite` until GETPIN."""
        program = self.folder / name
        program.write_text(f"#!{sys.executable} -I\nLOG = {str(self.log_of(name))!r}\n{LIBRARY}{script}")
        program.chmod(0o755)

    def log_of(self, name: str) -> Path:
        """Where it writes what it heard, once it has heard something."""
        return self.folder / f"{name}.log"

    def log(self, name: str) -> dict[str, list[str]]:
        """What it heard, and what it was started with."""
        return dict(json.loads(self.log_of(name).read_text()))

    def heard(self, name: str, word: str) -> bool:
        """Whether it has heard this by now."""
        return self.log_of(name).exists() and word in self.log_of(name).read_text()


def answers(*lines: str) -> str:
    """A script that says these lines to GETPIN."""
    return "polite()\n" + "".join(f"say({line!r})\n" for line in lines) + "while hear(): say('OK')\n"


WILLING = answers("D 48392057", "OK")

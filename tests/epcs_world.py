"""The whole world of EPCS as processes: `mock-epcs serve` and `console serve`, real people in it, and commands run as
they run them, without a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from renewagent.tokens.npi import luhn_sum
from renewagent_fixtures.mock_epcs.world import World, found
from renewagent_fixtures.mock_ra.pki import pem
from tests.consoles import Console, console, started
from tests.flows.desk import Done, Office

SUBJECT = "CN=Dr Ada Lamb,OU=Prescribers,O=Mock Hospital,C=GB"
"""Whose card `Office.card` makes: here it is Reed's."""
PRESCRIBERS = ("adams", "baker", "clark", "davis", "evans", "frank", "green", "hills")
TOKENS = tuple(f"GAHE0000{number:04}" for number in range(1, 10))


@dataclass
class Story:
    """One world. `hale` administers EPCS, `reed` is a DEA registrant with a card, the others are prescribers."""

    folder: Path
    console: Console
    world: World
    env: dict[str, str] = field(default_factory=dict)

    def words(self, user: str, *words: object) -> list[str]:
        """A command line of somebody's."""
        password = self.folder / f"password of {user}"
        password.write_text(f"{self.world.password(user)}\n")
        desk = ("--desk", self.console.people, "--desk-root", self.console.certificate)
        given = (*words, *desk, "--user", user, "--password-file", password, "--json")
        return [sys.executable, "-P", "-m", "renewagent", *map(str, given)]

    def run(self, user: str, *words: object, status: int = 0, typed: str = "") -> Done:
        """Run it to its end; what it said is JSON."""
        command = self.words(user, *words)
        done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def codes(self, serial: str, *, lost: int = 0, times: int = 2) -> Path:
        """A file with the next codes of a token."""
        token = self.world.drawer.token(serial)
        token.lose_presses(lost)
        shown = [token.press() for _ in range(times)]
        self.world.drawer.put_back(token)
        file = self.folder / f"codes of {serial}"
        file.write_text("\n".join(shown))
        return file

    def register(self, user: str, serial: str) -> None:
        """A token, as its owner does it."""
        self.run(user, "token", "register", "--serial", serial, "--back", serial)


def cast() -> str:
    """TOML for `--cast`: nobody has an NPI or a DEA registration of another's."""
    lines = []
    for number, user in enumerate(("reed", "hale", *PRESCRIBERS)):
        lines += ["[[staff]]", f'user = "{user}"', f'name = "{user.title()} Example"']
        lines += [f'email = "{user}@clinic.example"', f'phone = "+1 555 0100 {number:02}"', f'npi = "{npi(number)}"']
        lines += [f'dea = "{dea(user, number)}"'] if user != "hale" else []
        lines += [f'app = "app-{user}"'] if user not in ("hale", "reed") else []
    for serial in TOKENS:
        lines += ["[[token]]", f'serial = "{serial}"']
    return "\n".join(lines)


def npi(number: int) -> str:
    """With its check digit."""
    digits = f"1{number:08}"
    return digits + str(-luhn_sum(f"80840{digits}0") % 10)


def dea(user: str, number: int) -> str:
    """The same of a DEA registration."""
    digits = [int(d) for d in f"{number:06}"]
    return f"B{user[0].upper()}{number:06}{(sum(digits[0::2]) + 2 * sum(digits[1::2])) % 10}"


@contextmanager
def story(folder: Path, office: Office, *knobs: str) -> Iterator[Story]:
    """Ends with the block."""
    (folder / "cast.toml").write_text(cast())
    with _mock_epcs(folder, *knobs) as facts:
        keys = facts["keys"]
        more = f"""
[epcs]
look_every = 1
[epcs.vendor]
url = "{facts["vendor"]}"
key_file = "{keys["vendor"]}"
[epcs.ehr]
url = "{facts["ehr"]}"
key_file = "{keys["ehr"]}"
"""
        pki = office.ra.office.pki
        (folder / "ra-root.pem").write_bytes(b"".join(pem(one.der) for one in (pki.root, pki.authentication)))
        with console(folder, more) as served, found(folder / "epcs") as world:
            _let_in(served)
            yield Story(folder, served, world)


@contextmanager
def _mock_epcs(folder: Path, *knobs: str) -> Iterator[dict[str, Any]]:
    given = [word for knob in knobs for word in ("--knob", knob)]
    with (folder / "epcs.log").open("w") as log:
        words = ("mock-epcs", "serve", "--data", str(folder / "epcs"), "--cast", str(folder / "cast.toml"), *given)
        process = started(*words, stderr=log)
    assert process.stdout is not None
    with process, process.stdout:
        try:
            line = process.stdout.readline()
            assert line, (folder / "epcs.log").read_text()
            yield json.loads(line)
        finally:
            process.terminate()


def _let_in(served: Console) -> None:
    people = {"hale": ["--role", "epcs-administrator", "--organisation", "*"]}
    people["reed"] = ["--role", "prescriber", "--organisation", "RX1", "--dea", dea("reed", 0), "--subject", SUBJECT]
    people |= {user: ["--role", "prescriber", "--organisation", "RX1"] for user in PRESCRIBERS}
    for user, more in people.items():
        words = ["console", "person", "add", "--config", str(served.config), "--ehr", user, "--name", user.title()]
        command = [sys.executable, "-P", "-m", "renewagent", *words, *more]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

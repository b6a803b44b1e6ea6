"""What every token authority promises, kept by a privacyIDEA 3.14 that is installed for this and thrown away.

`./dev bench privacyidea` makes a virtual environment in a temporary folder, installs privacyIDEA from PyPI there, sets
it up with SQLite, starts it, and runs the contract of token authorities against it, through the product's own client.
Options are pytest's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import urllib3

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from renewagent.tokens.privacyidea import PrivacyIdea  # noqa: E402
from renewagent_fixtures.virtual_tokens.button import ButtonToken  # noqa: E402
from tests.unit.tokens.authority_contract import *  # noqa: E402, F403

VERSION = "3.14"
ADMINISTRATOR, PASSWORD, REALM = "console", "a-password-of-this-hour", "clinic"
ACCOUNTS = 1000
CONFIGURATION = """
from pathlib import Path
HERE = Path(__file__).resolve().parent
PI_ENCFILE, PI_LOGFILE = str(HERE / "encKey"), str(HERE / "privacyidea.log")
PI_AUDIT_KEY_PRIVATE, PI_AUDIT_KEY_PUBLIC = str(HERE / "private.pem"), str(HERE / "public.pem")
SQLALCHEMY_DATABASE_URI = f"sqlite:///{HERE / 'privacyidea.sqlite'}"
SECRET_KEY, PI_PEPPER = b"%s", "%s"
"""
SERVING = """
import sys
from privacyidea.app import create_app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, create_app("production", config_file=sys.argv[1], silent=True), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


def say(what: str) -> None:
    print(f"privacyidea: {what}", file=sys.stderr, flush=True)


# --- A server of its own


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """privacyIDEA at an address, for as long as this lasts."""
    begun = time.monotonic()
    say(f"installing privacyIDEA {VERSION} into {folder}")
    programs = install(folder / "venv")
    say("setting it up")
    configuration = set_up(folder, programs)
    command = [programs / "python", "-c", SERVING, configuration]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=(folder / "server.log").open("wb"))
    try:
        port = (server.stdout or sys.stdin).readline().decode().strip()
        if not port:
            raise SystemExit((folder / "server.log").read_text())
        say(f"it serves, {time.monotonic() - begun:.0f} s after the beginning")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate(timeout=10)


def install(folder: Path) -> Path:
    """Where its programs are."""
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "pip", "--disable-pip-version-check", "--no-input", "install", "-qq"]
    subprocess.run([*pip, f"privacyidea=={VERSION}"], check=True, stdout=sys.stderr)
    return folder / "bin"


def set_up(folder: Path, programs: Path) -> Path:
    """Its configuration: one administrator, one realm of people in a file like /etc/passwd."""
    configuration = folder / "pi.cfg"
    configuration.write_text(CONFIGURATION % (os.urandom(24).hex(), os.urandom(12).hex()))
    people = folder / "people"
    people.write_text("".join(f"user{n}:x:{n}:{n}:User {n}:/:\n" for n in range(1, ACCOUNTS + 1)))
    resolver = folder / "resolver.json"
    resolver.write_text(json.dumps({"fileName": str(people)}))
    for command in (
        ["setup", "create_enckey"],
        ["setup", "create_audit_keys"],
        ["setup", "create_tables"],
        ["admin", "add", ADMINISTRATOR, "-p", PASSWORD],
        ["config", "resolver", "create", "people", "passwdresolver", resolver],
        ["config", "realm", "create", REALM, "people"],
        ["config", "realm", "set_default", REALM],
    ):
        manage(programs, configuration, [str(word) for word in command])
    return configuration


def manage(programs: Path, configuration: Path, words: list[str]) -> None:
    environment = os.environ | {"PRIVACYIDEA_CONFIGFILE": str(configuration), "PATH": f"{programs}:/usr/bin:/bin"}
    done = subprocess.run([programs / "pi-manage", *words], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"pi-manage {' '.join(words[:2])}: {done.stdout}{done.stderr}")


# --- The bench of the contract


class Bench:
    """As `authority_contract.Bench`. Tokens come as a maker's file, by the server's own import."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ahead = timedelta()
        self._made = 0
        self._http = urllib3.PoolManager()
        account = {"username": ADMINISTRATOR, "password": PASSWORD}
        shown = self._http.request("POST", f"{url}/auth", json=account).json()["result"]["value"]["token"]
        self._headers = {"Authorization": shown}
        self.authority = PrivacyIdea(url, ADMINISTRATOR, PASSWORD, now=self._now)

    def _now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def token(self) -> ButtonToken:
        self._made += 1
        seed = os.urandom(20)
        token = ButtonToken(f"GAHE{self._made:08}", seed)
        self._import(f"{token.serial},{seed.hex()},hotp,6,0\n")
        return token

    def account(self) -> str:
        self._made += 1
        return f"user{self._made}"

    def lets_time_pass(self) -> bool:
        self._ahead += timedelta(hours=1)
        return True

    def _import(self, line: str) -> None:
        fields = {"type": "oathcsv", "file": ("tokens.csv", line, "text/csv")}
        done = self._http.request("POST", f"{self._url}/token/load/tokens.csv", fields=fields, headers=self._headers)
        assert done.json()["result"]["value"]["n_imported"] == 1, done.data


@pytest.fixture(scope="session")
def bench(pytestconfig: pytest.Config) -> Iterator[Bench]:
    made = Bench(pytestconfig.getoption("--address"))
    yield made
    made.authority.close()


class Options:
    """Tells pytest of an option more: it reads this file anew, as a module of its own."""

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        parser.addoption("--address")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="privacyidea-") as folder, serving(Path(folder)) as url:
        options = ["--address", url, "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-q", *sys.argv[1:]]
        return int(pytest.main([__file__, *options], plugins=[Options()]))


if __name__ == "__main__":
    sys.exit(main())

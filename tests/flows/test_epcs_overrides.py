"""An override and the consoles that look after it, as processes: killed while it stands, and started again. The EHR is
one that takes nothing back by itself."""

from __future__ import annotations

import json
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from renewagent.console import audit, people
from renewagent.console.epcs import incidents, overrides, pulses
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.opening import open_desk
from renewagent.console.epcs.tables import EPCS_LEASE
from renewagent.console.opening import open_store
from renewagent.console.permissions import Person, Role
from renewagent.console.settings_file import load_settings
from renewagent.console.site import Site
from renewagent.tokens.errors import DeskRefused
from tests import postgresql
from tests.consoles import console, settings_text, started

TASK = "enable EPCS"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """A line of the settings, "" for the embedded one."""
    if request.param == "sqlite":
        yield ""
        return
    with postgresql.server() as address:
        yield f'database = "{address}"'


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[str]:
    """The settings' section about a vendor and an EHR that run."""
    folder = tmp_path / "epcs"
    process = started("mock-epcs", "serve", "--data", str(folder), "--knob", "ehr.enforces_override=no")
    assert process.stdout is not None and process.stderr is not None
    with process, process.stdout, process.stderr:
        facts = json.loads(process.stdout.readline())
        keys = facts["keys"]
        yield f"""
[epcs]
vendor.url = "{facts["vendor"]}"
vendor.key_file = "{keys["vendor"]}"
ehr.url = "{facts["ehr"]}"
ehr.key_file = "{keys["ehr"]}"
look_every = 1
"""
        process.terminate()


@contextmanager
def opened(folder: Path, database: str, outside: str) -> Iterator[Desk]:
    """A desk of this process's own over the same database: the console that gives the override, and looks after
    nothing."""
    (folder / "mine.toml").write_text(settings_text(folder, outside, database))
    settings = load_settings(folder / "mine.toml")
    with closing(open_store(settings)) as store:
        site = Site(settings, store, lambda: datetime.now(UTC), secrets.token_bytes)
        with open_desk(site) as desk:
            assert desk is not None
            yield desk


def somebody(desk: Desk, user: str, role: Role) -> Person:
    newcomer = people.Newcomer(user, role, ("*",), ehr=user)
    return desk.write(lambda c: people.add(c, desk.now(), "test", newcomer, desk.site.entropy))


def until(holds: Callable[[], bool], what: str) -> float:
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() < begun + 30, what
        time.sleep(0.05)
    return time.monotonic() - begun


def test_consoles_that_are_killed_and_started_again_take_it_back(tmp_path: Path, database: str, outside: str) -> None:
    names = ["one", "two"] if database else ["one"]
    with ExitStack() as stack:
        folder = tmp_path / "console"
        folder.mkdir()
        (folder / "data").mkdir(mode=0o700)
        desk = stack.enter_context(opened(folder, database, outside))
        hale, lamb = somebody(desk, "hale", Role.EPCS_ADMINISTRATOR), somebody(desk, "lamb", Role.PRESCRIBER)
        with pytest.raises(DeskRefused, match="nothing runs here that would"):
            overrides.give(desk, hale, lamb, TASK)
        assert not desk.ehr.access("lamb").administrator

        makers = [console(folder, outside, console=database, name=name) for name in names]
        with ThreadPoolExecutor(2) as pool:
            consoles = list(pool.map(stack.enter_context, makers))
        until(lambda: desk.read(lambda c: pulses.last(c, overrides.PULSE)) is not None, "no scheduler")
        lease = overrides.give(desk, hale, lamb, TASK)
        assert (lease.known, lease.enforced) == (True, False)
        for each in consoles:
            each.end(signal.SIGKILL)
        an_hour_ago = {"given": lease.given - timedelta(hours=1), "ends": lease.ends - timedelta(hours=1)}
        desk.write(lambda c: c.execute(sa.update(EPCS_LEASE).where(EPCS_LEASE.c.id == lease.id).values(**an_hour_ago)))
        assert desk.ehr.access("lamb").administrator

        again = [console(folder, outside, console=database, name=f"{name}-again") for name in names]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(stack.enter_context, again))
        assert until(lambda: not desk.ehr.access("lamb").administrator, "it is still there") < 10
        until(lambda: overrides.open_leases(desk) == [], "it is not known to be gone")
        time.sleep(2.5)  # two more looks of each
        assert [each.kind for each in incidents.latest(desk)] == ["override"]
        log = desk.read(audit.entries)
        assert [entry.event for entry in log].count("epcs.override-alarm") == 1
        assert audit.verify_chain(log) is None

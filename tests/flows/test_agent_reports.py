"""An agent and its console, each the real command in processes of its own, over real TLS: what the workstation sees is
what the console knows, whatever happens to the network between them, or to a process in the middle."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.console import enrolment, orders
from renewagent.console.site import Site
from renewagent.console.store import Store
from renewagent.console.tables import AGENT, CHECK_ANSWER, CHECK_IN, STANDING
from tests.consoles import Console, console
from tests.flows.desk import PIN, READER, Desk, Office
from tests.pcsc import until

LONG = 30


class Road:
    """A TCP relay between agent and console, which can be closed, or swallow everything."""

    def __init__(self, goal: str) -> None:
        parts = urlsplit(goal)
        self._goal = (parts.hostname or "", parts.port or 0)
        self.open, self.swallows = True, False
        self.travellers = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                self.travellers += 1
                threading.Thread(target=self._carry, args=(link,), daemon=True).start()

    def _carry(self, link: socket.socket) -> None:
        with closing(link), suppress(OSError):
            if not self.open:
                return
            with socket.create_connection(self._goal, timeout=60) as onward:
                back = threading.Thread(target=self._copy, args=(onward, link), daemon=True)
                back.start()
                self._copy(link, onward)
                back.join()

    def _copy(self, source: socket.socket, goal: socket.socket) -> None:
        with suppress(OSError):
            while octets := source.recv(65536):
                while self.swallows:
                    threading.Event().wait(0.02)
                goal.sendall(octets)
        with suppress(OSError):
            goal.shutdown(socket.SHUT_WR)


@dataclass
class Scene:
    """A workstation, a console and the road between them."""

    desk: Desk
    console: Console
    store: Store
    road: Road
    agent: subprocess.Popen[bytes] | None = None

    def configure(self, **more: str) -> None:
        code = self.store.writing(
            lambda connection: enrolment.make_code(connection, datetime.now(UTC), os.urandom, "RX1", name="A hospital")
        )
        lines = [f'url = "{self.road.url}"', f'enrolment = "{code}"', f'root = "{self.console.certificate}"']
        lines += [f"{name} = {value}" for name, value in more.items()]
        self.desk.configure(console="\n".join(lines))

    def start(self) -> None:
        log = (self.desk.folder / "agent.log").open("ab")
        with log:
            words = self.desk.words("agent")
            self.agent = subprocess.Popen(words, env=self.desk.env, stderr=log, stdin=subprocess.DEVNULL)

    def stop(self) -> None:
        """And what it has started has ended too."""
        assert self.agent is not None
        children = self.children("renewagent.agent")
        self.agent.send_signal(signal.SIGTERM)
        assert self.agent.wait(10) == 0
        self.agent = None
        until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), LONG)

    def rows(self, table: sa.Table) -> list[Any]:
        return self.store.reading(lambda connection: list(connection.execute(sa.select(table))))

    def standing(self) -> Any:
        """The one card's in the one campaign, None before there is one."""
        found = self.rows(STANDING)
        assert len(found) <= 1
        return found[0] if found else None

    def state(self) -> str:
        found = self.standing()
        return str(found.state) if found is not None else ""

    def said(self) -> list[dict[str, Any]]:
        """In campaigns: a card that is checked before the first campaign has come is clear of none."""
        said = [json.loads(row.document) for row in self.rows(CHECK_IN)]
        return [one for one in said if "campaign" in one]

    def order(self, **whom: Any) -> str:
        now = SimpleNamespace(now=lambda: datetime.now(UTC), entropy=os.urandom)
        return self.store.writing(lambda connection: orders.give_order(connection, cast("Site", now), "tests", **whom))

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.desk.run("status", "--json").document["console"]
        return found

    def queued(self) -> int:
        return len(CheckInQueue(self.desk.state))

    def renew(self) -> None:
        """By hand, to the end."""
        card = self.desk.cards[0]
        talk = self.desk.talk("renew")
        talk.hear("Start renewal")
        talk.type("1")
        talk.hear("Type the passcode")
        talk.type(PIN)
        talk.hear("Now remove it")
        self.desk.readers.remove(READER)
        talk.hear("Put your smartcard back in")
        self.desk.readers.insert(READER, card)
        talk.hear("Type the passcode")
        talk.type(PIN)
        assert talk.end().status == 0

    def children(self, module: str) -> list[int]:
        """The agent's own, by what they run."""
        assert self.agent is not None
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"PPid:\t{self.agent.pid}\n" in (entry / "status").read_text():
                    if module.encode() in (entry / "cmdline").read_bytes():
                        found.append(int(entry.name))
        return found


@pytest.fixture
def scene(here: Desk, ra: Office, tmp_path: Path) -> Iterator[Scene]:
    folder = tmp_path / "console"
    folder.mkdir()
    shutil.copy(ra.ra.root, folder / "ra-root.pem")
    shutil.copy(ra.ra.campaign_anchor, folder / "campaign-anchor.pem")
    with console(folder, console="poll_interval = 1") as served:
        road = Road(served.agents)
        one = Scene(here, served, Store(f"sqlite:///{folder}/data/console.db"), road)
        one.configure()
        try:
            yield one
        finally:
            if one.agent is not None:
                one.agent.kill()
                one.agent.wait()
            road.close()
            one.store.close()


def test_from_the_first_sight_of_a_card_to_the_proof(scene: Scene) -> None:
    scene.desk.insert()
    scene.start()
    until(lambda: scene.state() == "affected", LONG)
    (agent,) = scene.rows(AGENT)
    assert (agent.organisation, agent.machine) == ("RX1", socket.gethostname())
    assert re.fullmatch(r"[0-9a-f]{32}", agent.account)
    scene.renew()
    until(lambda: scene.state() == "done", LONG)
    standing = scene.standing()
    assert standing.receipt and standing.signed_in and standing.rule == "bad week"
    assert [one["state"] for one in scene.said()][:4] == ["affected", "running", "renewed", "done"]
    until(lambda: scene.queued() == 0, LONG)
    told = scene.status()
    assert told["enrolled"] and told["reported"] and told["problem"] is None
    assert "console was last told something" in scene.desk.run("status").err
    scene.stop()
    assert_nobody_is_named(scene)


def assert_nobody_is_named(scene: Scene) -> None:
    """Neither the person nor the passcode is anywhere in what the console was sent."""
    everything = json.dumps(scene.said()) + "".join(map(str, scene.rows(AGENT))) + queue_text(scene)
    for name in ("Ada", "Lamb", "Hospital", "Prescriber", PIN, "@", os.environ.get("USER") or "nobody-at-all"):
        assert name not in everything, name


def test_not_a_letter_of_the_person_is_queued(scene: Scene) -> None:
    """Offline, so that all of it is still there to be searched, octet by octet, the receipt's too."""
    scene.road.open = False
    scene.desk.insert()
    scene.start()
    until(lambda: scene.queued() >= 1, LONG)
    scene.renew()
    until(lambda: queue_text(scene).count('"done"') == 1, LONG)
    octets = b"".join(file.read_bytes() for file in scene.desk.state.rglob("check-ins*") if file.suffix != ".reserve")
    documents = [json.loads(line) for line in octets.splitlines()]
    receipts = b"".join(base64.b64decode(one.pop("receipt", "")) for one in documents)
    assert receipts  # its certificate names the holder, as the RA that gave it knows; it is the proof itself
    plain = json.dumps(documents)
    for name in ("Ada", "Lamb", "Hospital", "@", PIN):
        assert name not in plain
    assert PIN.encode() not in receipts and PIN.encode().hex().encode() not in octets
    scene.stop()


def test_offline_is_normal_and_nothing_is_lost(scene: Scene) -> None:
    scene.road.open = False
    scene.desk.insert()
    scene.start()
    until(lambda: scene.desk.state.joinpath("check-ins.jsonl").exists() and "affected" in queue_text(scene), LONG)
    until(lambda: scene.status()["problem"], LONG)
    told = scene.status()
    assert (told["enrolled"], told["reported"], told["queued"]) == (False, None, scene.queued())
    heard = scene.desk.run("status").err
    assert "does not know this computer yet" in heard and " for it." in heard
    scene.stop()
    before = scene.road.travellers
    scene.road.open = True
    (scene.desk.state / "polls.json").unlink()  # an hour later
    scene.start()
    until(lambda: scene.state() == "affected", LONG)
    until(lambda: scene.queued() == 0, LONG)
    assert scene.road.travellers > before
    scene.stop()


def queue_text(scene: Scene) -> str:
    return (scene.desk.state / "check-ins.jsonl").read_text()


def test_what_is_delivered_twice_counts_once(scene: Scene) -> None:
    scene.road.open = False
    scene.desk.insert()
    scene.start()
    until(lambda: scene.queued() >= 1, LONG)
    scene.stop()
    queue = scene.desk.state / "check-ins.jsonl"
    kept = queue.read_bytes()
    scene.road.open = True
    for _ in range(2):
        queue.write_bytes(kept)
        (scene.desk.state / "polls.json").unlink(missing_ok=True)
        words = ["-P", "-m", "renewagent.agent.console_child", "--deliver", "--config", str(scene.desk.config)]
        done = subprocess.run([sys.executable, *words], env=scene.desk.env, capture_output=True, timeout=60, check=True)
        assert json.loads(done.stdout)["ok"]
        assert queue.read_bytes() == b""
    assert len(scene.rows(CHECK_IN)) == len(kept.splitlines())


def test_a_child_that_is_killed_in_the_middle_is_followed_by_another(scene: Scene) -> None:
    scene.desk.insert()
    scene.road.swallows = True
    scene.start()
    until(lambda: scene.queued() >= 1 and scene.children("console_child") and scene.road.travellers, LONG)
    for pid in scene.children("console_child"):
        os.kill(pid, signal.SIGKILL)
    scene.road.swallows = False
    until(lambda: scene.state() == "affected", LONG)
    assert len(scene.rows(AGENT)) == 1 and len(scene.said()) == 1
    scene.stop()


def test_check_now_is_answered_by_the_card_that_is_in_and_by_its_absence(scene: Scene) -> None:
    card = scene.desk.insert()
    scene.start()
    until(lambda: scene.state() == "affected", LONG)
    order = scene.order()
    until(lambda: scene.rows(CHECK_ANSWER), LONG)
    (answer,) = scene.rows(CHECK_ANSWER)
    assert (answer.order, answer.card, answer.verdict) == (order, f"chuid:{card.guid.hex()}", "affected")
    scene.desk.readers.remove(READER)
    second = scene.order(organisation="RX1")
    until(lambda: len(scene.rows(CHECK_ANSWER)) == 2, LONG)
    (answer,) = [row for row in scene.rows(CHECK_ANSWER) if row.order == second]
    assert (answer.card, answer.verdict) == ("-", "no-card")
    scene.order(organisation="RX2")  # somebody else's
    scene.stop()


def test_an_agent_that_was_revoked_comes_back_as_another_one_while_its_code_lasts(scene: Scene) -> None:
    scene.start()
    until(lambda: scene.rows(AGENT), LONG)
    (first,) = scene.rows(AGENT)
    now = datetime.now(UTC)
    scene.store.writing(lambda connection: enrolment.revoke_agent(connection, now, "tests", first.id))
    until(lambda: len(scene.rows(AGENT)) == 2, LONG)
    scene.store.writing(lambda connection: enrolment.end_codes(connection, now, "tests", "RX1"))
    (second,) = [row for row in scene.rows(AGENT) if row.id != first.id]
    scene.store.writing(lambda connection: enrolment.revoke_agent(connection, now, "tests", second.id))
    until(lambda: "does not accept this computer" in (scene.status()["problem"] or ""), LONG)
    assert len(scene.rows(AGENT)) == 2
    scene.stop()


def test_without_an_agent_a_renewal_is_reported_all_the_same(scene: Scene) -> None:
    scene.desk.insert()
    scene.renew()
    until(lambda: scene.state() == "done", LONG)
    assert [one["state"] for one in scene.said()] == ["running", "renewed", "done"]


def test_without_an_agent_and_without_a_console_nobody_waits_for_it(scene: Scene) -> None:
    scene.road.swallows = True
    scene.desk.insert()
    scene.renew()
    assert scene.queued() == 3
    scene.road.swallows = False


def test_the_stream_says_look_again(scene: Scene) -> None:
    scene.console.end()
    with console(scene.console.config.parent, console="poll_interval = 3600") as served:
        scene.road.close()
        scene.console, scene.road = served, Road(served.agents)
        scene.configure(stream="true")
        scene.desk.insert()
        scene.start()
        until(lambda: scene.children("look_again"), LONG)
        (holder,) = scene.children("look_again")
        until(lambda: scene.road.travellers >= 3, LONG)
        threading.Event().wait(2)
        order = scene.order()
        until(lambda: [row.order for row in scene.rows(CHECK_ANSWER)] == [order], LONG)
        scene.stop()
        until(lambda: not Path(f"/proc/{holder}").exists(), LONG)

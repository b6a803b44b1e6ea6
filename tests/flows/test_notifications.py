"""What a person sees on their desktop, from the real agent: over a scripted notification server, and over a real one
(xfce4-notifyd) on a screen of its own, clicked with a mouse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent.control import ask_agent
from renewagent.agent.put_off import FILE
from renewagent_fixtures.readers import VirtualReaders
from tests.buses import Desktop, Manner, bus
from tests.flows.test_agent_process import READER, RunningAgent, agent, place
from tests.pcsc import until
from tests.programs import missing
from tests.screen import Screen, screen
from tests.unit.agent.place import Place, campaign_json, days_ago

__all__ = ["agent", "place"]

NOTIFYD = Path("/usr/lib/x86_64-linux-gnu/xfce4/notifyd/xfce4-notifyd")
PATIENCE = 60.0


@pytest.fixture
def session(agent: RunningAgent, tmp_path: Path) -> Iterator[str]:
    """The bus of the person's session, which the agent knows of; no desktop on it as yet, and no system bus."""
    with bus(tmp_path) as address:
        agent.env |= {"DBUS_SESSION_BUS_ADDRESS": address, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere"}
        agent.env.pop("DISPLAY", None)
        yield address


def seen(running: RunningAgent) -> dict[str, Any]:
    """What the agent says of the reader, asked without a process in between."""
    (one,) = ask_agent(running.place.folder / "run" / "renewagent", {"ask": "status"})["readers"][:1]
    return dict(one)


def judged(running: RunningAgent) -> bool:
    return (seen(running)["card"] or {}).get("verdict") == "AFFECTED"


def in_words(running: RunningAgent) -> str:
    return str(seen(running)["message"])


def test_put_off_for_an_hour_and_gone_with_the_card(
    agent: RunningAgent, place: Place, virtual_readers: VirtualReaders, session: str
) -> None:
    place.publish(campaign_json(reason={"en": "A <b>fault</b> & more."}))
    card = place.ca.card(days_ago(7))
    virtual_readers.insert(READER, card)
    with Desktop(session) as desktop:
        agent.start()
        until(lambda: desktop.up, PATIENCE)
        note = desktop.shows()
        assert note.actions == {"renew": "Renew now", "later": "Remind me in 1 hour", "why": "Why?"}
        assert note.title == "Renew your smartcard" and note.hints["urgency"] == 2
        assert "A &lt;b&gt;fault&lt;/b&gt; &amp; more." in note.body and "0300 303 5035" in note.body
        assert "renewagent" not in note.body
        said = str(agent.reader()["message"])  # `renewagent status`
        assert "A <b>fault</b> & more." in said and "Run: renewagent renew." in said

        virtual_readers.remove(READER)
        until(lambda: not desktop.up, PATIENCE)
        assert seen(agent)["message"] is None
        virtual_readers.insert(READER, card)
        until(lambda: desktop.up, PATIENCE)

        desktop.press("later")
        until(lambda: "You will be reminded" in in_words(agent), PATIENCE)
        assert agent.stop() == 0
        agent.start()  # the next log-on
        until(lambda: judged(agent), PATIENCE)
        assert "You will be reminded" in in_words(agent)
        assert len(desktop.asked) == 2 and not desktop.up

        kept = place.state / FILE
        over = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        kept.write_text(json.dumps(dict.fromkeys(json.loads(kept.read_text()), over)))
        virtual_readers.remove(READER)
        until(lambda: not seen(agent)["present"], PATIENCE)
        virtual_readers.insert(READER, card)
        until(lambda: desktop.up, PATIENCE)
        assert "You will be reminded" not in in_words(agent)
        assert agent.stop() == 0
        until(lambda: not desktop.up, PATIENCE)


def test_no_later_than_the_deadline_and_renew_now_without_a_screen(
    agent: RunningAgent, place: Place, virtual_readers: VirtualReaders, session: str
) -> None:
    virtual_readers.insert(READER, place.ca.card(days_ago(7)))
    with Desktop(session) as desktop:
        agent.start()
        deadline = datetime.now(UTC) + timedelta(seconds=8)
        place.publish(campaign_json(deadline=f"{deadline:%Y-%m-%dT%H:%M:%SZ}"))
        until(lambda: desktop.up, PATIENCE)
        if "later" in desktop.shows().actions:  # else this machine was too slow for it
            assert desktop.shows().actions == {"renew": "Renew now", "later": "Remind me later", "why": "Why?"}
            desktop.press("later")
            until(lambda: desktop.up, PATIENCE)
        assert datetime.now(UTC) >= deadline - timedelta(seconds=1)
        assert desktop.shows().actions == {"renew": "Renew now", "why": "Why?"}

        desktop.press("renew")
        until(lambda: desktop.up, PATIENCE)
        note = desktop.shows()
        assert note.title == "Your smartcard was not renewed"
        assert note.body == "There is no screen here to show a page on.\nRun in a terminal: renewagent renew."


def test_desktops_that_come_late_hang_and_go(
    agent: RunningAgent, place: Place, virtual_readers: VirtualReaders, session: str
) -> None:
    place.publish(campaign_json())
    with Desktop(session, Manner(silent=True)):
        agent.start()
        virtual_readers.insert(READER, place.ca.card(days_ago(7)))
        until(lambda: judged(agent), PATIENCE)
        until(lambda: "person.not_told kind=affected" in agent.logged(), PATIENCE)
    assert "person.told" not in agent.logged()
    with Desktop(session, Manner(can=("body",))) as desktop:
        until(lambda: desktop.up, PATIENCE)
        assert desktop.shows().actions == {} and "Run: renewagent renew." in desktop.shows().body
    with Desktop(session) as another:  # the first one ended, and what it showed with it
        until(lambda: another.up, PATIENCE)
    assert agent.logged().count("person.told kind=affected") == 1


@pytest.fixture
def desk(agent: RunningAgent, tmp_path: Path) -> Iterator[Screen]:
    """A screen with Xfce's notifications, as its session starts them; the browser only says who has called it."""
    if not NOTIFYD.exists():
        missing("xfce4-notifyd is not installed")
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\necho "$PPID $1" > {tmp_path}/called.new\nmv {tmp_path}/called.new {tmp_path}/called\n'
    )
    browser.chmod(0o755)
    with screen() as shown:
        env = {**agent.env, "DISPLAY": shown.display, "NO_AT_BRIDGE": "1", "XDG_CONFIG_HOME": str(tmp_path / "config")}
        with bus(tmp_path, env) as address:
            env |= {"DBUS_SESSION_BUS_ADDRESS": address, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere"}
            server = subprocess.Popen([NOTIFYD], env=env, stderr=subprocess.DEVNULL)
            agent.env = {**env, "BROWSER": str(browser)}
            try:
                yield shown
            finally:
                server.terminate()
                server.wait(10)


def test_on_a_real_desktop(
    agent: RunningAgent, place: Place, virtual_readers: VirtualReaders, desk: Screen, tmp_path: Path
) -> None:
    place.publish(campaign_json())
    card = place.ca.card(days_ago(7))
    virtual_readers.insert(READER, card)
    agent.start()
    window = desk.await_window("xfce4-notifyd")
    virtual_readers.remove(READER)
    until(lambda: not desk.windows("xfce4-notifyd"), PATIENCE)
    virtual_readers.insert(READER, card)
    window = desk.await_window("xfce4-notifyd")
    desk.click(window, 0.2, 0.85)  # the left button of three
    until(lambda: (tmp_path / "called").exists(), PATIENCE)
    caller, address = (tmp_path / "called").read_text().split()
    try:
        page = Path(address.removeprefix("file://"))
        assert page.stat().st_mode & 0o777 == 0o600 and "http://127.0.0.1:" in page.read_text()
        line = Path(f"/proc/{caller}/cmdline").read_bytes().split(b"\0")
        assert b"renewagent.agent.window_child" in line and READER.encode() in line
    finally:
        os.kill(int(caller), signal.SIGKILL)

"""The forty seconds in which a prescriber meets renewagent, on a desktop of their own: a screen, a session bus with
Xfce's notifications on it, GnuPG's pinentry, a browser, a smartcard service with a reader. The mouse and the keyboard
do what a person does; the browser is only read.

Run as a program it does the same and puts a picture of the whole screen at each step into a folder (docs/images for
docs/workstation.md):

    python -m tests.flows.test_desktop --screenshots FOLDER
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from renewagent.agent.control import ask_agent
from renewagent.errors import AgentError, ReaderError
from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.virtual_card import Moment, VirtualCard
from renewagent_fixtures.vpcd import VpcdLink
from tests.browser import CHROMIUM, FLAGS
from tests.buses import bus
from tests.flows.desk import Desk, Office, office
from tests.flows.test_notifications import NOTIFYD
from tests.flows.test_pin_memory import GENERATE
from tests.flows.workshop import PIN, Workshop, assert_renewed, certificate, change_pin
from tests.pcsc import until
from tests.programs import missing, require, run
from tests.screen import HEIGHT, WIDTH, Screen, screen

PATIENCE = 60.0
NOTIFICATION, PASSCODE, BROWSER = "xfce4-notifyd", r"^Passcode \(PIN\)$", "Chromium$"
_WHERE = """() => {
    const side = (outerWidth - innerWidth) / 2;
    return [screenX + side, screenY + outerHeight - innerHeight - side];
}"""
"""The page's top left corner on the screen, as the page knows it."""


def test_from_the_notification_to_done(tmp_path: Path) -> None:
    tell_it(tmp_path)


def tell_it(folder: Path, pictures: Path | None = None) -> None:
    """The story; with pictures of it, where there is somewhere to put them."""
    with desktop(folder, pictures) as here:
        before = certificate(here.card)
        here.put_in()
        here.notified()
        here.agrees()
        here.types_passcode("4-passcode")
        here.works()
        here.takes_out()
        here.signs_in()
        here.is_done()
        here.closes_the_page()
        here.logs_off()
        assert_renewed(Workshop(here.office.ra, folder), here.card, before)
        assert "signed-in" in here.desk.events()


@dataclass
class Desktop:
    """A person before their screen, with their card."""

    office: Office
    desk: Desk
    screen: Screen
    card: VirtualCard
    link: VpcdLink
    profile: Path
    pictures: Path | None
    _stack: ExitStack
    _page: Page | None = None
    _held: threading.Event = field(default_factory=threading.Event)

    # -- the story --------------------------------------------------------------------------------------------------

    def put_in(self) -> None:
        self.link.insert()

    def notified(self) -> None:
        """And asks why."""
        window = self.screen.await_window(NOTIFICATION)
        until(lambda: self.status()["message"], PATIENCE)
        assert "Do not sign prescriptions with this smartcard until you renew it." in self.status()["message"]
        self.takes_picture("1-notification")
        self.screen.click(window, 0.8, 0.85)  # Why?, the rightmost button of three
        until(lambda: set(self.screen.windows(NOTIFICATION)) - {window}, PATIENCE)
        self.takes_picture("2-why")
        self.screen.click(self.screen.await_window(NOTIFICATION), 0.25, 0.85)  # Renew now, the left one of two

    def agrees(self) -> None:
        """On the page in the browser that was opened for it, by a file that nobody else can read."""
        self.heading(f"Renew the smartcard ending {self.ending}")
        called_with, mode = (self.desk.folder / "called").read_text().split()
        assert mode == "600" and called_with.startswith(f"file://{self.desk.folder}/run/renewagent/open-")
        assert len(self.windows_open()) == 1 and self.screen.windows(NOTIFICATION) == []
        self.reads("#holder", "Dr Ada Lamb")
        self.reads("#state", "This smartcard was issued with a fault.")
        self.takes_picture("3-start")
        self.card.hook = self._waits_to_be_seen
        self.clicks("Start renewal")

    def types_passcode(self, picture: str) -> None:
        """Into the small window, which is no browser's."""
        window = self.screen.await_window(PASSCODE)
        self.aloud("in the window that has opened")
        self.takes_picture(picture)
        self.screen.click(window, 0.9, 0.05)  # what is typed goes to the window under the mouse, and waits there
        self.screen.type(PIN)
        self.screen.press("Return")
        until(lambda: window not in self.screen.windows(PASSCODE), PATIENCE)

    def works(self) -> None:
        """What is done meanwhile, held up until it has been read."""
        self.heading("Keep the smartcard in")
        self.reads("#state", "making the new key")
        assert self.page.get_by_role("progressbar").is_visible()
        self.takes_picture("5-progress")
        self._held.set()

    def takes_out(self) -> None:
        self.heading(f"Remove the smartcard ending {self.ending}")
        self.aloud("Your smartcard is renewed. Now remove it")
        self.takes_picture("6-now-remove-it")
        self.link.remove()
        self.heading("Put your smartcard back in")
        self.aloud("Your smartcard is out.")
        until(lambda: not self.status()["present"], PATIENCE)
        self.takes_picture("7-it-is-out")
        assert "Lamb" not in self.page.content()
        assert "Lamb" not in str(self.status()) and self.status()["message"] is None

    def signs_in(self) -> None:
        self.put_in()
        self.types_passcode("8-sign-in")

    def is_done(self) -> None:
        """All that was there for the renewal goes by itself."""
        self.heading("Done")
        self.aloud(f"You can sign prescriptions with the smartcard ending {self.ending}.")
        self.reads("#state", "You can close this page.")
        self.takes_picture("9-done")
        assert "Lamb" not in self.page.content()
        until(lambda: not self.windows_open(), PATIENCE)
        assert list((self.desk.folder / "run").rglob("*.html")) == []
        until(lambda: (self.status()["card"] or {}).get("verdict") == "UNAFFECTED", PATIENCE)

    def closes_the_page(self) -> None:
        """And the browser, which has no other."""
        self.screen.click(self.screen.await_window(BROWSER), 0.05, 0.9)  # beside everything
        self.screen.press("ctrl+w")
        until(lambda: not running(f"--user-data-dir={self.profile}"), PATIENCE)

    def logs_off(self) -> None:
        """With the card in hand: nothing is left on the screen, and nothing was said of the passcode."""
        self.link.remove()
        until(lambda: not self.status()["present"], PATIENCE)
        assert "Lamb" not in str(self.status())
        until(lambda: not self.screen.windows(NOTIFICATION), PATIENCE)
        assert self.screen.windows(PASSCODE) == []
        agent = self.desk.talks[0]
        agent.process.terminate()
        done = agent.end()
        assert done.status == 0 and PIN not in done.err + done.out

    # -- eyes and hands ---------------------------------------------------------------------------------------------

    @property
    def ending(self) -> str:
        return self.card.guid.hex()[-4:].upper()

    @property
    def page(self) -> Page:
        """The renewal's, in the browser that the agent's child has opened; read through its debugging port."""
        if self._page is None:
            port = self.profile / "DevToolsActivePort"
            until(lambda: port.exists() and port.read_text(), PATIENCE)
            playwright = self._stack.enter_context(sync_playwright())
            browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port.read_text().splitlines()[0]}")
            (context,) = browser.contexts
            context.set_default_timeout(PATIENCE * 1000)
            self._page = context.pages[0] if context.pages else context.wait_for_event("page")
            self._page.wait_for_url("http://127.0.0.1:*/")
        return self._page

    def heading(self, text: str) -> None:
        """Until the page has come to this."""
        expect(self.page.get_by_role("heading", level=1)).to_have_text(text, timeout=PATIENCE * 1000)

    def reads(self, where: str, text: str) -> None:
        expect(self.page.locator(where)).to_contain_text(text, timeout=PATIENCE * 1000)

    def aloud(self, text: str) -> None:
        """What a screen reader says."""
        self.reads("[role=status]", text)

    def clicks(self, button: str) -> None:
        """With the mouse of this screen, where the button is on it."""
        box = self.page.get_by_role("button", name=button).bounding_box()
        left, top = self.page.evaluate(_WHERE)
        assert box is not None
        self.screen.click_at(left + box["x"] + box["width"] / 2, top + box["y"] + box["height"] / 2)

    def takes_picture(self, name: str) -> None:
        if self.pictures is not None:
            (self.pictures / f"desktop-{name}.png").write_bytes(self.screen.picture())

    def status(self) -> dict[str, Any]:
        """What the agent says of the reader, asked without a process in between."""
        (one, *_) = ask_agent(self.desk.folder / "run" / "renewagent", {"ask": "status"})["readers"]
        return dict(one)

    def windows_open(self) -> list[str]:
        """Processes behind a page."""
        return running("renewagent.agent.window_child", "-P", str(self.desk.talks[0].process.pid))

    def _waits_to_be_seen(self, moment: Moment, command: bytes, response: bytes) -> None:
        if moment is Moment.BEFORE and command[1] == GENERATE:
            assert self._held.wait(PATIENCE)


def running(words: str, *which: str) -> list[str]:
    """Processes with these words on their command line."""
    return run("pgrep", *which, "-f", "--", words, status=None).split()


@contextmanager
def desktop(folder: Path, pictures: Path | None = None) -> Iterator[Desktop]:
    """Everything but the card in its reader."""
    with ExitStack() as stack:
        pcscd = PrivatePcscd(1)
        try:
            stack.enter_context(pcscd)
        except ReaderError as error:
            missing(error.message)
        shown, ra = stack.enter_context(screen()), stack.enter_context(office(folder))
        env = session(stack, folder, shown, pcscd.env)
        desk = Desk(folder, ra, VirtualReaders(()), "pcsc", env=env)
        stack.callback(desk.close)
        card = ra.card(folder / "prescriber.card")
        desk.cards.append(card)
        change_pin(card, PIN)
        desk.talk("agent")
        until(lambda: runs(desk), PATIENCE)
        link = VpcdLink(card, pcscd.ports[0])
        stack.callback(link.remove)
        yield Desktop(ra, desk, shown, card, link, folder / "profile", pictures, stack)


def runs(desk: Desk) -> bool:
    try:
        return bool(ask_agent(desk.folder / "run" / "renewagent", {"ask": "status"})["readers"])
    except AgentError:
        return False


def session(stack: ExitStack, folder: Path, shown: Screen, env: dict[str, str]) -> dict[str, str]:
    """What a log-on leaves to the programs of a session: its bus, with notifications on it, a browser and pinentry."""
    require("pinentry-gtk-2")
    for program in (NOTIFYD, CHROMIUM):
        if not program.exists():
            missing(f"{program.name} is not installed")
    own = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "LANG": "C.UTF-8"}
    env = {**env, **own, "DISPLAY": shown.display, "NO_AT_BRIDGE": "1", "BROWSER": str(browser(folder))}
    env["DBUS_SESSION_BUS_ADDRESS"] = stack.enter_context(bus(folder, env))
    server = subprocess.Popen([NOTIFYD], env=env, stderr=subprocess.DEVNULL)
    stack.callback(server.wait, PATIENCE)
    stack.callback(server.terminate)
    return env


def browser(folder: Path) -> Path:
    """The person's own, which writes down what it was called with."""
    program, more = folder / "browser", [f"--user-data-dir={folder / 'profile'}", "--remote-debugging-port=0"]
    look = [f"--window-size={WIDTH},{HEIGHT}", "--window-position=0,0", "--password-store=basic", "--test-type"]
    called = f'echo "$1" $(stat -c %a "${{1#file://}}") > {folder}/called'
    program.write_text(f'#!/bin/sh\n{called}\nexec {CHROMIUM} {" ".join((*FLAGS, *more, *look))} "$1"\n')
    program.chmod(0o755)
    return program


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--screenshots", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    options.screenshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="renewagent-desktop-", ignore_cleanup_errors=True) as folder:
        tell_it(Path(folder), options.screenshots)


if __name__ == "__main__":
    main()

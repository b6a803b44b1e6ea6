"""The whole story of a recall: one signed campaign, two hundred prescribers' cards, a manager who watches a browser.

A campaign is written, signed with the manager's card and published; `renewagent check` says whom it hits, and that is
uploaded as its targets. Workstations find their own cards, tell, and report; some have no network, some people say
later, some pull their card out half-way; two workstations are real agents in processes of their own with cards in a
real pcscd. At every stage the dashboard, in a real browser, shows the numbers that the story makes. Receipts close it.

Run as a program it does the same and puts screenshots of each stage into a folder (docs/images for docs/story.md):

    python -m tests.flows.test_console_story --screenshots FOLDER [--workstations N]
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import Page, expect

from renewagent.campaign.pem import read_signer
from renewagent.console.words import STATES
from renewagent_fixtures.mock_ra import MockRa
from renewagent_fixtures.mock_ra.pki import pem
from renewagent_fixtures.mock_ra.rows import CertificateRow
from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.virtual_card import VirtualCard
from renewagent_fixtures.vpcd import VpcdLink
from tests.browser import chromium
from tests.consoles import Console, console
from tests.flows.desk import READER, Desk, desk
from tests.flows.desk import Office as DeskOffice
from tests.flows.fleet import Simulated, Where, each, fleet, issue
from tests.flows.test_kills import ASKED, PASSCODE
from tests.flows.workshop import PIN, identity

ORGANISATIONS = {"RX1": "Northfield Hospitals", "RX2": "Southmere Hospital", "Y90": "Lakeside Surgery"}
ID = "2026-autumn-batch"
MANAGER = "CN=Morgan Manager,OU=RX1,O=Mock Hospital,C=GB"
BAD, GOOD = 40, 400
"""How many days ago cards were issued."""
REAL = 2
"""Workstations that are processes of their own, with cards in a real pcscd."""


def test_a_recall_from_the_first_signature_to_the_last_receipt(tmp_path: Path) -> None:
    tell_it(tmp_path, 200)


def tell_it(folder: Path, workstations: int, screenshots: Path | None = None) -> None:
    """The story."""
    with story(folder, workstations, screenshots) as recall:
        recall.publish()
        recall.upload_targets()
        recall.everybody_logs_on()
        recall.some_say_later_and_some_pull_their_card_out()
        recall.most_renew()
        recall.the_network_comes_back()
        recall.the_real_ones_renew()
        recall.everybody_is_done()
        recall.check_now()
        recall.what_stays_is_whole()


@dataclass
class Recall:
    """Everybody in it."""

    folder: Path
    ra: MockRa
    console: Console
    manager: Desk
    page: Page
    workstations: list[Simulated]
    real: list[RealDesk]
    signed: Path
    screenshots: Path | None
    taken: int = 0

    def __post_init__(self) -> None:
        bad = [one for one in self.workstations if one.affected]
        tenth = max(1, len(bad) // 10)
        self.bad = bad
        self.offline, self.later, self.pulled = bad[:tenth], bad[tenth : 2 * tenth], bad[2 * tenth : 3 * tenth]
        self.others = bad[3 * tenth :]
        self.good = len(self.workstations) - len(bad)

    # --- the manager --------------------------------------------------------------------------------------------------

    def publish(self) -> None:
        """The campaign, signed with a card, goes up by the browser; from then on workstations can have it."""
        self.page.goto("/")
        expect(self.page.get_by_role("heading", name="No campaign yet")).to_be_visible()
        self.page.goto("/campaigns")
        self.page.get_by_label("Signed campaign", exact=True).set_input_files(self.signed)
        self.page.get_by_role("button", name="Publish campaign").click()
        expect(self.page.get_by_role("heading", name=ID)).to_be_visible()
        self._picture("campaign")
        answer = self.console.get(f"{self.console.agents}/campaigns/{ID}.campaign")
        assert answer.data == self.signed.read_bytes() and answer.headers["ETag"].startswith('"')

    def upload_targets(self) -> None:
        """Whom it hits, by the bulk check over everything that the RA has issued."""
        inventory, affected = self.folder / "issued.csv", self.folder / "affected.csv"
        inventory.write_text(self._inventory())
        found = run("check", inventory, "--campaign", self.signed.with_suffix(".json"), "--out", affected)
        assert found["affected"] == len(self.bad) + len(self.real) and found["unreadable"] == 0
        self.page.goto("/targets")
        self.page.get_by_label("Result of the check", exact=True).set_input_files(affected)
        self.page.get_by_role("button", name="Take in the list").click()
        expect(self.page.get_by_text(f"certificates are now the targets of {ID}")).to_be_visible()
        self.page.goto("/")
        self._shows(not_seen=len(self.bad) + len(self.real))
        self._picture("not-seen")

    def _inventory(self) -> str:
        with self.ra.office.lock:
            rows = self.ra.office.store.find(CertificateRow, profile="signing")
        lines = ["name,organisation,email,card_number,certificate"]
        for number, row in enumerate(rows):
            subject = x509.load_der_x509_certificate(row.der).subject
            (name,) = (str(one.value) for one in subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME))
            (unit,) = (str(one.value) for one in subject.get_attributes_for_oid(x509.NameOID.ORGANIZATIONAL_UNIT_NAME))
            email = f"n{number}@hospital.test" if number % 7 else ""
            lines.append(f"{name},{unit},{email},{number:08},{base64.b64encode(row.der).decode()}")
        return "\n".join(lines) + "\n"

    # --- the workstations ---------------------------------------------------------------------------------------------

    def everybody_logs_on(self) -> None:
        """Each agent enrols by itself; then a tenth of the hospital loses its network, and cards go in."""
        each(self.workstations, lambda one: one.log_on())
        for one in self.offline:
            one.network(up=False)
        each(self.workstations, lambda one: one.insert())
        assert Counter(one.verdict for one in self.workstations) == {"AFFECTED": len(self.bad), "UNAFFECTED": self.good}
        assert all("affected" in one.shown for one in self.bad)
        each([one for one in self.workstations if one not in self.offline], lambda one: one.poll())
        self.page.goto("/")
        told = len(self.bad) - len(self.offline)
        self._shows(not_seen=len(self.offline) + len(self.real), told=told, clear=self.good)
        self._picture("told")

    def some_say_later_and_some_pull_their_card_out(self) -> None:
        """The page is not loaded again: it follows."""
        each(self.later, lambda one: one.say_later())
        each(self.pulled, lambda one: one.pull_out_half_way())
        each(self.later + self.pulled, lambda one: one.poll())
        self._shows(
            not_seen=len(self.offline) + len(self.real),
            told=len(self.others),
            put_off=len(self.later),
            part_way=len(self.pulled),
            clear=self.good,
        )
        self._picture("half-way")

    def most_renew(self) -> None:
        """Who did as the message said."""
        each(self.others, lambda one: one.renew())
        each(self.others, lambda one: one.poll())
        self._shows(
            not_seen=len(self.offline) + len(self.real),
            put_off=len(self.later),
            part_way=len(self.pulled),
            done=len(self.others),
            clear=self.good,
        )
        self._picture("most-are-done")
        self.page.goto(f"/cards?campaign={ID}")
        self._picture("outstanding", whole=False)

    def the_network_comes_back(self) -> None:
        """What was said meanwhile had waited on disk."""
        for one in self.offline:
            one.network(up=True)
        each(self.offline, lambda one: one.poll())
        self.page.goto("/")
        self._shows(
            not_seen=len(self.real),
            told=len(self.offline),
            put_off=len(self.later),
            part_way=len(self.pulled),
            done=len(self.others),
            clear=self.good,
        )

    def the_real_ones_renew(self) -> None:
        """Processes, PC/SC, and somebody who reads and types."""
        for one in self.real:
            one.renew()
        self._shows(
            told=len(self.offline),
            put_off=len(self.later),
            part_way=len(self.pulled),
            done=len(self.others) + len(self.real),
            clear=self.good,
        )

    def everybody_is_done(self) -> None:
        """The rest, each by the way that was left."""
        each(self.pulled, lambda one: one.insert())
        late = self.offline + self.later + self.pulled
        each(late, lambda one: one.renew())
        each(late, lambda one: one.poll())
        self._shows(done=len(self.bad) + len(self.real), clear=self.good)
        expect(self.page.locator(".big")).to_contain_text(f"0 of {len(self.bad) + len(self.real)}")
        self._picture("done")

    def check_now(self) -> None:
        """One organisation's workstations look again, because the manager wants to be sure."""
        asked = [one for one in self.workstations if one.organisation == "Y90"]
        self.page.goto("/check-now")
        self.page.get_by_label("Whom").select_option("Y90")
        self.page.get_by_role("button", name="Check now").click()
        expect(self.page.locator(".big")).to_contain_text(f"0 of {len(asked)} workstations have answered")
        each(asked, lambda one: one.poll())
        expect(self.page.locator(".big")).to_contain_text(f"{len(asked)} of {len(asked)}", timeout=20_000)
        self._picture("check-now", whole=False)

    def what_stays_is_whole(self) -> None:
        """Receipts on both sides, an audit log that verifies, and no passcode anywhere."""
        with self.ra.office.lock:
            at_the_ra = {row.certificate for row in self.ra.receipts()}
        database = self.folder / "data" / "console.db"
        with closing(sqlite3.connect(database)) as connection:
            kept = connection.execute("SELECT new, card FROM receipt").fetchall()
        assert {new for new, _ in kept} == at_the_ra and len(kept) == len(self.bad) + len(self.real)
        cards = {identity(card) for card in [one.card for one in self.bad] + [one.card for one in self.real]}
        assert {card for _, card in kept} == cards
        assert run("audit", "verify", database)["ok"]
        for path in [database, self.console.log, *self.folder.rglob("check-ins.jsonl")]:
            assert PIN.encode() not in path.read_bytes()

    # --- the browser --------------------------------------------------------------------------------------------------

    def _shows(self, **expected: int) -> None:
        """The tiles, all of them: what is not named is 0."""
        for state, words in STATES.items():
            count = expected.get(state.name.lower(), 0)
            tile = self.page.locator(".tile", has=self.page.locator(".label", has_text=re.compile(f"^{words.label}$")))
            expect(tile.locator(".count"), words.label).to_have_text(str(count), timeout=20_000)

    def _picture(self, name: str, *, whole: bool = True) -> None:
        if self.screenshots is not None:
            self.taken += 1
            self.page.screenshot(path=self.screenshots / f"{self.taken}-{name}.png", full_page=whole)


@dataclass
class RealDesk:
    """A prescriber at a real agent: processes, a pcscd of their own, a virtual card behind vpcd."""

    desk: Desk
    card: VirtualCard
    link: VpcdLink

    def renew(self) -> None:
        """Insert the card, read what the agent says, renew."""
        agent = self.desk.talk("agent")
        self.link.insert()
        agent.hear("verdict=AFFECTED")
        talk = self.desk.talk("renew")
        talk.hear(ASKED)
        talk.type("1")
        talk.hear(PASSCODE)
        talk.type(PIN)
        talk.hear("Remove the smartcard ending ")
        self.link.remove()
        talk.hear("Put your smartcard back in")
        self.link.insert()
        talk.hear(PASSCODE)
        talk.type(PIN)
        assert talk.end().status == 0
        agent.hear("verdict=UNAFFECTED")


@contextmanager
def story(folder: Path, workstations: int, screenshots: Path | None) -> Iterator[Recall]:
    """The RA with all cards issued, a console that serves, the manager signed in, agents not yet running."""
    with ExitStack() as stack:
        ra = stack.enter_context(MockRa(folder / "ra"))
        pki = ra.office.pki
        roots = (pki.root, pki.authentication, pki.signing)
        (folder / "ra-root.pem").write_bytes(b"".join(pem(one.der) for one in roots))
        (folder / "campaign-anchor.pem").write_bytes(ra.campaign_anchor.read_bytes())
        served = stack.enter_context(console(folder))
        codes = {}
        for code, name in ORGANISATIONS.items():
            words = ["console", "enrol", "--config", served.config, "--organisation", code, "--name", name]
            codes[code] = run(*words)["code"]
        where = Where(ra, served.agents, served.certificate, (ID,), codes)
        simulated = _simulated(folder, where, workstations)
        stack.enter_context(fleet(simulated))
        real = [_real(stack, folder, where, workstations + number) for number in range(REAL)]
        manager = stack.enter_context(desk(_made(folder / "manager"), DeskOffice(_made(folder / "office"), ra)))
        _manager_card(manager, ra)
        signed = _signed(folder, manager)
        browser = stack.enter_context(chromium())
        context = browser.new_context(base_url=served.people, ignore_https_errors=True)
        context.set_default_timeout(15_000)
        page = context.new_page()
        _sign_in(served, manager, page)
        yield Recall(folder, ra, served, manager, page, simulated, real, signed, screenshots)


def _simulated(folder: Path, where: Where, count: int) -> list[Simulated]:
    codes, made = list(ORGANISATIONS), dict[int, Simulated]()

    def make(number: int) -> None:
        organisation, days = codes[number % len(codes)], BAD if number % 5 < 3 else GOOD
        card = issue(where.ra, number, organisation, days=days)
        made[number] = Simulated(folder / f"WS-{number:03}", where, organisation, card, affected=days == BAD)

    each(range(count), make)
    return [made[number] for number in range(count)]


def _real(stack: ExitStack, folder: Path, where: Where, number: int) -> RealDesk:
    pcscd = stack.enter_context(PrivatePcscd(1))
    card = issue(where.ra, number, "RX2", days=BAD)
    office = DeskOffice(_made(folder / f"office-{number}"), where.ra)
    here = Desk(_made(folder / f"real-{number}"), office, VirtualReaders((READER,)), "pcsc", env=pcscd.variables)
    here.configure(
        campaign=f'urls = ["{where.console}/campaigns/{ID}.campaign"]\nanchor = "{where.ra.campaign_anchor}"',
        console=f'url = "{where.console}"\nroot = "{where.console_root}"\nenrolment = "{where.codes["RX2"]}"',
    )
    stack.callback(here.close)
    link = VpcdLink(card, pcscd.ports[0])
    stack.callback(link.remove)
    return RealDesk(here, card, link)


def _manager_card(manager: Desk, ra: MockRa) -> None:
    """One card for both: the manager's own authentication certificate, and a campaign signer's."""
    card = issue(ra, 999, "RX1", days=1, name=MANAGER)
    signer = read_signer(ra.campaign_signer)
    card.import_key(0x9C, signer.key)
    card.write_certificate(0x9C, signer.certificate.public_bytes(Encoding.DER))
    manager.cards.append(card)
    manager.readers.insert(READER, card)


def _signed(folder: Path, manager: Desk) -> Path:
    """`campaign new`, then `campaign sign --card`."""
    now = datetime.now(UTC)
    plain, signed = folder / f"{ID}.json", folder / f"{ID}.campaign"
    words = ["--id", ID, "--issued-from", _day(now - timedelta(days=BAD + 2)), "--issued-to"]
    words += [_day(now - timedelta(days=BAD - 2)), "--expires", _day(now + timedelta(days=60))]
    words += ["--deadline", _day(now + timedelta(days=14)), "--contact-name", "The RA desk", "--contact-phone", "0300"]
    words += ["--reason", "This smartcard was issued with a fault. Renew it before you sign any more prescriptions."]
    run("campaign", "new", *words, "--out", plain)
    done = manager.run("campaign", "sign", str(plain), "--card", "--out", str(signed), typed=PIN + "\n")
    assert done.status == 0, done.err
    return signed


def _sign_in(served: Console, manager: Desk, page: Page) -> None:
    """By card; the browser gets a link that is good for one use."""
    words = ["--role", "ra-manager", "--organisation", "*", "--subject", MANAGER, "--name", "Morgan Manager"]
    run("console", "person", "add", "--config", served.config, *words)
    done = manager.run("console", "sign-in", served.people, "--ca", str(served.certificate), "--json", typed=PIN + "\n")
    assert done.status == 0, done.err
    page.goto(done.document["link"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(served.people + "/")


def run(*words: object) -> dict[str, Any]:
    """The command with --json, which succeeds."""
    command = [sys.executable, "-m", "renewagent", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _day(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--screenshots", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--workstations", type=int, default=200)
    options = parser.parse_args()
    options.screenshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="renewagent-story-") as folder:
        tell_it(Path(folder), options.workstations, options.screenshots)


if __name__ == "__main__":
    main()

"""The pages of the EPCS desk in a real browser: a phone app brought back to signing by three people at three browsers;
and every page by axe, enlarged, in the dark, without scripts, by keyboard.

Run as a program it does the first of these and puts screenshots into a folder (docs/images for docs/epcs.md):

    python -m tests.flows.test_epcs_pages_browser --screenshots FOLDER
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from starlette.routing import Route
from starlette.types import ASGIApp

from renewagent.console.app import _epcs
from renewagent.console.epcs import daily_report, hardware, overrides, requests, scheduler, soft, suspensions, tickets
from renewagent.console.permissions import Person, Role
from renewagent.console.settings import Listener
from renewagent.console.site import Site
from renewagent.tokens.errors import TokenRefused
from renewagent.tokens.grants import Action, SuspensionReason
from renewagent.tokens.soft_causes import Cause
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from tests.browser import Console, at, check, check_in_light_and_dark, chromium, served
from tests.flows.test_console_pages import assert_focus_shows, focused, opened, tab_to
from tests.unit.console.epcs.soft_world import EMAIL, PHONE, SoftWorld, new_world
from tests.unit.console.epcs.vendor_forms import SHIP_TO

REEDS, LEES = "GALH00000017", "GAHE00000017"
DAY = timedelta(days=1)


@dataclass
class Clinic:
    """Lee's app, and those who look after it, at a console that is served."""

    world: SoftWorld
    console: Console
    token: ButtonToken
    screenshots: Path | None = None
    taken: int = field(default=0)

    def page(self, browser: Browser, stack: ExitStack, person: Person, **options: Any) -> Page:
        """Somebody's browser."""
        return stack.enter_context(self.context(browser, person, **options)).new_page()

    def context(self, browser: Browser, person: Person, **options: Any) -> BrowserContext:
        return self.console.context(browser, person.id, **options)

    def seen(self, page: Page, name: str = "") -> None:
        """What axe says of it, and a picture for the guide."""
        check(page)
        if self.screenshots is not None and name:
            self.taken += 1
            page.screenshot(path=self.screenshots / f"epcs-{self.taken}-{name}.png", full_page=True)

    def some_time_passes(self) -> None:
        """The console's chores look at what no longer waits for anybody."""
        self.world.bench.clock.move(timedelta(minutes=1))
        scheduler.look_at_rest(self.world.desk)


@contextmanager
def clinic(folder: Path, screenshots: Path | None = None) -> Iterator[Clinic]:
    made: list[SoftWorld] = []

    def begin(url: str) -> tuple[Site, ASGIApp]:
        made.append(new_world(folder, people=Listener("127.0.0.1", int(url.rpartition(":")[2]), url)))
        return made[0].bench.site, made[0].bench.app

    with served(folder, begin) as console:
        world = made[0]
        token = world.bench.token(REEDS)
        hardware.register(world.desk, world.reed, world.reed, REEDS, REEDS)
        yield Clinic(world, console, token, screenshots)
    made[0].close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_a_phone_app_is_brought_back_to_signing_by_three_people(browser: Browser, tmp_path: Path) -> None:
    with clinic(tmp_path) as place:
        tell_it(place, browser)


def tell_it(place: Clinic, browser: Browser) -> None:
    """Lee has a new phone. Lee registers it anew, Hale lends the override and enters the grant, Reed executes it; the
    page in Lee's browser is never loaded again while others act."""
    world = place.world
    world.befall(Cause.NEW_PHONE)
    with ExitStack() as stack:
        lee, hale, reed = (place.page(browser, stack, one) for one in (world.lee, world.hale, world.reed))
        why_and_begin(place, lee)
        until_an_administrator_is_needed(place, lee)
        lee.evaluate("window.same = true")
        the_override(place, hale)
        expect(lee.locator("#run")).to_contain_text("The grant is missing", timeout=10_000)
        the_grant(place, hale, reed)
        place.some_time_passes()
        expect(lee.get_by_role("heading", level=1)).to_have_text("You can sign again", timeout=10_000)
        assert lee.evaluate("window.same"), "the page itself stayed"
        place.seen(lee, "you-can-sign-again")
        lee.get_by_role("link", name="See whether you can sign").click()
        expect(lee.locator(".answer")).to_contain_text("You can sign prescriptions")
        place.seen(lee)
    assert world.signs() == "", "and so it is"


def why_and_begin(place: Clinic, lee: Page) -> None:
    """From "Can I sign?" to the first step."""
    at(lee, "/")
    expect(lee.get_by_role("heading", level=1)).to_have_text("Can I sign?")
    place.seen(lee, "can-i-sign")
    lee.get_by_role("link", name="Why is my code refused?").click()
    for answer in ("An app on a phone", '"Soft Token Expired"'):
        lee.get_by_label(answer).check()
        lee.get_by_role("button", name="Go on").click()
    expect(lee.locator("#h-answer")).to_contain_text("it wants the phone registered anew")
    place.seen(lee, "why-is-my-code-refused")
    lee.get_by_role("link", name="To your soft token").click()
    lee.get_by_label("Another phone").check()
    lee.get_by_role("button", name="What does that mean?").click()
    expect(lee.locator("#h-why ~ .findings")).to_contain_text("You have a new phone")
    place.seen(lee, "soft-token-expired")
    assert lee.get_by_label("You have a new phone").is_checked()
    lee.get_by_role("button", name="Begin").click()
    expect(lee.locator("[aria-current=step]")).to_contain_text("Have the vendor send two codes")
    place.seen(lee)


def until_an_administrator_is_needed(place: Clinic, lee: Page) -> None:
    """Two codes by two ways, the app activated with them, the device registered."""
    world = place.world
    before = len(world.bench.vendor.outbox(EMAIL)), len(world.bench.vendor.outbox(PHONE))
    lee.get_by_role("button", name="Continue").click()
    expect(lee.locator("#run")).to_contain_text("Two codes were sent")
    place.seen(lee, "two-codes")
    after = len(world.bench.vendor.outbox(EMAIL)), len(world.bench.vendor.outbox(PHONE))
    assert after == (before[0] + 1, before[1] + 1)
    world.activate()
    lee.get_by_role("button", name="Continue").click()
    expect(lee.locator("[aria-current=step]")).to_contain_text("An administrator lends the override")
    expect(lee.locator("[aria-current=step] .badge")).to_have_text("Waits")
    place.seen(lee, "waits-for-an-administrator")


def the_override(place: Clinic, hale: Page) -> None:
    """By way of the list of prescribers."""
    at(hale, "/epcs/people")
    expect(hale.get_by_role("row", name=re.compile("Lee"))).to_contain_text("An EPCS administrator other than Lee")
    place.seen(hale, "prescribers")
    hale.get_by_role("link", name="Soft token of Lee").click()
    hale.get_by_role("link", name="Go on with it").click()
    hale.get_by_role("button", name="Lend it to Lee").click()
    expect(hale.locator("#run")).to_contain_text("the override is gone")
    place.seen(hale)
    assert not overrides.open_leases(place.world.desk), "it stood no longer than it must"


def the_grant(place: Clinic, hale: Page, reed: Page) -> None:
    """Entered by one, executed by the other with a code."""
    at(reed, "/epcs/requests")
    expect(reed.locator(".live")).to_have_text("Live.")
    hale.get_by_role("button", name="Enter the grant").click()
    expect(hale.get_by_text("It is entered.")).to_be_visible()
    place.seen(hale)
    reed.get_by_role("link", name="Grant EPCS to Lee").click(timeout=10_000)  # it appears by itself
    expect(reed.locator(".approval")).to_contain_text("Let Lee sign prescriptions of controlled substances")
    expect(reed.get_by_label("Your token's serial number")).to_have_value(REEDS)
    place.seen(reed, "what-is-approved")
    reed.get_by_label("One-Time Password").fill("000000")
    reed.get_by_role("button", name="Approve and execute").click()
    expect(reed.get_by_role("alert")).to_contain_text("has been entered incorrectly")
    expect(reed.get_by_label("One-Time Password")).to_have_value("")
    place.seen(reed)
    reed.get_by_label("One-Time Password").fill(place.token.press())
    reed.get_by_role("button", name="Approve and execute").click()
    expect(reed.locator("#request .badge")).to_have_text("Executed")
    place.seen(reed)


# --- every page


@dataclass
class Full:
    """A desk at which something of everything is under way, and where to look at it."""

    clinic: Clinic
    lee: Person
    vera: Person
    addresses: dict[str, list[str]]

    def every(self) -> list[str]:
        return [one for some in self.addresses.values() for one in some]

    def for_prescribers(self) -> list[str]:
        administration = ("/epcs/people", "/epcs/overrides", "/epcs/incidents", "/epcs/reports")
        return [one.replace("?user=lee", "") for one in self.every() if not one.startswith(administration)]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Full]:
    with clinic(tmp_path_factory.mktemp("epcs")) as place:
        world = place.world
        desk, lee, hale = world.desk, world.lee, world.hale
        vera = world.bench.person("vera", Role.EPCS_ADMINISTRATOR, organisations="*")
        ned, kim = world.bench.person("ned", dea="BN1111119"), world.bench.person("kim", dea="BK1111119")
        world.bench.token(LEES)
        hardware.register(desk, lee, lee, LEES, LEES)
        with pytest.raises(TokenRefused):
            hardware.resynchronise(desk, lee, lee, LEES, "111111", "222222")
        order = tickets.order(desk, lee, lee, {**SHIP_TO, "kind": "spare", "provider": "Ann Lee", "email": EMAIL})
        world.befall(Cause.PASSWORD_CHANGED)
        run = soft.begin(desk, lee, lee, Cause.PASSWORD_CHANGED)
        soft.go_on(desk, lee, run.id)
        scheduler.look_first(desk)
        overrides.give(desk, hale, ned, "Enable EPCS")
        request = requests.enter(desk, hale, ned, Action.GRANT, "New in the practice")
        suspended = suspensions.suspend(desk, hale, kim, SuspensionReason.LOST, "In the car park.")
        daily_report.tend(desk)
        yesterday = (world.bench.clock() - DAY).date().isoformat()
        addresses = {
            "/epcs": ["/epcs", "/epcs?user=lee", "/epcs?user=ned", "/epcs?user=kim&said=suspended"],
            "/epcs/suspend": ["/epcs/suspend?user=lee"],
            "/epcs/tokens": ["/epcs/tokens", "/epcs/tokens?user=lee", "/epcs/tokens?user=lee&said=lost"],
            "/epcs/register": ["/epcs/register?user=lee"],
            "/epcs/tokens/{serial}/resync": [f"/epcs/tokens/{LEES}/resync?user=lee"],
            "/epcs/tokens/{serial}/lost": [f"/epcs/tokens/{LEES}/lost?user=lee"],
            "/epcs/explain": [
                *("/epcs/explain", "/epcs/explain?asked=kind", "/epcs/explain?kind=soft&soft-message=expired"),
            ],
            "/epcs/tickets": ["/epcs/tickets", "/epcs/tickets?user=lee"],
            "/epcs/tickets/new": [
                "/epcs/tickets/new?kind=reset",
                f"/epcs/tickets/new?user=lee&kind=reset&serial={LEES}",
                "/epcs/tickets/new?kind=replacement",
                "/epcs/tickets/new?kind=spare",
            ],
            "/epcs/tickets/{id}": [f"/epcs/tickets/{order.ticket.id}?user=lee"],
            "/epcs/soft": ["/epcs/soft", "/epcs/soft?user=lee", "/epcs/soft?user=kim&phone=unsure"],
            "/epcs/soft/runs/{id}": [f"/epcs/soft/runs/{run.id}?user=lee"],
            "/epcs/requests": ["/epcs/requests"],
            "/epcs/requests/{id}": [f"/epcs/requests/{request.id}", f"/epcs/requests/{suspended.request.id}"],
            "/epcs/people": ["/epcs/people", "/epcs/people?name=nobody"],
            "/epcs/overrides": ["/epcs/overrides", "/epcs/overrides?user=lee&said=lent"],
            "/epcs/incidents": ["/epcs/incidents"],
            "/epcs/incidents/{id}": [f"/epcs/incidents/{suspended.incident.id}"],
            "/epcs/reports": ["/epcs/reports", f"/epcs/reports?day={yesterday}&said=looked-at"],
        }
        yield Full(place, lee, vera, addresses)


NO_PAGE = {"/epcs/news", "/epcs/soft/reminders.ics"}


def test_no_page_is_forgotten(full: Full) -> None:
    routes = [one for one in _epcs(full.clinic.world.desk) if isinstance(one, Route)]
    looked_at = {one.path for one in routes if "GET" in (one.methods or set()) and "/api/" not in one.path}
    assert looked_at == full.addresses.keys() | NO_PAGE


def test_axe_finds_nothing_on_any_page(browser: Browser, full: Full) -> None:
    with full.clinic.context(browser, full.vera) as context:
        page = context.new_page()
        for address in full.every():
            check_in_light_and_dark(opened(at(page, address)))


def test_axe_finds_nothing_on_a_prescribers_own_pages(browser: Browser, full: Full) -> None:
    with full.clinic.context(browser, full.lee) as context:
        page = context.new_page()
        for address in full.for_prescribers():
            page.goto(address)
            check(opened(page))


@pytest.mark.parametrize("width", [640, 320])  # 1280 pixels at 200 % and at 400 % (WCAG 2.2, 1.4.4 and 1.4.10)
def test_enlarged_nothing_has_to_be_scrolled_sideways(browser: Browser, full: Full, width: int) -> None:
    with full.clinic.context(browser, full.vera, viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        for address in full.every():
            opened(at(page, address))
            wide, seen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert wide <= seen, f"{address} is {wide} wide"


def test_every_page_works_without_scripts(browser: Browser, full: Full) -> None:
    with full.clinic.context(browser, full.vera, java_script_enabled=False) as context:
        page = context.new_page()
        for address in full.every():
            at(page, address)
            assert page.locator("h1").inner_text().strip()
            assert page.get_by_role("link", name="Reload this page").get_attribute("href") == address


def test_a_refused_form_says_what_is_wrong_beside_the_field_and_keeps_the_rest(browser: Browser, full: Full) -> None:
    with full.clinic.context(browser, full.lee, java_script_enabled=False) as context:
        page = at(context.new_page(), "/epcs/tickets/new?kind=replacement")
        page.get_by_label("Email Address with Exostar").fill("lee at clinic")
        page.get_by_label("Ship To City").fill("Springfield")
        page.locator("form.panel").evaluate("form => form.noValidate = true")
        page.get_by_role("button", name="Order it").click()
        expect(page.get_by_role("alert")).to_contain_text("These have to be corrected")
        expect(page.get_by_label("Ship To City")).to_have_value("Springfield")
        expect(page.get_by_label("Email Address with Exostar")).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#e-email")).to_contain_text("is no e-mail address")
        expect(page.locator("#e-front")).to_contain_text("A picture of the front of the token is missing.")
        check_without_scripts(page)


def check_without_scripts(page: Page) -> None:
    """Every field that is wrong is reached from the summary."""
    for link in page.locator("#problem a").all():
        assert page.locator(str(link.get_attribute("href"))).count() == 1


def test_by_keyboard_alone_from_the_first_page_to_two_codes(browser: Browser, full: Full) -> None:
    with full.clinic.context(browser, full.lee) as context:
        page = at(context.new_page(), "/epcs")
        tab_to(page, "Tokens")
        page.keyboard.press("Enter")
        page.wait_for_url("**/epcs/tokens")
        tab_to(page, "Resynchronise")
        page.keyboard.press("Enter")
        page.wait_for_url("**/resync")
        tab_to(page, "Turn the token over")
        page.keyboard.type(LEES)
        tab_to(page, "One-Time Password 1")
        page.keyboard.type("123456")
        tab_to(page, "One-Time Password 2")
        page.keyboard.type("123456")
        tab_to(page, "Resynchronise")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("That is the same code twice.")
        assert_focus_shows_on_every_stop(page)
        check(page)


def assert_focus_shows_on_every_stop(page: Page) -> None:
    page.evaluate("document.activeElement.blur()")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            return
        assert_focus_shows(page)
    raise AssertionError(f"the Tab key does not lead out of the page: {focused(page)}")


def test_the_time_that_is_left_counts_down_by_itself(browser: Browser, full: Full) -> None:
    with full.clinic.context(browser, full.vera) as context:
        page = context.new_page()
        page.clock.install()
        at(page, "/epcs/overrides")
        left = page.locator("#overrides .badge")
        before = left.inner_text()
        assert re.fullmatch(r"Ends in \d+ minutes", before)
        full.clinic.world.bench.clock.move(timedelta(minutes=2))
        page.clock.run_for(30_000)
        expect(left).not_to_have_text(before, timeout=10_000)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--screenshots", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    options.screenshots.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="renewagent-epcs-") as folder,
        clinic(Path(folder), options.screenshots) as place,
        chromium() as browser,
    ):
        tell_it(place, browser)


if __name__ == "__main__":
    main()

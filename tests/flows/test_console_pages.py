"""The console's pages in a real browser: everybody can use them, with or without scripts, by keyboard, enlarged, in the
dark. Every address that answers with a page is tried; one that is new and not listed here is missed by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect
from starlette.routing import Route

from renewagent.check_ins import CardState
from renewagent.console import app as applications
from renewagent.console.store import Store, raise_revision
from renewagent.console.tables import AGENT, CHECK_ORDER, STANDING
from tests.browser import Console, at, check, check_in_light_and_dark, chromium, console
from tests.flows.console_seed import CAMPAIGN_ID, NOW, anchor_pem, document, seed, seed_people, signed

NO_PAGE = {
    *("/healthz", "/metrics", "/openapi.json", "/news", "/static/{name}", "/cards.csv", "/audit.jsonl"),
    *("/campaigns/{name}/{version:int}.campaign", "/campaigns/{name}/next/{step}"),
}
"""Addresses that are read by programs, or download a file."""
EMPTY = [
    "/",
    "/cards",
    "/campaigns",
    "/targets",
    "/preview",
    "/check-now",
    "/agents",
    "/fleet-codes",
    "/people",
    "/audit",
]
THREE_DAYS = timedelta(days=3)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("full")
    store = Store(f"sqlite:///{folder / 'console.db'}")
    store.migrate()
    seed(store)
    (folder / "anchor.pem").write_bytes(anchor_pem())
    with console(folder, store, NOW) as running:
        yield running


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("empty")
    store = Store(f"sqlite:///{folder / 'console.db'}")
    store.migrate()
    seed_people(store)
    with console(folder, store, NOW) as running:
        yield running


def addresses(place: Console) -> dict[str, list[str]]:
    """By route: where to look at it."""

    def first(column: sa.Column[Any], *where: sa.ColumnElement[bool]) -> str:
        return str(place.site.store.reading(lambda c: c.execute(sa.select(column).where(*where).limit(1)).scalar()))

    done = first(STANDING.c.card, STANDING.c.state == "done")
    put_off = first(STANDING.c.card, STANDING.c.state == "put-off")
    agent = first(AGENT.c.id, AGENT.c.revoked.is_(None))
    return {
        "/": ["/", "/?campaign=2026-10-short-keys"],
        "/cards": ["/cards", "/cards?status=stuck", "/cards?status=not-seen&organisation=RX1", "/cards?type=none"],
        "/cards/{card:path}": [f"/cards/{done}", f"/cards/{put_off}"],
        "/campaigns": ["/campaigns"],
        "/campaigns/{name}": [f"/campaigns/{CAMPAIGN_ID}", f"/campaigns/{CAMPAIGN_ID}?said=published"],
        "/preview": ["/preview", f"/preview?campaign={CAMPAIGN_ID}"],
        "/targets": ["/targets", "/targets?said=dropped"],
        "/check-now": ["/check-now", f"/check-now?agent={agent}"],
        "/check-now/{order}": [f"/check-now/{first(CHECK_ORDER.c.id)}"],
        "/agents": ["/agents", "/agents?said=shut-out", "/agents?machine=nowhere"],
        "/fleet-codes": ["/fleet-codes", "/fleet-codes?said=ended"],
        "/people": ["/people", "/people?said=added"],
        "/audit": ["/audit"],
        "/audit/verify": ["/audit/verify"],
    }


FOR_NOBODY = {"/sign-in": "/sign-in", "/sign-in/finish": "/sign-in/finish?link=none"}


def every(place: Console) -> list[str]:
    return [one for some in addresses(place).values() for one in some]


def test_no_page_is_forgotten(full: Console) -> None:
    known = addresses(full).keys() | FOR_NOBODY.keys() | NO_PAGE
    routes = [one for one in applications._people(full.site) if isinstance(one, Route)]
    assert len(routes) > 20
    assert {route.path for route in routes if route.methods is None or "GET" in route.methods} <= known


def test_axe_finds_nothing_on_any_page_that_is_full(browser: Browser, full: Console) -> None:
    with full.context(browser, "manager") as context:
        page = context.new_page()
        for address in every(full):
            check_in_light_and_dark(opened(at(page, address)))


def test_axe_finds_nothing_on_any_page_that_is_empty(browser: Browser, empty: Console) -> None:
    with empty.context(browser, "manager") as context:
        page = context.new_page()
        for address in EMPTY:
            check(at(page, address))


def test_axe_finds_nothing_for_those_with_fewer_rights_and_for_nobody(browser: Browser, full: Console) -> None:
    with full.context(browser, "sponsor") as context:
        page = context.new_page()
        for address in ("/", "/cards", "/campaigns", f"/campaigns/{CAMPAIGN_ID}"):
            check(at(page, address))
        expect(page.get_by_role("link", name="Audit log")).to_have_count(0)
        page.goto("/audit")
        check(page)
    with full.context(browser, None) as context:
        page = context.new_page()
        for address in FOR_NOBODY.values():
            page.goto(address)
            check(page)


@pytest.mark.parametrize("width", [640, 320])  # 1280 pixels at 200 % and at 400 % (WCAG 2.2, 1.4.4 and 1.4.10)
def test_enlarged_nothing_has_to_be_scrolled_sideways(browser: Browser, full: Console, width: int) -> None:
    with full.context(browser, "manager", viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        for address in [*every(full), *FOR_NOBODY.values()]:
            page.goto(address)
            opened(page)
            wide, seen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert wide <= seen, f"{address} is {wide} wide"


def test_every_page_works_without_scripts(browser: Browser, full: Console, empty: Console) -> None:
    for place, addresses_ in ((full, every(full)), (empty, EMPTY)):
        with place.context(browser, "manager", java_script_enabled=False) as context:
            page = context.new_page()
            for address in addresses_:
                at(page, address)
                assert page.locator("h1").inner_text().strip()
                expect(page.get_by_role("link", name="Reload this page")).to_be_visible()
                assert page.get_by_role("link", name="Reload this page").get_attribute("href") == address


def test_what_people_do_works_without_scripts(browser: Browser, full: Console) -> None:
    with full.context(browser, "manager", java_script_enabled=False) as context:
        page = at(context.new_page(), "/cards")
        page.get_by_label("Status").select_option(label="Locked")
        page.get_by_role("button", name="Apply filters").click()
        rows = page.locator("tbody tr")
        assert rows.count() > 1
        assert set(page.locator("tbody td:nth-child(2) .badge").all_inner_texts()) == {"Locked"}
        page.get_by_role("link", name="Reload this page").click()
        assert "status=locked" in page.url
        page.goto("/check-now")
        page.get_by_label("Whom").select_option("RX2")
        page.get_by_role("button", name="Check now").click()
        expect(page.get_by_text("all workstations of RX2")).to_be_visible()
        page.goto("/agents")
        page.get_by_text("Shut out FA7-WS0007…", exact=True).click()
        page.get_by_role("button", name="Shut out FA7-WS0007").click()
        expect(page.get_by_text("The workstation is shut out.")).to_be_visible()


def test_by_keyboard_alone_from_the_first_page_to_one_card(browser: Browser, full: Console) -> None:
    with full.context(browser, "manager") as context:
        page = at(context.new_page(), "/")
        page.keyboard.press("Tab")
        assert focused(page) == "Skip to the content"
        assert_focus_shows(page)
        page.keyboard.press("Enter")
        tab_to(page, "Locked")
        page.keyboard.press("Enter")
        page.wait_for_url("**/cards?*status=locked*")
        tab_to(page, "Campaign", "SELECT")
        tab_to(page, "Status", "SELECT")
        page.keyboard.type("Stuck")
        tab_to(page, "Apply filters")
        page.keyboard.press("Enter")
        page.wait_for_url("**/cards?*status=stuck*")
        name = page.locator("tbody tr").first.get_by_role("link").inner_text()
        tab_to(page, name)
        page.keyboard.press("Enter")
        page.wait_for_url("**/cards/chuid*")
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Smartcard {name}")


def test_no_focus_is_hidden(browser: Browser, full: Console) -> None:
    with full.context(browser, "manager") as context:
        page = at(context.new_page(), "/people")
        seen = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement === document.body"):
                break
            seen.add(focused(page))
            assert_focus_shows(page)
        assert {"Dashboard", "Sign out", "Let them in"} <= seen


def test_the_numbers_move_by_themselves(browser: Browser, full: Console) -> None:
    store = full.site.store
    with full.context(browser, "manager") as context:
        page = at(context.new_page(), "/")
        expect(page.locator(".live")).to_have_text("Live.")
        tile = page.locator("a.tile", has_text="Refused").locator(".count")
        before = int(tile.inner_text())
        page.locator("#burn-table summary").click()
        page.locator("a.tile", has_text="Refused").focus()
        page.evaluate("window.same = true")

        def refuse(connection: sa.Connection) -> None:
            told = sa.select(STANDING.c.card).where(STANDING.c.state == "told", STANDING.c.since > NOW - THREE_DAYS)
            card = connection.execute(told.limit(1)).scalar()
            one = sa.update(STANDING).where(STANDING.c.card == card)
            connection.execute(one.values(state=CardState.REFUSED.value, since=NOW))
            raise_revision(connection, "standings")

        store.writing(refuse)
        expect(tile).to_have_text(str(before + 1), timeout=10_000)
        assert page.evaluate("window.same"), "the page itself stays"
        expect(page.locator("#burn-table")).to_have_attribute("open", "")
        assert "Refused" in focused(page)
        expect(page.locator(".live")).to_have_text(re.compile(r"^Live\. Last change at \d\d:\d\d:\d\d UTC\.$"))
        said = page.locator("[data-announce]").get_attribute("data-announce")
        expect(page.locator("#announcement")).to_have_text(str(said))


def test_a_page_that_hears_nothing_says_so(browser: Browser, full: Console) -> None:
    with full.context(browser, "manager") as context:
        context.route("**/news", lambda route: route.abort())
        page = context.new_page()
        page.goto("/")
        expect(page.locator(".live")).to_contain_text("Not live", timeout=15_000)
        context.unroute("**/news")
        page.reload()
        expect(page.locator(".live")).to_have_text("Live.")


def test_whoever_is_signed_out_meanwhile_is_told(browser: Browser, full: Console) -> None:
    with full.context(browser, "agent") as context:
        page = at(context.new_page(), "/")
        expect(page.locator(".live")).to_have_text("Live.")
        other = context.new_page()
        other.goto("/cards")
        other.get_by_role("button", name="Sign out").click()
        expect(other.get_by_role("heading", level=1)).to_have_text("You are signed out")
        check(other)
        full.site.store.writing(lambda connection: raise_revision(connection, "standings"))
        expect(page.locator(".live")).to_contain_text("You have been signed out.", timeout=10_000)


def test_a_campaign_from_preview_to_published(browser: Browser, full: Console, tmp_path: Path) -> None:
    new = document(NOW, id="2026-11-new", version=1)
    plain, whole, wrong = tmp_path / "new.json", tmp_path / "new.campaign", tmp_path / "wrong.campaign"
    plain.write_bytes(new)
    whole.write_bytes(signed(new))
    wrong.write_bytes(signed(new)[:-3] + b"abc")
    with full.context(browser, "manager") as context:
        page = at(context.new_page(), "/preview")
        page.get_by_label("Campaign, signed or not").set_input_files(plain)
        page.get_by_role("button", name="Show whom it would hit").click()
        expect(page.get_by_text("480 of 480 certificates on target lists")).to_be_visible()
        check(page)
        page.goto("/campaigns")
        page.get_by_label("Signed campaign", exact=True).set_input_files(wrong)
        page.get_by_role("button", name="Publish campaign").click()
        expect(page.get_by_role("alert")).to_contain_text("The campaign was not published.")
        check(page)
        page.get_by_label("Signed campaign", exact=True).set_input_files(whole)
        page.get_by_role("button", name="Publish campaign").click()
        expect(page.get_by_role("status").first).to_contain_text("Version 1 is published.")
        answer = page.request.get(page.get_by_role("link", name="Pause").get_attribute("href") or "")
        drafted = answer.body()
        assert 'filename="2026-11-new-2.json"' in answer.headers["content-disposition"]
        assert b'"paused": true' in drafted and b'"version": 2' in drafted
        paused = tmp_path / "paused.campaign"
        paused.write_bytes(signed(drafted))
        page.goto("/campaigns")
        page.get_by_label("Signed campaign", exact=True).set_input_files(paused)
        page.get_by_role("button", name="Publish campaign").click()
        expect(page.locator("h1 + .badge")).to_have_text("Paused")
        expect(page.get_by_role("link", name="Resume")).to_be_visible()
        published = page.request.get(page.get_by_role("link", name="version 2").get_attribute("href") or "")
        assert published.body() == paused.read_bytes()


def test_targets_codes_and_people(browser: Browser, full: Console, tmp_path: Path) -> None:
    result = tmp_path / "affected.csv"
    heading = "source,index,verdict,rule,serial,issuer,not_before,why,sha256,organisation,name,email\r\n"
    issuer = '"CN=NHS Signing G2,O=nhs,C=GB"'
    row = f"x,0,affected,short keys,1a2b,{issuer},2026-09-24T00:00:00Z,Issued.,{'ab' * 32},RX2,Dr New,\r\n"
    result.write_text(heading + row)
    with full.context(browser, "manager") as context:
        page = at(context.new_page(), "/targets")
        page.get_by_label("Campaign").select_option("2026-10-short-keys")
        page.get_by_label("Result of the check").set_input_files(result)
        page.get_by_role("button", name="Take in the list").click()
        expect(page.get_by_text("1 certificates are now the targets of 2026-10-short-keys.")).to_be_visible()
        check(page)
        at(page, "/cards?campaign=2026-10-short-keys")
        expect(page.locator("tbody tr")).to_contain_text(["Dr New"])
        expect(page.get_by_text("No e-mail address")).to_be_visible()

        at(page, "/fleet-codes")
        page.get_by_label("Organisation code").fill("RX9")
        page.get_by_role("button", name="Make code").click()
        assert re.fullmatch(r"[a-z2-7]{5}(-[a-z2-7]{1,5}){5}", page.locator(".message .code").inner_text())
        check(page)

        at(page, "/people")
        page.get_by_label("Name", exact=True).fill("Noor New")
        page.get_by_label("Organisation codes").fill("RX9")
        page.get_by_role("button", name="Let them in").click()
        expect(page.get_by_role("alert")).to_contain_text("Nobody can sign in without a card")
        check(page)
        assert page.get_by_label("Name", exact=True).input_value() == "Noor New"
        page.get_by_label("Or their single sign-on account").fill("noor")
        page.get_by_role("button", name="Let them in").click()
        expect(page.get_by_role("row", name="Noor New")).to_contain_text("RX9")


def opened(page: Page) -> Page:
    """With everything open that opens."""
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    return page


def focused(page: Page) -> str:
    script = """() => { const e = document.activeElement, label = e.labels && e.labels[0];
        return label ? label.innerText : e.innerText || e.getAttribute("aria-label") || "" }"""
    return " ".join(str(page.evaluate(script)).split())


def tab_to(page: Page, words: str, element: str = "") -> None:
    for _ in range(80):
        page.keyboard.press("Tab")
        if focused(page).startswith(words) and page.evaluate("document.activeElement.tagName") == (
            element or page.evaluate("document.activeElement.tagName")
        ):
            assert_focus_shows(page)
            return
    raise AssertionError(f"the Tab key does not lead to {words}")


def assert_focus_shows(page: Page) -> None:
    script = """() => { const s = getComputedStyle(document.activeElement);
        return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 && s.boxShadow !== "none" }"""
    assert page.evaluate(script), f"no focus is seen on {focused(page)}"

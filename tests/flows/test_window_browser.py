"""The page of a renewal in a real browser: from Start to Done with and without scripts, by keyboard alone, enlarged, in
the dark, and every state of it looked at by axe."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from renewagent.agent import desk_words, passcode_words, removal_words, stale, watching_words, window_states, words
from renewagent.agent.full_inspection import error_document
from renewagent.agent.prompts import CardAct, ChannelPrompter
from renewagent.agent.window import WindowPrompter
from renewagent.agent.window_guard import Keys
from renewagent.agent.window_page import Page as WindowPage
from renewagent.agent.window_page import serving
from renewagent.agent.words import Message
from renewagent.errors import NothingTyped, PersonStopped, PinBlocked, RaUnreachable
from renewagent.model import CardIdentity
from renewagent.rules import Contact
from renewagent_fixtures.virtual_card import VirtualCard
from tests.browser import check, check_in_light_and_dark, chromium
from tests.flows.workshop import PIN, Workshop, Workstation, Workstations, assert_renewed, certificate
from tests.window import Shown, Typist, window

REACHED_BY_KEYS = """() => [...document.querySelectorAll("button:not([hidden]), summary, a[href]")]
    .every(one => one.tabIndex === 0 && !one.disabled && one.textContent.trim())"""
CARD = CardIdentity("chuid", "00112233445566778899aabbccdd4821")
OTHER = CardIdentity("chuid", "00112233445566778899aabbccdd1170")
CONTACT = Contact(name="The RA desk", phone="0300 000 0000")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@contextmanager
def shown(desk: Workstation, card: VirtualCard, typist: Typist) -> Iterator[Shown]:
    desk.put_in(card)

    def work(prompter: ChannelPrompter) -> dict[str, Any]:
        return desk.renew(card, prompter, inserted=True)

    with window(desk.folder, work, desk.readers, typist) as one:
        yield one
    desk.take_out()


@contextmanager
def opened(browser: Browser, one: Shown, **options: Any) -> Iterator[Page]:
    """The page as the file leads to it; nothing may go wrong in its console."""
    context: BrowserContext = browser.new_context(**options)
    context.set_default_timeout(15_000)
    try:
        page, problems = context.new_page(), list[str]()
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda problem: problems.append(str(problem)))
        page.goto(one.file.as_uri())
        page.wait_for_url(f"{one.browser.origin}/")
        yield page
        assert not [text for text in problems if "ERR_CONNECTION_REFUSED" not in text], problems
    finally:
        context.close()


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def aloud(page: Page, text: str) -> None:
    """What a screen reader is told, and only by being told: nobody looks there."""
    expect(page.get_by_role("status")).to_contain_text(text)


def test_from_start_to_done_by_keyboard_alone(browser: Browser, workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(holder="CN=Dr Nadia Keys,O=Mock Hospital,C=GB")
    before, ending = certificate(card), card.guid.hex()[-4:].upper()
    desk, typist = workstation(workshop.campaign()), Typist([PIN], wait=threading.Event())
    assert typist.wait is not None
    with shown(desk, card, typist) as one, opened(browser, one) as page:
        assert page.evaluate("document.cookie") == "" and "token" not in page.url
        heading(page, f"Renew the smartcard ending {ending}")
        aloud(page, "This smartcard was issued with a fault.")
        expect(page.locator("#holder")).to_contain_text("Dr Nadia Keys")
        check(page)
        for _ in range(5):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "Start renewal":
                break
        page.keyboard.press("Enter")
        aloud(page, "Type your passcode in the window that has opened.")
        check(page)
        assert page.locator("input:not([type=hidden])").count() == 0  # nowhere on it could a passcode go
        typist.wait.set()
        heading(page, f"Remove the smartcard ending {ending}")
        aloud(page, "Your smartcard is renewed.")
        check(page)
        desk.take_out()
        heading(page, "Put your smartcard back in")
        aloud(page, "Your smartcard is out")
        expect(page.locator("#holder")).to_have_count(0)
        check(page)
        desk.put_in(card)
        heading(page, "Done")
        aloud(page, "You can sign prescriptions with")
        expect(page.get_by_text("You can close this page.")).to_be_visible()
        check(page)
        assert "Nadia" not in page.content()
        assert one.result["ok"]
        expect(page.locator("#gone")).to_be_hidden()  # the window has ended; what it said still stands
        heading(page, "Done")
    assert_renewed(workshop, card, before)


def test_from_start_to_done_without_scripts(browser: Browser, workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    before = certificate(card)
    desk = workstation(workshop.campaign())
    with shown(desk, card, Typist([PIN])) as one, opened(browser, one, java_script_enabled=False) as page:

        def until(text: str) -> None:
            for _ in range(40):
                if page.get_by_role("heading", level=1).text_content() == text:
                    return
                page.get_by_role("link", name="Show what comes next").click()
            raise AssertionError(page.content())

        ending = card.guid.hex()[-4:].upper()
        until(f"Renew the smartcard ending {ending}")
        page.get_by_role("button", name="Start renewal").click()
        until(f"Remove the smartcard ending {ending}")
        desk.take_out()
        until("Put your smartcard back in")
        desk.put_in(card)
        until("Done")
        assert one.result["ok"]
    assert_renewed(workshop, card, before)


def test_what_the_page_says_when_its_program_has_gone(browser: Browser, tmp_path: Path) -> None:
    with alone(browser, tmp_path) as (page, prompter, end):
        prompter.card_in_hand("Desk reader", CARD, "Dr Nadia Osei", "")
        prompter.tell(words.card_busy())
        heading(page, "Another program is in the way")
        expect(page.locator("#holder")).to_be_visible()
        end()
        aloud(page, "This page is no longer connected")
        expect(page.locator("#gone")).to_be_visible()
        expect(page.locator("#holder")).to_have_count(0)
        expect(page.get_by_role("button", name="Stop here")).to_have_count(0)


@contextmanager
def alone(browser: Browser, folder: Path, **options: Any) -> Iterator[tuple[Page, WindowPrompter, Any]]:
    """A page in the browser with no renewal behind it: the prompter, and what ends the program."""
    prompter, keys = WindowPrompter(Typist), Keys()
    served = serving(WindowPage(prompter, CONTACT, keys), keys)
    address, over = served.__enter__(), [False]

    def end() -> None:
        if not over[0]:
            over[0] = True
            served.__exit__(None, None, None)

    context = browser.new_context(**options)
    context.set_default_timeout(15_000)
    try:
        page = context.new_page()
        page.goto(address)
        page.wait_for_url(re.compile(r"http://127\.0\.0\.1:\d+/$"))
        yield page, prompter, end
    finally:
        context.close()
        end()


def every_state() -> Iterator[tuple[str, Any]]:
    """What can stand on the page, by its heading: what makes it so."""
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    card, contact = CARD, CONTACT
    asked: Any = lambda message: lambda p: threading.Thread(target=_quietly, args=(p.confirm, message)).start()  # noqa: E731
    tell: Any = lambda message: lambda p: p.tell(message)  # noqa: E731
    wanted: Any = lambda act, message: lambda p: p.card_wanted(act, "Desk reader", CARD, message)  # noqa: E731
    yield "Looking at your smartcard", lambda p: p.card_in_hand("Desk reader", CARD, "Dr Nadia Osei", "It is faulty.")
    yield "Renew the smartcard ending 4821", asked(words.before(card, 3))
    yield "Passcode (PIN)", tell(words.pin_wanted(card, 3))
    yield "Passcode (PIN)", tell(words.wrong_pin(2))
    yield "The officer's passcode (PIN)", tell(desk_words.officers_pin(card, 3))
    yield "Passcode (PIN)", tell(passcode_words.at_pad(words.pin_wanted(card, 2), 2, 5))
    yield "Passcode (PIN)", asked(passcode_words.not_typed(NothingTyped("No passcode was typed in time.")))
    yield "Keep the smartcard in", tell(passcode_words.typed_there())
    yield "Keep the smartcard in", lambda p: p.progress(2, 6, "making the new key", 61.0)
    yield "Another program is in the way", tell(words.card_busy())
    yield "Renewal is not finished", wanted(CardAct.INSERT, words.pulled_unsafe(card))
    yield "Renewal is not finished", wanted(CardAct.INSERT, words.pulled_half_way(card))
    yield "Renewal is not finished", tell(words.wrong_card(OTHER, card))
    yield "Waiting for the Registration Authority", tell(words.waiting(now, now, contact))
    yield "Waiting for the Registration Authority", tell(desk_words.busy_ra(now, now, contact))
    yield (
        "Remove the smartcard ending 4821",
        wanted(CardAct.REMOVE, removal_words.sign_in_again(card, removal_ends_session=True)),
    )
    yield "Take out the smartcard ending 4821 once more", wanted(CardAct.REMOVE, stale.card_message(card))
    yield "Put your smartcard back in", wanted(CardAct.INSERT, words.insert_again(card))
    yield "Your smartcard is in", lambda p: (p.readers_are([]), p.readers_are(["Desk reader"]))
    yield "Done", tell(words.done(card))
    yield "Done", tell(words.more_cards(1, 2, OTHER))
    yield "Done", lambda p: p.finish({"ok": True, "cards": []})
    yield "This smartcard is OK", tell(words.not_affected(now, now))
    yield "This smartcard has expired", tell(words.expired(now, contact))
    yield "This smartcard has expired", lambda p: p.finish({"ok": True, "cards": []})
    yield "Looking at your smartcard", lambda p: p.begin_again()
    yield "Nothing to do now", tell(words.paused(contact))
    yield "The renewal cannot go on now", tell(words.for_error(RaUnreachable("It cannot be reached."), contact))
    locked = PinBlocked("There are no tries left.")
    yield "Your smartcard is locked", tell(words.for_error(locked, contact))
    yield "Your smartcard is locked", lambda p: p.finish({"ok": False, "error": error_document(locked)})
    yield "Looking at your smartcard", lambda p: p.begin_again()
    yield "Stopping", tell(watching_words.stopping())
    yield "The renewal was cut off", lambda p: p.finish(None)


def _quietly(ask: Any, message: Message) -> None:
    with suppress(PersonStopped):
        ask(message)


def test_axe_finds_nothing_in_any_state_which_is_read_aloud_and_has_no_button_that_keys_miss(
    browser: Browser, tmp_path: Path
) -> None:
    seen = set()
    with alone(browser, tmp_path) as (page, prompter, _):
        for title, makes in every_state():
            makes(prompter)
            heading(page, title)
            expect(page.locator("#state")).to_have_attribute("data-number", str(prompter.shown().number))
            expect(page.get_by_role("status")).to_have_text(prompter.shown().aloud)
            assert page.evaluate(REACHED_BY_KEYS), title
            check_in_light_and_dark(page)
            seen.add(prompter.shown().message.kind)
        prompter.leave("")
    assert seen == window_states.STATES.keys()


def test_nothing_is_cut_off_at_200_per_cent_or_on_a_narrow_screen(browser: Browser, tmp_path: Path) -> None:
    """200 % of a window 640 pixels wide (WCAG 1.4.4), and 320 CSS pixels (1.4.10): no scrolling to the side."""
    for width in (320, 640):
        size = {"width": width, "height": 512}
        with alone(browser, tmp_path, viewport=size) as (page, prompter, _):
            if width == 640:
                page.evaluate("document.documentElement.style.fontSize = '200%'")
            for title, makes in every_state():
                makes(prompter)
                heading(page, title)
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (width, title)
            prompter.leave("")


def test_details_for_it_are_copied(browser: Browser, tmp_path: Path) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    with alone(browser, tmp_path, permissions=allowed) as (page, prompter, _):
        prompter.card_in_hand("Desk reader", CARD, "Dr Nadia Osei", "")
        prompter.tell(words.for_error(RaUnreachable("The Registration Authority cannot be reached."), CONTACT))
        heading(page, "The renewal cannot go on now")
        page.get_by_text("Details for IT", exact=True).click()
        page.get_by_role("button", name="Copy details for IT").click()
        aloud(page, "Copied.")
        copied = page.evaluate("navigator.clipboard.readText()")
    assert "Code: RA-UNREACHABLE" in copied and "ending 4821" in copied and "Desk reader" in copied
    assert "Nadia" not in copied

"""Renewals through the page, driven by HTTP as a browser without scripts drives it: from Start to Done, and every way
in which that is interrupted, each with its own words and its next step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from renewagent.agent import words
from renewagent.agent.browser import NoBrowser
from renewagent.agent.prompts import ChannelPrompter
from renewagent.agent.ra_desk import RaDesk
from renewagent.agent.window_child import Patience
from renewagent.errors import NoCard
from renewagent.ra_transport import HttpRaTransport
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.workshop import (
    PIN,
    READER,
    Raw,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    assert_untouched,
    certificate,
)
from tests.window import QUICK, Shown, Typist, window


@contextmanager
def shown(
    desk: Workstation, card: VirtualCard, typist: Typist | None = None, patience: Patience = QUICK
) -> Iterator[Shown]:
    """The window at this workstation, with the card in, and out in the end; begun as often as the person wants."""
    desk.put_in(card)

    def work(prompter: ChannelPrompter) -> dict[str, Any]:
        if not desk.readers.states()[READER].present:
            raise NoCard("There is no smartcard in the reader.")
        return desk.renew(card, prompter, inserted=True)

    with window(desk.folder, [work] * 4, desk.readers, typist or Typist([PIN]), patience) as one:
        yield one
    if desk.readers.states()[READER].present:
        desk.take_out()


def test_from_start_to_done(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(holder="CN=Dr Nadia Osei,O=Mock Hospital,C=GB")
    before, ending = certificate(card), card.guid.hex()[-4:].upper()
    desk = workstation(workshop.campaign())
    with shown(desk, card) as one:
        page = one.browser
        page.open()
        page.until("Start renewal")
        assert page.title == f"Renew the smartcard ending {ending}" and page.tone == "ask" and page.stage == "Start"
        assert "This smartcard was issued with a fault." in page.text
        assert "Dr Nadia Osei" in page.card and ending in page.card
        assert page.buttons == ["Start renewal", "Not now"]
        page.press("Start renewal")
        page.until("Remove it : now")
        assert page.title == f"Remove the smartcard ending {ending}" and "Your smartcard is renewed" in page.text
        desk.take_out()
        page.until("Your smartcard is out.")
        assert "Nadia" not in page.page
        assert page.title == "Put your smartcard back in"
        desk.put_in(card)
        page.until("You can close this page.")
        assert "You can sign prescriptions with" in page.text
        assert (page.title, page.tone, page.buttons) == ("Done", "good", [])
        assert "Nadia" not in page.page
        assert one.result["ok"]
    assert_renewed(workshop, card, before)


def test_not_now_changes_nothing_and_can_be_begun_again(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    before = card.image
    with shown(workstation(workshop.campaign()), card) as one:
        page = one.browser
        page.open()
        page.until("Start renewal")
        page.press("Not now")
        page.ended("Nothing was changed.")
        assert (page.tone, page.buttons) == ("trouble", ["Try again", "Close"])
        page.press("Try again")
        page.until("Start renewal")
        page.press("Not now")
        page.ended("Nothing was changed.")
        page.press("Close")
        assert not one.result["ok"] and one.result["cards"][0]["state"] == "stopped"
    assert_untouched(workshop, card, before)


def test_cancelled_at_the_passcode(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    before = card.image
    with shown(workstation(workshop.campaign()), card, Typist([])) as one:
        page = one.browser
        page.open()
        page.until("Start renewal")
        page.press("Start renewal")
        page.ended("No passcode was typed. Nothing was changed on the smartcard.")
        assert page.buttons == ["Try again", "Close"] and "RA-STOPPED" in page.text
        page.press("Close")
        assert one.result["error"]["code"] == "RA-STOPPED"
    assert_untouched(workshop, card, before)


def test_pulled_before_the_start(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(holder="CN=Dr Nadia Early,O=Mock Hospital,C=GB")
    before, desk = card.image, workstation(workshop.campaign())
    with shown(desk, card) as one:
        page = one.browser
        page.open()
        page.until("Start renewal")
        desk.take_out()
        page.ended("The renewal was stopped because the smartcard was removed. Nothing was changed on the smartcard.")
        assert "Nadia" not in page.page and page.buttons == ["Try again", "Close"]
        page.press("Try again")
        page.ended("There is no smartcard in the reader")
        desk.put_in(card)
        page.press("Try again")
        page.until("Start renewal")
        page.press("Not now")
        page.ended("Nothing was changed.")
        page.press("Close")
    assert_untouched(workshop, card, before)


def test_pulled_half_way(workshop: Workshop, workstation: Workstations) -> None:
    """Way D, at the worst moment: the old key is gone, the new certificate not yet there."""
    card = workshop.card(holder="CN=Dr Nadia Pulled,O=Mock Hospital,C=GB")
    old, desk = certificate(card), workstation(workshop.campaign())
    workshop.turn(delay=0.5)
    with shown(desk, card) as one:
        page = one.browser
        page.open()
        page.until("Start renewal")
        page.press("Start renewal")
        page.until("getting the new certificate")
        desk.take_out()
        page.until("You cannot sign prescriptions with this smartcard yet.")
        assert "Nadia" not in page.page and page.tone == "trouble"
        assert page.title == "Renewal is not finished" and "You can do this on any computer." in page.text
        desk.put_in(card)
        page.until("Remove it : now")
        desk.take_out()
        page.until("Your smartcard is out.")
        desk.put_in(card)
        page.until("You can close this page.")
        assert page.title == "Done"
    workshop.restore()
    assert_renewed(workshop, card, old)


def test_another_card_is_put_in(workshop: Workshop, workstation: Workstations) -> None:
    card, other = workshop.card(), workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    with shown(desk, card) as one:
        page = one.browser
        page.open()
        page.until("Start renewal")
        page.press("Start renewal")
        page.until("Remove it : now")
        desk.take_out()
        page.until("Your smartcard is out.")
        desk.put_in(other)
        page.until("This is a different smartcard")
        assert other.guid.hex()[-4:].upper() in page.text and page.title == "Put your smartcard back in"
        desk.take_out()
        desk.put_in(card)
        page.until("You can close this page.")
        assert page.title == "Done"
    assert_renewed(workshop, card, old)


def test_a_wrong_passcode_then_the_right_one(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    desk, typist = workstation(workshop.campaign()), Typist(["99999999", PIN], wait=threading.Event())
    with shown(desk, card, typist) as one:
        page = one.browser
        page.open()
        page.until("Start renewal")
        page.press("Start renewal")
        page.until("Type your passcode in the window that has opened.")
        assert typist.wait is not None
        typist.wait.set()
        page.until("Remove it : now")
        assert typist.heard.count("wrong-pin") == 1
        page.press("Stop here")
        page.ended("One step is left")
        assert "you have not signed in with it yet" in page.text and page.buttons[0] == "Continue"
        page.press("Continue")
        page.until("Now remove it")
        desk.take_out()
        page.until("Your smartcard is out.")
        desk.put_in(card)
        page.until("You can close this page.")
        assert one.result["ok"]


def test_one_try_left(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    before, desk = certificate(card), workstation(workshop.campaign())
    with shown(desk, card, Typist(["99999999", "88888888"])) as one:
        page = one.browser
        page.open()
        page.until("Start renewal")
        page.press("Start renewal")
        page.ended("There is 1 try left for the passcode")
        assert "Stop here and unlock your smartcard first." in page.text and "The RA desk" in page.text
        assert (page.title, page.buttons) == ("Stop here", ["Close"])
        page.press("Close")
    assert certificate(card) == before


def test_a_locked_card(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    with Raw(card) as raw:
        for _ in range(3):
            raw.ask("00200080", b"00000000")
    with shown(workstation(workshop.campaign()), card) as one:
        page = one.browser
        page.open()
        page.ended("Your smartcard is locked")
        assert page.buttons == ["Close"] and "The RA desk, 0300 000 0000" in page.text
        page.press("Close")


def test_the_ra_cannot_be_reached(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    before, desk = card.image, workstation(workshop.campaign())
    desk.desk = RaDesk(
        HttpRaTransport("http://127.0.0.1:9/cmp", timeout=1), workshop.anchors, "http://127.0.0.1:9", desk.now
    )
    with shown(desk, card) as one:
        page = one.browser
        page.open()
        page.ended("RA-UNREACHABLE")
        assert page.buttons == ["Try again", "Close"] and "Check the network connection" in page.text
        page.press("Close")
    assert_untouched(workshop, card, before)


def test_the_ra_looks_at_it_first(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign())
    workshop.turn(approval=True, check_after=300)
    with shown(desk, card) as one:
        page = one.browser
        page.open()
        page.until("Start renewal")
        page.press("Start renewal")
        page.until("You will be told when it is ready.")
        assert (page.tone, page.buttons) == ("wait", ["Stop waiting"])
        page.press("Stop waiting")
        page.ended("You cannot sign prescriptions with this smartcard yet.")
        assert page.title == "Renewal is not finished" and page.buttons == ["Continue", "Close"]
        said = page.text.partition("Details for IT")[0]
        assert "Select Continue." in said and "run: renewagent renew" not in said
        page.press("Close")


def test_another_program_is_using_the_card(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign(), patience=0.2)
    with shown(desk, card) as one:
        page = one.browser
        page.open()
        page.until("Start renewal")
        other = desk.readers.connect(READER)
        with other.transaction():
            page.press("Start renewal")
            page.ended("RA-CARD-BUSY")
            assert "Close other programs that use the smartcard" in page.text
        page.press("Try again")
        page.until("Start renewal")
        page.press("Not now")
        page.ended("Nothing was changed.")
        page.press("Close")
        other.close()


def test_the_program_that_renews_dies(workshop: Workshop, workstation: Workstations) -> None:
    desk = workstation(workshop.campaign())
    died = threading.Event()

    def dies(prompter: ChannelPrompter) -> dict[str, object]:
        prompter.confirm(words.before(None, 3))
        prompter.close()
        died.set()
        return {}

    with window(desk.folder, dies, desk.readers, Typist([PIN])) as one:
        page = one.browser
        page.open()
        page.until("Start renewal")
        page.press("Start renewal")
        page.ended("The renewal was cut off")
        assert page.buttons == ["Try again", "Close"] and "It goes on from where it was." in page.text
        page.press("Close")
        assert one.result is None


def test_more_cards_of_the_same_holder(workshop: Workshop, workstation: Workstations) -> None:
    name = "CN=Dr Two Cards,O=Mock Hospital,C=GB"
    cards = [workshop.card(holder=name), workshop.card(holder=name)]
    campaign = workshop.campaign()
    workshop.ra.learn_campaign(campaign.document)
    olds, desk = [certificate(card) for card in cards], workstation(campaign)
    with shown(desk, cards[0]) as one:
        page = one.browser
        page.open()
        for number, card in enumerate(cards):
            page.until("Start renewal")
            page.press("Start renewal")
            page.until("Remove it : now")
            desk.take_out()
            page.until("Your smartcard is out.")
            desk.put_in(card)
            if number == 0:
                page.ended("1 of 2 smartcards renewed.")
                assert page.title == "Done"
                desk.take_out()
                desk.put_in(cards[1])
                page.press("Continue with the next smartcard")
        page.until("You can close this page.")
        assert page.title == "Done"
    for old in olds:
        assert workshop.row(old).state == "revoked"
    with workshop.ra.office.lock:
        workshop.ra.office.known_campaigns._known.clear()


def test_nobody_comes(workshop: Workshop, workstation: Workstations) -> None:
    """No browser shows the page: nothing is begun, and whoever asked for it hears what to do at a terminal."""
    card = workshop.card()
    before, desk = card.image, workstation(workshop.campaign())
    with shown(desk, card, patience=replace(QUICK, browser=0.5)) as one:
        with pytest.raises(NoBrowser) as caught:
            one.result  # noqa: B018
        assert caught.value.advice == "Run in a terminal: renewagent renew."
        assert not one.file.exists()
    assert_untouched(workshop, card, before)


def test_whoever_has_left_is_not_waited_for(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    before, desk = card.image, workstation(workshop.campaign())
    with shown(desk, card, patience=replace(QUICK, person=1.0, last_page=1.0)) as one:
        one.browser.open()
        one.browser.until("Start renewal")
        assert one.result["error"]["code"] == "RA-STOPPED"
        with pytest.raises(OSError):
            one.browser.look()  # nothing keeps listening
    assert_untouched(workshop, card, before)

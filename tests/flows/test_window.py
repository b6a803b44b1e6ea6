"""Renewals through the page, driven by HTTP as a browser without scripts drives it: from Start to Done, and every way
in which that is interrupted, each with its own words and its next step."""

from __future__ import annotations

from contextlib import AbstractContextManager

from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.workshop import PIN, Workshop, Workstation, Workstations, assert_renewed, certificate
from tests.window import Shown, Typist, window


def shown(desk: Workstation, card: VirtualCard, typist: Typist | None = None) -> AbstractContextManager[Shown]:
    """The window at this workstation, with the card in."""
    desk.put_in(card)
    work = lambda prompter: desk.renew(card, prompter, inserted=True)  # noqa: E731
    return window(desk.folder, work, lambda: desk.readers, typist or Typist([PIN]))


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

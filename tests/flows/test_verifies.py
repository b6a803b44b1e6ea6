"""How often the passcode is presented in a renewal: the table in docs/renewal.md, cell by cell."""

from __future__ import annotations

import re

import pytest

from renewagent_drivers.management_key import FactoryKey, PinProtectedKey
from renewagent_fixtures.virtual_card import PinPolicy, VirtualCard
from tests.flows.test_renewal_way_c import VendorCard, vendor_card
from tests.flows.workshop import (
    AUTHENTICATION,
    SIGNING,
    Workshop,
    Workstations,
    certificate,
    keep_management_key_behind_pin,
    signs,
)
from tests.house import ROOT

__all__ = ["vendor_card"]
HEADING = "## How often the passcode is presented"
ALWAYS, ONCE = PinPolicy.ALWAYS, PinPolicy.ONCE
POLICIES = ((ALWAYS, ONCE), (ALWAYS, ALWAYS), (ONCE, ONCE))
"""Of 9C and 9A, by column."""
BEHIND = 3
WAYS = {
    "A kur": {"profile": "plain", "rekey": "allowed", "protects": True},
    "A cr": {"profile": "plain", "rekey": "allowed", "protects": False},
    "B kur": {"profile": "extended", "rekey": "required", "protects": True},
    "B cr": {"profile": "extended", "rekey": "required", "protects": False},
    "D cr": {"profile": "plain", "rekey": "required", "protects": False},
}


def table() -> dict[str, list[int]]:
    """Way and request, and the numbers of its row."""
    text = (ROOT / "docs" / "renewal.md").read_text().partition(HEADING)[2]
    rows = re.findall(r"^\| ([ABCD]) \| (kur|cr) \|((?: \+?\d+ \|)+)$", text, re.MULTILINE)
    return {f"{way} {body}": [int(cell) for cell in re.findall(r"\d+", cells)] for way, body, cells in rows}


TABLE = table()


def test_every_way_has_its_row() -> None:
    assert {name: len(cells) for name, cells in TABLE.items()} == {
        **dict.fromkeys(WAYS, 4),
        "C cr": 1,
    }


def set_policy(card: VirtualCard, slot: int, policy: PinPolicy) -> None:
    """The same key, under another policy."""
    card.import_key(slot, card._memory.keys[slot].private, policy)


def verifies(workshop: Workshop, workstation: Workstations, name: str, column: int, *, behind_pin: bool = False) -> int:
    how, (signing, authentication) = WAYS[name], POLICIES[column]
    extended = POLICIES[column] == (ONCE, ONCE)  # a plain card has the standard's policies, and tells none
    profile = "extended" if extended else str(how["profile"])
    card = workshop.card(profile=profile, protects=bool(how["protects"]))
    set_policy(card, SIGNING, signing)
    set_policy(card, AUTHENTICATION, authentication)
    keep_management_key_behind_pin(card)
    if name == "D cr" and extended:
        card.fill(len(certificate(card)) + 600)  # a second key finds no room
    if name == "B kur":
        workshop.turn(knows_no_tickets=True)
    key = PinProtectedKey() if behind_pin else FactoryKey()
    desk = workstation(workshop.campaign(rekey=str(how["rekey"])), management_key=key)
    outcome = desk.renew(card)
    assert signs(card) and card.pin_tries == 3
    body = workshop.transaction_of(certificate(card)).body
    assert f"{outcome['way']} {body}" == name
    return desk.tape.verifies


@pytest.mark.parametrize("column", range(len(POLICIES)))
@pytest.mark.parametrize("name", WAYS)
def test_as_often_as_the_table_says(workshop: Workshop, workstation: Workstations, name: str, column: int) -> None:
    assert verifies(workshop, workstation, name, column) == TABLE[name][column]


@pytest.mark.parametrize("name", WAYS)
def test_so_often_more_where_the_management_key_lies_behind_it(
    workshop: Workshop, workstation: Workstations, name: str
) -> None:
    assert verifies(workshop, workstation, name, 0, behind_pin=True) == TABLE[name][0] + TABLE[name][BEHIND]


def test_a_vendors_card_is_logged_in_to_as_often_as_the_table_says(vendor_card: VendorCard) -> None:
    vendor_card.tokens.forget_calls()
    assert vendor_card.renew()["way"] == "C"
    logins = vendor_card.tokens.calls().count("C_Login")
    vendor_card.assert_renewed()
    assert logins == TABLE["C cr"][0]


# -- the pair: how often more, by the way of the second certificate and by what vouches for it -------------------------

PAIRS = {
    "A, the signing certificate": {"profile": "plain", "rekey": "allowed", "protects": True},
    "A, itself": {"profile": "plain", "rekey": "allowed", "protects": False},
    "B, the signing certificate": {"profile": "extended", "rekey": "required", "protects": True},
    "B, itself": {"profile": "extended", "rekey": "required", "protects": False},
    "D, the signing certificate": {"profile": "plain", "rekey": "required", "protects": True},
}


def pair_table() -> dict[str, int]:
    text = (ROOT / "docs" / "renewal.md").read_text().partition(HEADING)[2]
    rows = re.findall(r"^\| 9A by ([ABD]) \| ([a-z ]+) \| \+(\d+) \|$", text, re.MULTILINE)
    return {f"{way}, {voucher}": int(more) for way, voucher, more in rows}


def test_every_way_of_the_pair_has_its_row() -> None:
    assert set(pair_table()) == set(PAIRS)


@pytest.mark.parametrize("name", PAIRS)
def test_so_often_more_for_the_pair(workshop: Workshop, workstation: Workstations, name: str) -> None:
    how, counted = PAIRS[name], []
    for renews in ("signing", "pair"):
        card = workshop.card(profile=str(how["profile"]), protects=bool(how["protects"]))
        desk = workstation(workshop.campaign(rekey=str(how["rekey"]), renews=renews))
        outcome = desk.renew(card)
        counted.append(desk.tape.verifies)
    assert outcome["pair"]["way"] == name[0]
    assert counted[1] - counted[0] == pair_table()[name]

"""Room on a PIV card: proved by trying, where that harms nothing, and taken away again whatever happens."""

from __future__ import annotations

import pytest

from renewagent.errors import CardRemoved, NoRoom
from renewagent.model import Slot
from renewagent_drivers import open_card
from renewagent_drivers.piv_objects import pack_certificate
from renewagent_fixtures.virtual_card import Moment, VirtualCard
from tests.drivers.test_piv_contract import personalised
from tests.drivers.test_piv_driver import GOOD, SIGNING, insert, wired

FIRST, SECOND, LAST = 0x5FC10D, 0x5FC10E, 0x5FC120


def objects(card: VirtualCard) -> dict[int, bytes]:
    names = range(0x5FC101, 0x5FC121)
    return {name: content for name in names if (content := card.object(name)) is not None}


@pytest.mark.parametrize(("leave", "octets", "enough"), [(600, 500, True), (600, 700, False), (5000, 4500, True)])
def test_the_card_is_asked_by_trying(leave: int, octets: int, enough: bool) -> None:
    card = personalised("extended")
    card.fill(leave)
    before, driver = objects(card), open_card(insert(card))
    with driver.administration() as admin:
        if enough:
            admin.require_room(octets)
        else:
            with pytest.raises(NoRoom, match="no room"):
                admin.require_room(octets)
    assert objects(card) == before


def test_much_is_tried_in_pieces_and_only_where_nothing_is() -> None:
    card = personalised("extended")
    card.write_object(FIRST, b"\x70\x03abc")
    card.fill(4300)
    before, driver = objects(card), open_card(insert(card))
    with driver.administration() as admin, pytest.raises(NoRoom):
        admin.require_room(4400)
    assert objects(card) == before
    with driver.administration() as admin:
        admin.require_room(4200)
    assert objects(card) == before


def test_a_plain_card_is_not_tried() -> None:
    card = personalised("plain")
    card.fill(10)
    driver, wire = wired(card)
    with driver.administration() as admin:
        admin.require_room(2000)
    assert [command for command in wire.commands if command[1] == 0xDB] == []


@pytest.mark.parametrize("sw", ["6a81", "6a82", "6985"])
def test_a_card_that_takes_no_such_object_cannot_tell(sw: str) -> None:
    driver, _ = wired(personalised("extended"), lambda c: bytes.fromhex(sw) if c[1] == 0xDB else None)
    with driver.administration() as admin:
        admin.require_room(500)


def test_a_trial_that_was_cut_short_is_an_empty_slot_and_goes_with_the_next() -> None:
    card = personalised("extended")
    before, puts = objects(card), 0

    def cut(moment: Moment, command: bytes, response: bytes) -> None:
        nonlocal puts
        if moment is Moment.AFTER and command[1] == 0xDB and not command[0] & 0x10:
            puts += 1
            raise CardRemoved("pulled out by the test")

    driver = open_card(insert(card))
    card.hook = cut
    with pytest.raises(CardRemoved), driver.administration() as admin:
        admin.require_room(1000)
    card.hook = None
    assert (puts, objects(card).keys() - before.keys()) == (1, {FIRST})
    again = open_card(insert(card))
    assert again.certificate(Slot("82")) is None
    assert again.head(SIGNING) is not None
    with again.administration() as admin:
        admin.require_room(100)
    assert objects(card) == before


def test_what_does_not_fit_is_compressed() -> None:
    card = personalised("plain")
    driver = open_card(insert(card))
    plain, packed = (len(pack_certificate(GOOD, compressed=how)) for how in (False, True))
    assert packed < plain
    with driver.administration() as admin:
        admin.store(SIGNING, None)
    card.fill(packed)
    with driver.administration() as admin:
        admin.store(SIGNING, GOOD)
    assert driver.certificate(SIGNING) == GOOD == card.certificate(0x9C)
    head = open_card(insert(card)).head(SIGNING)
    assert head is not None
    with driver.administration() as admin:
        admin.store(SIGNING, None)
    card.fill(packed // 2)
    with driver.administration() as admin, pytest.raises(NoRoom) as told:
        admin.store(SIGNING, GOOD)
    assert told.value.sw == 0x6A84

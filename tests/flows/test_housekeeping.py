"""What way B leaves on a card goes in time, and only that; a cut in the middle of it does no harm."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from renewagent.agent.campaigns import Accepted
from renewagent.agent.children import ask_child
from renewagent.agent.housekeeping_child import tidy_reader
from renewagent.agent.journal import Journal
from renewagent.agent.old_keys import TIDIED, TIDYING
from renewagent.agent.ra_desk import utc_now
from renewagent.agent.resident import HOUSEKEEPING
from renewagent.configuration import AgentSettings, CardSettings, Configuration, RaSettings
from renewagent.configuration_keys import ManagementKeySource
from renewagent.errors import RenewAgentError
from renewagent_drivers.management_key import PinProtectedKey
from renewagent_fixtures.faults.knife import EVERYWHERE, MOVE, PUT_DATA, SIGN, TORN, Cut, CutCard, Kind, PowerCut
from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.relay_server import RelayServer
from renewagent_fixtures.virtual_card import Moment, VirtualCard
from renewagent_fixtures.virtual_card.eeprom import MemoryEeprom
from renewagent_fixtures.virtual_card.latency import NO_LATENCY
from renewagent_fixtures.virtual_card.memory import decode
from tests.flows.workshop import (
    PIN,
    READER,
    SIGNING,
    Killed,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    certificate,
    keep_management_key_behind_pin,
    signs,
)
from tests.flows.workshop import Cut as Ending
from tests.interop.cards import inserted_card
from tests.pcsc import until

PARKED, SECOND = 0x82, 0x83
KEY_HISTORY, FIRST_RETIRED = 0x5FC10C, 0x5FC10D
NONE, ONE, TWO = (bytes.fromhex(f"c1010{count}c20100fe00") for count in range(3))
STANDARD = (0x9A, SIGNING)


def against(workshop: Workshop, card: VirtualCard) -> Accepted:
    """A campaign against the very certificate that the card has now."""
    serial = x509.load_der_x509_certificate(certificate(card)).serial_number
    return workshop.campaign(rules=[{"name": "this one", "serials": [format(serial, "x")]}])


def renewed(workshop: Workshop, desk: Workstation, **options: Any) -> tuple[VirtualCard, bytes]:
    """A card renewed by way B at `desk`, and its old certificate."""
    card = workshop.card(profile="extended", **options)
    old = certificate(card)
    assert desk.renew(card)["way"] == "B"
    assert card.key_slots == (PARKED, *STANDARD)
    return card, old


def test_after_the_grace_period_the_old_key_goes(workshop: Workshop, workstation: Workstations) -> None:
    desk = workstation(workshop.campaign())
    card, old = renewed(workshop, desk)
    before = card.image
    desk.days_later = 13
    assert desk.renew(card)["renewed"] is False
    assert card.image == before
    desk.days_later = 15
    outcome = desk.renew(card)
    assert (outcome["verdict"], outcome["old_keys"]) == ("UNAFFECTED", [])
    assert card.key_slots == STANDARD
    assert (card.certificate(PARKED), card.object(KEY_HISTORY)) == (None, NONE)
    assert_renewed(workshop, card, old)
    assert desk.tape.verifies == 4  # those of the renewal


def test_it_is_said_until_when_the_old_key_stays(workshop: Workshop, workstation: Workstations) -> None:
    desk = workstation(workshop.campaign(), keep_old_key_days=3)
    card = workshop.card(profile="extended")
    first, again = desk.renew(card)["old_keys"], desk.renew(card)["old_keys"]
    assert first == again
    assert [(key["slot"], key["card"][-4:]) for key in first] == [("82", card.guid.hex()[-4:])]
    assert first[0]["kept_until"][:10] == f"{utc_now() + timedelta(days=3):%Y-%m-%d}"


def test_without_a_grace_period_it_goes_as_soon_as_the_ra_has_revoked_it(
    workshop: Workshop, workstation: Workstations
) -> None:
    desk = workstation(workshop.campaign(), keep_old_key_days=0)
    card = workshop.card(profile="extended")
    old = certificate(card)
    outcome = desk.renew(card)
    assert (card.key_slots, card.object(KEY_HISTORY)) == (STANDARD, NONE)
    assert_renewed(workshop, card, old)
    assert outcome["old_keys"] == []


def test_old_keys_never_pile_up(workshop: Workshop, workstation: Workstations) -> None:
    card, old = workshop.card(profile="extended"), b""
    for _ in range(4):  # each time at another computer
        time.sleep(1.1)  # which is later is told by the second of their issue
        old = certificate(card)
        assert workstation(against(workshop, card)).renew(card)["way"] == "B"
    assert len(card.key_slots) == 3 and signs(card)
    assert [certificate(card, slot) for slot in card.key_slots if slot < 0x9A] == [old]


def test_both_old_keys_of_a_pair_go(workshop: Workshop, workstation: Workstations) -> None:
    desk, card = workstation(workshop.campaign(rekey="required", renews="pair")), workshop.card(profile="extended")
    old = certificate(card)
    outcome = desk.renew(card)
    assert (outcome["way"], outcome["pair"]["way"]) == ("B", "B")
    assert sorted(key["slot"] for key in outcome["old_keys"]) == ["82", "83"]
    assert (card.key_slots, card.object(KEY_HISTORY)) == ((PARKED, SECOND, *STANDARD), TWO)
    desk.days_later = 15
    assert desk.renew(card)["old_keys"] == []
    assert (card.key_slots, card.object(KEY_HISTORY)) == (STANDARD, NONE)
    assert_renewed(workshop, card, old)


def test_at_another_computer_the_ra_proves_what_the_journal_does_here(
    workshop: Workshop, workstation: Workstations
) -> None:
    campaign = workshop.campaign()
    here = workstation(campaign)
    card, _ = renewed(workshop, here)
    elsewhere, before = workstation(campaign, days_later=13), card.image
    elsewhere.renew(card)
    assert card.image == before
    elsewhere.days_later = 15
    elsewhere.renew(card)
    assert (card.key_slots, card.object(KEY_HISTORY)) == (STANDARD, NONE)
    assert here.renew(card)["old_keys"] == []  # and it is known here now


def test_what_nobody_can_prove_stays(workshop: Workshop, workstation: Workstations) -> None:
    """An RA that leaves it to its officers to revoke: only the computer that renewed the card knows."""
    workshop.turn(knows_no_tickets=True)
    campaign = workshop.campaign()
    here, elsewhere = workstation(campaign), workstation(campaign, days_later=20)
    card, old = renewed(workshop, here, protects=True)
    before = card.image
    with pytest.raises(RenewAgentError):
        elsewhere.renew(card)
    assert (workshop.row(old).state, card.image) == ("updated", before)
    here.days_later = 20
    with contextlib.suppress(RenewAgentError):
        here.renew(card)
    assert (card.key_slots, signs(card)) == (STANDARD, True)


def test_nobody_is_asked_for_a_passcode_for_it(workshop: Workshop, workstation: Workstations) -> None:
    """A management key that lies behind the passcode: what is due goes when that is asked for anyway."""
    desk = workstation(workshop.campaign(), management_key=PinProtectedKey())
    card = workshop.card(profile="extended")
    keep_management_key_behind_pin(card)
    desk.renew(card)
    desk.days_later, before, verifies = 30, card.image, desk.tape.verifies
    desk.renew(card, desk.person(card, pins=()))
    assert (card.image, desk.tape.verifies) == (before, verifies)
    time.sleep(1.1)
    second = workstation(against(workshop, card), management_key=PinProtectedKey())
    old = certificate(card)
    second.renew(card)
    assert [certificate(card, slot) for slot in card.key_slots if slot < 0x9A] == [old]


# -- cuts --------------------------------------------------------------------------------------------------------------


@dataclass
class Due:
    """A card whose old key is due to go, as often as it is wanted, and the journal that knows it."""

    image: bytes
    journal: Path
    desk: Callable[[], Workstation]
    """The workstation that renewed the card, with that journal."""
    elsewhere: Callable[[], Workstation]

    def card(self) -> VirtualCard:
        """A card of its own."""
        return VirtualCard(MemoryEeprom(self.image), decode(self.image), NO_LATENCY, False, time.sleep)


@pytest.fixture
def due(workshop: Workshop, workstation: Workstations) -> Due:
    campaign = workshop.campaign()
    first = workstation(campaign)
    card, _ = renewed(workshop, first)

    def again() -> Workstation:
        desk = workstation(campaign, days_later=20)
        shutil.copy(first.journal_file, desk.journal_file)
        return desk

    return Due(card.image, first.journal_file, again, lambda: workstation(campaign, days_later=20))


def cuts(due: Due) -> list[Cut]:
    """At every APDU from the management key on, at every write, and torn writes."""
    whole = CutCard(due.card(), lambda event, what: None)
    desk = due.desk()
    desk.readers.insert(READER, whole)
    desk.renew(whole.card, inserted=True)
    instructions = [exchange.ins for exchange in whole.exchanges]
    begin = instructions.index(SIGN)
    last = max(n for n, ins in enumerate(instructions) if ins in (MOVE, PUT_DATA))
    assert [ins for ins in instructions if ins in (MOVE, PUT_DATA)][-3:] == [PUT_DATA, MOVE, PUT_DATA]
    everywhere = [Cut(kind, at) for at in range(begin, last + 2) for kind in EVERYWHERE]
    written = [n for n, exchange in enumerate(whole.exchanges) if exchange.writes]
    assert len(written) == 3
    writes = [Cut(kind, at) for at in written for kind in (Kind.UNWRITTEN, Kind.WRITTEN)]
    torn = [
        Cut(kind, at, PUT_DATA) for at in (0, 1) for kind in (Kind.OBJECT_GONE, Kind.OBJECT_HALF, Kind.OBJECT_MIXED)
    ]
    return everywhere + writes + torn


@pytest.mark.parametrize("lone", [False, True], ids=["all power", "card alone"])
def test_a_cut_anywhere_leaves_a_card_that_signs_and_it_is_done_again(due: Due, lone: bool) -> None:
    reached = 0
    for cut in cuts(due):
        card, desk = due.card(), due.desk()
        new, knife = certificate(card), CutCard(card, lambda event, what: None, cut, lone=lone, pull=desk.lose_contact)
        desk.readers.insert(READER, knife)
        with contextlib.suppress(PowerCut, RenewAgentError):
            desk.renew(card, inserted=True)
        desk.settle()
        desk.take_out()
        reached += knife.fired
        assert (certificate(card), signs(card)) == (new, True), cut
        half_done, torn = card.image, cut.kind in TORN
        for again in (desk, due.elsewhere()):
            card = VirtualCard(MemoryEeprom(half_done), decode(half_done), NO_LATENCY, False, time.sleep)
            again.renew(card)
            assert (certificate(card), signs(card), card.pin_tries) == (new, True, 3), cut
            assert card.key_slots == STANDARD, cut
            if again is desk or not torn:
                assert (card.object(FIRST_RETIRED), card.object(KEY_HISTORY)) == (None, NONE), cut
    assert reached > 30


@pytest.mark.parametrize("lost", [False, True], ids=["journalled", "lost"])
@pytest.mark.parametrize("name", [TIDYING, TIDIED])
def test_it_goes_on_after_the_process_ended(due: Due, name: str, lost: bool) -> None:
    card, desk = due.card(), due.desk()
    with Journal(desk.journal_file) as journal:
        before = len(journal.replay())
    with pytest.raises(Killed, match=name):
        desk.renew(card, cut=Ending([TIDYING, TIDIED].index(name), lost))
    assert signs(card)
    assert desk.renew(card)["old_keys"] == []
    assert (card.key_slots, card.object(KEY_HISTORY), signs(card)) == (STANDARD, NONE, True)
    assert before < len(desk.kinds) <= before + 4


def test_a_key_that_took_the_place_meanwhile_stays(due: Due) -> None:
    """Another program, between our looking and our session: the card's hook stands for it."""
    card, desk = due.card(), due.desk()
    before = card.public_key(PARKED)

    def hook(moment: Moment, command: bytes, response: bytes) -> None:
        if command[1] == SIGN and moment is Moment.BEFORE:
            card.hook = None
            card.generate(PARKED, "p256")

    card.hook = hook
    desk.renew(card)
    assert card.key_slots == (PARKED, *STANDARD)
    assert certificate(card, PARKED) and card.object(KEY_HISTORY) == ONE
    assert card.public_key(PARKED) != before


# -- unattended --------------------------------------------------------------------------------------------------------


def settings(desk: Workstation, **card: Any) -> Configuration:
    """The configuration of this workstation."""
    ra = RaSettings(url=desk.workshop.ra.url, root=desk.workshop.ra.root)
    return Configuration(ra=ra, card=CardSettings(**card), agent=AgentSettings(state_dir=desk.folder))


def test_the_agents_child_takes_it_off_without_a_passcode(workshop: Workshop, workstation: Workstations) -> None:
    desk = workstation(workshop.campaign())
    card, _ = renewed(workshop, desk)
    desk.put_in(card)
    today, before = utc_now(), card.image
    said = tidy_reader(settings(desk), desk.readers, READER, today)
    assert (said["tidied"], card.image) == ([], before)
    assert said["next"][:10] == f"{today + timedelta(days=14):%Y-%m-%d}"
    later, verifies = datetime.fromisoformat(said["next"]) + timedelta(seconds=1), desk.tape.verifies
    assert tidy_reader(settings(desk), desk.readers, READER, later) == {"ok": True, "tidied": ["82"], "next": None}
    desk.take_out()
    assert (card.key_slots, signs(card), desk.tape.verifies) == (STANDARD, True, verifies)


def test_unattended_a_card_that_somebody_uses_is_left_alone(workshop: Workshop, workstation: Workstations) -> None:
    desk = workstation(workshop.campaign())
    card, _ = renewed(workshop, desk)
    desk.put_in(card)
    later, before = utc_now() + timedelta(days=20), card.image
    behind_pin = settings(desk, management_key=ManagementKeySource("pin-protected"))
    assert tidy_reader(behind_pin, desk.readers, READER, later)["tidied"] == []
    for command in ("00a4040005a000000308", f"0020008008{PIN.encode().hex()}"):  # another program signs in
        assert card.transmit(bytes.fromhex(command))[-2:] in (b"\x90\x00", b"\x61\x00")
    assert tidy_reader(settings(desk), desk.readers, READER, later)["tidied"] == []
    assert card.transmit(bytes.fromhex("00200080")) == b"\x90\x00"  # and is still signed in
    assert card.image == before


@pytest.fixture
def relayed(workshop: Workshop, workstation: Workstations) -> Iterator[tuple[VirtualCard, Path]]:
    """A renewed card that is in a reader, and the configuration of its workstation, which keeps no old keys."""
    desk = workstation(workshop.campaign())
    card, _ = renewed(workshop, desk)
    config = desk.folder / "config.toml"
    with RelayServer(desk.readers, desk.folder / "readers.sock") as relay:
        config.write_text(
            f'[agent]\nstate_dir = "{desk.folder}"\n[card]\nreaders = "{relay.where}"\nkeep_old_key_days = 0\n'
        )
        desk.put_in(card)
        yield card, config
        desk.take_out()


def test_the_agents_child_as_a_process(relayed: tuple[VirtualCard, Path]) -> None:
    card, config = relayed
    options = ["--config", str(config), "--reader", READER]
    assert ask_child(HOUSEKEEPING, options) == {"ok": True, "tidied": ["82"], "next": None}
    assert card.key_slots == STANDARD


def test_the_agent_sees_to_it_when_the_card_is_in(relayed: tuple[VirtualCard, Path]) -> None:
    card, config = relayed
    env = {**os.environ, "XDG_RUNTIME_DIR": str(config.parent)}
    command, said = (
        [sys.executable, "-m", "renewagent", "agent", "--config", str(config)],
        config.with_name("agent.log"),
    )
    with said.open("wb") as log, subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=log) as agent:
        try:
            until(lambda: f"card.tidied reader={READER} slots=82" in said.read_text(), limit=60)
        finally:
            agent.terminate()
    assert (card.key_slots, card.object(FIRST_RETIRED), signs(card)) == (STANDARD, None, True)


def test_other_programs_see_the_old_key_while_it_is_kept_and_not_afterwards(
    workshop: Workshop, workstation: Workstations, private_pcscd: PrivatePcscd, tmp_path: Path
) -> None:
    """OpenSC goes by Key History; ykman and yubico-piv-tool look into every slot."""
    desk = workstation(workshop.campaign())
    card, _ = renewed(workshop, desk)
    new = x509.load_der_x509_certificate(certificate(card))
    for kept in (True, False):
        with inserted_card(card, private_pcscd, tmp_path) as there:
            listed = there.run("pkcs15-tool", "--reader", "0", "--list-certificates")
            info = there.run("ykman", "--reader", there.reader, "piv", "info")
            status = there.run("yubico-piv-tool", "-r", there.reader, "-a", "status")
            read = there.run("pkcs15-tool", "--reader", "0", "--read-certificate", "02")
        assert ("Retired Certificate for Key Management 1]" in listed) == kept
        assert "Retired Certificate for Key Management 2]" not in listed
        assert ("Slot 82" in info, "Slot 82" in status) == (kept, kept)
        assert x509.load_pem_x509_certificate(read.encode()) == new
        desk.days_later = 15
        desk.renew(card)

"""Whatever order things come in: cards put in and taken out of two computers, renewals that are finished, pulled at any
APDU, mixed up, left alone or killed, an RA in any mood. After each of them the invariants of the design hold, and at
the end a willing RA and a computer that knows nothing finish every card.

The cards go by way D (plain) and way B (extended). Every PIN is typed right.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

from cryptography import x509
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from renewagent.errors import CardRemoved, RenewAgentError
from renewagent_fixtures.mock_ra.rows import AuditRow
from renewagent_fixtures.person import ScriptedPerson
from renewagent_fixtures.virtual_card import Moment, VirtualCard
from tests.flows.workshop import (
    PIN,
    SIGNING,
    Cut,
    Killed,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    certificate,
    sha256,
    signs,
)

ALIVE = frozenset({"valid", "unconfirmed", "updated"})
STANDING = frozenset({"open", "armed", "issued", "confirmed"})
LOGGED = ("receipt.accepted", "certificate.revoked")
MOODS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"approval": True},
    {"refuse": "systemUnavail"},
    {"refuse": "badPOP"},
    {"knows_no_tickets": True},
    {"no_receipts": True},
    {"clock_offset": 3600.0},
)
EXAMPLES, STEPS = 7, 12


class Renewals(RuleBasedStateMachine):
    """Two cards, two computers, one RA. `workshop` and `computer` are the test's."""

    workshop: Workshop
    computer: Callable[[], Workstation]

    def __init__(self) -> None:
        super().__init__()
        self.workshop.restore()
        self.desks = [self.computer(), self.computer()]
        self.cards = [self.workshop.card(profile=profile) for profile in ("plain", "extended")]
        self.old = [certificate(card) for card in self.cards]
        self.where: dict[int, Workstation] = {}
        self.receipts_wanted = True

    # -- what happens --------------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1), at=st.integers(0, 1))
    def put_in(self, which: int, at: int) -> None:
        desk = self.desks[at]
        if which not in self.where and desk not in self.where.values():
            desk.put_in(self.cards[which])
            self.where[which] = desk

    @precondition(lambda self: self.where)
    @rule(which=st.integers(0, 1))
    def take_out(self, which: int) -> None:
        if desk := self.where.pop(which, None):
            desk.take_out()

    @rule(mood=st.sampled_from(MOODS))
    def ra_turns(self, mood: dict[str, Any]) -> None:
        self.workshop.turn(**mood)
        if "knows_no_tickets" in mood or "no_receipts" in mood:
            self.receipts_wanted = False

    @rule()
    def officer_approves(self) -> None:
        with self.workshop.ra.office.lock:
            self.workshop.ra.office.approve(None)
            self.workshop.ra.office.flush()

    @rule()
    def time_passes(self) -> None:
        self.workshop.ten_minutes_later()

    @rule(at=st.integers(0, 1))
    def another_computer(self, at: int) -> None:
        """In the place of this one, which nobody ever comes back to."""
        gone = self.desks[at]
        if gone not in self.where.values():
            gone.transport.close()
            self.desks[at] = self.computer()

    @rule(which=st.integers(0, 1))
    def renews(self, which: int) -> None:
        self._renew(which)

    @rule(which=st.integers(0, 1), at=st.integers(0, 14), lost=st.booleans())
    def renews_and_is_killed(self, which: int, at: int, lost: bool) -> None:
        """The process ends; the next one has a handle of its own on the journal."""
        self._renew(which, cut=Cut(at, lost))

    @rule(which=st.integers(0, 1), nth=st.integers(1, 60), when=st.sampled_from([Moment.BEFORE, Moment.AFTER]))
    def renews_and_pulls(self, which: int, nth: int, when: Moment) -> None:
        """And leaves with the card."""
        self._renew(which, pull=(nth, when))

    @rule(which=st.integers(0, 1), nth=st.integers(1, 60), when=st.sampled_from([Moment.BEFORE, Moment.AFTER]))
    def renews_and_mixes_up(self, which: int, nth: int, when: Moment) -> None:
        """Pulls, puts the other card in, then the right one."""
        self._renew(which, pull=(nth, when), mix_up=1 - which not in self.where, stays=True)

    def _renew(
        self,
        which: int,
        *,
        cut: Cut | None = None,
        pull: tuple[int, Moment] | None = None,
        stays: bool = False,
        mix_up: bool = False,
    ) -> None:
        desk, card = self._desk_of(which), self.cards[which]
        other = self.cards[1 - which] if mix_up else card
        person = _person(desk, card, other, stays=stays)
        if pull is not None:
            card.hook = _pull(desk, *pull)
        try:
            with contextlib.suppress(RenewAgentError, Killed):
                desk.renew(card, person, cut=cut, inserted=True)
        finally:
            card.hook = None
            desk.take_out()  # whatever lies in it now
            desk.settle()
            del self.where[which]

    def _desk_of(self, which: int) -> Workstation:
        """Where the card is; else it goes in wherever there is room, the first computer first."""
        if which not in self.where:
            for at in (0, 1):
                self.put_in(which=which, at=at)
        return self.where[which]

    # -- what holds ----------------------------------------------------------------------------------------------------

    @invariant()
    def can_sign_or_be_finished(self) -> None:
        """(i)"""
        for card in self.cards:
            standing = any(ticket.state in STANDING for ticket in self.workshop.tickets(card))
            assert standing or self._credential(card), "it cannot sign, and no ticket stands"

    def _credential(self, card: VirtualCard) -> bool:
        der = card.certificate(SIGNING)
        if der is None or x509.load_der_x509_certificate(der).public_key() != card.public_key(SIGNING):
            return False
        return self.workshop.row(der).state in ALIVE

    @invariant()
    def one_certificate(self) -> None:
        """(ii)"""
        for old in self.old:
            issued = self.workshop.signing_certificates(old)
            transactions = Counter(row.transaction for row in issued if row.transaction)
            tickets = Counter(row.ticket for row in issued if row.ticket and row.state in ALIVE)
            assert not [name for name, count in (transactions + tickets).items() if count > 1]

    @invariant()
    def revoked_after_the_receipt(self) -> None:
        """(iii)"""
        for card, old in zip(self.cards, self.old, strict=True):
            receipts = [receipt.old for receipt in self.workshop.receipts(card)]
            assert (self.workshop.row(old).state == "revoked") == (sha256(old) in receipts)

    @invariant()
    def no_try_is_lost(self) -> None:
        """(iv)"""
        assert [card.pin_tries for card in self.cards] == [3, 3]

    @invariant()
    def no_pin_is_written(self) -> None:
        """(v)"""
        for desk in self.desks:
            for file in desk.folder.rglob("*"):
                assert not file.is_file() or PIN.encode() not in file.read_bytes(), file.name

    def _in_order(self, old: bytes) -> None:
        """(iii) once more, by the RA's log: between the receipt and the revocation there may be no time to look."""
        self.workshop.ra.office.flush()
        events = [(row.event, row.details) for row in self.workshop.ra.office.store.find(AuditRow)]
        told = [event for event, details in events if sha256(old) in details and event in LOGGED]
        assert told == (list(LOGGED) if self.workshop.row(old).state == "revoked" else []), told

    def teardown(self) -> None:
        """Nothing is lost: each card is finished where nobody has seen it."""
        try:
            for which in list(self.where):
                self.take_out(which=which)
            self.workshop.restore()
            for card, old in zip(self.cards, self.old, strict=True):
                self._finish(card, old)
        finally:
            self.workshop.restore()
            for desk in self.desks:
                desk.transport.close()

    def _finish(self, card: VirtualCard, old: bytes) -> None:
        self.officer_approves()
        self.time_passes()
        desk = self.computer()
        try:
            desk.renew(card)
        finally:
            desk.transport.close()
        self.no_try_is_lost()
        with self.workshop.ra.office.lock:
            self._in_order(old)
        assert signs(card)
        if self.receipts_wanted:
            assert_renewed(self.workshop, card, old)
        else:
            assert certificate(card) != old
            assert self._credential(card)


def _person(desk: Workstation, card: VirtualCard, other: VirtualCard, *, stays: bool) -> ScriptedPerson:
    """Whoever does not stay goes at the first wish for the card in the middle, and when told to wait."""
    wrong = iter([other] if other is not card else [])

    def insert(reader: str, wanted: object) -> None:
        desk.put_in(next(wrong, card))

    def right_one(said: object) -> None:
        desk.take_out()
        desk.put_in(card)

    leaves = {"waiting"} | (set() if stays else {"pulled-unsafe", "pulled-half-way"})
    return desk.person(card, insert=insert, on={"wrong-card": right_one}, stop_at=frozenset(leaves))


def _pull(desk: Workstation, nth: int, when: Moment) -> Callable[[Moment, bytes, bytes], None]:
    count = itertools.count(1)

    def hook(moment: Moment, command: bytes, response: bytes) -> None:
        if moment is when and next(count) == nth:
            desk.lose_contact()
            raise CardRemoved("The smartcard was removed.")

    return hook


def test_in_any_order(workshop: Workshop, workstation: Workstations, every: bool) -> None:
    campaign = workshop.campaign()
    machine = type("TheseRenewals", (Renewals,), {"workshop": workshop, "computer": lambda self: workstation(campaign)})
    bounds = settings(
        max_examples=EXAMPLES * (5 if every else 1),
        stateful_step_count=STEPS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=bounds)

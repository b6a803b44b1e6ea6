"""Whatever the network does to any one message between a workstation and the RA: the card ends up renewed, by itself or
at the next run, or the person hears why not while the card signs as before. Never a wrong certificate, never a second
one unrevoked for a ticket, and no passcode try is gone."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from renewagent.agent import renewing
from renewagent.agent.campaigns import Accepted
from renewagent.agent.ra_desk import RaDesk, utc_now
from renewagent.errors import RaError, RaUnreachable, RenewAgentError
from renewagent.ra_transport import HttpRaTransport, PlainAnswer
from renewagent_fixtures.faults.bad_network import FAULTS, IMPATIENT, TIMED, BadNetwork
from renewagent_fixtures.faults.world import workspace
from renewagent_fixtures.mock_ra import MockRa
from renewagent_fixtures.mock_ra.ra import IssueProfile
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.workshop import (
    AUTHENTICATION,
    DAYS,
    PIN,
    SIGNING,
    Workshop,
    Workstation,
    assert_renewed,
    certificate,
    signs,
)

_END = ("certConf", "receipt", "challenge", "sign-in", "more cards")
ASKED: Mapping[str, tuple[str, ...]] = {
    "A": ("status", "nonce", "turn", "request", *_END),
    "B": ("status", "nonce", "turn", "nonce again", "keys", "ticket", "request", *_END),
    "D": ("status", "nonce", "turn", "nonce again", "keys", "ticket", "arm", "request", *_END),
}
"""What each way asks the RA, in order."""
TARGETS = {
    "status": "GET /status",
    "turn": "GET /status",
    "more cards": "GET /status",
    "nonce": "GET /nonce",
    "nonce again": "GET /nonce",
    "challenge": "GET /sign-in/challenge",
    "sign-in": "POST /sign-in",
}
CELLS = [pytest.param(way, number, id=f"{way}-{what}") for way in ASKED for number, what in enumerate(ASKED[way])]
ALIKE = (
    ("lost", "garbage", "portal", "server error", "redirect"),
    ("answer lost", "reset", "gateway error", "half closed"),
    ("silence", "late", "drip"),
)
"""Faults that are one to both ends: each message meets one of each group in turn."""
NO_ANSWER = frozenset(itertools.chain(*ALIKE, ["overtaken"]))
"""Faults after which nothing has arrived that could be an RA's answer."""
ALONE = tuple(fault for fault in FAULTS if fault not in set(itertools.chain(*ALIKE)))
HALF_WAY: Mapping[str, str] = {"A": "certConf", "B": "certConf", "D": "request"}
"""From here on the card has been changed, and nobody has to begin again for want of an answer."""


def faults(way: str, number: int, every: bool) -> tuple[str, ...]:
    """What is done to the `number`th message: everything, or one of what is alike and half of the rest."""
    if every:
        return tuple(FAULTS)
    alone = [fault for place, fault in enumerate(ALONE) if fault == "twice" or (place + number) % 2]
    return (*(group[number % len(group)] for group in ALIKE), *alone)


class Transport:
    """A way to the RA by the bad network, with a short time limit for the request that is to meet it."""

    def __init__(self, network: BadNetwork) -> None:
        self._network = network
        self.url = f"{network.origin}/.well-known/cmp"
        self._patient = HttpRaTransport(self.url, timeout=10)
        self._impatient = HttpRaTransport(self.url, timeout=IMPATIENT)

    @property
    def _chosen(self) -> HttpRaTransport:
        return self._impatient if self._network.fault in TIMED and self._network.due() else self._patient

    def exchange(self, octets: bytes) -> bytes:
        return self._chosen.exchange(octets)

    def get_json(self, url: str) -> PlainAnswer:
        return self._chosen.get_json(url)

    def post(self, url: str, body: bytes, content_type: str) -> PlainAnswer:
        return self._chosen.post(url, body, content_type)

    def close(self) -> None:
        self._patient.close()
        self._impatient.close()


@dataclass
class Bench:
    """One RA behind a bad network; journals and the RA's book lie in memory where there is room."""

    workshop: Workshop
    network: BadNetwork
    campaigns: dict[str, Accepted] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    transports: list[Transport] = field(default_factory=list)
    answers: dict[str, Mapping[int, bytes]] = field(default_factory=dict)
    """What the RA answered in a renewal by each way that nothing happened to."""

    def __post_init__(self) -> None:
        for way in ASKED:
            self.campaigns[way] = self.workshop.campaign(rekey="allowed" if way == "A" else "required")
            card = self.card(way)
            old = certificate(card)
            self.workstation(way).renew(card)
            assert_renewed(self.workshop, card, old)
            assert [seen.target for seen in self.network.seen] == [
                TARGETS.get(what, "POST /.well-known/cmp") for what in ASKED[way]
            ]
            self.answers[way] = dict(self.network.answers)
            self.hang_up()

    def card(self, way: str) -> VirtualCard:
        """A card of the bad batch that takes this way; issued without ceremony, since there are hundreds."""
        card = VirtualCard.create(None, profile="extended" if way == "B" else "plain", pin=PIN)
        holder = f"CN=Dr {card.guid.hex()[:12]},O=Mock Hospital,C=GB"
        issued = utc_now() - timedelta(days=DAYS)
        profiles: dict[int, IssueProfile] = {AUTHENTICATION: "authentication", SIGNING: _profile(way)}
        for slot, profile in profiles.items():
            der = self.workshop.ra.issue(card.generate(slot, "p256"), holder, profile, not_before=issued)
            card.write_certificate(slot, der)
        self.network.calm()
        return card

    def workstation(self, way: str) -> Workstation:
        """A computer behind the bad network."""
        folder = self.workshop.folder / f"workstation-{next(self.numbers)}"
        folder.mkdir()
        accepted, transport = self.campaigns[way], Transport(self.network)
        self.transports.append(transport)
        made = Workstation(self.workshop, folder, {accepted.campaign.id: accepted}, transport=transport)
        made.desk = RaDesk(made.transport, self.workshop.anchors, f"{self.network.origin}/sign-in", utc_now)
        return made

    def hang_up(self) -> None:
        """Close the connections of all workstations so far."""
        while self.transports:
            self.transports.pop().close()


def _profile(way: str) -> IssueProfile:
    return "signing-with-digital-signature" if way == "A" else "signing"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with (
        tempfile.TemporaryDirectory(prefix="renewagent-network-", dir=workspace()) as name,
        MockRa(Path(name) / "ra") as ra,
        BadNetwork(ra.origin) as network,
    ):
        ra.office.reached_at(ra.office.reader.origins | {network.origin}, f"{ra.origin}/crl")
        yield Bench(Workshop(ra, Path(name)), network)


@dataclass
class Cell:
    """One renewal whose `number`th message meets `fault`, and what came of it."""

    bench: Bench
    way: str
    number: int
    fault: str

    def run(self, *, elsewhere: bool) -> str:
        """How it came out: "by itself" or "at the next run". Asserts everything that must hold on the way."""
        bench, way = self.bench, self.way
        card, first = bench.card(way), bench.workstation(way)
        old = certificate(card)
        bench.network.elsewhere = bench.answers[way]
        bench.network.mistreat(self.number, self.fault)
        error = _renew(first, card)
        assert bench.network.struck, f"{self.fault}: never met"
        bench.network.calm()
        assert card.pin_tries == 3
        if error is None:
            outcome = "by itself"
        else:
            outcome = "at the next run"
            self._said(error)
            self._safe(card, old, first)
            self._finish(card, bench.workstation(way) if elsewhere else first)
        assert_renewed(bench.workshop, card, old)
        assert len(bench.workshop.tickets(card)) == 1
        assert card.pin_tries == 3
        return outcome

    def _said(self, error: RenewAgentError) -> None:
        """A sentence of an RA's, or of the way to one; none of ours about ourselves."""
        assert isinstance(error, RaError), error
        assert error.message and error.advice
        assert isinstance(error, RaUnreachable) or self.fault not in NO_ANSWER

    @property
    def what(self) -> str:
        """The message's name."""
        return ASKED[self.way][self.number]

    def _safe(self, card: VirtualCard, old: bytes, desk: Workstation) -> None:
        """The old or the new credential signs, or a ticket stands that any workstation can finish under."""
        standing = [ticket.state for ticket in self.bench.workshop.tickets(card)]
        if "begun" not in desk.kinds:
            assert certificate(card) == old
            assert signs(card)
            assert self.bench.workshop.row(old).state == "valid"
        elif not signs(card):
            assert standing and standing[0] in ("armed", "issued", "confirmed")

    def _finish(self, card: VirtualCard, desk: Workstation) -> None:
        error = _renew(desk, card)
        assert error is None, error


def _renew(desk: Workstation, card: VirtualCard) -> RenewAgentError | None:
    try:
        desk.renew(card)
    except RenewAgentError as error:
        return error
    return None


@pytest.mark.parametrize(("way", "number"), CELLS)
def test_whatever_happens_to_a_message(
    bench: Bench, way: str, number: int, monkeypatch: pytest.MonkeyPatch, every: bool
) -> None:
    monkeypatch.setattr(renewing, "RA_PAUSE", 0.01)
    names, outcomes = ASKED[way], {}
    for place, fault in enumerate(faults(way, number, every)):
        cell = Cell(bench, way, number, fault)
        outcomes[fault] = cell.run(elsewhere=place % 2 == 1)
        bench.hang_up()
    unanswered = {outcome for fault, outcome in outcomes.items() if fault in NO_ANSWER}
    if names[number] == "status" or number >= names.index(HALF_WAY[way]):
        assert unanswered == {"by itself"}, outcomes
    else:
        assert unanswered == {"at the next run"}, outcomes
    assert outcomes["twice"] == "by itself", outcomes


def test_every_fault_is_met_by_every_way() -> None:
    for way, names in ASKED.items():
        assert set(itertools.chain(*(faults(way, number, every=False) for number in range(len(names))))) == set(FAULTS)

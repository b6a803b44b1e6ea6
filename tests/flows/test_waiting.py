"""The RA wants to look at the request first: the person is told, nothing with a PIN is sent meanwhile, and they are
called back; today, or tomorrow in another process."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest

from renewagent.errors import PersonStopped
from tests.flows.workshop import Cut, Killed, Workshop, Workstation, Workstations, assert_renewed, certificate

WAYS = pytest.mark.parametrize(
    ("rekey", "protects"), [("required", False), ("allowed", True), ("allowed", False)], ids=["D", "A-kur", "A-cr"]
)


def approve(workshop: Workshop) -> None:
    """The officer says yes to all."""
    request = urllib.request.Request(f"{workshop.ra.origin}/admin/approve", data=b"{}")  # noqa: S310
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        assert answer.status == 200


class Asked:
    """Notes what a workstation asks of the RA while it waits, and has the officer approve at the second question."""

    def __init__(self, workshop: Workshop, desk: Workstation) -> None:
        self.addresses: list[str] = []
        self.messages = 0
        self._workshop = workshop
        self._transport = desk.transport
        self._get, self._send = desk.transport.get_json, desk.transport.exchange
        desk.transport.get_json, desk.transport.exchange = self.get_json, self.exchange

    def get_json(self, url: str) -> Any:
        """As the transport's."""
        self.addresses.append(url.partition("?")[0].rpartition("/")[2])
        if self.addresses[-2:] == ["status", "status"]:
            approve(self._workshop)
        return self._get(url)

    def exchange(self, octets: bytes) -> bytes:
        """As the transport's."""
        self.messages += 1
        return bytes(self._send(octets))


@WAYS
def test_the_person_is_told_to_wait_and_called_back(
    workshop: Workshop, workstation: Workstations, rekey: str, protects: bool
) -> None:
    workshop.turn(approval=True)
    card = workshop.card(protects=protects)
    old, desk = certificate(card), workstation(workshop.campaign(rekey=rekey))
    asked, seen = Asked(workshop, desk), []
    person = desk.person(card)
    person.on = {
        "waiting": lambda said: seen.append((asked.messages, desk.tape.verifies)),
        "pin": lambda said: seen.append((asked.messages, desk.tape.verifies)),
    }
    outcome = desk.renew(card, person)
    assert_renewed(workshop, card, old)
    assert outcome["signed_in"]
    assert person.kinds == ["before", "pin", "waiting", "pin", "sign-in-again", "insert-again", "pin", "done"]
    assert seen[1] == seen[2]  # between the word and the question no message was sent and no PIN presented
    assert asked.addresses.count("status") >= 2
    assert "You do not need to do anything." in person.heard


@WAYS
@pytest.mark.parametrize("approved", ["meanwhile", "later"])
def test_whoever_leaves_meanwhile_goes_on_the_next_day(
    workshop: Workshop, workstation: Workstations, rekey: str, protects: bool, approved: str
) -> None:
    workshop.turn(approval=True)
    card = workshop.card(protects=protects)
    old, desk = certificate(card), workstation(workshop.campaign(rekey=rekey))
    with pytest.raises(PersonStopped):
        desk.renew(card, desk.person(card, stop_at=frozenset({"waiting"})))
    assert desk.kinds[-2:] == ["told-to-wait", "interrupted"]
    person = desk.person(card)
    if approved == "meanwhile":
        approve(workshop)
    else:
        person.on = {"waiting": lambda said: approve(workshop)}
    issued = len(workshop.signing_certificates(old))
    assert desk.renew(card, person)["signed_in"]
    assert_renewed(workshop, card, old)
    assert issued == 1
    assert len(workshop.signing_certificates(old)) == 2


@WAYS
@pytest.mark.parametrize("end", ["journalled", "lost"])
@pytest.mark.parametrize("name", ["told-to-wait", "ready-at-ra", "issued"])
def test_a_process_that_ends_meanwhile(
    workshop: Workshop, workstation: Workstations, rekey: str, protects: bool, name: str, end: str
) -> None:
    workshop.turn(approval=True)
    card = workshop.card(protects=protects)
    old, desk = certificate(card), workstation(workshop.campaign(rekey=rekey))
    order = ["ready", "agreed", "asked"] if rekey == "allowed" else BEFORE_WAITING
    at = len(order) + ["told-to-wait", "ready-at-ra", "issued"].index(name)
    agreeing = {"waiting": lambda said: approve(workshop)}
    with pytest.raises(Killed) as cut:
        desk.renew(card, desk.person(card, on=agreeing), cut=Cut(at, lost=end == "lost"))
    assert str(cut.value) == name
    if (rekey, name, end) == ("allowed", "issued", "lost"):
        workshop.ten_minutes_later()
    person = desk.person(card, on=agreeing)
    assert desk.renew(card, person)["signed_in"]
    assert_renewed(workshop, card, old)
    if (name, end) == ("ready-at-ra", "journalled"):
        assert "waiting" not in person.kinds  # nobody needs to agree twice


BEFORE_WAITING = ["ready", "agreed", "ticket-granted", "armed", "begun", "generated", "asked"]

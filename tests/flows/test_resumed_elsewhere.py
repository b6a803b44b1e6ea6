"""The process ends after, or instead of, each event that it journals; the renewal goes on at the same workstation or at
another one, whose journal knows nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from renewagent.agent.ra_desk import utc_now
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows import test_renewal_way_a, test_renewal_way_d
from tests.flows.workshop import (
    SIGNING,
    Cut,
    Killed,
    Workshop,
    Workstation,
    Workstations,
    assert_renewed,
    certificate,
)


def places(order: list[str]) -> list[object]:
    """Every event, as a test's parameter."""
    return [pytest.param(at, id=f"{at}-{name}") for at, name in enumerate(order)]


def killed(desk: Workstation, card: VirtualCard, at: int, end: str) -> str:
    """Begin a renewal that ends at the `at`th event; the event's name."""
    with pytest.raises(Killed) as cut:
        desk.renew(card, cut=Cut(at, lost=end == "lost"))
    return str(cut.value)


@pytest.mark.parametrize(("where", "end"), [("here", "journalled"), ("here", "lost"), ("elsewhere", "journalled")])
@pytest.mark.parametrize("at", places(test_renewal_way_d.ORDER))
def test_way_d_goes_on(workshop: Workshop, workstation: Workstations, at: int, where: str, end: str) -> None:
    card, campaign = workshop.card(), workshop.campaign()
    old = certificate(card)
    first = workstation(campaign)
    killed(first, card, at, end)
    second = first if where == "here" else workstation(campaign)
    outcome = second.renew(card)
    assert_renewed(workshop, card, old)
    assert sum(1 for ticket in workshop.tickets(card)) == 1
    assert card.pin_tries == 3
    assert outcome.get("state") in ("done", None)


@pytest.mark.parametrize(("where", "end"), [("here", "journalled"), ("here", "lost"), ("elsewhere", "journalled")])
@pytest.mark.parametrize("at", places(test_renewal_way_a.ORDER))
@pytest.mark.parametrize("protects", [True, False], ids=["kur", "cr"])
def test_way_a_goes_on(
    workshop: Workshop, workstation: Workstations, at: int, where: str, end: str, protects: bool
) -> None:
    card, campaign = workshop.card(protects=protects), workshop.campaign(rekey="allowed")
    old, key = certificate(card), card.public_key(SIGNING)
    first = workstation(campaign)
    killed(first, card, at, end)
    (first if where == "here" else workstation(campaign)).renew(card)
    assert_renewed(workshop, card, old)
    assert (card.public_key(SIGNING), card.pin_tries) == (key, 3)
    assert sum(1 for ticket in workshop.tickets(card)) == 1  # which the RA made of its own accord


@pytest.mark.parametrize("protects", [True, False], ids=["kur", "cr"])
def test_way_a_goes_on_elsewhere_after_weeks_and_with_no_certificate_on_the_card(
    workshop: Workshop, workstation: Workstations, protects: bool
) -> None:
    card, campaign = workshop.card(protects=protects), workshop.campaign(rekey="forbidden")
    old = certificate(card)
    killed(workstation(campaign), card, test_renewal_way_a.ORDER.index("begun"), "journalled")
    card.write_object(0x5FC10A, b"")  # as PUT DATA leaves it that is cut short
    workshop.ten_minutes_later()  # what a ticket keeps is not withdrawn
    outcome = workstation(campaign).renew(card)
    assert outcome["way"] == "A"
    assert_renewed(workshop, card, old)


def test_a_ticket_of_an_older_version_of_the_campaign_is_finished_under_that(
    workshop: Workshop, workstation: Workstations
) -> None:
    card = workshop.card()
    older, newer = (workshop.campaign(name="twice-published", version=version) for version in (1, 2))
    old = certificate(card)
    killed(workstation(older), card, 6, "journalled")
    workstation(newer).renew(card)
    assert_renewed(workshop, card, old)
    assert [receipt.campaign for receipt in workshop.receipts(card)] == ["twice-published/1"]


def test_a_strangers_card_is_finished_by_the_campaign_of_its_ticket(
    workshop: Workshop, workstation: Workstations
) -> None:
    card, meant, other = workshop.card(), workshop.campaign(removal_ends_session=False), workshop.campaign()
    old = certificate(card)
    killed(workstation(meant), card, test_renewal_way_d.ORDER.index("stored"), "journalled")
    latest = replace(other.campaign, rules=(), published=utc_now())  # what would be guessed
    desk = workstation(meant, replace(other, campaign=latest))
    person = desk.person(card)
    desk.renew(card, person)
    assert_renewed(workshop, card, old)
    assert [receipt.campaign for receipt in workshop.receipts(card)] == [meant.campaign.label]
    assert "sign you out" in person.heard


def test_what_another_workstation_has_finished_is_not_begun_again(
    workshop: Workshop, workstation: Workstations
) -> None:
    card, campaign = workshop.card(), workshop.campaign()
    old, here = certificate(card), workstation(campaign)
    killed(here, card, test_renewal_way_d.ORDER.index("asked"), "journalled")
    workstation(campaign).renew(card)
    new = certificate(card)
    person = here.person(card)
    outcome = here.renew(card, person)
    assert (outcome["verdict"], outcome["renewed"]) == ("UNAFFECTED", False)
    assert person.kinds[-1] == "not-affected"
    assert certificate(card) == new
    assert_renewed(workshop, card, old)

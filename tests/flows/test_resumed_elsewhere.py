"""The process ends after, or instead of, each event that it journals; the renewal goes on at the same workstation or at
another one, whose journal knows nothing."""

from __future__ import annotations

import pytest

from renewagent.errors import RaWaiting
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
    signs,
)

ENDS = ["journalled", "lost"]


def places(order: list[str]) -> list[object]:
    """Every event, as a test's parameter."""
    return [pytest.param(at, id=f"{at}-{name}") for at, name in enumerate(order)]


def killed(desk: Workstation, card: VirtualCard, at: int, end: str) -> str:
    """Begin a renewal that ends at the `at`th event; the event's name."""
    with pytest.raises(Killed) as cut:
        desk.renew(card, cut=Cut(at, lost=end == "lost"))
    return str(cut.value)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("where", ["here", "elsewhere"])
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


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("at", places(test_renewal_way_a.ORDER))
@pytest.mark.parametrize("protects", [True, False], ids=["kur", "cr"])
def test_way_a_goes_on_where_it_was_begun(
    workshop: Workshop, workstation: Workstations, at: int, end: str, protects: bool
) -> None:
    card, campaign = workshop.card(protects=protects), workshop.campaign(rekey="allowed")
    old, key = certificate(card), card.public_key(SIGNING)
    desk = workstation(campaign)
    name = killed(desk, card, at, end)
    if (name, end) == ("issued", "lost"):  # its answer is gone with the process: the RA must first withdraw it
        with pytest.raises(RaWaiting, match="not finished"):
            desk.renew(card)
        assert (certificate(card), signs(card)) == (old, True)
        workshop.ten_minutes_later()
    desk.renew(card)
    assert_renewed(workshop, card, old)
    assert (card.public_key(SIGNING), card.pin_tries) == (key, 3)

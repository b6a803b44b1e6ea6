"""The RA spreads its renewals: "come back at T". T is kept for the card wherever it is, told, and waited for; and how
many more cards there are is said at the end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from renewagent.agent import worker
from renewagent.agent.campaigns import Accepted
from renewagent.agent.journal import Journal
from renewagent.agent.times_in_words import moment_in_words
from renewagent.agent.turns import kept_here
from renewagent.errors import NotYet, RenewalImpossible
from renewagent_fixtures.mock_ra.plan import Plan
from renewagent_fixtures.mock_ra.rows import TurnRow
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.test_come_back import Clock, Place
from tests.flows.workshop import Workshop, Workstations, assert_renewed, assert_untouched, certificate, identity, sha256

HOUR = 3600


@pytest.fixture
def clock(workshop: Workshop) -> Clock:
    return Clock(workshop)


@pytest.fixture
def hospital(tmp_path: Path) -> Callable[[], str]:
    """Holders of one organisation, which no other test knows."""
    count = iter(range(100))
    return lambda: f"CN=Dr {next(count)},OU={tmp_path.parent.name}-{tmp_path.name},O=Mock Hospital,C=GB"


HOURLY = Plan(per_day=24)


def turn_of(workshop: Workshop, card: VirtualCard) -> datetime:
    """By the RA's books."""
    with workshop.ra.office.lock:
        row = workshop.ra.office.store.get(TurnRow, sha256(certificate(card)))
    assert row is not None
    return datetime.fromtimestamp(row.at).astimezone()


def test_a_card_waits_for_its_turn_and_other_cards_go_on(
    workshop: Workshop, workstation: Workstations, clock: Clock, hospital: Callable[[], str]
) -> None:
    first, second, other = workshop.card(holder=hospital()), workshop.card(holder=hospital()), workshop.card()
    old, before, campaign = certificate(second), second.image, workshop.campaign()
    place = Place(workstation, clock, campaign)
    clock.turn_on(0, plan=HOURLY)
    assert place.desk.renew(first)["signed_in"]

    place.start()
    with pytest.raises(NotYet, match="Nothing was changed") as told:
        place.desk.renew(second)
    until = turn_of(workshop, second)
    when = moment_in_words(until, clock.now())
    assert timedelta(minutes=58) < until - clock.now() < timedelta(hours=1)
    assert abs(told.value.until - until) < timedelta(seconds=2)
    assert when in told.value.message and when in told.value.advice
    assert place.line.asked == ["status", "nonce", "status"]
    assert (place.desk.tape.verifies, place.desk.kinds[-1]) == (0, "stopped")
    assert_untouched(workshop, second, before)

    clock.turn_on(HOUR / 4)
    place.start()  # nothing is asked about this card before its turn, today or after a restart
    with pytest.raises(NotYet):
        place.desk.renew(second)
    assert place.line.asked == []
    assert place.desk.renew(other)["signed_in"]

    elsewhere = workstation(campaign, name="elsewhere")
    elsewhere.desk.now = clock.now
    with pytest.raises(NotYet) as again:  # the turn is the card's, at every workstation
        elsewhere.renew(second)
    assert abs(again.value.until - until) < timedelta(seconds=2)

    clock.turn_on((until - clock.now()).total_seconds() + 1)
    place.start()
    assert place.desk.renew(second)["signed_in"]
    assert_renewed(workshop, second, old)


def test_the_time_is_kept_by_this_computers_clock(
    workshop: Workshop, workstation: Workstations, clock: Clock, hospital: Callable[[], str]
) -> None:
    """Four minutes off are forgiven: T is where the RA's clock says it."""
    first, card = workshop.card(holder=hospital()), workshop.card(holder=hospital())
    place = Place(workstation, clock, workshop.campaign())
    clock.turn_on(0, plan=HOURLY)
    place.desk.renew(first)
    place.desk.desk.now = lambda: clock.now() - timedelta(minutes=4)
    with pytest.raises(NotYet) as told:
        place.desk.renew(card)
    assert abs(told.value.until - (turn_of(workshop, card) - timedelta(minutes=4))) < timedelta(seconds=2)


def test_the_agent_knows_until_when(
    workshop: Workshop, workstation: Workstations, clock: Clock, hospital: Callable[[], str]
) -> None:
    first, card = workshop.card(holder=hospital()), workshop.card(holder=hospital())
    place = Place(workstation, clock, workshop.campaign())
    clock.turn_on(0, plan=HOURLY)
    place.desk.renew(first)
    with pytest.raises(NotYet) as told:
        place.desk.renew(card)
    parsed = x509.load_der_x509_certificate(certificate(card))
    shown = {"serial": format(parsed.serial_number, "x"), "issuer": "CN=Mock Signing CA,O=renewagent,C=GB"}
    assert kept_here(place.desk.folder, shown, clock.now()) == told.value.until
    assert kept_here(place.desk.folder, {**shown, "serial": "1"}, clock.now()) is None
    assert kept_here(place.desk.folder, shown, told.value.until) is None
    assert kept_here(place.desk.folder / "nowhere", shown, clock.now()) is None


def test_whoever_may_not_renew_again_alone_is_sent_to_the_ra(workshop: Workshop, workstation: Workstations) -> None:
    card, campaign = workshop.card(), workshop.campaign()
    before = card.image
    desk = workstation(campaign)
    workshop.turn(max_self_renewals=0)
    with pytest.raises(RenewalImpossible, match="as often as is allowed") as told:
        desk.renew(card)
    assert told.value.advice.startswith("Only your Registration Authority can renew it, in person.")
    assert "0300 000 0000" in told.value.advice
    assert (desk.kinds, desk.tape.verifies) == (["stopped"], 0)
    assert_untouched(workshop, card, before)


def learn(workshop: Workshop, campaign: Accepted) -> Accepted:
    workshop.ra.learn_campaign(campaign.document)
    return campaign


def test_how_many_more_cards_there_are_is_said_at_the_end(
    workshop: Workshop, workstation: Workstations, hospital: Callable[[], str]
) -> None:
    holder = hospital()
    first, second, third = (workshop.card(holder=holder) for _ in range(3))
    campaign = learn(workshop, workshop.campaign())
    desk = workstation(campaign)
    done = desk.renew(first)
    assert (done["more_affected"], done["next_card"]) == (2, None)
    desk.renew(third, desk.person(third, agree={"before": False}))
    done = desk.renew(second)  # here it is known which one is left
    assert (done["more_affected"], done["next_card"]) == (1, identity(third))
    done = desk.renew(third)
    assert (done["more_affected"], done["next_card"]) == (0, None)
    with workshop.ra.office.lock:
        workshop.ra.office.known_campaigns._known.clear()


def test_it_is_said_in_words(workshop: Workshop, workstation: Workstations, hospital: Callable[[], str]) -> None:
    card = workshop.card(holder=hospital())
    person = workstation(workshop.campaign()).person(card)

    class Somewhere:
        prompter = person

    for more, known, words in (
        (1, "chuid:00004821", "1 of 2 smartcards renewed. Insert the smartcard ending 4821."),
        (3, None, "1 of 4 smartcards renewed. Insert the next one."),
    ):
        place: Any = Somewhere()
        worker._tell_of_more(place, [{"renewed": True, "more_affected": more, "next_card": known}])
        assert person.said[-1].message.body == words
    count = len(person.said)
    nothing: list[list[dict[str, Any]]] = [
        [],
        [{"more_affected": 0, "next_card": None}],
        [{"more_affected": None}],
        [{}],
    ]
    for renewed in nothing:
        worker._tell_of_more(place, renewed)
    assert len(person.said) == count


def test_a_turn_in_the_journal_is_no_open_renewal(
    workshop: Workshop, workstation: Workstations, clock: Clock, hospital: Callable[[], str]
) -> None:
    first, card = workshop.card(holder=hospital()), workshop.card(holder=hospital())
    place = Place(workstation, clock, workshop.campaign())
    clock.turn_on(0, plan=HOURLY)
    place.desk.renew(first)
    with pytest.raises(NotYet):
        place.desk.renew(card)
    with Journal(place.desk.journal_file) as journal:
        assert journal.open_renewals() == []

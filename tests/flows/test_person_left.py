"""The person leaves when only the sign-in is left: what inspection says of the card, and how little is asked later."""

from __future__ import annotations

from contextlib import closing

import pytest

from renewagent.agent import words
from renewagent.agent.full_inspection import Inspection, Inspector
from renewagent.agent.ra_desk import utc_now
from renewagent.agent.unfinished import with_the_journal
from renewagent.errors import PersonStopped
from renewagent.model import Verdict
from renewagent.rules import Contact
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.workshop import READER, Workshop, Workstation, Workstations


def inspected(desk: Workstation, card: VirtualCard) -> Inspection:
    desk.put_in(card)
    campaigns = [accepted.campaign for accepted in desk.campaigns.values()]
    inspector = Inspector(desk.open_card, campaigns, (), desk.desk.standing)
    with closing(desk.readers.connect(READER)) as connection:
        inspection = inspector.inspect(connection, utc_now())
    return with_the_journal(inspection, desk.folder, utc_now())


def test_whoever_leaves_before_the_sign_in(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign())
    with pytest.raises(PersonStopped, match="not signed in with it yet"):
        desk.renew(card, desk.person(card, insert=None, stop_at=frozenset({"insert-again"})))
    judged = inspected(desk, card).judgement
    assert (judged.finding.verdict, judged.nothing_open) == (Verdict.PART_WAY, False)
    now = utc_now()
    message = words.for_finding(judged.finding, None, now, now, Contact())
    assert message.kind == "done-not-signed-in" and "renewagent renew" in message.text

    person = desk.person(card)
    assert desk.renew(card, person)["state"] == "done"
    assert "insert-again" not in person.kinds  # it is in already
    assert inspected(desk, card).judgement.finding.verdict is Verdict.UNAFFECTED


def test_whoever_stops_after_a_wrong_passcode_hears_how_many_tries_are_left(
    workshop: Workshop, workstation: Workstations
) -> None:
    card = workshop.card()
    desk = workstation(workshop.campaign())
    with pytest.raises(PersonStopped, match=r"Nothing was changed on the smartcard\. You have 2 tries left") as told:
        desk.renew(card, desk.person(card, pins=("654321",), stop_at=frozenset({"pin-known-wrong"})))
    assert told.value.code == "RA-STOPPED"

"""What the RA says before anything is begun: whose turn comes when, who comes in person, how many more cards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from renewagent.cmp import private
from renewagent.cmp.responder_words import Refusal
from renewagent.cmp.wire import BodyType
from renewagent_fixtures.mock_ra.ca import sha256_hex
from renewagent_fixtures.mock_ra.knobs import Knobs
from renewagent_fixtures.mock_ra.office import Office
from renewagent_fixtures.mock_ra.plan import Plan
from renewagent_fixtures.mock_ra.rows import AuditRow
from tests.unit.mock_ra.peer import BOTH, SIGNING, Clock, Peer, Request, enrolled, office, p256
from tests.unit.mock_ra.person import Person, campaign, person, ticket_of

ONE_A_DAY = Knobs(plan=Plan(per_day=1))


def named(common: str, organisation: str = "Surgery", unit: str = "") -> bytes:
    text = f"CN={common},{f'OU={unit},' if unit else ''}O={organisation},C=GB"
    return x509.Name.from_rfc4514_string(text).public_bytes()


def told(ra: Office, certificate: bytes, *, begin: bool = True) -> Any:
    row = ra.book.get(sha256_hex(certificate))
    assert row is not None
    issuer = "CN=Mock Signing CA,O=renewagent,C=GB"
    if row.profile == "authentication":
        issuer = issuer.replace("Signing", "Authentication")
    answer = ra.status.look_up(issuer, row.serial, ra.now(), begin=begin)
    assert answer["known"]
    return answer


def test_without_a_plan_everybody_may_begin(ra: Office) -> None:
    ada = person(ra)
    assert told(ra, ada.pen.certificate) == told(ra, ada.pen.certificate, begin=False)
    assert told(ra, ada.pen.certificate)["come_back"] is None
    assert told(ra, ada.pen.certificate)["in_person"] is False


def test_a_turn_is_kept_for_its_certificate(ra: Office, clock: Clock) -> None:
    ada, bob = person(ra), person(ra, subject=named("Dr Bob"))
    ra.turn(ONE_A_DAY)
    assert told(ra, bob.pen.certificate, begin=False)["come_back"] is None  # looking reserves nothing
    assert told(ra, ada.pen.certificate)["come_back"] is None
    first = told(ra, bob.pen.certificate)["come_back"]
    assert first == "2026-03-03T00:00:00Z"
    assert (
        told(ra, bob.pen.certificate)["come_back"] == told(ra, bob.pen.certificate, begin=False)["come_back"] == first
    )
    clock.forward(hours=14.6)
    carol = person(ra, subject=named("Dr Carol"))
    assert told(ra, carol.pen.certificate)["come_back"] == "2026-03-04T00:00:00Z"
    assert told(ra, bob.pen.certificate)["come_back"] is None
    clock.forward(days=5)  # whoever comes late does not wait again
    assert told(ra, bob.pen.certificate)["come_back"] is None
    given = [row.details for row in ra.store.find(AuditRow) if row.event == "turn.given"]
    assert len(given) == 3 and all('"organisation":"Surgery"' in details for details in given)
    assert ra.check_audit() is None


def test_a_turn_outlives_a_restart(tmp_path: Path, clock: Clock) -> None:
    ra = office(tmp_path / "ra", clock, ONE_A_DAY)
    ada, bob = person(ra), person(ra, subject=named("Dr Bob"))
    told(ra, ada.pen.certificate)
    turn = told(ra, bob.pen.certificate)["come_back"]
    ra.close()
    again = office(tmp_path / "ra", clock, ONE_A_DAY)
    assert told(again, bob.pen.certificate)["come_back"] == turn is not None
    carol = person(again, subject=named("Dr Carol"))
    assert told(again, carol.pen.certificate)["come_back"] == "2026-03-04T00:00:00Z"
    again.turn(Knobs())
    assert told(again, bob.pen.certificate)["come_back"] is None
    again.close()


def test_organisations_have_queues_of_their_own(ra: Office) -> None:
    ra.turn(Knobs(plan=Plan(organisations={"RX1": 1, "RX2": 1})))
    people = [
        person(ra, subject=named(f"Dr {n}", organisation, unit))
        for n, (organisation, unit) in enumerate([("nhs", "RX1"), ("nhs", "RX2"), ("RX1", "Ward"), ("nhs", "RX3")])
    ]
    said = [told(ra, one.pen.certificate)["come_back"] for one in people]
    assert said == [None, None, "2026-03-03T00:00:00Z", None]


def test_whoever_does_not_ask_is_refused_when_they_begin(ra: Office, clock: Clock) -> None:
    ada, bob = person(ra), person(ra, BOTH, named("Dr Bob"))
    ra.turn(ONE_A_DAY)
    told(ra, ada.pen.certificate)
    refused = bob.request_ticket()
    assert refused.failures == {"systemUnavail"} and "2026-03-03T00:00:00Z" in refused.why
    kur = Request(BodyType.KUR, p256(), subject=named("Dr Bob"), old=bob.pen.certificate, usages=BOTH)
    assert bob.pen.anew().say(kur.body()).failures == {"systemUnavail"}
    way_a = bob.certify(None, bob.pen.key, subject=named("Dr Bob"), usages=BOTH)  # type: ignore[arg-type]
    assert way_a.failures == {"systemUnavail"}
    clock.forward(days=1)
    assert ticket_of(bob.request_ticket()).state == "open"
    assert bob.pen.anew().say(kur.body()).kind is BodyType.KUP


def test_what_has_begun_is_finished(ra: Office) -> None:
    ada, bob, new = person(ra), person(ra, subject=named("Dr Bob")), p256()
    ticket = ticket_of(bob.request_ticket()).ticket
    ra.turn(ONE_A_DAY)
    told(ra, ada.pen.certificate)
    assert told(ra, bob.pen.certificate)["come_back"] is None
    assert ticket_of(bob.request_ticket()).ticket == ticket
    assert bob.certify(ticket, new, subject=named("Dr Bob")).kind is BodyType.CP
    assert told(ra, bob.pen.certificate)["come_back"] is None


def renewed(somebody: Person) -> Person:
    """Their signing certificate, renewed under a ticket up to the receipt."""
    peer, new = somebody.card.anew(), p256()
    issued = somebody.certify(ticket_of(somebody.request_ticket()).ticket, new, peer)
    assert peer.confirm(issued).kind is BodyType.PKICONF
    assert somebody.deliver(somebody.receipt(issued.certificate, issued.nonce, new)).kind is BodyType.GENP
    return replace(somebody, pen=Peer(somebody.office, new, issued.certificate))


def test_the_third_in_a_row_is_in_person(ra: Office) -> None:
    ra.turn(Knobs(max_self_renewals=2))
    ada = renewed(renewed(person(ra)))
    assert told(ra, ada.pen.certificate)["in_person"] is True
    refused = ada.request_ticket()
    assert refused.failures == {"notAuthorized"} and "in person" in refused.why
    assert ada.certify(None, ada.pen.key).failures == {"notAuthorized"}  # type: ignore[arg-type]
    ra.turn(Knobs(max_self_renewals=3))
    assert told(ra, ada.pen.certificate)["in_person"] is False
    assert ticket_of(ada.request_ticket()).state == "open"


def test_nobody_may_where_none_is_allowed_and_no_turn_is_wasted_on_them(ra: Office) -> None:
    ra.turn(Knobs(max_self_renewals=0, plan=Plan(per_day=1)))
    ada = person(ra)
    assert (told(ra, ada.pen.certificate)["in_person"], told(ra, ada.pen.certificate)["come_back"]) == (True, None)
    ra.turn(ONE_A_DAY)
    assert told(ra, ada.pen.certificate)["come_back"] is None


def test_how_many_more_cards_are_affected(ra: Office) -> None:
    ada, bob = person(ra), person(ra, subject=named("Dr Bob"))
    others = [enrolled(ra, SIGNING), enrolled(ra, SIGNING)]
    assert told(ra, ada.pen.certificate)["more_affected"] == 0  # of a campaign it knows nothing yet
    assert ra.known_campaigns.learn(campaign(ra), ra.now()) == "trial/1"
    assert told(ra, ada.pen.certificate)["more_affected"] == 2
    assert told(ra, bob.pen.certificate)["more_affected"] == 0
    ra.revoke(sha256_hex(others[0].certificate), "superseded")
    assert told(ra, ada.pen.certificate)["more_affected"] == 1
    elsewhere = [{"name": "none", "issued_to": "2020-01-01T00:00:00Z"}]
    over: tuple[dict[str, Any], ...] = ({"withdrawn": True}, {"paused": True}, {"expires": "2026-03-02T00:00:00Z"})
    for change in (*over, {"rules": elsewhere}):
        ra.known_campaigns.learn(campaign(ra, version=2, **change), ra.now())
        assert told(ra, ada.pen.certificate)["more_affected"] == 0
    ra.known_campaigns.learn(campaign(ra, version=3), ra.now())
    assert told(ra, ada.pen.certificate)["more_affected"] == 1


def test_a_campaign_is_known_after_a_restart_and_an_older_one_is_not_taken(tmp_path: Path, clock: Clock) -> None:
    ra = office(tmp_path / "ra", clock)
    ada = person(ra)
    enrolled(ra, SIGNING)
    ra.known_campaigns.learn(campaign(ra, version=3), ra.now())
    with pytest.raises(Refusal, match="later version"):
        ra.known_campaigns.learn(campaign(ra, version=2), ra.now())
    with pytest.raises(Refusal, match="cannot be believed"):
        ra.known_campaigns.learn(campaign(ra, (ada.pen.certificate, ada.pen.key), version=4), ra.now())
    for nonsense in (b"", b"{}", private.ARC.encode()):
        with pytest.raises(Refusal):
            ra.known_campaigns.learn(nonsense, ra.now())
    ra.close()
    again = office(tmp_path / "ra", clock)
    assert told(again, ada.pen.certificate)["more_affected"] == 1
    clock.forward(days=4000)  # its signer is over: the RA starts all the same
    again.close()
    office(tmp_path / "ra", clock).close()

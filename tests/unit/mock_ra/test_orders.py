"""Officers' orders: whose, for whom, once; and what counts although it has expired."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat import asn1

from renewagent.cmp import bodies, private
from renewagent.cmp.wire import BodyType, InfoValue
from renewagent.statements import Purpose, Statement
from renewagent_fixtures.mock_ra.ca import sha256_hex
from renewagent_fixtures.mock_ra.certificates import Wanted
from renewagent_fixtures.mock_ra.knobs import Knobs
from renewagent_fixtures.mock_ra.office import Office
from renewagent_fixtures.mock_ra.plan import Plan
from renewagent_fixtures.mock_ra.roles import ROLES, by_holder, may_renew, read_roles
from renewagent_fixtures.mock_ra.rows import AuditRow, DeskOrderRow
from tests.unit.mock_ra.peer import (
    AUTHENTICATION,
    BOTH,
    HOLDER,
    SIGNING,
    Answer,
    Clock,
    Peer,
    Request,
    enrolled,
    p256,
    public,
)
from tests.unit.mock_ra.person import CARD, Person, person, signed_by, state_of, ticket_of
from tests.unit.mock_ra.test_leave import renewed, told

OFFICER = "CN=Olive Officer,OU=RA,O=Surgery,C=GB"
OTHER_CARD = "chuid:ffeeddccbbaa99887766554433221100"


def named(text: str) -> bytes:
    return x509.Name.from_rfc4514_string(text).public_bytes()


def with_roles(ra: Office, role: str = "RAA", subject: str = OFFICER, **knobs: Any) -> Office:
    ra.turn(Knobs(roles=by_holder({subject: role}), **knobs))
    return ra


def certified(ra: Office, usages: frozenset[str], begin: datetime, end: datetime, subject: bytes = HOLDER) -> Peer:
    key = p256()
    return Peer(ra, key, ra.issue(Wanted(subject, public(key), usages, begin, end)))


def ending(ra: Office, ahead: timedelta, usages: frozenset[str] = SIGNING) -> Person:
    """Somebody both of whose certificates end then."""
    begin, end = ra.now() - timedelta(days=1000), ra.now() + ahead
    return Person(ra, certified(ra, AUTHENTICATION, begin, end), certified(ra, usages, begin, end))


def officer_of(ra: Office, subject: str = OFFICER) -> Peer:
    return enrolled(ra, AUTHENTICATION, subject=named(subject))


def statement(of: Person, **changes: Any) -> Statement:
    plain = {
        "certificate": sha256_hex(of.card.certificate),
        "old": sha256_hex(of.pen.certificate),
        "campaign": "trial/1",
    }
    return of.statement(Purpose.ORDER, **(plain | changes))


def deliver(by: Peer, order: bytes) -> Answer:
    value = asn1.encode_der(private.OrderDelivery(order=order))
    return by.anew().say(bodies.write_info(BodyType.GENM, (InfoValue(private.ORDER, value),)))


def ordered(by: Peer, of: Person, **changes: Any) -> Answer:
    return deliver(by, signed_by(by.key, by.certificate, statement(of, **changes).encode()))


def accepted(answer: Answer) -> private.OrderAnswer:
    (item,) = answer.info
    assert item.oid == private.ORDER_ANSWER
    return asn1.decode_der(private.OrderAnswer, item.value or b"")


def audited(ra: Office, event: str) -> list[dict[str, str]]:
    assert ra.check_audit() is None
    return [json.loads(row.details) for row in ra.store.find(AuditRow) if row.event == event]


def test_an_order_is_taken_used_once_and_audited_by_the_officers_name(ra: Office) -> None:
    with_roles(ra, max_self_renewals=0)
    ada, olive = person(ra), officer_of(ra)
    assert ada.request_ticket().failures == {"notAuthorized"}
    answer = accepted(ordered(olive, ada))
    assert answer.role == "RAA"
    assert answer.until.as_datetime() == ra.now() + timedelta(hours=1)
    ticket = ticket_of(ada.request_ticket())
    (row,) = ra.store.find(DeskOrderRow)
    assert (row.ticket, row.card, row.id) == (ra.all_tickets()[0].id, CARD, answer.order.hex())
    assert ticket_of(ada.request_ticket()).ticket == ticket.ticket
    (given,), (used,) = audited(ra, "order.given"), audited(ra, "order.used")
    assert given["officer"] == used["officer"] == OFFICER
    assert (given["card"], given["role"], given["order"]) == (CARD, "RAA", row.id)


def test_it_opens_no_second_ticket(ra: Office, clock: Clock) -> None:
    with_roles(ra, max_self_renewals=0)
    ada, olive = person(ra), officer_of(ra)
    ordered(olive, ada)
    ticket_of(ada.request_ticket())
    ra.tickets.close(ra.all_tickets()[0].id, ra.now())
    assert ada.request_ticket().failures == {"notAuthorized"}


def test_the_same_order_twice_is_refused(ra: Office) -> None:
    with_roles(ra)
    ada, olive = person(ra), officer_of(ra)
    order = signed_by(olive.key, olive.certificate, statement(ada).encode())
    accepted(deliver(olive, order))
    assert deliver(olive, order).failures == {"badRecipientNonce"}
    assert len(ra.store.find(DeskOrderRow)) == 1


def test_it_is_for_one_card_and_ends_after_an_hour(ra: Office, clock: Clock) -> None:
    with_roles(ra, max_self_renewals=0)
    ada, olive = person(ra), officer_of(ra)
    ordered(olive, ada, card=OTHER_CARD)
    assert ada.request_ticket().failures == {"notAuthorized"}
    ordered(olive, ada)
    clock.forward(minutes=61)
    assert ada.request_ticket().failures == {"notAuthorized"}


def test_a_fresh_order_waits_for_no_turn(ra: Office) -> None:
    with_roles(ra, plan=Plan(per_day=1))
    ada, bob, olive = person(ra), person(ra, subject=named("CN=Dr Bob,O=Surgery,C=GB")), officer_of(ra)
    told(ra, bob.pen.certificate)
    assert ada.request_ticket().failures == {"systemUnavail"}
    ordered(olive, ada)
    assert ticket_of(ada.request_ticket()).state == "open"


def test_a_visit_begins_the_count_anew(ra: Office) -> None:
    with_roles(ra, max_self_renewals=1)
    ada, olive = renewed(person(ra)), officer_of(ra)
    assert told(ra, ada.pen.certificate)["in_person"] is True
    ordered(olive, ada)
    ada = renewed(ada)
    assert told(ra, ada.pen.certificate)["in_person"] is False
    assert told(ra, renewed(ada).pen.certificate)["in_person"] is True


@pytest.mark.parametrize("role", ["", *ROLES])
@pytest.mark.parametrize("ahead", [timedelta(days=-3), timedelta(days=30)], ids=["expired", "due"])
def test_who_may(ra: Office, role: str, ahead: timedelta) -> None:
    """RA managers and agents renew what has expired; sponsors and local administrators what is due."""
    if role:
        with_roles(ra, role)
    ada, olive = ending(ra, ahead), officer_of(ra)
    answer = ordered(olive, ada, campaign="-")
    expected = role in ("RAM", "RAA(A)", "RAA") or (role in ("Sponsor", "LSA") and ahead > timedelta())
    assert (answer.kind is BodyType.GENP) == expected == may_renew(role, expired=ahead < timedelta())
    if not expected:
        assert answer.failures == {"notAuthorized"}
        (refused,) = audited(ra, "order.refused")
        assert refused["officer"] == OFFICER and ra.store.find(DeskOrderRow) == []


def test_nothing_is_ordered_where_nothing_is_due(ra: Office) -> None:
    with_roles(ra)
    assert ordered(officer_of(ra), person(ra), campaign="-").failures == {"badRequest"}


def test_an_expired_certificate_counts_under_an_order_alone(ra: Office, clock: Clock) -> None:
    with_roles(ra)
    ada, olive, new = ending(ra, timedelta(days=-3)), officer_of(ra), p256()
    for refused in (ada.request_ticket(), ada.fetch(), ada.certify(None, ada.pen.key)):  # type: ignore[arg-type]
        assert refused.failures == {"signerNotTrusted"}
    accepted(ordered(olive, ada, campaign="-"))
    ticket = ticket_of(ada.request_ticket()).ticket
    clock.forward(hours=3)  # what has begun is finished, however long it takes
    peer = ada.card.anew()
    issued = ada.certify(ticket, new, peer)
    assert peer.confirm(issued).kind is BodyType.PKICONF
    assert ada.deliver(ada.receipt(issued.certificate, issued.nonce, new)).kind is BodyType.GENP
    assert state_of(ra, ada.pen.certificate) == "revoked"
    assert ada.fetch().failures == {"signerNotTrusted"}


def test_a_signing_certificate_that_expired_alone_takes_an_order_too(ra: Office) -> None:
    with_roles(ra)
    begin, end = ra.now() - timedelta(days=1000), ra.now() - timedelta(days=3)
    ada, olive = Person(ra, enrolled(ra, AUTHENTICATION), certified(ra, BOTH, begin, end)), officer_of(ra)
    kur = Request(BodyType.KUR, p256(), old=ada.pen.certificate, usages=BOTH)
    assert ada.request_ticket().failures == {"notAuthorized"}
    assert ada.certify(None, ada.pen.key, usages=BOTH).failures == {"notAuthorized"}  # type: ignore[arg-type]
    assert ada.pen.anew().say(kur.body()).failures == {"signerNotTrusted"}
    accepted(ordered(olive, ada, campaign="-"))
    assert ticket_of(ada.request_ticket()).state == "open"


def test_the_other_of_the_pair_follows_under_the_same_order(ra: Office) -> None:
    with_roles(ra)
    ada, olive = ending(ra, timedelta(days=-3)), officer_of(ra)
    accepted(ordered(olive, ada, campaign="-"))
    renewed(ada)
    own = Request(BodyType.KUR, ada.card.key, old=ada.card.certificate, usages=AUTHENTICATION)
    assert ada.card.anew().say(own.body()).kind is BodyType.KUP


def test_officers_are_checked(ra: Office, clock: Clock) -> None:
    with_roles(ra)
    ada, olive = person(ra), officer_of(ra)
    own = Person(ra, olive, certified(ra, SIGNING, ra.now(), ra.now() + timedelta(days=9), named(OFFICER)))
    assert ordered(olive, own).failures == {"notAuthorized"}  # not oneself
    assert ordered(ada.card, person(ra, subject=named("CN=Dr Bob,O=Surgery,C=GB"))).failures == {"notAuthorized"}
    pen = enrolled(ra, BOTH, subject=named(OFFICER))
    assert ordered(pen, ada).failures == {"notAuthorized"}  # the card to sign in with, not the pen
    by_another = signed_by(ada.card.key, ada.card.certificate, statement(ada).encode())
    assert deliver(olive, by_another).failures == {"notAuthorized"}
    late = certified(ra, AUTHENTICATION, ra.now() - timedelta(9), ra.now() - timedelta(1), named(OFFICER))
    assert ordered(late, ada).failures == {"signerNotTrusted"}
    ra.revoke(sha256_hex(olive.certificate), "keyCompromise")
    assert ordered(olive, ada).failures == {"certRevoked"}
    assert ra.store.find(DeskOrderRow) == []


def test_an_officer_whose_own_card_has_expired_orders_nothing_even_while_it_is_renewed(ra: Office) -> None:
    other = "CN=Rose Manager,OU=RA,O=Surgery,C=GB"
    ra.turn(Knobs(roles=by_holder({OFFICER: "RAA", other: "RAM"})))
    begin, end = ra.now() - timedelta(days=99), ra.now() - timedelta(days=1)
    olive = certified(ra, AUTHENTICATION, begin, end, named(OFFICER))
    own = Person(ra, olive, certified(ra, SIGNING, begin, end, named(OFFICER)))
    accepted(ordered(officer_of(ra, other), own, campaign="-"))
    assert ordered(olive, person(ra)).failures == {"notAuthorized"}


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"origin": "https://elsewhere.example"}, "badRequest"),
        ({"card": "-"}, "badRequest"),
        ({"certificate": "ab" * 32}, "badCertId"),
        ({"old": "ab" * 32}, "badCertId"),
        ({"old": "-"}, "badCertId"),
        ({"nonce": "00" * 32}, "badRecipientNonce"),
        ({"purpose": Purpose.TICKET}, "badRequest"),
        ({"purpose": Purpose.RECEIPT}, "badRequest"),
        ({"purpose": Purpose.SIGN_IN}, "badRequest"),
    ],
)
def test_every_field_counts(ra: Office, changes: dict[str, Any], failure: str) -> None:
    with_roles(ra)
    ada, olive = person(ra), officer_of(ra)
    order = replace(statement(ada), **changes)
    assert deliver(olive, signed_by(olive.key, olive.certificate, order.encode())).failures == {failure}
    assert ra.store.find(DeskOrderRow) == []


def test_a_stale_order_is_refused(ra: Office) -> None:
    with_roles(ra)
    ada, olive = person(ra), officer_of(ra)
    assert ordered(olive, ada, at=ra.now() - timedelta(minutes=6)).failures == {"badTime"}


def test_somebody_elses_certificate_is_not_ordered_along(ra: Office) -> None:
    with_roles(ra)
    ada, bob, olive = person(ra), person(ra, subject=named("CN=Dr Bob,O=Surgery,C=GB")), officer_of(ra)
    assert ordered(olive, ada, old=sha256_hex(bob.pen.certificate)).failures == {"badCertId"}
    assert ordered(olive, ada, certificate=sha256_hex(ada.pen.certificate)).failures == {"badCertId"}


def test_a_message_offered_as_an_order_is_useless(ra: Office) -> None:
    with_roles(ra)
    ada, olive = person(ra), officer_of(ra)
    body = bodies.write_info(BodyType.GENM, ())
    message = olive.anew().protect(olive.header(), body)
    for order in (message, signed_by(olive.key, olive.certificate, message), b"", statement(ada).encode()):
        assert deliver(olive, order).failures <= {"badMessageCheck", "badDataFormat"}
        assert deliver(olive, order).kind is BodyType.ERROR
    order = signed_by(olive.key, olive.certificate, statement(ada).encode())
    assert olive.anew().send(order).kind is BodyType.ERROR  # nor is an order a message,
    request = private.TicketRequest(statement=order, signed=True, campaign=b"")  # a request for a ticket,
    assert ada.ask(private.TICKET_REQUEST, request).failures == {"badRequest"}
    assert ada.deliver(order).failures == {"badRequest"}  # a receipt,
    assert ra.sign_in.sign_in(order, ra.now())["signed_in"] is False  # or a sign-in
    assert ra.store.find(DeskOrderRow) == []


def test_an_ra_that_knows_no_tickets_knows_no_orders(ra: Office) -> None:
    with_roles(ra, knows_no_tickets=True)
    assert ordered(officer_of(ra), person(ra)).info == ()


def test_roles_are_read() -> None:
    assert read_roles(f'"{OFFICER}" = "RAM"') == by_holder({"CN=olive officer,OU=RA,O=Surgery,C=GB": "RAM"})
    for nonsense in ('"CN=X" = "Chief"', '"CN=X" = 5', '"nobody" = "RAM"', "x"):
        with pytest.raises(ValueError):
            read_roles(nonsense)


def ticket_for(by: Peer, old: Peer, card: str) -> Answer:
    """A `cr` by `by` for a new key in the place of `old`, which asks for a ticket of this card along the way."""
    wish = private.TicketFor(card=card, authentication=sha256_hex(old.certificate), campaign="trial/1")
    control = InfoValue(private.TICKET_FOR, asn1.encode_der(wish))
    request = Request(BodyType.CR, p256(), old=old.certificate, usages=AUTHENTICATION, controls=(control,))
    return by.anew().say(request.body())


def test_an_order_for_one_card_excuses_nothing_on_another(ra: Office) -> None:
    with_roles(ra)
    ada, olive = ending(ra, timedelta(days=-3)), officer_of(ra)
    accepted(ordered(olive, ada, campaign="-"))
    assert ada.request_ticket(ada.statement(card=OTHER_CARD)).failures == {"notAuthorized"}
    assert ticket_for(ada.card, ada.card, OTHER_CARD).failures == {"notAuthorized"}
    assert ra.all_tickets() == []
    assert ticket_of(ada.request_ticket()).state == "open"


def test_a_stranger_opens_no_ticket_and_uses_up_no_order(ra: Office) -> None:
    """By a `cr` that is refused in the end, since it is not its holder who asks."""
    with_roles(ra)
    ada, olive = ending(ra, timedelta(days=-3)), officer_of(ra)
    accepted(ordered(olive, ada, campaign="-", old=sha256_hex(ada.card.certificate)))
    bob = person(ra, subject=named("CN=Dr Bob,O=Surgery,C=GB"))
    assert ticket_for(bob.card, ada.card, CARD).failures == {"badCertId"}
    assert ra.all_tickets() == [] and audited(ra, "order.used") == []

"""At the RA's desk with cards whose management key the RA keeps: an officer orders, the RA opens the person's card for
the person's card alone. The order opens nothing by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from renewagent.agent import renewing
from renewagent.agent.campaigns import Accepted
from renewagent.agent.ra_desk import utc_now
from renewagent.errors import RaRefused, RenewalImpossible
from renewagent_fixtures.mock_ra.certificates import holder_of
from renewagent_fixtures.mock_ra.roles import by_holder
from renewagent_fixtures.person import Said
from renewagent_fixtures.virtual_card import VirtualCard
from tests.flows.test_at_the_desk import LATE, OFFICER, OFFICERS_PIN, SOON, Counter, audited, issued
from tests.flows.test_key_relay import ARMED, ask_leave, relay, sessions
from tests.flows.workshop import (
    AUTHENTICATION,
    PIN,
    READER,
    SIGNING,
    Cut,
    Killed,
    Workshop,
    Workstations,
    assert_renewed,
    certificate,
    identity,
    sha256,
    signs,
)

AES_192 = 0x0A
LONG = timedelta(days=1000)
MakeCounter = Callable[..., Counter]


@pytest.fixture
def counter(workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch) -> MakeCounter:
    monkeypatch.setattr(renewing, "RA_PAUSE", 0.01)

    def make(*campaigns: Accepted, **knobs: Any) -> Counter:
        workshop.turn(key_relay=True, roles=by_holder({OFFICER: "RAA"}), **knobs)
        officer = kept(workshop, issued(workshop, OFFICER, ends=SOON, pin=OFFICERS_PIN), OFFICER)
        return Counter(workstation(*campaigns).relayed(), officer)

    return make


@pytest.fixture
def holder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("relayed").name
    return (f"CN=Dr {folder}-{number},O=Mock Hospital,C=GB" for number in itertools.count())


def kept(workshop: Workshop, card: VirtualCard, holder: str) -> VirtualCard:
    """The same card, its management key from now on the RA's."""
    whose = holder_of(x509.Name.from_rfc4514_string(holder).public_bytes())
    with workshop.ra.office.lock:
        key = workshop.ra.office.card_keys.enrol(identity(card), AES_192, whose, utc_now())
    card.change_management_key(AES_192, key)
    return card


WAYS: dict[str, tuple[timedelta, str, str, list[str]]] = {
    "D in date": (LONG, "required", "plain", ["ticket", "generate", "store"]),
    "A due": (SOON, "allowed", "plain", ["store"]),
    "A expired": (LATE, "allowed", "plain", ["store", "store"]),
    "B expired": (LATE, "required", "extended", ["ticket", "stage", "store", "move", "stage", "store", "move"]),
}
"""When its certificates end, whether the campaign wants a new key, the card's profile, and the steps for which the RA
opens it: what has expired is renewed as a pair."""
COPIED = ["store", "certify", "store", "receipt"]
"""Way A where the old sign-in certificate is kept as a copy until all is done."""
STEPS = ("ticket", "generate", "stage", "store", "move", "reject", "resume", "return", "receipt", "certify")


def made(workshop: Workshop, holder: Iterator[str], ends: timedelta, **options: Any) -> VirtualCard:
    """A person's card, its management key at the RA."""
    name = next(holder)
    return kept(workshop, issued(workshop, name, ends=ends, **options), name)


def opened_by(workshop: Workshop, card: VirtualCard) -> set[str]:
    """The certificates (SHA-256) under which the RA gave leave for this card."""
    return {given["by"] for given in audited(workshop, card, "key-relay.granted")}


@pytest.mark.parametrize("protects", [False, True], ids=["cr", "kur"])
@pytest.mark.parametrize("which", list(WAYS))
def test_whole_renewals(
    workshop: Workshop, counter: MakeCounter, holder: Iterator[str], which: str, protects: bool
) -> None:
    """In date and expired: both cards' keys are the RA's, the person's card alone is opened, and by its own word."""
    ends, rekey, profile, steps = WAYS[which]
    card = made(workshop, holder, ends, profile=profile, protects=protects)
    old, own = certificate(card), certificate(card, AUTHENTICATION)
    it = counter(workshop.campaign(rekey=rekey), max_self_renewals=0)
    with pytest.raises(RenewalImpossible):
        it.desk.renew(card)
    before = it.officer.image
    done = it.renew(card)
    assert (done["way"], done["state"], done["signed_in"]) == (which[0], "done", True)
    assert_renewed(workshop, card, old)
    assert signs(card, AUTHENTICATION) and (certificate(card, AUTHENTICATION) != own) is (ends == LATE)
    copied = which == "A expired" and not protects
    assert [row.step for row in sessions(workshop, card)] == (COPIED if copied else steps)
    assert {row.state for row in sessions(workshop, card)} == {"authenticated"}
    theirs = {sha256(one) for one in (own, certificate(card), certificate(card, AUTHENTICATION))}
    assert sha256(own) in opened_by(workshop, card) <= theirs
    assert it.officer.image == before and sessions(workshop, it.officer) == []
    (order,) = audited(workshop, card, "order.given")
    used = [one["ticket"] for one in audited(workshop, card, "order.used") if one["order"] == order["order"]]
    assert f"ticket:{used[0]}" == sessions(workshop, card)[0].warrant


@pytest.mark.parametrize("protects", [False, True], ids=["cr", "kur"])
def test_an_expired_card_without_a_second_place_signs_and_does_not_sign_in(
    workshop: Workshop, counter: MakeCounter, holder: Iterator[str], protects: bool
) -> None:
    """Way D: of the pair, the sign-in certificate goes no way that the relay serves, and the person hears it."""
    card = made(workshop, holder, LATE, protects=protects)
    old, own, key = certificate(card), certificate(card, AUTHENTICATION), card.public_key(SIGNING)
    it = counter(workshop.campaign(rekey="required"))
    people = it.people(card)
    with pytest.raises(RaRefused, match="not in date"):
        it.renew(card, people)
    assert_renewed(workshop, card, old)
    assert card.public_key(SIGNING) != key and certificate(card, AUTHENTICATION) == own
    assert "pair-left" in people.kinds and it.desk.kinds[-1] == "interrupted"
    assert [row.step for row in sessions(workshop, card)] == ["ticket", "generate", "store"]
    assert opened_by(workshop, card) == {sha256(own)}


@pytest.mark.parametrize("ends", [LATE, SOON], ids=["expired", "due"])
def test_an_order_alone_opens_no_card(
    workshop: Workshop, counter: MakeCounter, holder: Iterator[str], ends: timedelta
) -> None:
    """Not to the officer, who signed it, and not to the person's card before there is a ticket."""
    card = made(workshop, holder, ends)
    it, before = counter(workshop.campaign()), card.image

    def gone(said: Said) -> None:
        raise Killed("the person never typed a passcode")

    with pytest.raises(Killed):
        it.renew(card, it.people(card, on={"ordered": gone}))
    assert len(audited(workshop, card, "order.given")) == 1 and it.verified(READER) == []
    for step in STEPS:
        for whose, passcode in ((it.officer, OFFICERS_PIN), (card, PIN)):
            with pytest.raises(RaRefused) as caught:
                ask_leave(it.desk, card, step, whose, passcode)
            assert "notAuthorized" in caught.value.fail_info
    assert relay(it.desk, session=audited(workshop, card, "order.given")[0]["order"], witness="00" * 16).status == 403
    assert sessions(workshop, card) == [] and card.image == before
    refused = [one for one in audited(workshop, card, "key-relay.refused") if "card" in one]
    assert len(refused) == 2 * len(STEPS)


@pytest.mark.parametrize("ends", [LATE, SOON], ids=["expired", "due"])
def test_under_way_it_is_opened_to_the_person_and_not_to_the_officer(
    workshop: Workshop, counter: MakeCounter, holder: Iterator[str], ends: timedelta
) -> None:
    """The ticket stands and is armed: the officer's certificate opens neither that card nor the officer's own."""
    card = made(workshop, holder, ends)
    it = counter(workshop.campaign())
    with pytest.raises(Killed):
        it.renew(card, cut=Cut(ARMED))
    for target in (card, it.officer):
        for step in STEPS:
            with pytest.raises(RaRefused):
                ask_leave(it.desk, target, step, it.officer, OFFICERS_PIN)
    assert opened_by(workshop, card) == {sha256(certificate(card, AUTHENTICATION))}
    assert ask_leave(it.desk, card, "generate") is not None


def test_an_expired_card_is_not_heard_without_an_order(
    workshop: Workshop, counter: MakeCounter, holder: Iterator[str]
) -> None:
    """However the person's card signs; an order for another person's card is none for this one."""
    card, other = (made(workshop, holder, LATE) for _ in range(2))
    it = counter(workshop.campaign())
    with pytest.raises(Killed):
        it.renew(other, cut=Cut(ARMED))
    with pytest.raises(RaRefused):
        ask_leave(it.desk, card, "generate")
    with pytest.raises(RaRefused):
        ask_leave(it.desk, other, "generate", whose=card)
    assert sessions(workshop, card) == []
    assert ask_leave(it.desk, other, "generate") is not None


@pytest.mark.parametrize("which", ["D in date", "A expired"])
def test_cut_anywhere_it_is_finished(
    workshop: Workshop, counter: MakeCounter, holder: Iterator[str], which: str
) -> None:
    """At every event: the card signs or its ticket stands, and the same command goes on."""
    ends, rekey, profile, _ = WAYS[which]
    campaign = workshop.campaign(rekey=rekey)
    for at in itertools.count():
        card = made(workshop, holder, ends, profile=profile)
        old, it = certificate(card), counter(campaign)
        try:
            it.renew(card, cut=Cut(at, lost=at % 2 == 0))
        except Killed:
            assert signs(card) or any(one.state != "closed" for one in workshop.tickets(card))
        else:
            assert at > 14
            return
        try:
            assert it.renew(card)["signed_in"]
        except RenewalImpossible as nothing_left:
            assert "nothing to renew" in nothing_left.message and it.desk.kinds[-1] in ("signed-in", "paired")
        assert_renewed(workshop, card, old)
        assert signs(card, AUTHENTICATION) and card.pin_tries == 3
        assert sessions(workshop, it.officer) == []

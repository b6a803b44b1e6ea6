"""The RA says beforehand which keys it certifies: what it would refuse is not generated, and nothing is left open."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from renewagent.agent.job import KEYS, new_key_type
from renewagent.card.interface import KeyType
from renewagent.certificates import read_certificate
from renewagent.cmp.client_template import CertifiedKeys
from renewagent.errors import RaRefused, RenewalImpossible
from tests.flows.test_renewal_way_d import VERIFIES
from tests.flows.workshop import (
    SIGNING,
    Cut,
    Killed,
    Workshop,
    Workstations,
    assert_renewed,
    assert_untouched,
    certificate,
)

PROFILES = pytest.mark.parametrize("profile", ["plain", "extended"])


@PROFILES
def test_a_key_that_would_be_refused_is_not_made(workshop: Workshop, workstation: Workstations, profile: str) -> None:
    card = workshop.card(profile=profile)
    before, desk = card.image, workstation(workshop.campaign())
    workshop.turn(certifies=("rsa2048", "rsa3072"))
    with pytest.raises(RenewalImpossible, match="does not give certificates for the kind of key"):
        desk.renew(card)
    assert (desk.kinds, desk.tape.generated) == (["ready", "agreed", "stopped"], 0)
    assert workshop.tickets(card) == []
    assert_untouched(workshop, card, before)


@PROFILES
def test_another_size_is_made_where_the_ra_certifies_that_alone(
    workshop: Workshop, workstation: Workstations, profile: str
) -> None:
    card = workshop.card(profile=profile, key="rsa2048")
    old, desk = certificate(card), workstation(workshop.campaign())
    workshop.turn(certifies=("p256", "rsa3072", "rsa4096"))
    desk.renew(card)
    assert_renewed(workshop, card, old)
    key = card.public_key(SIGNING)
    assert isinstance(key, rsa.RSAPublicKey) and key.key_size == 3072


@PROFILES
@pytest.mark.parametrize("elsewhere", [False, True])
def test_it_is_known_again_after_an_interruption(
    workshop: Workshop, workstation: Workstations, profile: str, elsewhere: bool
) -> None:
    card, campaign = workshop.card(profile=profile), workshop.campaign()
    workshop.turn(certifies=("p384",))
    old, first = certificate(card), workstation(campaign)
    with pytest.raises(Killed):
        first.renew(card, cut=Cut(3))
    (workstation(campaign) if elsewhere else first).renew(card)
    new = assert_renewed(workshop, card, old)
    assert new.public_key().key_size == 384  # type: ignore[union-attr]


@pytest.mark.parametrize("knobs", [{"knows_no_template": True}, {}, {"certifies": ("p256",)}])
def test_asking_costs_no_verify_and_no_answer_is_no_obstacle(
    workshop: Workshop, workstation: Workstations, knobs: dict[str, Any]
) -> None:
    card = workshop.card()
    old, desk = certificate(card), workstation(workshop.campaign())
    workshop.turn(**knobs)
    desk.renew(card)
    assert_renewed(workshop, card, old)
    assert desk.tape.verifies == VERIFIES


def test_in_way_a_the_ras_no_comes_before_anything_is_changed(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(protects=True)
    before, desk = card.image, workstation(workshop.campaign(rekey="forbidden"))
    workshop.turn(certifies=("rsa3072",))
    with pytest.raises(RaRefused):
        desk.renew(card)
    assert desk.kinds[-1] == "stopped"
    assert_untouched(workshop, card, before)


def test_a_size_that_the_campaign_calls_too_small_is_not_made(workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(key="rsa2048")
    before = card.image
    rules = [{"name": "short keys", "key_algorithms": ["rsa"], "key_bits_below": 3072}]
    desk = workstation(workshop.campaign(rules=rules))
    workshop.turn(certifies=("rsa2048",))
    with pytest.raises(RenewalImpossible):
        desk.renew(card)
    assert workshop.tickets(card) == []
    assert_untouched(workshop, card, before)


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
@pytest.mark.parametrize("certified", [frozenset(KEYS.values()), frozenset({("rsa", 3072), ("ec", 384)}), None])
def test_the_nearest_to_the_old_key_is_chosen(workshop: Workshop, kind: str, certified: CertifiedKeys) -> None:
    old = read_certificate(certificate(workshop.card(key=kind)))
    chosen = new_key_type(old, workshop.campaign().campaign, None, certified)
    larger = {"p256": KeyType.P384, "rsa2048": KeyType.RSA3072}[kind]
    assert chosen is (KeyType(kind) if certified is None or len(certified) > 2 else larger)

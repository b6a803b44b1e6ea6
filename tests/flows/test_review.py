"""What must not happen whatever fails: a renewal that goes round for ever, and an error that is not one of ours."""

from __future__ import annotations

import pytest

from renewagent.agent import renewing
from renewagent.cmp import bodies, codec, private
from renewagent.cmp.wire import BodyType
from renewagent.errors import CardDataError, CardError, CardRefused, RaUnreachable
from renewagent.model import Slot
from renewagent.ra_transport import HttpRaTransport
from renewagent_drivers.piv_signing import PivSigningSession
from tests.flows.workshop import AUTHENTICATION, SIGNING, Cut, Killed, Workshop, Workstations, certificate, signs

ENOUGH = 100
"""Messages to the RA after which a renewal counts as going round for ever."""


class NoReceiptsPass(HttpRaTransport):
    """A way to the RA on which every receipt is lost, and nothing else."""

    sent = 0

    def exchange(self, octets: bytes) -> bytes:
        self.sent += 1
        assert self.sent < ENOUGH
        message = codec.decode_message(octets)
        if message.body_type is BodyType.GENM and private.RECEIPT in [item.oid for item in bodies.read_info(message)]:
            raise RaUnreachable("The Registration Authority's server is out of order (HTTP 500).")
        return super().exchange(octets)


def test_one_message_that_never_arrives_ends_the_trying(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing, "RA_PAUSE", 0.001)
    card, campaign = workshop.card(), workshop.campaign()
    desk = workstation(campaign, transport=NoReceiptsPass(workshop.ra.url, timeout=5), name="here")
    with pytest.raises(RaUnreachable):
        desk.renew(card)
    assert desk.kinds.count("tried") == 1 + renewing.RA_RETRIES
    assert signs(card)
    assert workstation(campaign, name="here").renew(card)["receipt"] is True


def test_an_authentication_key_that_does_not_fit_is_said_and_changes_nothing(
    workshop: Workshop, workstation: Workstations
) -> None:
    card = workshop.card()
    card.misfit_key(AUTHENTICATION)
    old = certificate(card)
    desk = workstation(workshop.campaign(old_key="may-be-unusable"))
    with pytest.raises(CardDataError, match="9A"):
        desk.renew(card)
    assert desk.tape.generated == 0
    assert certificate(card, SIGNING) == old
    assert signs(card)
    assert desk.kinds[-1] == "stopped"


def test_a_confirmed_key_that_fails_once_is_never_generated_over(
    workshop: Workshop, workstation: Workstations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The RA refuses a second key from then on, so the card could never sign again."""
    card, campaign = workshop.card(), workshop.campaign()
    desk = workstation(campaign)
    with pytest.raises(Killed, match="confirmed"):
        desk.renew(card, cut=Cut(11))
    whole = PivSigningSession.sign

    def glitch(session: PivSigningSession, slot: Slot, data: bytes, hash_name: str) -> bytes:
        monkeypatch.setattr(PivSigningSession, "sign", whole)
        raise CardRefused(f"The smartcard did not sign with the key in slot {slot} (6F00).", 0x6F00)

    monkeypatch.setattr(PivSigningSession, "sign", glitch)
    with pytest.raises(CardError, match="did not sign"):
        desk.renew(card)
    assert desk.tape.generated == 1
    assert desk.renew(card)["signed_in"] is True
    assert signs(card)


@pytest.mark.parametrize("profile", ["plain", "extended"])
@pytest.mark.parametrize("left", [b"", b"\x70\x82\x03\x00cut short"], ids=["nothing", "half"])
def test_a_certificate_whose_writing_was_cut_short_is_written_again(
    workshop: Workshop, workstation: Workstations, profile: str, left: bytes
) -> None:
    card = workshop.card(profile=profile)
    desk = workstation(workshop.campaign())
    with pytest.raises(Killed, match="begun"):
        desk.renew(card, cut=Cut(8))
    card.write_object(0x5FC10A, left)
    outcome = desk.renew(card)
    assert (outcome["receipt"], outcome["signed_in"]) == (True, True)
    assert signs(card)

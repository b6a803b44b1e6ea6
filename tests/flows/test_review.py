"""What must not happen whatever fails: a renewal that goes round for ever, and an error that is not one of ours."""

from __future__ import annotations

import pytest

from renewagent.agent import renewing
from renewagent.cmp import bodies, codec, private
from renewagent.cmp.wire import BodyType
from renewagent.errors import CardDataError, RaUnreachable
from renewagent.ra_transport import HttpRaTransport
from tests.flows.workshop import AUTHENTICATION, SIGNING, Workshop, Workstations, certificate, signs

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

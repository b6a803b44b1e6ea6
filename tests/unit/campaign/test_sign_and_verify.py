"""Whom an agent believes: the right signer, in date, unrevoked, under the anchor, and never an older version."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent import cms
from renewagent.campaign.document import LIMIT, parse_campaign
from renewagent.campaign.pem import Signer
from renewagent.campaign.sign import sign_campaign
from renewagent.campaign.verify import SIGNED_LIMIT, RolledBack, verify_campaign
from renewagent.cmp.private import CAMPAIGN_SIGNER
from renewagent.errors import CampaignError
from renewagent.model import CertificateHead, SigningCertificate, Verdict
from renewagent.names import parse_name
from renewagent.rules import judge
from tests.unit.campaign.authority import AUTHORITY, DAY, NOW, PRESCRIBER, SIGNER, Holder, key_usage, root
from tests.unit.campaign.documents import octets


@dataclass(frozen=True)
class World:
    root: Holder
    middle: Holder
    signer: Holder

    @property
    def anchors(self) -> list[x509.Certificate]:
        return [self.root.certificate]


@pytest.fixture(scope="module")
def world() -> World:
    top = root()
    middle = top.issue("Campaign CA", AUTHORITY)
    return World(top, middle, middle.issue("RA manager"))


def signed_by(signer: Holder, *chain: Holder, document: bytes | None = None) -> bytes:
    """Without the checks of `sign_campaign`: what an attacker would make."""
    content = octets() if document is None else document
    return cms.sign(content, signer.certificate, signer.key, [holder.certificate for holder in chain])


def refusal(world: World, der: bytes, **more: object) -> str:
    with pytest.raises(CampaignError) as refused:
        verify_campaign(der, world.anchors, more.pop("now", NOW), **more)  # type: ignore[arg-type]
    assert refused.value.advice
    return refused.value.message


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_a_signed_campaign_is_believed(world: World, kind: str) -> None:
    holder = world.middle.issue("RA manager 2", kind=kind)
    signer = Signer(holder.key, holder.certificate, (world.middle.certificate,))
    der = sign_campaign(octets(), signer, NOW)
    assert verify_campaign(der, world.anchors, NOW) == parse_campaign(octets())
    assert cms.open_signed(der).content == octets()  # byte for byte


def test_a_signer_right_below_the_anchor_needs_no_chain(world: World) -> None:
    assert verify_campaign(signed_by(world.root.issue("RA manager")), world.anchors, NOW).version == 3


def test_the_root_may_ride_along_but_vouches_for_nothing(world: World) -> None:
    other = root()
    der = signed_by(world.signer, world.middle, world.root)
    assert verify_campaign(der, world.anchors, NOW).version == 3
    with pytest.raises(CampaignError, match="does not lead to the anchor"):
        verify_campaign(der, [other.certificate], NOW)
    with pytest.raises(CampaignError, match="does not lead to the anchor"):
        verify_campaign(der, [], NOW)


def test_a_prescribers_certificate_under_the_same_root_signs_no_campaigns(world: World) -> None:
    prescriber = world.middle.issue("Dr Ada Example", PRESCRIBER)
    assert "is not one for signing campaigns" in refusal(world, signed_by(prescriber, world.middle))
    bare = world.middle.issue("Dr Bo Example", (key_usage("digital_signature"),))
    assert "is not one for signing campaigns" in refusal(world, signed_by(bare, world.middle))
    anything = world.middle.issue("Dr Cy Example", (x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.5.29.37.0")]),))
    assert "is not one for signing campaigns" in refusal(world, signed_by(anything, world.middle))


def test_a_prescriber_cannot_issue_a_campaign_signer(world: World) -> None:
    prescriber = world.middle.issue("Dr Ada Example", PRESCRIBER)
    forged = prescriber.issue("RA manager")
    assert "does not lead to the anchor" in refusal(world, signed_by(forged, prescriber, world.middle))
    plain = world.middle.issue("Not a CA", (key_usage("key_cert_sign"),)).issue("RA manager")
    assert "does not lead to the anchor" in refusal(world, signed_by(plain, world.middle))


def test_a_signers_key_must_be_one_for_signatures(world: World) -> None:
    wrong = world.middle.issue("RA", (x509.ExtendedKeyUsage([CAMPAIGN_SIGNER]), key_usage("key_agreement")))
    assert "is not one for signatures" in refusal(world, signed_by(wrong, world.middle))
    without = world.middle.issue("RA", (x509.ExtendedKeyUsage([CAMPAIGN_SIGNER]),))
    assert verify_campaign(signed_by(without, world.middle), world.anchors, NOW).version == 3


def test_an_unknown_root_with_the_same_name_is_another_root(world: World) -> None:
    stranger = root()
    assert stranger.certificate.subject == world.root.certificate.subject
    der = signed_by(stranger.issue("RA manager"), stranger)
    assert "does not lead to the anchor" in refusal(world, der)


def test_a_signer_out_of_date_is_refused(world: World) -> None:
    der = signed_by(world.signer, world.middle)
    late, early = NOW + 366 * DAY, NOW - 2 * DAY
    assert "expired on 2 October 2021 at 09:00 UTC" in refusal(world, der, now=late)
    assert "is not valid before 1 October 2020 at 09:00 UTC" in refusal(world, der, now=early)
    assert verify_campaign(der, world.anchors, NOW + 365 * DAY)
    assert verify_campaign(der, world.anchors, NOW - DAY)


def test_a_chain_out_of_date_is_refused(world: World) -> None:
    short = world.root.issue("Short CA", AUTHORITY, end=NOW)
    der = signed_by(short.issue("RA manager"), short)
    assert verify_campaign(der, world.anchors, NOW - timedelta(hours=1))
    assert "does not lead to the anchor" in refusal(world, der, now=NOW + DAY)


def test_a_revoked_signer_is_refused_even_by_an_old_list(world: World) -> None:
    der = signed_by(world.signer, world.middle)
    assert "has been revoked" in refusal(world, der, crls=[world.middle.revoke(world.signer)])
    old = world.middle.revoke(world.signer, start=NOW - 90 * DAY)
    assert "has been revoked" in refusal(world, der, crls=[world.root.revoke(), old])
    assert "has been revoked" in refusal(world, der, crls=[world.root.revoke(world.middle)])


def test_lists_of_others_and_forged_ones_revoke_nothing(world: World) -> None:
    der = signed_by(world.signer, world.middle)
    prescriber = world.middle.issue("Dr Ada Example", PRESCRIBER)
    crls = [
        world.middle.revoke(prescriber),
        world.root.revoke(world.signer),  # not its issuer
        Holder(prescriber.key, world.middle.certificate).revoke(world.signer),  # its issuer's name, not its key
    ]
    assert verify_campaign(der, world.anchors, NOW, crls).version == 3


def test_an_older_version_than_one_accepted_is_a_rollback(world: World) -> None:
    der = signed_by(world.signer, world.middle)
    for versions in ({}, {"2020-10-eps-signing": 2}, {"2020-10-eps-signing": 3}, {"another": 9}):
        assert verify_campaign(der, world.anchors, NOW, accepted_versions=versions).version == 3
    with pytest.raises(RolledBack) as refused:
        verify_campaign(der, world.anchors, NOW, accepted_versions={"2020-10-eps-signing": 4})
    assert refused.value.message == (
        "This is version 3 of campaign 2020-10-eps-signing, but version 4 has been published before."
    )
    assert "out-of-date campaign" in refused.value.advice


def test_an_expired_campaign_is_believed_and_starts_nothing(world: World) -> None:
    later = NOW + 200 * DAY
    campaign = verify_campaign(signed_by(world.signer, world.middle), world.anchors, later)
    head = CertificateHead(0x1A2B, parse_name("CN=NHS Signing G2,O=nhs,C=GB"), NOW - 3 * DAY, NOW + DAY)
    usage = frozenset({"contentCommitment"})
    certificate = SigningCertificate(head, (), usage, "sha1WithRSAEncryption", "rsa", 1024, b"", "piv")
    assert judge(certificate, campaign, NOW).verdict is Verdict.AFFECTED
    assert judge(certificate, campaign, later).verdict is Verdict.UNAFFECTED


def test_every_single_octet_counts(world: World) -> None:
    """Flipped anywhere, the campaign is refused, or (where nobody signs the octet) reads exactly the same."""
    der = signed_by(world.signer, world.middle, document=octets())
    expected = parse_campaign(octets())
    refused = 0
    for place in range(0, len(der), 7):
        spoilt = bytearray(der)
        spoilt[place] ^= 0x01
        try:
            assert verify_campaign(bytes(spoilt), world.anchors, NOW) == expected
        except CampaignError:
            refused += 1
    assert refused > len(der) / 7 * 0.9


@pytest.mark.parametrize(
    "der",
    [b"", b"0", octets(), b"\x30\x80" * 50, b"\x30\x84\xff\xff\xff\xff", bytes(2000)],
    ids=["empty", "one octet", "plain JSON", "indefinite", "a lying length", "zeros"],
)
def test_what_is_not_signed_at_all_is_refused(world: World, der: bytes) -> None:
    assert "This campaign is not correctly signed" in refusal(world, der)


def test_pem_is_not_what_is_published(world: World) -> None:
    pem = b"-----BEGIN CMS-----\n" + base64.encodebytes(signed_by(world.signer)) + b"-----END CMS-----\n"
    assert "This campaign is not correctly signed" in refusal(world, pem)


def test_signed_nonsense_is_still_nonsense(world: World) -> None:
    der = signed_by(world.signer, world.middle, document=b'{"id": "a"}')
    assert "This is not a valid campaign: version is missing." in refusal(world, der)


def test_what_is_too_large_is_refused_before_it_is_looked_at(world: World) -> None:
    assert "larger than" in refusal(world, b"\x30" * (SIGNED_LIMIT + 1))
    document = octets(**{"x-padding": "a" * LIMIT})
    assert "larger than 256 KiB" in refusal(world, signed_by(world.signer, world.middle, document=document))


def test_what_every_agent_would_refuse_is_not_signed(world: World) -> None:
    prescriber = world.middle.issue("Dr Ada Example", PRESCRIBER)
    good, wrong = (Signer(h.key, h.certificate, (world.middle.certificate,)) for h in (world.signer, prescriber))
    with pytest.raises(CampaignError, match="is not one for signing campaigns"):
        sign_campaign(octets(), wrong, NOW)
    with pytest.raises(CampaignError, match="version must be a whole number"):
        sign_campaign(octets(version=0), good, NOW)
    with pytest.raises(CampaignError, match="expired on"):
        sign_campaign(octets(), good, NOW + 400 * DAY)


def test_a_certificate_with_broken_extensions_is_refused(world: World) -> None:
    twice = world.middle.issue("RA", SIGNER)
    purposes = x509.ExtendedKeyUsage([CAMPAIGN_SIGNER]).public_bytes()
    der = twice.certificate.public_bytes(Encoding.DER)
    assert purposes in der
    broken = der.replace(purposes, purposes[:-1] + b"\xff")  # an OID whose last octet says that more follow
    signed = signed_by(twice, world.middle)
    assert der in signed
    with pytest.raises(CampaignError):
        verify_campaign(signed.replace(der, broken), world.anchors, NOW)

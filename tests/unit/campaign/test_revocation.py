"""Revocation lists of campaign signers: found by the signer's own certificate, kept, and never gone back on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent import cms
from renewagent.campaign.fetch import Fetched, fetch_campaigns
from renewagent.campaign.revocation import LIMIT
from renewagent.campaign.store import CampaignStore
from renewagent.campaign.verify import Trust
from tests.unit.campaign.authority import DAY, NOW, SIGNER, Holder, root
from tests.unit.campaign.documents import octets
from tests.unit.campaign.site import Site

HOUR = timedelta(hours=1)


class Story:
    """An RA whose signer's certificate points to a list at `site`, and a workstation that polls."""

    def __init__(self, site: Site, state: Path, client: urllib3.PoolManager) -> None:
        self.site, self.state, self.client = site, state, client
        self.top = root()
        where = x509.UniformResourceIdentifier(site.url.replace("eps.cms", "ca.crl"))
        points = x509.CRLDistributionPoints([x509.DistributionPoint([where], None, None, None)])
        self.points = (*SIGNER, points)
        self.ra = self.top.issue("RA manager", self.points)
        self.site.pages["/eps.cms"] = cms.sign(octets(), self.ra.certificate, self.ra.key)

    def publish(self, *revoked: Holder, by: Holder | None = None, age: timedelta = timedelta(0)) -> None:
        crl = (by or self.top).revoke(*revoked, start=NOW - age)
        self.site.pages["/ca.crl"] = crl.public_bytes(Encoding.DER)

    def poll(self, after: timedelta = timedelta(0)) -> Fetched:
        store, trust = CampaignStore(self.state), Trust((self.top.certificate,))
        (found,) = fetch_campaigns([self.site.url], store, trust, NOW + after, self.client)
        return found

    @property
    def asked(self) -> int:
        return sum(path == "/ca.crl" for path, _ in self.site.asked)


@pytest.fixture
def story(site: Site, tmp_path: Path, client: urllib3.PoolManager) -> Story:
    return Story(site, tmp_path, client)


def refused(found: Fetched) -> bool:
    return found.campaign is None and found.problem is not None and "has been revoked" in found.problem.message


def test_a_signer_on_the_list_is_refused_and_its_campaign_forgotten(story: Story) -> None:
    story.publish()
    assert story.poll().campaign is not None
    story.publish(story.ra)
    assert refused(story.poll(HOUR))
    assert CampaignStore(story.state).last_good(story.site.url) is None


def test_a_list_in_pem_will_do(story: Story) -> None:
    story.site.pages["/ca.crl"] = story.top.revoke(story.ra, start=NOW).public_bytes(Encoding.PEM)
    assert refused(story.poll())


def test_a_list_is_asked_for_once_an_hour_or_when_its_time_is_over(story: Story) -> None:
    story.publish()
    for after, asked in ((0, 1), (10, 1), (59, 1), (60, 2), (90, 2)):
        assert story.poll(timedelta(minutes=after)).campaign is not None
        assert story.asked == asked
    story.publish(age=2 * DAY)  # over before it arrives: the kept one is newer, but over too by then
    story.poll(DAY)
    story.poll(DAY + timedelta(minutes=1))
    assert story.asked == 4


def test_without_the_list_the_campaign_is_believed(story: Story) -> None:
    found = story.poll()
    assert (found.campaign is not None, found.problem, story.asked) == (True, None, 1)


def test_several_campaigns_of_one_signer_ask_once(story: Story) -> None:
    """For a list that cannot be had, too: a server that is away must not be waited for once per campaign."""
    sources = [story.site.url.replace("eps", f"eps{n}") for n in range(4)]
    for n, source in enumerate(sources):
        page = cms.sign(octets(id=f"c{n}"), story.ra.certificate, story.ra.key)
        story.site.pages[f"/{source.rpartition('/')[2]}"] = page
    store, trust = CampaignStore(story.state), Trust((story.top.certificate,))
    found = fetch_campaigns(sources, store, trust, NOW, story.client)
    assert [one.campaign.id for one in found if one.campaign] == ["c0", "c1", "c2", "c3"]
    assert story.asked == 1


def test_the_kept_list_serves_while_the_server_is_away(story: Story) -> None:
    story.publish(story.ra)
    assert refused(story.poll())
    del story.site.pages["/ca.crl"]
    assert refused(story.poll(HOUR))
    assert refused(story.poll(30 * DAY))


@pytest.mark.parametrize("what", ["older", "forged", "another's", "garbage", "huge"])
def test_a_list_that_says_less_does_not_take_its_place(story: Story, what: str) -> None:
    story.publish(story.ra)
    assert refused(story.poll())
    if what == "older":
        story.publish(age=DAY)
    elif what == "forged":
        story.publish(by=Holder(story.ra.key, story.top.certificate))
    elif what == "another's":
        story.publish(by=root("Another"))
    else:
        story.site.pages["/ca.crl"] = b"garbage" if what == "garbage" else b"0" * (LIMIT + 2)
    assert refused(story.poll(2 * HOUR))
    assert story.asked == 2


def test_a_list_that_shows_a_mistake_was_mended_counts(story: Story) -> None:
    story.publish(story.ra, age=HOUR)
    assert refused(story.poll())
    story.publish()
    assert story.poll(HOUR).campaign is not None


def test_no_address_is_followed_out_of_a_certificate_that_nobody_vouches_for(story: Story) -> None:
    forger = root()
    forged = forger.issue("RA manager", story.points)
    story.site.pages["/eps.cms"] = cms.sign(octets(), forged.certificate, forged.key)
    found = story.poll()
    assert (found.campaign, story.asked) == (None, 0)

"""Fetching: a real web server, and what a workstation still knows when it is offline, lied to, or out of date."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import urllib3

from renewagent import cms
from renewagent.agent.remembered import accepted_campaigns
from renewagent.campaign import download as download_module
from renewagent.campaign.document import parse_campaign
from renewagent.campaign.fetch import Fetched, fetch_campaigns
from renewagent.campaign.store import FOLDER, CampaignStore
from renewagent.campaign.verify import SIGNED_LIMIT, Trust
from renewagent.errors import CampaignError, JournalError, RaUnreachable
from renewagent.rules import Campaign
from tests.unit.campaign.authority import DAY, NOW, PRESCRIBER, root
from tests.unit.campaign.documents import octets
from tests.unit.campaign.site import Site

TOP = root()
RA = TOP.issue("RA manager")
TRUST = Trust((TOP.certificate,))


def signed(version: int = 3, **changes: object) -> bytes:
    return cms.sign(octets(version=version, **changes), RA.certificate, RA.key)


@dataclass
class Workstation:
    state: Path
    client: urllib3.PoolManager
    trust: Trust = TRUST

    def fetch(self, *sources: str, now: object = NOW) -> list[Fetched]:
        return fetch_campaigns(sources, CampaignStore(self.state), self.trust, now, self.client)  # type: ignore[arg-type]

    def one(self, source: str, now: object = NOW) -> Fetched:
        (found,) = self.fetch(source, now=now)
        return found

    def resident(self) -> list[Campaign]:
        return accepted_campaigns(self.state)


@pytest.fixture(autouse=True)
def published(site: Site) -> None:
    site.pages["/eps.cms"] = signed()


@pytest.fixture
def workstation(tmp_path: Path, client: urllib3.PoolManager) -> Workstation:
    return Workstation(tmp_path / "state", client)


def test_a_campaign_is_fetched_kept_and_given_to_the_resident_agent(workstation: Workstation, site: Site) -> None:
    found = workstation.one(site.url)
    assert found == Fetched(site.url, parse_campaign(octets()), signed_page(site))
    assert workstation.resident() == [parse_campaign(octets())]
    assert CampaignStore(workstation.state).accepted_versions() == {"2020-10-eps-signing": 3}


def signed_page(site: Site) -> bytes:
    return site.pages["/eps.cms"]


def test_nothing_is_sent_again_that_has_not_changed(workstation: Workstation, site: Site) -> None:
    first = workstation.one(site.url)
    kept = {path: path.stat().st_mtime_ns for path in (workstation.state / FOLDER).iterdir()}
    assert workstation.one(site.url) == first
    assert [etag is not None for _, etag in site.asked] == [False, True]
    assert {path: path.stat().st_mtime_ns for path in (workstation.state / FOLDER).iterdir()} == kept
    site.pages["/eps.cms"] = signed(4)
    assert workstation.one(site.url).campaign == parse_campaign(octets(version=4))
    assert [campaign.version for campaign in workstation.resident()] == [4]


def test_offline_is_normal(workstation: Workstation, site: Site) -> None:
    online = workstation.one(site.url)
    site.status = 503
    offline = workstation.one(site.url)
    assert (offline.campaign, offline.signed) == (online.campaign, online.signed)
    assert isinstance(offline.problem, RaUnreachable)
    assert "the server answered 503" in offline.problem.message
    assert len(workstation.resident()) == 1


def test_offline_from_the_start_is_no_campaign_and_a_sentence(workstation: Workstation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = workstation.one(f"http://127.0.0.1:{port}/eps.cms")
    assert found.campaign is None
    assert isinstance(found.problem, RaUnreachable)
    assert found.problem.message == f"http://127.0.0.1:{port}/eps.cms could not be fetched."
    assert workstation.resident() == []


def test_a_server_that_says_not_changed_to_a_stranger_is_not_believed(workstation: Workstation, site: Site) -> None:
    site.status = 304
    found = workstation.one(site.url)
    assert (found.campaign, isinstance(found.problem, RaUnreachable)) == (None, True)


@pytest.mark.parametrize("what", ["tampered", "unsigned", "by a prescriber", "rolled back", "huge"])
def test_what_is_not_to_be_believed_leaves_the_last_good_one(workstation: Workstation, site: Site, what: str) -> None:
    good = workstation.one(site.url)
    prescriber = TOP.issue("Dr Ada Example", PRESCRIBER)
    site.pages["/eps.cms"] = {
        "tampered": signed_page(site).replace(b"autumn batch", b"spring batch"),
        "unsigned": octets(version=9),
        "by a prescriber": cms.sign(octets(version=9), prescriber.certificate, prescriber.key),
        "rolled back": signed(2),
        "huge": b"0" * (8 * SIGNED_LIMIT),
    }[what]
    found = workstation.one(site.url)
    assert (found.campaign, found.signed) == (good.campaign, good.signed)
    assert isinstance(found.problem, CampaignError)
    assert [campaign.version for campaign in workstation.resident()] == [3]


def test_a_version_is_never_gone_back_on_even_at_another_address(workstation: Workstation, site: Site) -> None:
    workstation.one(site.url)
    site.pages["/old.cms"] = signed(1)
    found = workstation.one(site.url.replace("eps", "old"))
    assert found.campaign is None
    assert found.problem is not None
    assert "version 3 has been published before" in found.problem.message


def test_a_withdrawn_campaign_takes_the_place_of_the_one_in_force(workstation: Workstation, site: Site) -> None:
    workstation.one(site.url)
    site.pages["/eps.cms"] = signed(4, withdrawn=True)
    workstation.one(site.url)
    (campaign,) = workstation.resident()
    assert campaign.withdrawn


def test_the_last_good_one_goes_with_its_signer(workstation: Workstation, site: Site) -> None:
    workstation.one(site.url)
    site.status = 503
    revoked = Trust(TRUST.anchors, (TOP.revoke(RA),))
    for trust, now in ((revoked, NOW), (TRUST, NOW + 400 * DAY), (Trust((root().certificate,)), NOW)):
        here = Workstation(workstation.state.with_name(f"state{id(trust)}-{now.year}"), workstation.client)
        site.status = 200
        here.one(site.url)
        assert len(here.resident()) == 1
        site.status = 503
        here.trust = trust
        found = here.one(site.url, now=now)
        assert found.campaign is None
        assert found.problem is not None
        assert here.resident() == []


def test_files_serve_as_well_as_servers(workstation: Workstation, tmp_path: Path) -> None:
    file = tmp_path / "eps.cms"
    file.write_bytes(signed())
    assert workstation.one(str(file)).campaign == parse_campaign(octets())
    file.unlink()
    found = workstation.one(str(file))
    assert found.campaign == parse_campaign(octets())
    assert found.problem is not None
    assert found.problem.message == f"The campaign {file} cannot be read: No such file or directory."


def test_each_source_answers_for_itself_and_one_no_longer_configured_is_forgotten(
    workstation: Workstation, site: Site, tmp_path: Path
) -> None:
    (tmp_path / "b.cms").write_bytes(signed(id="b"))
    (tmp_path / "c.cms").write_bytes(b"nonsense")
    sources = (site.url, str(tmp_path / "b.cms"), str(tmp_path / "c.cms"), site.url)
    found = workstation.fetch(*sources)
    assert [entry.campaign.id if entry.campaign else None for entry in found] == ["2020-10-eps-signing", "b", None]
    assert {campaign.id for campaign in workstation.resident()} == {"2020-10-eps-signing", "b"}
    workstation.fetch(sources[1])
    assert [campaign.id for campaign in workstation.resident()] == ["b"]
    assert set(CampaignStore(workstation.state).accepted_versions()) == {"2020-10-eps-signing", "b"}


def test_a_redirection_is_followed_but_not_for_ever(workstation: Workstation, site: Site) -> None:
    site.pages["/moved.cms"] = signed()
    site.redirect = "/moved.cms"
    assert workstation.one(site.url).campaign is not None
    site.redirect = "/nowhere"
    site.pages.clear()
    assert isinstance(workstation.one(site.url).problem, RaUnreachable)
    site.redirect = "/eps.cms?again"

    def around(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", "/round")
        request.send_header("Content-Length", "0")
        request.end_headers()

    site.answer = around  # type: ignore[method-assign]
    assert isinstance(workstation.one(site.url).problem, RaUnreachable)


def test_an_answer_cut_short_is_not_taken_for_whole(workstation: Workstation, site: Site) -> None:
    site.cut = 10
    found = workstation.one(site.url)
    assert (found.campaign, isinstance(found.problem, RaUnreachable)) == (None, True)


def test_a_server_that_dribbles_is_given_up(
    workstation: Workstation, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "LONGEST", 0.2)
    site.drip = 0.05
    started = time.monotonic()
    found = workstation.one(site.url)
    assert isinstance(found.problem, RaUnreachable)
    assert "too slow" in found.problem.message
    assert time.monotonic() - started < 5


def test_a_damaged_state_is_as_good_as_none(workstation: Workstation, site: Site) -> None:
    workstation.one(site.url)
    for path in (workstation.state / FOLDER).iterdir():
        path.write_bytes(b"\xff nonsense")
    assert workstation.resident() == []
    found = workstation.one(site.url)
    assert (found.campaign, found.problem) == (parse_campaign(octets()), None)
    assert len(workstation.resident()) == 1


def test_a_store_that_cannot_be_written_is_told(workstation: Workstation, site: Site) -> None:
    workstation.state.write_text("a file where the folder should be")
    with pytest.raises(JournalError, match="Campaigns cannot be kept in"):
        workstation.one(site.url)


def test_only_this_user_reads_the_state(workstation: Workstation, site: Site) -> None:
    workstation.one(site.url)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (workstation.state / FOLDER).iterdir())

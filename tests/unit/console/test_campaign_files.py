"""Campaigns in by people, out to agents: only what is signed, newer, and the same for ever under one version."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette
from starlette.types import ASGIApp

from renewagent import cms
from renewagent.campaign.verify import RolledBack, verify_campaign
from renewagent.console import campaign_files
from renewagent.console.audit import entries
from renewagent.console.campaign_files import accept_campaign
from renewagent.console.mishaps import HANDLERS
from renewagent.console.site import Site
from renewagent.console.tables import CAMPAIGN, REVISION
from renewagent.errors import CampaignError
from renewagent.rules import Campaign
from tests.console import NOW, Clock, new_site
from tests.flows import console_seed
from tests.unit.campaign.authority import PRESCRIBER, Holder, root
from tests.unit.console.workstations import Workstation

DAY = timedelta(days=1)
PATH = f"/campaigns/{console_seed.CAMPAIGN_ID}.campaign"


@pytest.fixture
def anchor(tmp_path: Path) -> Holder:
    made = root("Anchor")
    (tmp_path / "anchor.pem").write_bytes(made.pem())
    return made


@pytest.fixture
def signer(anchor: Holder) -> Holder:
    return anchor.issue("Morgan Manager", start=NOW - DAY, end=NOW + 100 * DAY)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path, Clock(), crls=(tmp_path / "crl.pem",))


@pytest.fixture(autouse=True)
def crl(tmp_path: Path, anchor: Holder) -> None:
    (tmp_path / "crl.pem").write_bytes(anchor.revoke().public_bytes(Encoding.PEM))


@pytest.fixture
def app(site: Site) -> ASGIApp:
    return Starlette(routes=campaign_files.routes(site), exception_handlers=dict(HANDLERS))


def signed(signer: Holder, version: int = 1, **changes: Any) -> bytes:
    return cms.sign(console_seed.document(NOW, version=version, **changes), signer.certificate, signer.key)


def accept(site: Site, octets: bytes) -> Campaign:
    return site.store.writing(lambda connection: accept_campaign(connection, site, octets, "manager"))


def revision(site: Site) -> int:
    with site.store.engine.connect() as connection:
        return int(connection.execute(sa.select(REVISION.c.number).where(REVISION.c.name == "campaigns")).scalar() or 0)


def test_it_comes_out_as_it_went_in(site: Site, app: ASGIApp, signer: Holder, anchor: Holder) -> None:
    octets = signed(signer)
    assert accept(site, octets).label == f"{console_seed.CAMPAIGN_ID}/1"
    answer = Workstation(app).get(PATH)
    assert (answer.status, answer.body) == (200, octets)
    assert answer.headers["content-type"] == "application/cms"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["etag"] == f'"{hashlib.sha256(octets).hexdigest()}"'
    assert verify_campaign(answer.body, [anchor.certificate], NOW).version == 1
    with site.store.engine.connect() as connection:
        (row,) = connection.execute(sa.select(CAMPAIGN))
        assert (row.received_by, row.signer) == ("manager", "CN=Morgan Manager,O=Trust")
        assert [entry.event for entry in entries(connection)] == ["campaign.accepted"]


def test_who_has_it_is_not_sent_it_again(site: Site, app: ASGIApp, signer: Holder) -> None:
    accept(site, signed(signer))
    asks = Workstation(app)
    tag = asks.get(PATH).headers["etag"]
    for given in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        answer = asks.get(PATH, ("if-none-match", given))
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    accept(site, signed(signer, 2))
    answer = asks.get(PATH, ("if-none-match", tag))
    assert answer.status == 200
    assert answer.headers["etag"] != tag


@pytest.mark.parametrize("path", ["/campaigns/none.campaign", "/campaigns/.campaign", "/campaigns/%27.campaign"])
def test_what_is_not_there(app: ASGIApp, path: str) -> None:
    assert Workstation(app).get(path).status == 404


def test_the_highest_version_is_the_one(site: Site, app: ASGIApp, signer: Holder) -> None:
    accept(site, signed(signer, 2))
    assert revision(site) == 1
    with pytest.raises(RolledBack):
        accept(site, signed(signer, 1))
    accept(site, newest := signed(signer, 10))
    assert Workstation(app).get(PATH).body == newest
    assert revision(site) == 2


def test_one_version_has_one_content(site: Site, app: ASGIApp, signer: Holder, anchor: Holder) -> None:
    first = signed(signer)
    accept(site, first)
    accept(site, first)
    assert revision(site) == 1
    with pytest.raises(CampaignError, match="other content"):
        accept(site, signed(signer, deadline="2026-12-24T00:00:00Z"))
    anew = signed(anchor.issue("Robin Manager", start=NOW - DAY, end=NOW + DAY))
    accept(site, anew)
    assert Workstation(app).get(PATH).body == anew
    assert revision(site) == 2


def test_what_is_not_to_be_believed_is_not_published(
    site: Site, app: ASGIApp, signer: Holder, anchor: Holder, tmp_path: Path
) -> None:
    good = signed(signer)
    prescriber = anchor.issue("Dr Ada Example", PRESCRIBER, start=NOW - DAY, end=NOW + DAY)
    expired = anchor.issue("Morgan Manager", start=NOW - 9 * DAY, end=NOW - DAY)
    stranger = root("Another").issue("Morgan Manager", start=NOW - DAY, end=NOW + DAY)
    revoked = anchor.issue("Morgan Manager", start=NOW - DAY, end=NOW + DAY)
    (tmp_path / "crl.pem").write_bytes(anchor.revoke(revoked).public_bytes(Encoding.PEM))
    tampered = good.replace(b"autumn batch", b"winter batch")
    assert tampered != good
    for octets in (
        tampered,
        console_seed.document(NOW),
        b"",
        good + b"\0" * 1024 * 1024,
        *(signed(one) for one in (prescriber, expired, stranger, revoked)),
        signed(signer, unknown_field=1),
    ):
        with pytest.raises(CampaignError):
            accept(site, octets)
    assert Workstation(app).get(PATH).status == 404
    assert revision(site) == 0
    accept(site, good)

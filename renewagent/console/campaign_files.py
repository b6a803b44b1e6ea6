"""Signed campaigns: accepted from people, handed out to agents and to whoever else carries them.

What is handed out is the file as it was signed, with a strong ETag: any web server or CDN may stand in between, since
agents verify it for themselves.
"""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from renewagent.campaign.pem import read_certificates, read_revocation_lists
from renewagent.campaign.verify import SIGNED_LIMIT, Trust, verify_with_chain
from renewagent.cms import open_signed
from renewagent.console import audit
from renewagent.console.settings import Settings
from renewagent.console.site import Site
from renewagent.console.store import raise_revision
from renewagent.console.tables import CAMPAIGN
from renewagent.errors import CampaignError
from renewagent.rules import Campaign

LARGEST = SIGNED_LIMIT
"""Octets."""


def routes(site: Site) -> list[BaseRoute]:
    """Where agents fetch campaigns. No client certificate is asked for."""

    async def hand_out(request: Request) -> Response:
        name = request.path_params["name"]
        digest = await site.store.read(lambda connection: _newest(connection, name, CAMPAIGN.c.sha256))
        if digest is None:
            raise HTTPException(404, "There is no such campaign here.")
        if _has(request, digest):
            return Response(None, 304, _headers(digest))
        signed = await site.store.read(lambda connection: bytes(_newest(connection, name, CAMPAIGN.c.signed)))
        return Response(signed, 200, _headers(hashlib.sha256(signed).hexdigest()), "application/cms")

    return [Route("/campaigns/{name}.campaign", hand_out, methods=["GET"])]


def accept_campaign(connection: sa.Connection, site: Site, signed: bytes, actor: str) -> Campaign:
    """Verify a signed campaign (DER) and publish it. The same once more changes nothing; the same document signed anew
    takes the place of the one before. Raises CampaignError, RolledBack among them, with a sentence for `actor`."""
    now = site.now()
    campaign, chain = verify_with_chain(signed, _trust(site.settings), now, _versions(connection))
    document, digest = open_signed(signed).content, hashlib.sha256(signed).hexdigest()
    known = connection.execute(
        sa.select(CAMPAIGN.c.document, CAMPAIGN.c.sha256).where(
            CAMPAIGN.c.id == campaign.id, CAMPAIGN.c.version == campaign.version
        )
    ).first()
    if known is not None and bytes(known.document) != document:
        raise CampaignError(
            f"Version {campaign.version} of campaign {campaign.id} was published with other content before.",
            advice="Give the changed campaign a higher version, and sign that.",
        )
    if known is not None and known.sha256 == digest:
        return campaign
    connection.execute(sa.delete(CAMPAIGN).where(CAMPAIGN.c.id == campaign.id, CAMPAIGN.c.version == campaign.version))
    signer = chain[0].subject.rfc4514_string()
    row = {"signed": signed, "document": document, "sha256": digest, "signer": signer}
    times = {"published": campaign.published, "expires": campaign.expires, "received": now, "received_by": actor}
    connection.execute(sa.insert(CAMPAIGN).values(id=campaign.id, version=campaign.version, **row, **times))
    raise_revision(connection, "campaigns")
    details = {"campaign": campaign.label, "sha256": digest, "signer": signer}
    audit.record(connection, now, actor, "campaign.accepted", details)
    return campaign


def _trust(settings: Settings) -> Trust:
    crls = [crl for path in settings.crls for crl in read_revocation_lists(path)]
    return Trust(read_certificates(settings.campaign_anchor), tuple(crls))


def _versions(connection: sa.Connection) -> dict[str, int]:
    highest = sa.select(CAMPAIGN.c.id, sa.func.max(CAMPAIGN.c.version)).group_by(CAMPAIGN.c.id)
    return {row[0]: row[1] for row in connection.execute(highest)}


def _newest(connection: sa.Connection, name: str, column: sa.Column[Any]) -> Any:
    """One column of the highest version, None where there is none."""
    of_it = sa.select(column).where(CAMPAIGN.c.id == name)
    return connection.execute(of_it.order_by(CAMPAIGN.c.version.desc()).limit(1)).scalar()


def _has(request: Request, digest: str) -> bool:
    """RFC 9110 13.1.2: whoever asks has this one already."""
    named = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return f'"{digest}"' in named or named == ["*"]


def _headers(digest: str) -> dict[str, str]:
    return {"ETag": f'"{digest}"', "Cache-Control": "no-cache"}

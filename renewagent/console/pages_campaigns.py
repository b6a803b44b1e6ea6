"""The pages of campaigns: published ones, the next version to be signed, and what a campaign would hit.

The console signs nothing. A next version is downloaded as plain JSON, signed where the signer's key is, and uploaded.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from cryptography.exceptions import UnsupportedAlgorithm
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from renewagent.campaign.document import parse_campaign
from renewagent.campaign.summary import remedy_in_words, rules_in_words, unrestricted
from renewagent.campaign.versions import next_version
from renewagent.cms import open_signed
from renewagent.console import campaign_preview, reads
from renewagent.console.campaign_files import LARGEST, accept_campaign
from renewagent.console.gate import guard
from renewagent.console.pages import show
from renewagent.console.permissions import Permission
from renewagent.console.sessions import Visitor
from renewagent.console.site import Site
from renewagent.console.tables import CAMPAIGN
from renewagent.errors import CampaignError
from renewagent.rules import Campaign

_LARGEST_UPLOAD = LARGEST + 64 * 1024
_STEPS: dict[str, dict[str, Any]] = {
    "pause": {"paused": True},
    "resume": {"paused": False},
    "withdraw": {"withdrawn": True},
}


def routes(site: Site) -> list[Route]:
    """All campaigns, one, its files; and the preview."""
    publish = guard(site, Permission.PUBLISH_CAMPAIGN, upload, largest=_LARGEST_UPLOAD)
    judge = guard(site, Permission.DRAFT_CAMPAIGN, preview, largest=_LARGEST_UPLOAD)
    return [
        Route("/campaigns", guard(site, Permission.SEE_CAMPAIGNS, campaigns), methods=["GET"]),
        Route("/campaigns", publish, methods=["POST"]),
        Route("/campaigns/{name}", guard(site, Permission.SEE_CAMPAIGNS, campaign), methods=["GET"]),
        Route("/campaigns/{name}/next/{step}", guard(site, Permission.DRAFT_CAMPAIGN, draft), methods=["GET"]),
        Route(
            "/campaigns/{name}/{version:int}.campaign",
            guard(site, Permission.SEE_CAMPAIGNS, signed_file),
            methods=["GET"],
        ),
        Route("/preview", guard(site, Permission.DRAFT_CAMPAIGN, ask_preview), methods=["GET"]),
        Route("/preview", judge, methods=["POST"]),
    ]


async def campaigns(site: Site, request: Request, visitor: Visitor) -> Response:
    """All of them, and the form to publish."""
    return await _campaigns(site, request, visitor, None)


async def upload(site: Site, request: Request, visitor: Visitor) -> Response:
    """Publish a signed campaign."""
    octets, actor = await _file(request), visitor.person.actor
    try:
        accepted = await site.store.write(lambda connection: accept_campaign(connection, site, octets, actor))
    except CampaignError as problem:
        return await _campaigns(site, request, visitor, problem, 422)
    return RedirectResponse(f"/campaigns/{quote(accepted.id)}?said=published", 303)


async def campaign(site: Site, request: Request, visitor: Visitor) -> Response:
    """One of them: what it says, its versions, and what can be done next."""
    name = request.path_params["name"]
    found = await site.store.read(lambda connection: reads.versions(connection, name))
    if not found:
        raise HTTPException(404, "There is no such campaign.")
    newest, now = found[0].campaign, site.now()
    steps = [] if newest.withdrawn or now >= newest.expires else ["resume" if newest.paused else "pause", "withdraw"]
    context = {"current": found[0], "versions": found, "steps": steps, "said": request.query_params.get("said", "")}
    return show(site, request, visitor, "campaign.html", {**context, **_in_words(newest)})


async def draft(site: Site, request: Request, visitor: Visitor) -> Response:
    """The next version as JSON, to be signed."""
    name, step = request.path_params["name"], request.path_params["step"]
    if step not in _STEPS:
        raise HTTPException(404)
    octets = await site.store.read(lambda connection: _newest_document(connection, name))
    document = next_version(octets, now=site.now(), **_STEPS[step])
    version = json.loads(document)["version"]
    return _download(document, f"{name}-{version}.json", "application/json")


async def signed_file(site: Site, request: Request, visitor: Visitor) -> Response:
    """A version as it was signed."""
    name, version = request.path_params["name"], request.path_params["version"]
    if version > 2**31 - 1:
        raise HTTPException(404, "There is no such campaign.")
    question = sa.select(CAMPAIGN.c.signed).where(CAMPAIGN.c.id == name, CAMPAIGN.c.version == version)
    octets = await site.store.read(lambda connection: connection.execute(question).scalar())
    if octets is None:
        raise HTTPException(404, "There is no such campaign.")
    return _download(bytes(octets), f"{name}-{version}.campaign", "application/cms")


async def ask_preview(site: Site, request: Request, visitor: Visitor) -> Response:
    """The form; above it what a published campaign hits, if one is named."""
    name = request.query_params.get("campaign", "")
    if not name:
        return show(site, request, visitor, "preview.html", {"judged": None, "problem": None})
    document = await site.store.read(lambda connection: _newest_document(connection, name))
    return await _preview(site, request, visitor, parse_campaign(document))


async def preview(site: Site, request: Request, visitor: Visitor) -> Response:
    """What the campaign in the file would hit, signed or not. Nothing is kept."""
    octets = await _file(request)
    try:
        judged = parse_campaign(_document_in(octets))
    except CampaignError as problem:
        return show(site, request, visitor, "preview.html", {"judged": None, "problem": problem}, 422)
    return await _preview(site, request, visitor, judged)


async def _preview(site: Site, request: Request, visitor: Visitor, judged: Campaign) -> Response:
    def read(connection: sa.Connection) -> dict[str, Any]:
        return {
            "preview": campaign_preview.preview(connection, visitor.person, judged),
            "organisations": reads.organisations(connection, visitor.person),
        }

    context = {"judged": judged, "problem": None, **_in_words(judged), **await site.store.read(read)}
    return show(site, request, visitor, "preview.html", context)


async def _campaigns(
    site: Site, request: Request, visitor: Visitor, problem: CampaignError | None, status: int = 200
) -> Response:
    found = await site.store.read(reads.campaigns)
    return show(site, request, visitor, "campaigns.html", {"campaigns": found, "problem": problem}, status)


def _in_words(judged: Campaign) -> dict[str, Any]:
    lines = rules_in_words(judged)
    rules: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("  "):
            rules[-1][1].append(line.strip())
        else:
            rules.append((line, []))
    return {"rules": rules, "remedy": remedy_in_words(judged), "unrestricted": unrestricted(judged)}


def _newest_document(connection: sa.Connection, name: str) -> bytes:
    question = sa.select(CAMPAIGN.c.document).where(CAMPAIGN.c.id == name).order_by(CAMPAIGN.c.version.desc())
    document = connection.execute(question.limit(1)).scalar()
    if document is None:
        raise HTTPException(404, "There is no such campaign.")
    return bytes(document)


def _document_in(octets: bytes) -> bytes:
    if octets[:1] != b"\x30":
        return octets
    try:
        return open_signed(octets).content
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise CampaignError(f"This campaign is not correctly signed: {problem}.") from problem


async def _file(request: Request) -> bytes:
    sent = (await request.form()).get("file")
    if not isinstance(sent, UploadFile):
        raise HTTPException(400, "No file was sent.")
    return await sent.read()


def _download(octets: bytes, name: str, kind: str) -> Response:
    # A campaign's id holds letters, digits, ".", "_" and "-" alone.
    return Response(octets, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})

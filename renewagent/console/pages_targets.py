"""The page of target lists: the result of a bulk check becomes what a campaign's receipts are counted against."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from renewagent.console import reads, targets
from renewagent.console.gate import guard
from renewagent.console.pages import show, text_of
from renewagent.console.permissions import Permission
from renewagent.console.sessions import Visitor
from renewagent.console.site import Site
from renewagent.console.target_rows import TargetsRefused
from renewagent.console.targets import TakenIn, below, count_targets, drop_targets, take_targets

_PATIENCE = 600.0


def routes(site: Site) -> list[Route]:
    """One page, two things to do on it."""
    take = guard(site, Permission.UPLOAD_TARGETS, take_in, largest=targets.LARGEST + 64 * 1024, patience=_PATIENCE)
    return [
        Route("/targets", guard(site, Permission.UPLOAD_TARGETS, lists), methods=["GET"]),
        Route("/targets", take, methods=["POST"]),
        Route("/targets/drop", guard(site, Permission.UPLOAD_TARGETS, drop), methods=["POST"]),
    ]


async def lists(site: Site, request: Request, visitor: Visitor) -> Response:
    """Every campaign's list, counted."""
    return await _page(site, request, visitor, {})


async def take_in(site: Site, request: Request, visitor: Visitor) -> Response:
    """A new list, from a file that is sent or named."""
    campaign, column = await text_of(request, "campaign"), (await text_of(request, "column")).strip()
    sent, name = (await request.form()).get("file"), (await text_of(request, "name")).strip()
    actor = visitor.person.actor

    def take() -> TakenIn:
        if isinstance(sent, UploadFile) and sent.filename:
            kind = Path(sent.filename).suffix
            with tempfile.NamedTemporaryFile(suffix=kind if kind.isascii() and len(kind) < 12 else "") as copy:
                shutil.copyfileobj(sent.file, copy)
                copy.flush()
                return take_targets(site, campaign, Path(copy.name), kind, actor, organisation_column=column)
        if not name:
            raise TargetsRefused("No file was given.")
        path = below(site.settings, name)
        return take_targets(site, campaign, path, path.suffix, actor, organisation_column=column)

    try:
        taken = await run_in_threadpool(take)
    except TargetsRefused as problem:
        return await _page(site, request, visitor, {"problem": problem, "chosen": campaign}, 422)
    return await _page(site, request, visitor, {"taken": taken, "chosen": campaign})


async def drop(site: Site, request: Request, visitor: Visitor) -> Response:
    """Take a list away."""
    campaign, actor = await text_of(request, "campaign"), visitor.person.actor
    count = await site.store.write(lambda connection: drop_targets(connection, site.now(), campaign, actor))
    if not count:
        raise HTTPException(404, "This campaign has no targets.")
    return RedirectResponse(f"/targets?said=dropped&campaign={quote(campaign)}", 303)


async def _page(site: Site, request: Request, visitor: Visitor, context: dict[str, Any], status: int = 200) -> Response:
    def read(connection: sa.Connection) -> dict[str, Any]:
        published = reads.campaigns(connection)
        counted = [(one.campaign, count_targets(connection, one.campaign.id)) for one in published]
        return {"lists": counted}

    folder = site.settings.inventories
    names: list[str] = []
    if folder is not None:
        with suppress(OSError):
            names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    query = request.query_params
    blank = {"taken": None, "problem": None, "chosen": query.get("campaign", ""), "said": query.get("said", "")}
    found = await site.store.read(read)
    return show(site, request, visitor, "targets.html", {**blank, **found, "names": names, **context}, status)

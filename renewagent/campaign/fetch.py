"""Getting campaigns: from files and http(s) addresses, verified, the last good one kept. For children only.

Being offline is normal: then the last good one serves, verified again. So it does when what is published has been
tampered with; the problem is told beside it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import truststore
import urllib3
from urllib3.exceptions import HTTPError

from renewagent.campaign.store import CampaignStore, Kept
from renewagent.campaign.verify import SIGNED_LIMIT, Trust, verify_campaign
from renewagent.errors import CampaignError, RaUnreachable, RenewAgentError
from renewagent.rules import Campaign

PATIENCE = 10.0
"""Seconds for a connection, and for each answer to come on."""
LONGEST = 30.0
"""Seconds for a whole answer."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What there is from one source. `campaign` and `signed` go together; `problem` says why they are not fresh."""

    source: str
    campaign: Campaign | None = None
    signed: bytes = b""
    problem: RenewAgentError | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    """`octets` is None where the source says that nothing has changed."""

    octets: bytes | None
    etag: str = ""


def http_client() -> urllib3.PoolManager:
    """Checks servers against the system's own trust; campaigns carry their own signature besides."""
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return urllib3.PoolManager(ssl_context=context, timeout=urllib3.Timeout(connect=PATIENCE, read=PATIENCE))


def fetch_campaigns(
    sources: Sequence[str],
    store: CampaignStore,
    trust: Trust,
    now: datetime,
    http: urllib3.PoolManager | None = None,
) -> list[Fetched]:
    """One answer for each source, in their order; the store holds afterwards what may be relied on, and nothing else.

    Raises JournalError if the store cannot be written.
    """
    client = http_client() if http is None else http
    store.forget_all_but(sources)
    return [fetch_campaign(source, store, trust, now, client) for source in dict.fromkeys(sources)]


def fetch_campaign(
    source: str, store: CampaignStore, trust: Trust, now: datetime, http: urllib3.PoolManager
) -> Fetched:
    """The newest campaign from `source` (a path, or an http or https URL), else the last good one and the problem."""
    kept = store.last_good(source)
    try:
        answer = _ask(source, kept, http)
        if answer.octets is not None:
            campaign = _verified(answer.octets, store, trust, now)
            store.keep(source, answer.octets, answer.etag, campaign)
            return Fetched(source, campaign, answer.octets)
        problem = None
    except (CampaignError, RaUnreachable) as error:
        problem = error
    return _fall_back(source, kept, problem, store, trust, now)


def _fall_back(
    source: str, kept: Kept | None, problem: RenewAgentError | None, store: CampaignStore, trust: Trust, now: datetime
) -> Fetched:
    """The last good one, if it still is: anchors change, signers expire and are revoked."""
    if kept is None:
        return Fetched(source, problem=problem)
    try:
        campaign = _verified(kept.signed, store, trust, now)
    except CampaignError as error:
        store.forget(source)
        return Fetched(source, problem=problem or error)
    store.keep(source, kept.signed, kept.etag, campaign)
    return Fetched(source, campaign, kept.signed, problem)


def _verified(signed: bytes, store: CampaignStore, trust: Trust, now: datetime) -> Campaign:
    return verify_campaign(signed, trust.anchors, now, trust.crls, store.accepted_versions())


def _ask(source: str, kept: Kept | None, http: urllib3.PoolManager) -> _Answer:
    if source.startswith(("http://", "https://")):
        return _ask_server(source, kept.etag if kept else "", http)
    return _Answer(read_signed(Path(source)))


def read_signed(path: Path) -> bytes:
    """A signed campaign from a file. Raises CampaignError."""
    try:
        with path.open("rb") as file:
            octets = file.read(SIGNED_LIMIT + 1)
    except OSError as problem:
        raise CampaignError(
            f"The campaign {path} cannot be read: {problem.strerror}.", advice="Check the name of the file."
        ) from problem
    return octets  # one octet too many is refused by verify_campaign


def _ask_server(url: str, etag: str, http: urllib3.PoolManager) -> _Answer:
    headers = {"Accept-Encoding": "identity", **({"If-None-Match": etag} if etag else {})}
    retries = urllib3.Retry(total=3, connect=0, read=0, redirect=3, status=0, other=0)
    try:
        response = http.request(
            "GET", url, headers=headers, preload_content=False, decode_content=False, retries=retries
        )
        try:
            return _answer(url, response, asked_for_news=bool(etag))
        finally:
            response.close()
    except (HTTPError, OSError) as problem:
        raise RaUnreachable(f"The campaign at {url} could not be fetched.") from problem


def _answer(url: str, response: urllib3.BaseHTTPResponse, *, asked_for_news: bool) -> _Answer:
    if response.status == 304 and asked_for_news:
        return _Answer(None)
    if response.status != 200:
        raise RaUnreachable(f"The campaign at {url} could not be fetched: the server answered {response.status}.")
    end = time.monotonic() + LONGEST
    octets = b""
    while len(octets) <= SIGNED_LIMIT and (part := response.read1(65536)):
        octets += part
        if time.monotonic() > end:
            raise RaUnreachable(f"The campaign at {url} could not be fetched: the server is too slow.")
    return _Answer(octets, response.headers.get("ETag", ""))

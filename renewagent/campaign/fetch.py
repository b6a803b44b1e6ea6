"""Getting campaigns: from files and http(s) addresses, verified, the last good one kept. For children only.

Being offline is normal: then the last good one serves, verified again. So it does when what is published has been
tampered with; the problem is told beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from renewagent.campaign.download import LONGEST, Answer, download, is_address
from renewagent.campaign.download import http_client as http_client
from renewagent.campaign.revocation import revocation_lists
from renewagent.campaign.store import CampaignStore, Kept
from renewagent.campaign.verify import SIGNED_LIMIT, Trust, check_not_revoked, verify_with_chain
from renewagent.errors import CampaignError, RaUnreachable, RenewAgentError
from renewagent.language import _
from renewagent.rules import Campaign

if TYPE_CHECKING:
    import urllib3
    from cryptography import x509

_AT_ONCE = 8
"""Sources that are asked at the same time."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What there is from one source. `campaign` and `signed` go together; `problem` says why they are not fresh."""

    source: str
    campaign: Campaign | None = None
    signed: bytes = b""
    problem: RenewAgentError | None = None


@dataclass(frozen=True, slots=True)
class _Desk:
    """What every source is asked with."""

    store: CampaignStore
    trust: Trust
    now: datetime
    http: urllib3.PoolManager
    lists: dict[tuple[x509.Certificate, ...], list[x509.CertificateRevocationList]] = field(default_factory=dict)
    """By chain: a server that does not answer is waited for once, however many campaigns there are."""

    def verified(self, signed: bytes) -> Campaign:
        """Verified, also against the revocation lists that the signer's chain points to. Raises CampaignError."""
        accepted = self.store.accepted_versions()
        campaign, chain = verify_with_chain(signed, self.trust, self.now, accepted)
        # Asked for only now: an address out of a certificate that nobody vouches for is not followed.
        if (known := tuple(chain)) not in self.lists:
            self.lists[known] = revocation_lists(chain, self.store.state_dir, self.now, self.http)
        check_not_revoked(chain, self.lists[known])
        return campaign


def fetch_campaigns(
    sources: Sequence[str],
    store: CampaignStore,
    trust: Trust,
    now: datetime,
    http: urllib3.PoolManager | None = None,
    resting: Collection[str] = (),
    *,
    longest: float = LONGEST,
) -> list[Fetched]:
    """One answer for each source (a path, or an http or https URL), in their order; for those `resting`, which are not
    to be asked now, the last good one. `longest`: seconds for each.

    The store holds afterwards what may be relied on, and nothing else. Raises JournalError if it cannot be written.
    """
    if http is None:
        with http_client() as client:
            return fetch_campaigns(sources, store, trust, now, client, resting, longest=longest)
    store.forget_all_but(sources)
    desk = _Desk(store, trust, now, http)
    kept = {source: store.last_good(source) for source in sources}
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # one that takes its time holds no other up
        wanted = [source for source in kept if source not in resting]
        asked = {source: pool.submit(_ask, source, kept[source], http, longest) for source in wanted}
        return [
            _fetched(source, kept[source], asked[source].result, desk)
            if source in asked
            else _last_good(source, kept[source], desk)
            for source in kept
        ]


def _fetched(source: str, kept: Kept | None, answered: Callable[[], Answer], desk: _Desk) -> Fetched:
    """The newest campaign from one source, else the last good one and the problem; other sources' stay as they are."""
    try:
        answer = answered()
        if answer.octets is None:
            return _last_good(source, kept, desk)
        campaign = desk.verified(answer.octets)
    except (CampaignError, RaUnreachable) as problem:
        found = _last_good(source, kept, desk)
        return replace(found, problem=problem)
    desk.store.keep(source, answer.octets, answer.etag, campaign)
    return Fetched(source, campaign, answer.octets)


def _last_good(source: str, kept: Kept | None, desk: _Desk) -> Fetched:
    """The last good one, if it still is: anchors change, signers expire and are revoked."""
    if kept is None:
        return Fetched(source)
    try:
        campaign = desk.verified(kept.signed)
    except CampaignError as problem:
        desk.store.forget(source)
        return Fetched(source, problem=problem)
    desk.store.keep(source, kept.signed, kept.etag, campaign)
    return Fetched(source, campaign, kept.signed)


def _ask(source: str, kept: Kept | None, http: urllib3.PoolManager, longest: float) -> Answer:
    if is_address(source):
        return download(source, http, SIGNED_LIMIT, kept.etag if kept else "", longest=longest)
    return Answer(_read(Path(source)))


def _read(path: Path) -> bytes:
    """The file; one octet too many is left for the verification to refuse."""
    try:
        with path.open("rb") as file:
            return file.read(SIGNED_LIMIT + 1)
    except OSError as problem:
        raise CampaignError(
            _("The campaign {path} cannot be read: {why}.").format(path=path, why=problem.strerror),
            advice=_("Check the name of the file."),
        ) from problem

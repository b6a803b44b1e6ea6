"""The campaigns in force at this workstation, fetched and verified: for commands, for the renewing child, and for the
agent's polls (`renewagent.agent.console_child`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from renewagent.agent.poll_patience import PollPatience
from renewagent.campaign.download import LONGEST, ComeLater, http_client, is_address
from renewagent.campaign.fetch import Fetched, fetch_campaigns
from renewagent.campaign.pem import read_certificates
from renewagent.campaign.store import CampaignStore
from renewagent.campaign.verify import Trust
from renewagent.configuration import Configuration
from renewagent.errors import RaUnreachable, RenewAgentError
from renewagent.rules import Campaign


@dataclass(frozen=True, slots=True)
class Accepted:
    """A verified campaign, and the document as it was signed."""

    campaign: Campaign
    document: bytes


@dataclass(frozen=True, slots=True)
class InForce:
    """The campaigns by id, and what kept a source from being asked or believed."""

    campaigns: Mapping[str, Accepted]
    problems: tuple[RenewAgentError, ...] = ()

    @property
    def all(self) -> list[Campaign]:
        """The campaigns alone."""
        return [accepted.campaign for accepted in self.campaigns.values()]


def campaigns_in_force(
    configuration: Configuration,
    now: datetime,
    *,
    apart: bool = False,
    patience: PollPatience | None = None,
    longest: float = LONGEST,
) -> InForce:
    """Fetch from every source of the configuration; the last good one serves where a source fails.

    `apart`: the sources or the anchor came from the command line, and what they bring is not for the agent to keep.
    `patience`: which of them are not asked now, and where it is noted how it went; a person who waits has none.
    `longest`: seconds for each source.
    Raises ConfigurationError for an anchor that is missing, JournalError for a folder that cannot be written.
    """
    if not configuration.campaign.urls:
        return InForce({})
    trust = Trust(read_certificates(configuration.campaign_anchor()))
    urls = configuration.campaign.urls
    resting = frozenset(url for url in urls if patience is not None and patience.of(url).rests(now))
    with _store(configuration.agent.state_dir, apart) as store:
        with http_client(configuration.console.root) as http:
            fetched = fetch_campaigns(urls, store, trust, now, http, resting, longest=longest)
    if patience is not None:
        _note(patience, [one for one in fetched if one.source not in resting], now)
    accepted: dict[str, Accepted] = {}
    for one in fetched:
        if one.campaign is None:
            continue
        before = accepted.get(one.campaign.id)
        if before is None or before.campaign.version < one.campaign.version:
            accepted[one.campaign.id] = Accepted(one.campaign, one.signed)
    return InForce(accepted, tuple(one.problem for one in fetched if one.problem is not None))


def _note(patience: PollPatience, fetched: Iterable[Fetched], now: datetime) -> None:
    for one in fetched:
        problem = one.problem
        if problem is None:
            patience.well(one.source)
        elif is_address(one.source) and isinstance(problem, RaUnreachable):
            later = problem.seconds if isinstance(problem, ComeLater) else None
            patience.failed(one.source, problem.message, now, later)
        else:
            patience.complained(one.source, problem.message)


@contextmanager
def _store(state_dir: Path, apart: bool) -> Iterator[CampaignStore]:
    if not apart:
        yield CampaignStore(state_dir)
        return
    with tempfile.TemporaryDirectory(prefix="renewagent-") as folder:
        yield CampaignStore(Path(folder))

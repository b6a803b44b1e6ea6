"""The campaigns in force at this workstation, fetched and verified: for commands, for the renewing child, and as the
agent's child, `python -m renewagent.agent.campaigns ...`, which prints what went wrong as one JSON document.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from renewagent.agent.children import hand_over
from renewagent.agent.options import add_configuration_options, configuration_of
from renewagent.campaign.fetch import fetch_campaigns
from renewagent.campaign.pem import read_certificates
from renewagent.campaign.store import CampaignStore
from renewagent.campaign.verify import Trust
from renewagent.configuration import Configuration
from renewagent.errors import RenewAgentError
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


def campaigns_in_force(configuration: Configuration, now: datetime, *, apart: bool = False) -> InForce:
    """Fetch from every source of the configuration; the last good one serves where a source fails.

    `apart`: the sources or the anchor came from the command line, and what they bring is not for the agent to keep.
    Raises ConfigurationError for an anchor that is missing, JournalError for a folder that cannot be written.
    """
    if not configuration.campaign.urls:
        return InForce({})
    trust = Trust(read_certificates(configuration.campaign_anchor()))
    with _store(configuration.agent.state_dir, apart) as store:
        fetched = fetch_campaigns(configuration.campaign.urls, store, trust, now)
    accepted: dict[str, Accepted] = {}
    for one in fetched:
        if one.campaign is None:
            continue
        before = accepted.get(one.campaign.id)
        if before is None or before.campaign.version < one.campaign.version:
            accepted[one.campaign.id] = Accepted(one.campaign, one.signed)
    return InForce(accepted, tuple(one.problem for one in fetched if one.problem is not None))


@contextmanager
def _store(state_dir: Path, apart: bool) -> Iterator[CampaignStore]:
    if not apart:
        yield CampaignStore(state_dir)
        return
    with tempfile.TemporaryDirectory(prefix="renewagent-") as folder:
        yield CampaignStore(Path(folder))


def main(words: list[str]) -> int:
    """See the module. What is accepted lies in the state folder afterwards."""
    parser = argparse.ArgumentParser()
    add_configuration_options(parser)
    try:
        found = campaigns_in_force(configuration_of(parser.parse_args(words)), datetime.now(UTC))
        problem = " ".join(problem.message for problem in found.problems) or None
    except RenewAgentError as error:
        problem = error.message
    hand_over({"ok": True, "problem": problem})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

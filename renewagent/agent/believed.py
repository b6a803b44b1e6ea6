"""The campaigns that a renewal goes by: fetched or kept, and verified now. For children: it loads cryptography."""

from __future__ import annotations

from datetime import datetime

from renewagent.agent.renew_card import SignedCampaign
from renewagent.campaign.fetch import Fetched, fetch_campaign, http_client
from renewagent.campaign.pem import read_certificates
from renewagent.campaign.store import CampaignStore
from renewagent.campaign.verify import Trust
from renewagent.configuration import Configuration


def believed_campaigns(configuration: Configuration, now: datetime) -> dict[str, SignedCampaign]:
    """By id, each with the document as it was signed. Raises what kept the only ones from being believed.

    What the agent has kept of other sources is left alone: a campaign named on the command line is not instead of it.
    """
    sources = dict.fromkeys(configuration.campaign.urls)
    if not sources:
        return {}
    trust = Trust(read_certificates(configuration.campaign_anchor()))
    store, http = CampaignStore(configuration.agent.state_dir), http_client()
    fetched = [fetch_campaign(source, store, trust, now, http) for source in sources]
    found = {one.campaign.id: SignedCampaign(one.campaign, one.signed) for one in fetched if one.campaign is not None}
    if not found:
        _raise_first(fetched)
    return found


def _raise_first(fetched: list[Fetched]) -> None:
    for one in fetched:
        if one.problem is not None:
            raise one.problem

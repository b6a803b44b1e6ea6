"""A campaign that nobody has signed yet: version 1 of a new one, or the next of one that there is. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from renewagent.asking import Members
from renewagent.campaign.document import parse_campaign, time_text
from renewagent.campaign.fields import read_json
from renewagent.campaign.versions import next_version

LASTS = timedelta(days=90)
"""How long a new campaign is in force where nobody says."""
_ORDER = "id version published expires reason rules remedy renews rekey old_key removal_ends_session deadline contact"


def new_document(members: Mapping[str, Any], now: datetime) -> bytes:
    """Version 1, published `now`, as UTF-8 JSON. Raises CampaignError."""
    at = now.replace(microsecond=0)
    whole = {"expires": time_text(at + LASTS), **members, "version": 1, "published": time_text(at)}
    ordered = {name: whole[name] for name in (*_ORDER.split(), *whole) if name in whole}
    octets = json.dumps(ordered, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass") + b"\n"
    parse_campaign(octets)
    return octets


def members_of(document: bytes) -> Members:
    """Those of a document that parses. Raises CampaignError."""
    parse_campaign(document)
    return cast("Members", read_json(document))


def next_document(before: bytes, members: Members, now: datetime) -> bytes:
    """The version after `before` that has these members in place of its own. Raises CampaignError."""
    old = members_of(before)
    names = (old.keys() | members.keys()) - {"id", "version", "published"}
    changes = {name: members.get(name) for name in names if old.get(name) != members.get(name)}
    return next_version(before, now=now, changes=changes)

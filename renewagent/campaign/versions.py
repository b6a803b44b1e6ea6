"""The next version of a campaign: paused, going on, withdrawn, changed. Pure, for commands and the console alike.

What comes out is not signed yet: a version counts when a campaign signer has signed it and it is published in place of
the one before. It is made of the document itself, so that names of one's own ("x-...") stay, at any depth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import cast

from renewagent.campaign.document import parse_campaign, time_text
from renewagent.campaign.fields import read_json
from renewagent.errors import CampaignError
from renewagent.reasons import moment
from renewagent.rules import Campaign

_UNCHANGED: Mapping[str, object] = MappingProxyType({})
_OURS = ("id", "version", "published")


def next_version(
    document: bytes,
    *,
    now: datetime,
    paused: bool | None = None,
    withdrawn: bool = False,
    changes: Mapping[str, object] = _UNCHANGED,
) -> bytes:
    """The version after `document` (UTF-8 JSON, unsigned), as UTF-8 JSON: its number one higher, published `now`.

    `changes`: members of the document by name, in JSON's types; None takes one away. `withdrawn` is for good.
    Raises CampaignError for a change that changes nothing or comes too late, and for what would be no campaign.
    """
    before = parse_campaign(document)
    if before.withdrawn:
        raise _refuse(f"Campaign {before.label} is withdrawn, and that is for good.", "Write a new campaign.")
    if forbidden := [name for name in _OURS if name in changes]:
        raise _refuse(f"The {forbidden[0]} of a next version is not to be chosen.", "Leave it out.")
    if now >= before.expires and "expires" not in changes:
        raise _refuse(
            f"Campaign {before.label} expired on {moment(before.expires)}: it affects no certificate any more.",
            "Give its next version a later end, if it is to go on.",
        )
    members = {**cast("dict[str, object]", read_json(document)), **changes}
    if paused is not None:
        _check_pause(before, paused=paused)
        members["paused"] = paused
    if withdrawn:
        members["withdrawn"] = True
    members["version"] = before.version + 1
    members["published"] = time_text(now.replace(microsecond=0))
    return _checked({name: value for name, value in members.items() if value is not None})


def _check_pause(before: Campaign, *, paused: bool) -> None:
    if before.paused is paused:
        standing = "paused already" if paused else "not paused"
        raise _refuse(f"Campaign {before.label} is {standing}.", "Give the newest version of it.")


def _checked(members: Mapping[str, object]) -> bytes:
    octets = json.dumps(members, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass") + b"\n"
    try:
        parse_campaign(octets)
    except CampaignError as problem:
        problem.advice = "Correct it and try again."
        raise
    return octets


def _refuse(said: str, advice: str) -> CampaignError:
    return CampaignError(said, advice=advice)

"""A delivery of check-ins, from JSON: each is taken or refused by itself, and receipts are verified. Runs in a thread
where it is large.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from renewagent.check_ins import MOST_AT_ONCE, CheckIn
from renewagent.console.receipts import Proof, ReceiptRefused, verify_receipt
from renewagent.console.recording import NO_CARD

_LOG = logging.getLogger(__name__)
_ID = re.compile(r"[0-9a-f]{32}")
_CARD = re.compile(r"[a-z0-9]{1,20}:[0-9a-f]{1,170}")
_CAMPAIGN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Read:
    """What can be taken in, and what cannot: (id, or "" where that is the trouble; why)."""

    check_ins: tuple[CheckIn, ...]
    refused: tuple[tuple[str, str], ...]


def read_object(octets: bytes, fields: Iterable[str]) -> dict[str, Any]:
    """A JSON object with exactly these fields. Raises ValueError."""
    try:
        document = json.loads(octets)
    except RecursionError as problem:
        raise ValueError("nested too deeply") from problem
    if not isinstance(document, dict) or document.keys() != set(fields):
        raise ValueError(f"an object with {', '.join(fields)} is expected")
    return document


def read_delivery(octets: bytes) -> Read:
    """Raises ValueError if it is no delivery at all."""
    documents = read_object(octets, ("check_ins",))["check_ins"]
    if not isinstance(documents, list) or len(documents) > MOST_AT_ONCE:
        raise ValueError(f"check_ins is a list of at most {MOST_AT_ONCE}")
    taken, refused = [], []
    for document in documents:
        try:
            taken.append(_read(document))
        except ValueError as problem:
            refused.append((_id_of(document), str(problem)))
    return Read(tuple(taken), tuple(refused))


def with_proofs(
    check_ins: Sequence[CheckIn], anchors: Sequence[x509.Certificate], now: datetime
) -> tuple[tuple[CheckIn, Proof | None], ...]:
    """Each with the proof in it. A receipt that proves nothing is told of in the log; the rest of the check-in is a
    claim like any other."""
    return tuple((one, _proof(one, anchors, now) if one.receipt else None) for one in check_ins)


def _read(document: object) -> CheckIn:
    check_in = CheckIn.from_json(document)
    if check_in.card == NO_CARD:
        if not check_in.order or check_in.campaign or check_in.certificate or check_in.receipt:
            raise ValueError("a check-in without a card answers an order, and says nothing else")
    elif not _CARD.fullmatch(check_in.card):
        raise ValueError("card is not a card's identity")
    if check_in.campaign and not _CAMPAIGN.fullmatch(check_in.campaign):
        raise ValueError("campaign is not id/version")
    return check_in


def _id_of(document: object) -> str:
    found = document.get("id") if isinstance(document, dict) else None
    return found if isinstance(found, str) and _ID.fullmatch(found) else ""


def _proof(check_in: CheckIn, anchors: Sequence[x509.Certificate], now: datetime) -> Proof | None:
    try:
        return verify_receipt(check_in, anchors, now)
    except ReceiptRefused as problem:
        fields = {"card": check_in.card, "check_in": check_in.id, "why": str(problem)}
        _LOG.warning("a receipt proves nothing", extra={"fields": fields})
        return None

"""A complete campaign as its author writes it, for the tests in this folder."""

from __future__ import annotations

import copy
import json

_COMPLETE: dict[str, object] = {
    "id": "2020-10-eps-signing",
    "version": 3,
    "published": "2020-10-01T14:50:00Z",
    "expires": "2021-01-01T00:00:00Z",
    "reason": {"en": "This smartcard was issued with a fault.\nIt must be renewed.", "cy": "Mae nam ar y cerdyn hwn."},
    "rules": [
        {
            "name": "autumn batch",
            "issued_from": "2020-09-28T00:00:00Z",
            "issued_to": "2020-10-01T12:00:00Z",
            "issuer": "CN=NHS Signing G2,O=nhs,C=GB",
            "serials": ["1a2b", "2000-2fff", "0", "-ff--1"],
            "key_usage": "contentCommitment",
            "signature_algorithms": ["sha1WithRSAEncryption", "1.2.3.4"],
            "key_algorithms": ["rsa"],
            "key_bits_below": 2048,
            "card_models": ["piv"],
        }
    ],
    "remedy": "renew",
    "renews": "signing",
    "rekey": "required",
    "old_key": "usable",
    "removal_ends_session": True,
    "deadline": "2020-10-04T00:00:00Z",
    "contact": {"name": "Registration Authority", "phone": "…", "url": "…", "hours": "…"},
    "withdrawn": False,
    "paused": False,
}


def complete() -> dict[str, object]:
    """A fresh copy, with every field that there is."""
    return copy.deepcopy(_COMPLETE)


def octets(**changes: object) -> bytes:
    """The complete document as UTF-8 JSON, with some members changed."""
    return json.dumps({**_COMPLETE, **changes}, ensure_ascii=False).encode("utf-8")

"""The conversation as a journal keeps it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from renewagent.cmp.conversation import Conversation, Phase
from renewagent.cmp.wire import BodyType
from tests.unit.cmp.scripted_ra import NOW

FULL = Conversation(
    phase=Phase.POLLED,
    asked=BodyType.KUR,
    transaction_id=b"t",
    sender_nonce=b"s",
    request_nonce=b"r",
    credential=b"c",
    recip_nonce=b"n",
    pvno=3,
    public_key=b"k",
    subject=b"0\0",
    old=b"o",
    key_usage=b"u",
    certificate=b"x",
    accepted=False,
    response_nonce=b"rn",
    response_time=NOW,
    implicitly_confirmed=True,
    poll_id=-1,
    recipient=b"ra",
    ra_certs=(b"1", b"2"),
)
BARE = Conversation(Phase.SENT, BodyType.GENM, b"t", b"s", b"r")


@pytest.mark.parametrize("kept", [FULL, BARE])
def test_there_and_back_through_json(kept: Conversation) -> None:
    assert Conversation.from_dict(json.loads(json.dumps(kept.to_dict()))) == kept


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "nowhere"},
        {"asked": "NOTHING"},
        {"transaction_id": "xyz"},
        {"transaction_id": None},
        {"transaction_id": "AB CD"},
        {"pvno": "3"},
        {"accepted": 0.5},
        {"response_time": "yesterday"},
        {"ra_certs": "00"},
        {"ra_certs": [5]},
        {"surprise": "00"},
    ],
)
def test_what_we_did_not_write_is_not_read(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a conversation"):
        Conversation.from_dict({**FULL.to_dict(), **change})


def test_nothing_may_be_missing() -> None:
    for name in FULL.to_dict():
        kept = {k: v for k, v in FULL.to_dict().items() if k != name}
        with pytest.raises(ValueError, match="not a conversation"):
            Conversation.from_dict(kept)

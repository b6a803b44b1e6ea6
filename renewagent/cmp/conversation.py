"""One CMP transaction as the client remembers it: frozen data for the journal, since `waiting` can last days.

No secret stands in it: neither keys nor MAC secrets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from renewagent.cmp.wire import BodyType


class Phase(Enum):
    """Where a transaction stands."""

    SENT = "sent"
    """Our message is out; its answer is due."""
    WAITING = "waiting"
    """The RA says "come back later"; nothing is out."""
    POLLED = "polled"
    """A pollReq is out."""
    ISSUED = "issued"
    """A certificate that fits is in hand, to be confirmed or rejected."""
    UNFIT = "unfit"
    """A certificate that does not fit is in hand, to be rejected."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What must be known to judge the next answer.

    `asked` is the last message that is no pollReq; `request_nonce` its senderNonce, `sender_nonce` that of our last
    message, `recip_nonce` the RA's last. `credential` is the SHA-256 of the certificate that protected the request,
    empty for a shared secret. `public_key`, `subject`, `old`, `key_usage` describe the certificate asked for (DER;
    SHA-256 of the old certificate; DER of the extension). `response_nonce` and `response_time` are of the issuing
    response. `accepted` is what our certConf says.
    `poll_id` is the certReqId to poll for. `ra_certs` are the RA's extraCerts, in case later messages leave them out.
    """

    phase: Phase
    asked: BodyType
    transaction_id: bytes
    sender_nonce: bytes
    request_nonce: bytes
    credential: bytes = b""
    recip_nonce: bytes | None = None
    pvno: int = 2
    public_key: bytes = b""
    subject: bytes = b""
    old: bytes = b""
    key_usage: bytes = b""
    certificate: bytes = b""
    accepted: bool = True
    response_nonce: bytes = b""
    response_time: datetime | None = None
    implicitly_confirmed: bool = False
    poll_id: int = 0
    recipient: bytes = b""
    ra_certs: tuple[bytes, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: bytes in hex, times RFC 3339."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Conversation:
        """The reverse. Raises ValueError for anything that `to_dict` would not have written."""
        try:
            found = cls(**{name: _READ.get(name, bytes.fromhex)(value) for name, value in kept.items()})
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            raise ValueError("not a conversation that we kept") from error
        if found.to_dict() != dict(kept):
            raise ValueError("not a conversation that we kept")
        return found


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, BodyType):
        return value.name
    if isinstance(value, Phase):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple):
        return [item.hex() for item in value]
    return value


def _optional_bytes(value: str | None) -> bytes | None:
    return None if value is None else bytes.fromhex(value)


def _optional_time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


_READ: Mapping[str, Any] = {
    "phase": Phase,
    "asked": lambda name: BodyType[name],
    "recip_nonce": _optional_bytes,
    "pvno": int,
    "accepted": bool,
    "response_time": _optional_time,
    "implicitly_confirmed": bool,
    "poll_id": int,
    "ra_certs": lambda items: tuple(bytes.fromhex(item) for item in items),
}

"""What a vendor's answers hold: of the right kind and about what was asked, or TokenServerMisbehaved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

from renewagent.tokens.errors import TokenServerMisbehaved
from renewagent.tokens.model import Answer, Checked, Invitation, SoftToken, TokenKind, TokenStanding, TokenState
from renewagent.tokens.tickets import Filed, TicketState

_LONGEST_TEXT = 400
_MOST_CHANNELS = 10
_MOST = 1_000_000
E = TypeVar("E", bound=Enum)
Document = Mapping[str, Any]


def nonsense() -> TokenServerMisbehaved:
    """For whoever is no vendor."""
    return TokenServerMisbehaved("What answered is not the vendor: its answer makes no sense.")


def done(document: Document) -> None:
    """What was asked is done."""
    if not _flag(document, "done"):
        raise nonsense()


def standing(document: Document, serial: str) -> TokenStanding:
    """Of the token that was asked about."""
    return TokenStanding(
        serial=_same(document, "serial", serial),
        kind=_one_of(TokenKind, document, "kind"),
        state=_one_of(TokenState, document, "state"),
        account=_text(document, "account"),
        locked_until=_moment_or_none(document, "locked_until"),
        fips_level=_number(document, "fips_level"),
        separate_device=_flag(document, "separate_device"),
    )


def checked(document: Document) -> Checked:
    """Of codes."""
    answer = _one_of(Answer, document, "answer")
    drift = None if document.get("drift") is None else _number(document, "drift", least=-_MOST)
    if drift is not None and answer is not Answer.ACCEPTED:
        raise nonsense()
    return Checked(answer, _moment_or_none(document, "until"), drift)


def filed(document: Document, number: str = "") -> Filed:
    """Of a ticket or an order, of this number if there is one."""
    found = _text(document, "number")
    if not found or (number and found != number):
        raise nonsense()
    texts = {name: _text(document, name) for name in ("outcome", "tracking", "serial")}
    return Filed(found, _one_of(TicketState, document, "state"), _moment(document, "at"), **texts)


def soft_tokens(document: Document, usernames: Sequence[str]) -> dict[str, SoftToken]:
    """Of those that were asked about."""
    found = _part(document, "soft_tokens")
    if not found.keys() <= set(usernames):
        raise nonsense()
    return {name: _soft_token(_part(found, name), name) for name in found}


def invited(document: Document) -> SoftToken | None:
    """What was activated by an invitation."""
    if "soft_token" in document and document["soft_token"] is None:
        return None
    return _soft_token(_part(document, "soft_token"))


def invitation(document: Document, username: str) -> Invitation:
    """Of the one who was invited."""
    channels = document.get("channels")
    if not isinstance(channels, list) or len(channels) > _MOST_CHANNELS:
        raise nonsense()
    return Invitation(
        id=_text(document, "id") or _no_text(),
        username=_same(document, "username", username),
        channels=tuple(_printable(channel) for channel in channels),
        ends=_moment(document, "ends"),
        keeps_old=_flag(document, "keeps_old"),
    )


def _soft_token(document: Document, username: str | None = None) -> SoftToken:
    moments = ("activated", "password_set", "certificate_issued", "certificate_ends")
    return SoftToken(
        username=_text(document, "username") if username is None else _same(document, "username", username),
        serial=_text(document, "serial") or _no_text(),
        registration=_text(document, "registration") or _no_text(),
        **{name: _moment(document, name) for name in moments},
        working=_flag(document, "working"),
    )


# --- of the right kind


def _part(document: Document, name: str) -> Document:
    value = document.get(name)
    if not isinstance(value, dict):
        raise nonsense()
    return value


def _flag(document: Document, name: str) -> bool:
    value = document.get(name)
    if not isinstance(value, bool):
        raise nonsense()
    return value


def _number(document: Document, name: str, least: int = 0) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MOST:
        raise nonsense()
    return value


def _text(document: Document, name: str) -> str:
    return _printable(document.get(name))


def _printable(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > _LONGEST_TEXT:
        raise nonsense()
    return value


def _no_text() -> str:
    raise nonsense()


def _same(document: Document, name: str, asked: str) -> str:
    if document.get(name) != asked:
        raise nonsense()
    return asked


def _one_of(kind: type[E], document: Document, name: str) -> E:
    try:
        return kind(document.get(name))
    except (ValueError, TypeError) as problem:
        raise nonsense() from problem


def _moment_or_none(document: Document, name: str) -> datetime | None:
    return None if document.get(name) is None else _moment(document, name)


def _moment(document: Document, name: str) -> datetime:
    try:
        at = datetime.fromisoformat(document[name])
        if at.tzinfo is None:
            raise ValueError("no time zone")
        return at.astimezone(UTC)
    except (KeyError, ValueError, TypeError, OverflowError) as problem:
        raise nonsense() from problem

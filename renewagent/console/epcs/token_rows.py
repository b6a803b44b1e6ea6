"""Rows of tokens: read, written, and led from state to state, each change with its line in the audit log. Functions of
one connection. A token that is over stays so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs.desk import NEWS
from renewagent.console.epcs.tables import EPCS_TOKEN
from renewagent.console.permissions import Person
from renewagent.console.store import raise_revision
from renewagent.console.tables import PERSON
from renewagent.tokens.errors import TokenRefused
from renewagent.tokens.model import TokenKind, TokenStanding, TokenState

RETIRE, ACTIVATE = "retire", "activate"
LOSSES = ("lost", "stolen", "compromised")
UNTOLD = "lost-untold"
BECOMES: Mapping[str, TokenState] = MappingProxyType(
    {
        RETIRE: TokenState.DEACTIVATED,
        ACTIVATE: TokenState.ACTIVE,
        **dict.fromkeys((*LOSSES, UNTOLD), TokenState.LOST),
    }
)
"""What each order leads to. That of a loss is what happened to the token, and UNTOLD once only the vendor has yet to
be told of it."""
_LOSSES = (*LOSSES, UNTOLD)
_OVER = tuple(state.value for state in TokenState if state.is_over)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it was last heard of; `owner` is a person's id. `drift`: by how many presses it was ahead when it was
    resynchronised; `refused`, `refusals`: when that was last refused, and how many times in a row; `ordered`: what it
    is to become, as long as the vendor has not said that it is so."""

    serial: str
    owner: str
    kind: TokenKind
    state: TokenState
    registered: datetime
    changed: datetime
    drift: int | None = None
    resynchronised: datetime | None = None
    refused: datetime | None = None
    refusals: int = 0
    ordered: str = ""

    @property
    def loss_untold(self) -> bool:
        """The vendor, or the EHR, is still to be told that it is lost."""
        return bool(self.ordered) and BECOMES[self.ordered] is TokenState.LOST


def of(connection: sa.Connection, owner: str) -> tuple[Token, ...]:
    """Somebody's, the first one registered first."""
    mine = sa.select(EPCS_TOKEN).where(EPCS_TOKEN.c.owner == owner)
    return _tokens(connection.execute(mine.order_by(EPCS_TOKEN.c.registered, EPCS_TOKEN.c.serial)))


def held(connection: sa.Connection, owner: str) -> tuple[Token, ...]:
    """The same; until the transaction ends nobody else changes anything about this person's tokens."""
    connection.execute(sa.select(PERSON.c.id).where(PERSON.c.id == owner).with_for_update())
    return of(connection, owner)


def ordered(connection: sa.Connection) -> tuple[Token, ...]:
    """Everybody's, of which the vendor's answer is not known."""
    return _tokens(connection.execute(sa.select(EPCS_TOKEN).where(EPCS_TOKEN.c.ordered != "")))


def find(connection: sa.Connection, serial: str) -> Token | None:
    """Whoever's it is."""
    return next(iter(_tokens(connection.execute(sa.select(EPCS_TOKEN).where(EPCS_TOKEN.c.serial == serial)))), None)


def keep(connection: sa.Connection, now: datetime, actor: str, owner: Person, standing: TokenStanding) -> Token:
    """It is registered at the vendor; again is as good as once. Raises TokenRefused for one that is over here."""
    known = find(connection, standing.serial)
    if known is not None and known.state.is_over:
        raise is_over(known.serial)
    if known is not None and known.owner == owner.id:
        return become(connection, now, actor, known.serial, standing.state)
    values = {"owner": owner.id, "kind": standing.kind.value, "state": standing.state.value, "changed": now}
    if known is None:
        connection.execute(sa.insert(EPCS_TOKEN).values(serial=standing.serial, registered=now, **values))
    else:
        connection.execute(_update(standing.serial).values(**values))
    record(connection, now, actor, "token-registered", _known(connection, standing.serial))
    return become(connection, now, actor, standing.serial, standing.state)


def order(connection: sa.Connection, now: datetime, actor: str, token: Token, what: str) -> None:
    """From now on it is to become so, whoever dies."""
    connection.execute(_update(token.serial).values(ordered=what, changed=now))
    if what != token.ordered:
        record(connection, now, actor, f"token-{what}-ordered", token)


def lose(connection: sa.Connection, now: datetime, actor: str, token: Token, reason: str) -> None:
    """It is lost here at once, before the vendor knows. `reason`: one of LOSSES."""
    what = UNTOLD if token.state is TokenState.SPARE else reason  # nobody can sign with a spare
    values = {"state": TokenState.LOST.value, "ordered": what, "changed": now}
    connection.execute(_update(token.serial).values(**values))
    record(connection, now, actor, "token-lost", token, reason=reason)


def only_vendor_untold(connection: sa.Connection, token: Token) -> None:
    """EPCS is suspended for the loss."""
    connection.execute(_update(token.serial).where(EPCS_TOKEN.c.ordered == token.ordered).values(ordered=UNTOLD))


def drop_order(connection: sa.Connection, serial: str, *what: str) -> None:
    """It is so, or does not become so."""
    connection.execute(_update(serial).where(EPCS_TOKEN.c.ordered.in_(what)).values(ordered=""))


def become(connection: sa.Connection, now: datetime, actor: str, serial: str, state: TokenState) -> Token:
    """The vendor says that it is so. Again is as good as once; what is over stays what it is. With a token that is
    active, whatever else of its kind was for that person is not any more."""
    token = _known(connection, serial)
    takes_over = state is TokenState.ACTIVE and not token.state.is_over
    for other in held(connection, token.owner) if takes_over else ():
        if other.state is state and other.kind is token.kind and other.serial != serial:
            _become(connection, now, actor, other.serial, TokenState.DEACTIVATED)
    return _become(connection, now, actor, serial, state)


def _become(connection: sa.Connection, now: datetime, actor: str, serial: str, state: TokenState) -> Token:
    live = _update(serial).where(EPCS_TOKEN.c.state.not_in(_OVER), EPCS_TOKEN.c.state != state.value)
    changed = connection.execute(live.values(state=state.value, changed=now)).rowcount
    connection.execute(_update(serial).where(EPCS_TOKEN.c.ordered.not_in(_LOSSES)).values(ordered=""))
    token = _known(connection, serial)
    if changed:
        record(connection, now, actor, f"token-{state.value}", token)
    return token


def note(connection: sa.Connection, serial: str, **values: Any) -> None:
    """What was heard of a resynchronisation."""
    connection.execute(_update(serial).values(**values))


def record(connection: sa.Connection, now: datetime, actor: str, event: str, token: Token, **more: object) -> None:
    """A line in the audit log about a token."""
    details = {"serial": token.serial, "owner": token.owner, "state": token.state.value, **more}
    audit.record(connection, now, actor, f"epcs.{event}", details)
    raise_revision(connection, NEWS)


def is_over(serial: str) -> TokenRefused:
    """For one that never comes back."""
    return TokenRefused(
        f"The token {serial} was deactivated or reported as lost. It never works again.",
        advice="Use another token, or order one.",
    )


def _known(connection: sa.Connection, serial: str) -> Token:
    return _tokens(connection.execute(sa.select(EPCS_TOKEN).where(EPCS_TOKEN.c.serial == serial)))[0]


def _update(serial: str) -> sa.Update:
    return sa.update(EPCS_TOKEN).where(EPCS_TOKEN.c.serial == serial)


def _tokens(rows: Iterable[sa.Row[Any]]) -> tuple[Token, ...]:
    return tuple(
        Token(
            row.serial,
            row.owner,
            TokenKind(row.kind),
            TokenState(row.state),
            row.registered,
            row.changed,
            row.drift,
            row.resynchronised,
            row.refused,
            row.refusals,
            row.ordered,
        )
        for row in rows
    )

"""Rows of reset tickets and orders: read, written, and led from state to state, each change with its line in the audit
log. Functions of one connection. Codes and counter numbers leave a row with the state that needs them, and no log and
no `repr` has them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.epcs.desk import NEWS
from renewagent.console.epcs.tables import EPCS_PICTURE, EPCS_TICKET
from renewagent.console.permissions import Person
from renewagent.console.store import raise_revision
from renewagent.tokens.errors import DeskRefused
from renewagent.tokens.forms import RESET
from renewagent.tokens.model import Address, Picture
from renewagent.tokens.tickets import Filed, Order, OrderKind, ResetTicket, TicketState

UNDER_WAY = (TicketState.OPEN.value, TicketState.SENT.value)
_VALUES = "values"
_STEPPED = "Not needed any more: the token was resynchronised."


@dataclass(frozen=True, slots=True)
class Ticket:
    """A reset ticket or an order. `kind`: one of `forms.KINDS`; `owner` a person's id; `serial` the token's, "" for a
    spare; `number` the vendor's; `form` what was typed, without codes; `new_serial` that of the token in the parcel;
    `asked` when the vendor was last tried."""

    id: str
    kind: str
    owner: str
    serial: str
    state: TicketState
    form: Mapping[str, Any]
    number: str
    outcome: str
    tracking: str
    new_serial: str
    opened: datetime
    sent: datetime | None
    done: datetime | None
    notified: datetime | None
    asked: datetime | None


def of(connection: sa.Connection, owner: str) -> tuple[Ticket, ...]:
    """Somebody's, the newest first."""
    mine = sa.select(EPCS_TICKET).where(EPCS_TICKET.c.owner == owner)
    newest = mine.order_by(EPCS_TICKET.c.opened.desc(), EPCS_TICKET.c.id)
    return tuple(_ticket(row) for row in connection.execute(newest))


def find(connection: sa.Connection, identity: str) -> Ticket:
    """Raises DeskRefused."""
    row = connection.execute(sa.select(EPCS_TICKET).where(EPCS_TICKET.c.id == identity)).first()
    if row is None:
        raise DeskRefused("There is no such ticket, or it is not yours.", advice="Look at the list of tickets.")
    return _ticket(row)


def under_way(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Ticket]:
    """Those that the vendor has yet to get or to do, the oldest first."""
    waiting = sa.select(EPCS_TICKET).where(EPCS_TICKET.c.state.in_(UNDER_WAY), *conditions)
    return [_ticket(row) for row in connection.execute(waiting.order_by(EPCS_TICKET.c.opened, EPCS_TICKET.c.id))]


def add(
    connection: sa.Connection, now: datetime, identity: str, by: Person, owner: Person, filed: ResetTicket | Order
) -> Ticket:
    """A new one, OPEN."""
    kind = RESET if isinstance(filed, ResetTicket) else filed.kind.value
    document = asdict(filed)
    for picture in document.pop("pictures", ()):
        _add_picture(connection, identity, Picture(**picture))
    document |= {"kind": kind}
    row = {"id": identity, "kind": kind, "owner": owner.id, "serial": filed.serial, "state": TicketState.OPEN.value}
    row |= {"document": json.dumps(document), "opened_by": by.actor}
    connection.execute(sa.insert(EPCS_TICKET).values(**row, opened=now))
    ticket = find(connection, identity)
    _record(connection, now, by.actor, "opened", ticket)
    return ticket


def _add_picture(connection: sa.Connection, identity: str, picture: Picture) -> None:
    row = {"ticket": identity, "side": picture.side, "media_type": picture.media_type, "octets": picture.octets}
    connection.execute(sa.insert(EPCS_PICTURE).values(**row, sha256=sha256(picture.octets).hexdigest()))


def pictures(connection: sa.Connection, identity: str) -> tuple[Picture, ...]:
    """Those of an order, until the vendor has it."""
    mine = sa.select(EPCS_PICTURE).where(EPCS_PICTURE.c.ticket == identity).order_by(EPCS_PICTURE.c.side.desc())
    return tuple(Picture(row.side, row.media_type, row.octets) for row in connection.execute(mine))


def to_send(connection: sa.Connection, ticket: Ticket) -> ResetTicket | Order | None:
    """What the vendor is to get; None if it is not OPEN any more."""
    row = connection.execute(sa.select(EPCS_TICKET).where(EPCS_TICKET.c.id == ticket.id)).one()
    if row.state != TicketState.OPEN.value:
        return None
    document = json.loads(row.document)
    kind = document.pop("kind")
    if kind == RESET:
        return ResetTicket(**document | {_VALUES: tuple(document[_VALUES])})
    address = Address(**document.pop("address"))
    return Order(OrderKind(kind), **document, address=address, pictures=pictures(connection, ticket.id))


def claim(connection: sa.Connection, ticket: Ticket, now: datetime) -> bool:
    """True for the one process that asks the vendor now."""
    same = (EPCS_TICKET.c.id == ticket.id, EPCS_TICKET.c.asked.is_not_distinct_from(ticket.asked))
    return connection.execute(sa.update(EPCS_TICKET).where(*same).values(asked=now)).rowcount == 1


def has_it(connection: sa.Connection, now: datetime, actor: str, ticket: Ticket, filed: Filed) -> Ticket:
    """The vendor has it: codes, which `form` does not have, and pictures are not needed here any more."""
    values = {"state": TicketState.SENT.value, "sent": now, "number": filed.number}
    if _move(connection, ticket, (TicketState.OPEN,), ticket.form, values):
        connection.execute(sa.delete(EPCS_PICTURE).where(EPCS_PICTURE.c.ticket == ticket.id))
        _record(connection, now, actor, "sent", find(connection, ticket.id))
    return find(connection, ticket.id)


def is_over(connection: sa.Connection, now: datetime, actor: str, ticket: Ticket, filed: Filed) -> bool:
    """The vendor has done it, or refused to: `filed` says how it ended. True for the first to say so."""
    refused = filed.state is TicketState.REFUSED
    state = TicketState.REFUSED if refused else TicketState.DONE
    document = dict(ticket.form) | ({"new_serial": filed.serial} if filed.serial else {})
    values = {
        "state": state.value,
        "done": None if refused else now,
        "outcome": filed.outcome,
        "tracking": filed.tracking,
    }
    moved = _move(connection, ticket, (TicketState.OPEN, TicketState.SENT), document, values)
    if moved:
        connection.execute(sa.delete(EPCS_PICTURE).where(EPCS_PICTURE.c.ticket == ticket.id))
        _record(connection, now, actor, state.value, find(connection, ticket.id))
    return moved


def is_known(connection: sa.Connection, now: datetime, actor: str, ticket: Ticket) -> Ticket:
    """Its prescriber has been told. Again is as good as once."""
    state = TicketState.NOTIFIED if ticket.state is TicketState.DONE else ticket.state
    values = {"state": state.value, "notified": now}
    if _move(connection, ticket, (TicketState.DONE, TicketState.REFUSED), ticket.form, values):
        _record(connection, now, actor, "notified", ticket)
    return find(connection, ticket.id)


def say(connection: sa.Connection, ticket: Ticket, outcome: str) -> None:
    """What the vendor said of it that ends nothing."""
    raise_revision(connection, NEWS)
    connection.execute(sa.update(EPCS_TICKET).where(EPCS_TICKET.c.id == ticket.id).values(outcome=outcome))


def drop_reset(connection: sa.Connection, now: datetime, actor: str, serial: str) -> None:
    """The token is in step: a ticket that was not sent is not needed, and neither are its codes."""
    mine = (EPCS_TICKET.c.serial == serial, EPCS_TICKET.c.kind == RESET, EPCS_TICKET.c.state == TicketState.OPEN.value)
    for ticket in under_way(connection, *mine):
        is_over(connection, now, actor, ticket, Filed("", TicketState.DONE, now, _STEPPED))


def _move(
    connection: sa.Connection,
    ticket: Ticket,
    states: Iterable[TicketState],
    document: Mapping[str, Any],
    values: Mapping[str, Any],
) -> bool:
    in_state = EPCS_TICKET.c.state.in_([state.value for state in states])
    here = (EPCS_TICKET.c.id == ticket.id, in_state, EPCS_TICKET.c.notified.is_(None))
    moved = sa.update(EPCS_TICKET).where(*here).values(**values, document=json.dumps(dict(document)))
    return connection.execute(moved).rowcount == 1


def _record(connection: sa.Connection, now: datetime, actor: str, event: str, ticket: Ticket) -> None:
    details = {"ticket": ticket.id, "kind": ticket.kind, "owner": ticket.owner, "serial": ticket.serial}
    told = {"number": ticket.number, "outcome": ticket.outcome, "new_serial": ticket.new_serial}
    audit.record(connection, now, actor, f"epcs.ticket-{event}", details | {k: v for k, v in told.items() if v})
    raise_revision(connection, NEWS)


def _ticket(row: sa.Row[Any]) -> Ticket:
    form = json.loads(row.document)
    form.pop(_VALUES, None)
    return Ticket(
        row.id,
        row.kind,
        row.owner,
        row.serial,
        TicketState(row.state),
        form,
        row.number,
        row.outcome,
        row.tracking,
        form.get("new_serial", ""),
        row.opened,
        row.sent,
        row.done,
        row.notified,
        row.asked,
    )

"""Reset tickets and orders at the vendor's support desk: open, sent, done, notified; or refused.

A ticket is written down before it is sent, and sent under its own id as key: whoever dies between the two sends it
again, and the vendor has it once. `follow` sends what is not sent yet and asks about the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from renewagent.console.epcs import ticket_rows, token_rows
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.own_tokens import check_allowed, own
from renewagent.console.epcs.tables import EPCS_TICKET
from renewagent.console.epcs.ticket_rows import Ticket
from renewagent.console.epcs.token_rows import Token
from renewagent.console.permissions import Person
from renewagent.errors import RenewAgentError
from renewagent.tokens.errors import DeskRefused, EhrMisbehaved, EhrUnreachable, FormError, TokenRefused, UnknownToken
from renewagent.tokens.forms import KINDS, RESET, read_order, read_reset
from renewagent.tokens.model import Picture
from renewagent.tokens.pictures import prepare
from renewagent.tokens.tickets import Filed, Order, OrderKind, ResetTicket, TicketState

LATELY = timedelta(hours=24)
"""A reset is asked for only when two codes were refused within this."""
_SELDOMEST = timedelta(minutes=15)
CONSOLE = "console"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """A ticket, and what was taken out of its pictures, in sentences."""

    ticket: Ticket
    told: tuple[str, ...] = ()


def open_reset(desk: Desk, by: Person, owner: Person, form: Mapping[str, str]) -> Opened:
    """Have the vendor reset a token that two codes could not put in step. `form`: the fields of `forms.RESET`, the
    serial as it was typed from the token's back. While one is under way for this token that one is given back. Where
    the vendor does not answer it stays OPEN and is sent later. Raises FormError, DeskRefused where nobody has tried two
    codes, UnknownToken and TokenRefused for a token that is not theirs or is over, or that the vendor does not take."""
    check_allowed(by, owner)
    filed = read_reset(form, desk.settings.profiles)
    token = own(desk, owner, filed.serial)
    _check_npi(desk, owner, filed.npi)
    same = (EPCS_TICKET.c.serial == token.serial, EPCS_TICKET.c.kind == RESET)

    def work(connection: sa.Connection) -> Ticket:
        mine = token_rows.held(connection, owner.id)
        known = ticket_rows.under_way(connection, *same)
        if known:
            return known[0]
        _check_tried(desk, next(one for one in mine if one.serial == token.serial))
        return ticket_rows.add(connection, desk.now(), desk.new_id(), by, owner, filed)

    return Opened(_sent_if_it_goes(desk, by, desk.write(work)))


def order(desk: Desk, by: Person, owner: Person, form: Mapping[str, str], pictures: Iterable[Picture] = ()) -> Opened:
    """Order a replacement or a spare: `form["kind"]` says which, the rest are the fields of it. `pictures` as they were
    taken: what they are is found out here, and where they were taken is taken out. While an order of that kind is under
    way (for that token) it is given back. Raises FormError, and as `open_reset`."""
    check_allowed(by, owner)
    kind = _order_kind(form)
    prepared = [prepare(picture.side, picture.octets) for picture in pictures]
    if len({one.picture.side for one in prepared}) < len(prepared):
        raise FormError("There are two pictures of one side.", "pictures")
    filed = read_order(kind, form, [one.picture for one in prepared], desk.settings.profiles)
    if filed.serial:
        own(desk, owner, filed.serial, also_over=True)
    same = (EPCS_TICKET.c.owner == owner.id, EPCS_TICKET.c.kind == kind.value, EPCS_TICKET.c.serial == filed.serial)

    def work(connection: sa.Connection) -> Ticket:
        token_rows.held(connection, owner.id)
        known = ticket_rows.under_way(connection, *same)
        return known[0] if known else ticket_rows.add(connection, desk.now(), desk.new_id(), by, owner, filed)

    told = [
        f"Taken out of the picture of the {one.picture.side}: {', '.join(one.removed)}."
        for one in prepared
        if one.removed
    ]
    return Opened(_sent_if_it_goes(desk, by, desk.write(work)), tuple(told))


def tickets_of(desk: Desk, owner: Person) -> tuple[Ticket, ...]:
    """The newest first. Raises nothing."""
    return desk.read(lambda connection: ticket_rows.of(connection, owner.id))


def find(desk: Desk, owner: Person, identity: str) -> Ticket:
    """One of this person's. Raises DeskRefused."""
    return desk.read(lambda connection: _own(connection, owner, identity))


def seen(desk: Desk, owner: Person, identity: str) -> Ticket:
    """The prescriber has been told what the vendor did or refused. Nothing changes before that; again is as good as
    once. Raises DeskRefused."""

    def work(connection: sa.Connection) -> Ticket:
        return ticket_rows.is_known(connection, desk.now(), owner.actor, _own(connection, owner, identity))

    return desk.write(work)


def follow(desk: Desk) -> None:
    """For the scheduler: send what is not sent, ask about the rest; the longer something takes, the less often. Raises
    nothing of ours."""
    for ticket in desk.read(ticket_rows.under_way):
        if _is_due(desk, ticket) and desk.write(lambda c: ticket_rows.claim(c, ticket, desk.now())):  # noqa: B023
            _follow(desk, ticket)


def _follow(desk: Desk, ticket: Ticket) -> None:
    try:
        send(desk, CONSOLE, ticket) if ticket.state is TicketState.OPEN else _ask(desk, ticket)
    except RenewAgentError as problem:
        fields = {"ticket": ticket.id, "state": ticket.state.value, "why": problem.message}
        _LOG.warning("a ticket does not get any further yet", extra={"fields": fields})


def _is_due(desk: Desk, ticket: Ticket) -> bool:
    now, begin = desk.now(), ticket.sent or ticket.opened
    return ticket.asked is None or now - ticket.asked >= min((now - begin) / 10, _SELDOMEST)


# --- To the vendor


def send(desk: Desk, actor: str, ticket: Ticket) -> Ticket:
    """Send it, if it is not sent. Raises the vendor's errors; TokenRefused and UnknownToken end it, REFUSED with what
    was said."""
    filed = desk.read(lambda connection: ticket_rows.to_send(connection, ticket))
    if filed is None:
        return desk.read(lambda connection: ticket_rows.find(connection, ticket.id))
    try:
        answer = _file(desk, filed, ticket.id)
    except (TokenRefused, UnknownToken) as refusal:
        never = Filed("", TicketState.REFUSED, desk.now(), f"{refusal.message} {refusal.advice}")
        desk.write(lambda connection: ticket_rows.is_over(connection, desk.now(), actor, ticket, never))
        raise
    after = desk.write(lambda connection: ticket_rows.has_it(connection, desk.now(), actor, ticket, answer))
    return _heard(desk, after, answer)


def _file(desk: Desk, filed: ResetTicket | Order, key: str) -> Filed:
    if isinstance(filed, ResetTicket):
        return desk.support.file_reset(filed, key)
    return desk.support.file_order(filed, key)


def _sent_if_it_goes(desk: Desk, by: Person, ticket: Ticket) -> Ticket:
    try:
        return send(desk, by.actor, ticket)
    except (TokenRefused, UnknownToken):
        raise
    except RenewAgentError as problem:
        _LOG.warning("a ticket is sent later", extra={"fields": {"ticket": ticket.id, "why": problem.message}})
        return desk.read(lambda connection: ticket_rows.find(connection, ticket.id))


def _ask(desk: Desk, ticket: Ticket) -> None:
    try:
        _heard(desk, ticket, desk.support.filed(ticket.number))
    except UnknownToken as problem:
        said = f"{problem.message} {problem.advice}"
        desk.write(lambda connection: ticket_rows.say(connection, ticket, said))
        raise


def _heard(desk: Desk, ticket: Ticket, filed: Filed) -> Ticket:
    if filed.state in (TicketState.DONE, TicketState.NOTIFIED, TicketState.REFUSED):
        desk.write(lambda connection: _over(connection, desk, ticket, filed))
    elif ticket.outcome != filed.outcome:
        desk.write(lambda connection: ticket_rows.say(connection, ticket, filed.outcome))
    return desk.read(lambda connection: ticket_rows.find(connection, ticket.id))


def _over(connection: sa.Connection, desk: Desk, ticket: Ticket, filed: Filed) -> None:
    first = ticket_rows.is_over(connection, desk.now(), CONSOLE, ticket, filed)
    if first and ticket.kind == RESET and filed.state is not TicketState.REFUSED:  # the next codes will tell
        token_rows.note(connection, ticket.serial, refused=None, refusals=0)


# --- What must be so before


def _check_tried(desk: Desk, token: Token) -> None:
    """Always two codes first: refused within a day, and not accepted since."""
    refused, accepted = token.refused, token.resynchronised
    lately = refused is not None and desk.now() - refused <= LATELY
    if refused is None or not lately or (accepted is not None and accepted >= refused):
        raise DeskRefused(
            f"Two codes come first: the token {token.serial} has not refused any for a day, or since its last ticket.",
            advice="Resynchronise it with two codes, which takes a minute. If they are refused, ask for the reset.",
        )


def _check_npi(desk: Desk, owner: Person, npi: str) -> None:
    """The EHR may know it better. Where it does not answer, the vendor has to."""
    try:
        staff = desk.ehr.staff(owner.ehr) if owner.ehr else None
    except (EhrUnreachable, EhrMisbehaved):
        return
    if staff is not None and staff.npi and staff.npi != npi:
        raise FormError(
            f"{npi} is not the NPI that the EHR has for {owner.name}.",
            "npi",
            advice="Compare it with the EHR. If the EHR is wrong, have it corrected there first.",
        )


def _order_kind(form: Mapping[str, str]) -> OrderKind:
    if form.get("kind") not in [kind.value for kind in OrderKind]:
        orders = ", ".join(kind for kind in KINDS if kind != RESET)
        raise FormError(f"An order is one of: {orders}.", "kind")
    return OrderKind(form["kind"])


def _own(connection: sa.Connection, owner: Person, identity: str) -> Ticket:
    ticket = ticket_rows.find(connection, identity)
    if ticket.owner != owner.id:
        raise DeskRefused("There is no such ticket, or it is not yours.", advice="Look at the list of tickets.")
    return ticket

"""A token's change of state, told to the vendor: written down first, finished whoever dies. What is lost is in
`losses`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import sqlalchemy as sa

from renewagent.console.epcs import losses, token_rows
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.token_rows import ACTIVATE, BECOMES, Token
from renewagent.console.permissions import Person
from renewagent.errors import RenewAgentError
from renewagent.tokens.errors import DeskRefused, TokenRefused, TokenServerMisbehaved, TokenServerUnreachable
from renewagent.tokens.model import TokenState

HOLD = timedelta(minutes=1)
"""How old an order is before whoever gave it is taken for dead: longer than a vendor is waited for."""
CONSOLE = "console"
_UNSURE = (TokenServerUnreachable, TokenServerMisbehaved)
_LOG = logging.getLogger(__name__)


def carry_out(desk: Desk, by: Person, token: Token, what: str, tell: Callable[[], object]) -> Token:
    """The token becomes what the order leads to, once `tell` has had the vendor do it. Raises DeskRefused while another
    order for one of the person's tokens is under way, TokenRefused for a token that is over, and whatever `tell` does:
    the order is dropped then, but stays where the vendor's answer is not known."""
    _settle_old_ones(desk, token, what)
    desk.write(lambda connection: _begin(connection, desk, by, token, what))
    try:
        tell()
    except _UNSURE:
        raise
    except RenewAgentError:
        desk.write(lambda connection: token_rows.drop_order(connection, token.serial, what))
        raise
    return desk.write(lambda connection: _is_so(connection, desk, by.actor, token, what))


def tend(desk: Desk) -> None:
    """For the scheduler: tell of losses that not everybody knows of, and see what came of orders whose console died.
    Raises nothing of ours."""
    for token in desk.read(token_rows.ordered):
        try:
            if desk.now() - token.changed >= HOLD:
                _settle(desk, token)
        except RenewAgentError as problem:
            fields = {"serial": token.serial, "ordered": token.ordered, "why": problem.message}
            _LOG.warning("a token's order is not settled yet", extra={"fields": fields})


def _settle_old_ones(desk: Desk, token: Token, what: str) -> None:
    for other in desk.read(lambda connection: token_rows.of(connection, token.owner)):
        is_mine = (other.serial, other.ordered) == (token.serial, what)
        if other.ordered and not (is_mine or other.loss_untold) and desk.now() - other.changed >= HOLD:
            _settle(desk, other)


def _begin(connection: sa.Connection, desk: Desk, by: Person, token: Token, what: str) -> None:
    mine = token_rows.held(connection, token.owner)
    again = next(one for one in mine if one.serial == token.serial)
    if again.state.is_over:
        raise token_rows.is_over(again.serial)
    if what == ACTIVATE and again.state is TokenState.SUSPENDED:
        raise TokenRefused(f"The token {again.serial} is suspended.", advice="Ask your EPCS administrator.")
    others = [one for one in mine if one.ordered and (one.serial, one.ordered) != (token.serial, what)]
    if any(not one.loss_untold for one in others):
        raise DeskRefused("Something else is being done with these tokens.", advice="Try again in a minute.")
    token_rows.order(connection, desk.now(), by.actor, again, what)


def _is_so(connection: sa.Connection, desk: Desk, actor: str, token: Token, what: str) -> Token:
    """The vendor says so. With a token that is active, whatever else of the person's was is not any more."""
    for other in token_rows.held(connection, token.owner) if what == ACTIVATE else ():
        was_active = other.kind is token.kind and other.state is TokenState.ACTIVE
        if was_active and other.serial != token.serial:
            token_rows.become(connection, desk.now(), actor, other.serial, TokenState.DEACTIVATED)
    return token_rows.become(connection, desk.now(), actor, token.serial, BECOMES[what])


def _settle(desk: Desk, token: Token) -> None:
    if token.loss_untold:
        losses.finish(desk, token)
        return
    standing = desk.authority.standing(token.serial)
    if standing.state is BECOMES[token.ordered]:
        desk.write(lambda connection: _is_so(connection, desk, CONSOLE, token, token.ordered))
    else:
        desk.write(lambda connection: token_rows.drop_order(connection, token.serial, token.ordered))

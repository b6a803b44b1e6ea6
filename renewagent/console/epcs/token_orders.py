"""A token's change of state, told to the vendor: written down first, finished whoever dies. What is lost is in
`losses`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import sqlalchemy as sa

from renewagent.console.epcs import losses, pulses, token_rows
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
    return desk.write(
        lambda connection: token_rows.become(connection, desk.now(), by.actor, token.serial, BECOMES[what])
    )


def tend(desk: Desk) -> None:
    """For the scheduler: tell of losses that not everybody knows of, and see what came of orders whose console died;
    each once a minute. Raises nothing of ours."""
    for token in desk.read(token_rows.ordered):
        try:
            if _is_old(desk, token) and desk.write(lambda connection: _claim(connection, desk, token)):  # noqa: B023
                _settle(desk, token)
                desk.write(lambda connection: pulses.drop(connection, _turn(token)))  # noqa: B023
        except RenewAgentError as problem:
            fields = {"serial": token.serial, "ordered": token.ordered, "why": problem.message}
            _LOG.warning("a token's order is not settled yet", extra={"fields": fields})


def _claim(connection: sa.Connection, desk: Desk, token: Token) -> bool:
    return pulses.claim(connection, _turn(token), desk.now(), HOLD)


def _turn(token: Token) -> str:
    return f"token {token.serial}"


def _is_old(desk: Desk, token: Token) -> bool:
    return desk.now() - token.changed >= HOLD


def _settle_old_ones(desk: Desk, token: Token, what: str) -> None:
    for other in desk.read(lambda connection: token_rows.of(connection, token.owner)):
        is_mine = (other.serial, other.ordered) == (token.serial, what)
        if other.ordered and not (is_mine or other.loss_untold) and _is_old(desk, other):
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


def _settle(desk: Desk, token: Token) -> None:
    if token.loss_untold:
        losses.finish(desk, token)
        return
    state = desk.authority.standing(token.serial).state
    if state is BECOMES[token.ordered]:
        desk.write(lambda connection: token_rows.become(connection, desk.now(), CONSOLE, token.serial, state))
    else:
        desk.write(lambda connection: token_rows.drop_order(connection, token.serial, token.ordered))

"""A token that is lost, stolen or compromised: it is over here at once, and EPCS is suspended with the one that was
active, whatever else the person has (21 CFR 1311.102(d), 1311.125(d)). Whom that does not reach at once is told later.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import sqlalchemy as sa

from renewagent.console import people
from renewagent.console.epcs import incidents, suspensions, token_rows, working_factors
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.own_tokens import check_allowed, own
from renewagent.console.epcs.suspensions import Suspended
from renewagent.console.epcs.token_rows import LOSSES, Token
from renewagent.console.permissions import Person
from renewagent.errors import RenewAgentError
from renewagent.tokens.errors import FormError, TokenError, UnknownToken
from renewagent.tokens.grants import SuspensionReason
from renewagent.tokens.model import TokenState

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lost:
    """`suspended`: what became of EPCS, None where that was no matter. `said`: what was done, in words; `advice`: how
    to get another."""

    token: Token
    suspended: Suspended | None
    said: str
    advice: str


def report_lost(desk: Desk, by: Person, owner: Person, serial: str, reason: str) -> Lost:
    """The token never works again, whatever else there is. `reason`: one of LOSSES. What the vendor or the EHR does
    not do at once is told in `said`, and done later by itself. Again is as good as once. Raises FormError for another
    reason, UnknownToken, DeskRefused."""
    check_allowed(by, owner)
    if reason not in LOSSES:
        raise FormError(f"What happened is one of: {', '.join(LOSSES)}.", "reason")
    token = own(desk, owner, serial, also_over=True)
    lost = desk.write(lambda connection: _lose(connection, desk, by, owner, token, reason))
    suspended, troubles = _tell(desk, by, owner, lost) if lost.loss_untold else (None, [])
    return Lost(lost, suspended, _what_was_done(lost, suspended, troubles), _what_next(desk, owner))


def finish(desk: Desk, token: Token) -> None:
    """Tell those who are not told yet, in the name of whose it is. Raises the vendor's errors."""
    entry = desk.read(lambda connection: people.ever(connection, token.owner))
    _, troubles = _tell(desk, entry.person, entry.person, token) if entry is not None else (None, [])
    for trouble in troubles:
        raise trouble


def _lose(connection: sa.Connection, desk: Desk, by: Person, owner: Person, token: Token, reason: str) -> Token:
    again = next(one for one in token_rows.held(connection, owner.id) if one.serial == token.serial)
    if not again.state.is_over:
        token_rows.lose(connection, desk.now(), by.actor, again, reason)
        if again.state is TokenState.SPARE:  # nobody could sign with it, so that EPCS is not suspended
            what = f"{owner.name}: the spare token {again.serial} was reported: {reason}."
            incidents.add(connection, desk, by, f"spare token: {reason}", owner, what)
    return token_rows.find(connection, again.serial) or again


def _tell(desk: Desk, by: Person, owner: Person, token: Token) -> tuple[Suspended | None, list[TokenError]]:
    """Suspend EPCS, then have the vendor disable it; and what the vendor did not do."""
    suspended = None
    if token.ordered in LOSSES:
        reason, note = SuspensionReason(token.ordered), f"Token {token.serial}."
        suspended = suspensions.suspend(desk, by, owner, reason, note, [token.serial])
        desk.write(lambda connection: token_rows.only_vendor_untold(connection, token))
    try:
        desk.authority.disable(token.serial, lost=True)
    except UnknownToken:  # nobody can use it there
        _LOG.warning("the vendor does not know a token that is lost", extra={"fields": {"serial": token.serial}})
    except TokenError as problem:
        return suspended, [problem]
    desk.write(lambda connection: token_rows.drop_order(connection, token.serial, token_rows.UNTOLD))
    return suspended, []


def _what_was_done(token: Token, suspended: Suspended | None, troubles: list[TokenError]) -> str:
    if token.state is not TokenState.LOST:
        return f"The token {token.serial} was deactivated before. It never works again."
    said = [f"The token {token.serial} is reported. It never works again."]
    said += [f"{problem.message} The vendor is told as soon as it answers." for problem in troubles]
    return " ".join([*said, *([suspended.said] if suspended is not None else [])])


def _what_next(desk: Desk, owner: Person) -> str:
    try:
        return working_factors.next_factor(desk, owner)
    except RenewAgentError:
        return "Order another token, or activate your spare."

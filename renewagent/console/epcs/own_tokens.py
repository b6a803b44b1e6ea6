"""Whose token is meant, and who may do something with it."""

from __future__ import annotations

from renewagent.console.epcs import token_rows
from renewagent.console.epcs.asked import is_at_hand
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.token_rows import Token
from renewagent.console.permissions import Permission, Person
from renewagent.tokens.errors import DeskRefused, UnknownToken
from renewagent.tokens.model import TokenKind, TokenState
from renewagent.tokens.serials import normalised


def check_allowed(by: Person, owner: Person) -> None:
    """One's own things, or those of somebody whom one looks after. Raises DeskRefused."""
    if by.id != owner.id and not (by.may(Permission.ADMINISTER_EPCS) and is_at_hand(by, owner)):
        raise DeskRefused("That is somebody else's: your role lets you see and do your own things alone.")


def hardware_of(desk: Desk, owner: Person) -> tuple[Token, ...]:
    """As they were last heard of, the first one registered first."""
    mine = desk.read(lambda connection: token_rows.of(connection, owner.id))
    return tuple(token for token in mine if token.kind is TokenKind.HARDWARE)


def own(desk: Desk, owner: Person, serial: str | None, *, also_over: bool = False) -> Token:
    """The person's token of this serial, else their active one. Raises UnknownToken, and TokenRefused for one that is
    over."""
    mine = hardware_of(desk, owner)
    if serial is None:
        found = next((token for token in mine if token.state is TokenState.ACTIVE), None)
        words = f"No hardware token of {owner.name}'s is active."
    else:
        found = next((token for token in mine if token.serial == normalised(serial)), None)
        words = f"The token {normalised(serial)} is not registered here for {owner.name}."
    if found is None:
        raise UnknownToken(words, advice="Look at the list of tokens, or register it with the serial on its back.")
    if found.state.is_over and not also_over:
        raise token_rows.is_over(found.serial)
    return found


def heard(desk: Desk, owner: Person, token: Token) -> Token:
    """The token as the vendor has it now, whose word counts. Raises UnknownToken where it is nobody's there or
    another's, TokenRefused for one that is over, and the vendor's errors."""
    standing = desk.authority.standing(token.serial)
    if standing.account != account(owner):
        raise UnknownToken(
            f"The vendor does not have the token {token.serial} as {owner.name}'s.",
            advice="Register it again with the serial number on its back, or ask your EPCS administrator.",
        )
    if standing.state is not token.state and not token.ordered:
        token = desk.write(
            lambda connection: token_rows.become(connection, desk.now(), "vendor", token.serial, standing.state)
        )
    if token.state.is_over:
        raise token_rows.is_over(token.serial)
    return token


def account(owner: Person) -> str:
    """Their account's name at the vendor. Raises DeskRefused."""
    if not owner.ehr:
        raise DeskRefused(
            f"{owner.name} has no user name in the EHR, which is their account's name at the vendor.",
            advice="Ask whoever looks after the console to enter it.",
        )
    return owner.ehr

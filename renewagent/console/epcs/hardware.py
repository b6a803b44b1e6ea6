"""Hardware tokens of the EPCS desk: registered, resynchronised, replaced by the spare, given up, reported as lost.

Every function raises DeskRefused for somebody else's token, UnknownToken, and the vendor's errors
(`renewagent.tokens.authority`) unless it says otherwise. Those that change a token for good may be called again after
a console died over them (`token_orders`, `losses`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import sqlalchemy as sa

from renewagent.console.epcs import ticket_rows, token_orders, token_rows, working_factors
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.losses import Lost as Lost
from renewagent.console.epcs.losses import report_lost as report_lost
from renewagent.console.epcs.own_tokens import account, check_allowed, heard, own
from renewagent.console.epcs.token_orders import tend as tend
from renewagent.console.epcs.token_rows import ACTIVATE, RETIRE, Token
from renewagent.console.permissions import Person
from renewagent.tokens.advice import Advice, after_refusal, after_resynchronising
from renewagent.tokens.errors import DeskRefused, FormError, TokenLocked, TokenRefused
from renewagent.tokens.model import Answer, Checked, TokenKind, TokenStanding, TokenState
from renewagent.tokens.serials import profile_of, same_token


@dataclass(frozen=True, slots=True)
class Resynced:
    """`drift`: by how many presses the token was ahead."""

    token: Token
    drift: int
    advice: Advice


def tokens_of(desk: Desk, owner: Person) -> tuple[Token, ...]:
    """As they were last heard of, the first one registered first. Raises nothing."""
    return desk.read(lambda connection: token_rows.of(connection, owner.id))


def register(desk: Desk, by: Person, owner: Person, serial: str, back: str) -> Token:
    """Make a token `owner`'s: active, or their spare where they have an active one. `back`: the serial as it was typed
    from the token's back. Again is as good as once. Raises FormError, TokenRefused."""
    check_allowed(by, owner)
    serial, profile = profile_of(serial, desk.settings.profiles)
    if profile.kind is TokenKind.SOFT:
        words = f"{serial} is the serial number of an app ({profile.maker}), not of a hardware token."
        raise FormError(words, "serial", advice="Register the app as a soft token.")
    same_token(serial, back)
    known = desk.read(lambda connection: token_rows.find(connection, serial))
    if known is not None and known.state.is_over:
        raise token_rows.is_over(serial)
    _check_evidence(desk.authority.standing(serial))
    standing = desk.authority.register(serial, account(owner))
    return desk.write(lambda connection: token_rows.keep(connection, desk.now(), by.actor, owner, standing))


def resynchronise(
    desk: Desk, by: Person, owner: Person, back: str, first: str, second: str, *, serial: str | None = None
) -> Resynced:
    """Put a token in step with two codes, one after the other: the one of this serial, else the active one. `back`: the
    serial as it was typed from its back. Raises FormError, TokenRefused for refused codes, TokenLocked."""
    check_allowed(by, owner)
    token = own(desk, owner, serial)
    same_token(token.serial, back)
    codes = _code(first, "first"), _code(second, "second")
    if codes[0] == codes[1]:
        raise FormError("That is the same code twice.", "second", advice="Press the button again for the next code.")
    token = heard(desk, owner, token)  # one that is over refuses right codes as if they were wrong
    checked = desk.authority.resynchronise(token.serial, *codes)
    if checked.answer is Answer.ACCEPTED:
        return _in_step(desk, by, token, checked.drift or 0)
    raise _locked(desk, by, token, checked) if checked.answer is Answer.LOCKED else _refused(desk, by, token)


def activate_spare(desk: Desk, by: Person, owner: Person, serial: str) -> Token:
    """The spare takes over; the token that was active is deactivated, for good. Again is as good as once. Raises
    TokenRefused for one that is over."""
    check_allowed(by, owner)
    token = heard(desk, owner, own(desk, owner, serial))
    if token.state is TokenState.ACTIVE and not token.ordered:
        return token
    return token_orders.carry_out(desk, by, token, ACTIVATE, lambda: desk.authority.activate(token.serial))


def retire(desk: Desk, by: Person, owner: Person, serial: str) -> Token:
    """Give a token up that is needed no more, for good. Raises DeskRefused for the last one that the person can sign
    with, and the EHR's errors where that cannot be known. Again is as good as once."""
    check_allowed(by, owner)
    token = own(desk, owner, serial, also_over=True)
    if token.state.is_over:
        return token

    def give_up() -> None:
        working_factors.check_not_last(desk, owner, token)
        desk.authority.disable(token.serial, lost=False)

    return token_orders.carry_out(desk, by, token, RETIRE, give_up)


# --- Resynchronising


def _code(typed: str, field: str) -> str:
    code = re.sub(r"[\s-]", "", typed)
    if not re.fullmatch(r"[0-9]{6,8}", code):
        which = 1 if field == "first" else 2
        raise FormError(f"One-Time Password {which} is the six digits that the token shows.", field)
    return code


def _in_step(desk: Desk, by: Person, token: Token, drift: int) -> Resynced:
    now = desk.now()

    def work(connection: sa.Connection) -> Token:
        token_rows.note(connection, token.serial, drift=drift, resynchronised=now, refusals=0)
        token_rows.record(connection, now, by.actor, "token-resynchronised", token, drift=drift)
        ticket_rows.drop_reset(connection, now, by.actor, token.serial)
        return token_rows.find(connection, token.serial) or token

    since = now - (token.resynchronised or token.registered)
    return Resynced(desk.write(work), drift, after_resynchronising(drift, since))


def _refused(desk: Desk, by: Person, token: Token) -> TokenRefused:
    now = desk.now()

    def work(connection: sa.Connection) -> int:
        refusals = (token_rows.find(connection, token.serial) or token).refusals + 1
        token_rows.note(connection, token.serial, refused=now, refusals=refusals)
        token_rows.record(connection, now, by.actor, "token-refused", token, refusals=refusals)
        return refusals

    told = after_refusal(desk.write(work))
    return TokenRefused(told.said, advice=told.advice)


def _locked(desk: Desk, by: Person, token: Token, checked: Checked) -> TokenLocked:
    now, until = desk.now(), checked.until or desk.now()
    when = f"{until:%H:%M} UTC" if until.date() == now.date() else f"{until.day} {until:%B, %H:%M} UTC"
    until_words = until.isoformat(timespec="seconds")
    desk.write(lambda c: token_rows.record(c, now, by.actor, "token-locked", token, until=until_words))
    return TokenLocked(
        f"Too many codes were refused: the token {token.serial} is locked until {when}.",
        until,
        advice="Wait until then. Codes are not looked at before, not even the right ones.",
    )


def _check_evidence(standing: TokenStanding) -> None:
    """21 CFR 1311.115(b), (c): FIPS 140 level 1 at least, and apart from the computer that it is used with."""
    if standing.kind is not TokenKind.HARDWARE:
        raise FormError(f"{standing.serial} is an app, not a hardware token.", "serial")
    if standing.fips_level < 1 or not standing.separate_device:
        raise DeskRefused(
            f"The vendor has no evidence that the token {standing.serial} meets FIPS 140, and is a device of its own.",
            advice="It must not be used for controlled substances. Ask your EPCS administrator for another one.",
        )

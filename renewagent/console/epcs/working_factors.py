"""What somebody can sign with now, so that the last of it is never taken away: the hardware token that is active, and
a soft token that the vendor and the EHR agree about.
"""

from __future__ import annotations

import sqlalchemy as sa

from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.own_tokens import hardware_of
from renewagent.console.epcs.tables import EPCS_RUN
from renewagent.console.epcs.token_rows import Token
from renewagent.console.permissions import Person
from renewagent.tokens import soft_causes
from renewagent.tokens.errors import DeskRefused, UnknownToken
from renewagent.tokens.model import TokenState


def check_not_last(desk: Desk, owner: Person, without: Token) -> None:
    """Raises DeskRefused if `without` is the last thing that this person can sign with, and the vendor's and the EHR's
    errors where that is not known."""
    others = [one for one in hardware_of(desk, owner) if one.serial != without.serial]
    if any(is_active(desk, token) for token in others) or soft_token_works(desk, owner):
        return
    spare = next((token for token in others if token.state is TokenState.SPARE), None)
    raise DeskRefused(
        f"The token {without.serial} is the last thing that {owner.name} can sign with.",
        advice=f"Activate the spare {spare.serial}: it takes its place."
        if spare is not None
        else "Register another token or a soft token first. If this one is lost or stolen, report that instead: "
        "then it is disabled at once.",
    )


def is_active(desk: Desk, token: Token) -> bool:
    """Here, and by the vendor's word."""
    if token.state is not TokenState.ACTIVE:
        return False
    try:
        return desk.authority.standing(token.serial).state is TokenState.ACTIVE
    except UnknownToken:
        return False


def soft_token_works(desk: Desk, owner: Person) -> bool:
    """The EHR has the very device that works at the vendor, and nobody is registering it anew."""
    if not owner.ehr or _is_under_way(desk, owner):
        return False
    device = desk.ehr.device(owner.ehr)
    if device is None or not device.authenticated:
        return False
    return soft_causes.signs(device, desk.soft.soft_tokens([device.username]).get(device.username), desk.now())


def next_factor(desk: Desk, owner: Person) -> str:
    """What somebody whose token is gone does next, in a sentence. Raises nothing of ours but the vendor's and the
    EHR's errors."""
    spare = next((token for token in hardware_of(desk, owner) if token.state is TokenState.SPARE), None)
    if spare is not None:
        return f"You have a spare: activate {spare.serial}."
    if soft_token_works(desk, owner):
        return "The app on your phone still works. Order another token as its spare."
    return "Order another token. Until it arrives, register a soft token on your phone."


def _is_under_way(desk: Desk, owner: Person) -> bool:
    unfinished = sa.select(EPCS_RUN.c.id).where(EPCS_RUN.c.owner == owner.id, EPCS_RUN.c.finished.is_(None))
    return desk.read(lambda connection: connection.execute(unfinished).first() is not None)

"""A second factor, shown just now for one request by the person who is to execute it (21 CFR 1311.125(c)): their card's
signature over the request as it stands, or a code of a token that is theirs.

The card signs no bytes of ours: the statement is built at the workstation and names this console, the SHA-256 of the
request's document, and a number that was given to this person for this request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from renewagent.console import audit, challenges, people
from renewagent.console.card_sign_in import SignInRefused, read_approval
from renewagent.console.epcs import requests, token_rows
from renewagent.console.epcs.desk import Desk, Factor
from renewagent.console.permissions import Person
from renewagent.tokens import grants
from renewagent.tokens.errors import DeskRefused, FormError, TokenLocked, TokenRefused, UnknownToken
from renewagent.tokens.grants import Request
from renewagent.tokens.model import Answer, TokenStanding, TokenState
from renewagent.tokens.serials import normalised

_CODE = re.compile(r"[0-9]{6,8}")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a card is to sign for: a number that is good once and for so many `seconds`, this console's address, and the
    document of the request, to be shown to the person before they sign its SHA-256."""

    nonce: str
    origin: str
    document: str
    seconds: timedelta


def challenge(desk: Desk, person: Person, request_id: str) -> Challenge:
    """A fresh one; the person's earlier one for this request is good no more. Raises DeskRefused for somebody who
    cannot be the second person."""
    request = _for_them(desk, person, request_id)
    now, kind = desk.now(), _kind(request.id)
    nonce = desk.write(lambda connection: challenges.give(connection, desk.site.entropy, now, kind, person.id))
    document = requests.document_of(request).decode()
    return Challenge(nonce, desk.site.settings.people.url, document, challenges.WINDOW)


def by_card(desk: Desk, person: Person, request_id: str, signed: bytes) -> Factor:
    """`signed`: CMS SignedData over the approval. Raises DeskRefused; ConfigurationError where the console's own files
    of the RA cannot be read."""
    request, now = _for_them(desk, person, request_id), desk.now()
    try:
        shown = read_approval(signed, desk.site.settings, now, grants.digest(request))
    except SignInRefused as problem:
        _note_refusal(desk, person, request, "card", problem.message)
        raise DeskRefused(problem.message, advice=problem.advice) from problem

    def take(connection: sa.Connection) -> str:
        if people.by_subject(connection, shown.subject) != person:
            return "That is not your smartcard."
        if not challenges.take(connection, now, shown.nonce, _kind(request.id), person.id):
            return "That was signed for another request, was used before, or took longer than five minutes."
        return ""

    if refused := desk.write(take):
        _note_refusal(desk, person, request, "card", refused)
        raise DeskRefused(refused, advice="Begin again with your own smartcard.")
    return Factor(person, request.id, "card", shown.certificate, now)


def by_otp(desk: Desk, person: Person, request_id: str, serial: str, code: str) -> Factor:
    """A code of the person's own token, which is used up. Raises DeskRefused, FormError, TokenRefused, TokenLocked, and
    the errors of the vendor and the EHR."""
    request = _for_them(desk, person, request_id)
    code = re.sub(r"[\s-]", "", code)
    if not _CODE.fullmatch(code):
        raise FormError("A one-time password is the six digits that your token shows.", "code")
    own = _own(desk, person, serial, request.entered)
    if own is None:
        _note_refusal(desk, person, request, "otp", "no token of theirs")
        raise DeskRefused(
            "That is no token of yours that may be used for this.",
            advice="Take your own active token. One that was registered or activated after this was entered shows "
            "nothing for it: have it withdrawn and entered again.",
        )
    checked = desk.authority.check(own, code)
    if checked.answer is Answer.ACCEPTED:
        return Factor(person, request.id, "otp", own, desk.now())
    _note_refusal(desk, person, request, "otp", checked.answer.value)
    if checked.answer is Answer.LOCKED:
        until = checked.until or desk.now()
        raise TokenLocked(
            f"Too many codes were refused: your token is locked until {until:%H:%M} UTC.",
            until,
            advice="Wait until then. Codes are not looked at before, not even the right ones.",
        )
    raise TokenRefused(
        "Your one-time password has been entered incorrectly.", advice="Take the next code of your token, once."
    )


def _for_them(desk: Desk, person: Person, request_id: str) -> Request:
    """Before a card is asked for its signature, or a code is used up."""
    request = requests.find(desk, request_id)
    if objection := requests.objection(desk, person, request):
        raise DeskRefused(objection)
    return request


def _kind(request_id: str) -> str:
    return f"epcs {request_id}"


# --- Whose token it is


def _own(desk: Desk, person: Person, typed: str, since: datetime) -> str | None:
    """The serial of a token that is this person's own and may be a factor (21 CFR 1311.115), hardware or app; None for
    any other, of which nobody is asked anything, so that nobody locks another person's token. It was theirs before the
    request was entered (`since`): whoever has their password alone gets no second factor by registering one for it."""
    serial = normalised(typed)
    kept = desk.read(lambda connection: token_rows.find(connection, serial))
    if kept is not None:
        mine = kept.owner == person.id and kept.state is TokenState.ACTIVE and kept.changed <= since
        return serial if mine and _fits(_standing(desk, serial), person.ehr) else None
    device = desk.ehr.device(person.ehr) if person.ehr else None
    if device is None or not device.authenticated or normalised(device.serial) != serial:
        return None
    if device.registered is not None and device.registered > since:
        return None
    soft = desk.soft.soft_tokens([device.username]).get(device.username)
    mine = soft is not None and soft.working and soft.serial == device.serial
    return device.serial if mine and _fits(_standing(desk, device.serial), device.username) else None


def _standing(desk: Desk, serial: str) -> TokenStanding | None:
    try:
        return desk.authority.standing(serial)
    except UnknownToken:
        return None


def _fits(standing: TokenStanding | None, account: str) -> bool:
    """By the vendor's own word."""
    if standing is None or standing.state is not TokenState.ACTIVE or standing.account != account:
        return False
    return standing.separate_device and standing.fips_level >= 1


def _note_refusal(desk: Desk, person: Person, request: Request, how: str, why: str) -> None:
    """Codes and statements are not written down."""
    details = {"request": request.id, "how": how, "why": why}
    now = desk.now()
    desk.write(lambda connection: audit.record(connection, now, person.actor, "epcs.factor-refused", details))

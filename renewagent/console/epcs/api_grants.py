"""Who may sign, for programs: EPCS enabled, granted and revoked by two people, overrides that are lent, suspensions."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from renewagent.console import people
from renewagent.console.card_sign_in import LARGEST
from renewagent.console.epcs import enabling, factors, overrides, requests, suspensions
from renewagent.console.epcs.asked import Asked, is_at_hand, nothing_there
from renewagent.console.epcs.desk import Desk, Factor
from renewagent.console.epcs.documents import Document, told, with_people
from renewagent.console.epcs.program_gate import guard_program
from renewagent.console.permissions import Permission
from renewagent.tokens.errors import DeskRefused, FormError
from renewagent.tokens.grants import Action, SuspensionReason
from renewagent.tokens.leases import Lease

LARGEST_PROOF = (LARGEST + 2) // 3 * 4 + 1024
_LONGEST_TEXT = 1_000
_MOST_TOKENS = 10
_USE, _ADMINISTER, _EXECUTE = Permission.USE_EPCS, Permission.ADMINISTER_EPCS, Permission.EXECUTE_EPCS


def routes(desk: Desk) -> list[Route]:
    """One person enters a request, another has it executed."""

    def guarded(permission: Permission, work: Any, **more: Any) -> Any:
        return guard_program(desk, permission, work, **more)

    return [
        Route("/epcs/api/enable", guarded(_USE, enable), methods=["POST"]),
        Route("/epcs/api/requests", guarded(_USE, waiting), methods=["GET"]),
        Route("/epcs/api/requests", guarded(_ADMINISTER, enter), methods=["POST"]),
        Route("/epcs/api/requests/{id}/challenge", guarded(_EXECUTE, challenge), methods=["POST"]),
        Route("/epcs/api/requests/{id}/execute", guarded(_EXECUTE, execute, largest=LARGEST_PROOF), methods=["POST"]),
        Route("/epcs/api/requests/{id}/withdraw", guarded(_ADMINISTER, withdraw), methods=["POST"]),
        Route("/epcs/api/overrides", guarded(_ADMINISTER, standing_overrides), methods=["GET"]),
        Route("/epcs/api/overrides", guarded(_ADMINISTER, give), methods=["POST"]),
        Route("/epcs/api/overrides/{id}/end", guarded(_USE, end), methods=["POST"]),
        Route("/epcs/api/suspensions", guarded(_USE, suspend), methods=["POST"]),
    ]


def enable(asked: Asked) -> Document:
    """EPCS enabled for the account, while an override stands."""
    return {"access": told(enabling.enable(asked.desk, asked.person, asked.owner()))}


# --- Grants and revocations


def waiting(asked: Asked) -> Document:
    """What is open and can be seen by whoever asks."""
    found = requests.waiting(asked.desk, asked.person)
    return {"requests": [told(one) for one in found if is_at_hand(asked.person, one.subject.person)]}


def enter(asked: Asked) -> Document:
    """The first person's part."""
    actions = {action.value: action for action in Action if action.takes_two}
    given = asked.text("action")
    if given not in actions:
        raise FormError(f"What is asked for is one of: {', '.join(actions)}.", "action")
    reason, subject = asked.text("reason", most=_LONGEST_TEXT), asked.known(asked.text("user"))
    return {"request": told(requests.enter(asked.desk, asked.person, subject, actions[given], reason))}


def challenge(asked: Asked) -> Document:
    """What the second person's card signs for."""
    document: Document = told(factors.challenge(asked.desk, asked.person, _request_at_hand(asked)))
    return document


def execute(asked: Asked) -> Document:
    """The second person's part, with one factor: `card` or `otp`."""
    identity = _request_at_hand(asked)
    factor = _factor(asked, identity)
    return {"request": told(requests.execute(asked.desk, factor, identity))}


def withdraw(asked: Asked) -> Document:
    """As long as nobody has decided it."""
    return {"request": told(requests.withdraw(asked.desk, asked.person, _request_at_hand(asked)))}


def _factor(asked: Asked, identity: str) -> Factor:
    otp = asked.said.get("otp")
    if (otp is None) == ("card" not in asked.said):
        raise FormError("One second factor is needed: a card's signature, or a one-time password.", "otp")
    if otp is None:
        return factors.by_card(asked.desk, asked.person, identity, asked.octets("card", LARGEST))
    if not isinstance(otp, dict):
        raise FormError("A one-time password is sent with its token's serial number.", "otp")
    shown = Asked(asked.desk, asked.person, asked.path, said=otp)
    return factors.by_otp(asked.desk, asked.person, identity, shown.text("serial"), shown.text("code"))


def _request_at_hand(asked: Asked) -> str:
    """Its id, if it is about somebody of the same organisation."""
    try:
        request = requests.find(asked.desk, asked.gap("id"))
    except DeskRefused as problem:
        raise nothing_there() from problem
    if not is_at_hand(asked.person, request.subject.person):
        raise nothing_there()
    return request.id


# --- Overrides and suspensions


def standing_overrides(asked: Asked) -> Document:
    """Those that the EHR has not shown to be gone."""
    found = [lease for lease in overrides.open_leases(asked.desk) if _is_theirs(asked, lease)]
    return {"overrides": with_people(asked.desk, found, "subject", "given_by")}


def give(asked: Asked) -> Document:
    """Lend one."""
    subject, purpose, minutes = asked.known(asked.text("user")), asked.text("purpose"), asked.number("minutes", 1, 60)
    lease = overrides.give(asked.desk, asked.person, subject, purpose, minutes)
    return {"override": with_people(asked.desk, [lease], "subject", "given_by")[0]}


def end(asked: Asked) -> Document:
    """Take one back."""
    identity = asked.gap("id")
    if not any(lease.id == identity and _is_theirs(asked, lease) for lease in overrides.open_leases(asked.desk)):
        raise nothing_there()
    lease = overrides.end(asked.desk, asked.person, identity)
    return {"override": with_people(asked.desk, [lease], "subject", "given_by")[0]}


def suspend(asked: Asked) -> Document:
    """At once."""
    reasons = {reason.value: reason for reason in SuspensionReason}
    given = asked.text("reason")
    if given not in reasons:
        raise FormError(f"The reason is one of: {', '.join(reasons)}.", "reason")
    note, owner = asked.text("note", default="", most=_LONGEST_TEXT, lines=True), asked.owner()
    done = suspensions.suspend(asked.desk, asked.person, owner, reasons[given], note, _tokens(asked))
    incident = with_people(asked.desk, [done.incident], "subject", "found_by", "reported_by")[0]
    return {**told(done), "incident": incident}


def _tokens(asked: Asked) -> list[str] | None:
    given = asked.said.get("tokens")
    if given is None:
        return None
    if not isinstance(given, list) or len(given) > _MOST_TOKENS or not all(isinstance(one, str) for one in given):
        raise FormError("The tokens are a list of serial numbers.", "tokens")
    return [one[:100] for one in given]


def _is_theirs(asked: Asked, lease: Lease) -> bool:
    if lease.subject == asked.person.id:
        return True
    whose = asked.desk.read(lambda connection: people.ever(connection, lease.subject))
    may = asked.person.may(Permission.ADMINISTER_EPCS)
    return may and whose is not None and is_at_hand(asked.person, whose.person)

"""Why can I not sign? What the desk keeps of one person, and what the vendor and the EHR say of them now; the judgement
is in `findings`.

An outside system that does not answer makes its part unknown, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from renewagent.console.epcs import hardware, incidents, overrides, requests, soft, tickets
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.documents import Document, person_document, told, with_people
from renewagent.console.epcs.findings import Heard, Held, Waiting, findings
from renewagent.console.epcs.incidents import Incident
from renewagent.console.epcs.soft import SoftRun
from renewagent.console.epcs.ticket_rows import Ticket
from renewagent.console.epcs.token_rows import Token
from renewagent.console.permissions import Permission, Person
from renewagent.health import Observation
from renewagent.tokens import calendar
from renewagent.tokens.errors import FormError, TokenError, UnknownToken
from renewagent.tokens.grants import Request, RequestState
from renewagent.tokens.leases import Lease
from renewagent.tokens.serials import profile_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept:
    """What the desk itself knows of somebody."""

    tokens: tuple[Token, ...]
    tickets: tuple[Ticket, ...]
    runs: tuple[SoftRun, ...]
    requests: tuple[Request, ...]
    leases: tuple[Lease, ...]
    incidents: tuple[Incident, ...]


def why(desk: Desk, person: Person) -> list[Observation]:
    """All that was found, in the order in which it is put right."""
    return findings(hear(desk, person, kept(desk, person, person)), desk.now())


def standing(desk: Desk, person: Person, by: Person) -> Document:
    """The same with what it was found from, as `by` may see it, for programs."""
    known = kept(desk, person, by)
    heard = hear(desk, person, known)
    open_incidents = with_people(desk, known.incidents, "subject", "found_by", "reported_by")
    return {
        "person": person_document(person),
        "access": told(heard.access),
        "device": told(heard.device),
        "soft": told(heard.soft),
        "tokens": [_token(desk, token, held) for token, held in zip(known.tokens, heard.tokens, strict=True)],
        "tickets": [_without(told(one), "owner") for one in known.tickets],
        "runs": told(known.runs),
        "requests": told(known.requests),
        "overrides": with_people(desk, known.leases, "subject", "given_by"),
        "incidents": [one if by.may(Permission.ADMINISTER_EPCS) else _without(one, "report") for one in open_incidents],
        "reminders": reminders(() if heard.soft is None else calendar.upcoming(heard.soft, desk.now())),
        "findings": told(findings(heard, desk.now())),
    }


def reminders(due: Iterable[calendar.Reminder]) -> list[Document]:
    """What ends soon, with the words for it."""
    return [{**told(one), "said": one.said, "advice": one.advice} for one in due]


def kept(desk: Desk, person: Person, by: Person) -> Kept:
    """In words for `by`."""
    return Kept(
        hardware.tokens_of(desk, person),
        tickets.tickets_of(desk, person),
        tuple(soft.runs_of(desk, person, by)),
        tuple(requests.of(desk, person)),
        tuple(overrides.open_leases(desk, person)),
        tuple(incidents.of(desk, person)),
    )


def hear(desk: Desk, person: Person, known: Kept) -> Heard:
    """What everybody says of this person."""
    ehr, vendor = _Outside(), _Outside()
    user = person.ehr
    if not user:
        ehr.silent = "This person has no user name in the EHR."
    device, access = ehr.ask(lambda: desk.ehr.device(user)), ehr.ask(lambda: desk.ehr.access(user))
    tokens = tuple(_held(desk, vendor, token) for token in known.tokens)
    name = device.username if device is not None else next((run.username for run in known.runs if run.username), "")
    found = vendor.ask(lambda: desk.soft.soft_tokens([name])) if name else None
    waiting = (one for one in known.requests if one.state is RequestState.WAITING and one.ends > desk.now())
    return Heard(
        tokens=tokens,
        soft=(found or {}).get(name),
        device=device,
        access=access,
        leases=known.leases,
        requests=tuple(Waiting(one.action.value, one.entered_by.name, one.ends) for one in waiting),
        incidents=tuple(one for one in known.incidents if one.reported is None),
        vendor_silent=vendor.silent,
        ehr_silent=ehr.silent,
    )


class _Outside:
    """One system: once it has not answered it is not asked again in this look."""

    def __init__(self) -> None:
        self.silent = ""

    def ask(self, question: Callable[[], T | None]) -> T | None:
        if self.silent:
            return None
        try:
            return question()
        except UnknownToken:
            return None
        except TokenError as problem:
            self.silent = problem.message
            return None


def _held(desk: Desk, vendor: _Outside, token: Token) -> Held:
    """With the vendor's word; of one that is over and never comes back nobody needs to be asked."""
    heard = None if token.state.is_over else vendor.ask(lambda: desk.authority.standing(token.serial))
    return Held(
        token.serial,
        token.kind,
        token.state,
        token.drift,
        token.resynchronised,
        token.refused,
        token.refusals,
        heard,
    )


def _token(desk: Desk, token: Token, held: Held) -> Document:
    """`asks`, `maker`: what a reset of it asks for, "" where its kind is not known."""
    locked = held.vendor.locked_until if held.vendor is not None else None
    stands = {"state": held.stands.value, "locked_until": told(locked)}
    try:
        profile = profile_of(token.serial, desk.settings.profiles)[1]
        kind = {"asks": profile.asks.value, "maker": profile.maker}
    except FormError:
        kind = {"asks": "", "maker": ""}
    return {**_without(told(token), "owner"), **stands, **kind}


def _without(document: dict[str, Any], name: str) -> Document:
    return {key: value for key, value in document.items() if key != name}

"""Granting and revoking EPCS takes two people (21 CFR 1311.125): one enters a request, another, a DEA registrant with a
second factor shown for this very request, has it executed. Nobody has a part in what is about themself.

Pure: who may do what, and why not. Two accounts are one human being where they share anything that names one
(`shared`). What is kept and who asks the EHR: `renewagent.console.epcs.requests`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import combinations

from renewagent.console.permissions import Permission, Person
from renewagent.tokens.model import Staff

VALID = timedelta(hours=24)
"""How long a request waits for the second person."""
FRESH = timedelta(minutes=5)
"""How old a second factor may be."""
_SKEW = timedelta(minutes=1)  # between two server processes
_TITLE = "renewagent EPCS request v1"
_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


class Action(Enum):
    """What is asked for. A suspension is done by one, at once; the others take two."""

    GRANT = "grant"
    REVOKE = "revoke"
    SUSPEND = "suspend"

    @property
    def takes_two(self) -> bool:
        """One enters, another executes."""
        return self is not Action.SUSPEND


class RequestState(Enum):
    """EXECUTING is written before the EHR is asked: from then on it is finished, whoever dies. STOPPED: the person was
    suspended before it was done; FAILED: the EHR could not be made to do it in time."""

    WAITING = "waiting"
    EXECUTING = "executing"
    EXECUTED = "executed"
    REFUSED = "refused"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    STOPPED = "stopped"
    OVER = "over"

    @property
    def is_open(self) -> bool:
        """Something is still to be done about it."""
        return self in (RequestState.WAITING, RequestState.EXECUTING)


class SuspensionReason(Enum):
    """21 CFR 1311.125(d)."""

    LOST = "lost"
    STOLEN = "stolen"
    COMPROMISED = "compromised"
    REGISTRATION_ENDED = "registration-ended"
    LEFT = "left"

    @property
    def takes_token(self) -> bool:
        """The token is somebody else's now: it is disabled for good."""
        return self in (SuspensionReason.LOST, SuspensionReason.STOLEN)


@dataclass(frozen=True, slots=True)
class Factor:
    """A second factor that was shown just now for one request (its id): `how` is "card" or "otp", `evidence` the
    certificate's SHA-256 or the token's serial."""

    person: Person
    request: str
    how: str
    evidence: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody with all that names them at the console: `card` is the canonical name in their authentication
    certificate, `account` their name at the sign-on proxy, or "". `here`: they may still sign in."""

    person: Person
    card: str = ""
    account: str = ""
    here: bool = True

    @property
    def name(self) -> str:
        """As people call them."""
        return self.person.name


@dataclass(frozen=True, slots=True)
class Request:
    """One request, with its people. `outcome` is a sentence once it has come to nothing; `factor` says what showed that
    the second person was there, or, for a suspension, the serials of the tokens that go with it."""

    id: str
    subject: Party
    action: Action
    reason: str
    state: RequestState
    entered_by: Party
    entered: datetime
    ends: datetime
    decided_by: Party | None = None
    decided: datetime | None = None
    factor: str = ""
    executed: datetime | None = None
    outcome: str = ""


def document(request: Request) -> bytes:
    """What the second person decides on, in the one spelling whose SHA-256 their card signs. It does not change while
    the request waits."""
    people = {"subject": request.subject, "entered_by": request.entered_by}
    told: dict[str, object] = {role: _named(party.person) for role, party in people.items()}
    told |= {"document": _TITLE, "id": request.id, "action": request.action.value, "reason": request.reason}
    told |= {"entered": _time(request.entered), "ends": _time(request.ends)}
    return _JSON.encode(told).encode()


def digest(request: Request) -> str:
    """SHA-256 of the document, lowercase hex."""
    return hashlib.sha256(document(request)).hexdigest()


def shared(one: Party, other: Party) -> str | None:
    """What two accounts have in common that no two people have; None for two people."""
    a, b = one.person, other.person
    pairs = (
        ("account", a.id, b.id),
        ("EHR user name", a.ehr, b.ehr),
        ("smartcard", one.card, other.card),
        ("sign-on account", one.account, other.account),
        ("DEA registration", a.dea, b.dea),
    )
    return next((what for what, mine, theirs in pairs if mine and _folded(mine) == _folded(theirs)), None)


def may_not_enter(enterer: Party, subject: Party) -> str | None:
    """Why this person may not enter a request about that one, or suspend them, in a sentence; None if they may."""
    if not (enterer.here and enterer.person.may(Permission.ADMINISTER_EPCS)):
        return "Only an EPCS administrator does this."
    if common := shared(enterer, subject):
        return _self(common, "This is about yourself")
    return _not_at_hand(enterer, subject)


def may_not_execute(request: Request, executor: Party, now: datetime) -> str | None:
    """Why this person cannot be the second one, in a sentence; None if they can, given a second factor."""
    if request.state is not RequestState.WAITING or not request.action.takes_two:
        return "This request does not wait for anybody's decision."
    if now >= request.ends:
        return "This request is over: it waited for more than a day."
    if not (executor.here and executor.person.may(Permission.EXECUTE_EPCS)):
        return "Only a DEA registrant executes this."
    if common := shared(executor, request.subject):
        return _self(common, "This is about yourself")
    if common := shared(executor, request.entered_by):
        return _self(common, "You have entered this yourself")
    if objection := may_not_enter(request.entered_by, request.subject):
        return f"{request.entered_by.name}, who entered this, may not do so any more. {objection}"
    return _not_at_hand(executor, request.subject)


def does_not_show(request: Request, factor: Factor, executor: Party, now: datetime) -> str | None:
    """Why this factor is not the executor's, now, for this request; None if it is."""
    if factor.request != request.id:
        return "That was shown for another request."
    if factor.person.id != executor.person.id:
        return "That was shown by somebody else."
    if factor.how not in ("card", "otp") or not factor.evidence:
        return "Nothing was shown."
    if not -_SKEW <= now - factor.at <= FRESH:
        return "That was not shown just now."
    return None


def ehr_objects(request: Request, executor: Party, subject: Staff, entered_by: Staff, executed_by: Staff) -> str | None:
    """Why what the EHR knows of the three speaks against it, in a sentence; None if nothing does. Its list of staff is
    another source than the console's: both have to agree on who is a registrant (1311.125(b)), and on who is who."""
    if objection := are_one_in_ehr(subject, entered_by, executed_by):
        return objection
    away = next((one for one in (entered_by, executed_by) if not one.active), None)
    if away is not None:
        return f"The account of {away.name} in the EHR is not active."
    if not executed_by.dea or _folded(executed_by.dea) != _folded(executor.person.dea):
        return f"The EHR does not know {executed_by.name} by the DEA registration that is entered here."
    if request.action is Action.GRANT and not (subject.active and subject.dea):
        return f"{subject.name} is no active prescriber with a DEA registration in the EHR."
    return None


def are_one_in_ehr(*staff: Staff) -> str | None:
    """Which accounts of the EHR are one human being's, in a sentence: an NPI is nobody else's (45 CFR 162.406)."""
    twins = next((pair for pair in combinations(staff, 2) if pair[0].npi and pair[0].npi == pair[1].npi), None)
    if twins is None:
        return None
    return f"{twins[0].name} and {twins[1].name} are one person in the EHR: another person has to do it."


def _not_at_hand(one: Party, subject: Party) -> str | None:
    if one.person.answers_for_all or one.person.organisations & subject.person.organisations:
        return None
    return f"{subject.name} belongs to an organisation that is not yours."


def _self(common: str, what: str) -> str:
    return f"{what}: another person has to do it." + (
        "" if common == "account" else f" Both accounts have one {common}."
    )


def _named(person: Person) -> dict[str, str]:
    return {"id": person.id, "name": person.name, "user": person.ehr, "dea": person.dea}


def _folded(text: str) -> str:
    return text.strip().casefold()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")

"""What the EPCS desk says, in sentences for a terminal. Pure: documents in, lines out. The desk's own words are taken
over; what is missing in a document is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from renewagent.reasons import moment
from renewagent.tokens import explain
from renewagent.tokens.calendar import REMIND_BEFORE, RUN_BOOK, Deadline, Reminder, What
from renewagent.tokens.model import TokenKind, TokenStanding, TokenState
from renewagent.tokens.said import Document, at, part, parts, text, texts
from renewagent.tokens.serials import normalised

_MARKS = {"ok": "OK", "warn": "Look", "fail": "Fault", "unknown": "Unknown"}
_TICKETS = {"reset": "reset of", "replacement": "replacement for", "spare": "spare token"}
_TICKET_STATES = {
    "open": "is being sent to the vendor",
    "sent": "is with the vendor",
    "done": "was done by the vendor",
    "notified": "was done by the vendor",
    "refused": "was refused by the vendor",
}
_ACTIONS = {"grant": "grant of EPCS to", "revoke": "revocation of EPCS of", "suspend": "suspension of"}


def standing_in_words(standing: Document) -> list[str]:
    """Why somebody can or cannot sign, and what is under way."""
    person = part(standing, "person")
    lines = [f"{name_of(person)}:"] if person else []
    lines += [line for finding in parts(standing, "findings") for line in _finding(finding)]
    lines += [*tickets_in_words(standing), *runs_in_words(standing)]
    return [*lines, *waiting_in_words(standing, silent=True)]


def _finding(finding: Document) -> Iterator[str]:
    yield f"  {_MARKS.get(text(finding, 'health'), '?'):<7}  {text(finding, 'said')}"
    if text(finding, "health") != "ok" and text(finding, "advice"):
        yield f"           {text(finding, 'advice')}"


def tokens_in_words(standing: Document) -> list[str]:
    """Each with its state."""
    tokens = parts(standing, "tokens")
    if not tokens:
        return ["No token is registered. Register one: renewagent token register."]
    return [line for token in tokens for line in _token(token)]


def _token(token: Document) -> Iterator[str]:
    locked = f", locked until {when(token, 'locked_until')}" if token.get("locked_until") else ""
    yield f"{text(token, 'serial')}: {text(token, 'state')}{locked}."
    if token.get("resynchronised") and isinstance(token.get("drift"), int):
        presses = f"{token['drift']} press{'es' * (token['drift'] != 1)}"
        yield f"  It was {presses} ahead when it was put in step on {when(token, 'resynchronised')}."
    if token.get("refused"):
        yield f"  Two codes were refused on {when(token, 'refused')}."


def tickets_in_words(standing: Document) -> list[str]:
    """Each with how far it is."""
    return [line for ticket in parts(standing, "tickets") for line in _ticket(ticket)]


def _ticket(ticket: Document) -> Iterator[str]:
    kind, state = text(ticket, "kind"), text(ticket, "state")
    what = " ".join(filter(None, (_TICKETS.get(kind, kind), text(ticket, "serial"))))
    yield f"The ticket {text(ticket, 'id')}, {what}, {_TICKET_STATES.get(state, state)}{_number(ticket)}."
    if text(ticket, "outcome"):
        yield f"  The vendor says: {text(ticket, 'outcome')}"
    if text(ticket, "tracking"):
        yield f"  The parcel's number: {text(ticket, 'tracking')}."


def _number(ticket: Document) -> str:
    return f" (number {text(ticket, 'number')})" if text(ticket, "number") else ""


def runs_in_words(standing: Document) -> list[str]:
    """Registrations of soft tokens that are not finished."""
    open_ones = [run for run in parts(standing, "runs") if not run.get("over") and not run.get("finished")]
    return [
        f"A soft token is being registered anew. {text(run, 'happened')} {text(run, 'next')}".strip()
        + " Go on: renewagent softtoken reregister."
        for run in open_ones
    ]


def waiting_in_words(said: Document, *, silent: bool = False) -> list[str]:
    """Requests that wait for the second person."""
    waiting = [one for one in parts(said, "requests") if text(one, "state") == "waiting"]
    if not waiting:
        return [] if silent else ["No request waits."]
    return [line for request in waiting for line in _request(request)]


def _request(request: Document) -> Iterator[str]:
    action = _ACTIONS.get(text(request, "action"), text(request, "action"))
    who = f"{action} {name_of(part(request, 'subject'))}"
    by = name_of(part(request, "entered_by"))
    yield f"Request {text(request, 'id')}: {who}, entered by {by}; it waits until {when(request, 'ends')}."
    if text(request, "reason"):
        yield f"  Why: {text(request, 'reason')}"


def requested(said: Document) -> list[str]:
    """What happens next to a request that was entered."""
    request = part(said, "request") or said
    return [
        f"Request {text(request, 'id')} is entered. It waits until {when(request, 'ends')}.",
        "A DEA registrant other than you and the person whom it is about executes it: "
        f"renewagent epcs approve {text(request, 'id')}.",
    ]


def executed(said: Document) -> list[str]:
    """What an approval led to."""
    request = part(said, "request") or said
    if text(request, "state") == "executed":
        return [
            f"It is done: the EHR shows the {_ACTIONS.get(text(request, 'action'), '')} "
            f"{name_of(part(request, 'subject'))}.".replace("  ", " "),
            *advised(said),
        ]
    outcome = text(request, "outcome")
    return [outcome or "Your approval is kept. The EHR has not done it yet: it is tried again.", *advised(said)]


def enabled(said: Document) -> list[str]:
    """EPCS that was enabled, and what is missing before somebody can sign."""
    access = part(said, "access") or said
    lines = ["EPCS is enabled in the EHR."]
    if access.get("administrator"):
        lines.append(
            'The account still has the permission "Administrator (Overrides Role Based Permissions)", which was not '
            "lent here. Have it removed, unless it belongs to the post."
        )
    else:
        lines.append("No administrator override is left.")
    if not access.get("epcs_granted"):
        lines.append("EPCS is not granted yet. Two people do that: renewagent epcs request.")
    return lines


def lent(said: Document, user: str) -> list[str]:
    """An override that stands."""
    lease = part(said, "override") or said
    return [
        f"{user} has the administrator override until {when(lease, 'ends')}, for one purpose: "
        f"{text(lease, 'purpose')}. It is taken back as soon as that is done.",
        f"To take it back now: renewagent epcs override end {text(lease, 'id')}.",
    ]


def overrides_in_words(standing: Document) -> list[str]:
    """Overrides that stand."""
    found = parts(standing, "overrides")
    if not found:
        return ["No administrator override stands."]
    return [
        f"Override {text(one, 'id')} of {name_of(part(one, 'subject'))}, for {text(one, 'purpose')}, "
        f"until {when(one, 'ends')}."
        for one in found
    ]


def suspended(said: Document, user: str) -> list[str]:
    """What was done, and what is still to be done."""
    incident = part(said, "incident")
    done = f"EPCS is suspended for {user}: they cannot sign prescriptions of controlled substances."
    lines = advised(said) or [done]
    if incident:
        due = when(incident, "due")
        lines.append(f"Report the incident by {due}: renewagent epcs incidents --report {text(incident, 'id')}.")
    revocation = part(said, "revocation")
    if not revocation:
        return [*lines, f"An EPCS administrator enters the formal revocation: renewagent epcs revoke --for {user}."]
    return [*lines, f"A DEA registrant executes it: renewagent epcs approve {text(revocation, 'id')}."]


def incidents_in_words(said: Document) -> list[str]:
    """Each with the time by which it is to be reported."""
    found = parts(said, "incidents")
    if not found:
        return ["No security incident is open."]
    return [line for one in found for line in _incident(one)]


def _incident(one: Document) -> Iterator[str]:
    done = f"reported on {when(one, 'reported')}" if one.get("reported") else f"to be reported by {when(one, 'due')}"
    yield f"Incident {text(one, 'id')}, {done}: {text(one, 'what')}"
    if text(one, "report"):
        yield f"  {text(one, 'report')}"


def registered(said: Document, serial: str) -> list[str]:
    """A token that was registered."""
    token = part(said, "token") or said
    state = text(token, "state") or "active"
    spare = " It is your spare: it takes over when you say so." if state == "spare" else ""
    return [f"The token {text(token, 'serial') or normalised(serial)} is registered: {state}.{spare}", *advised(said)]


def resynchronised(said: Document) -> list[str]:
    """A token that is in step again."""
    return advised(said) or ["The token is in step again. Sign in with a fresh code."]


def filed(said: Document, kind: str) -> list[str]:
    """A ticket or an order that was taken in."""
    ticket = part(said, "ticket") or said
    what = "reset ticket" if kind == "reset" else "order"
    state = _TICKET_STATES.get(text(ticket, "state"), "is taken in")
    return [
        f"Your {what} {text(ticket, 'id')} {state}{_number(ticket)}.",
        "You are told here when the vendor has done it: renewagent token show.",
        *advised(said),
    ]


def advised(said: Document) -> list[str]:
    """The desk's own sentence, and its advice."""
    told = said.get("advice")
    if isinstance(told, dict):
        return [line for line in (text(told, "said"), text(told, "advice")) if line]
    return [line for line in (text(said, "said"), told if isinstance(told, str) else "") if line]


def report_in_words(said: Document, day: str) -> list[str]:
    """The audit report of a day."""
    report = part(said, "report") or said
    lines = [f"The audit report of {text(report, 'day') or day}:"]
    counts = part(report, "counts")
    lines += [f"  {number!s:>6}  {event}" for event, number in counts.items()] or ["  Nothing happened on that day."]
    lines += [f"Suspicious: {text(one, 'said')}" for one in parts(report, "suspicious")]
    for name in ("incidents", "overrides"):
        lines += [f"{name.capitalize()}: {', '.join(found)}."] if (found := texts(report, name)) else []
    who = ", ".join(texts(report, "looked_at_by")) or "nobody yet"
    return [*lines, *whole_in_words(report), f"Looked at by: {who}."]


def whole_in_words(report: Document) -> list[str]:
    """Whether the log is whole, and what to note down."""
    log = part(report, "log")
    if not log:
        return []
    if not log.get("whole"):
        return [f"The audit log is NOT whole. {text(log, 'wrong')}"]
    last = part(log, "last")
    note = [f"Note down, to find out later whether it was made anew: {last.get('number')}:{last.get('digest')}"]
    return ["The audit log is whole.", *(note if last else [])]


def reminders_in_words(said: Document, now: datetime) -> list[str]:
    """What ends when, and what to do about it."""
    found = [Reminder(one, (), one.days_left(now)) for one in deadlines_in(said)]
    lines = [line for one in found for line in (one.said, *((one.advice,) if one.left <= REMIND_BEFORE[0] else ()))]
    if any(one.deadline.what is What.CERTIFICATE for one in found):
        lines += ["\nHow a certificate is renewed:", *(f"  {n}. {step}" for n, step in enumerate(RUN_BOOK, start=1))]
    return lines or ["No soft token of yours is known here: nothing ends."]


def deadlines_in(said: Document) -> list[Deadline]:
    """As calendars take them."""
    found = []
    for one in parts(said, "deadlines") or parts(said, "reminders"):
        known = part(one, "deadline") or one
        ends = at(known, "ends")
        if ends is not None and text(known, "what") in [what.value for what in What]:
            found.append(Deadline(What(text(known, "what")), text(known, "username"), ends))
    return found


def known_of_token(standing: Document, serial: str | None, now: datetime) -> dict[str, str]:
    """What need not be asked about a token: the answers of `explain.known`."""
    tokens = [one for one in parts(standing, "tokens") if text(one, "kind") in ("", "hardware")]
    wanted = normalised(serial or "")
    mine = next((one for one in tokens if text(one, "serial") == wanted), None)
    if mine is None and not wanted:
        mine = next((one for one in tokens if text(one, "state") == "active"), None)
    if mine is None:
        return {"kind": "hardware", "state": "missing"} if wanted else {}
    states = {state.value: state for state in TokenState}
    if text(mine, "state") not in states:
        return {}
    heard = TokenStanding(text(mine, "serial"), TokenKind.HARDWARE, states[text(mine, "state")])
    known = explain.known(heard, now, resynchronised=at(mine, "resynchronised"), refused=at(mine, "refused"))
    if (until := at(mine, "locked_until")) is not None:
        known["locked"] = "yes" if until > now else "no"
    return known if wanted else {name: value for name, value in known.items() if name != "serial"}


def name_of(person: Document) -> str:
    """Somebody, as people call them."""
    found = part(person, "person") or person
    return text(found, "name") or text(found, "user") or "somebody"


def when(document: Document, name: str) -> str:
    """A time in words."""
    found = at(document, name)
    return moment(found.replace(second=0, microsecond=0)) if found is not None else "?"

"""What the EPCS desk says, in sentences for a terminal. Pure: documents in, lines out. The desk's own words are taken
over; what is missing in a document is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from renewagent.language import N_, _, ngettext
from renewagent.reasons import moment
from renewagent.tokens import explain
from renewagent.tokens.calendar import REMIND_BEFORE, RUN_BOOK, Deadline, Reminder, What
from renewagent.tokens.model import TokenKind, TokenStanding, TokenState
from renewagent.tokens.said import Document, at, part, parts, text, texts
from renewagent.tokens.serials import normalised

_MARKS = {"ok": N_("OK"), "warn": N_("Look"), "fail": N_("Fault"), "unknown": N_("Unknown")}
_TICKETS = {
    "reset": N_("The ticket {id}, reset of {serial}, {state}."),
    "replacement": N_("The ticket {id}, replacement for {serial}, {state}."),
    "replacement-of-none": N_("The ticket {id}, replacement for one that never arrived, {state}."),
    "spare": N_("The ticket {id}, spare token {serial}, {state}."),
    "spare-of-none": N_("The ticket {id}, spare token, {state}."),
}
_TICKET_STATES = {
    "open": N_("is being sent to the vendor"),
    "sent": N_("is with the vendor"),
    "done": N_("was done by the vendor"),
    "notified": N_("was done by the vendor"),
    "refused": N_("was refused by the vendor"),
}
_ACTIONS = {
    "grant": N_("grant of EPCS to {name}"),
    "revoke": N_("revocation of EPCS of {name}"),
    "suspend": N_("suspension of {name}"),
}
_STATES = {
    "active": N_("active"),
    "spare": N_("spare"),
    "suspended": N_("suspended"),
    "deactivated": N_("deactivated"),
    "lost": N_("lost"),
}


def standing_in_words(standing: Document) -> list[str]:
    """Why somebody can or cannot sign, and what is under way."""
    person = part(standing, "person")
    lines = [f"{name_of(person)}:"] if person else []
    lines += [line for finding in parts(standing, "findings") for line in _finding(finding)]
    lines += [*tickets_in_words(standing), *runs_in_words(standing)]
    return [*lines, *waiting_in_words(standing, silent=True)]


def _finding(finding: Document) -> Iterator[str]:
    yield f"  {_(_MARKS.get(text(finding, 'health'), '?')):<7}  {_(text(finding, 'said'))}"
    if text(finding, "health") != "ok" and text(finding, "advice"):
        yield f"           {_(text(finding, 'advice'))}"


def tokens_in_words(standing: Document) -> list[str]:
    """Each with its state."""
    tokens = parts(standing, "tokens")
    if not tokens:
        return [_("No token is registered. Register one: renewagent token register.")]
    return [line for token in tokens for line in _token(token)]


def _token(token: Document) -> Iterator[str]:
    said = _("{serial}: {state}, locked until {until}.") if token.get("locked_until") else _("{serial}: {state}.")
    yield said.format(serial=text(token, "serial"), state=_state(token), until=when(token, "locked_until"))
    if token.get("resynchronised") and isinstance(token.get("drift"), int):
        ahead = ngettext(
            "It was {number} press ahead when it was put in step on {moment}.",
            "It was {number} presses ahead when it was put in step on {moment}.",
            token["drift"],
        )
        yield "  " + ahead.format(number=token["drift"], moment=when(token, "resynchronised"))
    if token.get("refused"):
        yield "  " + _("Two codes were refused on {moment}.").format(moment=when(token, "refused"))


def _state(token: Document) -> str:
    state = text(token, "state")
    return _(_STATES.get(state, state))


def tickets_in_words(standing: Document) -> list[str]:
    """Each with how far it is."""
    return [line for ticket in parts(standing, "tickets") for line in _ticket(ticket)]


def _ticket(ticket: Document) -> Iterator[str]:
    kind, serial, state = text(ticket, "kind"), text(ticket, "serial"), text(ticket, "state")
    said = _TICKETS.get(kind if serial else f"{kind}-of-none", N_("The ticket {id}, {state}."))
    state = _(_TICKET_STATES.get(state, state)) + _number(ticket)
    yield _(said).format(id=text(ticket, "id"), serial=serial, state=state)
    if text(ticket, "outcome"):
        yield "  " + _("The vendor says: {outcome}").format(outcome=text(ticket, "outcome"))
    if text(ticket, "tracking"):
        yield "  " + _("The parcel's number: {tracking}.").format(tracking=text(ticket, "tracking"))


def _number(ticket: Document) -> str:
    number = text(ticket, "number")
    return " " + _("(number {number})").format(number=number) if number else ""


def runs_in_words(standing: Document) -> list[str]:
    """Registrations of soft tokens that are not finished."""
    open_ones = [run for run in parts(standing, "runs") if not run.get("over") and not run.get("finished")]
    return [
        " ".join(
            filter(
                None,
                (
                    _("A soft token is being registered anew."),
                    _(text(run, "happened")),
                    _(text(run, "next")),
                    _("Go on: renewagent softtoken reregister."),
                ),
            )
        )
        for run in open_ones
    ]


def waiting_in_words(said: Document, *, silent: bool = False) -> list[str]:
    """Requests that wait for the second person."""
    waiting = [one for one in parts(said, "requests") if text(one, "state") == "waiting"]
    if not waiting:
        return [] if silent else [_("No request waits.")]
    return [line for request in waiting for line in _request(request)]


def _request(request: Document) -> Iterator[str]:
    who = _action(request)
    by = name_of(part(request, "entered_by"))
    yield _("Request {id}: {who}, entered by {by}; it waits until {ends}.").format(
        id=text(request, "id"), who=who, by=by, ends=when(request, "ends")
    )
    if text(request, "reason"):
        yield "  " + _("Why: {reason}").format(reason=text(request, "reason"))


def _action(request: Document) -> str:
    """What is asked for, and for whom."""
    action = text(request, "action")
    name = name_of(part(request, "subject"))
    return _(_ACTIONS[action]).format(name=name) if action in _ACTIONS else f"{action} {name}"


def requested(said: Document) -> list[str]:
    """What happens next to a request that was entered."""
    request = part(said, "request") or said
    return [
        _("Request {id} is entered. It waits until {ends}.").format(id=text(request, "id"), ends=when(request, "ends")),
        _(
            "A DEA registrant other than you and the person whom it is about executes it: renewagent epcs approve {id}."
        ).format(id=text(request, "id")),
    ]


def executed(said: Document) -> list[str]:
    """What an approval led to."""
    request = part(said, "request") or said
    if text(request, "state") == "executed":
        return [
            _("It is done: the EHR shows the {action}.").format(action=_action(request)),
            *advised(said),
        ]
    outcome = text(request, "outcome")
    return [outcome or _("Your approval is kept. The EHR has not done it yet: it is tried again."), *advised(said)]


def enabled(said: Document) -> list[str]:
    """EPCS that was enabled, and what is missing before somebody can sign."""
    access = part(said, "access") or said
    lines = [_("EPCS is enabled in the EHR.")]
    if access.get("administrator"):
        lines.append(
            _(
                'The account still has the permission "Administrator (Overrides Role Based Permissions)", which was '
                "not lent here. Have it removed, unless it belongs to the post."
            )
        )
    else:
        lines.append(_("No administrator override is left."))
    if not access.get("epcs_granted"):
        lines.append(_("EPCS is not granted yet. Two people do that: renewagent epcs request."))
    return lines


def lent(said: Document, user: str) -> list[str]:
    """An override that stands."""
    lease = part(said, "override") or said
    return [
        _(
            "{user} has the administrator override until {ends}, for one purpose: {purpose}. It is taken back as "
            "soon as that is done."
        ).format(user=user, ends=when(lease, "ends"), purpose=text(lease, "purpose")),
        _("To take it back now: renewagent epcs override end {id}.").format(id=text(lease, "id")),
    ]


def overrides_in_words(standing: Document) -> list[str]:
    """Overrides that stand."""
    found = parts(standing, "overrides")
    if not found:
        return [_("No administrator override stands.")]
    return [
        _("Override {id} of {subject}, for {purpose}, until {ends}.").format(
            id=text(one, "id"),
            subject=name_of(part(one, "subject")),
            purpose=text(one, "purpose"),
            ends=when(one, "ends"),
        )
        for one in found
    ]


def suspended(said: Document, user: str) -> list[str]:
    """What was done, and what is still to be done."""
    incident = part(said, "incident")
    done = _("EPCS is suspended for {user}: they cannot sign prescriptions of controlled substances.").format(user=user)
    lines = advised(said) or [done]
    if incident:
        due = when(incident, "due")
        lines.append(
            _("Report the incident by {due}: renewagent epcs incidents --report {id}.").format(
                due=due, id=text(incident, "id")
            )
        )
    revocation = part(said, "revocation")
    if not revocation:
        return [
            *lines,
            _("An EPCS administrator enters the formal revocation: renewagent epcs revoke --for {user}.").format(
                user=user
            ),
        ]
    return [*lines, _("A DEA registrant executes it: renewagent epcs approve {id}.").format(id=text(revocation, "id"))]


def incidents_in_words(said: Document) -> list[str]:
    """Each with the time by which it is to be reported."""
    found = parts(said, "incidents")
    if not found:
        return [_("No security incident is open.")]
    return [line for one in found for line in _incident(one)]


def _incident(one: Document) -> Iterator[str]:
    done = (
        _("reported on {reported}").format(reported=when(one, "reported"))
        if one.get("reported")
        else _("to be reported by {due}").format(due=when(one, "due"))
    )
    yield _("Incident {id}, {done}: {what}").format(id=text(one, "id"), done=done, what=text(one, "what"))
    if text(one, "report"):
        yield f"  {text(one, 'report')}"


def registered(said: Document, serial: str) -> list[str]:
    """A token that was registered."""
    token = part(said, "token") or said
    state = text(token, "state") or "active"
    told = _("The token {serial} is registered: {state}.").format(
        serial=text(token, "serial") or normalised(serial), state=_(_STATES.get(state, state))
    )
    if state == "spare":
        told += " " + _("It is your spare: it takes over when you say so.")
    return [told, *advised(said)]


def resynchronised(said: Document) -> list[str]:
    """A token that is in step again."""
    return advised(said) or [_("The token is in step again. Sign in with a fresh code.")]


def filed(said: Document, kind: str) -> list[str]:
    """A ticket or an order that was taken in."""
    ticket = part(said, "ticket") or said
    told = _("Your reset ticket {id} {state}.") if kind == "reset" else _("Your order {id} {state}.")
    state = _TICKET_STATES.get(text(ticket, "state"), N_("is taken in"))
    return [
        told.format(id=text(ticket, "id"), state=_(state) + _number(ticket)),
        _("You are told here when the vendor has done it: renewagent token show."),
        *advised(said),
    ]


def advised(said: Document) -> list[str]:
    """The desk's own sentence, and its advice."""
    told = said.get("advice")
    if isinstance(told, dict):
        return [_(line) for line in (text(told, "said"), text(told, "advice")) if line]
    return [_(line) for line in (text(said, "said"), told if isinstance(told, str) else "") if line]


def report_in_words(said: Document, day: str) -> list[str]:
    """The audit report of a day."""
    report = part(said, "report") or said
    lines = [_("The audit report of {day}:").format(day=text(report, "day") or day)]
    counts = part(report, "counts")
    lines += [f"  {number!s:>6}  {event}" for event, number in counts.items()] or [
        "  " + _("Nothing happened on that day.")
    ]
    lines += [_("Suspicious: {said}").format(said=text(one, "said")) for one in parts(report, "suspicious")]
    for name in ("incidents", "overrides"):
        lines += [f"{name.capitalize()}: {', '.join(found)}."] if (found := texts(report, name)) else []
    who = ", ".join(texts(report, "looked_at_by")) or _("nobody yet")
    return [*lines, *whole_in_words(report), _("Looked at by: {who}.").format(who=who)]


def whole_in_words(report: Document) -> list[str]:
    """Whether the log is whole, and what to note down."""
    log = part(report, "log")
    if not log:
        return []
    if not log.get("whole"):
        return [_("The audit log is NOT whole. {wrong}").format(wrong=text(log, "wrong"))]
    last = part(log, "last")
    note = [
        _("Note down, to find out later whether it was made anew: {number}:{digest}").format(
            number=last.get("number"), digest=last.get("digest")
        )
    ]
    return [_("The audit log is whole."), *(note if last else [])]


def reminders_in_words(said: Document, now: datetime) -> list[str]:
    """What ends when, and what to do about it."""
    found = [Reminder(one, (), one.days_left(now)) for one in deadlines_in(said)]
    lines = [line for one in found for line in (one.said, *((one.advice,) if one.left <= REMIND_BEFORE[0] else ()))]
    if any(one.deadline.what is What.CERTIFICATE for one in found):
        steps = (f"  {number}. {_(step)}" for number, step in enumerate(RUN_BOOK, start=1))
        lines += ["\n" + _("How a certificate is renewed:"), *steps]
    return lines or [_("No soft token of yours is known here: nothing ends.")]


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
    return text(found, "name") or text(found, "user") or _("somebody")


def when(document: Document, name: str) -> str:
    """A time in words."""
    found = at(document, name)
    return moment(found.replace(second=0, microsecond=0)) if found is not None else "?"

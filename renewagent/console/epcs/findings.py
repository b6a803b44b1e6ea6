"""Why somebody can or cannot sign prescriptions of controlled substances: what was heard of them, judged. No question
is asked here, of nobody; `standing` asks them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from renewagent.tokens import calendar, leases, soft_causes
from renewagent.tokens.advice import Weight, after_refusal, after_resynchronising
from renewagent.tokens.leases import Lease, Life
from renewagent.tokens.model import Access, Device, SoftToken, TokenKind, TokenStanding, TokenState

_WARN_DAYS = 30
_LATELY = timedelta(hours=24)
"""How long nobody will have signed since two codes were refused."""


class Health(Enum):
    """How one thing stands. UNKNOWN: whoever knows did not answer."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, in a sentence, and what to do about it, or ""."""

    name: str
    state: Health
    said: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A token as the desk has it, and what the vendor says of it now (None: nothing, or it does not know it)."""

    serial: str
    kind: TokenKind
    state: TokenState
    drift: int | None = None
    resynchronised: datetime | None = None
    refused: datetime | None = None
    refusals: int = 0
    vendor: TokenStanding | None = None

    @property
    def stands(self) -> TokenState:
        """The vendor's word counts."""
        return self.state if self.vendor is None else self.vendor.state


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that waits for the second person: "grant" or "revoke"."""

    action: str
    entered_by: str
    ends: datetime


class Unreported(Protocol):
    """A security incident that nobody has reported yet."""

    @property
    def what(self) -> str:
        """A sentence."""

    @property
    def due(self) -> datetime:
        """By when it has to be reported."""


@dataclass(frozen=True, slots=True)
class Heard:
    """All that is known of one person at one moment. `vendor_silent`, `ehr_silent`: why there is no answer, "" where
    there is one; what they would have said is then None."""

    tokens: tuple[Held, ...] = ()
    soft: SoftToken | None = None
    device: Device | None = None
    access: Access | None = None
    leases: tuple[Lease, ...] = ()
    requests: tuple[Waiting, ...] = ()
    incidents: tuple[Unreported, ...] = ()
    vendor_silent: str = ""
    ehr_silent: str = ""


def findings(heard: Heard, now: datetime) -> list[Finding]:
    """Everything, in the order in which it is put right."""
    return [
        *_access(heard),
        *_hardware(heard, now),
        *_soft(heard, now),
        *_ends(heard, now),
        *_without_any(heard),
        *_leases(heard, now),
        *(_request(one) for one in heard.requests),
        *(_incident(one, now) for one in heard.incidents),
    ]


# --- What the EHR lets them do


def _access(heard: Heard) -> Iterator[Finding]:
    access = heard.access
    if access is None:
        why = heard.ehr_silent or "The EHR says nothing of this user."
        yield Finding("EPCS", Health.UNKNOWN, why, "Look again when the EHR answers.")
        return
    if access.epcs_suspended:
        yield Finding(
            "EPCS suspended",
            Health.FAIL,
            "EPCS is suspended: you cannot sign controlled substances.",
            "Put right what it was suspended for, then have two people grant EPCS: renewagent epcs request.",
        )
    yield _is("EPCS enabled", "EPCS is enabled in the EHR.", "EPCS is not enabled in the EHR.", access.epcs_enabled)
    yield _is("EPCS granted", "EPCS is granted to you.", "EPCS is not granted to you.", access.epcs_granted)


_TO_DO = {
    "EPCS enabled": "Have it enabled: renewagent epcs enable.",
    "EPCS granted": "Two people grant it, one enters it and the other executes it: renewagent epcs request.",
}


def _is(name: str, yes: str, no: str, value: bool) -> Finding:
    return Finding(name, Health.OK, yes) if value else Finding(name, Health.FAIL, no, _TO_DO[name])


# --- What they sign with


def _hardware(heard: Heard, now: datetime) -> Iterator[Finding]:
    mine = [token for token in heard.tokens if token.kind is TokenKind.HARDWARE]
    if mine and heard.vendor_silent:
        serials = ", ".join(token.serial for token in mine if not token.state.is_over) or mine[0].serial
        yield Finding(
            "hardware token", Health.UNKNOWN, f"{heard.vendor_silent} How {serials} stands is not known.", _LATER
        )
        return
    active = [token for token in mine if token.stands is TokenState.ACTIVE]
    for token in active:
        yield from _one(token, now)
    if mine and not active:
        yield _none_active(mine)


_LATER = "Look again when the vendor answers."


def _one(token: Held, now: datetime) -> Iterator[Finding]:
    name, until = "hardware token", token.vendor.locked_until if token.vendor else None
    if token.vendor is None:
        yield Finding(
            name, Health.FAIL, f"The vendor does not know your token {token.serial}.", "Ask your EPCS administrator."
        )
    elif until is not None and until > now:
        yield Finding(
            name,
            Health.FAIL,
            f"Your token {token.serial} is locked until {until:%H:%M} UTC: too many wrong codes were tried.",
            "Wait until then, then sign in with a fresh code.",
        )
    elif token.refused is not None and (token.resynchronised is None or token.refused > token.resynchronised):
        told, lately = after_refusal(token.refusals), now - token.refused <= _LATELY
        said = f"Your token {token.serial} could not be resynchronised on {calendar.day_words(token.refused)}."
        yield Finding(name, Health.FAIL if lately else Health.WARN, said, told.advice)
    else:
        yield Finding(name, Health.OK, f"Your token {token.serial} is active.")
        yield from _drift(token)


def _drift(token: Held) -> Iterator[Finding]:
    told = after_resynchronising(token.drift or 0)
    if told.weight is not Weight.FINE:
        yield Finding("presses", Health.WARN, told.said, told.advice)


def _none_active(mine: list[Held]) -> Finding:
    spare = next((token for token in mine if token.stands is TokenState.SPARE), None)
    if spare is not None:
        return Finding(
            "hardware token",
            Health.FAIL,
            "None of your tokens is active.",
            f"Let your spare {spare.serial} take over: have it activated at the EPCS desk.",
        )
    last = mine[-1]
    return Finding(
        "hardware token",
        Health.FAIL,
        f"Your token {last.serial} is {last.stands.value}: it cannot be used again.",
        "Order another one: renewagent token replace, or renewagent token spare.",
    )


def _soft(heard: Heard, now: datetime) -> Iterator[Finding]:
    device, soft, name = heard.device, heard.soft, "soft token"
    if heard.ehr_silent:
        yield Finding(name, Health.UNKNOWN, f"{heard.ehr_silent} It is not known which device it has.", _LATER_EHR)
    elif device is None:
        if soft is not None:
            yield Finding(name, Health.FAIL, 'The EHR has no device: "EPCS Device Registration" shows "None".', _ANEW)
    elif not device.authenticated:
        yield Finding(name, Health.FAIL, f'The EHR takes no code of {device.name}: "Soft Token Expired".', _ANEW)
    elif heard.vendor_silent:
        yield Finding(name, Health.UNKNOWN, f"The EHR has {device.name}. {heard.vendor_silent}", _LATER)
    elif soft is None:
        yield Finding(name, Health.FAIL, f"The vendor does not know {device.username}, which the EHR has.", _ANEW)
    elif soft.serial != device.serial:
        said = f"The EHR has the device {device.serial}, the vendor {soft.serial}."
        yield Finding(name, Health.FAIL, said, _ANEW)
    elif not soft.working:
        yield Finding(name, Health.FAIL, "The vendor says that the app on your phone does not work any more.", _ANEW)
    elif changed := soft_causes.diagnose(device, soft, {}, now).likely:
        yield Finding(name, Health.FAIL, f'{changed[0].why[0]} So the EHR says "Soft Token Expired".', _ANEW)
    else:
        yield Finding(name, Health.OK, f"Your app on {device.name} is registered at the EHR.")


_ANEW = "Find out why and register it anew: renewagent softtoken explain, then renewagent softtoken reregister."
_LATER_EHR = "Look again when the EHR answers."


def _ends(heard: Heard, now: datetime) -> Iterator[Finding]:
    if heard.soft is None:
        return
    upcoming = {one.deadline.what: one for one in calendar.upcoming(heard.soft, now)}
    for deadline in calendar.deadlines(heard.soft):
        name, reminder = deadline.what.value, upcoming.get(deadline.what)
        if reminder is None:
            what = deadline.what.words
            yield Finding(name, Health.OK, f"{what[0].upper()}{what[1:]} ends on {calendar.day_words(deadline.ends)}.")
        else:
            state = Health.FAIL if reminder.left <= 0 else Health.WARN if reminder.left <= _WARN_DAYS else Health.OK
            yield Finding(name, state, reminder.said, reminder.advice)


def _without_any(heard: Heard) -> Iterator[Finding]:
    nothing = not heard.tokens and heard.device is None and heard.soft is None
    if nothing and not heard.ehr_silent and not heard.vendor_silent:
        yield Finding(
            "second factor",
            Health.FAIL,
            "You have neither a hardware token nor a soft token here.",
            "Register one: renewagent token register, or renewagent softtoken reregister.",
        )


# --- What must not be left standing, and what waits


def _leases(heard: Heard, now: datetime) -> Iterator[Finding]:
    for lease in heard.leases:
        state = leases.life(lease, now)
        if state is Life.GIVEN:
            said = f"An Administrator override stands until {lease.ends:%H:%M} UTC, for {lease.purpose}."
            yield Finding("override", Health.WARN, said, "It is taken away as soon as that is done.")
        elif state in (Life.DUE, Life.OUTLIVED):
            yield Finding(
                "override",
                Health.WARN if state is Life.DUE else Health.FAIL,
                f"An Administrator override should have ended at {lease.ends:%H:%M} UTC, and the EHR still shows it.",
                "It is being removed. If it stays, remove it in the EHR by hand and tell your EPCS administrator.",
            )
    if not heard.leases and heard.access is not None and heard.access.override_ends is not None:
        yield Finding(
            "override",
            Health.WARN,
            f"The EHR shows an override until {heard.access.override_ends:%H:%M} UTC that was not given here.",
            "Ask your EPCS administrator who gave it.",
        )


def _request(waiting: Waiting) -> Finding:
    what = "grant of EPCS" if waiting.action == "grant" else "revocation of EPCS"
    said = f"A {what} that {waiting.entered_by} entered waits for a second person until {waiting.ends:%d %B %H:%M} UTC."
    return Finding("request", Health.WARN, said, "A DEA registrant executes it: renewagent epcs approve.")


def _incident(incident: Unreported, now: datetime) -> Finding:
    late = now >= incident.due
    said = f"{incident.what} It {'had' if late else 'has'} to be reported by {incident.due:%d %B %H:%M} UTC."
    return Finding(
        "incident", Health.FAIL if late else Health.WARN, said, "An EPCS administrator reports it at the EPCS desk."
    )

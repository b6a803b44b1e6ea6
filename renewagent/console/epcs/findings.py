"""Why somebody can or cannot sign prescriptions of controlled substances: what was heard of them, judged. No question
is asked here, of nobody; `standing` asks them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from renewagent.health import Health, Observation
from renewagent.tokens import calendar, leases, soft_causes
from renewagent.tokens.advice import Weight, after_refusal, after_resynchronising
from renewagent.tokens.leases import Lease, Life
from renewagent.tokens.model import Access, Device, SoftToken, TokenKind, TokenStanding, TokenState

_WARN_DAYS = 30
_LATELY = timedelta(hours=24)
"""How long nobody will have signed since two codes were refused."""


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


def findings(heard: Heard, now: datetime) -> list[Observation]:
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


def _access(heard: Heard) -> Iterator[Observation]:
    access = heard.access
    if access is None:
        why = heard.ehr_silent or "The EHR says nothing of this user."
        yield Observation("EPCS", Health.UNKNOWN, why, "Look again when the EHR answers.")
        return
    if access.epcs_suspended:
        yield Observation(
            "EPCS suspended",
            Health.PROBLEM,
            "EPCS is suspended: you cannot sign controlled substances.",
            "Put right what it was suspended for, then have two people grant EPCS: renewagent epcs request.",
        )
    yield _is("EPCS enabled", "EPCS is enabled in the EHR.", "EPCS is not enabled in the EHR.", access.epcs_enabled)
    yield _is("EPCS granted", "EPCS is granted to you.", "EPCS is not granted to you.", access.epcs_granted)


_TO_DO = {
    "EPCS enabled": "Have it enabled: renewagent epcs enable.",
    "EPCS granted": "Two people grant it, one enters it and the other executes it: renewagent epcs request.",
}


def _is(name: str, yes: str, no: str, value: bool) -> Observation:
    return Observation(name, Health.OK, yes) if value else Observation(name, Health.PROBLEM, no, _TO_DO[name])


# --- What they sign with


def _hardware(heard: Heard, now: datetime) -> Iterator[Observation]:
    mine = [token for token in heard.tokens if token.kind is TokenKind.HARDWARE]
    if mine and heard.vendor_silent:
        serials = ", ".join(token.serial for token in mine if not token.state.is_over) or mine[0].serial
        yield Observation(
            "hardware token", Health.UNKNOWN, f"{heard.vendor_silent} How {serials} stands is not known.", _LATER
        )
        return
    active = [token for token in mine if token.stands is TokenState.ACTIVE]
    for token in active:
        yield from _one(token, now)
    if mine and not active:
        yield _none_active(mine)


_LATER = "Look again when the vendor answers."


def _one(token: Held, now: datetime) -> Iterator[Observation]:
    name, until = "hardware token", token.vendor.locked_until if token.vendor else None
    if token.vendor is None:
        yield Observation(
            name, Health.PROBLEM, f"The vendor does not know your token {token.serial}.", "Ask your EPCS administrator."
        )
    elif until is not None and until > now:
        yield Observation(
            name,
            Health.PROBLEM,
            f"Your token {token.serial} is locked until {until:%H:%M} UTC: too many wrong codes were tried.",
            "Wait until then, then sign in with a fresh code.",
        )
    elif token.refused is not None and (token.resynchronised is None or token.refused > token.resynchronised):
        told, lately = after_refusal(token.refusals), now - token.refused <= _LATELY
        said = f"Your token {token.serial} could not be resynchronised on {calendar.day_words(token.refused)}."
        yield Observation(name, Health.PROBLEM if lately else Health.WARNING, said, told.advice)
    else:
        yield Observation(name, Health.OK, f"Your token {token.serial} is active.")
        yield from _drift(token)


def _drift(token: Held) -> Iterator[Observation]:
    told = after_resynchronising(token.drift or 0)
    if told.weight is not Weight.FINE:
        yield Observation("presses", Health.WARNING, told.said, told.advice)


def _none_active(mine: list[Held]) -> Observation:
    spare = next((token for token in mine if token.stands is TokenState.SPARE), None)
    if spare is not None:
        return Observation(
            "hardware token",
            Health.PROBLEM,
            "None of your tokens is active.",
            f"Let your spare {spare.serial} take over: have it activated at the EPCS desk.",
        )
    last = mine[-1]
    return Observation(
        "hardware token",
        Health.PROBLEM,
        f"Your token {last.serial} is {last.stands.value}: it cannot be used again.",
        "Order another one: renewagent token replace, or renewagent token spare.",
    )


def _soft(heard: Heard, now: datetime) -> Iterator[Observation]:
    device, soft, name = heard.device, heard.soft, "soft token"
    if heard.ehr_silent:
        yield Observation(name, Health.UNKNOWN, f"{heard.ehr_silent} It is not known which device it has.", _LATER_EHR)
    elif device is None:
        if soft is not None:
            yield Observation(
                name, Health.PROBLEM, 'The EHR has no device: "EPCS Device Registration" shows "None".', _ANEW
            )
    elif not device.authenticated:
        yield Observation(name, Health.PROBLEM, f'The EHR takes no code of {device.name}: "Soft Token Expired".', _ANEW)
    elif heard.vendor_silent:
        yield Observation(name, Health.UNKNOWN, f"The EHR has {device.name}. {heard.vendor_silent}", _LATER)
    elif soft is None:
        yield Observation(
            name, Health.PROBLEM, f"The vendor does not know {device.username}, which the EHR has.", _ANEW
        )
    elif soft.serial != device.serial:
        said = f"The EHR has the device {device.serial}, the vendor {soft.serial}."
        yield Observation(name, Health.PROBLEM, said, _ANEW)
    elif not soft.working:
        yield Observation(
            name, Health.PROBLEM, "The vendor says that the app on your phone does not work any more.", _ANEW
        )
    elif changed := soft_causes.diagnose(device, soft, {}, now).likely:
        yield Observation(name, Health.PROBLEM, f'{changed[0].why[0]} So the EHR says "Soft Token Expired".', _ANEW)
    else:
        yield Observation(name, Health.OK, f"Your app on {device.name} is registered at the EHR.")


_ANEW = "Find out why and register it anew: renewagent softtoken explain, then renewagent softtoken reregister."
_LATER_EHR = "Look again when the EHR answers."


def _ends(heard: Heard, now: datetime) -> Iterator[Observation]:
    if heard.soft is None:
        return
    upcoming = {one.deadline.what: one for one in calendar.upcoming(heard.soft, now)}
    for deadline in calendar.deadlines(heard.soft):
        name, reminder = deadline.what.value, upcoming.get(deadline.what)
        if reminder is None:
            what = deadline.what.words
            yield Observation(
                name, Health.OK, f"{what[0].upper()}{what[1:]} ends on {calendar.day_words(deadline.ends)}."
            )
        else:
            health = (
                Health.PROBLEM if reminder.left <= 0 else Health.WARNING if reminder.left <= _WARN_DAYS else Health.OK
            )
            yield Observation(name, health, reminder.said, reminder.advice)


def _without_any(heard: Heard) -> Iterator[Observation]:
    nothing = not heard.tokens and heard.device is None and heard.soft is None
    if nothing and not heard.ehr_silent and not heard.vendor_silent:
        yield Observation(
            "second factor",
            Health.PROBLEM,
            "You have neither a hardware token nor a soft token here.",
            "Register one: renewagent token register, or renewagent softtoken reregister.",
        )


# --- What must not be left standing, and what waits


def _leases(heard: Heard, now: datetime) -> Iterator[Observation]:
    for lease in heard.leases:
        state = leases.life(lease, now)
        if state is Life.GIVEN:
            said = f"An Administrator override stands until {lease.ends:%H:%M} UTC, for {lease.purpose}."
            yield Observation("override", Health.WARNING, said, "It is taken away as soon as that is done.")
        elif state in (Life.DUE, Life.OUTLIVED):
            yield Observation(
                "override",
                Health.WARNING if state is Life.DUE else Health.PROBLEM,
                f"An Administrator override should have ended at {lease.ends:%H:%M} UTC, and the EHR still shows it.",
                "It is being removed. If it stays, remove it in the EHR by hand and tell your EPCS administrator.",
            )
    if not heard.leases and heard.access is not None and heard.access.override_ends is not None:
        yield Observation(
            "override",
            Health.WARNING,
            f"The EHR shows an override until {heard.access.override_ends:%H:%M} UTC that was not given here.",
            "Ask your EPCS administrator who gave it.",
        )


def _request(waiting: Waiting) -> Observation:
    what = "grant of EPCS" if waiting.action == "grant" else "revocation of EPCS"
    said = f"A {what} that {waiting.entered_by} entered waits for a second person until {waiting.ends:%d %B %H:%M} UTC."
    return Observation("request", Health.WARNING, said, "A DEA registrant executes it: renewagent epcs approve.")


def _incident(incident: Unreported, now: datetime) -> Observation:
    late = now >= incident.due
    said = f"{incident.what} It {'had' if late else 'has'} to be reported by {incident.due:%d %B %H:%M} UTC."
    return Observation(
        "incident",
        Health.PROBLEM if late else Health.WARNING,
        said,
        "An EPCS administrator reports it at the EPCS desk.",
    )

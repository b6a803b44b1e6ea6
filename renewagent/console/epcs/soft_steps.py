"""One step of a run: look at the EHR and the vendor, do what is still to be done, look again, and say what happened.

Each may be done twice and does no more than once: whoever was killed between a change and its row begins the step anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from renewagent.console.epcs import overrides, request_rows
from renewagent.console.epcs.desk import Desk
from renewagent.console.permissions import Person
from renewagent.tokens.calendar import day_words
from renewagent.tokens.errors import EhrMisbehaved, UnknownToken
from renewagent.tokens.grants import Action
from renewagent.tokens.leases import End
from renewagent.tokens.model import Device, SoftToken
from renewagent.tokens.reregistration import Event, Kind, Run, State, Waits, Way
from renewagent.tokens.soft_causes import ended_at_vendor, password_ended

_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Step:
    """What a step works with. `attended`: a person has asked for it just now; `intend(what, **facts)` writes what is
    about to be asked for, and stops a step that somebody else has overtaken."""

    desk: Desk
    run: Run
    owner: Person
    attended: bool
    intend: Callable[[str, Mapping[str, str]], None]

    @property
    def user(self) -> str:
        """In the EHR."""
        return self.owner.ehr

    @property
    def now(self) -> datetime:
        """Aware UTC."""
        return self.desk.now()

    def soft(self) -> SoftToken | None:
        """As the vendor has it now."""
        return self.desk.soft.soft_tokens([self.run.username]).get(self.run.username)

    def device(self) -> Device | None:
        """As the EHR shows it now."""
        return self.desk.ehr.device(self.user)


def take(step: Step) -> Event:
    """The one thing that the run's state names. Raises TokenError where it cannot be done now."""
    return _STEPS[step.run.state](step)


def is_new(run: Run, device: Device | None) -> bool:
    """This is the device that the run registered, not the one that was there before."""
    return (
        device is not None
        and device.username.casefold() == run.username.casefold()
        and bool(run.facts.get("registering"))
        and (device.registered is None or device.registered.isoformat() != run.facts.get("registered"))
    )


def _waits(what: Waits) -> Event:
    return Event(Kind.WAITS, {"waits": what.value})


# --- A device that works at the vendor


def _invite(step: Step) -> Event:
    if not step.attended:
        return _waits(Waits.START)
    step.intend("invitation", {})
    try:
        sent = step.desk.soft.invite(step.run.username)
    except UnknownToken:
        return _waits(Waits.UNKNOWN)
    way = Way.KEEPS_OLD if sent.keeps_old else Way.ENDS_OLD
    fields = {"way": way.value, "invitation": sent.id, "channels": " and ".join(sent.channels)}
    return Event(Kind.INVITED, {**fields, "ends": day_words(sent.ends), "until": sent.ends.isoformat()})


def _activate(step: Step) -> Event:
    try:
        activated = step.desk.soft.invitation(step.run.facts["invitation"])
    except UnknownToken:
        return Event(Kind.LAPSED)
    if activated is not None:
        return Event(Kind.ACTIVATED, {"serial_now": activated.serial})
    if step.now >= datetime.fromisoformat(step.run.facts["until"]):
        return Event(Kind.LAPSED)
    return _waits(Waits.ACTIVATION)


def _prepare(step: Step) -> Event:
    soft = step.soft()
    if soft is None:
        return _waits(Waits.UNKNOWN)
    if soft.certificate_ends <= step.now:
        return _waits(Waits.CERTIFICATE)
    if password_ended(soft, step.now):
        return _waits(Waits.PASSWORD)
    if ended_at_vendor(soft, step.now):
        return Event(Kind.ENDED, {"way": Way.NEW.value})
    return Event(Kind.READY, {"serial_now": soft.serial})


# --- The device at the EHR


def _clear(step: Step) -> Event:
    """One round: "None", "Save", "Refresh Shared Tables", and look."""
    device = step.device()
    if device is None:
        return Event(Kind.CLEARED)
    # What the screen shows from now on, stale or not, is not what will be registered.
    shown = device.registered.isoformat() if device.registered is not None else ""
    step.intend("removal", {"removing": "yes", "registering": "", "registered": shown})
    step.desk.ehr.remove_device(step.user)
    step.desk.ehr.refresh_shared_tables()
    return Event(Kind.STILL_SHOWN if step.device() is not None else Kind.CLEARED)


def _register(step: Step) -> Event:
    soft, device = step.soft(), step.device()
    if is_new(step.run, device):  # by a step that was cut off
        return Event(Kind.REGISTERED, {"registration": step.run.facts["registering"]})
    if soft is None or not soft.working or device is not None:
        return Event(Kind.CHANGED)
    step.intend("registration", {"registering": soft.registration})
    step.desk.ehr.register_device(step.user, step.run.username)
    if not _shows(step, soft):
        raise EhrMisbehaved(
            "The EHR says that the device is registered, and does not show it as authenticated.",
            advice='Look at "EPCS Device Registration" in the EHR. Go on later: it is then registered once more.',
        )
    return Event(Kind.REGISTERED, {"registration": soft.registration})


def _shows(step: Step, soft: SoftToken) -> bool:
    for _ in range(_LOOKS):
        device = step.device()
        if device is not None and device.authenticated and device.serial == soft.serial:
            return True
        step.desk.ehr.refresh_shared_tables()
    return False


def _is_changed(step: Step) -> bool:
    """What was registered is not what the vendor has now, or not what the EHR shows."""
    soft, device = step.soft(), step.device()
    if soft is None or device is None:
        return True
    same = soft.registration == step.run.facts["registration"] and soft.serial == device.serial
    return not (same and soft.working and device.authenticated)


# --- What the EHR lets them do


def _override(step: Step) -> Event:
    if _is_changed(step):
        return Event(Kind.CHANGED)
    access = step.desk.ehr.access(step.user)
    if access.epcs_enabled:
        return Event(Kind.ENABLED)
    return Event(Kind.ALLOWED) if access.administrator else _waits(Waits.OVERRIDE)


def _enable(step: Step) -> Event:
    access = step.desk.ehr.access(step.user)
    if access.epcs_enabled:
        return Event(Kind.ENABLED)
    if not access.administrator:
        return Event(Kind.WITHDRAWN)
    step.intend("enabling", {})
    step.desk.ehr.enable_epcs(step.user)
    if not step.desk.ehr.access(step.user).epcs_enabled:
        raise EhrMisbehaved(
            "The EHR says that EPCS is enabled, and it is not.",
            advice="Go on in a minute: it is tried again while the override stands. Else ask your EHR's support.",
        )
    return Event(Kind.ENABLED)


def _lift(step: Step) -> Event:
    """Enabling EPCS is all that an override is needed for: whatever was lent goes, and is seen to be gone."""
    for lease in overrides.open_leases(step.desk, step.owner):
        overrides.take_back(step.desk, lease, End.SERVED)
    stands = step.desk.ehr.access(step.user).administrator
    return Event(Kind.LIFTED, {"administrator": "yes" if stands else "no"})


def _grant(step: Step) -> Event:
    access = step.desk.ehr.access(step.user)
    if not access.epcs_enabled:
        return Event(Kind.DISABLED)
    if _is_changed(step):
        return Event(Kind.CHANGED)
    if access.epcs_granted and not access.epcs_suspended:
        return Event(Kind.GRANTED)
    waiting = step.desk.read(
        lambda connection: request_rows.open_ones(connection, subject=step.owner, actions=[Action.GRANT])
    )
    if waiting:
        return _waits(Waits.EXECUTION)
    return _waits(Waits.SUSPENDED if access.epcs_suspended else Waits.REQUEST)


def _check(step: Step) -> Event:
    if _is_changed(step):
        return Event(Kind.CHANGED)
    access = step.desk.ehr.access(step.user)
    if not access.epcs_enabled:
        return Event(Kind.DISABLED)
    if not access.epcs_granted or access.epcs_suspended:
        return Event(Kind.REVOKED)
    return Event(Kind.CHECKED)


_STEPS: Mapping[State, Callable[[Step], Event]] = MappingProxyType(
    {
        State.INVITE: _invite,
        State.ACTIVATE: _activate,
        State.PREPARE: _prepare,
        State.CLEAR: _clear,
        State.REGISTER: _register,
        State.OVERRIDE: _override,
        State.ENABLE: _enable,
        State.LIFT: _lift,
        State.GRANT: _grant,
        State.CHECK: _check,
    }
)

"""What is noted before a soft token is registered anew: whose it is, by which name, and whether an app has to be
activated first. The outside world is looked at, and nothing is changed.
"""

from __future__ import annotations

from datetime import datetime

from renewagent.console.epcs import soft_rows
from renewagent.console.epcs.desk import Desk
from renewagent.console.permissions import Permission, Person
from renewagent.tokens import soft_causes
from renewagent.tokens.errors import DeskRefused, FormError, TokenServerMisbehaved, TokenServerUnreachable
from renewagent.tokens.model import Device, SoftToken
from renewagent.tokens.reregistration import Event, Kind, Run, State, Way, step
from renewagent.tokens.soft_causes import Cause


def known(desk: Desk, owner: Person) -> tuple[Device | None, SoftToken | None]:
    """What the EHR shows, and what the vendor knows; None of a vendor that does not answer. Raises DeskRefused and the
    EHR's errors."""
    device = desk.ehr.device(_user(owner))
    before = desk.read(lambda connection: soft_rows.of(connection, owner))
    name = device.username if device is not None else before[0].run.username if before else ""
    try:
        return device, _soft(desk, name)
    except (TokenServerUnreachable, TokenServerMisbehaved):
        return device, None


def note(desk: Desk, by: Person, owner: Person, cause: Cause, username: str) -> Run:
    """A run that has noted what it needs; nothing is changed or kept yet. Raises FormError, DeskRefused, and what the
    EHR and the vendor raise."""
    device = desk.ehr.device(_user(owner))
    before = desk.read(lambda connection: soft_rows.of(connection, owner))
    noted = device.username if device is not None else before[0].run.username if before else ""
    name = _name(desk, by, owner, username, noted)
    soft = _soft(desk, name)
    was = _signed_with(device, before[0].run if before else None, cause)
    anew = soft_causes.needs_new_device(cause, was, soft, desk.now())
    if soft is None and not anew:
        raise FormError(
            f'The vendor knows no "Soft Token User Name" {name}.',
            "username",
            advice="Look it up in the app or at the vendor, and have an EPCS administrator begin with that name.",
        )
    fields = {"username": name, "way": (Way.NEW if anew else Way.SAME).value, **_device_facts(was)}
    return step(Run(desk.new_id(), owner.id, cause), Event(Kind.NOTED, fields))


def _name(desk: Desk, by: Person, owner: Person, given: str, noted: str) -> str:
    """The Soft Token User Name. Another than the EHR shows is for an administrator to say: codes are sent to whoever
    has it, and their old app may end with that."""
    if given in ("", noted):
        if not noted:
            raise FormError(
                "The EHR shows no device, and nothing is known of an earlier one.",
                "username",
                advice='An EPCS administrator begins this with the "Soft Token User Name", as the vendor has it.',
            )
        return noted
    if by.id == owner.id or not by.may(Permission.ADMINISTER_EPCS):
        raise DeskRefused(f'Only an EPCS administrator says that the "Soft Token User Name" is {given}.')
    if desk.read(lambda connection: soft_rows.owner_of_name(connection, given)) not in (None, owner.id):
        raise FormError(f'The "Soft Token User Name" {given} is somebody else\'s.', "username")
    return given


def _device_facts(device: Device | None) -> dict[str, str]:
    if device is None:
        return {"device": "", "serial": "", "registered": ""}
    registered = device.registered.isoformat() if device.registered is not None else ""
    return {"device": device.name, "serial": device.serial, "registered": registered}


def _signed_with(device: Device | None, before: Run | None, cause: Cause) -> Device | None:
    """The device that the person signed with before it all began: that which the EHR shows, unless a run for the same
    cause was given up part-way; what that one noted is then still it, and an app may be activated already."""
    given_up = before is not None and before.state is State.ABANDONED and before.cause is cause
    if before is None or not before.facts["serial"] or (device is not None and not given_up):
        return device
    registered = before.facts.get("registered")
    at = datetime.fromisoformat(registered) if registered else None
    return Device(before.facts["device"], before.facts["serial"], before.username, False, at)


def _soft(desk: Desk, name: str) -> SoftToken | None:
    return desk.soft.soft_tokens([name]).get(name) if name else None


def _user(owner: Person) -> str:
    if not owner.ehr:
        raise DeskRefused(
            f"{owner.name} has no account in the EHR that is known here.",
            advice="Ask whoever looks after the console to enter their EHR user name.",
        )
    return owner.ehr

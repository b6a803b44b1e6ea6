"""What each state of a soft token's run means to people: what has happened, who does what next. Pure.

The words speak to the prescriber; for others, `name` is in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from renewagent.tokens.reregistration import Run, State, Waits, Way


class Who(Enum):
    """Whose turn it is."""

    PRESCRIBER = "prescriber"
    ADMINISTRATOR = "administrator"
    TWO = "two"
    DESK = "desk"
    """The desk itself: whoever looks after the run selects "Continue"."""
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Words:
    """`happened`: what stands; `who` does `next`; `signs`: the app signs, as far as the EHR and the vendor show it."""

    happened: str
    who: Who
    next: str
    signs: bool


@dataclass(frozen=True, slots=True)
class _Person:
    """Whom the words speak to, or of."""

    you: str
    your: str

    @property
    def capital(self) -> str:
        return self.you[:1].upper() + self.you[1:]


def words(run: Run, name: str = "") -> Words:
    """`name`: of the prescriber, where somebody else reads the words."""
    person = _Person(name, f"{name}'s") if name else _Person("you", "your")
    happened, who, following = _STATES[run.state](run, person)
    return Words(happened, who, following, _signs(run))


def _signs(run: Run) -> bool:
    """What the run found broken signs again only once all of it is seen to be whole."""
    if run.state is State.ABANDONED:
        return run.removed and _stands(run)
    return run.state in (State.CHECK, State.DONE)


def _stands(run: Run) -> bool:
    """Of a run that was abandoned: everything that signing needs was there."""
    there = all(run.facts.get(f"stands_{what}") == "yes" for what in ("device", "enabled", "granted"))
    return there and run.facts.get("stands_app") != "no"


def _may_be_invited(run: Run) -> bool:
    """An invitation was asked for, and no answer was kept: the vendor may have ended the old app with it."""
    return run.state is State.INVITE and run.facts.get("asked") == "invitation"


_Said = tuple[str, Who, str]


def _note(run: Run, person: _Person) -> _Said:
    return "Nothing has been changed yet.", Who.DESK, 'The "Device Username" is noted.'


def _invite(run: Run, person: _Person) -> _Said:
    lapsed = "invitation" in run.facts and run.way is not Way.NEW
    happened = f"{'The codes that were sent were not used in time. ' if lapsed else ''}{_noted(run, person)}"
    if _may_be_invited(run):
        happened = f"{happened} Two codes were asked for; whether they were sent is not known yet."
    following = f"Two codes are sent to {person.you}, one by e-mail and one by phone."
    if run.waits is Waits.UNKNOWN:
        return _unknown(run)
    if run.waits is Waits.START:
        return happened, Who.PRESCRIBER, f'Select "Continue" with the phone at hand. {following}'
    return happened, Who.DESK, following


def _activate(run: Run, person: _Person) -> _Said:
    sent = f"Two codes were sent: {run.facts.get('channels', '')}."
    old = (
        f"The old app ended with that, and is removed at the EHR: {person.you} cannot sign with the app for now."
        if run.way is Way.ENDS_OLD
        else f"No device is registered at the EHR: {person.you} cannot sign with the app for now."
        if run.removed
        else "The old device stays registered until the new one works."
    )
    following = (
        f"Install the app on {person.your} phone and activate it with both codes, by {run.facts.get('ends', '')}. "
        "Tell the codes to nobody."
    )
    return f"{sent} {old}", Who.PRESCRIBER, following


def _prepare(run: Run, person: _Person) -> _Said:
    if run.waits is Waits.PASSWORD:
        return (
            f"The password of the app has ended. {_noted(run, person)}",
            Who.PRESCRIBER,
            f"Open the app on {person.your} phone and set a new password.",
        )
    if run.waits is Waits.CERTIFICATE:
        return (
            f"The certificate has ended. {_noted(run, person)}",
            Who.PRESCRIBER,
            "Renew the certificate at the vendor (IdenTrust), and authenticate the device there anew.",
        )
    if run.waits is Waits.UNKNOWN:
        return _unknown(run)
    return _noted(run, person), Who.DESK, "The vendor is asked whether the app works."


def _unknown(run: Run) -> _Said:
    return (
        f'The vendor knows no "Soft Token User Name" {run.username}.',
        Who.ADMINISTRATOR,
        "Look the name up in the app or at the vendor, abandon this, and have an EPCS administrator start it with that "
        'name. Mostly it is the "Device Username" of the EHR, but not always.',
    )


def _clear(run: Run, person: _Person) -> _Said:
    shown = (
        f"The old device has been removed {_times(run.rounds)}, and the EHR went on showing it."
        if run.rounds
        else f'Noted: the "Device Username" is {run.username}. The old device is being removed.'
    )
    return (
        f"{shown} {person.capital} cannot sign with the app until it is registered again.",
        Who.DESK,
        'The old device is removed under "EPCS Device Registration" and "Refresh Shared Tables" is done, '
        "until the EHR shows none.",
    )


def _register(run: Run, person: _Person) -> _Said:
    asked = bool(run.facts.get("registering"))  # it may have been done: the row comes after
    there = "the device is being registered" if asked else f"no device is registered for {person.you} yet"
    return (
        f"The old device is removed, and {there}.",
        Who.DESK,
        f'The device is registered by its "Soft Token User Name", {run.username}, and the EHR is read back.',
    )


def _override(run: Run, person: _Person) -> _Said:
    return (
        "The device is registered again. EPCS is not enabled yet.",
        Who.ADMINISTRATOR,
        f"An EPCS administrator other than {person.you} gives the override for enabling EPCS. "
        "EPCS is then enabled at once, and the override is taken away.",
    )


def _enable(run: Run, person: _Person) -> _Said:
    return (
        "The device is registered again, and the override for enabling EPCS stands.",
        Who.DESK,
        "EPCS is enabled, and the override is taken away at once. It ends by itself, too.",
    )


def _lift(run: Run, person: _Person) -> _Said:
    return (
        "The device is registered again, and EPCS is enabled.",
        Who.DESK,
        "The override is taken away. It ends by itself, too.",
    )


def _grant(run: Run, person: _Person) -> _Said:
    stands = "The device is registered again, EPCS is enabled, and the override is gone."
    if run.waits is Waits.SUSPENDED:
        stands = f"{stands} EPCS is suspended for {person.you}."
    if run.waits is Waits.EXECUTION:
        return (
            f"{stands} The grant has been entered.",
            Who.TWO,
            f"A DEA registrant executes it: neither the one who entered it, nor {person.you}.",
        )
    return (
        f"{stands} The grant is missing.",
        Who.TWO,
        f"An EPCS administrator enters the grant, and a DEA registrant executes it: two people, neither of them "
        f"{person.you}.",
    )


def _check(run: Run, person: _Person) -> _Said:
    return "The device is registered, EPCS is enabled and granted.", Who.DESK, "All of it is looked at once more."


def _done(run: Run, person: _Person) -> _Said:
    said = f"{person.capital} can sign with the app again: the device is registered, EPCS is enabled and granted."
    if run.facts.get("administrator") == "yes":
        return (
            said,
            Who.ADMINISTRATOR,
            f'The permission "Administrator (Overrides Role Based Permissions)" of {person.you} was not given by this '
            "desk and still stands. Have it removed, unless it belongs to the post.",
        )
    return f"{said} No override is left.", Who.NOBODY, "There is nothing more to do."


_DEVICE_STANDS = {
    "yes": "A device is registered at the EHR",
    "old": "The EHR still shows the old device, which may be removed already",
}


def _abandoned(run: Run, person: _Person) -> _Said:
    device = _DEVICE_STANDS.get(run.facts.get("stands_device", ""), "No device is registered at the EHR")
    enabled, granted, override = (
        run.facts.get(f"stands_{what}") == "yes" for what in ("enabled", "granted", "override")
    )
    epcs = f"EPCS is{'' if enabled else ' not'} enabled and{'' if granted else ' not'} granted"
    happened = f"This was abandoned. {device}; {epcs}."
    if run.facts.get("stands_app") == "no":
        happened += " The app is not active at the vendor."
    if override:
        happened += ' The permission "Administrator (Overrides Role Based Permissions)" still stands.'
    if _stands(run):
        return happened, Who.NOBODY, "If a prescription is refused, start the registration again."
    return (
        f"{happened} {person.capital} cannot sign with the app like this.",
        Who.PRESCRIBER,
        f'Start the registration again when it suits: the "Soft Token User Name" is {run.username}.',
    )


def _noted(run: Run, person: _Person) -> str:
    noted = f'Noted: the "Device Username" is {run.username}.'
    if run.removed:
        return (
            f"{noted} The EHR has not got the device that works at the vendor: {person.you} cannot sign with the app."
        )
    return f"{noted} Nothing has been removed."


def _times(rounds: int) -> str:
    return {1: "once", 2: "twice"}.get(rounds, f"{rounds} times")


_STATES: Mapping[State, Callable[[Run, _Person], _Said]] = MappingProxyType(
    {
        State.NOTE: _note,
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
        State.DONE: _done,
        State.ABANDONED: _abandoned,
    }
)

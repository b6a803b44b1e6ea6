"""Why an EHR says "Soft Token Expired": five causes, told apart by what the EHR shows, what the vendor knows and what
the person says. Pure; the questions are data for a terminal, a page and `--json`.

Each piece of evidence speaks for or against one cause with so many points. What the vendor's record shows weighs more
than what a person remembers; where the two disagree, the diagnosis says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from renewagent.language import N_, _
from renewagent.tokens.calendar import PASSWORD_LASTS, day_words
from renewagent.tokens.model import Device, SoftToken
from renewagent.tokens.soft_questions import QUESTIONS, Question, check


class Cause(Enum):
    """What makes the EHR's registration of an app worthless."""

    NEW_PHONE = "new-phone"
    REINSTALLED = "reinstalled"
    CERTIFICATE_RENEWED = "certificate-renewed"
    PASSWORD_EXPIRED = "password-expired"  # noqa: S105 - a word, not a password
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - a word, not a password

    @property
    def words(self) -> str:
        """In a sentence's place."""
        return _(_CAUSES[self])


_CAUSES = {
    Cause.NEW_PHONE: N_("You have a new phone, which the EHR does not know yet."),
    Cause.REINSTALLED: N_("The app was installed again, which makes it a new device."),
    Cause.CERTIFICATE_RENEWED: N_("Your certificate was renewed, which ends the old one at once."),
    Cause.PASSWORD_EXPIRED: N_("The password of the app was two years old, and has ended."),
    Cause.PASSWORD_CHANGED: N_("The password of the app was changed, and the EHR does not know the new registration."),
}


class Sureness(Enum):
    """How sure a cause is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"

    @property
    def words(self) -> str:
        """Before the cause."""
        return {
            Sureness.CERTAIN: _("This is certain."),
            Sureness.LIKELY: _("This is likely."),
            Sureness.POSSIBLE: _("This is possible."),
        }[self]


_RECORD, _HINT, _TRACE, _SAID = 5, 2, 1, 2
"""Points: what a record shows, what it suggests, what it leaves open, and what the person says."""
_CERTAIN, _LIKELY = 4, 2


@dataclass(frozen=True, slots=True)
class Likely:
    """One cause, how sure it is, and the sentences that speak for and against it."""

    cause: Cause
    sureness: Sureness
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`likely`: the causes that may be, the likeliest first; `ask`: what would make it surer; `first`: what the person
    has to do before anything else, "" for nothing; `new_device`: the app has to be activated anew by two codes;
    `warning`: what the person must be told besides, ""."""

    likely: tuple[Likely, ...]
    ask: tuple[Question, ...]
    plan: tuple[str, ...]
    minutes: int
    first: str = ""
    new_device: bool = False
    warning: str = ""

    @property
    def cause(self) -> Cause | None:
        """The likeliest."""
        return self.likely[0].cause if self.likely else None

    @property
    def certain(self) -> bool:
        """No question is left."""
        return bool(self.likely) and self.likely[0].sureness is Sureness.CERTAIN

    @property
    def takes(self) -> str:
        """How long, in words."""
        return _(
            "About {minutes} minutes, and then as long as it takes two people to grant EPCS. You cannot sign "
            "controlled substances with the app meanwhile; a hardware token goes on signing."
        ).format(minutes=self.minutes)


def diagnose(device: Device | None, soft: SoftToken | None, answers: Mapping[str, str], now: datetime) -> Diagnosis:
    """`device`: what the EHR shows; `soft`: what the vendor knows, None if that is not known; `answers` by a question's
    id. Raises FormError for an answer that is none of the choices."""
    check(answers)
    evidence = [*_in_records(device, soft, now), *_said(answers)]
    likely = _weighed(evidence)
    cause = likely[0].cause if likely else None
    new_device = cause is not None and needs_new_device(cause, device, soft, now)
    certain = bool(likely) and likely[0].sureness is Sureness.CERTAIN
    return Diagnosis(
        likely,
        ask=() if certain else tuple(question for question in QUESTIONS if question.id not in answers),
        plan=plan(new_device=new_device),
        minutes=25 if new_device else 10,
        first=_first(cause, soft, now),
        new_device=new_device,
        warning=_warning(cause, device, soft, answers),
    )


def signs(device: Device | None, soft: SoftToken | None, now: datetime) -> bool:
    """The EHR has the very app that works at the vendor, and nothing has happened to it since it was registered there
    that ends a registration."""
    if device is None or soft is None or not (device.authenticated and soft.working and device.serial == soft.serial):
        return False
    return not _weighed([*_in_records(device, soft, now)])


def needs_new_device(cause: Cause, device: Device | None, soft: SoftToken | None, now: datetime) -> bool:
    """Whether an app has to be activated by two codes first; not where the vendor shows that it has been already."""
    if soft is None:
        return cause in (Cause.NEW_PHONE, Cause.REINSTALLED)
    if not soft.working:
        return ended_at_vendor(soft, now) or cause in (Cause.NEW_PHONE, Cause.REINSTALLED)
    return cause in (Cause.NEW_PHONE, Cause.REINSTALLED) and not _activated_since(device, soft)


def ended_at_vendor(soft: SoftToken, now: datetime) -> bool:
    """The vendor has the app as no longer active, and neither its password's nor its certificate's age is why."""
    return not soft.working and not password_ended(soft, now) and soft.certificate_ends > now


def password_ended(soft: SoftToken, now: datetime) -> bool:
    """Two years old: the app takes no code before there is a new one."""
    return soft.password_set + PASSWORD_LASTS <= now


def plan(*, new_device: bool) -> tuple[str, ...]:
    """What will be done, in the EHR's own words."""
    invited = (
        _(
            "Two codes are sent to you by two ways, e-mail and phone; you activate the app with them. Your old "
            "device is kept until the new one works, where the vendor allows it."
        ),
    )
    return (
        _('The "Device Username" is noted: it is the "Soft Token User Name" by which the app is registered again.'),
        *(invited if new_device else ()),
        _(
            'The old device is removed under "EPCS Device Registration", and the EHR is read back until it is '
            "really gone."
        ),
        _("The device is registered again, and read back."),
        _(
            'EPCS is enabled. That needs the "Administrator" override for some minutes: an EPCS administrator '
            "gives it, and it is taken away as soon as EPCS is enabled."
        ),
        _("Two people grant EPCS: one enters it, the other, a DEA registrant, executes it."),
    )


# --- Evidence


@dataclass(frozen=True, slots=True)
class _Evidence:
    cause: Cause
    points: int
    said: str


def _weighed(evidence: list[_Evidence]) -> tuple[Likely, ...]:
    """By points, and by the order of `Cause` where they are even: the first explains more than those after it."""
    order = list(Cause)
    sums = {cause: sum(one.points for one in evidence if one.cause is cause) for cause in order}
    ranked = sorted((cause for cause in order if sums[cause] > 0), key=lambda cause: (-sums[cause], order.index(cause)))
    return tuple(
        Likely(cause, _sureness(sums[cause]), tuple(one.said for one in evidence if one.cause is cause))
        for cause in ranked
    )


def _sureness(points: int) -> Sureness:
    if points >= _CERTAIN:
        return Sureness.CERTAIN
    return Sureness.LIKELY if points >= _LIKELY else Sureness.POSSIBLE


def _in_records(device: Device | None, soft: SoftToken | None, now: datetime) -> Iterator[_Evidence]:
    if soft is None:
        yield from _by_age(device, now)
        return
    yield from _not_working(soft, now)
    if device is None:
        if soft.working:
            said = _(
                "The EHR shows no device, and the app works at the vendor: it only has to be registered there again."
            )
            yield _Evidence(Cause.PASSWORD_CHANGED, _TRACE, said)
        return
    if soft.serial and device.serial and soft.serial != device.serial:
        since = day_words(soft.activated)
        said = _("The EHR has the device {device}, the vendor {soft}, active since {since}.").format(
            device=device.serial, soft=soft.serial, since=since
        )
        yield _Evidence(Cause.NEW_PHONE, _HINT, said)
        yield _Evidence(Cause.REINSTALLED, _HINT, said)
    elif device.registered is not None:
        yield from _changed_since(device.registered, soft)


def _changed_since(registered: datetime, soft: SoftToken) -> Iterator[_Evidence]:
    """The same device as the EHR has: what happened to it after the EHR registered it."""
    known = _("the EHR registered the device on {registered}.").format(registered=day_words(registered))
    if soft.certificate_issued > registered:
        said = _("Your certificate was issued on {certificate_issued}; {known}").format(
            certificate_issued=day_words(soft.certificate_issued), known=known
        )
        yield _Evidence(Cause.CERTIFICATE_RENEWED, _RECORD, said)
    elif soft.activated > registered:
        yield _Evidence(
            Cause.REINSTALLED,
            _RECORD,
            _("The app was activated on {activated}; {known}").format(activated=day_words(soft.activated), known=known),
        )
    elif soft.password_set > registered:
        # A password that came after two whole years was asked for by the app.
        aged = soft.password_set - soft.activated >= PASSWORD_LASTS - timedelta(days=1)
        cause = Cause.PASSWORD_EXPIRED if aged else Cause.PASSWORD_CHANGED
        said = _("The password of the app was set on {password_set}; {known}").format(
            password_set=day_words(soft.password_set), known=known
        )
        yield _Evidence(cause, _HINT if aged else _RECORD, said)
        if aged:
            yield _Evidence(Cause.PASSWORD_CHANGED, _TRACE, said)
    else:
        for cause in (Cause.PASSWORD_CHANGED, Cause.CERTIFICATE_RENEWED):
            yield _Evidence(cause, -_TRACE, _("The vendor knows of no such change since {known}").format(known=known))


def _not_working(soft: SoftToken, now: datetime) -> Iterator[_Evidence]:
    if soft.certificate_ends <= now:
        said = _("Your certificate ended on {certificate_ends} and has not been renewed yet.").format(
            certificate_ends=day_words(soft.certificate_ends)
        )
        yield _Evidence(Cause.CERTIFICATE_RENEWED, _RECORD, said)
    elif password_ended(soft, now):
        said = _("The password of the app was set on {password_set}, two years ago or more.").format(
            password_set=day_words(soft.password_set)
        )
        yield _Evidence(Cause.PASSWORD_EXPIRED, _RECORD, said)
    elif not soft.working:
        said = _("The vendor says that the app on your phone is not active any more.")
        yield _Evidence(Cause.NEW_PHONE, _HINT, said)
        yield _Evidence(Cause.REINSTALLED, _HINT, said)


def _by_age(device: Device | None, now: datetime) -> Iterator[_Evidence]:
    if device is not None and device.registered is not None and device.registered + PASSWORD_LASTS <= now:
        said = _("The EHR registered the device on {registered}, two years ago or more.").format(
            registered=day_words(device.registered)
        )
        yield _Evidence(Cause.PASSWORD_EXPIRED, _TRACE, said)
        yield _Evidence(Cause.CERTIFICATE_RENEWED, _TRACE, said)


_SAYS: Mapping[tuple[str, str], tuple[tuple[Cause, int, str], ...]] = {
    ("phone", "new"): (
        (Cause.NEW_PHONE, _SAID, N_("You have another phone.")),
        (Cause.REINSTALLED, -_SAID, N_("You have another phone.")),
    ),
    ("phone", "same"): ((Cause.NEW_PHONE, -_SAID, N_("You have the same phone.")),),
    ("app", "reinstalled"): ((Cause.REINSTALLED, _SAID, N_("The app was installed again.")),),
    ("app", "no"): ((Cause.REINSTALLED, -_SAID, N_("The app was not installed again.")),),
    ("password", "changed"): (
        (Cause.PASSWORD_CHANGED, _SAID, N_("You changed the password of the app.")),
        (Cause.PASSWORD_EXPIRED, -_TRACE, N_("You changed the password of the app yourself.")),
    ),
    ("password", "expired"): (
        (Cause.PASSWORD_EXPIRED, _SAID, N_("The app said that its password was too old.")),
        (Cause.PASSWORD_CHANGED, -_SAID, N_("The app asked for the new password.")),
    ),
    ("password", "forgotten"): (
        (
            Cause.REINSTALLED,
            _SAID + _TRACE,
            N_("A forgotten password cannot be reset: the app has to be installed again."),
        ),
    ),
    ("password", "no"): tuple(
        (cause, -_SAID, N_("You did not change the password of the app."))
        for cause in (Cause.PASSWORD_CHANGED, Cause.PASSWORD_EXPIRED)
    ),
    ("certificate", "renewed"): ((Cause.CERTIFICATE_RENEWED, _SAID, N_("You renewed your certificate.")),),
    ("certificate", "no"): ((Cause.CERTIFICATE_RENEWED, -_SAID, N_("You did not renew your certificate.")),),
}


def _said(answers: Mapping[str, str]) -> Iterator[_Evidence]:
    for answer in answers.items():
        for cause, points, said in _SAYS.get(answer, ()):
            yield _Evidence(cause, points, _(said))


def _activated_since(device: Device | None, soft: SoftToken) -> bool:
    if device is None:
        return False
    other = bool(device.serial and soft.serial) and device.serial != soft.serial
    return other or (device.registered is not None and soft.activated > device.registered)


def _first(cause: Cause | None, soft: SoftToken | None, now: datetime) -> str:
    if cause is Cause.CERTIFICATE_RENEWED and soft is not None and soft.certificate_ends <= now:
        return _("Renew your certificate at the vendor (IdenTrust), and authenticate your device there anew.")
    if cause is Cause.PASSWORD_EXPIRED and soft is not None and password_ended(soft, now):
        return _("Open the app on your phone and set a new password.")
    if cause is Cause.NEW_PHONE:
        return _("If your old phone was lost or stolen, tell your EPCS administrator before anything else.")
    return ""


def _warning(cause: Cause | None, device: Device | None, soft: SoftToken | None, answers: Mapping[str, str]) -> str:
    if soft is None or device is None or device.registered is None:
        return ""
    denied = {
        Cause.PASSWORD_CHANGED: answers.get("password") == "no",
        Cause.CERTIFICATE_RENEWED: answers.get("certificate") == "no" and soft.certificate_issued > device.registered,
        Cause.REINSTALLED: answers.get("app") == "no" and answers.get("phone") == "same",
        Cause.NEW_PHONE: answers.get("app") == "no" and answers.get("phone") == "same",
    }
    if cause is None or not denied.get(cause, False):
        return ""
    return _(
        "The vendor's record shows a change that you say you did not make. If nobody did it for you, have "
        "EPCS suspended at once: somebody else may have your app or its password."
    )

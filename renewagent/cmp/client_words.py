"""What the client tells a person when an RA says no, or says what must not be believed. Words and error types only."""

from __future__ import annotations

from datetime import datetime, timedelta

from renewagent.cmp.wire import ErrorContent, StatusInfo
from renewagent.errors import ClockError, RaMisbehaved, RaRefused, Retry
from renewagent.language import N_, _, ngettext

CLOCK_TOLERANCE = timedelta(minutes=5)
_MOST_TEXT = 200

_WORDS = {
    "badAlg": N_("it does not accept this kind of signature"),
    "badMessageCheck": N_("it could not verify the signature of the request"),
    "badRequest": N_("it does not allow this request now"),
    "badTime": N_("the time in the request does not agree with its clock"),
    "badCertId": N_("it does not know the certificate that was to be replaced"),
    "badDataFormat": N_("it could not read the request"),
    "wrongAuthority": N_("this certificate belongs to another authority"),
    "missingTimeStamp": N_("the request bore no time"),
    "badPOP": N_("the new key was not proven to be on this smartcard"),
    "certRevoked": N_("the certificate has been revoked or already replaced"),
    "certConfirmed": N_("the certificate has already been confirmed"),
    "wrongIntegrity": N_("the request was not signed in the way it asks for"),
    "unacceptedPolicy": N_("its policy does not allow this certificate"),
    "unacceptedExtension": N_("its policy does not allow what the certificate was to be used for"),
    "badCertTemplate": N_("it does not allow a certificate with these contents"),
    "signerNotTrusted": N_("it does not trust the certificate that signed the request"),
    "transactionIdInUse": N_("it has seen this request before"),
    "unsupportedVersion": N_("it speaks another version of the protocol"),
    "notAuthorized": N_("this smartcard is not allowed to ask for that"),
    "systemUnavail": N_("its systems are not available just now"),
    "systemFailure": N_("its systems have failed"),
    "duplicateCertReq": N_("this certificate has already been asked for"),
}
_PASSING = frozenset({"systemUnavail", "systemFailure", "timeNotAvailable"})


def plain(text: str) -> str:
    """A peer's text as it may be shown: one line, printable, not endless."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line[:_MOST_TEXT]


def said(status: StatusInfo, details: tuple[str, ...] = ()) -> str:
    """What the RA wrote, for a person."""
    return plain(" ".join((*status.text, *details)))


def refused(status: StatusInfo, details: tuple[str, ...] = ()) -> RaRefused | ClockError:
    """A protected no."""
    reasons = "; ".join(_(_WORDS[name]) for name in sorted(status.fail_info) if name in _WORDS)
    message = _("The Registration Authority refused the request.")
    if reasons:
        message = _("The Registration Authority refused the request: {reasons}.").format(reasons=reasons)
    text = said(status, details)
    message += _it_said(text)
    if status.fail_info == {"badTime"}:
        return ClockError(f"{message} " + _("This computer's clock is probably wrong."))
    error = RaRefused(message, fail_info=status.fail_info, status_text=text)
    if status.fail_info & _PASSING:
        error.retry, error.advice = Retry.LATER, _("Try again later. If it happens again, contact your help desk.")
    return error


def unprotected(error: ErrorContent) -> RaMisbehaved:
    """An error that anybody on the way could have written: reported, and nothing is concluded from it."""
    found = RaMisbehaved(
        _("The Registration Authority answered with an error that is not signed, so it may not come from it.")
        + _it_said(said(error.status, error.details)),
        advice=_("Try again. If it happens again, contact your Registration Authority."),
    )
    found.retry = Retry.LATER
    return found


def _it_said(text: str) -> str:
    return " " + _('It said: "{text}".').format(text=text) if text else ""


def misbehaved(what: str) -> RaMisbehaved:
    """An answer that must not be believed; `what` ends the sentence "The ... answer cannot be trusted: "."""
    return RaMisbehaved(_("The Registration Authority's answer cannot be trusted: {what}.").format(what=what))


def clocks_agree(now: datetime, theirs: datetime) -> bool:
    """Within five minutes."""
    return abs(now - theirs) <= CLOCK_TOLERANCE


def check_clock(now: datetime, theirs: datetime) -> None:
    """Raises ClockError when the two clocks differ by more than five minutes."""
    if clocks_agree(now, theirs):
        return
    sentence = (
        _("This computer's clock is {span} ahead of the Registration Authority's: {here} here, {there} there (UTC).")
        if now > theirs
        else _("This computer's clock is {span} behind the Registration Authority's: {here} here, {there} there (UTC).")
    )
    here, there = (f"{at:%Y-%m-%d %H:%M}" for at in (now, theirs))
    raise ClockError(sentence.format(span=_span(abs(now - theirs)), here=here, there=there))


def _span(difference: timedelta) -> str:
    minutes = round(difference.total_seconds() / 60)
    if minutes < 120:
        return ngettext("{number} minute", "{number} minutes", minutes).format(number=minutes)
    if minutes < 60 * 48:
        hours = round(minutes / 60)
        return ngettext("{number} hour", "{number} hours", hours).format(number=hours)
    days = round(minutes / 1440)
    return ngettext("{number} day", "{number} days", days).format(number=days)

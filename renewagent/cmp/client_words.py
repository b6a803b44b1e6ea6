"""What the client tells a person when an RA says no, or says what must not be believed. Words and error types only."""

from __future__ import annotations

from datetime import datetime, timedelta

from renewagent.cmp.wire import ErrorContent, StatusInfo
from renewagent.errors import ClockError, RaMisbehaved, RaRefused, Retry

CLOCK_TOLERANCE = timedelta(minutes=5)
_MOST_TEXT = 200

_WORDS = {
    "badAlg": "it does not accept this kind of signature",
    "badMessageCheck": "it could not verify the signature of the request",
    "badRequest": "it does not allow this request now",
    "badTime": "the time in the request does not agree with its clock",
    "badCertId": "it does not know the certificate that was to be replaced",
    "badDataFormat": "it could not read the request",
    "wrongAuthority": "this certificate belongs to another authority",
    "missingTimeStamp": "the request bore no time",
    "badPOP": "the new key was not proven to be on this smartcard",
    "certRevoked": "the certificate has been revoked or already replaced",
    "certConfirmed": "the certificate has already been confirmed",
    "wrongIntegrity": "the request was not signed in the way it asks for",
    "unacceptedPolicy": "its policy does not allow this certificate",
    "unacceptedExtension": "its policy does not allow what the certificate was to be used for",
    "badCertTemplate": "it does not allow a certificate with these contents",
    "signerNotTrusted": "it does not trust the certificate that signed the request",
    "transactionIdInUse": "it has seen this request before",
    "unsupportedVersion": "it speaks another version of the protocol",
    "notAuthorized": "this smartcard is not allowed to ask for that",
    "systemUnavail": "its systems are not available just now",
    "systemFailure": "its systems have failed",
    "duplicateCertReq": "this certificate has already been asked for",
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
    reasons = [_WORDS[name] for name in sorted(status.fail_info) if name in _WORDS]
    because = f": {'; '.join(reasons)}" if reasons else ""
    text = said(status, details)
    message = f"The Registration Authority refused the request{because}." + (f' It said: "{text}".' if text else "")
    if status.fail_info == {"badTime"}:
        return ClockError(f"{message} This computer's clock is probably wrong.")
    error = RaRefused(message, fail_info=status.fail_info, status_text=text)
    if status.fail_info & _PASSING:
        error.retry, error.advice = Retry.LATER, "Try again later. If it happens again, contact your help desk."
    return error


def unprotected(error: ErrorContent) -> RaMisbehaved:
    """An error that anybody on the way could have written: reported, and nothing is concluded from it."""
    text = said(error.status, error.details)
    found = RaMisbehaved(
        "The Registration Authority answered with an error that is not signed, so it may not come from it."
        + (f' It said: "{text}".' if text else ""),
        advice="Try again. If it happens again, contact your Registration Authority.",
    )
    found.retry = Retry.LATER
    return found


def misbehaved(what: str) -> RaMisbehaved:
    """An answer that must not be believed; `what` ends the sentence "The ... answer cannot be trusted: "."""
    return RaMisbehaved(f"The Registration Authority's answer cannot be trusted: {what}.")


def clocks_agree(now: datetime, theirs: datetime) -> bool:
    """Within five minutes."""
    return abs(now - theirs) <= CLOCK_TOLERANCE


def check_clock(now: datetime, theirs: datetime) -> None:
    """Raises ClockError when the two clocks differ by more than five minutes."""
    if clocks_agree(now, theirs):
        return
    side = "ahead of" if now > theirs else "behind"
    raise ClockError(
        f"This computer's clock is {_span(abs(now - theirs))} {side} the Registration Authority's: "
        f"{now:%Y-%m-%d %H:%M} here, {theirs:%Y-%m-%d %H:%M} there (UTC)."
    )


def _span(difference: timedelta) -> str:
    minutes = round(difference.total_seconds() / 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{round(minutes / 60)} hours" if minutes < 60 * 48 else f"{round(minutes / 1440)} days"

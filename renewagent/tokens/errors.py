"""The branch of our errors for one-time passwords and EPCS (the tree is in `renewagent.errors`).

TokenError
├── FormError                 something typed into a form cannot be so (`.field`)
├── UnknownToken              no token (or soft token) of that name is known
├── TokenRefused              codes or a step that the vendor does not accept
├── TokenLocked               too many wrong codes (`.until`)
├── SeedFileError             a file of tokens' seeds that cannot be used (`.problems`)
├── TokenServerUnreachable    no answer from the vendor
├── TokenServerMisbehaved     an answer of the vendor's that makes no sense
├── EhrUnreachable            no answer from the EHR
├── EhrRefused                the EHR says no
├── EhrMisbehaved             the EHR's answer makes no sense, or it says done and it is not
├── DeskRefused               the EPCS desk does not let this person do this, or not now
└── DeskUnreachable           no answer from the EPCS desk
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from renewagent.errors import RenewAgentError, Retry
from renewagent.language import N_


class TokenError(RenewAgentError):
    """One-time passwords and EPCS."""

    code = "RA-TOKEN"


class FormError(TokenError):
    """What was typed for `field` cannot be so."""

    code = "RA-TOKEN-FORM"
    retry = Retry.NOW
    advice = N_("Correct it, then try again.")

    def __init__(self, message: str, field: str, *, advice: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.field = field


class UnknownToken(TokenError):
    """Nobody knows a token of this serial, or a soft token of this user name."""

    code = "RA-TOKEN-UNKNOWN"
    retry = Retry.NOW
    advice = N_("Compare the serial number with the one on the back of the token, then try again.")


class TokenRefused(TokenError):
    """The vendor does not accept the codes, or the step."""

    code = "RA-TOKEN-REFUSED"
    retry = Retry.NOW


class TokenLocked(TokenError):
    """Too many wrong codes: nothing is looked at before `until`, aware UTC."""

    code = "RA-TOKEN-LOCKED"

    def __init__(self, message: str, until: datetime, *, advice: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.until = until


@dataclass(frozen=True, slots=True)
class SeedProblem:
    """What is wrong with one token of a file. `where`: "Line 7", "Key 3", or a serial; never a seed."""

    where: str
    said: str


class SeedFileError(TokenError):
    """A file of tokens' seeds that cannot be used."""

    code = "RA-TOKEN-SEEDS"
    retry = Retry.NOW
    advice = N_("Nothing of it was used. Correct the file or have it sent again, then try again.")

    def __init__(self, message: str, *, advice: str | None = None, problems: tuple[SeedProblem, ...] = ()) -> None:
        super().__init__(message, advice=advice)
        self.problems = problems


class TokenServerUnreachable(TokenError):
    """No answer from the vendor."""

    code = "RA-TOKEN-UNREACHABLE"
    advice = N_("Nothing was changed that you need to undo. Try again in a few minutes.")


class TokenServerMisbehaved(TokenError):
    """An answer of the vendor's that makes no sense."""

    code = "RA-TOKEN-MISBEHAVED"
    advice = N_("Try again later. If it happens again, tell your EPCS administrator.")


class EhrUnreachable(TokenError):
    """No answer from the EHR."""

    code = "RA-EHR-UNREACHABLE"
    advice = N_("Nothing is lost. Go on when the EHR answers again.")


class EhrRefused(TokenError):
    """The EHR says no."""

    code = "RA-EHR-REFUSED"
    retry = Retry.NEVER
    advice = N_("Ask your EPCS administrator.")


class EhrMisbehaved(TokenError):
    """The EHR's answer makes no sense, or it says that something is done and it is not."""

    code = "RA-EHR-MISBEHAVED"
    advice = N_("Nothing is lost. Go on later, or ask your EHR's support.")


class DeskRefused(TokenError):
    """The EPCS desk does not let this person do this, or not now."""

    code = "RA-EPCS-REFUSED"
    retry = Retry.NEVER
    advice = N_("Ask your EPCS administrator.")


class DeskUnreachable(TokenError):
    """No answer from the EPCS desk."""

    code = "RA-EPCS-UNREACHABLE"
    advice = N_("Check the network connection, then try again.")

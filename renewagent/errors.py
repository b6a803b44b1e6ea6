"""Every error that renewagent raises.

Each carries words for a person: the message says what happened, `.advice` says in one sentence what to do next,
`.retry` says whether trying again can help, and `.code` is stable, for the help desk and for scripts. Third-party
exceptions become one of these at the edge that met them (``raise ... from``). No error exits the process. Whoever
raises one gives its message in the person's language; the class's own advice is put into it here.

RenewAgentError
├── ConfigurationError            a setting, file or option is missing or wrong (exit status 2)
├── JournalError                  our own record cannot be written or read
├── AgentError                    another agent runs, or none does
├── ClockError                    this computer's clock is too far off to renew safely
├── BatteryLow                    this computer may go off before the card is renewed
├── PersonStopped                 the person cancelled, or did not answer
│   └── NothingTyped              not in time, on the reader's own keys
├── ReaderError                   between us and the card
│   ├── PcscUnavailable           no PC/SC service
│   ├── NoReader                  no (such) reader
│   ├── NoCard                    reader is empty
│   ├── CardRemoved               the card went away in the middle
│   ├── CardReset                 another program reset the card: selection and login are gone
│   ├── CardBusy                  another program is using the card
│   └── PinPadFailed              the reader's own keys cannot be used for the PIN
├── CardError                     the card answered, and the answer is no
│   ├── UnsupportedCard           no driver knows this card, or it lacks what is needed
│   ├── CardRefused               any other status word (`.sw`)
│   │   └── NoRoom                its memory is full
│   ├── CardDataError             the card's data makes no sense (a lying length, a broken certificate)
│   ├── DifferentCard             another card than the one we were working on
│   ├── ImpossiblePin             what was typed cannot be a PIN of this card, which was not asked
│   ├── WrongPin                  refused; `.tries_left` remain
│   ├── LastPinTry                one try is left, and we will not spend it
│   ├── PinBlocked                no tries left
│   └── ManagementKeyRefused      the card does not accept our management key
├── CampaignError                 a campaign document that we do not accept
├── SourceError                   certificates to be checked that cannot be opened, or read to their end
├── RaError                       the Registration Authority
│   ├── RaUnreachable             no connection, a time-out, or not CMP at all
│   ├── RaRefused                 an error or rejection (`.fail_info`, `.status_text`)
│   ├── RaWaiting                 "come back later" (`.check_after` seconds)
│   ├── NotYet                    this card's turn comes later (`.until`)
│   └── RaMisbehaved              an answer that must not be believed; nothing was installed
└── RenewalImpossible             no safe way to renew this card here: see your RA

`renewagent.tokens.errors` has the branch of one-time passwords and EPCS.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from renewagent.language import N_, _


class Retry(Enum):
    """Whether trying again can help."""

    NOW = "now"
    LATER = "later"
    NEVER = "never"


class RenewAgentError(Exception):
    """Base of all our errors. `message` says what happened, in plain words; `advice` what to do next."""

    code: str = "RA-GENERAL"
    retry: Retry = Retry.LATER
    advice: str = N_("Try again. If it happens again, contact your help desk.")

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message)
        self.advice = _(self.advice) if advice is None else advice

    @property
    def message(self) -> str:
        """What happened, one sentence or two."""
        return str(self.args[0])


class ConfigurationError(RenewAgentError):
    """A setting, file or option is missing or wrong."""

    code = "RA-CONFIGURATION"
    retry = Retry.NEVER
    advice = N_("Ask your IT support to check renewagent's configuration.")


class JournalError(RenewAgentError):
    """Our own record cannot be written or read."""

    code = "RA-JOURNAL"
    advice = N_("Free some disk space, then try again.")


class AgentError(RenewAgentError):
    """The agent is already running, or is not running at all."""

    code = "RA-AGENT"


class ClockError(RenewAgentError):
    """This computer's clock and the RA's differ by more than five minutes."""

    code = "RA-CLOCK"
    advice = N_("Ask your IT support to set this computer's clock, then try again.")


class BatteryLow(RenewAgentError):
    """This computer runs on its battery, which may not last."""

    code = "RA-BATTERY"
    retry = Retry.NOW
    advice = N_("Plug this computer in, then start again.")


class PersonStopped(RenewAgentError):
    """The person cancelled, or did not answer in time."""

    code = "RA-STOPPED"
    retry = Retry.NOW
    advice = N_("Start again when you are ready.")


class NothingTyped(PersonStopped):
    """Nobody typed the PIN on the reader's own keys while it waited; it may be asked again."""

    code = "RA-NOT-TYPED"


class ReaderError(RenewAgentError):
    """Something between us and the card."""

    code = "RA-READER"


class PcscUnavailable(ReaderError):
    """No PC/SC service answers."""

    code = "RA-PCSC"
    advice = N_("Check that the smartcard service (pcscd) is installed and running, or ask your IT support.")


class NoReader(ReaderError):
    """No reader at all, or none of the name given."""

    code = "RA-NO-READER"
    advice = N_("Plug in a smartcard reader, then try again.")


class NoCard(ReaderError):
    """The reader is empty."""

    code = "RA-NO-CARD"
    retry = Retry.NOW
    advice = N_("Insert your smartcard, then try again.")


class CardRemoved(ReaderError):
    """The card went away while we were working with it."""

    code = "RA-CARD-REMOVED"
    retry = Retry.NOW
    advice = N_("Put the smartcard back in, then try again.")


class CardReset(ReaderError):
    """Another program reset the card: what was selected and who was logged in is gone. The connection is usable."""

    code = "RA-CARD-RESET"
    retry = Retry.NOW
    advice = N_("Close other programs that use the smartcard, then try again.")


class CardBusy(ReaderError):
    """Another program holds the card."""

    code = "RA-CARD-BUSY"
    advice = N_("Close other programs that use the smartcard, or wait a moment, then try again.")


class PinPadFailed(ReaderError):
    """The reader's own keys cannot be used for the PIN as they should; no PIN was sent."""

    code = "RA-PIN-PAD"


class CardError(RenewAgentError):
    """The card answered, and the answer is no."""

    code = "RA-CARD"
    advice = N_("Take the smartcard out, put it back in and try again.")


class UnsupportedCard(CardError):
    """No driver knows this card, or the card lacks what is needed."""

    code = "RA-CARD-UNSUPPORTED"
    retry = Retry.NEVER
    advice = N_("Check that this is the smartcard you sign prescriptions with.")


class CardRefused(CardError):
    """The card refused a command with status word `sw`."""

    code = "RA-CARD-REFUSED"

    def __init__(self, message: str, sw: int, *, advice: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.sw = sw


class NoRoom(CardRefused):
    """The card's memory is full."""

    code = "RA-CARD-FULL"
    retry = Retry.NEVER
    advice = N_("Contact your Registration Authority: they can make room on the smartcard.")


class CardDataError(CardError):
    """What the card holds makes no sense: a lying length, a broken container, a certificate that does not parse."""

    code = "RA-CARD-DATA"
    retry = Retry.NEVER
    advice = N_("Contact your Registration Authority: the smartcard may need to be repaired or replaced.")


class DifferentCard(CardError):
    """Another card than the one we were working on."""

    code = "RA-CARD-DIFFERENT"
    retry = Retry.NOW


class ImpossiblePin(CardError):
    """What was typed cannot be a PIN of this kind of card: it was not sent, and no try was used."""

    code = "RA-PIN-IMPOSSIBLE"
    retry = Retry.NOW


class WrongPin(CardError):
    """The card refused the PIN; `tries_left` remain."""

    code = "RA-PIN-WRONG"
    retry = Retry.NOW

    def __init__(self, message: str, tries_left: int, *, advice: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.tries_left = tries_left


class LastPinTry(CardError):
    """One try is left, and we will not spend it."""

    code = "RA-PIN-LAST-TRY"
    retry = Retry.NEVER
    advice = N_("Stop here and unlock your smartcard first. Your Registration Authority can help.")


class PinBlocked(CardError):
    """No tries are left."""

    code = "RA-PIN-BLOCKED"
    retry = Retry.NEVER
    advice = N_("Your smartcard is locked. Ask your Registration Authority to unlock it.")


class ManagementKeyRefused(CardError):
    """The card does not accept the management key that we were given."""

    code = "RA-CARD-ADMIN"
    retry = Retry.NEVER
    advice = N_("Ask your IT support to check the smartcard management key in renewagent's configuration.")


class CampaignError(RenewAgentError):
    """A campaign document that we do not accept."""

    code = "RA-CAMPAIGN"
    retry = Retry.NEVER
    advice = N_("Ask your Registration Authority for a correctly signed campaign.")


class SourceError(RenewAgentError):
    """A file, a database or a pipe of certificates to be checked cannot be opened, or ends too early."""

    code = "RA-SOURCE"
    advice = N_("Check the source, or export it once more, then check it again.")


class RaError(RenewAgentError):
    """The Registration Authority, or the way to it."""

    code = "RA-AUTHORITY"


class RaUnreachable(RaError):
    """No connection, a time-out, or an answer that is not CMP at all."""

    code = "RA-UNREACHABLE"
    advice = N_("Check the network connection, then try again.")


class RaRefused(RaError):
    """An error message or a rejection; `fail_info` holds RFC 9810 names such as "badPOP"."""

    code = "RA-REFUSED"
    retry = Retry.NEVER
    advice = N_("Contact your Registration Authority.")

    def __init__(
        self,
        message: str,
        *,
        fail_info: frozenset[str] = frozenset(),
        status_text: str = "",
        advice: str | None = None,
    ) -> None:
        super().__init__(message, advice=advice)
        self.fail_info = fail_info
        self.status_text = status_text


class RaWaiting(RaError):
    """The RA says "come back later": ask again after `check_after` seconds."""

    code = "RA-WAITING"
    advice = N_("You do not need to do anything. You will be told when the Registration Authority is ready.")

    def __init__(self, message: str, check_after: int, *, advice: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.check_after = check_after


class NotYet(RaError):
    """The RA spreads its renewals: the turn of this card comes at `until`, aware UTC."""

    code = "RA-NOT-YET"
    advice = N_("Nothing is lost: your turn is kept for you.")

    def __init__(self, message: str, until: datetime, *, advice: str | None = None) -> None:
        super().__init__(message, advice=advice)
        self.until = until


class RaMisbehaved(RaError):
    """An answer that must not be believed (protection, nonce, key, subject or chain does not fit)."""

    code = "RA-MISBEHAVED"
    retry = Retry.NEVER
    advice = N_("Nothing was installed. Contact your Registration Authority.")


class RenewalImpossible(RenewAgentError):
    """There is no safe way to renew this card here."""

    code = "RA-IMPOSSIBLE"
    retry = Retry.NEVER
    advice = N_("Contact your Registration Authority: they can renew it in person.")

"""The management key relay, the workstation's side (`card.management_key = "ra"`): the RA keeps the cards' management
keys and answers a card's challenge itself, so that no key comes here.

Everything slow comes first, with no transaction held: the card's authentication key signs a request for leave, the RA
gives one session for one step. Inside the transaction there are two small POSTs on the connection that is open already,
and `PATIENCE` for both together: Windows resets a card that idles five seconds in one. Whatever goes wrong there, the
transaction ends with a reset of the card, and a new session is asked for, `ATTEMPTS` times.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

from renewagent.card.interface import AdminSession, SigningSession
from renewagent.cmp import private
from renewagent.cmp.client_words import plain
from renewagent.errors import ManagementKeyRefused, RaMisbehaved, RaRefused, RaUnreachable
from renewagent.language import N_, _
from renewagent.ra_transport import PlainAnswer
from renewagent.renewal import State

if TYPE_CHECKING:
    from renewagent.agent.job import Job
    from renewagent.agent.ra_desk import Outgoing

T = TypeVar("T")
PATIENCE = 3.0
"""Seconds that a transaction waits for the RA, all in all."""
ATTEMPTS = 2
"""Of one step, before the renewal as a whole decides whether to try again."""
SIGNED_AHEAD = timedelta(minutes=2)
"""For so long a request for leave serves that was signed along with an earlier message."""
_BLOCK = re.compile(r"(?:[0-9a-f]{16}){1,2}")
_CLOSED = N_("The smartcard was closed to changes again.")  # "locked" is what a card without passcode tries is
_NONSENSE = N_("The Registration Authority's answer cannot be understood.")
_ADVICE = N_("Contact your Registration Authority.")


class PromptTransport(Protocol):
    """A way to the RA for what cannot wait."""

    def post_within(self, url: str, body: bytes, content_type: str, seconds: float) -> PlainAnswer:
        """POST; the whole exchange takes `seconds` at most. Raises RaUnreachable, RaWaiting."""


@dataclass(frozen=True, slots=True)
class _Session:
    """The RA's leave, in use. `end`: by the monotonic clock, set when the card's challenge is passed on."""

    token: str
    algorithm: int
    end: float | None = None


class KeyRelay:
    """One workstation's way to the RA's keys. For the driver it is who keeps the card's management key (see
    `renewagent.card.interface.KeepsManagementKey`); `administering` is for renewals."""

    def __init__(self, transport: PromptTransport, address: str) -> None:
        self._transport = transport
        self._address = address
        self._session: _Session | None = None
        self._ahead: dict[tuple[str, str], tuple[Outgoing, datetime]] = {}
        self._opened = False

    def sign_ahead(self, job: Job, session: SigningSession, *steps: State) -> None:
        """Sign the requests for leave for these steps in a session that the passcode was typed for anyhow."""
        for step in steps:
            self._ahead[str(job.identity), step.value] = (_request(job, session, step.value), job.place.now())

    def administering(self, job: Job, work: Callable[[AdminSession], T]) -> T:
        """Run `work` in one administration session, once. Raises RaRefused where the RA gives no leave, RaUnreachable
        where it does not answer in time, ManagementKeyRefused where it and the card do not know each other."""
        for last in (*(ATTEMPTS - 1) * (False,), True):
            self._obtain_leave(job)
            self._opened = False
            try:
                return job.passcode.administering(job.card, work)
            except RaUnreachable:
                if last or self._opened:
                    raise
            except ManagementKeyRefused as error:
                if last or self._opened:
                    raise _strangers() from error
            finally:
                self._session = None
        raise AssertionError("the last attempt returns or raises")

    def _obtain_leave(self, job: Job) -> None:
        step, desk = job.renewal.state.value, job.place.desk
        ahead, signed = self._ahead.pop((str(job.identity), step), (None, None))
        if ahead is None or signed is None or not job.place.now() - signed < SIGNED_AHEAD:
            ahead = job.signing(lambda session: _request(job, session, step))
        leave = desk.key_leave(ahead)
        if leave is None:
            raise ManagementKeyRefused(_("The Registration Authority does not keep this smartcard's management key."))
        self._session = _Session(leave.session.hex(), leave.algorithm[0])

    # What follows is for the driver, in the middle of a transaction.

    @property
    def algorithm(self) -> int:
        """Of the card's key, as the RA knows it."""
        return self._open.algorithm

    def prove(self, witness: bytes) -> tuple[bytes, bytes]:
        """The RA decrypts the card's witness, and challenges the card."""
        session = self._open
        self._session = _Session(session.token, session.algorithm, time.monotonic() + PATIENCE)
        answer = self._ask(witness=witness.hex())
        return _block(answer.get("proof"), len(witness)), _block(answer.get("challenge"), len(witness))

    def judge(self, response: bytes) -> None:
        """The RA says whether this is its card."""
        if self._ask(response=response.hex()).get("authenticated") is not True:
            raise _strangers()
        self._opened = True

    @property
    def _open(self) -> _Session:
        if self._session is None:
            raise ManagementKeyRefused(
                _("The Registration Authority was not asked to open this smartcard for changes.")
            )
        return self._session

    def _ask(self, **fields: str) -> dict[str, object]:
        session = self._open
        left = (session.end or 0) - time.monotonic()
        body = json.dumps({"session": session.token, **fields}).encode()
        try:
            if left <= 0:
                raise RaUnreachable(_("The Registration Authority did not answer in time."))
            answer = self._transport.post_within(self._address, body, "application/json", left)
        except RaUnreachable as error:
            wanted = _("It has to open the smartcard for changes.")
            raise RaUnreachable(f"{error.message} {wanted} {_(_CLOSED)}") from error
        document = answer.document or {}
        if answer.status == 403:
            why = plain(str(document.get("why", "")))
            raise RaRefused(
                _('The Registration Authority did not open the smartcard for changes. It said: "{why}".').format(
                    why=why
                )
            )
        if answer.status != 200:  # a portal's page, or half an answer, is nobody's refusal
            said = _("The Registration Authority did not answer as expected.")
            raise RaUnreachable(f"{said} {_(_CLOSED)}")
        return document


def _request(job: Job, session: SigningSession, step: str) -> Outgoing:
    wish = private.KeyLeaveRequest(card=str(job.identity), step=step)
    return job.place.desk.enquiry(job.authentication(session), private.KEY_LEAVE, wish)


def _strangers() -> ManagementKeyRefused:
    said = _("The smartcard and the Registration Authority do not know each other.")
    return ManagementKeyRefused(f"{said} {_(_CLOSED)}", advice=_(_ADVICE))


def _block(value: object, octets: int) -> bytes:
    if not isinstance(value, str) or not _BLOCK.fullmatch(value) or len(value) != 2 * octets:
        raise RaMisbehaved(
            f"{_(_NONSENSE)} {_(_CLOSED)}",
            advice=_(_ADVICE),
        )
    return bytes.fromhex(value)

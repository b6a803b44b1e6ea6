"""Drives one renewal by its table: do the one action of the state, journal what came of it, go on.

Also decides what an error means for the renewal: stopped while nothing has changed, interrupted (to be resumed)
afterwards; a card that was pulled out half-way is waited for, a network that failed half-way is tried again.
"""

from __future__ import annotations

from renewagent.agent import words
from renewagent.agent.how_long import seconds_left
from renewagent.agent.job import Job, Step
from renewagent.agent.passcode import KeyDoesNotFit
from renewagent.agent.recovery import resume
from renewagent.agent.renewal_reports import RenewalReports
from renewagent.agent.sign_in import come_back, remove, sign_in, wait_for_card, wait_for_other_program
from renewagent.agent.steps import STEPS
from renewagent.agent.tries_in_words import tries_left_for_its_passcode
from renewagent.agent.turns import noted
from renewagent.agent.unfinished import PERSON_LEFT
from renewagent.agent.waiting import wait_for_busy_ra
from renewagent.errors import (
    CardBusy,
    CardDataError,
    CardRemoved,
    CardReset,
    DifferentCard,
    JournalError,
    NoCard,
    NoRoom,
    PersonStopped,
    RaUnreachable,
    RaWaiting,
    RenewAgentError,
)
from renewagent.language import N_, _
from renewagent.renewal import TABLE, Event, Kind, Renewal, State, Way, step

ALL_STEPS: dict[State, Step] = {
    **STEPS,
    State.RESUME: resume,
    State.REMOVE: remove,
    State.RETURN: come_back,
    State.SIGN_IN: sign_in,
}
PULLED = (CardRemoved, CardReset, DifferentCard, NoCard)
RA_RETRIES = 3
"""New tries of one state; its count starts anew only when that very state has succeeded, since coming back to it takes
others that do."""
RA_PAUSE = 2.0
"""Seconds before the first new try after a network failure half-way; doubled each time."""

CHANGING = frozenset(
    {
        State.GENERATE,
        State.STAGE,
        State.CERTIFY,
        State.STORE,
        State.TRY,
        State.MOVE,
        State.CONFIRM,
        State.REJECT,
        State.RECEIPT,
        State.DROP,
    }
)
"""The card changes here, or is not safe yet; in way A, whose key stays, from STORE on."""

PROGRESS = {
    State.TICKET: N_("asking the Registration Authority"),
    State.GENERATE: N_("making the new key"),
    State.STAGE: N_("making the new key"),
    State.CERTIFY: N_("getting the new certificate"),
    State.STORE: N_("writing the new certificate"),
    State.TRY: N_("trying the new key"),
    State.MOVE: N_("putting the new key in its place"),
    State.RECEIPT: N_("sending the proof"),
}
_SHOWN = {
    Way.A: (State.CERTIFY, State.STORE, State.TRY, State.RECEIPT),
    Way.B: (State.TICKET, State.STAGE, State.CERTIFY, State.STORE, State.TRY, State.MOVE, State.RECEIPT),
    Way.C: (State.TICKET, State.STAGE, State.CERTIFY, State.STORE, State.TRY, State.RECEIPT),
    Way.D: (State.TICKET, State.GENERATE, State.CERTIFY, State.STORE, State.TRY, State.RECEIPT),
}


class Renewing:
    """One renewal being driven. `run` returns when it is over; raises the RenewAgentError that ended it otherwise."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._reports = RenewalReports(job)
        self._ra_tries: dict[State, int] = {}
        self.last: Kind | None = None
        """The kind of the latest event."""

    def run(self, until: State | None = None) -> Renewal:
        """To the end, to the state `until`, or to the error for which only the person or time can help."""
        try:
            while not self._job.renewal.over and self._job.renewal.state is not until:
                self._go_on()
        finally:
            self._job.place.power.release()
        return self._job.renewal

    def record(self, event: Event) -> None:
        """Journal an event, durably, and take it in."""
        job = self._job
        after = step(job.renewal, event)
        job.place.journal.append(after.id, after.card, event.kind.value, dict(event.fields), job.place.now())
        job.renewal, self.last = after, event.kind
        self._reports.event(event)

    def _go_on(self) -> None:
        try:
            self._one_step()
        except RenewAgentError as error:
            self._after(error)
        except KeyDoesNotFit as error:
            self._after(_misfit(error))

    def _one_step(self) -> None:
        state = self._job.renewal.state
        self._show_progress(state)
        self._stay_up(state)
        event = ALL_STEPS[state](self._job, self.record)
        if event is not None:
            self.record(event)
        self._ra_tries.pop(state, None)

    def _stay_up(self, state: State) -> None:
        """No shutdown or sleep from the first command that changes the card until it is safe; but none is kept from
        happening while a person, or the RA, is waited for."""
        power = self._job.place.power
        if state in CHANGING and not (state is State.CERTIFY and self._job.renewal.way is Way.A):
            power.hold()
        else:
            power.release()

    def _after(self, error: RenewAgentError) -> None:
        """Note what `error` means; returns when the renewal can go on, raises it otherwise."""
        if isinstance(error, RaWaiting):
            self._reports.waits(error)
        try:
            self._note(error)
        except JournalError as unwritten:
            raise self._with_the_card(unwritten) from error

    def _note(self, error: RenewAgentError) -> None:
        renewal = self._job.renewal
        if renewal.over:
            raise error
        self._job.place.power.release()
        if Kind.STOPPED in TABLE[renewal.state] and not renewal.begun:
            self._stop_or_wait(error)
            return
        self.record(Event(Kind.INTERRUPTED, {"code": error.code, "message": error.message}))
        try:
            self._wait_it_out(error)
        except RenewAgentError as final:
            raise self._in_context(final) from final.__cause__
        self._job.outbox.clear()
        self.record(Event(Kind.RESUMED))

    def _stop_or_wait(self, error: RenewAgentError) -> None:
        """Nothing is begun. Once a busy RA may be asked again, the step is done again, if the person waits so long."""
        try:
            if isinstance(error, RaWaiting):
                wait_for_busy_ra(self._job, error)
                return
        except PersonStopped as left:
            error = left
        turn = noted(error, self._job.old.head)
        self.record(Event(Kind.STOPPED, {"code": error.code, "message": error.message, **turn}))
        raise _nothing_changed(error, self._job.passcode.tries_left)

    def _wait_it_out(self, error: RenewAgentError) -> None:
        """Until the card is back, or for a while; raises where neither helps."""
        state = self._job.renewal.state
        if isinstance(error, PULLED):
            wait_for_card(self._job, self._put_back())
        elif isinstance(error, CardBusy):
            wait_for_other_program(self._job)
        elif isinstance(error, RaWaiting):
            wait_for_busy_ra(self._job, error)
        elif isinstance(error, RaUnreachable) and (tries := self._ra_tries.get(state, 0)) < RA_RETRIES:
            self._ra_tries[state] = tries + 1
            self._job.pause(RA_PAUSE * 2**tries)
        else:
            raise error

    def _put_back(self) -> words.Message:
        """What is said while the card is out in the middle."""
        identity = self._job.identity
        if self._job.renewal.state in PERSON_LEFT:
            return words.insert_again(identity)
        return words.pulled_unsafe(identity) if self._job.renewal.unsafe_to_leave else words.pulled_half_way(identity)

    def _in_context(self, error: RenewAgentError) -> RenewAgentError:
        """Somebody who stops half-way, or whose card is full, is told what that means for the card."""
        job = self._job
        if isinstance(error, NoRoom):
            unsafe = job.renewal.unsafe_to_leave
            what = _(words.NOT_FINISHED) if unsafe else _("You can go on signing with it.")
            return NoRoom(f"{error.message} {what}", error.sw, advice=_(words.NO_ROOM))
        if not isinstance(error, PersonStopped):
            return error
        if job.renewal.state in PERSON_LEFT:
            message = words.done_not_signed_in(job.identity, job.place.contact)
        elif job.renewal.unsafe_to_leave:
            message = words.pulled_unsafe(job.identity)
        else:
            return error
        waiting = job.renewal.state is State.WAITING  # then the advice says until when
        return PersonStopped(message.body, advice=error.advice if waiting else message.advice)

    def _with_the_card(self, error: JournalError) -> JournalError:
        """A record that cannot be written, and what that means for the card."""
        renewal = self._job.renewal
        if renewal.unsafe_to_leave:
            return JournalError(f"{error.message} {_(words.NOT_FINISHED)}", advice=error.advice)
        if not renewal.begun:
            return JournalError(f"{error.message} {_(words.NOTHING_CHANGED)}", advice=error.advice)
        return error

    def _show_progress(self, state: State) -> None:
        shown = _SHOWN.get(self._job.renewal.way or Way.D, ())
        if state in shown:
            same_key = state is State.TRY and self._job.renewal.way is Way.A
            text = _("trying the new certificate") if same_key else _(PROGRESS[state])
            at = shown.index(state)
            left = seconds_left(shown[at:], self._job.old.key_algorithm)
            self._job.place.prompter.progress(at + 1, len(shown), text, left)


def _nothing_changed(error: RenewAgentError, tries_left: int | None) -> RenewAgentError:
    """Whoever stopped, or pulled the card out, in good time hears that it is as it was, but for tries that were used:
    `tries_left` after a wrong passcode, else None."""
    if isinstance(error, PersonStopped):
        left = "" if tries_left is None else tries_left_for_its_passcode(tries_left)
        return PersonStopped(f"{error.message} {_(words.NOTHING_CHANGED)} {left}".rstrip(), advice=error.advice)
    if not isinstance(error, CardRemoved):
        return error
    message = _("Renewal stopped because the smartcard was removed. Nothing was changed on it.")
    return CardRemoved(message, advice=_("Put it back in and run: renewagent renew."))


def _misfit(error: KeyDoesNotFit) -> CardDataError:
    """For a person; what a step can go on from, it has dealt with itself."""
    misfit = CardDataError(_("A signature that the smartcard made is wrong: {why}.").format(why=error))
    misfit.__cause__ = error
    return misfit

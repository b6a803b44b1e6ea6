"""The end of a renewal: the card is taken out, comes back, and signs in with its new certificate.

Done means that the *same* card came back, that a fresh connection read the new certificate from it, and that the RA
verified a sign-in by it (design section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from cryptography.hazmat.primitives.serialization import Encoding

from renewagent.agent import removal_words, words
from renewagent.agent.housekeeping import tidy_if_possible
from renewagent.agent.job import Job, Record
from renewagent.agent.prompts import CardAct
from renewagent.agent.stale import card_message, keeps_old, shows_old, software_message, software_shows_old, write_again
from renewagent.card.interface import ReaderState, SigningSession
from renewagent.errors import CardError, PersonStopped, ReaderError
from renewagent.language import _
from renewagent.model import CardIdentity
from renewagent.renewal import Event, Kind, Way
from renewagent.statements import Purpose

T = TypeVar("T")
LOOK = 1.0
"""Seconds between looks at whether the person is still there, while a card is waited for."""


def remove(job: Job, record: Record) -> Event:
    """Ask for the card to be taken out; the PIN is dropped first, and its last use is to keep the card tidy."""
    if job.renewal.way is Way.B or job.beside is not None:
        tidy_if_possible(job.place, job.card, job.passcode)
    job.passcode.drop()
    ends, on_removal = job.campaign.removal_ends_session, job.place.on_removal()
    _take_out(job, removal_words.sign_in_again(job.identity, removal_ends_session=ends, on_removal=on_removal))
    return Event(Kind.REMOVED, {"removed": "yes"})


def come_back(job: Job, record: Record) -> Event:
    """Wait for the same card in any reader, over a fresh connection, with the new certificate in its slot. Where that
    is still the old one, once more; and where it stays, the new one is written again. Raises CardDataError when the
    card has come back with the old one three times."""
    wait_for_card(job, words.insert_again(job.identity))
    for mend in (False, True):
        if not shows_old(job):
            break
        if mend:
            write_again(job)
        _take_out(job, card_message(job.identity))
        wait_for_card(job, words.insert_again(job.identity))
    if shows_old(job):
        raise keeps_old()
    return Event(Kind.RETURNED)


def sign_in(job: Job, record: Record) -> Event:
    """Sign in with the card's authentication key, naming the new signing certificate."""
    desk = job.place.desk
    nonce = desk.challenge()
    slot, certificate, signing = job.signs_in_with()
    statement = job.statement(Purpose.SIGN_IN, nonce, signing)
    der = certificate.public_bytes(Encoding.DER)

    def sign(session: SigningSession) -> bytes:
        return job.sign_statement(session, slot, der, statement)

    desk.sign_in(job.signing(sign))
    job.passcode.drop()
    job.place.prompter.tell(words.done(job.identity))
    stale = software_shows_old(job)
    if stale:
        job.place.prompter.tell(software_message(job.identity))
    return Event(Kind.SIGNED_IN, {} if stale is None else {"software_shows": "old" if stale else "new"})


def _take_out(job: Job, message: words.Message) -> None:
    before = job.place.readers.states().get(job.reader, ReaderState(False))
    job.place.prompter.card_wanted(CardAct.REMOVE, job.reader, job.identity, message)
    watch(job, lambda states: _gone(states.get(job.reader), before) or None)


def wait_for_card(job: Job, message: words.Message) -> None:
    """Until the job's own card is in some reader: `job.reader` and `job.card` are then fresh. Others are named, but for
    those that have been in other readers all along, such as an officer's."""
    named: set[tuple[str, int]] = set()

    def ours(states: Mapping[str, ReaderState], *, at_first: bool = False) -> bool | None:
        for reader, state in states.items():
            if not state.present or (reader, state.events) in named:
                continue
            seen = _take(job, reader)
            if seen == job.identity:
                return True
            if seen is not None:
                named.add((reader, state.events))
                if reader == job.reader or not at_first:
                    job.place.prompter.tell(words.wrong_card(seen, job.identity))
        return None

    if not ours(
        job.place.readers.states(), at_first=True
    ):  # else it is in already, and nothing is wanted of the person
        job.place.prompter.card_wanted(CardAct.INSERT, job.reader, job.identity, message)
        watch(job, ours)


def wait_for_other_program(job: Job) -> None:
    """Until whoever holds the card lets go of it, which only its person can see to. Raises PersonStopped."""
    job.passcode.drop()
    job.place.prompter.tell(words.card_busy())
    while _take(job, job.reader) != job.identity:
        states = job.place.readers.states()
        if not states.get(job.reader, ReaderState(False)).present:
            return wait_for_card(job, words.pulled_half_way(job.identity))
        if job.place.prompter.stopped():
            raise PersonStopped(_("You stopped while another program was using the smartcard."))
        job.place.readers.wait(states, LOOK)


def watch(job: Job, look: Callable[[Mapping[str, ReaderState]], T | None]) -> T:
    """Sleep over changes of the readers until `look` finds what it looks for. Raises PersonStopped."""
    states = job.place.readers.states()
    while (found := look(states)) is None:
        if job.place.prompter.stopped():
            raise PersonStopped(_("You stopped before the smartcard was back."))
        states = job.place.readers.wait(states, LOOK)
    return found


def _take(job: Job, reader: str) -> CardIdentity | None:
    """Open the card in `reader` and keep it if it is the job's own; whose it is, None where it cannot be read now."""
    try:
        connection = job.place.readers.connect(reader)
    except ReaderError:
        return None
    try:
        card = job.place.open_card(connection)
        seen = card.identity()
    except (ReaderError, CardError):
        connection.close()
        return None
    if seen == job.identity:
        job.use(reader, card)
    else:
        connection.close()
    return seen


def _gone(now: ReaderState | None, before: ReaderState) -> bool:
    return now is None or not now.present or now.events != before.events

"""Waiting for the RA: it has a request and is looking at it, or it is busy and said when to come back.

Until then nothing is sent and no passcode is held; then an address is asked that needs none, and only when the RA is
ready is the person called back. When that is stands in the journal, so that a restart changes nothing about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from renewagent.agent import desk_words, words
from renewagent.agent.job import Job, Record
from renewagent.agent.times_in_words import moment_in_words
from renewagent.agent.unfinished import waits_until
from renewagent.errors import PersonStopped, RaError, RaWaiting
from renewagent.language import _
from renewagent.renewal import Event, Kind, State

LONGEST_BACK_OFF = 3600
"""Seconds; an RA that itself says more is taken at its word."""
WORTH_SAYING = 60
"""Seconds: shorter waits are not journalled and not told anew."""


def told_to_wait(job: Job, check_after: int, conversation: str) -> Event:
    """The RA put the request off. `check_after` in seconds, 0 where it did not say."""
    again = job.renewal.state is State.POLL
    waits = int(job.renewal.facts.get("waits", "0")) + 1 if again else 1
    fields = {"waits": str(waits), "conversation": conversation}
    return Event(Kind.TOLD_TO_WAIT, {**fields, **_put_off(job, _seconds(check_after, waits))})


def _seconds(check_after: int, waits: int) -> int:
    """What the RA said, never none at all; longer each time that it turned out not to be ready after all, since the
    person is asked for the passcode each time."""
    said = max(1, check_after)
    return max(said, min(said << min(waits - 1, 30), LONGEST_BACK_OFF))


def _put_off(job: Job, seconds: int) -> Mapping[str, str]:
    until = job.place.now() + timedelta(seconds=seconds)
    return {"check_after": str(seconds), "until": until.astimezone(UTC).isoformat(timespec="milliseconds")}


def wait(job: Job, record: Record) -> Event:
    """The RA says "come back later": ask its PIN-less address then, with no PIN in hand, until it is ready."""
    job.passcode.drop()
    head = job.old.head
    until = waits_until(job.renewal) or job.place.now()
    job.place.prompter.tell(words.waiting(until.astimezone(), job.place.now(), job.place.contact))
    while True:
        _pause(job, until)
        try:
            standing = job.place.desk.standing(head.issuer, head.serial)
            # Where the address says nothing of a waiting request, only asking, with the PIN, can tell.
            if standing is None or not standing.waiting or standing.ready:
                return Event(Kind.READY_AT_RA)
            seconds = max(1, standing.check_after or int(job.renewal.facts.get("check_after", "60")))
        except RaWaiting as busy:
            seconds = busy.check_after
        if seconds >= WORTH_SAYING:
            return Event(Kind.TOLD_TO_WAIT, _put_off(job, seconds))
        until = job.place.now() + timedelta(seconds=seconds)


def wait_for_busy_ra(job: Job, busy: RaWaiting) -> None:
    """The RA wants to be asked nothing for a while, whatever it was about. Raises PersonStopped."""
    job.passcode.drop()
    job.outbox.clear()
    while True:
        until = job.place.now() + timedelta(seconds=max(1, busy.check_after))
        job.place.prompter.tell(desk_words.busy_ra(until.astimezone(), job.place.now(), job.place.contact))
        _pause(job, until)
        try:
            job.place.desk.nonce()
        except RaWaiting as still:
            busy = still
        except RaError:  # whatever that is, it is met again, and told, where it belongs
            return
        else:
            return


def _pause(job: Job, until: datetime) -> None:
    try:
        job.pause_until(until)
    except PersonStopped as left:
        when = moment_in_words(until.astimezone(), job.place.now())
        raise PersonStopped(left.message, advice=_("Go on {when}. Run: renewagent renew.").format(when=when)) from left

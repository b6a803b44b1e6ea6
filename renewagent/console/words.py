"""The words of the pages: what each state is called, what it means, and what a Registration Authority does next. Pure.

Short plain sentences, active, no blame. What a prescriber is told lives with the agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from renewagent.check_ins import CardState


@dataclass(frozen=True, slots=True)
class StateWords:
    """`icon` names a shape of templates/icons.html, another one for every state: nothing is told by colour alone.
    `tone` is one of "good", "moving", "waiting", "trouble"; `next` says what is done about such a card."""

    label: str
    icon: str
    tone: str
    meaning: str
    next: str


@dataclass(frozen=True, slots=True)
class Group:
    """States that are looked at together."""

    key: str
    label: str
    meaning: str
    states: tuple[CardState, ...]

    def sum(self, counts: Mapping[CardState, int]) -> int:
        """How many cards these are."""
        return sum(counts.get(state, 0) for state in self.states)


STATES: Mapping[CardState, StateWords] = MappingProxyType(
    {
        CardState.NOT_SEEN: StateWords(
            "Not seen",
            "ring",
            "waiting",
            "On the target list, but no workstation has seen the smartcard yet.",
            "Ask the holder to insert the smartcard at a workstation that has the agent. They may be on leave.",
        ),
        CardState.AFFECTED: StateWords(
            "Affected",
            "diamond",
            "waiting",
            "A workstation found it; the holder has not been told yet.",
            "Nothing to do yet: the workstation tells the holder.",
        ),
        CardState.TOLD: StateWords(
            "Told",
            "speech",
            "waiting",
            "The holder has been told and has not started.",
            "Nothing to do yet. If it stays like this, call the holder: it takes about 3 minutes.",
        ),
        CardState.PUT_OFF: StateWords(
            "Put off",
            "clock",
            "waiting",
            "The holder asked to be reminded later.",
            "Wait for the next reminder. If it is put off again and again, call the holder.",
        ),
        CardState.RUNNING: StateWords(
            "Renewing",
            "play",
            "moving",
            "The renewal is running now.",
            "Nothing to do. It takes about 3 minutes.",
        ),
        CardState.PART_WAY: StateWords(
            "Part-way",
            "half",
            "moving",
            "The renewal stopped before its end. The holder cannot sign with this smartcard until it is finished.",
            "Ask the holder to put the smartcard back in, at any workstation, and to select Continue.",
        ),
        CardState.RENEWED: StateWords(
            "Renewed, not signed in",
            "key",
            "moving",
            "The new certificate is on the smartcard; the holder has not signed in with it yet.",
            "Ask the holder to remove the smartcard, put it back in and sign in again.",
        ),
        CardState.STUCK: StateWords(
            "Stuck",
            "octagon",
            "trouble",
            "It has not moved on for some days, or has failed three times.",
            "Call the holder, or see them in person.",
        ),
        CardState.LOCKED: StateWords(
            "Locked",
            "padlock",
            "trouble",
            "The passcode was entered wrongly too often, or one try is left.",
            "Unlock the smartcard, in person or by self-service unlock. The renewal then goes on.",
        ),
        CardState.EXPIRED: StateWords(
            "Expired",
            "hourglass",
            "trouble",
            "The certificate has expired: the holder cannot renew it alone.",
            "See the holder in person and renew the smartcard at your desk.",
        ),
        CardState.REPLACE_CARD: StateWords(
            "Replace card",
            "swap",
            "trouble",
            "This smartcard cannot be renewed.",
            "Issue another smartcard to the holder.",
        ),
        CardState.REFUSED: StateWords(
            "Refused",
            "barred",
            "trouble",
            "The Registration Authority's server refused the renewal.",
            "Look at the reason, put it right, then ask the holder to try again.",
        ),
        CardState.DONE: StateWords(
            "Done",
            "tick",
            "good",
            "Renewed and signed in; the smartcard's own receipt proves it.",
            "Nothing. The smartcard is good.",
        ),
        CardState.CLEAR: StateWords(
            "Not affected",
            "shield",
            "good",
            "Seen by a workstation; this campaign does not concern it.",
            "Nothing.",
        ),
    }
)

GROUPS = (
    Group(
        "help",
        "Need somebody",
        "These do not get any further by themselves.",
        (CardState.STUCK, CardState.LOCKED, CardState.EXPIRED, CardState.REPLACE_CARD, CardState.REFUSED),
    ),
    Group(
        "under-way",
        "Under way",
        "Begun, and not at the end yet.",
        (CardState.RUNNING, CardState.PART_WAY, CardState.RENEWED),
    ),
    Group(
        "not-started",
        "Not started",
        "The holder's turn.",
        (CardState.NOT_SEEN, CardState.AFFECTED, CardState.TOLD, CardState.PUT_OFF),
    ),
    Group("finished", "Finished", "Nothing is left to do.", (CardState.DONE, CardState.CLEAR)),
)

_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "RA-PIN-BLOCKED": "The passcode is locked.",
        "RA-PIN-LAST-TRY": "One try is left for the passcode, so it was not asked for.",
        "RA-PIN-WRONG": "The passcode was wrong.",
        "RA-CARD-REMOVED": "The smartcard was taken out.",
        "RA-CARD-RESET": "Another program disturbed the smartcard.",
        "RA-CARD-BUSY": "Another program was using the smartcard.",
        "RA-CARD-FULL": "The smartcard's memory is full.",
        "RA-CARD-DATA": "The smartcard cannot be read properly.",
        "RA-CARD-UNSUPPORTED": "This kind of smartcard is not supported.",
        "RA-CARD-ADMIN": "The smartcard did not accept the management key.",
        "RA-UNREACHABLE": "The Registration Authority's server could not be reached.",
        "RA-REFUSED": "The Registration Authority's server refused.",
        "RA-NOT-YET": "The Registration Authority keeps a turn for this smartcard, which comes later.",
        "RA-WAITING": "The Registration Authority's server said to come back later.",
        "RA-MISBEHAVED": "The Registration Authority's server gave an answer that cannot be trusted.",
        "RA-IMPOSSIBLE": "It cannot be renewed safely at a workstation.",
        "RA-STOPPED": "The holder stopped it.",
        "RA-CLOCK": "The workstation's clock is wrong.",
        "RA-BATTERY": "The workstation was running on its battery.",
        "RA-JOURNAL": "The workstation's disk could not be written.",
        "RA-READER": "The smartcard reader did not work.",
        "RA-NO-READER": "There was no smartcard reader.",
        "RA-PCSC": "The workstation's smartcard service was not running.",
    }
)


_STUCK: Mapping[CardState, str] = MappingProxyType(
    {
        CardState.AFFECTED: "The workstation has not told the holder. Check that its agent runs, or call the holder.",
        CardState.TOLD: "Call the holder. It takes about 3 minutes.",
        CardState.PUT_OFF: "Call the holder. It takes about 3 minutes.",
        CardState.RUNNING: "The workstation has gone quiet. Ask the holder to put the smartcard back in.",
    }
)


def what_next(state: CardState, underlying: CardState) -> str:
    """What is done about a card: `state` as it is shown, `underlying` as it is kept."""
    return _STUCK.get(underlying, STATES[underlying].next) if state is CardState.STUCK else STATES[state].next


def why(code_or_words: str) -> str:
    """What stood in the way, in a sentence; words of an agent that we have none for come through as they are."""
    return _REASONS.get(code_or_words, code_or_words)


def ending(card: str) -> str:
    """A card's last four characters, as people know it: "4821" of "chuid:...4821"."""
    return card[-4:].upper()


def moment(at: datetime) -> str:
    """ "22 Nov 2026, 09:30", UTC as every page says at its foot."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b} {at.year}, {at:%H:%M}"


def day(at: datetime) -> str:
    """ "22 Nov 2026"."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b} {at.year}"


def ago(at: datetime, now: datetime) -> str:
    """How long something has lasted: "3 days", "2 hours", "5 minutes", "now"."""
    return _span(now - at)


def until(at: datetime, now: datetime) -> str:
    """ "in 2 hours", or "due" where that time has come."""
    return f"in {_span(at - now)}" if at - now >= timedelta(minutes=1) else "due"


def _span(gap: timedelta) -> str:
    minutes = int(gap.total_seconds() // 60)
    for size, name in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            count = minutes // size
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "less than a minute"

"""One renewal as a table. Everything about the order of steps lives here; nothing here touches a card or a network.

The worker does the one action of the current state, journals what came of it as an `Event`, and calls `step` again;
a renewal is thereby the replay of its events, on this workstation. On any other, or when in doubt, it enters RESUME:
the card is looked at first, the RA second, the journal third, and what was found says where to go on.

The order that never changes (design section 4): PREFLIGHT proves that everything that can fail beforehand does not;
the RA's ticket stands, and is armed, before GENERATE; the certificate is stored and read back before TRY; the new key
has signed (TRY) before CONFIRM; the receipt follows the confirmation, and only then does the RA revoke the old
certificate. A state in POINT_OF_NO_RETURN or later is never left but forward.

Ways B and C make, certify and try the new key in a slot of its own (STAGE), while the old one stays where it is. In way
B, MOVE then swaps the two, and from there on only forward; in way C, DROP deletes the old one after the receipt.

The pair is two renewals, the signing certificate's first: it stands at REMOVE while the authentication certificate's
runs (`renewagent.agent.pair`), whose sign-in is the sign-in of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType

from renewagent.model import SigningCertificate
from renewagent.rules import Campaign


class Way(Enum):
    """How the card gets its new certificate (design section 4)."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"


class State(Enum):
    """Where a renewal stands; the value is what the journal and `status` say."""

    PREFLIGHT = "preflight"
    CONSENT = "consent"
    TICKET = "ticket"
    ARM = "arm"
    GENERATE = "generate"
    STAGE = "stage"
    CERTIFY = "certify"
    WAITING = "waiting"
    POLL = "poll"
    STORE = "store"
    TRY = "try"
    CONFIRM = "confirm"
    MOVE = "move"
    DROP = "drop"
    REJECT = "reject"
    RECEIPT = "receipt"
    REMOVE = "remove"
    RETURN = "return"
    SIGN_IN = "sign-in"
    RESUME = "resume"
    DONE = "done"
    STOPPED = "stopped"


class Kind(Enum):
    """What can happen. Each event's fields are noted here; all are text, bytes as hex."""

    READY = "ready"
    """way, old_certificate, campaign, campaign_document"""
    AGREED = "agreed"
    TICKET_GRANTED = "ticket-granted"
    """ticket"""
    NO_TICKETS = "no-tickets"
    """The RA knows none, and the administrator's policy lets way D go on without."""
    NO_ROOM = "no-room"
    """way: a second key finds no room on the card, and the old key's place serves (D)."""
    OLD_KEY_UNUSABLE = "old-key-unusable"
    """The key on the card does not fit its certificate, and the campaign allows for that."""
    ARMED = "armed"
    BEGUN = "begun"
    """Written before an irreversible card command."""
    STAGING = "staging"
    """what: written before a card command that touches the staging slots alone and can be undone."""
    GENERATED = "generated"
    """public_key"""
    MOVED = "moved"
    """moved: the new key is in the signing slot, with its certificate; the old one is parked."""
    MOVED_LATE = "moved-late"
    """moved: the same after an interruption, which has lost what was signed along with the trial: it is tried again."""
    ASKED = "asked"
    """conversation: written before a certificate request leaves, so that its answer can be believed later."""
    ISSUED = "issued"
    """certificate, nonce, conversation"""
    TOLD_TO_WAIT = "told-to-wait"
    """check_after (seconds), until (when that is over), waits (how many times running), conversation"""
    READY_AT_RA = "ready-at-ra"
    STORED = "stored"
    TRIED = "tried"
    """receipt: signed, not yet sent; the messages that follow were signed along with it, and are not kept"""
    DID_NOT_SIGN = "did-not-sign"
    DROPPED = "dropped"
    """Way C: the old key and certificate are deleted."""
    CONFIRMED = "confirmed"
    TOO_LATE = "too-late"
    """The RA has withdrawn what was not confirmed in time (no ticket keeps it, so it is way A), or knows of no request
    that waits any more."""
    REJECTED = "rejected"
    RECEIPTED = "receipted"
    NO_RECEIPTS = "no-receipts"
    REMOVED = "removed"
    RETURNED = "returned"
    SIGNED_IN = "signed-in"
    PAIRED = "paired"
    """removed: the other certificate of the pair was renewed after this one, and the person has signed in with both."""
    SUPERSEDED = "superseded"
    """The card was renewed elsewhere meanwhile, or something new is wrong with it: it is judged anew."""
    STOPPED = "stopped"
    """code, message: ended, and nothing on the card is half done; come_back, turn_of: its turn comes later"""
    INTERRUPTED = "interrupted"
    """code, message: to be resumed"""
    RESUMED = "resumed"
    """Work goes on after an interruption: look at the card first."""
    FOUND_UNTOUCHED = "found-untouched"
    """ticket: the old key still signs, and nothing was issued: go on from the ticket."""
    FOUND_NO_KEY = "found-no-key"
    """ticket: the card's key is neither the old one nor a known new one: generate again, under the same ticket."""
    FOUND_NEW_KEY = "found-new-key"
    """ticket, public_key"""
    FOUND_ISSUED = "found-issued"
    """certificate, nonce, conversation"""
    FOUND_STORED = "found-stored"
    """certificate, nonce, conversation"""
    FOUND_CONFIRMED = "found-confirmed"
    """certificate, nonce"""
    FOUND_HALF_MOVED = "found-half-moved"
    """certificate, nonce, conversation: both keys are on the card, and not where they belong."""
    FOUND_RECEIPTED = "found-receipted"
    """certificate, old_certificate: way C is done but for deleting the old key and certificate."""
    FOUND_NOTHING = "found-nothing"
    """Nothing is open: the card may be judged anew."""


S, K = State, Kind

BY_WAY: Mapping[tuple[State, Kind], Mapping[Way, State]] = MappingProxyType(
    {
        (S.CONSENT, K.AGREED): {Way.A: S.CERTIFY},
        (S.TICKET, K.TICKET_GRANTED): {Way.B: S.STAGE, Way.C: S.STAGE},
        (S.TICKET, K.NO_TICKETS): {Way.B: S.STAGE, Way.C: S.STAGE},
        (S.RESUME, K.FOUND_UNTOUCHED): {Way.A: S.CERTIFY, Way.B: S.STAGE, Way.C: S.STAGE},
        (S.TRY, K.TRIED): {Way.B: S.MOVE},
        (S.RECEIPT, K.RECEIPTED): {Way.C: S.DROP},
        (S.RECEIPT, K.NO_RECEIPTS): {Way.C: S.DROP},
    }
)
"""Where the ways part: the next state for those that do not go as `TABLE` says."""

# fmt: off
TABLE: Mapping[State, Mapping[Kind, State]] = MappingProxyType({
    S.PREFLIGHT: {K.READY: S.CONSENT, K.STOPPED: S.STOPPED},
    S.CONSENT:   {K.AGREED: S.TICKET, K.STOPPED: S.STOPPED, K.SUPERSEDED: S.STOPPED},
    S.TICKET:    {K.TICKET_GRANTED: S.ARM, K.OLD_KEY_UNUSABLE: S.TICKET, K.NO_TICKETS: S.GENERATE,
                  K.NO_ROOM: S.TICKET, K.STOPPED: S.STOPPED},
    S.ARM:       {K.ARMED: S.GENERATE, K.STOPPED: S.STOPPED},
    S.GENERATE:  {K.BEGUN: S.GENERATE, K.GENERATED: S.CERTIFY, K.STOPPED: S.STOPPED},
    S.STAGE:     {K.STAGING: S.STAGE, K.GENERATED: S.CERTIFY, K.STOPPED: S.STOPPED},
    S.CERTIFY:   {K.ASKED: S.CERTIFY, K.ISSUED: S.STORE, K.TOLD_TO_WAIT: S.WAITING, K.OLD_KEY_UNUSABLE: S.TICKET,
                  K.DID_NOT_SIGN: S.RESUME, K.STOPPED: S.STOPPED},
    S.WAITING:   {K.READY_AT_RA: S.POLL, K.TOLD_TO_WAIT: S.WAITING},
    S.POLL:      {K.ISSUED: S.STORE, K.TOLD_TO_WAIT: S.WAITING, K.TOO_LATE: S.RESUME},
    S.STORE:     {K.BEGUN: S.STORE, K.STAGING: S.STORE, K.STORED: S.TRY},
    S.TRY:       {K.TRIED: S.CONFIRM, K.DID_NOT_SIGN: S.REJECT},
    S.MOVE:      {K.BEGUN: S.MOVE, K.MOVED: S.CONFIRM, K.MOVED_LATE: S.TRY},
    S.CONFIRM:   {K.CONFIRMED: S.RECEIPT, K.TOO_LATE: S.REJECT},
    S.REJECT:    {K.REJECTED: S.RESUME},
    S.RECEIPT:   {K.RECEIPTED: S.REMOVE, K.NO_RECEIPTS: S.REMOVE},
    S.DROP:      {K.BEGUN: S.DROP, K.DROPPED: S.REMOVE},
    S.REMOVE:    {K.REMOVED: S.RETURN, K.PAIRED: S.DONE, K.SUPERSEDED: S.STOPPED},
    S.RETURN:    {K.RETURNED: S.SIGN_IN, K.PAIRED: S.DONE, K.SUPERSEDED: S.STOPPED},
    S.SIGN_IN:   {K.SIGNED_IN: S.DONE, K.PAIRED: S.DONE, K.SUPERSEDED: S.STOPPED},
    S.RESUME:    {K.FOUND_UNTOUCHED: S.ARM, K.FOUND_NO_KEY: S.ARM, K.FOUND_NEW_KEY: S.CERTIFY, K.FOUND_ISSUED: S.STORE,
                  K.FOUND_STORED: S.TRY, K.FOUND_CONFIRMED: S.TRY, K.FOUND_HALF_MOVED: S.MOVE,
                  K.FOUND_RECEIPTED: S.DROP, K.FOUND_NOTHING: S.STOPPED},
})
# fmt: on
"""state -> event -> next state. INTERRUPTED changes nothing; RESUMED leads to RESUME from every state in LOOK_FIRST."""

FINAL = frozenset({S.DONE, S.STOPPED})
LOOK_FIRST = frozenset(
    {
        S.TICKET,
        S.ARM,
        S.GENERATE,
        S.STAGE,
        S.CERTIFY,
        S.STORE,
        S.MOVE,
        S.DROP,
        S.TRY,
        S.CONFIRM,
        S.REJECT,
        S.RECEIPT,
        S.RESUME,
    }
)
"""After an interruption in one of these the card is looked at before anything else is done. (At POLL the RA is waiting
with a certificate for the key that the card has: asking again is all there is to do.)"""

BEGINS = frozenset({K.BEGUN, K.FOUND_NO_KEY, K.FOUND_NEW_KEY})
"""The old key is gone, or may be from now on, whichever workstation saw to that: no STOPPED any more."""

MOST_ATTEMPTS = 3
"""A card whose new keys do not sign is given up to the RA after so many (`Renewal.exhausted`)."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `fields` are text only, so that the journal holds them as they are."""

    kind: Kind
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Renewal:
    """One renewal as its events left it. `facts` gathers the fields of the events, the latest of each name."""

    id: str
    card: str
    campaign: str
    state: State = State.PREFLIGHT
    way: Way | None = None
    old_key_usable: bool = True
    begun: bool = False
    generated: int = 0
    refused: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def of_pair(self) -> bool:
        """It renews the authentication certificate that stands beside a signing certificate."""
        return self.facts.get("renews") == "authentication"

    @property
    def over(self) -> bool:
        """Nothing more will happen to it."""
        return self.state in FINAL

    @property
    def moved(self) -> bool:
        """Way B: the new key is in the signing slot."""
        return "moved" in self.facts

    @property
    def unsafe_to_leave(self) -> bool:
        """The card may be unable to sign until this renewal goes on."""
        return self.begun and self.way in (Way.B, Way.D) and self.state in LOOK_FIRST | {State.WAITING, State.POLL}

    @property
    def exhausted(self) -> bool:
        """As many keys were generated, or trials have failed, as make sense."""
        return max(self.generated, self.refused) >= MOST_ATTEMPTS


class OutOfOrder(Exception):
    """An event that the table does not foresee in this state: a fault of ours, never of the person."""


def step(renewal: Renewal, event: Event) -> Renewal:
    """The renewal after `event`; its state names the one action to do next. Raises OutOfOrder."""
    state = _next_state(renewal, event)
    way = Way(event.fields["way"]) if "way" in event.fields else renewal.way
    unusable = event.kind is Kind.OLD_KEY_UNUSABLE
    return replace(
        renewal,
        state=state,
        way=Way.D if unusable else way,
        old_key_usable=renewal.old_key_usable and not unusable,
        begun=_begun(renewal, event, way),
        generated=renewal.generated + (event.kind is Kind.GENERATED),
        refused=renewal.refused + (event.kind is Kind.DID_NOT_SIGN),
        facts={**_kept(renewal, event), **event.fields},
    )


def _begun(renewal: Renewal, event: Event, way: Way | None) -> bool:
    if event.kind is Kind.FOUND_UNTOUCHED:
        return False
    begins = {Kind.BEGUN, Kind.FOUND_HALF_MOVED} if way in (Way.B, Way.C) else BEGINS
    return renewal.begun or event.kind in begins


def replay(renewal: Renewal, events: Iterable[Event]) -> Renewal:
    """`step` over all of them: what the journal means."""
    for event in events:
        renewal = step(renewal, event)
    return renewal


def _next_state(renewal: Renewal, event: Event) -> State:
    if event.kind is Kind.INTERRUPTED and not renewal.over:
        return renewal.state
    if event.kind is Kind.RESUMED and not renewal.over:
        return State.RESUME if renewal.state in LOOK_FIRST else renewal.state
    if event.kind is Kind.STOPPED and renewal.begun:
        raise OutOfOrder(f"{renewal.state.value}: a renewal that has begun to change the card cannot be stopped")
    try:
        straight = TABLE[renewal.state][event.kind]
    except KeyError:
        raise OutOfOrder(f"{event.kind.value} in state {renewal.state.value}") from None
    way = Way(event.fields["way"]) if "way" in event.fields else renewal.way
    if way is None or (event.kind is Kind.TRIED and renewal.moved):
        return straight
    return BY_WAY.get((renewal.state, event.kind), {}).get(way, straight)


def _kept(renewal: Renewal, event: Event) -> Mapping[str, str]:
    """A new key makes what was certified for the one before it worthless; what was rejected is not taken up again."""
    if event.kind in (Kind.FOUND_NO_KEY, Kind.FOUND_UNTOUCHED, Kind.GENERATED, Kind.FOUND_NEW_KEY, Kind.REJECTED):
        stale = {"certificate", "nonce", "conversation", "public_key", "receipt", "moved"}
        return {name: value for name, value in renewal.facts.items() if name not in stale}
    return renewal.facts


def choose_way(
    campaign: Campaign, *, old_key_usable: bool, can_rekey: bool, tickets: bool, second: Way | None = None
) -> Way | None:
    """The first way that serves, or None: then only the RA can help.

    `tickets`: the RA grants them, or the administrator lets way D go without. `second`: B or C, where the card has room
    for a second key and the RA would certify it. Way A needs the old key, since it is the new one.
    """
    if campaign.rekey != "required" and old_key_usable:
        return Way.A
    if campaign.rekey != "forbidden" and second is not None:
        return second
    if campaign.rekey != "forbidden" and can_rekey and tickets:
        return Way.D
    return None


def can_protect(certificate: SigningCertificate) -> bool:
    """Whether this certificate's key may protect CMP messages: digitalSignature, or no keyUsage (RFC 9483 3.2, 3.5)."""
    return certificate.key_usage is None or "digitalSignature" in certificate.key_usage


def diagram() -> str:
    """The table as a Mermaid state diagram; docs/renewal.md carries it and a test keeps the two the same."""
    lines = ["stateDiagram-v2", "    [*] --> preflight"]
    for state, row in TABLE.items():
        for kind, target in row.items():
            lines.append(f"    {_node(state)} --> {_node(target)}: {kind.value}")
    for (state, kind), parted in BY_WAY.items():
        lines += [f"    {_node(state)} --> {_node(to)}: {kind.value} (way {way.value})" for way, to in parted.items()]
    lines += [f"    {_node(state)} --> [*]" for state in sorted(FINAL, key=lambda state: state.value)]
    return "\n".join(lines) + "\n"


def _node(state: State) -> str:
    return state.value.replace("-", "_")

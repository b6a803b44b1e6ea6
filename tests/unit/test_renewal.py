"""The renewal's table: its order cannot be broken, and a journal's replay means what the events meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from renewagent.model import CertificateHead, SigningCertificate
from renewagent.renewal import (
    FINAL,
    LOOK_FIRST,
    TABLE,
    Event,
    Kind,
    OutOfOrder,
    Renewal,
    State,
    Way,
    can_protect,
    choose_way,
    diagram,
    replay,
    step,
)
from renewagent.rules import Campaign

NOW = datetime(2026, 11, 3, 9, tzinfo=UTC)
NEW = Renewal(id="r1", card="chuid:00", campaign="c/1")
WAY_D = [
    Event(Kind.READY, {"way": "D"}),
    Event(Kind.AGREED),
    Event(Kind.TICKET_GRANTED, {"ticket": "t"}),
    Event(Kind.ARMED),
    Event(Kind.BEGUN),
    Event(Kind.GENERATED, {"public_key": "aa"}),
    Event(Kind.ASKED, {"conversation": "{}"}),
    Event(Kind.ISSUED, {"certificate": "bb", "nonce": "cc"}),
    Event(Kind.BEGUN),
    Event(Kind.STORED),
    Event(Kind.TRIED, {"receipt": "dd"}),
    Event(Kind.CONFIRMED),
    Event(Kind.RECEIPTED),
    Event(Kind.REMOVED),
    Event(Kind.RETURNED),
    Event(Kind.SIGNED_IN),
]
WAY_A = [Event(Kind.READY, {"way": "A"}), Event(Kind.AGREED), *WAY_D[6:]]


def test_way_d_from_start_to_done() -> None:
    done = replay(NEW, WAY_D)
    assert (done.state, done.way, done.generated, done.begun) == (State.DONE, Way.D, 1, True)
    assert done.facts["certificate"] == "bb"


def test_way_a_generates_nothing_and_needs_no_ticket() -> None:
    done = replay(NEW, WAY_A)
    assert (done.state, done.generated, "ticket" in done.facts) == (State.DONE, 0, False)


def _orders(state: State, seen: tuple[Kind, ...], renewal: Renewal, length: int) -> list[tuple[Kind, ...]]:
    """Every sequence of events without an interruption or a rejection that leads from `state` to DONE in `length`."""
    if state is State.DONE:
        return [seen]
    found = []
    for kind in TABLE.get(state, {}) if length else ():
        if kind in (Kind.DID_NOT_SIGN, Kind.TOO_LATE) or (seen and seen[-1] is kind):
            continue
        fields = {"way": way} if kind is Kind.READY and (way := renewal.facts.get("wanted")) else {}
        try:
            after = step(renewal, Event(kind, fields))
        except OutOfOrder:
            continue
        found += _orders(after.state, (*seen, kind), after, length - 1)
    return found


@pytest.mark.parametrize("way", ["A", "D"])
def test_no_order_of_events_confirms_before_the_trial_or_revokes_before_the_confirmation(way: str) -> None:
    orders = _orders(State.PREFLIGHT, (), Renewal("r", "c", "k", facts={"wanted": way}), 19)
    assert orders
    for order in orders:
        assert order.index(Kind.STORED) < order.index(Kind.TRIED) < order.index(Kind.CONFIRMED)
        receipt = Kind.RECEIPTED if Kind.RECEIPTED in order else Kind.NO_RECEIPTS
        end = Kind.SIGNED_IN if Kind.SIGNED_IN in order else Kind.PAIRED
        assert order.index(Kind.CONFIRMED) < order.index(receipt) < order.index(end)
        if Kind.GENERATED in order and Kind.NO_TICKETS not in order:
            assert order.index(Kind.TICKET_GRANTED) < order.index(Kind.ARMED) < order.index(Kind.GENERATED)


@pytest.mark.parametrize("state", [s for s in State if s in LOOK_FIRST])
def test_after_an_interruption_the_card_is_looked_at_first(state: State) -> None:
    cut = Renewal("r", "c", "k", state=state, way=Way.D)
    assert step(step(cut, Event(Kind.INTERRUPTED)), Event(Kind.RESUMED)).state is State.RESUME


@pytest.mark.parametrize("state", [State.WAITING, State.REMOVE, State.RETURN, State.SIGN_IN])
def test_where_nothing_on_the_card_can_be_half_done_it_goes_on_at_once(state: State) -> None:
    assert step(Renewal("r", "c", "k", state=state), Event(Kind.RESUMED)).state is state


def test_once_begun_a_renewal_cannot_be_stopped_but_only_interrupted() -> None:
    begun = replay(NEW, WAY_D[:5])
    with pytest.raises(OutOfOrder):
        step(begun, Event(Kind.STOPPED))
    assert step(begun, Event(Kind.INTERRUPTED)).state is begun.state
    assert begun.unsafe_to_leave


def test_a_key_generated_again_forgets_what_was_certified_before() -> None:
    cut = step(replay(NEW, WAY_D[:8]), Event(Kind.RESUMED))
    again = step(cut, Event(Kind.FOUND_NO_KEY, {"ticket": "t"}))
    assert again.state is State.ARM
    assert not {"certificate", "public_key", "nonce"} & set(again.facts)


def test_an_old_key_that_does_not_sign_leads_to_a_ticket_by_way_d() -> None:
    found = replay(NEW, [Event(Kind.READY, {"way": "A"}), Event(Kind.AGREED), Event(Kind.OLD_KEY_UNUSABLE)])
    assert (found.state, found.way, found.old_key_usable) == (State.TICKET, Way.D, False)


@pytest.mark.parametrize("state", [s for s in State if s in FINAL])
@pytest.mark.parametrize("kind", list(Kind))
def test_nothing_follows_the_end(state: State, kind: Kind) -> None:
    with pytest.raises(OutOfOrder):
        step(Renewal("r", "c", "k", state=state), Event(kind))


def test_every_state_can_be_left_and_reached() -> None:
    assert set(TABLE) == set(State) - FINAL
    reached = {target for row in TABLE.values() for target in row.values()} | {State.PREFLIGHT}
    assert reached == set(State)


def _campaign(rekey: Literal["required", "allowed", "forbidden"]) -> Campaign:
    return Campaign("c", 1, NOW, NOW + timedelta(days=30), {"en": "x"}, (), rekey=rekey)


@pytest.mark.parametrize(
    ("rekey", "usable", "can_rekey", "tickets", "way"),
    [
        ("required", True, True, True, Way.D),
        ("required", True, True, False, None),
        ("required", True, False, True, None),
        ("allowed", True, True, True, Way.A),
        ("allowed", True, False, False, Way.A),
        ("allowed", False, True, True, Way.D),
        ("forbidden", True, True, True, Way.A),
        ("forbidden", False, True, True, None),
    ],
)
def test_the_first_way_that_serves(
    rekey: Literal["required", "allowed", "forbidden"],
    usable: bool,
    can_rekey: bool,
    tickets: bool,
    way: Way | None,
) -> None:
    assert choose_way(_campaign(rekey), old_key_usable=usable, can_rekey=can_rekey, tickets=tickets) is way


@pytest.mark.parametrize(
    ("usage", "may"), [(None, True), ({"contentCommitment"}, False), ({"contentCommitment", "digitalSignature"}, True)]
)
def test_only_digital_signature_protects_messages(usage: set[str] | None, may: bool) -> None:
    head = CertificateHead(1, (), NOW, NOW + timedelta(days=1))
    certificate = SigningCertificate(head, (), frozenset(usage) if usage else None, "x", "rsa", 2048, b"")
    assert can_protect(certificate) is may


def test_the_diagram_in_the_docs_is_the_table() -> None:
    assert diagram() in (Path(__file__).parents[2] / "docs" / "renewal.md").read_text()


@pytest.mark.parametrize("found", [Kind.FOUND_NO_KEY, Kind.FOUND_NEW_KEY])
def test_what_another_workstation_began_cannot_be_stopped_here_either(found: Kind) -> None:
    here = step(Renewal("r", "c", "k", state=State.RESUME), Event(found, {"ticket": "t", "way": "D"}))
    assert here.unsafe_to_leave
    with pytest.raises(OutOfOrder):
        step(here, Event(Kind.STOPPED))

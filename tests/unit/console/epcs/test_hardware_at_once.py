"""Two at once: whoever is quicker, a person never has two active tokens or none, and nothing is filed twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from renewagent.console import audit
from renewagent.console.epcs import hardware, tickets
from renewagent.console.epcs.desk import Desk
from renewagent.console.permissions import Person
from renewagent.tokens.errors import DeskRefused, TokenError, TokenRefused
from renewagent.tokens.model import TokenState
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from tests.epcs_desk import Bench, new_bench, npi
from tests.unit.console.databases import KINDS, in_file
from tests.unit.console.epcs.vendor_forms import ORDER

GAHE, GALH = "GAHE00012345", "GALH00067890"


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    kind: str = request.param
    database = in_file(tmp_path) if kind == "sqlite" else request.getfixturevalue("postgresql_database")
    made = new_bench(tmp_path, database=database)
    yield made
    made.close()


@pytest.fixture
def pat(bench: Bench) -> Person:
    return bench.person("pat", dea="AB1234563")


@pytest.fixture
def token(bench: Bench, pat: Person) -> ButtonToken:
    made = bench.token(GAHE)
    bench.token(GALH)
    for serial in (GAHE, GALH):
        hardware.register(bench.desk, pat, pat, serial, serial)
    return made


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each gives or raises, all begun at one moment."""
    gate = threading.Barrier(len(works))

    def work(one: Callable[[], Any]) -> Any:
        gate.wait()
        try:
            return one()
        except TokenError as refused:
            return refused

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(work, works))


class Gate:
    """An authority in which `names` wait for each other, so that both are between what the desk writes."""

    def __init__(self, behind: Any, names: Sequence[str], parties: int) -> None:
        self._behind, self._names, self._gate = behind, names, threading.Barrier(parties)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._behind, name)

        def called(*positional: Any, **named: Any) -> Any:
            if name in self._names:
                try:
                    self._gate.wait(1)
                except threading.BrokenBarrierError:
                    pass  # the other one was turned away before
            return found(*positional, **named)

        return called


def gated(bench: Bench, *names: str) -> Desk:
    return replace(bench.desk, authority=Gate(bench.vendor, names, 2), support=Gate(bench.vendor, names, 2))


def states(bench: Bench, pat: Person) -> list[TokenState]:
    kept = [token.state for token in hardware.tokens_of(bench.desk, pat)]
    assert kept == [bench.vendor.standing(serial).state for serial in (GAHE, GALH)]
    return kept


@pytest.mark.usefixtures("token")
def test_a_spare_is_activated_by_two(bench: Bench, pat: Person) -> None:
    desk = gated(bench, "activate")
    answers = at_once(*[lambda: hardware.activate_spare(desk, pat, pat, GALH)] * 2)
    assert [one.state for one in answers] == [TokenState.ACTIVE] * 2
    assert states(bench, pat) == [TokenState.DEACTIVATED, TokenState.ACTIVE]


@pytest.mark.usefixtures("token")
def test_one_activates_the_spare_while_the_other_gives_it_up(bench: Bench, pat: Person) -> None:
    desk = gated(bench, "activate", "disable")
    answers = at_once(
        lambda: hardware.activate_spare(desk, pat, pat, GALH), lambda: hardware.retire(desk, pat, pat, GALH)
    )
    assert [type(one) for one in answers].count(DeskRefused) == 1
    assert states(bench, pat) in (
        [TokenState.DEACTIVATED, TokenState.ACTIVE],
        [TokenState.ACTIVE, TokenState.DEACTIVATED],
    )


@pytest.mark.usefixtures("token")
def test_a_token_is_lost_while_the_spare_takes_over(bench: Bench, pat: Person) -> None:
    desk = gated(bench, "activate", "disable")
    lost, active = at_once(
        lambda: hardware.report_lost(desk, pat, pat, GAHE, "stolen"),
        lambda: hardware.activate_spare(desk, pat, pat, GALH),
    )
    assert lost.token.state.is_over
    assert active.state is TokenState.ACTIVE
    after = [bench.vendor.standing(serial).state for serial in (GAHE, GALH)]
    assert after[0].is_over and after[1] is TokenState.ACTIVE
    assert all(
        kept.state.is_over == there.is_over
        for kept, there in zip(hardware.tokens_of(bench.desk, pat), after, strict=True)
    )


@pytest.mark.usefixtures("token")
def test_the_spare_is_lost_while_it_takes_over(bench: Bench, pat: Person) -> None:
    desk = gated(bench, "activate", "disable")
    at_once(
        lambda: hardware.report_lost(desk, pat, pat, GALH, "lost"),
        lambda: hardware.activate_spare(desk, pat, pat, GALH),
    )
    bench.clock.move(timedelta(minutes=2))
    hardware.tend(bench.desk)
    assert hardware.tokens_of(bench.desk, pat)[1].state is TokenState.LOST
    assert bench.vendor.standing(GALH).state is TokenState.LOST


def test_the_same_two_codes_are_accepted_once(bench: Bench, pat: Person, token: ButtonToken) -> None:
    pair = token.press_twice()
    desk = gated(bench, "resynchronise")
    answers = at_once(*[lambda: hardware.resynchronise(desk, pat, pat, GAHE, *pair)] * 2)
    assert sorted(type(one).__name__ for one in answers) == ["Resynced", "TokenRefused"]


def test_two_reset_tickets_are_one(bench: Bench, pat: Person, token: ButtonToken) -> None:
    token.lose_presses(80)
    with pytest.raises(TokenRefused):
        hardware.resynchronise(bench.desk, pat, pat, GAHE, *token.press_twice())
    first, second = token.press_twice()
    form = {"provider": "Pat Prescriber", "npi": npi("pat"), "serial": GAHE, "first": first, "second": second}
    desk = gated(bench, "file_reset")
    answers = at_once(*[lambda: tickets.open_reset(desk, pat, pat, form)] * 2)
    assert {one.ticket.number for one in answers} == {"EX-100001"}
    assert len(tickets.tickets_of(bench.desk, pat)) == 1


def test_two_orders_are_one_and_two_schedulers_send_it_once(bench: Bench, pat: Person) -> None:
    desk = gated(bench, "file_order")
    answers = at_once(*[lambda: tickets.order(desk, pat, pat, {**ORDER, "kind": "spare"})] * 2)
    assert {one.ticket.number for one in answers} == {"EX-100001"}
    bench.vendor.ship("EX-100001")
    at_once(*[lambda: tickets.follow(bench.desk)] * 4)
    (ticket,) = tickets.tickets_of(bench.desk, pat)
    assert ticket.new_serial
    log = [entry.event for entry in bench.site.store.reading(audit.entries)]
    assert log.count("epcs.ticket-sent") == log.count("epcs.ticket-done") == 1


def test_one_token_is_registered_by_two_people(bench: Bench, pat: Person) -> None:
    sam = bench.person("sam")
    bench.token(GAHE)
    desk = gated(bench, "register")
    answers = at_once(
        lambda: hardware.register(desk, pat, pat, GAHE, GAHE), lambda: hardware.register(desk, sam, sam, GAHE, GAHE)
    )
    assert sorted(type(one).__name__ for one in answers) == ["Token", "TokenRefused"]
    owner = bench.vendor.standing(GAHE).account
    assert [len(hardware.tokens_of(bench.desk, one)) for one in (pat, sam)] == [owner == "pat", owner == "sam"]

"""The console dies at every step of every flow with hardware tokens: before and after everything that it asks of the
vendor or the EHR, and everything that it writes down. Done again, or left to the scheduler, it ends as it should, once.
"""

from __future__ import annotations

import copy
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from renewagent.console import audit
from renewagent.console.epcs import carrying_out, hardware, tickets
from renewagent.console.epcs.desk import Desk
from renewagent.console.permissions import Person
from renewagent.tokens.errors import TokenRefused
from renewagent.tokens.model import Answer, TokenState
from renewagent.tokens.tickets import TicketState
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from tests.epcs_desk import Bench, new_bench, npi
from tests.mortal import Fate, Killed, mortal
from tests.unit.console.epcs.vendor_forms import ORDER, REPLACEMENT, picture

GAHE, GALH = "GAHE00012345", "GALH00067890"
MOST = 60


@dataclass
class Story:
    """A person with an active token and a spare, and the two tokens."""

    bench: Bench
    pat: Person
    token: ButtonToken
    spare: ButtonToken
    made: bool = False

    def states(self) -> tuple[TokenState, TokenState]:
        """At the vendor."""
        return self.bench.vendor.standing(GAHE).state, self.bench.vendor.standing(GALH).state

    def kept(self) -> tuple[TokenState, ...]:
        """At the desk."""
        return tuple(token.state for token in hardware.tokens_of(self.bench.desk, self.pat))

    def events(self, event: str) -> int:
        log = self.bench.site.store.reading(audit.entries)
        assert audit.verify_chain(log) is None
        return [entry.event for entry in log].count(event)

    def filed(self) -> int:
        """How many tickets and orders the vendor has."""
        with sqlite3.connect(self.bench.site.settings.data / "vendor.db") as connection:
            return int(connection.execute("select count(*) from filed").fetchone()[0])

    def settle(self) -> None:
        """The console is back, and its scheduler looks, as often as it takes."""
        for _ in range(3):
            self.bench.clock.move(timedelta(minutes=2))
            carrying_out.tend(self.bench.desk)
            hardware.tend(self.bench.desk)
            tickets.follow(self.bench.desk)


def first_story(folder: Path) -> Story:
    """Kept, and copied for each time that the console dies."""
    folder.mkdir()
    bench = new_bench(folder)
    pat = bench.person("pat", dea="AB1234563")
    token, spare = bench.token(GAHE), bench.token(GALH)
    for serial in (GAHE, GALH):
        hardware.register(bench.desk, pat, pat, serial, serial)
    bench.close()
    return Story(bench, pat, token, spare)


def copied(told: Story, folder: Path) -> Story:
    """As it was at first."""
    shutil.copytree(told.bench.site.settings.data, folder)
    bench = new_bench(folder)
    return replace(told, bench=bench, token=copy.copy(told.token), spare=copy.copy(told.spare))


Flow = Callable[[Desk, Story], object]


def killed_everywhere(folder: Path, flow: Flow) -> Iterator[Story]:
    """The story once for each call that can be the last one, right after that; at the end, once through."""
    first = first_story(folder / "first")
    for before in (True, False):
        for at in range(1, MOST):
            told, fate = copied(first, folder / f"{at}-{'before' if before else 'after'}"), Fate(at, before)
            try:
                flow(mortal(told.bench.desk, fate), told)
            except Killed:
                yield told
            else:
                assert not fate.came
                break
            finally:
                told.bench.close()
        else:
            pytest.fail("it never ends")
        assert at > 2, "nothing was killed"


def activate(desk: Desk, told: Story) -> object:
    return hardware.activate_spare(desk, told.pat, told.pat, GALH)


def test_a_spare_that_takes_over(tmp_path: Path) -> None:
    for told in killed_everywhere(tmp_path, activate):
        assert TokenState.ACTIVE in told.states()
        activate(told.bench.desk, told)
        assert told.states() == told.kept() == (TokenState.DEACTIVATED, TokenState.ACTIVE)
        assert told.events("epcs.token-active") == told.events("epcs.token-deactivated") == 1


def test_a_spare_that_takes_over_or_does_not(tmp_path: Path) -> None:
    for told in killed_everywhere(tmp_path, activate):
        told.settle()
        assert told.states() == told.kept()
        assert told.states().count(TokenState.ACTIVE) == 1
        assert [token.ordered for token in hardware.tokens_of(told.bench.desk, told.pat)] == ["", ""]


def retire(desk: Desk, told: Story) -> object:
    return hardware.retire(desk, told.pat, told.pat, GALH)


def test_a_spare_that_is_given_up(tmp_path: Path) -> None:
    for told in killed_everywhere(tmp_path, retire):
        retire(told.bench.desk, told)
        assert told.states() == told.kept() == (TokenState.ACTIVE, TokenState.DEACTIVATED)
        assert told.events("epcs.token-deactivated") == 1


def test_a_spare_that_is_given_up_or_is_not(tmp_path: Path) -> None:
    for told in killed_everywhere(tmp_path, retire):
        told.settle()
        assert told.states() == told.kept() and told.states()[0] is TokenState.ACTIVE
        assert [token.ordered for token in hardware.tokens_of(told.bench.desk, told.pat)] == ["", ""]


@pytest.mark.parametrize("reason", ["lost", "compromised"])
def test_a_lost_token_is_lost_once_it_is_written_down(tmp_path: Path, reason: str) -> None:
    def lose(desk: Desk, told: Story) -> object:
        return hardware.report_lost(desk, told.pat, told.pat, GAHE, reason)

    noted = 0
    for told in killed_everywhere(tmp_path, lose):
        if told.kept()[0] is not TokenState.LOST:
            assert told.states()[0] is TokenState.ACTIVE  # nothing was done: the person has had no answer
            continue
        noted += 1
        told.settle()
        assert told.states() == told.kept() == (TokenState.LOST, TokenState.SPARE)
        assert told.bench.ehr.access("pat").epcs_suspended
        assert told.events("epcs.incident-found") == told.events("epcs.token-lost") == 1
    assert noted > 5


def test_a_lost_token_reported_again(tmp_path: Path) -> None:
    def lose(desk: Desk, told: Story) -> object:
        return hardware.report_lost(desk, told.pat, told.pat, GAHE, "lost")

    for told in killed_everywhere(tmp_path, lose):
        lose(told.bench.desk, told)
        told.settle()
        assert told.states() == told.kept() == (TokenState.LOST, TokenState.SPARE)
        assert told.bench.ehr.access("pat").epcs_suspended
        assert told.events("epcs.incident-found") == 1


def test_a_registration(tmp_path: Path) -> None:
    def register(desk: Desk, told: Story) -> object:
        if not told.made:
            told.bench.token("GALH00000009")
            told.made = True
        return hardware.register(desk, told.pat, told.pat, "GALH00000009", "GALH00000009")

    for told in killed_everywhere(tmp_path, register):
        register(told.bench.desk, told)
        assert told.kept() == (TokenState.ACTIVE, TokenState.SPARE, TokenState.SPARE)
        assert told.events("epcs.token-registered") == 3


def test_a_resynchronisation_whose_answer_nobody_heard_is_done_again(tmp_path: Path) -> None:
    def resynchronise(desk: Desk, told: Story) -> object:
        told.token.lose_presses(30)
        return hardware.resynchronise(desk, told.pat, told.pat, GAHE, *told.token.press_twice())

    for told in killed_everywhere(tmp_path, resynchronise):
        resynchronise(told.bench.desk, told)
        assert told.bench.vendor.check(GAHE, told.token.press()).answer is Answer.ACCEPTED


def test_a_reset_ticket_is_filed_once(tmp_path: Path) -> None:
    def reset(desk: Desk, told: Story) -> object:
        first, second = told.token.press_twice()
        form = {"provider": "Pat Prescriber", "npi": npi("pat"), "serial": GAHE, "first": first, "second": second}
        return tickets.open_reset(desk, told.pat, told.pat, form)

    def begin(desk: Desk, told: Story) -> object:
        told.token.lose_presses(80)
        with pytest.raises(TokenRefused):
            hardware.resynchronise(told.bench.desk, told.pat, told.pat, GAHE, *told.token.press_twice())
        return reset(desk, told)

    for told in killed_everywhere(tmp_path, begin):
        reset(told.bench.desk, told)
        told.settle()
        (ticket,) = tickets.tickets_of(told.bench.desk, told.pat)
        assert ticket.state is TicketState.SENT and told.filed() == 1
        told.bench.vendor.work_ticket(ticket.number)
        told.settle()
        assert tickets.find(told.bench.desk, told.pat, ticket.id).outcome.startswith("The token was reset")
        assert told.bench.vendor.check(GAHE, told.token.press()).answer is Answer.ACCEPTED
        assert told.events("epcs.ticket-sent") == told.events("epcs.ticket-done") == 1


@pytest.mark.parametrize("kind", ["replacement", "spare"])
def test_an_order_is_filed_once(tmp_path: Path, kind: str) -> None:
    def buy(desk: Desk, told: Story) -> object:
        if kind == "spare":
            return tickets.order(desk, told.pat, told.pat, {**ORDER, "kind": "spare"})
        return tickets.order(desk, told.pat, told.pat, REPLACEMENT, [picture("front"), picture("back")])

    for told in killed_everywhere(tmp_path, buy):
        buy(told.bench.desk, told)
        told.settle()
        (ticket,) = tickets.tickets_of(told.bench.desk, told.pat)
        assert ticket.state is TicketState.SENT and told.filed() == 1


def test_the_scheduler_itself_dies(tmp_path: Path) -> None:
    """Amid following a ticket that the vendor has done."""

    def follow(desk: Desk, told: Story) -> object:
        if not tickets.tickets_of(told.bench.desk, told.pat):
            opened = tickets.order(told.bench.desk, told.pat, told.pat, {**ORDER, "kind": "spare"})
            told.bench.vendor.ship(opened.ticket.number)
        tickets.follow(desk)
        return None

    for told in killed_everywhere(tmp_path, follow):
        told.settle()
        (ticket,) = tickets.tickets_of(told.bench.desk, told.pat)
        assert ticket.state is TicketState.DONE and ticket.new_serial
        assert told.events("epcs.ticket-done") == 1

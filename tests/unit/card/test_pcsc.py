"""PC/SC as it is: a private pcscd, virtual readers in it, cards that come and go, other programs, restarts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from renewagent.card import pcsc, pcsc_errors
from renewagent.card.interface import ReaderState
from renewagent.card.pcsc import PcscConnection, PcscReaders
from renewagent.card.timed import TimedCalls, TimedOut
from renewagent.errors import (
    CardBusy,
    CardRemoved,
    CardReset,
    NoCard,
    NoReader,
    PcscUnavailable,
    ReaderError,
)
from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.virtual_card import VirtualCard
from renewagent_fixtures.vpcd import VpcdLink
from tests.pcsc import until
from tests.programs import missing

SELECT, EMPTY_VERIFY = bytes.fromhex("00a4040005a000000308"), bytes.fromhex("00200080")


@pytest.fixture
def readers() -> Iterator[PcscReaders]:
    made = PcscReaders(patience=2)
    yield made
    made.close()


@pytest.fixture
def card() -> VirtualCard:
    return VirtualCard.create(None)


@pytest.fixture
def reader(private_pcscd: PrivatePcscd, readers: PcscReaders, card: VirtualCard) -> Iterator[str]:
    """The name of a reader with a card in it."""
    name = private_pcscd.reader_names[0]
    with VpcdLink(card, private_pcscd.ports[0]):
        until(lambda: readers.states()[name].present)
        yield name


def later(delay: float, action: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(delay, action)
    timer.start()
    return timer


def wait_until(readers: PcscReaders, name: str, present: bool, limit: float = 5) -> ReaderState:
    """By `wait` alone."""
    known, end = readers.states(), time.monotonic() + limit
    while name not in known or known[name].present is not present:
        assert time.monotonic() < end
        known = readers.wait(known, end - time.monotonic())
    return known[name]


# -- watching ------------------------------------------------------------------------------------------------------


def test_a_card_present_at_start_is_reported(reader: str, readers: PcscReaders, card: VirtualCard) -> None:
    state = readers.states()[reader]
    assert state.present and state.atr == card.atr and state.events > 0
    assert PcscReaders().wait({}, 10)[reader] == state


def test_a_card_that_comes_and_goes_ends_a_wait(
    private_pcscd: PrivatePcscd, readers: PcscReaders, card: VirtualCard
) -> None:
    name, link = private_pcscd.reader_names[1], VpcdLink(card, private_pcscd.ports[1])
    before = readers.states()
    assert not before[name].present
    timer = later(0.1, link.insert)
    inserted = readers.wait(before, 10)
    timer.join()
    assert inserted[name].present and inserted[name].atr == card.atr
    timer = later(0.1, link.remove)
    removed = readers.wait(inserted, 10)
    timer.join()
    assert not removed[name].present
    assert before[name].events < inserted[name].events < removed[name].events


def test_a_change_between_two_waits_is_not_missed(
    private_pcscd: PrivatePcscd, readers: PcscReaders, card: VirtualCard
) -> None:
    name = private_pcscd.reader_names[0]
    before = readers.states()
    with VpcdLink(card, private_pcscd.ports[0]):
        until(lambda: readers.states()[name].present)
        started = time.monotonic()
        assert readers.wait(before, 10)[name].present
        assert time.monotonic() - started < 1


def test_a_quick_swap_is_a_change(private_pcscd: PrivatePcscd, readers: PcscReaders) -> None:
    name, port = private_pcscd.reader_names[0], private_pcscd.ports[0]
    first, second = VpcdLink(VirtualCard.create(None), port), VpcdLink(VirtualCard.create(None), port)
    first.insert()
    before = wait_until(readers, name, present=True)
    first.remove()
    wait_until(PcscReaders(), name, present=False)  # pcscd looks into virtual readers every 400 ms
    second.insert()
    after = wait_until(PcscReaders(), name, present=True)
    second.remove()
    assert after.present and after.atr == before.atr and after.events > before.events
    assert after != before


def test_a_wait_without_events_lasts_as_long_as_it_should_and_costs_nothing(reader: str, readers: PcscReaders) -> None:
    known = readers.states()
    started, spent = time.monotonic(), time.thread_time()
    assert readers.wait(known, 1.0) == known
    assert 0.99 < time.monotonic() - started < 1.5
    assert time.thread_time() - spent < 0.05


def test_another_programs_use_of_a_card_is_no_event(reader: str, readers: PcscReaders) -> None:
    known = readers.states()
    connection = readers.connect(reader)
    timer = later(0.2, connection.close)
    started = time.monotonic()
    assert readers.wait(known, 0.6) == known
    assert time.monotonic() - started > 0.55
    timer.join()


def test_a_wait_can_be_cancelled_at_once(reader: str, readers: PcscReaders) -> None:
    known = readers.states()
    timer = later(0.2, readers.cancel)
    started = time.monotonic()
    assert readers.wait(known, 30) == known
    assert time.monotonic() - started < 0.4
    timer.join()


def test_a_cancel_before_the_wait_is_kept_once(reader: str, readers: PcscReaders) -> None:
    known = readers.states()
    readers.cancel()
    started = time.monotonic()
    readers.wait(known, 30)
    assert time.monotonic() - started < 0.2
    readers.wait(known, 0.3)
    assert time.monotonic() - started > 0.3


def test_cancels_at_any_moment_are_never_lost(reader: str, readers: PcscReaders) -> None:
    known = readers.states()
    for i in range(30):
        timer = later(i * 0.0002, readers.cancel)
        started = time.monotonic()
        readers.wait(known, 5)
        timer.join()
        assert time.monotonic() - started < 1
        readers._cancelled.clear()


def test_no_readers_and_no_service(pcsc_directory: object, readers: PcscReaders) -> None:
    for call in (readers.states, lambda: readers.wait({}, 5), lambda: readers.connect("any")):
        with pytest.raises(PcscUnavailable) as caught:
            call()
        assert "pcscd" in caught.value.advice


def test_a_service_that_goes_away_and_comes_back(
    private_pcscd: PrivatePcscd, readers: PcscReaders, reader: str, card: VirtualCard
) -> None:
    connection, known = readers.connect(reader), readers.states()
    timer = later(0.2, private_pcscd.stop)
    with pytest.raises(PcscUnavailable):
        readers.wait(known, 10)
    timer.join()
    for call in (readers.states, lambda: connection.transmit(SELECT), lambda: readers.connect(reader)):
        with pytest.raises(PcscUnavailable):
            call()
    connection.close()
    private_pcscd.start()
    assert wait_until(readers, reader, present=True).atr == card.atr
    again = readers.connect(reader)
    assert again.transmit(SELECT)[-2:] == b"\x90\x00"
    again.close()


def test_a_service_that_goes_away_in_a_transaction(
    private_pcscd: PrivatePcscd, readers: PcscReaders, reader: str
) -> None:
    connection = readers.connect(reader)
    with pytest.raises(PcscUnavailable), connection.transaction() as transaction:
        transaction.reset_at_end()
        connection.transmit(SELECT)
        private_pcscd.stop()
        connection.transmit(SELECT)
    connection.close()


def test_sixteen_readers(pcsc_directory: Path, readers: PcscReaders, card: VirtualCard) -> None:
    """As many as pcscd knows: no room for the pseudo-reader that announces new ones, and still no polling."""
    try:
        pcscd = PrivatePcscd(8, directory=pcsc_directory).__enter__()
    except ReaderError as error:
        missing(error.message)
    try:
        known = readers.states()
        assert len(known) == 16
        spent = time.thread_time()
        assert readers.wait(known, 0.5) == known
        assert time.thread_time() - spent < 0.05
        link = VpcdLink(card, pcscd.ports[7])
        timer = later(0.1, link.insert)
        assert readers.wait(known, 10)[pcscd.reader_names[7]].present
        timer.join()
        link.remove()
    finally:
        pcscd.__exit__()


def test_a_service_that_hangs(private_pcscd: PrivatePcscd, card: VirtualCard) -> None:
    """Nothing answers, and nothing waits for ever; once it goes on, so do we."""
    name, readers = private_pcscd.reader_names[0], PcscReaders(patience=0.3)
    with VpcdLink(card, private_pcscd.ports[0]):
        until(lambda: readers.states()[name].present)
        connection, known, threads = readers.connect(name), readers.states(), threading.active_count()
        stop_signal(private_pcscd, signal.SIGSTOP)
        try:
            for call in (lambda: readers.wait(known, 0.2), readers.states, lambda: readers.connect(name)):
                for _ in range(2):
                    started = time.monotonic()
                    with pytest.raises((PcscUnavailable, CardBusy)):
                        call()
                    assert time.monotonic() - started < 1.2
            with pytest.raises(CardBusy):
                connection.transmit(SELECT)
            started = time.monotonic()
            readers.close()
            assert time.monotonic() - started < 2
            assert threading.active_count() <= threads + 4
        finally:
            stop_signal(private_pcscd, signal.SIGCONT)
        until(lambda: threading.active_count() < threads)
        assert readers.states()[name].present
        assert readers.connect(name).transmit(SELECT)[-2:] == b"\x90\x00"


def stop_signal(pcscd: PrivatePcscd, number: int) -> None:
    """To the daemon itself, which is a grandchild of the process that we started."""
    assert pcscd._process is not None
    pending, found = [pcscd._process.pid], []
    while pending:
        pid = pending.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").iterdir():
            pending += map(int, (task / "children").read_text().split())
    daemons = [pid for pid in found if Path(f"/proc/{pid}/comm").read_text().strip() == "pcscd"]
    assert len(daemons) == 1
    os.kill(daemons[0], number)


# -- what pcscd is too small or too old for, with PC/SC replaced by a script -----------------------------------------


class ScriptedScard:
    """Answers SCardGetStatusChange; the rest is the real module's constants."""

    def __init__(self, answers: list[int]) -> None:
        self.answers, self.waits = answers, list[list[str]]()

    def __getattr__(self, name: str) -> object:
        return getattr(REAL, name)

    def SCardGetStatusChange(self, context: int, timeout: int, states: list[tuple[str, int]]) -> tuple[int, object]:
        assert 0 < timeout < 0x7FFFFFFF
        self.waits.append([name for name, _ in states])
        return self.answers.pop(0), []


REAL = vars(pcsc)["scard"]
SEEN = [(f"Reader {i}", 0x12, list[int]()) for i in range(16)]


@pytest.mark.parametrize("code", [pcsc_errors.INVALID_PARAMETER, pcsc_errors.INVALID_VALUE, pcsc_errors.UNKNOWN_READER])
def test_sixteen_readers_are_waited_for_without_the_pseudo_reader(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    scripted = ScriptedScard([code, pcsc_errors.TIMEOUT])
    monkeypatch.setattr(pcsc, "scard", scripted)
    pcsc._sleep(1, SEEN, 10)
    assert [len(wait) for wait in scripted.waits] == [17, 16]
    assert "PnP" in scripted.waits[0][-1] and "PnP" not in scripted.waits[1][-1]


@pytest.mark.parametrize("seconds", [0, 1e-9, 1e12])
def test_no_wait_is_infinite_or_none(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    scripted = ScriptedScard([pcsc_errors.TIMEOUT])
    monkeypatch.setattr(pcsc, "scard", scripted)
    pcsc._sleep(1, SEEN[:1], min(seconds, pcsc.RE_LIST))
    assert scripted.waits


@pytest.mark.parametrize("code", [0x8010001D, 0x80100013, 0x8010001E, -2146435043])
def test_a_wait_that_the_service_ends(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(pcsc, "scard", ScriptedScard([code]))
    with pytest.raises(PcscUnavailable):
        pcsc._sleep(1, [], 10)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (0x8010001D, PcscUnavailable),
        (0x80100027, PcscUnavailable),
        (0x8010002E, NoReader),
        (0x80100009, NoReader),
        (0x8010000C, NoCard),
        (0x80100069, CardRemoved),
        (0x80100068, CardReset),
        (0x8010000B, CardBusy),
        (0x80100066, ReaderError),
        (0x8010001F, ReaderError),
        (0xDEADBEEF, ReaderError),
    ],
)
def test_every_code_is_one_of_our_errors(code: int, error: type[ReaderError]) -> None:
    found = pcsc_errors.error_of(code)
    assert type(found) is error
    assert found.message.endswith(".") and found.advice.endswith(".")


# -- using a card --------------------------------------------------------------------------------------------------


def test_an_exchange(reader: str, card: VirtualCard) -> None:
    passed: list[tuple[str, bytes, bytes]] = []
    connection = PcscReaders(on_exchange=lambda *exchange: passed.append(exchange)).connect(reader)
    assert (connection.reader, connection.atr) == (reader, card.atr)
    response = connection.transmit(SELECT)
    assert response[-2:] == b"\x90\x00"
    assert passed == [(reader, SELECT, response)]
    connection.close()
    connection.close()  # twice does no harm
    with pytest.raises(CardRemoved):
        connection.transmit(SELECT)


def test_no_card_and_no_reader(private_pcscd: PrivatePcscd, readers: PcscReaders) -> None:
    with pytest.raises(NoCard):
        readers.connect(private_pcscd.reader_names[0])
    with pytest.raises(NoReader):
        readers.connect("No Such Reader")


def test_a_card_that_was_removed_stays_removed_for_its_connection(
    private_pcscd: PrivatePcscd, readers: PcscReaders, card: VirtualCard
) -> None:
    name, link = private_pcscd.reader_names[0], VpcdLink(card, private_pcscd.ports[0])
    link.insert()
    wait_until(readers, name, present=True)
    connection = readers.connect(name)
    link.remove()
    wait_until(readers, name, present=False)
    with pytest.raises(CardRemoved):
        connection.transmit(SELECT)
    link.insert()
    wait_until(readers, name, present=True)
    for _ in range(2):  # another card may have taken its place: only a new connection will do
        with pytest.raises(CardRemoved):
            connection.transmit(SELECT)
        with pytest.raises(CardRemoved), connection.transaction():
            pytest.fail("the transaction began")
    assert readers.connect(name).transmit(SELECT)[-2:] == b"\x90\x00"
    link.remove()


def test_a_card_pulled_in_the_middle_of_an_exchange(
    private_pcscd: PrivatePcscd, readers: PcscReaders, card: VirtualCard
) -> None:
    name, link = private_pcscd.reader_names[0], VpcdLink(card, private_pcscd.ports[0])
    link.insert()
    wait_until(readers, name, present=True)
    connection = readers.connect(name)
    card.hook = lambda moment, command, response: time.sleep(0.3)
    timer = later(0.1, link.remove)
    with pytest.raises(CardRemoved):
        connection.transmit(SELECT)
    timer.join()


def test_a_reset_by_another_program_is_told_once(reader: str, readers: PcscReaders) -> None:
    ours, other = readers.connect(reader), readers.connect(reader)
    ours.transmit(SELECT)
    with other.transaction() as transaction:
        transaction.reset_at_end()
    with pytest.raises(CardReset):
        ours.transmit(EMPTY_VERIFY)
    assert ours.transmit(EMPTY_VERIFY)[-2:] not in (b"\x63\xc3", b"\x90\x00")  # nothing is selected any more
    assert other.transmit(SELECT)[-2:] == b"\x90\x00"  # whoever resets knows it, and has reconnected


def test_a_reset_before_a_transaction_is_told_in_it(reader: str, readers: PcscReaders) -> None:
    ours, other = readers.connect(reader), readers.connect(reader)
    with other.transaction() as transaction:
        transaction.reset_at_end()
    with ours.transaction():
        with pytest.raises(CardReset):
            ours.transmit(SELECT)
        assert ours.transmit(SELECT)[-2:] == b"\x90\x00"


def test_a_transaction_resets_at_its_end_whatever_happens(reader: str, readers: PcscReaders) -> None:
    ours, other = readers.connect(reader), readers.connect(reader)
    other.transmit(SELECT)
    with pytest.raises(ZeroDivisionError), ours.transaction() as transaction:
        transaction.reset_at_end()
        raise ZeroDivisionError
    with pytest.raises(CardReset):
        other.transmit(SELECT)


def test_a_transaction_leaves_the_card_as_it_is_by_default(reader: str, readers: PcscReaders) -> None:
    ours, other = readers.connect(reader), readers.connect(reader)
    with ours.transaction():
        ours.transmit(SELECT)
    assert other.transmit(EMPTY_VERIFY) == b"\x63\xc3"


HOLD = """
import sys
from renewagent.card.pcsc import PcscReaders
connection = PcscReaders().connect(sys.argv[1])
with connection.transaction():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_another_program(reader: str) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, reader], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        try:
            yield
        finally:
            other.communicate()


def test_other_programs_are_waited_for_and_no_longer_than_patience(reader: str) -> None:
    readers = PcscReaders(patience=0.5)
    idle = readers.connect(reader)
    with held_by_another_program(reader):
        started = time.monotonic()
        with pytest.raises(CardBusy), idle.transaction():
            pytest.fail("the transaction began")
        assert 0.4 < time.monotonic() - started < 0.9
        with pytest.raises(CardBusy):
            idle.transmit(SELECT)
        threads = threading.active_count()
        for _ in range(3):  # who tries again does not pile up threads that wait
            with pytest.raises(CardBusy):
                readers.connect(reader)
        assert threading.active_count() == threads
    until(lambda: threading.active_count() < threads)
    connection = readers.connect(reader)
    with connection.transaction():
        assert connection.transmit(SELECT)[-2:] == b"\x90\x00"
    connection.close()


def test_a_transaction_that_begins_too_late_is_given_back(reader: str) -> None:
    impatient, patient = PcscReaders(patience=0.2), PcscReaders(patience=5)
    late = impatient.connect(reader)
    with held_by_another_program(reader), pytest.raises(CardBusy), late.transaction():
        pytest.fail("the transaction began")
    connection = patient.connect(reader)
    for _ in range(3):
        with connection.transaction():
            connection.transmit(SELECT)
        time.sleep(0.1)
    assert connection.transmit(EMPTY_VERIFY) == b"\x63\xc3"  # and the card was not reset for it


def test_a_program_that_is_killed_in_a_transaction_leaves_nobody_logged_in(reader: str, readers: PcscReaders) -> None:
    program = HOLD.replace(
        'print("held"',
        "connection.transmit(bytes.fromhex('00a4040005a000000308'))\n"
        "    connection.transmit(bytes.fromhex('0020008008313233343536ffff'))\n    print(\"held\"",
    )
    other = subprocess.Popen([sys.executable, "-c", program, reader], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        other.kill()
    connection = readers.connect(reader)
    with connection.transaction():
        with contextlib.suppress(CardReset):
            connection.transmit(SELECT)
        connection.transmit(SELECT)
        assert connection.transmit(EMPTY_VERIFY) == b"\x63\xc3"


def test_two_cards_at_once(private_pcscd: PrivatePcscd, readers: PcscReaders) -> None:
    cards = [VirtualCard.create(None), VirtualCard.create(None)]
    with contextlib.ExitStack() as stack:
        for one, port in zip(cards, private_pcscd.ports, strict=False):
            stack.enter_context(VpcdLink(one, port))
        names = private_pcscd.reader_names[:2]
        until(lambda: all(readers.states()[name].present for name in names))
        connections: list[PcscConnection] = [readers.connect(name) for name in names]
        with connections[0].transaction(), connections[1].transaction():
            for connection in connections:
                assert connection.transmit(SELECT)[-2:] == b"\x90\x00"
        chuids = {connection.transmit(bytes.fromhex("00cb3fff055c035fc10200")) for connection in connections}
        assert len(chuids) == 2
        for connection in connections:
            connection.close()


# -- calls that may block ------------------------------------------------------------------------------------------


def test_timed_calls_return_and_raise() -> None:
    calls = TimedCalls()
    assert calls(1, lambda a, b: a + b, 1, 2) == 3
    with pytest.raises(ZeroDivisionError):
        calls(1, lambda: 1 // 0)
    calls.leave(lambda: None)
    assert calls.await_end(1)


def test_a_call_that_takes_too_long_is_left_to_clear_up() -> None:
    calls, release, cleared = TimedCalls(), threading.Event(), threading.Event()
    started = time.monotonic()
    with pytest.raises(TimedOut):
        calls(0.05, release.wait)
    assert time.monotonic() - started < 0.5
    calls.leave(cleared.set)
    assert not calls.await_end(0.05) and not cleared.is_set()
    release.set()
    assert calls.await_end(1) and cleared.is_set()

"""Check-ins on disk: durable, in order, shared by processes, bounded, and no receipt ever dropped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent import check_in_queue
from renewagent.agent.check_in_queue import CheckInQueue, shortened
from renewagent.agent.locks import exclusive
from renewagent.check_ins import CardState, CheckIn
from tests.flows.bad_disk import fill
from tests.flows.bad_disk import small_disk as mounted
from tests.unit.agent.place import NOW


def claim(number: int, *, card: int = 1, state: CardState = CardState.AFFECTED, **more: Any) -> CheckIn:
    fields: dict[str, Any] = {"campaign": "autumn/1", **more}
    return replace(CheckIn(f"{number:032x}", NOW.replace(microsecond=0), f"chuid:{card:032x}", state), **fields)


def receipt(number: int, *, size: int = 100) -> CheckIn:
    return claim(number, state=CardState.RENEWED, receipt=bytes(size))


def numbers(queue: CheckInQueue, most: int = 10_000) -> list[int]:
    return [int(one.id, 16) for one in queue.first(most)]


def test_what_was_taken_in_is_there_in_order_for_whoever_opens_it_next(tmp_path: Path) -> None:
    queue = CheckInQueue(tmp_path)
    wanted = [claim(1), claim(2, state=CardState.PUT_OFF, until=NOW.replace(microsecond=0)), receipt(3)]
    assert all(queue.add(one) for one in wanted)
    assert CheckInQueue(tmp_path).first(10) == wanted
    assert CheckInQueue(tmp_path).first(2) == wanted[:2]
    assert (tmp_path / "check-ins.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_the_console_has_leaves_and_the_rest_stays(tmp_path: Path) -> None:
    queue = CheckInQueue(tmp_path)
    for number in range(5):
        queue.add(claim(number, card=number))
    queue.remove({claim(1).id, claim(3).id, "f" * 32})
    assert numbers(queue) == [0, 2, 4]
    queue.remove({one.id for one in queue.first(5)})
    assert len(queue) == 0
    assert queue.add(claim(9)) and numbers(queue) == [9]


def test_a_line_that_was_cut_short_harms_no_other(tmp_path: Path) -> None:
    queue = CheckInQueue(tmp_path)
    queue.add(claim(1))
    with (tmp_path / "check-ins.jsonl").open("ab") as file:
        file.write(b'{"id":"00000000000000000000000000000002","at":"2026-')
    assert numbers(queue) == [1]
    queue.add(claim(3))
    assert numbers(queue) == [1, 3]
    queue.remove({claim(1).id})
    assert (numbers(queue), len(queue)) == ([3], 1)


def test_several_processes_write_it_at_once(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from tests.unit.agent.test_check_in_queue import CheckInQueue, claim\n"
        "queue = CheckInQueue(pathlib.Path(sys.argv[1]))\n"
        "first = int(sys.argv[2])\n"
        "assert all(queue.add(claim(n, card=n)) for n in range(first, first + 40))\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path)]
    root = Path(__file__).parents[3]
    writers = [subprocess.Popen([*words, str(first)], cwd=root) for first in (0, 100, 200)]
    queue = CheckInQueue(tmp_path)
    gone: list[int] = []
    while any(writer.poll() is None for writer in writers):  # while another one delivers
        some = queue.first(7)
        queue.remove({one.id for one in some})
        gone += [int(one.id, 16) for one in some]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert sorted(gone + numbers(queue)) == [*range(40), *range(100, 140), *range(200, 240)]


def test_too_many_are_cut_down_to_the_last_claim_of_each_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_in_queue, "MOST", 20)
    queue = CheckInQueue(tmp_path)
    queue.add(receipt(1))
    for number in range(2, 22):
        queue.add(claim(number, card=number % 3))
    assert numbers(queue) == [1, 19, 20, 21]


def test_too_many_cards_lose_the_oldest_claims_and_no_receipt() -> None:
    lines = [claim_line(receipt(0))]
    lines += [claim_line(claim(number, card=number)) for number in range(1, 50)]
    lines.append(claim_line(receipt(50)))
    kept = shortened(lines, 10, 1 << 20)
    assert kept == [lines[0], *lines[42:50], lines[50]]
    octets = sum(map(len, lines[-4:])) + len(lines[0])
    assert shortened(lines, 1000, octets) == [lines[0], *lines[47:]]
    receipts = [claim_line(receipt(number)) for number in range(30)]
    assert shortened(receipts, 10, 1000) == receipts


def claim_line(check_in: CheckIn) -> bytes:
    import json

    return json.dumps(check_in.to_json()).encode()


def test_weeks_offline_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_in_queue, "LARGEST", 20_000)
    queue = CheckInQueue(tmp_path)
    sizes = set()
    for number in range(300):
        queue.add(claim(number, card=number % 150))
        sizes.add((tmp_path / "check-ins.jsonl").stat().st_size)
    assert max(sizes) <= 20_000
    assert numbers(queue)[-1] == 299


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk"):
        yield tmp_path / "disk"


def test_a_full_disk_takes_what_the_reserve_holds_and_then_says_no_and_keeps_what_it_has(small_disk: Path) -> None:
    queue = CheckInQueue(small_disk)
    queue.add(claim(1))
    queue.hold_reserve()
    fill(small_disk, reserve=False)
    assert queue.add(receipt(2, size=10_000))
    fill(small_disk, reserve=False)
    taken = [number for number in range(3, 30) if queue.add(receipt(number, size=10_000))]
    assert len(taken) < 27  # the reserve is gone
    assert numbers(queue) == [1, 2, *taken]
    (small_disk / "fill").unlink()
    assert queue.add(claim(40))
    assert numbers(queue)[-1] == 40


def test_a_folder_that_cannot_be_written_is_a_no(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    queue = CheckInQueue(tmp_path / "file")
    assert not queue.add(claim(1))
    assert (queue.first(1), len(queue)) == ([], 0)
    queue.hold_reserve()


def test_a_lock_that_is_never_let_go_of_keeps_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_in_queue, "PATIENCE", 0.1)
    with exclusive(tmp_path / "check-ins.lock", 1):
        assert not CheckInQueue(tmp_path).add(claim(1))

"""An RA that named a time hears nothing before it, whichever process asks, and whatever lies in the file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from renewagent.agent.ra_patience import PatientTransport
from renewagent.errors import RaWaiting
from renewagent.ra_transport import PlainAnswer

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
URL = "http://ra.example/.well-known/cmp"


class Line:
    """The way to an RA that is busy for `busy` seconds, or not."""

    def __init__(self, busy: int | None = None, url: str = URL) -> None:
        self.url, self.busy, self.asked = url, busy, 0

    def _ask(self) -> None:
        self.asked += 1
        if self.busy is not None:
            raise RaWaiting("busy", self.busy)

    def exchange(self, octets: bytes) -> bytes:
        self._ask()
        return octets

    def get_json(self, url: str) -> PlainAnswer:
        self._ask()
        return PlainAnswer(200, {}, None)

    def post(self, url: str, body: bytes, content_type: str) -> PlainAnswer:
        return self.get_json(url)

    def post_within(self, url: str, body: bytes, content_type: str, seconds: float) -> PlainAnswer:
        return self.get_json(url)


ASKING: list[Callable[[PatientTransport], object]] = [
    lambda transport: transport.exchange(b"x"),
    lambda transport: transport.get_json(URL),
    lambda transport: transport.post(URL, b"", ""),
    lambda transport: transport.post_within(URL, b"", "", 1.0),
]


@pytest.mark.parametrize("ask", ASKING)
def test_nobody_asks_before_the_time_that_it_named(tmp_path: Path, ask: Callable[[PatientTransport], object]) -> None:
    file, line, clock = tmp_path / "state" / "until.json", Line(busy=3600), [NOW]
    with pytest.raises(RaWaiting) as told:
        ask(PatientTransport(line, file, lambda: clock[0]))
    assert told.value.check_after == 3600
    line.busy = None
    for minutes, left in ((0, 3600), (30, 1800), (59, 60)):
        clock[0] = NOW + timedelta(minutes=minutes)
        with pytest.raises(RaWaiting, match="is asked again") as told:
            ask(PatientTransport(line, file, lambda: clock[0]))
        assert (told.value.check_after, line.asked) == (left, 1)
    clock[0] = NOW + timedelta(minutes=60)
    ask(PatientTransport(line, file, lambda: clock[0]))
    assert line.asked == 2


def test_another_ra_may_be_asked(tmp_path: Path) -> None:
    with pytest.raises(RaWaiting):
        PatientTransport(Line(busy=60), tmp_path / "until", lambda: NOW).get_json(URL)
    other = Line(url="http://other.example/.well-known/cmp")
    assert PatientTransport(other, tmp_path / "until", lambda: NOW).get_json(URL).status == 200


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"ra": "%s"}' % URL.encode(),
        b'{"ra": "%s", "until": "2026-11-22T10:00:00"}' % URL.encode(),
        b'{"ra": "%s", "until": 7}' % URL.encode(),
        b'{"ra": "%s", "until": "2027-11-22T10:00:00+00:00"}' % URL.encode(),
        b"\xff\xfe",
    ],
)
def test_what_makes_no_sense_keeps_nobody_from_asking(tmp_path: Path, octets: bytes) -> None:
    file = tmp_path / "until"
    file.write_bytes(octets)
    assert PatientTransport(Line(), file, lambda: NOW).get_json(URL).status == 200


def test_a_disk_that_takes_nothing_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(RaWaiting):
        PatientTransport(Line(busy=60), tmp_path / "state" / "until", lambda: NOW).get_json(URL)

"""Summary, chart and progress: counts that add up, a picture that is SVG, a line that only a terminal sees."""

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from renewagent.bulk.chart import draw
from renewagent.bulk.progress import Progress, in_words
from renewagent.bulk.summary import Summary
from renewagent.bulk.tally import MOST_VALUES, NO_DAY, OTHERS, Tally, count_values
from renewagent.bulk.verdicts import AFFECTED, DAMAGED, UNAFFECTED, UNREADABLE
from renewagent.rules import AffectedRule

RULES = (
    AffectedRule("one", issued_from=datetime(2020, 9, 28, tzinfo=UTC), issued_to=datetime(2020, 10, 1, tzinfo=UTC)),
    AffectedRule("two", issued_from=datetime(2021, 1, 1, tzinfo=UTC)),
    AffectedRule("never", issued_to=datetime(1990, 1, 1, tzinfo=UTC)),
)
DAY = 18_533  # 2020-09-28


def tally() -> Tally:
    return Tally(
        verdicts=Counter({UNAFFECTED: 1000, AFFECTED: 12, DAMAGED: 2, UNREADABLE: 1}),
        rules=Counter({0: 7, 1: 5}),
        issuers=Counter({("CN=A", AFFECTED): 12, ("CN=A", UNAFFECTED): 1000, ("", DAMAGED): 2, ("", UNREADABLE): 1}),
        days=Counter({(DAY, AFFECTED): 12, (DAY - 40, UNAFFECTED): 1000, (DAY, DAMAGED): 2, (NO_DAY, UNREADABLE): 1}),
        columns={"organisation": Counter({("O1", AFFECTED): 12, ("O2", UNAFFECTED): 1003})},
    )


def test_the_counts_add_up() -> None:
    summary = Summary(RULES, tally(), 2.0)
    document = summary.document()
    assert document["checked"] == 1015 == summary.checked
    four = [document[name] for name in ("affected", "unaffected", "damaged", "unreadable")]
    assert four == [12, 1000, 2, 1]
    assert document["by_rule"] == {"one": 7, "two": 5, "never": 0}
    assert document["by_month"] == {
        "": {"affected": 0, "unaffected": 0, "damaged": 0, "unreadable": 1},
        "2020-08": {"affected": 0, "unaffected": 1000, "damaged": 0, "unreadable": 0},
        "2020-09": {"affected": 12, "unaffected": 0, "damaged": 2, "unreadable": 0},
    }
    assert document["by_column"]["organisation"]["O1"]["affected"] == 12  # type: ignore[index]
    lines = "\n".join(summary.lines())
    assert "Checked 1,015 certificates in 2.0 s, 508 a second." in lines
    assert "12 of           14  2020-09" in lines
    assert "By organisation, affected of all:" in lines
    assert "never" in lines


def test_rules_of_one_name_are_one() -> None:
    twice = (AffectedRule("command-line"), AffectedRule("command-line"))
    assert Summary(twice, Tally(rules=Counter({0: 2, 1: 3}))).by_rule() == {"command-line": 5}


def test_tallies_are_added() -> None:
    sum_of_two = tally()
    sum_of_two.add(tally())
    assert sum_of_two.verdicts.total() == 2030
    assert sum_of_two.columns["organisation"]["O1", AFFECTED] == 24


def test_too_many_values_are_counted_together() -> None:
    counts: Counter[tuple[str, int]] = Counter()
    for start in range(0, MOST_VALUES + 5000, 5000):
        count_values(counts, Counter({(str(value), 0): 1 for value in range(start, start + 5000)}))
    assert counts.total() == MOST_VALUES + 5000
    assert counts[OTHERS, 0] == 5000
    assert len(counts) == MOST_VALUES + 1


@pytest.mark.parametrize("last", [0, 1, 40, 400, 4000, 40_000, 400_000])
def test_the_chart_is_svg(last: int) -> None:
    days = Counter({(DAY, AFFECTED): 3, (DAY + last, UNAFFECTED): 9, (NO_DAY, UNREADABLE): 1})
    picture = ElementTree.fromstring(draw(days, RULES))  # noqa: S314 - our own
    svg = "{http://www.w3.org/2000/svg}"
    assert picture.tag == f"{svg}svg"
    texts = [one.text or "" for one in picture.iter(f"{svg}text")]
    assert any("3 affected of 12" in text for text in texts)
    assert "affected window" in texts
    windows = [one for one in picture.iter(f"{svg}rect") if one.get("class") == "window"]
    assert len(windows) == 3
    assert all(0 <= float(one.get("x", "-1")) <= 960 and float(one.get("width", "0")) > 0 for one in windows)
    assert len(list(picture.iter(f"{svg}title"))) in (2, 3)


def test_a_chart_of_nothing() -> None:
    assert "no certificate whose date" in draw({(NO_DAY, UNREADABLE): 4}, RULES)
    ElementTree.fromstring(draw({}, ()))  # noqa: S314 - our own


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr("renewagent.bulk.progress.time.monotonic", lambda: float(next(now)))
    for stream in (Screen(), io.StringIO()):
        progress = Progress(stream, 1000)
        progress.show(500, 250)
        progress.show(900, 500)
        progress.clear()
        assert ("900 certificates" in stream.getvalue()) == stream.isatty()
        if stream.isatty():
            assert stream.getvalue().endswith(
                "\r" + " " * len("900 certificates, 450 a second, 50%, about 2 s left") + "\r"
            )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1%, about 99 s left"), (50, "1%, about 82 minutes left"), (100, "1%, about 2.8 hours left")],
)
def test_time_left(seconds: float, words: str) -> None:
    assert in_words(100, 10, 1000, seconds).endswith(words.replace("99 s", "2 minutes") if seconds == 1 else words)
    assert "left" not in in_words(100, 10, 0, seconds)

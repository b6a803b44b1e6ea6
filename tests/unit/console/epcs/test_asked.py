"""What programs and forms send is taken for nothing but what it must be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renewagent.console.epcs.asked import Asked, from_base64, is_at_hand
from renewagent.console.permissions import Person, Role
from renewagent.tokens.errors import DeskRefused, FormError
from tests.epcs_desk import Bench

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda more: st.lists(more) | st.dictionaries(st.text(), more),
    max_leaves=5,
)


def asked(said: Any, query: Any = None, path: Any = None) -> Asked:
    person = Person("1", "Osei", Role.PRESCRIBER, frozenset({"RX1"}), "osei")
    nowhere: Any = None
    return Asked(nowhere, person, path or {}, query or {}, said)


@pytest.mark.parametrize(
    ("sent", "taken"),
    [(" a b ", "a b"), ("a\r\nb\r\n", "a\nb"), ("a\tb", "a b"), ("Zoë \U0001f600", "Zoë \U0001f600")],
)
def test_texts_are_taken_as_people_mean_them(sent: str, taken: str) -> None:
    assert asked({"x": sent}).text("x", lines=True) == taken


@pytest.mark.parametrize("sent", ["", "  ", None, 1, [], {}, "a\x00b", "a\x1bb", "\ud800", "\x7f", "x" * 201, "a\nb"])
def test_what_is_no_text_of_one_line_is_refused(sent: object) -> None:
    with pytest.raises(FormError) as refused:
        asked({"x": sent}).text("x")
    assert refused.value.field == "x" and refused.value.advice


def test_the_body_counts_before_the_query() -> None:
    assert asked({"user": "a"}, {"user": "b"}).text("user") == "a"
    assert asked({}, {"user": "b"}).text("user") == "b"
    assert asked({}).text("user", default="") == ""


@pytest.mark.parametrize("sent", [0, 61, True, "5", 5.0, [], float("nan")])
def test_a_number_is_whole_and_within(sent: object) -> None:
    assert asked({}).number("minutes", 1, 60) is None and asked({"minutes": 60}).number("minutes", 1, 60) == 60
    with pytest.raises(FormError):
        asked({"minutes": sent}).number("minutes", 1, 60)


@pytest.mark.parametrize("given", [None, 1, "?", "AAA", "AAAA\n", "AAAA" * 3, "ＡＡＡＡ"])  # noqa: RUF001
def test_base64_is_strict_and_bounded(given: object) -> None:
    assert from_base64("AAAA", "card", 3) == b"\0\0\0"
    with pytest.raises(FormError):
        from_base64(given, "card", 6)


@pytest.mark.parametrize("given", ["", "a/b", "..%2f", "a b", "é", "x" * 65, "a\x00"])
def test_a_gap_holds_an_id_or_nothing_of_ours(given: str) -> None:
    assert asked({}, path={"id": "0a.B_c-9"}).gap("id") == "0a.B_c-9"
    with pytest.raises(DeskRefused):
        asked({}, path={"id": given}).gap("id")


@given(said=st.dictionaries(st.sampled_from(["x", "user"]), ANYTHING))
@settings(max_examples=300, deadline=None)
def test_whatever_is_sent_it_is_a_clean_text_or_refused(said: Any) -> None:
    one = asked(said)
    for lines in (False, True):
        try:
            text = one.text("x", lines=lines)
        except FormError:
            continue
        assert 0 < len(text) <= 200 and text == text.strip() and "\x00" not in text
        text.encode()


def test_people_are_at_hand_by_organisation() -> None:
    def person(identity: str, *codes: str) -> Person:
        return Person(identity, "", Role.PRESCRIBER, frozenset(codes))

    assert is_at_hand(person("1", "RX1"), person("1", "Y90"))
    assert is_at_hand(person("1", "RX1", "RX2"), person("2", "RX2"))
    assert is_at_hand(person("1", "*"), person("2", "Y90"))
    assert not is_at_hand(person("1", "RX1"), person("2", "Y90"))
    assert not is_at_hand(person("1", "RX1"), person("2", "*"))


def test_nobody_is_found_by_a_name_that_is_none(bench: Bench) -> None:
    boss = bench.person("boss", Role.EPCS_ADMINISTRATOR, organisations="*")
    lee = bench.person("lee")
    one = Asked(bench.desk, boss, {})
    assert one.known("lee") == lee
    for user in ("", "LEE", "lee\x00", "\ud800", "x" * 300, "lee' OR '1'='1"):
        with pytest.raises(FormError):
            one.known(user)

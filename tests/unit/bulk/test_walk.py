"""The walk against `cryptography`, on certificates of every kind and on what becomes of them when they are spoilt.

benchmarks/bulk.py does the same on hundreds of thousands.
"""

from __future__ import annotations

from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from renewagent.bulk.keys import CURVES, Curve
from renewagent.bulk.memory import Memory
from renewagent.bulk.octets import PAD, Octets
from renewagent.bulk.rows import Rows
from renewagent.bulk.verdicts import judge_rows
from renewagent.rules import AffectedRule
from tests.bulk import ask_cryptography, compare
from tests.inventory import CURVES as MADE_CURVES
from tests.inventory import DAMAGES, FROM, TO, Damage, Issuing, element

RULE = AffectedRule("window", issued_from=FROM, issued_to=TO, key_usage="any")
CERTIFICATES = list(Issuing(1).many(3000))


@pytest.fixture(scope="module")
def memory() -> Memory:
    return Memory()


def test_every_kind_of_certificate(memory: Memory) -> None:
    counts = compare(CERTIFICATES, RULE, memory)
    assert counts["taken"] > 0.98 * len(CERTIFICATES)
    assert counts["0"] + counts["1"] == len(CERTIFICATES)
    assert counts["1"] > 200


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_damage(damage: Damage, memory: Memory) -> None:
    dice = Random(damage.name)  # noqa: S311 - test data
    counts = compare([damage.done(der, dice) for der in CERTIFICATES[:400]], RULE, memory)
    assert counts.total() - counts["taken"] == 400


@pytest.mark.parametrize("number", range(4))
def test_every_single_octet_changed(number: int, memory: Memory) -> None:
    dice = Random(number)  # noqa: S311 - test data
    der = Issuing(100 + number).certificate(FROM)
    spoilt = [der[:at] + bytes([der[at] ^ dice.randrange(1, 256)]) + der[at + 1 :] for at in range(len(der))]
    counts = compare(spoilt, RULE, memory)
    assert counts["1"] > 100
    assert counts["3"] > 20


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_several_octets_changed(data: st.DataObject) -> None:
    der = bytearray(data.draw(st.sampled_from(CERTIFICATES[:50])))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(
            st.sampled_from([0, 1, 2, 0x30, 0x7F, 0x80, 0x81, 0xFF])
        )
    compare([bytes(der)] * 30, RULE, Memory())


@given(st.lists(st.binary(max_size=80), min_size=30, max_size=40))
@settings(max_examples=50, deadline=None)
def test_anything_at_all(octets: list[bytes]) -> None:
    counts = compare(octets, RULE, Memory())
    assert counts["3"] == len(octets)


def test_few_rows_are_judged_alike(memory: Memory) -> None:
    few = CERTIFICATES[:10]
    assert compare(few, RULE, memory).total() == compare(few * 3, RULE, memory).total() / 3


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: str(curve.bits))
def test_a_point_is_on_its_curve_or_not(curve: Curve) -> None:
    made = next(one for one in MADE_CURVES if one.key_size == curve.bits)
    numbers = ec.generate_private_key(made).public_key().public_numbers()
    width = (curve.bits + 7) // 8
    point = numbers.x.to_bytes(width, "big") + numbers.y.to_bytes(width, "big")
    assert curve.holds(point)
    assert not curve.holds(point[:-1] + bytes([point[-1] ^ 1]))
    assert not curve.holds(curve.p.to_bytes(width, "big") + point[width:])


def test_a_full_memory_forgets_and_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renewagent.bulk.memory._MOST", 5)
    small = Memory()
    for start in range(0, 300, 60):
        assert compare(CERTIFICATES[start : start + 60], RULE, small)["taken"] > 50


def test_a_long_length_is_not_believed() -> None:
    octets, starts, ends = Octets.of([bytes.fromhex("3084ffffffff") + b"x" * 100] * 30)
    judged = judge_rows(Rows(octets, starts, ends), (RULE,), Memory())
    assert set(judged.verdict.tolist()) == {3}
    assert "cut short" in judged.alone[0].why


def test_octets_want_room_behind() -> None:
    with pytest.raises(ValueError, match="room"):
        Octets(bytes(PAD - 1))


def test_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk that looked at less would be noticed."""
    monkeypatch.setattr("renewagent.bulk.keys._points_on", lambda points, curve, half: [True] * len(points))
    der = next(der for der in CERTIFICATES if bytes.fromhex("2a8648ce3d030107") in der)
    at = der.index(bytes.fromhex("03420004")) + 20
    spoilt = der[:at] + bytes([der[at] ^ 1]) + der[at + 1 :]
    assert ask_cryptography(spoilt) is None
    with pytest.raises(AssertionError):
        compare([spoilt] * 30, RULE, Memory())


def test_the_inventory_is_not_made_with_the_products_code() -> None:
    assert element(0x30, b"x" * 300)[:4] == bytes.fromhex("3082012c")
    assert all(ask_cryptography(der) is not None for der in CERTIFICATES[:200])

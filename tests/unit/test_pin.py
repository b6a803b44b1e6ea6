"""A PIN cannot get out by accident."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from collections.abc import Callable

import pytest

from renewagent.pin import Pin, RefusedPins

SECRET = "837465"


@pytest.mark.parametrize(
    "show",
    [repr, str, lambda p: f"{p}", lambda p: f"{p!r:>20}", lambda p: "%s %r" % (p, p), lambda p: str([p, {"pin": p}])],  # noqa: UP031
)
def test_a_pin_prints_as_stars(show: Callable[[Pin], str]) -> None:
    assert SECRET not in show(Pin(SECRET))
    assert "***" in show(Pin(SECRET))


def test_a_pin_is_neither_logged_nor_in_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    pin = Pin(SECRET)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("tests").info("here: %s %r", pin, pin)
    try:
        raise ValueError(pin)
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert SECRET not in caplog.text
    assert "pin = Pin(***)" in shown
    # The constant itself is a global of this module, not a local of the frame: only the Pin stands in the traceback.
    assert SECRET not in shown


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_pin_is_not_copied(leak: Callable[[Pin], object]) -> None:
    with pytest.raises(TypeError):
        leak(Pin(SECRET))


def test_pins_are_not_compared_or_hashed() -> None:
    with pytest.raises(TypeError):
        _ = Pin(SECRET) == Pin(SECRET)
    with pytest.raises(TypeError):
        _ = Pin(SECRET) != SECRET
    with pytest.raises(TypeError):
        {Pin(SECRET)}
    assert not hasattr(Pin(SECRET), "__dict__")


def test_a_pin_is_wiped_after_use() -> None:
    typed = bytearray(SECRET.encode())
    with Pin(typed) as pin:
        assert pin.reveal() == SECRET.encode()
        octets = pin._octets
        held = memoryview(octets)[:0].obj
        assert held is octets
    assert pin.wiped and not octets
    with pytest.raises(ValueError, match="wiped"):
        pin.reveal()
    pin.wipe()  # twice does no harm
    assert typed == SECRET.encode()  # a copy was taken: whoever typed it wipes their own


def test_wiping_overwrites_before_it_lets_go() -> None:
    pin = Pin(SECRET)
    seen: list[bytes] = []

    class Watched(bytearray):
        def clear(self) -> None:
            seen.append(bytes(self))
            super().clear()

    pin._octets = Watched(pin._octets)
    pin.wipe()
    assert seen == [bytes(len(SECRET))]


def test_refused_pins_are_remembered_per_card_and_not_readable() -> None:
    refused = RefusedPins()
    refused.add("chuid:01", Pin(SECRET))
    assert refused.holds("chuid:01", Pin(SECRET))
    assert not refused.holds("chuid:02", Pin(SECRET))
    assert not refused.holds("chuid:01", Pin("111111"))
    assert not RefusedPins().holds("chuid:01", Pin(SECRET))
    assert SECRET not in repr(refused) and all(SECRET.encode() not in digest for digest in refused._seen)


def test_card_and_pin_do_not_run_into_each_other() -> None:
    refused = RefusedPins()
    refused.add("chuid:0", Pin("1234567"))
    assert not refused.holds("chuid:01", Pin("234567"))

"""Pinentry programs of every sort, from scripts: willing ones, rude ones, and what is left when none can ask."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from renewagent.agent import assuan
from renewagent.agent.assuan import Conversation, PinentryFailed, Question, escaped
from renewagent.agent.pinentry import Pinentry, programs
from renewagent.errors import PersonStopped
from tests.pinentries import WILLING, Programs, answers

QUESTION = Question(
    "Passcode (PIN)", "Type the passcode of the smartcard ending 4821.\nYou have 100% 3 tries.", "Passcode:"
)


def ask(there: Programs, question: Question = QUESTION, *, terminal: str | None = None, patience: float = 20) -> bytes:
    with Pinentry(there.environment, terminal, patience=patience).ask(question) as pin:
        return pin.reveal()


@pytest.fixture
def there(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def test_what_is_typed_arrives(there: Programs) -> None:
    there.add("pinentry", WILLING)
    assert ask(there) == b"48392057"


def test_what_it_is_told(there: Programs) -> None:
    there.add("pinentry", WILLING)
    there.environment |= {"LC_ALL": "cy_GB.UTF-8", "TERM": "xterm"}
    ask(there, Question("Title", "First\nsecond 100%", "Passcode:", "It was wrong."), terminal="/dev/pts/none")
    assert there.log("pinentry")["heard"] == [
        "OPTION grab",
        "OPTION ttyname=/dev/pts/none",
        "OPTION ttytype=xterm",
        "OPTION lc-ctype=cy_GB.UTF-8",
        "OPTION lc-messages=cy_GB.UTF-8",
        "SETTIMEOUT 20",
        "SETTITLE Title",
        "SETOK OK",
        "SETCANCEL Cancel",
        "SETERROR It was wrong.",
        "SETDESC First%0Asecond 100%25",
        "SETPROMPT Passcode:",
        "GETPIN",
    ]


def test_under_wayland_nothing_is_grabbed(there: Programs) -> None:
    there.add("pinentry", WILLING)
    there.environment["WAYLAND_DISPLAY"] = "wayland-0"
    ask(there)
    assert there.log("pinentry")["heard"][0] == "OPTION no-grab"


def test_it_gets_next_to_nothing_of_ours(there: Programs) -> None:
    there.add("pinentry", WILLING)
    there.environment |= {
        "SECRET": "x",
        "LD_PRELOAD": "",
        "PYTHONPATH": "/x",
        "XAUTHORITY": "/x",
        "GTK_MODULES": "gail",
    }
    ours, theirs = os.pipe()
    os.set_inheritable(theirs, False)
    ask(there)
    log = there.log("pinentry")
    os.close(ours)
    os.close(theirs)
    assert set(log["environ"]) - {"LC_CTYPE"} == {"PATH", "DISPLAY", "LANG", "XAUTHORITY", "GTK_MODULES"}
    assert str(log["cwd"]) == "/" and len(log["argv"]) == 1
    assert set(log["fds"]) <= {0, 1, 2, 3}  # the third is the look itself


@pytest.mark.parametrize(
    ("lines", "typed"),
    [
        (("D 12%2534%0A%0d%41%e2", "OK"), b"12%34\n\rA\xe2"),
        (("# a comment", "S PASSWORD_FROM_CACHE", "D 12", "# one more", "D 34", "OK closing"), b"1234"),
        (("INQUIRE QUALITY 1234", "D 1234", "OK"), b"1234"),
        (("D " + "7" * 600, "OK"), b"7" * 512),  # too long for any card, and refused for that
        (("D " + "7" * 997, "OK"), b"7" * 512),
    ],
)
def test_whatever_was_typed(there: Programs, lines: tuple[str, ...], typed: bytes) -> None:
    there.add("pinentry", answers(*lines))
    assert ask(there) == typed


def test_an_inquiry_is_answered_with_nothing(there: Programs) -> None:
    there.add("pinentry", "polite()\nsay('INQUIRE QUALITY 1234')\nhear()\nsay('D 1234')\nsay('OK')\nhear()\n")
    ask(there)
    assert there.log("pinentry")["heard"][-1] == "END"


@pytest.mark.parametrize("number", [83886179, 99, 83886194, 83886278])
def test_cancelled(there: Programs, number: int) -> None:
    there.add("pinentry", f"polite()\ntime.sleep(0.4)\nsay('ERR {number} Operation cancelled <Pinentry>')\nhear()\n")
    there.add("pinentry-gnome3", WILLING)
    with pytest.raises(PersonStopped, match="You cancelled"):
        ask(there)
    assert not there.log_of("pinentry-gnome3").exists()


@pytest.mark.parametrize("number", [83886142, 62])
def test_timed_out(there: Programs, number: int) -> None:
    there.add("pinentry", answers(f"ERR {number} Timeout <Pinentry>"))
    with pytest.raises(PersonStopped, match="in time"):
        ask(there)


def test_one_without_a_clock_is_given_up(there: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assuan, "_MANNERS", 0.5)
    there.add("pinentry", "polite()\ntime.sleep(60)\n")
    began = time.monotonic()
    with pytest.raises(PersonStopped, match="in time"):
        ask(there, patience=0.2)
    assert time.monotonic() - began < 10


def test_nothing_typed_is_asked_again(there: Programs) -> None:
    there.add("pinentry", "polite()\nsay('OK')\nhear()\nsay('OK')\nhear()\nsay('D 1234')\nsay('OK')\nhear()\n")
    assert ask(there) == b"1234"
    assert there.log("pinentry")["heard"][-3:] == ["GETPIN", "SETERROR Nothing was typed.", "GETPIN"]


def test_nothing_typed_for_ever_is_a_stop(there: Programs) -> None:
    there.add("pinentry", "polite()\nsay('OK')\nwhile hear(): say('OK')\n")
    with pytest.raises(PersonStopped, match="No passcode"):
        ask(there)


FAILING = {
    "no greeting, but an error": "say('ERR 83918950 Inappropriate ioctl for device <Pinentry>')\nhear()\n",
    "ends at once": "",
    "ends before it asks": "say('OK')\nhear()\nsys.exit(1)\n",
    "ends while it asks": "polite()\n",
    "killed while it asks": "polite()\nos.kill(os.getpid(), 9)\n",
    "no prompter": answers("ERR 83886340 Invalid value passed <Pinentry>"),
    "cancels before anybody could": answers("ERR 83886179 Operation cancelled <Pinentry>"),
    "an error without a number": answers("ERR oh no"),
    "no error at all": answers("ERR 0 fine"),
    "babbles": "say('Gtk-WARNING: hello there')\nhear()\n",
    "babbles binary": "sys.stdout.buffer.write(bytes(range(256)) * 40)\nsys.stdout.flush()\nhear()\n",
    "does not end": "say('OK')\nwhile True: say('# comment')\n",
    "a line without end": "polite()\nsys.stdout.write('D ' + '1' * 5000)\nsys.stdout.flush()\nhear()\n",
    "a wrong escape": answers("D 12%zz", "OK"),
    "half an escape": answers("D 12%2", "OK"),
    "does not know SETDESC": "say('OK')\nwhile True: say('ERR 83886355' if hear() == 'SETDESC' else 'OK')\n",
    "does not listen": "os.close(0)\nsay('OK')\ntime.sleep(1)\n",
}


@pytest.mark.parametrize("how", FAILING)
def test_the_next_one_is_asked(there: Programs, how: str) -> None:
    there.add("pinentry", FAILING[how])
    there.add("pinentry-gtk-2", WILLING)
    assert ask(there) == b"48392057"


@pytest.mark.parametrize("script", ["", "say('OK')\nhear()\n"])
def test_one_that_hangs_is_left(there: Programs, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assuan, "_MANNERS", 0.5)
    there.add("pinentry", f"{script}time.sleep(60)\n")
    there.add("pinentry-qt", WILLING)
    assert ask(there) == b"48392057"


def test_what_cannot_be_started_is_left(there: Programs) -> None:
    (there.folder / "pinentry").write_bytes(b"\x7fELF no program")
    (there.folder / "pinentry").chmod(0o755)
    there.add("pinentry-qt5", WILLING)
    assert ask(there) == b"48392057"


def test_options_that_it_does_not_know_are_left_out(there: Programs) -> None:
    there.add(
        "pinentry",
        "say('OK')\nknown = ('SETDESC', 'SETPROMPT')\n"
        "while (word := hear()) != 'GETPIN': say('OK' if word in known else 'ERR 83886355 Unknown command')\n"
        "say('D 1234')\nsay('OK')\nhear()\n",
    )
    assert ask(there) == b"1234"


def test_none_at_all(there: Programs) -> None:
    with pytest.raises(PinentryFailed):
        ask(there)


def test_which_are_tried_where(there: Programs) -> None:
    for name in ("pinentry-gtk-2", "pinentry-curses", "pinentry-tty"):
        there.add(name, WILLING)
    (there.folder / "pinentry").symlink_to("pinentry-gtk-2")

    def names(environment: dict[str, str], terminal: str | None) -> list[str]:
        return [Path(path).name for path in programs({"PATH": str(there.folder), **environment}, terminal)]

    assert names({"DISPLAY": ":0"}, None) == ["pinentry"]
    assert names({"WAYLAND_DISPLAY": "w"}, "/dev/tty") == ["pinentry", "pinentry-curses", "pinentry-tty"]
    assert names({}, "/dev/tty") == ["pinentry", "pinentry-curses", "pinentry-tty"]
    assert names({"DISPLAY": ""}, None) == []


def test_a_window_can_be_closed_from_elsewhere(there: Programs) -> None:
    there.add("pinentry", "polite()\ntime.sleep(60)\n")
    there.add("pinentry-gnome3", WILLING)
    pinentry = Pinentry(there.environment, patience=60)

    def close() -> None:
        while not there.heard("pinentry", "GETPIN"):
            time.sleep(0.01)
        pinentry.close()

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(PersonStopped, match="closed"):
        pinentry.ask(QUESTION)
    closer.join()
    assert not there.log_of("pinentry-gnome3").exists()
    with pytest.raises(PersonStopped, match="closed"):
        pinentry.ask(QUESTION)


def children() -> Iterator[str]:
    for task in Path("/proc/self/task").iterdir():
        yield from (task / "children").read_text().split()


def test_nothing_is_left_running(there: Programs) -> None:
    before = set(children())
    there.add(
        "pinentry",
        "polite()\nsay('D 1')\nsay('OK')\ntime.sleep(60)\n",
    )
    assert ask(there) == b"1"
    assert set(children()) <= before


LINES = st.one_of(
    st.binary(max_size=1200),
    st.sampled_from([b"OK", b"ERR 83886179", b"ERR 62 x", b"D 1234", b"D %31%3", b"S x", b"#", b"INQUIRE Q 12", b"D "]),
)


@given(st.lists(LINES, max_size=30))
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_it_says_is_a_passcode_a_stop_or_a_failure(lines: list[bytes]) -> None:
    heard, listens = os.pipe()
    said, says = os.pipe()
    try:
        os.write(says, b"\n".join([b"OK"] * 9 + lines)[:60000])
        os.close(says)
        with Conversation(listens, said) as talk:
            talk.open(QUESTION, ["grab"], 1)
            pin = talk.passcode(QUESTION, 1)
        assert 0 < len(pin.reveal()) <= 512
    except (PinentryFailed, PersonStopped):
        pass
    finally:
        for descriptor in (heard, listens, said):
            os.close(descriptor)


def test_long_words_are_cut_at_a_character() -> None:
    line = escaped("SETDESC " + "é%" * 400, 999)
    assert len(line) <= 999 and line.startswith(b"SETDESC \xc3\xa9%25")
    line.decode()

"""Where the passcode is typed, with the real programs: `renewagent renew` whose passcode comes from a pinentry or from
a reader's own keys, and what of it is left in memory, on disk and in what others can see."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from renewagent_fixtures.pin_pad import VirtualPinPad
from renewagent_fixtures.virtual_card import Moment, VirtualCard
from tests.flows.desk import READER, Desk, desk, office, signs
from tests.flows.test_kills import ASKED, PASSCODE, REMOVE, child_of
from tests.flows.test_pin_memory import GENERATE, TYPED, WRONG, as_root, found, memory, shown
from tests.flows.workshop import change_pin
from tests.pcsc import until
from tests.pinentries import Programs

FROM_FILE = """\
polite()
with open(LOG + ".typed") as typed: left = typed.read().split()
with open(LOG + ".typed", "w") as typed: typed.write(" ".join(left[1:] or left))
say("D " + left[0])
say("OK")
while hear(): say("OK")
"""
"""Types what stands in a file, the last of it again and again."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Desk]:
    with office(tmp_path) as ra:
        place = tmp_path / "desk"
        place.mkdir()
        with desk(place, ra) as one:
            yield one


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    (tmp_path / "programs").mkdir()
    return Programs(tmp_path / "programs")


def inserted(here: Desk) -> VirtualCard:
    """A card with a passcode that can be looked for."""
    card = here.insert()
    here.readers.remove(READER)
    change_pin(card, TYPED)
    here.readers.insert(READER, card)
    return card


def typing(programs: Programs, *typed: str) -> None:
    programs.add("pinentry-gnome3", FROM_FILE)
    programs.log_of("pinentry-gnome3").with_suffix(".log.typed").write_text(" ".join(typed))


def back_in(here: Desk, card: VirtualCard) -> None:
    here.readers.remove(READER)
    here.talks[-1].hear("Put your smartcard back in")
    here.readers.insert(READER, card)


def test_a_renewal_whose_passcode_comes_from_a_window(here: Desk, programs: Programs) -> None:
    card = inserted(here)
    typing(programs, WRONG, TYPED)
    here.configure(passcode='entry = ["pinentry"]')
    here.env |= {"DISPLAY": ":77", "PATH": str(programs.folder)}
    talk = here.talk("renew")
    talk.hear(ASKED)
    talk.type("1")
    talk.hear("in the small window that opens", "Your passcode was wrong. You have 2 tries left.")
    talk.hear(REMOVE)
    back_in(here, card)
    done = talk.end()
    assert (done.status, "Done\n" in done.err) == (0, True), done
    heard = programs.log("pinentry-gnome3")["heard"]
    assert any(line.startswith("SETDESC Type the passcode (PIN) of the smartcard ending ") for line in heard)
    assert found(done.err.encode() + done.out.encode()) == []
    for file in here.folder.rglob("*"):
        assert ".card" in file.name or not file.is_file() or found(file.read_bytes()) == [], file


def test_cancelled_in_the_window(here: Desk, programs: Programs) -> None:
    card = here.insert()
    programs.add("pinentry", "polite()\ntime.sleep(0.4)\nsay('ERR 83886179 Operation cancelled <Pinentry>')\nhear()\n")
    here.configure(passcode='entry = ["pinentry", "terminal"]')
    here.env |= {"DISPLAY": ":77", "PATH": str(programs.folder)}
    done = here.run("renew", typed="1\n")
    assert done.status == 1
    assert "You cancelled: no passcode was typed." in done.err
    here.readers.remove(READER)
    assert signs(card)


def test_ctrl_c_at_the_terminal_closes_the_window(here: Desk, programs: Programs) -> None:
    card = here.insert()
    programs.add(
        "pinentry", "polite()\nwith open(LOG + '.pid', 'w') as f: f.write(str(os.getpid()))\ntime.sleep(300)\n"
    )
    here.configure(passcode='entry = ["pinentry", "terminal"]')
    here.env |= {"DISPLAY": ":77", "PATH": str(programs.folder)}
    talk = here.talk("renew", at_terminal=True)
    talk.hear(ASKED)
    talk.type("1")
    number = programs.log_of("pinentry").with_suffix(".log.pid")
    until(lambda: number.exists() and number.read_text())
    talk.interrupt()
    done = talk.end()
    assert done.status == 1 and "You stopped the renewal." in done.err
    assert not Path("/proc", number.read_text()).exists()
    here.readers.remove(READER)
    assert signs(card)


def test_a_window_that_cannot_be_shown_leaves_it_to_the_terminal(here: Desk, programs: Programs) -> None:
    here.insert()
    programs.add("pinentry", "say('ERR 83918950 Inappropriate ioctl for device <Pinentry>')\nhear()\n")
    here.configure(passcode='entry = ["pinentry", "terminal"]')
    here.env |= {"DISPLAY": ":77", "PATH": str(programs.folder)}
    talk = here.talk("renew")
    talk.hear(ASKED)
    talk.type("1")
    talk.hear(PASSCODE)
    talk.type("123456")
    talk.hear(REMOVE)


@pytest.mark.parametrize("entry", ['["terminal", "pad"]', "[]", '["pinpad"]', '"pad"', '["pad", "pad"]', "[1]"])
def test_what_makes_no_sense_is_refused(here: Desk, entry: str) -> None:
    here.configure(passcode=f"entry = {entry}")
    done = here.run("renew")
    assert done.status == 2 and "passcode.entry" in done.err


def test_typed_at_the_readers_keys_it_is_in_no_process_of_ours(here: Desk) -> None:
    """The reader is behind the relay, in this process; the agent, the command and the renewing child know nothing."""
    as_root()
    card = inserted(here)
    pad = VirtualPinPad((WRONG, TYPED))
    here.readers.give_pad(READER, pad)
    agent = here.talk("agent")
    agent.hear("verdict=AFFECTED")
    during: dict[str, bytes] = {}

    def look(moment: Moment, command: bytes, response: bytes) -> None:
        if moment is Moment.AFTER and command[1] == GENERATE:
            processes = {"agent": agent.process.pid, "command": talk.process.pid, "child": child_of(agent.process.pid)}
            for name, process in processes.items():
                during[name] = shown(process) + memory(process)

    talk = here.talk("renew")
    talk.hear("The card reader asks for the passcode 4 times: type it on the reader's own keys each time.")
    talk.hear(ASKED)
    card.hook = look
    talk.type("1")
    talk.hear("Type it on the card reader, then press OK there. This is number 1 of 4.")
    talk.hear("Your passcode was wrong. You have 2 tries left.")
    talk.hear(REMOVE)
    back_in(here, card)
    done = talk.end()
    assert (done.status, "Done\n" in done.err) == (0, True), done
    assert pad.sent == 4 + 1
    assert set(during) == {"agent", "command", "child"}
    for name, octets in during.items():
        assert READER.encode() in octets, name  # it is the memory
        assert found(octets) == [], name
    assert re.search("Passcode .it is not shown", done.err) is None


def test_without_pad_in_the_configuration_the_keys_are_left_alone(here: Desk) -> None:
    here.insert()
    pad = VirtualPinPad(("123456",))
    here.readers.give_pad(READER, pad)
    here.configure(passcode='entry = ["terminal"]')
    talk = here.talk("renew")
    talk.hear(ASKED)
    talk.type("1")
    talk.hear(PASSCODE)
    talk.type("123456")
    talk.hear(REMOVE)
    assert pad.asked == 0


HOLDER = """\
import os, sys
from renewagent.agent import words
from renewagent.agent.passcode_entry import PasscodeEntry
from renewagent.model import CardIdentity
card = CardIdentity("chuid", "aa4821")
entry = PasscodeEntry(("pinentry",), os.environ)
pin = entry.ask_pin(card, 3, words.pin_wanted(card, 3))
print("held", flush=True)
os.read(0, 1)
pin.wipe()
print("wiped", flush=True)
os.read(0, 1)
"""


@pytest.mark.parametrize("script", ["", "say('# one line with it')\n", "say('INQUIRE QUALITY ' + TYPED)\nhear()\n"])
def test_of_what_a_window_gave_one_copy_is_held_and_none_is_left(programs: Programs, script: str) -> None:
    as_root()
    (programs.folder / "typed").write_text(TYPED)
    lines = f"with open({str(programs.folder / 'typed')!r}) as typed: TYPED = typed.read()\npolite()\n{script}"
    programs.add("pinentry", f"{lines}sys.stdout.write('D ' + TYPED + '\\nOK\\n')\nsys.stdout.flush()\nhear()\n")
    environment = {**programs.environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert memory(process.pid).count(TYPED.encode()) == 1
        process.stdin.write(b".")
        process.stdin.flush()
        assert process.stdout.readline() == b"wiped\n"
        assert found(memory(process.pid)) == []
        assert found(shown(process.pid)) == []

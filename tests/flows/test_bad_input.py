"""Bad input, one test per kind: each gets a clear sentence and the right exit status, never a traceback, and nothing is
lost: the card signs as before, no passcode try is gone that nobody typed, and the journal can be read.

The commands are the real ones, run as processes; `desk._done` looks for tracebacks in whatever they say.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from renewagent.errors import CardRemoved
from renewagent_fixtures.mock_ra.knobs import Knobs
from renewagent_fixtures.virtual_card import VirtualCard
from renewagent_fixtures.virtual_card.eeprom import Moment
from tests.flows.bad_disk import fill, small_disk
from tests.flows.desk import PHONE, PIN, READER, Conversation, Desk, Done, Office, signs
from tests.pcsc import until

CERTIFICATE_9C = 0x5FC10A
GENERATE = 0x47
CONTACT = f"Contact: Registration Authority, {PHONE}."
ASKED = "Type 1 or 2, then Enter: "
PASSCODE = "Passcode (it is not shown): "


def check(done: Done, status: int, *sentences: str) -> None:
    """The exit status, and each of the sentences on standard error."""
    for sentence in sentences:
        assert sentence in done.err, done.err
    assert done.status == status, done


def refused(done: Done, status: int, code: str) -> None:
    """One JSON document that says no, for this reason."""
    document = done.document
    assert document["ok"] is False
    error = document.get("error") or document["cards"][0]["error"]
    assert error["code"] == code
    assert error["message"] in done.err
    assert done.status == status


def untouched(here: Desk, card: VirtualCard, before: bytes | None, *, tries: int = 3) -> None:
    """As it was: certificate, key, tries; the journal can be read, and nothing in it is left half done."""
    here.readers.remove(READER)
    assert card.object(CERTIFICATE_9C) == before
    assert card.pin_tries == tries
    if tries > 1:
        assert signs(card)
    events = here.events()
    assert "begun" not in events
    assert here.run("inspect").status == 1  # an empty reader: the desk works


def status_of(here: Desk) -> Done:
    return here.run("status", "--json")


def test_no_pcscd(here: Desk) -> None:
    here.configure(card='readers = "pcsc"')
    here.env["PCSCLITE_CSOCK_NAME"] = str(here.folder / "nobody")
    sentence = "The smartcard service (PC/SC) is not running."
    check(here.run("inspect"), 1, sentence, "Check that the smartcard service (pcscd) is installed", CONTACT)
    check(here.run("renew"), 1, sentence, CONTACT)
    refused(here.run("inspect", "--json"), 1, "RA-PCSC")
    refused(here.run("renew", "--json"), 1, "RA-PCSC")
    agent = here.talk("agent")  # waits for the service, and says so
    agent.hear("pcsc.down")
    told = here.run("status")
    check(told, 0, f"Smartcards cannot be checked now: {sentence}")
    assert status_of(here).document["pcsc"] == {"ok": False, "problem": sentence}


def test_no_reader(here: Desk, pcsc_directory: Path) -> None:
    sentence = "There is no smartcard reader."
    here.readers.unplug(READER)
    for command in ("inspect", "renew"):
        check(here.run(command), 1, sentence, "Plug in a smartcard reader, then try again.")
        refused(here.run(command, "--json"), 1, "RA-NO-READER")
    here.readers.plug(READER)
    check(here.run("inspect", "--reader", "Another"), 1, "no smartcard reader called Another.", f"There are: {READER}.")
    check(here.run("renew"), 1, "There is no smartcard in the reader.", "Insert your smartcard, then try again.")


class BankCard:
    """A card that knows no application of ours."""

    atr = b"\x3b\x00"

    def power_on(self) -> bytes:
        return self.atr

    reset = power_on

    def power_off(self) -> None:
        pass

    def transmit(self, command: bytes) -> bytes:
        return b"\x6a\x82"


def test_a_card_that_is_no_piv_card(here: Desk) -> None:
    here.readers.insert(READER, BankCard())
    sentence = "This is not a smartcard that renewagent knows (it has no PIV application)."
    advice = "Check that this is the smartcard you sign prescriptions with."
    for command in ("inspect", "renew"):
        check(here.run(command), 1, sentence, advice, CONTACT)
        refused(here.run(command, "--json"), 1, "RA-CARD-UNSUPPORTED")


def test_an_empty_slot(here: Desk) -> None:
    card = VirtualCard.create(None)
    here.readers.insert(READER, card)
    sentence = "There is no signing certificate on this smartcard."
    check(here.run("inspect"), 0, sentence, CONTACT)
    check(here.run("renew"), 1, sentence, "Check that this is the smartcard you sign prescriptions with.", CONTACT)
    refused(here.run("renew", "--json"), 1, "RA-IMPOSSIBLE")
    here.readers.remove(READER)
    card = here.insert()
    card.write_object(CERTIFICATE_9C, b"")  # the authentication certificate alone is no signing certificate
    assert here.run("inspect", "--json").document["cards"][0]["verdict"] == "NO_CERTIFICATE"
    check(here.run("renew"), 1, sentence)
    assert card.pin_tries == 3
    assert here.events() == []


def test_a_certificate_that_does_not_parse(here: Desk) -> None:
    _unreadable(here, lambda der: b"\x70\x05hello\x71\x01\x00\xfe\x00")


@pytest.mark.parametrize(
    "lie",
    [
        lambda der: b"\x70\x82\x05\x00" + der + b"\x71\x01\x00\xfe\x00",
        lambda der: b"\x70\x84\xff\xff\xff\xff" + der,
        lambda der: b"\x70\x82" + len(der).to_bytes(2, "big") + der[: len(der) // 2],
    ],
    ids=["longer than the object", "four gigabytes", "cut in half"],
)
def test_a_lying_length(here: Desk, lie: Callable[[bytes], bytes]) -> None:
    _unreadable(here, lie)


def _unreadable(here: Desk, broken: Callable[[bytes], bytes]) -> None:
    """A good card but for what lies in the signing certificate's place."""
    card = here.insert()
    der = card.certificate(0x9C)
    assert der is not None
    card.write_object(CERTIFICATE_9C, broken(der))
    advice = "the smartcard may need to be repaired or replaced."
    found = here.run("inspect", "--json")
    check(found, 1, "This smartcard cannot be read", "cannot be read: ", advice, CONTACT)
    refused(found, 1, "RA-CARD-DATA")
    assert found.document["cards"][0]["verdict"] == "UNREADABLE"
    check(here.run("renew"), 1, "cannot be read: ", advice, CONTACT)
    card.write_certificate(0x9C, der)
    here.readers.remove(READER)
    assert signs(card)
    assert here.events() == []


def test_a_blocked_pin(here: Desk) -> None:
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    card.block_pin()
    unlock = "Ask your Registration Authority to unlock it."
    check(
        here.run("inspect"), 0, "There are no tries left for its passcode: your Registration Authority can unlock it."
    )
    check(here.run("renew"), 1, "Your smartcard is locked", "There are no tries left", unlock, CONTACT)
    refused(here.run("renew", "--json"), 1, "RA-PIN-BLOCKED")
    untouched(here, card, before, tries=0)


def test_one_try_left(here: Desk) -> None:
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    card.set_pin_tries(1)
    stop = "Stop here and unlock your smartcard first. Your Registration Authority can help."
    check(here.run("inspect"), 0, "There is 1 try left for its passcode: your Registration Authority can unlock it.")
    typed = here.run("renew", typed=f"1\n{PIN}\n")
    check(typed, 1, "There is 1 try left for the passcode of this smartcard.", stop, CONTACT)
    assert PASSCODE not in typed.err  # nobody is asked to type what would not be sent
    refused(here.run("renew", "--json"), 1, "RA-PIN-LAST-TRY")
    card.set_pin_tries(2)
    talk = here.talk("renew")
    talk.hear(ASKED)
    talk.type("1")
    talk.hear(PASSCODE)
    talk.type("000000")
    check(talk.end(), 1, "Your passcode was wrong. There is 1 try left", stop, CONTACT)
    assert talk.heard.count(PASSCODE) == 1
    assert card.pin_tries == 1
    card.set_pin_tries(3)
    untouched(here, card, before)


def test_a_wrong_pin(here: Desk) -> None:
    card = here.insert()
    talk = _at_passcode(here)
    talk.type("000000")
    talk.hear("Your passcode was wrong. You have 2 tries left.")
    talk.hear(PASSCODE)
    talk.type("000000")
    talk.hear("It was not tried again, and no try was used.")
    talk.hear(PASSCODE)
    assert card.pin_tries == 2
    talk.type(PIN)
    check(_sign_in_again(here, card, talk), 0, "Done\nYou can sign prescriptions with the smartcard ending ")
    assert card.pin_tries == 3
    assert here.run("inspect").status == 0
    here.readers.remove(READER)
    assert signs(card)
    assert PIN not in talk.heard


def test_ra_down(here: Desk) -> None:
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"127.0.0.1:{listener.getsockname()[1]}"
    here.configure(ra=f'url = "http://{nobody}/.well-known/cmp"\nroot = "{here.office.ra.root}"')
    sentence = f"The Registration Authority at {nobody} cannot be reached."
    check(here.run("inspect"), 0, "Renew your smartcard", f"could not be asked: {sentence}")
    typed = here.run("renew", typed=f"1\n{PIN}\n")
    check(typed, 1, sentence, "Check the network connection, then try again.", CONTACT)
    assert ASKED not in typed.err  # found out before anybody is asked for anything
    refused(here.run("renew", "--json"), 1, "RA-UNREACHABLE")
    untouched(here, card, before)


def test_ra_slow(here: Desk, ra: Office) -> None:
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    here.configure(ra=f'url = "{ra.ra.url}"\nroot = "{ra.ra.root}"\ntimeout = 1')
    with turned(ra, Knobs(delay=2.5)):
        done = here.run("renew", typed=f"1\n{PIN}\n")
    check(done, 1, "did not answer in time.", "Check the network connection, then try again.", CONTACT)
    untouched(here, card, before)

    def slow(moment: Moment, command: bytes, response: bytes) -> None:
        if moment is Moment.AFTER and command[1] == GENERATE:
            ra.ra.office.turn(Knobs(delay=1.5))

    card.hook = slow
    here.readers.insert(READER, card)
    try:
        talk = here.talk("renew")
        talk.hear(ASKED)
        talk.type("1")
        talk.hear(PASSCODE)
        talk.type(PIN)
        until(lambda: "interrupted" in here.events())
    finally:
        ra.ra.office.turn(Knobs())
    check(_sign_in_again(here, card, talk), 0, "Done\n")  # half-way it is tried again, with nobody's help
    here.readers.remove(READER)
    assert signs(card)
    assert card.object(CERTIFICATE_9C) != before


def test_clock_an_hour_off(here: Desk, ra: Office) -> None:
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    for offset, side in ((3600, "behind"), (-3600, "ahead of")):
        with turned(ra, Knobs(clock_offset=offset)):
            done = here.run("renew", "--json", typed=f"1\n{PIN}\n")
        sentence = f"This computer's clock is about 60 minutes {side} the Registration Authority's."
        check(done, 1, sentence, "Nothing was changed", "Ask your IT support to set this computer's clock", CONTACT)
        refused(done, 1, "RA-CLOCK")
        assert ASKED not in done.err
    untouched(here, card, before)


@pytest.mark.parametrize("prompt", ["start", "passcode"])
def test_card_out_at_any_prompt(here: Desk, prompt: str) -> None:
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    talk = here.talk("renew", at_terminal=True)
    talk.hear(ASKED)
    if prompt == "passcode":
        talk.type("1")
        talk.hear(PASSCODE)
    here.readers.remove(READER)
    talk.type("1" if prompt == "start" else PIN)
    check(talk.end(), 1, "because the smartcard was removed. Nothing was changed on it.", "Put it back in and")
    assert PIN not in talk.heard  # a terminal shows what is typed, unless it is told not to
    here.readers.insert(READER, card)
    untouched(here, card, before)


def test_card_out_at_any_prompt_once_its_key_is_replaced(here: Desk) -> None:
    """While the new key is made, and again at the passcode for signing in: it is asked for, and things go on."""
    card = here.insert()
    out: list[bool] = []

    def pull(moment: Moment, command: bytes, response: bytes) -> None:
        if moment is Moment.AFTER and command[1] == GENERATE and not out:
            out.append(True)
            raise CardRemoved("The smartcard was removed.")

    talk = _at_passcode(here)
    card.hook = pull
    talk.type(PIN)
    until(lambda: out)
    here.readers.remove(READER)
    talk.hear("Renewal is not finished. You cannot sign prescriptions with this smartcard yet.")
    here.readers.insert(READER, card)
    _back_in(here, card, talk)
    here.readers.remove(READER)
    talk.type(PIN)
    talk.hear("Put your smartcard back in")
    here.readers.insert(READER, card)
    check(talk.end(), 0, "Done\n")
    here.readers.remove(READER)
    assert signs(card)


def test_a_person_who_stops(here: Desk) -> None:
    """Ctrl-C at each question, "Not now", the end of the input, and Ctrl-C when the card is renewed already."""
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    check(here.run("renew", typed="2\n"), 1, "You chose not to renew now. Nothing was changed.")
    check(here.run("renew"), 1, "Nothing was changed on the smartcard.", "Start again when you are ready.")
    refused(here.run("renew", "--json", typed="2\n"), 1, "RA-STOPPED")
    for question in (ASKED, PASSCODE):
        talk = here.talk("renew", at_terminal=True)
        talk.hear(ASKED)
        if question == PASSCODE:
            talk.type("1")
            talk.hear(PASSCODE)
        talk.interrupt()
        check(talk.end(), 1, "You stopped the renewal. Nothing was changed on the smartcard.")
    untouched(here, card, before)
    here.readers.insert(READER, card)
    talk = here.talk("renew", at_terminal=True)
    talk.hear(ASKED)
    talk.type("1")
    talk.hear(PASSCODE)
    talk.type(PIN)
    talk.hear("Remove the smartcard ending ")
    talk.interrupt()
    check(talk.end(), 1, "is renewed, but you have not signed in with it yet.", "run: renewagent renew", CONTACT)
    assert here.events()[-1] == "interrupted"
    check(_sign_in_again(here, card, here.talk("renew")), 0, "Done\n")
    here.readers.remove(READER)
    assert signs(card)


def test_second_agent_started(here: Desk) -> None:
    first = here.talk("agent")
    first.hear("agent.started")
    advice = "See what it knows: renewagent status."
    check(here.run("agent"), 1, "The renewagent agent is already running.", advice)
    refused(here.run("agent", "--json"), 1, "RA-AGENT")
    assert status_of(here).status == 0  # the first one did not mind
    first.process.send_signal(signal.SIGTERM)
    assert first.end().status == 0
    check(here.run("status"), 1, "The renewagent agent is not running.", "Start it: renewagent agent.")


def test_disk_full_under_the_journal(here: Desk) -> None:
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    with small_disk(here.state):
        check(here.run("renew", typed="2\n"), 1, "You chose not to renew now. Nothing was changed.")
        fill(here.state)
        done = here.run("renew", "--json", typed=f"1\n{PIN}\n")
        check(done, 1, "The disk is full: the record of renewals, ", "Free some disk space, then try again.", CONTACT)
        refused(done, 1, "RA-JOURNAL")
        assert ASKED not in done.err
        assert here.run("inspect").status == 0  # looking needs no room
        refused(here.run("status", "--json"), 1, "RA-AGENT")
        (here.state / "fill").unlink()
        untouched(here, card, before)

        # full from the passcode on: what was set aside carries the renewal to its end
        here.readers.insert(READER, card)
        talk = _at_passcode(here)
        fill(here.state, reserve=False)
        talk.type(PIN)
        check(_sign_in_again(here, card, talk), 0, "Done\n")
        assert here.events()[-1] == "signed-in"


def test_configuration_missing_or_wrong(here: Desk, ra: Office) -> None:
    card = here.insert()
    before = card.object(CERTIFICATE_9C)
    nowhere = here.folder / "nowhere.toml"
    for command in ("inspect", "renew", "status", "agent"):
        done = here.run(command, "--json", "--config", str(nowhere), config=False)
        check(done, 2, f"There is no configuration file {nowhere}.", "Check the command line")
        refused(done, 2, "RA-CONFIGURATION")
    here.config.write_text("[ra\n")
    check(here.run("status"), 2, f"{here.config} is not valid TOML: ")
    here.configure(agent="poll = 1")
    check(here.run("renew"), 2, "agent.poll is not a known setting. Did you mean agent.poll_interval?")
    for section, sentence in _lacking(ra, here.config).items():
        here.configure(**{section.partition(" ")[0]: sentence[0]})
        check(here.run("renew", typed=f"1\n{PIN}\n"), 2, sentence[1])
    here.configure(campaign=f'urls = ["{ra.campaign}"]\nanchor = "{here.config}"')
    check(here.run("agent"), 2, f"{here.config} holds no certificate.")
    here.configure(campaign="")
    nothing = ("This smartcard was not checked", "no notice from your Registration Authority", "Set campaign.urls in ")
    check(here.run("inspect"), 1, *nothing)
    here.configure(campaign=f'urls = ["{nowhere}"]\nanchor = "{ra.ra.campaign_anchor}"')
    check(here.run("inspect"), 1, f"The campaign {nowhere} cannot be read", "This smartcard was not checked")
    check(here.run("renew"), 1, f"The campaign {nowhere} cannot be read", CONTACT)
    here.configure()
    untouched(here, card, before)


def _lacking(ra: Office, no_pem: Path) -> dict[str, tuple[str, str]]:
    """Sections that lack something or say something wrong, and the sentence that each deserves."""
    url = f'url = "{ra.ra.url}"'
    return {
        "ra (none)": ("", "No Registration Authority is configured."),
        "ra (no root)": (url, "No root certificate of the Registration Authority is configured."),
        "ra (root no PEM)": (f'{url}\nroot = "{no_pem}"', f"{no_pem} holds no certificate."),
        "campaign (none)": ("", "No campaign is configured"),
        "campaign (no anchor)": (f'urls = ["{ra.campaign}"]', "No anchor to check campaigns against is configured."),
    }


def _at_passcode(here: Desk) -> Conversation:
    """A renewal that was agreed to and asks for the passcode."""
    talk = here.talk("renew")
    talk.hear(ASKED)
    talk.type("1")
    talk.hear(PASSCODE)
    return talk


def _back_in(here: Desk, card: VirtualCard, talk: Conversation) -> None:
    """Remove the card when that is asked for, put it back, up to the passcode for signing in."""
    talk.hear("Remove the smartcard ending ")
    here.readers.remove(READER)
    talk.hear("Put your smartcard back in")
    here.readers.insert(READER, card)
    talk.hear(PASSCODE)


def _sign_in_again(here: Desk, card: VirtualCard, talk: Conversation) -> Done:
    _back_in(here, card, talk)
    talk.type(PIN)
    return talk.end()


@contextmanager
def turned(ra: Office, knobs: Knobs) -> Iterator[None]:
    """The RA behaves like that, for a while."""
    ra.ra.office.turn(knobs)
    try:
        yield
    finally:
        ra.ra.office.turn(Knobs())

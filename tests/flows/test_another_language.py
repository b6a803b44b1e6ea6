"""A workstation whose person reads another language: every word that it shows comes from the catalogue.

The language is a pseudo-language made from the template; what is not in its brackets and accents was forgotten.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from renewagent import language
from renewagent.agent import (
    desk_words,
    explained,
    passcode_words,
    stale,
    tries_in_words,
    watching_words,
    window_page,
    words,
)
from renewagent.agent import window_states as states
from renewagent.agent.notices import wish_of
from renewagent.agent.passcode_entry import PasscodeEntry
from renewagent.agent.prompts import CardAct
from renewagent.agent.removal import OnRemoval
from renewagent.agent.removal_words import sign_in_again
from renewagent.agent.telling import Notice
from renewagent.agent.terminal import TerminalPrompter
from renewagent.agent.window import WindowPrompter
from renewagent.agent.words import Message
from renewagent.campaign.document import parse_campaign
from renewagent.cli import main
from renewagent.errors import (
    BatteryLow,
    CardRemoved,
    ClockError,
    LastPinTry,
    NothingTyped,
    PinBlocked,
    RaUnreachable,
    RenewalImpossible,
)
from renewagent.model import CardIdentity, CertificateHead, Finding, Verdict
from renewagent.pin import Pin
from renewagent.rules import Contact
from renewagent_fixtures.person import ScriptedPerson
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from tests import catalogue
from tests.flows.test_agent_process import RunningAgent
from tests.flows.workshop import CONTACT, PIN, READER, Workshop, Workstations, identity
from tests.pcsc import until
from tests.pinentries import WILLING, Programs
from tests.unit.agent.place import ISSUER, Place, campaign_json, days_ago
from tests.window import Typist

CARD, OTHER = CardIdentity("chuid", "aa4821"), CardIdentity("chuid", "bb9930")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DATA = ("4821", "9930", CONTACT.name, CONTACT.phone, "Dr Nadia Osei", READER)


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    catalogue.write_pseudo(folder)
    return folder


@pytest.fixture
def welsh(catalogues: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, str]]:
    """This process's person reads it, and so does that of any other which gets this environment."""
    given = {"LANGUAGE": "cy", "XDG_DATA_HOME": str(catalogues)}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    language.catalogue.cache_clear()
    yield given
    monkeypatch.undo()
    language.catalogue.cache_clear()


def of(message: Message) -> str:
    """Everything of it that is shown somewhere."""
    return "\n".join((message.title, message.body, message.advice, *message.actions))


class _Words(HTMLParser):
    """What a person sees of a page, or hears."""

    HEARD = frozenset({"aria-label", "data-aloud", "data-copied", "data-selected", "title", "alt", "placeholder"})

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.lang: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.said += [value for name, value in attrs if name in self.HEARD and value]
        self.lang = dict(attrs).get("lang", self.lang)

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def drawn(shown: states.Shown) -> _Words:
    """The page at that moment."""
    page = _Words()
    page.feed(bytes(window_page.page_of(shown, CONTACT, "form").body).decode())
    return page


def every_message() -> Iterator[Message]:
    ahead = NOW + timedelta(days=2)
    yield from (words.before(CARD, 3), words.before(None, None), words.pin_wanted(CARD, 2), words.wrong_pin(2))
    yield from (
        words.card_busy(),
        words.pulled_unsafe(CARD),
        words.pulled_half_way(None),
        words.wrong_card(OTHER, CARD),
    )
    yield from (words.waiting(ahead, NOW, CONTACT), desk_words.busy_ra(ahead, NOW, CONTACT))
    yield from (desk_words.later(ahead, NOW, CONTACT), desk_words.ordered(CARD))
    yield from (
        sign_in_again(CARD, removal_ends_session=ends, on_removal=how) for ends in (True, False) for how in OnRemoval
    )
    yield from (words.insert_again(CARD), words.done(CARD), words.more_cards(1, 2, OTHER), words.more_cards(1, 3, None))
    yield from (words.done_not_signed_in(CARD, CONTACT), words.done_not_signed_in(None, CONTACT, by_hand=False))
    yield from (passcode_words.in_a_window(CARD), passcode_words.at_pad(words.pin_wanted(CARD, 2), 2, 5))
    yield from (passcode_words.before_at_pad(words.before(CARD, 3), n, at_least=n == 4) for n in (None, 3, 4))
    yield passcode_words.not_typed(NothingTyped(language._("No passcode was typed in time.")))
    head = CertificateHead(1, (), NOW - timedelta(days=7), NOW + timedelta(days=900))
    for remedy in ("renew", "replace-card", "see-ra"):
        campaign = parse_campaign(campaign_json(remedy=remedy, deadline="2026-11-30T00:00:00Z"))
        told = words.affected(replace(campaign, contact=CONTACT, reason={}), "bad week")
        yield from (told, explained.why(told, replace(campaign, reason={}), "bad week", head))
    yield Message("", "", " ".join(explained.unlocking()))
    yield from (desk_words.officers_pin(CARD, 3), desk_words.holders_pin(CARD, 1))
    yield from (stale.card_message(CARD), stale.software_message(CARD))
    yield from (watching_words.stopping(), watching_words.watching(), watching_words.journal_put_aside("/4821"))
    yield from (watching_words.service_down(), watching_words.service_up(), words.paused(CONTACT), words.not_judged())
    yield from (words.revoked(CONTACT), words.expired(NOW, CONTACT), words.not_affected(NOW, NOW))
    yield from (words.no_certificate(CONTACT), words.part_way(CONTACT))
    for reason in (words.NOT_SIGNED_IN, words.OLD_LEFT, words.RA_LOOKS_AT_IT, words.RA_IS_READY):
        finding = Finding(Verdict.PART_WAY, reason)
        yield words.for_finding(finding, None, NOW, NOW, CONTACT)
    for kind in (PinBlocked, LastPinTry, CardRemoved, ClockError, BatteryLow, RaUnreachable, RenewalImpossible):
        yield words.for_error(kind(tries_in_words.few_tries(0)), CONTACT)


def test_every_message_is_put_together_of_sentences_of_the_catalogue(welsh: Mapping[str, str]) -> None:
    for message in every_message():
        assert catalogue.untranslated(of(message), *DATA) == [], of(message)


def test_the_page(welsh: Mapping[str, str]) -> None:
    prompter = WindowPrompter(Typist)
    prompter.card_in_hand(READER, CARD, "Dr Nadia Osei", "")
    shown = [prompter.shown()]
    for message in every_message():
        if message.kind in states.STATES:
            prompter.tell(message)
            shown.append(prompter.shown())
    prompter.progress(2, 6, language._("making the new key"), 61.0)
    shown.append(prompter.shown())
    prompter.card_wanted(CardAct.INSERT, READER, CARD, words.insert_again(CARD))
    prompter.readers_are([READER])
    shown.append(prompter.shown())
    gone = RaUnreachable(language._("The sign-in service did not answer as expected."))
    stopped = {"code": "RA-STOPPED", "message": words.renewed_not_signed_in("4821"), "advice": ""}
    for error in ({"code": gone.code, "message": gone.message, "advice": gone.advice}, stopped, None):
        prompter.finish({"ok": False, "error": error})
        shown.append(prompter.shown())
        prompter.begin_again()
    prompter.finish(None)
    assert len(shown) > 15
    for one in (*shown, prompter.shown()):
        page = drawn(one)
        said = "\n".join(page.said)
        codes = [code for code in (one.message.code, one.message.code) if code]
        assert catalogue.untranslated(said, *DATA, *codes, "renewagent", "IT") == [], said
        assert page.lang == "cy"


def test_english_has_its_own_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(states.opening()).lang == "en-GB"


class _AtTerminal(ScriptedPerson):
    """Sees a terminal, and moves the card."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.screen = io.StringIO()
        read, self.keys = os.pipe()
        self.terminal = TerminalPrompter(read, self.screen)

    def tell(self, message: Message) -> None:
        self.terminal.tell(message)
        super().tell(message)

    def card_in_hand(self, reader: str, card: CardIdentity, holder: str, why: str) -> None:
        self.terminal.card_in_hand(reader, card, holder, why)
        super().card_in_hand(reader, card, holder, why)

    def progress(self, step: int, of: int, text: str, seconds_left: float | None = None) -> None:
        self.terminal.progress(step, of, text, seconds_left)
        super().progress(step, of, text, seconds_left)

    def confirm(self, message: Message) -> bool:
        os.write(self.keys, b"1\n")
        return self.terminal.confirm(message) and super().confirm(message)

    def ask_pin(self, card: CardIdentity, tries_left: int | None, message: Message) -> Pin:
        with super().ask_pin(card, tries_left, message) as pin:
            os.write(self.keys, pin.reveal() + b"\n")
        return self.terminal.ask_pin(card, tries_left, message)

    def card_wanted(self, act: CardAct, reader: str, card: CardIdentity | None, message: Message) -> None:
        self.terminal.card_wanted(act, reader, card, message)
        super().card_wanted(act, reader, card, message)


def test_a_renewal_on_a_terminal(welsh: Mapping[str, str], workshop: Workshop, workstation: Workstations) -> None:
    card = workshop.card(holder="CN=Dr Nadia Osei")
    desk = workstation(workshop.campaign(contact={"name": CONTACT.name, "phone": CONTACT.phone}))
    person = _AtTerminal(pins=("11111111", PIN), remove=desk.take_out, insert=lambda reader, wanted: desk.put_in(card))
    document = desk.renew(card, person)
    assert document["state"] == "done"
    ending = identity(card)[-4:].upper()
    seen = person.screen.getvalue()
    reason = next(iter(desk.campaigns.values())).campaign.reason["en"]
    assert catalogue.untranslated(seen, ending, *DATA, reason) == [], seen
    assert {"wrong-pin", "sign-in-again", "done"} <= set(person.kinds)
    # What leaves the workstation, or is kept, has no language.
    assert not any("[" in str(one.to_json()) for one in desk.reported)


def test_a_campaign_says_why_in_the_persons_language(
    welsh: Mapping[str, str], catalogues: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(**reason: str) -> str:
        return words.affected(parse_campaign(campaign_json(reason={"en": "Faulty.", **reason}))).body

    assert said(cy="Diffygiol.").startswith("Diffygiol. [")
    assert said(fr="Défectueuse.").startswith("Faulty. [")
    catalogue.write_pseudo(tmp_path, "fr_CA")
    monkeypatch.setenv("LANGUAGE", "fr_CA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    language.catalogue.cache_clear()
    assert said(fr="Défectueuse.").startswith("Défectueuse. [")
    assert drawn(states.opening()).lang == "fr-CA"


FRENCH: dict[catalogue.Sentence, str | tuple[str, ...]] = {
    "Step {step} of {of}: {text}.": "{text} : étape {step} sur {of}.",
    "making the new key": "création de la nouvelle clé",
    ("About {number} minute left.", "About {number} minutes left."): (
        "Encore {number} minute.",
        "Encore {number} minutes.",
    ),
    "You can finish it on any computer.": "Tout ordinateur convient.",
    "Run: renewagent renew.": "Tapez : renewagent renew.",
    "Run: renewagent renew": "Tapez : renewagent renew",
    "Select {button}": "Choisissez {button}",
    "Continue": "Continuer",
    "{day} {month} {year}": "{day} {month} {year}",
    "November": "novembre",
}
"""By somebody who has only begun."""


def test_a_language_with_its_own_order_and_plurals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue.write(tmp_path, "fr", FRENCH)
    monkeypatch.setenv("LANGUAGE", "fr")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    language.catalogue.cache_clear()
    try:
        text = language._("making the new key")
        assert words.step_in_words(2, 6, text, 60).startswith(
            "création de la nouvelle clé : étape 2 sur 6. Encore 1 minute."
        )
        assert words.step_in_words(2, 6, text, 130).endswith("Encore 2 minutes.")
        assert words.expired(NOW, CONTACT).body == "The certificate on this smartcard expired on 22 novembre 2026."
        prompter = WindowPrompter(Typist)
        unfinished = words.part_way(Contact())
        prompter.finish({"error": {"code": "RA-CARD", "message": words.NOT_FINISHED, "advice": unfinished.advice}})
        # The page has a button for what a terminal has a command for, in French as well.
        assert prompter.shown().message.advice == "Tout ordinateur convient. Choisissez Continuer."
    finally:
        language.catalogue.cache_clear()


@pytest.mark.parametrize(
    "wrong", ["Avant le {jour}.", "Avant le {}.", "À 100 %, {date}.", "Avant le {date.", "Avant le {date!x}."]
)
def test_a_translation_that_cannot_be_filled_in_is_not_shown(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = ("You have {number} try.", "You have {number} tries.")
    catalogue.write(tmp_path, "fr", {"Renew it by {date}.": wrong, tries: (wrong, wrong)})
    monkeypatch.setenv("LANGUAGE", "fr")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    language.catalogue.cache_clear()
    try:
        campaign = parse_campaign(campaign_json(deadline="2026-11-22T00:00:00Z"))
        assert "Renew it by 22 November 2026." in words.affected(campaign).body
        assert [tries_in_words.tries(number) for number in (1, 2)] == ["You have 1 try.", "You have 2 tries."]
    finally:
        language.catalogue.cache_clear()


def test_what_a_notification_is_made_of(welsh: Mapping[str, str]) -> None:
    for message in (words.part_way(CONTACT), watching_words.service_down(), words.waiting(NOW, NOW, CONTACT)):
        wish = wish_of(Notice(message, message.advice))
        said = "\n".join((wish["title"], wish["body"], wish["plain"], *wish["actions"].values()))
        assert catalogue.untranslated(said, *DATA) == [], said


def test_what_pinentry_is_told(welsh: Mapping[str, str], tmp_path: Path) -> None:
    there = Programs(tmp_path)
    there.add("pinentry", WILLING)
    entry = PasscodeEntry(("pinentry",), there.environment)
    entry.hear(words.wrong_pin(2))
    entry.ask_pin(CARD, 2, words.pin_wanted(CARD, 2)).wipe()
    heard = [line.split(" ", 1) for line in there.log("pinentry")["heard"]]
    shown = {line[0]: line[1] for line in heard if line[0].startswith("SET") and line[0] != "SETTIMEOUT"}
    assert {"SETTITLE", "SETDESC", "SETPROMPT", "SETERROR", "SETOK", "SETCANCEL"} <= shown.keys()
    for said in shown.values():
        assert catalogue.untranslated(said.replace("%0A", "\n"), *DATA) == [], said


def test_status_and_doctor(
    welsh: Mapping[str, str],
    tmp_path: Path,
    virtual_readers: VirtualReaders,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = Place(tmp_path)
    place.publish(campaign_json(deadline=(datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")))
    for name in ("XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, place.env[name])
    with RelayServer(virtual_readers, tmp_path / "readers.sock") as relay:
        place.configure(relay.where, ra=f'root = "{place.anchor}"')
        virtual_readers.insert("Virtual Reader 1", place.ca.card(days_ago(7)))
        agent = RunningAgent(place)
        try:
            agent.start()
            until(lambda: agent.verdict() == "AFFECTED")
            shown = [said(capsys, command, place) for command in ("status", "doctor", "inspect")]
        finally:
            agent.close()
    assert "test-batch" in shown[0] and "pyscard" in shown[1]
    known = (
        "Virtual Reader 1",
        "Virtual Reader 2",
        "test-batch",
        "Registration Authority",
        "0300 303 5035",
        "bad week",
        ISSUER,
    )
    for line in "\n".join(shown).splitlines():
        if "pyscard" not in line:  # names of programs, and their versions
            assert catalogue.untranslated(line, *known, "This smartcard was issued with a fault.") == [], line


def said(capsys: pytest.CaptureFixture[str], command: str, place: Place) -> str:
    """What a person reads of a command."""
    assert main([command, "--config", str(place.config)]) in (0, 1)
    return capsys.readouterr().err

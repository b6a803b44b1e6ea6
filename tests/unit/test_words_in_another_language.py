"""What goes wrong, and what the commands say, put into the pseudo-language: no word outside its brackets and accents.

What a workstation shows while it works is read in `tests/flows/test_another_language.py`.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from renewagent import asking, cli, language
from renewagent.campaign.document import parse_campaign
from renewagent.campaign.verify import RolledBack
from renewagent.card import pcsc_errors
from renewagent.cli import argparse_words, mishaps
from renewagent.cmp.client_words import check_clock, misbehaved, refused
from renewagent.cmp.wire import FAIL_INFO, StatusInfo
from renewagent.configuration import Configuration, load
from renewagent.configuration_keys import KEYS
from renewagent.errors import RenewAgentError
from renewagent.ra_transport import HttpRaTransport
from renewagent.rules import judge
from renewagent.tokens import desk_words, explain, forms, guided_soft, soft_questions
from renewagent.tokens.calendar import Deadline, Reminder, What, ics
from renewagent.tokens.errors import FormError
from renewagent.tokens.guided_tickets import Ticket, TicketGuide
from renewagent_drivers import management_key, pkcs11_errors
from tests import catalogue
from tests.unit.campaign.documents import octets
from tests.unit.test_configuration import REFUSED
from tests.unit.test_rules import OTHER, RULE, campaign, certificate

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Wrong = Callable[[], object]


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    catalogue.write_pseudo(folder)
    return folder


@pytest.fixture(autouse=True)
def another(catalogues: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LANGUAGE", "cy")
    monkeypatch.setenv("XDG_DATA_HOME", str(catalogues))
    language.catalogue.cache_clear()
    yield
    monkeypatch.undo()
    language.catalogue.cache_clear()


def words_of(error: RenewAgentError) -> str:
    return f"{error.message}\n{error.advice}"


def refusal(wrong: Wrong) -> str:
    with pytest.raises(RenewAgentError) as caught:
        wrong()
    return words_of(caught.value)


def kinds(above: type[RenewAgentError] = RenewAgentError) -> Iterator[type[RenewAgentError]]:
    yield above
    for kind in above.__subclasses__():
        yield from kinds(kind)


def test_every_kinds_advice() -> None:
    ours = [kind for kind in kinds() if kind.__module__ in ("renewagent.errors", "renewagent.tokens.errors")]
    assert len(ours) > 40
    assert [kind for kind in ours if catalogue.untranslated(language._(kind.advice), "renewagent", "EHR")] == []
    assert catalogue.untranslated(RenewAgentError("").advice) == []


@pytest.mark.parametrize("code", [*pcsc_errors._ERRORS, 0x80100099])
def test_what_pcsc_says(code: int) -> None:
    assert catalogue.untranslated(words_of(pcsc_errors.error_of(code)), f"{code:08X}") == []


@pytest.mark.parametrize("name", FAIL_INFO)
def test_what_an_ra_refuses(name: str) -> None:
    status = StatusInfo(2, ("As they say.",), frozenset({name}))
    assert catalogue.untranslated(words_of(refused(status)), "As they say.") == []


@pytest.mark.parametrize("off", [timedelta(minutes=-6), timedelta(hours=3), timedelta(days=-9)])
def test_a_clock_that_is_off(off: timedelta) -> None:
    assert catalogue.untranslated(refusal(lambda: check_clock(NOW, NOW + off))) == []


@pytest.mark.parametrize("text", [text for text, said in REFUSED if "TOML" not in said])  # its reader speaks English
def test_a_configuration(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    typed = re.findall(r"[A-Za-z][\w.~:/-]+", text)
    known = (
        "pcsc",
        "unix:/path",
        "file:/path",
        "default",
        "pin-protected",
        "ra",
        "pad",
        "pinentry",
        "terminal",
        "https",
    )
    said = refusal(lambda: load(file))
    assert catalogue.untranslated(said, str(file), *KEYS, *typed, *known, "http") == [], said


WRONG: tuple[Wrong, ...] = (
    lambda: Configuration().ra_url(),
    lambda: Configuration().ra_root(),
    lambda: Configuration().campaign_anchor(),
    lambda: HttpRaTransport("http://127.0.0.1:9/cmp").exchange(b""),
    lambda: HttpRaTransport("nowhere"),
    lambda: parse_campaign(b"\xff"),
    lambda: parse_campaign(octets(version="3")),
    lambda: parse_campaign(octets(remedy="repair")),
    lambda: parse_campaign(octets(published="yesterday")),
    lambda: parse_campaign(octets(surplus=1)),
    lambda: management_key.management_key_source("none"),
)
DATA = (
    *("/etc/renewagent/config.toml", "ra.url", "ra.root", "campaign.anchor", "--ra-root", "--ra", "--campaign-anchor"),
    *("--config", "URL", "FILE", "127.0.0.1:9", "nowhere", "http://", "https://", "version", "remedy", "published"),
    *("surplus", "renew", "replace-card", "see-ra", "UTC", "card.management_key", "JSON"),
)


@pytest.mark.parametrize("wrong", WRONG)
def test_what_goes_wrong(wrong: Wrong) -> None:
    assert catalogue.untranslated(refusal(wrong), *DATA) == []


def test_what_is_told_elsewhere_stays_english() -> None:
    error = RolledBack(campaign(version=2), 3)
    assert error.english == "This is version 2 of campaign 2020-10, but version 3 has been published before."
    assert catalogue.untranslated(words_of(error)) == []
    assert catalogue.untranslated(words_of(misbehaved(language._("it is not protected")))) == []


def test_why_a_rule_hits_or_does_not() -> None:
    found = [certificate(), certificate(serial=1), certificate(usages=None), certificate(card_model="other")]
    found += [certificate(not_before=NOW), certificate(usages=frozenset({"digitalSignature"}))]
    told = [judge(one, campaign(RULE), NOW).reason for one in found]
    told += [judge(one, campaign(RULE, RULE), NOW).reason for one in found[1:]]
    told.append(judge(found[0], campaign(withdrawn=True), NOW).reason)
    named = ("NHS Signing G2", "CN", "autumn batch", "contentCommitment", "digitalSignature", "other", "piv", "1a2b")
    for reason in told:
        assert catalogue.untranslated(reason, *named, "O=nhs", "C=GB") == [], reason
    assert OTHER


def test_the_vendors_modules() -> None:
    from pkcs11 import exceptions

    for kind in (exceptions.DeviceRemoved, exceptions.PinLocked, exceptions.PinExpired, exceptions.DeviceMemory):
        assert catalogue.untranslated(words_of(pkcs11_errors.translated(kind()))) == []
    assert catalogue.untranslated(words_of(pkcs11_errors.translated(exceptions.GeneralError())), "GeneralError") == []


# --- The commands

PERSONS = ("agent", "status", "inspect", "renew", "doctor", "service", "token", "softtoken")


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in {id(one): one for one in action.choices.values()}.values():
                yield from parsers(child)


def helped(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from filter(None, (parser.description, parser.epilog))
    yield from (group.title or "" for group in parser._action_groups)
    for action in parser._actions:
        yield from (word for word in (action.help,) if word and word is not argparse.SUPPRESS)
        yield from (one.help or "" for one in getattr(action, "_choices_actions", ()))


def test_the_help_of_every_command_of_a_person() -> None:
    argparse_words.lend_catalogue()
    whole = cli.build_parser()
    (commands,) = (one for one in whole._actions if isinstance(one, argparse._SubParsersAction))
    told = [said for name in PERSONS for parser in parsers(commands.choices[name]) for said in helped(parser)]
    assert len(told) > 150
    assert [said for said in told if catalogue.untranslated(said)] == []


def test_a_line_that_does_not_parse(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (["token", "lost"], ["token", "lost", "A", "--reason"], ["softtoken", "reregister", "--wait", "x"]):
        assert cli.main(line) == 2
        usage, *told = capsys.readouterr().err.partition("[-h]")
        assert usage.startswith("[úságé")
        said = "\n".join("".join(told).split("\n\n")[-1].splitlines()[-2:])
        assert catalogue.untranslated(said, "SERIAL", "reason", *re.findall(r'"renewagent [a-z ]+', said), "wait") == []


def test_what_administrators_call_stays_english(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--nope", "a-file"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("usage: renewagent check") and "Unrecognized arguments: --nope." in told
    assert os.environ["LANGUAGE"] == "C"  # as its children are told


def test_a_mishap() -> None:
    told = [mishaps.stopped(), mishaps.refused(OSError(28, "Full", "/a/file")), mishaps.refused(OSError())]
    told.append(mishaps.unexpected(KeyError(), now=NOW, folder=Path("/proc/none")))
    for error in told:
        assert catalogue.untranslated(words_of(error), "Full", "/a/file", "KeyError") == []


# --- Tokens


def test_the_questions_about_a_token() -> None:
    told = [words for at in explain.TREE.values() for words in _words(at)]
    told += [words for one in soft_questions.QUESTIONS for words in (one.text, *(c.words for c in one.choices))]
    lines = [line for kind in forms.KINDS for line in forms.fields_of(kind)]
    told += [words for line in lines for words in (line.label, line.hint, *line.choices.values())]
    assert len(told) > 150
    assert [words for words in told if catalogue.untranslated(language._(words))] == []


def _words(at: explain.Question | explain.Ending) -> tuple[str, ...]:
    if isinstance(at, explain.Ending):
        return at.said, at.advice
    return at.asks, at.hint, *(choice.words for choice in at.choices)


class _Person:
    """Answers in order, and hears everything."""

    def __init__(self, *lines: str) -> None:
        self.lines, self.heard = list(lines), list[str]()

    def say(self, text: str) -> None:
        self.heard.append(text)

    def ask(self, prompt: str) -> str:
        self.heard.append(re.sub(r"^\[[^[\]]*\]: $", "", prompt))  # the answer that is known
        return self.lines.pop(0)


def test_a_form_at_a_terminal() -> None:
    person = _Person("Ada Lamb", "1234567890", "1234567893", "GAHE12345678", "123456", "123456", "654321", "yes")
    TicketGuide(person, Ticket("reset")).run()
    assert person.lines == []
    said = "\n".join(person.heard)
    typed = ("Ada Lamb", "1234567890", "GAHE12345678")
    assert catalogue.untranslated(said, *typed) == [], said


def test_what_a_form_refuses() -> None:
    wrong = {"provider": "Ada", "npi": "1", "serial": "XX", "country": "US", "state": "XY", "postal_code": "1"}
    found = [fault for kind in forms.KINDS for fault in forms.faults(kind, {**wrong, "email": "a", "phone": "1"})]
    assert len(found) > 20 and {type(one) for one in found} == {FormError}
    for fault in found:
        typed = ("'XY'", "'a'", "'1'", "XX", *forms.FREE_CAUSES, "name@clinic.org")
        assert catalogue.untranslated(words_of(fault), *typed) == [], words_of(fault)


def test_why_a_soft_token_expired_and_when_things_end() -> None:
    answers = {"phone": "new", "app": "reinstalled", "password": "changed", "certificate": "renewed"}
    found = guided_soft.diagnosis_in_words(guided_soft.offline(NOW)(answers))
    ends = [Deadline(what, "alamb", NOW + timedelta(days=left)) for what in What for left in (-1, 1, 9)]
    found += [words for one in ends for words in (Reminder(one, (), one.days_left(NOW)).said,)]
    assert catalogue.untranslated("\n".join(found)) == []
    told = re.findall(r"^(?:SUMMARY|DESCRIPTION):(.*(?:\n .*)*)", ics(ends, NOW).replace("\r", ""), re.MULTILINE)
    for said in told:
        assert catalogue.untranslated(said.replace("\n ", "").replace("\\n", "\n"), "alamb") == [], said


def test_what_the_desk_is_told_to_say() -> None:
    token = {"serial": "7", "state": "spare", "drift": 2, "resynchronised": "2026-11-22T12:00:00Z", "refused": "?"}
    tickets = [{"kind": kind, "id": "9", "serial": s, "state": "sent"} for kind in forms.KINDS for s in ("", "7")]
    standing = {"tokens": [token, {**token, "locked_until": "2026-11-22T12:00:00Z"}], "tickets": tickets}
    runs = [{"happened": "The device is registered again, and read back."}]
    told = desk_words.tokens_in_words(standing) + desk_words.tickets_in_words(standing)
    told += desk_words.runs_in_words({"runs": runs}) + desk_words.registered(token, "7")
    told += [*desk_words.filed({"id": "9"}, "reset"), *desk_words.filed({"id": "9"}, "spare")]
    assert len(told) > 15
    assert catalogue.untranslated("\n".join(told)) == []


def test_a_question_is_put_in_the_persons_language() -> None:
    person, members = _Person("9", "1"), dict[str, object]()
    line = asking.Question(("cause",), "What happened", "", choices=(("lost", "It is lost or was stolen."),))
    assert asking.ask(person, line, members, lambda known: None) == asking.ON
    assert members == {"cause": "lost"}
    assert catalogue.untranslated("\n".join(person.heard)) == []

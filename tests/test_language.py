"""Every word that a person at a workstation reads can be put into another language, and the template has them all."""

from __future__ import annotations

import gettext
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import catalogue, sentences
from tests.sentences import Spoken

Check = Callable[[Spoken], list[str]]
CHECKS: tuple[Check, ...] = (
    sentences.words_are_marked,
    sentences.marked_as_they_stand,
    sentences.placeholders_survive,
    sentences.marks_keep_their_meaning,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_module(check: Check) -> None:
    assert [complaint for module in sentences.spoken_modules() for complaint in check(module)] == []


def test_the_modules_were_read() -> None:
    paths = {module.path for module in sentences.spoken_modules()}
    assert "renewagent/agent/words.py" in paths
    assert all(any(Path(path).match(glob) for path in paths) for glob in sentences.WORDS)


def test_what_is_allowed_is_still_there() -> None:
    """An exception that nothing needs any more goes."""
    texts = {module.path: module.source for module in sentences.spoken_modules()}
    for glob, allowed in sentences.ALLOWED.items():
        there = "".join(text for path, text in texts.items() if Path(path).match(glob))
        assert [one for one in allowed if one.split("{}")[0].split("\n")[0].strip() not in there] == []


BAD_WORDS: list[tuple[Check, str, str]] = [
    (sentences.words_are_marked, 'def f():\n    return "The smartcard is in."', "The smartcard is in."),
    (sentences.words_are_marked, 'LABEL = "Continue"', "Continue"),
    (sentences.words_are_marked, 'def f(n):\n    return f"{n} tries left"', "{} tries left"),
    (sentences.words_are_marked, 'def f(n):\n    return _("Ready.") + f" {n} left."', "{} left."),
    (sentences.marked_as_they_stand, 'def f(n):\n    return _(f"{n} tries")', "tries"),
    (sentences.marked_as_they_stand, 'def f(n):\n    return _("{n} tries".format(n=n))', "tries"),
    (sentences.marked_as_they_stand, 'def f(a):\n    return _("Put it in " + a)', "Put it in"),
    (sentences.marked_as_they_stand, "def f(a, b, n):\n    return ngettext(a, b, n)", ":2: a"),
    (sentences.placeholders_survive, 'def f(n):\n    return _("{number} tries").format(n=n)', "gets ['n']"),
    (sentences.placeholders_survive, 'def f(n):\n    return _("{} tries").format(n)', "without a name"),
    (sentences.placeholders_survive, 'def f(n):\n    return ngettext("{n} try", "some", n).format(m=n)', "gets ['m']"),
    (sentences.marks_keep_their_meaning, 'def f():\n    a, _ = g()\n    return _("Ready.")', "something else"),
    (sentences.marks_keep_their_meaning, 'def f():\n    return [_("Ready.") for _ in g()]', "something else"),
    (sentences.marks_keep_their_meaning, 'LABEL = _("Ready.")', "at import"),
    (sentences.marks_keep_their_meaning, 'def f(label=_("Ready.")):\n    return label', "at import"),
]


@pytest.mark.parametrize(("check", "source", "complaint"), BAD_WORDS)
def test_each_check_can_fail(check: Check, source: str, complaint: str) -> None:
    assert complaint in "\n".join(check(Spoken("renewagent/agent/mystery.py", source)))


def test_what_is_no_word_for_a_person_is_left_alone() -> None:
    source = '''"""A module of some words."""
log.info("card.found reader=%s and more", reader)
KIND = "part-way"
def f(card: CardIdentity | None) -> str:
    """Says so."""
    assert card, "there is a card"
    if not card:
        raise ValueError("there is no card here")
    return _("The smartcard ending {ending} is in.").format(ending=card.ending)
'''
    module = Spoken("renewagent/agent/mystery.py", source)
    assert [complaint for check in CHECKS for complaint in check(module)] == []


def test_the_pages_have_no_words_of_their_own() -> None:
    for file in (sentences.ROOT / "renewagent/agent/window_templates").iterdir():
        bare = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", file.read_text("utf-8"), flags=re.S)
        heard = re.findall(r'(?:aria-label|title|alt|placeholder)="(.*?)"', bare)
        shown = " ".join((re.sub(r"<[^>]*>", " ", bare), *heard))
        assert re.findall(r"[^\W\d_]+", shown) == [], file.name
    script = (sentences.ROOT / "renewagent/agent/window_static/live.js").read_text("utf-8")
    assert re.findall(r'"[A-Z][a-z]+[ .!?][^"]*"', script) == []


def test_every_marked_sentence_is_in_the_template() -> None:
    """Those that Babel overlooks: within an f-string, or within another call of `_`."""
    known = {said for one in catalogue.sentences() for said in (one.id if isinstance(one.id, tuple) else (one.id,))}
    marked = [(module, *one) for module in sentences.spoken_modules() for one in sentences.marked(module)]
    assert len(marked) > 1000
    assert [f"{module.at(node)}: {said!r}" for module, node, said in marked if said not in known] == []


def test_the_template_is_up_to_date() -> None:
    assert catalogue.template() == catalogue.TEMPLATE.read_bytes(), "run ./dev words"


def test_the_pseudo_language_has_every_sentence_whole(tmp_path: Path) -> None:
    file = catalogue.write_pseudo(tmp_path)
    with file.open("rb") as stream:
        said = gettext.GNUTranslations(stream)
    assert said.info()["language"] == "cy"
    assert said.gettext("Renew it by {date}.") == "[Réñéw ít bý {date}.~~~~~~]"
    tries = said.ngettext("You have {number} try.", "You have {number} tries.", 3)
    assert tries == "[Ýóú hávé {number} tríés.~~~~~~~~]"


def test_what_was_not_translated_is_seen() -> None:
    whole = catalogue.pseudo("Renew it by {date}.")
    assert catalogue.untranslated(whole.format(date=catalogue.pseudo("today"))) == []
    assert catalogue.untranslated(whole.format(date="today")) == ["today"]
    assert catalogue.untranslated(whole.format(date="Dr Osei"), "Dr Osei") == []
    assert catalogue.untranslated("Renew " + whole.format(date=1)) == ["Renew", "Renew"]


@pytest.mark.skipif(shutil.which("msgfmt") is None, reason="GNU gettext is not installed")
def test_gnu_gettext_takes_the_template(tmp_path: Path) -> None:
    new = tmp_path / "cy.po"
    made = ["msginit", "--no-translator", "--locale=cy", "-i", str(catalogue.TEMPLATE), "-o", str(new)]
    subprocess.run(made, check=True, capture_output=True, timeout=30)
    subprocess.run(["msgfmt", "--check", "-o", str(tmp_path / "cy.mo"), str(new)], check=True, timeout=30)

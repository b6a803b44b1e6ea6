"""Whatever is wrong in somebody's catalogue, commands and renewals go on, in English where there is no other way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from renewagent import language
from renewagent.agent import window_states
from renewagent.agent.window_states import Progress
from renewagent.language import _, ngettext, tag
from tests import catalogue

COUNTED = ("{number} try", "{number} tries")


@pytest.fixture(autouse=True)
def french(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LANGUAGE", "fr")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    language.catalogue.cache_clear()
    yield
    language.catalogue.cache_clear()


def test_a_rule_for_plurals_that_divides_by_nought(tmp_path: Path) -> None:
    file = catalogue.write(tmp_path, "fr", {COUNTED: ("{number} essai", "{number} essais")})
    octets = file.read_bytes()
    assert octets.count(b"plural=(n > 1)") == 1
    file.write_bytes(octets.replace(b"plural=(n > 1)", b"plural=(n % 0)"))
    assert [ngettext(*COUNTED, number) for number in (1, 2)] == list(COUNTED)


@pytest.mark.parametrize("wrong", ["Aide de %(prog)", "Aide %s", "Aide %", "Aide de %(nobody)s", "50 % d'aide"])
def test_a_per_cent_sign_that_nobody_fills(wrong: str, tmp_path: Path) -> None:
    catalogue.write(tmp_path, "fr", {"Help.": wrong, "%(prog)s of %s": "%(prog)s", "{left} % is left": "{left} % de"})
    assert _("Help.") == "Help."
    assert _("%(prog)s of %s") == "%(prog)s of %s"
    assert _("{left} % is left") == "{left} % de"


def test_help_and_wrong_options_with_a_catalogue_that_argparse_cannot_fill(tmp_path: Path) -> None:
    catalogue.write(
        tmp_path, "fr", {"show this help message and exit": "%(nobody)s", "unrecognized arguments: %s": "%d %s"}
    )
    for option, status in (("--help", 0), ("--mystery", 2)):
        command = [sys.executable, "-m", "renewagent", "status", option]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == status, done.stderr


def test_a_language_that_is_none(tmp_path: Path) -> None:
    file = catalogue.write(tmp_path, "fr", {"Help.": "Aide."})
    octets = file.read_bytes()
    assert octets.count(b"Language: fr") == 1
    file.write_bytes(octets.replace(b"Language: fr", b'Language: "<'))
    assert (_("Help."), tag()) == ("Aide.", "en-GB")


def test_one_word_for_two_things(tmp_path: Path) -> None:
    catalogue.write(tmp_path, "fr", {"Part": "Étape", "Step": "Étape"})
    shown = window_states.running(window_states.opening(), Progress(2, 7, "checking", None))
    assert window_states.details(shown, "1.2.3").count("Étape: ") == 2

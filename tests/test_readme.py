"""What the documents show must be so: commands parse with the real parser, and paths that they name exist."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from renewagent.cli import build_parser
from renewagent.cli.mishaps import UsageError
from tests.house import ROOT

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
OUR_COMMANDS = re.compile(r"`(renewagent [^`]+)`|^    (?:\$ )?(renewagent .+)$", re.MULTILINE)
DEV_COMMANDS = re.compile(r"`\./dev (\w+)|^    (?:\$ )?\./dev (\w+)", re.MULTILINE)
PATHS = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:md|txt|toml|lock|py))`")
LINKS = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def commands_in(text: str) -> list[str]:
    """Every `renewagent ...` that a document shows, without a shell's comment."""
    joined = text.replace("\\\n", " ")  # a line that goes on after its backslash
    return [shown or indented for shown, indented in OUR_COMMANDS.findall(joined)]


def words_of(command: str) -> list[str]:
    return shlex.split(command.removesuffix("&"), comments=True)[1:]


def paths_in(text: str) -> list[str]:
    return [*PATHS.findall(text), *LINKS.findall(text)]


def exists(path: str) -> bool:
    """A path from the top, or the name of a file somewhere in the product or the tests."""
    return (ROOT / path).exists() or ("/" not in path and any(found(path)))


def found(name: str) -> list[Path]:
    return [p for tree in ("renewagent", "drivers", "fixtures", "tests") for p in (ROOT / tree).rglob(name)]


ALL_COMMANDS = [(document, c) for document in DOCUMENTS for c in commands_in((ROOT / document).read_text())]
ALL_PATHS = [(document, p) for document in DOCUMENTS for p in paths_in((ROOT / document).read_text())]


@pytest.mark.parametrize(("document", "command"), ALL_COMMANDS)
def test_a_shown_command_parses(document: str, command: str) -> None:
    assert build_parser().parse_args(words_of(command)).run


@pytest.mark.parametrize(("document", "path"), ALL_PATHS)
def test_a_named_path_exists(document: str, path: str) -> None:
    assert exists(path)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_dev_has_the_commands_shown(document: str) -> None:
    usage = subprocess.run([ROOT / "dev"], capture_output=True, text=True, check=True).stdout
    offered = set(re.findall(r"^  (\w+) ", usage, re.MULTILINE))
    assert {"setup", "demo", "test", "check", "bench"} <= offered
    shown = {a or b for a, b in DEV_COMMANDS.findall((ROOT / document).read_text())}
    assert shown <= offered


def test_the_patterns_find_what_they_should() -> None:
    text = "see `renewagent demo --json`, `renewal.py`, [x](SECURITY.md), `renewagent/no/such.py`\n\n"
    text += "    renewagent inspect  # c\n    renewagent status \\\n  --json &\n"
    assert commands_in(text) == ["renewagent demo --json", "renewagent inspect  # c", "renewagent status    --json &"]
    assert words_of("renewagent inspect  # c") == ["inspect"]
    assert words_of("renewagent status    --json &") == ["status", "--json"]
    assert [(p, exists(p)) for p in paths_in(text)] == [
        ("renewal.py", True),
        ("renewagent/no/such.py", False),
        ("SECURITY.md", True),
    ]
    assert len(ALL_COMMANDS) > 5
    assert len(ALL_PATHS) > 15


def test_a_command_that_is_wrong_is_noticed() -> None:
    with pytest.raises(UsageError):
        build_parser().parse_args(words_of("renewagent nonsense --json"))


def test_readme_says_what_it_does_before_anything_else() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.index("signing") < text.index("./dev demo") < text.index("<!-- transcript -->")


def test_every_command_is_shown_in_readme() -> None:
    shown = {words_of(c)[0] for c in commands_in((ROOT / "README.md").read_text())} | {"demo"}
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            assert set(action.choices) <= shown

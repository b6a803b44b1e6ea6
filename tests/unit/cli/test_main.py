"""`renewagent.cli.main`: whatever happens becomes a sentence, an exit status and, with --json, one document."""

from __future__ import annotations

import argparse
import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from renewagent import cli
from renewagent.cli.answer import emit
from renewagent.errors import ConfigurationError, NoCard, RenewAgentError

Run = Callable[[argparse.Namespace], int]
Command = Callable[[Run], None]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Makes `renewagent trial` and `renewagent trial deep` run the given function, and nothing else."""

    def install(run: Run) -> None:
        module = ModuleType("renewagent.cli.trial")

        def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
            parser = subparsers.add_parser("trial")
            parser.add_argument("--number", type=int, default=0)
            parser.set_defaults(run=run)
            parser.add_subparsers().add_parser("deep").set_defaults(run=run)

        module.register = register  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "renewagent.cli.trial", module)
        monkeypatch.setattr(cli, "_AUDIENCES", ("trial",))

    return install


def raising(problem: BaseException) -> Run:
    def run(arguments: argparse.Namespace) -> int:
        raise problem

    return run


def test_a_command_returns_its_status(command: Command) -> None:
    command(lambda arguments: int(arguments.number))
    assert cli.main(["trial", "--number", "1"]) == 1
    assert cli.main(["trial"]) == 0


@pytest.mark.parametrize("words", [["trial", "--json"], ["--json", "trial"], ["trial", "deep", "--json"]])
def test_json_is_known_wherever_it_stands(
    command: Command, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: argparse.Namespace) -> int:
        emit({"json": arguments.json, "debug": arguments.debug})
        return 0

    command(run)
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out) == {"json": True, "debug": False}


def test_our_errors_are_told_with_advice(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command(raising(NoCard("The reader is empty.")))
    assert cli.main(["trial"]) == 1
    said = capsys.readouterr()
    assert said.err == "The reader is empty.\nInsert your smartcard, then try again.\n"
    assert said.out == ""


def test_our_errors_as_json(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command(raising(NoCard("The reader is empty.")))
    assert cli.main(["trial", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "ok": False,
        "error": {
            "code": "RA-NO-CARD",
            "message": "The reader is empty.",
            "advice": "Insert your smartcard, then try again.",
        },
    }


def test_wrong_configuration_is_status_2(command: Command) -> None:
    command(raising(ConfigurationError("ra.url is missing.")))
    assert cli.main(["trial"]) == 2


@pytest.mark.parametrize("words", [[], ["nonsense"], ["trial", "--numb", "1"], ["trial", "--number", "x"]])
def test_wrong_usage_is_status_2(command: Command, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command(lambda arguments: 0)
    assert cli.main([*words, "--json"]) == 2
    said = capsys.readouterr()
    assert json.loads(said.out)["error"]["code"] == "RA-USAGE"
    assert said.err.startswith("usage: renewagent")
    assert "--help" in said.err


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["trial", "--numb", "1"], "renewagent trial"),
        (["trial", "--number", "x"], "renewagent trial"),
        (["trial", "deep", "--nonsense"], "renewagent trial deep"),
        (["trial", "shallow"], "renewagent trial"),
        (["--nonsense", "trial"], "renewagent"),
        (["nonsense"], "renewagent"),
    ],
)
def test_wrong_usage_shows_how_to_use_that_very_command(
    command: Command, words: list[str], program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command(lambda arguments: 0)
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"usage: {program} [-h]")
    assert f'See "{program} --help".' in said


def test_nothing_at_all_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("usage: renewagent ")
    assert " inspect " in said.out and "check the smartcard that is in the reader" in said.out


def test_ctrl_c_is_one_sentence(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command(raising(KeyboardInterrupt()))
    assert cli.main(["trial", "--json"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("Stopped at your request.")
    assert json.loads(said.out)["error"]["code"] == "RA-STOPPED"


def test_a_full_disk_is_a_sentence(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command(raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/journal.db")))
    assert cli.main(["trial"]) == 1
    said = capsys.readouterr().err
    assert "No space left on device (/somewhere/journal.db)" in said
    assert "Free some disk space" in said


class TestABug:
    """An exception that nobody expected."""

    @pytest.fixture(autouse=True)
    def state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        return tmp_path / "state"

    def test_the_details_go_into_a_file(
        self, state: Path, command: Command, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command(raising(ZeroDivisionError("surprise")))
        assert cli.main(["trial", "--json"]) == 1
        said = capsys.readouterr()
        log = state / "renewagent" / "errors.log"
        assert "Traceback" not in said.out + said.err
        assert str(log) in said.err
        assert json.loads(said.out)["error"]["code"] == "RA-UNEXPECTED"
        assert "ZeroDivisionError: surprise" in log.read_text()
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700

    def test_nowhere_to_write_them(self, state: Path, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
        state.write_text("a file where the folder should be")
        command(raising(ZeroDivisionError("surprise")))
        assert cli.main(["trial"]) == 1
        said = capsys.readouterr().err
        assert "could not be written down" in said
        assert "Traceback" not in said

    def test_debug_shows_them(self, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
        command(raising(ZeroDivisionError("surprise")))
        assert cli.main(["trial", "--debug"]) == 1
        assert "Traceback" in capsys.readouterr().err

    def test_values_of_variables_are_not_written(self, state: Path, command: Command) -> None:
        def run(arguments: argparse.Namespace) -> int:
            passcode = "".join(["86", "42", "97"])
            return len(passcode) // 0

        command(run)
        assert cli.main(["trial"]) == 1
        assert "864297" not in (state / "renewagent" / "errors.log").read_text()


def start(*words: str, **settings: object) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "renewagent", *words]
    return subprocess.Popen(program, text=True, stderr=subprocess.PIPE, **settings)  # type: ignore[call-overload, no-any-return]


def test_a_reader_that_leaves_is_no_error() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with start("--help", stdout=theirs) as process:
        os.close(theirs)
        _, said = process.communicate(timeout=30)
    assert said == ""
    assert process.returncode in (0, 1)


def test_a_full_disk_under_the_output(command: Command) -> None:
    with Path("/dev/full").open("w") as full, start("nonsense", "--json", stdout=full) as process:
        _, said = process.communicate(timeout=30)
    assert "Traceback" not in said
    assert "Exception" not in said
    assert process.returncode in (1, 2)


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("renewagent ")
    assert cli.main(["--help"]) == 0
    assert "commands" in capsys.readouterr().out


def test_every_command_can_run_or_leads_to_one_that_can() -> None:
    for name, parser in commands(cli.build_parser()):
        assert parser.get_default("run") or parser._subparsers, f"{name} does nothing"
        assert parser.description, f"{name} does not say what it does"


def commands(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                found += [(name, child), *((f"{name} {below}", p) for below, p in commands(child))]
    return found


def test_help_is_quick_because_it_loads_little() -> None:
    program = (
        "import sys\nfrom renewagent.cli import main\nmain(['--help'])\n"
        "sys.stderr.write(' '.join({'cryptography', 'asyncio', 'sqlalchemy', 'ssl', 'smartcard'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_errors_have_stable_distinct_codes() -> None:
    from renewagent.cli import mishaps

    everybody: list[type[RenewAgentError]] = [RenewAgentError, *below(RenewAgentError)]
    family = {error for error in everybody if error.__module__.startswith("renewagent.")}  # not fixtures' own
    assert {mishaps.UsageError, mishaps.SystemRefused, mishaps.Unexpected} < family
    assert len({error.code for error in family}) == len(family)


def below(kind: type[RenewAgentError]) -> list[type[RenewAgentError]]:
    return [error for child in kind.__subclasses__() for error in (child, *below(child))]

"""A desk whose answers are JSON and make no sense: every command ends in our words, and never in a fault of ours."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from renewagent.cli import main
from tests.unit.tokens.desk_server import DeskServer

NAMES = (
    "person tokens tickets runs requests overrides incidents reminders findings deadlines request ticket token run "
    "override incident report log advice said id serial state kind ends drift refused resynchronised locked_until asks "
    "maker who happened next problem busy subject entered_by reason action document nonce origin counts suspicious "
    "last whole looked_at_by access device diagnosis likely ask plan minutes cause sureness why choices over finished "
    "due reported text name user outcome number tracking what username revocation purpose factor"
).split()
COMMANDS = (
    ("token", "show"),
    ("token", "explain"),
    ("token", "explain", "--serial", "GAHE12345678"),
    ("token", "register", "--serial", "GAHE12345678", "--back", "GAHE12345678"),
    ("token", "resync", "--back", "GAHE12345678", "--code-file", "CODES"),
    ("token", "lost", "GAHE12345678", "--reason", "lost"),
    ("token", "spare", "--form", "SPARE"),
    ("softtoken", "explain"),
    ("softtoken", "reregister"),
    ("softtoken", "reregister", "--cause", "new-phone"),
    ("softtoken", "abandon"),
    ("softtoken", "remind", "--ics", "ICS"),
    ("epcs", "show"),
    ("epcs", "enable"),
    ("epcs", "request", "--for", "a", "--reason", "b"),
    ("epcs", "waiting"),
    ("epcs", "approve", "q1", "--otp", "--yes", "--code-file", "CODES"),
    ("epcs", "override", "give", "--for", "a"),
    ("epcs", "override", "list"),
    ("epcs", "suspend", "--for", "a", "--reason", "lost"),
    ("epcs", "incidents"),
    ("epcs", "audit", "--day", "2026-11-21", "--seen"),
    ("epcs", "audit", "--verify"),
)


class Anything(DeskServer):
    """Answers as chance has it, but lets people in."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder)
        self.chance = random.Random(seed)  # noqa: S311  # no secret

    def answer(self, method: str, path: str, session: str, document: Any) -> tuple[int, Any]:
        if path.startswith("/sign-"):
            return super().answer(method, path, session, document)
        return 200, self.object(3, 40)

    def object(self, deep: int, members: int = 9) -> dict[str, Any]:
        return {name: self.value(deep) for name in self.chance.sample(NAMES, members)}

    def value(self, deep: int) -> Any:
        plain = [None, True, 7, -1.5, "", "x", "active", "hardware", "waiting", "desk", "done", "GAHE12345678"]
        plain += ["new-phone", "certificate", "2026-11-22T09:00:00Z", "not\x1b[2Ja time", "nobody", "\u202e"]
        if deep == 0 or self.chance.random() < 0.3:
            return self.chance.choice(plain)
        if self.chance.random() < 0.5:
            return self.object(deep - 1)
        return [self.value(deep - 1) for _ in range(self.chance.randrange(4))]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from tests.unit.cli.test_token import SPARE

    folder = tmp_path_factory.mktemp("files")
    (folder / "codes").write_text("123456\n654321\n")
    (folder / "spare").write_text(json.dumps(SPARE))
    return {"CODES": str(folder / "codes"), "SPARE": str(folder / "spare"), "ICS": str(folder / "days.ics")}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anything]:
    with Anything(tmp_path_factory.mktemp("desk"), 20261122).running() as one:
        assert isinstance(one, Anything)
        yield one


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_what_makes_no_sense_is_no_fault_of_ours(
    desk: Anything, files: dict[str, str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(5):
        status = main([*(files.get(word, word) for word in words), *desk.words(), "--json"])
        said = capsys.readouterr()
        error = json.loads(said.out).get("error", {})
        assert status in (0, 1, 2)
        code = error.get("code", "") if isinstance(error, dict) else ""
        assert code != "RA-UNEXPECTED", said.err
        assert all(c.isprintable() or c == "\n" for c in said.err)

"""docs/conformance.md holds: other people's programs do with the virtual card what its second table says; and a card in
a reader is asked through a real PC/SC service without being changed.

Of the second table every task of each program is tried once here, with the plain card; of ykman, slow to start and
tried elsewhere (test_ykman), two. The whole of it is tried by `./dev bench conformance`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from renewagent.cli import main
from renewagent.errors import ReaderError
from renewagent_fixtures.conformance import document
from renewagent_fixtures.conformance.bench import PROFILES, Bureau, ask_virtual
from renewagent_fixtures.conformance.clients import table
from renewagent_fixtures.conformance.clients.attempt import Attempt, Task
from renewagent_fixtures.conformance.clients.desk import Desk, at_desk, expect
from renewagent_fixtures.conformance.clients.trials import try_all, try_one
from renewagent_fixtures.conformance.command import QUESTIONS
from renewagent_fixtures.private_pcscd import PrivatePcscd
from tests.house import ROOT
from tests.interop.cards import inserted_card
from tests.programs import missing

YKMAN = {(Task.LIST, "extended"), (Task.SEE, "plain")}
EXTENDED = {Task.IMPORT, Task.MANAGEMENT, Task.ATTEST}
WITHOUT_SERVER = {"sshd"}
"""What `./dev setup` does not install: a server that would then listen on a developer's machine."""


@pytest.fixture(scope="module")
def bureau() -> Bureau:
    return Bureau.open(datetime.now(UTC))


def chosen(attempt: Attempt, profile: str) -> bool:
    if attempt.client == "ykman":
        return (attempt.task, profile) in YKMAN
    return profile == "plain" or attempt.task in EXTENDED


def test_other_programs_do_what_the_document_says(bureau: Bureau) -> None:
    said = table.committed(document.part_of((ROOT / "docs" / "conformance.md").read_text("utf-8"), "clients"))
    otherwise = []
    try:
        trials = list(try_all(PROFILES, bureau, chosen))
    except ReaderError as error:
        missing(error.message)
    absent = {trial.missing for trial in trials if trial.missing} - WITHOUT_SERVER
    if absent:
        missing(f"{', '.join(sorted(absent))} not installed")
    for trial in trials:
        cell = said[trial.attempt.task.value, trial.attempt.client]
        if trial.done is not (cell in (table.BOTH, trial.profile)) and not trial.missing:
            otherwise.append((trial.attempt.client, trial.attempt.task.value, trial.profile, trial.said))
    assert otherwise == []
    assert {attempt.client for attempt in (trial.attempt for trial in trials)} == {client for _, client in said}


def claims(desk: Desk) -> None:
    desk.run("true")
    expect(0x9E in desk.card.key_slots, "no key was made")


def fails(desk: Desk) -> None:
    desk.run("false")


def is_not_here(desk: Desk) -> None:
    desk.run("no-such-program")


def test_a_program_that_claims_what_it_has_not_done(bureau: Bureau, tmp_path: Path) -> None:
    with PrivatePcscd(1) as pcscd, at_desk("plain", bureau, pcscd, tmp_path / "work") as desk:
        desk.work.mkdir()
        claimed = try_one(Attempt("true", Task.GENERATE, claims), desk)
        ended = try_one(Attempt("false", Task.SEE, fails), desk)
        absent = try_one(Attempt("none", Task.SEE, is_not_here), desk)
    assert (claimed.done, claimed.said) == (False, "no key was made")
    assert (ended.done, ended.said) == (False, "false ended with 1")
    assert (absent.done, absent.missing) == (False, "no-such-program")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_card_in_a_reader(
    profile: str, bureau: Bureau, private_pcscd: PrivatePcscd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = bureau.card(profile, {slot: "p256" for slot in (0x9A, 0x9C, 0x9D, 0x9E)})
    before = card.image
    with inserted_card(card, private_pcscd, tmp_path) as there:
        assert main(["virtual-card", "conformance", "--reader", there.reader, "--json"]) == 0
    assert card.image == before
    (found,) = json.loads(capsys.readouterr().out)["cards"].values()
    for question, entry in zip(QUESTIONS, found, strict=True):
        if question.reads and not question.clause.endswith("A.3"):
            assert entry["outcome"] == ask_virtual(profile, question, bureau).outcome.value, question.what
        elif not question.reads:
            assert entry["outcome"] == "not asked"


def test_no_program_is_let_at_a_card_in_a_reader(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["virtual-card", "conformance", "--reader", "any", "--clients"]) == 2
    assert "would change the card" in capsys.readouterr().err

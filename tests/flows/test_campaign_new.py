"""`campaign new` at a real terminal: asked step by step, a slip, one step back, and a file that can be signed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from renewagent.campaign.document import parse_campaign
from tests.flows.desk import Conversation

RULE = ["October batch", "2026-10-10", "2026-10-13", "CN=Signing CA,O=nhs,C=GB", "", "", "", "", "", ""]
LAST = ["1", "1", "1", "1", "1", "2998-11-01", "2999-01-15", "RA", "0300", "", "weekdays 9 to 5"]


def at_terminal(folder: Path, *words: object) -> Conversation:
    command = [sys.executable, "-P", "-m", "renewagent", "campaign", "new", *map(str, words)]
    return Conversation(command, {**os.environ, "HOME": str(folder)}, at_terminal=True)


def test_asked_and_written(tmp_path: Path) -> None:
    out = tmp_path / "autumn.json"
    talk = at_terminal(tmp_path, "--out", out, "--id", "autumn")
    talk.hear("A few questions, one after the other.")
    talk.hear("What is the campaign called?", "[autumn]: ")
    talk.type("")
    talk.hear("What are the holders told?")
    for answer in ("", "It is faulty.", *RULE[:2], "2026-10-09"):
        talk.hear(": ")
        talk.type(answer)
    talk.hear("Rules[0].issued_to must be later than issued_from.")
    for answer in ("<", "2026-10-08", "2026-10-13", *RULE[3:]):
        talk.type(answer)
    talk.hear('Rule "October batch" hits certificates of which all of this is true:')
    talk.hear("issued on or after 8 October 2026")
    talk.hear("y or n [n]: ")
    for answer in ("n", *LAST):
        talk.type(answer)
    talk.hear("This is campaign autumn:")
    talk.hear("Write it?")
    talk.type("")
    talk.hear("Version 1 of campaign autumn is in")
    done = talk.end()
    assert (done.status, done.out) == (0, "")
    campaign = parse_campaign(out.read_bytes())
    assert (campaign.reason["en"], campaign.contact.hours, campaign.rules[0].name) == (
        "It is faulty.",
        "weekdays 9 to 5",
        "October batch",
    )


def test_a_next_version_has_the_old_answers_in_brackets(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    rule = {"name": "one", "serials": ["1"]}
    document = {"id": "a", "version": 7, "published": "2026-01-01T00:00:00Z", "expires": "2999-01-01T00:00:00Z"}
    old.write_text(json.dumps({**document, "reason": {"en": "R."}, "rules": [rule], "x-mine": True}))
    talk = at_terminal(tmp_path, "--from", old, "--out", new)
    for _ in range(2 + len(RULE) + 1 + len(LAST) + 1):
        talk.hear(": ")
        talk.type("")
    assert talk.end().status == 0
    found = json.loads(new.read_text())
    assert (found["version"], found["x-mine"], found["rules"]) == (
        8,
        True,
        [{**rule, "key_usage": "contentCommitment"}],
    )


@pytest.mark.parametrize(("how", "said"), [("Ctrl-C", "Stopped at your request."), ("Ctrl-D", "nothing was written.")])
def test_whoever_stops_leaves_nothing(tmp_path: Path, how: str, said: str) -> None:
    talk = at_terminal(tmp_path, "--out", tmp_path / "a.json")
    talk.hear(": ")
    talk.type("autumn")
    talk.hear("What are the holders told?")
    talk.interrupt() if how == "Ctrl-C" else talk.type("\x04")
    assert talk.end().status == 1
    assert said in talk.heard
    assert list(tmp_path.iterdir()) == []


def test_yes_asks_nothing(tmp_path: Path) -> None:
    talk = at_terminal(tmp_path, "--out", tmp_path / "a.json", "--yes", "--id", "a")
    assert talk.end().status == 2
    assert "Give --reason TEXT and --issued-from T, or another rule" in talk.heard

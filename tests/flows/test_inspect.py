"""`renewagent inspect`: a card checked without an agent, in words and as JSON, with an exit status for scripts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from renewagent.agent.options import no_campaign
from renewagent.agent.prompts import Prompter
from renewagent.agent.worker import renew
from renewagent.cli import main
from renewagent.configuration import load
from renewagent.errors import ConfigurationError
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from renewagent_fixtures.virtual_card.card import VirtualCard
from tests.unit.agent.place import ISSUER, Place, campaign_json, days_ago

FIRST, SECOND = "Virtual Reader 1", "Virtual Reader 2"


@dataclass
class Outcome:
    status: int
    document: Any
    said: str


@pytest.fixture
def place(tmp_path: Path, virtual_readers: VirtualReaders) -> Iterator[Place]:
    place = Place(tmp_path)
    place.publish(campaign_json())
    with RelayServer(virtual_readers, tmp_path / "readers.sock") as relay:
        place.configure(relay.where)
        yield place


def inspect(place: Place, *words: str, as_json: bool = True) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-m", "renewagent", "inspect", "--config", str(place.config), *words]
        + (["--json"] if as_json else []),
        env=place.env,
        capture_output=True,
        timeout=60,
        check=False,
    )
    said = done.stderr.decode()
    assert "Traceback" not in said, said
    return Outcome(done.returncode, json.loads(done.stdout) if as_json else None, said)


def test_a_clear_card(place: Place, virtual_readers: VirtualReaders) -> None:
    virtual_readers.insert(FIRST, place.ca.card(days_ago(400)))
    found = inspect(place)
    assert found.status == 0
    assert found.document["ok"] is True
    (card,) = found.document["cards"]
    assert (card["reader"], card["verdict"], card["campaign"], card["rule"]) == (FIRST, "UNAFFECTED", None, None)
    assert card["check"]["apdus"] == 2 and card["check"]["bytes"] <= 420
    assert card["certificate"]["issuer"] == ISSUER and card["certificate"]["sha256"] is None
    assert card["pin_tries"] == 3 and card["card"].startswith("chuid:")
    assert "This smartcard is OK" in found.said


def test_an_affected_card_in_words(place: Place, virtual_readers: VirtualReaders) -> None:
    virtual_readers.insert(FIRST, place.ca.card(days_ago(7)))
    found = inspect(place, as_json=False)
    assert found.status == 0
    assert "Renew your smartcard" in found.said
    assert "Do not sign prescriptions with this smartcard until you renew it." in found.said
    assert "Contact: Registration Authority, 0300 303 5035." in found.said


def test_two_readers_and_one_of_them_by_name(place: Place, virtual_readers: VirtualReaders) -> None:
    virtual_readers.insert(FIRST, place.ca.card(days_ago(400)))
    virtual_readers.insert(SECOND, place.ca.card(days_ago(7)))
    both = inspect(place).document["cards"]
    assert [card["verdict"] for card in both] == ["UNAFFECTED", "AFFECTED"]
    (one,) = inspect(place, "--reader", SECOND).document["cards"]
    assert (one["reader"], one["verdict"]) == (SECOND, "AFFECTED")


def test_no_card(place: Place) -> None:
    found = inspect(place)
    assert (found.status, found.document["error"]["code"]) == (1, "RA-NO-CARD")
    assert "There is no smartcard in the reader." in found.said


def test_no_reader(place: Place, virtual_readers: VirtualReaders) -> None:
    found = inspect(place, "--reader", "Nobody's")
    assert (found.status, found.document["error"]["code"]) == (1, "RA-NO-READER")
    assert "There is no smartcard reader called Nobody's." in found.said
    for name in (FIRST, SECOND):
        virtual_readers.unplug(name)
    found = inspect(place)
    assert (found.status, found.document["error"]["code"]) == (1, "RA-NO-READER")


def test_no_service(place: Place, virtual_readers: VirtualReaders) -> None:
    virtual_readers.stop_service()
    found = inspect(place)
    assert (found.status, found.document["error"]["code"]) == (1, "RA-PCSC")


def test_an_empty_slot(place: Place, virtual_readers: VirtualReaders) -> None:
    virtual_readers.insert(FIRST, VirtualCard.create(None))
    found = inspect(place)
    assert found.document["cards"][0]["verdict"] == "NO_CERTIFICATE"
    assert found.status == 0
    assert "There is no signing certificate on this smartcard." in found.said


def test_a_card_that_cannot_be_read(place: Place, virtual_readers: VirtualReaders) -> None:
    card = VirtualCard.create(None)
    card.write_certificate(0x9C, b"\x30\x82\x01\x00" + b"\xff" * 300)
    virtual_readers.insert(FIRST, card)
    found = inspect(place)
    assert found.status == 1
    assert found.document["ok"] is False
    assert found.document["cards"][0]["verdict"] == "UNREADABLE"
    assert "(RA-CARD-DATA)" in found.said


def test_a_campaign_from_the_command_line_is_not_kept_for_the_agent(
    place: Place, virtual_readers: VirtualReaders, tmp_path: Path
) -> None:
    virtual_readers.insert(FIRST, place.ca.card(days_ago(7)))
    given = tmp_path / "given.cms"
    place.campaign.rename(given)
    place.configure(f"unix:{tmp_path / 'readers.sock'}", campaign="")
    found = inspect(place, "--campaign", str(given), "--campaign-anchor", str(place.anchor))
    assert found.document["cards"][0]["verdict"] == "AFFECTED"
    assert list(place.state.rglob("*.json")) == []


def test_a_campaign_server_that_is_down_is_told_and_the_last_good_one_serves(
    place: Place, virtual_readers: VirtualReaders
) -> None:
    virtual_readers.insert(FIRST, place.ca.card(days_ago(7)))
    assert inspect(place).document["cards"][0]["verdict"] == "AFFECTED"
    place.campaign.unlink()
    found = inspect(place)
    assert found.document["cards"][0]["verdict"] == "AFFECTED"
    assert str(place.campaign) in found.said


def test_an_ra_that_is_down_leaves_a_note(place: Place, virtual_readers: VirtualReaders, tmp_path: Path) -> None:
    virtual_readers.insert(FIRST, place.ca.card(days_ago(400)))
    found = inspect(place, "--ra", "http://127.0.0.1:1/.well-known/cmp")
    assert found.status == 0
    assert found.document["cards"][0]["verdict"] == "UNAFFECTED"
    assert "could not be asked" in found.document["cards"][0]["note"]


def test_a_wrong_configuration(place: Place) -> None:
    place.config.write_text("[card]\nreader = 1\n")
    found = inspect(place)
    assert (found.status, found.document["error"]["code"]) == (2, "RA-CONFIGURATION")
    assert "card.reader is not a known setting." in found.said


def test_nothing_to_judge_by_is_no_success(place: Place, virtual_readers: VirtualReaders, tmp_path: Path) -> None:
    virtual_readers.insert(FIRST, place.ca.card(days_ago(7)))
    place.configure(f"unix:{tmp_path / 'readers.sock'}", campaign="")
    found = inspect(place)
    assert (found.status, found.document["ok"]) == (1, False)
    assert found.document["error"]["code"] == "RA-CONFIGURATION"
    assert "Set campaign.urls in" in found.document["error"]["advice"]
    assert [card["reader"] for card in found.document["cards"]] == [FIRST]
    assert "No campaign is configured" in found.said
    assert "This smartcard is OK" not in found.said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--ra", "x"], "--ra must be an address that begins with http:// or https://, not 'x'."),
        (["--config", "nofile.toml"], "There is no configuration file nofile.toml."),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "renew", "agent"])
def test_slips_on_the_command_line_are_not_for_the_it_support(
    capsys: pytest.CaptureFixture[str], command: str, words: list[str], sentence: str
) -> None:
    assert main([command, *words]) == 2
    assert capsys.readouterr().err == f"{sentence}\nCheck the command line, then try again.\n"


def test_renew_gives_the_same_hint(place: Place, virtual_readers: VirtualReaders, tmp_path: Path) -> None:
    place.configure(f"unix:{tmp_path / 'readers.sock'}", campaign="")
    with pytest.raises(ConfigurationError) as refused:
        renew(load(place.config), None, cast("Prompter", None))
    assert (refused.value.message, refused.value.advice) == (no_campaign().message, no_campaign().advice)


def test_a_campaign_without_an_anchor(place: Place, tmp_path: Path) -> None:
    place.configure("pcsc", campaign=f'urls = ["{place.campaign}"]')
    found = inspect(place)
    assert found.status == 2
    assert "No anchor to check campaigns against is configured." in found.said

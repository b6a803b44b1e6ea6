"""`campaign preview`: whom a campaign would hit, in an inventory and in the readers here, before anybody signs it."""

from __future__ import annotations

import csv
import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from renewagent.cli import main
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from tests.inventory import Issuing
from tests.unit.agent.place import Place, campaign_json, days_ago


def preview(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> tuple[dict[str, Any], str]:
    assert main(["campaign", "preview", *map(str, words), "--json"]) == status
    said = capsys.readouterr()
    return json.loads(said.out), said.err


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def inventory(place: Place, path: Path) -> None:
    """Six certificates of two organisations, four of them issued in the bad week."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    from tests.unit.agent.place import _usage

    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["organisation", "certificate"])
        for number, (organisation, days) in enumerate(
            [("RX1", 7), ("RX1", 6), ("RX2", 8), ("RX2", 400), ("RX2", 9), ("RX1", 3)], start=1
        ):
            key = ec.generate_private_key(ec.SECP256R1()).public_key()
            usage = _usage("content_commitment")
            one = place.ca.issue("CN=Somebody", key, days_ago(days), usage, serial=number)
            table.writerow([organisation, b64encode(one.public_bytes(Encoding.DER)).decode()])


@pytest.mark.parametrize("change", [{}, {"paused": True}, {"withdrawn": True}, {"expires": "FIVE MINUTES AGO"}])
def test_an_inventory_is_counted_as_if_the_campaign_were_in_force(
    place: Place, capsys: pytest.CaptureFixture[str], change: dict[str, Any]
) -> None:
    if "expires" in change:
        change = {"expires": (datetime.now(UTC) - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")}
    inventory(place, place.folder / "all.csv")
    plain = place.folder / "campaign.json"
    plain.write_bytes(campaign_json(**change))
    source = ("--inventory", place.folder / "all.csv", "--count-by", "organisation", "--examples", "2")
    found, said = preview(capsys, plain, *source)
    counted = found["inventory"]
    assert (found["ok"], found["in_force"], found["cards"]) == (True, not change, None)
    assert (counted["checked"], counted["affected"]) == (6, 4)
    assert counted["by_rule"] == {"bad week": 4}
    affected = {name: one["affected"] for name, one in counted["by_column"]["organisation"].items()}
    assert affected == {"RX1": 2, "RX2": 2}
    assert sum(month["affected"] for month in counted["by_month"].values()) == 4
    assert [(row["serial"], row["organisation"]) for row in counted["examples"]] == [("1", "RX1"), ("2", "RX1")]
    assert ("What follows is as if it were in force." in said) is bool(change)
    for words in ('Rule "bad week" hits certificates', "By organisation, affected of all:", "serial number 2."):
        assert words in said


def test_the_cards_that_are_in_are_judged_and_nobody_is_told(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    virtual_readers = VirtualReaders(["Virtual Reader 1", "Virtual Reader 2"])
    virtual_readers.insert("Virtual Reader 1", place.ca.card(days_ago(7)))
    virtual_readers.insert("Virtual Reader 2", place.ca.card(days_ago(400)))
    place.publish(campaign_json(paused=True))
    with RelayServer(virtual_readers, place.folder / "readers.sock") as relay:
        place.configure(relay.where)
        found, said = preview(capsys, place.campaign, "--cards", "--config", place.config)
    assert [card["verdict"] for card in found["cards"]] == ["AFFECTED", "UNAFFECTED"]
    assert "Virtual Reader 1: AFFECTED. Issued on" in said
    assert not list(place.state.iterdir())


def test_without_anything_to_look_at_the_rules_are_shown(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    plain = place.folder / "campaign.json"
    plain.write_bytes(campaign_json())
    found, said = preview(capsys, plain)
    assert (found["inventory"], found["cards"]) == (None, None)
    assert "the campaign's page on the console" in said
    plain.write_bytes(b"{}")
    found, said = preview(capsys, plain, status=1)
    assert f"id is missing.\nCorrect {plain}, then try again." in said


def test_an_inventory_that_cannot_be_read_is_no_good_preview(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    plain = place.folder / "campaign.json"
    plain.write_bytes(campaign_json())
    (place.folder / "a.der").write_bytes(Issuing(1).certificate())
    found, _ = preview(capsys, plain, "--inventory", place.folder / "none.csv", place.folder / "a.der", status=1)
    assert (found["ok"], found["inventory"]["checked"]) == (False, 1)

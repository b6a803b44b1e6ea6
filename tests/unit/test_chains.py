"""Chains that hold and chains that do not, with `openssl verify` as the second opinion."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent.chains import build_chain
from tests.programs import require
from tests.unit.cmp.scripted_ra import ROOT, Party, Recipe, certify, new_key

NOW = datetime.now(UTC).replace(microsecond=0)
BEGINS, ENDS = NOW - timedelta(days=1), NOW + timedelta(days=30)
CA = replace(ROOT, begins=BEGINS, ends=ENDS)
MIDDLE = replace(CA, name="middle")
LEAF = Recipe(begins=BEGINS, ends=ENDS)
UNKNOWN = x509.ObjectIdentifier("1.2.3.4")
CRITICAL = x509.Extension(UNKNOWN, True, x509.UnrecognizedExtension(UNKNOWN, b"\x05\x00"))


@dataclass
class Path3:
    """A root, an intermediate and a leaf."""

    root: Party
    middle: Party
    leaf: Party


def path(root: Recipe = CA, middle: Recipe = MIDDLE, leaf: Recipe = LEAF) -> Path3:
    top = certify(root, None, new_key())
    between = certify(middle, top, new_key())
    return Path3(top, between, certify(leaf, between, new_key()))


def long() -> Path3:
    """Two CAs below a root that allows one."""
    made = path(replace(CA, path_length=1), replace(MIDDLE, path_length=0))
    below = certify(replace(CA, name="below"), made.middle, new_key())
    made.leaf = certify(LEAF, below, new_key())
    made.middle = below
    return made


def constrained() -> Path3:
    only = x509.NameConstraints([x509.DirectoryName(x509.Name.from_rfc4514_string("C=FR"))], None)
    return path(middle=replace(MIDDLE, extra=(x509.Extension(only.oid, True, only),)))


def forged() -> Path3:
    made = path()
    made.leaf = certify(LEAF, Party(made.middle.certificate, new_key()), new_key())
    return made


BROKEN: dict[str, Callable[[], Path3]] = {
    "the leaf has expired": lambda: path(leaf=replace(LEAF, ends=NOW - timedelta(hours=1))),
    "the leaf has not begun": lambda: path(leaf=replace(LEAF, begins=NOW + timedelta(hours=1))),
    "the intermediate has expired": lambda: path(middle=replace(MIDDLE, ends=NOW - timedelta(hours=1))),
    "the issuer is no CA": lambda: path(middle=replace(MIDDLE, authority=False)),
    "the issuer must not sign certificates": lambda: path(middle=replace(MIDDLE, usage=("digital_signature",))),
    "a path too long": long,
    "a wrong signature": forged,
    "an unknown critical extension": lambda: path(leaf=replace(LEAF, extra=(CRITICAL,))),
    "an unknown critical extension above": lambda: path(middle=replace(MIDDLE, extra=(CRITICAL,))),
}


def openssl_agrees(made: Path3, folder: Path) -> bool:
    for name, party in (("root", made.root), ("middle", made.middle), ("leaf", made.leaf)):
        (folder / f"{name}.pem").write_bytes(party.certificate.public_bytes(Encoding.PEM))
    command = [require("openssl"), "verify", "-CAfile", "root.pem", "-untrusted", "middle.pem", "leaf.pem"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def test_a_chain_that_holds(tmp_path: Path) -> None:
    made = path()
    pool = [certify(LEAF, made.root, new_key()).certificate, made.middle.certificate]
    chain = build_chain(made.leaf.certificate, pool, [made.root.certificate], NOW)
    assert chain == [made.leaf.certificate, made.middle.certificate, made.root.certificate]
    assert openssl_agrees(made, tmp_path)


def test_an_anchor_is_its_own_chain() -> None:
    made = path()
    assert build_chain(made.root.certificate, [], [made.root.certificate], NOW) == [made.root.certificate]


def test_an_intermediate_may_be_the_anchor() -> None:
    made = path()
    chain = build_chain(made.leaf.certificate, [], [made.middle.certificate], NOW)
    assert chain == [made.leaf.certificate, made.middle.certificate]


def test_the_time_is_the_callers() -> None:
    made = path(leaf=replace(LEAF, ends=NOW - timedelta(hours=1)))
    earlier = NOW - timedelta(hours=2)
    assert build_chain(made.leaf.certificate, [made.middle.certificate], [made.root.certificate], earlier)


@pytest.mark.parametrize("case", BROKEN)
def test_a_chain_that_does_not_hold(case: str, tmp_path: Path) -> None:
    made = BROKEN[case]()
    with pytest.raises(ValueError, match="no chain to a trust anchor"):
        build_chain(made.leaf.certificate, [made.middle.certificate], [made.root.certificate], NOW)
    assert not openssl_agrees(made, tmp_path)


def test_name_constraints_are_never_passed_over() -> None:
    made = constrained()
    with pytest.raises(ValueError, match="no chain to a trust anchor"):
        build_chain(made.leaf.certificate, [made.middle.certificate], [made.root.certificate], NOW)


@pytest.mark.parametrize("missing", ["pool", "anchor", "anchors"])
def test_a_chain_with_a_gap(missing: str) -> None:
    made, other = path(), path()
    pool = [] if missing == "pool" else [made.middle.certificate]
    anchors = {"pool": [made.root.certificate], "anchor": [other.root.certificate], "anchors": []}[missing]
    with pytest.raises(ValueError, match="trust anchor"):
        build_chain(made.leaf.certificate, pool, anchors, NOW)


def test_rubbish_in_the_pool_does_no_harm() -> None:
    made = path()
    twice = [made.middle.certificate, made.leaf.certificate, made.middle.certificate]
    assert len(build_chain(made.leaf.certificate, twice, [made.root.certificate], NOW)) == 3

"""The same words by the same rules: a block of rows against `renewagent.rules.judge`, one certificate at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from renewagent.algorithms import KEY_USAGES
from renewagent.bulk.memory import Memory
from renewagent.bulk.octets import Octets
from renewagent.bulk.rows import Fault, Rows
from renewagent.bulk.verdicts import AFFECTED, DAMAGED, NO_RULE, UNREADABLE, VERDICTS, judge_rows
from renewagent.certificates import read_certificate
from renewagent.model import Verdict
from renewagent.names import Name, parse_name
from renewagent.rules import AffectedRule, Campaign, SerialRange, judge
from tests.inventory import FROM, TO, Issuing

CERTIFICATES = list(Issuing(2).many(700))
READ = [read_certificate(der) for der in CERTIFICATES]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rule_of(dice: Random, name: str) -> AffectedRule:
    """A rule of any fields."""
    some = dice.sample(READ, 40)

    def perhaps() -> bool:
        return dice.random() < 0.3

    start = dice.choice(some).head.not_before + timedelta(microseconds=dice.choice((0, 0, 1)))
    issuer: Name = dice.choice(some).head.issuer
    serials = tuple(SerialRange(one.head.serial, one.head.serial + dice.randrange(2**60)) for one in some)
    return AffectedRule(
        name,
        issued_from=start if perhaps() else None,
        issued_to=start + timedelta(days=dice.randrange(1, 3000)) if perhaps() else None,
        issuer=issuer if perhaps() else None,
        serials=serials if perhaps() else (),
        key_usage=dice.choice((*KEY_USAGES, "any", "any", "any", "contentCommitment")),
        signature_algorithms=(dice.choice(some).signature_algorithm,) if perhaps() else (),
        key_algorithms=(dice.choice(some).key_algorithm,) if perhaps() else (),
        key_bits_below=dice.choice((256, 257, 1025, 2048, 4097)) if perhaps() else None,
        card_models=("piv",) if perhaps() else (),
    )


@pytest.mark.parametrize("seed", range(40))
def test_as_on_a_card(seed: int) -> None:
    dice = Random(seed)  # noqa: S311 - test data
    rules = tuple(rule_of(dice, f"rule {number}") for number in range(dice.randint(1, 4)))
    campaign = Campaign("c", 1, NOW - timedelta(days=9), NOW + timedelta(days=9), {"en": "x"}, rules)
    octets, starts, ends = Octets.of(CERTIFICATES)
    judged = judge_rows(Rows(octets, starts, ends), rules, Memory())
    for row, certificate in enumerate(READ):
        finding = judge(certificate, campaign, NOW)
        hit = int(judged.rule[row])
        assert (judged.verdict[row] == AFFECTED) == (finding.verdict is Verdict.AFFECTED)
        assert finding.rule == (None if hit == NO_RULE else rules[hit].name)


def test_issuers_compare_as_names() -> None:
    rule = AffectedRule("x", issuer=parse_name("cn=nhs  ca 0, O=NHS, C=gb"), key_usage="any")
    octets, starts, ends = Octets.of(CERTIFICATES)
    judged = judge_rows(Rows(octets, starts, ends), (rule,), Memory())
    hit = [READ[row].head.issuer for row in range(len(READ)) if judged.verdict[row] == AFFECTED]
    assert len(hit) > 50
    assert set(hit) == {parse_name("CN=NHS CA 0,O=nhs,C=GB")}


def test_a_row_at_fault_is_damaged_at_best() -> None:
    rule = AffectedRule("window", issued_from=FROM, issued_to=TO, key_usage="any")
    good = Issuing(3).certificate(FROM)
    old = Issuing(4).certificate(datetime(2001, 1, 1, tzinfo=UTC))
    octets, starts, ends = Octets.of([good, good, old, b"", *CERTIFICATES])
    faults = {row: Fault("The END line is missing.") for row in (1, 2, 3)}
    judged = judge_rows(Rows(octets, starts, ends, faults), (rule,), Memory())
    assert judged.verdict[:4].tolist() == [AFFECTED, DAMAGED, UNREADABLE, UNREADABLE]
    assert judged.alone[1].why == "The END line is missing."
    assert judged.alone[1].serial == read_certificate(good).head.serial_hex


def test_damaged_by_what_is_left_of_it() -> None:
    """The front alone, or what asn1crypto reads of the rest."""
    certificate = next(der for der, read in zip(CERTIFICATES, READ, strict=True) if read.key_usage)
    usage = sorted(read_certificate(certificate).key_usage or ())[0]
    window = AffectedRule("all", issued_from=datetime(1990, 1, 1, tzinfo=UTC), key_usage=usage)
    other = AffectedRule("none", key_usage="decipherOnly", issued_to=datetime(1990, 1, 1, tzinfo=UTC))
    cut = certificate[:-10]
    octets, starts, ends = Octets.of([cut, certificate + b"\0"])
    for rule, verdict in ((window, DAMAGED), (other, UNREADABLE)):
        judged = judge_rows(Rows(octets, starts, ends), (rule,), Memory())
        assert judged.verdict.tolist() == [verdict, verdict]
    assert "cut short" in judged.alone[0].why
    assert "follow" in judged.alone[1].why


def test_names_of_verdicts() -> None:
    assert VERDICTS == ("unaffected", "affected", "damaged", "unreadable")

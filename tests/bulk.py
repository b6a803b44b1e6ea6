"""The rule that the bulk check stands or falls by, in one place for tests and benchmark alike.

What the column-wise walk takes, `cryptography` takes too and says the same of; what `cryptography` refuses is never
called affected or unaffected.

`cryptography` is asked here without any of the product's code.
"""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509

from renewagent.bulk.keys import KINDS
from renewagent.bulk.memory import Memory, key_usage_names
from renewagent.bulk.octets import Octets
from renewagent.bulk.rows import Rows
from renewagent.bulk.verdicts import AFFECTED, DAMAGED, UNAFFECTED, UNREADABLE, judge_rows
from renewagent.bulk.walk import walk
from renewagent.rules import AffectedRule

_USAGES = (
    ("digital_signature", "digitalSignature"),
    ("content_commitment", "contentCommitment"),
    ("key_encipherment", "keyEncipherment"),
    ("data_encipherment", "dataEncipherment"),
    ("key_agreement", "keyAgreement"),
    ("key_cert_sign", "keyCertSign"),
    ("crl_sign", "cRLSign"),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What `cryptography` says."""

    serial: int
    issuer: str
    not_before: datetime
    not_after: datetime
    key_usage: frozenset[str] | None
    signature: str
    key_bits: int


def ask_cryptography(der: bytes) -> Facts | None:
    """The facts, or None where it refuses any of them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = x509.load_der_x509_certificate(der)
            key: Any = found.public_key()
            return Facts(
                found.serial_number,
                found.issuer.rfc4514_string(),
                found.not_valid_before_utc,
                found.not_valid_after_utc,
                _usage(found.extensions),
                found.signature_algorithm_oid.dotted_string,
                getattr(key, "key_size", 0),
            )
    except Exception:
        return None


def _usage(extensions: x509.Extensions) -> frozenset[str] | None:
    try:
        stated = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
    found = {name for attribute, name in _USAGES if getattr(stated, attribute)}
    if stated.key_agreement:
        found |= {"encipherOnly"} if stated.encipher_only else set()
        found |= {"decipherOnly"} if stated.decipher_only else set()
    return frozenset(found)


def compare(ders: list[bytes], rule: AffectedRule, memory: Memory) -> Counter[str]:
    """Check all of `ders` by `rule`, which asks for no key usage; raises AssertionError where the rule is broken.

    Counts the verdicts, and "taken" by the walk.
    """
    octets, starts, ends = Octets.of(ders)
    judged = judge_rows(Rows(octets, starts, ends), (rule,), memory)
    columns = walk(octets, starts, ends, memory)
    counts: Counter[str] = Counter()
    for row, der in enumerate(ders):
        facts = ask_cryptography(der)
        verdict = int(judged.verdict[row])
        counts["taken"] += bool(columns.taken[row])
        counts[str(verdict)] += 1
        if facts is None:
            assert not columns.taken[row], der.hex()
            assert verdict in (DAMAGED, UNREADABLE), der.hex()
            continue
        hit = rule.holds_date(facts.not_before) and rule.holds_serial(facts.serial)
        assert verdict == (AFFECTED if hit else UNAFFECTED), der.hex()
        assert judged.not_before[row] == facts.not_before.timestamp(), der.hex()
        if columns.taken[row]:
            assert _walked(octets, columns, memory, row) == _told(facts), der.hex()
        else:
            alone = judged.alone[row]
            assert (alone.serial, alone.issuer) == (format(facts.serial, "x"), facts.issuer), der.hex()
    return counts


def _walked(octets: Octets, columns: Any, memory: Memory, row: int) -> tuple[object, ...]:
    return (
        int.from_bytes(octets.data[columns.serial_from[row] : columns.serial_to[row]], "big"),
        memory.issuers[columns.issuer[row]].text,
        datetime.fromtimestamp(int(columns.not_before[row]), UTC),
        datetime.fromtimestamp(int(columns.not_after[row]), UTC),
        key_usage_names(int(columns.key_usage[row])),
        int(columns.key_bits[row]) or KINDS[columns.key_kind[row]],
    )


def _told(facts: Facts) -> tuple[object, ...]:
    bits = facts.key_bits or "ed25519"
    return (facts.serial, facts.issuer, facts.not_before, facts.not_after, facts.key_usage, bits)

"""A check of a card at its insertion, by certificate heads alone: what it found and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from renewagent.agent.inspector import HeadResult
from renewagent.agent.status import head_document


@dataclass(frozen=True, slots=True)
class HeadCheck:
    """The heads' result and what it cost; `card`: which one it is, where that is to be reported."""

    result: HeadResult
    apdus: int
    octets: int
    card: str | None = None


def head_card_document(reader: str, check: HeadCheck) -> dict[str, Any]:
    """The card document of `inspect --json` as far as heads tell it; `verdict` is None where they do not settle it."""
    finding, error = check.result.finding, check.result.error
    return {
        "reader": reader,
        "card": check.card,
        "verdict": finding.verdict.value if finding else None,
        "reason": finding.reason if finding else "",
        "campaign": finding.campaign if finding else None,
        "rule": finding.rule if finding else None,
        "paused": finding.paused if finding else None,
        "certificate": head_document(check.result.head),
        "check": {"apdus": check.apdus, "bytes": check.octets},
        "pin_tries": None,
        "error": {"code": error.code, "message": error.message, "advice": error.advice} if error else None,
    }

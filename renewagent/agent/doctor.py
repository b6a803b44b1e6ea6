"""What `renewagent doctor` finds out, one observation after another: each says what is so and what to do about it.

A check is a function without arguments that gives observations. One that cannot be carried out is an observation as
well, never an exception, so that one broken thing hides no other. `doctor_card` and `doctor_desk` have the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from renewagent.errors import RenewAgentError


class Health(Enum):
    """How something stands. UNKNOWN: it could not be found out."""

    OK = "ok"
    WARNING = "warn"
    PROBLEM = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that was looked at: its `name`, how it stands, a sentence or two, and what to do ("" for nothing)."""

    name: str
    health: Health
    said: str
    advice: str = ""

    def document(self) -> dict[str, str]:
        """Its entry in `doctor --json`."""
        return {"name": self.name, "health": self.health.value, "said": self.said, "advice": self.advice}

    @classmethod
    def of_error(cls, name: str, error: RenewAgentError, health: Health = Health.PROBLEM) -> Observation:
        """What an error says."""
        return cls(name, health, error.message, error.advice)


Check = Callable[[], Iterable[Observation]]


def examine(checks: Mapping[str, Check]) -> list[Observation]:
    """Carry out all checks, in order; the key names what a check was about where it could not be carried out."""
    found: list[Observation] = []
    for name, check in checks.items():
        try:
            found += check()
        except RenewAgentError as error:
            found.append(Observation.of_error(name, error))
    return found


def answer_of(found: Iterable[Observation]) -> dict[str, Any]:
    """The document of `doctor --json`: `ok` unless something keeps the person from signing."""
    observations = list(found)
    ok = not any(one.health is Health.PROBLEM for one in observations)
    return {"ok": ok, "checks": [one.document() for one in observations]}

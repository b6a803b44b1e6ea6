"""How things stand, in words for a person: what `renewagent doctor` says of a workstation, and the EPCS desk of tokens
and grants. No looking here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from renewagent.errors import RenewAgentError


class Health(Enum):
    """How something stands. UNKNOWN: it could not be found out."""

    OK = "ok"
    WARNING = "warn"
    PROBLEM = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that was looked at: its `name` (English, for scripts), how it stands, a sentence or two, and what to do
    ("" for nothing)."""

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

"""The forms of the vendor's support desk, filled in, and photographs of a token."""

from __future__ import annotations

from pathlib import Path

from renewagent.tokens.model import Picture

SHIP_TO = {
    "company": "Main Street Clinic",
    "attention": "Front desk",
    "street1": "12 Main Street",
    "suite": "Suite 300",
    "city": "Springfield",
    "state": "IL",
    "postal_code": "62704",
    "country": "US",
    "phone": "217-555-0142",
    "tracking_email": "desk@clinic.example",
}
ORDER = {"provider": "Pat Prescriber", "email": "pat@clinic.example", **SHIP_TO}
REPLACEMENT = {
    **ORDER,
    "kind": "replacement",
    "serial": "GAHE00012345",
    "cause": "flaw",
    "explanation": "No digits appear.",
}
FILES = Path(__file__).parents[2] / "tokens" / "pictures"


def picture(side: str, name: str = "turned.jpg") -> Picture:
    return Picture(side, "text/plain", (FILES / name).read_bytes())

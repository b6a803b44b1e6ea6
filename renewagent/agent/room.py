"""How much room on the card a renewal takes, proved before anything is begun (`AdminSession.require_room`).

A card that cannot tell passes: a plain PIV card, whose signing certificate has a container of its own that the new one
goes into as the old one did (SP 800-73-4 part 1, table 2), and whose old certificate is not touched for a trial.
"""

from __future__ import annotations

from renewagent.agent.job import Job
from renewagent.card.interface import AdminSession
from renewagent.renewal import Way

GROWTH = 512
"""Octets by which a new certificate may be larger than the old one: a larger key, a larger key of the CA."""
SECOND_PAIR = 4096
"""Octets that a second key and certificate may take on a vendor's card."""


def prove_room(job: Job, session: AdminSession) -> None:
    """Raises NoRoom."""
    session.require_room(_needed(job))


def _needed(job: Job) -> int:
    certificate = len(job.old.der) + GROWTH
    match job.renewal.way:
        case Way.A:  # the same again, over the old one
            return GROWTH
        case Way.B:  # at one moment the old one, the new one and a copy of either are on the card
            return 2 * certificate
        case Way.C:
            return SECOND_PAIR
        case _:  # some cards let go of an object only when the new one is written
            return certificate

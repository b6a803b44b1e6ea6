"""How many more of the holder's smartcards are affected, by the RA's word, and which, where this computer knows it."""

from __future__ import annotations

from contextlib import suppress

from renewagent.agent.job import Job
from renewagent.certificates import read_certificate
from renewagent.errors import RaError
from renewagent.model import CardIdentity, SigningCertificate
from renewagent.names import Name, same_name
from renewagent.renewal import Kind, State

_OVER = frozenset({Kind.SIGNED_IN.value, Kind.PAIRED.value})


def more_cards(job: Job) -> dict[str, int | str | None]:
    """For the outcome: `more_affected`, None where the RA was not asked or did not say; `next_card`, as
    `str(CardIdentity)`, where it can only be that one."""
    nothing: dict[str, int | str | None] = {"more_affected": None, "next_card": None}
    new = job.fact("certificate") if job.beside is None else job.beside[1].der  # the card may be out by now
    if job.renewal.state is not State.DONE or not new:
        return nothing
    signing = read_certificate(new)
    with suppress(RaError):
        standing = job.place.desk.standing(signing.head.issuer, signing.head.serial)
        if standing is None:
            return nothing
        known = _known_here(job, signing.subject) if standing.more_affected else []
        return {
            "more_affected": standing.more_affected,
            "next_card": known[0] if len(known) == 1 else None,
        }
    return nothing


def identity_of(card: str | None) -> CardIdentity | None:
    """The reverse of `str(CardIdentity)`."""
    return CardIdentity(card.partition(":")[0], card.partition(":")[2]) if card else None


def _known_here(job: Job, holder: Name) -> list[str]:
    """Cards whose renewal was begun, or declined, here, and is not done. Raises RaError."""
    found: dict[str, SigningCertificate] = {}
    for event in job.place.journal.replay():
        old = event.fields.get("old_certificate")
        if old and event.card != str(job.identity):
            found[event.card] = read_certificate(bytes.fromhex(old))
        if event.name in _OVER:
            found.pop(event.card, None)
    return [card for card, old in found.items() if same_name(old.subject, holder) and _still_due(job, old)]


def _still_due(job: Job, old: SigningCertificate) -> bool:
    """It may have been renewed elsewhere meanwhile."""
    standing = job.place.desk.standing(old.head.issuer, old.head.serial)
    return standing is not None and not standing.revoked

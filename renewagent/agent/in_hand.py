"""Which card a renewal is about: shown to the person before anything is asked of them, so that nobody renews the wrong
one. Whose it is comes from the certificate; it is told to the person's own screen and written nowhere."""

from __future__ import annotations

from renewagent.agent import words
from renewagent.agent.job import Job
from renewagent.model import Finding, SigningCertificate, Verdict
from renewagent.names import OIDS

_LONGEST = 200
"""Characters of a name: what a certificate says may be anything."""


def show_card(job: Job, finding: Finding) -> None:
    """Tell the person which card is in hand, and what is wrong with it where that is known here."""
    affected = finding.verdict is Verdict.AFFECTED
    why = words.affected(job.campaign, job.rule, by_hand=False).body if affected else ""
    job.place.prompter.card_in_hand(job.reader, job.identity, holder(job.old), why)


def holder(certificate: SigningCertificate) -> str:
    """The common name in its subject, the most particular one; "" where there is none."""
    for rdn in reversed(certificate.subject):
        for kind, value in sorted(rdn):
            if kind == OIDS["CN"]:
                return "".join(c for c in value if c.isprintable())[:_LONGEST].strip()
    return ""

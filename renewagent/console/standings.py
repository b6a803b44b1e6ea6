"""The standings of cards in the records: what check-ins say is judged by `renewagent.console.states` and kept; and the
state that is shown, as SQL.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from renewagent.check_ins import CardState, CheckIn
from renewagent.console.receipts import Proof, ReceiptRefused, campaign_id, check_remedy
from renewagent.console.states import (
    MOST_FAILURES,
    OUTSTANDING,
    Certificate,
    Claim,
    Standing,
    believable,
    hear,
)
from renewagent.console.tables import CAMPAIGN, RECEIPT, STANDING, TARGET
from renewagent.console.upserts import insert, pieces, put
from renewagent.names import Name, canonical, format_name, parse_name

_LOG = logging.getLogger(__name__)
_ANOTHER = "it replaces another certificate than the affected one"
Place = tuple[str, str]
"""Campaign (its id) and card."""
Named = tuple[str, str, str]
"""Campaign, and issuer and serial of a certificate."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What a target list says of a certificate: its organisation, and its SHA-256; each "" if that is not known."""

    organisation: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Heard:
    """One check-in, the proof in it, and the agent that brought it with its organisation."""

    check_in: CheckIn
    proof: Proof | None
    agent: str
    organisation: str

    @property
    def certificate(self) -> Certificate | None:
        """The affected certificate, its issuer canonical."""
        one = self.check_in.certificate
        return (
            None if one is None else Certificate(canonical_issuer(one.issuer), one.serial, one.not_before, one.sha256)
        )

    @property
    def campaign(self) -> str:
        """The campaign's id, or ""."""
        return campaign_id(self.check_in.campaign)


def outstanding() -> sa.ColumnElement[bool]:
    """Of STANDING: something is left to be done."""
    return STANDING.c.state.in_([state.value for state in CardState if state in OUTSTANDING])


def shown_state(now: datetime, stuck_after: timedelta) -> sa.ColumnElement[str]:
    """Of STANDING: the state that people are shown, as `states.shown` has it."""
    slow = sa.or_(STANDING.c.since < now - stuck_after, STANDING.c.failures >= MOST_FAILURES)
    return sa.case((sa.and_(outstanding(), slow), CardState.STUCK.value), else_=STANDING.c.state)


@lru_cache(maxsize=1000)
def canonical_issuer(text: str) -> str:
    """RFC 4514 text in the one spelling by which certificates are matched; text that is no name stays as it is."""
    try:
        return issuer_text(parse_name(text))
    except ValueError:
        return text


def issuer_text(name: Name) -> str:
    """The same for a name."""
    return format_name(canonical(name))


def hear_all(connection: sa.Connection, fresh: Sequence[Heard], now: datetime) -> None:
    """Keep what `fresh`, in the order in which it came, says of cards in campaigns."""
    told = [one for one in fresh if one.campaign]
    before = _standings(connection, {one.check_in.card for one in told})
    listed = _listed(connection, told, before)
    proofs = _proofs(connection, told, listed, now)
    after = dict(before)
    for one in told:
        _hear_one(after, one, listed, proofs, now)
    changed = [(place, standing) for place, standing in after.items() if before.get(place) is not standing]
    put(connection, STANDING, [_row(place, standing) for place, standing in changed])


def _hear_one(
    standings: dict[Place, Standing],
    one: Heard,
    listed: Mapping[Named, Listed],
    proofs: Mapping[str, Proof],
    now: datetime,
) -> None:
    place, check_in = (one.campaign, one.check_in.card), one.check_in
    standing, proof = standings.get(place), proofs.get(one.check_in.id)
    certificate = one.certificate or Certificate("", "")
    named = standing.certificate if standing is not None and not certificate.serial else certificate
    target = listed.get((one.campaign, named.issuer, named.serial))
    on_list = target.sha256 if target else ""
    if proof is not None and named is not certificate and (on_list or named.sha256) not in ("", proof.old):
        _refuse(one, proof, _ANOTHER)  # nothing was said of what it replaces
        proof = None
    known = on_list if named is certificate else ""
    sha256 = known or (proof.old if proof else certificate.sha256)
    claim = Claim(
        at=believable(check_in.at, now),
        state=check_in.state,
        certificate=replace(certificate, sha256=sha256),
        version=int(check_in.campaign.rpartition("/")[2]),
        agent=one.agent,
        organisation=(target.organisation if target else "") or one.organisation,
        listed=target is not None or (standing is not None and _is_listed(one.campaign, standing, listed)),
        known=known != "",
        rule=check_in.rule,
        why=check_in.why,
        until=check_in.until,
        receipt=proof.sha256 if proof else "",
    )
    heard = hear(standing, claim)
    if heard is not None:
        standings[place] = heard


def _is_listed(campaign: str, standing: Standing, listed: Mapping[Named, Listed]) -> bool:
    return (campaign, standing.certificate.issuer, standing.certificate.serial) in listed


def _standings(connection: sa.Connection, cards: set[str]) -> dict[Place, Standing]:
    found = {}
    for some in pieces(sorted(cards)):
        for row in connection.execute(sa.select(STANDING).where(STANDING.c.card.in_(some))).mappings():
            found[row["campaign"], row["card"]] = _standing(row)
    return found


def _listed(
    connection: sa.Connection, told: Iterable[Heard], standings: Mapping[Place, Standing]
) -> dict[Named, Listed]:
    """Of the certificates that are spoken of, those on target lists, with what is said there."""
    spoken = {(one.campaign, c.issuer, c.serial) for one in told if (c := one.certificate)}
    kept = {(place[0], s.certificate.issuer, s.certificate.serial) for place, s in standings.items()}
    columns = sa.tuple_(TARGET.c.campaign, TARGET.c.issuer, TARGET.c.serial)
    found = {}
    for some in pieces(sorted(spoken | kept), 300):
        query = sa.select(TARGET.c.campaign, TARGET.c.issuer, TARGET.c.serial, TARGET.c.organisation, TARGET.c.sha256)
        for row in connection.execute(query.where(columns.in_(some))):
            found[row.campaign, row.issuer, row.serial] = Listed(row.organisation, row.sha256)
    return found


def _proofs(
    connection: sa.Connection, told: Iterable[Heard], listed: Mapping[Named, Listed], now: datetime
) -> dict[str, Proof]:
    """By check-in: the proofs that hold against the records. They are kept."""
    offered = [(one, one.proof) for one in told if one.proof is not None]
    if not offered:
        return {}
    documents = _documents(connection, {one.campaign for one, _ in offered})
    known = sa.select(RECEIPT.c.new, RECEIPT.c.card, RECEIPT.c.old)
    known = known.where(RECEIPT.c.new.in_({proof.new for _, proof in offered}))
    used = {row.new: (row.card, row.old) for row in connection.execute(known)}
    held = {}
    for one, proof in offered:
        try:
            # The name is a claim; the hash is what the card has signed.
            if _hash_on_list(one, listed) not in ("", proof.old):
                raise ReceiptRefused(_ANOTHER)
            # Else one new card would settle any number of others.
            if used.setdefault(proof.new, (proof.card, proof.old)) != (proof.card, proof.old):
                raise ReceiptRefused("the certificate that signed it has settled another card")
            if document := documents.get(one.campaign):
                check_remedy(proof.certificate, document)
        except ReceiptRefused as problem:
            _refuse(one, proof, str(problem))
            continue
        held[one.check_in.id] = proof
    _keep(connection, held.values(), now)
    return held


def _hash_on_list(one: Heard, listed: Mapping[Named, Listed]) -> str:
    named = one.certificate
    target = listed.get((one.campaign, named.issuer, named.serial)) if named else None
    return target.sha256 if target else ""


def _refuse(one: Heard, proof: Proof, why: str) -> None:
    fields = {"agent": one.agent, "card": proof.card, "check_in": one.check_in.id, "why": why}
    _LOG.warning("a receipt proves nothing", extra={"fields": fields})


def _documents(connection: sa.Connection, campaigns: set[str]) -> dict[str, bytes]:
    query = sa.select(CAMPAIGN.c.id, CAMPAIGN.c.document).where(CAMPAIGN.c.id.in_(campaigns))
    return {row.id: row.document for row in connection.execute(query.order_by(CAMPAIGN.c.version))}


def _keep(connection: sa.Connection, proofs: Iterable[Proof], now: datetime) -> None:
    rows = [
        {
            "sha256": proof.sha256,
            "campaign": proof.campaign,
            "card": proof.card,
            "old": proof.old,
            "new": proof.new,
            "at": proof.at,
            "received": now,
            "receipt": proof.octets,
        }
        for proof in proofs
    ]
    if rows:
        connection.execute(insert(connection, RECEIPT).on_conflict_do_nothing(), rows)


_SAME = ("version", "rule", "why", "organisation", "agent", "first", "since", "heard", "told", "until", "put_off")
_ALSO = ("failures", "receipt")


def _standing(row: Mapping[Any, Any]) -> Standing:
    return Standing(
        state=CardState(row["state"]),
        certificate=Certificate(row["issuer"], row["serial"], row["not_before"], row["sha256"]),
        signed_in=bool(row["signed_in"]),
        **{name: row[name] for name in (*_SAME, *_ALSO)},
    )


def _row(place: Place, standing: Standing) -> dict[str, Any]:
    certificate = standing.certificate
    return {
        "campaign": place[0],
        "card": place[1],
        "state": standing.state.value,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "sha256": certificate.sha256,
        "not_before": certificate.not_before,
        "signed_in": int(standing.signed_in),
        **{name: getattr(standing, name) for name in (*_SAME, *_ALSO)},
    }

"""A console's store in the middle of a believable campaign, for tests of pages, permissions and whole stories.

Everything is made from one seed: the same `targets` give the same rows. `now` is when the story is looked at; the
campaign was published eight days before. No agent and no card took part: for that there are the stories themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from renewagent import cms
from renewagent.campaign.document import parse_campaign
from renewagent.check_ins import CardState
from renewagent.console import audit
from renewagent.console.standings import canonical_issuer
from renewagent.console.store import Store, raise_revision
from renewagent.console.tables import (
    AGENT,
    CAMPAIGN,
    CARD,
    CHECK_ANSWER,
    CHECK_IN,
    CHECK_ORDER,
    FLEET_CODE,
    ORGANISATION,
    PERSON,
    RECEIPT,
    STANDING,
    TARGET,
)
from tests.unit.campaign import authority

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
CAMPAIGN_ID = "2026-11-eps-signing"
OTHER_CAMPAIGN_ID = "2026-10-short-keys"
ISSUER = "CN=NHS Signing G2,O=nhs,C=GB"
ORGANISATIONS = {
    "RX1": "Northfield Hospitals",
    "RX2": "Southmere Hospital",
    "Y90": "Lakeside Surgery",
    "FA7": "Market Street Pharmacy",
}
PEOPLE = {
    "manager": ("Morgan Manager", "ra-manager", "*"),
    "agent": ("Ari Agent", "ra-agent", "RX1 RX2"),
    "sponsor": ("Sam Sponsor", "sponsor", "Y90"),
}
"""By id: name, role, organisations."""
_DAY = timedelta(days=1)
_ISSUER_AS_KEPT = canonical_issuer(ISSUER)
_SHARES = {
    CardState.DONE: 42,
    CardState.RENEWED: 6,
    CardState.TOLD: 9,
    CardState.PUT_OFF: 8,
    CardState.AFFECTED: 6,
    CardState.RUNNING: 2,
    CardState.PART_WAY: 4,
    CardState.LOCKED: 3,
    CardState.EXPIRED: 2,
    CardState.REPLACE_CARD: 3,
    CardState.REFUSED: 2,
}
_WHY = {
    CardState.LOCKED: "RA-PIN-BLOCKED",
    CardState.EXPIRED: "RA-IMPOSSIBLE",
    CardState.REPLACE_CARD: "RA-CARD-FULL",
    CardState.REFUSED: "RA-REFUSED",
    CardState.PART_WAY: "RA-CARD-REMOVED",
}
_MODELS = ("piv", "piv", "piv", "pkcs11")
_SURNAMES = (
    "Adeyemi Bowen Chaudhry Davies Evans Fraser Griffiths Hughes Iqbal Jones Khan Lewis Morgan Nowak Owen".split()
)


@dataclass(frozen=True, slots=True)
class Seeded:
    """What was put in. `states` counts the standings by the state as it is kept (STUCK is not kept)."""

    campaign: str
    targets: int
    cards: int
    states: dict[CardState, int]
    agents: tuple[str, ...]


def document(now: datetime = NOW, **changes: Any) -> bytes:
    """The campaign's document, plain JSON."""
    fields: dict[str, Any] = {
        "id": CAMPAIGN_ID,
        "version": 2,
        "published": _text(now - 8 * _DAY),
        "expires": _text(now + 60 * _DAY),
        "reason": {"en": "This smartcard was issued with a fault. Renew it before you sign any more prescriptions."},
        "rules": [
            {
                "name": "autumn batch",
                "issued_from": _text(_window(now)[0]),
                "issued_to": _text(_window(now)[1]),
                "issuer": ISSUER,
            }
        ],
        "deadline": _text(now + 6 * _DAY),
        "contact": {"name": "Registration Authority", "phone": "0300 000 0000", "hours": "weekdays 8 to 6"},
    }
    return json.dumps({**fields, **changes}, indent=1).encode()


def signed(octets: bytes, now: datetime = NOW) -> bytes:
    """`octets` as a signed campaign (DER), by `signer(now)`."""
    holder = signer(now)
    return cms.sign(octets, holder.certificate, holder.key, ())


@cache
def anchor() -> authority.Holder:
    """What the campaign signer's certificate leads to."""
    return authority.root("Campaign root")


@cache
def signer(now: datetime = NOW) -> authority.Holder:
    """Who signs campaigns."""
    return anchor().issue("Morgan Manager, Northfield RA", start=now - 90 * _DAY, end=now + 275 * _DAY)


def anchor_pem() -> bytes:
    """For the console's `campaign_anchor`."""
    certificate: x509.Certificate = anchor().certificate
    return certificate.public_bytes(Encoding.PEM)


def seed_people(store: Store, now: datetime = NOW) -> None:
    """`PEOPLE`, and nothing else: a console on its first day."""
    store.writing(lambda connection: _insert(connection, PERSON, _people(now)))


def seed(
    store: Store, now: datetime = NOW, *, targets: int = 480, others: int = 60, share_seen: float = 0.82
) -> Seeded:
    """Fill an empty, migrated `store`: a campaign with `targets`, of which `share_seen` have been seen in all states,
    `others` cards that no rule hits, agents, people, orders with answers, check-ins, receipts and an audit log."""
    return store.writing(lambda connection: _Story(connection, now).fill(targets, others, share_seen))


class _Story:
    def __init__(self, connection: sa.Connection, now: datetime) -> None:
        self._connection, self._now = connection, now
        self._random = Random(5)  # noqa: S311 - a story, no secret
        self._agents: dict[str, list[str]] = {}

    def fill(self, targets: int, others: int, share_seen: float) -> Seeded:
        self._frame(max(targets // 4, 12))
        rows = [self._target(number) for number in range(targets)]
        self._insert(TARGET, rows)
        seen = [row for row in rows if self._random.random() < share_seen]
        standings = [self._standing(row) for row in seen]
        self._insert(STANDING, standings)
        self._insert(CARD, [self._card(row) for row in standings])
        self._insert(CARD, [self._clear(number) for number in range(others)])
        self._insert(CHECK_IN, [one for row in standings[:400] for one in self._check_ins(row)])
        self._insert(RECEIPT, [self._receipt(row) for row in standings if row["receipt"]])
        self._orders()
        self._audit()
        for kind in ("campaigns", "orders", "standings"):
            raise_revision(self._connection, kind)
        counts = {state: sum(row["state"] == state.value for row in standings) for state in CardState}
        agents = tuple(one for group in self._agents.values() for one in group)
        return Seeded(CAMPAIGN_ID, len(rows), len(standings) + others, {s: n for s, n in counts.items() if n}, agents)

    def _insert(self, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        _insert(self._connection, table, rows)

    def _frame(self, workstations: int) -> None:
        now = self._now
        self._insert(ORGANISATION, [{"code": code, "name": name} for code, name in ORGANISATIONS.items()])
        self._insert(PERSON, _people(now))
        self._insert(CAMPAIGN, [self._campaign(document(now, version=version), version) for version in (1, 2)])
        short = document(
            now,
            id=OTHER_CAMPAIGN_ID,
            version=1,
            published=_text(now - 40 * _DAY),
            rules=[{"name": "short keys", "key_bits_below": 2048}],
        )
        self._insert(CAMPAIGN, [self._campaign(short, 1)])
        self._insert(AGENT, [self._agent(number) for number in range(workstations)])
        self._insert(FLEET_CODE, [self._fleet_code(code) for code in ORGANISATIONS])

    def _campaign(self, octets: bytes, version: int) -> dict[str, Any]:
        campaign, whole = parse_campaign(octets), signed(octets, self._now)
        return {
            "id": campaign.id,
            "version": version,
            "signed": whole,
            "document": octets,
            "sha256": hashlib.sha256(whole).hexdigest(),
            "signer": "CN=Morgan Manager\\, Northfield RA,O=Trust",
            "published": campaign.published,
            "expires": campaign.expires,
            "received": campaign.published + timedelta(minutes=4 * version),
            "received_by": "manager",
        }

    def _agent(self, number: int) -> dict[str, Any]:
        code = self._organisation(number)
        agent = self._hex(32)
        self._agents.setdefault(code, []).append(agent)
        return {
            "id": agent,
            "organisation": code,
            "machine": f"{code}-WS{number:04}",
            "account": self._hex(16),
            "version": "0.5.0",
            "certificate": self._hex(64),
            "enrolled": self._now - 20 * _DAY,
            "last_seen": self._now - timedelta(minutes=self._random.randrange(1, 9000)),
            "revoked": self._now - 2 * _DAY if number % 40 == 39 else None,
        }

    def _fleet_code(self, code: str) -> dict[str, Any]:
        made = self._now - 25 * _DAY
        return {
            "digest": self._hex(64),
            "organisation": code,
            "made": made,
            "ends": made + 30 * _DAY,
            "made_by": "manager",
        }

    def _target(self, number: int) -> dict[str, Any]:
        start, end = _window(self._now)
        surname = _SURNAMES[number % len(_SURNAMES)]
        # Some people hold two cards or three.
        holder = f"Dr {surname} {number // 10 if number % 10 < 2 else number:05}"
        return {
            "campaign": CAMPAIGN_ID,
            "issuer": _ISSUER_AS_KEPT,
            "serial": format(0x2000_0000 + number, "x"),
            "verdict": "affected",
            "rule": "autumn batch",
            "organisation": self._organisation(number),
            "holder": holder,
            "email": "" if number % 9 == 4 else f"{surname.lower()}.{number}@northfield.example",
            "card_number": f"90{number:06}",
            "not_before": start + (end - start) * self._random.random(),
            "carried": json.dumps({"position": "Prescriber"}),
            "added": self._now - 8 * _DAY + timedelta(minutes=number % 50),
        }

    def _standing(self, target: dict[str, Any]) -> dict[str, Any]:
        random, now = self._random, self._now
        state = random.choices(list(_SHARES), list(_SHARES.values()))[0]
        first = now - 7.8 * _DAY * (1 - random.random() ** 2)
        since = first + (now - first) * random.random() ** (1.2 if state is CardState.DONE else 0.5)
        put_off = random.randrange(1, 6) if state is CardState.PUT_OFF else 0
        return {
            "campaign": CAMPAIGN_ID,
            "card": f"chuid:{self._hex(32)}",
            "state": state.value,
            "issuer": target["issuer"],
            "serial": target["serial"],
            "not_before": target["not_before"],
            "rule": target["rule"],
            "why": _WHY.get(state, ""),
            "organisation": target["organisation"],
            "agent": random.choice(self._agents[target["organisation"]]),
            "first": first,
            "since": since,
            "heard": max(since, now - timedelta(minutes=random.randrange(1, 4000))),
            "told": since if state is not CardState.AFFECTED else None,
            "until": now + timedelta(minutes=random.randrange(10, 3000)) if put_off else None,
            "put_off": put_off,
            "failures": 3 if state is CardState.PART_WAY and random.random() < 0.4 else 0,
            "signed_in": int(state is CardState.DONE),
            "receipt": self._hex(64) if state in (CardState.DONE, CardState.RENEWED) else "",
        }

    def _card(self, standing: dict[str, Any]) -> dict[str, Any]:
        renewed = bool(standing["receipt"])
        start = standing["since"] if renewed else standing["not_before"]
        days = 1096 if renewed else self._random.choice((1096, 1096, 1096, 85, 68, 63))
        return {
            "identity": standing["card"],
            "issuer": _ISSUER_AS_KEPT,
            "serial": self._hex(8) if renewed else standing["serial"],
            "sha256": self._hex(64),
            "not_before": start,
            "not_after": start + days * _DAY,
            "model": self._random.choice(_MODELS),
            "organisation": standing["organisation"],
            "agent": standing["agent"],
            "first_seen": standing["first"],
            "last_seen": standing["heard"],
        }

    def _clear(self, number: int) -> dict[str, Any]:
        code, at = self._organisation(number), self._now - timedelta(hours=number % 160)
        start = self._now - self._random.randrange(70, 900) * _DAY
        return {
            "identity": f"chuid:{self._hex(32)}",
            "issuer": _ISSUER_AS_KEPT,
            "serial": self._hex(8),
            "sha256": self._hex(64),
            "not_before": start,
            "not_after": start + 1096 * _DAY,
            "model": "piv",
            "organisation": code,
            "agent": self._agents[code][0],
            "first_seen": at,
            "last_seen": at,
        }

    def _check_ins(self, standing: dict[str, Any]) -> Iterable[dict[str, Any]]:
        steps = [(standing["first"], "affected"), (standing["first"] + timedelta(seconds=20), "told")]
        for at, state in [*steps, (standing["heard"], standing["state"])]:
            said = {"id": self._hex(32), "at": _text(at), "card": standing["card"], "state": state}
            said |= {"campaign": f"{CAMPAIGN_ID}/2", "rule": standing["rule"]}
            said |= {"why": standing["why"]} if state == standing["state"] and standing["why"] else {}
            received = min(at + timedelta(seconds=3), self._now)
            row = {"id": said["id"], "agent": standing["agent"], "card": standing["card"], "at": at}
            yield {**row, "received": received, "document": json.dumps(said)}

    def _receipt(self, standing: dict[str, Any]) -> dict[str, Any]:
        return {
            "sha256": standing["receipt"],
            "campaign": CAMPAIGN_ID,
            "card": standing["card"],
            "old": self._hex(64),
            "new": self._hex(64),
            "at": standing["since"],
            "received": standing["since"] + timedelta(seconds=2),
            "receipt": b"\x30\x00",
        }

    def _orders(self) -> None:
        asked = self._now - timedelta(hours=2)
        order = {"id": self._hex(32), "organisation": "RX1", "agent": "", "campaign": CAMPAIGN_ID}
        self._insert(CHECK_ORDER, [{**order, "asked_by": "manager", "asked": asked, "ends": asked + _DAY}])
        answers = [
            {
                "order": order["id"],
                "agent": agent,
                "card": "-" if number % 3 == 0 else f"chuid:{self._hex(32)}",
                "verdict": "no-card" if number % 3 == 0 else ("affected", "clear")[number % 2],
                "at": asked + timedelta(seconds=40 + number),
            }
            for number, agent in enumerate(self._agents["RX1"][:-2])
        ]
        self._insert(CHECK_ANSWER, answers)

    def _audit(self) -> None:
        begun = self._now - 8 * _DAY
        events: list[tuple[str, dict[str, object]]] = [
            ("person.added", {"person": "agent", "role": "ra-agent"}),
            ("campaign.added", {"campaign": f"{CAMPAIGN_ID}/1"}),
            ("targets.added", {"campaign": CAMPAIGN_ID, "count": 480}),
            ("campaign.added", {"campaign": f"{CAMPAIGN_ID}/2"}),
            ("fleet-code.made", {"organisation": "RX1"}),
            ("order.made", {"organisation": "RX1"}),
        ]
        for number, (event, details) in enumerate(events):
            audit.record(self._connection, begun + timedelta(hours=number), "manager", event, details)

    def _organisation(self, number: int) -> str:
        return ("RX1", "RX1", "RX2", "RX1", "RX2", "Y90", "RX1", "FA7")[number % 8]

    def _hex(self, digits: int) -> str:
        return format(self._random.getrandbits(4 * digits), f"0{digits}x")


def _people(now: datetime) -> list[dict[str, Any]]:
    return [
        {"id": i, "name": n, "role": r, "organisations": o, "account": i, "subject": "", "added": now - 30 * _DAY}
        for i, (n, r, o) in PEOPLE.items()
    ]


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(rows), 5000):
        connection.execute(sa.insert(table), rows[start : start + 5000])


def _window(now: datetime) -> tuple[datetime, datetime]:
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return day - 60 * _DAY, day - 57 * _DAY + timedelta(hours=12)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""What the console keeps: every table, in SQLAlchemy Core. The migrations lead a database to exactly this.

Times are aware UTC in the columns' own type (`Moment`); certificates are named by `issuer` (canonical RFC 4514 text)
and `serial` (lowercase hex); hashes are SHA-256 in lowercase hex. JSON stands in text columns.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Moment(sa.types.TypeDecorator[datetime]):
    """Aware UTC in and out, as whole milliseconds since 1970: the same on SQLite and PostgreSQL, and in order."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else round(value.timestamp() * 1000)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value / 1000, UTC)


def _key(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, primary_key=True)


def _text(name: str, *, index: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, server_default="", index=index)


def _when(name: str, *, index: bool = False, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, Moment, nullable=nullable, index=index)


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


FACT = sa.Table("fact", METADATA, _key("name"), sa.Column("value", sa.LargeBinary, nullable=False))
"""Single things: the agents' CA key and certificate, the key of the session cookies."""

REVISION = sa.Table("revision", METADATA, _key("name"), _number("number"))
"""A number per kind of news ("campaigns", "orders", "standings"), raised by whoever changes something: every server
process looks at it twice a second and tells whoever listens."""

ORGANISATION = sa.Table("organisation", METADATA, _key("code"), _text("name"))

FLEET_CODE = sa.Table(
    "fleet_code",
    METADATA,
    _key("digest"),
    _text("organisation", index=True),
    _when("made", nullable=False),
    _when("ends", nullable=False),
    _text("made_by"),
)
"""What lets a workstation enrol for one organisation, by its SHA-256; several are good while one takes over."""

AGENT = sa.Table(
    "agent",
    METADATA,
    _key("id"),
    _text("organisation", index=True),
    _text("machine"),
    _text("account"),
    _text("version"),
    _text("certificate", index=True),
    _when("enrolled", nullable=False),
    _when("last_seen", index=True),
    _when("revoked"),
)
"""One user's agent on one machine. `account` is a number that the agent made up, no name; `certificate` the SHA-256 of
the one it shows in TLS."""

CAMPAIGN = sa.Table(
    "campaign",
    METADATA,
    _key("id"),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("signed", sa.LargeBinary, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    _text("sha256"),
    _text("signer"),
    _when("published", nullable=False),
    _when("expires", nullable=False),
    _when("received", nullable=False),
    _text("received_by"),
)
"""Signed campaigns as they were accepted; the highest version of an id is the one that counts."""

TARGET = sa.Table(
    "target",
    METADATA,
    _key("campaign"),
    _key("issuer"),
    _key("serial"),
    _text("sha256"),
    _text("verdict"),
    _text("rule"),
    _text("organisation"),
    _text("holder"),
    _text("email"),
    _text("card_number"),
    _when("not_before"),
    _text("carried"),
    _when("added", nullable=False),
    sa.Index("ix_target_added", "campaign", "added", "issuer", "serial"),
    sa.Index("ix_target_counted", "campaign", "organisation", "added", "not_before"),
    sa.Index("ix_target_holder", "campaign", "holder"),
)
"""The certificates that a bulk check found for a campaign (its id); `sha256` is "" where it is not known what a card
holds: the row is of an older check, or of a damaged copy. `carried` is JSON of all other columns."""

CARD = sa.Table(
    "card",
    METADATA,
    _key("identity"),
    _text("issuer"),
    _text("serial"),
    _text("sha256"),
    _when("not_before", index=True),
    _when("not_after", index=True),
    _text("model"),
    _text("organisation", index=True),
    _text("agent"),
    _when("first_seen", nullable=False),
    _when("last_seen", nullable=False, index=True),
    sa.Index("ix_card_issuer_serial", "issuer", "serial"),
)
"""Every card that was ever seen, with the signing certificate that was last seen on it."""

STANDING = sa.Table(
    "standing",
    METADATA,
    _key("campaign"),
    _key("card"),
    _text("state"),
    _text("issuer"),
    _text("serial"),
    _text("sha256"),
    _when("not_before"),
    _number("version"),
    _text("rule"),
    _text("why"),
    _text("organisation"),
    _text("agent"),
    _when("first", nullable=False),
    _when("since", nullable=False),
    _when("heard", nullable=False),
    _when("told"),
    _when("until"),
    _number("put_off"),
    _number("failures"),
    _number("signed_in"),
    _text("receipt"),
    sa.Index("ix_standing_certificate", "campaign", "issuer", "serial"),
    sa.Index("ix_standing_since", "campaign", "since", "card"),
    sa.Index("ix_standing_card", "card"),
)
"""One card in one campaign (its id). `issuer`, `serial`, `sha256`, `not_before`: the affected certificate; `version`:
the campaign's highest that was named. `since`: in this state; `heard`: the time of the newest check-in that counted;
`receipt`: SHA-256 of the verified one, else ""."""

CHECK_IN = sa.Table(
    "check_in",
    METADATA,
    _key("id"),
    _text("agent"),
    _text("card", index=True),
    _when("at", nullable=False),
    _when("received", nullable=False, index=True),
    _text("document"),
)

RECEIPT = sa.Table(
    "receipt",
    METADATA,
    _key("sha256"),
    _text("campaign", index=True),
    _text("card", index=True),
    _text("old"),
    _text("new", index=True),
    _when("at", nullable=False),
    _when("received", nullable=False),
    sa.Column("receipt", sa.LargeBinary, nullable=False),
)
"""Verified ones only."""

CHECK_ORDER = sa.Table(
    "check_order",
    METADATA,
    _key("id"),
    _text("organisation"),
    _text("agent"),
    _text("campaign"),
    _text("asked_by"),
    _when("asked", nullable=False),
    _when("ends", nullable=False, index=True),
)
""" "Check now", to all workstations, or to those of one organisation, or to one agent."""

CHECK_ANSWER = sa.Table(
    "check_answer",
    METADATA,
    _key("order"),
    _key("agent"),
    _key("card"),
    _text("verdict"),
    _when("at", nullable=False),
)
"""Answers to orders; a workstation without any card answers with card "-" and verdict "no-card"."""

PERSON = sa.Table(
    "person",
    METADATA,
    _key("id"),
    _text("name"),
    _text("role"),
    _text("organisations"),
    _text("subject", index=True),
    _text("account", index=True),
    _when("added", nullable=False),
    _when("ended"),
    _text("ehr", index=True),
    _text("dea"),
)
"""Whoever may sign in to the console. `organisations`: codes with spaces between, "*" for all; `subject` the canonical
RFC 4514 name in their card's authentication certificate, `account` their name at the single-sign-on proxy, `ehr` their
user name in the EHR, `dea` their DEA registration number, or ""."""

SESSION = sa.Table(
    "session",
    METADATA,
    _key("digest"),
    _text("person", index=True),
    _text("how"),
    _when("begun", nullable=False),
    _when("seen", nullable=False),
    _when("ends", nullable=False),
)

CHALLENGE = sa.Table(
    "challenge", METADATA, _key("nonce"), _text("kind"), _text("person"), _when("made", nullable=False, index=True)
)
"""Numbers that are good for one use: nonces of card sign-ins, and links that follow them."""

ATTEMPT = sa.Table(
    "attempt",
    METADATA,
    _key("kind"),
    _key("key"),
    sa.Column("window", sa.BigInteger, primary_key=True, autoincrement=False),
    _number("count"),
)
"""Rate limits that hold for all server processes together."""

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    _when("at", nullable=False),
    _text("actor"),
    _text("event"),
    _text("details"),
    _text("previous"),
    _text("digest"),
)
"""Every change, each entry's digest covering the one before (`renewagent.console.audit`)."""

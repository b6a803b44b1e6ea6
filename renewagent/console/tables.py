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


def key(name: str) -> sa.Column[Any]:
    """Text that is, or is a part of, the primary key."""
    return sa.Column(name, sa.Text, primary_key=True)


def text(name: str, *, index: bool = False) -> sa.Column[Any]:
    """Text, "" where there is none."""
    return sa.Column(name, sa.Text, nullable=False, server_default="", index=index)


def when(name: str, *, index: bool = False, nullable: bool = True) -> sa.Column[Any]:
    """A `Moment`."""
    return sa.Column(name, Moment, nullable=nullable, index=index)


def number(name: str) -> sa.Column[Any]:
    """A whole number, 0 at first."""
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


FACT = sa.Table("fact", METADATA, key("name"), sa.Column("value", sa.LargeBinary, nullable=False))
"""Single things: the agents' CA key and certificate, the key of the session cookies."""

REVISION = sa.Table("revision", METADATA, key("name"), number("number"))
"""A number per kind of news ("campaigns", "orders", "standings"), raised by whoever changes something: every server
process looks at it twice a second and tells whoever listens."""

ORGANISATION = sa.Table("organisation", METADATA, key("code"), text("name"))

FLEET_CODE = sa.Table(
    "fleet_code",
    METADATA,
    key("digest"),
    text("organisation", index=True),
    when("made", nullable=False),
    when("ends", nullable=False),
    text("made_by"),
)
"""What lets a workstation enrol for one organisation, by its SHA-256; several are good while one takes over."""

AGENT = sa.Table(
    "agent",
    METADATA,
    key("id"),
    text("organisation", index=True),
    text("machine"),
    text("account"),
    text("version"),
    text("certificate", index=True),
    when("enrolled", nullable=False),
    when("last_seen", index=True),
    when("revoked"),
)
"""One user's agent on one machine. `account` is a number that the agent made up, no name; `certificate` the SHA-256 of
the one it shows in TLS."""

CAMPAIGN = sa.Table(
    "campaign",
    METADATA,
    key("id"),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("signed", sa.LargeBinary, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    text("sha256"),
    text("signer"),
    when("published", nullable=False),
    when("expires", nullable=False),
    when("received", nullable=False),
    text("received_by"),
)
"""Signed campaigns as they were accepted; the highest version of an id is the one that counts."""

TARGET = sa.Table(
    "target",
    METADATA,
    key("campaign"),
    key("issuer"),
    key("serial"),
    text("sha256"),
    text("verdict"),
    text("rule"),
    text("organisation"),
    text("holder"),
    text("email"),
    text("card_number"),
    when("not_before"),
    text("carried"),
    when("added", nullable=False),
    sa.Index("ix_target_added", "campaign", "added", "issuer", "serial"),
    sa.Index("ix_target_counted", "campaign", "organisation", "added", "not_before"),
    sa.Index("ix_target_holder", "campaign", "holder"),
)
"""The certificates that a bulk check found for a campaign (its id); `sha256` is "" where it is not known what a card
holds: the row is of an older check, or of a damaged copy. `carried` is JSON of all other columns."""

CARD = sa.Table(
    "card",
    METADATA,
    key("identity"),
    text("issuer"),
    text("serial"),
    text("sha256"),
    when("not_before", index=True),
    when("not_after", index=True),
    text("model"),
    text("organisation", index=True),
    text("agent"),
    when("first_seen", nullable=False),
    when("last_seen", nullable=False, index=True),
    sa.Index("ix_card_issuer_serial", "issuer", "serial"),
)
"""Every card that was ever seen, with the signing certificate that was last seen on it."""

STANDING = sa.Table(
    "standing",
    METADATA,
    key("campaign"),
    key("card"),
    text("state"),
    text("issuer"),
    text("serial"),
    text("sha256"),
    when("not_before"),
    number("version"),
    text("rule"),
    text("why"),
    text("organisation"),
    text("agent"),
    when("first", nullable=False),
    when("since", nullable=False),
    when("heard", nullable=False),
    when("told"),
    when("until"),
    number("put_off"),
    number("failures"),
    number("signed_in"),
    text("receipt"),
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
    key("id"),
    text("agent"),
    text("card", index=True),
    when("at", nullable=False),
    when("received", nullable=False, index=True),
    text("document"),
)

RECEIPT = sa.Table(
    "receipt",
    METADATA,
    key("sha256"),
    text("campaign", index=True),
    text("card", index=True),
    text("old"),
    text("new", index=True),
    when("at", nullable=False),
    when("received", nullable=False),
    sa.Column("receipt", sa.LargeBinary, nullable=False),
)
"""Verified ones only."""

CHECK_ORDER = sa.Table(
    "check_order",
    METADATA,
    key("id"),
    text("organisation"),
    text("agent"),
    text("campaign"),
    text("asked_by"),
    when("asked", nullable=False),
    when("ends", nullable=False, index=True),
)
""" "Check now", to all workstations, or to those of one organisation, or to one agent."""

CHECK_ANSWER = sa.Table(
    "check_answer",
    METADATA,
    key("order"),
    key("agent"),
    key("card"),
    text("verdict"),
    when("at", nullable=False),
)
"""Answers to orders; a workstation without any card answers with card "-" and verdict "no-card"."""

PERSON = sa.Table(
    "person",
    METADATA,
    key("id"),
    text("name"),
    text("role"),
    text("organisations"),
    text("subject", index=True),
    text("account", index=True),
    when("added", nullable=False),
    when("ended"),
    text("ehr", index=True),
    text("dea"),
)
"""Whoever may sign in to the console. `organisations`: codes with spaces between, "*" for all; `subject` the canonical
RFC 4514 name in their card's authentication certificate, `account` their name at the single-sign-on proxy, `ehr` their
user name in the EHR, `dea` their DEA registration number, or ""."""

SESSION = sa.Table(
    "session",
    METADATA,
    key("digest"),
    text("person", index=True),
    text("how"),
    when("begun", nullable=False),
    when("seen", nullable=False),
    when("ends", nullable=False),
)

CHALLENGE = sa.Table(
    "challenge", METADATA, key("nonce"), text("kind"), text("person"), when("made", nullable=False, index=True)
)
"""Numbers that are good for one use: nonces of card sign-ins, and links that follow them."""

ATTEMPT = sa.Table(
    "attempt",
    METADATA,
    key("kind"),
    key("key"),
    sa.Column("window", sa.BigInteger, primary_key=True, autoincrement=False),
    number("count"),
)
"""Rate limits that hold for all server processes together."""

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    when("at", nullable=False),
    text("actor"),
    text("event"),
    text("details"),
    text("previous"),
    text("digest"),
)
"""Every change, each entry's digest covering the one before (`renewagent.console.audit`)."""

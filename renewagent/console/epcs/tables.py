"""What the EPCS desk keeps, beside the console's other tables. People are named by their id at the console."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from renewagent.console.tables import METADATA, Moment


def _key(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, primary_key=True)


def _text(name: str, *, index: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, server_default="", index=index)


def _when(name: str, *, index: bool = False, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, Moment, nullable=nullable, index=index)


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


EPCS_TOKEN = sa.Table(
    "epcs_token",
    METADATA,
    _key("serial"),
    _text("owner", index=True),
    _text("kind"),
    _text("state"),
    _when("registered", nullable=False),
    _when("changed", nullable=False),
    sa.Column("drift", sa.Integer),
    _when("resynchronised"),
    _when("refused"),
    _number("refusals"),
    _text("ordered"),
)
"""Tokens by serial. `state` as `TokenState`; `drift` what the last resynchronisation found; `refused`, `refusals`: the
last refused resynchronisation, and how many in a row. The authority's word counts, this is what was last heard.
`ordered`: what it is to become while the authority is being told so, as in `renewagent.console.epcs.token_rows`."""

EPCS_TICKET = sa.Table(
    "epcs_ticket",
    METADATA,
    _key("id"),
    _text("kind"),
    _text("owner", index=True),
    _text("serial"),
    _text("state", index=True),
    _text("document"),
    _text("number"),
    _text("outcome"),
    _text("tracking"),
    _text("opened_by"),
    _when("opened", nullable=False),
    _when("sent"),
    _when("done"),
    _when("notified"),
    _when("asked"),
)
"""Reset tickets and orders: `kind` is "reset", "replacement" or "spare"; `number` the vendor's; `document` JSON of the
form, without pictures. Codes are taken out of it once it is sent. `asked`: when the vendor was last tried."""

EPCS_PICTURE = sa.Table(
    "epcs_picture",
    METADATA,
    _key("ticket"),
    _key("side"),
    _text("media_type"),
    _text("sha256"),
    sa.Column("octets", sa.LargeBinary, nullable=False),
)

EPCS_RUN = sa.Table(
    "epcs_run",
    METADATA,
    _key("id"),
    _text("owner", index=True),
    _text("cause"),
    _text("step"),
    _text("username"),
    _text("document"),
    _text("begun_by"),
    _when("begun", nullable=False),
    _when("changed", nullable=False),
    _when("finished"),
)
"""Soft tokens being registered anew; `step` as in `renewagent.tokens.reregistration`, `document` JSON of the rest."""

EPCS_REQUEST = sa.Table(
    "epcs_request",
    METADATA,
    _key("id"),
    _text("subject", index=True),
    _text("action"),
    _text("reason"),
    _text("state", index=True),
    _text("entered_by"),
    _when("entered", nullable=False),
    _when("ends", nullable=False),
    _text("decided_by"),
    _when("decided"),
    _text("factor"),
    _when("executed"),
    _text("outcome"),
)
"""Grants and revocations: entered by one person, executed by another (21 CFR 1311.125); and suspensions, by one.
`state` as in `renewagent.tokens.grants`; `factor`: "card" or "otp", with what showed it, or the serials of the tokens
that a suspension disables; `outcome`: a sentence where it came to nothing."""

EPCS_LEASE = sa.Table(
    "epcs_lease",
    METADATA,
    _key("id"),
    _text("subject", index=True),
    _text("purpose"),
    _text("given_by"),
    _when("given", nullable=False),
    _when("ends", nullable=False, index=True),
    _number("enforced"),
    _when("ended", index=True),
    _text("why"),
    _when("alarmed"),
)
"""Administrator overrides. Written before the EHR is asked to give one, so that none is forgotten; `enforced` as in
`lease_rows`; `ended` only once the EHR shows that it is gone; `why`: "served", "over", "withdrawn", ..."""

EPCS_INCIDENT = sa.Table(
    "epcs_incident",
    METADATA,
    _key("id"),
    _text("kind"),
    _text("subject", index=True),
    _text("what"),
    _text("found_by"),
    _when("found", nullable=False),
    _when("due", nullable=False, index=True),
    _when("reported"),
    _text("reported_by"),
    _text("report"),
)
"""Security incidents, to be reported within one business day (21 CFR 1311.150)."""

EPCS_REPORT = sa.Table(
    "epcs_report", METADATA, _key("day"), _when("made", nullable=False), _text("document"), _text("looked_at_by")
)
"""The audit report of each calendar day ("2026-11-21")."""

EPCS_REMINDER = sa.Table(
    "epcs_reminder",
    METADATA,
    _key("person"),
    _key("what"),
    _key("ends"),
    sa.Column("days", sa.Integer, primary_key=True, autoincrement=False),
    _when("given", nullable=False),
)
"""Reminders that were given: `what` is "certificate" or "password", `ends` its day, `days` how many before it."""

EPCS_PULSE = sa.Table("epcs_pulse", METADATA, _key("name"), _when("at", nullable=False))
"""When a scheduler last ran, by name: without one no override is given where the EHR does not end it by itself."""

"""What the EPCS desk keeps, beside the console's other tables. People are named by their id at the console."""

from __future__ import annotations

import sqlalchemy as sa

from renewagent.console.tables import METADATA, key, number, text, when

EPCS_TOKEN = sa.Table(
    "epcs_token",
    METADATA,
    key("serial"),
    text("owner", index=True),
    text("kind"),
    text("state"),
    when("registered", nullable=False),
    when("changed", nullable=False),
    sa.Column("drift", sa.Integer),
    when("resynchronised"),
    when("refused"),
    number("refusals"),
    text("ordered"),
)
"""Tokens by serial. `state` as `TokenState`; `drift` what the last resynchronisation found; `refused`, `refusals`: the
last refused resynchronisation, and how many in a row. The authority's word counts, this is what was last heard.
`ordered`: what it is to become while the authority is being told so, as in `renewagent.console.epcs.token_rows`."""

EPCS_TICKET = sa.Table(
    "epcs_ticket",
    METADATA,
    key("id"),
    text("kind"),
    text("owner", index=True),
    text("serial"),
    text("state", index=True),
    text("document"),
    text("number"),
    text("outcome"),
    text("tracking"),
    text("opened_by"),
    when("opened", nullable=False),
    when("sent"),
    when("done"),
    when("notified"),
    when("asked"),
)
"""Reset tickets and orders: `kind` is "reset", "replacement" or "spare"; `number` the vendor's; `document` JSON of the
form, without pictures. Codes are taken out of it once it is sent. `asked`: when the vendor was last tried."""

EPCS_PICTURE = sa.Table(
    "epcs_picture",
    METADATA,
    key("ticket"),
    key("side"),
    text("media_type"),
    text("sha256"),
    sa.Column("octets", sa.LargeBinary, nullable=False),
)

EPCS_RUN = sa.Table(
    "epcs_run",
    METADATA,
    key("id"),
    text("owner", index=True),
    text("cause"),
    text("step"),
    text("username"),
    text("document"),
    text("begun_by"),
    when("begun", nullable=False),
    when("changed", nullable=False),
    when("finished"),
)
"""Soft tokens being registered anew; `step` as in `renewagent.tokens.reregistration`, `document` JSON of the rest."""

EPCS_REQUEST = sa.Table(
    "epcs_request",
    METADATA,
    key("id"),
    text("subject", index=True),
    text("action"),
    text("reason"),
    text("state", index=True),
    text("entered_by"),
    when("entered", nullable=False),
    when("ends", nullable=False),
    text("decided_by"),
    when("decided"),
    text("factor"),
    when("executed"),
    text("outcome"),
)
"""Grants and revocations: entered by one person, executed by another (21 CFR 1311.125); and suspensions, by one.
`state` as in `renewagent.tokens.grants`; `factor`: "card" or "otp", with what showed it, or the serials of the tokens
that a suspension disables; `outcome`: a sentence where it came to nothing."""

EPCS_LEASE = sa.Table(
    "epcs_lease",
    METADATA,
    key("id"),
    text("subject", index=True),
    text("purpose"),
    text("given_by"),
    when("given", nullable=False),
    when("ends", nullable=False, index=True),
    number("enforced"),
    when("ended", index=True),
    text("why"),
    when("alarmed"),
)
"""Administrator overrides. Written before the EHR is asked to give one, so that none is forgotten; `enforced` as in
`lease_rows`; `ended` only once the EHR shows that it is gone; `why`: "served", "over", "withdrawn", ..."""

EPCS_INCIDENT = sa.Table(
    "epcs_incident",
    METADATA,
    key("id"),
    text("kind"),
    text("subject", index=True),
    text("what"),
    text("found_by"),
    when("found", nullable=False),
    when("due", nullable=False, index=True),
    when("reported"),
    text("reported_by"),
    text("report"),
)
"""Security incidents, to be reported within one business day (21 CFR 1311.150)."""

EPCS_REPORT = sa.Table(
    "epcs_report", METADATA, key("day"), when("made", nullable=False), text("document"), text("looked_at_by")
)
"""The audit report of each calendar day ("2026-11-21")."""

EPCS_REMINDER = sa.Table(
    "epcs_reminder",
    METADATA,
    key("person"),
    key("what"),
    key("ends"),
    sa.Column("days", sa.Integer, primary_key=True, autoincrement=False),
    when("given", nullable=False),
)
"""Reminders that were given: `what` is "certificate" or "password", `ends` its day, `days` how many before it."""

EPCS_PULSE = sa.Table("epcs_pulse", METADATA, key("name"), when("at", nullable=False))
"""When a scheduler last ran, by name: without one no override is given where the EHR does not end it by itself."""

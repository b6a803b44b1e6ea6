"""The tables of the EPCS desk, and what people are called in the EHR."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    _incident()
    _lease()
    _picture()
    _pulse()
    _reminder()
    _report()
    _request()
    _run()
    _ticket()
    _token()
    _person()


def _incident() -> None:
    op.create_table(
        "epcs_incident",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("subject", sa.Text(), server_default="", nullable=False),
        sa.Column("what", sa.Text(), server_default="", nullable=False),
        sa.Column("found_by", sa.Text(), server_default="", nullable=False),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("reported", sa.BigInteger(), nullable=True),
        sa.Column("reported_by", sa.Text(), server_default="", nullable=False),
        sa.Column("report", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_epcs_incident")),
    )
    op.create_index(op.f("ix_epcs_incident_due"), "epcs_incident", ["due"], unique=False)
    op.create_index(op.f("ix_epcs_incident_subject"), "epcs_incident", ["subject"], unique=False)


def _lease() -> None:
    op.create_table(
        "epcs_lease",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), server_default="", nullable=False),
        sa.Column("purpose", sa.Text(), server_default="", nullable=False),
        sa.Column("given_by", sa.Text(), server_default="", nullable=False),
        sa.Column("given", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.Column("enforced", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("alarmed", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_epcs_lease")),
    )
    op.create_index(op.f("ix_epcs_lease_ended"), "epcs_lease", ["ended"], unique=False)
    op.create_index(op.f("ix_epcs_lease_ends"), "epcs_lease", ["ends"], unique=False)
    op.create_index(op.f("ix_epcs_lease_subject"), "epcs_lease", ["subject"], unique=False)


def _picture() -> None:
    op.create_table(
        "epcs_picture",
        sa.Column("ticket", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), server_default="", nullable=False),
        sa.Column("sha256", sa.Text(), server_default="", nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("ticket", "side", name=op.f("pk_epcs_picture")),
    )


def _pulse() -> None:
    op.create_table(
        "epcs_pulse",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_epcs_pulse")),
    )


def _reminder() -> None:
    op.create_table(
        "epcs_reminder",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("ends", sa.Text(), nullable=False),
        sa.Column("days", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("given", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person", "what", "ends", "days", name=op.f("pk_epcs_reminder")),
    )


def _report() -> None:
    op.create_table(
        "epcs_report",
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), server_default="", nullable=False),
        sa.Column("looked_at_by", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_epcs_report")),
    )


def _request() -> None:
    op.create_table(
        "epcs_request",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), server_default="", nullable=False),
        sa.Column("action", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("entered_by", sa.Text(), server_default="", nullable=False),
        sa.Column("entered", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.Text(), server_default="", nullable=False),
        sa.Column("decided", sa.BigInteger(), nullable=True),
        sa.Column("factor", sa.Text(), server_default="", nullable=False),
        sa.Column("executed", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_epcs_request")),
    )
    op.create_index(op.f("ix_epcs_request_state"), "epcs_request", ["state"], unique=False)
    op.create_index(op.f("ix_epcs_request_subject"), "epcs_request", ["subject"], unique=False)


def _run() -> None:
    op.create_table(
        "epcs_run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("cause", sa.Text(), server_default="", nullable=False),
        sa.Column("step", sa.Text(), server_default="", nullable=False),
        sa.Column("username", sa.Text(), server_default="", nullable=False),
        sa.Column("document", sa.Text(), server_default="", nullable=False),
        sa.Column("begun_by", sa.Text(), server_default="", nullable=False),
        sa.Column("begun", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_epcs_run")),
    )
    op.create_index(op.f("ix_epcs_run_owner"), "epcs_run", ["owner"], unique=False)


def _ticket() -> None:
    op.create_table(
        "epcs_ticket",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("serial", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("document", sa.Text(), server_default="", nullable=False),
        sa.Column("number", sa.Text(), server_default="", nullable=False),
        sa.Column("outcome", sa.Text(), server_default="", nullable=False),
        sa.Column("tracking", sa.Text(), server_default="", nullable=False),
        sa.Column("opened_by", sa.Text(), server_default="", nullable=False),
        sa.Column("opened", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=True),
        sa.Column("done", sa.BigInteger(), nullable=True),
        sa.Column("notified", sa.BigInteger(), nullable=True),
        sa.Column("asked", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_epcs_ticket")),
    )
    op.create_index(op.f("ix_epcs_ticket_owner"), "epcs_ticket", ["owner"], unique=False)
    op.create_index(op.f("ix_epcs_ticket_state"), "epcs_ticket", ["state"], unique=False)


def _token() -> None:
    op.create_table(
        "epcs_token",
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("kind", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("registered", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("drift", sa.Integer(), nullable=True),
        sa.Column("resynchronised", sa.BigInteger(), nullable=True),
        sa.Column("refused", sa.BigInteger(), nullable=True),
        sa.Column("refusals", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ordered", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_epcs_token")),
    )
    op.create_index(op.f("ix_epcs_token_owner"), "epcs_token", ["owner"], unique=False)


def _person() -> None:
    op.add_column("person", sa.Column("ehr", sa.Text(), server_default="", nullable=False))
    op.add_column("person", sa.Column("dea", sa.Text(), server_default="", nullable=False))
    op.create_index(op.f("ix_person_ehr"), "person", ["ehr"], unique=False)

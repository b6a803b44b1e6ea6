"""What a validating server keeps of each token, and how it is read."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from renewagent.console.tables import Moment
from renewagent.tokens.codes import Hash
from renewagent.tokens.model import TokenKind, TokenStanding, TokenState
from renewagent.tokens.throttle import Throttle, Tries
from renewagent.tokens.validation import CodeProfile, Moving, Position

METADATA = sa.MetaData()

TOKEN = sa.Table(
    "token",
    METADATA,
    sa.Column("serial", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("account", sa.Text, nullable=False, index=True),
    sa.Column("fips_level", sa.Integer, nullable=False),
    sa.Column("separate_device", sa.Boolean, nullable=False),
    sa.Column("profile", sa.Text, nullable=False),
    sa.Column("seed", sa.LargeBinary, nullable=False),
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.Column("drift", sa.BigInteger, nullable=False),
    sa.Column("sign_in_refused", sa.Integer, nullable=False),
    sa.Column("sign_in_until", Moment),
    sa.Column("resync_refused", sa.Integer, nullable=False),
    sa.Column("resync_until", Moment),
    sa.Column("version", sa.BigInteger, nullable=False),
)
"""`profile`: JSON; `seed`: sealed (`renewagent.tokens.sealing`); `counter` to `resync_until`: a `Position`. `version`
goes up with every change: whoever judged an older one judges again."""

_ACTIVE = sa.and_(TOKEN.c.state == "active", TOKEN.c.kind == "hardware", TOKEN.c.account != "")
ONE_ACTIVE = sa.Index("token_one_active", TOKEN.c.account, unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE)
"""An account has one active hardware token at most, whoever races."""

Row = sa.Row[Any]


def standing_of(row: Row) -> TokenStanding:
    """What anybody may know of it."""
    return TokenStanding(
        row.serial,
        TokenKind(row.kind),
        TokenState(row.state),
        row.account,
        row.sign_in_until,
        row.fips_level,
        row.separate_device,
    )


def position_of(row: Row) -> Position:
    """Where we are with it."""
    sign_in = Tries(row.sign_in_refused, row.sign_in_until)
    return Position(row.counter, row.drift, sign_in, Tries(row.resync_refused, row.resync_until))


def position_columns(position: Position) -> dict[str, int | datetime | None]:
    """The columns of it."""
    return {
        "counter": position.counter,
        "drift": position.drift,
        "sign_in_refused": position.sign_in.refused,
        "sign_in_until": position.sign_in.until,
        "resync_refused": position.resync.refused,
        "resync_until": position.resync.until,
    }


def profile_column(profile: CodeProfile) -> str:
    """JSON; durations in seconds."""
    throttle = profile.throttle
    times = {
        "free": throttle.free,
        "first": throttle.first.total_seconds(),
        "longest": throttle.longest.total_seconds(),
    }
    return json.dumps(asdict(profile) | {"moving": profile.moving.value, "hash": profile.hash.value, "throttle": times})


def profile_of(row: Row) -> CodeProfile:
    """What `profile_column` made."""
    values = json.loads(row.profile)
    times = values["throttle"]
    throttle = Throttle(times["free"], timedelta(seconds=times["first"]), timedelta(seconds=times["longest"]))
    return CodeProfile(
        **values | {"moving": Moving(values["moving"]), "hash": Hash(values["hash"]), "throttle": throttle}
    )

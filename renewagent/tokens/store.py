"""A validating server's tokens, in SQLite or PostgreSQL, with several processes at once.

Nothing is locked while codes are judged: what was judged is written if the row is still the one that was read (its
`version` tells), and judged again otherwise. Counter and throttle change in that one statement. So of two that bring
the same code at once one is accepted, and no guess goes uncounted. An answer is given once what follows from it is
durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from renewagent.console.store import Store
from renewagent.tokens import validation
from renewagent.tokens.codes import LAST_COUNTER
from renewagent.tokens.errors import TokenRefused, UnknownToken
from renewagent.tokens.model import Answer, Checked, TokenKind, TokenStanding, TokenState
from renewagent.tokens.sealing import SealingKeys, key_of
from renewagent.tokens.seeds import Seed
from renewagent.tokens.throttle import NO_TRIES
from renewagent.tokens.token_tables import (
    METADATA,
    TOKEN,
    Row,
    position_columns,
    position_of,
    profile_column,
    profile_of,
    standing_of,
)
from renewagent.tokens.validation import USUAL_PROFILE, CodeProfile, Judged, Position

Judge = Callable[[bytes, CodeProfile, Position], Judged]
_SCHEMA_LOCK = 0x746F6B656E73
_LONGEST_SEED = 512
_MOST_ROUNDS = 20


class TokenStore:
    """See the module. `url` as `renewagent.console.store.Store` takes it. Every method that names a serial raises
    UnknownToken for one that is not here."""

    def __init__(self, url: str, keys: SealingKeys) -> None:
        self._store = Store(url)
        self._keys = keys
        self._store.writing(_make_tables)

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    # --- Codes

    def check(self, serial: str, code: str, now: datetime) -> Checked:
        """Use one code up. A token that is not active refuses every code, as if it were wrong."""

        def judge(seed: bytes, profile: CodeProfile, position: Position) -> Judged:
            return validation.sign_in(seed, profile, position, code, now)

        return self._judge(serial, judge, validation.sign_in_refused, (TokenState.ACTIVE,), now)

    def resynchronise(self, serial: str, first: str, second: str, now: datetime) -> Checked:
        """Two consecutive codes set the counter behind them. A spare may be, too."""

        def judge(seed: bytes, profile: CodeProfile, position: Position) -> Judged:
            return validation.resynchronise(seed, profile, position, first, second, now)

        usable = (TokenState.ACTIVE, TokenState.SPARE)
        return self._judge(serial, judge, validation.resync_refused, usable, now)

    def recover(self, serial: str, first: str, second: str, now: datetime, window: int = 10_000) -> Checked:
        """A resynchronisation by support staff, who know whom they have before them: with a window of its own, and
        whether or not there were too many tries. Refused ones are not counted."""

        def judge(seed: bytes, profile: CodeProfile, position: Position) -> Judged:
            fresh = replace(position, resync=NO_TRIES)
            wide = replace(profile, window=window)
            checked, after = validation.resynchronise(seed, wide, fresh, first, second, now)
            return checked, after if checked.answer is Answer.ACCEPTED else position

        return self._judge(serial, judge, None, tuple(TokenState), now)

    def _judge(
        self,
        serial: str,
        judge: Judge,
        refuse: Callable[[CodeProfile, Position, datetime], Judged] | None,
        usable: tuple[TokenState, ...],
        now: datetime,
    ) -> Checked:
        while True:
            row = self._row(serial)
            profile, position = profile_of(row), position_of(row)
            checked, after = judge(self._keys.open(row.seed, serial), profile, position)
            if refuse is not None and TokenState(row.state) not in usable and after != position:
                checked, after = refuse(profile, position, now)
            if after == position or self._swap(row, position_columns(after)):
                return checked

    # --- Tokens

    def add(
        self,
        serial: str,
        kind: TokenKind,
        seed: bytes,
        *,
        counter: int = 0,
        drift: int = 0,
        profile: CodeProfile = USUAL_PROFILE,
        fips_level: int = 0,
        separate_device: bool = True,
    ) -> None:
        """A token of nobody's, as a spare. Raises TokenRefused if there is one of this serial, ValueError for what no
        token can have."""
        one = Seed(serial, seed, profile, counter, drift)
        self.add_all([one], kind, fips_level=fips_level, separate_device=separate_device)

    def add_all(
        self, seeds: Sequence[Seed], kind: TokenKind, *, fips_level: int = 0, separate_device: bool = True
    ) -> None:
        """All tokens of a vendor's file, or none, as `add` does."""
        same = {"kind": kind.value, "fips_level": fips_level, "separate_device": separate_device}
        rows = [self._new_row(seed) | same for seed in seeds]
        try:
            self._store.writing(lambda connection: connection.execute(sa.insert(TOKEN), rows))
        except sa.exc.IntegrityError as e:
            known = next(seed.serial for seed in seeds if self._knows(seed.serial))
            raise TokenRefused(f"There is a token with the serial number {known} already.") from e

    def _new_row(self, seed: Seed) -> dict[str, object]:
        if not seed.serial or not 1 <= len(seed.octets) <= _LONGEST_SEED or not 0 <= seed.counter < LAST_COUNTER:
            raise ValueError("a token has a serial, a seed of 1 to 512 octets and a counter")
        return {
            "serial": seed.serial,
            "state": TokenState.SPARE.value,
            "account": "",
            "profile": profile_column(seed.profile),
            "seed": self._keys.seal(seed.octets, seed.serial),
            "version": 0,
            **position_columns(Position(seed.counter, seed.drift)),
        }

    def _knows(self, serial: str) -> bool:
        with suppress(UnknownToken):
            self._row(serial)
            return True
        return False

    def standing(self, serial: str) -> TokenStanding:
        """What is known of it."""
        return standing_of(self._row(serial))

    def tokens_of(self, account: str) -> list[TokenStanding]:
        """All that are or were an account's, by serial."""
        wanted = sa.select(TOKEN).where(TOKEN.c.account == account).order_by(TOKEN.c.serial)
        return [standing_of(row) for row in self._store.reading(lambda c: c.execute(wanted).all())]

    def counter(self, serial: str) -> int:
        """The next expected counter (HOTP), or the lowest time step that was not used (TOTP): for support staff."""
        return int(self._row(serial).counter)

    def set_counter(self, serial: str, counter: int) -> None:
        """Forward only. Raises TokenRefused for one that lies behind."""
        while True:
            row = self._row(serial)
            if not row.counter <= counter < LAST_COUNTER:
                raise TokenRefused(
                    f"The counter of token {serial} can only go up.", advice="Read the counter from the token again."
                )
            if self._swap(row, {"counter": counter}):
                return

    def reset_throttle(self, serial: str) -> None:
        """Forget refused tries of both kinds."""
        free = {"sign_in_refused": 0, "sign_in_until": None, "resync_refused": 0, "resync_until": None}
        while not self._swap(self._row(serial), free):
            pass

    # --- Whose, and in what state

    def register(self, serial: str, account: str) -> TokenStanding:
        """Make it `account`'s: active, or a spare where they have an active one of its kind. Again is as good as once.
        Raises TokenRefused for somebody else's, and for one that is over."""

        def work(connection: sa.Connection) -> None:
            row = _read(connection, serial, hold=True)
            _refuse_if_over(row)
            if row.account not in ("", account):
                raise TokenRefused(
                    f"The token with the serial number {serial} belongs to another account.",
                    advice="Compare the serial number with the one on the back of your token.",
                )
            if not row.account:
                state = TokenState.SPARE if _active(connection, account, row.kind) else TokenState.ACTIVE
                _change(connection, serial, {"account": account, "state": state.value})

        return self._settle(serial, work)

    def activate(self, serial: str) -> TokenStanding:
        """A spare takes over; whatever of its kind was active for the account is deactivated, for good. Raises
        TokenRefused for one that is nobody's, suspended or over."""

        def work(connection: sa.Connection) -> None:
            row = _read(connection, serial, hold=True)
            _refuse_if_over(row)
            if not row.account or row.state == TokenState.SUSPENDED.value:
                raise TokenRefused(f"Token {serial} is nobody's, or suspended.", advice="Ask your EPCS administrator.")
            if row.state == TokenState.SPARE.value:
                _deactivate(connection, row.account, row.kind)
                _change(connection, serial, {"state": TokenState.ACTIVE.value})

        return self._settle(serial, work)

    def disable(self, serial: str, *, lost: bool) -> None:
        """At once and for good. Again is as good as once."""
        state = TokenState.LOST if lost else TokenState.DEACTIVATED

        def work(connection: sa.Connection) -> None:
            if not TokenState(_read(connection, serial, hold=True).state).is_over:
                _change(connection, serial, {"state": state.value})

        self._settle(serial, work)

    def set_state(self, serial: str, state: TokenState) -> TokenStanding:
        """Whatever the state is, if it is not over. Raises TokenRefused if it is, or for a second active hardware token
        of one account (`activate` has it take over)."""

        def work(connection: sa.Connection) -> None:
            row = _read(connection, serial, hold=True)
            if row.state == state.value:
                return
            _refuse_if_over(row)
            others = _active(connection, row.account, row.kind) if state is TokenState.ACTIVE else []
            if others and row.kind == TokenKind.HARDWARE.value:
                raise TokenRefused(f"The account of token {serial} has an active token already: {others[0]}.")
            _change(connection, serial, {"state": state.value})

        return self._settle(serial, work)

    # --- Keys

    def seal_again(self) -> int:
        """Bring every seed under the current key; returns how many were not. May be cut off and called again."""
        serials = self._store.reading(lambda connection: connection.execute(sa.select(TOKEN.c.serial)).scalars().all())
        return sum(self._seal_again(serial) for serial in serials)

    def _seal_again(self, serial: str) -> bool:
        while True:
            row = self._row(serial)
            if key_of(row.seed) == self._keys.current:
                return False
            if self._swap(row, {"seed": self._keys.seal(self._keys.open(row.seed, serial), serial)}):
                return True

    # --- Rows

    def _row(self, serial: str) -> Row:
        return self._store.reading(lambda connection: _read(connection, serial))

    def _swap(self, row: Row, values: Mapping[str, object]) -> bool:
        """Write, if the row is still as it was read."""
        return self._store.writing(lambda connection: _change(connection, row.serial, values, row.version))

    def _settle(self, serial: str, work: Callable[[sa.Connection], None]) -> TokenStanding:
        """Do `work`, again where another made a token of the same account active meanwhile."""

        def whole(connection: sa.Connection) -> TokenStanding:
            work(connection)
            return standing_of(_read(connection, serial))

        for _ in range(_MOST_ROUNDS - 1):
            with suppress(sa.exc.IntegrityError):
                return self._store.writing(whole)
        return self._store.writing(whole)


def _read(connection: sa.Connection, serial: str, *, hold: bool = False) -> Row:
    wanted = sa.select(TOKEN).where(TOKEN.c.serial == serial)
    row = connection.execute(wanted.with_for_update() if hold else wanted).one_or_none()
    if row is None:
        raise UnknownToken(f"There is no token with the serial number {serial}.")
    return row


def _change(connection: sa.Connection, serial: str, values: Mapping[str, object], version: int | None = None) -> bool:
    wanted = sa.update(TOKEN).where(TOKEN.c.serial == serial)
    if version is not None:
        wanted = wanted.where(TOKEN.c.version == version)
    return connection.execute(wanted.values(**values, version=TOKEN.c.version + 1)).rowcount == 1


def _active(connection: sa.Connection, account: str, kind: str) -> list[str]:
    wanted = sa.select(TOKEN.c.serial).where(
        TOKEN.c.account == account, TOKEN.c.kind == kind, TOKEN.c.state == TokenState.ACTIVE.value
    )
    return list(connection.execute(wanted).scalars()) if account else []


def _deactivate(connection: sa.Connection, account: str, kind: str) -> None:
    """Whatever is active of this kind: what was reported lost meanwhile stays lost."""
    wanted = sa.update(TOKEN).where(
        TOKEN.c.account == account, TOKEN.c.kind == kind, TOKEN.c.state == TokenState.ACTIVE.value
    )
    connection.execute(wanted.values(state=TokenState.DEACTIVATED.value, version=TOKEN.c.version + 1))


def _refuse_if_over(row: Row) -> None:
    if TokenState(row.state).is_over:
        raise TokenRefused(
            f"Token {row.serial} was deactivated or reported lost, and can never be used again.",
            advice="Use another token, or order one.",
        )


def _make_tables(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":  # where two processes may not make a table at once
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
    METADATA.create_all(connection)

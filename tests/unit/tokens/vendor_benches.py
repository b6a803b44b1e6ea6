"""The mock vendor on a bench, with a clock of its own: without a network."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from renewagent_fixtures.mock_epcs.vendor import WILLING, MockVendor
from renewagent_fixtures.mock_epcs.vendor_moods import VendorMoods
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from renewagent_fixtures.virtual_tokens.phone import AppService, PhoneApp
from tests.unit.tokens.vendor_contract import Whole


class InProcess:
    """Both a `Bench` and a `VendorBench`."""

    def __init__(self, folder: Path, moods: VendorMoods = WILLING) -> None:
        self._time = datetime(2026, 11, 22, 9, tzinfo=UTC)
        self._made = 0
        self.world = MockVendor(f"sqlite:///{folder / 'vendor.db'}", now=self.now, entropy=os.urandom, moods=moods)

    @property
    def vendor(self) -> Whole:
        return self.world

    @property
    def authority(self) -> Whole:
        return self.vendor

    @property
    def apps(self) -> AppService:
        return self.world

    def now(self) -> datetime:
        return self._time

    def pass_time(self, time: timedelta) -> None:
        self._time += time

    def lets_time_pass(self) -> bool:
        self.pass_time(timedelta(hours=1))
        return True

    def token(self, serial: str = "") -> ButtonToken:
        self._made += 1
        seed = os.urandom(20)
        token = ButtonToken(serial or f"GAHE{self._made:08}", seed)
        self.world.add_hardware(token.serial, seed)
        return token

    def phone(self) -> PhoneApp:
        return PhoneApp(self.apps, now=self.now, entropy=os.urandom)

    def account(self) -> str:
        self._made += 1
        return f"user{self._made}"

    def close(self) -> None:
        self.world.close()

"""The mock vendor on a bench, with a clock of its own: without a network, and over one."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from renewagent.tokens.vendor import VendorClient
from renewagent_fixtures.mock_epcs.serving import Served
from renewagent_fixtures.mock_epcs.vendor import MockVendor
from renewagent_fixtures.mock_epcs.vendor_server import vendor_app
from renewagent_fixtures.virtual_tokens.app_client import AppClient
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from renewagent_fixtures.virtual_tokens.phone import AppService, PhoneApp
from tests.unit.tokens.vendor_contract import Whole

WORLD_KEY = "the world's key"


class InProcess:
    """Both a `Bench` and a `VendorBench`."""

    def __init__(self, folder: Path) -> None:
        self._time = datetime(2026, 11, 22, 9, tzinfo=UTC)
        self._made = 0
        self.world = MockVendor(f"sqlite:///{folder / 'vendor.db'}", now=self.now, entropy=os.urandom)

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


class Counter:
    """One server for one bench after another: starting and stopping it is what takes time."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._served = Served(self).start()
        self.url = self._served.url
        self.stop = self._served.stop

    def serves(self, app: ASGIApp) -> None:
        """From now on."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._app is not None
        await self._app(scope, receive, send)


class OverHttp(InProcess):
    """The same, asked by the product's client over a socket."""

    key = "the organisation's key"

    def __init__(self, folder: Path, counter: Counter, *, longest: float = 30.0) -> None:
        super().__init__(folder)
        self.url = counter.url
        counter.serves(vendor_app(self.world, self.key, world_key=WORLD_KEY))
        self._client = VendorClient(self.url, self.key, longest=longest)

    @property
    def vendor(self) -> Whole:
        return self._client

    @property
    def apps(self) -> AppService:
        return AppClient(self.url)

    def close(self) -> None:
        self._client.close()
        super().close()

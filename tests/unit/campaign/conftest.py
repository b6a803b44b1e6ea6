"""A web server and a client for it, for each test that asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import urllib3

from renewagent.campaign.download import http_client
from tests.unit.campaign.site import Site, serving


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as here:
        yield here


@pytest.fixture
def client() -> Iterator[urllib3.PoolManager]:
    with http_client() as http:
        yield http

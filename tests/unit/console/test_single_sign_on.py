"""A sign-on proxy is believed by its address and its secret; whoever else sends its headers is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.requests import Request

from renewagent.console.settings import Settings, SingleSignOn
from renewagent.console.single_sign_on import account_of, address_of
from tests.console import new_site

SECRET = "a long and secret sentence"
SSO = SingleSignOn(("192.0.2.9", "2001:db8::9"), "x-account", "x-proxy-secret", SECRET)
SHOWN, NAMED = ("x-proxy-secret", SECRET), ("x-account", "nadia")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return new_site(tmp_path, sso=SSO).settings


def request(*headers: tuple[str, str], peer: str | None = "192.0.2.9") -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return Request({"type": "http", "headers": raw, "client": None if peer is None else (peer, 1)})


@pytest.mark.parametrize("peer", ["192.0.2.9", "::ffff:192.0.2.9", "2001:db8::9", "2001:0db8:0:0:0:0:0:9"])
def test_the_proxy_is_believed(settings: Settings, peer: str) -> None:
    assert account_of(request(SHOWN, NAMED, peer=peer), settings) == "nadia"


@pytest.mark.parametrize("peer", ["192.0.2.10", "127.0.0.1", "192.0.2.9.evil.test", "testclient", "", None])
def test_nobody_else_is(settings: Settings, peer: str | None) -> None:
    assert account_of(request(SHOWN, NAMED, ("x-forwarded-for", "192.0.2.9"), peer=peer), settings) is None


@pytest.mark.parametrize(
    "headers",
    [
        [NAMED],
        [("x-proxy-secret", ""), NAMED],
        [("x-proxy-secret", SECRET[:-1]), NAMED],
        [("x-proxy-secret", SECRET + " "), NAMED],
        [("x-proxy-secret", SECRET.upper()), NAMED],
        [("x-proxy-secret", "\u00e9"), NAMED],
        [SHOWN, SHOWN, NAMED],
        [("x-proxy-secret", "guess"), SHOWN, NAMED],
        [SHOWN],
        [SHOWN, ("x-account", "")],
        [SHOWN, NAMED, ("x-account", "manager")],
        [SHOWN, ("x-account", "manager"), NAMED],
        [SHOWN, ("x_account", "nadia")],
        [("x_proxy_secret", SECRET), NAMED],
        [SHOWN, ("x-account ", "nadia")],
        [("cookie", f"x-proxy-secret={SECRET}"), NAMED],
    ],
)
def test_a_header_that_slipped_through_is_nothing(settings: Settings, headers: list[tuple[str, str]]) -> None:
    assert account_of(request(*headers), settings) is None


def test_two_names_in_one_header_are_one_name_that_nobody_has(settings: Settings) -> None:
    assert account_of(request(SHOWN, ("x-account", "nadia, manager")), settings) == "nadia, manager"


def test_without_a_proxy_or_a_secret_there_is_none(settings: Settings) -> None:
    assert account_of(request(SHOWN, NAMED), replace(settings, sso=None)) is None
    bare = replace(settings, sso=replace(SSO, secret=""))
    assert account_of(request(("x-proxy-secret", ""), NAMED), bare) is None


@pytest.mark.parametrize(
    "peer, forwarded, expected",
    [
        ("198.51.100.1", [], "198.51.100.1"),
        ("198.51.100.1", ["203.0.113.5"], "198.51.100.1"),
        ("192.0.2.9", ["203.0.113.5"], "203.0.113.5"),
        ("192.0.2.9", ["10.0.0.1, 203.0.113.5"], "203.0.113.5"),
        ("192.0.2.9", ["10.0.0.1", "203.0.113.5"], "203.0.113.5"),
        ("192.0.2.9", ["nonsense"], "192.0.2.9"),
        ("192.0.2.9", [], "192.0.2.9"),
        (None, [], ""),
    ],
)
def test_limits_count_by_an_address_that_nobody_chooses(
    settings: Settings, peer: str | None, forwarded: list[str], expected: str
) -> None:
    headers = [("x-forwarded-for", value) for value in forwarded]
    assert address_of(request(*headers, peer=peer), settings) == expected

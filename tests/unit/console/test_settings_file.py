"""The console's settings: every key is read and told of in the guide; what is wrong is said with file and key."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from renewagent.console.settings import EpcsSettings, Listener, Operations, SingleSignOn, TokenServer
from renewagent.console.settings_file import KEYS, load_settings
from renewagent.errors import ConfigurationError
from renewagent.tokens.serials import KNOWN, Asks, Profile
from tests.house import ROOT

SECRET = "a-secret-of-the-proxy"
VENDOR_KEY, EHR_KEY, TOKENS_PASSWORD = "the-key-at-the-vendor", "the-key-at-the-ehr", "the-password-of-tokens"
WHOLE = """
[console]
data = "data"
database = "postgresql://renewagent@/console"
ra_root = "root.pem"
campaign_anchor = "/etc/anchor.pem"
crls = ["a.crl", "/b.crl"]
inventories = "inventories"
poll_interval = 60
stuck_after_days = 5
log_requests = false
[agents]
host = "0.0.0.0"
port = 8443
url = "https://Console.example:8443/"
[people]
host = "::1"
port = 443
url = "https://console.example"
[operations]
host = "127.0.0.2"
port = 9464
[tls]
certificate = "tls.pem"
key = "tls.key"
[sso]
proxies = ["192.0.2.1", "2001:db8::1"]
header = "X-Remote-User"
secret_header = "X-Secret"
secret_file = "secret"
[epcs]
vendor.url = "https://vendor.example/api/"
vendor.key_file = "vendor.key"
ehr.url = "http://127.0.0.1:8010"
ehr.key_file = "ehr.key"
token_server.url = "https://tokens.example/"
token_server.user = "console"
token_server.password_file = "tokens.password"
token_server.realm = "clinic"
root = "outside.pem"
override_minutes = 10
look_every = 2
prefixes = { GAXE = { asks = "codes", maker = "Example" } }
zone = "America/New_York"
[keep]
check_ins_days = 30
audit_days = 800
[session]
lasts = 3600
idle = 600
"""
SMALL = """
[console]
data = "data"
ra_root = "root.pem"
campaign_anchor = "anchor.pem"
[agents]
port = 0
[people]
port = 0
"""


def write_secrets(folder: Path) -> None:
    secrets = {"secret": SECRET, "vendor.key": VENDOR_KEY, "ehr.key": EHR_KEY, "tokens.password": TOKENS_PASSWORD}
    for name, secret in secrets.items():
        (folder / name).write_text(f"{secret}\n")


def load(folder: Path, text: str) -> object:
    write_secrets(folder)
    (folder / "console.toml").write_text(text)
    return load_settings(folder / "console.toml")


def test_every_key_is_read(tmp_path: Path) -> None:
    write_secrets(tmp_path)
    (tmp_path / "console.toml").write_text(WHOLE)
    settings = load_settings(tmp_path / "console.toml")
    assert settings.agents == Listener("0.0.0.0", 8443, "https://console.example:8443")  # noqa: S104
    assert settings.people == Listener("::1", 443, "https://console.example")
    assert settings.operations == Operations("127.0.0.2", 9464)
    assert settings.sso == SingleSignOn(("192.0.2.1", "2001:db8::1"), "x-remote-user", "x-secret", SECRET)
    assert (settings.data, settings.ra_root) == (tmp_path / "data", tmp_path / "root.pem")
    assert settings.crls == (tmp_path / "a.crl", Path("/b.crl"))
    assert settings.inventories == tmp_path / "inventories"
    assert (settings.tls_certificate, settings.tls_key) == (tmp_path / "tls.pem", tmp_path / "tls.key")
    assert (settings.keep_check_ins, settings.keep_audit) == (timedelta(days=30), timedelta(days=800))
    assert (settings.session, settings.idle) == (timedelta(hours=1), timedelta(minutes=10))
    assert (settings.poll_interval, settings.stuck_after) == (60, timedelta(days=5))
    assert (settings.database, settings.log_requests) == ("postgresql://renewagent@/console", False)
    assert settings.epcs == EpcsSettings(
        "https://vendor.example/api",
        VENDOR_KEY,
        "http://127.0.0.1:8010",
        EHR_KEY,
        tmp_path / "outside.pem",
        timedelta(minutes=10),
        2,
        (Profile("GAXE", Asks.CODES, "Example"), *KNOWN),
        ZoneInfo("America/New_York"),
        TokenServer("https://tokens.example", "console", TOKENS_PASSWORD, "clinic"),
    )
    assert {key for key in KEYS if f"\n{key.partition('.')[2]} = " not in WHOLE} == set()
    assert not [one for one in (SECRET, VENDOR_KEY, EHR_KEY, TOKENS_PASSWORD, "postgresql") if one in repr(settings)]


def test_most_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "console.toml").write_text(SMALL)
    settings = load_settings(tmp_path / "console.toml")
    assert settings.database == f"sqlite:///{tmp_path}/data/console.db"
    assert settings.agents == Listener("127.0.0.1", 0, "")
    assert (settings.sso, settings.epcs, settings.operations, settings.tls_key) == (None, None, None, None)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ('data = "data"\n', "", "console.data is missing"),
        ('ra_root = "root.pem"\n', "", "console.ra_root is missing"),
        ("port = 8443", "port = 70000", "agents.port must be a port, 0 to 65535"),
        ("port = 8443", "port = true", "agents.port must be a port"),
        ('url = "https://Console.example:8443/"\n', "", "agents.url is missing: agents.host is 0.0.0.0"),
        ('url = "https://console.example"', 'url = "http://console.example"', "people.url must be https://"),
        ('url = "https://console.example"', 'url = "https://console.example/x"', "nothing behind"),
        ('database = "postgresql://', 'database = "mysql://', "must begin with postgresql:// or sqlite:///"),
        ('key = "tls.key"\n', "", "tls.certificate and tls.key go together"),
        ('secret_file = "secret"', 'secret_file = "no-such"', "cannot be read"),
        ('secret_header = "X-Secret"\n', "", "sso.secret_header is missing"),
        ('header = "X-Remote-User"', 'header = "X Remote"', "must be the name of an HTTP header"),
        ('proxies = ["192.0.2.1"', 'proxies = ["proxy.example"', "must be an array of IP addresses"),
        ("audit_days = 800", "audit_days = 0", "must be a whole number of days from 1"),
        ("audit_days = 800", "audit_days = 730", "keep.audit_days must be 731 at the least where [epcs] is"),
        ('vendor.url = "https://', 'vendor.url = "http://', "epcs.vendor.url must begin with https://"),
        ('vendor.url = "https://vendor.example/api/"', 'vendor.url = "https://a:b@vendor.example"', "without a user"),
        ('vendor.url = "https://vendor.example/api/"', 'vendor.url = "https://vendor.example/?a=b"', "nothing behind"),
        ('vendor.url = "https://vendor.example/api/"\n', "", "epcs.vendor.url is missing"),
        ('ehr.key_file = "ehr.key"\n', "", "epcs.ehr.key_file is missing"),
        ('token_server.user = "console"\n', "", "epcs.token_server.user is missing"),
        (
            'token_server.url = "https://',
            'token_server.url = "http://',
            "epcs.token_server.url must begin with https://",
        ),
        ('ehr.key_file = "ehr.key"', 'ehr.key_file = "no-such"', "cannot be read"),
        ('ehr.key_file = "ehr.key"', 'ehr.key_fil = "x"', "epcs.ehr.key_fil is not a known setting. Did you mean"),
        ('vendor.key_file = "vendor.key"', 'vendor.x.y = "x"', "epcs.vendor.x is not a known setting"),
        ("override_minutes = 10", "override_minutes = 61", "must be a whole number of minutes from 1 to 60"),
        ("override_minutes = 10", "override_minutes = 0", "must be a whole number of minutes from 1 to 60"),
        ("look_every = 2", "look_every = 61", "must be a whole number of seconds from 1 to 60"),
        ("look_every = 2", "look_every = true", "must be a whole number of seconds from 1 to 60"),
        ("America/New_York", "America/Springfield", "epcs.zone must be a time zone that this computer knows"),
        ("America/New_York", "../console.toml", "epcs.zone must be a time zone that this computer knows"),
        ('asks = "codes"', 'asks = "code"', "epcs.prefixes cannot be so: what tokens GAXE need"),
        ('{ GAXE = { asks = "codes", maker = "Example" } }', '{ GAXE = "codes" }', "must be a table, as in"),
        ('{ GAXE = { asks = "codes", maker = "Example" } }', '"codes"', "must be a table, as in"),
        ("[session]\nlasts", "[session]\nlast", "Did you mean session.lasts?"),
        ("[keep]", "[kept]", "[kept] is not a known section. Did you mean keep?"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, was: str, now: str, said: str) -> None:
    assert was in WHOLE
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path, WHOLE.replace(was, now, 1))
    assert said in refused.value.message
    assert str(tmp_path) in refused.value.message


def test_a_short_secret_is_refused_and_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("hunter2")
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path, WHOLE.replace('"secret"', '"short"'))
    assert "shorter than 16" in refused.value.message
    assert "hunter2" not in refused.value.message


def test_a_key_that_cannot_stand_in_a_header_is_refused_and_not_repeated(tmp_path: Path) -> None:
    write_secrets(tmp_path)
    (tmp_path / "odd").write_text("hunter2 hunter2 hunter2\nX-Admin: 1")
    (tmp_path / "console.toml").write_text(WHOLE.replace('"ehr.key"', '"odd"'))
    with pytest.raises(ConfigurationError, match="not one word of ASCII") as refused:
        load_settings(tmp_path / "console.toml")
    assert "hunter2" not in refused.value.message


def test_two_years_are_kept_where_nobody_says_how_long(tmp_path: Path) -> None:
    write_secrets(tmp_path)
    (tmp_path / "console.toml").write_text(WHOLE.replace("audit_days = 800", ""))
    assert load_settings(tmp_path / "console.toml").keep_audit >= timedelta(days=731)


def test_the_guide_tells_of_every_key() -> None:
    guide = (ROOT / "docs" / "console.md").read_text()
    assert [key for key in KEYS if f"`{key}`" not in guide] == []

"""The console's settings read from its TOML file: every key, and what may stand behind it (docs/console.md tells them).

Whatever is unknown, missing or not as it must be is a `ConfigurationError` that names the file and the key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from renewagent.configuration import is_this_computer, read_settings
from renewagent.configuration_keys import (
    Keys,
    Place,
    read_days,
    read_path,
    read_seconds,
    read_switch,
    read_text,
    read_url,
)
from renewagent.console.settings import EpcsSettings, Listener, Operations, Settings, SingleSignOn, TokenServer
from renewagent.errors import ConfigurationError
from renewagent.tokens.serials import Profile, extended

_ANY = ("0.0.0.0", "::")  # noqa: S104  # only compared with
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
_SHORTEST_SECRET = 16
_LONGEST_OVERRIDE, _SELDOMEST = 60, 60
_TWO_YEARS = timedelta(days=731)
"""21 CFR 1311.305; a leap day may be among them."""


def load_settings(file: Path) -> Settings:
    """The settings in `file`. Raises ConfigurationError."""
    known = read_settings(file, KEYS)
    data = _needed(known, "console.data", file)
    certificate, key = known.get("tls.certificate"), known.get("tls.key")
    if (certificate is None) != (key is None):
        raise ConfigurationError(f"{file}: tls.certificate and tls.key go together; one of them is missing.")
    epcs = _epcs(known, file)
    if epcs is not None and known.get("keep.audit_days", _TWO_YEARS) < _TWO_YEARS:
        raise ConfigurationError(
            f"{file}: keep.audit_days must be 731 at the least where [epcs] is: its records are kept for two years."
        )
    return Settings(
        data=data,
        database=known.get("console.database", f"sqlite:///{data}/console.db"),
        agents=_listener(known, "agents", file),
        people=_listener(known, "people", file),
        operations=_operations(known),
        ra_root=_needed(known, "console.ra_root", file),
        campaign_anchor=_needed(known, "console.campaign_anchor", file),
        tls_certificate=certificate,
        tls_key=key,
        crls=known.get("console.crls", ()),
        sso=_single_sign_on(known, file),
        epcs=epcs,
        **{name: known[key] for key, name in _PLAIN.items() if key in known},
    )


def _needed(known: Mapping[str, Any], key: str, file: Path) -> Any:
    if key not in known:
        raise ConfigurationError(f"{file}: {key} is missing.", advice="docs/console.md says what it is.")
    return known[key]


def _listener(known: Mapping[str, Any], name: str, file: Path) -> Listener:
    host = known.get(f"{name}.host", "127.0.0.1")
    port = _needed(known, f"{name}.port", file)
    url = known.get(f"{name}.url", "")
    if not url and host in _ANY:
        raise ConfigurationError(
            f"{file}: {name}.url is missing: {name}.host is {host}, which does not say how others reach it."
        )
    return Listener(host, port, url)


def _operations(known: Mapping[str, Any]) -> Operations | None:
    if "operations.port" not in known:
        return None
    return Operations(known.get("operations.host", "127.0.0.1"), known["operations.port"])


def _single_sign_on(known: Mapping[str, Any], file: Path) -> SingleSignOn | None:
    if not any(key.startswith("sso.") for key in known):
        return None
    secret = _secret(known, "sso.secret_file", file)
    return SingleSignOn(
        proxies=_needed(known, "sso.proxies", file),
        header=_needed(known, "sso.header", file),
        secret_header=_needed(known, "sso.secret_header", file),
        secret=secret,
    )


def _epcs(known: Mapping[str, Any], file: Path) -> EpcsSettings | None:
    if not any(key.startswith("epcs.") for key in known):
        return None
    return EpcsSettings(
        vendor_url=_needed(known, "epcs.vendor.url", file),
        vendor_key=_secret(known, "epcs.vendor.key_file", file),
        ehr_url=_needed(known, "epcs.ehr.url", file),
        ehr_key=_secret(known, "epcs.ehr.key_file", file),
        token_server=_token_server(known, file),
        **{name: known[key] for key, name in _PLAIN_EPCS.items() if key in known},
    )


def _token_server(known: Mapping[str, Any], file: Path) -> TokenServer | None:
    if not any(key.startswith("epcs.token_server.") for key in known):
        return None
    return TokenServer(
        url=_needed(known, "epcs.token_server.url", file),
        user=_needed(known, "epcs.token_server.user", file),
        password=_secret(known, "epcs.token_server.password_file", file),
        realm=known.get("epcs.token_server.realm", ""),
    )


def _secret(known: Mapping[str, Any], key: str, file: Path) -> str:
    """What stands in the file that a setting names."""
    place: Path = _needed(known, key, file)
    try:
        secret = place.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{file}: {key}, {place}, cannot be read.") from problem
    if len(secret) < _SHORTEST_SECRET:
        raise ConfigurationError(f"{file}: the secret in {place} is shorter than {_SHORTEST_SECRET} characters.")
    if not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise ConfigurationError(f"{file}: the secret in {place} is not one word of ASCII characters.")
    return secret


def _outside(value: object, place: Place) -> str:
    """The address of a system that gets a key and passwords of ours."""
    url = read_url(value, place)
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise place.refuse(f"must be an address with nothing behind its path, not {url!r}")
    if parts.scheme != "https" and not is_this_computer(parts.hostname or ""):
        raise place.refuse("must begin with https://: passwords are sent there")
    return url.rstrip("/")


def _override(value: object, place: Place) -> timedelta:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LONGEST_OVERRIDE:
        raise place.refuse(f"must be a whole number of minutes from 1 to {_LONGEST_OVERRIDE}")
    return timedelta(minutes=value)


def _often(value: object, place: Place) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _SELDOMEST:
        raise place.refuse(f"must be a whole number of seconds from 1 to {_SELDOMEST}")
    return value


def _profiles(value: object, place: Place) -> tuple[Profile, ...]:
    rows: dict[str, Any] = value if isinstance(value, dict) else {"": None}
    if not all(isinstance(row, dict) and all(isinstance(word, str) for word in row.values()) for row in rows.values()):
        raise place.refuse('must be a table, as in GAXE = { asks = "codes", maker = "Example" }')
    try:
        return extended(rows)
    except ValueError as problem:
        raise place.refuse(f"cannot be so: {problem}") from problem


def _origin(value: object, place: Place) -> str:
    """Scheme, host and port, without anything behind."""
    url = read_url(value, place)
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise place.refuse(f"must be https:// with a name and perhaps a port, and nothing behind, not {url!r}")
    return f"https://{parts.netloc.lower().removesuffix(':443')}"  # as browsers write it in Host and Origin


def _port(value: object, place: Place) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 65535:
        raise place.refuse("must be a port, 0 to 65535")
    return value


def _database(value: object, place: Place) -> str:
    text = read_text(value, place)
    if not text.startswith(("postgresql://", "sqlite:///")):  # it may hold a password: it is not repeated
        raise place.refuse("must begin with postgresql:// or sqlite:///")
    return text


def _paths(value: object, place: Place) -> tuple[Path, ...]:
    return tuple(read_path(item, place) for item in _array(value, place))


def _addresses(value: object, place: Place) -> tuple[str, ...]:
    try:
        return tuple(str(ip_address(read_text(item, place))) for item in _array(value, place))
    except ValueError as problem:
        raise place.refuse("must be an array of IP addresses") from problem


def _array(value: object, place: Place) -> list[object]:
    if not isinstance(value, list) or not value:
        raise place.refuse("must be an array, in square brackets, that is not empty")
    return value


def _header(value: object, place: Place) -> str:
    text = read_text(value, place)
    if not _HEADER.fullmatch(text):
        raise place.refuse("must be the name of an HTTP header")
    return text.lower()


def _some_days(value: object, place: Place) -> timedelta:
    days = read_days(value, place)
    if not days:
        raise place.refuse("must be a whole number of days from 1 to 3650")
    return timedelta(days=days)


def _some_time(value: object, place: Place) -> timedelta:
    return timedelta(seconds=read_seconds(value, place))


def _zone(value: object, place: Place) -> ZoneInfo:
    try:
        return ZoneInfo(read_text(value, place))
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        raise place.refuse('must be a time zone that this computer knows, as in "America/New_York"') from problem


_PLAIN = MappingProxyType(
    {
        "console.inventories": "inventories",
        "console.poll_interval": "poll_interval",
        "console.log_requests": "log_requests",
        "console.stuck_after_days": "stuck_after",
        "keep.check_ins_days": "keep_check_ins",
        "keep.audit_days": "keep_audit",
        "session.lasts": "session",
        "session.idle": "idle",
    }
)
"""Keys whose value is a field of `Settings` as it stands."""
_PLAIN_EPCS = MappingProxyType(
    {
        "epcs.root": "root",
        "epcs.override_minutes": "override",
        "epcs.look_every": "look_every",
        "epcs.prefixes": "profiles",
        "epcs.zone": "zone",
    }
)

KEYS: Keys = MappingProxyType(
    {
        "console.data": read_path,
        "console.database": _database,
        "console.ra_root": read_path,
        "console.campaign_anchor": read_path,
        "console.crls": _paths,
        "console.inventories": read_path,
        "console.poll_interval": read_seconds,
        "console.stuck_after_days": _some_days,
        "console.log_requests": read_switch,
        "agents.host": read_text,
        "agents.port": _port,
        "agents.url": _origin,
        "people.host": read_text,
        "people.port": _port,
        "people.url": _origin,
        "operations.host": read_text,
        "operations.port": _port,
        "tls.certificate": read_path,
        "tls.key": read_path,
        "sso.proxies": _addresses,
        "sso.header": _header,
        "sso.secret_header": _header,
        "sso.secret_file": read_path,
        "epcs.vendor.url": _outside,
        "epcs.vendor.key_file": read_path,
        "epcs.ehr.url": _outside,
        "epcs.ehr.key_file": read_path,
        "epcs.token_server.url": _outside,
        "epcs.token_server.user": read_text,
        "epcs.token_server.password_file": read_path,
        "epcs.token_server.realm": read_text,
        "epcs.root": read_path,
        "epcs.override_minutes": _override,
        "epcs.look_every": _often,
        "epcs.prefixes": _profiles,
        "epcs.zone": _zone,
        "keep.check_ins_days": _some_days,
        "keep.audit_days": _some_days,
        "session.lasts": _some_time,
        "session.idle": _some_time,
    }
)

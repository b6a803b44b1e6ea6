"""The console's settings, from one TOML file by the administrator (docs/console.md has every key)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from pathlib import Path

from renewagent.tokens.serials import KNOWN, Profile


@dataclass(frozen=True, slots=True)
class Listener:
    """Where one of the two servers listens, and the address by which it is reached (scheme, host, port; no path).
    `url` is "" in a file that leaves it to what was bound; it is known once the server runs."""

    host: str
    port: int
    url: str


@dataclass(frozen=True, slots=True)
class Operations:
    """Where /metrics and /healthz are served to the operator's own programs: plain HTTP, for whoever can connect."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SingleSignOn:
    """A proxy in front that has signed people in: who it may be (IP addresses), the header that names the person, and
    the header with the secret that shows that it is the proxy."""

    proxies: tuple[str, ...]
    header: str
    secret_header: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenServer:
    """A privacyIDEA that validates hardware tokens, and an administrator's account there. `realm`: where the people
    are, "" for the default one."""

    url: str
    user: str
    password: str = field(repr=False)
    realm: str = ""


@dataclass(frozen=True, slots=True)
class EpcsSettings:
    """The EPCS desk: the vendor's and the EHR's addresses and our keys there, PEM of what their TLS certificates lead
    to (besides what the system trusts); how long an administrator override lasts and how often, in seconds, the
    scheduler looks; `profiles`: the kinds of tokens that there are; `zone`: whose calendar days and business days
    count, None for this computer's own; `token_server`: who validates hardware tokens, None for the vendor."""

    vendor_url: str
    vendor_key: str = field(repr=False)
    ehr_url: str
    ehr_key: str = field(repr=False)
    root: Path | None = None
    override: timedelta = timedelta(minutes=15)
    look_every: float = 5.0
    profiles: tuple[Profile, ...] = KNOWN
    zone: tzinfo | None = None
    token_server: TokenServer | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """`data`: the folder of the embedded store and of what is made at the first start. `ra_root`: what cards'
    certificates lead to; `campaign_anchor`: what campaign signers' do. `stuck_after`: a card that stays outstanding in
    one state for so long is stuck. `inventories`: a folder whose results of bulk checks may be taken for target
    lists by name."""

    data: Path
    database: str = field(repr=False)
    agents: Listener
    people: Listener
    ra_root: Path
    campaign_anchor: Path
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    crls: tuple[Path, ...] = ()
    sso: SingleSignOn | None = None
    epcs: EpcsSettings | None = None
    inventories: Path | None = None
    operations: Operations | None = None
    log_requests: bool = True
    poll_interval: int = 300
    stuck_after: timedelta = timedelta(days=3)
    keep_check_ins: timedelta = timedelta(days=90)
    keep_audit: timedelta = timedelta(days=2 * 366)
    session: timedelta = timedelta(hours=10)
    idle: timedelta = timedelta(minutes=30)

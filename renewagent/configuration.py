"""The configuration: one TOML file as data, and what the command line puts in its place (design section 6).

`load` reads the administrator's file and then the user's, whose keys take the place of the former's one by one; a file
named on the command line stands alone. Whatever is not known, or not as it must be, is a `ConfigurationError` whose
sentence names the file and the key. The meaning of each key is in `renewagent.configuration_keys`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from renewagent.configuration_keys import KEYS, Keys, ManagementKeySource, Place, read_url, sections_of
from renewagent.errors import ConfigurationError
from renewagent.language import _
from renewagent.names import Name
from renewagent.rules import Contact

T = TypeVar("T")

SYSTEM_FILE = Path("/etc/renewagent/config.toml")


def where_to_set(key: str, option: str = "") -> str:
    """Advice: the key to set in the file, or else the option to use."""
    file = _("the configuration file ({file}, unless --config names another)").format(file=SYSTEM_FILE)
    if not option:
        return _("Set {key} in {file}.").format(key=key, file=file)
    return _("Set {key} in {file} or use {option}.").format(key=key, file=file, option=option)


def user_file() -> Path:
    """Where the user's own file is looked for."""
    from platformdirs import user_config_path

    return user_config_path("renewagent") / "config.toml"


def _user_state() -> Path:
    from platformdirs import user_state_path

    return user_state_path("renewagent")


@dataclass(frozen=True, slots=True)
class RaSettings:
    """The Registration Authority: its CMP URL, the PEM file of its root, and where people sign in if not by default.
    `timeout`: seconds for one exchange with it."""

    url: str | None = None
    root: Path | None = None
    sign_in_url: str | None = None
    timeout: int = 30


@dataclass(frozen=True, slots=True)
class CampaignSettings:
    """Where campaigns are (http or https URLs, or absolute paths), and the PEM file of the anchor of their signers."""

    urls: tuple[str, ...] = ()
    anchor: Path | None = None


@dataclass(frozen=True, slots=True)
class CardSettings:
    """How cards are reached: the management key, who issues signing certificates, "pcsc" or "unix:/path", and the
    vendor's PKCS#11 module for cards that are not PIV's. `keep_old_key_days`: how long an old key stays on
    the card once its renewal is over."""

    management_key: ManagementKeySource = field(default_factory=ManagementKeySource)
    signing_issuers: tuple[Name, ...] = ()
    readers: str = "pcsc"
    pkcs11_module: Path | None = None
    keep_old_key_days: int = 14


@dataclass(frozen=True, slots=True)
class PasscodeSettings:
    """Where the passcode is typed. `entry`: some of "pad" (the reader's own), "pinentry" and "terminal", in order;
    empty for what goes without saying (see `renewagent.agent.passcode_entry`)."""

    entry: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """The RA manager's console, for check-ins: its address for agents; the fleet's code, or the file that it stands in;
    the PEM file of a root to trust besides the system's. `stream`: hold a connection on which the console says "look
    again". `machine`: what to call this computer, None for its host name."""

    url: str | None = None
    enrolment: str | Path | None = field(default=None, repr=False)
    root: Path | None = None
    stream: bool = False
    machine: str | None = None


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """The EPCS desk, of tokens and grants: the console's address for people, and the PEM file of a root to trust
    besides the system's."""

    url: str | None = None
    root: Path | None = None


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The agent at this workstation. `poll_interval` is in seconds."""

    state_dir: Path = field(default_factory=_user_state)
    poll_interval: int = 300


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What the administrator allows. `d_without_tickets`: way D with an RA that knows no tickets."""

    d_without_tickets: bool = False


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of it. What may be missing until somebody needs it is asked for by the methods, which say what to set."""

    ra: RaSettings = field(default_factory=RaSettings)
    campaign: CampaignSettings = field(default_factory=CampaignSettings)
    card: CardSettings = field(default_factory=CardSettings)
    passcode: PasscodeSettings = field(default_factory=PasscodeSettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    desk: DeskSettings = field(default_factory=DeskSettings)
    contact: Contact = field(default_factory=Contact)
    agent: AgentSettings = field(default_factory=AgentSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)

    def ra_url(self) -> str:
        """The RA's CMP URL. Raises ConfigurationError if none is set."""
        return _needed(self.ra.url, _("No Registration Authority is configured."), "ra.url", "--ra URL")

    def ra_root(self) -> Path:
        """The PEM file of the RA's root. Raises ConfigurationError if none is set."""
        missing = _("No root certificate of the Registration Authority is configured.")
        return _needed(self.ra.root, missing, "ra.root", "--ra-root FILE")

    def campaign_anchor(self) -> Path:
        """The PEM file of the campaigns' anchor. Raises ConfigurationError if none is set."""
        missing = _("No anchor to check campaigns against is configured.")
        return _needed(self.campaign.anchor, missing, "campaign.anchor", "--campaign-anchor FILE")

    def sign_in_url(self) -> str:
        """Where the person signs in: as set, else "/sign-in" at the RA's origin. Raises ConfigurationError for plain
        http to another computer: whoever listens there could sign in in the person's place."""
        url = self.ra.sign_in_url
        if url is None:
            parts = urlsplit(self.ra_url())
            url = f"{parts.scheme}://{parts.netloc}/sign-in"
        if urlsplit(url).scheme != "https" and not is_this_computer(urlsplit(url).hostname or ""):
            raise ConfigurationError(
                _("The address for signing in, {url}, does not begin with https://.").format(url=url),
                advice=where_to_set("ra.sign_in_url"),
            )
        return url


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line says: --ra, --ra-root, --campaign (may stand several times), --campaign-anchor."""

    ra: str | None = None
    ra_root: Path | None = None
    campaigns: tuple[Path, ...] = ()
    campaign_anchor: Path | None = None


def load(
    file: Path | None = None,
    overrides: Overrides | None = None,
    *,
    system: Path = SYSTEM_FILE,
    user: Path | None = None,
) -> Configuration:
    """The configuration in force. `file` is what --config names; `user` defaults to `user_file()`."""
    if file is not None:
        settings = read_settings(file, KEYS)
    else:
        own = user_file() if user is None else user
        settings = {**read_settings(system, KEYS, needed=False), **read_settings(own, KEYS, needed=False)}
    configuration = configured(settings)
    if overrides is None:
        return configuration
    _check_files(overrides)
    return merged(configuration, overrides)


def configured(settings: Mapping[str, Any]) -> Configuration:
    """Settings by dotted key, checked and converted already, to the dataclasses."""

    def section(name: str) -> dict[str, Any]:
        return {key.partition(".")[2]: value for key, value in settings.items() if key.partition(".")[0] == name}

    return Configuration(
        ra=RaSettings(**section("ra")),
        campaign=CampaignSettings(**section("campaign")),
        card=CardSettings(**section("card")),
        passcode=PasscodeSettings(**section("passcode")),
        console=ConsoleSettings(**section("console")),
        desk=DeskSettings(**section("desk")),
        contact=Contact(**section("contact")),
        agent=AgentSettings(**section("agent")),
        policy=PolicySettings(**section("policy")),
    )


def merged(configuration: Configuration, overrides: Overrides) -> Configuration:
    """The command line before the file. Pure; raises ConfigurationError for a --ra that is no URL."""
    ra, campaign = configuration.ra, configuration.campaign
    if overrides.ra is not None and overrides.ra != ra.url:
        # The configured sign-in address is the other RA's: this one's is at its own origin.
        ra = replace(ra, url=read_url(overrides.ra, Place("--ra")), sign_in_url=None)
    if overrides.ra_root is not None:
        ra = replace(ra, root=overrides.ra_root)
    if overrides.campaigns:
        campaign = replace(campaign, urls=tuple(str(path.absolute()) for path in overrides.campaigns))
    if overrides.campaign_anchor is not None:
        campaign = replace(campaign, anchor=overrides.campaign_anchor)
    return replace(configuration, ra=ra, campaign=campaign)


def read_settings(file: Path, keys: Keys, *, needed: bool = True) -> dict[str, Any]:
    """What a file says, as `parse_configuration` gives it. If it is not needed and not there: nothing."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError as problem:
        if not needed:
            return {}
        raise ConfigurationError(_("There is no configuration file {file}.").format(file=file)) from problem
    except OSError as problem:
        raise ConfigurationError(
            _("The configuration file {file} cannot be read: {why}.").format(file=file, why=problem.strerror)
        ) from problem
    except UnicodeDecodeError as problem:
        raise ConfigurationError(
            _("{file} is not valid TOML: it is not written in UTF-8.").format(file=file)
        ) from problem
    return parse_configuration(text, file.absolute(), keys)


def parse_configuration(text: str, file: Path, keys: Keys = KEYS) -> dict[str, Any]:
    """Settings by dotted key ("ra.url"), converted. `file` is named in refusals; relative paths start at its folder;
    `keys`: what may stand in the file."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationError(_("{file} is not valid TOML: {why}.").format(file=file, why=problem)) from problem
    settings: dict[str, Any] = {}
    sections = sections_of(keys)
    for name, section in document.items():
        if name not in sections:
            raise ConfigurationError(
                _("{file}: [{name}] is not a known section.").format(file=file, name=name) + _meant(name, sections)
            )
        if not isinstance(section, dict):
            raise ConfigurationError(_("{file}: {name} must be a section, [{name}].").format(file=file, name=name))
        settings |= _section(name, section, file, keys)
    return settings


def _section(name: str, section: Mapping[str, object], file: Path, keys: Keys) -> dict[str, Any]:
    """Its settings by dotted key. A table within it, [a.b], holds settings as well, unless it is one itself."""
    settings: dict[str, Any] = {}
    for word, value in section.items():
        key = f"{name}.{word}"
        if isinstance(value, dict) and key not in keys and any(known.startswith(f"{key}.") for known in keys):
            settings |= _section(key, value, file, keys)
        else:
            settings[key] = _setting(key, value, file, keys)
    return settings


def _setting(key: str, value: object, file: Path, keys: Keys) -> object:
    if key not in keys:
        raise ConfigurationError(
            _("{file}: {key} is not a known setting.").format(file=file, key=key) + _meant(key, keys)
        )
    return keys[key](value, Place(f"{file}: {key}", file.parent))


def is_this_computer(host: str) -> bool:
    """What is sent to this host, by name or address, meets no network."""
    from ipaddress import ip_address

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check_files(overrides: Overrides) -> None:
    named = [("--ra-root", overrides.ra_root), ("--campaign-anchor", overrides.campaign_anchor)]
    named += [("--campaign", path) for path in overrides.campaigns]
    for option, path in named:
        if path is not None and not path.is_file():
            raise ConfigurationError(
                _("There is no file {path} ({option}).").format(path=path, option=option),
                advice=_("Check the name of the file."),
            )


def _needed(value: T | None, missing: str, key: str, option: str) -> T:
    if value is None:
        raise ConfigurationError(missing, advice=where_to_set(key, option))
    return value


def _meant(word: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    return " " + _("Did you mean {word}?").format(word=close[0]) if close else ""

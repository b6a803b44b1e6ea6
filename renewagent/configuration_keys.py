"""Every key of the configuration file and what may stand behind it: one reader per kind of value, one line per key.

A reader takes the TOML value and its place, and returns the setting or raises `ConfigurationError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from renewagent.errors import ConfigurationError
from renewagent.language import _
from renewagent.names import Name, parse_name

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ManagementKeySource:
    """Where the management key of cards comes from; `path` goes with "file"."""

    kind: Literal["default", "file", "pin-protected", "ra"] = "default"
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, as refusals say it, and the folder that relative paths start at."""

    said: str
    folder: Path = Path()

    def refuse(self, what: str) -> ConfigurationError:
        """The error to raise; `what` is the rest of a sentence that begins with the key."""
        return ConfigurationError(_("{key} {what}.").format(key=self.said, what=what))


def read_text(value: object, place: Place) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise place.refuse(_("must be a text in quotation marks"))
    return value


def read_url(value: object, place: Place) -> str:
    """An http or https URL without a user name."""
    text = read_text(value, place)
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise place.refuse(_("must be an address without a user name or password"))  # which are not repeated
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _port = parts.port  # raises for one that is no number
    except ValueError:
        usable = False
    if not usable or any(c.isspace() for c in text):
        raise place.refuse(
            _("must be an address that begins with http:// or https://, not {text}").format(text=repr(text))
        )
    return text


def read_path(value: object, place: Place) -> Path:
    """A path; "~" is the user's home, and a relative one starts at the file's folder."""
    try:
        return place.folder / Path(read_text(value, place)).expanduser()
    except RuntimeError as problem:  # no home, or an unknown user's
        raise place.refuse(_("names a folder that does not exist, {value}").format(value=repr(value))) from problem


def read_source(value: object, place: Place) -> str:
    """An http or https URL, or a path, which may have "file:" before it as other settings' paths do."""
    text = read_text(value, place).removeprefix("file://").removeprefix("file:")
    return read_url(text, place) if "://" in text else str(read_path(text, place))


def read_switch(value: object, place: Place) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise place.refuse(_("must be true or false"))
    return value


def read_seconds(value: object, place: Place) -> int:
    """A whole number of seconds, up to a day."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 86400:
        raise place.refuse(_("must be a whole number of seconds from 1 to 86400"))
    return value


def read_days(value: object, place: Place) -> int:
    """A whole number of days, up to ten years; 0 is none at all."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 3650:
        raise place.refuse(_("must be a whole number of days from 0 to 3650"))
    return value


def read_sources(value: object, place: Place) -> tuple[str, ...]:
    """URLs or paths."""
    return _several(value, place, read_source)


def read_names(value: object, place: Place) -> tuple[Name, ...]:
    """Distinguished names."""
    return _several(value, place, _read_name)


def read_management_key(value: object, place: Place) -> ManagementKeySource:
    """ "default", "pin-protected", "file:PATH", or "ra": the Registration Authority keeps it."""
    text = read_text(value, place)
    if text == "default":
        return ManagementKeySource()
    if text == "pin-protected":
        return ManagementKeySource("pin-protected")
    if text == "ra":
        return ManagementKeySource("ra")
    if text.startswith("file:"):
        return ManagementKeySource("file", read_path(text.removeprefix("file:"), place))
    # What stands there may be a key, put in the wrong place: it is not repeated.
    raise place.refuse(_('must be "default", "pin-protected", "ra" or "file:/path"'))


def read_code(value: object, place: Place) -> str | Path:
    """A code as it is, or "file:/path" for the file that it stands in."""
    text = read_text(value, place)
    return read_path(text.removeprefix("file:"), place) if text.startswith("file:") else text


def read_readers(value: object, place: Place) -> str:
    """ "pcsc" or "unix:/path"."""
    text = read_text(value, place)
    if text != "pcsc" and not (text.startswith("unix:/") and len(text) > len("unix:/")):
        raise place.refuse(_('must be "pcsc" or "unix:/path", not {text}').format(text=repr(text)))
    return text


def read_entry(value: object, place: Place) -> tuple[str, ...]:
    """Where the passcode is typed, in order: some of "pad", "pinentry" and "terminal". A pad can only come first:
    whoever has typed the passcode elsewhere has typed it."""
    ways = _several(value, place, read_text)
    if not ways or set(ways) - {"pad", "pinentry", "terminal"} or len(set(ways)) < len(ways) or "pad" in ways[1:]:
        raise place.refuse(_('must name some of "pad", "pinentry" and "terminal", each once, and "pad" first'))
    return ways


def _several(value: object, place: Place, read: Callable[[object, Place], T]) -> tuple[T, ...]:
    if not isinstance(value, list):
        raise place.refuse(_("must be an array, in square brackets"))
    return tuple(read(item, Place(f"{place.said}[{number}]", place.folder)) for number, item in enumerate(value))


def _read_name(value: object, place: Place) -> Name:
    text = read_text(value, place)
    try:
        return parse_name(text)
    except ValueError as problem:
        raise place.refuse(_("is not a distinguished name: {why}").format(why=problem)) from problem


Keys = Mapping[str, Callable[[object, Place], object]]
"""What may stand in a file: the reader of each value by dotted key."""

KEYS: Keys = MappingProxyType(
    {
        "ra.url": read_url,
        "ra.root": read_path,
        "ra.sign_in_url": read_url,
        "ra.timeout": read_seconds,
        "campaign.urls": read_sources,
        "campaign.anchor": read_path,
        "card.management_key": read_management_key,
        "card.signing_issuers": read_names,
        "card.readers": read_readers,
        "card.pkcs11_module": read_path,
        "card.keep_old_key_days": read_days,
        "passcode.entry": read_entry,
        "console.url": read_url,
        "console.enrolment": read_code,
        "console.root": read_path,
        "console.stream": read_switch,
        "console.machine": read_text,
        "desk.url": read_url,
        "desk.root": read_path,
        "contact.name": read_text,
        "contact.phone": read_text,
        "contact.url": read_text,
        "contact.hours": read_text,
        "agent.state_dir": read_path,
        "agent.poll_interval": read_seconds,
        "policy.d_without_tickets": read_switch,
    }
)


def sections_of(keys: Keys) -> tuple[str, ...]:
    """The parts before the dot, in order."""
    return tuple(dict.fromkeys(key.partition(".")[0] for key in keys))

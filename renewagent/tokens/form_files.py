"""A form that somebody has written beforehand, for scripts: a JSON or TOML file with its lines by name, and the names
of files with pictures in `pictures`, as in `{"front": "front.jpg", "back": "back.jpg"}`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from renewagent.errors import ConfigurationError
from renewagent.language import _
from renewagent.tokens.forms import fields_of
from renewagent.tokens.guided_tickets import Ticket
from renewagent.tokens.pictures import SIDES

_LARGEST = 64 * 1024


def fill_in(ticket: Ticket, file: Path) -> None:
    """Put what the file says into the ticket; relative names of pictures start at its folder. Raises
    ConfigurationError for what is no form of this kind, FormError for a picture that is none."""
    known = {line.name for line in fields_of(ticket.kind)}
    for name, value in _read(file).items():
        if name == "pictures" and isinstance(value, dict):
            _add_pictures(ticket, value, file)
        elif name not in known:
            raise _wrong(
                file,
                _("{name} is no line of this form. Its lines are {known}").format(
                    name=name, known=", ".join(sorted(known))
                ),
            )
        elif isinstance(value, bool) or not isinstance(value, str | int):
            raise _wrong(file, _("{name} must be a text").format(name=name))
        else:
            ticket.typed[name] = str(value)


def _add_pictures(ticket: Ticket, pictures: Mapping[str, Any], file: Path) -> None:
    for side, path in pictures.items():
        if side not in SIDES or not isinstance(path, str):
            raise _wrong(file, _("pictures are of the {sides}, each the name of a file").format(sides=", ".join(SIDES)))
        ticket.add_picture(side, file.parent / path)


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            octets = opened.read(_LARGEST + 1)
        text = octets.decode("utf-8")
    except OSError as problem:
        raise ConfigurationError(
            _("The file {file} cannot be read: {why}.").format(file=file, why=problem.strerror),
            advice=_("Check the name of the file."),
        ) from problem
    except UnicodeDecodeError as problem:
        raise _wrong(file, _("it is not written in UTF-8")) from problem
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as problem:
        raise _wrong(file, _("it is neither JSON nor TOML")) from problem
    if len(octets) > _LARGEST or not isinstance(found, dict):
        raise _wrong(file, _("it is not the size or the shape of one"))
    return found


def _wrong(file: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        _("{file} is no form for this: {what}.").format(file=file, what=what),
        advice=_("Correct the file, then try again."),
    )

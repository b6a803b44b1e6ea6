"""Reading strict JSON: every member is asked for by name and type, and what nobody asked for is refused.

Only the mechanics live here; what a campaign consists of is `renewagent.campaign.document`. Every refusal is a
`CampaignError` whose sentence names the field by its path ("rules[0].issued_from").
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar, cast

from renewagent.errors import CampaignError
from renewagent.language import _

T = TypeVar("T")

# RFC 3339 5.6, in UTC alone; at most microseconds.
_TIME = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?Z"
)
# Texts end on a screen: no control characters (C0, DEL, C1), line or paragraph separators, changes of writing direction
# or lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def refuse(path: str, what: str) -> CampaignError:
    """The error to raise: `what` is the rest of a sentence that begins with the field."""
    field = path or _("the document")
    return CampaignError(_("This is not a valid campaign: {field} {what}.").format(field=field, what=what))


def read_json(octets: bytes) -> object:
    """UTF-8 JSON (RFC 8259) without duplicate names, NaN, infinities or broken text. Raises CampaignError."""
    try:
        return json.loads(octets.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except UnicodeDecodeError as problem:
        raise refuse("", _("is not written in UTF-8")) from problem
    except json.JSONDecodeError as problem:
        where = _("line {line}, column {column}").format(line=problem.lineno, column=problem.colno)
        raise refuse("", _("is not JSON ({why}, {where})").format(why=problem.msg, where=where)) from problem
    except (ValueError, RecursionError) as problem:  # a number of thousands of digits; arrays nested by the thousand
        raise refuse("", _("is not JSON that can be read")) from problem


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        if name in members:
            raise refuse("", _("gives {name} twice").format(name=json.dumps(name)))
        members[name] = value
    return members


def _no_constant(text: str) -> object:
    raise refuse("", _("holds {text}, which is not JSON").format(text=text))


class Fields:
    """The members of one JSON object. `finish` refuses what was not asked for, unless its name begins with "x-"."""

    __slots__ = ("_asked", "_members", "path")

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise refuse(path, _("must be an object"))
        self.path = path
        self._members = cast("dict[str, object]", value)
        self._asked: set[str] = set()

    def at(self, name: str) -> str:
        """The path of a member, as refusals name it."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """True if the member is there."""
        return name in self._members

    def own_names(self) -> list[str]:
        """All names but those that begin with "x-"."""
        return [name for name in self._members if not name.startswith("x-")]

    def take(self, name: str) -> object:
        """The member as it is; refused if it is missing."""
        self._asked.add(name)
        if name not in self._members:
            raise refuse(self.at(name), _("is missing"))
        return self._members[name]

    def text(self, name: str, longest: int, *, shortest: int = 1, pattern: re.Pattern[str] | None = None) -> str:
        """A text for people, of one line, or of one `pattern`."""
        return as_text(self.take(name), self.at(name), longest, shortest=shortest, pattern=pattern)

    def lines(self, name: str, longest: int) -> str:
        """A text for people that may run over several lines."""
        value = self.take(name)
        as_text(value.replace("\n", " ") if isinstance(value, str) else value, self.at(name), longest)
        return cast("str", value)

    def integer(self, name: str, least: int, most: int) -> int:
        """A whole number, written as one."""
        value = self.take(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise refuse(
                self.at(name), _("must be a whole number from {least} to {most}").format(least=least, most=most)
            )
        return value

    def boolean(self, name: str) -> bool:
        """true or false."""
        value = self.take(name)
        if not isinstance(value, bool):
            raise refuse(self.at(name), _("must be true or false"))
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of a few words."""
        value = self.take(name)
        if not isinstance(value, str) or value not in choices:
            wanted = _(" or ").join(json.dumps(c) for c in choices)
            raise refuse(self.at(name), _("must be {choices}").format(choices=wanted))
        return value

    def time(self, name: str) -> datetime:
        """An RFC 3339 time in UTC, as an aware datetime."""
        value = self.take(name)
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            raise refuse(self.at(name), _('must be a time in UTC such as "2020-10-01T14:50:00Z"'))
        try:
            return datetime.fromisoformat(value.removesuffix("Z")).replace(tzinfo=UTC)
        except ValueError as problem:
            raise refuse(self.at(name), _("is no time that exists ({value})").format(value=value)) from problem

    def items(self, name: str, most: int, read: Callable[[object, str], T], *, fewest: int = 1) -> tuple[T, ...]:
        """An array, each of whose items `read` (value, path) turns into what it stands for."""
        value = self.take(name)
        if not isinstance(value, list) or not fewest <= len(value) <= most:
            raise refuse(
                self.at(name), _("must be an array of {fewest} to {most} items").format(fewest=fewest, most=most)
            )
        return tuple(read(item, f"{self.at(name)}[{place}]") for place, item in enumerate(value))

    def finish(self) -> None:
        """Refuse every member that was not asked for."""
        for name in self.own_names():
            if name not in self._asked:
                raise refuse(self.at(_shown(name)), _('is not a known field (names of your own begin with "x-")'))


def as_text(
    value: object, path: str, longest: int, *, shortest: int = 1, pattern: re.Pattern[str] | None = None
) -> str:
    """A text of `shortest` to `longest` characters, without control characters, and of `pattern` if there is one."""
    if not isinstance(value, str):
        raise refuse(path, _("must be a text"))
    if not shortest <= len(value) <= longest:
        raise refuse(path, _("must have {shortest} to {longest} characters").format(shortest=shortest, longest=longest))
    if _UNPRINTABLE.search(value):
        raise refuse(path, _("must not hold control characters"))
    if pattern is not None and not pattern.fullmatch(value):
        raise refuse(path, _("cannot be {value}").format(value=json.dumps(value)))
    return value


def _shown(name: str) -> str:
    return name if name.isidentifier() and len(name) <= 40 else json.dumps(name[:40])

"""The language that a person reads: British English in the source, and catalogues of GNU gettext for others.

`_("Card {card} is out.").format(card=...)` is the way to write a sentence: never an f-string, which no catalogue can
hold. `ngettext` has the plural, `N_` marks a sentence that is kept in English (a reason that is compared, stored or
sent) and put into the person's language where it is shown, by `_(reason)`.

Which language: LANGUAGE, LC_ALL, LC_MESSAGES, LANG, as everywhere. Catalogues are looked for under `locale/` of the
person's data folder, of the machine's, and beside this module, as LANGUAGE/LC_MESSAGES/renewagent.mo.
"""

from __future__ import annotations

import functools
import gettext as gnu
import os
import re
import string
import struct
from collections.abc import Iterator
from pathlib import Path

SOURCE = "en-GB"
"""The language of the source."""
DOMAIN = "renewagent"
"""The catalogue's name."""
_PER_CENT = re.compile(r"%(?:\(\w*\))?.?", re.S)
_TAG = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")


def N_(sentence: str) -> str:
    """Marks `sentence` for the catalogue, and leaves it as it is."""
    return sentence


def _(sentence: str) -> str:
    """`sentence` in the person's language; as it is where no catalogue has it."""
    return sound(catalogue().gettext(sentence), sentence) if sentence else ""  # "" is the catalogue's own header


def ngettext(one: str, many: str, number: int) -> str:
    """The form that goes with `number`."""
    english = one if number == 1 else many
    try:
        said = catalogue().ngettext(one, many, number)
    except ArithmeticError:  # the catalogue's own rule divides by nought
        return english
    return sound(said, english, one, many)


def sound(said: str, *english: str) -> str:
    """What a translator wrote, where no placeholder is in it that nobody fills; else the first of `english`."""
    if said in english:
        return said
    if _per_cents(said) != _per_cents(english[0]):
        return english[0]
    try:
        known = {field for sentence in english for field in _fields(sentence)}
        return said if known.issuperset(_fields(said)) else english[0]
    except ValueError:  # a brace too many
        return english[0]


def _fields(sentence: str) -> Iterator[tuple[str, str | None, str | None]]:
    """Each placeholder: name, format and conversion."""
    for _text, name, form, conversion in string.Formatter().parse(sentence):
        if name is not None:
            yield name, form, conversion


def _per_cents(sentence: str) -> list[str]:
    """What argparse fills, or trips over: `%s`, `%(prog)s`, a per cent sign that is not doubled."""
    return sorted(found for found in _PER_CENT.findall(sentence) if found != "%%")


def tag() -> str:
    """What a person reads, as a language tag (BCP 47): the `Language` of the catalogue's header, `cy` or `fr-CA`."""
    named = catalogue().info().get("language", "").replace("_", "-")
    return named if _TAG.fullmatch(named) else SOURCE


@functools.cache
def catalogue() -> gnu.NullTranslations:
    """The person's catalogue: looked for once in a process."""
    found = (catalogue_in(folder) for folder in folders())
    return next((one for one in found if one is not None), gnu.NullTranslations())


def catalogue_in(folder: Path) -> gnu.NullTranslations | None:
    """The person's catalogue in `folder`; None for none there, or a damaged one: English is always at hand."""
    try:
        return gnu.translation(DOMAIN, folder)
    except (OSError, ValueError, LookupError, struct.error):  # the last three: cut short, or of an unknown encoding
        return None


def stay_english() -> None:
    """From now on, here and in child processes. For what servers and administrators' commands say: programs read it,
    it is kept, and colleagues elsewhere are sent it."""
    os.environ["LANGUAGE"] = "C"
    catalogue.cache_clear()


def folders() -> tuple[Path, ...]:
    """Where catalogues may be, the person's own first (XDG base directories)."""
    own = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111 - no home, no error
    shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    data = [Path(folder) for folder in (own, *shared.split(":")) if folder.startswith("/")]
    return (*(folder / "locale" for folder in data), Path(__file__).parent / "locale")

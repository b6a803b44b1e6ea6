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
from pathlib import Path

SOURCE = "en-GB"
"""The language of the source."""
DOMAIN = "renewagent"
"""The catalogue's name."""


def N_(sentence: str) -> str:
    """Marks `sentence` for the catalogue, and leaves it as it is."""
    return sentence


def _(sentence: str) -> str:
    """`sentence` in the person's language; as it is where no catalogue has it."""
    return catalogue().gettext(sentence) if sentence else ""  # "" is the catalogue's own header


def ngettext(one: str, many: str, number: int) -> str:
    """The form that goes with `number`."""
    return catalogue().ngettext(one, many, number)


def tag() -> str:
    """What a person reads, as a language tag (BCP 47): the `Language` of the catalogue's header, `cy` or `fr-CA`."""
    return catalogue().info().get("language", "").replace("_", "-") or SOURCE


@functools.cache
def catalogue() -> gnu.NullTranslations:
    """The person's catalogue: looked for once in a process."""
    for folder in folders():
        try:
            return gnu.translation(DOMAIN, folder)
        except (OSError, UnicodeError, ValueError):  # none there, or a damaged one: English is always at hand
            continue
    return gnu.NullTranslations()


def folders() -> tuple[Path, ...]:
    """Where catalogues may be, the person's own first (XDG base directories)."""
    own = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    data = [Path(folder) for folder in (own, *shared.split(":")) if folder.startswith("/")]
    return (*(folder / "locale" for folder in data), Path(__file__).parent / "locale")

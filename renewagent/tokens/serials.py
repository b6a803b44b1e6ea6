"""What the serial number on the back of a token says of it: whose it is, and what the vendor asks for to reset it.

Pure. The rows below are what is known; an administrator adds others in the console's settings. The longest prefix that
fits decides.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from functools import reduce

from renewagent.language import N_, _
from renewagent.tokens.errors import FormError
from renewagent.tokens.model import TokenKind

ADMINISTRATOR = N_("your EPCS administrator")
"""Whom to ask, where nobody is named."""
_PREFIX = re.compile(r"[A-Z0-9]{2,12}")
_ANY = r"[A-Z0-9]{3,20}"
_LONGEST = 40
_BETWEEN = re.compile(r"[\s.\u2010-\u2015-]")


class Asks(Enum):
    """What a ticket for a reset needs of the token: two codes, or two counter numbers that it shows; NONE where the
    maker resets none, so that one beyond two codes' help is replaced."""

    CODES = "codes"
    COUNTERS = "counters"
    NONE = "none"

    @property
    def words(self) -> str:
        """As the vendor's form calls one of them, but for its number."""
        return {Asks.CODES: "Code", Asks.COUNTERS: "Counter Number", Asks.NONE: ""}[self]


@dataclass(frozen=True, slots=True)
class Profile:
    """Tokens whose serial begins with `prefix` and goes on as `rest` has it (a regular expression of capitals and
    digits). `maker`: as people call them."""

    prefix: str
    asks: Asks
    maker: str
    kind: TokenKind = TokenKind.HARDWARE
    rest: str = _ANY

    def fits(self, serial: str) -> bool:
        """Of a normalised serial."""
        return serial.startswith(self.prefix) and bool(re.fullmatch(self.rest, serial[len(self.prefix) :]))


KNOWN = (
    Profile("GAHE", Asks.CODES, N_("Exostar hardware token")),
    Profile("GALH", Asks.COUNTERS, N_("Exostar hardware token with a counter")),
    # Others resynchronise with two codes at most; what is beyond that, their makers replace.
    Profile("", Asks.NONE, N_("OneSpan hardware token"), rest=r"[0-9]{8,12}"),
    Profile("AVT", Asks.NONE, N_("Symantec VIP hardware token"), rest=r"[0-9]{8,10}"),
    Profile("FT", Asks.NONE, N_("Symantec VIP hardware token"), rest=r"[0-9]{8,11}"),
    *(
        Profile(prefix, Asks.NONE, N_("Symantec VIP Access app"), TokenKind.SOFT, r"[0-9]{8,9}")
        for prefix in ("SYMC", "SYMD", "SYMZ", "VSST")
    ),
)


def normalised(typed: str) -> str:
    """A serial in capitals and digits alone, however it was typed: spaces, hyphens and small letters do not count."""
    return _BETWEEN.sub("", unicodedata.normalize("NFKC", typed)).upper()


def extended(rows: Mapping[str, Mapping[str, str]], known: Iterable[Profile] = KNOWN) -> tuple[Profile, ...]:
    """The table with an administrator's rows: prefix to {"asks": "codes" | "counters" | "none", "maker": NAME}; one of
    theirs takes the place of ours. Raises ValueError with what is wrong."""
    theirs = {normalised(prefix): _row(prefix, row) for prefix, row in rows.items()}
    return (*theirs.values(), *(profile for profile in known if profile.prefix not in theirs))


def _row(prefix: str, row: Mapping[str, str]) -> Profile:
    if not _PREFIX.fullmatch(normalised(prefix)):
        raise ValueError(f"{prefix!r} is no prefix of a token's serial number: 2 to 12 letters and digits")
    if row.get("asks") not in [each.value for each in Asks]:
        raise ValueError(f'what tokens {prefix} need for a reset ("asks") is "codes", "counters" or "none"')
    if not row.get("maker", "").strip() or row.keys() - {"asks", "maker"}:
        raise ValueError(f'tokens {prefix} have "asks" and the "maker"\'s name, and nothing else')
    return Profile(normalised(prefix), Asks(row["asks"]), row["maker"].strip())


def profile_of(
    typed: str, table: Iterable[Profile] = KNOWN, *, ask: str = ADMINISTRATOR, field: str = "serial"
) -> tuple[str, Profile]:
    """The serial as it is kept, and what is known of such tokens. Raises FormError for what is no serial number, and
    for one that begins as none we know."""
    serial, rows = normalised(typed), tuple(table)
    if not serial:
        raise FormError(_("Type the serial number from the back of the token."), field)
    if len(serial) > _LONGEST or not (serial.isascii() and serial.isalnum()):
        raise FormError(_("A token's serial number is letters and digits alone."), field, advice=_(_LOOK))
    fitting = [row for row in rows if row.fits(serial)]
    if not fitting:
        raise _unknown(serial, rows, ask, field)
    return serial, reduce(lambda one, other: other if len(other.prefix) > len(one.prefix) else one, fitting)


_LOOK = N_("Look at the back of the token: the serial number is next to the bar code, or below it. Then try again.")


def _unknown(serial: str, table: tuple[Profile, ...], ask: str, field: str) -> FormError:
    same = [row for row in table if row.prefix and serial.startswith(row.prefix)]
    if same:
        return FormError(
            _("{serial} begins like one of {maker}s, but it is not as long as theirs.").format(
                serial=serial, maker=_(same[0].maker)
            ),
            field,
            advice=_(_LOOK),
        )
    close = get_close_matches(serial[:4], [row.prefix for row in table if len(row.prefix) == 4], 1, 0.7)
    guess = " " + _("Did you mean {word}?").format(word=close[0] + serial[4:]) if close else ""
    return FormError(
        _("No kind of token that is known here has a serial number that begins with {begin}.").format(begin=serial[:4])
        + guess,
        field,
        advice=_(
            "Compare it with the back of the token. If it is right, ask {ask}, who can add this kind of token."
        ).format(ask=_(ask)),
    )


def same_token(on_screen: str, back: str, field: str = "back") -> None:
    """Whether the token in the person's hand is the registered one, before anything is done with it. `back`: as they
    typed it from its back. Raises FormError."""
    registered, typed = normalised(on_screen), normalised(back)
    if not typed:
        raise FormError(_("Type the serial number from the back of the token."), field)
    if typed != registered:
        raise FormError(
            _("The token that is registered is {registered}; the one in your hand is {typed}.").format(
                registered=registered, typed=typed
            ),
            field,
            advice=_(
                "If you mistyped it, type it again. If it is another token, take the registered one, or register "
                "this one."
            ),
        )

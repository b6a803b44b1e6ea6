"""The numbers by which prescribers are known in the US, and their check digits. Pure: it cannot be known here whether
somebody really has such a number, only that no digit of it was mistyped.
"""

from __future__ import annotations

import re

from renewagent.language import _
from renewagent.tokens.errors import FormError

_DEA = re.compile(r"[A-Z][A-Z9][0-9]{7}")
_NPI = re.compile(r"[0-9]{10}")
_ISSUER = "80840"
"""What a card's number begins with that carries an NPI (45 CFR 162.406, ISO 7812): part of what is checked."""


def read_npi(text: str, field: str = "npi") -> str:
    """A National Provider Identifier as its ten digits; spaces and hyphens may be typed. Raises FormError."""
    digits = _plain(text)
    if not _NPI.fullmatch(digits):
        raise FormError(_("A National Provider Identifier (NPI) is ten digits."), field)
    if luhn_sum(_ISSUER + digits) % 10:
        raise FormError(
            _("{digits} is not a National Provider Identifier (NPI): its last digit does not fit the others.").format(
                digits=digits
            ),
            field,
            advice=_("Compare each digit with your NPI as it is registered; two are often swapped. Then try again."),
        )
    return digits


def luhn_sum(digits: str) -> int:
    """Every second digit doubled, from the right but for the last one, and all digits added: 0 modulo 10 if right."""
    doubled = (int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits)))
    return sum(d // 10 + d % 10 for d in doubled)


def read_dea(text: str, field: str = "dea") -> str:
    """A DEA registration number in capitals. Raises FormError. The suffix by which a hospital tells those apart who use
    its own number (21 CFR 1301.22(c)) is not part of it: they are no registrants."""
    number = _plain(text)
    if not _DEA.fullmatch(number):
        raise FormError(
            _("A DEA registration number is two letters and seven digits, such as AB1234563."),
            field,
            advice=_("Leave out what may follow after a hyphen, then try again."),
        )
    digits = [int(d) for d in number[2:]]
    if (sum(digits[0:6:2]) + 2 * sum(digits[1:6:2])) % 10 != digits[6]:
        raise FormError(
            _("{number} is not a DEA registration number: its last digit does not fit the others.").format(
                number=number
            ),
            field,
            advice=_("Compare each digit with your DEA certificate, then try again."),
        )
    return number


def _plain(text: str) -> str:
    return re.sub(r"[\s\u2010-\u2015-]", "", text).upper()

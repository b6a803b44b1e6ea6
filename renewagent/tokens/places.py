"""Where a parcel can go: countries, the states of the US with the first digit of their ZIP codes, postal codes and
telephone numbers. Pure data and what is read by it; a carrier may still know better.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from renewagent.language import N_, _
from renewagent.tokens.errors import FormError

US = "US"
_US_NAMES = frozenset(("US", "USA", "U S", "U S A", "UNITED STATES", "UNITED STATES OF AMERICA", "AMERICA"))
_NAMED = MappingProxyType(
    {
        "CANADA": "CA",
        "MEXICO": "MX",
        "GERMANY": "DE",
        "IRELAND": "IE",
        "FRANCE": "FR",
        "JAPAN": "JP",
        "AUSTRALIA": "AU",
        "NEW ZEALAND": "NZ",
        "UNITED KINGDOM": "GB",
        "GREAT BRITAIN": "GB",
        "UK": "GB",
    }
)
_POSTAL_CODES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "US": (r"[0-9]{5}(-[0-9]{4})?", N_("five digits, such as 62704, or nine, such as 62704-1234")),
        "CA": (r"[A-CEGHJ-NPR-TVXY][0-9][A-CEGHJ-NPR-TV-Z] ?[0-9][A-CEGHJ-NPR-TV-Z][0-9]", N_("such as K1A 0B1")),
        "GB": (r"(GIR ?0AA|[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2})", N_("such as SW1A 1AA")),
        "MX": (r"[0-9]{5}", N_("five digits")),
        "DE": (r"[0-9]{5}", N_("five digits")),
        "FR": (r"[0-9]{5}", N_("five digits")),
        "AU": (r"[0-9]{4}", N_("four digits")),
        "NZ": (r"[0-9]{4}", N_("four digits")),
        "JP": (r"[0-9]{3}-?[0-9]{4}", N_("seven digits, such as 100-0001")),
    }
)
_ANY_POSTAL_CODE = r"([A-Z0-9][A-Z0-9 -]{0,10}[A-Z0-9])?"  # some countries have none

# Which digits a state's ZIP codes begin with, as the US Postal Service has them: a state that has two is named twice.
_BY_ZIP = MappingProxyType(
    {
        "0": "AE CT MA ME NH NJ NY PR RI VI VT",
        "1": "DE NY PA",
        "2": "DC MD NC SC VA WV",
        "3": "AA AL FL GA MS TN",
        "4": "IN KY MI OH",
        "5": "DC IA MN MT ND SD WI",
        "6": "IL KS MO NE",
        "7": "AR LA OK TX",
        "8": "AZ CO ID NM NV TX UT WY",
        "9": "AK AP AS CA FM GU HI MH MP OR PW WA",
    }
)
STATES: Mapping[str, str] = MappingProxyType(
    {
        "AA": "Armed Forces Americas",
        "AE": "Armed Forces Europe",
        "AK": "Alaska",
        "AL": "Alabama",
        "AP": "Armed Forces Pacific",
        "AR": "Arkansas",
        "AS": "American Samoa",
        "AZ": "Arizona",
        "CA": "California",
        "CO": "Colorado",
        "CT": "Connecticut",
        "DC": "District of Columbia",
        "DE": "Delaware",
        "FL": "Florida",
        "FM": "Federated States of Micronesia",
        "GA": "Georgia",
        "GU": "Guam",
        "HI": "Hawaii",
        "IA": "Iowa",
        "ID": "Idaho",
        "IL": "Illinois",
        "IN": "Indiana",
        "KS": "Kansas",
        "KY": "Kentucky",
        "LA": "Louisiana",
        "MA": "Massachusetts",
        "MD": "Maryland",
        "ME": "Maine",
        "MH": "Marshall Islands",
        "MI": "Michigan",
        "MN": "Minnesota",
        "MO": "Missouri",
        "MP": "Northern Mariana Islands",
        "MS": "Mississippi",
        "MT": "Montana",
        "NC": "North Carolina",
        "ND": "North Dakota",
        "NE": "Nebraska",
        "NH": "New Hampshire",
        "NJ": "New Jersey",
        "NM": "New Mexico",
        "NV": "Nevada",
        "NY": "New York",
        "OH": "Ohio",
        "OK": "Oklahoma",
        "OR": "Oregon",
        "PA": "Pennsylvania",
        "PR": "Puerto Rico",
        "PW": "Palau",
        "RI": "Rhode Island",
        "SC": "South Carolina",
        "SD": "South Dakota",
        "TN": "Tennessee",
        "TX": "Texas",
        "UT": "Utah",
        "VA": "Virginia",
        "VI": "Virgin Islands",
        "VT": "Vermont",
        "WA": "Washington",
        "WI": "Wisconsin",
        "WV": "West Virginia",
        "WY": "Wyoming",
    }
)
"""Two letters as the US Postal Service has them, and the name."""


def read_country(text: str, field: str = "country") -> str:
    """Two letters (ISO 3166-1), from these or from the commoner names. Raises FormError."""
    name = " ".join(text.replace(".", " ").upper().split())
    if name in _US_NAMES:
        return US
    code = _NAMED.get(name, name)
    if not re.fullmatch(r"[A-Z]{2}", code):
        raise FormError(
            _("{text} is no country that is known here.").format(text=repr(text)),
            field,
            advice=_("Type its two letters: US, CA."),
        )
    return code


def read_state(text: str, country: str, field: str = "state") -> str:
    """The two letters of a state of the US, which may be written out; elsewhere what was typed. Raises FormError."""
    if country != US:
        return text
    plain = text.replace(".", "").upper()
    by_name = {name.upper(): code for code, name in STATES.items()}
    if (code := by_name.get(plain, plain)) not in STATES:
        raise FormError(
            _("{text} is no state of the US.").format(text=repr(text)),
            field,
            advice=_("Type its two letters, such as IL."),
        )
    return code


def read_postal_code(text: str, country: str, state: str, field: str = "postal_code") -> str:
    """In capitals; a ZIP code must be one of its state. Raises FormError."""
    code = text.upper()
    if country == US:
        code = re.sub(r"^([0-9]{5})[ -]?([0-9]{4})$", r"\1-\2", code)
    shape, words = _POSTAL_CODES.get(country, (_ANY_POSTAL_CODE, N_("letters and digits")))
    if not re.fullmatch(shape, code):
        said = _("{text} is no ZIP code.") if country == US else _("{text} is no postal code of {country}.")
        advice = _("It is {words}.").format(words=_(words)) if words else None
        raise FormError(said.format(text=repr(text), country=country), field, advice=advice)
    if country == US and state in STATES and state not in _BY_ZIP[code[0]].split():
        raise FormError(
            _("ZIP code {code} is not in {state}.").format(code=code, state=STATES[state]),
            field,
            advice=_("Check the ZIP code and the state."),
        )
    return code


def read_phone(text: str, country: str, field: str = "phone") -> str:
    """As typed, if a carrier can dial it: in the US ten digits, from abroad with + and the country's code; an extension
    may follow. Raises FormError."""
    number, _x, extension = re.sub(r"(?i)\s*(ext\.?|extension|x)\s*", "x", text).partition("x")
    digits = re.sub(r"[\s().\u2010-\u2015/-]", "", number)
    shape = r"(\+?1)?[2-9][0-9]{2}[2-9][0-9]{6}" if country == US else r"(\+|00)?[0-9]{6,15}"
    if not re.fullmatch(shape, digits) or not re.fullmatch(r"[0-9]{0,8}", extension):
        raise FormError(
            _("{text} is no telephone number that a carrier can call.").format(text=repr(text)),
            field,
            advice=_("Type it with its area code, such as 217-555-0142 or +1 217 555 0142."),
        )
    return text

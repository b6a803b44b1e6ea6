"""What a vendor's support desk asks for, field by field: a reset ticket, a replacement, a spare. Pure.

A page and a terminal draw the same `fields_of`; what was typed comes back as text by a field's name and is read by
`read_reset` or `read_order`, which raise FormError for the first field that cannot be so (`faults` has them all).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial

from renewagent.language import N_, _
from renewagent.tokens.errors import FormError
from renewagent.tokens.model import Address, Picture
from renewagent.tokens.npi import read_npi
from renewagent.tokens.pictures import sides_missing
from renewagent.tokens.places import read_country, read_phone, read_postal_code, read_state
from renewagent.tokens.serials import ADMINISTRATOR, KNOWN, Asks, Profile, profile_of
from renewagent.tokens.tickets import Order, OrderKind, ResetTicket

RESET, REPLACEMENT, SPARE = "reset", OrderKind.REPLACEMENT.value, OrderKind.SPARE.value
KINDS = (RESET, REPLACEMENT, SPARE)
Typed = Mapping[str, str]

NEVER_ARRIVED = "never-arrived"
FREE_CAUSES: Mapping[str, str] = {
    NEVER_ARRIVED: N_("It never arrived."),
    "arrived-broken": N_("It arrived broken."),
    "flaw": N_("It stopped working by itself."),
}
"""Why the vendor replaces a token for nothing. By key: in words."""
PAID_CAUSES: Mapping[str, str] = {
    "lost": N_("It is lost or was stolen."),
    "broken-by-use": N_("It was broken in use."),
    "backup": N_("A second one, to keep as a backup."),
}
"""Why one is bought."""


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a form. `label`: as the vendor calls it; `hint`: a sentence, or ""; `choices`: key to words, where
    it is one of these; `autocomplete`: as HTML has it."""

    name: str
    label: str
    hint: str = ""
    required: bool = True
    longest: int = 60
    choices: Mapping[str, str] = field(default_factory=dict)
    autocomplete: str = "off"


_PROVIDER = Field("provider", N_("Provider Full Name"), autocomplete="name")
_NPI = Field("npi", N_("National Provider Identifier (NPI)"), N_("Ten digits."), longest=20)
_SERIAL = Field(
    "serial", N_("Hardware Token Serial Number"), N_("From the back of the token, not from memory."), longest=40
)
_EMAIL = Field(
    "email",
    N_("Email Address with Exostar"),
    N_("The one that the vendor knows you by."),
    longest=254,
    autocomplete="email",
)
_CAUSE = Field("cause", N_("What happened"), choices=FREE_CAUSES)
_EXPLANATION = Field("explanation", N_("Explanation of what is broken"), N_("In a sentence or two."), longest=1000)
_SHIP_TO = (
    Field("company", N_("Ship To Company Name"), autocomplete="organization"),
    Field("attention", N_("Ship To Attn"), N_("Who opens the parcel."), autocomplete="name"),
    Field("street1", N_("Ship To Street Address1"), autocomplete="address-line1"),
    Field("street2", N_("Ship To Street Address2"), required=False, autocomplete="address-line2"),
    Field("suite", N_("Suite number"), N_("Leave it out only if there is none."), required=False, longest=30),
    Field("city", N_("Ship To City"), autocomplete="address-level2"),
    Field("state", N_("Ship To State"), autocomplete="address-level1"),
    Field("postal_code", N_("Ship To Zip/Postal Code"), longest=12, autocomplete="postal-code"),
    Field("country", N_("Ship To Country"), autocomplete="country"),
    Field("phone", N_("Ship To Phone Number"), longest=40, autocomplete="tel"),
    Field("tracking_email", N_("Email Address for tracking confirmation"), longest=254, autocomplete="email"),
)


def fields_of(kind: str, profile: Profile | None = None) -> tuple[Field, ...]:
    """The lines of a form of KINDS, in the vendor's order. `profile`: of the token to be reset, which decides whether
    codes or counter numbers are asked for."""
    if kind == RESET:
        return (_PROVIDER, _NPI, _SERIAL, *_values(profile))
    broken = (_SERIAL, _CAUSE, _EXPLANATION) if kind == REPLACEMENT else ()
    return (_PROVIDER, _EMAIL, *broken, *_SHIP_TO)


_LABELS = {
    Asks.CODES: (N_("Code 1"), N_("Code 2")),
    Asks.COUNTERS: (N_("Counter Number 1"), N_("Counter Number 2")),
    Asks.NONE: (N_("Code or Counter Number 1"), N_("Code or Counter Number 2")),
}
_PRESS = (
    N_("Press the white button and type what it shows."),
    N_("Press the white button and type what it shows, the next time."),
)
_COUNT = (N_("As the token shows it."), N_("As the token shows it, the next time."))


def _values(profile: Profile | None) -> tuple[Field, ...]:
    asks = profile.asks if profile is not None else Asks.NONE
    (first, second), (how, again) = _LABELS[asks], _COUNT if asks is Asks.COUNTERS else _PRESS
    return Field("first", first, how, longest=20), Field("second", second, again, longest=20)


def read_reset(typed: Typed, table: Iterable[Profile] = KNOWN, *, ask: str = ADMINISTRATOR) -> ResetTicket:
    """The ticket that was typed. Raises FormError; for a token whose maker resets none its `field` is "serial"."""
    form, profile, ticket = _reset(typed, table, ask)
    form.raise_first()
    assert ticket is not None and profile is not None  # noqa: S101  # else something was raised
    return ticket


def read_order(
    kind: OrderKind,
    typed: Typed,
    pictures: Iterable[Picture] = (),
    table: Iterable[Profile] = KNOWN,
    *,
    ask: str = ADMINISTRATOR,
) -> Order:
    """The order that was typed. `pictures`: as `pictures.prepared` made them. Raises FormError."""
    form, order = _order(kind, typed, tuple(pictures), table, ask)
    form.raise_first()
    assert order is not None  # noqa: S101
    return order


def faults(
    kind: str, typed: Typed, pictures: Iterable[Picture] = (), table: Iterable[Profile] = KNOWN
) -> list[FormError]:
    """Everything about a form that cannot be so, in its fields' order; [] if it can be sent."""
    if kind == RESET:
        return _reset(typed, table, ADMINISTRATOR)[0].faults
    return _order(OrderKind(kind), typed, tuple(pictures), table, ADMINISTRATOR)[0].faults


@dataclass(slots=True)
class _Form:
    """Reads fields, and keeps what is wrong with them."""

    typed: Typed
    faults: list[FormError] = field(default_factory=list)

    def take(self, line: Field, read: Callable[[str], str] | None = None) -> str:
        """What was typed, read; "" if it cannot be so."""
        try:
            text = _clean(self.typed.get(line.name, ""), line)
            return read(text) if read is not None and text else text
        except FormError as fault:
            self.faults.append(fault)
            return ""

    def raise_first(self) -> None:
        if self.faults:
            raise self.faults[0]


def _reset(typed: Typed, table: Iterable[Profile], ask: str) -> tuple[_Form, Profile | None, ResetTicket | None]:
    form, found = _Form(typed), _Found(table, ask)
    provider, npi = form.take(_PROVIDER, _full_name), form.take(_NPI, read_npi)
    serial = form.take(_SERIAL, found.read_resettable)
    lines = _values(found.profile)
    read = partial(_value, found.profile.asks if found.profile else Asks.NONE)
    first, second = (form.take(line, partial(read, line)) for line in lines)
    if first and second and found.profile:
        form.faults += _out_of_order(found.profile.asks, first, second)
    if form.faults or found.profile is None:
        return form, found.profile, None
    asks = found.profile.asks.value
    return form, found.profile, ResetTicket(provider, npi, serial, asks, (first, second))


def _order(
    kind: OrderKind, typed: Typed, pictures: tuple[Picture, ...], table: Iterable[Profile], ask: str
) -> tuple[_Form, Order | None]:
    form, found = _Form(typed), _Found(table, ask)
    provider, email = form.take(_PROVIDER, _full_name), form.take(_EMAIL, partial(_email, _EMAIL.name))
    serial = explanation = ""
    if kind is OrderKind.REPLACEMENT:
        cause = form.take(_CAUSE, _free_cause)
        arrived = cause != NEVER_ARRIVED
        serial = form.take(_SERIAL if arrived else replace(_SERIAL, required=False), found.read)
        explanation = f"{FREE_CAUSES.get(cause, '')} {form.take(_EXPLANATION)}".strip()
        if arrived:
            form.faults += _pictures_missing(pictures)
        elif serial:  # of no token that anybody has here
            serial, explanation = "", f"{explanation} (Serial number {serial}.)"  # the vendor reads it
    address = _address(form)
    if form.faults:
        return form, None
    return form, Order(kind, provider, email, address, serial, explanation, pictures)


def _pictures_missing(pictures: tuple[Picture, ...]) -> list[FormError]:
    return [
        FormError(
            _("A picture of the {side} of the token is missing.").format(side=_(side)),
            side,
            advice=_("Take one, and add it."),
        )
        for side in sides_missing(pictures)
    ]


@dataclass(slots=True)
class _Found:
    """The profile that a serial led to."""

    table: Iterable[Profile]
    ask: str
    profile: Profile | None = None

    def read(self, text: str) -> str:
        serial, self.profile = profile_of(text, self.table, ask=self.ask)
        return serial

    def read_resettable(self, text: str) -> str:
        serial = self.read(text)
        if self.profile is not None and self.profile.asks is Asks.NONE:
            raise FormError(
                _("The maker of {serial} ({maker}) resets no tokens.").format(
                    serial=serial, maker=_(self.profile.maker)
                ),
                _SERIAL.name,
                advice=_("Resynchronise it with two codes. If that is refused again, order another token."),
            )
        return serial


def _address(form: _Form) -> Address:
    lines = {line.name: line for line in _SHIP_TO}
    country = form.take(lines["country"], read_country)
    state_line, code_line = lines["state"], lines["postal_code"]
    if country and country != "US":  # elsewhere there may be neither
        state_line, code_line = replace(state_line, required=False), replace(code_line, required=False)
    state = form.take(state_line, lambda text: read_state(text, country))
    read: dict[str, Callable[[str], str]] = {
        "postal_code": lambda text: read_postal_code(text, country, state) if country else text,
        "phone": lambda text: read_phone(text, country),
        "tracking_email": partial(_email, "tracking_email"),
    }
    known = {"country": country, "state": state, "postal_code": form.take(code_line, read["postal_code"])}
    for name, line in lines.items():
        if name not in known:
            known[name] = form.take(line, read.get(name))
    order = [line.name for line in (_PROVIDER, _EMAIL, _SERIAL, _CAUSE, _EXPLANATION, *_SHIP_TO)]
    form.faults.sort(key=lambda fault: order.index(fault.field) if fault.field in order else len(order))
    return Address(**{one.name: known[one.name] for one in fields(Address)})


def _clean(text: str, line: Field) -> str:
    if not isinstance(text, str):
        raise FormError(_("{label}: this is text.").format(label=_(line.label)), line.name)
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cs", "Cn") for sign in text):
        raise FormError(
            _("{label}: there are characters in it that nobody can read.").format(label=_(line.label)), line.name
        )
    if not text and line.required:
        raise FormError(
            _("{label}: this is needed.").format(label=_(line.label)),
            line.name,
            advice=_(line.hint) or _("Fill it in, then try again."),
        )
    if len(text) > line.longest:
        raise FormError(
            _("{label}: at most {longest} characters.").format(label=_(line.label), longest=line.longest), line.name
        )
    return text


def _free_cause(cause: str) -> str:
    if cause in PAID_CAUSES:
        raise FormError(
            _("The vendor replaces a token for nothing only if it never arrived, arrived broken or stopped by itself."),
            _CAUSE.name,
            advice=_("Order a spare token, which is bought."),
        )
    if cause not in FREE_CAUSES:
        raise FormError(_("What happened is one of: {causes}.").format(causes=", ".join(FREE_CAUSES)), _CAUSE.name)
    return cause


def _full_name(text: str) -> str:
    words = [word for word in text.split() if any(sign.isalpha() for sign in word)]
    if len(words) < 2 or any(unicodedata.category(sign)[0] in "NSC" for sign in text):
        raise FormError(
            _("The provider's full name is their first and their last name."),
            _PROVIDER.name,
            advice=_("Type it as the vendor knows it, without numbers."),
        )
    return text


_EMAIL_SHAPE = re.compile(r"[^\s@\"(),:;<>\[\\\]]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}")


def _email(name: str, text: str) -> str:
    local = text.partition("@")[0]
    if not _EMAIL_SHAPE.fullmatch(text) or ".." in text or local.startswith(".") or local.endswith("."):
        raise FormError(
            _("{text} is no e-mail address.").format(text=repr(text)),
            name,
            advice=_("It looks like name@clinic.org. Try again."),
        )
    return text


def _value(asks: Asks, line: Field, text: str) -> str:
    plain = re.sub(r"[\s-]", "", text)
    if asks is Asks.COUNTERS and not re.fullmatch(r"[0-9]{1,10}", plain):
        raise FormError(_("{label} is digits alone, at most ten.").format(label=_(line.label)), line.name)
    if asks is Asks.CODES and not re.fullmatch(r"[0-9]{6,8}", plain):
        raise FormError(_("{label} is the six digits that the token shows.").format(label=_(line.label)), line.name)
    return plain


def _out_of_order(asks: Asks, first: str, second: str) -> list[FormError]:
    if first == second:
        one, other = (_(label) for label in _LABELS[asks])
        what = _("{one} and {other} are the same.").format(one=one, other=other)
        return [FormError(what, "second", advice=_("Press the button once more and type what the token shows then."))]
    if asks is Asks.COUNTERS and int(second) < int(first):
        what = _("Counter numbers only go up: the second cannot be lower than the first.")
        return [FormError(what, "second", advice=_("Type them in the order in which the token showed them."))]
    return []

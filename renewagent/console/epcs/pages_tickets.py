"""The pages "Tickets and orders": the forms of the vendor's support desk, with pictures, and how far each thing is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.routing import Route

from renewagent.console.epcs import tickets as desk_tickets
from renewagent.console.epcs.asked import Asked, nothing_there
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.own_tokens import hardware_of
from renewagent.console.epcs.pages_frame import Shown, address, deed, look
from renewagent.console.permissions import Permission
from renewagent.tokens import forms
from renewagent.tokens.errors import FormError, TokenError
from renewagent.tokens.forms import KINDS, REPLACEMENT, RESET
from renewagent.tokens.model import Picture
from renewagent.tokens.pictures import MEDIA_TYPES, MOST_OCTETS, SIDES, prepare
from renewagent.tokens.serials import Profile, profile_of

TITLES = {RESET: "Have a token reset", REPLACEMENT: "Order a replacement", forms.SPARE: "Order a spare token"}
_LARGEST = len(SIDES) * MOST_OCTETS + 256 * 1024
_LONGEST = 2_000
_PATIENCE = 300.0
_USE = Permission.USE_EPCS
_LIST, _NEW = "/epcs/tickets", "/epcs/tickets/new"


def routes(desk: Desk) -> list[Route]:
    """One form for each kind of ticket."""
    return [
        look(desk, _LIST, _USE, tickets),
        look(desk, _NEW, _USE, form),
        deed(desk, _NEW, _USE, send, form, largest=_LARGEST, patience=_PATIENCE),
        look(desk, "/epcs/tickets/{id}", _USE, ticket),
        deed(desk, "/epcs/tickets/{id}/seen", _USE, seen, ticket),
    ]


def tickets(asked: Asked) -> Shown:
    """Everything that was sent to the vendor for somebody."""
    owner = asked.owner()
    return Shown("epcs_tickets.html", {"owner": owner, "tickets": desk_tickets.tickets_of(asked.desk, owner)})


def ticket(asked: Asked) -> Shown:
    """How far one is."""
    owner = asked.owner()
    found = desk_tickets.find(asked.desk, owner, asked.gap("id"))
    return Shown("epcs_ticket.html", {"owner": owner, "ticket": found, "title": TITLES[found.kind]})


def form(asked: Asked) -> Shown:
    """A form to fill in, or one with what has to be corrected."""
    owner, kind = asked.owner(), _kind(asked)
    typed = _typed(asked)
    serial = typed.get("serial") or asked.query.get("serial", "")
    tokens = hardware_of(asked.desk, owner)
    known = {"provider": owner.name, "serial": serial}
    context = {
        "owner": owner,
        "kind": kind,
        "title": TITLES[kind],
        "fields": forms.fields_of(kind, _profile(asked.desk, serial)),
        "known": known,
        "tokens": [token for token in tokens if not token.state.is_over],
        "sides": SIDES if kind == REPLACEMENT else (),
        "media_types": MEDIA_TYPES,
        "again": bool(_octets(asked)),
    }
    return Shown("epcs_ticket_form.html", context, _faults(asked, kind, typed) if asked.said else {})


def send(asked: Asked) -> str:
    """To the vendor, now or as soon as it answers."""
    owner, kind, typed = asked.owner(), _kind(asked), _typed(asked)
    if kind == RESET:
        opened = desk_tickets.open_reset(asked.desk, asked.person, owner, typed)
    else:
        pictures = [Picture(side, "", octets) for side, octets in _octets(asked).items()]
        opened = desk_tickets.order(asked.desk, asked.person, owner, typed, pictures)
    said = "opened-cleaned" if opened.told else "opened"
    return address(f"{_LIST}/{opened.ticket.id}", asked, owner, said=said)


def seen(asked: Asked) -> str:
    """Whoever waits for it knows what the vendor did."""
    owner = asked.owner()
    desk_tickets.seen(asked.desk, owner, asked.gap("id"))
    return address(_LIST, asked, owner, said="seen")


def _kind(asked: Asked) -> str:
    kind = asked.text("kind", default="")
    if kind not in KINDS:
        raise nothing_there()
    return kind


def _typed(asked: Asked) -> dict[str, str]:
    names = [name for name, value in asked.said.items() if isinstance(value, str) and name != "user"]
    return {name: asked.text(name, most=_LONGEST, default="", lines=True) for name in names}


def _octets(asked: Asked) -> dict[str, bytes]:
    """The pictures that were sent, by side."""
    found: Mapping[str, Any] = {side: asked.said.get(side) for side in SIDES}
    return {side: octets for side, octets in found.items() if isinstance(octets, bytes)}


def _profile(desk: Desk, serial: str) -> Profile | None:
    try:
        return profile_of(serial, desk.settings.profiles)[1]
    except FormError:
        return None


def _faults(asked: Asked, kind: str, typed: Mapping[str, str]) -> dict[str, TokenError]:
    """By field, the first of each; also what is wrong with a picture."""
    pictures, wrong = [], []
    for side, octets in _octets(asked).items():
        try:
            pictures.append(prepare(side, octets).picture)
        except FormError as fault:
            wrong.append(fault)
            pictures.append(Picture(side, "", octets))  # there is one: it is not missing besides
    found: dict[str, TokenError] = {}
    for one in [*forms.faults(kind, typed, pictures, asked.desk.settings.profiles), *wrong]:
        found.setdefault(one.field, one)
    return found

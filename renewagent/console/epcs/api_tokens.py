"""Hardware tokens, and what is sent to the vendor's support desk, for programs."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from renewagent.console.epcs import hardware, tickets
from renewagent.console.epcs.asked import Asked, from_base64
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.documents import Document, told
from renewagent.console.epcs.program_gate import guard_program
from renewagent.console.epcs.tickets import Opened
from renewagent.console.permissions import Permission
from renewagent.tokens.errors import FormError
from renewagent.tokens.forms import KINDS, RESET
from renewagent.tokens.model import Picture
from renewagent.tokens.pictures import MOST_OCTETS

SIDES = ("front", "back", "error")
LARGEST_TICKET = len(SIDES) * (MOST_OCTETS + 2) // 3 * 4 + 64 * 1024
_LONGEST_FIELD = 2_000
_PATIENCE = 300.0
_NOT_IN_FORM = frozenset({"user", "pictures"})


def routes(desk: Desk) -> list[Route]:
    """All of them change something, but for a look at a ticket."""

    def guarded(work: Any, **more: Any) -> Any:
        return guard_program(desk, Permission.USE_EPCS, work, **more)

    return [
        Route("/epcs/api/tokens", guarded(register), methods=["POST"]),
        Route("/epcs/api/tokens/{serial}/resync", guarded(resync), methods=["POST"]),
        Route("/epcs/api/tokens/{serial}/lost", guarded(lost), methods=["POST"]),
        Route("/epcs/api/tokens/{serial}/activate", guarded(activate), methods=["POST"]),
        Route("/epcs/api/tokens/{serial}/retire", guarded(retire), methods=["POST"]),
        Route("/epcs/api/tickets", guarded(open_ticket, largest=LARGEST_TICKET, patience=_PATIENCE), methods=["POST"]),
        Route("/epcs/api/tickets/{id}", guarded(ticket), methods=["GET"]),
        Route("/epcs/api/tickets/{id}/seen", guarded(seen), methods=["POST"]),
    ]


def register(asked: Asked) -> Document:
    """Make a token somebody's."""
    serial, back = asked.text("serial"), asked.text("back")
    return {"token": told(hardware.register(asked.desk, asked.person, asked.owner(), serial, back))}


def resync(asked: Asked) -> Document:
    """Put it in step by two codes."""
    codes = asked.said.get("codes")
    if not isinstance(codes, list) or len(codes) != 2 or not all(isinstance(one, str) for one in codes):
        raise FormError("Two codes are needed, one after the other.", "codes")
    first, second = (one[:_LONGEST_FIELD] for one in codes)
    owner, back, serial = asked.owner(), asked.text("back"), asked.path["serial"]
    found = hardware.resynchronise(asked.desk, asked.person, owner, back, first, second, serial=serial)
    document: Document = told(found)
    return document


def lost(asked: Asked) -> Document:
    """It is lost, stolen or compromised."""
    owner, reason = asked.owner(), asked.text("reason")
    document: Document = told(hardware.report_lost(asked.desk, asked.person, owner, asked.path["serial"], reason))
    return document


def activate(asked: Asked) -> Document:
    """The spare takes over."""
    return {"token": told(hardware.activate_spare(asked.desk, asked.person, asked.owner(), asked.path["serial"]))}


def retire(asked: Asked) -> Document:
    """Give it up."""
    return {"token": told(hardware.retire(asked.desk, asked.person, asked.owner(), asked.path["serial"]))}


# --- Tickets


def open_ticket(asked: Asked) -> Document:
    """A reset ticket, or an order; the fields of its form stand beside `kind`."""
    if asked.said.get("kind") not in KINDS:
        raise FormError(f"The kind of a ticket is one of: {', '.join(KINDS)}.", "kind")
    owner = asked.owner()
    form = {name: asked.text(name, most=_LONGEST_FIELD, default="", lines=True) for name in _fields(asked)}
    if form["kind"] == RESET:
        return _opened(tickets.open_reset(asked.desk, asked.person, owner, form))
    return _opened(tickets.order(asked.desk, asked.person, owner, form, _pictures(asked)))


def ticket(asked: Asked) -> Document:
    """How far it is."""
    return {"ticket": told(tickets.find(asked.desk, asked.owner(), asked.gap("id")))}


def seen(asked: Asked) -> Document:
    """Whoever waits for it knows what the vendor did."""
    return {"ticket": told(tickets.seen(asked.desk, asked.owner(), asked.gap("id")))}


def _fields(asked: Asked) -> list[str]:
    return [name for name in asked.said if name not in _NOT_IN_FORM]


def _opened(opened: Opened) -> Document:
    return {"ticket": told(opened.ticket), "said": " ".join(opened.told)}


def _pictures(asked: Asked) -> list[Picture]:
    given = asked.said.get("pictures", [])
    if not isinstance(given, list) or len(given) > len(SIDES) or not all(isinstance(one, dict) for one in given):
        raise FormError(f"There are {len(SIDES)} pictures at the most.", "pictures")
    return [_picture(one) for one in given]


def _picture(one: dict[str, Any]) -> Picture:
    side, media_type = one.get("side"), one.get("media_type")
    if side not in SIDES or not isinstance(media_type, str):
        raise FormError(f"A picture is of one side: {', '.join(SIDES)}.", "pictures")
    return Picture(side, media_type[:100], from_base64(one.get("base64"), side, MOST_OCTETS))

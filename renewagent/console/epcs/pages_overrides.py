"""The page of administrator overrides: those that stand, with the time that is left, and the form to lend one."""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response
from starlette.routing import Route

from renewagent.console import people
from renewagent.console.epcs import api_grants, overrides, soft, soft_rows
from renewagent.console.epcs.asked import Asked, is_at_hand
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.pages_frame import Shown, address, deed, look
from renewagent.console.epcs.pages_standing import can_i_sign
from renewagent.console.permissions import Permission, Person
from renewagent.tokens.errors import DeskRefused, FormError
from renewagent.tokens.leases import Lease

PURPOSE = "Enable EPCS"
_LIST = "/epcs/overrides"
_ADMINISTER = Permission.ADMINISTER_EPCS


def routes(desk: Desk) -> list[Route]:
    """Lent by administrators; taken back by them, or by whoever has it."""
    return [
        look(desk, _LIST, _ADMINISTER, standing_overrides),
        deed(desk, _LIST, _ADMINISTER, give, standing_overrides),
        deed(desk, "/epcs/overrides/{id}/end", Permission.USE_EPCS, end, _where_it_stood),
    ]


def standing_overrides(asked: Asked) -> Shown:
    """Those that the EHR has not shown to be gone."""
    found = [(lease, _subject(asked.desk, lease)) for lease in overrides.open_leases(asked.desk)]
    seen = [(lease, whose) for lease, whose in found if whose is not None and is_at_hand(asked.person, whose)]
    minutes = int(asked.desk.settings.override.total_seconds() // 60)
    context = {"purpose": PURPOSE, "minutes": minutes, "subject": asked.query.get("user", "")[:200]}
    runs = {lease.purpose for lease, _ in seen if _is_run(asked.desk, lease.purpose)}
    return Shown("epcs_overrides.html", {**context, "leases": seen, "runs": runs})


def give(asked: Asked) -> str:
    """Lend one; for a run, back to its page."""
    typed = asked.text("minutes", default="")
    if typed and not (typed.isascii() and typed.isdigit() and 1 <= int(typed[:3]) <= 60):
        raise FormError("An override is lent for 1 to 60 minutes.", "minutes")
    said = {name: value for name, value in asked.said.items() if name != "minutes"}
    api_grants.give(replace(asked, said=said | ({"minutes": int(typed)} if typed else {})))
    purpose = asked.text("purpose")
    if _is_run(asked.desk, purpose):
        soft.go_on(asked.desk, asked.person, purpose)  # so that it stands no longer than it must
        return address(f"/epcs/soft/runs/{purpose}", asked, said="lent")
    return address(_LIST, asked, said="lent")


def end(asked: Asked) -> str:
    """Take one back."""
    api_grants.end(asked)
    if "list" in asked.said:
        return f"{_LIST}?said=taken-back"
    return address("/epcs", asked, asked.owner(), said="taken-back")


def _where_it_stood(asked: Asked) -> Shown | Response:
    return standing_overrides(asked) if "list" in asked.said else can_i_sign(asked)


def _subject(desk: Desk, lease: Lease) -> Person | None:
    entry = desk.read(lambda connection: people.ever(connection, lease.subject))
    return entry.person if entry is not None else None


def _is_run(desk: Desk, purpose: str) -> bool:
    try:
        desk.read(lambda connection: soft_rows.load(connection, purpose))
    except DeskRefused:
        return False
    return True

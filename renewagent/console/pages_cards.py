"""The list of outstanding cards with its filters and its CSV file, and the page of one card."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from renewagent.check_ins import CardState
from renewagent.console import audit, card_story, outstanding, reads
from renewagent.console.gate import guard
from renewagent.console.outstanding import EXPIRIES, Filter, Row
from renewagent.console.pages import show
from renewagent.console.pages_dashboard import choose
from renewagent.console.permissions import Permission, Person
from renewagent.console.sessions import Visitor
from renewagent.console.site import Site
from renewagent.console.standings import shown_state
from renewagent.console.words import GROUPS, STATES, what_next, why
from renewagent.spreadsheets import harmless

_EXPORTED_AT_ONCE = 2000
_GROUPS = {group.key: frozenset(group.states) for group in GROUPS if group.key != "finished"}
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """The filter of the request, and the same as the form has it."""

    campaign: str
    wanted: Filter
    fields: Mapping[str, str]

    def address(self, path: str, **more: str) -> str:
        """`path` with this filter."""
        given = {name: value for name, value in {**self.fields, "campaign": self.campaign, **more}.items() if value}
        return f"{path}?{urlencode(given)}"


def routes(site: Site) -> list[Route]:
    """The list, the file, the card."""
    return [
        Route("/cards", guard(site, Permission.SEE_CARDS, cards), methods=["GET"]),
        Route("/cards.csv", guard(site, Permission.EXPORT_CARDS, export), methods=["GET"]),
        Route("/cards/{card:path}", guard(site, Permission.SEE_CARDS, card), methods=["GET"]),
    ]


async def cards(site: Site, request: Request, visitor: Visitor) -> Response:
    """A page of the list."""
    person, now = visitor.person, site.now()
    after = request.query_params.get("after", "")

    def read(connection: sa.Connection) -> dict[str, Any]:
        published = reads.campaigns(connection)
        current = choose(published, request.query_params.get("campaign", ""), now)
        asked = _asked(request, current.campaign.id if current else "")
        page = outstanding.Page([], "")
        if current:
            shown = shown_state(now, site.settings.stuck_after)
            try:
                page = outstanding.page(connection, asked.campaign, person, asked.wanted, now, shown, after=after)
            except ValueError:
                raise HTTPException(400, "There is no such page of this list.") from None
        return {
            "campaigns": published,
            "current": current,
            "asked": asked,
            "rows": [_for(person, row) for row in page.rows],
            "next": asked.address("/cards", after=page.after) if page.after else "",
            "first": asked.address("/cards") if after else "",
            "organisations": reads.organisations(connection, person),
            "models": outstanding.models(connection, person),
            "expiries": EXPIRIES,
        }

    return show(site, request, visitor, "cards.html", await site.store.read(read))


async def export(site: Site, request: Request, visitor: Visitor) -> Response:
    """The whole list as CSV. That it was taken stands in the audit log: it may name people."""
    now = site.now()

    def begin(connection: sa.Connection) -> Asked:
        current = choose(reads.campaigns(connection), request.query_params.get("campaign", ""), now)
        if current is None:
            raise HTTPException(404, "There is no campaign yet.")
        asked = _asked(request, current.campaign.id)
        given = {name: value for name, value in asked.fields.items() if value}
        audit.record(connection, now, visitor.person.actor, "cards.exported", {"campaign": asked.campaign, **given})
        return asked

    asked = await site.store.write(begin)
    name = f"{asked.campaign}-{now:%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_lines(site, visitor.person, asked, now), media_type="text/csv", headers=headers)


async def card(site: Site, request: Request, visitor: Visitor) -> Response:
    """Everything that is known of one card."""
    person, now, name = visitor.person, site.now(), request.path_params["card"]
    shown = shown_state(now, site.settings.stuck_after)

    def read(connection: sa.Connection) -> card_story.Story | None:
        return card_story.story(connection, person, name, shown)

    story = await site.store.read(read)
    if story is None:
        raise HTTPException(404, "No such smartcard is known, or it is not one of your organisations'.")
    rows = [(campaign, _for(person, row)) for campaign, row in story.standings]
    return show(site, request, visitor, "card.html", {"story": story, "standings": rows, "card": name})


def _for(person: Person, row: Row) -> Row:
    return row if person.may(Permission.SEE_HOLDERS) else outstanding.without_holder(row)


def _asked(request: Request, campaign: str) -> Asked:
    """Raises HTTPException 400 for what is no filter."""
    names = ("organisation", "status", "issued_from", "issued_to", "expires", "type", "held")
    fields = {name: request.query_params.get(name, "").strip() for name in names}
    if max(map(len, fields.values())) > _LONGEST:
        raise HTTPException(400, "That is too long for a filter.")
    until = _date(fields["issued_to"])
    wanted = Filter(
        states=_states(fields["status"]),
        organisation=fields["organisation"],
        issued_from=_date(fields["issued_from"]),
        issued_before=until and until + timedelta(days=1),
        expires_within=_choice(fields["expires"], EXPIRIES),
        model=fields["type"],
        cards_held=_choice(fields["held"], (1, 2)),
    )
    return Asked(campaign, wanted, fields)


def _states(text: str) -> frozenset[CardState]:
    if text in _GROUPS or not text:
        return _GROUPS.get(text, frozenset())
    try:
        return frozenset({CardState(text)})
    except ValueError:
        raise HTTPException(400, "There is no such state.") from None


def _date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) if text else None
    except ValueError:
        raise HTTPException(400, "A date looks like 2026-11-22.") from None


def _choice(text: str, choices: tuple[int, ...]) -> int:
    if text and text not in map(str, choices):
        raise HTTPException(400, "There is no such choice.")
    return int(text or 0)


async def _lines(site: Site, person: Person, asked: Asked, now: datetime) -> AsyncIterator[str]:
    yield _csv([list(_columns(person))])
    shown, after = shown_state(now, site.settings.stuck_after), ""
    while True:
        place = after

        def read(connection: sa.Connection, place: str = place) -> outstanding.Page:
            return outstanding.page(
                connection,
                asked.campaign,
                person,
                asked.wanted,
                now,
                shown,
                after=place,
                size=_EXPORTED_AT_ONCE,
            )

        page = await site.store.read(read)
        yield _csv([list(_cells(person, asked.campaign, row)) for row in page.rows])
        after = page.after
        if not after:
            return


def _csv(rows: list[list[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([[harmless(cell) for cell in row] for row in rows])
    return text.getvalue()


_OF_HOLDER = ("holder", "email", "card_number")
_OF_CARD = (
    *("campaign", "state", "last_report", "organisation", "card", "issuer", "serial", "issued", "expires", "card_type"),
    *("since", "last_seen", "workstation", "next_reminder", "times_put_off", "failures", "why", "what_next", "receipt"),
)


def _columns(person: Person) -> tuple[str, ...]:
    return (*_OF_CARD, *_OF_HOLDER) if person.may(Permission.SEE_HOLDERS) else _OF_CARD


def _cells(person: Person, campaign: str, row: Row) -> tuple[object, ...]:
    about = (campaign, STATES[row.state].label, STATES[row.underlying].label, row.organisation, row.card, row.issuer)
    times = (row.serial, _time(row.not_before), _time(row.not_after), row.model, _time(row.since), _time(row.heard))
    story = (row.machine, _time(row.until), row.put_off, row.failures, why(row.why))
    cells = (*about, *times, *story, what_next(row.state, row.underlying), row.receipt)
    holder = (row.holder, row.email or "", row.card_number)
    return (*cells, *holder) if person.may(Permission.SEE_HOLDERS) else cells


def _time(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""The pages of the soft token: why it has expired, its registration anew as a row of steps, and what ends when."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from starlette.responses import Response
from starlette.routing import Route

from renewagent.console.epcs import overrides, reminders, requests, soft, soft_rows, stepper
from renewagent.console.epcs.asked import Asked
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.pages_frame import Shown, address, deed, look
from renewagent.console.epcs.soft import SoftRun
from renewagent.console.permissions import Permission, Person
from renewagent.tokens import calendar
from renewagent.tokens.calendar import REMIND_BEFORE, Reminder
from renewagent.tokens.errors import FormError, TokenError
from renewagent.tokens.grants import Action, Request, RequestState
from renewagent.tokens.reregistration import State
from renewagent.tokens.soft_causes import Cause
from renewagent.tokens.soft_questions import QUESTIONS

T = TypeVar("T")
_USE = Permission.USE_EPCS


def routes(desk: Desk) -> list[Route]:
    """A run goes on with each POST; its page only looks."""
    return [
        look(desk, "/epcs/soft", _USE, soft_token),
        look(desk, "/epcs/soft/reminders.ics", _USE, days),
        deed(desk, "/epcs/soft/runs", _USE, begin, soft_token),
        look(desk, "/epcs/soft/runs/{id}", _USE, run),
        deed(desk, "/epcs/soft/runs/{id}", _USE, go_on, run),
        deed(desk, "/epcs/soft/runs/{id}/abandon", _USE, abandon, run),
    ]


def soft_token(asked: Asked) -> Shown:
    """What is under way; the questions and what they lead to; what ends when. The answers stand in the address."""
    desk, owner = asked.desk, asked.owner()
    given = {one.id: asked.text(one.id, default="") for one in QUESTIONS}
    answers = {name: value for name, value in given.items() if value}
    runs = soft.runs_of(desk, owner, asked.person)
    found, silent = _unless_silent(lambda: soft.diagnose(desk, owner, answers))
    due, silent_vendor = _unless_silent(lambda: reminders.deadlines(desk, owner))
    now = desk.now()
    return Shown(
        "epcs_soft.html",
        {
            "owner": owner,
            "open": next((one for one in runs if not one.over), None),
            "over": [one for one in runs if one.over],
            "questions": QUESTIONS,
            "answers": answers,
            "found": found,
            "silent": silent or silent_vendor,
            "causes": {cause.value: cause.words for cause in Cause},
            "ends": [(one, _reminder(one.days_left(now), Reminder(one, (), one.days_left(now)))) for one in due or ()],
            "run_book": calendar.RUN_BOOK,
        },
    )


def days(asked: Asked) -> Response:
    """What ends when, for a calendar program."""
    text = calendar.ics(reminders.deadlines(asked.desk, asked.owner()), asked.desk.now())
    headers = {"Content-Disposition": 'attachment; filename="epcs-days.ics"'}
    return Response(text, media_type="text/calendar; charset=utf-8", headers=headers)


def begin(asked: Asked) -> str:
    """Have it registered anew."""
    owner, causes = asked.owner(), {cause.value: cause for cause in Cause}
    given = asked.text("cause", default="")
    if given not in causes:
        raise FormError("Say what happened.", "cause", advice="Select what comes closest, then try again.")
    begun = soft.begin(asked.desk, asked.person, owner, causes[given], asked.text("username", default=""))
    return _page_of(asked, begun)


def run(asked: Asked) -> Shown:
    """How far it is, whose turn it is, and what whoever looks can do about it."""
    desk = asked.desk
    found = soft.run_of(desk, asked.person, asked.gap("id"))
    kept = desk.read(lambda connection: soft_rows.load(connection, found.id)).run
    return Shown(
        "epcs_run.html",
        {
            "owner": found.owner,
            "run": found,
            "steps": stepper.steps(kept, found.who),
            "lease": next(iter(overrides.open_leases(desk, found.owner)), None),
            "request": _grant(desk, found.owner),
            "may_lend": _may_help(asked, found) and found.state is State.OVERRIDE,
            "may_enter": _may_help(asked, found) and found.state is State.GRANT,
        },
    )


def go_on(asked: Asked) -> str:
    """Do what can be done now."""
    return _page_of(asked, soft.go_on(asked.desk, asked.person, asked.gap("id")))


def abandon(asked: Asked) -> str:
    """Give it up."""
    return _page_of(asked, soft.abandon(asked.desk, asked.person, asked.gap("id")))


def _page_of(asked: Asked, found: SoftRun) -> str:
    return address(f"/epcs/soft/runs/{found.id}", asked, found.owner)


def _may_help(asked: Asked, found: SoftRun) -> bool:
    return asked.person.may(Permission.ADMINISTER_EPCS) and asked.person.id != found.owner.id


def _grant(desk: Desk, owner: Person) -> Request | None:
    """The one that waits for its second person."""
    mine = (one for one in requests.of(desk, owner) if one.action is Action.GRANT)
    return next((one for one in mine if one.state is RequestState.WAITING and one.ends > desk.now()), None)


def _reminder(left: int, told: Reminder) -> Reminder | None:
    return told if left <= REMIND_BEFORE[0] else None


def _unless_silent(ask: Callable[[], T]) -> tuple[T | None, str]:
    """What it gives, or why the outside says nothing."""
    try:
        return ask(), ""
    except FormError:
        raise
    except TokenError as problem:
        return None, problem.message

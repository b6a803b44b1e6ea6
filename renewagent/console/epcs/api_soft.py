"""Soft tokens, for programs: why one has expired, and having it registered anew."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from renewagent.console.epcs import reminders as due_reminders
from renewagent.console.epcs import soft
from renewagent.console.epcs.asked import Asked
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.documents import Document, told
from renewagent.console.epcs.program_gate import guard_program
from renewagent.console.epcs.soft import SoftRun
from renewagent.console.epcs.standing import reminders
from renewagent.console.permissions import Permission
from renewagent.tokens.errors import FormError
from renewagent.tokens.soft_causes import Cause


def routes(desk: Desk) -> list[Route]:
    """A run goes on with each POST; GET only looks."""

    def guarded(work: Any) -> Any:
        return guard_program(desk, Permission.USE_EPCS, work)

    return [
        Route("/epcs/api/soft/diagnosis", guarded(diagnosis), methods=["GET"]),
        Route("/epcs/api/soft/reminders", guarded(what_ends), methods=["GET"]),
        Route("/epcs/api/soft/runs", guarded(begin), methods=["POST"]),
        Route("/epcs/api/soft/runs/{id}", guarded(run), methods=["GET"]),
        Route("/epcs/api/soft/runs/{id}", guarded(go_on), methods=["POST"]),
        Route("/epcs/api/soft/runs/{id}/abandon", guarded(abandon), methods=["POST"]),
    ]


def diagnosis(asked: Asked) -> Document:
    """Why the EHR says "Soft Token Expired"; answers stand behind the question mark, by the question's id."""
    answers = {name: asked.text(name) for name in asked.query if name != "user"}
    found = soft.diagnose(asked.desk, asked.owner(), answers)
    more = {"cause": told(found.cause), "certain": found.certain, "takes": found.takes}
    return {"diagnosis": {**told(found), **more}}


def what_ends(asked: Asked) -> Document:
    """The app's password and the certificate: what is due, and both days."""
    owner = asked.owner()
    due = due_reminders.due(asked.desk, owner)
    return {"reminders": reminders(due), "deadlines": told(due_reminders.deadlines(asked.desk, owner))}


def begin(asked: Asked) -> Document:
    """Have it registered anew."""
    causes = {cause.value: cause for cause in Cause}
    given = asked.text("cause")
    if given not in causes:
        raise FormError(f"The cause is one of: {', '.join(causes)}.", "cause")
    username = asked.text("username", default="")
    return _run(soft.begin(asked.desk, asked.person, asked.owner(), causes[given], username))


def run(asked: Asked) -> Document:
    """How far it is."""
    return _run(soft.run_of(asked.desk, asked.person, asked.gap("id")))


def go_on(asked: Asked) -> Document:
    """Do what can be done now."""
    return _run(soft.go_on(asked.desk, asked.person, asked.gap("id")))


def abandon(asked: Asked) -> Document:
    """Give it up."""
    return _run(soft.abandon(asked.desk, asked.person, asked.gap("id")))


def _run(found: SoftRun) -> Document:
    return {"run": told(found)}

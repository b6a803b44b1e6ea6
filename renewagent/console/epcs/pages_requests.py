"""The pages of grants and revocations: entered by one person, executed by another who is shown in words what exactly
they approve, and shows a second factor for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.routing import Route

from renewagent.console.epcs import api_grants, requests
from renewagent.console.epcs.asked import Asked, is_at_hand, nothing_there
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.own_tokens import hardware_of
from renewagent.console.epcs.pages_frame import Shown, deed, look
from renewagent.console.permissions import Permission
from renewagent.tokens import approval
from renewagent.tokens.errors import FormError
from renewagent.tokens.grants import Action, Request, RequestState
from renewagent.tokens.model import TokenState

ACTIONS = {Action.GRANT.value: "Grant EPCS", Action.REVOKE.value: "Revoke EPCS"}
_LIST = "/epcs/requests"


def routes(desk: Desk) -> list[Route]:
    """Everybody of the desk sees what is open, as far as it concerns them."""
    one = "/epcs/requests/{id}"
    return [
        look(desk, _LIST, Permission.USE_EPCS, waiting),
        deed(desk, _LIST, Permission.ADMINISTER_EPCS, enter, waiting),
        look(desk, one, Permission.USE_EPCS, request),
        deed(desk, f"{one}/execute", Permission.EXECUTE_EPCS, execute, request),
        deed(desk, f"{one}/withdraw", Permission.ADMINISTER_EPCS, withdraw, request),
    ]


def waiting(asked: Asked) -> Shown:
    """What is open, and the first person's form."""
    found = requests.waiting(asked.desk, asked.person)
    seen = [one for one in found if is_at_hand(asked.person, one.subject.person)]
    context: dict[str, Any] = {"requests": seen, "actions": ACTIONS, "subject": asked.query.get("user", "")[:200]}
    return Shown("epcs_requests.html", context)


def enter(asked: Asked) -> str:
    """The first person's part."""
    if asked.text("action", default="") not in ACTIONS:
        raise FormError("Say what is to be done.", "action", advice="Select one, then try again.")
    entered = api_grants.enter(asked)["request"]
    return f"{_LIST}/{entered['id']}?said=entered"


def request(asked: Asked) -> Shown:
    """One, in words: all that is approved."""
    found = _at_hand(asked)
    is_waiting = found.state is RequestState.WAITING
    mine = hardware_of(asked.desk, asked.person)
    objection = requests.objection(asked.desk, asked.person, found) if is_waiting else None
    return Shown(
        "epcs_request.html",
        {
            "request": found,
            "approval": approval.read(requests.document_of(found).decode(), found.id) if is_waiting else None,
            "objection": objection,
            "action": ACTIONS.get(found.action.value, "Suspend EPCS"),
            "serial": next((token.serial for token in mine if token.state is TokenState.ACTIVE), ""),
            "url": asked.desk.site.settings.people.url,
        },
    )


def execute(asked: Asked) -> str:
    """The second person's part, by a code of a token of theirs; it is used up."""
    otp = {name: asked.text(name, default="") for name in ("serial", "code")}
    for name, what in (("serial", "the serial number of your token"), ("code", "a code of your token")):
        if not otp[name]:
            raise FormError(f"Type {what}.", name)
    api_grants.execute(replace(asked, said={"otp": otp}))
    return f"{_LIST}/{asked.gap('id')}?said=executed"


def withdraw(asked: Asked) -> str:
    """As long as nobody has decided it."""
    api_grants.withdraw(asked)
    return f"{_LIST}/{asked.gap('id')}?said=withdrawn"


def _at_hand(asked: Asked) -> Request:
    found = requests.find(asked.desk, asked.gap("id"))
    part = asked.person.may(Permission.ADMINISTER_EPCS) or asked.person.may(Permission.EXECUTE_EPCS)
    if found.subject.person.id != asked.person.id and not (part and is_at_hand(asked.person, found.subject.person)):
        raise nothing_there()
    return found

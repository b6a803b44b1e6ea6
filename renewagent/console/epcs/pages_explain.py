"""The page "Why is my code refused?": the tree of questions of `renewagent.tokens.explain`, one page for each. The
answers stand in the address, so that it works without scripts and back goes back.
"""

from __future__ import annotations

from types import MappingProxyType

from starlette.routing import Route

from renewagent.console.epcs.asked import Asked
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.own_tokens import own
from renewagent.console.epcs.pages_frame import Shown, look
from renewagent.console.permissions import Permission
from renewagent.tokens import explain
from renewagent.tokens.errors import FormError, TokenError
from renewagent.tokens.explain import TREE, NextStep, Question

DOORS = MappingProxyType(
    {
        NextStep.RESYNCHRONISE: ("/epcs/tokens", "", "Resynchronise it: to your tokens"),
        NextStep.RESET: ("/epcs/tickets/new", "reset", "Ask the vendor to reset it"),
        NextStep.REPLACE: ("/epcs/tickets/new", "replacement", "Order a replacement"),
        NextStep.ACTIVATE_SPARE: ("/epcs/tokens", "", "To your tokens"),
        NextStep.REGISTER: ("/epcs/tokens", "", "To your tokens"),
        NextStep.SOFT_TOKEN: ("/epcs/soft", "", "To your soft token"),
        NextStep.WAIT: ("/epcs/tokens", "", "See until when: to your tokens"),
    }
)
"""Where each ending leads to on these pages: address, kind of ticket, and words. The others need none."""


def routes(desk: Desk) -> list[Route]:
    """One address for the whole tree."""
    return [look(desk, "/epcs/explain", Permission.USE_EPCS, question)]


def question(asked: Asked) -> Shown:
    """The next question, or what is wrong. `token`: a serial, about which the desk knows some answers itself."""
    owner, serial = asked.owner(), asked.text("token", default="")
    known = _known(asked, serial) if serial else {}
    given = {name: value for name, value in asked.query.items() if isinstance(TREE.get(name), Question)}
    missing = asked.query.get("asked", "") and asked.query["asked"] not in given
    try:
        walked = explain.walk(given | known)
    except FormError:  # an address that was typed
        walked = explain.walk(known)
    context = {"owner": owner, "walked": walked, "known": known, "serial": serial, "missing": missing}
    door = None if isinstance(walked.at, Question) else DOORS.get(walked.at.step)
    return Shown("epcs_explain.html", {**context, "door": door, "message": explain.MESSAGE})


def _known(asked: Asked, serial: str) -> dict[str, str]:
    """What need not be asked about a token of theirs; whether it is the one in their hand they say themselves."""
    try:
        token = own(asked.desk, asked.owner(), serial, also_over=True)
        standing = asked.desk.authority.standing(token.serial)
    except TokenError:
        return {"kind": "hardware"}
    found = explain.known(standing, asked.desk.now(), resynchronised=token.resynchronised, refused=token.refused)
    return {name: value for name, value in found.items() if name != "serial"}

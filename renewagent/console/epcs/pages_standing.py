"""The page "Can I sign?": one answer, what was found with what to do about it, and what is under way; and the pages of
what is done at once: EPCS enabled, EPCS suspended.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.routing import Route

from renewagent.console.epcs import enabling, standing, suspensions
from renewagent.console.epcs.asked import Asked
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.findings import findings
from renewagent.console.epcs.pages_frame import Shown, address, deed, look
from renewagent.console.epcs.standing import Kept
from renewagent.console.permissions import Permission
from renewagent.health import Health, Observation
from renewagent.tokens.errors import FormError
from renewagent.tokens.grants import Action, RequestState, SuspensionReason

REASONS = {
    SuspensionReason.LOST: "A token, or the phone with the app, is lost",
    SuspensionReason.STOLEN: "A token, or the phone with the app, was stolen",
    SuspensionReason.COMPROMISED: "Somebody else may have, or know, what signs",
    SuspensionReason.REGISTRATION_ENDED: "The DEA registration has ended",
    SuspensionReason.LEFT: "They are no longer with the practice",
}
_FACTORS = ("hardware token", "soft token")
_USE = Permission.USE_EPCS


def routes(desk: Desk) -> list[Route]:
    """The first page of the desk."""
    return [
        look(desk, "/epcs", _USE, can_i_sign),
        deed(desk, "/epcs/enable", _USE, enable, can_i_sign),
        look(desk, "/epcs/suspend", _USE, suspend_form),
        deed(desk, "/epcs/suspend", _USE, suspend, suspend_form),
    ]


def can_i_sign(asked: Asked) -> Shown:
    """What is kept, what the vendor and the EHR say now, and the judgement."""
    desk, owner = asked.desk, asked.owner()
    known = standing.kept(desk, owner, asked.person)
    found = findings(standing.hear(desk, owner, known), desk.now())
    run = next((one for one in known.runs if not one.over), None)
    return Shown(
        "epcs_standing.html",
        {
            "owner": owner,
            "findings": found,
            "signs": signs(found),
            "first": None if run is not None else next((one for one in found if one.health is Health.PROBLEM), None),
            "run": run,
            "tickets": [one for one in known.tickets if one.notified is None],
            "requests": [one for one in known.requests if one.state is RequestState.WAITING],
            "suspending": _is_suspending(known),
            "leases": known.leases,
        },
    )


def signs(found: Iterable[Observation]) -> Health:
    """Whether they can sign with anything: OK, PROBLEM, or UNKNOWN."""
    by_name = [(one.name, one.health) for one in found]
    access = {health for name, health in by_name if name.startswith("EPCS")}
    factors = {health for name, health in by_name if name in _FACTORS}
    if Health.PROBLEM in access or not factors & {Health.OK, Health.UNKNOWN}:
        return Health.PROBLEM
    return Health.OK if access == {Health.OK} and Health.OK in factors else Health.UNKNOWN


def enable(asked: Asked) -> str:
    """EPCS enabled for the account, while an override stands."""
    owner = asked.owner()
    enabling.enable(asked.desk, asked.person, owner)
    return address("/epcs", asked, owner, said="enabled")


def suspend_form(asked: Asked) -> Shown:
    """Why, and what goes with it."""
    reasons = {reason.value: words for reason, words in REASONS.items()}
    return Shown("epcs_suspend.html", {"owner": asked.owner(), "reasons": reasons})


def suspend(asked: Asked) -> str:
    """At once."""
    owner, reasons = asked.owner(), {reason.value: reason for reason in SuspensionReason}
    given = asked.text("reason", default="")
    if given not in reasons:
        raise FormError("Say why.", "reason", advice="Select what comes closest, then try again.")
    note = asked.text("note", most=suspensions.LONGEST_NOTE, default="", lines=True)
    tokens: list[str] | None = [] if asked.text("what", default="") == "phone" else None
    suspensions.suspend(asked.desk, asked.person, owner, reasons[given], note, tokens)
    return address("/epcs", asked, owner, said="suspended")


def _is_suspending(known: Kept) -> bool:
    """A suspension is written down, and the EHR or the vendor has not shown yet that it is so."""
    return any(one.action is Action.SUSPEND and one.state is RequestState.EXECUTING for one in known.requests)

"""The page "Tokens": hardware tokens and what may be done about each; and a page for everything that asks for more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from starlette.routing import Route

from renewagent.console.epcs import hardware
from renewagent.console.epcs.asked import Asked
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.own_tokens import hardware_of
from renewagent.console.epcs.pages_frame import Shown, address, deed, look
from renewagent.console.epcs.token_rows import LOSSES, Token
from renewagent.console.permissions import Permission, Person
from renewagent.tokens.advice import Advice, after_resynchronising
from renewagent.tokens.errors import TokenError, UnknownToken
from renewagent.tokens.model import TokenState
from renewagent.tokens.serials import normalised

_USE = Permission.USE_EPCS
_LIST = "/epcs/tokens"


@dataclass(frozen=True, slots=True)
class Told:
    """A token as the page shows it: `state` by the vendor's word, where it gave one; `advice` of its last
    resynchronisation."""

    token: Token
    state: TokenState
    locked_until: datetime | None
    advice: Advice | None


def routes(desk: Desk) -> list[Route]:
    """One page for each thing that asks for something."""
    return [
        look(desk, _LIST, _USE, tokens),
        look(desk, "/epcs/register", _USE, register_form),
        deed(desk, "/epcs/register", _USE, register, register_form),
        look(desk, "/epcs/tokens/{serial}/resync", _USE, resync_form),
        deed(desk, "/epcs/tokens/{serial}/resync", _USE, resync, resync_form),
        look(desk, "/epcs/tokens/{serial}/lost", _USE, lost_form),
        deed(desk, "/epcs/tokens/{serial}/lost", _USE, lost, lost_form),
        deed(desk, "/epcs/tokens/{serial}/activate", _USE, activate, tokens),
        deed(desk, "/epcs/tokens/{serial}/retire", _USE, retire, tokens),
    ]


def tokens(asked: Asked) -> Shown:
    """All of them, the vendor asked about those that are not over."""
    owner = asked.owner()
    mine, silent = _told(asked.desk, owner)
    lost = next((one.token for one in mine if one.token.loss_untold), None)
    return Shown("epcs_tokens.html", {"owner": owner, "tokens": mine, "silent": silent, "untold": lost})


def register_form(asked: Asked) -> Shown:
    """The serial on the back, twice."""
    return Shown("epcs_register.html", {"owner": asked.owner()})


def register(asked: Asked) -> str:
    """Make a token somebody's."""
    owner = asked.owner()
    token = hardware.register(asked.desk, asked.person, owner, asked.text("serial"), asked.text("back"))
    return address(_LIST, asked, owner, said=f"registered-{token.state.value}")


def resync_form(asked: Asked) -> Shown:
    """Is it this one? Then two codes."""
    return Shown("epcs_resync.html", {"owner": asked.owner(), "token_here": _one(asked)})


def resync(asked: Asked) -> str:
    """Put it in step by two codes."""
    owner, names = asked.owner(), ("back", "first", "second")
    back, first, second = (asked.text(name, default="") for name in names)
    hardware.resynchronise(asked.desk, asked.person, owner, back, first, second, serial=asked.path["serial"])
    return address(_LIST, asked, owner, said="in-step")


def lost_form(asked: Asked) -> Shown:
    """What happened to it."""
    return Shown("epcs_lost.html", {"owner": asked.owner(), "token_here": _one(asked), "losses": LOSSES})


def lost(asked: Asked) -> str:
    """It is lost, stolen or compromised."""
    owner, reason = asked.owner(), asked.text("reason", default="")
    hardware.report_lost(asked.desk, asked.person, owner, asked.path["serial"], reason)
    return address(_LIST, asked, owner, said="lost")


def activate(asked: Asked) -> str:
    """The spare takes over."""
    owner = asked.owner()
    hardware.activate_spare(asked.desk, asked.person, owner, asked.path["serial"])
    return address(_LIST, asked, owner, said="activated")


def retire(asked: Asked) -> str:
    """Give it up."""
    owner = asked.owner()
    hardware.retire(asked.desk, asked.person, owner, asked.path["serial"])
    return address(_LIST, asked, owner, said="retired")


def _one(asked: Asked) -> Token:
    owner, serial = asked.owner(), normalised(asked.path["serial"])
    found = next((token for token in hardware_of(asked.desk, owner) if token.serial == serial), None)
    if found is None:
        raise UnknownToken(f"The token {serial[:40]} is not registered here for {owner.name}.")
    return found


def _told(desk: Desk, owner: Person) -> tuple[list[Told], str]:
    """Each, and why the vendor says nothing, or ""; it is asked no more once it does not answer."""
    mine, silent = [], ""
    for token in hardware_of(desk, owner):
        state, until = token.state, None
        if not (silent or token.state.is_over):
            try:
                standing = desk.authority.standing(token.serial)
                state, until = standing.state, standing.locked_until
            except UnknownToken:
                pass
            except TokenError as problem:
                silent = problem.message
        is_locked = until is not None and until > desk.now()
        mine.append(Told(token, state, until if is_locked else None, _advice(token)))
    return mine, silent


def _advice(token: Token) -> Advice | None:
    """Of the last resynchronisation, unless one was refused since."""
    at = token.resynchronised
    if at is None or token.drift is None or (token.refused is not None and token.refused > at):
        return None
    return after_resynchronising(token.drift)

"""The addresses of the EPCS desk that programs use, below /epcs/api: each a function of what is `Asked`, which calls
the flow of the same name. What each takes and gives stands in /openapi.json.
"""

from __future__ import annotations

from starlette.routing import Route

from renewagent.console.epcs import api_grants, api_soft, api_tokens, api_watch, sign_in
from renewagent.console.epcs.asked import Asked
from renewagent.console.epcs.desk import Desk
from renewagent.console.epcs.documents import Document
from renewagent.console.epcs.program_gate import guard_program
from renewagent.console.epcs.standing import standing
from renewagent.console.permissions import Permission


def routes(desk: Desk) -> list[Route]:
    """All of them, and the form to sign in by."""
    return [
        *sign_in.routes(desk),
        Route("/epcs/api/standing", guard_program(desk, Permission.USE_EPCS, why), methods=["GET"]),
        *api_tokens.routes(desk),
        *api_soft.routes(desk),
        *api_grants.routes(desk),
        *api_watch.routes(desk),
    ]


def why(asked: Asked) -> Document:
    """Why can I not sign?"""
    return standing(asked.desk, asked.owner(), asked.person)

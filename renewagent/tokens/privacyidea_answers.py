"""What privacyIDEA's answers hold: of the right kind, or TokenServerMisbehaved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from renewagent.tokens.asking import Answered
from renewagent.tokens.errors import TokenRefused, TokenServerMisbehaved, TokenServerUnreachable, UnknownToken
from renewagent.tokens.model import TokenKind, TokenStanding, TokenState
from renewagent.tokens.throttle import NO_TRIES, Tries

SPARE, LOST, REFUSALS = "renewagent_spare", "renewagent_lost", "renewagent_refusals"
"""Names in a token's info: present where it is so; the refused resynchronisations as JSON."""
_FIPS = "fips_level"
_BUSY = (429, 502, 503, 504)
_NO_TOKEN, _NO_USER, _LOCKED = 601, 904, 1007
_ACCOUNT = "Ask your IT support to check this console's account at the token server."


@dataclass(frozen=True, slots=True)
class Held:
    """A token as the server holds it. `locked`: too many wrong codes; `counter`: the next expected, of presses or of
    time steps."""

    serial: str
    kind: TokenKind
    state: TokenState
    account: str
    locked: bool
    counts_presses: bool
    counter: int
    fips_level: int
    refusals: Tries

    @property
    def is_active_hardware(self) -> bool:
        """True for the one that an account may have."""
        return self.kind is TokenKind.HARDWARE and self.state is TokenState.ACTIVE

    @property
    def standing(self) -> TokenStanding:
        """As `TokenAuthority` has it. When a lock ends the server does not say."""
        return TokenStanding(
            self.serial, self.kind, self.state, self.account, self.refusals.until, fips_level=self.fips_level
        )


def token(answer: Answered) -> str:
    """What a sign-in gave us."""
    if answer.status == 401:
        raise TokenServerMisbehaved("The token server does not accept this console's account.", advice=_ACCOUNT)
    found = value(answer)
    if not isinstance(found, dict):
        raise _nonsense()
    return _text(found, "token")


def value(answer: Answered) -> Any:
    """What was asked for. Raises UnknownToken, TokenRefused, TokenServerUnreachable, TokenServerMisbehaved."""
    result = (answer.document or {}).get("result")
    if not isinstance(result, dict):
        raise _nonsense() if answer.status == 200 else _problem(answer.status, None)
    if answer.status == 200 and result.get("status") is True and "value" in result:
        return result["value"]
    error = result.get("error")
    raise _problem(answer.status, error.get("code") if isinstance(error, dict) else None)


def held(found: Any) -> list[Held]:
    """A list of tokens."""
    tokens = found.get("tokens") if isinstance(found, dict) else None
    if not isinstance(tokens, list):
        raise _nonsense()
    return [_held(one) for one in tokens if isinstance(one, dict)]


def written(tries: Tries) -> str:
    """As `Held.refusals` reads it."""
    return json.dumps({"refused": tries.refused, "until": None if tries.until is None else tries.until.isoformat()})


def _held(one: Mapping[str, Any]) -> Held:
    info = one.get("info")
    if not isinstance(info, dict):
        raise _nonsense()
    return Held(
        serial=_text(one, "serial"),
        kind=TokenKind.HARDWARE if info.get("tokenkind") == "hardware" else TokenKind.SOFT,
        state=_state(one, info),
        account=_text(one, "username"),
        locked=_number(one, "failcount") >= _number(one, "maxfail"),
        counts_presses=_text(one, "tokentype") == "hotp",
        counter=_number(one, "count"),
        fips_level=int(level) if (level := str(info.get(_FIPS, ""))) in ("1", "2", "3", "4") else 0,
        refusals=_tries(info.get(REFUSALS)),
    )


def _state(one: Mapping[str, Any], info: Mapping[str, Any]) -> TokenState:
    if _flag(one, "revoked"):
        return TokenState.LOST if LOST in info else TokenState.DEACTIVATED
    if not _text(one, "username"):
        return TokenState.SPARE
    if _flag(one, "active"):
        return TokenState.ACTIVE
    return TokenState.SPARE if SPARE in info else TokenState.SUSPENDED


def _tries(kept: object) -> Tries:
    if kept is None:
        return NO_TRIES
    try:
        found = json.loads(str(kept))
        until = found["until"] and datetime.fromisoformat(found["until"]).astimezone(UTC)
        return Tries(int(found["refused"]), until)
    except (ValueError, TypeError, KeyError, OverflowError) as problem:
        raise _nonsense() from problem


def _problem(status: int, code: object) -> Exception:
    if code == _NO_TOKEN:
        return UnknownToken("The token server does not know this token.")
    if code == _NO_USER:
        return TokenRefused("The token server knows nobody of this user name.", advice="Ask your EPCS administrator.")
    if code == _LOCKED:
        return TokenRefused("This token can never be used again.", advice="Use another token, or order one.")
    if status in _BUSY:
        return TokenServerUnreachable("The token server is busy.")
    if status in (401, 403):
        return TokenServerMisbehaved("The token server does not let this console do this.", advice=_ACCOUNT)
    number = code if isinstance(code, int) else f"HTTP {status}"
    return TokenServerMisbehaved(f"The token server does not answer as it should (error {number}).")


def _nonsense() -> TokenServerMisbehaved:
    return TokenServerMisbehaved("What answered is not the token server: its answer makes no sense.")


def _text(one: Mapping[str, Any], name: str) -> str:
    found = one.get(name)
    if not isinstance(found, str) or not found.isprintable():
        raise _nonsense()
    return found


def _flag(one: Mapping[str, Any], name: str) -> bool:
    found = one.get(name)
    if not isinstance(found, bool):
        raise _nonsense()
    return found


def _number(one: Mapping[str, Any], name: str) -> int:
    found = one.get(name)
    if not isinstance(found, int) or isinstance(found, bool):
        raise _nonsense()
    return found

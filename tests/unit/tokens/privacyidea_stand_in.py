"""As much of privacyIDEA 3.14's REST interface as a token authority needs, with its answers' shapes, numbers of errors
and manners: a serial with "*" in it finds others, a revoked token is locked, refused pairs are not counted.

What the real one does is asked by `./dev bench privacyidea`.
"""

from __future__ import annotations

import hmac
import itertools
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from renewagent_fixtures.virtual_tokens.codes import hotp

ADMINISTRATOR, PASSWORD = "console", "a-password-of-this-hour"


@dataclass
class Kept:
    serial: str
    seed: bytes
    username: str = ""
    active: bool = True
    revoked: bool = False
    count: int = 0
    failcount: int = 0
    maxfail: int = 10
    count_window: int = 10
    sync_window: int = 1000
    info: dict[str, str] = field(default_factory=lambda: {"tokenkind": "hardware"})

    def found(self, code: str, window: int) -> int | None:
        ahead = range(self.count, self.count + window)
        return next((n for n in ahead if hmac.compare_digest(hotp(self.seed, n), code)), None)


class Refusal(Exception):
    def __init__(self, status: int, code: int) -> None:
        self.status, self.code = status, code


class StandIn:
    """`app` is served; `lasts`: after so many questions a pass is over."""

    def __init__(self) -> None:
        self.tokens: dict[str, Kept] = {}
        self.users: set[str] = set()
        self.lasts = 10**9
        self.asked: list[str] = []
        self.passes: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self.app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST", "DELETE"])])

    async def _answer(self, request: Request) -> JSONResponse:
        path = request.url.path
        self.asked.append(f"{request.method} {path}")
        asked = await request.json() if request.method == "POST" else dict(request.query_params)
        try:
            if path != "/auth":
                self._let_in(request.headers.get("authorization", ""))
            value = self._done(request.method, path.strip("/").split("/"), asked)
        except Refusal as no:
            error = {"code": no.code, "message": f"ERR{no.code}: {asked}"}
            return JSONResponse({"result": {"status": False, "error": error}}, no.status)
        return JSONResponse({"result": {"status": True, "value": value}, "version": "privacyIDEA 3.14"})

    def _let_in(self, shown: str) -> None:
        if self.passes.get(shown, 0) <= 0:
            raise Refusal(401, 4304)
        self.passes[shown] -= 1

    def _done(self, method: str, path: list[str], asked: dict[str, Any]) -> Any:
        match [method, *path]:
            case ["POST", "auth"]:
                return self._signed_in(asked)
            case ["GET", "token"]:
                return self._listed(asked)
            case ["POST", "validate", "check"]:
                return self._checked(self._known(asked["serial"], locked=False), asked["pass"])
            case ["POST", "token", "info", serial, name]:
                self._known(serial, locked=False).info[name] = asked["value"]
            case ["DELETE", "token", "info", serial, name]:
                self._known(serial, locked=False).info.pop(name, None)
            case ["POST", "token", "revoke"]:
                token = self._known(asked["serial"])
                token.revoked, token.active = True, False
            case ["POST", "token", call]:
                return self._changed(call, self._known(asked["serial"], locked=False), asked)
            case _:
                raise Refusal(404, 404)
        return True

    def _changed(self, call: str, token: Kept, asked: dict[str, Any]) -> Any:
        match call:
            case "assign":
                self._assign(token, asked["user"])
            case "set":
                token.sync_window, token.count_window = asked["sync_window"], asked["count_window"]
            case "enable" | "disable":
                token.active = call == "enable"
            case "reset":
                token.failcount = 0
            case "resync":
                return self._resynchronised(token, asked["otp1"], asked["otp2"])
            case _:
                raise Refusal(404, 404)
        return True

    def _signed_in(self, asked: dict[str, Any]) -> dict[str, str]:
        if (asked["username"], asked["password"]) != (ADMINISTRATOR, PASSWORD):
            raise Refusal(401, 4031)
        shown = f"pass-{next(self._numbers)}"
        self.passes[shown] = self.lasts
        return {"token": shown, "role": "admin"}

    def _listed(self, asked: dict[str, Any]) -> dict[str, Any]:
        if (user := asked.get("user")) is not None and user not in self.users:
            raise Refusal(400, 904)
        pattern = asked.get("serial", "*")
        found = [t for t in self.tokens.values() if fnmatchcase(t.serial, pattern) and user in (None, t.username)]
        return {"count": len(found), "tokens": [_shown(token) for token in found]}

    def _known(self, serial: str, *, locked: bool = True) -> Kept:
        if serial not in self.tokens:
            raise Refusal(404, 601)
        if not locked and self.tokens[serial].revoked:
            raise Refusal(400, 1007)
        return self.tokens[serial]

    def _assign(self, token: Kept, user: str) -> None:
        if user not in self.users:
            raise Refusal(400, 904)
        if token.username:
            raise Refusal(400, 1103)
        token.username = user

    def _checked(self, token: Kept, code: str) -> bool:
        if not token.active or token.failcount >= token.maxfail:
            return False
        if (found := token.found(code, token.count_window)) is None:
            token.failcount += 1
            return False
        token.count, token.failcount = found + 1, 0
        return True

    def _resynchronised(self, token: Kept, first: str, second: str) -> bool:
        found = token.found(first, token.sync_window)
        if found is None or hotp(token.seed, found + 1) != second:
            return False
        token.count, token.failcount = found + 2, 0
        return True


def _shown(token: Kept) -> dict[str, Any]:
    names = ("serial", "username", "active", "revoked", "count", "failcount", "maxfail", "info")
    return {name: getattr(token, name) for name in names} | {"tokentype": "hotp", "locked": token.revoked}

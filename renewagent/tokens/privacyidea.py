"""privacyIDEA, an open token server, as a token authority: its REST interface under an administrator's account.

Which token is a spare, which was lost and how often a resynchronisation was refused is kept in the token's own info
there. A lost token is revoked, not handed to /token/lost: that would make a password of ten days in its place, which is
no second factor (21 CFR 1311.115).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from renewagent.tokens import privacyidea_answers as answers
from renewagent.tokens import throttle
from renewagent.tokens.asking import LONGEST, NoAnswer, Service
from renewagent.tokens.errors import TokenRefused, TokenServerUnreachable, UnknownToken
from renewagent.tokens.model import Answer, Checked, TokenStanding, TokenState
from renewagent.tokens.privacyidea_answers import LOST, REFUSALS, SPARE, Held
from renewagent.tokens.throttle import Throttle
from renewagent.tokens.validation import CodeProfile

_CODE = re.compile(r"[0-9]{6,8}")
_MOST_TOKENS = 500
"""Of one account."""
_OVER = "This token was deactivated or reported lost, and can never be used again."
_MAYBE_USED = "Whether the code was used up is not known. Press the button again, then try again with a new one."


class PrivacyIdea:
    """One server, for any thread. `user`, `password`: an administrator's there, who may list, assign, enable, disable,
    revoke, reset, resynchronise and set tokens and their info. `realm`: where accounts are, "" for the default one.

    Tokens are brought there by its own import. A registered one gets the windows of `profile`: of itself the server
    would resynchronise over a thousand presses."""

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        *,
        now: Callable[[], datetime],
        realm: str = "",
        root: Path | None = None,
        profile: CodeProfile = CodeProfile(),  # noqa: B008  # frozen
        longest: float = LONGEST,
    ) -> None:
        self._service = Service(url, None, root, longest=longest)
        self._account = {"username": user, "password": password}
        self._realm = {"realm": realm} if realm else {}
        self._now = now
        self._profile = profile
        self._throttle = Throttle()
        self._pass = ""
        self._one_at_a_time = threading.Lock()

    def close(self) -> None:
        """Let go of open connections."""
        self._service.close()

    # --- TokenAuthority

    def register(self, serial: str, account: str) -> TokenStanding:
        """As `TokenAuthority`. Raises TokenRefused for an account that the server does not know."""
        with self._one_at_a_time:
            held = self._usable(serial)
            if held.account not in ("", account):
                raise TokenRefused(
                    f"The token with the serial number {serial} belongs to another account.",
                    advice="Compare the serial number with the one on the back of your token.",
                )
            if not held.account:
                self._assign(held, account)
        return self.standing(serial)

    def standing(self, serial: str) -> TokenStanding:
        """As `TokenAuthority`."""
        return self._held(serial).standing

    def check(self, serial: str, code: str) -> Checked:
        """As `TokenAuthority`."""
        held = self._held(serial)
        if held.locked:
            return Checked(Answer.LOCKED)
        if held.state is not TokenState.ACTIVE or not _CODE.fullmatch(code):
            return Checked(Answer.REFUSED)
        if self._do("/validate/check", {"serial": serial, "pass": code}, advice=_MAYBE_USED) is True:
            return Checked(Answer.ACCEPTED)
        return Checked(Answer.LOCKED if self._held(serial).locked else Answer.REFUSED)

    def resynchronise(self, serial: str, first: str, second: str) -> Checked:
        """As `TokenAuthority`. The server does not count refusals, so that it is done here: before it is asked."""
        with self._one_at_a_time:
            held = self._held(serial)
            tries = held.refusals
            if throttle.locked(tries, self._now()):
                return Checked(Answer.LOCKED, tries.until)
            self._keep(serial, REFUSALS, answers.written(throttle.refused(tries, self._now(), self._throttle)), held)
            if held.state.is_over or first == second or not (_CODE.fullmatch(first) and _CODE.fullmatch(second)):
                return Checked(Answer.REFUSED)
            codes = {"serial": serial, "otp1": first, "otp2": second}
            if self._do("/token/resync", codes, advice=_MAYBE_USED) is not True:
                return Checked(Answer.REFUSED)
            self._do("/token/reset", {"serial": serial})
            self._forget(serial, REFUSALS)
        pressed = self._held(serial).counter - held.counter - 2
        return Checked(Answer.ACCEPTED, drift=pressed if held.counts_presses else None)

    def reset(self, serial: str) -> None:
        """As `TokenAuthority`."""
        held = self._held(serial)
        if not held.state.is_over:
            self._do("/token/reset", {"serial": serial})
            self._forget(serial, REFUSALS)

    def activate(self, serial: str) -> TokenStanding:
        """As `TokenAuthority`. For a moment both are active: else, cut off in the middle, nobody could sign."""
        with self._one_at_a_time:
            held = self._usable(serial)
            if not held.account or held.state is TokenState.SUSPENDED:
                raise TokenRefused(f"Token {serial} is nobody's, or suspended.", advice="Ask your EPCS administrator.")
            self._enable(held)
            for other in self._active(held.account):
                if other.serial != serial:
                    self._do("/token/revoke", {"serial": other.serial})
        return self.standing(serial)

    def disable(self, serial: str, *, lost: bool) -> None:
        """As `TokenAuthority`."""
        held = self._held(serial)
        if held.state.is_over:
            return
        self._do("/token/disable", {"serial": serial})  # first of all: nobody signs with it from now on
        if lost:
            self._keep(serial, LOST, "1", held)
        self._do("/token/revoke", {"serial": serial})  # for good: it is locked then, its info too

    # --- Steps

    def _usable(self, serial: str) -> Held:
        held = self._held(serial)
        if held.state.is_over:
            raise TokenRefused(_OVER, advice="Use another token, or order one.")
        return held

    def _assign(self, held: Held, account: str) -> None:
        windows = {"sync_window": self._profile.window + 1, "count_window": self._profile.look_ahead + 1}
        self._do("/token/set", {"serial": held.serial, **windows})  # it counts the expected one in
        is_spare = bool(self._active(account))
        if is_spare:  # before it is theirs, so that two are never active
            self._keep(held.serial, SPARE, "1", held)
            self._do("/token/disable", {"serial": held.serial})
        self._do("/token/assign", {"serial": held.serial, "user": account, **self._realm})
        if not is_spare and held.state is TokenState.SPARE:
            self._enable(held)

    def _enable(self, held: Held) -> None:
        self._do("/token/enable", {"serial": held.serial})
        self._forget(held.serial, SPARE)

    def _active(self, account: str) -> list[Held]:
        """An account's hardware tokens that are active."""
        found = self._list(user=account, **self._realm)
        return [held for held in found if held.account == account and held.is_active_hardware]

    def _held(self, serial: str) -> Held:
        """Raises UnknownToken."""
        for held in self._list(serial=serial):
            if held.serial == serial:  # and not what a "*" in it stands for
                return held
        raise UnknownToken(f"The token server knows no token with the serial number {serial}.")

    def _list(self, **wanted: str) -> list[Held]:
        return answers.held(self._ask("GET", f"/token/?{urlencode(wanted | {'pagesize': str(_MOST_TOKENS)})}"))

    def _keep(self, serial: str, name: str, value: str, held: Held) -> None:
        if not held.state.is_over:
            self._do(f"/token/info/{quote(serial, safe='')}/{name}", {"value": value})

    def _forget(self, serial: str, name: str) -> None:
        self._ask("DELETE", f"/token/info/{quote(serial, safe='')}/{name}")

    # --- One question

    def _do(self, path: str, document: dict[str, Any], *, advice: str | None = None) -> Any:
        return self._ask("POST", path, document, advice=advice)

    def _ask(self, method: str, path: str, document: dict[str, Any] | None = None, *, advice: str | None = None) -> Any:
        """The value of the answer. A pass lasts an hour; one that is over lets nothing be done, so it is done again."""
        try:
            used = self._pass or self._sign_in()
            answer = self._service.ask(method, path, document, {"Authorization": used})
            if answer.status == 401:
                answer = self._service.ask(method, path, document, {"Authorization": self._sign_in()})
        except NoAnswer as problem:
            raise TokenServerUnreachable(f"The token server {problem}.", advice=advice) from problem
        return answers.value(answer)

    def _sign_in(self) -> str:
        self._pass = answers.token(self._service.ask("POST", "/auth", self._account))
        return self._pass

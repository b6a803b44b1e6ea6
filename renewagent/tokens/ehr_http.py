"""An EHR over HTTP: `renewagent.tokens.ehr.Ehr` each call one JSON question under the key that the EHR gave us.

What an EHR answers is not believed beyond its shape: whoever needs to know that something is done reads it back.
Passwords pass through here, into one question, and are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from renewagent.tokens.asking import LONGEST, Answered, NoAnswer, Service, plain
from renewagent.tokens.errors import EhrMisbehaved, EhrRefused, EhrUnreachable
from renewagent.tokens.model import Access, Device, Staff

PATH = "/ehr/v1/"
_LONGEST_TEXT = 200
_REFUSALS = (403, 409, 422)
_BUSY = (429, 503)


class EhrClient:
    """One EHR, for any thread. `url`: scheme, host, port and, if there is one, a path before ours; `key`, `root` and
    `longest` as `Service` has them."""

    def __init__(self, url: str, key: str, root: Path | None = None, *, longest: float = LONGEST) -> None:
        self._service = Service(url, key, root, longest=longest)

    def close(self) -> None:
        """Let go of open connections."""
        self._service.close()

    # --- people

    def sign_in(self, user: str, password: str) -> bool:
        """As `EhrPeople`."""
        return _flag(self._ask("sign_in", password, user=user, password=password), "signed_in")

    def staff(self, user: str) -> Staff | None:
        """As `EhrPeople`."""
        found = _part(self._ask("staff", user=user), "staff")
        if found is None:
            return None
        texts = {name: _text(found, name) for name in ("user", "name", "npi", "dea", "email")}
        if texts["user"] != user:
            raise _nonsense()
        return Staff(**texts, active=_flag(found, "active"))

    # --- devices

    def device(self, user: str) -> Device | None:
        """As `EhrDevices`."""
        found = _part(self._ask("device", user=user), "device")
        if found is None:
            return None
        texts = {name: _text(found, name) for name in ("name", "serial", "username")}
        return Device(**texts, authenticated=_flag(found, "authenticated"), registered=_moment(found, "registered"))

    def remove_device(self, user: str) -> None:
        """As `EhrDevices`."""
        self._do("remove_device", user=user)

    def refresh_shared_tables(self) -> None:
        """As `EhrDevices`."""
        self._do("refresh_shared_tables")

    def register_device(self, user: str, username: str) -> None:
        """As `EhrDevices`."""
        self._do("register_device", user=user, username=username)

    # --- access

    def access(self, user: str) -> Access:
        """As `EhrAccess`."""
        found = _part(self._ask("access", user=user), "access")
        if found is None:
            raise _nonsense()
        flags = ("epcs_enabled", "epcs_granted", "epcs_suspended", "administrator")
        return Access(**{name: _flag(found, name) for name in flags}, override_ends=_moment(found, "override_ends"))

    def enable_epcs(self, user: str) -> None:
        """As `EhrAccess`."""
        self._do("enable_epcs", user=user)

    def grant_epcs(self, user: str, *, entered_by: str, executed_by: str) -> None:
        """As `EhrAccess`."""
        self._do("grant_epcs", user=user, entered_by=entered_by, executed_by=executed_by)

    def revoke_epcs(self, user: str, *, entered_by: str, executed_by: str) -> None:
        """As `EhrAccess`."""
        self._do("revoke_epcs", user=user, entered_by=entered_by, executed_by=executed_by)

    def suspend_epcs(self, user: str) -> None:
        """As `EhrAccess`."""
        self._do("suspend_epcs", user=user)

    def give_override(self, user: str, ends: datetime) -> bool:
        """As `EhrAccess`."""
        return _flag(self._ask("give_override", user=user, ends=ends.astimezone(UTC).isoformat()), "enforced")

    def remove_override(self, user: str) -> None:
        """As `EhrAccess`."""
        self._do("remove_override", user=user)

    # --- one question

    def _do(self, call: str, **arguments: str) -> None:
        if not _flag(self._ask(call, **arguments), "done"):
            raise _nonsense()

    def _ask(self, call: str, secret: str = "", /, **arguments: str) -> dict[str, Any]:
        try:
            answer = self._service.post(PATH + call, arguments)
        except NoAnswer as problem:
            raise EhrUnreachable(f"The EHR {problem}.") from problem
        if answer.status == 200 and answer.document is not None:
            return answer.document
        raise _refusal(answer, secret)


def _refusal(answer: Answered, secret: str) -> EhrRefused | EhrUnreachable | EhrMisbehaved:
    if answer.status in _BUSY:
        return EhrUnreachable("The EHR is busy.")
    if answer.status == 401:
        advice = "Ask your IT support to check epcs.ehr.key_file in the console's settings."
        # No word on what was asked: what was decided is not refused, it is done once the key is right again.
        return EhrMisbehaved("The EHR does not accept this console's key.", advice=advice)
    if answer.status in _REFUSALS and answer.document is not None:
        words = _words(answer.document, "error", secret) or "The EHR does not allow this, and does not say why."
        return EhrRefused(words, advice=_words(answer.document, "advice", secret) or None)
    if answer.status == 200:
        return _nonsense()
    return EhrMisbehaved(f"The EHR does not answer as it should (HTTP {answer.status}).")


def _words(document: Mapping[str, Any], name: str, secret: str) -> str:
    """The EHR's own, but for those that repeat a password."""
    words = plain(document.get(name))
    return "" if secret and secret in words else words


# --- what an answer holds: of the right kind, or it makes no sense


def _nonsense() -> EhrMisbehaved:
    return EhrMisbehaved("What answered is not the EHR: its answer makes no sense.")


def _flag(document: Mapping[str, Any], name: str) -> bool:
    value = document.get(name)
    if not isinstance(value, bool):
        raise _nonsense()
    return value


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value.isprintable() or len(value) > _LONGEST_TEXT:
        raise _nonsense()
    return value


def _part(document: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = document.get(name, "")  # null is an answer, nothing is none
    if value is not None and not isinstance(value, dict):
        raise _nonsense()
    return value


def _moment(document: Mapping[str, Any], name: str) -> datetime | None:
    value = document.get(name)
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError("no time zone")
        return at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError) as problem:
        raise _nonsense() from problem

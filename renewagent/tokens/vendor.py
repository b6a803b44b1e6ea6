"""A vendor of tokens and phone apps over HTTP: token authority, support desk and vendor of soft tokens at once, each
call one JSON question under the key that the vendor gave us.

Codes and pictures pass through here, each into one question, and are not kept. What does no harm twice is asked once
more where the connection breaks off or the server has a fault; a code is shown once.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from renewagent.tokens import vendor_answers as answers
from renewagent.tokens.asking import LONGEST, Answered, NoAnswer, Service, plain
from renewagent.tokens.errors import TokenRefused, TokenServerMisbehaved, TokenServerUnreachable, UnknownToken
from renewagent.tokens.model import Checked, Invitation, Picture, SoftToken, TokenStanding
from renewagent.tokens.tickets import Filed, Order, ResetTicket

PATH = "/vendor/v1/"
_BUSY = (429, 502, 503, 504)
_SOON = 5.0
"""Seconds: whatever went wrong within them is tried once more."""
_MAYBE_USED = "Whether the code was used up is not known. Press the button again, then try again with a new one."


class VendorClient:
    """One vendor, for any thread. `url`: scheme, host, port and, if there is one, a path before ours; `key`, `root` and
    `longest` as `Service` has them."""

    def __init__(self, url: str, key: str, root: Path | None = None, *, longest: float = LONGEST) -> None:
        self._service = Service(url, key, root, longest=longest)

    def close(self) -> None:
        """Let go of open connections."""
        self._service.close()

    # --- TokenAuthority

    def register(self, serial: str, account: str) -> TokenStanding:
        """As `TokenAuthority`."""
        return answers.standing(self._ask("register", serial=serial, account=account), serial)

    def standing(self, serial: str) -> TokenStanding:
        """As `TokenAuthority`."""
        return answers.standing(self._ask("standing", serial=serial), serial)

    def check(self, serial: str, code: str) -> Checked:
        """As `TokenAuthority`."""
        return answers.checked(self._ask("check", (code,), once=True, serial=serial, code=code))

    def resynchronise(self, serial: str, first: str, second: str) -> Checked:
        """As `TokenAuthority`."""
        asked = {"serial": serial, "first": first, "second": second}
        return answers.checked(self._ask("resynchronise", (first, second), once=True, **asked))

    def reset(self, serial: str) -> None:
        """As `TokenAuthority`."""
        answers.done(self._ask("reset", serial=serial))

    def activate(self, serial: str) -> TokenStanding:
        """As `TokenAuthority`."""
        return answers.standing(self._ask("activate", serial=serial), serial)

    def disable(self, serial: str, *, lost: bool) -> None:
        """As `TokenAuthority`."""
        answers.done(self._ask("disable", serial=serial, lost=lost))

    # --- VendorSupport

    def file_reset(self, ticket: ResetTicket, key: str) -> Filed:
        """As `VendorSupport`."""
        return answers.filed(self._ask("file_reset", ticket.values, **asdict(ticket), key=key))

    def file_order(self, order: Order, key: str) -> Filed:
        """As `VendorSupport`."""
        pictures = [_document(picture) for picture in order.pictures]
        document = asdict(order) | {"kind": order.kind.value, "pictures": pictures}
        return answers.filed(self._ask("file_order", **document, key=key))

    def filed(self, number: str) -> Filed:
        """As `VendorSupport`."""
        return answers.filed(self._ask("filed", number=number), number)

    # --- SoftTokenVendor

    def soft_tokens(self, usernames: Sequence[str]) -> dict[str, SoftToken]:
        """As `SoftTokenVendor`."""
        return answers.soft_tokens(self._ask("soft_tokens", usernames=list(usernames)), usernames)

    def invite(self, username: str) -> Invitation:
        """As `SoftTokenVendor`."""
        return answers.invitation(self._ask("invite", username=username), username)

    def invitation(self, number: str) -> SoftToken | None:
        """As `SoftTokenVendor`."""
        return answers.invited(self._ask("invitation", number=number))

    # --- one question

    def _ask(self, call: str, secrets: Sequence[str] = (), *, once: bool = False, **asked: Any) -> dict[str, Any]:
        begun = time.monotonic()
        answer = self._post(call, asked)
        if not once and _is_mishap(answer) and time.monotonic() - begun < _SOON:
            answer = self._post(call, asked)
        if isinstance(answer, NoAnswer):
            raise TokenServerUnreachable(f"The vendor {answer}.", advice=_MAYBE_USED if once else None) from answer
        if answer.status == 200 and answer.document is not None:
            return answer.document
        raise _refusal(answer, secrets)

    def _post(self, call: str, asked: dict[str, Any]) -> Answered | NoAnswer:
        try:
            return self._service.post(PATH + call, asked)
        except NoAnswer as problem:
            return problem


def _is_mishap(answer: Answered | NoAnswer) -> bool:
    """What may well go better the next time."""
    return isinstance(answer, NoAnswer) or answer.status == 500 or (answer.status == 200 and answer.document is None)


def _document(picture: Picture) -> dict[str, str]:
    octets = base64.b64encode(picture.octets).decode("ascii")
    return {"side": picture.side, "media_type": picture.media_type, "base64": octets}


def _refusal(answer: Answered, secrets: Sequence[str]) -> Exception:
    said = answer.document or {}
    if answer.status == 404 and said.get("kind") == "unknown":
        return UnknownToken(_words(said, "error", secrets) or "The vendor does not know this.")
    if answer.status == 409 and said.get("kind") == "refused":
        words = _words(said, "error", secrets) or "The vendor does not accept this, and does not say why."
        return TokenRefused(words, advice=_words(said, "advice", secrets) or None)
    if answer.status == 401:
        advice = "Ask your IT support to check epcs.vendor_key in the console's settings."
        return TokenServerMisbehaved("The vendor does not accept this console's key.", advice=advice)
    if answer.status in _BUSY:
        return TokenServerUnreachable("The vendor is busy.")
    if answer.status == 200:
        return answers.nonsense()
    return TokenServerMisbehaved(f"The vendor does not answer as it should (HTTP {answer.status}).")


def _words(said: dict[str, Any], name: str, secrets: Sequence[str]) -> str:
    """The vendor's own, but for those that repeat a code."""
    words = plain(said.get(name))
    return "" if any(secret in words for secret in secrets if secret) else words

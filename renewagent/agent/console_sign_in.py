"""Signing in to the RA manager's console with the card in the reader: which card, the statement that it signs, and the
console's two addresses for it. For commands: it loads cryptography, asks for a passcode and speaks to cards.

The console gives a nonce and nothing else that is signed: the statement names the address that the person typed. The
passcode goes to the card and nowhere else, and the card is logged out when it has signed.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from cryptography import x509

from renewagent import cms
from renewagent.agent.full_inspection import is_for_authentication
from renewagent.agent.inspector import slots_beside
from renewagent.agent.passcode import FittingSession, KeyDoesNotFit, Passcode, RenewableCard
from renewagent.agent.prompts import Prompter
from renewagent.agent.workstation import filled_readers
from renewagent.card.interface import CardConnection, Readers
from renewagent.card.key import card_key
from renewagent.certificates import read_certificate
from renewagent.errors import (
    CardDataError,
    CardError,
    ConfigurationError,
    PersonStopped,
    RenewAgentError,
    Retry,
    UnsupportedCard,
)
from renewagent.language import N_, _, ngettext
from renewagent.model import CardIdentity, SigningCertificate, Slot
from renewagent.proxies import HttpClient, tls_context
from renewagent.statements import Purpose, Statement

PATIENCE = 15.0
"""Seconds for a connection, and for an answer."""
_LARGEST = 64 * 1024
_NONCE = re.compile(r"[0-9a-f]{64}")
_HOST = re.compile(r"[a-z0-9.-]+|[0-9a-f:]+")


class ConsoleRefused(RenewAgentError):
    """The console cannot be reached, or does not let this person in."""

    code = "RA-SIGN-IN"
    retry = Retry.NOW
    advice = N_("Check the address, then try again.")


class ConsoleMisbehaved(ConsoleRefused):
    """The console asks for what must not be given: nothing was signed."""

    code = "RA-SIGN-IN-UNSAFE"
    retry = Retry.NEVER
    advice = N_("Nothing was signed. Ask the console's administrator.")


@dataclass(frozen=True, slots=True)
class Link:
    """A link that signs `name` in, good once and for so many `seconds`."""

    address: str
    name: str
    role: str
    seconds: int


@dataclass(frozen=True, slots=True)
class SignInCard:
    """A card with a certificate to sign in with, and where the key for it is."""

    reader: str
    card: RenewableCard
    identity: CardIdentity
    slot: Slot
    certificate: SigningCertificate


def origin_of(url: str) -> str:
    """Scheme, host and port of the console's address, in the spelling that statements have. Raises
    ConfigurationError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _no_address(url) from None
    bare = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme != "https" or not bare or not _HOST.fullmatch(host) or port == 0:
        raise _no_address(url)
    shown = f"[{host}]" if ":" in host else host
    return f"https://{shown}" + (f":{port}" if port not in (None, 443) else "")


class ConsoleDoor:
    """The addresses at one console that let people in. `root`: PEM of what its TLS certificate leads to, besides what
    the system trusts. No redirect is followed."""

    def __init__(self, origin: str, root: Path | None) -> None:
        self._origin = origin
        self._http = HttpClient(tls_context(root), urllib3.Timeout(connect=PATIENCE, read=PATIENCE))

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def challenge(self) -> str:
        """A fresh nonce (hex). Raises ConsoleRefused; ConsoleMisbehaved for one that calls itself otherwise."""
        return checked_nonce(self._ask("/sign-in/challenge", b"", "application/octet-stream"), self._origin)

    def show(self, proof: bytes) -> Link:
        """Deliver a signed statement. Raises ConsoleRefused, ConsoleMisbehaved."""
        said = self._ask("/sign-in/card", proof, "application/cms")
        link, name, role, seconds = (said.get(key) for key in ("link", "name", "role", "seconds"))
        if not isinstance(link, str) or not re.fullmatch(
            re.escape(self._origin) + r"/sign-in/finish\?link=[A-Za-z0-9_-]{1,100}", link
        ):
            raise ConsoleMisbehaved(_("The console sent something else than a link to itself."))
        if not (isinstance(name, str) and isinstance(role, str) and isinstance(seconds, int)):
            raise ConsoleMisbehaved(_("The console did not say who is signed in."))
        return Link(link, _shown(name, 200), _shown(role, 100), seconds)

    def _ask(self, path: str, body: bytes, kind: str) -> dict[str, Any]:
        headers = {"Content-Type": kind, "Accept": "application/json", "User-Agent": "renewagent"}
        try:
            response = self._http.request(
                "POST", self._origin + path, body=body, headers=headers, preload_content=False, retries=False
            )
            try:
                octets = response.read(_LARGEST + 1)
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as problem:
            raise ConsoleRefused(_no_answer(self._origin, problem)) from problem
        return _said(response.status, octets, response.headers.get("Retry-After", ""))


def checked_nonce(said: Mapping[str, Any], origin: str) -> str:
    """The fresh nonce (hex) in a challenge of whoever is at `origin`. Raises ConsoleMisbehaved."""
    if said.get("origin") != origin:
        raise ConsoleMisbehaved(
            _("What answers at {origin} says that it is {shown}.").format(
                origin=origin, shown=_shown(said.get("origin"), 200)
            ),
            advice=_("Nothing was signed. Use the console's own address, as its sign-in page shows it."),
        )
    nonce = said.get("nonce")
    if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
        raise ConsoleMisbehaved(_("The console sent something else than a fresh number to be signed."))
    return nonce


@contextmanager
def sign_in_card(
    readers: Readers, open_card: Callable[[CardConnection], RenewableCard], reader: str | None = None
) -> Iterator[SignInCard]:
    """The one card that is in (or in `reader`) with a certificate to sign in with. Raises NoReader, NoCard,
    UnsupportedCard, what a named reader's card raises; ConfigurationError where there are several."""
    with ExitStack() as connections:
        found: list[SignInCard] = []
        for name in filled_readers(readers, reader):
            try:
                connection = connections.enter_context(closing(readers.connect(name)))
                found += _on(open_card(connection), name)
            except RenewAgentError:
                if reader is not None:  # a bank's card in another reader is nobody's business
                    raise
        if not found:
            raise UnsupportedCard(_("There is no certificate to sign in with on the smartcard."))
        if len(found) > 1:
            where = ", ".join(one.reader for one in found)
            raise ConfigurationError(
                _("There are smartcards in {where}.").format(where=where), advice=_("Say which one: --reader NAME.")
            )
        yield found[0]


def prove(mine: SignInCard, prompter: Prompter, origin: str, nonce: str, now: Callable[[], datetime]) -> bytes:
    """CMS SignedData by the card over a sign-in statement for `origin`. Raises PersonStopped, LastPinTry, PinBlocked,
    CardRemoved and the like."""
    try:
        return _signed(mine, prompter, now, Purpose.SIGN_IN, origin, nonce, "-")
    except PersonStopped as stopped:
        raise PersonStopped(_("You were not signed in: no passcode was typed.")) from stopped


def approve(
    mine: SignInCard, prompter: Prompter, origin: str, nonce: str, digest: str, now: Callable[[], datetime]
) -> bytes:
    """The same over an approval at the EPCS desk of what has the SHA-256 `digest` (hex): whoever calls has shown it to
    the person."""
    try:
        return _signed(mine, prompter, now, Purpose.APPROVAL, origin, nonce, digest)
    except PersonStopped as stopped:
        raise PersonStopped(_("Nothing was approved: no passcode was typed.")) from stopped


def _signed(
    mine: SignInCard,
    prompter: Prompter,
    now: Callable[[], datetime],
    purpose: Purpose,
    origin: str,
    nonce: str,
    old: str,
) -> bytes:
    passcode = Passcode(prompter)
    certificate = x509.load_der_x509_certificate(mine.certificate.der)
    public_key: Any = certificate.public_key()
    try:
        passcode.ask_first(mine.card)
        statement = Statement(
            purpose=purpose,
            origin=origin,
            card=str(mine.identity),
            certificate=mine.certificate.sha256,
            at=now().replace(microsecond=0),
            nonce=nonce,
            old=old,
        )
        return passcode.signing(
            mine.card,
            lambda session: cms.sign(
                statement.encode(),
                certificate,
                card_key(FittingSession(session, public_key), mine.slot, public_key),
            ),
        )
    except KeyDoesNotFit as problem:
        raise CardDataError(_("The smartcard's key does not belong to its certificate to sign in with.")) from problem
    finally:
        passcode.drop()


def _on(card: RenewableCard, reader: str) -> Sequence[SignInCard]:
    """At most one."""
    for slot in slots_beside(card, None):
        try:
            der = card.certificate(slot)
            certificate = read_certificate(der) if der is not None else None
        except CardError:  # another slot may have what is looked for
            continue
        if certificate is not None and is_for_authentication(certificate):
            return [SignInCard(reader, card, card.identity(), slot, certificate)]
    return []


def _said(status: int, octets: bytes, retry_after: str) -> dict[str, Any]:
    try:
        found = json.loads(octets) if len(octets) <= _LARGEST else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and status == 200:
        return found
    if status == 429:
        later = _("Try again later.")
        if retry_after.isascii() and retry_after.isdecimal():
            seconds = int(retry_after[:9])
            later = ngettext("Try again in {number} second.", "Try again in {number} seconds.", seconds)
            later = later.format(number=seconds)
        raise ConsoleRefused(_("The console was asked too often."), advice=later)
    if isinstance(found, dict) and status == 403:
        raise ConsoleRefused(
            _shown(found.get("error") or _("The console did not let you in."), 500),
            advice=_shown(found.get("advice") or _("Ask an RA Manager."), 1500),
        )
    raise ConsoleRefused(_("What answered is not the console, or is not well (HTTP {status}).").format(status=status))


def _shown(value: object, longest: int) -> str:
    """A peer's words, without what a terminal would take for a command."""
    return "".join(c for c in str(value) if c.isprintable())[:longest]


def _no_answer(origin: str, problem: Exception) -> str:
    if isinstance(problem, urllib3.exceptions.SSLError | ssl.SSLError):
        return _("The console at {origin} could not be verified: it may not be what it says it is.").format(
            origin=origin
        )
    late = isinstance(problem, urllib3.exceptions.TimeoutError | TimeoutError)
    if late and not isinstance(problem, urllib3.exceptions.NewConnectionError):
        return _("The console at {origin} did not answer in time.").format(origin=origin)
    return _("The console at {origin} cannot be reached.").format(origin=origin)


def _no_address(url: str) -> ConfigurationError:
    return ConfigurationError(
        _("{url!r} is not the address of a console: https://, a name, and perhaps a port.").format(url=url),
        advice=_("Use the address that the console's sign-in page shows."),
    )

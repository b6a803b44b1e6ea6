"""The driver for vendors' cards that are reached through a PKCS#11 module: one token, one key pair per CKA_ID.

What lives here is the order of things: find the token, make sure it is the same one, log in as late as can be, log out
and shut the module down. Objects are `pkcs11_objects`', signatures `pkcs11_signing`'s, writing `pkcs11_admin`'s.

For short-lived processes only: the module is somebody else's code and may crash or hang, so the resident agent never
loads it. The card is talked to by the module on connections of its own. It would wait for ever for a transaction of
ours, so we hold none while it works: between two calls another program may use the card, and its login, which most
cards keep for all alike. C_Logout does not end that login everywhere (OpenSC's does not, on a PIV card), so that after
every session that presented the PIN we reset the card ourselves.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pkcs11 import Mechanism, Token, TokenFlag

from renewagent.card.head import certificate_head
from renewagent.card.interface import Capabilities, CardConnection
from renewagent.errors import (
    CardDataError,
    CardRefused,
    CardRemoved,
    DifferentCard,
    ManagementKeyRefused,
    ReaderError,
    UnsupportedCard,
)
from renewagent.language import _
from renewagent.model import CardIdentity, CertificateHead, Slot
from renewagent.pin import Pin
from renewagent_drivers.management_key import ManagementKey
from renewagent_drivers.pkcs11_admin import Pkcs11AdminSession
from renewagent_drivers.pkcs11_errors import TOKEN_WRITE_PROTECTED
from renewagent_drivers.pkcs11_module import PATIENCE, Pkcs11Module, token_in, token_of_serial
from renewagent_drivers.pkcs11_objects import (
    Session,
    certificate_in,
    made_here_without_certificate,
    ordered_slots,
    public_key,
    taken,
)
from renewagent_drivers.pkcs11_signing import PinEntry, Pkcs11SigningSession, require_tries, tries_told

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as Library

log = logging.getLogger(__name__)

T = TypeVar("T")
MODEL = "pkcs11"
_ID_OCTETS = 8
_MAKING_KEYS = {Mechanism.RSA_PKCS_KEY_PAIR_GEN, Mechanism.EC_KEY_PAIR_GEN}
FindsToken = Callable[["Library"], Token | None]
"""Which token is meant, found anew for every errand; None when it is not there."""


class Pkcs11Cards:
    """The cards that one module speaks to. `patience`: seconds for an errand, before the card counts as busy."""

    def __init__(self, path: Path, *, patience: float = PATIENCE) -> None:
        self._module = Pkcs11Module(path, patience=patience)

    def open(self, connection: CardConnection, *, management_key: ManagementKey | None = None) -> Pkcs11Driver:
        """The driver for the card in the connection's reader; `management_key` is another family's, and not used.
        Raises UnsupportedCard when the module sees no token of its own there, ConfigurationError without a module."""

        def reset() -> None:
            with connection.transaction() as transaction:
                transaction.reset_at_end()

        return Pkcs11Driver(self._module, lambda library: token_in(library, connection.reader), reset)

    def open_token(self, serial: str) -> Pkcs11Driver:
        """The driver for the token with that serial number, where there is no PC/SC reader to name."""
        return Pkcs11Driver(self._module, lambda library: token_of_serial(library, serial))


class Pkcs11Driver:
    """One token; see `renewagent.card.interface.CardDriver` and `HoldsSecondKeys`. For one thread at a time."""

    def __init__(self, module: Pkcs11Module, find: FindsToken, reset: Callable[[], None] = lambda: None) -> None:
        """`reset` resets the card in its reader. Raises UnsupportedCard."""
        self._module = module
        self._find = find
        self._reset = reset
        self._capabilities: Capabilities | None = None
        self.logins = 0
        """How many times the PIN was presented (C_Login)."""
        module.start_afresh()  # what it remembers may be of another card
        token = module.ask(find)
        if token is None:
            raise UnsupportedCard(_("The smartcard's software does not know this smartcard."))
        if not token.serial:
            raise UnsupportedCard(_("This smartcard carries nothing by which it could be told from another."))
        self._identity = _identity(token)

    def identity(self) -> CardIdentity:
        """The token's serial number: the hex of its characters."""
        return self._identity

    def slots(self) -> Sequence[Slot]:
        """See `pkcs11_objects.ordered_slots`: certificates for signing first, the newest first among them."""
        return self._read(ordered_slots)

    def head(self, slot: Slot) -> CertificateHead | None:
        """From CKA_VALUE: a module gives a certificate whole or not at all."""
        certificate = self.certificate(slot)
        return None if certificate is None else certificate_head(certificate, len(certificate))

    def certificate(self, slot: Slot) -> bytes | None:
        """The certificate (DER) with that CKA_ID. Raises CardDataError."""
        certificate = self._read(lambda session: certificate_in(session, slot))
        if certificate is not None and certificate_head(certificate, len(certificate)) is None:
            raise CardDataError(
                _("The certificate in slot {slot} of the smartcard cannot be read: it is cut short.").format(slot=slot)
            )
        return certificate

    def capabilities(self) -> Capabilities:
        """A second key, where the token makes keys and takes certificates; never a key in place of another."""
        if self._capabilities is None:
            self._capabilities = self._ask(_probe)
        return self._capabilities

    @property
    def administration_needs_pin(self) -> bool:
        """Always: who may sign may write."""
        return True

    def pin_tries(self) -> int | None:
        """See `pkcs11_signing.tries_told`: 0, 1, 2 for at least two, None where the token does not say."""
        return self._ask(tries_told)

    def fresh_slot(self) -> Slot:
        """A CKA_ID, random, that nothing on the token bears."""
        used = self._read(taken)
        while (slot := Slot(secrets.token_hex(_ID_OCTETS))) in used:
            pass
        return slot

    def public_key(self, slot: Slot) -> bytes | None:
        """The public key in `slot` (DER SubjectPublicKeyInfo), read without PIN; None where there is none, or the token
        shows none. Raises CardDataError."""
        return self._read(lambda session: public_key(session, slot))

    def unfinished(self) -> Sequence[Slot]:
        """Slots with a key pair that renewagent made and no certificate: left by a renewal that was cut short."""
        return self._read(made_here_without_certificate)

    @contextlib.contextmanager
    def signing(self, pin: Pin) -> Iterator[Pkcs11SigningSession]:
        """See `renewagent.card.interface.CardDriver`. Logs in at the first signature. Raises DifferentCard, LastPinTry
        and PinBlocked before the PIN is sent, CardError for what cannot be a PIN."""
        entry = PinEntry(pin, self._count_login)
        with self._logging_out(entry):
            token = self._token_with_tries()
            session = Pkcs11SigningSession(token, entry, lambda errand: self._module.ask(lambda module: errand()))
            with self._closing(session.close):
                yield session

    @contextlib.contextmanager
    def administration(self, pin: Pin | None = None) -> Iterator[Pkcs11AdminSession]:
        """See `renewagent.card.interface.CardDriver`; the session also keeps `RemovesKeys`. Raises DifferentCard,
        ManagementKeyRefused without a PIN, CardRefused for a card that cannot be written to, and what a PIN can raise,
        before the session begins."""
        if pin is None:
            raise ManagementKeyRefused(_("This smartcard is written to with its passcode, and none was given."))
        entry = PinEntry(pin, self._count_login)
        with self._logging_out(entry):
            token = self._token_with_tries()
            if TokenFlag.WRITE_PROTECTED in token.flags:
                raise CardRefused(_("The smartcard cannot be written to."), TOKEN_WRITE_PROTECTED)
            session = self._module.ask(lambda module: entry.log_in(token, rw=True))
            with self._closing(session.close):
                self._capabilities = None
                yield Pkcs11AdminSession(session, lambda errand: self._module.ask(lambda module: errand(), writes=True))

    def _ask(self, errand: Callable[[Token], T]) -> T:
        return self._module.ask(lambda library: errand(self._same(library)))

    def _read(self, errand: Callable[[Session], T]) -> T:
        def visit(token: Token) -> T:
            with contextlib.closing(token.open()) as session:
                return errand(session)

        return self._ask(visit)

    def _same(self, library: Library) -> Token:
        """The token, which must be the one that we began with."""
        token = self._find(library)
        if token is None:
            raise CardRemoved(_("The smartcard was removed."))
        found = _identity(token)
        if found != self._identity:
            raise DifferentCard(
                _("This is another smartcard: it ends in {found}, not in {ending}.").format(
                    found=found.ending, ending=self._identity.ending
                ),
                advice=_("Insert the smartcard ending {ending}, then try again.").format(ending=self._identity.ending),
            )
        return token

    def _token_with_tries(self) -> Token:
        token = self._ask(lambda found: found)
        require_tries(token)
        return token

    @contextlib.contextmanager
    def _logging_out(self, entry: PinEntry) -> Iterator[None]:
        """A session of the module; afterwards it is shut down, and nobody is logged in to the card either."""
        try:
            with self._module.session():
                yield
        finally:
            if entry.presented:
                try:
                    self._reset()
                except ReaderError as error:  # gone, and its login with it; or another program keeps it busy
                    log.warning("card.not_reset reason=%s", error.code)

    @contextlib.contextmanager
    def _closing(self, close: Callable[[], None]) -> Iterator[None]:
        """Log out. Where that fails the end of the module's session, which follows, does it; and what went wrong before
        is what matters."""
        try:
            yield
        finally:
            with contextlib.suppress(Exception):
                self._module.ask(lambda module: close())

    def _count_login(self) -> None:
        self.logins += 1


def certificates_shown(path: Path, reader: str) -> list[bytes]:
    """The certificates (DER) that programs which use this module see in the PC/SC reader of that name: none where they
    see no card of theirs. Raises ConfigurationError without a module, CardBusy, CardDataError."""
    module = Pkcs11Module(path)
    try:
        driver = Pkcs11Driver(module, lambda library: token_in(library, reader))
        return [der for slot in driver.slots() if (der := driver.certificate(slot)) is not None]
    except UnsupportedCard:
        return []
    finally:
        module.shut_down()


def _identity(token: Token) -> CardIdentity:
    return CardIdentity("token", token.serial.hex())


def _probe(token: Token) -> Capabilities:
    mechanisms = token.slot.get_mechanisms()
    writable = TokenFlag.WRITE_PROTECTED not in token.flags and bool(_MAKING_KEYS & mechanisms)
    extensions = {"LABEL": token.label, "MODEL": token.model, "MANUFACTURER": token.manufacturer_id}
    return Capabilities(MODEL, rekey_in_place=False, second_key=writable, extensions=extensions)

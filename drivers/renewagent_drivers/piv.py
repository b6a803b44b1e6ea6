"""The driver for PIV cards (SP 800-73-4): US PIV cards, NHS series 9 and 10, YubiKeys and their likes.

What lives here is the order of things: one short transaction per errand, selection and identity first, log-out or
reset last. The commands themselves are `piv_applet`'s, containers `piv_objects`', signatures `piv_signing`'s.
Reading and signing import no cryptography; `piv_admin`, which does, is loaded when something is to be written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, overload

from renewagent.card.der import Truncated
from renewagent.card.head import certificate_head
from renewagent.card.interface import (
    AdminSession,
    AtPad,
    Capabilities,
    CardConnection,
    HasPinPad,
    SigningSession,
    Transaction,
)
from renewagent.errors import (
    CardDataError,
    CardError,
    CardReset,
    DifferentCard,
    ManagementKeyRefused,
    PinPadFailed,
    RenewAgentError,
)
from renewagent.language import _
from renewagent.model import CardIdentity, CertificateHead, Slot
from renewagent.pin import Pin
from renewagent_drivers.management_key import FactoryKey, ManagementKey
from renewagent_drivers.piv_applet import MANAGEMENT_KEY, PinStatus, PivApplet
from renewagent_drivers.piv_facts import (
    management_key_algorithm,
    read_certificate_object,
    read_identity,
    read_slot_key,
    retired_slots_in_use,
)
from renewagent_drivers.piv_objects import (
    AUTHENTICATION,
    PRINTED,
    RETIRED_SLOTS,
    STANDARD_SLOTS,
    certificate_front,
    certificate_object,
    management_key_in,
)
from renewagent_drivers.piv_pad import PadEntry
from renewagent_drivers.piv_probe import probe
from renewagent_drivers.piv_signing import (
    PinEntry,
    PinPolicy,
    PivSigningSession,
    SlotKey,
    Verifies,
    require_tries,
)

T = TypeVar("T")


class PivDriver:
    """One inserted PIV card; see `renewagent.card.interface.CardDriver`. For one thread at a time."""

    def __init__(self, connection: CardConnection, *, management_key: ManagementKey | None = None) -> None:
        self._connection = connection
        self._management_key = management_key or FactoryKey()
        self._applet = PivApplet(connection.transmit)
        self._fresh = False
        self._identity: CardIdentity | None = None
        self._capabilities: Capabilities | None = None
        self._generated: dict[Slot, bytes] = {}
        self._keys: dict[Slot, SlotKey] = {}
        self._pad: bool | None = None
        self.verifies = 0
        """How many VERIFYs with a PIN were sent."""

    @classmethod
    def open(cls, connection: CardConnection, *, management_key: ManagementKey | None = None) -> PivDriver:
        """The driver for the card behind `connection`. Raises UnsupportedCard when it has no PIV application."""
        driver = cls(connection, management_key=management_key)
        with connection.transaction():
            driver._select()
        driver._fresh = True
        return driver

    def identity(self) -> CardIdentity:
        """See `piv_facts.read_identity`; read once."""
        if self._identity is None:
            self._identity = self._read(lambda: read_identity(self._applet))
        return self._identity

    def slots(self) -> Sequence[Slot]:
        """9C, 9A, 9D, 9E, then the retired slots in use. The card is asked for these only when one gets that far."""
        return _Slots(lambda: self._read(lambda: retired_slots_in_use(self._applet)))

    def head(self, slot: Slot) -> CertificateHead | None:
        """One exchange beside the SELECT when the front of the certificate fits the card's first answer."""
        return self._read(lambda: self._read_head(slot), self_proving=True)

    def certificate(self, slot: Slot) -> bytes | None:
        """The whole certificate (DER, unpacked); None for an empty slot. Raises CardDataError."""
        return self._read(lambda: read_certificate_object(self._applet, slot), self_proving=True)

    def capabilities(self) -> Capabilities:
        """See `piv_probe`; asked once, and again after something was written."""
        if self._capabilities is None:
            with self._exclusive():
                self._capabilities = probe(self._applet)
        return self._capabilities

    @property
    def administration_needs_pin(self) -> bool:
        """True where the management key lies behind the PIN."""
        return self._management_key.needs_pin

    def pin_tries(self) -> int | None:
        """Tries left, 0 when blocked; None where the card does not say, or while some program is logged in to it."""
        return self._read(self._applet.pin_status).tries

    def pin_pad(self) -> bool:
        """See `renewagent.card.interface.TakesPinAtPad`."""
        if self._pad is None:
            with self._connection.transaction():  # a reader that another program uses gives no answer
                self._pad = isinstance(self._connection, HasPinPad) and self._connection.pin_pad()
        return self._pad

    def wants_pin_each_time(self, slot: Slot) -> bool:
        """See `renewagent.card.interface.TakesPinAtPad`."""
        return self._read(lambda: self._key(slot)).policy is PinPolicy.ALWAYS

    def public_key(self, slot: Slot) -> bytes | None:
        """See `renewagent.card.interface.TellsKeys`: by METADATA, so on extended cards only. Raises CardRefused."""
        from renewagent_drivers import piv_admin  # imports cryptography, which the resident agent must not

        return self._read(lambda: piv_admin.public_key(self._applet, slot))

    def staging_slots(self) -> Sequence[Slot]:
        """The retired slots, on a card that tells about its keys and can move them."""
        known = self.capabilities().extensions
        return RETIRED_SLOTS if "METADATA" in known and "MOVE KEY" in known else ()

    def sign_in_slot(self) -> Slot:
        """See `renewagent.card.interface.SignsIn`: 9A. 9D decrypts, and 9E opens doors."""
        return AUTHENTICATION

    def copy_slots(self) -> Sequence[Slot]:
        """See `renewagent.card.interface.KeepsCopies`: the last retired objects, the last that readers look at."""
        return (RETIRED_SLOTS[-1], RETIRED_SLOTS[-2])

    @contextlib.contextmanager
    def signing(self, pin: Pin | AtPad) -> Iterator[SigningSession]:
        """See `renewagent.card.interface.CardDriver`. Raises DifferentCard, LastPinTry and PinBlocked before the PIN is
        sent, CardError for what cannot be a PIN."""
        entry = self._entry(pin)
        with contextlib.ExitStack() as stack:
            transaction = self._enter_logged_out(stack)
            try:
                yield PivSigningSession(self._applet, entry, self._key)
            finally:
                if entry.presented:
                    self._log_out(transaction)

    @contextlib.contextmanager
    def administration(self, pin: Pin | AtPad | None = None) -> Iterator[AdminSession]:
        """See `renewagent.card.interface.CardDriver`. Raises DifferentCard, ManagementKeyRefused, ConfigurationError,
        and what a PIN can raise where the key lies behind one."""
        from renewagent_drivers import piv_admin  # imports cryptography, which the resident agent must not

        source = self._management_key
        key = None if source.needs_pin else source.obtain(lambda: None)
        with contextlib.ExitStack() as stack:
            transaction = self._enter_logged_out(stack) if source.needs_pin else stack.enter_context(self._exclusive())
            transaction.reset_at_end()  # P1 = FF takes the PIN's rights away, but not the management key's
            key = key or source.obtain(lambda: self._key_behind_pin(pin))
            told = management_key_algorithm(self._applet, MANAGEMENT_KEY)
            piv_admin.authenticate(self._applet, key, told)
            try:
                yield piv_admin.PivAdminSession(self._applet, self._changed, extended=told is not None)
            finally:
                self._forget()

    def _read(self, errand: Callable[[], T], *, self_proving: bool = False) -> T:
        """Do something that only reads. Right after `open` its SELECT may still hold, so that a first read can do
        without another; since some program may have selected something else meanwhile, that serves only for an
        answer which proves itself, a certificate that parses."""
        with self._connection.transaction():
            fresh, self._fresh = self._fresh, False
            if fresh and self_proving:
                with contextlib.suppress(CardError, CardReset):
                    result = errand()
                    if result is not None:
                        return result
            self._select()
            return errand()

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[Transaction]:
        """A transaction on the PIV application of the very card that we began with."""
        with self._connection.transaction() as transaction:
            self._fresh = False
            self._select()
            found = read_identity(self._applet)
            self._identity = self._identity or found
            if found != self._identity:
                raise DifferentCard(
                    _("This is another smartcard: it ends in {found}, not in {ending}.").format(
                        found=found.ending, ending=self._identity.ending
                    ),
                    advice=_("Insert the smartcard ending {ending}, then try again.").format(
                        ending=self._identity.ending
                    ),
                )
            yield transaction

    def _select(self) -> None:
        try:
            self._applet.select()
        except CardReset:  # before this transaction began; nothing of ours is lost
            self._applet.select()

    def _read_head(self, slot: Slot) -> CertificateHead | None:
        data = b""
        for data in self._applet.object_chunks(certificate_object(slot)):
            try:
                front = certificate_front(data)
                head = certificate_head(front.octets, front.total) if front is not None else None
            except Truncated:
                continue
            except ValueError as e:
                raise CardDataError(
                    _("The certificate in slot {slot} of the smartcard cannot be read: {why}.").format(slot=slot, why=e)
                ) from e
            if front is None or head is not None:
                return head
        if data:
            raise CardDataError(
                _("The certificate in slot {slot} of the smartcard cannot be read: it is cut short.").format(slot=slot)
            )
        return None

    def _enter_logged_out(self, stack: contextlib.ExitStack) -> Transaction:
        """Enter a transaction in which nobody is logged in: only then does the card tell the tries left. Where
        another program's login does not go by P1 = FF, it goes by a reset, once."""
        for last in (False, True):
            transaction = stack.enter_context(self._exclusive())
            status = self._applet.pin_status()
            if status.verified:
                status = self._applet.log_out()
            if last or not status.verified:
                break
            transaction.reset_at_end()
            stack.close()
        require_tries(status.tries)
        return transaction

    def _log_out(self, transaction: Transaction) -> None:
        """Leave nobody logged in, whatever else has gone wrong."""
        try:
            status = self._applet.log_out()
        except RenewAgentError:
            status = PinStatus(verified=False, tries=None)
        if status.verified or status.tries is None:
            transaction.reset_at_end()

    def _entry(self, pin: Pin | AtPad) -> Verifies:
        if isinstance(pin, Pin):
            return PinEntry(self._applet, pin, self._count_verify)
        if not isinstance(self._connection, HasPinPad):
            raise PinPadFailed(_("This card reader has no keys of its own."))
        return PadEntry(self._applet, self._connection, pin, self._count_verify)

    def _key_behind_pin(self, pin: Pin | AtPad | None) -> bytes | None:
        if pin is None:
            raise ManagementKeyRefused(_("The management key lies behind the passcode, and none was given."))
        self._entry(pin).verify()
        printed = self._applet.data_object(PRINTED)
        try:
            return None if printed is None else management_key_in(printed)
        except ValueError as e:
            raise CardDataError(_("What the smartcard keeps behind its passcode makes no sense.")) from e

    def _key(self, slot: Slot) -> SlotKey:
        if slot not in self._keys:
            self._keys[slot] = read_slot_key(self._applet, slot, self._generated.get(slot))
        return self._keys[slot]

    def _changed(self, slot: Slot, public_key: bytes | None) -> None:
        self._keys.pop(slot, None)
        self._generated.pop(slot, None)
        if public_key is not None:
            self._generated[slot] = public_key

    def _forget(self) -> None:
        """After writing: what was probed, and a name that was taken from a certificate, may hold no more."""
        self._capabilities = None
        if self._identity is not None and self._identity.scheme == "certificate":
            self._identity = None

    def _count_verify(self) -> None:
        self.verifies += 1


class _Slots(Sequence[Slot]):
    """The slots in order; the retired ones are asked for when somebody gets that far, and once."""

    def __init__(self, retired: Callable[[], tuple[Slot, ...]]) -> None:
        self._ask = retired
        self._retired: tuple[Slot, ...] | None = None

    def _all(self) -> tuple[Slot, ...]:
        if self._retired is None:
            self._retired = self._ask()
        return STANDARD_SLOTS + self._retired

    def __iter__(self) -> Iterator[Slot]:
        yield from STANDARD_SLOTS
        yield from self._all()[len(STANDARD_SLOTS) :]

    def __contains__(self, slot: object) -> bool:
        return slot in STANDARD_SLOTS or slot in self._all()

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Slot: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Slot, ...]: ...
    def __getitem__(self, index: int | slice) -> Slot | tuple[Slot, ...]:
        if isinstance(index, int) and 0 <= index < len(STANDARD_SLOTS):
            return STANDARD_SLOTS[index]
        return self._all()[index]

"""Writing to a PIV card: the management key, key generation, certificate objects. For children: imports cryptography.

A session begins authenticated; the transaction around it (`piv.PivDriver.administration`) ends with a reset, since
nothing else takes the management key's rights away.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
from collections.abc import Callable, Collection, Iterator

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.card.apdu import CommandApdu, ResponseApdu, StatusWord
from renewagent.card.head import KeyKind
from renewagent.card.interface import KeepsManagementKey, KeyType
from renewagent.errors import CardDataError, CardRefused, ManagementKeyRefused, NoRoom
from renewagent.language import _
from renewagent.model import Slot
from renewagent_drivers.piv_applet import (
    ALGORITHMS,
    CHALLENGE,
    INS_GENERATE,
    INS_MOVE_KEY,
    INS_PUT_DATA,
    MANAGEMENT_KEY,
    RESPONSE,
    WITNESS,
    PivApplet,
    dynamic_fields,
    reference,
)
from renewagent_drivers.piv_facts import NO_KEY
from renewagent_drivers.piv_objects import (
    KEY_HISTORY,
    RETIRED_SLOTS,
    SECURITY,
    SIGNATURE,
    certificate_object,
    history_is_signed,
    history_telling,
    pack_certificate,
    parse,
    retired_in_use,
    tlv,
)
from renewagent_drivers.piv_room import prove_room

KINDS = {
    KeyType.RSA2048: KeyKind("rsa", 2048),
    KeyType.RSA3072: KeyKind("rsa", 3072),
    KeyType.P256: KeyKind("ec", 256),
    KeyType.P384: KeyKind("ec", 384),
}
_TRIPLE_DES = 0x03
_CIPHERS: dict[int, tuple[int, type[TripleDES] | type[AES]]] = {  # SP 800-78-4 table 6-2: key length and cipher
    _TRIPLE_DES: (24, TripleDES),
    0x08: (16, AES),
    0x0A: (24, AES),
    0x0C: (32, AES),
}
_POLICY_ALWAYS = tlv(0xAA, b"\x03")  # Yubico's: PIN policy of the new key
_PUBLIC_KEY = 0x7F49
_TOLD_ALGORITHM, _TOLD_PUBLIC_KEY = 0x01, 0x04  # fields of Yubico's METADATA
_NOWHERE = 0xFF
KINDS_BY_ALGORITHM = {ALGORITHMS[kind]: key_type for key_type, kind in KINDS.items()}
_CURVES = {KeyType.P256: ec.SECP256R1, KeyType.P384: ec.SECP384R1}


def authenticate(applet: PivApplet, key: bytes | KeepsManagementKey, told: int | None) -> None:
    """Prove to the card that we, or whoever keeps it, hold the management key, and have the card prove the same (SP
    800-73-4 part 2, A.1).

    `told` is the algorithm that the card says it wants, None where it does not say: then the algorithms that fit the
    key are asked for in turn, of which the card refuses the wrong one before any proof. Raises ManagementKeyRefused,
    and what the keeper raises.
    """
    for keeper in _in_hand(key) if isinstance(key, bytes) else (key,):
        if told not in (None, keeper.algorithm):
            continue
        response = applet.authenticate(keeper.algorithm, MANAGEMENT_KEY, tlv(WITNESS))
        if response.ok:
            _prove(applet, keeper, dynamic_fields(response).get(WITNESS, b""))
            return
    raise ManagementKeyRefused(_("The smartcard wants another kind of management key than the one configured."))


def _prove(applet: PivApplet, keeper: KeepsManagementKey, witness: bytes) -> None:
    if len(witness) != block_length(keeper.algorithm):
        raise CardDataError(_("The smartcard's answer makes no sense."))
    proof, challenge = keeper.prove(witness)
    fields = tlv(WITNESS, proof) + tlv(CHALLENGE, challenge) + tlv(RESPONSE)
    response = applet.authenticate(keeper.algorithm, MANAGEMENT_KEY, fields)
    if not response.ok:
        raise ManagementKeyRefused(
            _("The smartcard does not accept the management key ({sw}).").format(sw=f"{response.sw:04X}")
        )
    keeper.judge(dynamic_fields(response).get(RESPONSE, b""))


def block_length(algorithm: int) -> int:
    """Octets of a witness or challenge."""
    return 8 if algorithm == _TRIPLE_DES else 16


def _in_hand(key: bytes) -> Iterator[KeepsManagementKey]:
    return (_KeyInHand(algorithm, key) for algorithm, (length, _cipher) in _CIPHERS.items() if length == len(key))


class _KeyInHand:
    """See `renewagent.card.interface.KeepsManagementKey`: the keeper is this process."""

    def __init__(self, algorithm: int, key: bytes) -> None:
        self.algorithm = algorithm
        kind: BlockCipherAlgorithm = _CIPHERS[algorithm][1](key)
        self._cipher = Cipher(kind, modes.ECB())  # noqa: S305  one block of random octets, as the standard wants it
        self._expected = b""

    def prove(self, witness: bytes) -> tuple[bytes, bytes]:
        challenge = secrets.token_bytes(len(witness))
        self._expected = self._cipher.encryptor().update(challenge)
        return self._cipher.decryptor().update(witness), challenge

    def judge(self, response: bytes) -> None:
        if not hmac.compare_digest(response, self._expected):
            raise ManagementKeyRefused(_("The smartcard does not know the management key that it was asked to prove."))


class PivAdminSession:
    """See `renewagent.card.interface.AdminSession`."""

    def __init__(self, applet: PivApplet, changed: Callable[[Slot, bytes | None], None], *, extended: bool) -> None:
        self._applet = applet
        self._extended = extended
        self._changed = changed

    def generate(self, slot: Slot, key_type: KeyType, destined: Slot | None = None) -> bytes:
        """GENERATE ASYMMETRIC KEY PAIR (part 2, 3.3.2). Raises CardRefused, CardDataError."""
        control = tlv(0x80, bytes((ALGORITHMS[KINDS[key_type]],)))
        # A key that is to move takes its policy along, and of all slots 9C alone wants the PIN for every signature.
        if slot in RETIRED_SLOTS and self._extended and destined in (None, SIGNATURE):
            control += _POLICY_ALWAYS
        self._changed(slot, None)  # from here on nothing that was known of the old key holds
        response = self._applet.send(CommandApdu(INS_GENERATE, 0x00, reference(slot), tlv(0xAC, control), 256))
        if not response.ok:
            raise CardRefused(
                _("The smartcard did not make a new key in slot {slot} ({sw}).").format(
                    slot=slot, sw=f"{response.sw:04X}"
                ),
                response.sw,
            )
        public_key = _public_key(response.data, key_type)
        self._changed(slot, public_key)
        return public_key

    def store(self, slot: Slot, certificate: bytes | None) -> None:
        """PUT DATA (part 2, 3.3.1); compressed only where it does not fit as it is. Raises NoRoom, CardRefused."""
        name = certificate_object(slot)
        response = self._put(name, pack_certificate(certificate))
        if response.sw == StatusWord.NOT_ENOUGH_MEMORY:
            response = self._put(name, pack_certificate(certificate, compressed=True))
        if response.sw == StatusWord.NOT_ENOUGH_MEMORY:
            raise NoRoom(_("The smartcard has no room for the new certificate."), response.sw)
        if not response.ok:
            raise CardRefused(
                _("The smartcard did not take the certificate ({sw}).").format(sw=f"{response.sw:04X}"), response.sw
            )

    def require_room(self, octets: int) -> None:
        """See `piv_room`: tried on extended cards alone, where retired slots are free for it. Raises NoRoom."""
        if self._extended:
            prove_room(self._applet, self._put, octets)

    def _put(self, name: int, content: bytes) -> ResponseApdu:
        data = tlv(0x5C, name.to_bytes(3, "big")) + content
        return self._applet.send(CommandApdu(INS_PUT_DATA, 0x3F, 0xFF, data))

    def history(self) -> bytes:
        """See `renewagent.card.interface.KeepsHistory`."""
        return self._applet.data_object(KEY_HISTORY) or b""

    def tell_of(self, slot: Slot, known: bytes = b"") -> None:
        """See `renewagent.card.interface.KeepsHistory`. Certificates take the lowest references, and readers go by
        their number alone (part 1, 3.3.3): to tell of one is to count up to it."""
        self._count(lambda count: max(count, RETIRED_SLOTS.index(slot) + 1), known)

    def tell_no_more_of(self, slots: Collection[Slot], known: bytes = b"") -> None:
        """See `renewagent.card.interface.KeepsHistory`: those at the upper end are not counted any more."""

        def fewer(count: int) -> int:
            if not 0 < count <= len(RETIRED_SLOTS) or RETIRED_SLOTS[count - 1] not in slots:
                return count
            return next((n for n in range(count, 0, -1) if self._stays(RETIRED_SLOTS[n - 1], slots)), 0)

        self._count(fewer, known)

    def _stays(self, slot: Slot, going: Collection[Slot]) -> bool:
        return slot not in going and self._applet.data_object(certificate_object(slot)) is not None

    def _count(self, change: Callable[[int], int], known: bytes) -> None:
        """A card that does not take it keeps what it has: signing does not hang on it."""
        now = self.history()
        held, count = _readable_history(now, known)
        wanted = change(count)
        told = history_telling(wanted, held)
        if told is None or (wanted == count and held in (now, b"")):
            return
        signed = self._applet.data_object(SECURITY)
        if signed is None or not history_is_signed(signed):
            self._put(KEY_HISTORY, told)

    def move(self, source: Slot, destination: Slot) -> None:
        """Yubico's MOVE KEY: the destination must be empty; certificates stay behind. Raises CardRefused."""
        self._move(
            reference(destination),
            source,
            _("The smartcard did not move the key in slot {source} to slot {destination}").format(
                source=source, destination=destination
            ),
        )
        self._changed(source, None)
        self._changed(destination, None)

    def public_key(self, slot: Slot) -> bytes | None:
        """See `renewagent.card.interface.MovesKeys`."""
        return public_key(self._applet, slot)

    def delete(self, slot: Slot) -> None:
        """Yubico's MOVE KEY to nowhere; an empty slot is no error. Raises CardRefused."""
        said = _("The smartcard did not delete the key in slot {slot}").format(slot=slot)
        self._move(_NOWHERE, slot, said, StatusWord.REFERENCE_NOT_FOUND)
        self._changed(slot, None)

    def _move(self, destination: int, source: Slot, said: str, *also: int) -> None:
        response = self._applet.send(CommandApdu(INS_MOVE_KEY, destination, reference(source)))
        if not response.ok and response.sw not in also:
            raise CardRefused(_("{said} ({sw}).").format(said=said, sw=f"{response.sw:04X}"), response.sw)


def _readable_history(*versions: bytes) -> tuple[bytes, int]:
    """The first that is there and makes sense, and its count: a write that was cut short leaves one that does not."""
    for history in versions:
        with contextlib.suppress(ValueError):
            if history:
                return history, retired_in_use(history)
    return b"", 0


def public_key(applet: PivApplet, slot: Slot) -> bytes | None:
    """SubjectPublicKeyInfo of the key in `slot`, None for an empty one. Raises CardRefused, CardDataError."""
    response = applet.metadata(reference(slot))
    if response.sw in NO_KEY:
        return None
    if not response.ok:
        raise CardRefused(_("The smartcard does not tell about the key in slot {slot}.").format(slot=slot), response.sw)
    return public_key_in(response.data)


def public_key_in(metadata: bytes) -> bytes | None:
    """SubjectPublicKeyInfo from METADATA's field 04; None where it is not among them. Raises CardDataError."""
    try:
        fields = parse(metadata)
    except ValueError as e:
        raise CardDataError(_("What the smartcard says of its keys makes no sense.")) from e
    told = fields.get(_TOLD_PUBLIC_KEY)
    kind = KINDS_BY_ALGORITHM.get(int.from_bytes(fields.get(_TOLD_ALGORITHM, b""), "big"))
    if told is None or kind is None:
        return None
    return _public_key(tlv(_PUBLIC_KEY, told), kind)


def _public_key(answer: bytes, key_type: KeyType) -> bytes:
    """SubjectPublicKeyInfo from 7F49 { 81 modulus, 82 exponent } or 7F49 { 86 point } (part 2, table 11)."""
    try:
        found = parse(parse(answer)[_PUBLIC_KEY])
        key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
        if key_type in _CURVES:
            key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[key_type](), found[0x86])
        else:
            modulus, exponent = (int.from_bytes(found[tag], "big") for tag in (0x81, 0x82))
            key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except (ValueError, KeyError) as e:
        raise CardDataError(_("The smartcard made a new key, but its answer makes no sense.")) from e
    if key.key_size != KINDS[key_type].bits:
        raise CardDataError(_("The smartcard made a key of another size than it was asked for."))
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

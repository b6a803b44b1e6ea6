"""Private keys that live on a card, in the shape that cryptography's builders take. For children.

`PKCS7SignatureBuilder`, `CertificateSigningRequestBuilder` and our CMP code call `sign` and never see that a card
answers. Only signatures that a card is meant to make are made: PKCS#1 v1.5 and ECDSA with SHA-256, -384 or -512, over
data (a hash made elsewhere could be anything).
"""

from __future__ import annotations

from typing import Any, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from renewagent.card.interface import SigningSession
from renewagent.language import _
from renewagent.model import Slot

_HASHES = frozenset({"sha256", "sha384", "sha512"})


def card_key(
    session: SigningSession, slot: Slot, public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    """The key in `slot`, usable while `session` lasts. `sign` raises what `SigningSession.sign` raises, and
    UnsupportedAlgorithm for anything that the card is not asked to do."""
    if isinstance(public_key, rsa.RSAPublicKey):
        return _CardRsaKey(session, slot, public_key)
    return _CardEcKey(session, slot, public_key)


class _StaysOnCard:
    """What both kinds refuse."""

    def private_numbers(self) -> NoReturn:
        """Never: the key does not leave the card."""
        raise _refusal(_("This key does not leave the smartcard."))

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> NoReturn:
        """Never: the key does not leave the card."""
        raise _refusal(_("This key does not leave the smartcard."))


class _CardRsaKey(_StaysOnCard, rsa.RSAPrivateKey):
    def __init__(self, session: SigningSession, slot: Slot, public_key: rsa.RSAPublicKey) -> None:
        self._session = session
        self._slot = slot
        self._public_key = public_key

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public_key

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        if not _is_pkcs1(padding):
            raise _refusal(_("Smartcard keys sign with PKCS #1 v1.5 only."))
        return self._session.sign(self._slot, bytes(data), _hash_name(algorithm))

    def decrypt(self, ciphertext: Any, padding: Any) -> NoReturn:
        raise _refusal(_("Smartcard keys are used for signatures only."))

    def __copy__(self) -> _CardRsaKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> _CardRsaKey:
        return self


class _CardEcKey(_StaysOnCard, ec.EllipticCurvePrivateKey):
    def __init__(self, session: SigningSession, slot: Slot, public_key: ec.EllipticCurvePublicKey) -> None:
        self._session = session
        self._slot = slot
        self._public_key = public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public_key

    def sign(self, data: Any, signature_algorithm: Any) -> bytes:
        if not isinstance(signature_algorithm, ec.ECDSA) or signature_algorithm.deterministic_signing:
            raise _refusal(_("Smartcard keys sign with ECDSA only, and not deterministically."))
        return self._session.sign(self._slot, bytes(data), _hash_name(signature_algorithm.algorithm))

    def exchange(self, algorithm: Any, peer_public_key: Any) -> NoReturn:
        raise _refusal(_("Smartcard keys are used for signatures only."))

    def __copy__(self) -> _CardEcKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> _CardEcKey:
        return self


def _is_pkcs1(scheme: Any) -> bool:
    return isinstance(scheme, padding.PKCS1v15)


def _hash_name(algorithm: Any) -> str:
    if not isinstance(algorithm, hashes.HashAlgorithm) or algorithm.name not in _HASHES:
        raise _refusal(_("Smartcard keys sign data with SHA-256, SHA-384 or SHA-512 only."))
    return algorithm.name


def _refusal(words: str) -> UnsupportedAlgorithm:
    return UnsupportedAlgorithm(words)

"""A PIN that cannot be printed, logged, compared or pickled, and is wiped after use.

Wiping in Python is best effort: the guarantee is that the child process that holds the PIN ends soon and cannot be
dumped (see `renewagent.agent.worker`).
"""

from __future__ import annotations

from typing import NoReturn, final


@final
class Pin:
    """Digits (or other ASCII) typed by a person. Use as a context manager, or call `wipe()`."""

    __slots__ = ("_octets",)

    def __init__(self, text: str | bytes | bytearray) -> None:
        self._octets = bytearray(text.encode("utf-8") if isinstance(text, str) else text)

    def reveal(self) -> bytes:
        """The PIN's octets. Only a card driver calls this. Raises ValueError once wiped."""
        if not self._octets:
            raise ValueError("this PIN has been wiped")
        return bytes(self._octets)

    def wipe(self) -> None:
        """Overwrite the PIN; `reveal` raises from now on."""
        for i in range(len(self._octets)):
            self._octets[i] = 0
        self._octets.clear()

    @property
    def wiped(self) -> bool:
        """True once `wipe` was called."""
        return not self._octets

    def __enter__(self) -> Pin:
        return self

    def __exit__(self, *exc: object) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return "Pin(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("PINs are not compared")

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a PIN is not pickled or copied")


@final
class RefusedPins:
    """Remembers, as keyed hashes, which PINs a card refused, so that none is sent twice (design section 4, PIN)."""

    __slots__ = ("_key", "_seen")

    def __init__(self) -> None:
        import secrets  # this and hashlib bring OpenSSL along, 3.6 MB that the resident agent does without

        self._key = secrets.token_bytes(32)
        self._seen: set[bytes] = set()

    def _digest(self, card: str, pin: Pin) -> bytes:
        import hashlib
        import hmac

        return hmac.new(self._key, card.encode() + b"\0" + pin.reveal(), hashlib.sha256).digest()

    def add(self, card: str, pin: Pin) -> None:
        """Note that `card` refused `pin`."""
        self._seen.add(self._digest(card, pin))

    def holds(self, card: str, pin: Pin) -> bool:
        """True if `card` refused this very PIN before."""
        return self._digest(card, pin) in self._seen

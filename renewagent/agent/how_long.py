"""How long the rest of a renewal usually takes, so that nobody pulls a card out for impatience. Pure.

What a card and an RA need differs; these are on the slow side, told in words that promise no more ("about half a
minute"). The time that a person takes to type is not in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from renewagent.renewal import State

_USUAL: Mapping[State, float] = MappingProxyType(
    {
        State.TICKET: 6,
        State.GENERATE: 4,
        State.STAGE: 4,
        State.CERTIFY: 6,
        State.STORE: 4,
        State.TRY: 4,
        State.MOVE: 4,
        State.RECEIPT: 6,
    }
)
_RSA_KEY = 25.0
"""Seconds more for a card that makes an RSA key: it looks for primes, now shorter, now longer."""


def seconds_left(steps: Iterable[State], key_algorithm: str) -> float:
    """For the steps that are still to be done, the one that begins included. `key_algorithm` as in
    `SigningCertificate`."""
    left = tuple(steps)
    generates = key_algorithm == "rsa" and bool({State.GENERATE, State.STAGE} & set(left))
    return sum(_USUAL[step] for step in left) + (_RSA_KEY if generates else 0)

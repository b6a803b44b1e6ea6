"""The responder's MACs beside the client's: written apart, and they must agree."""

from __future__ import annotations

import pytest
from cryptography.x509 import ObjectIdentifier

from renewagent.cmp import der, macs
from renewagent.cmp.responder_mac import PBMAC1, is_mac, mac_scheme
from renewagent.cmp.responder_words import Refusal
from renewagent.cmp.wire import Algorithm
from tests.unit.mock_ra.peer import pbm, pbm_algorithm

SALT, SECRET = b"sixteen of salt.", b"correct horse battery staple"


@pytest.mark.parametrize(
    "algorithm", [macs.password_based_mac(SALT), macs.pbmac1(SALT), macs.pbmac1(b"short", 100), pbm_algorithm()]
)
def test_both_ends_agree(algorithm: Algorithm) -> None:
    assert is_mac(algorithm)
    for covered in (b"", b"a message", bytes(5000)):
        assert mac_scheme(algorithm, SECRET).tag(covered) == macs.compute(algorithm, SECRET, covered)


def test_by_hand() -> None:
    assert mac_scheme(pbm_algorithm(), SECRET).tag(b"x") == pbm(SECRET, pbm_algorithm(), b"x")


@pytest.mark.parametrize(
    "algorithm",
    [
        Algorithm(PBMAC1),
        Algorithm(PBMAC1, der.NULL),
        Algorithm(PBMAC1, der.sequence((der.NULL, der.NULL))),
        pbm_algorithm(iterations=100_001),
        macs.pbmac1(SALT, 100_001),
    ],
)
def test_what_is_not_taken(algorithm: Algorithm) -> None:
    with pytest.raises(Refusal) as refusal:
        mac_scheme(algorithm, SECRET)
    assert refusal.value.failures == {"badAlg"}


def test_a_signature_is_no_mac() -> None:
    assert not is_mac(Algorithm(ObjectIdentifier("1.2.840.10045.4.3.2")))

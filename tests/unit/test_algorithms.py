"""Names of algorithms, held against the tables of two libraries that know them as well."""

from __future__ import annotations

from asn1crypto import algos, keys
from cryptography.x509.oid import PublicKeyAlgorithmOID, SignatureAlgorithmOID

from renewagent.algorithms import (
    KEY_ALGORITHMS,
    KEY_USAGES,
    SIGNATURE_ALGORITHMS,
    key_algorithm,
    signature_algorithm,
)


def test_every_signature_algorithm_here_is_one_of_x509() -> None:
    theirs = {oid.dotted_string for name, oid in vars(SignatureAlgorithmOID).items() if not name.startswith("_")}
    unknown = {"1.2.840.113549.1.1.2", "1.3.14.3.2.29"}  # MD2, which cryptography has given up, and a doublet
    assert set(SIGNATURE_ALGORITHMS) - theirs == unknown


def test_two_oids_of_one_algorithm_have_one_name() -> None:
    assert signature_algorithm("1.3.14.3.2.29") == signature_algorithm("1.2.840.113549.1.1.5")
    assert len(set(SIGNATURE_ALGORITHMS.values())) == len(SIGNATURE_ALGORITHMS) - 1


def test_hash_and_key_in_a_name_are_those_of_its_oid() -> None:
    for oid, name in SIGNATURE_ALGORITHMS.items():
        theirs = algos.SignedDigestAlgorithmId(oid).native.lower()
        for word in ("md2", "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ecdsa", "pss", "ed25519", "ed448"):
            assert (word in name.lower()) == (word in theirs), (oid, name, theirs)


def test_key_algorithms_are_those_of_x509() -> None:
    theirs = {"rsa": "rsa", "rsassa_pss": "rsa-pss", "dsa": "dsa", "ec": "ec", "ed25519": "ed25519", "ed448": "ed448"}
    for oid, name in KEY_ALGORITHMS.items():
        assert theirs[keys.PublicKeyAlgorithmId(oid).native] == name
    assert PublicKeyAlgorithmOID.EC_PUBLIC_KEY.dotted_string in KEY_ALGORITHMS
    assert key_algorithm("1.2.3") == signature_algorithm("1.2.3") == "1.2.3"


def test_key_usages_stand_in_the_order_of_their_bits() -> None:
    assert (KEY_USAGES.index("contentCommitment"), KEY_USAGES.index("keyCertSign"), len(KEY_USAGES)) == (1, 5, 9)

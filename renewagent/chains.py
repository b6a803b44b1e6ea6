"""Certificate chains: from one certificate up to an anchor that the caller trusts, at a time that the caller names.

`cryptography.x509.verification` walks the path (names, signatures, validity, path lengths, name constraints) under
policies of ours, since its defaults are for web servers. What a certificate may be used for is for callers to judge.
No revocation here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from renewagent.language import _
from renewagent.loading import UNREADABLE

MOST_INTERMEDIATES = 6


def build_chain(
    leaf: x509.Certificate, pool: Iterable[x509.Certificate], anchors: Sequence[x509.Certificate], now: datetime
) -> list[x509.Certificate]:
    """The chain from `leaf` to one of `anchors`, both included, through certificates of `pool`.

    `now` is aware UTC. Raises ValueError that says why there is none.
    """
    if not anchors:
        raise ValueError(_("no trust anchor to build a chain to"))
    everyone = PolicyBuilder().store(Store(list(anchors))).time(now).max_chain_depth(MOST_INTERMEDIATES)
    verifier = everyone.extension_policies(ca_policy=_authority_policy(), ee_policy=ExtensionPolicy.permit_all())
    try:
        chain = verifier.build_client_verifier().verify(leaf, list(pool)).chain
        _refuse_unknown_critical(chain)
    except (VerificationError, *UNREADABLE) as error:
        raise ValueError(_("no chain to a trust anchor: {why}").format(why=error)) from error
    return chain


def issuers_among(leaf: x509.Certificate, pool: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    """What leads up from `leaf`, by names alone, anchors left out: to be sent along, for others to verify."""
    by_name = {one.subject: one for one in pool if one.subject != one.issuer}
    found: list[x509.Certificate] = []
    while len(found) < MOST_INTERMEDIATES and (above := by_name.pop(leaf.issuer, None)) is not None:
        found.append(above)
        leaf = above
    return found


def _authority_policy() -> ExtensionPolicy:
    policy = ExtensionPolicy.permit_all()
    policy = policy.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _must_be_authority)
    return policy.may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _must_sign_certificates)


def _must_be_authority(policy: Policy, certificate: x509.Certificate, extension: x509.BasicConstraints) -> None:
    if not extension.ca:  # RFC 5280 6.1.4 (k)
        raise ValueError(_("an issuer that is no certification authority"))


def _must_sign_certificates(policy: Policy, certificate: x509.Certificate, extension: x509.KeyUsage | None) -> None:
    if extension is not None and not extension.key_cert_sign:  # RFC 5280 6.1.4 (n)
        raise ValueError(_("an issuer whose key must not sign certificates"))


def _refuse_unknown_critical(chain: Sequence[x509.Certificate]) -> None:
    for certificate in chain:
        for extension in certificate.extensions:
            if extension.critical and isinstance(extension.value, x509.UnrecognizedExtension):  # RFC 5280 4.2
                raise ValueError(_("critical extension {oid} is unknown").format(oid=extension.oid.dotted_string))

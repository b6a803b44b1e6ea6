"""Loading a certificate that may be anything. For children and both ends of CMP: imports cryptography.

`cryptography` refuses broken certificates with half a dozen exceptions, some of them late, and warns of faults that it
means to refuse one day. Here every certificate that makes no sense is a ValueError, at once, and nothing is warned of:
what a faulty batch looks like is this program's business, not a developer's.
"""

from __future__ import annotations

import warnings

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from renewagent.language import _

UNREADABLE = (
    ValueError,
    TypeError,  # a name with a BIT STRING in it, say
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises, early or late, for a certificate that makes no sense."""


def load_certificate(der: bytes) -> x509.Certificate:
    """The certificate, its names, extensions and key known to be readable. Raises ValueError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(der)
            _seen = (certificate.version, certificate.subject, certificate.issuer, certificate.extensions)
            certificate.public_key()
    except UNREADABLE as error:
        raise ValueError(_("a certificate that cannot be read ({why})").format(why=error)) from error
    return certificate


def serial_number(certificate: x509.Certificate) -> int:
    """Whatever it is: of one that is not positive `cryptography` warns when it is asked for, and not before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return certificate.serial_number

"""PSKC documents as RFC 6030 has them, and as vendors would."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

PSKC = "urn:ietf:params:xml:ns:keyprov:pskc"
_XENC = "http://www.w3.org/2001/04/xmlenc#"
_PBKDF2 = "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0"
_HMAC = "http://www.w3.org/2000/09/xmldsig#hmac-sha1"
CBC = f"{_XENC}aes128-cbc"


def container(*inside: str) -> bytes:
    """The outermost element."""
    spaces = (
        f'xmlns="{PSKC}" xmlns:xenc="{_XENC}" xmlns:x11="http://www.w3.org/2009/xmlenc11#" xmlns:pkcs5="{_PBKDF2}#"'
    )
    document = f'<KeyContainer Version="1.0" {spaces}>{"".join(inside)}</KeyContainer>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'.encode()


def package(serial: str, data: str, *, algorithm: str = "hotp", parameters: str = "", policy: str = "") -> str:
    """One token. `data`: what is in <Data>."""
    return (
        f"<KeyPackage><DeviceInfo><Manufacturer>Acme</Manufacturer><SerialNo>{serial}</SerialNo></DeviceInfo>"
        f'<Key Id="{serial}" Algorithm="{PSKC}:{algorithm}"><Issuer>Acme</Issuer>'
        f"<AlgorithmParameters>{parameters}</AlgorithmParameters><Data>{data}</Data>{policy}</Key></KeyPackage>"
    )


def plain(name: str, value: str) -> str:
    """One value as it is; <Secret> in base64."""
    return f"<{name}><PlainValue>{value}</PlainValue></{name}>"


def response(digits: int) -> str:
    """How many digits codes have."""
    return f'<ResponseFormat Length="{digits}" Encoding="DECIMAL"/>'


def hidden(value: str, mac: str | None, algorithm: str = CBC) -> str:
    """An encrypted <Secret>, in base64."""
    found = "" if mac is None else f"<ValueMAC>{mac}</ValueMAC>"
    return f"<Secret><EncryptedValue>{_cipher(value, algorithm)}</EncryptedValue>{found}</Secret>"


def _cipher(value: str, algorithm: str = CBC) -> str:
    return (
        f'<xenc:EncryptionMethod Algorithm="{algorithm}"/>'
        f"<xenc:CipherData><xenc:CipherValue>{value}</xenc:CipherValue></xenc:CipherData>"
    )


def mac_method(key: str) -> str:
    """The key of the message authentication codes, encrypted."""
    return f'<MACMethod Algorithm="{_HMAC}"><MACKey>{_cipher(key)}</MACKey></MACMethod>'


def derived(salt: str, iterations: object, length: object = 16) -> str:
    """An encryption key from a passphrase."""
    return (
        f'<EncryptionKey><x11:DerivedKey><x11:KeyDerivationMethod Algorithm="{_PBKDF2}#pbkdf2"><pkcs5:PBKDF2-params>'
        f"<Salt><Specified>{salt}</Specified></Salt><IterationCount>{iterations}</IterationCount>"
        f"<KeyLength>{length}</KeyLength></pkcs5:PBKDF2-params></x11:KeyDerivationMethod>"
        "<x11:MasterKeyName>My Password 1</x11:MasterKeyName></x11:DerivedKey></EncryptionKey>"
    )


# The values of RFC 6030, figures 6 (a key that was agreed) and 7 (a passphrase); the seed is RFC 4226's.
AGREED_KEY = bytes.fromhex("12345678901234567890123456789012")
FIGURE_6_MAC_KEY = "ESIzRFVmd4iZABEiM0RVZgKn6WjLaTC1sbeBMSvIhRejN9vJa2BOlSaMrR7I5wSX"
FIGURE_6_SECRET = ("AAECAwQFBgcICQoLDA0OD+cIHItlB3Wra1DUpxVvOx2lef1VmNPCMl8jwZqIUqGv", "Su+NvtQfmvfJzF6bmQiJqoLRExc=")
PASSPHRASE = "qwerty"
FIGURE_7_SALT = "Ej7/PEpyEpw="
FIGURE_7_MAC_KEY = "2GTTnLwM3I4e5IO5FkufoOEiOhNj91fhKRQBtBJYluUDsPOLTfUvoU2dStyOwYZx"
FIGURE_7_SECRET = ("oTvo+S22nsmS2Z/RtcoF8Hfh+jzMe0RkiafpoDpnoZTjPYZu6V+A4aEn032yCr4f", "LP6xMvjtypbfT9PdkJhBZ+D6O4w=")


def figure_6(secret: tuple[str, str | None] = FIGURE_6_SECRET) -> bytes:
    """Encrypted with a key that was agreed."""
    name = '<EncryptionKey><KeyName xmlns="http://www.w3.org/2000/09/xmldsig#">Pre-shared-key</KeyName></EncryptionKey>'
    data = hidden(*secret) + plain("Counter", "0")
    return container(name, mac_method(FIGURE_6_MAC_KEY), package("987654321", data, parameters=response(8)))


def figure_7(iterations: object = 1000, length: object = 16) -> bytes:
    """Encrypted with a passphrase."""
    key = derived(FIGURE_7_SALT, iterations, length)
    token = package("987654321", hidden(*FIGURE_7_SECRET), parameters=response(8))
    return container(key, mac_method(FIGURE_7_MAC_KEY), token)


def plain_file(serials: Iterable[str]) -> bytes:
    """Tokens that nothing hides, each with a seed of its own."""

    def seed(serial: str) -> str:
        return base64.b64encode(hashlib.sha1(serial.encode(), usedforsecurity=False).digest()).decode()

    return container(*(package(serial, plain("Secret", seed(serial)), parameters=response(6)) for serial in serials))

"""pytest fixtures for soft tokens, and what lies on one as python-pkcs11 alone sees it, without our driver."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)
from pkcs11 import Attribute, CertificateType, ObjectClass
from pkcs11.util.ec import decode_ec_private_key, decode_ec_public_key, encode_ec_public_key
from pkcs11.util.rsa import decode_rsa_private_key, decode_rsa_public_key, encode_rsa_public_key

from renewagent.errors import ConfigurationError
from renewagent_fixtures.soft_token import PIN, SoftTokens, build
from tests.programs import missing, require

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


@pytest.fixture(scope="session")
def between_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module in front of SoftHSM, compiled once."""
    require("softhsm2-util")
    try:
        return build(tmp_path_factory.mktemp("between"))
    except ConfigurationError as error:
        missing(error.message)


@pytest.fixture
def soft_tokens(tmp_path: Path, between_module: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftTokens]:
    """Tokens of this test's own."""
    tokens = SoftTokens(tmp_path / "soft tokens", between_module)
    for name, value in tokens.environment.items():
        monkeypatch.setenv(name, value)
    yield tokens
    tokens.let_be()
    with contextlib.suppress(pkcs11.PKCS11Error):
        pkcs11.lib(str(between_module)).finalize()


class OtherProgram:
    """Another part of this process that uses a token by itself. In PKCS#11 it is a process that is logged in, not a
    session, so that what we leave behind is what it would find."""

    def __init__(self, tokens: SoftTokens, serial: str) -> None:
        self._tokens = tokens
        self.serial = serial

    def starts_afresh(self) -> None:
        """See tokens that were made since."""
        pkcs11.lib(str(self._tokens.module)).reinitialize()

    def token(self) -> pkcs11.Token:
        return pkcs11.lib(str(self._tokens.module)).get_token(token_serial=self.serial.encode())

    @contextlib.contextmanager
    def session(self, *, pin: str | None = None) -> Iterator[Any]:
        with contextlib.closing(self.token().open(rw=True, user_pin=pin)) as session:
            yield session

    def logs_in(self) -> None:
        self.token().open(rw=True, user_pin=PIN)

    def sees_private_keys(self) -> bool:
        with self.session() as session:
            return bool(list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})))

    def may_generate(self) -> bool:
        with self.session() as session:
            try:
                session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True)
            except pkcs11.UserNotLoggedIn:
                return False
            return True

    def objects(self, kind: ObjectClass, reference: str | None = None) -> list[dict[Attribute, Any]]:
        """What there is of a kind, as far as one sees who is logged in."""
        wanted = (Attribute.LABEL, Attribute.PRIVATE, Attribute.TOKEN)
        more = {
            ObjectClass.PRIVATE_KEY: (Attribute.SENSITIVE, Attribute.EXTRACTABLE, Attribute.NEVER_EXTRACTABLE),
            ObjectClass.CERTIFICATE: (Attribute.VALUE, Attribute.SUBJECT, Attribute.ISSUER, Attribute.SERIAL_NUMBER),
        }
        searched: dict[Attribute, Any] = {Attribute.CLASS: kind}
        if reference is not None:
            searched[Attribute.ID] = bytes.fromhex(reference)
        identified = () if kind is ObjectClass.DATA else (Attribute.ID,)
        names = (*identified, *wanted, *more.get(kind, ()))
        with self.session(pin=PIN) as session:
            return [one.get_attributes(names) for one in session.get_objects(searched)]

    def references(self) -> dict[str, list[str]]:
        """The CKA_IDs in use, by class."""
        kinds = (ObjectClass.CERTIFICATE, ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)
        return {kind.name: sorted(one[Attribute.ID].hex() for one in self.objects(kind)) for kind in kinds}

    def certificate(self, reference: str) -> bytes | None:
        found = self.objects(ObjectClass.CERTIFICATE, reference)
        return bytes(found[0][Attribute.VALUE]) if found else None

    def public_key(self, reference: str) -> PublicKey:
        with self.session() as session:
            wanted = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: bytes.fromhex(reference)}
            (found,) = list(session.get_objects(wanted))
            is_rsa = found[Attribute.KEY_TYPE] == pkcs11.KeyType.RSA
            key = load_der_public_key(encode_rsa_public_key(found) if is_rsa else encode_ec_public_key(found))
        assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        return key

    def imports(self, reference: str, key: PrivateKey, der: bytes | None, *, always: bool = False) -> None:
        """Put a key pair and a certificate on the token, as a card bureau would."""
        with self.session(pin=PIN) as session:
            for template in _key_templates(key):
                template |= {Attribute.ID: bytes.fromhex(reference), Attribute.TOKEN: True, Attribute.LABEL: "bureau"}
                if template[Attribute.CLASS] == ObjectClass.PRIVATE_KEY:
                    template[Attribute.ALWAYS_AUTHENTICATE] = always
                    template[Attribute.PRIVATE] = template[Attribute.SENSITIVE] = template[Attribute.SIGN] = True
                session.create_object(template)
        if der is not None:
            self.writes(reference, der)

    def writes(self, reference: str, der: bytes) -> None:
        """Put a certificate, or what passes for one, in the place of those with that CKA_ID."""
        wanted = {Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.ID: bytes.fromhex(reference)}
        with self.session(pin=PIN) as session:
            for found in list(session.get_objects(wanted)):
                found.destroy()
        self.adds(reference, der)

    def adds(self, reference: str, der: bytes) -> None:
        """Put a certificate beside those with that CKA_ID."""
        with self.session(pin=PIN) as session:
            session.create_object(
                {
                    Attribute.CLASS: ObjectClass.CERTIFICATE,
                    Attribute.CERTIFICATE_TYPE: CertificateType.X_509,
                    Attribute.ID: bytes.fromhex(reference),
                    Attribute.TOKEN: True,
                    Attribute.PRIVATE: False,
                    Attribute.SUBJECT: b"\x30\x00",
                    Attribute.VALUE: der,
                }
            )


def _key_templates(key: PrivateKey) -> list[dict[Attribute, Any]]:
    der = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    if isinstance(key, rsa.RSAPrivateKey):
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
        return [decode_rsa_private_key(der), decode_rsa_public_key(public)]
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return [decode_ec_private_key(der), decode_ec_public_key(public)]

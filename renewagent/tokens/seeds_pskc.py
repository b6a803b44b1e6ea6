"""PSKC (RFC 6030), read with python-pskc, once it is clear that the XML is harmless.

defusedxml refuses documents with a document type, and with it every entity. What it has read is bounded and written
again, and only that is given to python-pskc, whichever XML reader it would take. Signatures are not looked at: a file
is believed for how it came, and an encrypted one for its message authentication codes, which RFC 6030 6.1.1 has CBC
need.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.etree import ElementTree  # written with, alone

from renewagent.errors import ConfigurationError
from renewagent.tokens.errors import SeedFileError, SeedProblem
from renewagent.tokens.seeds import (
    FileSecret,
    Outcome,
    Seed,
    checked_seed,
    counter_of,
    profile_of,
    serial_of,
)
from renewagent.tokens.validation import USUAL_PROFILE, Moving

if TYPE_CHECKING:
    from pskc import PSKC
    from pskc.key import Key

_MOST_TAGS, _MOST_ATTRIBUTES = 800_000, 400_000
_DEEPEST, _LONGEST_TEXT = 40, 16_384
_MOST_ITERATIONS, _LONGEST_KEY = 5_000_000, 64
_FURTHEST_DRIFT = 100_000
_SHORTEST_MAC = 16
_MISSING = "Install renewagent with its extra: pip install 'renewagent[epcs]'."
_UNREADABLE = "The seed file is no PSKC document that can be read."
_HARMFUL = "The seed file is not as a vendor writes them, and might do harm. It was not read."


def pskc_outcomes(octets: bytes, secret: FileSecret) -> Iterator[Outcome]:
    """Key by key. Raises SeedFileError for what is no such file at all, or cannot be decrypted."""
    document = _opened(_harmless(octets), secret)
    for number, key in enumerate(document.keys, 1):
        yield _outcome(number, key)


# --- XML


def _harmless(octets: bytes) -> bytes:
    """The document, written again."""
    try:
        from defusedxml.common import DefusedXmlException
        from defusedxml.ElementTree import fromstring
    except ImportError as e:
        raise ConfigurationError("PSKC files cannot be read here.", advice=_MISSING) from e
    if octets.count(b"<") > _MOST_TAGS or octets.count(b"=") > _MOST_ATTRIBUTES:
        raise SeedFileError(_HARMFUL)
    try:
        root = fromstring(octets, forbid_dtd=True)
    except DefusedXmlException as e:
        raise SeedFileError(_HARMFUL) from e
    except (ElementTree.ParseError, ValueError, LookupError) as e:
        raise SeedFileError(_UNREADABLE) from e
    _look_at(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8"))


def _look_at(root: ElementTree.Element) -> None:
    waiting = [(root, 1)]
    while waiting:
        element, depth = waiting.pop()
        texts = (element.text or "", element.tail or "", *element.attrib.values())
        if depth > _DEEPEST or any(len(text) > _LONGEST_TEXT for text in texts):
            raise SeedFileError(_HARMFUL)
        _look_at_numbers(_name(element), element.text or "")
        _look_for_mac(element)
        waiting += [(child, depth + 1) for child in element]


def _look_at_numbers(name: str, text: str) -> None:
    """No key derivation that would go on for hours."""
    most = {"IterationCount": _MOST_ITERATIONS, "PBEIterationCount": _MOST_ITERATIONS, "KeyLength": _LONGEST_KEY}
    if name in most and not (re.fullmatch(r"\s*[0-9]{1,9}\s*", text) and 0 < int(text) <= most[name]):
        raise SeedFileError(_HARMFUL)


def _look_for_mac(element: ElementTree.Element) -> None:
    """A value that CBC hides and nothing protects might be anything (RFC 6030 6.1.1)."""
    hidden = [child for child in element if _name(child) == "EncryptedValue"]
    methods = [e.get("Algorithm", "") for child in hidden for e in child.iter() if _name(e) == "EncryptionMethod"]
    wrapped = bool(methods) and all("#kw-" in method for method in methods)  # a key wrap finds changes itself
    if hidden and not wrapped and not any(_is_mac(child) for child in element):
        raise SeedFileError(
            "The seeds in the file are encrypted, and nothing shows that they were not changed.",
            advice="Have the file sent again, with a message authentication code (ValueMAC) for each seed.",
        )


def _is_mac(element: ElementTree.Element) -> bool:
    # An empty one counts as none for python-pskc.
    try:
        return _name(element) == "ValueMAC" and len(base64.b64decode(element.text or "")) >= _SHORTEST_MAC
    except ValueError:
        return False


def _name(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


# --- The document


def _opened(octets: bytes, secret: FileSecret) -> PSKC:
    try:
        from pskc import PSKC
    except ImportError as e:
        raise ConfigurationError("PSKC files cannot be read here.", advice=_MISSING) from e
    try:
        document = PSKC(io.BytesIO(octets))
        if secret.passphrase and document.encryption.derivation.algorithm:
            document.encryption.derive_key(secret.passphrase)
        elif secret.key:
            document.encryption.key = secret.key
        encrypted = document.encryption.is_encrypted
    except Exception as e:  # python-pskc raises what it meets, down to AssertionError
        raise SeedFileError(_UNREADABLE) from e
    if encrypted:
        raise SeedFileError(
            "The seed file is encrypted, and "
            + ("the passphrase or key does not open it." if secret.passphrase or secret.key else "must be opened."),
            advice="Give the passphrase or the key that the vendor sent by another way.",
        )
    return document


def _outcome(number: int, key: Key) -> Outcome:
    where = f"Key {number}"
    try:
        return _seed(key)
    except ValueError as e:
        return SeedProblem(where, str(e))
    except Exception:
        return SeedProblem(where, "It cannot be read.")


def _seed(key: Key) -> Seed:
    _look_at_policy(key)
    found = re.fullmatch(r".*[:#](hotp|totp)", key.algorithm or "", re.IGNORECASE)
    if not found:
        raise ValueError("It is not for one-time passwords by counter (HOTP) or time (TOTP).")
    digits = key.response_length or USUAL_PROFILE.digits
    profile = profile_of(found.group(1), key.algorithm_suite or "", digits, key.time_interval or USUAL_PROFILE.period)
    counter = counter_of(key.counter or 0) if profile.moving is Moving.PRESS else 0
    drift = key.time_drift or 0 if profile.moving is Moving.TIME else 0
    if abs(drift) > _FURTHEST_DRIFT:
        raise ValueError("Its clock is too far off.")
    return Seed(serial_of(key.serial or ""), checked_seed(key.secret or b""), profile, counter, drift)


def _look_at_policy(key: Key) -> None:
    # RFC 6030 5: what is not understood of a policy forbids the key's use.
    usage = [str(use).upper() for use in key.policy.key_usage]
    if key.policy.unknown_policy_elements or (usage and "OTP" not in usage):
        raise ValueError("Its policy does not let it be used here.")
    if (key.response_encoding or "DECIMAL").upper() != "DECIMAL" or key.response_check:
        raise ValueError("Its codes are not plain decimal digits.")

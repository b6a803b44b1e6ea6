"""What one PIV card can do beyond the standard, found by asking and never assumed.

Every question here is harmless: it changes nothing, spends no try, and a card that does not know it says so. Cards
that copy Yubico's extensions answer some of them in their own way, so an odd answer means "no" and never an error.
"""

from __future__ import annotations

from renewagent.card.apdu import CommandApdu, ResponseApdu, StatusWord
from renewagent.card.interface import Capabilities
from renewagent.errors import CardError
from renewagent.model import Slot
from renewagent_drivers.piv_applet import (
    INS_ATTEST,
    INS_MOVE_KEY,
    INS_SERIAL,
    INS_VERSION,
    PivApplet,
    reference,
)
from renewagent_drivers.piv_objects import RETIRED_SLOTS, certificate_object, parse

MODEL = "piv"
_UNKNOWN_COMMAND = frozenset(
    {StatusWord.INS_NOT_SUPPORTED, StatusWord.CLA_NOT_SUPPORTED, StatusWord.FUNCTION_NOT_SUPPORTED}
)
_NO_KEY = frozenset({StatusWord.REFERENCE_NOT_FOUND, StatusWord.NOT_FOUND})
_STAGING_SLOTS = 2
_ALGORITHM = 0x01


def probe(applet: PivApplet) -> Capabilities:
    """Ask the card, which must be selected. Raises `ReaderError` only."""
    extensions: dict[str, str] = {}
    version = _ask(applet, INS_VERSION)
    if version is not None and version.ok and len(version.data) == 3:
        extensions["VERSION"] = ".".join(str(octet) for octet in version.data)
    serial = read_serial(applet)
    if serial is not None:
        extensions["SERIAL"] = serial
    free = _free_retired_slots(applet)
    if free is not None:
        extensions["METADATA"] = "yes"
        extensions.update(_probe_on_free(applet, free))
    staging = tuple(free[:_STAGING_SLOTS]) if free is not None and "MOVE KEY" in extensions else ()
    return Capabilities(MODEL, staging=staging, attestation="ATTEST" in extensions, extensions=extensions)


def read_serial(applet: PivApplet) -> str | None:
    """The serial number, in decimal as it is printed on the card; None where the card does not tell."""
    response = _ask(applet, INS_SERIAL)
    if response is None or not response.ok or len(response.data) != 4 or not any(response.data):
        return None
    return str(int.from_bytes(response.data, "big"))


def _probe_on_free(applet: PivApplet, free: list[Slot]) -> dict[str, str]:
    """Asked of slots that are proven empty, so that nothing can move and nothing is attested."""
    found = {}
    if len(free) >= _STAGING_SLOTS and _knows(applet, INS_MOVE_KEY, reference(free[1]), reference(free[0])):
        found["MOVE KEY"] = "yes"
    if free and _knows(applet, INS_ATTEST, reference(free[0]), 0):
        found["ATTEST"] = "yes"
    return found


def _free_retired_slots(applet: PivApplet) -> list[Slot] | None:
    """The first retired slots without key and certificate; None where the card cannot tell about keys."""
    free: list[Slot] = []
    for slot in RETIRED_SLOTS:
        try:
            metadata = applet.metadata(reference(slot))
            if metadata.ok and not _is_metadata(metadata):
                return None
            if not metadata.ok and metadata.sw not in _NO_KEY:
                return None
            if not metadata.ok and applet.data_object(certificate_object(slot)) is None:
                free.append(slot)
        except CardError:
            return None
        if len(free) == _STAGING_SLOTS:
            break
    return free


def _is_metadata(response: ResponseApdu) -> bool:
    try:
        return len(parse(response.data).get(_ALGORITHM, b"")) == 1
    except ValueError:
        return False


def _knows(applet: PivApplet, ins: int, p1: int, p2: int) -> bool:
    response = _ask(applet, ins, p1, p2)
    return response is not None and response.sw not in _UNKNOWN_COMMAND


def _ask(applet: PivApplet, ins: int, p1: int = 0, p2: int = 0) -> ResponseApdu | None:
    try:
        return applet.send(CommandApdu(ins, p1, p2, le=256))
    except CardError:
        return None

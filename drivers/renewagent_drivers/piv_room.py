"""Is there room on a PIV card? The standard gives no way to ask (SP 800-73-4), so it is tried: by writing as much as is
to come where nothing is, and taking it away again. For the children: it writes.
"""

from __future__ import annotations

from collections.abc import Callable

from renewagent.card.apdu import ResponseApdu, StatusWord
from renewagent.errors import NoRoom
from renewagent.language import _
from renewagent_drivers.piv_applet import PivApplet
from renewagent_drivers.piv_objects import RETIRED_SLOTS, certificate_object, pack_certificate, tlv, unwrap

_PIECE = 2000
"""Octets: the largest certificate that is to be expected. Cards keep 3,052 in one object, and more."""
_CONTAINER, _FILLING = 0x53, 0x72
"""A field that a certificate's object may have beside the certificate: to readers, an object without one."""


def prove_room(applet: PivApplet, put: Callable[[int, bytes], ResponseApdu], octets: int) -> None:
    """Raises NoRoom unless so many octets fit on the card besides what is there. Only objects of retired slots are used
    that hold nothing, or what a trial left that was cut short; a card that takes none cannot tell, and passes."""
    written: list[int] = []
    try:
        for name in map(certificate_object, RETIRED_SLOTS):
            if octets <= 0 or not _is_free(applet.data_object(name)):
                continue
            size = min(octets, _PIECE)
            response = put(name, tlv(_CONTAINER, tlv(_FILLING, bytes(size))))
            if response.sw == StatusWord.NOT_ENOUGH_MEMORY:
                raise NoRoom(_("The smartcard has no room for another certificate."), response.sw)
            if not response.ok:
                return
            written.append(name)
            octets -= size
    finally:
        for name in written:
            put(name, pack_certificate(None))


def _is_free(data: bytes | None) -> bool:
    if data is None:
        return True
    try:
        content = unwrap(data)
    except ValueError:
        return False
    return content[:1] == bytes((_FILLING,)) and not any(content[4:])

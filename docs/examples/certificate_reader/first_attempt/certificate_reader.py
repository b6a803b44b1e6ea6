"""Says whose smartcard is in a reader, and how long its signing certificate is good: plain pyscard, nothing of renewagent.

python certificate_reader.py ["Some Reader 00 00"]
"""

from __future__ import annotations

import sys

from cryptography import x509
from smartcard.Exceptions import CardConnectionException, NoCardException
from smartcard.System import readers

SELECT_PIV = [0x00, 0xA4, 0x04, 0x00, 0x05, 0xA0, 0x00, 0x00, 0x03, 0x08]
GET_SIGNING_CERTIFICATE = [0x00, 0xCB, 0x3F, 0xFF, 0x05, 0x5C, 0x03, 0x5F, 0xC1, 0x0A, 0x00]
MORE_TO_COME, DONE, NOT_FOUND = 0x61, 0x9000, 0x6A82


class Unreadable(Exception):
    """What is in the reader cannot be read; the text says why."""


def transmit(connection, command):
    """One command with all of its answer: (data, status word)."""
    data, sw1, sw2 = connection.transmit(command)
    if sw1 == MORE_TO_COME:
        more, _, _ = connection.transmit([0x00, 0xC0, 0x00, 0x00, sw2])
        return bytes(data + more), DONE
    return bytes(data), sw1 << 8 | sw2


def contents(data, tag):
    """What stands behind `tag` at the beginning of BER-TLV data (a one-octet tag, a definite length)."""
    if len(data) < 2 or data[0] != tag:
        raise Unreadable(f"tag {tag:02X} is missing")
    length, start = data[1], 2
    if length > 0x80:
        start += length - 0x80
        length = int.from_bytes(data[2:start], "big")
    return data[start : start + length]


def signing_certificate(connection):
    """The certificate in slot 9C, in DER, or None where there is none."""
    _, status = transmit(connection, SELECT_PIV)
    if status != DONE:
        raise Unreadable("this is no PIV card")
    data, status = transmit(connection, GET_SIGNING_CERTIFICATE)
    if status == NOT_FOUND:
        return None
    if status != DONE:
        raise Unreadable(f"the card answers {status:04X}")
    return contents(contents(data, 0x53), 0x70)


def report(name):
    """One sentence about the card in that reader."""
    reader = next((reader for reader in readers() if str(reader) == name), None)
    if reader is None:
        return f"There is no reader {name}."
    connection = reader.createConnection()
    try:
        connection.connect()
        der = signing_certificate(connection)
        if der is None:
            return "There is no signing certificate on this smartcard."
        certificate = x509.load_der_x509_certificate(der)
    except NoCardException:
        return "There is no smartcard in the reader."
    except CardConnectionException:
        return "The smartcard was removed."
    except (Unreadable, ValueError) as problem:
        return f"This smartcard cannot be read: {problem}."
    finally:
        connection.disconnect()
    return f"{certificate.subject.rfc4514_string()}, until {certificate.not_valid_after_utc:%d %B %Y}"


if __name__ == "__main__":
    print(report(sys.argv[1] if len(sys.argv) > 1 else str(readers()[0])))

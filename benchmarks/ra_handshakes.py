"""How many full renewals a second the mock RA carries: kur, kup, certConf, pkiConf, over 32 connections, durable.

Beside it, in the same run, the bare crypto of one renewal on one core: three signatures verified, three made; measured
between slices of the load, so that both meet the same machine. The RA is a process of its own and works on one core;
the load comes from this one, on another, with keys and first messages made beforehand. `share_of_floor` compares
renewals a second, `share_of_floor_cpu` the processor time of one renewal: where others work too, read the second.

    python benchmarks/ra_handshakes.py [--algorithm rsa2048|p256] [--handshakes N] [--connections N]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from renewagent.cmp import bodies, codec, crmf
from renewagent.cmp.wire import Algorithm, BodyType, CertStatus, Header
from renewagent_fixtures.mock_ra.certificates import Wanted
from renewagent_fixtures.mock_ra.knobs import Knobs
from renewagent_fixtures.mock_ra.office import Office

KEYS = 16
SLICES = 10
USAGES = frozenset({"digitalSignature", "contentCommitment"})
ALGORITHMS = {"rsa2048": Algorithm(x509.ObjectIdentifier("1.2.840.113549.1.1.11"), b"\x05\x00")}
ALGORITHMS["p256"] = Algorithm(x509.ObjectIdentifier("1.2.840.10045.4.3.2"))


@dataclass(frozen=True)
class Card:
    """One certificate to be renewed, and its kur, ready to be sent."""

    key: Any
    certificate: bytes
    header: Header
    request: bytes


def sign(key: Any, octets: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    made: bytes = key.sign(octets, ec.ECDSA(hashes.SHA256()))
    return made


def verify(key: Any, signature: bytes, octets: bytes) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, octets, padding.PKCS1v15(), hashes.SHA256())
    else:
        key.verify(signature, octets, ec.ECDSA(hashes.SHA256()))


def new_key(algorithm: str) -> Any:
    return rsa.generate_private_key(65537, 2048) if algorithm == "rsa2048" else ec.generate_private_key(ec.SECP256R1())


def spki(key: Any) -> bytes:
    octets: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return octets


class Floor:
    """What there would be if there were nothing but the crypto: three verifications and three signatures, one core."""

    def __init__(self, algorithm: str) -> None:
        self._key, self._octets = new_key(algorithm), os.urandom(800)
        self._public, self._signature = self._key.public_key(), sign(self._key, self._octets)
        self.count, self.elapsed, self.spent = 0, 0.0, 0.0

    def measure(self, seconds: float) -> None:
        """Go on for so long."""
        begun, before = time.perf_counter(), time.process_time()
        while time.perf_counter() - begun < seconds:
            for _ in range(3):
                verify(self._public, self._signature, self._octets)
                sign(self._key, self._octets)
            self.count += 1
        self.elapsed += time.perf_counter() - begun
        self.spent += time.process_time() - before


def make_cards(office: Office, algorithm: str, count: int) -> list[Card]:
    keys = [new_key(algorithm) for _ in range(KEYS)]
    return [make_card(office, algorithm, keys[i % KEYS], keys[(i + 1) % KEYS], i) for i in range(count)]


def make_card(office: Office, algorithm: str, old: Any, new: Any, number: int) -> Card:
    name = x509.Name.from_rfc4514_string(f"CN=Dr {number},O=Benchmark,C=GB").public_bytes()
    begun = datetime.now(UTC) - timedelta(days=30)
    row = office.book.issue(Wanted(name, spki(old), USAGES, begun), office.now(), state="valid")
    parsed = x509.load_der_x509_certificate(row.der)
    template = crmf.CertTemplate(subject=name, public_key=spki(new))
    raw = crmf.encode_request(crmf.CertRequest(0, template, (crmf.old_cert_id(parsed),)))
    popo = crmf.encode_popo(ALGORITHMS[algorithm], sign(new, raw))
    identifier = parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    header = Header(
        sender=codec.directory(parsed.subject),
        recipient=codec.directory(b"\x30\x00"),
        message_time=datetime.now(UTC),
        protection_alg=ALGORITHMS[algorithm],
        sender_kid=identifier,
        transaction_id=os.urandom(16),
        sender_nonce=os.urandom(16),
    )
    body = bodies.write_cert_requests(BodyType.KUR, (crmf.encode_req_msg(raw, popo),))
    return Card(old, row.der, header, protect(header, body, old, row.der))


def protect(header: Header, body: bytes, key: Any, certificate: bytes) -> bytes:
    raw = codec.encode_header(header)
    return codec.encode_message(raw, body, sign(key, codec.protected_part(raw, body)), (certificate,))


def confirmation(card: Card, answer: bytes) -> bytes:
    message = codec.decode_message(answer)
    certificate = bodies.read_cert_rep(message).responses[0].certificate or b""
    header = replace(card.header, recip_nonce=message.header.sender_nonce, sender_nonce=os.urandom(16))
    body = bodies.write_confirmations((CertStatus(hashlib.sha256(certificate).digest(), 0),))
    return protect(header, body, card.key, card.certificate)


async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, octets: bytes) -> bytes:
    head = (
        "POST /.well-known/cmp HTTP/1.1\r\nHost: ra\r\nContent-Type: application/pkixcmp\r\n"
        f"Content-Length: {len(octets)}\r\n\r\n"
    )
    writer.write(head.encode() + octets)
    answer = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in answer.lower().split(b"\r\n")[1:-2])
    return await reader.readexactly(int(fields[b"content-length"]))


async def renew_all(port: int, cards: Iterator[Card], times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for card in cards:
        begun = time.perf_counter()
        answer = await post(reader, writer, card.request)
        done = codec.decode_message(await post(reader, writer, confirmation(card, answer)))
        assert done.body_type is BodyType.PKICONF, bodies.read_error(done)
        times.append(time.perf_counter() - begun)
    writer.close()
    await writer.wait_closed()


async def load(port: int, cards: list[Card], connections: int, times: list[float]) -> float:
    left = iter(cards)
    begun = time.perf_counter()
    await asyncio.gather(*(renew_all(port, left, times) for _ in range(connections)))
    return time.perf_counter() - begun


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(algorithm: str, handshakes: int, connections: int) -> dict[str, object]:
    """One RA, one load. `ra_cpu_ms` is what the RA spends on one renewal, `floor_cpu_ms` what bare crypto would;
    `ra_cores` how many cores the RA kept busy."""
    bare, elapsed, spent, times = Floor(algorithm), 0.0, 0.0, list[float]()
    with tempfile.TemporaryDirectory() as folder:
        office = Office(Path(folder) / "ra", Knobs(algorithm=algorithm))  # type: ignore[arg-type]
        cards = make_cards(office, algorithm, handshakes)
        office.close()
        command = [sys.executable, "-m", "renewagent", "mock-ra", "serve", "--data", f"{folder}/ra", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            port = int(json.loads(process.stdout.readline())["url"].split(":")[2].split("/")[0])
            for piece in (cards[i::SLICES] for i in range(SLICES)):
                bare.measure(0.2)
                before = cpu_seconds(process.pid)
                elapsed += asyncio.run(load(port, piece, connections, times))
                spent += cpu_seconds(process.pid) - before
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
    times.sort()
    rate, floor = handshakes / elapsed, bare.count / bare.elapsed
    ra_cpu, floor_cpu = spent / handshakes, bare.spent / bare.count
    return {
        "algorithm": algorithm,
        "connections": connections,
        "handshakes": handshakes,
        "per_second": round(rate),
        "floor_per_second": round(floor),
        "share_of_floor": round(rate / floor, 3),
        "ra_cpu_ms": round(ra_cpu * 1000, 3),
        "floor_cpu_ms": round(floor_cpu * 1000, 3),
        "share_of_floor_cpu": round(floor_cpu / ra_cpu, 3),
        "ra_cores": round(spent / elapsed, 2),
        "median_ms": round(times[len(times) // 2] * 1000, 1),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", choices=("rsa2048", "p256"), action="append")
    parser.add_argument("--handshakes", type=int, default=3000)
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    for algorithm in arguments.algorithm or ("rsa2048", "p256"):
        print(json.dumps(measure(algorithm, arguments.handshakes, arguments.connections)), flush=True)


if __name__ == "__main__":
    main()

"""The mock RA against `openssl cmp` as client: a program that somebody else wrote enrols, renews, revokes and asks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from renewagent.cmp import bodies
from renewagent.cmp.wire import CONTENT_TYPE, BodyType
from renewagent_fixtures.mock_ra import Knobs, MockRa
from tests.programs import run
from tests.unit.mock_ra.peer import Peer, Request, p256

SUBJECT = "/C=GB/O=Surgery/CN=Dr Ada Example"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Client:
    """`openssl cmp`, in a folder of its own."""

    folder: Path
    port: int
    root: Path
    reference: str
    secret: str
    kind: str = "p256"

    def cmp(self, command: str, *arguments: str, path: str = "/.well-known/cmp", status: int = 0) -> str:
        return run(
            "openssl",
            *("cmp", "-config", "", "-server", f"127.0.0.1:{self.port}", "-path", path),
            *("-trusted", str(self.root), "-cmd", command, *arguments),
            status=status,
        )

    @property
    def mac(self) -> tuple[str, ...]:
        return ("-ref", self.reference, "-secret", f"pass:{self.secret}")

    def holder(self, name: str) -> tuple[str, ...]:
        return ("-cert", self.file(f"{name}.crt"), "-key", self.file(f"{name}.key"))

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def new_key(self, name: str) -> str:
        key: Key = (
            rsa.generate_private_key(65537, 2048) if self.kind == "rsa2048" else ec.generate_private_key(ec.SECP256R1())
        )
        path = self.folder / f"{name}.key"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return str(path)

    def wanting(self, name: str) -> tuple[str, ...]:
        return ("-newkey", self.new_key(name), "-certout", self.file(f"{name}.crt"))

    def enrol(self, name: str, *more: str) -> x509.Certificate:
        self.cmp("ir", *self.mac, "-subject", SUBJECT, *self.wanting(name), *more)
        return self.certificate(name)

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / f"{name}.crt").read_bytes())

    def verify(self, name: str, chain: Path, *more: str, status: int = 0) -> str:
        """`openssl verify`, with the CAs that the RA sent."""
        return run(
            "openssl",
            "verify",
            "-x509_strict",
            "-CAfile",
            self.root,
            "-untrusted",
            chain,
            *more,
            self.file(f"{name}.crt"),
            status=status,
        )


@pytest.fixture
def ra(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MockRa]:
    with MockRa(tmp_path / "ra", knobs=Knobs(algorithm=getattr(request, "param", "p256"))) as made:
        yield made


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockRa]:
    with MockRa(tmp_path_factory.mktemp("standing") / "ra") as made:
        yield made


def http(method: str, url: str, octets: bytes = b"", kind: str = CONTENT_TYPE) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager() as pool:
        return pool.request(method, url, body=octets, headers={"Content-Type": kind}, timeout=10, retries=False)


@pytest.fixture
def client(ra: MockRa, tmp_path: Path) -> Client:
    folder = tmp_path / "client"
    folder.mkdir()
    return Client(folder, ra.port, ra.root, ra.reference, ra.secret, ra.office.knobs.algorithm)


@pytest.fixture
def cas(ra: MockRa, tmp_path: Path) -> Path:
    path = tmp_path / "cas.pem"
    found = (ra.office.pki.signing, ra.office.pki.authentication)
    path.write_bytes(b"".join(a.certificate.public_bytes(Encoding.PEM) for a in found))
    return path


@pytest.mark.parametrize("ra", ["p256", "rsa2048"], indirect=True)
def test_the_whole_life_of_a_certificate(ra: MockRa, client: Client, cas: Path) -> None:
    """ir by MAC, cr, kur, rr: each with certConf, each certificate verified by openssl, the last on its CRL."""
    first = client.enrol("first", "-cacertsout", client.file("roots.pem"))
    assert first.subject.rfc4514_string() == "CN=Dr Ada Example,O=Surgery,C=GB"
    client.verify("first", cas)
    assert (client.folder / "roots.pem").read_bytes() == ra.root.read_bytes()
    client.cmp("cr", *client.holder("first"), *client.wanting("second"))
    client.verify("second", cas)
    client.cmp("kur", *client.holder("second"), *client.wanting("third"))
    client.verify("third", cas)
    assert client.certificate("third").subject == first.subject
    refused = client.cmp("kur", *client.holder("second"), *client.wanting("fourth"), status=1)
    assert "certRevoked" in refused
    client.cmp("rr", *client.holder("third"), "-oldcert", client.file("third.crt"), "-revreason", "4")
    assert ra.counters() == {"issued": 3, "confirmed": 3, "revoked": 1}
    on_list = check_crl(ra, client)
    assert format(client.certificate("third").serial_number, "X") in on_list.replace(":", "")
    check = ("-crl_check", "-CRLfile", client.file("signing.pem"))
    client.verify("first", cas, *check)
    assert "revoked" in client.verify("third", cas, *check, status=2)
    assert ra.office.check_audit() is None


def check_crl(ra: MockRa, client: Client) -> str:
    """Fetch the CRL from where the certificate says; openssl verifies it."""
    where = client.certificate("first").extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    (point,) = where
    url = (point.full_name or [])[0].value
    answer = http("GET", url)
    assert answer.headers["content-type"] == "application/pkix-crl"
    (client.folder / "signing.crl").write_bytes(answer.data)
    (client.folder / "signing-ca.pem").write_bytes(ra.office.pki.signing.certificate.public_bytes(Encoding.PEM))
    crl = client.file("signing.crl")
    run("openssl", "crl", "-inform", "DER", "-in", crl, "-out", client.file("signing.pem"))
    out = run(
        "openssl", "crl", "-in", client.file("signing.pem"), "-noout", "-text", "-CAfile", client.file("signing-ca.pem")
    )
    assert "verify OK" in out
    return out


def test_p10cr(client: Client, cas: Path) -> None:
    request = client.file("request.pem")
    run("openssl", "req", "-new", "-key", client.new_key("ten"), "-subj", SUBJECT, "-out", request)
    client.cmp("p10cr", *client.mac, "-csr", request, "-certout", client.file("ten.crt"))
    client.verify("ten", cas)


def test_a_certificate_made_to_order(client: Client, cas: Path) -> None:
    """digitalSignature alone comes from the authentication CA; -days is kept."""
    (client.folder / "c.cnf").write_text("[e]\nkeyUsage=critical,digitalSignature\n[cmp]\n")
    run(
        "openssl", "cmp", "-config", client.file("c.cnf"), "-section", "cmp",
        "-server", f"127.0.0.1:{client.port}", "-path", "/.well-known/cmp/p/mock/initialization",
        "-trusted", client.root, "-cmd", "ir", *client.mac, "-subject", SUBJECT, *client.wanting("card"),
        "-reqexts", "e", "-days", "30",
    )  # fmt: skip
    made = client.certificate("card")
    assert made.issuer.rfc4514_string() == "CN=Mock Authentication CA,O=renewagent,C=GB"
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days == 30
    client.verify("card", cas)
    client.cmp("kur", *client.holder("card"), *client.wanting("card2"), path="/.well-known/cmp/kur")
    assert client.certificate("card2").issuer == made.issuer
    signing = client.cmp("cr", *client.holder("card2"), *client.wanting("pen"), status=1)
    assert "notAuthorized" in signing


def test_pbmac_with_sha256(client: Client) -> None:
    client.enrol("first", "-digest", "sha256", "-mac", "hmacWithSHA256")


def test_genm(client: Client) -> None:
    client.enrol("first")
    client.cmp("genm", *client.mac)
    client.cmp("genm", *client.holder("first"), "-infotype", "signKeyPairTypes")
    assert "caCerts" in client.cmp("genm", *client.holder("first"), "-infotype", "caCerts")


def test_a_wrong_secret_and_a_rejected_certificate(ra: MockRa, client: Client) -> None:
    wrong = ("-ref", client.reference, "-secret", "pass:wrong")
    client.cmp("ir", *wrong, "-subject", SUBJECT, *client.wanting("none"), "-unprotected_errors", status=1)
    stranger = ("-out_trusted", str(ra.campaign_anchor))
    client.cmp("ir", *client.mac, "-subject", SUBJECT, *client.wanting("none"), *stranger, status=1)
    assert ra.counters() == {"issued": 1, "confirmed": 0, "revoked": 0}
    client.enrol("first")


def test_polling(ra: MockRa, client: Client) -> None:
    """A kur that waits for approval: openssl asks until it is given."""
    client.enrol("first")
    ra.turn(Knobs(approval=True, approve_after=1.5, check_after=1))
    client.cmp("kur", *client.holder("first"), *client.wanting("second"))
    assert ra.counters()["confirmed"] == 2


def test_over_tls(tmp_path: Path) -> None:
    with MockRa(tmp_path / "ra", tls=True) as ra:
        client = Client(tmp_path, ra.port, ra.root, ra.reference, ra.secret)
        client.enrol("first", "-tls_used", "-tls_trusted", str(ra.root), "-tls_host", "127.0.0.1")


@pytest.mark.parametrize(
    ("path", "method", "kind", "expected"),
    [
        ("/.well-known/cmp", "GET", "application/pkixcmp", 405),
        ("/.well-known/cmp", "POST", "application/json", 415),
        ("/.well-known/cmp/p/x/y/z", "POST", "application/pkixcmp", 404),
        ("/.well-known/cmpx", "POST", "application/pkixcmp", 404),
        ("/.well-known/cmp", "POST", "application/pkixcmp", 200),
        ("/.well-known/cmp/p/x/keyupdate", "POST", "application/pkixcmp", 200),
        ("/crl/nothing.crl", "GET", "text/plain", 404),
        ("/status", "GET", "text/plain", 400),
        ("/status?issuer=x&serial=zz", "GET", "text/plain", 400),
        ("/nonce", "GET", "text/plain", 200),
    ],
)
def test_http(standing: MockRa, path: str, method: str, kind: str, expected: int) -> None:
    octets = b"junk" if method == "POST" else b""
    assert http(method, standing.origin + path, octets, kind).status == expected


def test_a_message_that_is_too_large(standing: MockRa) -> None:
    assert http("POST", standing.url, bytes(300_000)).status == 413


@dataclass(frozen=True)
class Served:
    process: subprocess.Popen[str]
    facts: dict[str, str]

    def client(self, folder: Path) -> Client:
        port = int(self.facts["url"].split(":")[2].split("/")[0])
        return Client(folder, port, Path(self.facts["root"]), self.facts["reference"], self.facts["secret"])


def serve(folder: Path, *arguments: str, port: int = 0) -> Served:
    command = [sys.executable, "-m", "renewagent", "mock-ra", "serve", "--data", str(folder / "ra")]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--ready-file", str(folder / "ready.json"), *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    begun = time.monotonic()
    line = process.stdout.readline()
    assert time.monotonic() - begun < 5
    assert (folder / "ready.json").read_text() == line
    return Served(process, json.loads(line))


def test_the_command(tmp_path: Path) -> None:
    """One line within five seconds, the same in the ready file; SIGTERM ends it with 0; it takes up where it was."""
    served = serve(tmp_path)
    assert set(served.facts) == {"url", "root", "reference", "secret", "campaign_anchor", "campaign_signer"}
    signer = Path(served.facts["campaign_signer"]).read_bytes()
    assert b"PRIVATE KEY" in signer
    assert b"CERTIFICATE" in signer
    client = served.client(tmp_path)
    client.enrol("first")
    port = client.port
    served.process.terminate()
    assert served.process.wait(timeout=10) == 0
    (tmp_path / "ready.json").unlink()
    again = serve(tmp_path, port=port)
    assert again.facts == served.facts
    again.client(tmp_path).cmp("kur", *client.holder("first"), *client.wanting("second"))
    again.process.terminate()
    assert again.process.wait(timeout=10) == 0
    for one in (served, again):
        assert one.process.stdout is not None
        one.process.stdout.close()


@dataclass(frozen=True)
class Remote:
    """Stands where `Peer` expects an RA without a network: what is said goes to the served one."""

    url: str
    pki: Any

    @property
    def lock(self) -> nullcontext[None]:
        return nullcontext()

    def answer(self, octets: bytes) -> bytes:
        return http("POST", self.url, octets).data

    def now(self) -> datetime:
        return datetime.now(UTC)

    def flush(self) -> None:
        """The served RA has, before it answered."""


def test_a_conversation_outlives_kill_9(tmp_path: Path) -> None:
    """The RA is killed after each of its answers; the next one, over the same data, knows what was promised."""
    served = serve(tmp_path)
    pki = SimpleNamespace(reference=served.facts["reference"], secret=served.facts["secret"])
    office: Any = Remote(served.facts["url"], pki)
    port = served.client(tmp_path).port

    def after_kill(*arguments: str) -> None:
        nonlocal served
        killed(served)
        served = serve(tmp_path, *arguments, port=port)

    key, first = p256(), Peer(office)
    issued = first.say(Request(BodyType.IR, key).body())
    after_kill("--approval", "--approve-after", "0.1")
    assert first.confirm(issued).kind is BodyType.PKICONF
    peer = Peer(office, key, issued.certificate)
    after_kill("--approval", "--approve-after", "0.1")
    waiting = peer.say(Request(BodyType.KUR, p256(), old=peer.certificate).body())
    after_kill("--approval", "--approve-after", "0.1")
    renewed = peer.say(bodies.write_poll_requests((0,)), recip_nonce=waiting.nonce)
    assert renewed.kind is BodyType.KUP
    after_kill()
    assert peer.confirm(renewed).kind is BodyType.PKICONF
    after_kill()
    assert peer.confirm(renewed).failures == {"certConfirmed"}
    killed(served)


def killed(served: Served) -> None:
    os.kill(served.process.pid, signal.SIGKILL)
    served.process.wait(timeout=10)
    assert served.process.stdout is not None
    served.process.stdout.close()

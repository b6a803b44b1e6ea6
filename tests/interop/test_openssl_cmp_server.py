"""Our client and our HTTP transport against `openssl cmp -port`, a server that somebody else wrote.

That server issues nothing: it checks each request and hands out `-rsp_cert`, so the "new" key is that certificate's.
For a `kur` it wants oldCertID to name `-rsp_cert` itself, so the old certificate here has the same issuer and serial.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from renewagent.cmp.client import CmpClient, Confirmed, Credential, GeneralAnswer, Issued, MacCredential, Waiting
from renewagent.cmp.client_checks import anyone_under_the_anchors
from renewagent.cmp.wire import Oid
from renewagent.errors import RaMisbehaved, RaRefused
from renewagent.ra_transport import HttpRaTransport
from tests.programs import require
from tests.unit.cmp import scripted_ra
from tests.unit.cmp.scripted_ra import Party, Recipe, certify, new_key

SERIAL = 4711
_ACCEPT = re.compile(r"ACCEPT \S*:(\d+) PID")


def now() -> datetime:
    return datetime.now(UTC)


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@dataclass(frozen=True)
class World:
    """A root, an RA, a holder's old certificate and the new one that the server will hand out."""

    root: Party
    ra: Party
    old: Party
    new: Party
    folder: Path

    def talk(self) -> CmpClient:
        return CmpClient([self.root.certificate])

    @property
    def holder(self) -> Credential:
        return Credential(self.old.certificate, (), self.old.key)


def world(folder: Path, make: Callable[[], scripted_ra.SigningKey], ra: Recipe = scripted_ra.RA) -> World:
    begins, ends = now() - timedelta(minutes=1), now() + timedelta(days=30)
    root = certify(replace(scripted_ra.ROOT, begins=begins, ends=ends), None, make())
    recipe = Recipe(begins=begins, ends=ends, serial=SERIAL)
    made = World(
        root,
        certify(replace(ra, begins=begins, ends=ends), root, make()),
        certify(recipe, root, make()),
        certify(replace(recipe, usage=("content_commitment",)), root, make()),
        folder,
    )
    for name, party in (("root", made.root), ("ra", made.ra), ("new", made.new)):
        (folder / f"{name}.pem").write_bytes(party.certificate.public_bytes(Encoding.PEM))
        key = party.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.key").write_bytes(key)
    return made


@pytest.fixture
def p256(tmp_path: Path) -> World:
    return world(tmp_path, new_key)


@contextmanager
def serving(w: World, *options: str) -> Iterator[HttpRaTransport]:
    common = "-srv_cert ra.pem -srv_key ra.key -srv_trusted root.pem -srv_untrusted root.pem -rsp_cert new.pem"
    command = [require("openssl"), "cmp", "-port", "0", *common.split(), *options]
    process = subprocess.Popen(command, cwd=w.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        found = next(filter(None, map(_ACCEPT.match, process.stdout)))
        transport = HttpRaTransport(f"http://127.0.0.1:{found[1]}/pkix/", timeout=10)
        yield transport
        transport.close()
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def updated(w: World, transport: HttpRaTransport, talk: CmpClient | None = None) -> object:
    talk = talk or w.talk()
    request = talk.start_key_update(now(), w.holder, w.new.key, w.old.certificate)
    return talk.receive(now(), transport.exchange(request))


@pytest.mark.parametrize("make", [rsa_key, new_key], ids=["RSA-2048", "P-256"])
def test_kur(tmp_path: Path, make: Callable[[], scripted_ra.SigningKey]) -> None:
    w = world(tmp_path, make)
    talk = w.talk()
    with serving(w) as transport:
        issued = updated(w, transport, talk)
        assert isinstance(issued, Issued)
        assert issued.chain == (w.new.der, w.root.der)
        confirmed = talk.receive(now(), transport.exchange(talk.confirm(now(), w.holder)))
        assert isinstance(confirmed, Confirmed) and confirmed.accepted


def test_cr_by_another_certificate_with_our_own_control(p256: World) -> None:
    subject, talk = p256.new.certificate.subject, p256.talk()
    with serving(p256) as transport:
        request = talk.start_certification(
            now(),
            p256.holder,
            p256.new.key,
            subject=subject,
            old_certificate=p256.old.certificate,
            ticket="a ticket that openssl does not know",
            key_usage=scripted_ra.key_usage("content_commitment"),
        )
        assert isinstance(talk.receive(now(), transport.exchange(request)), Issued)
        confirmed = talk.receive(now(), transport.exchange(talk.confirm(now(), p256.holder)))
        assert isinstance(confirmed, Confirmed)


def test_ir_by_a_shared_secret(p256: World) -> None:
    talk, mac = p256.talk(), MacCredential("77", b"hush")
    with serving(p256, "-srv_ref", "77", "-srv_secret", "pass:hush", "-rsp_capubs", "root.pem") as transport:
        subject = p256.new.certificate.subject
        request = talk.start_initial(now(), mac, p256.new.key, subject=subject, validity=(now(), None))
        issued = talk.receive(now(), transport.exchange(request))
        assert isinstance(issued, Issued) and issued.ca_pubs == (p256.root.der,)
        confirmed = talk.receive(now(), transport.exchange(talk.confirm(now(), mac)))
        assert isinstance(confirmed, Confirmed)


def test_polling(p256: World) -> None:
    talk = p256.talk()
    with serving(p256, "-poll_count", "2", "-check_after", "3") as transport:
        heard = [updated(p256, transport, talk)]
        while isinstance(heard[-1], Waiting):
            talk = CmpClient.resume(talk.state.to_dict(), [p256.root.certificate])
            heard.append(talk.receive(now(), transport.exchange(talk.poll(now(), p256.holder))))
        assert heard[:-1] == [Waiting(0), Waiting(3), Waiting(3)][: len(heard) - 1] and len(heard) > 2
        assert isinstance(heard[-1], Issued)
        confirmed = talk.receive(now(), transport.exchange(talk.confirm(now(), p256.holder)))
        assert isinstance(confirmed, Confirmed)


def test_rejecting_a_certificate(p256: World) -> None:
    talk = p256.talk()
    with serving(p256) as transport:
        updated(p256, transport, talk)
        rejection = talk.confirm(now(), p256.holder, accept=False, reason="the trial signature failed")
        confirmed = talk.receive(now(), transport.exchange(rejection))
        assert isinstance(confirmed, Confirmed) and not confirmed.accepted


def test_a_general_message(p256: World) -> None:
    talk = p256.talk()
    with serving(p256) as transport:
        request = talk.general(now(), p256.holder, [(Oid.CA_CERTS, None)])
        told = talk.receive(now(), transport.exchange(request))
        assert isinstance(told, GeneralAnswer) and told.values == ((Oid.CA_CERTS, None),)


def test_implicit_confirmation_granted_to_those_who_ask_alone(p256: World) -> None:
    with serving(p256, "-grant_implicitconf") as transport:
        issued = updated(p256, transport)
        assert isinstance(issued, Issued) and not issued.implicitly_confirmed


@pytest.mark.parametrize(
    ("options", "fail_info", "text"),
    [
        (("-send_error",), {"badRequest"}, ""),
        (("-pkistatus", "2", "-failure", "9", "-statusstring", "not yours"), {"badPOP"}, "not yours"),
        (("-pkistatus", "2", "-failure", "24"), {"systemUnavail"}, ""),
    ],
)
def test_refusals(p256: World, options: tuple[str, ...], fail_info: set[str], text: str) -> None:
    with serving(p256, *options) as transport, pytest.raises(RaRefused) as caught:
        updated(p256, transport)
    assert caught.value.fail_info >= fail_info and text in caught.value.status_text


def test_our_mistakes_come_back_as_refusals(p256: World) -> None:
    stranger = certify(replace(Recipe("x"), begins=now() - timedelta(1), ends=now() + timedelta(1)), None, new_key())
    talk = p256.talk()
    with serving(p256) as transport:
        untrusted = Credential(stranger.certificate, (), stranger.key)
        request = talk.start_key_update(now(), untrusted, p256.new.key, p256.old.certificate)
        with pytest.raises((RaRefused, RaMisbehaved)):
            talk.receive(now(), transport.exchange(request))
        transport.close()  # openssl's server closes after an error, sooner or later
        talk = p256.talk()
        other = replace(p256, old=certify(replace(Recipe(), ends=now() + timedelta(1)), p256.root, p256.old.key))
        request = talk.start_key_update(now(), p256.holder, p256.new.key, other.old.certificate)
        with pytest.raises(RaRefused, match="wrong certid"):
            talk.receive(now(), transport.exchange(request))


def test_a_server_that_does_not_protect_its_answers(p256: World) -> None:
    with serving(p256, "-send_unprotected") as transport, pytest.raises(RaMisbehaved, match="not protected"):
        updated(p256, transport)


def test_a_server_that_does_not_protect_its_errors(p256: World) -> None:
    with serving(p256, "-send_unprot_err", "-send_error") as transport, pytest.raises(RaMisbehaved, match="not signed"):
        updated(p256, transport)


def test_a_server_that_hands_out_a_certificate_for_another_key(p256: World) -> None:
    talk = p256.talk()
    # The server does not compare keys: a request for another one is answered with the same certificate.
    with serving(p256) as transport:
        request = talk.start_key_update(now(), p256.holder, new_key(), p256.old.certificate)
        answered = transport.exchange(request)
        with pytest.raises(RaMisbehaved, match="another key"):
            talk.receive(now(), answered)
        rejection = talk.confirm(now(), p256.holder, accept=False, reason="another key")
        confirmed = talk.receive(now(), transport.exchange(rejection))
        assert isinstance(confirmed, Confirmed) and not confirmed.accepted


def test_a_server_under_another_root(p256: World) -> None:
    elsewhere = CmpClient([certify(replace(scripted_ra.ROOT, name="elsewhere"), None, new_key()).certificate])
    with serving(p256) as transport, pytest.raises(RaMisbehaved, match="somebody unknown"):
        updated(p256, transport, elsewhere)


def test_a_server_that_is_no_ra_is_believed_only_where_the_administrator_says_so(tmp_path: Path) -> None:
    w = world(tmp_path, new_key, replace(scripted_ra.RA, purposes=()))
    with serving(w) as transport:
        with pytest.raises(RaMisbehaved, match="may not speak"):
            updated(w, transport)
        wider = CmpClient([w.root.certificate], authorised=anyone_under_the_anchors)
        assert isinstance(updated(w, transport, wider), Issued)


def test_a_request_decodes_for_openssl(p256: World) -> None:
    request = p256.talk().start_key_update(now(), p256.holder, p256.new.key, p256.old.certificate)
    done = subprocess.run(
        [require("openssl"), "asn1parse", "-inform", "DER", "-i"], input=request, capture_output=True, check=True
    )
    lines = done.stdout.decode()
    assert "cont [ 7 ]" in lines and "id-regCtrl-oldCertID" in lines and "ecdsa-with-SHA256" in lines


def test_the_new_certificate_is_one_for_openssl(p256: World) -> None:
    with serving(p256) as transport:
        issued = updated(p256, transport)
    assert isinstance(issued, Issued)
    certificate = x509.load_der_x509_certificate(issued.certificate)
    (p256.folder / "issued.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    command = [require("openssl"), "verify", "-CAfile", "root.pem", "issued.pem"]
    assert (
        "issued.pem: OK" in subprocess.run(command, cwd=p256.folder, capture_output=True, check=True, text=True).stdout
    )

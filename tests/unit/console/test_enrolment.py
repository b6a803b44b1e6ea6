"""Enrolment: an organisation by its code, a key by its signature, and nobody by word of mouth."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from starlette.applications import Starlette
from starlette.types import ASGIApp

from renewagent.console import agents
from renewagent.console.agents_ca import RequestRefused, agents_ca, read_request
from renewagent.console.audit import entries, verify_chain
from renewagent.console.enrolment import end_codes, network, revoke_agent
from renewagent.console.mishaps import HANDLERS
from renewagent.console.site import Site
from renewagent.console.tables import AGENT, FLEET_CODE
from renewagent.errors import ConfigurationError
from tests.console import Clock, new_site
from tests.unit.console.workstations import Workstation, certificate_request, fleet_code

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site(tmp_path: Path, clock: Clock) -> Site:
    return new_site(tmp_path, clock)


@pytest.fixture
def app(site: Site) -> ASGIApp:
    return Starlette(routes=agents.routes(site), exception_handlers=dict(HANDLERS))


def test_a_code_gives_a_certificate_and_an_organisation(site: Site, app: ASGIApp) -> None:
    workstation = Workstation(app)
    answer = workstation.enrol(fleet_code(site, "RX1", name="Northfield"))
    assert answer.status == 200
    assert answer.json["renew_after"] == "2027-01-21T09:30:00Z"
    leaf, ca = x509.load_pem_x509_certificates(answer.json["certificate"].encode())
    assert leaf.subject.rfc4514_string() == f"CN={answer.json['agent']}"
    assert leaf.public_key() == workstation.key.public_key()
    assert (leaf.not_valid_after_utc - site.now()).days == 90
    assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    leaf.verify_directly_issued_by(ca)
    with site.store.engine.connect() as connection:
        row = connection.execute(sa.select(AGENT)).one()
        assert (row.id, row.organisation, row.machine) == (answer.json["agent"], "RX1", "WS-1")
        assert verify_chain(entries(connection)) is None
        assert [entry.event for entry in entries(connection)] == ["fleet-code.made", "agent.enrolled"]


def test_only_the_hash_of_a_code_is_kept_and_it_may_be_typed_in_any_way(site: Site, app: ASGIApp) -> None:
    code = fleet_code(site)
    with site.store.engine.connect() as connection:
        kept = repr(connection.execute(sa.select(FLEET_CODE)).all()) + repr(entries(connection))
    assert code not in kept
    assert code.replace("-", "") not in kept
    assert Workstation(app).enrol(f" {code.upper().replace('-', ' ')} ").status == 200


def test_codes_end_and_others_take_over(site: Site, app: ASGIApp, clock: Clock) -> None:
    first = fleet_code(site, days=30)
    clock.move(20 * DAY)
    second = fleet_code(site, days=30)
    assert Workstation(app).enrol(first).status == 200
    clock.move(11 * DAY)
    refused = Workstation(app).enrol(first)
    assert refused.status == 403
    assert refused.json["error"] == "This fleet code is not known here, or has ended."
    assert Workstation(app).enrol(second).status == 200
    assert site.store.writing(lambda c: end_codes(c, clock(), "tests", "RX1")) == 1
    assert Workstation(app).enrol(second).status == 403


def test_asked_for_twice_it_is_one_agent(site: Site, app: ASGIApp) -> None:
    workstation = Workstation(app)
    code = fleet_code(site)
    names = {workstation.enrol(code).json["agent"] for _ in range(2)}
    assert len(names) == 1
    workstation.enrol(fleet_code(site, "RX2"))  # whoever has the code of another organisation now belongs there
    with site.store.engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(sa.select(AGENT.c.organisation))] == [("RX2",)]


def test_wrong_codes_are_limited_and_keep_no_right_one_out(site: Site, app: ASGIApp, clock: Clock) -> None:
    code = fleet_code(site)
    answers = [Workstation(app).enrol("guess") for _ in range(22)]
    assert [answer.status for answer in answers] == [403] * 20 + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 600
    assert Workstation(app, address="192.0.2.99").enrol("guess").status == 403
    assert Workstation(app).enrol(code).status == 200
    clock.move(timedelta(minutes=11))
    assert Workstation(app).enrol("guess").status == 403


def test_a_crowd_behind_one_address_is_slowed_down(site: Site, app: ASGIApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renewagent.console.enrolment._PER_ADDRESS", 2)
    code = fleet_code(site)
    assert [Workstation(app).enrol(code).status for _ in range(3)] == [200, 200, 429]


def test_an_address_is_a_customer() -> None:
    assert network("192.0.2.7") == network("::ffff:192.0.2.7") == "192.0.2.7"
    assert network("2001:db8:1:2:3::4") == network("2001:db8:1:2::9") != network("2001:db8:1:3::9")
    assert network("unix") == "unix"


@pytest.mark.parametrize(
    "change",
    [
        {"csr": "nonsense"},
        {"csr": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"},
        {"csr": "x" * 9000},
        {"csr": "\ud800"},
        {"csr": 5},
        {"machine": "a\x07"},
        {"machine": "m" * 101},
        {"machine": "\ud800"},
        {"account": None},
        {"more": "x"},
    ],
)
def test_what_is_not_a_request_is_refused(site: Site, app: ASGIApp, change: dict[str, object]) -> None:
    said = {"code": fleet_code(site), "machine": "m", "account": "1", "version": "1"}
    csr = certificate_request(ec.generate_private_key(ec.SECP256R1()))
    answer = Workstation(app).post("/agents/v1/enrol", {**said, "csr": csr, **change})
    assert answer.status == 400, answer
    with site.store.engine.connect() as connection:
        assert not connection.execute(sa.select(AGENT)).all()


def test_a_code_may_be_anything(app: ASGIApp) -> None:
    for code in ("", "\ud800", "ß" * 1000):
        assert Workstation(app).enrol(code).status == 403
    for body in (b"", b"[]", b"{}", b'"x"', b"\xff", b"[" * 20_000):
        assert Workstation(app).post("/agents/v1/enrol", body).status == 400


def test_a_request_is_signed_by_its_own_key() -> None:
    pem = certificate_request(ec.generate_private_key(ec.SECP256R1()))
    der = bytearray(x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    broken = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    with pytest.raises(RequestRefused, match="own key"):
        read_request(broken)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP224R1()),
        lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505
        lambda: dsa.generate_private_key(2048),
    ],
)
def test_weak_and_odd_keys_are_refused(make: Callable[[], ec.EllipticCurvePrivateKey]) -> None:
    with pytest.raises(RequestRefused, match="kind of key"):
        read_request(certificate_request(make()))


@pytest.mark.parametrize(("organisation", "days", "name"), [("rx1", 30, ""), ("RX1", 0, ""), ("RX1", 30, "\x00")])
def test_codes_are_made_for_organisations_and_for_a_while(site: Site, organisation: str, days: int, name: str) -> None:
    with pytest.raises(ConfigurationError):
        fleet_code(site, organisation, days=days, name=name)


def test_the_authority_is_made_once_and_vouches_for_nobody_elses(site: Site, tmp_path: Path) -> None:
    now = site.now()
    first = site.store.writing(lambda c: agents_ca(c, now))
    again = site.store.reading(lambda c: agents_ca(c, now))
    assert first.certificate == again.certificate
    request = read_request(certificate_request(ec.generate_private_key(ec.SECP256R1())))
    der = first.issue("ab" * 16, request, now).public_bytes(Encoding.DER)
    assert again.agent_of(der, now) == "ab" * 16
    assert again.agent_of(der, now + 91 * DAY) is None
    assert again.agent_of(first.certificate.public_bytes(Encoding.DER), now) is None
    assert again.agent_of(b"nonsense", now) is None
    (tmp_path / "other").mkdir()
    other = new_site(tmp_path / "other").store.writing(lambda c: agents_ca(c, now))
    assert other.agent_of(der, now) is None
    assert other.agent_of(other.issue("ab" * 16, request, now).public_bytes(Encoding.DER), now) == "ab" * 16


def test_a_fresh_certificate_over_the_old_one(site: Site, app: ASGIApp, clock: Clock) -> None:
    workstation = Workstation(app)
    workstation.enrol(fleet_code(site))
    old, name = workstation.certificate, workstation.name
    clock.move(61 * DAY)
    key = ec.generate_private_key(ec.SECP256R1())
    answer = workstation.post("/agents/v1/certificate", {"csr": certificate_request(key)})
    assert answer.status == 200
    assert answer.json["agent"] == name
    assert workstation.get("/agents/v1/orders").status == 200  # the old one goes on until it ends
    workstation.take_up(answer)
    assert workstation.certificate != old
    clock.move(60 * DAY)
    assert workstation.get("/agents/v1/orders").status == 200
    workstation.certificate = old
    assert workstation.get("/agents/v1/orders").status == 401


def test_certificates_are_not_given_without_end(site: Site, app: ASGIApp) -> None:
    workstation = Workstation(app)
    workstation.enrol(fleet_code(site))
    request = {"csr": certificate_request(workstation.key)}
    answers = [workstation.post("/agents/v1/certificate", request).status for _ in range(21)]
    assert answers == [200] * 20 + [429]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/agents/v1/certificate"),
        ("POST", "/agents/v1/check-ins"),
        ("GET", "/agents/v1/orders"),
        ("GET", "/agents/v1/stream"),
    ],
)
def test_nobody_without_a_certificate_and_nobody_who_was_revoked(
    site: Site, app: ASGIApp, method: str, path: str
) -> None:
    csr = certificate_request(ec.generate_private_key(ec.SECP256R1()))
    document: dict[str, object] = {"csr": csr} if path.endswith("certificate") else {"check_ins": []}

    def ask(workstation: Workstation) -> int:
        return (workstation.post(path, document) if method == "POST" else workstation.get(path)).status

    assert ask(Workstation(app)) == 401
    assert ask(Workstation(app, certificate=b"0")) == 401
    workstation = Workstation(app)
    code = fleet_code(site)
    workstation.enrol(code)
    if path != "/agents/v1/stream":  # which would go on
        assert ask(workstation) == 200
    assert site.store.writing(lambda c: revoke_agent(c, site.now(), "manager", workstation.name))
    assert not site.store.writing(lambda c: revoke_agent(c, site.now(), "manager", workstation.name))
    assert ask(workstation) == 403
    assert workstation.enrol(code).status == 403
    with site.store.engine.connect() as connection:
        assert entries(connection)[-1].event == "agent.revoked"

"""The console as a process: it says where it serves, answers over TLS, and ends without leaving anybody half-served."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from renewagent.console import tls
from renewagent.console.settings import Listener, Settings
from tests.consoles import Console, console, settings_text, started


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with console(tmp_path_factory.mktemp("console")) as one:
        yield one


def test_it_answers_on_every_listener(served: Console) -> None:
    for address in (served.agents, served.people, served.operations):
        answer = served.get(f"{address}/healthz")
        assert (answer.status, answer.json()) == (200, {"ok": True})
        assert "server" not in answer.headers
    assert served.agents.startswith("https://") and served.people.startswith("https://")


def test_refusals_are_json_for_programs_and_a_page_for_people(served: Console) -> None:
    program = served.get(f"{served.agents}/agents/v1/nothing", headers={"Accept": "text/html"})
    assert (program.status, program.json()) == (404, {"error": "There is nothing at this address."})
    person = served.get(f"{served.people}/nothing", headers={"Accept": "text/html,*/*"})
    assert person.status == 404
    assert "<h1>There is nothing at this address.</h1>" in person.data.decode()


def test_the_log_is_json_lines_and_holds_no_path_that_a_client_made_up(served: Console) -> None:
    served.get(f"{served.people}/one-time-link-7kxq?code=secret-1")
    lines = [line for line in served.lines() if line["event"] == "request"]
    assert lines[-1] | {"at": "", "ms": 0} == {
        "at": "",
        "ms": 0,
        "level": "info",
        "logger": "renewagent.console.requests",
        "event": "request",
        "listener": "people",
        "method": "GET",
        "address": "-",
        "status": 404,
        "client": "127.0.0.1",
    }
    assert "7kxq" not in served.log.read_text()


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(served: Console) -> None:
    place = f"{served.agents}/agents/v1/enrol"
    said = served.get(place, method="POST", body=b"x" * 100_000)
    unsaid = served.get(place, method="POST", body=iter([b"x" * 100_000]))
    assert (said.status, unsaid.status) == (413, 413)
    assert said.json() == {"error": "That is too large."}
    assert said.headers["Connection"] == "close"


def test_a_head_that_never_ends_is_refused(served: Console) -> None:
    with talk(served) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises((ConnectionError, ssl.SSLError)):
            for _ in range(10_000):
                line.sendall(b"X-More: " + b"y" * 1000 + b"\r\n")
                time.sleep(0.001)
    assert served.get(f"{served.people}/healthz").status == 200


def test_nonsense_is_answered_with_400(served: Console) -> None:
    with talk(served) as line:
        line.sendall(b"\x00\x01nonsense\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 400")


def test_plain_http_and_old_tls_do_not_get_in(served: Console) -> None:
    parts = urlsplit(served.people)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in line.recv(100)
    ended = subprocess.run(
        ["openssl", "s_client", "-connect", f"{parts.hostname}:{parts.port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=20,
    )
    assert ended.returncode


def test_without_json_it_says_in_words_where_it_serves(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(settings_text(tmp_path))
    with started("console", "serve", "--config", str(tmp_path / "c.toml")) as process:
        assert process.stdout is not None
        first, *rest = (process.stdout.readline() for _ in range(3))
        process.terminate()
        _, log = process.communicate(timeout=30)
    assert first.startswith("Agents reach the console at https://127.0.0.1:")
    assert "/metrics." in rest[0] and "self-signed.pem, which nobody trusts as yet." in rest[1]
    assert all(json.loads(line) for line in log.splitlines())
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_0_when_told_to(tmp_path: Path, number: int) -> None:
    with console(tmp_path) as one:
        assert one.end(number) == 0
        assert [line["event"] for line in one.lines()] == [
            "no TLS certificate is configured",
            "serving",
            "ending: what is under way is finished",
        ]


def test_a_request_that_is_under_way_is_finished_and_no_other_begun(tmp_path: Path) -> None:
    """Its head has come and half its body, and the server is told to end."""
    with console(tmp_path) as one, talk(one) as line:
        line.sendall(b"POST /agents/v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nnot ")
        time.sleep(0.3)
        one.process.send_signal(signal.SIGTERM)
        refused = False
        while not refused:  # since it no longer listens
            time.sleep(0.05)
            with contextlib.closing(socket.socket()) as other:
                parts = urlsplit(one.agents)
                refused = bool(other.connect_ex((parts.hostname, parts.port)))
        assert one.process.poll() is None
        line.sendall(b"JSON")
        assert line.recv(4096).startswith(b"HTTP/1.1 400")
        assert one.process.wait(timeout=10) == 0


def test_a_fleet_code_lets_an_agent_in_whose_stream_ends_with_the_server(tmp_path: Path) -> None:
    with console(tmp_path) as one:
        with started(*words_of_enrol(one.config, "RX1"), "--name", "A hospital", "--json") as process:
            out, _ = process.communicate(timeout=60)
        said = json.loads(out)
        assert (process.returncode, said["ok"], said["organisation"]) == (0, True, "RX1")
        trust = enrolled(one, said["code"], tmp_path)
        assert said["code"] not in one.log.read_text()
        parts = urlsplit(one.agents)
        plain = socket.create_connection((parts.hostname, parts.port), 20)
        with trust.wrap_socket(plain, server_hostname="localhost") as line:
            line.sendall(b"GET /agents/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"text/event-stream" in line.recv(4096)
            begun = time.monotonic()
            assert one.end() == 0  # held streams are ended, and nobody waits for them
            assert time.monotonic() - begun < 5
            assert b"".join(iter(lambda: line.recv(4096), b"")).endswith(b"0\r\n\r\n")


def test_a_wrong_organisation_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(settings_text(tmp_path))
    with started(*words_of_enrol(tmp_path / "c.toml", "rx1!")) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "capital letters" in err, "Traceback" in err) == (2, True, False)


def test_its_own_certificate_serves_again_and_is_kept_from_others(tmp_path: Path) -> None:
    with console(tmp_path) as one:
        first = one.certificate.read_bytes()
        assert one.certificate.stat().st_mode & 0o077 == 0
        one.end()
    with console(tmp_path) as one:
        assert one.certificate.read_bytes() == first
        checked = subprocess.run(
            ["openssl", "verify", "-CAfile", str(one.certificate), "-purpose", "sslserver", str(one.certificate)],
            capture_output=True,
        )
        assert checked.returncode == 0, checked.stderr


def test_a_configured_certificate_is_used_and_its_successor_taken_up(tmp_path: Path) -> None:
    own = made_pair(tmp_path / "own.pem", tmp_path / "one")
    more = f'[tls]\ncertificate = "{own}"\nkey = "{own}"\n'
    with console(tmp_path, more) as one:
        assert one.certificate == Path()
        parts = urlsplit(one.people)
        place = (str(parts.hostname), int(parts.port or 0))
        assert ssl.get_server_certificate(place) in own.read_text()


def test_a_replaced_certificate_is_taken_up_and_a_broken_one_is_not(tmp_path: Path, caplog: object) -> None:
    own = made_pair(tmp_path / "own.pem", tmp_path / "one")
    pair = tls.Pair(own, own)
    context = tls.server_context(pair, None)
    reloader = tls.Reloader(pair, (context,))
    assert shown_by(context) == first_certificate(own)
    before = own.read_text()
    own.write_text("nonsense")
    reloader.look()
    assert shown_by(context) == ssl.PEM_cert_to_DER_cert(before[: before.index("-----BEGIN PRIVATE")])
    made_pair(own, tmp_path / "two")
    os.utime(own, (1, 1))
    reloader.look()
    assert shown_by(context) == first_certificate(own)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("nonsense", "not valid TOML"),
        ("[tls]\ncertificate = '/nowhere.pem'\nkey = '/nowhere.pem'", "cannot be used: No such file"),
        ("[sso]\nheader = 'x'", "sso.secret_file is missing"),
        ("[keep]\naudit = 1", "Did you mean keep.audit_days?"),
    ],
)
def test_what_is_wrong_with_the_settings_is_one_sentence_and_exit_2(tmp_path: Path, more: str, said: str) -> None:
    (tmp_path / "c.toml").write_text(settings_text(tmp_path, more))
    with started("console", "serve", "--config", str(tmp_path / "c.toml"), "--json") as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said in json.loads(out)["error"]["message"]
    assert "Traceback" not in err


def test_a_port_that_is_taken_is_one_sentence_and_exit_1(tmp_path: Path) -> None:
    with console(tmp_path) as one:
        port = urlsplit(one.agents).port
        (tmp_path / "c.toml").write_text(settings_text(tmp_path).replace("port = 0", f"port = {port}", 1))
        with started("console", "serve", "--config", str(tmp_path / "c.toml")) as process:
            _, err = process.communicate(timeout=30)
        assert process.returncode == 1
        assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in err
        assert "Traceback" not in err


def test_without_its_packages_it_says_what_to_install(tmp_path: Path) -> None:
    """A Python that has renewagent and no prometheus-client."""
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from renewagent.cli import main; sys.exit(main(['console', 'serve', '--config', sys.argv[1]]))"
    )
    (tmp_path / "c.toml").write_text(settings_text(tmp_path))
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "c.toml")], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert "pip install 'renewagent[console]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def enrolled(one: Console, code: str, folder: Path) -> ssl.SSLContext:
    """A client's context with the certificate of an agent that has just enrolled."""
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    words = {"code": code, "machine": "m", "account": "1", "version": "1"}
    words["csr"] = csr.public_bytes(Encoding.PEM).decode()
    answer = one.get(f"{one.agents}/agents/v1/enrol", method="POST", json=words)
    assert answer.status == 200, answer.data
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (folder / "agent.pem").write_text(secret + answer.json()["certificate"])
    trust = one.trust()
    trust.load_cert_chain(folder / "agent.pem")
    return trust


def words_of_enrol(config: Path, organisation: str) -> tuple[str, ...]:
    return ("console", "enrol", "--config", str(config), "--organisation", organisation)


def talk(one: Console) -> ssl.SSLSocket:
    parts = urlsplit(one.agents)
    line = socket.create_connection((parts.hostname, parts.port), timeout=20)
    return one.trust().wrap_socket(line, server_hostname="localhost")


def made_pair(to: Path, folder: Path) -> Path:
    folder.mkdir()
    listener = Listener("127.0.0.1", 0, "https://console.example")
    settings = Settings(folder, "", listener, listener, folder, folder)
    shutil.copy(tls.pair(settings, datetime.now(UTC)).certificate, to)
    return to


def first_certificate(own: Path) -> bytes:
    text = own.read_text()
    return ssl.PEM_cert_to_DER_cert(text[: text.index("-----BEGIN PRIVATE")])


def shown_by(context: ssl.SSLContext) -> bytes:
    """What a client sees of a server with this context: a handshake in memory."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    ways = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(ways[0], ways[1], server_side=True)
    client = trusting.wrap_bio(ways[1], ways[0])
    for end in (client, server, client):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client.getpeercert(binary_form=True) or b""

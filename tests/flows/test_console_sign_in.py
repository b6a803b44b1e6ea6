"""Signing in to a running console with a card: the real command, a real server over TLS, and what a person's browser
does then."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from cryptography import x509

from renewagent import cms
from renewagent.agent.console_sign_in import ConsoleDoor, ConsoleRefused, origin_of
from renewagent.card.key import card_key
from renewagent.errors import ConfigurationError
from renewagent.model import Slot
from renewagent.pin import Pin
from renewagent.statements import Purpose, Statement
from renewagent_drivers import open_card
from renewagent_fixtures.mock_ra.pki import pem
from tests.consoles import Console, console
from tests.flows.desk import PIN, READER, Desk, Office, desk, office

SUBJECT = "CN=Dr Ada Lamb,OU=Prescribers,O=Mock Hospital,C=GB"


@dataclass
class Place:
    """A console that knows Ada, and her desk with her card in its reader."""

    console: Console
    desk: Desk

    def sign_in(self, *more: str, url: str = "", typed: str = PIN + "\n") -> Any:
        words = ["console", "sign-in", url or self.console.people, "--ca", str(self.console.certificate), *more]
        return self.desk.run(*words, typed=typed)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Accept": "text/html", "Origin": self.console.people, **options.pop("headers", {})}
        return self.console.get(self.console.people + path, method=method, headers=headers, **options)

    def finish(self, link: str) -> Any:
        """Look at the page behind the link, then send its form."""
        token = link.partition("link=")[2]
        page = self.ask("GET", link.removeprefix(self.console.people))
        assert page.status == 200 and "Sign in as Dr Ada Lamb" in page.data.decode()
        return self.ask("POST", "/sign-in/finish", fields={"link": token}, encode_multipart=False)


@pytest.fixture(scope="module")
def ra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office(tmp_path_factory.mktemp("office")) as one:
        yield one


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, ra: Office) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    pki = ra.ra.office.pki
    (folder / "ra-root.pem").write_bytes(b"".join(pem(one.der) for one in (pki.root, pki.authentication)))
    with console(folder) as one:
        yield one


@pytest.fixture(scope="module")
def ada(served: Console, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Her id: she is let in on the server."""
    words = ["--role", "ra-manager", "--organisation", "*", "--subject", SUBJECT, "--name", "Dr Ada Lamb"]
    said = run("person", "add", *words, "--config", str(served.config), "--json")
    return str(said["person"])


@pytest.fixture
def place(tmp_path: Path, ra: Office, served: Console, ada: str) -> Iterator[Place]:
    with desk(tmp_path, ra) as here:
        here.insert()
        yield Place(served, here)


def run(*words: str, status: int = 0) -> dict[str, Any]:
    done = subprocess.run(["renewagent", "console", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_ada_signs_in_and_out(place: Place) -> None:
    done = place.sign_in("--json")
    assert done.status == 0, done.err
    said = done.document
    assert (said["ok"], said["name"], said["role"], said["reader"]) == (True, "Dr Ada Lamb", "RA Manager", READER)
    assert said["subject"] == SUBJECT and f"the smartcard ending {said['card'][-4:]}" in done.err
    assert said["link"] not in done.err
    begun = place.finish(said["link"])
    assert (begun.status, begun.headers["location"]) == (303, "/")
    cookie = begun.headers["set-cookie"].partition(";")[0]
    page = place.ask("GET", "/", headers={"Cookie": cookie})
    assert page.status == 200 and "Dr Ada Lamb" in page.data.decode()
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', page.data.decode())
    assert token is not None
    out = place.ask(
        "POST", "/sign-out", headers={"Cookie": cookie}, fields={"csrf": token.group(1)}, encode_multipart=False
    )
    assert out.status == 200 and "You are signed out" in out.data.decode()
    assert place.ask("GET", "/", headers={"Cookie": cookie}).status == 303


def test_the_card_is_left_logged_out_and_the_passcode_stays_here(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    tape: list[bytes] = []
    monkeypatch.setattr(place.desk.readers, "_on_exchange", lambda reader, command, response: tape.append(command))
    done = place.sign_in("--json")
    assert done.status == 0, done.err
    verifies = [n for n, command in enumerate(tape) if command[1] == 0x20 and len(command) > 5]
    assert len(verifies) == 1 and PIN.encode() in tape[verifies[0]]
    after = tape[verifies[0] + 1 :]
    assert any(command[:4] == bytes.fromhex("0020FF80") for command in after)  # SP 800-73-4 part 2, 3.2.1: logged out
    for text in (done.out, done.err, served_log(place), *(p.read_text("latin-1") for p in files(place))):
        assert PIN not in text


def served_log(place: Place) -> str:
    return place.console.log.read_text()


def files(place: Place) -> list[Path]:
    data = place.console.config.parent / "data"
    folders = (data, place.desk.folder / "run", place.desk.state)
    return [path for folder in folders if folder.exists() for path in folder.rglob("*") if path.is_file()]


def test_a_browser_is_sent_on_by_a_file_that_only_its_owner_reads(place: Place, tmp_path: Path) -> None:
    """A browser of the test's own: it writes down how it was called, and reads the file that it was given."""
    notes, browser = tmp_path / "notes", tmp_path / "browser"
    browser.write_text(
        "#!/bin/sh\n"
        f'echo "$@" > {notes}\n'
        f'file=$(echo "$1" | sed "s,^file://,,")\n'
        f'stat -c %a "$file" >> {notes}\n'
        f'cat "$file" >> {notes}\n'
    )
    browser.chmod(0o755)
    place.desk.env["BROWSER"] = f"{browser} %s"
    done = place.sign_in()
    assert done.status == 0 and "You are Dr Ada Lamb, RA Manager. Go on in your browser" in done.err
    called, mode, *page = notes.read_text().splitlines()
    assert called.startswith("file:///") and called.endswith(".html") and "link" not in called
    assert mode == "600"
    found = re.search(r'url=([^"]+)"', "\n".join(page))
    assert found is not None and found.group(1) not in done.err + done.out
    assert not list((tmp_path / "run").rglob("*.html"))
    assert place.finish(found.group(1)).status == 303


def test_without_a_browser_the_link_is_told(place: Place) -> None:
    place.desk.env |= {"BROWSER": "/nonexistent %s", "PATH": "/nonexistent", "DISPLAY": ""}
    done = place.sign_in()
    assert done.status == 0 and "No browser could be opened" in done.err
    link = re.search(r"https://\S+/sign-in/finish\?link=\S+", done.err)
    assert link is not None and place.finish(link.group()).status == 303


@pytest.mark.parametrize(
    "typed, tries, why", [("", 3, "no passcode was typed"), ("999999\n", 2, "no passcode was typed")]
)
def test_a_person_who_stops_is_not_signed_in(place: Place, typed: str, tries: int, why: str) -> None:
    done = place.sign_in("--json", typed=typed)
    assert done.status == 1 and why in done.document["error"]["message"]
    assert place.desk.cards[0].pin_tries == tries


def test_the_last_try_is_not_spent(place: Place) -> None:
    done = place.sign_in("--json", typed="999999\n888888\n777777\n")
    assert done.status == 1 and done.document["error"]["code"] == "RA-PIN-LAST-TRY"
    assert place.desk.cards[0].pin_tries == 1


def test_a_person_whom_the_console_does_not_know_is_told_what_to_do(place: Place, tmp_path: Path) -> None:
    people = run("person", "list", "--config", str(place.console.config), "--json")["people"]
    run("person", "end", people[0]["person"], "--config", str(place.console.config), "--json")
    try:
        done = place.sign_in("--json")
        assert done.status == 1
        assert done.document["error"]["message"] == "Nobody may use this console with that smartcard."
        assert "cn=dr ada lamb" in done.document["error"]["advice"].lower()
    finally:
        words = ["--role", "ra-manager", "--organisation", "*", "--subject", SUBJECT, "--name", "Dr Ada Lamb"]
        run("person", "add", *words, "--config", str(place.console.config), "--json")


def test_without_trust_nothing_is_signed(place: Place) -> None:
    done = place.desk.run("console", "sign-in", place.console.people, "--json", typed=PIN + "\n")
    assert done.status == 1 and "could not be verified" in done.document["error"]["message"]
    assert "Passcode" not in done.err


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1",
        "https://127.0.0.1:1/x",
        "https://a@127.0.0.1:1",
        "https://",
        "console",
        "https://h?x",
        "ftp://h",
    ],
)
def test_what_is_no_address_is_refused_before_a_card_is_touched(place: Place, url: str) -> None:
    done = place.sign_in("--json", url=url)
    assert done.status == 2 and done.document["error"]["code"] == "RA-CONFIGURATION"


def test_another_name_of_the_same_console_is_refused(place: Place) -> None:
    """The certificate is good for both names; what the card signs would name an origin that the console is not."""
    url = place.console.people.replace("127.0.0.1", "localhost")
    done = place.sign_in("--json", url=url)
    assert done.status == 1, done.err
    assert "Passcode" not in done.err


def test_people_are_added_by_their_certificate_and_ended_for_good(place: Place, tmp_path: Path) -> None:
    config = ("--config", str(place.console.config), "--json")
    driver = open_card(place.desk.readers.connect(READER))
    der = driver.certificate(Slot("9a"))
    assert der is not None
    (tmp_path / "ada.pem").write_bytes(pem(der))
    (mine,) = run("person", "list", *config)["people"]
    words = ("person", "add", "--role", "sponsor", "--organisation", "rx1", "--organisation", "RX2")
    taken = run(*words, "--certificate", str(tmp_path / "ada.pem"), *config, status=1)
    assert "somebody else who may sign in" in taken["error"]["message"]
    run("person", "end", mine["person"], *config)
    added = run(*words, "--certificate", str(tmp_path / "ada.pem"), *config)
    assert added["name"] == "Dr Ada Lamb"
    (found,) = run("person", "list", *config)["people"]
    assert (found["organisations"], found["subject"]) == (["RX1", "RX2"], mine["subject"])
    assert place.sign_in("--json").document["role"] == "Sponsor"
    run("person", "end", found["person"], *config)
    assert run("person", "end", found["person"], *config, status=1)["error"]["code"] == "RA-PEOPLE"
    assert run("person", "list", *config)["people"] == []
    assert len(run("person", "list", "--all", *config)["people"]) >= 2
    manager = ("--role", "ra-manager", "--organisation", "*", "--subject", SUBJECT, "--name", "Dr Ada Lamb")
    run("person", "add", *manager, *config)


def test_people_of_the_epcs_desk_are_added_by_their_name_in_the_ehr(place: Place) -> None:
    config = ("--config", str(place.console.config), "--json")
    words = ("person", "add", "--role", "prescriber", "--organisation", "RX1", "--name", "Dr Osei", "--ehr", "osei")
    wrong = run(*words, "--dea", "AB1234562", *config, status=1)
    assert "its last digit does not fit" in wrong["error"]["message"]
    added = run(*words, "--dea", "ab1234563", *config)
    (found,) = [one for one in run("person", "list", *config)["people"] if one["person"] == added["person"]]
    assert (found["role"], found["ehr"], found["dea"]) == ("prescriber", "osei", "AB1234563")
    run("person", "end", added["person"], *config)


@pytest.mark.parametrize(
    "words, status",
    [
        (["add", "--role", "boss", "--organisation", "*", "--name", "X", "--account", "x"], 2),
        (["add", "--role", "sponsor", "--organisation", "*", "--account", "x"], 2),
        (["add", "--role", "sponsor", "--organisation", "*", "--name", "X"], 1),
        (["add", "--role", "sponsor", "--organisation", "R 1", "--name", "X", "--account", "x"], 1),
        (["add", "--role", "sponsor", "--organisation", "*", "--certificate", "/nowhere.pem"], 2),
        (["add", "--role", "sponsor", "--organisation", "*", "--name", "X", "--subject", "nonsense"], 1),
        (["end", "nobody"], 1),
    ],
)
def test_what_makes_no_sense_is_one_sentence(served: Console, words: list[str], status: int) -> None:
    said = run("person", *words, "--config", str(served.config), "--json", status=status)
    assert said["ok"] is False and said["error"]["message"].endswith((".", "?"))


def test_a_body_that_dribbles_is_not_waited_for(served: Console) -> None:
    parts = urlsplit(served.people)
    head = f"POST /sign-in/card HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 9000\r\n\r\n".encode()
    with socket.create_connection((parts.hostname, parts.port), 20) as plain:
        with served.trust().wrap_socket(plain, server_hostname=parts.hostname) as line:
            begun = time.monotonic()
            line.sendall(head + b"0")
            answer = line.recv(1000)
            assert answer.startswith(b"HTTP/1.1 408 ") and 9 < time.monotonic() - begun < 15
            assert b"connection: close" in answer.lower()


# --- a console that is not what it should be


class Evil(BaseHTTPRequestHandler):
    """Answers what `answers` says, and remembers what was shown to it."""

    answers: ClassVar[dict[str, tuple[int, bytes]]]
    shown: ClassVar[list[bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.shown.append(body)
        status, octets = self.answers.get(self.path, (404, b""))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", octets.decode())
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def evil(place: Place) -> Iterator[tuple[str, type[Evil]]]:
    """Somebody else's server with a certificate that is trusted all the same, and the handler to be told what to do."""

    class Own(Evil):
        answers: ClassVar[dict[str, tuple[int, bytes]]] = {}
        shown: ClassVar[list[bytes]] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    data = place.console.config.parent / "data"
    key = next(path for path in data.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes())
    context.load_cert_chain(place.console.certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}", Own
    server.shutdown()
    server.server_close()
    thread.join()


def challenge(nonce: str, origin: str) -> tuple[int, bytes]:
    return 200, json.dumps({"nonce": nonce, "origin": origin}).encode()


@pytest.mark.parametrize(
    "nonce",
    [
        b"renewagent receipt v1\norigin: x".hex(),
        b"\x30\x82\x01\x00PKIMessage".hex(),
        "ab" * 31,
        "AB" * 32,
        "ab" * 32 + "\n",
        "zz" * 32,
        "",
    ],
)
def test_what_is_no_fresh_number_is_not_signed(place: Place, evil: tuple[str, type[Evil]], nonce: str) -> None:
    url, handler = evil
    handler.answers["/sign-in/challenge"] = challenge(nonce, url)
    done = place.sign_in("--json", url=url)
    assert done.status == 1 and done.document["error"]["code"] == "RA-SIGN-IN-UNSAFE"
    assert handler.shown == [b""] and "Passcode" not in done.err


def test_a_console_that_calls_itself_by_another_name_gets_nothing(place: Place, evil: tuple[str, type[Evil]]) -> None:
    """A man in the middle who fetched a real console's challenge."""
    url, handler = evil
    real = place.console.get(f"{place.console.people}/sign-in/challenge", method="POST").json()
    handler.answers["/sign-in/challenge"] = 200, json.dumps(real).encode()
    done = place.sign_in("--json", url=url)
    assert done.status == 1 and "says that it is" in done.document["error"]["message"]
    assert len(handler.shown) == 1


def test_what_is_signed_for_an_evil_console_is_good_nowhere_else(place: Place, evil: tuple[str, type[Evil]]) -> None:
    url, handler = evil
    real = place.console.get(f"{place.console.people}/sign-in/challenge", method="POST").json()
    handler.answers["/sign-in/challenge"] = challenge(real["nonce"], url)
    place.sign_in("--json", url=url)
    proof = handler.shown[-1]
    signed = cms.open_signed(proof)
    statement = Statement.decode(signed.content)
    assert (statement.purpose, statement.origin, statement.nonce) == (Purpose.SIGN_IN, url, real["nonce"])
    relayed = place.console.get(f"{place.console.people}/sign-in/card", method="POST", body=proof)
    assert relayed.status == 403 and "somewhere else" in relayed.json()["error"]
    # Nor is it a sign-in at the RA, a receipt or a ticket: those name other origins and other certificates.
    at_the_ra = place.desk.office.ra.office.sign_in.sign_in(proof, datetime.now(UTC))
    assert at_the_ra == {"signed_in": False, "why": "the statement is for another RA"}


def test_a_sign_in_for_the_ra_is_none_for_the_console(place: Place) -> None:
    """The statement that the same card signs at the end of a renewal, with this console's nonce in it."""
    done = place.sign_in("--json")
    assert done.status == 0
    nonce = place.console.get(f"{place.console.people}/sign-in/challenge", method="POST").json()["nonce"]
    statement = Statement(
        Purpose.SIGN_IN, place.desk.office.ra.origin, done.document["card"], "ab" * 32, datetime.now(UTC), nonce
    )
    proof = by_card(place, statement)
    refused = place.console.get(f"{place.console.people}/sign-in/card", method="POST", body=proof)
    assert refused.status == 403
    there = replace(statement, origin=place.console.people)  # were the RA to ask for it
    refused = place.console.get(f"{place.console.people}/sign-in/card", method="POST", body=by_card(place, there))
    assert refused.status == 403 and "something else than the console" in refused.json()["error"]


def by_card(place: Place, statement: Statement) -> bytes:
    """Any statement at all, signed by the card's 9A key, as no command of ours would."""
    driver = open_card(place.desk.readers.connect(READER))
    der = driver.certificate(Slot("9a"))
    assert der is not None
    certificate = x509.load_der_x509_certificate(der)
    public_key: Any = certificate.public_key()
    with Pin(PIN) as pin, driver.signing(pin) as session:
        return cms.sign(statement.encode(), certificate, card_key(session, Slot("9a"), public_key))


@pytest.mark.parametrize(
    "answer, code",
    [
        ((200, b"{}"), "RA-SIGN-IN-UNSAFE"),
        ((200, b"[]"), "RA-SIGN-IN"),
        ((200, b"x" * 70_000), "RA-SIGN-IN"),
        ((500, b"{}"), "RA-SIGN-IN"),
        ((302, b"https://evil.test/"), "RA-SIGN-IN"),
        ((429, b"{}"), "RA-SIGN-IN"),
        (
            (200, b'{"link": "https://evil.test/sign-in/finish?link=x", "name": "A", "role": "B", "seconds": 60}'),
            "RA-SIGN-IN-UNSAFE",
        ),
        ((200, b'{"link": "javascript:alert(1)", "name": "A", "role": "B", "seconds": 60}'), "RA-SIGN-IN-UNSAFE"),
        ((403, b'{"error": "No.\\u001b[2J", "advice": "Go away."}'), "RA-SIGN-IN"),
    ],
)
def test_an_answer_that_makes_no_sense_opens_no_browser(
    place: Place, evil: tuple[str, type[Evil]], answer: tuple[int, bytes], code: str
) -> None:
    url, handler = evil
    handler.answers |= {"/sign-in/challenge": challenge("ab" * 32, url), "/sign-in/card": answer}
    done = place.sign_in("--json", url=url)
    assert done.status == 1 and done.document["error"]["code"] == code
    assert "\x1b" not in done.err


@pytest.mark.parametrize(
    "url, origin",
    [
        ("https://Console.Example", "https://console.example"),
        ("https://console.example:443/", "https://console.example"),
        ("https://console.example:8443", "https://console.example:8443"),
        ("https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443"),
    ],
)
def test_an_address_has_one_spelling(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize("url", ["https://console.example:0", "https://console.example:x", "https://consolé.example"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError):
        origin_of(url)


def test_nobody_there(tmp_path: Path) -> None:
    door = ConsoleDoor("https://127.0.0.1:1", None)
    with pytest.raises(ConsoleRefused, match="cannot be reached"):
        door.challenge()
    door.close()

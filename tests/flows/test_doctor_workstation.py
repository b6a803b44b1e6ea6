"""`renewagent doctor` on the computer around the card, and on whom it must reach: each situation is made."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from renewagent import __version__
from renewagent.agent import doctor_pcscd, doctor_workstation
from renewagent.agent.doctor import examine
from renewagent.agent.doctor_authorities import Server, of_campaigns, of_clock, of_server
from renewagent.agent.doctor_bundle import without, write_bundle
from renewagent.agent.doctor_card import of_busy, of_driver, of_service
from renewagent.agent.doctor_pcscd import Door
from renewagent.agent.full_inspection import Inspection, Judgement
from renewagent.agent.journal import HOUSEKEEPING, Journal
from renewagent.agent.removal import OnRemoval
from renewagent.campaign.document import parse_campaign
from renewagent.configuration import CardSettings, Configuration
from renewagent.errors import CardBusy, PcscUnavailable, RenewAgentError, UnsupportedCard
from renewagent.health import Health, Observation
from renewagent.model import CardIdentity, Finding, Verdict
from renewagent.proxies import tls_context
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from tests.unit.agent.place import NOW, Place, campaign_json, days_ago

FIRST = "Virtual Reader 1 (21121234200384) 00"


@pytest.fixture
def place(tmp_path: Path, virtual_readers: VirtualReaders) -> Iterator[Place]:
    place = Place(tmp_path)
    place.publish(campaign_json())
    with RelayServer(virtual_readers, tmp_path / "readers.sock") as relay:
        place.configure(relay.where, ra=f'root = "{place.anchor}"')
        yield place


def run(place: Place, *words: str) -> list[dict[str, str]]:
    command = [sys.executable, "-m", "renewagent", "doctor", "--config", str(place.config), "--json", *words]
    done = subprocess.run(command, env=place.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr
    document = json.loads(done.stdout)
    assert "checks" in document, document
    checks: list[dict[str, str]] = document["checks"]
    return checks


def bug(problem: Exception) -> RenewAgentError:
    return RenewAgentError(f"A bug: {problem}")


def one(observations: Any) -> Observation:
    (found,) = observations
    assert isinstance(found, Observation)
    assert found.health in (Health.OK, Health.UNKNOWN) or found.advice, "what to do is always said"
    return found


@contextmanager
def pcscd(path: Path, *, hangs_up: bool) -> Iterator[None]:
    """As pcscd 2 does to whom polkit refuses: it accepts, and closes before anything is said."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listening:
        listening.bind(str(path))
        listening.listen()
        links: list[socket.socket] = []

        def serve() -> None:
            link, _ = listening.accept()
            links.append(link)
            if hangs_up:
                link.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(5)
        for link in links:
            link.close()


def test_pcscd_that_refuses_is_told_from_one_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for hangs_up, expected in ((True, Door.REFUSES), (False, Door.OPEN)):
        path = tmp_path / f"comm-{hangs_up}"
        monkeypatch.setenv("PCSCLITE_CSOCK_NAME", str(path))
        assert doctor_pcscd.door() is Door.MISSING
        with pcscd(path, hangs_up=hangs_up):
            assert doctor_pcscd.door() is expected
        assert doctor_pcscd.door() is Door.DEAD, "the socket of one that has died"
    gone = PcscUnavailable("The smartcard service (PC/SC) is not running.")
    refused = of_service(gone, Door.REFUSES)
    assert "polkit" in refused.said and "group renewagent" in refused.advice
    assert "pcscd.socket" in of_service(gone, Door.MISSING).advice
    assert of_service(gone, Door.OPEN).said == gone.message


def test_programs_that_use_cards_are_named(tmp_path: Path) -> None:
    """A program of this person's that has pcsc-lite's library loaded, by whatever name."""
    program = tmp_path / "wardround"
    program.symlink_to(sys.executable)
    waits = "import ctypes; ctypes.CDLL('libpcsclite.so.1'); print(flush=True); input()"
    with subprocess.Popen([program, "-c", waits], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        named = doctor_pcscd.holders()
        holder.communicate(b"\n")
    assert "wardround" in named
    assert "wardround" not in doctor_pcscd.holders()
    busy = of_busy(CardBusy("Another program is using the smartcard."), ["scdaemon", "wardround"])
    assert "scdaemon, wardround" in busy.said and busy.advice.startswith("Close scdaemon or wardround")
    assert of_busy(CardBusy("Another program is using the smartcard."), []).advice == CardBusy.advice


def test_drivers_and_the_vendors_module(tmp_path: Path) -> None:
    def judged(scheme: str, error: UnsupportedCard | None = None) -> Inspection:
        finding = Finding(Verdict.UNREADABLE if error else Verdict.UNAFFECTED, "")
        return Inspection("reader", Judgement(finding, error=error), CardIdentity(scheme, "00") if not error else None)

    assert "PIV" in one(of_driver(judged("chuid"), CardSettings())).said
    assert "module" in one(of_driver(judged("token"), CardSettings())).said
    unknown = one(of_driver(judged("", UnsupportedCard("No.")), CardSettings()))
    assert unknown.health is Health.PROBLEM and "card.pkcs11_module" in unknown.advice
    missing = one(doctor_workstation.of_card_software(CardSettings(pkcs11_module=tmp_path / "module.so")))
    assert missing.health is Health.PROBLEM and "module.so" in missing.said
    assert not list(doctor_workstation.of_card_software(CardSettings()))


def test_sessions_and_what_removing_a_card_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_workstation, "is_remote", lambda: True)
    monkeypatch.setattr(doctor_workstation, "on_removal", lambda: OnRemoval.SIGNS_OUT)
    session, removal = doctor_workstation.of_session()
    assert session.health is Health.WARNING and "from another one" in session.said
    assert removal.health is Health.WARNING and removal.advice.startswith("Save your work")
    monkeypatch.setattr(doctor_workstation, "is_remote", lambda: False)
    monkeypatch.setattr(doctor_workstation, "has_the_screen", lambda: False)
    assert next(doctor_workstation.of_session()).health is Health.WARNING
    monkeypatch.setattr(doctor_workstation, "has_the_screen", lambda: True)
    assert next(doctor_workstation.of_session()).health is Health.OK


def test_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one(doctor_workstation.of_disk(tmp_path / "not" / "there" / "yet")).health is Health.OK
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"
    refused = one(doctor_workstation.of_disk(Path("/proc/self")))
    assert refused.health is Health.PROBLEM and "cannot write" in refused.said
    monkeypatch.setattr(doctor_workstation, "on_network", lambda _: True)
    assert "network" in one(doctor_workstation.of_disk(tmp_path)).said
    for left, health in ((1 << 20, Health.PROBLEM), (20 << 20, Health.WARNING)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, left=left: SimpleNamespace(free=left))
        assert one(doctor_workstation.of_disk(tmp_path)).health is health


def test_a_journal_with_something_unfinished_and_one_that_cannot_be_read(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        journal.append("first", "chuid:00", "begun", {}, NOW)
    assert one(doctor_workstation.of_journal(tmp_path)).health is Health.WARNING
    (tmp_path / "journal.db").write_bytes(b"not a journal" * 100)
    broken = examine({"journal": lambda: doctor_workstation.of_journal(tmp_path)}, bug)
    assert one(broken).health is Health.PROBLEM


def test_the_agent_that_runs_and_its_version(place: Place) -> None:
    from renewagent.agent.status import Status

    agent = {check["name"]: check for check in run(place)}["agent"]
    assert agent["health"] == "warn" and "service install" in agent["advice"]
    command = [sys.executable, "-m", "renewagent", "agent", "--config", str(place.config)]
    with subprocess.Popen(command, env=place.env, stderr=subprocess.DEVNULL) as running:
        end = time.monotonic() + 20
        while not list((place.folder / "run").rglob("agent.sock")) and time.monotonic() < end:
            time.sleep(0.05)
        agent = {check["name"]: check for check in run(place)}["agent"]
        running.terminate()
        running.wait(20)
    assert agent["health"] == "ok"
    assert Status(NOW).document(1)["agent"]["version"] == __version__


class _Clock(BaseHTTPRequestHandler):
    ahead = 0.0

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.ahead)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def server(ahead: float = 0.0) -> Iterator[str]:
    handler = type("Handler", (_Clock,), {"ahead": ahead})
    with HTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def asked(url: str, *, clock: bool = True) -> list[Observation]:
    return list(of_server(Server("console", "The console", "the console", url, tls_context), clock=clock))


@pytest.mark.parametrize(
    "ahead, health", [(0, Health.OK), (290, Health.OK), (310, Health.PROBLEM), (-310, Health.PROBLEM)]
)
def test_the_clock_goes_with_theirs(ahead: float, health: Health) -> None:
    with server(ahead) as url:
        reached, clock = asked(url)
    assert (reached.health, clock.health) == (Health.OK, health)
    assert health is Health.OK or ("5 minutes behind" if ahead > 0 else "5 minutes ahead of") in clock.said
    days = of_clock(timedelta(days=-400), "the console")
    assert days is not None and "400 days ahead of that of the console" in days.said


def test_whoever_cannot_be_reached_or_believed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    unreached, clock = asked(f"https://127.0.0.1:{port}")
    assert unreached.health is Health.PROBLEM and "cannot be reached" in unreached.said
    assert clock.health is Health.UNKNOWN
    with server() as url:
        not_tls, _ = asked(url.replace("http:", "https:"))
    assert not_tls.health is Health.PROBLEM and not_tls.advice
    (unnamed, *_) = asked("http://no-such-host.invalid")
    assert unnamed.health is Health.PROBLEM


def test_campaigns_fresh_expired_withdrawn_and_never(tmp_path: Path) -> None:
    def said(*campaigns: bytes) -> Observation:
        known = [parse_campaign(campaign) for campaign in campaigns]
        return list(of_campaigns(None, known, tmp_path, NOW))[1]

    assert "in force until" in said(campaign_json()).said
    assert (
        said(campaign_json(expires="2020-11-01T00:00:00Z", published="2020-10-01T00:00:00Z")).health is Health.WARNING
    )
    assert "withdrawn" in said(campaign_json(withdrawn=True)).said
    assert "ever accepted" in list(of_campaigns(None, [], tmp_path, NOW))[-1].said
    (tmp_path / "campaigns").mkdir()
    (tmp_path / "campaigns" / "x.cms").write_text("")
    assert "was accepted today" in list(of_campaigns(None, [], tmp_path, NOW))[-1].said


def test_when_nothing_answers_it_ends_in_time(place: Place) -> None:
    """An address that swallows what is sent to it: connections are taken, and nothing comes."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        place.configure(
            f"unix:{place.folder}/readers.sock",
            ra=f'url = "{url}"\nroot = "{place.anchor}"',
            console=f'url = "{url.replace("http", "https")}"',
            campaign=f'urls = ["{url}/a", "{url}/b"]\nanchor = "{place.anchor}"',
        )
        began = time.monotonic()
        found = {check["name"]: check for check in run(place)}
        took = time.monotonic() - began
    assert took < 15
    assert "did not answer in time" in found["Registration Authority"]["said"]
    assert found["console"]["health"] == "warn" and "does not know" in found["console"]["said"]
    assert found["campaigns"]["health"] == "warn" and "ever accepted" in found["campaigns"]["said"]
    assert found["disk"]["health"] == "ok", "what can be found out is"


PRIVATE = ("Ada", "Lamb", "Surgery", "ward-seven-pc", "0300 303 5035", "Dr Nye", "sesame-code", "nye@example.org")


def test_a_bundle_holds_nothing_private(place: Place, virtual_readers: VirtualReaders, tmp_path: Path) -> None:
    reader = "ACME Reader (21121234200384) 00"
    virtual_readers.plug(reader)
    card = place.ca.card(days_ago(7))
    virtual_readers.insert(reader, card)
    where = f"unix:{tmp_path}/readers.sock"
    place.configure(
        where,
        ra=f'url = "https://127.0.0.1:1/secret-path?code=sesame-code"\nroot = "{place.anchor}"',
        console='url = "https://127.0.0.1:1"\nenrolment = "sesame-code"\nmachine = "ward-seven-pc"',
        contact='name = "Dr Nye"\nphone = "0300 303 5035"\nurl = "https://nye.example.org"\nhours = "nye@example.org"',
    )
    with Journal(place.state / "journal.db") as journal:
        journal.append(HOUSEKEEPING, "chuid:00112233445566778899", "noted", {"subject": "CN=Dr Ada Lamb"}, NOW)
    bundle = tmp_path / "for-the-help-desk.zip"
    checks = run(place, "--bundle", str(bundle))
    assert bundle.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(bundle) as held:
        assert held.namelist() == ["README.txt", "doctor.json", "versions.json", "configuration.json"]
        text = "\n".join(held.read(name).decode() for name in held.namelist())
        told = json.loads(held.read("doctor.json"))["checks"]
        shown = json.loads(held.read("configuration.json"))
    identities = [str(check) for check in checks]
    assert any(reader in check for check in identities), "the person is told of the reader by its whole name"
    certificate = card.certificate(0x9C)
    assert certificate is not None
    from cryptography import x509

    serial = format(x509.load_der_x509_certificate(certificate).serial_number, "x")
    gone = (
        *PRIVATE,
        "21121234200384",
        serial,
        "secret-path",
        "00112233445566778899",
        str(tmp_path),
        socket.gethostname(),
    )
    assert [word for word in gone if word.lower() in text.lower()] == []
    assert "ACME Reader" in text and "Renew your smartcard" in text
    assert [one["name"] for one in told] == [check["name"] for check in checks]
    assert shown["ra"]["url"] == "https://127.0.0.1:1" and shown["console"]["enrolment"] == "set"


@pytest.mark.parametrize(
    "text, left",
    [
        ("serial 1a2b3c4d.", "serial [left out]."),
        ("1A:2B:3C:4D:5E", "[left out]"),
        ("ending 4821, on 22 November 2026 at 09:12:30", "ending 4821, on 22 November 2026 at 09:12:30"),
        ("at 127.0.0.1:54321 and ra.example:8443", "at 127.0.0.1:54321 and ra.example:8443"),
        ("ask a.lamb@surgery.example", "ask [left out]"),
        ("/home/lamb/x.pem of LAMB", "/home/[left out]/x.pem of [left out]"),
        ("pcsc-lite 1.9.9, Linux 6.18.44", "pcsc-lite 1.9.9, Linux 6.18.44"),
    ],
)
def test_what_goes_out_of_sentences(text: str, left: str) -> None:
    assert without(text, ["lamb"]) == left


def test_what_a_desk_says_of_somebody_is_not_handed_on(place: Place) -> None:
    bundle = place.folder / "help.zip"
    of_a_person = Observation("signing certificate of Dr Lamb", Health.PROBLEM, "Dr Lamb has no grant.", "Ask Dr Nye.")
    write_bundle(bundle, [Observation("disk", Health.OK, "There is room.")], [of_a_person], Configuration(), NOW)
    with zipfile.ZipFile(bundle) as held:
        told = json.loads(held.read("doctor.json"))["checks"]
    assert [one["name"] for one in told] == ["disk", "EPCS desk"] and "Lamb" not in json.dumps(told)


def test_a_bundle_that_cannot_be_written_says_so(place: Place) -> None:
    command = [sys.executable, "-m", "renewagent", "doctor", "--config", str(place.config), "--bundle", "/proc/x/y.zip"]
    done = subprocess.run(command, env=place.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "cannot be written" in done.stderr and "Traceback" not in done.stderr

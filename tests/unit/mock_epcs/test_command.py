"""`renewagent mock-epcs`: the servers as a process, devices driven by hand, and the document that tells of both."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pskc import PSKC

from renewagent.cli import main
from renewagent.tokens.ehr_http import EhrClient
from renewagent.tokens.errors import EhrMisbehaved
from renewagent.tokens.model import Answer
from renewagent.tokens.vendor import VendorClient
from renewagent_fixtures.mock_epcs.knobs import Knobs, shown
from tests.house import ROOT
from tests.test_readme import commands_in, words_of

Captured = pytest.CaptureFixture[str]
SERVE = [sys.executable, "-m", "renewagent", "mock-epcs", "serve"]


class Served:
    """`mock-epcs serve` over a folder."""

    def __init__(self, data: Path, *options: str | Path) -> None:
        ready = data.parent / "ready.json"
        words = [*SERVE, "--data", str(data), "--ready-file", str(ready), *map(str, options)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.communicate()[1]
        self.facts: dict[str, Any] = json.loads(line)
        assert json.loads(ready.read_text()) == self.facts
        assert ready.stat().st_mode & 0o777 == 0o600
        self.ehr = EhrClient(self.facts["ehr"], Path(self.facts["keys"]["ehr"]).read_text().strip())
        self.vendor = VendorClient(self.facts["vendor"], Path(self.facts["keys"]["vendor"]).read_text().strip())
        self.passwords = json.loads(Path(self.facts["passwords"]).read_text())

    def kill(self) -> None:
        self.ehr.close()
        self.vendor.close()
        self._process.kill()
        self._process.communicate(timeout=30)

    def stop(self) -> None:
        self.ehr.close()
        self.vendor.close()
        self._process.send_signal(signal.SIGTERM)
        out, err = self._process.communicate(timeout=30)
        assert (self._process.returncode, out, err) == (0, "", "")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    one = Served(tmp_path_factory.mktemp("mock-epcs") / "world")
    yield one
    one.stop()


@pytest.fixture
def data(served: Served) -> Path:
    return Path(served.facts["passwords"]).parent


def told(capsys: Captured, *words: str | Path, status: int = 0) -> dict[str, Any]:
    """The one JSON document that a command answers with."""
    assert main(["mock-epcs", *map(str, words), "--json"]) == status
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_what_it_keeps_is_for_its_owner(served: Served, data: Path) -> None:
    assert data.stat().st_mode & 0o777 == 0o700
    for secret in (*data.glob("*.key"), *data.glob("*.json"), *(data / "devices").iterdir()):
        assert secret.stat().st_mode & 0o777 == 0o600, secret
    assert len({file.read_text() for file in data.glob("*.key")}) == 3


def test_both_are_there_with_the_same_cast(served: Served) -> None:
    for user, password in served.passwords.items():
        assert served.ehr.sign_in(user, password)
    assert not served.ehr.sign_in("lamb", served.passwords["reed"])
    assert served.vendor.standing("GALH00001170").account == ""
    assert served.vendor.soft_tokens(["alamb"]) == {}


def test_a_token_in_the_hand_is_the_one_at_the_vendor(served: Served, data: Path, capsys: Captured) -> None:
    served.vendor.register("GAHE00009313", "hale")
    code = told(capsys, "press", "GAHE00009313", "--data", data)["codes"][0]
    assert served.vendor.check("GAHE00009313", code).answer is Answer.ACCEPTED
    pressed = told(capsys, "press", "GAHE00009313", "--lost", "40", "--times", "2", "--data", data)
    assert pressed["counter"] == 43
    resynchronised = served.vendor.resynchronise("GAHE00009313", *pressed["codes"])
    assert (resynchronised.answer, resynchronised.drift) == (Answer.ACCEPTED, 40)


def test_a_phone_in_the_hand_is_the_one_at_the_vendor(served: Served, data: Path, capsys: Captured) -> None:
    for act in ("invite", "install", "activate"):
        told(capsys, "phone", "reed", act, "--data", data)
    code = told(capsys, "phone", "reed", "code", "--data", data)
    assert served.vendor.check(code["vendor"]["serial"], code["code"]).answer is Answer.ACCEPTED
    before = served.vendor.soft_tokens(["breed"])["breed"]
    told(capsys, "phone", "reed", "change-password", "--data", data)
    changed = served.vendor.soft_tokens(["breed"])["breed"]
    told(capsys, "phone", "reed", "renew-certificate", "--data", data)
    renewed = served.vendor.soft_tokens(["breed"])["breed"]
    assert len({before.registration, changed.registration, renewed.registration}) == 3
    told(capsys, "phone", "reed", "delete", "--data", data)
    assert not served.vendor.soft_tokens(["breed"])["breed"].working
    told(capsys, "phone", "reed", "code", "--data", data, status=1)


def test_a_box_of_tokens_comes_with_its_seeds(served: Served, data: Path, tmp_path: Path, capsys: Captured) -> None:
    document, box, opens = PSKC(), tmp_path / "box.pskcxml", tmp_path / "passphrase"
    for number in (1, 2):
        document.add_key(
            serial=f"GAHE7000000{number}",
            manufacturer="Exostar",
            algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp",
            secret=bytes(range(number, number + 20)),
            counter=7,
            response_length=6,
            response_encoding="DECIMAL",
        )
    document.encryption.setup_pbkdf2("as the vendor said by phone")
    document.write(str(box))
    opens.write_text("as the vendor said by phone\n")
    words = ("import", box, "--passphrase-file", opens, "--data", data)
    assert told(capsys, *words)["tokens"] == ["GAHE70000001", "GAHE70000002"]
    served.vendor.register("GAHE70000002", "box-owner")
    pressed = told(capsys, "press", "GAHE70000002", "--data", data)
    assert pressed["counter"] == 8
    assert served.vendor.check("GAHE70000002", pressed["codes"][0]).answer is Answer.ACCEPTED
    assert bytes(range(2, 22)) not in (data / "vendor.db").read_bytes(), "seeds are encrypted"
    assert "there is a token" in told(capsys, *words, status=1)["error"]["message"].lower()
    opens.write_text("wrong\n")
    told(capsys, *words, status=1)


def test_codes_may_be_typed(served: Served, data: Path, capsys: Captured) -> None:
    told(capsys, "phone", "lamb", "install", "--data", data)
    told(capsys, "phone", "lamb", "activate", "--codes", "NONESUCH", "12345678", "--data", data, status=1)
    told(capsys, "phone", "lamb", "invite", "--data", data)
    letters = (told(capsys, "outbox", to, "--data", data) for to in ("lamb@clinic.example", "+1 555 0100 42"))
    codes = [letter["messages"][-1]["text"].rsplit(" ", 1)[1] for letter in letters]
    told(capsys, "phone", "lamb", "activate", "--codes", *codes, "--data", data)
    assert served.vendor.soft_tokens(["alamb"])["alamb"].working


def test_knobs_turn_while_they_run(served: Served, data: Path, capsys: Captured) -> None:
    assert not served.ehr.access("hale").epcs_suspended
    told(capsys, "knobs", "ehr.rude=yes", "--data", data)
    with pytest.raises(EhrMisbehaved):
        served.ehr.access("hale")
    assert told(capsys, "knobs", "ehr.rude=no", "--data", data)["knobs"] == shown(Knobs())
    served.ehr.access("hale")
    assert told(capsys, "knobs", "ehr.rude=perhaps", "--data", data, status=2)["error"]["code"] == "RA-CONFIGURATION"


def test_two_years_later(served: Served, data: Path, capsys: Captured) -> None:
    told(capsys, "settle", "lamb", "--data", data)
    told(capsys, "knobs", "ahead=731", "--data", data)
    assert not served.vendor.soft_tokens(["alamb"])["alamb"].working
    code = told(capsys, "phone", "lamb", "code", "--data", data)["code"]
    said = told(capsys, "prescribe", "lamb", code, "--data", data, status=1)
    assert said["error"]["message"] == "Soft Token Expired"
    told(capsys, "knobs", "ahead=0", "--data", data)


def test_the_document_can_be_followed(served: Served, data: Path, capsys: Captured) -> None:
    """Each command of docs/mock-epcs.md, one after the other, with the code that was shown last."""
    code = ""
    signed: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for command in commands_in((ROOT / "docs" / "mock-epcs.md").read_text()):
        _, act, *words = words_of(command)
        words = [{"DIR": str(data), "CODE": code}.get(word, word) for word in words]
        if act == "serve" or "NUMBER" in words or "FILE" in words or "--knob" in words or "INVITE" in words:
            continue
        status = main(["mock-epcs", act, *words, "--json"])
        document = json.loads(capsys.readouterr().out)
        shown_codes = document.get("codes") or [document.get("code", code)]
        code = shown_codes[-1]
        (signed if status == 0 else refused).append(document)
    assert [one["error"]["message"].partition(" P")[0] for one in refused] == [
        "Soft Token Expired",
        "Failed to Transmit",
    ]
    assert sum("prescription" in one for one in signed) == 1
    assert len(signed) > 12
    told(capsys, "knobs", "ehr.stale_clears=1", "vendor.clerk_after=never", "--data", data)


def test_every_knob_is_in_the_document() -> None:
    text = (ROOT / "docs" / "mock-epcs.md").read_text()
    assert [name for name in shown(Knobs()) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("end", [Served.stop, Served.kill])
def test_it_goes_on_where_it_was(tmp_path: Path, capsys: Captured, end: Callable[[Served], None]) -> None:
    first = Served(tmp_path / "world", "--knob", "ehr.stale_clears=2")
    first.ehr.suspend_epcs("lamb")
    end(first)
    code = told(capsys, "press", "GALH00001170", "--data", tmp_path / "world")["codes"][0]  # nobody serves
    second = Served(tmp_path / "world")
    assert second.ehr.access("lamb").epcs_suspended
    assert second.passwords == first.passwords and second.facts["keys"] == first.facts["keys"]
    assert second.vendor.register("GALH00001170", "lamb").account == "lamb"
    assert second.vendor.check("GALH00001170", code).answer is Answer.ACCEPTED
    assert told(capsys, "knobs", "--data", tmp_path / "world")["knobs"]["ehr.stale_clears"] == 2
    second.stop()


def test_a_cast_of_ones_own(tmp_path: Path) -> None:
    cast = tmp_path / "cast.toml"
    cast.write_text('[[staff]]\nuser="x"\nname="X Y"\npassword="p"\n')
    served = Served(tmp_path / "world", "--cast", cast)
    assert served.ehr.sign_in("x", "p") and served.facts["tokens"] == []
    served.stop()


@pytest.mark.parametrize("which", ["--vendor-port", "--ehr-port"])
def test_a_port_that_is_taken(tmp_path: Path, capsys: Captured, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = told(capsys, "serve", "--data", tmp_path / "world", which, port, status=1)
    assert "in use" in said["error"]["message"] and port in said["error"]["message"]


def test_what_it_cannot_begin_with(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert "cannot use the folder" in told(capsys, "serve", "--data", file, status=1)["error"]["message"]
    assert (
        "--cast" in told(capsys, "serve", "--data", tmp_path / "w", "--cast", file.parent, status=2)["error"]["advice"]
    )
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "ehr.db").write_text("this is no database, whatever its name says")
    assert "cannot use the folder" in told(capsys, "serve", "--data", tmp_path / "old", status=1)["error"]["message"]
    said = told(capsys, "serve", "--data", tmp_path / "w2", "--knob", "nonsense=1", status=2)
    assert "nonsense" in said["error"]["message"]


def test_what_cannot_be_done_by_hand(served: Served, data: Path, capsys: Captured, tmp_path: Path) -> None:
    for words, status in (
        (("press", "GAHE99999999"), 2),
        (("press", "../../x"), 2),
        (("phone", "hale", "code"), 2),
        (("phone", "nobody", "install"), 2),
        (("phone", "lamb", "swallow"), 2),
        (("work", "EX-999999"), 1),
        (("prescribe", "nobody", "123456"), 2),
        (("settle", "lamb", "--serial", "GAHE99999999"), 2),
        (("settle", "nobody", "--serial", "GALH00001170"), 2),
        (("press", "GAHE00004821", "--times", "-1"), 2),
    ):
        error = told(capsys, *words, "--data", data, status=status)["error"]
        assert error["message"] and error["advice"] and error["code"] != "RA-UNEXPECTED"
    assert "no world" in told(capsys, "audit", "--data", tmp_path, status=2)["error"]["message"]
    assert list(tmp_path.iterdir()) == []

"""Other people's programs speak to a card, are written down, and get the same from the trace, octet for octet."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.traces import load
from tests.interop.cards import MANAGEMENT_KEY, PIN, CardInReader
from tests.programs import require, run

READ_AND_SIGN = f"""
yubico-piv-tool -r Virtual -a status
pkcs15-tool --dump
pkcs15-tool --read-certificate 02
pkcs15-crypt --sign --pin {PIN} --key 02 --sha-256 --input hash --output signature && od -An -tx1 signature
"""
SECRETS = ("271828", "31415926", "16180339", "0011223344556677889900112233445566778899aabbccdd")
NEW_PIN, NEW_PUK, LAST_PUK, NEW_KEY = SECRETS
TELL_SECRETS = f"""
yubico-piv-tool -r Virtual -a verify-pin -P {PIN}
yubico-piv-tool -r Virtual -a change-pin -P {PIN} -N {NEW_PIN}
yubico-piv-tool -r Virtual -a change-puk -P 12345678 -N {NEW_PUK}
yubico-piv-tool -r Virtual -a unblock-pin -P {NEW_PUK} -N {NEW_PIN}
yubico-piv-tool -r Virtual -a import-key -s 9d -i key.pem
yubico-piv-tool -r Virtual -a set-mgm-key -n {NEW_KEY}
opensc-tool -s "00 20 00 80 05 31 34 31 34 32" -s "00 24 00 81 0A 31 36 31 38 30 33 33 39 33 33"
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder, which is the programs' home as well: OpenSC would remember certificates elsewhere."""
    for program in ("yubico-piv-tool", "pkcs15-tool", "pkcs15-crypt", "opensc-tool", "pcscd", "openssl"):
        require(program)
    (tmp_path / "hash").write_bytes(bytes(range(32)))
    make = ("create", tmp_path / "card", "--profile", "extended", "--key", "p256", "--subject", "CN=Dr Replay,C=GB")
    run("renewagent", "virtual-card", *make)
    return tmp_path


def traced(work: Path, *arguments: str | Path, script: str, status: int = 0) -> str:
    """What `virtual-card` and the script beside it wrote. Everything is asked for anew."""
    home = work / f"home{len(list(work.iterdir()))}"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home)}
    words = ["virtual-card", *arguments, "--run", f"cd {work} || exit 9\n{script}"]
    return run("renewagent", *words, env=environment, status=status)


def test_a_replay_says_the_same_octet_for_octet(work: Path) -> None:
    trace = work / "trace.txt"
    recorded = traced(work, "record", trace, "--card", work / "card", script=READ_AND_SIGN)
    said, _, count = recorded.rpartition(f"{trace}: ")
    assert re.fullmatch(r"\d{2,3} exchanges.\n", count)
    assert "CN=Dr Replay" in said
    assert "BEGIN CERTIFICATE" in said
    signature = (work / "signature").read_bytes()
    (work / "signature").unlink()
    assert traced(work, "replay", trace, "--strict", script=READ_AND_SIGN) == said
    assert (work / "signature").read_bytes() == signature


def test_no_secret_is_written_down(work: Path) -> None:
    trace = work / "trace.txt"
    run("openssl", "genrsa", "-traditional", "-out", work / "key.pem", "2048")
    said = traced(work, "record", trace, "--card", work / "card", "--timing", script=TELL_SECRETS)
    assert "Successfully set new management key" in said
    words = "\n".join(exchange.words for exchange in load(trace).exchanges)
    for told in (
        "CHANGE REFERENCE DATA PUK",
        "RESET RETRY COUNTER",
        "IMPORT KEY",
        "SET MANAGEMENT KEY",
        "5 octets hid",
    ):
        assert told in words
    text = trace.read_text().lower().replace("\n  ", "")
    for secret in (*SECRETS[:3], PIN, "12345678", "14142", "1618033933"):
        assert secret.encode().hex() not in text
    assert NEW_KEY[:16] not in text
    assert MANAGEMENT_KEY[:16] not in text
    numbers = run("openssl", "rsa", "-in", work / "key.pem", "-noout", "-text").replace(":", "").split()
    assert not [number for number in numbers if len(number) == 30 and number in text]


def test_the_card_in_another_reader_is_recorded(extended_card: CardInReader, private_pcscd: PrivatePcscd) -> None:
    """What stands for a real card in a real reader: the recorder is one more client there."""
    trace = extended_card.work / "trace.txt"
    words = ("virtual-card", "record", trace, "--reader", extended_card.reader, "--json")
    said = run("renewagent", *words, "--run", "yubico-piv-tool -r Virtual -a status", env=private_pcscd.env)
    document = json.loads(said.strip().splitlines()[-1])
    assert document == {"ok": True, "trace": str(trace), "exchanges": len(load(trace).exchanges), "status": 0}
    assert extended_card.card.guid.hex() in said
    assert "GET DATA CHUID (5FC102) -> 61 octets, 9000 done" in trace.read_text()


def test_a_program_that_fails_and_one_that_asks_for_more(work: Path) -> None:
    trace = work / "trace.txt"
    failed = traced(work, "record", trace, "--card", work / "card", script="opensc-tool -s 00200080; exit 3", status=1)
    assert failed.endswith("The command ended with status 3.\n")
    asked = traced(work, "replay", trace, "--strict", script="yubico-piv-tool -r Virtual -a status", status=1)
    assert "Asked, and not in the trace:\n" in asked

"""An RA manager has an export and an incident: the same list of affected certificates, however it is written."""

from __future__ import annotations

import csv
import hashlib
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from renewagent.campaign.pem import read_signer
from renewagent.campaign.sign import sign_campaign
from tests.bulk import ask_cryptography
from tests.flows.inventories import COMMAND, WINDOW, WRITERS, rows_of, run_check, write_der, write_pem
from tests.inventory import FROM, TO, Issuing
from tests.unit.campaign.authority import root

COUNT = 400
OURS = ("source", "index", "verdict", "rule", "serial", "issuer", "not_before", "why", "sha256")


@pytest.fixture(scope="module")
def ders() -> list[bytes]:
    return list(Issuing(11).many(COUNT))


@pytest.fixture(scope="module")
def wanted(ders: list[bytes]) -> list[dict[str, Any]]:
    """What cryptography says."""
    found = []
    for index, der in enumerate(ders):
        facts = ask_cryptography(der)
        assert facts is not None
        found.append(
            {
                "index": index,
                "verdict": "affected" if FROM <= facts.not_before < TO else "unaffected",
                "rule": "command-line" if FROM <= facts.not_before < TO else "",
                "serial": format(facts.serial, "x"),
                "issuer": facts.issuer,
                "not_before": facts.not_before.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "sha256": hashlib.sha256(der).hexdigest(),
            }
        )
    return found


def ours(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in OURS if name not in ("source", "why")} for row in rows]


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_rows_from_every_kind_of_source(
    name: str, ders: list[bytes], wanted: list[dict[str, Any]], tmp_path: Path
) -> None:
    source, out = tmp_path / name, tmp_path / "out.jsonl"
    WRITERS[name](source, ders)
    document, _ = run_check(source, *WINDOW, "--out", out, "--all")
    rows = rows_of(out)
    assert ours(rows) == wanted
    assert {row["source"] for row in rows} == {str(source)}
    hit = sum(row["verdict"] == "affected" for row in wanted)
    counts = {key: document[key] for key in ("checked", "affected", "unaffected", "damaged", "unreadable")}
    assert counts == {"checked": COUNT, "affected": hit, "unaffected": COUNT - hit, "damaged": 0, "unreadable": 0}
    assert document["by_rule"] == {"command-line": hit}
    assert document["seconds"] > 0
    if "pem" not in name and "der" not in name:
        carried = [row["uid"] for row in rows]
        assert carried == [str(number) for number in range(COUNT)]


def test_only_what_is_to_be_told(ders: list[bytes], wanted: list[dict[str, Any]], tmp_path: Path) -> None:
    source = tmp_path / "a.der"
    write_der(source, ders)
    hit = [row for row in wanted if row["verdict"] == "affected"]
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        document, _ = run_check(source, *WINDOW, "--out", tmp_path / name)
        assert document["out"] == str(tmp_path / name)
    assert ours(rows_of(tmp_path / "out.jsonl")) == hit
    with (tmp_path / "out.csv").open(newline="") as file:
        found = [{**row, "index": int(row["index"])} for row in csv.DictReader(file)]
    assert ours(found) == hit
    assert ours(pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()) == hit
    assert all(str(row["why"]).startswith("Issued on ") for row in found)


def test_several_sources_in_their_order(ders: list[bytes], tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    for number, der in enumerate(ders[:6]):
        write_der(folder / f"{number}.cer", [der])
    write_pem(folder / "below" / "z.pem", ders[6:8])
    write_pem(tmp_path / "p1.pem", ders[8:9])
    write_pem(tmp_path / "p2.pem", ders[9:11])
    out = tmp_path / "out.jsonl"
    given = b"".join(ders[11:14])
    document, _ = run_check(folder, tmp_path / "p*.pem", "-", *WINDOW, "--out", out, "--all", stdin=given)
    rows = rows_of(out)
    assert document["checked"] == len(rows) == 14
    names = [Path(row["source"]).name for row in rows]
    files = [f"{number}.cer" for number in range(6)]
    assert names == [*files, "z.pem", "z.pem", "p1.pem", "p2.pem", "p2.pem", "-", "-", "-"]
    assert [row["index"] for row in rows] == [0] * 6 + [0, 1, 0, 0, 1, 0, 1, 2]


CAMPAIGN = """{"id": "autumn", "version": 1, "published": "2020-10-01T00:00:00Z", "expires": "2999-01-01T00:00:00Z",
 "reason": {"en": "x"}, "rules": [
  {"name": "one authority", "issued_from": "2020-09-28T00:00:00Z", "issued_to": "2020-10-01T12:00:00Z",
   "issuer": "CN=NHS CA 1,O=nhs,C=GB", "key_usage": "any"},
  {"name": "weak", "key_bits_below": 2048, "key_algorithms": ["rsa"]}]}"""


def test_a_campaign_signed_or_not(ders: list[bytes], tmp_path: Path) -> None:
    source, plain, signed = tmp_path / "a.der", tmp_path / "plain.json", tmp_path / "signed.campaign"
    write_der(source, ders)
    plain.write_text(CAMPAIGN)
    top, now = root(), datetime.now(UTC)
    ra = top.issue("RA manager", start=now - timedelta(days=1), end=now + timedelta(days=365))
    signed.write_bytes(sign_campaign(CAMPAIGN.encode(), read_signer(ra.written(tmp_path / "ra.pem")), now))
    anchor = tmp_path / "anchor.pem"
    anchor.write_bytes(top.certificate.public_bytes(Encoding.PEM))
    document, _ = run_check(source, "--campaign", plain)
    assert set(document["by_rule"]) == {"one authority", "weak"}
    assert all(document["by_rule"].values())
    assert sum(document["by_rule"].values()) == document["affected"]
    again, said = run_check(source, "--campaign", signed)
    assert again["by_rule"] == document["by_rule"]
    assert "was not checked" in said
    trusted, said = run_check(source, "--campaign", signed, "--campaign-anchor", anchor)
    assert trusted["by_rule"] == document["by_rule"]
    assert "was not checked" not in said
    run_check(source, "--campaign", plain, "--campaign-anchor", anchor, status=1)


def test_a_campaign_that_is_over_affects_nothing(ders: list[bytes], tmp_path: Path) -> None:
    write_der(tmp_path / "a.der", ders)
    for old, new, words in (
        ("2999-01-01", "2020-11-01", "expired on 1 November 2020"),
        ('"reason"', '"withdrawn": true, "reason"', "is withdrawn"),
        ('"reason"', '"paused": true, "reason"', "is paused: it affects no certificate for now"),
    ):
        (tmp_path / "over.json").write_text(CAMPAIGN.replace(old, new, 1))
        document, said = run_check(tmp_path / "a.der", "--campaign", tmp_path / "over.json")
        assert (document["affected"], document["unaffected"]) == (0, COUNT)
        assert words in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Nothing says which certificates are affected"),
        (("--issued-from", "2020-10-02", "--issued-to", "2020-10-01"), "--issued-to must be later"),
        (("--issued-from", "2020-10-01T10:00:00"), "no time zone"),
        (("--issued-from", "soon"), "is no time"),
        (("--serial", "xyz"), "no serial number"),
        (("--serial", "ff-1"), "from the higher serial number"),
        (("--key-usage", "signing"), "does not know signing"),
        (("--issuer", "nobody"), "type=value"),
        (("--campaign", "no-such-file.json"), "cannot be read"),
        (("--campaign-anchor", "x.pem", "--issued-from", "2020-10-01"), "goes with --campaign"),
        (("--issued-from", "2020-10-01", "--jobs", "0"), "no number"),
        (("--issued-from", "2020-10-01", "--out", "results.txt"), "what kind of file"),
        (("--issued-from", "2020-10-01", "--out", "a.pem"), "what kind of file"),
        (("--issued-from", "2020-10-01", "--out", "/no/such/folder/a.csv"), "cannot be written"),
    ],
)
def test_slips_on_the_command_line(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    write_der(tmp_path / "a.der", [Issuing(1).certificate()])
    document, said = run_check(tmp_path / "a.der", *words, status=2)
    assert document["ok"] is False
    assert sentence in said


def test_the_sources_are_not_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    WRITERS["a.csv"](source, [Issuing(1).certificate()])
    before = source.read_bytes()
    _, said = run_check(source, *WINDOW, "--out", source, status=2)
    assert "is one of the sources" in said
    assert source.read_bytes() == before


def test_what_the_help_says_of_times() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    words = " ".join(done.stdout.split())
    assert "a date alone is its midnight, UTC, so that day does not count" in words
    assert "--key-usage NAME such as contentCommitment; without it any will do" in words


def test_a_bare_date_is_midnight(tmp_path: Path) -> None:
    made = Issuing(5)
    moments = [datetime(2020, 9, 28, tzinfo=UTC) + timedelta(seconds=shift) for shift in (-1, 0, 86_399, 86_400)]
    write_der(tmp_path / "a.der", [made.certificate(at) for at in moments])
    out = tmp_path / "out.jsonl"
    run_check(tmp_path / "a.der", "--issued-from", "2020-09-28", "--issued-to", "2020-09-29", "--out", out, "--all")
    verdicts = [row["verdict"] for row in rows_of(out)]
    assert verdicts == ["unaffected", "affected", "affected", "unaffected"]


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_pkcs7_as_others_write_it(encoding: Encoding, ders: list[bytes], tmp_path: Path) -> None:
    given = [x509.load_der_x509_certificate(der) for der in ders[:20]]
    octets = pkcs7.serialize_certificates(given, encoding)
    for name in ("a.p7b", "a"):
        (tmp_path / name).write_bytes(octets)
        run_check(tmp_path / name, *WINDOW, "--out", tmp_path / "out.jsonl", "--all")
        found = {(row["serial"], row["not_before"]) for row in rows_of(tmp_path / "out.jsonl")}
        assert found == {(f"{one.serial_number:x}", f"{one.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}") for one in given}
    (tmp_path / "a.p7b").write_bytes(octets[: len(octets) // 2])
    document, _ = run_check(tmp_path / "a.p7b", *WINDOW)
    assert document["unreadable"] == document["checked"] == 1


def test_the_kind_can_be_said(ders: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "dump.txt").write_bytes(b"# the directory\n# of last night\n" + b"x: y\n\n")
    WRITERS["a.ldif"](tmp_path / "more", ders[:3])
    (tmp_path / "dump.txt").write_bytes((tmp_path / "dump.txt").read_bytes() + (tmp_path / "more").read_bytes())
    document, _ = run_check(tmp_path / "dump.txt", *WINDOW, "--format", "ldif")
    assert document["checked"] == 3

"""The key relay through a real pcscd: the commands as anybody would give them, one after the other. The RA, which keeps
the key, is served over TLS; the card comes from the bureau; the person reads, types, takes out and puts in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from renewagent.card.pcsc import PcscReaders
from renewagent.cli import main
from renewagent_fixtures.mock_ra import Knobs, MockRa
from renewagent_fixtures.mock_ra.rows import RelayRow
from renewagent_fixtures.private_pcscd import PrivatePcscd
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.virtual_card import VirtualCard
from renewagent_fixtures.vpcd import VpcdLink
from tests.flows.desk import PIN, Desk, Done, Office, signs
from tests.flows.test_another_program import PUT_DATA, REFUSED, SELECT
from tests.flows.test_bad_input import ASKED, PASSCODE
from tests.pcsc import until

SUBJECT = "CN=Dr Ada Lamb,OU=Prescribers,O=Mock Hospital,C=GB"


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Office]:
    folder = tmp_path / "office"
    folder.mkdir()
    with MockRa(folder / "ra", knobs=Knobs(key_relay=True), tls=True) as ra:
        yield Office(folder, ra)


@pytest.fixture
def card(keeping: Office, tmp_path: Path) -> Iterator[VirtualCard]:
    secret, ra = tmp_path / "secret", keeping.ra
    secret.write_text(ra.secret)
    issued = f"{datetime.now(UTC) - timedelta(days=7):%Y-%m-%dT%H:%M:%SZ}"
    access = [
        "--ra",
        ra.url,
        "--ra-root",
        str(ra.root),
        "--ra-reference",
        ra.reference,
        "--ra-secret-file",
        str(secret),
    ]
    words = ["--subject", SUBJECT, "--key", "p256", "--issued", issued, "--management-key", "ra:aes256"]
    assert main(["virtual-card", "create", str(tmp_path / "card"), *access, *words]) == 0
    with VirtualCard.load(tmp_path / "card") as made:
        yield made


@pytest.fixture
def here(keeping: Office, tmp_path: Path, private_pcscd: PrivatePcscd) -> Iterator[Desk]:
    desk = Desk(tmp_path, keeping, VirtualReaders(()), "pcsc", env=private_pcscd.variables)
    desk.configure(card='readers = "pcsc"\nmanagement_key = "ra"')
    yield desk
    desk.close()


def writes(reader: str) -> bool:
    """Whether another program may write to the card now, before or after a SELECT."""
    with closing(PcscReaders().connect(reader)) as other:
        answers = [other.transmit(command) for command in (PUT_DATA, SELECT, PUT_DATA)]
    return not {answers[0], answers[2]} <= {REFUSED, b"\x6d\x00"}


def renewed(here: Desk, link: VpcdLink, reader: str) -> Done:
    """`renewagent renew`, with a person who does what it says."""
    talk = here.talk("renew")
    if talk.hear(ASKED, PASSCODE) == ASKED:  # the second time it goes on where it broke off
        talk.type("1")
        talk.hear(PASSCODE)
    talk.type(PIN)
    if talk.hear("Remove the smartcard ending ", "did not answer in time") == "did not answer in time":
        return talk.end()
    assert not writes(reader)
    link.remove()
    talk.hear("Put your smartcard back in")
    link.insert()
    talk.hear(PASSCODE)
    talk.type(PIN)
    return talk.end()


def test_with_the_commands_through_pcscd(
    keeping: Office, card: VirtualCard, here: Desk, private_pcscd: PrivatePcscd
) -> None:
    old, reader = card.certificate(0x9C), private_pcscd.reader_names[0]
    link = VpcdLink(card, private_pcscd.ports[0])
    link.insert()
    try:
        until(lambda: here.run("inspect", "--json").status == 0)
        keeping.ra.turn(Knobs(key_relay=True, relay_delay=2.0))
        slow = renewed(here, link, reader)
        assert slow.status == 1 and "The smartcard was closed to changes again." in slow.err
        assert card.certificate(0x9C) == old and not writes(reader)
        keeping.ra.turn(Knobs(key_relay=True))
        done = renewed(here, link, reader)
    finally:
        link.remove()
    assert done.status == 0, done.err
    assert card.certificate(0x9C) != old and signs(card)
    with keeping.ra.office.lock:
        rows = keeping.ra.office.store.find(RelayRow)
        assert keeping.ra.office.check_audit() is None
    assert {row.step for row in rows if row.state == "authenticated"} >= {"generate", "store"}
    key = card._memory.management.key
    for path in (*here.state.rglob("*"), *keeping.folder.rglob("ra.db*")):
        if path.is_file():
            assert key not in path.read_bytes() and key.hex().encode() not in path.read_bytes()

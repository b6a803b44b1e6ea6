"""One renewal by each way: wall time split into card, RA and ours, with exchanges and VERIFYs counted.

The card is in-process and answers at once; `--latency MS` adds a real card's time to each APDU. The RA is the mock one,
over HTTP on this machine. Times are of the renewal proper, in one process, without the interpreter's start and
without the person. With `--key-relay` the RA keeps the cards' management keys (docs/relay.md); compare with a run
without. `--json` prints one document.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from cryptography import x509

from renewagent.agent.campaigns import Accepted
from renewagent.agent.full_inspection import Inspector
from renewagent.agent.job import Workplace
from renewagent.agent.journal import Journal
from renewagent.agent.key_relay import KeyRelay
from renewagent.agent.ra_desk import RaDesk, utc_now
from renewagent.agent.renew_card import renew_card
from renewagent.campaign.pem import read_certificates
from renewagent.ra_transport import HttpRaTransport
from renewagent.rules import AffectedRule, Campaign, Contact
from renewagent_drivers import FactoryKey, KeptElsewhere, open_card
from renewagent_fixtures.mock_ra import Knobs, MockRa
from renewagent_fixtures.person import ScriptedPerson
from renewagent_fixtures.personalise import RaAccess, give_management_key, key_usage, personalise_with_ra
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.virtual_card import Latency, VirtualCard

READER = "Virtual reader 0"
VERIFY = 0x20
WAYS = {
    "A by kur": ("allowed", True, "plain"),
    "A by cr": ("allowed", False, "plain"),
    "B": ("required", False, "extended"),
    "D": ("required", False, "plain"),
}
T = TypeVar("T")
HEADING = "key      way       wall ms    card      RA    ours  APDUs  requests  VERIFYs"


class Stopwatch:
    """Seconds spent inside what it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started
            self.calls += 1

    def around(self, function: Callable[..., T]) -> Callable[..., T]:
        def timed(*given: Any, **named: Any) -> T:
            with self.running():
                return function(*given, **named)

        return timed


def one_renewal(folder: Path, ra: MockRa, key: str, way: str, latency: float, *, relayed: bool) -> dict[str, Any]:
    """Personalise a card, renew it by `way`, and say where the time went."""
    rekey, protects, profile = WAYS[way]
    card = VirtualCard.create(None, profile=profile)
    access = RaAccess(ra.url, ra.root, ra.reference, ra.secret.encode())
    holder = x509.Name.from_rfc4514_string("CN=Dr Bench,O=Mock Hospital,C=GB")
    personalise_with_ra(
        card,
        replace(access, subject=holder),
        key=key,
        issued=utc_now() - timedelta(days=10),
        now=utc_now,
        signing_usage=key_usage(digital_signature=protects, content_commitment=True),
    )
    if relayed:
        give_management_key(card, access, "aes192")
    card.latency = Latency(ms_per_apdu=latency)
    verifies = 0
    at_card, at_ra, at_person = Stopwatch(), Stopwatch(), Stopwatch()

    def count(reader: str, command: bytes, response: bytes) -> None:
        nonlocal verifies
        verifies += command[1] == VERIFY and len(command) > 5

    card.transmit = at_card.around(card.transmit)  # type: ignore[method-assign]
    readers = VirtualReaders([READER], on_exchange=count)
    readers.insert(READER, card)
    transport = HttpRaTransport(ra.url, ra.root)
    for name in ("exchange", "get_json", "post", "post_within"):
        setattr(transport, name, at_ra.around(getattr(transport, name)))
    person = ScriptedPerson(
        remove=at_person.around(lambda reader, _card: readers.remove(reader)),
        insert=at_person.around(lambda reader, _card: readers.insert(reader, card)),
    )
    desk = RaDesk(transport, tuple(read_certificates(ra.root)), f"{ra.origin}/sign-in", utc_now)
    relay = KeyRelay(transport, f"{ra.origin}/key-relay") if relayed else None
    key_source = KeptElsewhere(relay) if relayed else FactoryKey()
    opened = partial(open_card, management_key=key_source)
    campaign = _campaign(rekey)
    exchanges = card.apdus
    with Journal(folder / f"{key}-{way.replace(' ', '-')}-{time.monotonic_ns()}.db") as journal:
        place = Workplace(readers, opened, desk, journal, person, Contact(), key_relay=relay)  # type: ignore[arg-type]
        inspector = Inspector(opened, [campaign], (), desk.standing)
        started = time.perf_counter()
        outcome = renew_card(place, {campaign.id: Accepted(campaign, b"")}, inspector, READER)
        wall = time.perf_counter() - started - at_person.seconds
    if not (outcome["signed_in"] and outcome["receipt"] and outcome["way"] == way[0]):
        raise SystemExit(f"the renewal did not go as it should: {outcome}")
    return {
        "wall": wall,
        "card": at_card.seconds,
        "ra": at_ra.seconds,
        "ours": wall - at_card.seconds - at_ra.seconds,
        "apdus": card.apdus - exchanges,
        "ra_requests": at_ra.calls,
        "verifies": verifies,
    }


def _campaign(rekey: str) -> Campaign:
    now = datetime.now(UTC)
    rule = AffectedRule("bench", issued_to=now - timedelta(days=1), key_usage="any")
    made = Campaign("bench", 1, now, now + timedelta(days=1), {"en": "A bench."}, (rule,))
    return replace(made, rekey=rekey)  # type: ignore[arg-type]


def main() -> int:
    """Run, print a table or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="renewals of each kind; medians are shown (default 5)")
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds added to every APDU (default 0)")
    parser.add_argument("--key-relay", action="store_true", help="the RA keeps the management keys")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with (
        tempfile.TemporaryDirectory() as name,
        MockRa(Path(name) / "ra", knobs=Knobs(key_relay=options.key_relay)) as ra,
    ):
        for key in ("rsa2048", "p256"):
            for way in WAYS:
                runs = [
                    one_renewal(Path(name), ra, key, way, options.latency, relayed=options.key_relay)
                    for _ in range(options.rounds)
                ]
                rows.append(
                    {"key": key, "way": way, **{field: median(run[field] for run in runs) for field in runs[0]}}
                )
    if options.json:
        how = {"latency_ms": options.latency, "rounds": options.rounds, "key_relay": options.key_relay}
        print(json.dumps({**how, "renewals": rows}))
        return 0
    print(HEADING)
    for row in rows:
        times = " ".join(f"{row[field] * 1000:7.0f}" for field in ("wall", "card", "ra", "ours"))
        counts = f"{row['apdus']:6.0f} {row['ra_requests']:9.0f} {row['verifies']:8.0f}"
        print(f"{row['key']:8} {row['way']:9} {times} {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Campaigns, statements, names and traces."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from renewagent.campaign.document import campaign_to_json, parse_campaign
from renewagent.campaign.pem import read_signer
from renewagent.campaign.sign import sign_campaign
from renewagent.campaign.verify import verify_campaign
from renewagent.errors import CampaignError
from renewagent.names import canonical, format_name, parse_name
from renewagent.statements import Purpose, Statement
from renewagent_fixtures.insertion import NoAnswer, PulledOut
from renewagent_fixtures.traces import RecordingCard, ReplayCard, TraceError, compare, parse
from renewagent_fixtures.traces.secrets import plain
from renewagent_fixtures.virtual_card import VirtualCard
from tests.fuzz.mutation import change_elements, change_json
from tests.fuzz.target import Ready, Target
from tests.unit.campaign import authority, documents


def _campaign(octets: bytes) -> None:
    try:
        campaign = parse_campaign(octets)
    except CampaignError:
        return
    assert parse_campaign(campaign_to_json(campaign)) == campaign


def _campaign_seeds(folder: Path) -> Ready:
    short = b'{"id":"a","version":1,"published":"2020-10-01T14:50:00Z","expires":"2021-01-01T00:00:00Z",'
    short += b'"reason":{"en":"x"},"rules":[{"name":"b"}]}'
    return Ready(_campaign, (documents.octets(), documents.octets(withdrawn=True, rules=[]), short))


def _signed_campaign(folder: Path) -> Ready:
    root = authority.root()
    anchors = [root.certificate]
    below = root.issue("CA", authority.AUTHORITY)
    signers = [root.issue("Signer"), below.issue("Other signer", kind="rsa2048")]
    crls = [root.revoke()]

    def run(octets: bytes) -> None:
        try:
            verify_campaign(octets, anchors, authority.NOW, crls)
        except CampaignError:
            pass

    def signed(number: int, holder: authority.Holder) -> bytes:
        pem = holder.written(folder / f"{number}.pem", below.certificate)
        return sign_campaign(documents.octets(), read_signer(pem), authority.NOW)

    return Ready(run, tuple(signed(number, holder) for number, holder in enumerate(signers)))


def _statement(octets: bytes) -> None:
    try:
        statement = Statement.decode(octets)
    except ValueError:
        return
    assert statement.encode() == octets


def _statements(folder: Path) -> Ready:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    common = ("https://ra.example:8443", "chuid:00112233445566778899aabbccddeeff", "ab" * 32, at, "0f" * 16)
    made = [Statement(purpose, *common, old="cd" * 32, campaign="autumn/1").encode() for purpose in Purpose]
    return Ready(_statement, tuple(made))


def _name(octets: bytes) -> None:
    try:
        name = parse_name(octets.decode("utf-8", "surrogatepass"))
    except ValueError:  # UnicodeDecodeError is one
        return
    assert parse_name(format_name(name)) == name
    canonical(name)


_NAMES = (
    "CN=NHS Signing G2,O=nhs,C=GB",
    "CN=Dr Ada \\2C Example+SERIALNUMBER=12,OU=\\#1 People,2.5.4.12=Dr,DC=nhs, C = GB",
    "OID.1.2.840.113549.1.9.1=#1603612e62,CN=\\ \xc3\xa9\xe2\x82\xac\\20",
)


def _trace(octets: bytes) -> None:
    try:
        trace = parse(octets.decode())
    except (TraceError, UnicodeDecodeError):
        return
    assert parse(trace.text(timing=True)) == trace
    assert compare(trace, trace).same
    replay = ReplayCard(trace)
    for exchange in trace.exchanges:
        try:
            replay.transmit(plain(exchange.command))
        except (PulledOut, NoAnswer):
            pass


def _trace_seeds(folder: Path) -> Ready:
    recording = RecordingCard(VirtualCard.create(None, profile="extended"))
    recording.power_on()
    for command in ("00A4040005A000000308", "00CB3FFF055C035FC10220", "00C0000000", "0020008008313233343536FFFF"):
        recording.transmit(bytes.fromhex(command))
    text = recording.trace.text(timing=True)
    return Ready(_trace, (text.encode(), text.replace("< 9000", "< ! pulled out").encode()))


TARGETS = (
    Target("campaign", "the campaign document", _campaign_seeds, change=change_json),
    Target("signed-campaign", "a campaign inside CMS SignedData", _signed_campaign, 6000, change_elements),
    Target("statement", "what a card signs", _statements, 1024),
    Target("name", "distinguished names as text", lambda folder: Ready(_name, tuple(n.encode() for n in _NAMES)), 512),
    Target("trace", "a recorded conversation with a card, read, replayed and compared", _trace_seeds),
)

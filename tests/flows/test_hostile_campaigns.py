"""Campaigns that must not be believed, and servers that mean no good, against an agent that runs: the last good one
stays in force, the agent goes on, and `status` says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from renewagent import cms
from renewagent.agent.control import ask_agent
from renewagent.campaign.pem import Signer
from renewagent.campaign.sign import sign_campaign
from renewagent.cmp.private import CAMPAIGN_SIGNER
from renewagent.errors import AgentError
from renewagent_fixtures.readers import VirtualReaders
from renewagent_fixtures.relay_server import RelayServer
from tests.flows.hostile_site import HUGE, HostileSite, Manner, elsewhere, raw, serving, whole
from tests.flows.test_agent_process import READER, RunningAgent
from tests.pcsc import until
from tests.programs import run
from tests.unit.agent.place import NOW, Ca, Place, _usage, campaign_json, days_ago

CLOCK = Path(__file__).with_name("another_day.c")
SPARE = 4 * 1024
"""KiB that a hostile answer may cost the child beside a good one."""


class Agent(RunningAgent):
    """Asked for its status at its socket, which is quicker than the command."""

    def call(self, *words: str) -> tuple[int, Any, str]:
        if words != ("status",):
            return super().call(*words)
        try:
            return 0, ask_agent(self.place.folder / "run" / "renewagent", {"ask": "status"}), ""
        except AgentError as error:
            return 1, {}, error.message


@pytest.fixture
def site() -> Iterator[HostileSite]:
    with serving() as here:
        yield here


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def agent(place: Place, site: HostileSite, virtual_readers: VirtualReaders) -> Iterator[Agent]:
    """Polls `site` every second; an affected card is in its reader."""
    site.page = signed(place, version=1)
    with RelayServer(virtual_readers, place.folder / "readers.sock") as relay:
        place.configure(relay.where, campaign=from_urls(place, site.url))
        virtual_readers.insert(READER, place.ca.card(days_ago(7)))
        running = Agent(place)
        yield running
        running.close()


def from_urls(place: Place, *urls: str) -> str:
    return f'urls = {json.dumps(urls)}\nanchor = "{place.anchor}"'


def signed(place: Place, signer: Signer | None = None, **document: Any) -> bytes:
    """Also what `campaign sign` would refuse to sign."""
    by = signer or place.signer
    return cms.sign(campaign_json(**document), by.certificate, by.key, by.chain)


def signer(ca: Ca, *, start: float = 10, lasts: int | None = None, purpose: x509.ObjectIdentifier) -> Signer:
    """Somebody's certificate below `ca`, issued `start` days ago."""
    key = ec.generate_private_key(ec.SECP256R1())
    extensions = (_usage("digital_signature", "content_commitment"), x509.ExtendedKeyUsage([purpose]))
    return Signer(key, ca.issue("CN=Dr Ada Lamb", key.public_key(), days_ago(start), *extensions))


def campaigns(agent: Agent) -> dict[str, Any]:
    found: dict[str, Any] = agent.call("status")[1]["campaigns"]
    return found


def versions(agent: Agent) -> dict[str, int]:
    return {one["id"]: one["version"] for one in campaigns(agent)["accepted"]}


def documents(place: Place) -> dict[str, tuple[Manner, str]]:
    """What is published instead of the campaign, and what status says of it. All but the last two are signed with
    care, and say version 9."""
    tampered = signed(place, version=9).replace(b"bad week", b"all week")
    return {
        "tampered with": (whole(tampered), "is not correctly signed"),
        "rolled back": (whole(signed(place, version=1)), "This is version 1 of campaign test-batch, but version 2"),
        "by a signer of tomorrow": (
            whole(signed(place, signer(place.ca, start=-1, purpose=CAMPAIGN_SIGNER), version=9)),
            "signs this campaign is not valid before",
        ),
        "by a signer of long ago": (
            whole(signed(place, signer(place.ca, start=1200, purpose=CAMPAIGN_SIGNER), version=9)),
            "signs this campaign expired on",
        ),
        "by a prescriber under the same root": (
            whole(signed(place, signer(place.ca, purpose=ExtendedKeyUsageOID.CLIENT_AUTH), version=9)),
            "is not one for signing campaigns",
        ),
        "under another root": (
            whole(signed(place, Ca().campaign_signer(), version=9)),
            "does not lead to the anchor",
        ),
        "with an unknown field": (whole(signed(place, version=9, colour="red")), "colour is not a known field"),
        "a mebibyte of it": (
            whole(signed(place, version=9, reason={"en": "R.", "x-more": "x" * 2**20})),
            "This signed campaign is larger than 320 KiB.",
        ),
        "not signed": (whole(campaign_json(version=9)), "is not correctly signed"),
        "something else": (whole(b"<!doctype html><title>Welcome</title>"), "is not correctly signed"),
        "nothing": (whole(b""), "is not correctly signed"),
    }


def servers(site: HostileSite, other: HostileSite) -> dict[str, tuple[Manner, str]]:
    """How a server misbehaves."""
    return {
        "100 MB": (site.huge, "This signed campaign is larger than 320 KiB."),
        "chunks without end": (site.endless, "This signed campaign is larger than 320 KiB."),
        "packed": (site.bomb, "the server sends it compressed"),
        "cut short": (site.truncated, "what came back is cut short"),
        "round and round": (elsewhere("/autumn.campaign"), "the server sends us round and round"),
        "to a file": (elsewhere("file:///etc/passwd"), "the server sends us somewhere else"),
        "to another host": (elsewhere(other.url), "the server sends us somewhere else"),
        "to nowhere": (elsewhere("http://[::1"), "the server sends us somewhere else"),
        "an error": (whole(b"", status=500), "the server answered 500"),
        "not there": (whole(b"", status=404), "the server answered 404"),
        "no HTTP": (raw(b"\x16\x03\x01\x00\x05hello\r\n\r\n"), "or no HTTP"),
        "a header without end": (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000), "or no HTTP"),
        "headers by the thousand": (raw(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 2000 + b"\r\n"), "or no HTTP"),
    }


def test_the_last_good_one_stays_in_force_through_all_of_it(agent: Agent, place: Place, site: HostileSite) -> None:
    """One agent, from one hostility to the next; between them the server is itself again."""
    agent.start()
    until(lambda: agent.verdict() == "AFFECTED")
    site.page = signed(place, version=2)
    until(lambda: versions(agent) == {"test-batch": 2})
    assert agent.process is not None
    with serving() as other:
        other.page = signed(place, version=9)
        for what, (manner, said) in {**documents(place), **servers(site, other)}.items():
            site.manner = manner
            until(lambda: campaigns(agent)["problem"], 20)
            now = campaigns(agent)
            assert said in now["problem"], what
            assert [(one["id"], one["version"]) for one in now["accepted"]] == [("test-batch", 2)], what
            assert agent.verdict() == "AFFECTED", what
            assert agent.process.poll() is None
            site.manner = None
            until(lambda: campaigns(agent)["problem"] is None, 20)
        assert other.asked == []
    logged = agent.logged()
    assert "campaigns.problem" in logged
    assert "but version 2 has been published before" in logged
    assert "Traceback" not in logged
    site.page = signed(place, version=10)
    until(lambda: versions(agent) == {"test-batch": 10})


def test_a_server_that_drips_holds_nobody_up_for_long(agent: Agent, place: Place, site: HostileSite) -> None:
    """Neither by its headers nor by its body; and another source is asked all the same."""
    with serving() as other, serving() as good:
        good.page = signed(place, version=1, id="other")
        urls = [site.url, other.url, good.url]
        place.configure(_readers(place), campaign=from_urls(place, *urls))
        other.page = signed(place, version=1, id="slow")
        agent.start()
        until(lambda: versions(agent) == {"test-batch": 1, "slow": 1, "other": 1}, 20)
        site.manner, other.manner = site.dripping_headers, other.dripping
        began = time.monotonic()
        good.page = signed(place, version=2, id="other")
        until(lambda: versions(agent) == {"test-batch": 1, "slow": 1, "other": 2}, 60)
        assert campaigns(agent)["problem"].count("the server is too slow") == 2
        assert time.monotonic() - began < 50
        assert agent.verdict() == "AFFECTED"


@pytest.mark.parametrize("what", ["100 MB", "chunks without end", "packed", "a header without end"])
def test_what_it_costs_is_bounded(agent: Agent, place: Place, site: HostileSite, what: str) -> None:
    """The very child that the agent starts for a poll, its memory and time as the kernel counts them."""
    good, _, found = child(place)
    assert found["problem"] is None
    site.manner, said = servers(site, site)[what]
    peak, seconds, found = child(place)
    assert said in found["problem"]
    assert peak - good < SPARE, f"{peak} KiB, a good one {good}"
    assert seconds < 10
    assert site.sent < HUGE / 4


def child(place: Place) -> tuple[int, float, dict[str, Any]]:
    """Peak RSS in KiB, seconds, and what it handed over."""
    module = "renewagent.agent.console_child"
    (place.state / "polls.json").unlink(missing_ok=True)
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, "--config", str(place.config)],
        env=place.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    with process.stdout:
        said = json.loads(process.stdout.read())
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss, time.monotonic() - started, said


def _readers(place: Place) -> str:
    return f"unix:{place.folder / 'readers.sock'}"


# -- not hostile: several, expired, paused, offline --------------------------------------------------------------------


def test_several_campaigns_at_once(agent: Agent, place: Place, site: HostileSite) -> None:
    """The earliest deadline of those that hit is told; one that goes bad disturbs no other."""
    with ExitStack() as stack:
        soon, late, paused = (stack.enter_context(serving()) for _ in range(3))
        day = timedelta(days=1)
        soon.page = signed(place, id="soon", deadline=text(NOW + day), remedy="see-ra")
        late.page = signed(place, id="late", deadline=text(NOW + 9 * day))
        paused.page = signed(place, id="paused", deadline=text(NOW), paused=True)
        urls = [site.url, late.url, paused.url, soon.url]
        place.configure(_readers(place), campaign=from_urls(place, *urls))
        agent.start()
        until(lambda: agent.verdict() == "AFFECTED")
        assert versions(agent) == {"test-batch": 1, "soon": 1, "late": 1, "paused": 1}
        assert agent.reader()["card"]["campaign"] == "soon"
        assert "See your Registration Authority" in agent.reader()["message"]
        soon.manner = whole(signed(place, id="soon", version=2, colour="red"))
        until(lambda: campaigns(agent)["problem"])
        assert agent.reader()["card"]["campaign"] == "soon"
        soon.manner, soon.page = None, signed(place, id="soon", version=2, withdrawn=True)
        until(lambda: agent.reader()["card"]["campaign"] == "late")


def text(at: Any) -> str:
    return str(at.strftime("%Y-%m-%dT%H:%M:%SZ"))


def test_paused_and_going_on_again(agent: Agent, place: Place, site: HostileSite) -> None:
    agent.start()
    until(lambda: agent.verdict() == "AFFECTED")
    site.page = signed(place, version=2, paused=True)
    until(lambda: agent.verdict() == "UNAFFECTED")
    assert "The Registration Authority has paused its notice" in agent.reader()["message"]
    said = subprocess.run(
        [sys.executable, "-m", "renewagent", "status", "--config", str(place.config)],
        env=place.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "test-batch (version 2, paused)" in said.stderr
    told = agent.logged().count("person.not_told")  # nobody has a screen here
    site.page = signed(place, version=3)
    until(lambda: agent.verdict() == "AFFECTED")
    until(lambda: agent.logged().count("person.not_told") == told + 1)


def test_a_newer_version_that_is_over_when_it_arrives_ends_the_campaign(
    agent: Agent, place: Place, site: HostileSite
) -> None:
    """It is what the manager said last. Keeping the older one in force would be to go on against their word."""
    agent.start()
    until(lambda: agent.verdict() == "AFFECTED")
    site.page = signed(place, version=2, published=text(days_ago(3)), expires=text(days_ago(1)))
    until(lambda: agent.verdict() == "UNAFFECTED")
    assert "expired on" in agent.reader()["card"]["reason"]
    assert campaigns(agent)["problem"] is None


def test_offline_for_weeks_is_normal(place: Place, site: HostileSite, virtual_readers: VirtualReaders) -> None:
    """The computer is switched on again, five weeks later, where there is no network; and once more after the end."""
    library = place.folder / "another_day.so"
    run("gcc", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", library, CLOCK, "-ldl")
    site.page = signed(place, version=3)
    virtual_readers.insert(READER, place.ca.card(days_ago(7)))
    with RelayServer(virtual_readers, place.folder / "readers.sock") as relay:
        place.configure(relay.where, campaign=from_urls(place, site.url))
        with closing(Agent(place, {"LD_PRELOAD": str(library)})) as agent:
            agent.start()
            until(lambda: agent.verdict() == "AFFECTED")
            assert agent.stop() == 0
            site.manner = raw(b"")
            agent.env["RENEWAGENT_ANOTHER_DAY"] = "35"
            agent.start()
            until(lambda: campaigns(agent)["problem"] and agent.verdict() == "AFFECTED")
            found = campaigns(agent)
            assert "could not be fetched" in found["problem"]
            assert [one["version"] for one in found["accepted"]] == [3]
            assert agent.stop() == 0
            agent.env["RENEWAGENT_ANOTHER_DAY"] = "100"
            agent.start()
            until(lambda: agent.verdict() == "UNAFFECTED")
            assert "expired on" in agent.reader()["card"]["reason"]


def test_what_is_signed_by_the_rules_is_what_is_believed(place: Place) -> None:
    """The helper above signs what `sign_campaign` would; it only refuses less."""
    ours = cms.open_signed(signed(place))
    assert ours.content == cms.open_signed(sign_campaign(campaign_json(), place.signer, NOW)).content

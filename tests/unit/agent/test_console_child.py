"""One poll: campaigns and console in one child, each left alone while it fails; a rollback is reported once."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.agent.console_child import main, poll
from renewagent.configuration import AgentSettings, CampaignSettings, Configuration, ConsoleSettings, load
from tests.unit.agent.agents_server import AgentsServer
from tests.unit.agent.place import Place, campaign_json


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Web(http.server.ThreadingHTTPServer):
    """A static server of one folder, which can be too busy."""

    def __init__(self, folder: Path) -> None:
        self.asked = 0
        self.busy: int | None = None
        web = self

        class Handler(Quiet):
            def do_GET(self) -> None:
                web.asked += 1
                if web.busy is None:
                    return super().do_GET()
                self.send_response(503)
                self.send_header("Retry-After", str(web.busy))
                self.end_headers()

        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def web(place: Place) -> Iterator[Web]:
    with Web(place.folder) as web:
        yield web
        web.shutdown()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AgentsServer]:
    with AgentsServer(tmp_path).running() as server:
        yield server


def now() -> datetime:
    return datetime.now(UTC)


def configured(place: Place, web: Web, server: AgentsServer | None = None) -> Configuration:
    url = f"http://127.0.0.1:{web.server_address[1]}/{place.campaign.name}"
    console = ConsoleSettings(server.url, "code", server.root) if server else ConsoleSettings()
    return Configuration(
        campaign=CampaignSettings((url,), place.anchor), console=console, agent=AgentSettings(place.state)
    )


def test_campaigns_and_console_in_one(place: Place, web: Web, server: AgentsServer) -> None:
    place.publish(campaign_json())
    server.orders = ["0" * 32]
    said = poll(configured(place, web, server), now())
    assert said == {"ok": True, "problem": None, "orders": ("0" * 32,), "poll": 300, "rest": None}
    assert len(list((place.state / "campaigns").glob("*.json"))) == 1


def test_a_busy_server_of_campaigns_is_left_alone_and_the_last_good_one_serves(
    place: Place, web: Web, server: AgentsServer
) -> None:
    place.publish(campaign_json())
    configuration = configured(place, web, server)
    poll(configuration, now())
    web.busy = 900
    said = poll(configuration, now())
    assert "the server is busy" in said["problem"] and said["rest"] is None  # the console is asked as usual
    asked = web.asked
    again = poll(configuration, now() + timedelta(seconds=800))
    assert web.asked == asked and again["problem"] == said["problem"]
    assert len(list((place.state / "campaigns").glob("*.json"))) == 1
    web.busy = None
    assert poll(configuration, now() + timedelta(seconds=901))["problem"] is None
    assert web.asked == asked + 1
    assert server.paths().count("orders") == 4


def test_there_is_nobody_to_ask_while_all_fail(place: Place, web: Web, server: AgentsServer) -> None:
    configuration = configured(place, web, server)
    web.busy = 900
    server.say("enrol", 503, Retry_After="600")
    said = poll(configuration, now())
    assert 598 < said["rest"] <= 600


def test_a_file_that_is_missing_is_looked_for_at_every_poll(place: Place, web: Web) -> None:
    local = CampaignSettings((str(place.campaign),), place.anchor)
    configuration = replace(configured(place, web), campaign=local)
    assert "cannot be read" in poll(configuration, now())["problem"]
    place.publish(campaign_json())
    assert poll(configuration, now())["problem"] is None


def test_a_campaign_that_is_rolled_back_is_reported_once(place: Place, web: Web, server: AgentsServer) -> None:
    configuration = configured(place, web, server)
    place.publish(campaign_json(version=2))
    poll(configuration, now())
    place.publish(campaign_json(version=1))
    for _ in range(3):
        assert "version 2 has been published before" in poll(configuration, now())["problem"]
    (said,) = server.taken.values()
    assert (said["card"], said["state"], "campaign" in said) == ("-", "refused", False)
    assert said["why"].startswith("RA-CAMPAIGN-ROLLBACK: This is version 1 of campaign test-batch")
    assert len(CheckInQueue(place.state)) == 0


def test_the_child_prints_one_document_whatever_happens(
    place: Place, server: AgentsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    place.publish(campaign_json())
    console = f'url = "{server.url}"\nroot = "{server.root}"\nenrolment = "code"'
    place.configure("pcsc", console=console)
    assert load(place.config).console.stream is False
    said: dict[str, Any] = {"ok": True, "problem": None, "orders": [], "poll": 300, "rest": None}
    assert main(["--config", str(place.config)]) == 0
    assert json.loads(capsys.readouterr().out) == said
    place.campaign.unlink()
    assert main(["--config", str(place.config), "--deliver"]) == 0
    assert json.loads(capsys.readouterr().out) == said  # no campaign was asked for
    place.config.write_text("nonsense")
    assert main(["--config", str(place.config)]) == 0
    assert "not valid TOML" in json.loads(capsys.readouterr().out)["problem"]

"""A visit to the console: enrolment, certificates, deliveries, and every way in which it can go wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from renewagent.agent.agent_number import agent_number
from renewagent.agent.check_in_queue import CheckInQueue
from renewagent.agent.console_status import CONSOLE, console_lines, console_status
from renewagent.agent.console_visit import NOTHING, Visit, visit
from renewagent.agent.locks import exclusive
from renewagent.agent.poll_patience import Asked, PollPatience
from renewagent.check_ins import CardState, CheckIn
from renewagent.configuration import AgentSettings, Configuration, ConsoleSettings
from tests.unit.agent.agents_server import DAY, AgentsServer

ORDER = "0123456789abcdef" * 2


def claim(number: int) -> CheckIn:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    return CheckIn(f"{number:032x}", at, f"chuid:{number:032x}", CardState.CLEAR, campaign="autumn/1")


@dataclass
class Workstation:
    """What visits need, and how the last one went."""

    server: AgentsServer
    state: Path
    settings: ConsoleSettings = field(init=False)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.settings = ConsoleSettings(self.server.url, "let-us-in", self.server.root, machine="Ward 7")
        self.queue = CheckInQueue(self.state)

    def visit(self) -> Visit:
        patience = PollPatience(self.state, 300, lambda: 1.0)
        found = visit(self.settings, self.state, patience, self.now)
        patience.save()
        return found

    def again(self) -> Visit:
        """When the patience is over."""
        self.now = self.asked.until or self.now
        return self.visit()

    @property
    def asked(self) -> Asked:
        return PollPatience(self.state, 300, lambda: 1.0).of(CONSOLE)

    def key(self) -> bytes:
        return (self.state / "console" / "agent.key").read_bytes()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Workstation]:
    (tmp_path / "state").mkdir()
    with AgentsServer(tmp_path).running() as server:
        yield Workstation(server, tmp_path / "state")


def test_the_first_visit_enrols_and_the_next_ones_show_the_certificate(here: Workstation) -> None:
    here.server.orders = [ORDER, "nonsense"]
    assert here.visit() == Visit((ORDER,), 300)
    assert here.visit() == Visit((ORDER,), 300)
    (_, nobody, asked), *others = here.server.heard
    assert here.server.paths() == ["enrol", "orders", "orders"]
    assert nobody == "" and {agent for _, agent, _ in others} == here.server.known
    assert (asked["code"], asked["machine"], asked["account"]) == ("let-us-in", "Ward 7", agent_number(here.state))
    assert asked.keys() == {"code", "machine", "account", "csr", "version"}
    assert here.key().startswith(b"-----BEGIN PRIVATE KEY") and here.key().decode() not in json.dumps(asked)
    assert (here.state / "console" / "agent.key").stat().st_mode & 0o777 == 0o600


def test_what_is_queued_is_handed_over_a_hundred_at_a_time_and_leaves(here: Workstation) -> None:
    for number in range(230):
        here.queue.add(claim(number))
    assert here.visit().poll == 300
    batches = [document["check_ins"] for path, _, document in here.server.heard if path.endswith("check-ins")]
    assert [len(batch) for batch in batches] == [100, 100, 30]
    assert [CheckIn.from_json(one) for batch in batches for one in batch] == [claim(number) for number in range(230)]
    assert len(here.queue) == 0
    assert here.asked.reported == here.now


def test_a_delivery_whose_answer_is_lost_is_made_again(here: Workstation) -> None:
    here.queue.add(claim(1))
    here.server.say("check-ins", 200, b"cut sho")
    assert here.visit() == NOTHING
    assert "makes no sense" in here.asked.problem and len(here.queue) == 1
    here.again()
    assert [
        document["check_ins"][0]["id"] for path, _, document in here.server.heard if path.endswith("check-ins")
    ] == [claim(1).id] * 2
    assert (here.asked.problem, len(here.queue)) == ("", 0)


def test_what_the_console_refuses_leaves_the_queue_and_is_logged(
    here: Workstation, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        here.queue.add(claim(number))
    refused = [{"id": claim(1).id, "why": "no such campaign"}, {"id": 7}, "nonsense"]
    here.server.say("check-ins", 200, {"accepted": [claim(2).id, 9], "refused": refused, "orders": "x", "poll": True})
    assert here.visit() == NOTHING
    assert len(here.queue) == 0
    assert "check_in.refused" in caplog.text and "no such campaign" in caplog.text


def test_a_console_that_takes_nothing_in_is_not_asked_on_and_on(here: Workstation) -> None:
    here.queue.add(claim(1))
    here.server.say("check-ins", 200, {"accepted": [], "refused": []})
    here.visit()
    assert here.asked.problem == "The console takes no reports in."
    assert here.server.paths() == ["enrol", "check-ins"]


def test_offline_is_normal_and_everything_waits(here: Workstation) -> None:
    here.settings = ConsoleSettings("https://127.0.0.1:1", "let-us-in", here.server.root)
    here.queue.add(claim(1))
    waits = []
    for _ in range(7):
        assert here.again() == NOTHING
        assert here.asked.problem == "The console cannot be reached."
        waits.append(round((here.asked.until - here.now).total_seconds()) if here.asked.until else 0)
    assert waits == [600, 1200, 2400, 3600, 3600, 3600, 3600]
    here.settings = ConsoleSettings(here.server.url, "let-us-in", here.server.root)
    assert here.visit() == NOTHING and here.server.heard == []  # it rests
    here.again()
    assert (here.asked.failures, here.asked.until, len(here.queue)) == (0, None, 0)


@pytest.mark.parametrize("path", ["enrol", "orders"])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(here: Workstation, path: str, status: int) -> None:
    here.server.say(path, status, Retry_After="1234")
    here.visit()
    assert here.asked.until == here.now + timedelta(seconds=1234)
    before = len(here.server.heard)
    here.now += timedelta(seconds=1233)
    here.visit()
    assert len(here.server.heard) == before
    here.again()
    assert here.asked.problem == ""


def test_nobody_puts_us_off_for_weeks(here: Workstation) -> None:
    here.server.say("enrol", 503, Retry_After="99999999")
    here.visit()
    assert here.asked.until == here.now + timedelta(days=1)


def test_a_code_that_is_not_good_is_tried_again_with_patience(here: Workstation) -> None:
    for _ in range(3):
        here.server.say("enrol", 403)
        here.again()
    assert here.server.paths() == ["enrol"] * 3
    assert here.asked.failures == 3 and "does not accept this computer" in here.asked.problem
    here.again()
    assert here.server.paths() == ["enrol"] * 4 + ["orders"]


def test_an_agent_that_was_revoked_enrols_anew_with_another_key(here: Workstation) -> None:
    here.visit()
    first = here.key()
    here.queue.add(claim(1))
    here.server.known.clear()
    here.visit()
    assert here.server.paths() == ["enrol", "orders", "check-ins", "enrol", "check-ins"]
    assert here.key() != first and len(here.queue) == 0


def test_an_agent_that_was_revoked_and_whose_code_has_ended_stays_out(here: Workstation) -> None:
    here.visit()
    here.queue.add(claim(1))
    here.server.known.clear()
    for _ in range(5):
        here.server.say("enrol", 403)
        here.again()
    assert here.server.paths()[2:] == ["check-ins"] + ["enrol"] * 5
    assert len(here.queue) == 1


def test_a_lost_answer_to_the_enrolment_leaves_us_the_same_agent(here: Workstation) -> None:
    here.server.say("enrol", 200, b"")
    here.visit()
    here.again()
    requests = [document["csr"] for path, _, document in here.server.heard if path.endswith("enrol")]
    assert len(requests) == 2 and len(here.server.known) == 1
    assert public_key(requests[0]) == public_key(requests[1])


def public_key(request: str) -> object:
    from cryptography import x509

    return x509.load_pem_x509_csr(request.encode()).public_key()


def test_the_certificate_is_renewed_in_time_and_the_agent_stays_the_same(here: Workstation) -> None:
    here.visit()
    before = (here.state / "console" / "agent.pem").read_bytes()
    here.now += 63 * DAY
    here.visit()
    assert here.server.paths() == ["enrol", "orders", "certificate", "orders"]
    assert len(here.server.known) == 1
    assert (here.state / "console" / "agent.pem").read_bytes() != before


def test_a_certificate_that_is_not_renewed_today_serves_on(here: Workstation) -> None:
    here.visit()
    here.now += 63 * DAY
    here.server.say("certificate", 503, Retry_After="60")
    assert here.visit().poll == 300
    assert here.server.paths()[2:] == ["certificate", "orders"]


def test_a_certificate_that_has_run_out_is_replaced_by_enrolling_with_the_same_key(here: Workstation) -> None:
    here.server.lasts, here.server.begun = 2 * DAY, DAY
    here.visit()
    key = here.key()
    here.server.lasts = 90 * DAY
    here.now += 1 * DAY + timedelta(minutes=1)
    here.visit()
    assert here.server.paths() == ["enrol", "orders", "enrol", "orders"]
    assert here.key() == key and len(here.server.known) == 1


@pytest.mark.parametrize("answer", [{}, {"certificate": "nonsense"}, {"certificate": 7, "renew_after": []}])
def test_a_certificate_that_makes_no_sense_is_not_kept(here: Workstation, answer: dict[str, object]) -> None:
    here.server.say("enrol", 200, answer)
    here.visit()
    assert here.asked.problem == "The console gave a certificate that makes no sense."
    assert not (here.state / "console" / "agent.pem").exists()


def test_a_console_that_nobody_vouches_for_hears_nothing(here: Workstation) -> None:
    here.settings = ConsoleSettings(here.server.url, "let-us-in")
    here.visit()
    assert "could not be verified" in here.asked.problem
    assert here.server.heard == []


def test_a_damaged_key_is_replaced(here: Workstation) -> None:
    here.visit()
    (here.state / "console" / "agent.key").write_bytes(b"torn")
    here.visit()
    assert here.server.paths() == ["enrol", "orders", "enrol", "orders"]


def test_the_code_may_stand_in_a_file_and_a_missing_one_is_told(here: Workstation, tmp_path: Path) -> None:
    file = tmp_path / "fleet.code"
    here.settings = ConsoleSettings(here.server.url, file, here.server.root)
    here.visit()
    assert here.asked.problem == f"The code in {file} cannot be read."
    file.write_text("from-a-file\n")
    here.visit()
    assert here.server.heard[0][2]["code"] == "from-a-file"
    here.settings = ConsoleSettings(here.server.url, None, here.server.root)
    assert here.visit() != NOTHING  # enrolled: the code is not needed any more


def test_no_console_no_visit(here: Workstation) -> None:
    here.settings = ConsoleSettings()
    assert here.visit() == NOTHING and list(here.state.glob("console*")) == []


def test_one_at_a_time(here: Workstation) -> None:
    with exclusive(here.state / "console.lock", 1):
        assert here.visit() == NOTHING
    assert here.server.heard == [] and here.asked == Asked()
    here.visit()
    assert here.server.heard


@pytest.mark.parametrize(("said", "heard"), [(7, 7), (0, None), (10**9, 3600), ("60", None), (-1, 1), (None, None)])
def test_how_often_to_come_is_the_consoles_to_say_within_reason(here: Workstation, said: object, heard: object) -> None:
    here.server.poll = said
    assert here.visit().poll == heard


def test_status_tells_how_it_stands_with_the_console(here: Workstation) -> None:
    configuration = Configuration(console=here.settings, agent=AgentSettings(state_dir=here.state))

    def told() -> tuple[dict[str, object] | None, list[str]]:
        document = console_status(configuration)
        return document, list(console_lines(document, datetime.now().astimezone()))

    assert told()[1] == ["The Registration Authority's console does not know this computer yet."]
    here.visit()
    assert told()[1] == ["The Registration Authority's console knows this computer, and was told nothing yet."]
    here.queue.add(claim(1))
    here.visit()
    for number in (2, 3):
        here.queue.add(claim(number))
    here.server.say("check-ins", 503, Retry_After="600")
    here.visit()
    document, lines = told()
    reported = here.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    problem = "The console is busy (HTTP 503)."
    assert document == {"enrolled": True, "reported": reported, "queued": 2, "problem": problem}
    assert lines[0].startswith("The Registration Authority's console was last told something today at ")
    assert lines[1:] == ["2 reports wait for it.", problem]
    assert console_status(Configuration()) is None and list(console_lines(None, here.now)) == []

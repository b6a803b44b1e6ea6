"""`token`, `softtoken` and `epcs` as scripts run them, against the real console with a mock vendor and a mock EHR: the
whole way of every command, and that nobody gets further than they may."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.epcs_world import PRESCRIBERS, TOKENS, Story, npi, story
from tests.flows.desk import PIN, READER, Conversation, Desk, Done, Office, desk, office
from tests.flows.test_epcs_guided import png
from tests.pcsc import until


@pytest.fixture(scope="module")
def ra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office(tmp_path_factory.mktemp("office")) as one:
        yield one


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, ra: Office) -> Iterator[Story]:
    with story(tmp_path_factory.mktemp("epcs"), ra) as one:
        yield one


def test_nobody_comes_in_with_another_password(here: Story) -> None:
    words = here.words("adams", "token", "show")
    (here.folder / "password of adams").write_text("guessed\n")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["message"] == "Nobody is signed in with that user name and password."
    assert "guessed" not in done.stderr + done.stdout


def test_a_password_from_standard_input(here: Story) -> None:
    words = here.words("adams", "token", "show")
    words[words.index("--password-file") + 1] = "-"
    typed = f"{here.world.password('adams')}\n"
    done = subprocess.run(words, input=typed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_token_at_both_edges(here: Story) -> None:
    """75 presses that were not used are put right; 76 are the vendor's, and before a ticket come two codes."""
    serial, form = TOKENS[0], here.folder / "reset.json"
    here.register("adams", serial)
    done = here.run("adams", "token", "resync", "--back", serial, "--code-file", here.codes(serial, lost=75))
    assert done.document["drift"] == 75 and "Your token was 75 presses ahead." in done.err
    file = here.codes(serial, lost=76)
    first, second = file.read_text().split()
    filled = {"provider": "Adams Example", "npi": npi(2), "serial": serial, "first": first, "second": second}
    form.write_text(json.dumps(filled))
    done = here.run("adams", "token", "reset", "--form", form, status=1)
    assert "codes" in done.err and done.document["error"]["code"].startswith("RA-")  # nobody has tried two codes
    done = here.run("adams", "token", "resync", "--back", serial, "--code-file", file, status=1)
    assert done.document["error"]["code"] == "RA-TOKEN-REFUSED"
    done = here.run("adams", "token", "reset", "--form", form)
    assert done.document["ticket"]["state"] == "sent"
    number = done.document["ticket"]["number"]
    here.world.vendor.work_ticket(number)
    until(lambda: "was done by the vendor" in here.run("adams", "token", "show").err, 60)
    shown = here.run("adams", "token", "show")
    assert shown.document["tickets"][0]["state"] == "notified"
    done = here.run("adams", "token", "resync", "--back", serial, "--code-file", here.codes(serial))
    assert done.document["drift"] == 0


def test_another_serial_and_another_person(here: Story) -> None:
    mine, other = TOKENS[1], TOKENS[2]
    here.register("baker", mine)
    done = here.run("baker", "token", "resync", "--back", other, "--code-file", here.codes(mine), status=1)
    assert f"The token that is registered is {mine}; the one in your hand is {other}." in done.err
    done = here.run("clark", "token", "show", "--for", "baker", status=1)
    assert "your role lets you see and do your own things alone" in done.err
    done = here.run("clark", "token", "lost", mine, "--reason", "lost", "--for", "baker", status=1)
    assert here.run("hale", "token", "show", "--for", "baker").document["tokens"][0]["state"] == "active"


def test_a_broken_token_is_replaced_and_a_lost_one_disabled(here: Story) -> None:
    serial = TOKENS[3]
    here.register("clark", serial)
    form = here.folder / "replace.toml"
    lines = {"provider": "Clark Example", "email": "clark@clinic.example", "serial": serial, "cause": "flaw"}
    lines |= {"explanation": "Blank.", "company": "Clinic", "attention": "Clark", "street1": "1 High Street"}
    lines |= {"suite": "200", "city": "Springfield", "state": "IL", "postal_code": "62704", "country": "US"}
    lines |= {"phone": "217 555 0100", "tracking_email": "clark@clinic.example"}
    text = "".join(f'{name} = "{value}"\n' for name, value in lines.items())
    form.write_text(f'{text}[pictures]\nfront = "front.png"\n')
    png(here.folder / "front.png")
    done = here.run("clark", "token", "replace", "--form", form, status=1)
    assert "A picture of the back of the token is missing." in done.err
    back = png(here.folder / "back.png")
    done = here.run("clark", "token", "replace", "--form", form, "--picture-back", back)
    assert done.document["ticket"]["state"] == "sent"
    assert "Taken out of the picture of the back:" in done.err
    done = here.run("clark", "token", "lost", serial, "--reason", "stolen", "--for", "clark")
    assert f"The token {serial} is disabled. It never works again." in done.err
    assert here.world.vendor.standing(serial).state.value in ("lost", "deactivated")
    done = here.run("clark", "token", "resync", "--back", serial, "--code-file", here.codes(serial), status=1)
    done = here.run("clark", "token", "explain", "--serial", serial)
    assert done.document["ending"]["name"] == "is-over"


def granted(here: Story, user: str) -> bool:
    return here.world.ehr.access(user).epcs_granted


def entered(here: Story, user: str, command: str = "request") -> str:
    said = here.run("hale", "epcs", command, "--for", user, "--reason", "New in the practice.")
    return str(said.document["request"]["id"])


@pytest.fixture
def reader(tmp_path: Path, ra: Office) -> Iterator[Desk]:
    with desk(tmp_path, ra) as one:
        one.insert()
        yield one


def by_card(here: Story, at: Desk, request: str, *more: str, status: int = 0) -> Done:
    words = ("epcs", "approve", request, "--card", "--yes", "--config", at.config, *more)
    return here.run("reed", *words, typed=f"{PIN}\n", status=status)


def test_two_people_and_a_card_grant_epcs(here: Story, reader: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    tape: list[bytes] = []
    monkeypatch.setattr(reader.readers, "_on_exchange", lambda name, command, response: tape.append(command))
    request = entered(here, "davis")
    done = here.run("hale", "epcs", "approve", request, "--card", "--yes", status=1)
    assert "(EPCS administrator) does not let you" in done.err or "Only a DEA registrant" in done.err
    assert not granted(here, "davis")
    done = by_card(here, reader, request)
    assert done.err.index("Let Davis sign prescriptions of controlled substances") < done.err.index("You have 3 tries")
    assert f"in {READER}" in done.err
    assert (done.document["request"]["state"], granted(here, "davis")) == ("executed", True)
    assert done.document["request"]["factor"].startswith("card ")
    assert len([one for one in tape if one[1] == 0x20 and len(one) > 5]) == 1  # the passcode was sent once
    assert any(one[:4] == bytes.fromhex("0020FF80") for one in tape)  # SP 800-73-4 part 2, 3.2.1: logged out
    done = by_card(here, reader, request, status=1)
    assert "does not wait for anybody's decision" in done.err


def test_approved_at_a_terminal_with_a_card(here: Story, reader: Desk) -> None:
    """Chosen from the list, shown, agreed to, then the passcode: all of it typed."""
    request = entered(here, "clark")
    words = [word for word in here.words("reed", "epcs", "approve", "--card", "--config", reader.config)]
    del words[words.index("--password-file") : words.index("--password-file") + 2]
    talk = Conversation([word for word in words if word != "--json"], reader.env, at_terminal=True)
    try:
        talk.hear("Password (it is not shown): ")
        talk.type(here.world.password("reed"))
        talk.hear(f"Request {request}: grant of EPCS to Clark, entered by Hale")
        talk.hear("Which one? Its number, or Enter for the first: ")
        talk.type(request)
        talk.hear("Let Clark sign prescriptions of controlled substances (grant EPCS).")
        talk.hear("Do you approve it? Type yes, then Enter: ")
        talk.type("yes")
        talk.hear("Passcode (it is not shown): ")
        talk.type(PIN)
        talk.hear("It is done: the EHR shows the grant of EPCS to Clark.")
        assert talk.end().status == 0
    finally:
        talk.close()
    assert granted(here, "clark")
    assert PIN not in talk.heard and here.world.password("reed") not in talk.heard


def test_what_is_about_oneself_is_for_others(here: Story, reader: Desk) -> None:
    request = entered(here, "reed")
    done = by_card(here, reader, request, status=1)
    assert "This is about yourself: another person has to do it." in done.err
    here.run("hale", "epcs", "withdraw", request)
    done = here.run("hale", "epcs", "request", "--for", "hale", "--reason", "Me.", status=1)
    assert "This is about yourself" in done.err


def test_a_wrong_passcode_and_another_address_approve_nothing(here: Story, reader: Desk) -> None:
    request = entered(here, "evans")
    words = ("epcs", "approve", request, "--card", "--yes", "--config", reader.config)
    done = here.run("reed", *words, typed="999999\n", status=1)
    assert "Your passcode was wrong. You have 2 tries left." in done.err
    done = here.run("reed", *words, typed="", status=1)
    assert "Nothing was approved: no passcode was typed." in done.err
    assert not granted(here, "evans")
    by_card(here, reader, request)
    assert granted(here, "evans")


def test_a_code_of_ones_own_token_is_used_up(here: Story) -> None:
    serial = TOKENS[4]
    here.register("reed", serial)
    code = here.codes(serial, times=1)
    words = ("--otp", "--yes", "--code-file", code)
    done = here.run("reed", "epcs", "approve", entered(here, "frank"), *words)
    assert (done.document["request"]["factor"], granted(here, "frank")) == (f"otp {serial}", True)
    request = entered(here, "frank", "revoke")
    done = here.run("reed", "epcs", "approve", request, *words, status=1)
    assert "entered incorrectly" in done.err and granted(here, "frank")
    here.codes(serial, times=1)
    done = here.run("reed", "epcs", "approve", request, *words)
    assert "no longer" in done.err and not granted(here, "frank")


def test_an_override_is_lent_and_taken_back(here: Story) -> None:
    done = here.run("green", "epcs", "enable", status=1)
    assert "needs the administrator override" in done.err
    done = here.run("green", "epcs", "override", "give", "--for", "green", status=1)
    assert not here.world.ehr.access("green").administrator
    lease = here.run("hale", "epcs", "override", "give", "--for", "green", "--minutes", "5").document["override"]
    assert here.world.ehr.access("green").administrator
    assert [one["id"] for one in here.run("hale", "epcs", "override", "list").document["overrides"]] == [lease["id"]]
    assert len(here.run("green", "epcs", "override", "list").document["overrides"]) == 1
    here.run("hale", "epcs", "override", "end", lease["id"])
    assert not here.world.ehr.access("green").administrator
    here.run("hale", "epcs", "override", "give", "--for", "green")
    done = here.run("green", "epcs", "enable")
    assert "No administrator override is left." in done.err
    access = here.world.ehr.access("green")
    assert (access.epcs_enabled, access.administrator) == (True, False)


def test_a_run_waits_for_people_and_goes_on(here: Story) -> None:
    """`reregister --wait` is begun by the prescriber and ends by itself, while two others do their part."""
    subprocess.run(["renewagent", "mock-epcs", "settle", "hills", "--data", here.world.folder], check=True)
    subprocess.run(
        ["renewagent", "mock-epcs", "phone", "hills", "change-password", "--data", here.world.folder], check=True
    )
    done = here.run("hills", "softtoken", "explain")
    assert done.document["diagnosis"]["cause"] == "password-changed"
    command = here.words("hills", "softtoken", "reregister", "--wait", "3")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        try:
            until(lambda: lends(here, "hills"), 60)
            until(lambda: here.world.ehr.access("hills").epcs_enabled, 60)
            until(lambda: not here.world.ehr.access("hills").administrator, 60)
            serial = TOKENS[5]
            here.register("reed", serial)
            here.run("reed", "token", "activate", serial)
            code = here.codes(serial, times=1)
            words = ("--otp", "--yes", "--serial", serial, "--code-file", code)
            here.run("reed", "epcs", "approve", entered(here, "hills"), *words)
            out, err = waiting.communicate(timeout=90)
        finally:
            waiting.kill()
    assert waiting.returncode == 0, err
    assert json.loads(out)["run"]["state"] == "done"
    for step in ("An EPCS administrator acts next.", "Two people act next.", "Done. You can sign with the app again"):
        assert step in err
    done = here.run("hills", "softtoken", "remind", "--ics", here.folder / "days.ics")
    assert (here.folder / "days.ics").read_text().count("BEGIN:VEVENT") == 2


def test_a_run_is_given_up(here: Story) -> None:
    folder = here.world.folder
    subprocess.run(["renewagent", "mock-epcs", "settle", "green", "--data", folder], check=True)
    subprocess.run(["renewagent", "mock-epcs", "phone", "green", "change-password", "--data", folder], check=True)
    here.world.ehr.revoke_epcs("green", entered_by="hale", executed_by="reed")
    done = here.run("green", "softtoken", "reregister", "--cause", "password-changed", status=1)
    assert done.document["run"]["state"] in ("override", "grant")
    done = here.run("green", "softtoken", "reregister", "--wait", "0", status=1)
    assert "A registration that was begun earlier goes on." in done.err
    done = here.run("green", "softtoken", "abandon")
    assert done.document["run"]["state"] == "abandoned" and "This was abandoned." in done.err
    done = here.run("green", "softtoken", "abandon", status=2)
    assert "No registration is under way." in done.err


def lends(here: Story, user: str) -> bool:
    """As soon as a run waits for it."""
    runs = here.run("hale", "epcs", "show", "--for", user).document["runs"]
    if not any(run["state"] == "override" for run in runs):
        return False
    here.run("hale", "epcs", "override", "give", "--for", user)
    return True


def test_a_suspension_is_one_persons_and_its_incident_is_reported(here: Story) -> None:
    done = here.run("hale", "epcs", "suspend", "--for", "baker", "--reason", "stolen", "--note", "On a train.")
    assert here.world.ehr.access("baker").epcs_suspended
    assert here.world.vendor.standing(TOKENS[1]).state.is_over
    assert "can no longer sign prescriptions of controlled substances" in done.err
    assert "Report the incident by" in done.err and "A DEA registrant executes it" in done.err
    incidents = here.run("hale", "epcs", "incidents").document["incidents"]
    mine = next(one for one in incidents if one["subject"]["user"] == "baker" and one["kind"].startswith("suspension"))
    here.run("hale", "epcs", "incidents", "--report", mine["id"], "--text", "Stolen on a train. Told the DEA.")
    assert "Fault" in here.run("baker", "epcs", "show").err
    done = here.run("baker", "epcs", "incidents", status=1)
    assert "does not let you" in done.err


def test_the_log_is_whole_until_somebody_changes_it(here: Story) -> None:
    done = here.run("hale", "epcs", "audit", "--verify")
    assert done.document["ok"] and "The audit log is whole." in done.err
    today = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 14 * 3600))
    done = here.run("hale", "epcs", "audit", "--day", today)
    assert done.document["report"]["day"] == today
    with closing(sqlite3.connect(here.folder / "data" / "console.db", timeout=20)) as store:
        number, actor = store.execute("SELECT number, actor FROM audit ORDER BY number LIMIT 1 OFFSET 5").fetchone()
        store.execute("UPDATE audit SET actor = 'somebody else' WHERE number = ?", (number,))
        store.commit()
        done = here.run("hale", "epcs", "audit", "--verify", status=1)
        assert not done.document["ok"] and "NOT whole" in done.err
        store.execute("UPDATE audit SET actor = ? WHERE number = ?", (actor, number))
        store.commit()
    assert here.run("hale", "epcs", "audit", "--verify").document["ok"]


def test_nothing_secret_is_left_anywhere(here: Story) -> None:
    """Runs last: no session that a command left open, no password, no code in the console's log or its database."""
    with closing(sqlite3.connect(here.folder / "data" / "console.db", timeout=20)) as store:
        assert store.execute("SELECT count(*) FROM session WHERE how = 'program'").fetchone()[0] == 0
    texts = [here.console.log.read_bytes(), *(p.read_bytes() for p in (here.folder / "data").glob("console.db*"))]
    for user in ("reed", "hale", *PRESCRIBERS):
        assert not any(here.world.password(user).encode() in text for text in texts)
    assert "Traceback" not in here.console.log.read_text()

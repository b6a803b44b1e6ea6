"""The whole product: the RA puts a request off, the person closes the window, and the agent calls them back."""

from __future__ import annotations

from pathlib import Path

from renewagent_fixtures.mock_ra.knobs import Knobs
from tests.flows.desk import PIN, desk, office
from tests.flows.test_kills import ASKED, PASSCODE, sign_in_again


def test_the_agent_calls_back_whoever_has_closed_the_window(tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    with office(tmp_path, Knobs(approval=True, check_after=2)) as ra, desk(folder, ra) as here:
        card = here.insert()
        agent = here.talk("agent")
        agent.hear("verdict=AFFECTED")
        talk = here.talk("renew")
        talk.hear(ASKED)
        talk.type("1")
        talk.hear(PASSCODE)
        talk.type(PIN)
        talk.hear("The Registration Authority has your request and is looking at it.")
        talk.interrupt()
        done = talk.end()
        assert done.status == 1 and "Run: renewagent renew." in done.err
        agent.hear("verdict=PART_WAY")
        assert "We ask again" in here.run("status").err
        assert "kind=waiting" not in agent.heard  # the person was told already
        here.office.ra.turn(Knobs(approval=True, approve_after=0, check_after=2))
        agent.hear("kind=ra-ready")
        assert "The Registration Authority has looked at the request" in here.run("status").err
        talk = here.talk("renew")
        if talk.hear(PASSCODE, ASKED) == ASKED:
            talk.type("1")
            talk.hear(PASSCODE)
        talk.type(PIN)
        talk.hear("Remove the smartcard ending ")
        assert sign_in_again(here, card, talk).status == 0
        agent.hear("verdict=UNAFFECTED")

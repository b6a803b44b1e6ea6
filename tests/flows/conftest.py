"""What the stories share: one willing RA for all of them, put back to its good manners after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from renewagent.agent.campaigns import Accepted
from renewagent_fixtures.mock_ra import MockRa
from tests.flows.desk import Desk, Office, desk, office
from tests.flows.workshop import Workshop, Workstation


@pytest.fixture(scope="session")
def workshop_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("workshop")
    with MockRa(folder / "ra") as ra:
        yield Workshop(ra, folder)


@pytest.fixture
def workshop(workshop_of_the_session: Workshop) -> Iterator[Workshop]:
    """The one RA, willing again afterwards."""
    yield workshop_of_the_session
    workshop_of_the_session.restore()


@pytest.fixture
def workstation(workshop: Workshop, tmp_path: Path) -> Iterator[Callable[..., Workstation]]:
    """Makes workstations: `workstation(campaign, ...)`, each with a journal of its own unless `name` is given twice."""
    made: list[Workstation] = []

    def make(*campaigns: Accepted, name: str = "", **options: Any) -> Workstation:
        folder = tmp_path / (name or f"workstation-{len(made)}")
        folder.mkdir(exist_ok=True)
        known: Mapping[str, Accepted] = {accepted.campaign.id: accepted for accepted in campaigns}
        made.append(Workstation(workshop, folder, known, **options))
        return made[-1]

    yield make
    for one in made:
        one.transport.close()


@pytest.fixture(scope="module")
def ra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An RA of the module's own, for the commands run as processes."""
    with office(tmp_path_factory.mktemp("office")) as one:
        yield one


@pytest.fixture
def here(tmp_path: Path, ra: Office) -> Iterator[Desk]:
    """A computer with those commands, a reader and a person."""
    with desk(tmp_path, ra) as one:
        yield one

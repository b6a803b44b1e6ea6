"""The cast of mock-epcs."""

from __future__ import annotations

from pathlib import Path

import pytest

from renewagent.errors import ConfigurationError
from renewagent.tokens.model import Staff
from renewagent.tokens.npi import read_dea, read_npi
from renewagent_fixtures.mock_epcs.cast import Player, read_cast


def test_the_default_cast_could_be_real() -> None:
    cast = read_cast(None)
    prescribers = [player.staff for player in cast.players if player.app]
    assert len(prescribers) == 2
    for staff in prescribers:
        assert (read_npi(staff.npi), read_dea(staff.dea)) == (staff.npi, staff.dea)
    assert {serial[:4] for serial in cast.tokens} == {"GAHE", "GALH"}


def test_a_cast_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "cast.toml"
    file.write_text(
        '[[staff]]\nuser="x"\nname="X Y"\npassword="p"\nadministrator=true\n[[token]]\nserial="S"\ncounter=7'
    )
    cast = read_cast(file)
    assert cast.players == (Player(Staff("x", "X Y"), password="p", administrator=True),)
    assert cast.tokens == {"S": 7}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[staff]", "at line 1"),
        ("[[actor]]", "nobody knows what actor is"),
        ('[[staff]]\nuser="x"', "needs a user and a name"),
        ('[[staff]]\nuser="x"\nname="y"\nhat="z"', "nobody knows what hat"),
        ('[[staff]]\nuser="x"\nname="y"\napp="z"', "needs an email and a phone"),
        ("[[token]]\ncounter=1", "serial"),
        ('[[token]]\nserial="S"\nseed="00"', "nobody knows what seed"),
        ("staff = 5", "cannot be used"),
        ("token = [5]", "cannot be used"),
    ],
)
def test_a_cast_that_cannot_be_used(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "cast.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=why):
        read_cast(file)


def test_no_cast_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_cast(tmp_path / "nothing")

"""EPCS enabled without a soft token's run: under an override of another person's, which is gone afterwards."""

from __future__ import annotations

import pytest

from renewagent.console.epcs import overrides
from renewagent.console.epcs.enabling import enable
from renewagent.console.permissions import Role
from renewagent.tokens.errors import DeskRefused
from tests.epcs_desk import Bench


def test_enabled_under_an_override_that_is_gone_then(bench: Bench) -> None:
    ada, carys = bench.person("ada"), bench.person("carys", Role.EPCS_ADMINISTRATOR)
    with pytest.raises(DeskRefused) as refused:
        enable(bench.desk, ada, ada)
    assert "renewagent epcs override give --for ada" in refused.value.advice
    overrides.give(bench.desk, carys, ada, "enabling EPCS")
    assert bench.ehr.access("ada").administrator
    access = enable(bench.desk, ada, ada)
    assert (access.epcs_enabled, access.administrator) == (True, False)
    assert overrides.open_leases(bench.desk, ada) == []
    assert enable(bench.desk, ada, ada) == access  # again is as good as once


def test_what_was_cut_off_before_the_override_was_taken_back(bench: Bench) -> None:
    ada, carys = bench.person("ada"), bench.person("carys", Role.EPCS_ADMINISTRATOR)
    overrides.give(bench.desk, carys, ada, "enabling EPCS")
    bench.ehr.enable_epcs("ada")  # and then the console died
    assert not enable(bench.desk, ada, ada).administrator


def test_an_administrator_goes_on_for_somebody_of_theirs_alone(bench: Bench) -> None:
    ada, carys = bench.person("ada"), bench.person("carys", Role.EPCS_ADMINISTRATOR)
    elsewhere = bench.person("dev", Role.EPCS_ADMINISTRATOR, organisations="RX2")
    other = bench.person("bilal")
    overrides.give(bench.desk, carys, ada, "enabling EPCS")
    for stranger in (elsewhere, other):
        with pytest.raises(DeskRefused, match="no such thing"):
            enable(bench.desk, stranger, ada)
    assert not bench.ehr.access("ada").epcs_enabled
    assert enable(bench.desk, carys, ada).epcs_enabled

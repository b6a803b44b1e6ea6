"""Whom the desk works with, as the settings have it."""

from __future__ import annotations

import os
from dataclasses import replace

from renewagent.console.epcs.hardware import register, resynchronise, tokens_of
from renewagent.console.epcs.opening import open_desk
from renewagent.console.settings import TokenServer
from renewagent.tokens.model import TokenState
from renewagent.tokens.privacyidea import PrivacyIdea
from renewagent.tokens.vendor import VendorClient
from renewagent_fixtures.mock_epcs.serving import Served
from renewagent_fixtures.virtual_tokens.button import ButtonToken
from tests.epcs_desk import EPCS, Bench
from tests.unit.tokens.privacyidea_stand_in import ADMINISTRATOR, PASSWORD, Kept, StandIn

SERIAL = "GAHE00012345"


def test_without_settings_there_is_no_desk(bench: Bench) -> None:
    with open_desk(replace(bench.site, settings=replace(bench.site.settings, epcs=None))) as desk:
        assert desk is None


def test_the_vendor_is_all_three_where_nothing_else_is_said(bench: Bench) -> None:
    with open_desk(bench.site) as desk:
        assert desk is not None
        assert isinstance(desk.authority, VendorClient)
        assert {id(desk.authority)} == {id(desk.support), id(desk.soft)}


def test_a_token_server_of_their_own_has_the_hardware_tokens(bench: Bench) -> None:
    token, pat, server = ButtonToken(SERIAL, seed := os.urandom(20)), bench.person("pat", dea="AB1234563"), StandIn()
    server.users.add("pat")
    server.tokens[SERIAL] = Kept(SERIAL, seed, info={"tokenkind": "hardware", "fips_level": "2"})
    with Served(server.app) as served:
        epcs = replace(EPCS, token_server=TokenServer(served.url, ADMINISTRATOR, PASSWORD))
        with open_desk(replace(bench.site, settings=replace(bench.site.settings, epcs=epcs))) as desk:
            assert desk is not None
            assert isinstance(desk.authority, PrivacyIdea)
            assert isinstance(desk.support, VendorClient)
            register(desk, pat, pat, SERIAL, SERIAL)
            assert [held.state for held in tokens_of(desk, pat)] == [TokenState.ACTIVE]
            token.lose_presses(40)
            assert resynchronise(desk, pat, pat, SERIAL, *token.press_twice()).drift == 40

"""The desk's part of /openapi.json: every address that programs use stands in it and nothing else; what is answered is
checked against it wherever these tests ask (`tests.epcs_desk.Program`)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import jsonschema  # type: ignore[import-untyped]
import pytest
from starlette.routing import Route

from renewagent.console import app
from renewagent.console.epcs.documents import told
from renewagent.console.openapi_epcs import schema_of
from tests.console import NOW
from tests.epcs_desk import Bench, described


def test_every_address_stands_in_it_and_nothing_else(bench: Bench) -> None:
    routes = [route for route in app._people(bench.site, bench.desk) if isinstance(route, Route)]
    served = {(route.path, method.lower()) for route in routes for method in (route.methods or set()) - {"HEAD"}}
    told_of = {(path, method) for path, item in described()["paths"].items() for method in item.keys() - {"servers"}}
    ours = [{one for one in every if one[0].startswith("/epcs/api/")} for every in (served, told_of)]
    assert ours[0] == ours[1] and len(ours[0]) > 20


def test_it_is_json_and_every_reference_leads_somewhere() -> None:
    text = json.dumps(described())
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        found = described()
        for part in reference.split("/"):
            found = found[part]
    for path, item in described()["paths"].items():
        for method in item.keys() - {"servers"}:
            known = {p["name"] for p in item[method].get("parameters", ()) if p["in"] == "path"}
            assert set(re.findall(r"\{(\w+)\}", path)) == known, path
    for schema in described()["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_only_signing_in_is_open() -> None:
    for path, item in described()["paths"].items():
        for method in item.keys() - {"servers"}:
            if path.startswith("/epcs/"):
                assert item[method]["security"] == ([] if path == "/epcs/api/sign-in" else [{"bearer": []}]), path


class Colour(Enum):
    RED = "red"


@dataclass
class Thing:
    name: str
    at: datetime | None
    colours: tuple[Colour, ...]


@dataclass
class Odd:
    what: complex


def test_a_schema_fits_what_is_told() -> None:
    judge = jsonschema.Draft202012Validator(schema_of(Thing))
    judge.validate(told(Thing("x", NOW, (Colour.RED,))))
    judge.validate(told(Thing("x", None, ())))
    for wrong in ({"name": 1}, {"at": 5}, {"colours": ["blue"]}, {"more": 1}):
        assert not judge.is_valid({**told(Thing("x", NOW, ())), **wrong})
    with pytest.raises(TypeError):
        schema_of(Odd)

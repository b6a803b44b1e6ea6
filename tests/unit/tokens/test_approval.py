"""What is approved is what was shown: documents of the desk's that are spelt otherwise, or hide something, are not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.console.permissions import Person, Role
from renewagent.tokens import approval, grants
from renewagent.tokens.errors import DeskRefused
from renewagent.tokens.grants import Action, Party, Request, RequestState

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
ADA = Person("p1", "Dr Ada Lamb", Role.PRESCRIBER, frozenset({"RX1"}), "alamb", "AB1234563")
CARYS = Person("p3", "Carys Cole", Role.EPCS_ADMINISTRATOR, frozenset({"RX1"}), "ccole")


def request(reason: str = "New here.", subject: Person = ADA, action: Action = Action.GRANT) -> Request:
    entered = RequestState.WAITING, Party(CARYS), NOW, NOW + timedelta(hours=24)
    return Request("q1", Party(subject), action, reason, *entered)


def text(**more: Any) -> str:
    found = {**json.loads(grants.document(request())), **more}
    return json.dumps(found, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def test_the_desks_own_document_is_read_to_its_own_digest() -> None:
    one = request()
    found = approval.read(grants.document(one).decode(), "q1")
    assert (found.request, found.digest) == ("q1", grants.digest(one))
    assert found.lines[0] == "Let Dr Ada Lamb sign prescriptions of controlled substances (grant EPCS)."
    revoked = approval.read(grants.document(request(action=Action.REVOKE)).decode(), "q1")
    assert "no longer" in revoked.lines[0] and revoked.digest != found.digest


@given(st.text(max_size=50), st.text(max_size=50))
def test_everything_in_it_is_shown_or_it_is_refused(reason: str, name: str) -> None:
    subject = Person("p1", name, Role.PRESCRIBER, frozenset({"RX1"}), "alamb")
    octets = grants.document(request(reason, subject))
    try:
        found = approval.read(octets.decode(), "q1")
    except (DeskRefused, UnicodeEncodeError):
        assert not (reason + name).isprintable()
    else:
        assert found.digest == sha256(octets).hexdigest()
        assert reason in found.lines[2] and name in found.lines[1]
        assert all(line.isprintable() for line in found.lines)


@pytest.mark.parametrize(
    "given_text",
    [
        None,
        "",
        "[]",
        "{}",
        '"x"',
        "[" * 100_000,
        text() + " ",
        text().replace(":", ": ", 1),
        text(more="something"),
        text(id="q2"),
        text(action="suspend"),
        text(document="renewagent EPCS request v2"),
        text(reason=5),
        text(reason="New\nEntered by: somebody else"),
        text(reason="\u202ereversed"),
        text(reason="\x1b[2J"),
        text(entered="yesterday"),
        text(subject="Ada"),
        text(subject={"id": "p1", "name": "A", "user": "a", "dea": "", "more": ""}),
        text(subject={"id": "p1", "name": "A", "user": "a"}),
        text(subject={"id": "p1", "name": ["A"], "user": "a", "dea": ""}),
        text().replace('"reason":"New here."', '"reason":"Other.","reason":"New here."'),
        json.dumps(json.loads(text()), ensure_ascii=True).replace("Lamb", "L\\u0061mb"),
    ],
)
def test_what_could_not_be_shown_as_it_is(given_text: object) -> None:
    with pytest.raises(DeskRefused) as refused:
        approval.read(given_text, "q1")
    assert "Nothing was approved." in refused.value.advice

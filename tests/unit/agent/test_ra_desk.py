"""What is believed of the RA's plain addresses."""

from __future__ import annotations

from typing import Any, cast

import pytest

from renewagent.agent.ra_desk import RaDesk, Standing, utc_now
from renewagent.errors import RaUnreachable
from renewagent.names import parse_name
from renewagent.ra_transport import HttpRaTransport, PlainAnswer

OPEN = {"known": True, "state": "issued", "revoked": False, "waiting": None}


class Answering(HttpRaTransport):
    """Answers every address with the same."""

    def __init__(self, status: int, document: dict[str, Any] | None) -> None:
        super().__init__("http://ra.test/.well-known/cmp")
        self._answer = PlainAnswer(status, document, None)

    def get_json(self, url: str) -> PlainAnswer:
        return self._answer


def standing(status: int, document: dict[str, Any] | None) -> Standing | None:
    desk = RaDesk(Answering(status, document), (), "http://ra.test/sign-in", utc_now)
    return desk.standing(parse_name("CN=Signing CA"), 7)


def test_what_is_open_at_the_ra() -> None:
    found = cast(Standing, standing(200, OPEN))
    assert (found.known, found.state, found.revoked) == (True, "issued", False)


def test_an_ra_without_a_status_address() -> None:
    assert standing(404, None) is None
    assert standing(404, {"detail": "Not Found"}) is None


@pytest.mark.parametrize("status", [200, 307, 400, 403, 500, 502, 504])
@pytest.mark.parametrize("document", [None, {}, {"error": "try later"}, {"knoun": True, "state": "issued"}])
def test_who_is_no_ra_does_not_say_that_nothing_is_open(status: int, document: dict[str, Any] | None) -> None:
    with pytest.raises(RaUnreachable, match="did not answer as expected"):
        standing(status, document)


@pytest.mark.parametrize("status", [307, 500, 504])
def test_a_document_counts_with_its_status(status: int) -> None:
    with pytest.raises(RaUnreachable):
        standing(status, OPEN)

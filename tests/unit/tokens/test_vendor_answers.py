"""Whatever a vendor or a token server answers comes out as it should, or as our error: with one thing changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from renewagent.tokens import privacyidea_answers, vendor_answers
from renewagent.tokens.asking import Answered
from renewagent.tokens.errors import TokenError, TokenServerMisbehaved
from renewagent.tokens.model import Answer
from tests.unit.tokens.test_privacyidea import TOKEN
from tests.unit.tokens.test_vendor import CHECKED, FILED, INVITED, SERIAL, SOFT, STANDING, USER

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["active", "accepted", "2026-11-22T09:00:00Z", "9999-12-31T23:59:59-14:00", "hardware"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
READERS: list[tuple[dict[str, Any], Callable[[dict[str, Any]], object]]] = [
    (STANDING, lambda found: vendor_answers.standing(found, SERIAL)),
    (CHECKED, vendor_answers.checked),
    (FILED, lambda found: vendor_answers.filed(found, "EX-1")),
    (SOFT, lambda found: vendor_answers.soft_tokens({"soft_tokens": {USER: found}}, [USER])),
    (SOFT, lambda found: vendor_answers.invited({"soft_token": found})),
    (INVITED, lambda found: vendor_answers.invitation(found, USER)),
    (TOKEN, lambda found: privacyidea_answers.held({"tokens": [found]})[0].standing),
]


@given(st.sampled_from(READERS), st.data(), JSON)
def test_one_thing_changed(
    reader: tuple[dict[str, Any], Callable[[dict[str, Any]], object]], data: st.DataObject, other: Any
) -> None:
    good, read = reader
    name = data.draw(st.sampled_from(sorted(good)))
    try:
        read(good | {name: other})
    except TokenServerMisbehaved as problem:
        assert "makes no sense" in problem.message


@given(JSON)
def test_only_a_plain_yes_accepts_a_code(answer: Any) -> None:
    try:
        accepted = vendor_answers.checked(CHECKED | {"answer": answer}).answer is Answer.ACCEPTED
    except TokenServerMisbehaved:
        accepted = False
    assert accepted == (answer == "accepted")


@given(st.sampled_from([200, 400, 401, 403, 404, 500, 503]), JSON, JSON)
def test_a_token_servers_answer_has_a_value_only_where_it_says_so(status: int, said: Any, value: Any) -> None:
    answer = Answered(status, {"result": {"status": said, "value": value, "error": value}})
    try:
        found = privacyidea_answers.value(answer)
    except TokenError as problem:
        assert problem.message.isprintable()
    else:
        assert (status, said) == (200, True)
        assert found is value

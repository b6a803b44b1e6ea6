"""The strict parser, what it refuses and in which words, and that the schema says the same as far as a schema can."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renewagent.campaign.document import LIMIT, campaign_to_json, parse_campaign
from renewagent.errors import CampaignError
from renewagent.names import parse_name
from renewagent.rules import AffectedRule, Campaign, Contact, SerialRange
from tests.unit.campaign.documents import complete, octets


def ecma_pattern(_: object, pattern: str, instance: object, schema: object) -> Iterator[jsonschema.ValidationError]:
    """`pattern` as ECMA-262 means it: `$` is the very end, where Python's also stands before a last line break."""
    if isinstance(instance, str) and not re.search(re.sub(r"(?<!\\)\$", r"\\Z", pattern), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


SCHEMA = json.loads(files("renewagent.campaign").joinpath("schema.json").read_text("utf-8"))
Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": ecma_pattern})
VALIDATOR = Validator(SCHEMA)

BEYOND_A_SCHEMA = (
    "is no time that exists",
    "must be later than",
    "from the lower serial to the higher one",
    "is not a distinguished name",
    "must not be empty",
    "has two rules named",
    "larger than",
)


def said_of(document: object) -> str | None:
    """The parser's refusal, or None."""
    try:
        parse_campaign(json.dumps(document))
    except CampaignError as error:
        assert error.advice
        return error.message
    return None


def assert_agreement(document: object) -> None:
    refusal = said_of(document)
    if not VALIDATOR.is_valid(document):
        assert refusal is not None
    elif refusal is not None:
        assert any(words in refusal for words in BEYOND_A_SCHEMA), refusal


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(complete())


def test_a_complete_document_is_read_whole() -> None:
    assert parse_campaign(octets()) == Campaign(
        id="2020-10-eps-signing",
        version=3,
        published=datetime(2020, 10, 1, 14, 50, tzinfo=UTC),
        expires=datetime(2021, 1, 1, tzinfo=UTC),
        reason={
            "en": "This smartcard was issued with a fault.\nIt must be renewed.",
            "cy": "Mae nam ar y cerdyn hwn.",
        },
        rules=(
            AffectedRule(
                "autumn batch",
                datetime(2020, 9, 28, tzinfo=UTC),
                datetime(2020, 10, 1, 12, tzinfo=UTC),
                parse_name("CN=NHS Signing G2,O=nhs,C=GB"),
                (SerialRange(0x1A2B, 0x1A2B), SerialRange(0x2000, 0x2FFF), SerialRange(0, 0), SerialRange(-255, -1)),
                "contentCommitment",
                ("sha1WithRSAEncryption", "1.2.3.4"),
                ("rsa",),
                2048,
                ("piv",),
            ),
        ),
        remedy="renew",
        renews="signing",
        rekey="required",
        old_key="usable",
        removal_ends_session=True,
        deadline=datetime(2020, 10, 4, tzinfo=UTC),
        contact=Contact("Registration Authority", "…", "…", "…"),
        withdrawn=False,
        paused=False,
    )


def test_absent_fields_have_the_safe_defaults() -> None:
    short = {name: complete()[name] for name in ("id", "version", "published", "expires", "reason")}
    found = parse_campaign(json.dumps({**short, "rules": [{"name": "all"}]}))
    assert found.rules == (AffectedRule("all"),)
    assert (found.remedy, found.renews, found.rekey, found.old_key) == ("renew", "signing", "required", "usable")
    assert (found.removal_ends_session, found.deadline, found.contact, found.withdrawn, found.paused) == (
        True,
        None,
        Contact(),
        False,
        False,
    )
    assert parse_campaign(campaign_to_json(found)) == found


def test_text_and_octets_read_the_same_and_come_back_the_same() -> None:
    found = parse_campaign(octets())
    assert parse_campaign(octets().decode()) == found
    assert parse_campaign(campaign_to_json(found)) == found
    VALIDATOR.validate(json.loads(campaign_to_json(found)))


def test_fractions_of_seconds_come_back_too() -> None:
    found = parse_campaign(octets(published="2020-10-01T14:50:00.25Z"))
    assert found.published.microsecond == 250_000
    assert parse_campaign(campaign_to_json(found)) == found


def test_names_of_ones_own_are_passed_over_anywhere() -> None:
    document = complete()
    document["x-note"] = {"anything": [1.5, None]}
    document["rules"][0]["x-note"] = 1  # type: ignore[index]
    document["contact"]["x-note"] = 1  # type: ignore[index]
    document["reason"]["x-note"] = 1  # type: ignore[index]
    assert parse_campaign(json.dumps(document)) == parse_campaign(octets())
    VALIDATOR.validate(document)


def test_an_algorithm_named_by_its_oid_is_the_named_one() -> None:
    rule = {"name": "r", "signature_algorithms": ["1.2.840.113549.1.1.5"], "key_algorithms": ["1.2.840.10045.2.1"]}
    (found,) = parse_campaign(octets(rules=[rule])).rules
    assert (found.signature_algorithms, found.key_algorithms) == (("sha1WithRSAEncryption",), ("ec",))


GONE = object()
WRONG: list[tuple[str, object, str]] = [
    ("id", GONE, "id is missing"),
    ("id", "", "id must have 1 to 100 characters"),
    ("id", "a/b", 'id cannot be "a/b"'),
    ("id", "a\n", "id must not hold control characters"),
    ("id", 7, "id must be a text"),
    ("version", 0, "version must be a whole number from 1"),
    ("version", -1, "version must be a whole number"),
    ("version", "3", "version must be a whole number"),
    ("version", 3.5, "version must be a whole number"),
    ("version", True, "version must be a whole number"),
    ("version", 2**31, "version must be a whole number"),
    ("published", "2020-10-01T14:50:00+00:00", "published must be a time in UTC"),
    ("published", "2020-10-01 14:50:00Z", "published must be a time in UTC"),
    ("published", "2020-10-01", "published must be a time in UTC"),
    ("published", "2020-10-01T14:50:00z", "published must be a time in UTC"),
    ("published", "2020-10-01T24:00:00Z", "published must be a time in UTC"),
    ("published", "2016-12-31T23:59:60Z", "published must be a time in UTC"),
    ("published", "2020-10-01T14:50:00Z\n", "published must be a time in UTC"),
    ("published", "٢٠٢٠-10-01T14:50:00Z", "published must be a time in UTC"),
    ("published", 1601563800, "published must be a time in UTC"),
    ("published", "2021-02-29T00:00:00Z", "published is no time that exists (2021-02-29T00:00:00Z)"),
    ("expires", "2020-10-01T14:50:00Z", "expires must be later than published"),
    ("deadline", None, "deadline must be a time in UTC"),
    ("reason", {}, "reason.en is missing"),
    ("reason", {"cy": "Nam"}, "reason.en is missing"),
    ("reason", {"en": ""}, "reason.en must have 1 to 2000 characters"),
    ("reason", {"en": "a" * 2001}, "reason.en must have 1 to 2000 characters"),
    ("reason", {"en": "\x1b[2J"}, "reason.en must not hold control characters"),
    ("reason", {"en": "abc\u202edef"}, "reason.en must not hold control characters"),
    ("reason", {"en": "\ud800"}, "reason.en must not hold control characters"),
    ("reason", {"en": 1}, "reason.en must be a text"),
    ("reason", {"en": "A.", "English": "A."}, 'reason has a language that cannot be "English"'),
    ("reason", "A fault.", "reason must be an object"),
    ("rules", [], "rules must be an array of 1 to 1000 items"),
    ("rules", {}, "rules must be an array"),
    ("rules", [[]], "rules[0] must be an object"),
    ("rules", [{}], "rules[0].name is missing"),
    ("rules", [{"name": "a"}, {"name": "a"}], 'rules has two rules named "a"'),
    ("rules", [{"name": "a\nb"}], "rules[0].name must not hold control characters"),
    ("remedy", "burn", 'remedy must be "renew" or "replace-card" or "see-ra"'),
    ("renews", "both", 'renews must be "signing" or "pair"'),
    ("rekey", ["required"], "rekey must be"),
    ("old_key", "gone", "old_key must be"),
    ("removal_ends_session", "yes", "removal_ends_session must be true or false"),
    ("withdrawn", 0, "withdrawn must be true or false"),
    ("paused", "yes", "paused must be true or false"),
    ("contact", [], "contact must be an object"),
    ("contact", {"email": "a@b"}, "contact.email is not a known field"),
    ("contact", {"phone": 112}, "contact.phone must be a text"),
    ("ra_url", "https://evil.example", "ra_url is not a known field"),
    ("strange name\n", 1, '"strange name\\n" is not a known field'),
]
RULES: list[tuple[str, object, str]] = [
    ("issued_from", "2020-10-01T12:00:00Z", "rules[0].issued_to must be later than issued_from"),
    ("issued_from", "yesterday", "rules[0].issued_from must be a time"),
    ("issuer", "", "rules[0].issuer must have 1 to"),
    ("issuer", "  ", "rules[0].issuer must not be empty"),
    ("issuer", "NHS Signing", "rules[0].issuer is not a distinguished name"),
    ("issuer", {"CN": "x"}, "rules[0].issuer must be a text"),
    ("serials", [], "rules[0].serials must be an array of 1"),
    ("serials", ["1A2B"], "rules[0].serials[0] must be a serial in lowercase hex"),
    ("serials", ["0f"], "rules[0].serials[0] must be a serial in lowercase hex"),
    ("serials", ["1a", "1a:2b"], "rules[0].serials[1] must be a serial in lowercase hex"),
    ("serials", ["-0"], "rules[0].serials[0] must be a serial in lowercase hex"),
    ("serials", ["1-2-3"], "rules[0].serials[0] must be a serial in lowercase hex"),
    ("serials", ["1a\n"], "rules[0].serials[0] must be a serial in lowercase hex"),
    ("serials", [6699], "rules[0].serials[0] must be a serial in lowercase hex"),
    ("serials", ["f" * 65], "rules[0].serials[0] must be a serial in lowercase hex"),
    ("serials", ["2fff-2000"], "rules[0].serials[0] must be a range from the lower serial"),
    ("key_usage", "nonRepudiation", "rules[0].key_usage must be"),
    ("signature_algorithms", "sha1WithRSAEncryption", "rules[0].signature_algorithms must be an array"),
    ("signature_algorithms", ["sha1RSA"], "rules[0].signature_algorithms[0] must be a name such as"),
    ("key_algorithms", ["RSA"], 'rules[0].key_algorithms[0] must be "rsa"'),
    ("key_bits_below", 0, "rules[0].key_bits_below must be a whole number"),
    ("key_bits_below", 2048.5, "rules[0].key_bits_below must be a whole number"),
    ("card_models", ["piv", ""], "rules[0].card_models[1] must have 1 to 100"),
    ("isuer", "CN=x", "rules[0].isuer is not a known field"),
]


def changed(document: dict[str, Any], name: str, value: object) -> dict[str, Any]:
    if value is GONE:
        del document[name]
    else:
        document[name] = value
    return document


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_a_wrong_field_is_named(name: str, value: object, words: str) -> None:
    document = changed(complete(), name, value)
    assert words in (said_of(document) or "")
    assert_agreement(document)


@pytest.mark.parametrize(("name", "value", "words"), RULES)
def test_a_wrong_field_of_a_rule_is_named(name: str, value: object, words: str) -> None:
    document: dict[str, Any] = complete()
    changed(document["rules"][0], name, value)
    assert words in (said_of(document) or "")
    assert_agreement(document)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "is not JSON"),
        (b"{", "line 1, column 2"),
        (b"[]", "the document must be an object"),
        (b"null", "the document must be an object"),
        (b"\xff\xfe{\x00}\x00", "is not written in UTF-8"),
        (octets().decode().encode("utf-16"), "is not written in UTF-8"),
        (b"\xef\xbb\xbf" + octets(), "is not JSON"),
        (octets() + b"x", "is not JSON"),
        (b'{"id": "a", "id": "b"}', 'gives "id" twice'),
        (b'{"x-a": {"b": 1, "b": 1}}', 'gives "b" twice'),
        (b'{"version": NaN}', "holds NaN"),
        (b'{"version": -Infinity}', "holds -Infinity"),
        (b'{"version": ' + b"9" * 5000 + b"}", "is not JSON that can be read"),
        (b'{"x-deep": ' + b"[" * 100_000, "is not JSON"),
        (octets().replace(b'"version": 3', b'"version": 3.0'), "version must be a whole number"),
        (octets(**{"x-padding": "a" * LIMIT}), "larger than 256 KiB"),
        ("\ud800", "is not written in UTF-8"),
    ],
)
def test_what_is_no_campaign_at_all_is_refused_in_a_sentence(document: bytes | str, words: str) -> None:
    with pytest.raises(CampaignError, match=r"\.$") as refused:
        parse_campaign(document)
    assert words in refused.value.message


def test_as_large_as_allowed_is_allowed() -> None:
    padding = LIMIT - len(octets(**{"x-padding": ""}))
    assert parse_campaign(octets(**{"x-padding": "a" * padding})) == parse_campaign(octets())


times = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
texts = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cf")), max_size=20)
names = st.builds(
    lambda cn, o: (frozenset({("2.5.4.6", "GB")}), frozenset({("2.5.4.10", o)}), frozenset({("2.5.4.3", cn)})),
    texts.map(str.strip),
    st.text("abcXYZ ,+=\\#;", min_size=1).map(str.strip),
)
rules = st.builds(
    AffectedRule,
    name=texts.filter(bool),
    issued_from=st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2020, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    issued_to=st.none() | st.datetimes(datetime(2020, 1, 2), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    issuer=st.none() | names,
    serials=st.lists(
        st.builds(
            lambda first, more: SerialRange(first, first + more), st.integers(-(2**64), 2**160), st.integers(0, 9)
        )
    ).map(tuple),
    key_usage=st.sampled_from(["contentCommitment", "digitalSignature", "any"]),
    signature_algorithms=st.sampled_from([(), ("ecdsa-with-SHA256", "1.3.6.1.4.1.5")]),
    key_bits_below=st.none() | st.integers(1, 65536),
)
campaigns = st.builds(
    Campaign,
    id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
    version=st.integers(1, 2**31 - 1),
    published=times.map(lambda at: at.replace(year=1989, day=1)),
    expires=times,
    reason=st.builds(lambda text: {"en": text}, texts.filter(bool)),
    rules=st.lists(rules, min_size=1, max_size=4, unique_by=lambda rule: rule.name).map(tuple),
    remedy=st.sampled_from(["renew", "replace-card", "see-ra"]),
    deadline=st.none() | times,
    contact=st.builds(Contact, name=texts, phone=texts, url=texts, hours=texts),
    withdrawn=st.booleans(),
    paused=st.booleans(),
)


@given(campaign=campaigns)
def test_every_campaign_comes_back_from_its_document(campaign: Campaign) -> None:
    document = campaign_to_json(campaign)
    assert parse_campaign(document) == campaign
    VALIDATOR.validate(json.loads(document))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not value.is_integer())
    | st.text(max_size=12)
    | st.sampled_from(["2020-10-01T12:00:00Z", "any", "1a2b", "2-1", "1.2.3", "CN=x", "rsa", "pair", "a\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def places(node: object) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    found: list[tuple[Any, Any]] = []
    if isinstance(node, dict):
        found = [(node, key) for key in node]
    elif isinstance(node, list):
        found = [(node, place) for place in range(len(node))]
    return found + [deeper for container, key in list(found) for deeper in places(container[key])]


@settings(max_examples=400)
@given(data=st.data())
def test_parser_and_schema_agree_on_any_document_gone_wrong(data: st.DataObject) -> None:
    document = copy.deepcopy(complete())
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(places(document)))
        change = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "replace":
            container[key] = data.draw(json_values)
        elif change == "remove":
            del container[key]
        elif isinstance(container, dict):
            container[data.draw(st.text(max_size=8) | st.sampled_from(["x-own", "en-GB", "version"]))] = data.draw(
                json_values
            )
    assert_agreement(document)


@given(octets=st.binary(max_size=200) | st.text(max_size=200))
def test_garbage_never_escapes_as_anything_else(octets: bytes | str) -> None:
    with pytest.raises(CampaignError):
        parse_campaign(octets)

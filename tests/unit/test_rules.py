"""The judgement: every field at its boundaries, ANDed within a rule and ORed between rules, and a reason every time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewagent.model import CertificateHead, Finding, SigningCertificate, Verdict
from renewagent.names import parse_name
from renewagent.rules import AffectedRule, Campaign, SerialRange, hits, judge, judge_all, judge_head, may_hit

NOW = datetime(2020, 10, 2, tzinfo=UTC)
FROM = datetime(2020, 9, 28, tzinfo=UTC)
TO = datetime(2020, 10, 1, 12, tzinfo=UTC)
SIGNING = parse_name("CN=NHS Signing G2,O=nhs,C=GB")
OTHER = parse_name("CN=NHS Authentication G2,O=nhs,C=GB")
TICK = timedelta(microseconds=1)


def certificate(
    not_before: datetime = datetime(2020, 9, 29, 9, tzinfo=UTC),
    serial: int = 0x1A2B,
    issuer: str = "CN=NHS Signing G2,O=nhs,C=GB",
    usages: frozenset[str] | None = frozenset({"contentCommitment"}),
    card_model: str | None = "piv",
) -> SigningCertificate:
    head = CertificateHead(serial, parse_name(issuer), not_before, not_before + timedelta(days=1096))
    subject = parse_name("CN=Dr Ada Example")
    return SigningCertificate(head, subject, usages, "sha1WithRSAEncryption", "rsa", 1024, b"", card_model)


RULE = AffectedRule(
    "autumn batch",
    issued_from=FROM,
    issued_to=TO,
    issuer=SIGNING,
    serials=(SerialRange(0x2000, 0x2FFF), SerialRange(0x1A2B, 0x1A2B)),
    signature_algorithms=("sha1WithRSAEncryption",),
    key_algorithms=("rsa",),
    key_bits_below=2048,
    card_models=("piv",),
)
DATES = AffectedRule("dates", issued_from=FROM, issued_to=TO)


def campaign(*rules: AffectedRule, **changes: object) -> Campaign:
    whole = Campaign("2020-10", 3, NOW, NOW + timedelta(days=90), {"en": "Faulty."}, rules or (RULE,))
    return replace(whole, **changes)  # type: ignore[arg-type]


def agreed(found: SigningCertificate, *campaigns: Campaign) -> Finding:
    """`judge_all`, after checking that the quick way never contradicts it."""
    finding = judge_all(found, campaigns, NOW)
    quick = judge_head(found.head, campaigns, NOW)
    if quick is not None:
        assert finding.verdict is Verdict.UNAFFECTED
        assert quick.verdict is Verdict.UNAFFECTED
    assert (quick is None) == any(may_hit(found.head, c, NOW) for c in campaigns)
    return finding


@pytest.mark.parametrize(
    ("not_before", "hit"),
    [(FROM - TICK, False), (FROM, True), (FROM + TICK, True), (TO - TICK, True), (TO, False), (TO + TICK, False)],
)
def test_the_window_is_half_open(not_before: datetime, hit: bool) -> None:
    found = certificate(not_before)
    assert hits(DATES, found) is hit
    assert may_hit(found.head, DATES, NOW) is hit
    assert (agreed(found, campaign(DATES)).verdict is Verdict.AFFECTED) is hit


@pytest.mark.parametrize(
    ("serial", "hit"),
    [
        (0, False),
        (-0x1A2B, False),
        (0x1A2A, False),
        (0x1A2B, True),
        (0x1A2C, False),
        (0x1FFF, False),
        (0x2000, True),
        (0x2FFF, True),
        (0x3000, False),
    ],
)
def test_serial_ranges_are_inclusive(serial: int, hit: bool) -> None:
    assert hits(RULE, certificate(serial=serial)) is hit
    assert may_hit(certificate(serial=serial).head, RULE, NOW) is hit


@given(
    ranges=st.lists(st.tuples(st.integers(-50, 300), st.integers(0, 60)), min_size=1, max_size=12),
    serial=st.integers(-60, 400),
)
def test_any_set_of_ranges_holds_what_its_members_hold(ranges: list[tuple[int, int]], serial: int) -> None:
    rule = AffectedRule("r", serials=tuple(SerialRange(first, first + more) for first, more in ranges))
    assert rule.holds_serial(serial) is any(first <= serial <= first + more for first, more in ranges)


@pytest.mark.parametrize(
    ("issuer", "hit"),
    [
        ("CN=NHS Signing G2,O=nhs,C=GB", True),
        ("cn=nhs  SIGNING g2 , o=NHS, c=gb", True),
        ("CN=NHS Signing G2,O=nhs", False),
        ("C=GB,O=nhs,CN=NHS Signing G2", False),
        ("CN=NHS Signing G2+O=nhs,C=GB", False),
        ("CN=NHS Authentication G2,O=nhs,C=GB", False),
    ],
)
def test_issuers_compare_as_names_not_as_text(issuer: str, hit: bool) -> None:
    assert hits(RULE, certificate(issuer=issuer)) is hit
    assert may_hit(certificate(issuer=issuer).head, RULE, NOW) is hit


@pytest.mark.parametrize(
    ("wanted", "usages", "hit"),
    [
        ("contentCommitment", frozenset({"contentCommitment", "digitalSignature"}), True),
        ("contentCommitment", frozenset({"digitalSignature"}), False),
        ("contentCommitment", None, False),
        ("digitalSignature", frozenset({"digitalSignature"}), True),
        ("any", frozenset({"keyAgreement"}), True),
        ("any", frozenset(), True),
        ("any", None, True),
    ],
)
def test_key_usage_must_be_stated_unless_any_will_do(wanted: str, usages: frozenset[str] | None, hit: bool) -> None:
    found = certificate(usages=usages)
    assert hits(AffectedRule("r", key_usage=wanted), found) is hit
    assert may_hit(found.head, AffectedRule("r", key_usage=wanted), NOW)


def test_key_usage_defaults_to_content_commitment() -> None:
    assert hits(AffectedRule("all"), certificate())
    assert not hits(AffectedRule("all"), certificate(usages=frozenset({"digitalSignature"})))


@pytest.mark.parametrize(("bits", "hit"), [(0, False), (1024, True), (2047, True), (2048, False), (4096, False)])
def test_key_bits_below_is_strict_and_an_unknown_size_is_not_below(bits: int, hit: bool) -> None:
    assert hits(RULE, replace(certificate(), key_bits=bits)) is hit


@pytest.mark.parametrize(("model", "hit"), [("piv", True), ("pkcs11", False), (None, True)])
def test_a_card_model_restricts_only_where_the_card_is_known(model: str | None, hit: bool) -> None:
    assert hits(RULE, certificate(card_model=model)) is hit


MISSES = {
    "date": (
        certificate(datetime(2026, 11, 3, tzinfo=UTC)),
        "Issued on 3 November 2026, not between 28 September and ",
    ),
    "issuer": (
        certificate(issuer="CN=NHS Authentication G2,O=nhs,C=GB"),
        "Issued by CN=NHS Authentication G2,O=nhs,C=GB, not by CN=NHS Signing G2,O=nhs,C=GB.",
    ),
    "serial": (certificate(serial=1), "Serial number 1 is not among those listed."),
    "key usage": (
        certificate(usages=frozenset({"digitalSignature", "keyAgreement"})),
        "Its key usage is digitalSignature and keyAgreement, without contentCommitment.",
    ),
    "no key usage": (certificate(usages=None), "It states no key usage, so it is not marked for contentCommitment."),
    "signature": (
        replace(certificate(), signature_algorithm="ecdsa-with-SHA256"),
        "Its signature algorithm is ecdsa-with-SHA256, not sha1WithRSAEncryption.",
    ),
    "key": (replace(certificate(), key_algorithm="ec"), "Its key algorithm is ec, not rsa."),
    "bits": (replace(certificate(), key_bits=2048), "Its key has 2048 bits, not fewer than 2048."),
    "unknown bits": (replace(certificate(), key_bits=0), "The size of its key is not known."),
    "model": (certificate(card_model="pkcs11"), 'The smartcard is of the kind "pkcs11", not piv.'),
}


@pytest.mark.parametrize("name", MISSES)
def test_each_field_alone_can_miss_and_says_so(name: str) -> None:
    found, words = MISSES[name]
    finding = agreed(found, campaign())
    assert finding.verdict is Verdict.UNAFFECTED
    assert finding.reason.startswith(words)
    assert finding.reason.endswith(".")
    assert finding.rule is None
    assert finding.campaign is None


FIELDS = ("date", "issuer", "serial", "usages", "signature", "key", "bits", "model")


@given(wrong=st.sets(st.sampled_from(FIELDS)))
def test_fields_within_a_rule_are_anded(wrong: set[str]) -> None:
    found = certificate(
        not_before=TO if "date" in wrong else FROM,
        serial=7 if "serial" in wrong else 0x2345,
        issuer="CN=Other" if "issuer" in wrong else "CN=NHS Signing G2,O=nhs,C=GB",
        usages=frozenset() if "usages" in wrong else frozenset({"contentCommitment"}),
        card_model="pkcs11" if "model" in wrong else "piv",
    )
    found = replace(
        found,
        signature_algorithm="ecdsa-with-SHA256" if "signature" in wrong else "sha1WithRSAEncryption",
        key_algorithm="ec" if "key" in wrong else "rsa",
        key_bits=2048 if "bits" in wrong else 1024,
    )
    assert hits(RULE, found) is (not wrong)
    assert may_hit(found.head, RULE, NOW) is not bool(wrong & {"date", "serial", "issuer"})
    assert (agreed(found, campaign()).verdict is Verdict.AFFECTED) is (not wrong)


@given(which=st.lists(st.booleans(), min_size=1, max_size=6))
def test_rules_are_ored_and_the_first_hit_names_itself(which: list[bool]) -> None:
    rules = [AffectedRule(f"rule {n}", issued_from=FROM if hit else TO) for n, hit in enumerate(which)]
    finding = agreed(certificate(), campaign(*rules))
    assert finding.rule == (f"rule {which.index(True)}" if any(which) else None)
    if not any(which):
        assert all(
            f'Rule "rule {n}": issued on 29 September 2020' in finding.reason for n in range(min(4, len(which)))
        ) or (len(which) == 1)


@given(
    not_before=st.datetimes(datetime(2020, 9, 1), datetime(2020, 11, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    serial=st.integers(0, 0x4000),
    usages=st.sampled_from([None, frozenset[str](), frozenset({"contentCommitment"})]),
    bits=st.sampled_from([0, 1024, 2048]),
)
def test_the_quick_answer_never_lets_an_affected_card_go(
    not_before: datetime, serial: int, usages: frozenset[str] | None, bits: int
) -> None:
    found = replace(certificate(not_before, serial, usages=usages), key_bits=bits)
    finding = agreed(found, campaign(), campaign(DATES))
    assert finding.reason
    assert finding.head is found.head


def test_a_hit_names_the_campaign_the_rule_and_what_fitted() -> None:
    finding = judge(certificate(), campaign(), NOW)
    assert (finding.verdict, finding.campaign, finding.rule) == (Verdict.AFFECTED, "2020-10", "autumn batch")
    assert finding.reason == (
        "Issued on 29 September 2020, between 28 September and 1 October 2020, by CN=NHS Signing G2,O=nhs,C=GB, serial "
        'number 1a2b: affected by the rule "autumn batch" of campaign 2020-10/3.'
    )


def test_withdrawn_and_expired_campaigns_hit_nothing_and_say_so() -> None:
    withdrawn, expired = campaign(withdrawn=True), campaign(expires=NOW)
    for over, words in ((withdrawn, "was withdrawn"), (expired, "expired on 2 October 2020 at 00:00 UTC")):
        finding = agreed(certificate(), over)
        assert finding.verdict is Verdict.UNAFFECTED
        assert words in finding.reason
        quick = judge_head(certificate().head, [over], NOW)
        assert quick is not None
        assert words in quick.reason
    assert agreed(certificate(), campaign(expires=NOW + TICK)).verdict is Verdict.AFFECTED


def test_a_paused_campaign_hits_nothing_and_the_finding_says_what_it_holds_back() -> None:
    paused = campaign(paused=True)
    finding = agreed(certificate(), paused)
    assert (finding.verdict, finding.campaign, finding.rule) == (Verdict.UNAFFECTED, None, None)
    assert finding.paused == "2020-10"
    assert finding.reason == "Campaign 2020-10 is paused and affects no certificate for now."
    quick = judge_head(certificate().head, [paused], NOW)
    assert quick == replace(finding, head=quick.head if quick else None)
    assert paused.over(NOW) and paused.only_paused(NOW)
    good = certificate(TO)
    assert agreed(good, paused).paused is None
    held = judge_head(good.head, [paused], NOW)
    assert held is not None and held.paused is None
    assert agreed(replace(certificate(), key_bits=4096), paused).paused is None  # a head alone could not tell


@pytest.mark.parametrize("ended", [{"withdrawn": True}, {"expires": NOW}])
def test_a_pause_of_what_is_over_is_no_pause(ended: dict[str, object]) -> None:
    finding = agreed(certificate(), campaign(paused=True, **ended))
    assert finding.paused is None
    assert "paused" not in finding.reason
    assert not campaign(paused=True, **ended).only_paused(NOW)


def test_a_paused_campaign_stands_behind_one_in_force() -> None:
    paused, other = campaign(id="one", paused=True), campaign(id="two")
    finding = agreed(certificate(), paused, other)
    assert (finding.verdict, finding.campaign, finding.paused) == (Verdict.AFFECTED, "two", None)
    miss = campaign(replace(DATES, issued_from=TO - TICK), id="miss")
    finding = agreed(certificate(), miss, paused)
    assert (finding.verdict, finding.paused) == (Verdict.UNAFFECTED, "one")
    assert "By campaign one: campaign one is paused" in finding.reason


def test_of_several_campaigns_an_affected_one_wins_the_earliest_deadline_first() -> None:
    late = campaign(DATES, id="late", deadline=NOW + timedelta(days=9))
    soon = campaign(DATES, id="soon", deadline=NOW + timedelta(days=2))
    never = campaign(DATES, id="never")
    miss = campaign(replace(DATES, issued_from=TO), id="miss", deadline=NOW)
    assert agreed(certificate(), miss, never, late, soon).campaign == "soon"
    assert agreed(certificate(), never, late).campaign == "late"
    assert agreed(certificate(), miss, never).campaign == "never"


def test_several_campaigns_that_miss_each_give_their_reason() -> None:
    miss = campaign(replace(DATES, issued_from=TO - TICK), id="one")
    finding = agreed(certificate(), miss, campaign(id="two", withdrawn=True))
    assert finding.reason.startswith("By campaign one: issued on 29 September 2020, not on 1 October 2020")
    assert "By campaign two: campaign two was withdrawn" in finding.reason


def test_without_campaigns_nothing_is_affected() -> None:
    assert agreed(certificate()).reason == "There is no campaign to judge this certificate by."


def test_many_rules_are_not_all_told() -> None:
    rules = [AffectedRule(f"rule {n}", serials=(SerialRange(n, n),)) for n in range(40)]
    reason = agreed(certificate(), campaign(*rules)).reason
    assert reason.count("Rule ") == 4
    assert reason.endswith("36 more rules do not fit either.")


@pytest.mark.parametrize(
    ("rule", "not_before", "words"),
    [
        (replace(DATES, issued_to=None), FROM - TICK, "Issued on 27 September 2020, before 28 September 2020."),
        (
            replace(DATES, issued_from=None),
            TO + timedelta(days=1),
            "Issued on 2 October 2020, not before 1 October 2020.",
        ),
        (
            DATES,
            TO,
            "Issued on 1 October 2020 at 12:00 UTC, not between 28 September 2020 at 00:00 UTC and 1 October ",
        ),
        (
            replace(DATES, issued_to=datetime(2020, 10, 2, tzinfo=UTC)),
            datetime(2020, 10, 2, 0, 0, 1, tzinfo=UTC),
            "Issued on 2 October 2020, not between 28 September and 1 October 2020.",
        ),
        (
            AffectedRule("one day", FROM, FROM + timedelta(days=1)),
            TO,
            "Issued on 1 October 2020, not on 28 September 2020.",
        ),
        (
            AffectedRule("five days", datetime(2020, 10, 10, tzinfo=UTC), datetime(2020, 10, 15, tzinfo=UTC)),
            FROM,
            "Issued on 28 September 2020, not between 10 and 14 October 2020.",
        ),
        (
            AffectedRule("new year", datetime(2020, 12, 30, tzinfo=UTC), datetime(2021, 1, 3, tzinfo=UTC)),
            FROM,
            "Issued on 28 September 2020, not between 30 December 2020 and 2 January 2021.",
        ),
    ],
)
def test_a_window_is_told_as_people_read_it(rule: AffectedRule, not_before: datetime, words: str) -> None:
    assert agreed(certificate(not_before), campaign(rule)).reason.startswith(words)

"""A second factor counts for one request, one person, once, now: by the person's own card over the request as it
stands, or by a code of a token that is theirs. Nothing else does, and nobody can lock another person's token by
trying."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from renewagent import cms
from renewagent.console import audit, people
from renewagent.console.epcs import factors, hardware, requests
from renewagent.console.epcs.factors import Challenge
from renewagent.console.epcs.tables import EPCS_REQUEST, EPCS_TOKEN
from renewagent.console.permissions import Person, Role
from renewagent.console.tables import PERSON
from renewagent.statements import Purpose, Statement
from renewagent.tokens.errors import DeskRefused, FormError, TokenError, TokenLocked, TokenRefused
from renewagent.tokens.grants import Action, Factor, Request, RequestState
from renewagent.tokens.model import TokenState
from renewagent_fixtures.virtual_tokens.phone import PhoneApp
from tests.console import NOW, URL, Dice
from tests.epcs_desk import Bench
from tests.unit.campaign.authority import PRESCRIBER, Holder, key_usage, root

TIMES: Any = {"start": NOW - timedelta(days=1), "end": NOW + timedelta(days=365)}
SIGNS_IN = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), key_usage("digital_signature"))
HERS, HIS = "GAHE00000017", "GAHE00000025"


@dataclass
class Scene:
    """Ada enters, Bea executes with her card or her token, Osei is whom it is about."""

    bench: Bench
    ada: Person
    bea: Person
    osei: Person
    ra: Holder
    card: Holder

    def request(self, action: Action = Action.GRANT) -> Request:
        return requests.enter(self.bench.desk, self.ada, self.osei, action, "New at the practice.")

    def challenge(self, request: Request, person: Person | None = None) -> Challenge:
        return factors.challenge(self.bench.desk, person or self.bea, request.id)

    def signed(self, challenge: Challenge, by: Holder | None = None, **fields: Any) -> bytes:
        holder = by or self.card
        given = {
            "purpose": Purpose.APPROVAL,
            "origin": challenge.origin,
            "card": "piv:1234",
            "certificate": sha256(holder.certificate.public_bytes(Encoding.DER)).hexdigest(),
            "old": sha256(challenge.document.encode()).hexdigest(),
            "at": self.bench.clock().replace(microsecond=0),
            "nonce": challenge.nonce,
            **fields,
        }
        return cms.sign(Statement(**given).encode(), holder.certificate, holder.key)

    def shown(self, request: Request, octets: bytes, person: Person | None = None) -> Factor:
        return factors.by_card(self.bench.desk, person or self.bea, request.id, octets)

    def refusals(self) -> list[Any]:
        log = self.bench.desk.read(audit.entries)
        return [json.loads(one.details) for one in log if one.event == "epcs.factor-refused"]


@pytest.fixture
def scene(bench: Bench) -> Scene:
    ra = root("RA root")
    bench.site.settings.ra_root.write_bytes(ra.certificate.public_bytes(Encoding.PEM))
    return Scene(
        bench,
        bench.person("ada", Role.EPCS_ADMINISTRATOR),
        bench.person("bea", dea="AB1234563", subject="cn=Bea, o=trust"),
        bench.person("osei", dea="BO1234563", subject="cn=Osei, o=trust"),
        ra,
        ra.issue("Bea", SIGNS_IN, **TIMES),
    )


def test_a_card_shows_its_person_for_one_request(scene: Scene) -> None:
    request = scene.request()
    challenge = scene.challenge(request)
    assert (challenge.origin, challenge.seconds) == (URL, timedelta(minutes=5))
    assert json.loads(challenge.document)["id"] == request.id
    factor = scene.shown(request, scene.signed(challenge))
    certificate = sha256(scene.card.certificate.public_bytes(Encoding.DER)).hexdigest()
    assert factor == Factor(scene.bea, request.id, "card", certificate, NOW)
    done = requests.execute(scene.bench.desk, factor, request.id)
    assert done.state is RequestState.EXECUTED and scene.bench.ehr.access("osei").epcs_granted


def test_a_proof_is_good_once(scene: Scene) -> None:
    request = scene.request()
    octets = scene.signed(scene.challenge(request))
    scene.shown(request, octets)
    with pytest.raises(DeskRefused, match="used before"):
        scene.shown(request, octets)


def test_a_challenge_is_good_for_five_minutes_and_until_the_next_one(scene: Scene) -> None:
    request = scene.request()
    first, second = scene.challenge(request), scene.challenge(request)
    with pytest.raises(DeskRefused, match="used before"):
        scene.shown(request, scene.signed(first))
    scene.bench.clock.move(timedelta(minutes=5))
    with pytest.raises(DeskRefused, match="longer than five minutes"):
        scene.shown(request, scene.signed(second))
    scene.shown(request, scene.signed(scene.challenge(request)))


def test_a_challenge_is_for_one_request(scene: Scene) -> None:
    grant, revoke = scene.request(), scene.request(Action.REVOKE)
    octets = scene.signed(scene.challenge(grant))
    with pytest.raises(DeskRefused, match="something else than this"):
        scene.shown(revoke, octets)
    document = requests.document_of(revoke).decode()
    moved = scene.signed(replace(scene.challenge(grant), document=document))
    with pytest.raises(DeskRefused, match="for another request"):
        scene.shown(revoke, moved)
    with pytest.raises(DeskRefused, match="something else than this"):
        scene.shown(grant, moved)


def test_a_challenge_is_for_one_person(scene: Scene) -> None:
    """Cleo's card signs what was given to Bea, and Bea shows what Cleo signed."""
    cleo = scene.bench.person("cleo", dea="AC1234563", subject="cn=Cleo, o=trust")
    card, request = scene.ra.issue("Cleo", SIGNS_IN, **TIMES), scene.request()
    hers = scene.challenge(request)
    with pytest.raises(DeskRefused, match="for another request"):
        scene.shown(request, scene.signed(hers, card), cleo)
    for octets in (scene.signed(hers, card), scene.signed(scene.challenge(request, cleo), card)):
        with pytest.raises(DeskRefused, match="not your smartcard"):
            scene.shown(request, octets)
    scene.shown(request, scene.signed(hers))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a sign-in": ({"purpose": Purpose.SIGN_IN}, "something else than an approval"),
    "a receipt": ({"purpose": Purpose.RECEIPT}, "something else than an approval"),
    "an officer's order": ({"purpose": Purpose.ORDER}, "something else than an approval"),
    "another origin": ({"origin": "https://evil.test"}, "somewhere else"),
    "nothing in particular": ({"old": "-"}, "something else than this"),
    "another document": ({"old": "ab" * 32}, "something else than this"),
    "another certificate": ({"certificate": "ab" * 32}, "something else than the console"),
    "a campaign": ({"campaign": "c/1"}, "something else than the console"),
    "no card": ({"card": "-"}, "no smartcard"),
    "six minutes ago": ({"at": NOW - timedelta(minutes=6)}, "clock"),
    "a number of one's own": ({"nonce": "ab" * 32}, "used before"),
}


@pytest.mark.parametrize("fields, why", WRONG.values(), ids=WRONG)
def test_a_statement_that_is_not_for_this_is_refused(scene: Scene, fields: dict[str, Any], why: str) -> None:
    request = scene.request()
    octets = scene.signed(scene.challenge(request), **fields)
    with pytest.raises(DeskRefused, match=why):
        scene.shown(request, octets)
    assert [one["how"] for one in scene.refusals()] == ["card"]


@pytest.mark.parametrize("octets", [b"", b"renewagent approval v1\n", b"\x30\x80", b"x" * 9000])
def test_what_is_no_signed_statement_is_refused(scene: Scene, octets: bytes) -> None:
    with pytest.raises(DeskRefused, match="no signed statement"):
        scene.shown(scene.request(), octets)


Issue = Callable[[Scene], Holder]
CARDS: dict[str, tuple[Issue, str]] = {
    "another root's": (lambda s: root("RA root").issue("Bea", SIGNS_IN, **TIMES), "not from this Registration"),
    "below her own": (lambda s: s.card.issue("Bea", SIGNS_IN, **TIMES), "not from this Registration"),
    "for prescriptions": (lambda s: s.ra.issue("Bea", PRESCRIBER, **TIMES), "no certificate to sign in with"),
    "over": (lambda s: s.ra.issue("Bea", SIGNS_IN, start=NOW - timedelta(9), end=NOW - timedelta(1)), "out of date"),
    "nobody's here": (lambda s: s.ra.issue("Zoe", SIGNS_IN, **TIMES), "not your smartcard"),
    "the subject's": (lambda s: s.ra.issue("Osei", SIGNS_IN, **TIMES), "not your smartcard"),
}


@pytest.mark.parametrize("issue, why", CARDS.values(), ids=CARDS)
def test_a_certificate_that_is_not_theirs_to_sign_in_with(scene: Scene, issue: Issue, why: str) -> None:
    request = scene.request()
    octets = scene.signed(scene.challenge(request), issue(scene))
    with pytest.raises(DeskRefused, match=why):
        scene.shown(request, octets)


def test_whoever_cannot_be_the_second_person_gets_no_challenge(scene: Scene) -> None:
    request = scene.request()
    nurse = scene.bench.person("nurse")
    far = scene.bench.person("far", dea="AF1234563", organisations="Y90")
    for person in (scene.ada, scene.osei, nurse, far):
        with pytest.raises(DeskRefused):
            scene.challenge(request, person)
        with pytest.raises(DeskRefused):
            factors.by_otp(scene.bench.desk, person, request.id, HERS, "123456")
    requests.withdraw(scene.bench.desk, scene.ada, request.id)
    with pytest.raises(DeskRefused, match="does not wait"):
        scene.challenge(request)
    with pytest.raises(DeskRefused, match="no such request"):
        factors.challenge(scene.bench.desk, scene.bea, "0" * 16)


def test_a_request_that_was_changed_in_the_database_is_another_one(scene: Scene) -> None:
    request = scene.request()
    octets = scene.signed(scene.challenge(request))
    scene.bench.site.store.writing(lambda c: c.execute(sa.update(EPCS_REQUEST).values(subject=scene.ada.id)))
    with pytest.raises(DeskRefused):
        scene.shown(request, octets)
    scene.bench.site.store.writing(
        lambda c: c.execute(sa.update(EPCS_REQUEST).values(subject=scene.osei.id, reason="x"))
    )
    with pytest.raises(DeskRefused, match="something else than this"):
        scene.shown(request, octets)


def test_somebody_who_has_left_shows_nothing(scene: Scene) -> None:
    request = scene.request()
    octets = scene.signed(scene.challenge(request))
    scene.bench.site.store.writing(lambda c: people.end(c, NOW, "tests", scene.bea))
    with pytest.raises(DeskRefused):
        scene.shown(request, octets)


# --- codes


def test_a_code_shows_whoever_has_the_token(scene: Scene) -> None:
    token, request = scene.bench.token(HERS), scene.request()
    hardware.register(scene.bench.desk, scene.bea, scene.bea, HERS, HERS)
    code = token.press()
    factor = factors.by_otp(scene.bench.desk, scene.bea, request.id, "gahe 0000 0017", f"{code[:3]} {code[3:]}")
    assert factor == Factor(scene.bea, request.id, "otp", HERS, NOW)
    with pytest.raises(TokenRefused, match="entered incorrectly"):
        factors.by_otp(scene.bench.desk, scene.bea, request.id, HERS, code)  # replayed
    requests.execute(scene.bench.desk, factor, request.id)
    assert scene.bench.ehr.access("osei").epcs_granted
    kept = b"".join(file.read_bytes() for file in scene.bench.site.settings.data.glob("console.db*"))
    assert code.encode() not in kept.replace(HERS.encode(), b"")


def test_a_phone_shows_whoever_has_it_while_the_ehr_knows_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, request = scene.bench, scene.request()
    bench.vendor.enrol("bea.soft", "bea@clinic.test", "+15550100")
    phone = PhoneApp(bench.vendor, now=bench.clock, entropy=Dice())
    phone.install("a password of the app")
    bench.vendor.invite("bea.soft")
    phone.activate_from(bench.vendor.outbox("bea@clinic.test"), bench.vendor.outbox("+15550100"))
    with pytest.raises(DeskRefused, match="no token of yours"):
        factors.by_otp(bench.desk, scene.bea, request.id, phone.serial, phone.code())
    bench.ehr.register_device("bea", "bea.soft")
    factor = factors.by_otp(bench.desk, scene.bea, request.id, phone.serial, phone.code())
    assert (factor.how, factor.evidence) == ("otp", phone.serial)
    bench.clock.move(timedelta(minutes=1))
    shown = bench.ehr.device("bea")
    assert shown is not None and bench.vendor.standing(phone.serial).state is TokenState.ACTIVE
    for other in (None, replace(shown, authenticated=False), replace(shown, username="osei.soft")):
        monkeypatch.setattr(bench.ehr, "device", lambda user, other=other: other)
        with pytest.raises(DeskRefused, match="no token of yours"):
            factors.by_otp(bench.desk, scene.bea, request.id, phone.serial, phone.code())


def test_nobody_else_s_token_is_so_much_as_asked(scene: Scene) -> None:
    bench, request = scene.bench, scene.request()
    his = bench.token(HIS)
    hardware.register(bench.desk, scene.osei, scene.osei, HIS, HIS)
    for _ in range(20):
        with pytest.raises(DeskRefused, match="no token of yours"):
            factors.by_otp(bench.desk, scene.bea, request.id, HIS, "000000")
    code = his.press()
    with pytest.raises(DeskRefused, match="no token of yours"):
        factors.by_otp(bench.desk, scene.bea, request.id, HIS, code)
    assert bench.vendor.standing(HIS).locked_until is None
    assert bench.vendor.check(HIS, code).answer.value == "accepted", "it was not used up"


def test_what_is_theirs_here_and_another_s_at_the_vendor_shows_nothing(scene: Scene) -> None:
    """The desk's own rows do not count alone, and neither does the vendor's word."""
    bench, request = scene.bench, scene.request()
    his = bench.token(HIS)
    hardware.register(bench.desk, scene.osei, scene.osei, HIS, HIS)
    move = sa.update(EPCS_TOKEN).values(owner=scene.bea.id)
    bench.site.store.writing(lambda c: c.execute(move))
    with pytest.raises(DeskRefused, match="no token of yours"):
        factors.by_otp(bench.desk, scene.bea, request.id, HIS, his.press())


def test_a_token_that_became_theirs_after_the_request_shows_nothing_for_it(scene: Scene) -> None:
    """Ada has one in her drawer, and Bea's password."""
    bench = scene.bench
    bench.token(HERS)
    hardware.register(bench.desk, scene.bea, scene.bea, HERS, HERS)
    request = scene.request()
    bench.clock.move(timedelta(minutes=1))
    drawer = bench.token(HIS)
    hardware.register(bench.desk, scene.ada, scene.bea, HIS, HIS)
    hardware.activate_spare(bench.desk, scene.ada, scene.bea, HIS)
    code = drawer.press()
    with pytest.raises(DeskRefused, match="no token of yours"):
        factors.by_otp(bench.desk, scene.bea, request.id, HIS, code)
    assert bench.vendor.check(HIS, code).answer.value == "accepted", "it was not used up"


def test_a_phone_that_was_registered_after_the_request_shows_nothing_for_it(scene: Scene) -> None:
    bench, request = scene.bench, scene.request()
    bench.clock.move(timedelta(minutes=1))
    bench.vendor.enrol("bea.soft", "bea@clinic.test", "+15550100")
    phone = PhoneApp(bench.vendor, now=bench.clock, entropy=Dice())
    phone.install("a password of the app")
    bench.vendor.invite("bea.soft")
    phone.activate_from(bench.vendor.outbox("bea@clinic.test"), bench.vendor.outbox("+15550100"))
    bench.ehr.register_device("bea", "bea.soft")
    with pytest.raises(DeskRefused, match="no token of yours"):
        factors.by_otp(bench.desk, scene.bea, request.id, phone.serial, phone.code())


def unfit(scene: Scene, how: str) -> None:
    bench = scene.bench
    if how == "not registered":
        bench.token(HERS)
        return
    bench.token(HERS)
    hardware.register(bench.desk, scene.bea, scene.bea, HERS, HERS)
    if how == "disabled at the vendor":
        bench.vendor.disable(HERS, lost=True)
    if how == "lost":
        hardware.report_lost(bench.desk, scene.bea, scene.bea, HERS, "lost")
    if how == "a spare":
        bench.token("GAHE00000033")
        hardware.register(bench.desk, scene.bea, scene.bea, "GAHE00000033", "GAHE00000033")
        hardware.activate_spare(bench.desk, scene.bea, scene.bea, "GAHE00000033")


@pytest.mark.parametrize("how", ["not registered", "disabled at the vendor", "lost", "a spare"])
def test_a_token_that_is_not_in_use_shows_nothing(scene: Scene, how: str) -> None:
    unfit(scene, how)
    request = scene.request()
    with pytest.raises(DeskRefused, match="no token of yours"):
        factors.by_otp(scene.bench.desk, scene.bea, request.id, HERS, "123456")


@pytest.mark.parametrize("code", ["", "12345", "123456789", "12345a", "\uff11\uff12\uff13\uff14\uff15\uff16"])
def test_what_is_no_code_is_not_sent(scene: Scene, code: str) -> None:
    with pytest.raises(FormError):
        factors.by_otp(scene.bench.desk, scene.bea, scene.request().id, HERS, code)


def test_guessing_locks_the_token_and_says_so_whatever_comes(scene: Scene) -> None:
    token, request = scene.bench.token(HERS), scene.request()
    hardware.register(scene.bench.desk, scene.bea, scene.bea, HERS, HERS)
    seen: list[type[TokenError]] = []
    for _ in range(12):
        with pytest.raises((TokenRefused, TokenLocked)) as refused:
            factors.by_otp(scene.bench.desk, scene.bea, request.id, HERS, "000000")
        seen.append(refused.type)
    assert seen[0] is TokenRefused and seen[-1] is TokenLocked
    with pytest.raises(TokenLocked):
        factors.by_otp(scene.bench.desk, scene.bea, request.id, HERS, token.press())
    assert {one["how"] for one in scene.refusals()} == {"otp"} and len(scene.refusals()) == 13
    assert not [one for one in scene.refusals() if "000000" in str(one)]


def test_two_accounts_with_one_card_are_one_person(scene: Scene) -> None:
    """The database cannot hold it, and were it to, the judgement would see it."""
    with pytest.raises(people.PeopleError):
        scene.bench.person("bea2", Role.EPCS_ADMINISTRATOR, subject="CN=BEA,O=Trust")
    subject = people.canonical_subject("CN=Bea,O=trust")
    scene.bench.site.store.writing(
        lambda c: c.execute(sa.update(PERSON).where(PERSON.c.ehr == "ada").values(subject=subject))
    )
    with pytest.raises(DeskRefused, match="one smartcard"):
        scene.challenge(scene.request())

"""Signing in by card: only a fresh statement, for this console, by the card of somebody who may, counts; and once."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from starlette.applications import Starlette

from renewagent import cms
from renewagent.console import audit, people, sessions, sign_in
from renewagent.console.card_sign_in import Shown, SignInRefused
from renewagent.console.doorkeeper import Doorkeeper
from renewagent.console.guards import Bounded
from renewagent.console.mishaps import HANDLERS
from renewagent.console.permissions import Role
from renewagent.console.settings import SingleSignOn
from renewagent.console.site import Site
from renewagent.console.tables import CHALLENGE, SESSION
from renewagent.statements import Purpose, Statement
from tests import postgresql
from tests.console import NOW, URL, Answer, Browser, Clock, form_token, new_person, new_site
from tests.unit.campaign.authority import AUTHORITY, PRESCRIBER, Holder, key_usage, root

DAY = timedelta(days=1)
TIMES: Any = {"start": NOW - DAY, "end": NOW + 365 * DAY}
SIGNS_IN = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), key_usage("digital_signature"))
COMMAND = [("accept", "application/json"), ("content-type", "application/cms")]
SSO = SingleSignOn(("192.0.2.9",), "x-account", "x-proxy-secret", "s" * 32)


@dataclass
class Place:
    """A console, the RA above its people's cards, and one of those cards."""

    site: Site
    clock: Clock
    app: Any
    root: Holder
    card: Holder

    def command(self, address: str = "198.51.100.7") -> Browser:
        return Browser(self.app, address=address, headers=COMMAND)

    def nonce(self) -> str:
        answer = self.command().post("/sign-in/challenge", b"")
        assert answer.status == 200
        said: dict[str, str] = json.loads(answer.body)
        assert said.keys() == {"nonce", "origin"} and said["origin"] == URL
        return said["nonce"]

    def statement(self, by: Holder | None = None, **fields: Any) -> Statement:
        der = (by or self.card).certificate.public_bytes(Encoding.DER)
        given = {
            "purpose": Purpose.SIGN_IN,
            "origin": URL,
            "card": "piv:1234",
            "certificate": sha256(der).hexdigest(),
            "at": self.clock().replace(microsecond=0),
            **fields,
        }
        return Statement(nonce=given.pop("nonce", None) or self.nonce(), **given)

    def show(self, octets: bytes) -> Answer:
        return self.command().post("/sign-in/card", octets)

    def sign_in(self, by: Holder | None = None, **fields: Any) -> Answer:
        return self.show(signed(self.statement(by, **fields).encode(), by or self.card))

    def link(self) -> str:
        answer = self.sign_in()
        assert answer.status == 200, answer.text
        return str(json.loads(answer.body)["link"])

    def count(self, table: sa.Table) -> int:
        found = self.site.store.reading(lambda c: c.execute(sa.select(sa.func.count()).select_from(table)).scalar())
        return int(found or 0)


def signed(content: bytes, by: Holder, *chain: x509.Certificate) -> bytes:
    return cms.sign(content, by.certificate, by.key, chain)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    clock = Clock()
    site = new_site(tmp_path, clock, sso=SSO)
    app = Bounded(Starlette(routes=sign_in.routes(site), exception_handlers=HANDLERS), 1 << 20)
    ra = root("RA root")
    site.settings.ra_root.write_bytes(pem(ra.certificate))
    card = ra.issue("Nadia Osei", SIGNS_IN, **TIMES)
    new_person(site, Role.RA_AGENT, "RX1", name="Nadia Osei", subject="cn=nadia osei, o=TRUST", account="nadia")
    return Place(site, clock, Doorkeeper(app, site.settings), ra, card)


def finish(place: Place, link: str, **browser: Any) -> Answer:
    """As a person does: look at the page, then send its form."""
    here, token = Browser(place.app, **browser), link.partition("link=")[2]
    page = here.get(link.removeprefix(URL))
    assert page.status == 200 and "Sign in as Nadia Osei" in page.text and token in page.text
    return here.post("/sign-in/finish", {"link": token})


def test_a_card_signs_its_person_in(place: Place) -> None:
    answer = place.sign_in()
    said = json.loads(answer.body)
    assert (said["name"], said["role"], said["seconds"]) == ("Nadia Osei", "RA Agent", 60)
    assert said["link"].startswith(f"{URL}/sign-in/finish?link=")
    assert place.count(SESSION) == 0
    begun = finish(place, said["link"])
    assert (begun.status, begun.header("location")) == (303, "/")
    cookie = begun.header("set-cookie")
    assert cookie.startswith("__Host-renewagent=") and "Domain" not in cookie
    assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    here = Browser(place.app, begun.cookie)
    assert here.get("/sign-in?next=/cards").header("location") == "/cards"
    log = place.site.store.reading(audit.entries)
    assert [one.event for one in log] == ["person.added", "sign-in.proved", "session.begun"]
    assert json.loads(log[1].details) == {
        "card": "piv:1234",
        "certificate": place.statement(nonce="00" * 8).certificate,
    }


def test_nothing_that_opens_a_session_is_kept_as_it_is(place: Place) -> None:
    nonce = place.nonce()
    link = place.link()
    finish_cookie = finish(place, place.link()).cookie
    kept = (place.site.settings.data / "console.db").read_bytes()
    kept += (place.site.settings.data / "console.db-wal").read_bytes()
    for secret in (nonce, link.partition("link=")[2], finish_cookie):
        assert secret.encode() not in kept


def test_a_proof_is_good_once(place: Place) -> None:
    octets = signed(place.statement().encode(), place.card)
    assert place.show(octets).status == 200
    again = place.show(octets)
    assert again.status == 403 and "used before" in again.text
    # The same nonce signed once more, by the same card, is no better.
    nonce = place.nonce()
    assert place.sign_in(nonce=nonce).status == 200
    assert place.sign_in(nonce=nonce, at=place.clock().replace(second=1)).status == 403


def test_two_tabs_are_two_sign_ins(place: Place) -> None:
    first, second = place.nonce(), place.nonce()
    assert place.sign_in(nonce=second).status == 200
    assert place.sign_in(nonce=first).status == 200


def test_a_link_is_good_once_and_for_a_minute(place: Place) -> None:
    link = place.link()
    assert finish(place, link).status == 303
    token = link.partition("link=")[2]
    assert Browser(place.app).get(link.removeprefix(URL)).status == 410
    assert Browser(place.app).post("/sign-in/finish", {"link": token}).status == 410
    late = place.link()
    place.clock.move(timedelta(seconds=61))
    assert Browser(place.app).get(late.removeprefix(URL)).status == 410
    assert Browser(place.app).post("/sign-in/finish", {"link": late.partition("link=")[2]}).status == 410
    assert place.count(SESSION) == 1


def test_looking_at_a_link_uses_nothing_up(place: Place) -> None:
    link = place.link()
    for _ in range(3):
        assert Browser(place.app, headers=[]).get(link.removeprefix(URL)).status == 200
    assert finish(place, link).status == 303


@pytest.mark.parametrize("origin", ["https://evil.test", "null", URL + ".evil.test"])
def test_another_site_cannot_sign_somebody_in_as_its_own_person(place: Place, origin: str) -> None:
    """Login CSRF: the attacker has a good link, and the victim's browser is to use it."""
    form = {"link": place.link().partition("link=")[2]}
    for headers in ([("origin", origin)], [("sec-fetch-site", "cross-site")], []):
        refused = Browser(place.app, headers=headers).post("/sign-in/finish", form)
        assert refused.status == 403 and "set-cookie" not in refused.headers


def test_a_session_is_never_one_that_somebody_brought_along(place: Place) -> None:
    """Session fixation: neither a made-up number nor another's session becomes the person's own."""
    begun = finish(place, place.link(), token="made-up-by-an-attacker")
    assert begun.cookie not in ("", "made-up-by-an-attacker")
    again = finish(place, place.link(), token=begun.cookie)
    assert again.cookie not in ("", begun.cookie)
    assert Browser(place.app, begun.cookie).get("/sign-in").status == 200  # the old one has ended
    assert Browser(place.app, again.cookie).get("/sign-in").status == 303


def test_a_session_that_was_begun_by_a_link_of_a_nonce_cannot_be(place: Place) -> None:
    """A nonce is no link, and a link is no nonce, though they are kept in one table."""
    nonce, token = place.nonce(), place.link().partition("link=")[2]
    assert Browser(place.app).post("/sign-in/finish", {"link": nonce}).status == 410
    with pytest.raises(ValueError, match="nonce"):
        place.statement(nonce=token).encode()


def test_signing_out_ends_the_session_and_takes_the_cookie_back(place: Place) -> None:
    token = finish(place, place.link()).cookie
    here = Browser(place.app, token)
    assert here.post("/sign-out", {}).status == 403
    out = here.post("/sign-out", {"csrf": form_token(place.site, token)})
    assert out.status == 200 and "Max-Age=0" in out.header("set-cookie") and out.cookie == ""
    assert place.count(SESSION) == 0
    assert here.get("/sign-in").status == 200


Wrong = Callable[[Place], Answer]
WRONG: dict[str, tuple[Wrong, str]] = {
    "another origin": (lambda p: p.sign_in(origin="https://evil.test"), "somewhere else"),
    "an origin with a path": (lambda p: p.sign_in(origin=URL + "/"), "somewhere else"),
    "another port": (lambda p: p.sign_in(origin="https://console.test"), "somewhere else"),
    "no tls": (lambda p: p.sign_in(origin=URL.replace("https", "http")), "somewhere else"),
    "a receipt": (lambda p: p.sign_in(purpose=Purpose.RECEIPT), "something else than a sign-in"),
    "a ticket": (lambda p: p.sign_in(purpose=Purpose.TICKET), "something else than a sign-in"),
    "about the signing certificate, as for the RA": (lambda p: p.sign_in(certificate="ab" * 32), "something else"),
    "with a campaign": (lambda p: p.sign_in(campaign="c/1"), "something else"),
    "with an old certificate": (lambda p: p.sign_in(old="ab" * 32), "something else"),
    "no card": (lambda p: p.sign_in(card="-"), "names no smartcard"),
    "six minutes ago": (lambda p: p.sign_in(at=NOW - timedelta(minutes=6)), "clock"),
    "in six minutes": (lambda p: p.sign_in(at=NOW + timedelta(minutes=6)), "clock"),
    "a nonce of one's own": (lambda p: p.sign_in(nonce="ab" * 32), "used before"),
    "nothing": (lambda p: p.show(b""), "no signed statement"),
    "no cms": (lambda p: p.show(b"renewagent sign-in v1"), "no signed statement"),
    "an unsigned statement": (lambda p: p.show(p.statement().encode()), "no signed statement"),
    "text": (lambda p: p.show(signed(b"hello", p.card)), "no signed statement"),
    "a statement and more": (lambda p: p.show(signed(p.statement().encode() + b"x", p.card)), "no signed statement"),
}


@pytest.mark.parametrize("wrong, why", WRONG.values(), ids=WRONG)
def test_a_statement_that_is_not_for_this_is_refused(place: Place, wrong: Wrong, why: str) -> None:
    answer = wrong(place)
    assert answer.status == 403 and why in answer.text, answer.text
    assert place.count(SESSION) == 0
    assert (
        place.site.store.reading(lambda c: c.execute(sa.select(CHALLENGE).where(CHALLENGE.c.kind == "link")).first())
        is None
    )


def test_a_statement_that_was_changed_is_refused(place: Place) -> None:
    elsewhere = URL.replace("console", "mallory")
    octets = signed(place.statement(origin=elsewhere).encode(), place.card)
    assert octets.count(elsewhere.encode()) == 1
    answer = place.show(octets.replace(elsewhere.encode(), URL.encode()))
    assert answer.status == 403 and "not what was signed" in answer.text


def card_of(place: Place, kind: str) -> Holder:
    """Somebody else's, or another of the person's."""
    if kind == "a foreign root":
        return root("RA root").issue("Nadia Osei", SIGNS_IN, **TIMES)
    if kind == "below the person's own card":
        return place.card.issue("Nadia Osei", SIGNS_IN, **TIMES)
    if kind == "its signing certificate":
        return place.root.issue("Nadia Osei", PRESCRIBER, **TIMES)
    if kind == "a signing certificate alone":
        return place.root.issue("Nadia Osei", (key_usage("content_commitment"),), **TIMES)
    if kind == "no key usage":
        return place.root.issue("Nadia Osei", (), **TIMES)
    if kind == "a campaign signer":
        return place.root.issue("Nadia Osei", **TIMES)
    if kind == "a server":
        server = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), key_usage("digital_signature"))
        return place.root.issue("Nadia Osei", server, **TIMES)
    if kind == "expired":
        return place.root.issue("Nadia Osei", SIGNS_IN, start=NOW - 9 * DAY, end=NOW - DAY)
    if kind == "not yet valid":
        return place.root.issue("Nadia Osei", SIGNS_IN, start=NOW + DAY, end=NOW + 9 * DAY)
    return place.root.issue(kind, SIGNS_IN, **TIMES)


@pytest.mark.parametrize(
    "kind, why",
    [
        ("a foreign root", "not from this Registration Authority"),
        ("below the person's own card", "not from this Registration Authority"),
        ("its signing certificate", "no certificate to sign in with"),
        ("a signing certificate alone", "no certificate to sign in with"),
        ("no key usage", "no certificate to sign in with"),
        ("a campaign signer", "no certificate to sign in with"),
        ("a server", "no certificate to sign in with"),
        ("expired", "out of date"),
        ("not yet valid", "out of date"),
        ("Petra Prescriber", "Nobody may use this console with that smartcard"),
        ("Nadia Osei 2", "Nobody may use this console with that smartcard"),
    ],
)
def test_a_card_that_is_not_theirs_lets_nobody_in(place: Place, kind: str, why: str) -> None:
    answer = place.sign_in(card_of(place, kind))
    assert answer.status == 403 and why in answer.text, answer.text


def test_the_log_says_why_a_chain_was_not_found(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", sign_in.__name__):
        place.sign_in(card_of(place, "a foreign root"))
    (told,) = (vars(record)["fields"] for record in caplog.records if "refused" in record.message)
    assert "not from this Registration Authority" in told["why"] and "no chain to a trust anchor" in told["because"]


def test_a_prescriber_is_told_the_name_to_be_added(place: Place) -> None:
    answer = place.sign_in(card_of(place, "Petra Prescriber"))
    assert "cn=petra prescriber,o=trust" in answer.text.lower()


def test_the_signer_named_is_the_one_who_signed(place: Place) -> None:
    """Another card under the same root puts this person's certificate beside its own, or in its own's place."""
    other = place.root.issue("Mallory", SIGNS_IN, **TIMES)
    beside = signed(place.statement().encode(), other, place.card.certificate)
    assert place.show(beside).status == 403
    posing = cms.sign(place.statement().encode(), place.card.certificate, other.key)
    answer = place.show(posing)
    assert answer.status == 403 and "signature" in answer.text


def test_an_intermediate_may_stand_between(place: Place) -> None:
    below = place.root.issue("RA issuing", AUTHORITY, **TIMES)
    card = below.issue("Nadia Osei", SIGNS_IN, **TIMES)
    assert place.show(signed(place.statement(card).encode(), card)).status == 403
    assert place.show(signed(place.statement(card).encode(), card, below.certificate)).status == 200


def test_somebody_who_has_ended_stays_out(place: Place) -> None:
    link = place.link()
    nadia = place.site.store.reading(people.everybody)[0].person
    place.site.store.writing(lambda connection: people.end(connection, NOW, "tests", nadia))
    assert place.sign_in().status == 403
    assert Browser(place.app).get(link.removeprefix(URL)).status == 410
    assert Browser(place.app).post("/sign-in/finish", {"link": link.partition("link=")[2]}).status == 410


def test_a_nonce_runs_out(place: Place) -> None:
    nonce = place.nonce()
    place.clock.move(timedelta(minutes=5))
    answer = place.sign_in(nonce=nonce)
    assert answer.status == 403 and "longer than five minutes" in answer.text


def test_a_nonce_that_was_shown_by_somebody_unknown_is_used_up(place: Place) -> None:
    nonce = place.nonce()
    assert place.sign_in(card_of(place, "Petra Prescriber"), nonce=nonce).status == 403
    assert place.sign_in(nonce=nonce).status == 403


def revoking(place: Place, *lists: x509.CertificateRevocationList) -> Place:
    path = place.site.settings.data / "lists.pem"
    path.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in lists))
    site = replace(place.site, settings=replace(place.site.settings, crls=(path,)))
    return replace(place, site=site, app=Starlette(routes=sign_in.routes(site), exception_handlers=HANDLERS))


def test_a_revoked_card_stays_out(place: Place) -> None:
    other = place.root.issue("Other", SIGNS_IN, **TIMES)
    assert revoking(place, place.root.revoke(other, start=NOW)).sign_in().status == 200
    refused = revoking(place, place.root.revoke(place.card, start=NOW)).sign_in()
    assert refused.status == 403 and "revoked" in refused.text
    stale_but_named = place.root.revoke(place.card, start=NOW - 9 * DAY)
    assert "has been revoked" in revoking(place, stale_but_named, place.root.revoke(start=NOW)).sign_in().text


def test_without_a_list_in_date_nobody_can_tell(place: Place) -> None:
    for lists in ([place.root.revoke(start=NOW - 9 * DAY)], [root("RA root").revoke(start=NOW)]):
        refused = revoking(place, *lists).sign_in()
        assert refused.status == 403 and "cannot tell" in refused.text


def test_signing_in_is_limited_by_address(place: Place) -> None:
    here = place.command("203.0.113.1")
    answers = [here.post("/sign-in/challenge", b"") for _ in range(61)]
    assert [one.status for one in answers] == [200] * 60 + [429]
    assert int(answers[-1].header("retry-after")) == 600
    assert place.command("203.0.113.2").post("/sign-in/challenge", b"").status == 200
    spoofed = Browser(place.app, address="203.0.113.1", headers=[*COMMAND, ("x-forwarded-for", "203.0.113.3")])
    assert spoofed.post("/sign-in/challenge", b"").status == 429
    wrong = [here.post("/sign-in/card", b"x").status for _ in range(61)]
    assert wrong == [403] * 60 + [429]
    guesses = [Browser(place.app, address="203.0.113.1").get("/sign-in/finish?link=x").status for _ in range(61)]
    assert guesses == [410] * 60 + [429]
    six = [place.command(f"2001:db8::{n:x}").post("/sign-in/challenge", b"").status for n in range(61)]
    assert six[-1] == 429  # one customer's network
    place.clock.move(timedelta(minutes=10))
    assert here.post("/sign-in/challenge", b"").status == 200


def test_a_large_body_is_not_read(place: Place) -> None:
    assert place.command().post("/sign-in/card", b"x" * (64 * 1024 + 1)).status == 413


FROM_PROXY = (("x-proxy-secret", "s" * 32), ("x-account", "nadia"))


def test_the_proxy_signs_its_people_in(place: Place) -> None:
    here = Browser(place.app, address="192.0.2.9")
    begun = here.get("/sign-in?next=/cards", *FROM_PROXY)
    assert (begun.status, begun.header("location")) == (303, "/cards") and begun.cookie
    here.token = begun.cookie
    assert here.get("/sign-in", *FROM_PROXY).cookie == ""  # signed in already
    assert here.get("/sign-in", FROM_PROXY[0], ("x-account", "nobody")).status == 403
    assert Browser(place.app).get("/sign-in", *FROM_PROXY).status == 200  # not the proxy: the page for cards


@pytest.mark.parametrize(
    "wanted", ["//evil.test", "/\\evil.test", "https://evil.test", "evil", "", "/a b", "/a\r\nX: y", "/é"]
)
def test_nobody_is_sent_on_to_another_site(place: Place, wanted: str) -> None:
    here = Browser(place.app, address="192.0.2.9")
    assert here.get(f"/sign-in?next={quote(wanted)}", *FROM_PROXY).header("location") == "/"


def test_two_servers_take_one_link_and_one_nonce_once(tmp_path: Path) -> None:
    """Several processes on PostgreSQL, asked at the same moment."""
    with postgresql.server() as url:
        sites = [new_site(tmp_path, Clock(), database=url) for _ in range(4)]
        person = new_person(sites[0], name="Nadia Osei", subject="CN=nadia")
        store = sites[0].store

        def proofs(site: Site, nonce: str) -> str:
            shown = Shown(people.canonical_subject("CN=nadia"), "ab" * 32, "piv:1", nonce)
            try:
                link = site.store.writing(lambda c: sign_in.new_link(c, site, NOW, shown))
            except SignInRefused:
                return ""
            return link.token if link is not None else ""

        nonce = store.writing(lambda c: sign_in.new_nonce(c, sites[0], NOW))
        links = [token for token in at_once(lambda site: proofs(site, nonce), sites) if token]
        assert len(links) == 1

        def follow(site: Site) -> str | None:
            dice = replace(site, entropy=secrets.token_bytes)
            return site.store.writing(lambda c: sign_in.follow_link(c, dice, NOW, links[0]))

        begun = [token for token in at_once(follow, sites) if token]
        assert len(begun) == 1
        visitor = store.reading(lambda c: sessions.find(c, sites[0].settings, NOW, begun[0]))
        assert visitor is not None and visitor.person == person
        for site in sites:
            site.store.close()


def at_once(work: Callable[[Site], Any], sites: list[Site]) -> list[Any]:
    with ThreadPoolExecutor(len(sites)) as pool:
        return list(pool.map(work, sites))

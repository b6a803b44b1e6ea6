"""A prescriber who signs with a phone app, those who look after them, and what goes wrong with apps."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from renewagent.console.epcs import overrides, requests, soft
from renewagent.console.epcs.desk import Desk, Factor
from renewagent.console.epcs.soft import SoftRun
from renewagent.console.permissions import Person, Role
from renewagent.tokens.errors import EhrRefused
from renewagent.tokens.grants import Action, RequestState
from renewagent.tokens.model import Staff
from renewagent.tokens.soft_causes import Cause
from renewagent_fixtures.virtual_tokens.phone import PhoneApp
from tests.epcs_desk import Bench, new_bench, password

EMAIL, PHONE = "lee@clinic.example", "+1 555 0142"
APP_PASSWORD, NEW_PASSWORD = "larks at noon", "larks at dusk"
USERNAME = "lee.app"


@dataclass
class SoftWorld:
    """`lee` prescribes, `hale` administers, `reed` is another prescriber with a DEA registration."""

    bench: Bench
    lee: Person
    hale: Person
    reed: Person
    phone: PhoneApp = field(init=False)

    @property
    def desk(self) -> Desk:
        return self.bench.desk

    def signs(self) -> str:
        """ "" if a prescription is signed with the app, else what the EHR says."""
        self.bench.clock.move(timedelta(seconds=60))  # no code twice
        try:
            self.bench.ehr.prescribe("lee", password("lee"), self.phone.code())
        except EhrRefused as refusal:
            return refusal.message
        return ""

    def activate(self) -> None:
        """Whatever phone they have, by what came last."""
        self.phone.activate_from(self.bench.vendor.outbox(EMAIL), self.bench.vendor.outbox(PHONE))

    def override(self) -> None:
        overrides.give(self.desk, self.hale, self.lee, "enable")

    def grant(self) -> None:
        """By two: what is entered already is executed."""
        waiting = [one for one in requests.waiting(self.desk, self.hale) if one.action is Action.GRANT]
        request = waiting[0] if waiting else requests.enter(self.desk, self.hale, self.lee, Action.GRANT, "A new phone")
        if request.state is RequestState.WAITING:
            factor = Factor(self.reed, request.id, "otp", "GALH00000001", self.desk.now())
            requests.execute(self.desk, factor, request.id)

    def begin(self, cause: Cause) -> SoftRun:
        return soft.begin(self.desk, self.lee, self.lee, cause)

    def go_on(self, run: SoftRun, by: Person | None = None) -> SoftRun:
        return soft.go_on(self.desk, by or self.lee, run.id)

    # --- The five causes

    def befall(self, cause: Cause) -> None:
        """What makes the EHR say "Soft Token Expired"."""
        if cause is Cause.PASSWORD_CHANGED:
            self.phone.change_password(APP_PASSWORD, NEW_PASSWORD)
        elif cause is Cause.NEW_PHONE:
            self.phone = self.phone.new_phone(APP_PASSWORD)
        elif cause is Cause.REINSTALLED:
            self.phone.reinstall(APP_PASSWORD)
        elif cause is Cause.PASSWORD_EXPIRED:
            self.bench.clock.move(timedelta(days=731))
        else:
            self.phone.renew_certificate()

    def act(self, cause: Cause) -> None:
        """What the person does at their phone when the run says so."""
        if cause in (Cause.NEW_PHONE, Cause.REINSTALLED):
            self.activate()
        elif cause is Cause.PASSWORD_EXPIRED:
            self.phone.change_password(APP_PASSWORD, NEW_PASSWORD)
            self.phone.renew_certificate()  # of the same day

    def close(self) -> None:
        self.bench.close()


def new_world(folder: Path, **settings: Any) -> SoftWorld:
    """Lee signs with the app, and has for a month."""
    bench = new_bench(folder, **settings)
    world = SoftWorld(
        bench,
        bench.person("lee", dea="AL1234563"),
        bench.person("hale", Role.EPCS_ADMINISTRATOR),
        bench.person("reed", dea="BR1234563"),
    )
    bench.ehr.add_staff(Staff("lee", "Ann Lee", "1245319599", "AL1234563", EMAIL), password("lee"))
    bench.vendor.enrol(USERNAME, EMAIL, PHONE)
    bench.vendor.invite(USERNAME)
    world.phone = PhoneApp(bench.vendor, now=bench.clock, entropy=bench.site.entropy)
    world.phone.install(APP_PASSWORD)
    world.activate()
    bench.clock.move(timedelta(hours=1))
    register_by_hand(bench)
    bench.clock.move(timedelta(days=30))
    return world


def register_by_hand(bench: Bench) -> None:
    """As before there was a desk."""
    bench.ehr.register_device("lee", USERNAME)
    bench.ehr.give_override("lee", bench.clock() + timedelta(minutes=5))
    bench.ehr.enable_epcs("lee")
    bench.ehr.remove_override("lee")
    bench.ehr.grant_epcs("lee", entered_by="hale", executed_by="reed")

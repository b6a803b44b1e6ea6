"""Who may see and do what in the console: roles as RAs have them, and the organisations that each person answers for.

Pure. What belongs to an organisation is seen by those who answer for it; what touches every organisation at once
(a campaign, the audit log) takes somebody who answers for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

EVERY = "*"
"""In place of organisation codes: all of them."""


class Role(Enum):
    """The roles of a Registration Authority, the highest first, and those of EPCS, which have no part in the RA."""

    RA_MANAGER = "ra-manager"
    RA_AGENT_ADVANCED = "ra-agent-advanced"
    RA_AGENT = "ra-agent"
    SPONSOR = "sponsor"
    ID_CHECKER = "id-checker"
    LOCAL_SMARTCARD_ADMINISTRATOR = "local-smartcard-administrator"
    EPCS_ADMINISTRATOR = "epcs-administrator"
    PRESCRIBER = "prescriber"

    @property
    def words(self) -> str:
        """As people call it."""
        return _WORDS[self]


_WORDS = {
    Role.RA_MANAGER: "RA Manager",
    Role.RA_AGENT_ADVANCED: "RA Agent (Advanced)",
    Role.RA_AGENT: "RA Agent",
    Role.SPONSOR: "Sponsor",
    Role.ID_CHECKER: "ID Checker",
    Role.LOCAL_SMARTCARD_ADMINISTRATOR: "Local Smartcard Administrator",
    Role.EPCS_ADMINISTRATOR: "EPCS administrator",
    Role.PRESCRIBER: "Prescriber",
}


class Permission(Enum):
    """One thing to see or do. A page asks for exactly one."""

    SEE_DASHBOARD = "see the numbers"
    SEE_CARDS = "see cards and how far they are"
    SEE_HOLDERS = "see who holds a card"
    EXPORT_CARDS = "export cards as CSV"
    SEE_CAMPAIGNS = "see campaigns"
    SEE_AGENTS = "see workstations"
    ASK_FOR_CHECKS = "have workstations check now"
    REVOKE_AGENT = "shut a workstation out"
    MAKE_FLEET_CODES = "make fleet codes"
    DRAFT_CAMPAIGN = "draft a version of a campaign"
    PUBLISH_CAMPAIGN = "publish a signed campaign"
    UPLOAD_TARGETS = "upload the targets of a campaign"
    MANAGE_PEOPLE = "say who may sign in"
    SEE_AUDIT = "see the audit log"
    USE_EPCS = "use the EPCS desk"
    ADMINISTER_EPCS = "look after other people's tokens and grants"
    EXECUTE_EPCS = "execute grants and revocations"


_MANAGER = frozenset({Role.RA_MANAGER})
_ADVANCED = _MANAGER | {Role.RA_AGENT_ADVANCED}
_AGENTS = _ADVANCED | {Role.RA_AGENT}
_EPCS = frozenset({Role.EPCS_ADMINISTRATOR, Role.PRESCRIBER})
_EVERYONE = frozenset(Role) - _EPCS

MAY: dict[Permission, frozenset[Role]] = {
    Permission.SEE_DASHBOARD: _EVERYONE,
    Permission.SEE_CARDS: _EVERYONE,
    # An ID Checker sees reports about people; a Sponsor's and an unlocker's are about smartcards alone.
    Permission.SEE_HOLDERS: _AGENTS | {Role.ID_CHECKER},
    Permission.EXPORT_CARDS: _AGENTS | {Role.ID_CHECKER, Role.SPONSOR},
    Permission.SEE_CAMPAIGNS: _EVERYONE,
    Permission.SEE_AGENTS: _AGENTS,
    Permission.ASK_FOR_CHECKS: _AGENTS,
    Permission.REVOKE_AGENT: _ADVANCED,
    Permission.MAKE_FLEET_CODES: _MANAGER,
    Permission.DRAFT_CAMPAIGN: _ADVANCED,
    Permission.PUBLISH_CAMPAIGN: _MANAGER,
    Permission.UPLOAD_TARGETS: _ADVANCED,
    Permission.MANAGE_PEOPLE: _MANAGER,
    Permission.SEE_AUDIT: _MANAGER,
    Permission.USE_EPCS: _EPCS,
    Permission.ADMINISTER_EPCS: frozenset({Role.EPCS_ADMINISTRATOR}),
    Permission.EXECUTE_EPCS: _EPCS,
}
FOR_ALL = frozenset({Permission.PUBLISH_CAMPAIGN, Permission.UPLOAD_TARGETS, Permission.SEE_AUDIT})
"""These reach beyond any organisation: only for somebody who answers for all of them."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in. `organisations`: codes, or `EVERY` alone; `ehr`: their user name in the EHR, and `dea`
    their DEA registration number, or ""."""

    id: str
    name: str
    role: Role
    organisations: frozenset[str]
    ehr: str = ""
    dea: str = ""

    @property
    def answers_for_all(self) -> bool:
        """Every organisation is this person's."""
        return EVERY in self.organisations

    @property
    def actor(self) -> str:
        """As the audit log names them: the name may be another's as well, the id is not."""
        return f"{self.name} ({self.id})"

    def may(self, permission: Permission) -> bool:
        """At all; for one organisation's things ask `covers` besides."""
        if permission is Permission.EXECUTE_EPCS and not self.dea:
            return False  # 21 CFR 1311.125(c): a DEA registrant
        return self.role in MAY[permission] and (permission not in FOR_ALL or self.answers_for_all)

    def covers(self, organisation: str) -> bool:
        """The organisation (code) is one of this person's. What belongs to none ("") is for those who have all."""
        return self.answers_for_all or (organisation != "" and organisation in self.organisations)

    def may_appoint(self, organisations: Iterable[str]) -> bool:
        """Say of people for these organisations, in whatever role, that they may sign in or no longer may: nobody
        hands on more than they have."""
        wanted = frozenset(organisations)
        within = self.answers_for_all or (bool(wanted) and wanted <= self.organisations)
        return self.may(Permission.MANAGE_PEOPLE) and within

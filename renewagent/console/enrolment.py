"""Enrolment of agents: fleet codes, and who an agent is from then on.

A fleet code is for one organisation, so an agent's organisation is proved by the code that it had and never claimed. It
is 128 random bits, of which only the hash is kept, and ends by itself; several are good while one takes over. Rates are
limited per address and per code: wrong codes never keep right ones out.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

import sqlalchemy as sa

from renewagent.console import audit
from renewagent.console.agents_ca import CertificateRequest
from renewagent.console.rate_limits import allow
from renewagent.console.tables import AGENT, FLEET_CODE, ORGANISATION
from renewagent.console.upserts import insert
from renewagent.errors import ConfigurationError

CODE_LASTS = timedelta(days=30)
LONGEST_CODE_LASTS = 366
"""Days."""
_ORGANISATION = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,39}")
_WORDS = re.compile(r"[\x20-\x7e\u00a0-\ud7ff\ue000-\uffff]{0,100}")
_WINDOW = timedelta(minutes=10)
_WRONG_PER_ADDRESS = 20
_PER_ADDRESS = 5_000
"""A hospital enrols from behind one address."""
_PER_CODE = 20_000


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What an agent says of itself: a machine's name, a number for the account, its version."""

    machine: str
    account: str
    version: str

    def __post_init__(self) -> None:
        if not all(_WORDS.fullmatch(word) for word in (self.machine, self.account, self.version)):
            raise ValueError("machine, account and version are short texts")


def make_code(
    connection: sa.Connection,
    now: datetime,
    entropy: Callable[[int], bytes],
    organisation: str,
    *,
    name: str = "",
    days: int = CODE_LASTS.days,
    made_by: str = "administrator",
) -> str:
    """A new fleet code for `organisation` (its code; `name` names it), good for `days`. Raises ConfigurationError."""
    if not _ORGANISATION.fullmatch(organisation):
        raise ConfigurationError(
            "An organisation's code is capital letters and digits.", advice="Give it as in --organisation RX1."
        )
    if not 1 <= days <= LONGEST_CODE_LASTS or not _WORDS.fullmatch(name):
        raise ConfigurationError(
            f"A fleet code lasts 1 to {LONGEST_CODE_LASTS} days, and a name has up to 100 characters.",
            advice="Give another number of days, or a shorter name.",
        )
    text = base64.b32encode(entropy(16)).decode().rstrip("=").lower()
    code = "-".join(text[i : i + 5] for i in range(0, len(text), 5))
    ends = now + timedelta(days=days)
    _name_organisation(connection, organisation, name)
    digest = _digest(code)
    row = {"digest": digest, "organisation": organisation, "made": now, "ends": ends, "made_by": made_by}
    connection.execute(sa.insert(FLEET_CODE).values(row))
    details = {"organisation": organisation, "code": digest[:12], "days": days}
    audit.record(connection, now, made_by, "fleet-code.made", details)
    return code


def end_codes(connection: sa.Connection, now: datetime, actor: str, organisation: str) -> int:
    """End all codes of an organisation at once, because one got about; how many there were."""
    of_it = sa.and_(FLEET_CODE.c.organisation == organisation, FLEET_CODE.c.ends > now)
    count = connection.execute(sa.update(FLEET_CODE).where(of_it).values(ends=now)).rowcount
    if count:
        audit.record(connection, now, actor, "fleet-code.ended", {"organisation": organisation, "codes": count})
    return count


def wait(connection: sa.Connection, now: datetime, address: str, organisation: str | None, code: str) -> int:
    """Count an attempt; the seconds to wait, 0 for none. `organisation`: whose code it is, None for a wrong one."""
    place = network(address)
    if organisation is None:
        return allow(connection, "enrol-wrong", place, _WRONG_PER_ADDRESS, _WINDOW, now)
    by_address = allow(connection, "enrol", place, _PER_ADDRESS, _WINDOW, now)
    return max(by_address, allow(connection, "enrol-code", _digest(code)[:32], _PER_CODE, _WINDOW, now))


def organisation_of(connection: sa.Connection, code: str, now: datetime) -> str | None:
    """Whose code it is, if it is good now."""
    good = sa.and_(FLEET_CODE.c.digest == _digest(code), FLEET_CODE.c.ends > now)
    return connection.execute(sa.select(FLEET_CODE.c.organisation).where(good)).scalar()


def enrol(
    connection: sa.Connection, now: datetime, organisation: str, newcomer: Newcomer, request: CertificateRequest
) -> str | None:
    """The agent's name, known from now on; None for one that was revoked."""
    known = connection.execute(sa.select(AGENT).where(AGENT.c.id == request.name).with_for_update()).first()
    if known is not None and known.revoked is not None:
        return None
    said = {"machine": newcomer.machine, "account": newcomer.account, "version": newcomer.version}
    row = {"id": request.name, "organisation": organisation, "enrolled": now, "last_seen": now, **said}
    again = {name: value for name, value in row.items() if name != "id"}
    statement = insert(connection, AGENT).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=again))
    details = {"organisation": organisation, "machine": newcomer.machine, "account": newcomer.account}
    audit.record(connection, now, f"agent:{request.name}", "agent.enrolled", details)
    return request.name


def note_certificate(connection: sa.Connection, agent: str, sha256: str) -> None:
    """Which certificate the agent was given last."""
    connection.execute(sa.update(AGENT).where(AGENT.c.id == agent).values(certificate=sha256))


def revoke_agent(connection: sa.Connection, now: datetime, actor: str, agent: str) -> bool:
    """Hear the agent no more, whatever certificate it shows. False if there is none such, or no more."""
    live = sa.and_(AGENT.c.id == agent, AGENT.c.revoked.is_(None))
    changed = connection.execute(sa.update(AGENT).where(live).values(revoked=now)).rowcount
    if changed:
        audit.record(connection, now, actor, "agent.revoked", {"agent": agent})
    return bool(changed)


def network(address: str) -> str:
    """What is counted as one address: of IPv6 the half that a provider gives to one customer."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def _name_organisation(connection: sa.Connection, code: str, name: str) -> None:
    statement = insert(connection, ORGANISATION).values(code=code, name=name)
    if name:
        statement = statement.on_conflict_do_update(index_elements=["code"], set_={"name": name})
    else:
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement)


def _digest(code: str) -> str:
    """However it was typed."""
    letters = "".join(c for c in code.lower() if c.isalnum())
    return hashlib.sha256(letters.encode("utf-8", "replace")).hexdigest()

"""Sessions: who is signed in at the console, by a random number in a cookie that the database keeps hashed.

A session ends when it is not used for `settings.idle`, at its own end (`settings.session`), by signing out, and when
the person is ended or changed (`people`). What merely refreshes itself does not count as use.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from starlette.responses import Response

from renewagent.console import audit, people
from renewagent.console.permissions import Person
from renewagent.console.settings import Settings
from renewagent.console.tables import SESSION

COOKIE = "__Host-renewagent"
"""Browsers take a cookie of such a name only from this host itself, over TLS, for every path (RFC 6265bis 4.1.3)."""
PROGRAM = "program"
"""A session of a program's, whose number is sent as a bearer token (RFC 6750) and is no good in a cookie."""
_OCTETS = 32
_LONGEST_TOKEN = 64
_NOTED = timedelta(minutes=1)
"""How often a session that is in use is written down as such."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody signed in: the person, how they signed in ("card", "sso", "ehr"; `PROGRAM`), and the token that their
    forms carry."""

    person: Person
    how: str
    form_token: str
    digest: str


def begin(
    connection: sa.Connection,
    settings: Settings,
    now: datetime,
    person: Person,
    how: str,
    entropy: Callable[[int], bytes],
) -> str:
    """A new session, always under a number of its own; that number, for the cookie."""
    token = base64.urlsafe_b64encode(entropy(_OCTETS)).rstrip(b"=").decode()
    times = {"begun": now, "seen": now, "ends": now + settings.session}
    connection.execute(sa.insert(SESSION).values(digest=_digest(token), person=person.id, how=how, **times))
    audit.record(connection, now, person.actor, "session.begun", {"how": how})
    return token


def find(connection: sa.Connection, settings: Settings, now: datetime, token: str) -> Visitor | None:
    """Whose session this is, if it goes on. Changes nothing."""
    if not 0 < len(token) <= _LONGEST_TOKEN:
        return None
    digest = _digest(token)
    alive = (SESSION.c.digest == digest, SESSION.c.ends > now, SESSION.c.seen > now - settings.idle)
    row = connection.execute(sa.select(SESSION.c.person, SESSION.c.how).where(*alive)).first()
    person = None if row is None else people.by_id(connection, row.person)
    return None if row is None or person is None else Visitor(person, row.how, _form_token(token), digest)


def note_use(connection: sa.Connection, now: datetime, visitor: Visitor) -> None:
    """The person did something: the idle time begins again."""
    mine = SESSION.c.digest == visitor.digest
    connection.execute(sa.update(SESSION).where(mine, SESSION.c.seen < now).values(seen=now))


def use_is_due(connection: sa.Connection, now: datetime, visitor: Visitor) -> bool:
    """The last use that was written down is a while ago."""
    seen = connection.execute(sa.select(SESSION.c.seen).where(SESSION.c.digest == visitor.digest)).scalar()
    return seen is not None and seen <= now - _NOTED


def end(connection: sa.Connection, now: datetime, visitor: Visitor) -> None:
    """Sign out."""
    if connection.execute(sa.delete(SESSION).where(SESSION.c.digest == visitor.digest)).rowcount:
        audit.record(connection, now, visitor.person.actor, "session.ended", {})


def forget_old_sessions(connection: sa.Connection, settings: Settings, now: datetime) -> None:
    """Drop what is over."""
    over = sa.or_(SESSION.c.ends <= now, SESSION.c.seen <= now - settings.idle)
    connection.execute(sa.delete(SESSION).where(over))


def csrf_token(visitor: Visitor) -> str:
    """What every form of this session carries as its field `csrf`; a page of another origin cannot know it."""
    return visitor.form_token


def is_form_token(visitor: Visitor, given: object) -> bool:
    """`given` is the token of this session's forms."""
    text = given if isinstance(given, str) else ""
    return hmac.compare_digest(visitor.form_token.encode(), text.encode())


def set_cookie(response: Response, token: str) -> None:
    """Hand the number over. No lifetime: it goes when the browser is closed, if not before."""
    response.set_cookie(COOKIE, token, path="/", secure=True, httponly=True, samesite="strict")


def drop_cookie(response: Response) -> None:
    """Take it back."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _form_token(token: str) -> str:
    """Follows from the cookie's number, which the database does not hold: it needs no place there."""
    return hmac.new(token.encode(), b"renewagent form v1", hashlib.sha256).hexdigest()

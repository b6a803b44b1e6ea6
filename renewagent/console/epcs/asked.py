"""What a program asks of the EPCS desk: texts, numbers and people, each checked where it is taken."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from renewagent.console import people
from renewagent.console.epcs.desk import Desk
from renewagent.console.permissions import Permission, Person
from renewagent.tokens.errors import DeskRefused, FormError

USER = re.compile(r"[\x20-\x7e\u00a0-\ud7ff\ue000-\U0010ffff]{1,200}")
"""A user name in the EHR."""
_LINE = re.compile(r"[\x20-\x7e\u00a0-\ud7ff\ue000-\U0010ffff]*")
_LINES = re.compile(r"[\n\x20-\x7e\u00a0-\ud7ff\ue000-\U0010ffff]*")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: who asks, what stands in the path's gaps and behind the question mark, and the members of the body's
    JSON object. What is not as it must be raises FormError with the name of the field."""

    desk: Desk
    person: Person
    path: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str, *, most: int = 200, default: str | None = None, lines: bool = False) -> str:
        """A text, with its spaces at both ends left out; not empty, unless there is a default. `lines`: it may have
        several, which end with a line feed however they were sent."""
        given = self.said.get(name, self.query.get(name, default))
        if isinstance(given, str):
            given = given.replace("\r\n", "\n").replace("\t", " ").strip()
        if not isinstance(given, str) or not (_LINES if lines else _LINE).fullmatch(given):
            raise FormError(f"What was sent as {name!r} is no text, or is missing.", name)
        if len(given) > most:
            raise FormError(f"That is too long: {most} characters are the most.", name)
        if not given and default is None:
            raise FormError(f"Nothing was given for {name!r}.", name)
        return given

    def number(self, name: str, least: int, most: int) -> int | None:
        """A whole number within these; None if it is left out."""
        given = self.said.get(name)
        if given is None:
            return None
        if type(given) is not int or not least <= given <= most:
            raise FormError(f"{name!r} is a whole number from {least} to {most}.", name)
        return given

    def octets(self, name: str, most: int) -> bytes:
        """What stands there in base64."""
        return from_base64(self.said.get(name), name, most)

    def gap(self, name: str) -> str:
        """What stands in a gap of the path, if it can be anything of ours. Raises DeskRefused."""
        given = self.path[name]
        if not _ID.fullmatch(given):
            raise nothing_there()
        return given

    def owner(self) -> Person:
        """Whom it is about: `user` names them as the EHR does, and is the person who asks where it is left out.
        Somebody else is for those who look after them. Raises DeskRefused."""
        user = self.text("user", default="")
        if user in ("", self.person.ehr):
            return self.person
        if not self.person.may(Permission.ADMINISTER_EPCS):
            raise DeskRefused("That is somebody else's: your role lets you see and do your own things alone.")
        return self.known(user)

    def known(self, user: str) -> Person:
        """Somebody of this desk by their user name in the EHR, of an organisation of whoever asks. Raises FormError."""
        found = self.desk.read(lambda connection: people.by_ehr(connection, user)) if USER.fullmatch(user) else None
        if found is None or not is_at_hand(self.person, found):
            raise FormError(
                f"Nobody who uses this desk has the user name {user} in the EHR.",
                "user",
                advice="Compare it with the EHR. Whoever is new is added to the console first.",
            )
        return found


def from_base64(given: object, name: str, most: int) -> bytes:
    """The octets that a text stands for, `most` of them. Raises FormError."""
    if not isinstance(given, str):
        raise FormError(f"What was sent as {name!r} is missing.", name)
    if len(given) > (most + 2) // 3 * 4:
        raise FormError("That is too large.", name, advice=f"Make it smaller than {most // 1024} KB.")
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise FormError(f"What was sent as {name!r} is not in base64.", name) from problem


def is_at_hand(one: Person, other: Person) -> bool:
    """They are of one organisation, or the first answers for all."""
    return one.id == other.id or one.answers_for_all or bool(one.organisations & other.organisations)


def those_at_hand(desk: Desk, one: Person) -> Callable[[str], bool]:
    """Whether somebody, by id, is at hand."""
    ids = {entry.person.id for entry in desk.read(people.everybody) if is_at_hand(one, entry.person)}
    return ids.__contains__


def nothing_there() -> DeskRefused:
    """For what does not exist, and for what is none of theirs alike."""
    return DeskRefused("There is no such thing, or it is not yours.", advice="Look at the list once more.")

"""A desk that dies: at the k-th time that it would ask the outside world for anything, or write to its database, and
from then on at every one, as a killed program does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import sqlalchemy as sa

from renewagent.console.epcs.desk import Desk
from renewagent.console.store import Store
from renewagent.tokens.authority import SoftTokenVendor
from renewagent.tokens.ehr import Ehr

T = TypeVar("T")


class Killed(BaseException):
    """Nobody catches it."""


@dataclass
class Life:
    """`left`: how many more things are done. `last`: what it died of."""

    left: int
    last: str = ""

    def spend(self, what: str) -> None:
        if self.left <= 0:
            self.last = self.last or what
            raise Killed(self.last)
        self.left -= 1


class _MortalStore(Store):
    def __init__(self, other: Store, life: Life) -> None:
        self.engine = other.engine
        self._life = life

    def writing(self, work: Callable[[sa.Connection], T]) -> T:
        def mortal(connection: sa.Connection) -> T:
            done = work(connection)
            self._life.spend("a write")  # what it wrote is undone
            return done

        return super().writing(mortal)


class _Mortal:
    """Somebody outside; the connection to them ends with the program."""

    def __init__(self, other: object, life: Life) -> None:
        self._other = other
        self._life = life

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._other, name)

        def called(*arguments: Any, **named: Any) -> Any:
            self._life.spend(name)
            return method(*arguments, **named)

        return called


def mortal(desk: Desk, life: Life) -> Desk:
    """The same desk, in a process that dies."""
    site = replace(desk.site, store=_MortalStore(desk.site.store, life))
    ehr, soft = cast(Ehr, _Mortal(desk.ehr, life)), cast(SoftTokenVendor, _Mortal(desk.soft, life))
    return replace(desk, site=site, ehr=ehr, soft=soft)

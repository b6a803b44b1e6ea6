"""Outside systems for tests of the EPCS desk: one that is away, and one before or after whose call the console dies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from renewagent.console.epcs.desk import Desk
from renewagent.errors import RenewAgentError
from renewagent.tokens.errors import EhrUnreachable, TokenServerUnreachable


class Killed(BaseException):
    """The console's process ended here: nothing of ours may catch it."""


@dataclass
class Away:
    """Does not answer, or not what `names` say. `answers_lost`: it does what it is asked to, and the answer is lost on
    the way."""

    behind: Any
    error: type[RenewAgentError]
    words: str
    answers_lost: bool = False
    names: tuple[str, ...] = ()

    @classmethod
    def vendor(cls, behind: Any, *names: str, answers_lost: bool = False) -> Any:
        return cls(behind, TokenServerUnreachable, "The vendor does not answer.", answers_lost, names)

    @classmethod
    def ehr(cls, behind: Any, *names: str, answers_lost: bool = False) -> Any:
        return cls(behind, EhrUnreachable, "The EHR does not answer.", answers_lost, names)

    def __getattr__(self, name: str) -> Any:
        if self.names and name not in self.names:
            return getattr(self.behind, name)

        def call(*positional: Any, **named: Any) -> Any:
            if self.answers_lost:
                getattr(self.behind, name)(*positional, **named)
            raise self.error(self.words)

        return call


@dataclass
class Fate:
    """Ends the process at the `at`-th call, counted from 1: `before` it is done, or after."""

    at: int
    before: bool
    calls: int = 0

    @property
    def came(self) -> bool:
        return self.calls >= self.at

    def through(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*positional: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.at and self.before:
                raise Killed
            answer = call(*positional, **named)
            if self.calls == self.at:
                raise Killed
            return answer

        return called


@dataclass
class _Mortal:
    """Everything asked of `behind`, or what `names` say of it, is a call that may be the last."""

    behind: Any
    fate: Fate
    names: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.behind, name)
        return self.fate.through(found) if callable(found) and (not self.names or name in self.names) else found


def mortal(desk: Desk, fate: Fate) -> Desk:
    """A desk whose console dies: at what it asks of the vendor or the EHR, or at what it writes down."""

    def outside(behind: Any) -> Any:
        return _Mortal(behind, fate)

    store = cast("Any", _Mortal(desk.site.store, fate, ("writing",)))
    return replace(
        desk,
        site=replace(desk.site, store=store),
        authority=outside(desk.authority),
        support=outside(desk.support),
        soft=outside(desk.soft),
        ehr=outside(desk.ehr),
    )

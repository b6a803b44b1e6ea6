"""What `renewagent doctor` finds out, one observation after another: each says what is so and what to do about it.

A check is a function without arguments that gives observations. One that cannot be carried out is an observation as
well, never an exception, and all are carried out at once, each for so long and no longer: one thing that is broken, or
does not answer, hides no other. The checks are in the modules that begin with `doctor_`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from renewagent.errors import RenewAgentError
from renewagent.health import Health, Observation
from renewagent.language import _

Check = Callable[[], Iterable[Observation]]
Fault = Callable[[Exception], RenewAgentError]
"""Puts a bug of ours into words."""
T = TypeVar("T")

LIMIT = 10.0
"""Seconds for all checks together."""


def begun(work: Callable[[], T]) -> Future[T]:
    """`work` goes on in a thread of its own, which nobody has to wait for: not even the end of the process does."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as problem:
            future.set_exception(problem)

    threading.Thread(target=run, name="doctor", daemon=True).start()
    return future


def examine(checks: Mapping[str, Check], fault: Fault, seconds: float = LIMIT) -> list[Observation]:
    """Carry out all checks at once, in `seconds`; what they found, in order. The key names what a check was about
    where it could not be carried out."""
    end = time.monotonic() + seconds
    # Collected within the thread: a check may be a generator, which does its work only then.
    under_way = {name: begun(lambda check=check: list(check())) for name, check in checks.items()}  # type: ignore[misc]
    return [one for name, future in under_way.items() for one in _found(name, future, fault, end)]


def carried_out(name: str, check: Check) -> list[Observation]:
    """One check, here and now, however long it takes."""
    try:
        return list(check())
    except RenewAgentError as error:
        return [Observation.of_error(name, error)]


def _found(name: str, future: Future[list[Observation]], fault: Fault, end: float) -> list[Observation]:
    try:
        return future.result(max(0.0, end - time.monotonic()))
    except RenewAgentError as error:
        return [Observation.of_error(name, error)]
    except TimeoutError:
        said = _("This could not be found out in time: something did not answer.")
        return [Observation(name, Health.UNKNOWN, said, _("Try again. If it happens again, contact your help desk."))]
    except Exception as problem:
        return [Observation.of_error(name, fault(problem), Health.UNKNOWN)]


def answer_of(found: Iterable[Observation]) -> dict[str, Any]:
    """The document of `doctor --json`: `ok` unless something keeps the person from signing."""
    observations = list(found)
    ok = not any(one.health is Health.PROBLEM for one in observations)
    return {"ok": ok, "checks": [one.document() for one in observations]}

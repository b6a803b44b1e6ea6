"""The doctor's look at tokens, soft tokens, grants and overrides: what the EPCS desk finds for the person who is signed
in there, one observation each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from renewagent.health import Health, Observation
from renewagent.language import N_, _

_NAME = N_("EPCS desk")


def of_standing(standing: Mapping[str, Any]) -> Iterator[Observation]:
    """What the desk's document of one person says (docs/epcs.md). A finding of a kind that is not known here is one
    that could not be judged."""
    findings = [one for one in standing.get("findings", []) if isinstance(one, dict)]
    if not findings:
        yield Observation(
            _NAME, Health.UNKNOWN, _("The EPCS desk found nothing to look at."), _("Ask your EPCS administrator.")
        )
    for one in findings:
        name, said, advice = (str(one.get(member) or "") for member in ("name", "said", "advice"))
        yield Observation(name or _NAME, _health(one.get("health")), said, advice)


def not_asked() -> Observation:
    """A desk is configured, and nobody has signed in."""
    return Observation(
        _NAME,
        Health.UNKNOWN,
        _("Tokens, soft tokens and grants were not looked at: nobody is signed in at the EPCS desk."),
        _("Run: renewagent doctor --user NAME."),
    )


def _health(state: object) -> Health:
    return next((health for health in Health if health.value == state), Health.UNKNOWN)

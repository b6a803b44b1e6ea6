"""What Alembic runs to migrate: on the connection that it was given, in the transaction that is open there."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

import renewagent.console.epcs.tables  # noqa: F401  # the desk's tables are in the same METADATA
from renewagent.console.tables import METADATA, Moment


def _plainly(kind: str, thing: Any, _: Any) -> str | Literal[False]:
    """A migration stays as it was written, whatever becomes of our own types."""
    return "sa.BigInteger()" if kind == "type" and isinstance(thing, Moment) else False


context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_item=_plainly)
context.run_migrations()

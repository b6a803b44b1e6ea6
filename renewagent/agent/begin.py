"""How whoever has the person's end of a renewal begins it: through the agent where one runs, so that it leaves the card
alone meanwhile, else with a child of its own. The channel leads straight to the worker."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from renewagent.agent.children import start_child
from renewagent.agent.control import ask_agent
from renewagent.errors import AgentError

WORKER = "renewagent.agent.worker"


def begin_renewal(
    folder: Path, reader: str | None, options: Sequence[str], descriptor: int
) -> subprocess.Popen[bytes] | None:
    """Hand `descriptor`, an end of the channel, to a worker. `folder` is the runtime folder; `options` are words of a
    command line. The worker where it is a child of ours, None where the agent started it. Raises AgentError."""
    if agent_runs(folder):
        ask_agent(folder, {"ask": "renew", "reader": reader, "options": list(options)}, descriptor)
        return None
    chosen = ["--reader", reader] if reader is not None else []
    return start_child(WORKER, ["--channel-fd", str(descriptor), *options, *chosen], descriptor)


def agent_runs(folder: Path) -> bool:
    """Whether an agent answers."""
    try:
        ask_agent(folder, {"ask": "status"})
    except AgentError:
        return False
    return True

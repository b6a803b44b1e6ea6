"""What the virtual card does of the PIV standard, and what other people's programs can do with it: docs/conformance.md.

Asks and tries everything, writes the document, and ends with 1 when a program did otherwise than the document said.

    python benchmarks/conformance.py
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from renewagent.cli import main
from renewagent_fixtures.conformance import document
from renewagent_fixtures.conformance.clients import table

DOCUMENT = Path(__file__).parent.parent / "docs" / "conformance.md"


def cells() -> Mapping[tuple[str, str], str]:
    """The second table as it is in the document now."""
    return table.committed(document.part_of(DOCUMENT.read_text("utf-8"), document.CLIENTS_PART))


if __name__ == "__main__":
    before = cells()
    status = main(["virtual-card", "conformance", "--clients", "--out", str(DOCUMENT)])
    after = cells()
    otherwise = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    for task, client in otherwise:
        key = task, client
        print(f"{client}, {task}: {before.get(key, 'untried')} before, {after.get(key, 'untried')} now")
    sys.exit(status or bool(otherwise))

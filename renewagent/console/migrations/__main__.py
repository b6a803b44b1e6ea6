"""`python -m renewagent.console.migrations "what changes"`: for developers. Writes what leads from the migrations to
the tables as they are now.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command

from renewagent.console.migrations import config, migrate
from renewagent.console.store import Store


def write(message: str, name: str | None = None) -> None:
    """A file in `versions/`."""
    with TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'console.db'}")
        store.writing(migrate)
        store.writing(lambda connection: command.revision(config(connection), message, autogenerate=True, rev_id=name))
        store.close()


if __name__ == "__main__":
    write(*sys.argv[1:])

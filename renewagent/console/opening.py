"""Opening what the console keeps, with what can go wrong put into words."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from renewagent.console.migrations import NewerDatabase
from renewagent.console.settings import Settings
from renewagent.console.store import Store
from renewagent.errors import ConfigurationError

_SQLITE = "sqlite:///"


def open_store(settings: Settings) -> Store:
    """The database, brought up to date. Raises ConfigurationError, without the URL: a password may be in it."""
    make_folder(settings)
    _make_file(settings.database)
    store = Store(settings.database)
    try:
        store.migrate()
    except NewerDatabase as problem:
        store.close()
        raise ConfigurationError(
            "The console's database was made by a newer version of renewagent.",
            advice="Install that version again, or restore a backup from before the upgrade.",
        ) from problem
    except SQLAlchemyError as problem:
        store.close()
        why = str(getattr(problem, "orig", None) or problem).partition("\n")[0].rstrip(".")
        raise ConfigurationError(
            f"The console's database cannot be opened: {why}.",
            advice="Check console.database, and that the database runs and lets this user in.",
        ) from problem
    return store


def make_folder(settings: Settings) -> None:
    """The folder of what the console keeps. Raises ConfigurationError."""
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigurationError(
            f"The folder {settings.data} cannot be made: {problem.strerror}.",
            advice="Make it, and let the user that the console runs as write there (console.data).",
        ) from problem


def _make_file(database: str) -> None:
    """For its owner alone, whatever the folder lets others do: the key of the agents' authority will be in it. SQLite
    would make it by the umask, and gives its other files the mode of this one. Why it cannot be made, SQLite says."""
    if database.startswith(_SQLITE):
        with contextlib.suppress(OSError):
            os.close(os.open(Path(database.removeprefix(_SQLITE)), os.O_RDWR | os.O_CREAT, 0o600))

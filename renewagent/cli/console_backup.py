"""`renewagent console backup` and `restore`. Parsing and telling only."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from renewagent.cli.answer import emit, say

Part = Callable[[str], Any]
"""Gives a module of the console (`renewagent.cli.console.part`)."""


def register(commands: Any, part: Part) -> None:
    """Add the commands."""
    backup = commands.add_parser(
        "backup",
        help="copy the embedded database, while it is used",
        description="Copies the embedded database into one file, and checks the copy and its audit log.",
    )
    _with_config(backup)
    backup.add_argument("file", type=Path, metavar="FILE", help="where the backup goes; it must not exist")
    backup.set_defaults(run=lambda arguments: _backup(arguments, part))
    restore = commands.add_parser(
        "restore",
        help="make a backup the database",
        description="Checks a backup and makes it the embedded database. The console must not run. Everybody signs in "
        "anew afterwards.",
    )
    _with_config(restore)
    restore.add_argument("file", type=Path, metavar="FILE", help="the backup")
    restore.add_argument("--replace", action="store_true", help="put a database that is there aside")
    restore.set_defaults(run=lambda arguments: _restore(arguments, part))


def _with_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the console's settings (TOML)")


def _backup(arguments: argparse.Namespace, part: Part) -> int:
    settings = part("settings_file").load_settings(arguments.config)
    whole = part("backup").backup(settings, arguments.file, _progress("Backing up"))
    said = f"{arguments.file} is a backup. Its audit log is whole up to entry {whole.last}."
    say(said + " It holds a private key: keep it where only you can read it.")
    if arguments.json:
        emit({"ok": True, "file": str(arguments.file), "audit_entries": whole.last, "audit_digest": whole.digest})
    return 0


def _restore(arguments: argparse.Namespace, part: Part) -> int:
    settings = part("settings_file").load_settings(arguments.config)
    progress, now = _progress("Restoring"), datetime.now(UTC)
    aside = part("backup").restore(settings, arguments.file, now, progress, replace=arguments.replace)
    say("The backup is restored. Everybody signs in anew.")
    if aside is not None:
        say(f"What was there before is in {aside}.")
    if arguments.json:
        emit({"ok": True, "put_aside": str(aside) if aside else None})
    return 0


def _progress(what: str) -> Callable[[int, int], None]:
    """On a terminal alone."""

    def told(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r{what}: {done * 100 // max(1, total)} %{end}")
        sys.stderr.flush()

    return told if sys.stderr.isatty() else lambda done, total: None

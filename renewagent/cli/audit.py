"""`renewagent audit verify`: whether an audit log is whole. Parsing and telling only; the mock RA's log is looked at by
the mock RA's own eyes, loaded when called.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from typing import TYPE_CHECKING, Any

from renewagent.cli.answer import emit, say
from renewagent.errors import ConfigurationError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from renewagent.console.audit_sources import Whole

_NOTED = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


def register(subparsers: Any) -> None:
    """Add the command."""
    audit = subparsers.add_parser("audit", help="check audit logs")
    commands = audit.add_subparsers(title="commands", metavar="COMMAND", required=True)
    verify = commands.add_parser(
        "verify",
        help="check that nothing was changed or left out",
        description="Check every entry of an audit log. Several sources are parts of one log, the oldest first.",
    )
    verify.add_argument(
        "sources",
        nargs="+",
        metavar="FILE|URL",
        help="a console's or mock RA's SQLite file, a log of JSON lines (file or https address), or a PostgreSQL URL",
    )
    verify.add_argument(
        "--noted",
        action="append",
        default=[],
        type=_noted,
        metavar="NUMBER:DIGEST",
        help="an entry as it was noted earlier, which must still be there (may be repeated)",
    )
    verify.set_defaults(run=_verify)


def _noted(text: str) -> tuple[int, str]:
    found = _NOTED.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"a number, a colon and 64 hexadecimal digits are wanted, not {text!r}")
    return int(found[1]), found[2]


def _verify(arguments: argparse.Namespace) -> int:
    whole = _whole(arguments.sources, dict(arguments.noted))
    if not whole.entries:
        say("The log is empty.")
    elif whole.first > 1:
        say(f"The log is whole from entry {whole.first} to {whole.last}; what came before was put away.")
    else:
        say(f"The log is whole: entries 1 to {whole.last}.")
    if whole.entries:
        say(f"To find out later whether it was made anew, note down: {whole.last}:{whole.digest}")
    if arguments.json:
        words = {"entries": whole.entries, "first": whole.first, "last": whole.last, "digest": whole.digest}
        emit({"ok": True, **words})
    return 0


def _whole(sources: list[str], noted: dict[int, str]) -> Whole:
    from renewagent.console import audit, audit_sources

    with contextlib.ExitStack() as stack:
        parts, start = [], None
        for place, source in enumerate(sources):
            if not audit_sources.is_address(source) and audit_sources.is_database(source):
                connection = stack.enter_context(audit_sources.database(source))
                if audit_sources.columns(connection) != audit_sources.OURS:
                    return _mock_ra(connection, sources, noted)
                parts.append(audit_sources.entries_in(connection))
                start = audit.beginning(connection) if place == 0 else start
            else:
                parts.append(audit_sources.lines(source))
        return audit_sources.verify(parts, start, noted)


def _mock_ra(connection: sa.Connection, sources: list[str], noted: dict[int, str]) -> Whole:
    from importlib import import_module

    import sqlalchemy as sa

    from renewagent.console.audit_sources import AuditBroken, Whole

    if len(sources) > 1:
        raise ConfigurationError("A mock RA's log has one part.", advice="Give its database alone.")
    row_type = import_module("renewagent_fixtures.mock_ra.rows").AuditRow
    words = ", ".join(row_type.__slots__)
    found = connection.execute(sa.text(f"SELECT {words} FROM audit ORDER BY number"))  # noqa: S608
    rows = [row_type(*row) for row in found]
    wrong = import_module("renewagent_fixtures.mock_ra.audit").verify_chain(rows)
    if wrong:
        raise AuditBroken(f"{wrong[:1].upper()}{wrong[1:]}.")
    for number, digest in noted.items():
        if number > len(rows) or rows[number - 1].digest != digest:
            raise AuditBroken(f"Entry {number} is not in the log, or is not what was noted.")
    return Whole(len(rows), min(1, len(rows)), len(rows), rows[-1].digest if rows else "0" * 64)

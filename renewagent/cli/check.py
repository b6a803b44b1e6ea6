"""`renewagent check`: which of the certificates of an inventory are affected? Parsing and telling only."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renewagent.cli.answer import emit, say
from renewagent.cli.kinds import count, distinguished_name, moment, serials
from renewagent.errors import ConfigurationError

if TYPE_CHECKING:
    from renewagent.rules import AffectedRule

_KINDS = ("der", "pem", "ldif", "csv", "jsonl", "pkcs7", "parquet", "arrow", "sqlite")
_ANSWER = """Sources are files, folders, patterns such as 'dump-*.ldif', - for standard input, and postgresql://
addresses. They may hold DER, PEM, PKCS#7, LDIF, CSV, JSON lines, Parquet, Arrow or an SQLite database, packed with
gzip or zstd or not. Exit status 0 when all sources were read, whatever was found; 1 when one could not be opened or
ended early."""


def register(subparsers: Any) -> None:
    """Add `check`."""
    parser = subparsers.add_parser("check", help="find the affected certificates in an inventory", epilog=_ANSWER)
    parser.add_argument("sources", metavar="SOURCE", nargs="+", help="where the certificates are")
    _add_rules(parser)
    add_reading(parser)
    out = parser.add_argument_group("what comes of it")
    out.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="a row for each certificate to be told of: FILE.csv, .jsonl or .parquet",
    )
    out.add_argument("--all", action="store_true", help="a row for every certificate, the unaffected ones too")
    out.add_argument(
        "--count-by", metavar="COLUMN", action="append", default=[], help="count by a column as well (may be repeated)"
    )
    out.add_argument("--chart", metavar="FILE.svg", type=Path, help="a picture of the dates of issue")
    work = parser.add_argument_group("who does it")
    work.add_argument("--jobs", metavar="N", type=count, default=1, help="processes (default: 1)")
    work.add_argument("--engine", choices=("local", "dask"), default="local", help="this machine, or a Dask cluster")
    work.add_argument(
        "--scheduler", metavar="ADDRESS", help="Dask's; without it a cluster of --jobs workers is made here"
    )
    parser.set_defaults(run=_check)


def _add_rules(parser: argparse.ArgumentParser) -> None:
    rules = parser.add_argument_group("which certificates are affected: by a campaign")
    rules.add_argument("--campaign", metavar="FILE", type=Path, help="a campaign, signed or as plain JSON")
    rules.add_argument(
        "--campaign-anchor", metavar="PEM", type=Path, help="the root of campaign signers: then it must be signed"
    )
    short = parser.add_argument_group("or by what is true of all of them; what is not given does not restrict")
    midnight = "a date alone is its midnight, UTC"
    short.add_argument("--issued-from", metavar="T", type=moment, help=f"issued at T or later; {midnight}")
    short.add_argument(
        "--issued-to", metavar="T", type=moment, help=f"issued before T; {midnight}, so that day does not count"
    )
    for option, kind, words in (
        ("--issuer", distinguished_name, 'DN such as "CN=Signing CA,O=nhs,C=GB"'),
        ("--serial", serials, "HEX such as 1a2b, or a range such as 2000-2fff"),
        ("--signature-algorithm", str, "NAME such as sha1WithRSAEncryption"),
        ("--key-algorithm", str, "NAME such as rsa, ec or ed25519"),
    ):
        name, _, rest = words.partition(" ")
        short.add_argument(option, metavar=name, type=kind, action="append", default=[], help=f"{rest} (repeatable)")
    short.add_argument("--key-usage", metavar="NAME", help="such as contentCommitment; without it any will do, or none")
    short.add_argument("--key-bits-below", metavar="N", type=count, help="a key of fewer bits")


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add --format, --column, --table and --query."""
    reading = parser.add_argument_group("how the sources are read")
    reading.add_argument("--format", choices=_KINDS, help="what the sources are (default: as each looks)")
    reading.add_argument("--column", metavar="NAME", help="the column, member or attribute that holds the certificates")
    reading.add_argument("--table", metavar="NAME", help="the table of a database")
    reading.add_argument("--query", metavar="SQL", help="a query, in place of a table")


def _check(arguments: argparse.Namespace) -> int:
    rules = _rules(arguments, datetime.now(UTC))
    check = bulk_check()
    plan = check.Plan(rules, count_by=tuple(arguments.count_by))
    job = check.Job(
        sources=arguments.sources,
        plan=check.telling_all(plan) if arguments.all else plan,
        wanted=check.Wanted(arguments.format, arguments.column, arguments.table, arguments.query),
        out=arguments.out,
        chart=arguments.chart,
        engine=arguments.engine,
        jobs=arguments.jobs,
        scheduler=arguments.scheduler,
    )
    summary = check.check(job)
    for line in summary.lines():
        say(line)
    if arguments.out is not None:
        say(f"The rows are in {arguments.out}.")
    if arguments.json:
        emit(summary.document())
    return 1 if summary.problems else 0


def bulk_check() -> Any:
    """The part that needs numpy and pyarrow, which not everybody has installed."""
    import importlib

    try:
        return importlib.import_module("renewagent.bulk.check")
    except ModuleNotFoundError as problem:
        raise ConfigurationError(
            f"The bulk check is not installed here ({problem.name} is missing).",
            advice="Install it: pip install 'renewagent[bulk]'.",
        ) from problem


def _rules(arguments: argparse.Namespace, now: datetime) -> tuple[AffectedRule, ...]:
    """The campaign's, or one made of the short form. Raises ConfigurationError, CampaignError."""
    from renewagent.bulk import rules

    short = rules.Short(
        issued_from=arguments.issued_from,
        issued_to=arguments.issued_to,
        issuers=tuple(arguments.issuer),
        serials=tuple(arguments.serial),
        key_usage=arguments.key_usage,
        signature_algorithms=tuple(arguments.signature_algorithm),
        key_algorithms=tuple(arguments.key_algorithm),
        key_bits_below=arguments.key_bits_below,
    )
    if arguments.campaign is None:
        if arguments.campaign_anchor is not None:
            raise ConfigurationError("--campaign-anchor goes with --campaign.", advice="Give both, or neither.")
        return rules.from_short(short)
    if short != rules.Short():
        raise ConfigurationError(
            "Both a campaign and rules on the command line were given.", advice="Give one or the other."
        )
    found, said = rules.from_campaign(arguments.campaign, arguments.campaign_anchor, now)
    for sentence in said:
        say(sentence)
    return found

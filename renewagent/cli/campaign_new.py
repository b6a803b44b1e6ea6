"""`renewagent campaign new`: a campaign by questions at a terminal, or wholly by options. Parsing and telling only."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from renewagent.cli.at_terminal import Terminal, at_terminal
from renewagent.cli.campaign_files import advised, check_out, document_in, write_out
from renewagent.cli.campaign_telling import tell
from renewagent.cli.campaign_versions import answer
from renewagent.cli.kinds import count, distinguished_name, moment, serials
from renewagent.errors import ConfigurationError

_WHAT = """At a terminal it asks step by step, with what the options say in brackets; --yes, and standard input that is
no terminal, keep it from asking. Options for rules describe one rule (several issuers: one rule each). With --from,
what is not given stays as it was, and rules on the command line take the place of the old ones unless --add-rule is
given."""
_TEXTS = ("name", "phone", "url", "hours")


def register(commands: Any) -> None:
    """Add `campaign new`."""
    parser = commands.add_parser("new", help="write a campaign, or its next version", epilog=_WHAT)
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="where the campaign goes, as JSON")
    parser.add_argument("--from", metavar="FILE", type=Path, dest="source", help="write the next version of this one")
    parser.add_argument("--yes", action="store_true", help="ask nothing")
    parser.add_argument("--id", metavar="NAME", help="a short name, the same in every version")
    parser.add_argument("--reason", metavar="TEXT", help="what the holders are told, in English")
    parser.add_argument(
        "--reason-in", metavar="LANGUAGE=TEXT", action="append", default=[], help="the same in another language"
    )
    _add_rule(parser)
    _add_remedy(parser)
    parser.set_defaults(run=_new)


def _add_rule(parser: argparse.ArgumentParser) -> None:
    rule = parser.add_argument_group("which certificates are affected; what is not given does not restrict")
    rule.add_argument("--rule", metavar="NAME", help="what the rule is called")
    rule.add_argument("--add-rule", action="store_true", help="with --from: keep the rules that there are")
    rule.add_argument("--issued-from", metavar="T", type=moment, help="issued at T or later; a date is its midnight")
    rule.add_argument("--issued-to", metavar="T", type=moment, help="issued before T; that day does not count")
    for option, kind, name, words in (
        ("--issuer", distinguished_name, "DN", 'such as "CN=Signing CA,O=nhs,C=GB"'),
        ("--serial", serials, "HEX", "such as 1a2b, or a range such as 2000-2fff"),
        ("--signature-algorithm", str, "NAME", "such as sha1WithRSAEncryption"),
        ("--key-algorithm", str, "NAME", "such as rsa, ec or ed25519"),
        ("--card-model", str, "NAME", "such as piv"),
    ):
        rule.add_argument(option, metavar=name, type=kind, action="append", default=[], help=f"{words} (repeatable)")
    rule.add_argument("--key-usage", metavar="NAME", help="contentCommitment unless given; any lifts it")
    rule.add_argument("--key-bits-below", metavar="N", type=count, help="a key of fewer bits")


def _add_remedy(parser: argparse.ArgumentParser) -> None:
    remedy = parser.add_argument_group("what is to be done, and until when")
    remedy.add_argument("--remedy", choices=("renew", "replace-card", "see-ra"), help="default: renew")
    remedy.add_argument("--renews", choices=("signing", "pair"), help="default: signing")
    remedy.add_argument("--rekey", choices=("required", "allowed", "forbidden"), help="default: required")
    remedy.add_argument("--old-key", choices=("usable", "may-be-unusable"), help="default: usable")
    remedy.add_argument("--removal-ends-session", choices=("yes", "no"), help="default: yes")
    remedy.add_argument("--deadline", metavar="T", type=moment, help="the holders are told this date")
    remedy.add_argument("--expires", metavar="T", type=moment, help="when the campaign ends (default: in 90 days)")
    for name in _TEXTS:
        remedy.add_argument(f"--contact-{name}", metavar="TEXT", help="whom the holders may ask")


def _new(arguments: argparse.Namespace) -> int:
    from renewagent.campaign.document import parse_campaign
    from renewagent.campaign.drafting import members_of, new_document, next_document

    now = datetime.now(UTC)
    before = None if arguments.source is None else document_in(arguments.source)
    known = {} if before is None else members_of(before)
    if before is not None and arguments.id not in (None, known["id"]):
        raise ConfigurationError(
            f"The next version of campaign {known['id']} has the same id.",
            advice="Leave --id out, or leave --from out.",
        )
    members = _asked({**known, **_given(arguments, known)}, arguments, now)
    with advised("Correct the command line, then try again."):
        document = new_document(members, now) if before is None else next_document(before, members, now)
    campaign = parse_campaign(document)
    check_out(arguments.out, arguments.source, campaign, signed=False)
    write_out(arguments.out, document)
    tell(campaign, now)
    answer(arguments, campaign, None)
    return 0


def _asked(members: dict[str, Any], arguments: argparse.Namespace, now: datetime) -> dict[str, Any]:
    """With the person's answers, where there is a person. Raises ConfigurationError where something is missing."""
    if not arguments.yes and at_terminal():
        from renewagent.campaign.guide import Guide

        return Guide(Terminal("nothing was written"), members, now).run()
    needed = {"id": "--id NAME", "reason": "--reason TEXT", "rules": "--issued-from T, or another rule"}
    if missing := [option for name, option in needed.items() if name not in members]:
        raise ConfigurationError(
            "Something is missing for a campaign.", advice=f"Give {' and '.join(missing)}, or run it at a terminal."
        )
    return members


def _given(arguments: argparse.Namespace, known: dict[str, Any]) -> dict[str, Any]:
    """The members that the command line says."""
    from renewagent.campaign.document import time_text

    names = ("id", "remedy", "renews", "rekey", "old_key")
    found: dict[str, Any] = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    for name in ("deadline", "expires"):
        if (at := getattr(arguments, name)) is not None:
            found[name] = time_text(at)
    if arguments.removal_ends_session is not None:
        found["removal_ends_session"] = arguments.removal_ends_session == "yes"
    if reason := _reasons(arguments):
        found["reason"] = {**known.get("reason", {}), **reason}
    contact = {name: text for name in _TEXTS if (text := getattr(arguments, f"contact_{name}")) is not None}
    if contact:
        found["contact"] = {**known.get("contact", {}), **contact}
    if rules := _rules(arguments):
        found["rules"] = [*known.get("rules", []), *rules] if arguments.add_rule else rules
    return found


def _reasons(arguments: argparse.Namespace) -> dict[str, str]:
    found = {} if arguments.reason is None else {"en": arguments.reason}
    for given in arguments.reason_in:
        language, sign, text = given.partition("=")
        if not sign:
            raise ConfigurationError(
                f"--reason-in {given} names no language.", advice='Write it as --reason-in "cy=TEXT".'
            )
        found[language] = text
    return found


def _rules(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One for each issuer, or one; none where nothing is said of any."""
    from renewagent.campaign.document import serials_text, time_text
    from renewagent.names import format_name

    times = {name: getattr(arguments, name) for name in ("issued_from", "issued_to")}
    rule: dict[str, Any] = {name: time_text(at) for name, at in times.items() if at is not None}
    rule["serials"] = [serials_text(one) for one in arguments.serial]
    for name in ("signature_algorithm", "key_algorithm", "card_model"):
        rule[f"{name}s"] = getattr(arguments, name)
    for name in ("key_usage", "key_bits_below"):
        rule[name] = getattr(arguments, name)
    rule = {name: value for name, value in rule.items() if value not in (None, [])}
    name = arguments.rule or "affected certificates"
    if not arguments.issuer:
        return [{"name": name, **rule}] if rule or arguments.rule else []
    issuers = [format_name(issuer) for issuer in arguments.issuer]
    if len(issuers) == 1:
        return [{"name": name, **rule, "issuer": issuers[0]}]
    return [{"name": f"{name} {n}", **rule, "issuer": issuer} for n, issuer in enumerate(issuers, start=1)]

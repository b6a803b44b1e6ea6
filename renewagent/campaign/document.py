"""The campaign document: UTF-8 JSON to a `Campaign` and back, strictly (design section 6, "Campaign").

The resident agent uses this: no cryptography, no JSON Schema. `schema.json` beside it says the same as far as a schema
can; a test holds the two together. Signatures are `renewagent.campaign.sign` and `renewagent.campaign.verify`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, cast

from renewagent.algorithms import KEY_ALGORITHMS, KEY_USAGES, SIGNATURE_ALGORITHMS, key_algorithm, signature_algorithm
from renewagent.campaign.fields import Fields, as_text, read_json, refuse
from renewagent.errors import CampaignError
from renewagent.language import _
from renewagent.names import Name, format_name, parse_name
from renewagent.rules import ANY_KEY_USAGE, AffectedRule, Campaign, Contact, SerialRange

LIMIT = 256 * 1024
"""Octets of a campaign document."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEX = r"(?:0|-?[1-9a-f][0-9a-f]{0,63})"
_SERIALS = re.compile(rf"({_HEX})(?:-({_HEX}))?")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")  # RFC 5646 2.1, the part that people use
_OID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,38}))+")
_Reader = Callable[[object, str], str]
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")


def parse_campaign(document: bytes | str) -> Campaign:
    """A campaign, or CampaignError with a sentence that names what is wrong."""
    octets = document.encode("utf-8", "surrogatepass") if isinstance(document, str) else document
    if len(octets) > LIMIT:
        raise CampaignError(_("This campaign is larger than {size} KiB.").format(size=LIMIT // 1024))
    return _campaign(Fields(read_json(octets)))


def campaign_to_json(campaign: Campaign) -> bytes:
    """The document, indented, with every field that is set; `parse_campaign` gives the same campaign back."""
    document: dict[str, object] = {
        "id": campaign.id,
        "version": campaign.version,
        "published": time_text(campaign.published),
        "expires": time_text(campaign.expires),
        "reason": dict(campaign.reason),
        "rules": [_rule_document(rule) for rule in campaign.rules],
        "remedy": campaign.remedy,
        "renews": campaign.renews,
        "rekey": campaign.rekey,
        "old_key": campaign.old_key,
        "removal_ends_session": campaign.removal_ends_session,
    }
    if campaign.deadline is not None:
        document["deadline"] = time_text(campaign.deadline)
    names = ("name", "phone", "url", "hours")
    document["contact"] = {name: getattr(campaign.contact, name) for name in names if getattr(campaign.contact, name)}
    document["withdrawn"] = campaign.withdrawn
    document["paused"] = campaign.paused
    return json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"


def time_text(at: datetime) -> str:
    """RFC 3339 with Z, a fraction only where there is one."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def serials_text(serials: SerialRange) -> str:
    """As a rule has them: "1a2b", or "2000-2fff"."""
    first, last = format(serials.first, "x"), format(serials.last, "x")
    return first if first == last else f"{first}-{last}"


def _campaign(fields: Fields) -> Campaign:
    campaign = Campaign(
        id=fields.text("id", 100, pattern=_ID),
        version=fields.integer("version", 1, 2**31 - 1),
        published=fields.time("published"),
        expires=fields.time("expires"),
        reason=_reason(fields),
        rules=fields.items("rules", 1000, lambda value, path: _rule(Fields(value, path))),
        remedy=cast(
            'Literal["renew", "replace-card", "see-ra"]', _word(fields, "remedy", "renew", "replace-card", "see-ra")
        ),
        renews=cast('Literal["signing", "pair"]', _word(fields, "renews", "signing", "pair")),
        rekey=cast(
            'Literal["required", "allowed", "forbidden"]', _word(fields, "rekey", "required", "allowed", "forbidden")
        ),
        old_key=cast('Literal["usable", "may-be-unusable"]', _word(fields, "old_key", "usable", "may-be-unusable")),
        removal_ends_session=_flag(fields, "removal_ends_session", otherwise=True),
        deadline=_time(fields, "deadline"),
        contact=_contact(Fields(fields.take("contact"), fields.at("contact"))) if fields.has("contact") else Contact(),
        withdrawn=_flag(fields, "withdrawn", otherwise=False),
        paused=_flag(fields, "paused", otherwise=False),
    )
    fields.finish()
    _check_whole(campaign)
    return campaign


def _check_whole(campaign: Campaign) -> None:
    if campaign.published >= campaign.expires:
        raise refuse("expires", _("must be later than published"))
    seen: set[str] = set()
    for rule in campaign.rules:
        if rule.name in seen:
            raise refuse(
                "rules", _("has two rules named {name}").format(name=json.dumps(rule.name, ensure_ascii=False))
            )
        seen.add(rule.name)


def _reason(fields: Fields) -> dict[str, str]:
    texts = Fields(fields.take("reason"), fields.at("reason"))
    languages = texts.own_names()
    for language in languages:
        if not _LANGUAGE.fullmatch(language):
            raise refuse(
                texts.path, _("has a language that cannot be {language}").format(language=json.dumps(language[:40]))
            )
    if "en" not in languages:
        raise refuse(texts.at("en"), _("is missing"))
    return {language: texts.lines(language, 2000) for language in languages}


def _contact(fields: Fields) -> Contact:
    def told(name: str) -> str:
        return fields.text(name, 300, shortest=0) if fields.has(name) else ""

    contact = Contact(name=told("name"), phone=told("phone"), url=told("url"), hours=told("hours"))
    fields.finish()
    return contact


def _rule(fields: Fields) -> AffectedRule:
    rule = AffectedRule(
        name=fields.text("name", 200),
        issued_from=_time(fields, "issued_from"),
        issued_to=_time(fields, "issued_to"),
        issuer=_issuer(fields),
        serials=fields.items("serials", 100_000, _serial_range) if fields.has("serials") else (),
        key_usage=_word(fields, "key_usage", "contentCommitment", *KEY_USAGES, ANY_KEY_USAGE),
        signature_algorithms=_some(fields, "signature_algorithms", _signature_algorithm),
        key_algorithms=_some(fields, "key_algorithms", _key_algorithm),
        key_bits_below=fields.integer("key_bits_below", 1, 65536) if fields.has("key_bits_below") else None,
        card_models=_some(fields, "card_models", _model),
    )
    fields.finish()
    if rule.issued_from is not None and rule.issued_to is not None and rule.issued_from >= rule.issued_to:
        raise refuse(fields.at("issued_to"), _("must be later than issued_from"))
    return rule


def _issuer(fields: Fields) -> Name | None:
    if not fields.has("issuer"):
        return None
    text = fields.text("issuer", 2000)
    try:
        name = parse_name(text)
    except ValueError as problem:
        raise refuse(fields.at("issuer"), _("is not a distinguished name: {why}").format(why=problem)) from problem
    if not name:
        raise refuse(fields.at("issuer"), _("must not be empty"))
    return name


def _serial_range(value: object, path: str) -> SerialRange:
    match = _SERIALS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refuse(path, _('must be a serial in lowercase hex without leading zeros, or a range such as "2000-2fff"'))
    first = int(match.group(1), 16)
    last = first if match.group(2) is None else int(match.group(2), 16)
    if first > last:
        raise refuse(path, _("must be a range from the lower serial to the higher one"))
    return SerialRange(first, last)


def _some(fields: Fields, name: str, read: _Reader) -> tuple[str, ...]:
    return fields.items(name, 100, read) if fields.has(name) else ()


def _signature_algorithm(value: object, path: str) -> str:
    text = as_text(value, path, 100)
    if text not in SIGNATURE_ALGORITHMS.values() and not _OID.fullmatch(text):
        raise refuse(
            path, _('must be a name such as "sha256WithRSAEncryption" or "ecdsa-with-SHA256", or a dotted OID')
        )
    return signature_algorithm(text)


def _key_algorithm(value: object, path: str) -> str:
    text = as_text(value, path, 100)
    if text not in KEY_ALGORITHMS.values() and not _OID.fullmatch(text):
        raise refuse(path, _('must be "rsa", "ec", "ed25519" or another known name, or a dotted OID'))
    return key_algorithm(text)


def _model(value: object, path: str) -> str:
    return as_text(value, path, 100, pattern=_MODEL)


def _word(fields: Fields, name: str, first: str, *others: str) -> str:
    """One of the words given; the first of them where the member is absent."""
    return fields.choice(name, tuple(dict.fromkeys((first, *others)))) if fields.has(name) else first


def _flag(fields: Fields, name: str, *, otherwise: bool) -> bool:
    return fields.boolean(name) if fields.has(name) else otherwise


def _time(fields: Fields, name: str) -> datetime | None:
    return fields.time(name) if fields.has(name) else None


def _rule_document(rule: AffectedRule) -> dict[str, object]:
    given: dict[str, object] = {
        "name": rule.name,
        "issued_from": None if rule.issued_from is None else time_text(rule.issued_from),
        "issued_to": None if rule.issued_to is None else time_text(rule.issued_to),
        "issuer": None if rule.issuer is None else format_name(rule.issuer),
        "serials": [serials_text(serials) for serials in rule.serials],
        "key_usage": rule.key_usage,
        "signature_algorithms": list(rule.signature_algorithms),
        "key_algorithms": list(rule.key_algorithms),
        "key_bits_below": rule.key_bits_below,
        "card_models": list(rule.card_models),
    }
    return {name: value for name, value in given.items() if value not in (None, [])}

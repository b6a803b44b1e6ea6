"""What the guided `campaign new` asks, and how an answer is read: data for `renewagent.campaign.guide`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from renewagent.asking import Question
from renewagent.campaign.document import serials_text, time_text
from renewagent.campaign.typed import read_count, read_moment, read_name, read_serials
from renewagent.names import format_name


def _time(text: str) -> str:
    return time_text(read_moment(text))


def _name(text: str) -> str:
    return format_name(read_name(text))


def _serials(text: str) -> list[str]:
    return [serials_text(read_serials(one.strip())) for one in text.split(",") if one.strip()]


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _comma(values: Sequence[str]) -> str:
    return ", ".join(values)


def _renews(members: Mapping[str, Any]) -> bool:
    return bool(members.get("remedy", "renew") == "renew")


_UTC = "A date such as 2020-09-28 means its midnight; a time is written 2020-09-28T08:00:00Z. All times are UTC."

FIRST = (
    Question(
        ("id",),
        "What is the campaign called?",
        "A short name of letters, digits, dots, hyphens and underscores. It stays the same in every later version.",
        needed=True,
    ),
    Question(
        ("reason", "en"),
        "What are the holders told?",
        "One or two plain sentences: what is wrong with their smartcard, and what follows from it for them.",
        needed=True,
    ),
)
RULE = (
    Question(
        ("name",),
        "Which certificates are affected? What do you call them?",
        "A name for the rule, for you and the help desk. The next questions narrow it down; all of what you answer "
        "must be true of a certificate. Leave open what does not matter.",
        needed=True,
    ),
    Question(("issued_from",), "Issued from when?", f"The earliest time of issue (notBefore). {_UTC}", read=_time),
    Question(
        ("issued_to",),
        "Issued until when?",
        f"The first time of issue that is good again: it no longer counts. {_UTC}",
        read=_time,
    ),
    Question(
        ("issuer",), "Issued by whom?", "The issuer's distinguished name, such as CN=Signing CA,O=nhs,C=GB.", read=_name
    ),
    Question(
        ("serials",),
        "Which serial numbers?",
        "In hexadecimal digits, with commas between; 2000-2fff is a range.",
        read=_serials,
        show=_comma,
    ),
    Question(
        ("key_usage",),
        "For what use?",
        "contentCommitment is the use of certificates that sign prescriptions; any lifts this.",
        otherwise="contentCommitment",
    ),
    Question(
        ("signature_algorithms",),
        "Signed by which algorithms?",
        "Names such as sha1WithRSAEncryption, with commas between.",
        read=_listed,
        show=_comma,
    ),
    Question(
        ("key_algorithms",),
        "Which kinds of key?",
        "Names such as rsa, ec or ed25519, with commas between.",
        read=_listed,
        show=_comma,
    ),
    Question(("key_bits_below",), "Keys of fewer bits than?", "A number such as 2048.", read=read_count),
    Question(
        ("card_models",),
        "On which kinds of smartcard?",
        "Names as `renewagent inspect` knows them, such as piv, with commas between.",
        read=_listed,
        show=_comma,
    ),
)
LAST = (
    Question(
        ("remedy",),
        "What is to be done?",
        "What the holders of affected smartcards are to do.",
        choices=(
            ("renew", "renew the certificate at the workstation"),
            ("replace-card", "get another smartcard from the Registration Authority"),
            ("see-ra", "see the Registration Authority"),
        ),
        otherwise="renew",
    ),
    Question(
        ("renews",),
        "What is renewed?",
        "A smartcard often holds a second certificate, to sign in with.",
        choices=(("signing", "the signing certificate alone"), ("pair", "the sign-in certificate as well")),
        otherwise="signing",
        applies=_renews,
    ),
    Question(
        ("rekey",),
        "With a new key?",
        "If the fault is in the key, it must be a new one. If only the certificate is wrong, the key may stay.",
        choices=(
            ("required", "yes, always"),
            ("allowed", "as the smartcard can: the old key will do"),
            ("forbidden", "no, the key must stay"),
        ),
        otherwise="required",
        applies=_renews,
    ),
    Question(
        ("old_key",),
        "Can the affected smartcards still sign?",
        "If not, the Registration Authority takes the sign-in certificate's word instead of the old key's.",
        choices=(("usable", "yes"), ("may-be-unusable", "some of them cannot")),
        otherwise="usable",
        applies=_renews,
    ),
    Question(
        ("removal_ends_session",),
        "Does taking the smartcard out sign a person out?",
        "So it is with an identity agent that watches the reader; the holders are told what applies to them.",
        choices=((True, "yes"), (False, "no")),
        otherwise=True,
        applies=_renews,
    ),
    Question(("deadline",), "By when?", f"The holders are told this date. {_UTC}", read=_time),
    Question(
        ("expires",),
        "Until when is the campaign in force?",
        f"From then on it begins nothing any more; what has begun is finished. {_UTC}",
        read=_time,
        needed=True,
    ),
    Question(("contact", "name"), "Whom may the holders ask? The name:", "Such as Registration Authority."),
    Question(("contact", "phone"), "The telephone number:", "As it is to be dialled."),
    Question(("contact", "url"), "A web address:", "With https:// in front."),
    Question(("contact", "hours"), "When can they be reached?", "Such as weekdays 9 to 5."),
)

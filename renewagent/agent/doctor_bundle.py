"""What the help desk gets of a workstation: one zip file with the doctor's findings, versions and the shape of the
configuration, and nothing private.

Of the configuration only what stands in `_shown` is told, of addresses only the server's; of findings only those about
this computer and its cards are told in words, and out of these words goes everything that may say who somebody is:
names of the person and of the computer, addresses, and whatever looks like a number of a card or of a certificate.
"""

from __future__ import annotations

import getpass
import io
import json
import re
import socket
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from renewagent.agent.doctor_workstation import versions
from renewagent.agent.status import time_text
from renewagent.atomic import write_atomically
from renewagent.configuration import Configuration
from renewagent.errors import AgentError
from renewagent.health import Observation
from renewagent.language import N_, _

_GONE = "[left out]"
_NUMBERS = re.compile(r"(?<![\w:])(?=[0-9A-Fa-f]*[0-9])(?:[0-9A-Fa-f]{5,}|[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){3,})(?!\w)")
"""Serials, and card and reader numbers; the years, times of day and ports in our sentences are none."""
_NOBODY = frozenset({"", "/", "root", "localhost"})
_MAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+")
_README = N_("""This is what "renewagent doctor --bundle" found out about a computer, for its help desk.

doctor.json         what was looked at, how it stands, and what to do
versions.json       what is installed
configuration.json  which settings are made; values only of those that are no secret and name nobody

Left out on purpose: names of people and of this computer, numbers of cards, certificates and readers, e-mail addresses
and telephone numbers, passwords, codes and keys, and everything that the journal holds.
""")


def write_bundle(
    file: Path, here: Sequence[Observation], desk: Sequence[Observation], configuration: Configuration, now: datetime
) -> None:
    """Write it, for this person alone to read. `here`: about this computer and its cards; `desk`: of an EPCS desk,
    whose findings are about a person, down to their names: only how they stand is told. Raises AgentError."""
    octets = io.BytesIO()
    private = [word for word in _private(configuration) if word not in _NOBODY]
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("README.txt", _(_README))
        findings = [_finding(one, private) for one in here]
        findings += [{"name": "EPCS desk", "health": one.health.value} for one in desk]
        bundle.writestr("doctor.json", _json({"made": time_text(now), "checks": findings}))
        bundle.writestr("versions.json", _json(versions()))
        bundle.writestr("configuration.json", _json(_shown(configuration)))
    try:
        write_atomically(file.absolute(), octets.getvalue())
    except OSError as problem:
        said = _("{file} cannot be written: {why}.").format(file=file, why=problem.strerror)
        raise AgentError(said, advice=_("Give another name after --bundle, then try again.")) from problem


def _finding(one: Observation, private: Sequence[str]) -> dict[str, str]:
    document = one.document()
    return {**document, "said": without(document["said"], private), "advice": without(document["advice"], private)}


def without(text: str, private: Sequence[str]) -> str:
    """`text` without these words, and without what looks like an address or a number of somebody's."""
    text = _MAIL.sub(_GONE, text)
    for word in sorted(private, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", _GONE, text, flags=re.IGNORECASE)
    return _NUMBERS.sub(_GONE, text)


def _private(configuration: Configuration) -> Iterator[str]:
    """What may stand in our own sentences and is somebody's."""
    home, host, contact = Path.home(), socket.gethostname(), configuration.contact
    yield from (str(home), home.name, host, host.partition(".")[0], configuration.console.machine or "")
    with suppress(KeyError, OSError):
        yield getpass.getuser()
    yield from (contact.name or "", contact.phone or "", contact.url or "", contact.hours or "")
    yield from (str(configuration.agent.state_dir), *configuration.campaign.urls)


def _shown(configuration: Configuration) -> dict[str, Any]:
    ra, card, console, agent = configuration.ra, configuration.card, configuration.console, configuration.agent
    contact = configuration.contact
    return {
        "ra": {"url": _server(ra.url), "root": _is_there(ra.root), "sign_in_url": _server(ra.sign_in_url)},
        "campaign": {
            "urls": [_server(url) or "a file" for url in configuration.campaign.urls],
            "anchor": _is_there(configuration.campaign.anchor),
        },
        "card": {
            "readers": card.readers.partition(":")[0],
            "management_key": card.management_key.kind,
            "signing_issuers": len(card.signing_issuers),
            "pkcs11_module": _is_there(card.pkcs11_module),
            "keep_old_key_days": card.keep_old_key_days,
        },
        "passcode": {"entry": list(configuration.passcode.entry)},
        "console": {
            "url": _server(console.url),
            "root": _is_there(console.root),
            "enrolment": "set" if console.enrolment is not None else None,
            "stream": console.stream,
        },
        "desk": {"url": _server(configuration.desk.url), "root": _is_there(configuration.desk.root)},
        "contact": {"set": any((contact.name, contact.phone, contact.url, contact.hours))},
        "agent": {"poll_interval": agent.poll_interval},
        "policy": {"d_without_tickets": configuration.policy.d_without_tickets},
    }


def _server(url: str | None) -> str | None:
    """The server alone: behind it there may be anything."""
    if url is None or "://" not in url:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _is_there(file: Path | None) -> str | None:
    return None if file is None else "there" if file.is_file() else "missing"


def _json(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"

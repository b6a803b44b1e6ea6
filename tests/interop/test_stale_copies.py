"""OpenSC keeps copies of certificates where it is told to: after a renewal it shows the old one, and we notice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from renewagent.agent.stale import shown_by_software
from tests.interop.cards import CardInReader
from tests.interop.test_opensc_module import opensc_module
from tests.made import certificate

__all__ = ["opensc_module"]
CACHING = "app default { framework pkcs15 { use_file_caching = yes; file_cache_dir = %s; } }\n"


@pytest.mark.parametrize("caching", [False, True])
def test_opensc_shows_its_copy(
    extended_card: CardInReader, opensc_module: Path, monkeypatch: pytest.MonkeyPatch, caching: bool
) -> None:
    it, key = extended_card, ec.generate_private_key(ec.SECP256R1())
    configuration = it.work / "opensc.conf"
    configuration.write_text(CACHING % (it.work / "copies") if caching else "app default { }\n")
    for name, value in {**it.env, "OPENSC_CONF": str(configuration)}.items():
        monkeypatch.setenv(name, value)
    old, new = (certificate(key.public_key(), serial=serial, usage=("content_commitment",)) for serial in (1, 2))
    sums = {which: hashlib.sha256(der).hexdigest() for which, der in (("old", old), ("new", new))}
    it.card.import_key(0x9C, key)
    it.card.write_certificate(0x9C, old)
    ask = shown_by_software(opensc_module)
    assert ask(it.reader) == {sums["old"]}
    it.card.write_certificate(0x9C, new)
    assert ask(it.reader) == {sums["old" if caching else "new"]}

"""Opening the EPCS desk: the vendor, the EHR and the token server that the settings name, over HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from renewagent.console.epcs.desk import Desk
from renewagent.console.settings import EpcsSettings
from renewagent.console.site import Site
from renewagent.tokens.ehr_http import EhrClient
from renewagent.tokens.privacyidea import PrivacyIdea
from renewagent.tokens.vendor import VendorClient


@contextlib.contextmanager
def open_desk(site: Site) -> Iterator[Desk | None]:
    """The desk, with its connections for as long as this lasts; None where the settings have none. Nobody is asked
    anything yet."""
    settings = site.settings.epcs
    if settings is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        vendor = VendorClient(settings.vendor_url, settings.vendor_key, settings.root)
        ehr = EhrClient(settings.ehr_url, settings.ehr_key, settings.root)
        tokens = _token_server(settings, site)
        for outside in (vendor, ehr, tokens):
            if outside is not None:
                stack.callback(outside.close)
        yield Desk(site, authority=tokens or vendor, support=vendor, soft=vendor, ehr=ehr)


def _token_server(settings: EpcsSettings, site: Site) -> PrivacyIdea | None:
    if (server := settings.token_server) is None:
        return None
    return PrivacyIdea(server.url, server.user, server.password, now=site.now, realm=server.realm, root=settings.root)

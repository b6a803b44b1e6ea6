"""Opening the EPCS desk: the vendor and the EHR that the settings name, over HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from renewagent.console.epcs.desk import Desk
from renewagent.console.site import Site
from renewagent.tokens.ehr_http import EhrClient
from renewagent.tokens.vendor import VendorClient


@contextlib.contextmanager
def open_desk(site: Site) -> Iterator[Desk | None]:
    """The desk, with its connections for as long as this lasts; None where the settings have none. Nobody is asked
    anything yet."""
    settings = site.settings.epcs
    if settings is None:
        yield None
        return
    with (
        contextlib.closing(VendorClient(settings.vendor_url, settings.vendor_key, settings.root)) as vendor,
        contextlib.closing(EhrClient(settings.ehr_url, settings.ehr_key, settings.root)) as ehr,
    ):
        yield Desk(site, settings, authority=vendor, support=vendor, soft=vendor, ehr=ehr)

"""Whom a sign-on proxy in front names. It is believed only by its address *and* its secret; from anyone else the header
with the name means nothing.

The address is the connection's own: the server must not take it from a header.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from starlette.requests import Request

from renewagent.console.settings import Settings, SingleSignOn


def account_of(request: Request, settings: Settings) -> str | None:
    """The account that the proxy vouches for, letter for letter; None for a request that is not the proxy's, and for
    one that names nobody, or more than one."""
    sso = settings.sso
    if sso is None or not sso.secret or not _comes_from(request, sso):
        return None
    shown, named = request.headers.getlist(sso.secret_header), request.headers.getlist(sso.header)
    if len(shown) != 1 or not hmac.compare_digest(shown[0].encode(), sso.secret.encode()):
        return None
    return named[0] if len(named) == 1 and named[0] else None


def address_of(request: Request, settings: Settings) -> str:
    """Where a request comes from, for rate limits: the proxy's word for it (the last address in X-Forwarded-For, which
    the proxy itself appends) where it comes by the proxy, else the connection's own."""
    peer = _peer(request)
    if settings.sso is not None and _comes_from(request, settings.sso):
        said = request.headers.getlist("x-forwarded-for")
        last = said[-1].rpartition(",")[2].strip() if said else ""
        return _normal(last) or peer
    return peer


def _comes_from(request: Request, sso: SingleSignOn) -> bool:
    peer = _normal(_peer(request))
    return peer != "" and peer in {_normal(proxy) for proxy in sso.proxies}


def _peer(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _normal(address: str) -> str:
    """One spelling for one address, an IPv4 one within IPv6 as itself; "" for what is none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)

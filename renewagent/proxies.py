"""By which proxy an address is reached, as the environment (HTTPS_PROXY, NO_PROXY and their like) or the system's
settings say; whom TLS trusts; and an HTTP client that goes by both. This computer itself is asked without a proxy.

For short-lived processes.
"""

from __future__ import annotations

import ssl
import urllib.request
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import truststore
import urllib3

from renewagent.errors import ConfigurationError
from renewagent.language import _


def proxy_for(url: str) -> str | None:
    """The proxy's address, None for the straight way."""
    parts = urlsplit(url)
    if not parts.hostname or is_this_computer(parts.hostname) or urllib.request.proxy_bypass(parts.netloc):
        return None
    known = urllib.request.getproxies()
    proxy = known.get(parts.scheme) or known.get("all")
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def is_this_computer(host: str) -> bool:
    """localhost, or an address of its own."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def credentials(proxy: str) -> dict[str, str]:
    """The header by which the proxy knows us, where its address has a name and a password in it."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    return urllib3.make_headers(proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")


def tls_context(root: Path | None = None) -> ssl.SSLContext:
    """The operating system's trust, and the certificates in `root` (PEM) besides. Raises ConfigurationError."""
    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if root is not None:
        try:
            context.load_verify_locations(cafile=str(root))
        except ssl.SSLError as error:
            raise ConfigurationError(_("{root} holds no certificate.").format(root=root)) from error
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or _("that is no name of a file")
            raise ConfigurationError(
                _("The certificates in {root} cannot be read: {why}.").format(root=root, why=why)
            ) from error
    return context


class HttpClient(urllib3.PoolManager):
    """A pool of connections, each by the proxy that is for its address."""

    def __init__(self, context: ssl.SSLContext, timeout: urllib3.Timeout) -> None:
        super().__init__(ssl_context=context, timeout=timeout)
        self._options: dict[str, Any] = {"ssl_context": context, "timeout": timeout}
        self._behind: dict[str, urllib3.ProxyManager] = {}

    def urlopen(self, method: str, url: str, redirect: bool = True, **options: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]
        """As the pool's own."""
        proxy = proxy_for(url)
        if proxy is None:
            return super().urlopen(method, url, redirect, **options)
        if proxy not in self._behind:
            self._behind[proxy] = urllib3.ProxyManager(proxy, proxy_headers=credentials(proxy), **self._options)
        return self._behind[proxy].urlopen(method, url, redirect, **options)

    def clear(self) -> None:
        """Close what is kept open."""
        super().clear()
        for manager in self._behind.values():
            manager.clear()

"""A document from the web: bounded in size and time, and never led inward by a redirect."""

# The address that the user typed may be anywhere, also on their own network: they chose it. Where a redirect leads is
# chosen by somebody else, so every address that its name stands for has to be a public one, and the connection goes to
# the address that was looked at: a name that changes its meaning in between gains nothing.

from __future__ import annotations

import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

_MOST = 20_000_000  # bytes
_SECONDS = 60.0  # for all of it
_HOPS = 5  # redirects
_TYPES = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/markdown": "markdown",
    "text/x-markdown": "markdown",
    "text/plain": "text",
    "application/pdf": "pdf",
    "application/x-ipynb+json": "notebook",
}
_BY_SUFFIX = {"application/octet-stream", "binary/octet-stream", "application/json", "text/plain", ""}


@dataclass(frozen=True, slots=True)
class Page:
    """What was fetched."""

    url: str  # where it was found, after redirects
    kind: str  # its format
    data: bytes


def fetch(
    url: str,
    kinds: dict[str, str],
    *,
    resolve: Callable[..., Any] = socket.getaddrinfo,
    transport: httpx.BaseTransport | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Page:
    """Get a page.

    Args:
        url: An http or https address.
        kinds: Formats by the suffix of a path, for servers that do not say what they send.
        resolve: Looks a host's name up, as `socket.getaddrinfo` does.
        transport: httpx's, for tests.
        clock: Seconds that pass.

    Raises:
        BadInput: It is no such address, leads inward, cannot be reached, is too large, or is no document.
    """
    import httpx

    end, typed = clock() + _SECONDS, url
    for hop in range(_HOPS + 1):
        address = _checked(url, resolve, inward=hop == 0)
        try:
            with _client(transport, url) as client:
                request = _request(client, url, address if transport is None else None)
                response = client.send(request, stream=True)
                try:
                    if response.is_redirect:
                        url = urljoin(url, response.headers["location"])
                        continue
                    return _page(response, url, kinds, lambda: end - clock())
                finally:
                    response.close()
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            reason = f"{_host(url)} cannot be reached ({type(error).__name__})."
            raise BadInput(reason, hint="Check the address, or download the file and add that.") from None
    raise BadInput(f"{typed} redirects more than {_HOPS} times.", hint="Add the address that it leads to.")


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _checked(url: str, resolve: Callable[..., Any], *, inward: bool) -> str:
    """The address to connect to, looked at unless it may lead ``inward``."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise BadInput(f"{url} is no address.", hint="Add an address that begins with https://.") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise BadInput(f"{url} is no web address.", hint="Add an address that begins with https://.")
    if parts.username or parts.password:
        hint = "Download the file, and add that: an address is kept beside the notebook."
        raise BadInput("The address holds a name or a password.", hint=hint)
    try:
        found = [str(entry[4][0]) for entry in resolve(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        raise BadInput(f"There is no host {host}.", hint="Check the spelling, and the network.") from None
    if not inward and not all(map(_is_public, found)):
        hint = "If you trust it, add the address it leads to yourself."
        raise BadInput(f"The address redirects inward, to {host}, and was not followed.", hint=hint)
    return found[0]


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    return ip.is_global and not ip.is_multicast and (inner is None or bool(inner.is_global))


def _client(transport: httpx.BaseTransport | None, url: str) -> httpx.Client:
    import httpx

    limit = httpx.Timeout(20.0, connect=10.0)
    return httpx.Client(transport=transport, timeout=limit, follow_redirects=False, trust_env=_by_proxy(url))


def _by_proxy(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.scheme in getproxies() and not proxy_bypass(parts.hostname or ""))


def _request(client: httpx.Client, url: str, address: str | None) -> httpx.Request:
    """The request, to the ``address`` that was looked at; a proxy looks names up itself."""
    parts = urlsplit(url)
    headers = {"User-Agent": "rsql", "Accept": ", ".join(_TYPES)}
    if address is None or _by_proxy(url):
        return client.build_request("GET", url, headers=headers)
    name = f"[{address}]" if ":" in address else address
    place = urlunsplit(parts._replace(netloc=f"{name}:{parts.port}" if parts.port else name))
    extensions = {"sni_hostname": parts.hostname}
    return client.build_request("GET", place, headers={**headers, "Host": parts.netloc}, extensions=extensions)


def _page(response: httpx.Response, url: str, kinds: dict[str, str], left: Callable[[], float]) -> Page:
    if response.status_code != 200:
        raise BadInput(f"{_host(url)} answered {response.status_code}.", hint="Open the address in a browser first.")
    declared = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    path = unquote(urlsplit(url).path).lower()
    by_suffix = next((kind for suffix, kind in kinds.items() if path.endswith(suffix)), "")
    kind = by_suffix if declared in _BY_SUFFIX and by_suffix else _TYPES.get(declared, "")
    if not kind:
        said = f"is {declared}" if declared else "does not say what it is"
        hint = "Documents are Markdown, HTML, PDF, text, notebooks or R help."
        raise BadInput(f"{url} {said}, and no document.", hint=hint)
    data = bytearray()
    for piece in response.iter_bytes(65_536):
        data += piece
        if len(data) > _MOST:
            hint = "Download it, and add the file or a part of it."
            raise BadInput(f"{url} has more than {_MOST // 1_000_000} MB.", hint=hint)
        if left() < 0:
            raise BadInput(f"{url} takes longer than {_SECONDS:.0f} s.", hint="Download it, and add the file.")
    return Page(url, kind, bytes(data))

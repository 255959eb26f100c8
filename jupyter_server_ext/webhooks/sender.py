"""Sending one delivery: signed, to an address that was looked at, and bounded whatever the receiver does."""

# An administrator or instructor names the address, and it is this machine that connects to it, from within its network.
# So every address that a host's name stands for has to be a public one, unless ``allow_hosts`` in ``[webhooks]`` has
# it, and the connection goes to the address that was looked at: a name that changes its meaning in between gains
# nothing. Redirects are not followed, and nothing is read of an answer but its status.

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.http_client import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
_SECONDS = 15.0  # for all of a delivery
_MOST_ADDRESSES = 4  # of one name that are tried
_LONGEST_URL = 2000
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Sent(NamedTuple):
    """What came of sending."""

    status: int | None  # of the receiver's answer; None where there was none
    reason: str = ""  # why it is no success


def signature(secret: str, message_id: str, timestamp: int, body: str) -> str:
    """What the header ``webhook-signature`` holds, by https://www.standardwebhooks.com.

    Example:
        >>> signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
        ...           '{"test": 2432232314}')
        'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.digest(key, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def check_url(url: str, allowed: Sequence[str]) -> httpx.URL:
    """The address of a receiver.

    Raises:
        BadRequest: It is none, or leads inward as far as that can be seen without asking for its host.

    Example:
        >>> check_url("https://hooks.example.org/a", []).host
        'hooks.example.org'
    """
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError):
        parsed, host = httpx.URL(), ""
    if len(url) > _LONGEST_URL or parsed.scheme not in {"http", "https"} or not host:
        raise BadRequest("'url' must be an address that begins with https://.", param="url")
    if parsed.userinfo:
        raise BadRequest("'url' may hold no name or password. The signature tells who sends.", param="url")
    address = _literal(host)
    if address is not None and not _may_reach(host, address, allowed):
        raise BadRequest(_inward(host), param="url")
    if parsed.scheme == "http" and not _is_named(host, address, allowed):
        words = "'url' must begin with https://, or name a host of 'allow_hosts' in [webhooks] of the rsql.toml."
        raise BadRequest(words, param="url")
    return parsed


async def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(eq=False, repr=False)
class WebhookSender:
    """Sends deliveries."""

    resolve: Callable[[str, int], Awaitable[Sequence[str]]] = look_up
    seconds: float = _SECONDS  # for all of one
    _tls: list[ssl.SSLContext] = field(default_factory=list)

    async def send(
        self, url: str, secret: str, message_id: str, body: str, *, now: float, allowed: Sequence[str]
    ) -> Sent:
        """Send a message; ``allowed`` are hosts and networks that it may reach though they are not public."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "rsql-webhooks",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": signature(secret, message_id, int(now), body),
        }
        try:
            async with asyncio.timeout(self.seconds):
                target = check_url(url, allowed)
                return await self._post(target, await self._addresses(target, allowed), headers, body.encode())
        except TimeoutError:
            return Sent(None, f"no answer within {self.seconds:g} s")
        except BadRequest as error:
            return Sent(None, error.message)
        except (OSError, UnicodeError):
            return Sent(None, "there is no such host")
        except httpx.HTTPError as error:
            return Sent(None, f"cannot be reached ({type(error).__name__})")

    async def _addresses(self, target: httpx.URL, allowed: Sequence[str]) -> list[str]:
        host = target.raw_host.decode("ascii")
        found = await self.resolve(host, _port(target))
        if not found:
            raise OSError(host)
        if not all(_may_reach(host, _literal(one), allowed) for one in found):
            raise BadRequest(_inward(host))
        return list(found)[:_MOST_ADDRESSES]

    async def _post(self, target: httpx.URL, addresses: Sequence[str], headers: dict[str, str], body: bytes) -> Sent:
        if not self._tls:
            self._tls.append(httpx.create_ssl_context())
        host = target.raw_host.decode("ascii")
        headers |= {"Host": target.netloc.decode("ascii")}
        # No connection is kept: it was made for one host's name, and the next may have another at the same address.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(
            verify=self._tls[0], trust_env=False, follow_redirects=False, limits=limits, timeout=self.seconds
        ) as client:
            for last, address in enumerate(addresses, 1 - len(addresses)):
                there = target.copy_with(host=address)
                request = client.build_request("POST", there, headers=headers, content=body)
                request.extensions["sni_hostname"] = host
                try:
                    response = await client.send(request, stream=True)
                except httpx.ConnectError:
                    if not last:
                        raise
                    continue
                await response.aclose()  # whatever follows the head is not read
                return _judged(response)
        raise OSError(host)


def _judged(response: httpx.Response) -> Sent:
    if response.is_success:
        return Sent(response.status_code)
    if response.has_redirect_location:
        return Sent(response.status_code, "redirects, which is not followed; give the address that it leads to")
    return Sent(response.status_code, f"answered {response.status_code}")


def _port(target: httpx.URL) -> int:
    return target.port or (443 if target.scheme == "https" else 80)


def _inward(host: str) -> str:
    return f"{host} leads into a private network. 'allow_hosts' in [webhooks] of the rsql.toml may allow it."


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _literal(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _may_reach(host: str, address: _Address | None, allowed: Sequence[str]) -> bool:
    return address is not None and (_is_public(address) or _is_named(host, address, allowed))


def _is_public(address: _Address) -> bool:
    inner: ipaddress.IPv4Address | None = None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.is_global and not address.is_multicast and (inner is None or inner.is_global)


def _is_named(host: str, address: _Address | None, allowed: Sequence[str]) -> bool:
    networks = [network for one in allowed if (network := _network_of(one)) is not None]
    inside = address is not None and any(address in network for network in networks)
    return inside or host.lower() in map(str.lower, allowed)


def _network_of(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network that a text such as ``10.0.0.0/8`` or ``127.0.0.1`` names; None where it is a host's name."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None

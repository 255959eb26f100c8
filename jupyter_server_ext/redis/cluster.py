"""The one server of a Redis Cluster that owns the slot of all counters."""

# All keys of the counters are in one slot (``{prefix}:…``), as one script takes from many of them. So a Cluster is to
# the coordinator what a master behind Sentinels is: one server, which may be another one tomorrow. Each new connection
# asks the Cluster for the slot's owner; the coordinator makes a new one after any failure, such as ``MOVED``.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection
from redis.crc import key_slot
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError
from redis.utils import str_if_bytes

from jupyter_server_ext.redis.client import CONNECT_SECONDS, PORT, RedisAddress


@dataclass(eq=False, repr=False)
class SlotOwner:
    """Finds the server of a slot."""

    _slot: int  # its number
    _addresses: list[tuple[str, int]]  # some servers of the Cluster; they name the others
    _kind: type[Connection]  # what a connection is made by
    _options: dict[str, Any]  # how a connection is made

    async def find(self) -> tuple[str, int]:
        """Its address, by the first server that answers."""
        for address in list(self._addresses):
            try:
                rows = await self._ask(address)
            except (RedisError, OSError):
                self._addresses.remove(address)  # the last to be asked next time
                self._addresses.append(address)
                continue
            for first, last, master, *others in rows:
                if first <= self._slot <= last:
                    # One without a name is at the address that was asked.
                    found = [(str_if_bytes(host) or address[0], int(port)) for host, port, *_ in (master, *others)]
                    self._addresses += [one for one in found if one not in self._addresses]
                    return found[0]
        raise NotConnected("no server of the Cluster names the owner of the slot")

    async def _ask(self, address: tuple[str, int]) -> list[Any]:
        connection = self._kind(host=address[0], port=address[1], **self._options | {"socket_timeout": CONNECT_SECONDS})
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("CLUSTER SLOTS")
            rows: list[Any] = await connection.read_response()
            return rows
        finally:
            await connection.disconnect(nowait=True)


class SlotConnection(Connection):
    """A connection to the server that owns the slot when it is made."""

    def __init__(self, *, owner: SlotOwner, **options: Any) -> None:
        self._owner = owner
        super().__init__(**options)

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """Find the owner, then connect."""
        if not self.is_connected:
            self.host, self.port = await self._owner.find()
        await super().connect_check_health(check_health, retry_socket_connect)


class SlotSSLConnection(SlotConnection, SSLConnection):
    """The same over TLS."""


def client_of_slot(address: RedisAddress, options: dict[str, Any]) -> Redis:
    """A client for the slot of ``address``'s keys."""
    given = {**address.options, **address.login(), **options}
    asking, speaking = (SSLConnection, SlotSSLConnection) if address.is_secure else (Connection, SlotConnection)
    slot = key_slot(f"{{{address.prefix}}}".encode())
    owner = SlotOwner(slot, address.addresses(PORT), asking, given)
    asking(**given)  # complains of options that it does not know
    return Redis.from_pool(ConnectionPool(connection_class=speaking, owner=owner, **given))

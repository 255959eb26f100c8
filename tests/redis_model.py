"""Redis as far as counters of time use it, in this process and in the event loop's time: its scripts and its news."""

from __future__ import annotations

import asyncio

import msgspec

MICROSECONDS = 1_000_000


class Server:
    """What gateways share: amounts by counter, slot and gateway; who lives; who listens.

    Attributes:
        delay: Seconds until a reply.
        is_up: Whether it answers at all.
    """

    def __init__(self, clock):
        self._clock = clock
        self.delay, self.is_up = 0.001, True
        self.counters, self.live, self.birth, self.listeners = {}, {}, b"", []

    def now(self):
        return int(self._clock() * MICROSECONDS)

    def run(self, call):
        """The reply to a call; see ``jupyter_server_ext/redis/lua``."""
        return getattr(self, call.script)(list(call.keys), list(call.args))

    def beat(self, _, args):
        instance, lease, life, channel = args
        if lease and instance not in self.live:
            self._tell(channel, instance, "here", [instance])
        if lease:
            self.live[instance] = self.now() + lease
        self.birth = self.birth or life.encode()
        return [self.now(), self.birth, *(part for name, end in self.live.items() for part in (name.encode(), end))]

    def take(self, keys, args):
        asked = list(zip(keys[1::2], *[iter(msgspec.msgpack.decode(args[2]))] * 4, strict=True))
        uses = [self._used(name, span) for name, _, _, span, _ in asked]
        short = [
            part
            for place, (used, (_, limit, amount, _, _)) in enumerate(zip(uses, asked, strict=True), 1)
            for part in (place, used, -1)
            if 0 <= limit < used + amount
        ]
        if short:
            return [0, self.now(), *short]
        for name, _, amount, span, grain in asked:
            self._add(name, self.now() // grain * grain + grain - 1, args[0], amount)
            self._tell(args[1], args[0], "used", [name, self._used(name, span), span])
        return [1, self.now(), *(self._used(name, span) for name, _, _, span, _ in asked)]

    def change(self, keys, args):
        uses = [self.now()]
        for name, span, slot, amount in zip(keys[1::2], *[iter(args[2:])] * 3, strict=True):
            self._add(name, slot, args[0], amount)
            uses.append(self._used(name, span))
        return uses

    def replace(self, keys, args):
        name, instance, span = keys[1], args[0], args[2]
        self.counters[name] = {at: amount for at, amount in self.counters.get(name, {}).items() if at[1] != instance}
        for slot, amount in zip(*[iter(args[3:])] * 2, strict=True):
            self._add(name, slot, instance, amount)
        return [self.now(), self._used(name, span)]

    def leave(self, _, args):
        self.live[args[0]] = self.now()
        return self.now()

    def _add(self, name, slot, instance, amount):
        counter = self.counters.setdefault(name, {})
        counter[slot, instance] = counter.get((slot, instance), 0) + amount

    def _used(self, name, span):
        return sum(amount for (slot, _), amount in self.counters.get(name, {}).items() if slot + span > self.now())

    def _tell(self, channel, instance, kind, news):
        self.publish(channel, msgspec.msgpack.encode([instance, kind, news]))

    def publish(self, _, message):
        for listener in self.listeners:
            listener.put_nowait({"type": "message", "data": message})


class Connection:
    """In place of a ``ScriptConnection`` to a server."""

    def __init__(self, server):
        self._server = server

    async def open(self):
        await self._answered(self._server.delay)

    async def replies(self, calls, seconds, late):
        is_late = self._server.delay > seconds
        if is_late:
            await self._answered(seconds)
            late()
        await self._answered(self._server.delay - seconds * is_late)
        replies = [self._server.run(call) for call in calls]
        if is_late:
            raise TimeoutError
        return replies

    async def drop(self, *, nowait=True):
        """Nothing is open."""

    async def _answered(self, seconds):
        if self._server.is_up:
            await asyncio.sleep(seconds)
        if not self._server.is_up:
            raise ConnectionError


class Client:
    """In place of redis-py's client of a server: it publishes and listens."""

    def __init__(self, server):
        self._server, self._news = server, asyncio.Queue()

    def pubsub(self):
        return Client(self._server)

    async def subscribe(self, _):
        self._server.listeners.append(self._news)

    async def get_message(self, **_):
        """That it is subscribed."""

    async def listen(self):
        while True:
            yield await self._news.get()

    async def publish(self, channel, message):
        self._server.publish(channel, message)

    async def aclose(self):
        if self._news in self._server.listeners:
            self._server.listeners.remove(self._news)

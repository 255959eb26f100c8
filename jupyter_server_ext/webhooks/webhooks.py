"""Webhooks as people make, see and try them, and the work of telling them."""

# A webhook is a thing of the trail of changes (``tenants/runtime.py``), so all gateways of a ledger know it, and making
# and deleting one can be taken back. Its secret is kept apart from the trail, which people read.

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import secrets
import time
from collections import Counter, OrderedDict, deque
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from tornado.log import app_log

from jupyter_server_ext.errors import BadRequest, LedgerUnavailable
from jupyter_server_ext.ledger import RowLease, Thing
from jupyter_server_ext.messages import is_name
from jupyter_server_ext.tenants import hidden_path
from jupyter_server_ext.webhooks.event_types import possible_events
from jupyter_server_ext.webhooks.kept import Outboxes, WebhookSecrets
from jupyter_server_ext.webhooks.sender import SECRET_PREFIX, Sent, WebhookSender, check_url
from jupyter_server_ext.webhooks.sinks import Sinks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jupyter_server_ext.config import WebhookSettings
    from jupyter_server_ext.ledger import PromptVault
    from jupyter_server_ext.messages import Caller
    from jupyter_server_ext.tenants import Tenants
    from jupyter_server_ext.webhooks.outbox import Delivery, SqlOutbox

TEST = "webhook.test"

_KIND = "webhook"
_MOST, _MOST_OF_TENANT = 100, 10
_A_DAY = 86_400.0
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 5.0, 4 * 3600.0, 3.0  # seconds between tries
_GONE = 410  # by Standard Webhooks, a receiver that wants no more of it
_LOOK_SECONDS = 2.0  # between two looks at what is due
_GATHER_SECONDS = 0.05  # for which events are gathered before they are put into the outbox
_KEPT_SECONDS = 7 * _A_DAY  # for which the log reaches back
_TIDY_SECONDS = 3600.0
_AT_ONCE, _AT_ONCE_EACH = 16, 2  # deliveries that a gateway sends, in all and to one webhook
_MOST_PENDING = 1000  # events that wait for the outbox
_MOST_WAITING = 1000  # deliveries of one webhook
_MOST_TOLD = 10_000  # events that are remembered, so that a repeat costs nothing


class NoSuchWebhook(BadRequest):
    """There is no webhook or delivery of this id, or not for this caller."""

    status, code = 404, "unknown_webhook"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    type: str  # one of ``EVENTS``
    subject: str  # what it happened to; within ``every`` seconds the same is told once
    data: Mapping[str, Any]
    tenant: str = ""  # whose it is, where it is a tenant's
    caller: str = ""  # whom it names, if anybody
    every: float = 0.0  # 0 for ever


@dataclass(eq=False, repr=False)
class Webhooks:
    """All webhooks."""

    tenants: Tenants  # who sees what, and the trail
    settings: WebhookSettings
    vault: PromptVault | None = None  # encrypts secrets, where there is one
    _: KW_ONLY
    sender: WebhookSender = field(default_factory=WebhookSender)
    clock: Callable[[], float] = time.time  # Unix time
    draw: random.Random = field(default_factory=random.Random)
    sinks: Sinks = field(default_factory=Sinks)  # of plug-ins: they are told the same as administrators' webhooks

    def __post_init__(self) -> None:
        self._runtime = self.tenants.runtime
        self._kept = Outboxes(self._runtime.ledger, self.clock)
        self._ahead = 0.0  # of this gateway's clock is the database's by so many seconds
        self._secrets = WebhookSecrets(self._runtime.ledger, self.vault)
        self._pending: deque[Delivery] = deque()
        self._told: OrderedDict[str, None] = OrderedDict()
        self._sending: dict[asyncio.Task[Delivery], str] = {}
        self._wake = asyncio.Event()
        self._name = secrets.token_hex(8)
        self._tidied = 0.0

    # As people see them

    def all(self, caller: Caller) -> list[dict[str, Any]]:
        """The webhooks that a caller sees.

        Raises:
            NotPermitted: It is an instructor of no tenant.
        """
        own = self.tenants.scope(caller)
        return [_shown(name, one) for name, one in self._known().items() if own in (None, one["tenant"])]

    async def make(self, caller: Caller, url: str, events: Sequence[str], tenant: str) -> dict[str, Any]:
        """Make a webhook, and tell its secret this once.

        Raises:
            BadRequest: The address, an event or the tenant is wrong, or there are too many.
            NotPermitted: It is an instructor of no tenant.
            LedgerUnavailable: It cannot be kept.
        """
        own = self.tenants.scope(caller)
        if own is not None:
            if tenant not in ("", own):
                raise BadRequest("You make webhooks for your own group only.", param="tenant", status=403)
            tenant = own
            await self.tenants.check_pace(own)
        elif tenant:
            await self.tenants.groups.check([tenant])
        possible = possible_events(tenant)
        if unknown := [event for event in events if event not in possible]:
            raise BadRequest(f"'{unknown[0][:40]}' is none of: {', '.join(possible)}.", param="events")
        check_url(url, self._allowed(tenant))
        if not is_name(url[:255]):
            raise BadRequest("'url' holds control characters.", param="url")
        webhook, secret = secrets.token_hex(8), SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
        rules = {"url": url, "events": sorted(set(events or possible)), "tenant": tenant, "made": self.clock()}

        def edit(state: Mapping[Thing, dict[str, Any]]) -> dict[Thing, dict[str, Any]]:
            there = [one["tenant"] for thing, one in state.items() if thing.kind == _KIND]
            if len(there) >= _MOST or (tenant and there.count(tenant) >= _MOST_OF_TENANT):
                most = _MOST_OF_TENANT if tenant else _MOST
                raise BadRequest(f"There may be {most} webhooks. Delete one first.", code="too_many_webhooks")
            return {Thing(_KIND, webhook): rules}

        await self._secrets.keep(webhook, secret, caller.name, self.clock())
        await self._runtime.change(edit, caller.name)
        return _shown(webhook, rules) | {"secret": secret}

    async def remove(self, caller: Caller, webhook: str) -> None:
        """Delete a webhook, with what is to be told to it.

        Raises:
            NoSuchWebhook: There is none for this caller.
            LedgerUnavailable: That cannot be kept.
        """
        self._of(caller, webhook)
        await self._runtime.change(lambda _: {Thing(_KIND, webhook): {}}, caller.name)
        await self._kept.everywhere(lambda outbox: outbox.drop(webhook))

    async def log(self, caller: Caller, webhook: str, limit: int) -> dict[str, Any]:
        """A webhook with its deliveries, the newest first.

        Raises:
            NoSuchWebhook: There is none for this caller.
            LedgerUnavailable: The log cannot be read.
        """
        rules = self._of(caller, webhook)
        found = [one for part in await self._kept.everywhere(lambda outbox: outbox.log(webhook, limit)) for one in part]
        newest = sorted(found, key=lambda one: -one.made)[:limit]
        return _shown(webhook, rules) | {"deliveries": [_delivery(one) for one in newest]}

    async def test(self, caller: Caller, webhook: str) -> dict[str, Any]:
        """Send an event ``webhook.test`` now, once, and tell what came of it.

        Raises:
            NoSuchWebhook: There is none for this caller.
            LedgerUnavailable: It cannot be kept.
        """
        self._of(caller, webhook)
        now = self.clock()
        event = Event(TEST, secrets.token_hex(8), {"by": caller.name}, caller=caller.name)
        made = self._delivery(webhook, event, now)
        made = replace(made, state="failed")  # until it is taken, so that no other gateway sends it
        await self._kept.first(lambda outbox: outbox.add([made]))
        lease = RowLease(self._owner())
        for found in await self._kept.everywhere(lambda outbox: outbox.again(webhook, made.id, lease)):
            if found is not None:
                return _delivery(await self._deliver(replace(found, until=found.made)))
        return _delivery(made)

    async def retry(self, caller: Caller, webhook: str, delivery: str) -> dict[str, Any]:
        """Send a delivery again now, by the same id, and for another day if need be.

        Raises:
            NoSuchWebhook: There is none for this caller, or it is being sent at this moment.
            LedgerUnavailable: It cannot be kept.
        """
        self._of(caller, webhook)
        lease = RowLease(self._owner())
        for found in await self._kept.everywhere(lambda outbox: outbox.again(webhook, delivery, lease)):
            if found is not None:
                return _delivery(await self._deliver(found))
        raise NoSuchWebhook("There is no such delivery, or it is being sent just now.", param="delivery")

    async def forget(self, caller: str) -> None:
        """Forget what names a caller.

        Raises:
            LedgerUnavailable: It cannot be written.
        """
        self._pending = deque(one for one in self._pending if one.caller != caller)
        await self._kept.everywhere(lambda outbox: outbox.forget(caller))

    # Telling

    def tell(self, event: Event) -> None:
        """Have an event told to all who want to know; returns at once."""
        now = self.clock() + self._ahead
        if self.sinks:
            self.sinks.tell(_mark(event, now), _body(event, now))
        for webhook, rules in self._known().items():
            if event.type not in rules["events"] or rules["tenant"] not in ("", event.tenant):
                continue
            made = self._delivery(webhook, event, now)
            if made.id in self._told:
                continue
            if len(self._pending) >= _MOST_PENDING:
                app_log.warning("rsql: too many events wait; %s is told to nobody.", event.type)
                return
            self._told[made.id] = None
            if len(self._told) > _MOST_TOLD:
                self._told.popitem(last=False)
            self._pending.append(made)
            self._wake.set()

    async def run(self, look: Callable[[], None] = lambda: None) -> None:
        """Tell events, for ever; ``look`` is called every two seconds, to find some."""
        self.sinks.load()
        try:
            while True:
                try:
                    if self._known() or self.sinks:
                        look()
                        await self.work()
                except Exception:  # noqa: BLE001 - one fault must not end the telling of all others
                    app_log.error("rsql: webhooks are told with a delay.", exc_info=True)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._wake.wait()
                await asyncio.sleep(_GATHER_SECONDS)  # others may come, and go together
                self._wake.clear()
        finally:
            for task in self._sending:
                task.cancel()

    async def work(self) -> None:
        """Put what was told into the outbox, and begin to send what is due."""
        await self._put()
        await self._tidy()
        for here in self._kept.all():
            with suppress(LedgerUnavailable):  # health tells, and it goes on when it is back
                await self._send_due(here)

    async def idle(self) -> None:
        """Return when nothing is being sent."""
        while self._sending:
            await asyncio.wait([*self._sending])

    async def close(self) -> None:
        """Leave in the outbox what is not sent yet, for another gateway or the next start."""
        for task in self._sending:
            task.cancel()
        await self._put()
        if self.sinks:
            await asyncio.to_thread(self.sinks.close)

    async def _put(self) -> None:
        while self._pending:
            some = list(self._pending)
            full = {name for name, number in (await self._waiting()).items() if number >= _MOST_WAITING}
            wanted = [one for one in some if one.webhook not in full]
            if wanted:
                await self._kept.first(lambda outbox: outbox.add(wanted))  # noqa: B023 - awaited here
            put = {one.id for one in some}  # others may have come, or been forgotten, meanwhile
            self._pending = deque(one for one in self._pending if one.id not in put)
            if full:
                app_log.warning(
                    "rsql: %d webhooks have %d deliveries waiting and get no more.", len(full), _MOST_WAITING
                )

    async def _waiting(self) -> dict[str, int]:
        with suppress(LedgerUnavailable):
            found: Counter[str] = Counter()
            for part in await self._kept.everywhere(lambda outbox: outbox.waiting(self._known())):
                found.update(part)
            return found
        return {}

    async def _tidy(self) -> None:
        now = self.clock()
        if now - self._tidied >= _TIDY_SECONDS:
            self._tidied = now
            with suppress(LedgerUnavailable):
                await self._kept.everywhere(lambda outbox: outbox.tidy(now - _KEPT_SECONDS, self._known()))

    async def _send_due(self, here: SqlOutbox | None) -> None:
        known = self._known()
        due, now = await self._kept.at(here, lambda outbox: outbox.due())
        self._ahead = now - self.clock()
        for webhook in due:
            under_way = Counter(self._sending.values())
            room = min(_AT_ONCE - under_way.total(), _AT_ONCE_EACH - under_way[webhook])
            if webhook not in known or room <= 0:  # another gateway may know it already
                continue
            leased = partial(_lease, webhook, RowLease(self._owner()), room)
            for one in await self._kept.at(here, leased):
                task = asyncio.create_task(self._deliver(one), name="rsql-webhook")
                self._sending[task] = webhook
                task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[Delivery]) -> None:
        del self._sending[task]
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            app_log.error("rsql: a webhook's delivery failed.", exc_info=error)

    def _owner(self) -> str:
        return f"{self._name}{secrets.token_hex(4)}"

    async def _deliver(self, delivery: Delivery) -> Delivery:
        """Send it, and keep what came of that; where that cannot be kept it is sent again, as at least once."""
        rules = self._known().get(delivery.webhook)
        if rules is None:  # deleted just now
            return delivery
        with suppress(LedgerUnavailable):  # the lease ends, and another try follows
            begun = await self._kept.begin(delivery)
            if begun is None:
                return delivery
            delivery = replace(begun, until=delivery.until)  # a test's first try is its last
            secret = await self._secrets.of(delivery.webhook)
            if secret is None:
                sent = Sent(None, "its secret cannot be read: 'prompt_keys' in [storage] have changed. Make it anew.")
            else:
                url, allowed, now = rules["url"], self._allowed(rules["tenant"]), self.clock()
                sent = await self.sender.send(url, secret, delivery.id, delivery.body, now=now, allowed=allowed)
            delivery, pause = self._judged(delivery, sent)
            for here in self._kept.all():
                with suppress(LedgerUnavailable):
                    await self._kept.at(here, lambda outbox: outbox.settle(delivery, pause))
        return delivery

    def _judged(self, delivery: Delivery, sent: Sent) -> tuple[Delivery, float]:
        """What came of a try, and the seconds until the next."""
        tried = replace(delivery, status=sent.status, reason=sent.reason)
        if not sent.reason:
            return replace(tried, state="delivered"), 0.0
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * _GROWTH ** (tried.attempts - 1)) * self.draw.uniform(0.9, 1.1)
        if sent.status == _GONE or (tried.tried or tried.made) + pause > delivery.until:
            return replace(tried, state="failed"), 0.0
        return replace(tried, due=(tried.tried or tried.made) + pause), pause

    def _delivery(self, webhook: str, event: Event, now: float) -> Delivery:
        from jupyter_server_ext.webhooks.outbox import Delivery

        # Gateways that see the same give it the same id, and it is told once.
        words = f"{webhook}\n{_mark(event, now)}"
        message = f"msg_{hashlib.sha256(words.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
        body = json.dumps(_body(event, now))
        return Delivery(message, webhook, event.type, event.caller, body, made=now, until=now + _A_DAY, due=now)

    def _known(self) -> dict[str, dict[str, Any]]:
        return {thing.name: rules for thing, rules in self._runtime.state.items() if thing.kind == _KIND}

    def _of(self, caller: Caller, webhook: str) -> dict[str, Any]:
        own, rules = self.tenants.scope(caller), self._known().get(webhook)
        if rules is None or own not in (None, rules["tenant"]):
            raise NoSuchWebhook("There is no such webhook. GET admin/api/webhooks lists them.", param="id")
        return rules

    def _allowed(self, tenant: str) -> Sequence[str]:
        # What is inward is the administrators' alone.
        return () if tenant else self.settings.allow_hosts


def _mark(event: Event, now: float) -> str:
    """What is the same for an event that is told once only."""
    period = int(now // event.every) if event.every else 0
    return "\n".join((event.type, event.subject, str(period)))


def _body(event: Event, now: float) -> dict[str, Any]:
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"type": event.type, "timestamp": at, "data": dict(event.data)}


def _lease(webhook: str, lease: RowLease, most: int, outbox: SqlOutbox) -> list[Delivery]:
    return outbox.lease(webhook, lease, most)


def _shown(webhook: str, rules: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": webhook, **rules, "url": hidden_path(rules["url"])}


def _delivery(delivery: Delivery) -> dict[str, Any]:
    names = ("id", "event", "state", "attempts", "made", "tried", "status", "reason")
    due = delivery.due if delivery.state == "waiting" else None
    return {name: getattr(delivery, name) for name in names} | {"due": due}

"""Where deliveries and secrets of webhooks are kept: with the ledger, and in this process while that is away."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from jupyter_server_ext.errors import LedgerUnavailable
from jupyter_server_ext.logs import hide
from jupyter_server_ext.webhooks.sender import SECRET_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_server_ext.ledger import Ledger, PromptVault
    from jupyter_server_ext.webhooks.outbox import Delivery, SqlOutbox

T = TypeVar("T")


class Outboxes:
    """The ledger's outbox, and one of this process where that is away or there is none."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._clock = clock  # Unix time, for that of this process
        self._here: SqlOutbox | None = None

    def all(self) -> list[SqlOutbox | None]:
        """All outboxes; None stands for the ledger's."""
        return [*([None] if self._ledger.keeps else []), *([] if self._here is None else [self._here])]

    async def at(self, here: SqlOutbox | None, what: Callable[[SqlOutbox], T]) -> T:
        """Do something with one of them.

        Raises:
            LedgerUnavailable: It is the ledger's, which is away.
        """
        if here is not None:
            return what(here)
        from jupyter_server_ext.webhooks.outbox import SqlOutbox

        return await self._ledger.ask(lambda store: what(SqlOutbox(store.engine, store.now)))

    async def everywhere(self, what: Callable[[SqlOutbox], T]) -> list[T]:
        """Do something with all of them.

        Raises:
            LedgerUnavailable: The ledger is away.
        """
        return [await self.at(here, what) for here in self.all()]

    async def first(self, what: Callable[[SqlOutbox], T]) -> T:
        """Do something with the ledger's, or with this process's while that is away."""
        if self._ledger.keeps:
            try:
                return await self.at(None, what)
            except LedgerUnavailable:
                pass
        if self._here is None:
            self._here = outbox_in_memory(self._clock)
        return what(self._here)

    async def begin(self, delivery: Delivery) -> Delivery | None:
        """Count a try that is about to be made; None where another has the delivery, or that cannot be kept."""
        for here in self.all():
            with suppress(LedgerUnavailable):
                begun = await self.at(here, lambda outbox: outbox.begin(delivery))
                if begun is not None:
                    return begun
        return None


class WebhookSecrets:
    """What deliveries are signed with, encrypted where there are keys for that."""

    def __init__(self, ledger: Ledger, vault: PromptVault | None) -> None:
        self._ledger, self._vault = ledger, vault
        self._known: dict[str, str] = {}

    async def keep(self, webhook: str, secret: str, caller: str, at: float) -> None:
        """Keep the secret of a webhook, for good where there is a ledger.

        Raises:
            LedgerUnavailable: It cannot be written.
        """
        hide([secret])
        self._known[webhook] = secret
        if self._ledger.keeps:
            sealed = secret if self._vault is None else self._vault.seal(secret.encode()).decode()
            await self._ledger.write(lambda store: store.decide(_place(webhook), sealed, caller, at))

    async def of(self, webhook: str) -> str | None:
        """The secret of a webhook; None where it cannot be read any more.

        Raises:
            LedgerUnavailable: The ledger is away, and this process has not used it before.
        """
        if webhook not in self._known and self._ledger.keeps:
            kept = await self._ledger.ask(lambda store: store.decided(_place(webhook)))
            if not kept.startswith(SECRET_PREFIX):
                opened = self._vault.open(kept.encode()) if self._vault is not None else None
                kept = opened.decode() if opened is not None else ""
            if not kept:
                return None
            hide([kept])
            self._known[webhook] = kept
        return self._known.get(webhook)


def _place(webhook: str) -> str:
    return f"webhook {webhook}"


def outbox_in_memory(clock: Callable[[], float] = time.time) -> SqlOutbox:
    """An outbox until the end of the process, by its clock."""
    import sqlalchemy as sa
    from sqlalchemy.pool import StaticPool

    from jupyter_server_ext.ledger import webhook_deliveries
    from jupyter_server_ext.webhooks.outbox import SqlOutbox

    engine = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    webhook_deliveries.create(engine)
    return SqlOutbox(engine, lambda _: clock())

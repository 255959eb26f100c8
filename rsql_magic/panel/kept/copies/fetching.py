"""Conversations that other machines have written, fetched from the gateway: some while a panel opens, others beside."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from rsql_magic.errors import GatewayError, RsqlError
from rsql_magic.panel.kept.copies.known import place_of
from rsql_magic.panel.kept.copies.replies import OddReply, may_pass, no_gateway, understood

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.gateway import LLMClient
    from rsql_magic.panel.kept.copies.exchange import CopyExchange
    from rsql_magic.panel.kept.copies.files import FileCopies

_QUICK = 3.0  # seconds that a request may take


class CopiesElsewhere:
    """What other machines have written.

    Attributes:
        is_left: Whether some of it is still to be fetched.
    """

    def __init__(self, exchange: CopyExchange, files: FileCopies, gateway: Callable[[], LLMClient | None]) -> None:
        self._exchange, self._files, self._gateway = exchange, files, gateway
        self.is_left = False

    def fetch(self, most: int | None = None, seconds: float = math.inf) -> tuple[int, str]:
        """Fetch what is new, so many conversations at most, and begin none after so many seconds.

        Returns:
            How many had news, and why others could not be fetched, in a sentence or two.
        """
        fetched, trouble, end = 0, "", time.monotonic() + seconds
        try:
            if (gateway := self._gateway()) is None:
                raise no_gateway()
            place, told = place_of(gateway.url), gateway.get("sessions", timeout=_QUICK)
            with understood():
                listed = [(str(one["id"]), float(one["changed"])) for one in told["sessions"]]
            news = self._exchange.news(listed, place)
            for there in news[:most]:
                if time.monotonic() > end:
                    return fetched, trouble
                try:
                    fetched += self._has_news(there, place, gateway)
                except GatewayError as error:
                    if may_pass(error) and not isinstance(error, OddReply):
                        raise
                    # It cannot be given, or kept; the others can.
                    trouble = f"A conversation at the gateway could not be fetched: {error}"
            self.is_left = len(news[:most]) < len(news)
        except RsqlError as error:
            trouble = f"Conversations at the gateway could not be fetched: {error}"
        return fetched, trouble

    def _has_news(self, there: str, place: str, gateway: LLMClient) -> bool:
        whole = gateway.get(f"sessions/{quote(there, safe='')}", timeout=_QUICK)
        if (conversation := self._exchange.take(whole, there, place)) is None:
            return False
        self._files.look(conversation, there, gateway)
        return True

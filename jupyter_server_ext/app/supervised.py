"""What a gateway and its supervisor tell each other, and how one starts beside the one that it is to follow."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.app.supervisor import BESIDE_VARIABLE, NEWS_VARIABLE
from jupyter_server_ext.pipeline import check_keys_are_left

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_server_ext.config import Settings


@dataclass(frozen=True, eq=False)
class SupervisorLink:
    """The way to the supervisor that started this gateway."""

    news: socket.socket
    keys_before: int = 0  # that the gateway has which runs, and is to leave; 0 where there is none
    place: int = 0  # by which both have different names in the ledger

    @classmethod
    def of_environment(cls) -> SupervisorLink | None:
        """The way to the supervisor, as it said in the environment; None where there is none, or it is known."""
        number = os.environ.pop(NEWS_VARIABLE, "")
        keys, _, place = os.environ.pop(BESIDE_VARIABLE, "0 0").partition(" ")
        return cls(socket.socket(fileno=int(number)), int(keys), int(place or 0)) if number else None

    def checked(self, settings: Settings) -> Settings:
        """The settings, for a gateway that runs beside the one that it follows.

        Raises:
            ConfigError: They have no keys any more, as of a file that was emptied.
        """
        check_keys_are_left(settings, self.keys_before)
        stored = settings.storage
        if self.place and stored.instance:  # a chain of entries has one writer
            stored = replace(stored, instance=f"{stored.instance}-{self.place + 1}")
        return replace(settings, storage=stored)

    def tell(self, **news: object) -> None:
        """Tell the supervisor what is new."""
        with suppress(OSError):
            self.news.sendall(json.dumps(news).encode() + b"\n")

    async def listen(self, refused: Callable[[str], None]) -> None:
        """Hear why a restart was not made, again and again; returns when it is time to leave."""
        self.news.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=self.news)
        try:
            while line := await reader.readline():
                news: dict[str, Any] = json.loads(line)
                if news.get("leave"):
                    return
                if why := news.get("refused"):
                    refused(str(why))
            await asyncio.Event().wait()  # the supervisor has gone, and this goes on until it is told otherwise
        finally:
            writer.close()

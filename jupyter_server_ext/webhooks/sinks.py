"""Sinks of events by other distributions (``rsql.event_sinks``), each in a thread of its own."""

from __future__ import annotations

import copy
import queue
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.plugins import PlugIn, PlugInFailed, Unfit, ask, leave_out, plugged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    EventSink = Callable[[dict[str, Any]], object]

GROUP = "rsql.event_sinks"
_MOST_WAITING = 1_000  # events of one sink; a slow one loses the rest
_MOST_TOLD = 10_000  # events that are remembered, so that a repeat is not told again
_LAST_SECONDS = 2.0  # that a gateway which ends waits for its sinks


@dataclass(eq=False)
class SinkThread:
    """One sink: it is handed events one after the other, and never by the gateway's own thread."""

    plug: PlugIn
    sink: EventSink
    _waiting: queue.Queue[dict[str, Any] | None] = field(default_factory=lambda: queue.Queue(_MOST_WAITING), repr=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"rsql-sink-{self.plug.name}")
        self._thread.start()

    def put(self, event: dict[str, Any]) -> None:
        """Have an event handed over; where too many wait it is lost, and the plug-in is named."""
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            leave_out(self.plug, Unfit(f"{_MOST_WAITING:,} events wait for it"))

    def close(self, seconds: float) -> None:
        """End when all that waits is handed over, or after so many seconds."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _run(self) -> None:
        while (event := self._waiting.get()) is not None:
            try:
                ask(self.plug, lambda event=event: self.sink(event))  # type: ignore[misc]
            except PlugInFailed:  # it is named, and has lost this one
                continue


@dataclass(eq=False)
class Sinks:
    """All sinks of a gateway; they are loaded when it starts to tell events."""

    _sinks: list[SinkThread] = field(default_factory=list)
    _told: OrderedDict[str, None] = field(default_factory=OrderedDict, repr=False)

    def __bool__(self) -> bool:
        return bool(self._sinks)

    def load(self) -> None:
        """Load the plug-ins; those that fail are left out and named."""
        self._sinks = [SinkThread(plug, sink) for plug, sink in plugged_sinks()]

    def tell(self, mark: str, body: Mapping[str, Any]) -> None:
        """Hand an event to each sink, as its own copy; a mark that was told before is not told again."""
        if not self._sinks or mark in self._told:
            return
        self._told[mark] = None
        if len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)
        for sink in self._sinks:
            sink.put(copy.deepcopy(dict(body)))

    def close(self) -> None:
        """Hand over what waits, within a few seconds."""
        for sink in self._sinks:
            sink.close(_LAST_SECONDS / len(self._sinks))


@cache
def plugged_sinks() -> tuple[tuple[PlugIn, EventSink], ...]:
    """The sinks of plug-ins."""
    return tuple(plugged(GROUP, _read).values())


def _read(plug: PlugIn) -> tuple[PlugIn, EventSink]:
    if isinstance(plug.value, type) or not callable(plug.value):
        raise Unfit("it is no function of an event")
    return plug, plug.value

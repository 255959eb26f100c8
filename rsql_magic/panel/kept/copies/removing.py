"""Taking copies away from gateways: what is due is tried until it is done, and what is left is said."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from rsql_magic.errors import BadInput, GatewayError, GatewayUnreachable, RsqlError
from rsql_magic.panel.kept.copies.files import paths_of
from rsql_magic.panel.kept.copies.known import OF_FILE, KnownCopies, KnownCopy, place_of
from rsql_magic.panel.kept.copies.replies import no_gateway, understood

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rsql_magic.gateway import LLMClient
    from rsql_magic.panel.kept.store import ConversationStore

_CLOCKS_DIFFER = 120.0  # seconds that the clock of a gateway that does not tell its time may be before this machine's
_ON_THE_WAY = 5.0  # seconds that the time of one that does may be old
_QUICK = 5.0  # seconds that a request to take something away may take


class Left(NamedTuple):
    """What could not be taken away, and why."""

    copies: Sequence[KnownCopy] = ()
    why: RsqlError | None = None

    @property
    def reason(self) -> str:
        """What is left, in a sentence; empty where nothing is."""
        links = sum(copy.due == "link" for copy in self.copies)
        counted = len(self.copies) - links
        copies = "your copies" if any(not copy.there for copy in self.copies) else _count(counted, "copy", "copies")
        what = " and ".join(filter(None, [copies, _count(links, "link", "links")]))
        return f"To be deleted at the gateway still: {what}." if what else ""

    @property
    def hint(self) -> str:
        """Why, and what goes on by itself."""
        return f"{self.why or ''} It is tried again until it is done.".lstrip() if self.copies else ""

    def __str__(self) -> str:
        return f"{self.reason} {self.hint}".strip()


class CopyRemovals:
    """Takes away what is due, of the gateway that is within reach.

    Args:
        store: The file that knows what is due.
        gateway: The gateway within reach; None where there is none.
        clock: The Unix time.
    """

    def __init__(
        self,
        store: Callable[[], ConversationStore],
        gateway: Callable[[], LLMClient | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._gateway, self._clock, self._begun = store, gateway, clock, clock()

    def carry_out(self) -> Left:
        """Try once what is due.

        Returns:
            What is left, without that of a gateway out of reach which was due in an earlier session already: nothing
            that is done here could change it.

        Raises:
            BadInput: The file cannot be read or written.
        """
        copies = KnownCopies(self._store())
        if not (due := copies.due()):
            return Left()
        try:
            if (gateway := self._gateway()) is None:
                raise no_gateway()
        except RsqlError as error:
            return Left(due, error)
        left, place = list[KnownCopy](), place_of(gateway.url)
        why: RsqlError | None = None
        for copy in due:
            if copy.place not in {"", place}:
                if copy.since >= self._begun:
                    left.append(copy)
                    why = why or _elsewhere(copy.place)
            elif isinstance(why, GatewayUnreachable):
                left.append(copy)  # it would say the same again
            else:
                try:
                    self._take_away(gateway, copy)
                    copies.done(copy)
                except GatewayError as error:
                    left.append(copy)
                    why = error
        return Left(left, why)

    def _take_away(self, gateway: LLMClient, copy: KnownCopy) -> None:
        if not copy.there:
            for name in self._there_since(gateway, copy.since):
                _delete(gateway, quote(name, safe=""))
        elif copy.there.startswith(OF_FILE):
            for path in self._paths_of(gateway, copy):
                _delete(gateway, path)
        elif copy.due == "link" or (copy.due == "linked copy" and _is_of_another_machine(gateway, copy)):
            _delete(gateway, f"{copy.there}/share")
        else:
            _delete(gateway, copy.there)

    # Where a file of a conversation is there, which may be at several places or at none.
    def _paths_of(self, gateway: LLMClient, copy: KnownCopy) -> list[str]:
        session = KnownCopies(self._store()).of_conversation(copy.conversation, place_of(gateway.url))
        if session is None:  # it goes with its conversation
            return []
        try:
            told = gateway.get(f"sessions/{quote(session.there, safe='')}/artifacts", timeout=_QUICK)
        except GatewayError as error:
            if error.code != "unknown_session":
                raise
            return []
        with understood():
            return paths_of(copy.there.removeprefix(OF_FILE), list(told["artifacts"]))

    # All that was there at a time of this machine's clock, and not what another machine has said since.
    def _there_since(self, gateway: LLMClient, since: float) -> list[str]:
        told = gateway.get("sessions", timeout=_QUICK)
        with understood():
            now = told.get("now")
            last = since + _CLOCKS_DIFFER if now is None else since + float(now) - self._clock() + _ON_THE_WAY
            return [str(one["id"]) for one in told["sessions"] if float(one["changed"]) <= last]


def _elsewhere(place: str) -> BadInput:
    return BadInput(f"It is at {place}, and another gateway is in use.", hint="%rsql connect goes there.")


# Whether another machine, where copies are wanted, has written the copy since.
def _is_of_another_machine(gateway: LLMClient, copy: KnownCopy) -> bool:
    told = gateway.get("sessions", timeout=_QUICK)
    with understood():
        changed = {one["id"]: float(one["changed"]) for one in told["sessions"]}.get(copy.there)
    return changed is not None and changed > copy.changed > 0.0


def _delete(gateway: LLMClient, name: str) -> None:
    try:
        told = gateway.delete(name if name.startswith("download/") else f"sessions/{name}", timeout=_QUICK)
        with understood():  # whoever else answers there has deleted nothing
            str(told["deleted"])
    except GatewayError as error:
        if error.code != "unknown_session":  # another kernel or machine may have deleted it, or it has expired
            raise


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}" if number else ""

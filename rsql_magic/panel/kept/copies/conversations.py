"""Copies of conversations at the gateway, for those who want them to follow: sent, fetched, shared by a link."""

# A copy is the records as they are kept here, but for what they hold of the notebook's cells; one that has a link has
# pictures of its charts besides, which the machines of its owner draw themselves.

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

import msgspec

from rsql_magic.diagnostics import log
from rsql_magic.errors import BadInput, GatewayError, RsqlError
from rsql_magic.panel.kept.copies.background import Background, Undone
from rsql_magic.panel.kept.copies.exchange import CopyExchange
from rsql_magic.panel.kept.copies.fetching import CopiesElsewhere
from rsql_magic.panel.kept.copies.files import FileCopies
from rsql_magic.panel.kept.copies.known import KnownCopies, place_of
from rsql_magic.panel.kept.copies.removing import CopyRemovals, Left
from rsql_magic.panel.kept.copies.replies import ODD, may_pass, no_gateway, understood
from rsql_magic.panel.kept.images import came_with
from rsql_magic.panel.kept.records import read
from rsql_magic.panel.threads import MessagePair
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rsql_magic.gateway import LLMClient
    from rsql_magic.panel.kept.copies.exchange import Arrived
    from rsql_magic.panel.kept.images import SharedImage
    from rsql_magic.panel.kept.writing import Keeper
    from rsql_magic.panel.threads import Thread

_QUICK = 3.0  # seconds that a panel that opens waits for the gateway, for each of few requests
_MOST = 20  # conversations that are fetched while a panel that opens waits


class ConversationCopies:
    """The copies of one's conversations.

    Args:
        keeper: What keeps the conversations here.
        gateway: The gateway to copy to; None where none is within reach.
        wanted: Whether to copy what is not shared, too.

    Attributes:
        fetched: Called when conversations were fetched beside.
    """

    def __init__(self, keeper: Keeper, gateway: Callable[[], LLMClient | None], wanted: Callable[[], bool]) -> None:
        self._keeper, self._gateway, self._wanted = keeper, gateway, wanted
        self._removals = CopyRemovals(lambda: keeper.store, gateway)
        self._exchange = CopyExchange(keeper)
        self._failures: dict[str, str] = {}  # by conversation: why it is not copied, in a sentence, until it is
        self._unfetched = ""  # why those of other machines are not here
        self._left = Left()  # what could not be deleted there yet
        self._linked: set[str] = set()  # conversations whose copies others read by a link
        self._is_pulled = self._knows_noted = False
        self._beside = Background(self._work)
        self.fetched: list[Callable[[], None]] = []
        self.files = FileCopies(keeper, gateway, wanted)
        self._news = CopiesElsewhere(self._exchange, self.files, gateway)

    @property
    def trouble(self) -> str:
        """Why something is not kept here, not copied, or not deleted there; empty where all is well."""
        uncopied = next(reversed(self._failures.values()), "") if self._wanted() else ""
        return self._keeper.trouble or uncopied or self._unfetched or str(self._left)

    @property
    def _known(self) -> KnownCopies:
        return KnownCopies(self._keeper.store)

    def changed(self, conversation: str) -> None:
        """Note that a conversation was written here; it is copied a moment later where that is wanted."""
        if self._wanted():
            self._known.note(conversation)
            self._beside.ask(conversation, *self._left_over())
        elif self._known.any_due:
            self._beside.ask()

    # What earlier sessions could not copy, once in this one.
    def _left_over(self) -> Collection[str]:
        found = () if self._knows_noted else self._known.noted()
        self._knows_noted = True
        return found

    # Delete what is due, fetch, and copy; on any thread, with the turn to do so.
    def _work(self, conversations: Collection[str]) -> Undone:
        before, failed, self._unfetched = self.trouble, list[str](), ""
        try:
            self._left = self._removals.carry_out()
            if self._wanted() and self._news.is_left:
                fetched, self._unfetched = self._news.fetch()
                for tell in list(self.fetched) if fetched else ():
                    tell()
        except Exception as error:
            log.exception("copies cannot be fetched")
            self._unfetched = _unforeseen(error)
        for conversation in conversations:
            failed += self._copied(conversation)
        self._tell(before)
        return Undone(failed, bool(self._left.copies) or (self._wanted() and self._news.is_left))

    def _copied(self, conversation: str) -> list[str]:
        try:
            if self._wanted() and self._keeper.store.head(conversation) is not None:  # it was not deleted since
                self.push(conversation)
        except (BadInput, GatewayError) as error:
            self._failures[conversation] = f"This conversation is not copied to the gateway: {error}"
            return [conversation] if may_pass(error) else []
        except Exception as error:
            log.exception("a conversation cannot be copied")
            self._failures[conversation] = _unforeseen(error)
            return [conversation]
        return []

    def _tell(self, before: str) -> None:
        if self.trouble != before:
            for tell in list(self._keeper.listeners):
                tell()

    def finish(self) -> None:
        """Copy what waits, at once."""
        self._beside.finish()

    def close(self) -> None:
        """Copy what waits, for the end of a kernel; what is not done in a moment a later one does."""
        self._beside.close(_QUICK)

    def settle(self) -> str:
        """Wait a moment until what is due was tried; what is left of it, in a sentence or two."""
        is_tried = self._beside.settle(_QUICK)
        return str(self._left) if is_tried else "The gateway has not answered yet; it deletes copies when it does."

    def push(self, conversation: str) -> str:
        """Copy a conversation to the gateway now, with what is there of it; its id there.

        Raises:
            BadInput: There is none of this id here, or no gateway.
            GatewayError: The gateway takes none.
        """
        if self._keeper.store.head(conversation) is None:
            raise BadInput("This conversation is gone.", hint="Choose another.")
        with self._beside.turn:
            gateway, writes = self._reached, self._known.noted().get(conversation, 0)
            self._left = self._removals.carry_out()
            sent = self._send(conversation, gateway)
            if sent.shared_until > time.time() and conversation not in self._linked:  # linked in an earlier session
                self._linked.add(conversation)
                sent = self._send(conversation, gateway)
            self.remove_due()  # it may have been deleted here meanwhile
            if self._wanted():
                self.files.send(conversation, sent.there, gateway)
                self.remove_due()  # older files may make room
            self._known.copied(conversation, writes)
            self._failures.pop(conversation, None)
        return sent.there

    def _send(self, conversation: str, gateway: LLMClient) -> Arrived:
        with_images, place = conversation in self._linked, place_of(gateway.url)
        sent = self._exchange.send(conversation, gateway, with_images=with_images, left=self._left)
        if sent.is_new:
            self.files.anew(conversation, place)
        return sent

    @property
    def _reached(self) -> LLMClient:
        if (gateway := self._gateway()) is None:
            raise no_gateway()
        return gateway

    # Fetching.

    def pull(self) -> int:
        """Fetch what was said elsewhere, once in a session where that is wanted; how many conversations have news.

        What takes longer than a panel that opens waits, or fails, is done beside.
        """
        self.remove_due()
        if self._is_pulled or not self._wanted():
            return 0
        self._is_pulled = self._news.is_left = True
        fetched = 0
        if self._beside.turn.acquire(timeout=_QUICK):
            try:
                fetched, self._unfetched = self._news.fetch(_MOST, 2 * _QUICK)
            finally:
                self._beside.turn.release()
        if (left := self._left_over()) or self._news.is_left:
            self._beside.ask(*left)
        return fetched

    # Deleting.

    def remove_due(self, *, makes_room: bool = False) -> None:
        """Have what was deleted here deleted there, beside; where that makes room, what found none is copied then."""
        if self._known.any_due:
            waiting = (*self._known.noted(), *self.files.room_was_made()) if makes_room else ()
            self._beside.ask(*waiting, hurry=True)

    def delete(self, thread: Thread) -> None:
        """Delete all that is kept of a conversation, here and, beside, there; `settle` and `trouble` say what is left.

        Raises:
            BadInput: It cannot be deleted here.
        """
        if self._keeper.writes:
            self._keeper.delete(thread)
            self._drop(self._keeper.id_of(thread))

    def delete_kept(self, conversation: str) -> bool:
        """The same for one that is not at hand; whether there was one."""
        gone = self._keeper.writes and self._keeper.store.delete(conversation)
        if gone:
            self._drop(conversation)
        return gone

    def _drop(self, conversation: str) -> None:
        self._linked.discard(conversation)
        self._failures.pop(conversation, None)
        self._beside.drop(conversation)
        self.remove_due(makes_room=True)

    def forget(self) -> None:
        """Delete, beside, all copies that were made here and, where copies are wanted, all others of this caller.

        Raises:
            BadInput: It cannot be noted here.
        """
        self._linked.clear()
        self._failures.clear()
        self._beside.drop_all()
        if self._wanted():
            self._known.all_due(_place(self._gateway))
        self.remove_due()

    def forget_copies(self) -> None:
        """Delete, beside, all copies that were made here, and no conversation.

        Raises:
            BadInput: They would be made again.
        """
        if self._wanted():
            hint = "%config Rsql.copy_conversations = False first."
            raise BadInput("Conversations are copied: what is deleted would be made again.", hint=hint)
        self._known.become_due("copy")
        self._beside.ask(hurry=True)

    def held(self) -> str:
        """What of one's conversations is at gateways though none are copied now, in a sentence; empty for nothing."""
        held = [] if self._wanted() or not self._keeper.writes else [copy for copy in self._known.all() if not copy.due]
        if not held:
            return str(self._left)
        places = " and ".join(sorted({copy.place for copy in held}))
        has, them = ("has a copy", "it") if len(held) == 1 else ("have copies", "them")
        words = f"{len(held):,} of your conversations {has} at {places}: %rsql history forget copies deletes {them}."
        return f"{words} {self._left}".strip()

    # Links.

    def share(self, conversation: str, days: float = 30.0) -> tuple[str, float]:
        """Copy a conversation and make a link to the copy, for the group's instructors; until when it is good.

        Raises:
            BadInput: There is none of this id here, nothing was said in it, or no gateway is within reach.
            GatewayError: The gateway keeps none, or not for so long.
        """
        if self._keeper.store.head(conversation) is None:
            raise BadInput("Nothing was said in this conversation yet.", hint="Share it when something was.")
        self._linked.add(conversation)
        was_there = any(copy.conversation == conversation and not copy.due for copy in self._known.all())
        try:
            there = self.push(conversation)
            made = self._reached.post(f"sessions/{there}/share", {"days": days})
            with understood():
                return urljoin(self._reached.url, str(made["link"])), float(made["until"])
        except RsqlError:
            if not (was_there or self._wanted()):  # a copy without a link serves nobody
                self._known.become_due("linked copy", conversation)
                self._beside.ask(hurry=True)
            raise

    def unshare(self, conversation: str) -> None:
        """Take the link to a conversation back, and delete its copy where none are wanted; harmless where none is.

        Raises:
            GatewayError: It could not be done yet; it is tried again.
        """
        self._linked.discard(conversation)
        self._known.become_due("link" if self._wanted() else "linked copy", conversation)
        with self._beside.turn:
            if self._work(()).more:
                self._beside.ask()
            left = Left([copy for copy in self._left.copies if copy.conversation == conversation], self._left.why)
        if left.copies:
            raise GatewayError(left.reason, hint=left.hint)

    def shared(self, link: str) -> tuple[str, str, list[tuple[MessagePair, list[SharedImage]]]]:
        """What somebody shares by a link: who, the title, questions and answers with their pictures.

        Raises:
            BadInput: It is no link.
            GatewayError: It leads nowhere, or not for you.
        """
        token = link.rstrip("/").rpartition("shared/")[2]
        if not token or "/" in token:
            raise BadInput(
                f"{one_line(link, 60)} is no link to a conversation.", hint="It ends in shared/ and a token."
            )
        told = self._reached.get(f"shared/{quote(token, safe='')}")
        with understood():
            pairs = [(_readable(pair), came_with(pair)) for pair in told["pairs"]]
            return str(told["user"]), str(told["title"]), pairs


# A pair of somebody else, which can have any form.
def _readable(pair: dict[str, Any]) -> MessagePair:
    try:
        found = read(msgspec.json.encode(pair))
        return found if found.markdown else _odd_pair()
    except (*ODD, BadInput):
        return _odd_pair()


def _odd_pair() -> MessagePair:
    return MessagePair("", "This answer has a form that this version of rsql does not show.", "done")


# The gateway that copies go to now; empty for the one that is reached next.
def _place(gateway: Callable[[], LLMClient | None]) -> str:
    try:
        found = gateway()
    except RsqlError:
        return ""
    return "" if found is None else place_of(found.url)


# Its words may quote what it was about.
def _unforeseen(error: Exception) -> str:
    why = str(error) if isinstance(error, RsqlError) else f"({type(error).__name__})"
    return f"Copies at the gateway cannot be kept up to date: {why}".rstrip(".") + "."

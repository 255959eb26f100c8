"""Copies of conversations at the gateway, for those who want them to follow: sent, fetched, shared by a link."""

# A copy is the records as they are kept here, but for what they hold of the notebook's cells; one that has a link has
# pictures of its charts besides, which the machines of its owner draw themselves. The conversation of a
# notebook's cells has an id that follows from the notebook's path, so that it is the same one on every machine; all
# others have an id made by chance.

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

import msgspec

from rsql_magic.errors import BadInput, GatewayError, RsqlError
from rsql_magic.gateway import NO_GATEWAY
from rsql_magic.panel.kept.copies.background import Background, Undone
from rsql_magic.panel.kept.copies.files import ODD, FileCopies
from rsql_magic.panel.kept.copies.known import KnownCopies, place_of
from rsql_magic.panel.kept.copies.removing import CopyRemovals, Left, no_gateway
from rsql_magic.panel.kept.images import AnswerImages, came_with
from rsql_magic.panel.kept.records import outward, read
from rsql_magic.panel.kept.store import Head, NewPair
from rsql_magic.panel.threads import MessagePair
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from rsql_magic.gateway import LLMClient
    from rsql_magic.panel.kept.images import SharedImage
    from rsql_magic.panel.kept.writing import Keeper
    from rsql_magic.panel.threads import Thread

_QUICK = 3.0  # seconds that a panel that opens waits for the gateway, for each of few requests
_MOST = 20  # conversations that are fetched when a panel opens
_LARGEST = 6_000_000  # bytes of a copy; of a longer conversation the end is copied


class ConversationCopies:
    """The copies of one's conversations.

    Args:
        keeper: What keeps the conversations here.
        gateway: The gateway to copy to; None where none is within reach.
        wanted: Whether to copy what is not shared, too.
    """

    def __init__(self, keeper: Keeper, gateway: Callable[[], LLMClient | None], wanted: Callable[[], bool]) -> None:
        self._keeper, self._gateway, self._wanted = keeper, gateway, wanted
        self._removals = CopyRemovals(lambda: keeper.store, gateway)
        self._failure = ""  # why the last copy was not made, in a sentence or two
        self._left = Left()  # what could not be deleted there yet
        self._linked: set[str] = set()  # conversations whose copies others read by a link
        self._is_pulled = False
        self._beside = Background(self._work)
        self.files = FileCopies(keeper, gateway, wanted)

    @property
    def trouble(self) -> str:
        """Why something is not kept here, not copied, or not deleted there; empty where all is well."""
        return self._keeper.trouble or self._failure or str(self._left)

    @property
    def _known(self) -> KnownCopies:
        return KnownCopies(self._keeper.store)

    def changed(self, conversation: str) -> None:
        """Note that a conversation was written here; it is copied a moment later where that is wanted."""
        if self._wanted():
            self._beside.ask(conversation)
        elif self._known.any_due:
            self._beside.ask()

    # Delete what is due, and copy; on any thread, with the turn to do so.
    def _work(self, conversations: Collection[str]) -> Undone:
        before, failed, self._failure = self.trouble, list[str](), ""
        try:
            self._left = self._removals.carry_out()
            for conversation in conversations:
                if self._keeper.store.head(conversation) is not None:  # it was not deleted since
                    failed += self._copied(conversation)
        except Exception as error:  # noqa: BLE001 - a thread has nobody above it to tell
            self._failure = f"Copies at the gateway cannot be kept up to date ({type(error).__name__}: {error})."
        self._tell(before)
        return Undone(failed, bool(self._left.copies))

    def _copied(self, conversation: str) -> list[str]:
        try:
            self.push(conversation)
        except (BadInput, GatewayError) as error:
            self._failure = f"This conversation is not copied to the gateway: {error}"
            return [conversation] if _may_pass(error) else []
        return []

    def _tell(self, before: str) -> None:
        if self.trouble != before:
            for tell in list(self._keeper.listeners):
                tell()

    def finish(self) -> None:
        """Copy what waits, at once."""
        self._beside.finish()

    def close(self) -> None:
        """Copy what waits; for the end of a kernel. What is still to be deleted there a later one deletes."""
        self._beside.close(_QUICK)

    def settle(self) -> str:
        """Wait a moment until what is due was tried; what is left of it, in a sentence or two."""
        is_tried = self._beside.settle(_QUICK)
        return str(self._left) if is_tried else "The gateway has not answered yet; it deletes copies when it does."

    def push(self, conversation: str) -> str:
        """Copy a conversation to the gateway now; its id there.

        Raises:
            BadInput: There is none of this id here, or no gateway.
            GatewayError: The gateway takes none.
        """
        store = self._keeper.store
        if (head := store.head(conversation)) is None:
            raise BadInput("This conversation is gone.", hint="Choose another.")
        with self._beside.turn:
            return self._pushed(head)

    def _pushed(self, head: Head) -> str:
        there, reached = _id_there(head), self._reached
        place = place_of(reached.url)
        self._left = self._removals.carry_out()
        if any(copy.there in {"", there} and copy.place in {"", place} for copy in self._left.copies):
            raise GatewayError(self._left.reason, hint=self._left.hint)  # it may have a link that was taken back
        pairs, size = list[dict[str, Any]](), 0
        for _, body in self._keeper.store.bodies(head.id):
            size += len(body)
            if size > _LARGEST:
                break
            pairs.append(outward(body))
        if with_images := head.id in self._linked:
            _add_images(pairs, AnswerImages(self._keeper.artifacts, head.id), _LARGEST - size)
        sent = {"title": one_line(head.title, 200), "notebook": one_line(head.notebook, 200), "pairs": pairs[::-1]}
        self._known.sending(head.id, there, place)
        kept = reached.put(f"sessions/{there}", sent)
        self._known.arrived(head.id, there, place, float(kept["changed"]))
        self.remove_due()  # it may have been deleted here meanwhile
        if float(kept.get("shared_until") or 0.0) > time.time() and not with_images:  # linked in an earlier session
            self._linked.add(head.id)
            return self._pushed(head)
        if self._wanted():
            self.files.send(head.id, there, reached)
            self.remove_due()  # older files may make room
        return there

    @property
    def _reached(self) -> LLMClient:
        if (gateway := self._gateway()) is None:
            raise no_gateway()
        return gateway

    def pull(self) -> int:
        """Fetch what was said elsewhere, once in a session where that is wanted; how many conversations have news."""
        self.remove_due()
        if self._is_pulled or not self._wanted() or (gateway := self._gateway()) is None:
            return 0
        self._is_pulled, fetched = True, 0
        try:
            store, place = self._keeper.store, place_of(gateway.url)
            by_id = {head.id: head for head in store.heads()}
            here = {_id_there(head): head for head in by_id.values()}
            known = self._known.at(place).values()
            here |= {copy.there: by_id[copy.conversation] for copy in known if copy.conversation in by_id}
            end = time.monotonic() + 2 * _QUICK
            for one in _news(gateway.get("sessions", timeout=_QUICK)["sessions"], self._known, place)[:_MOST]:
                if time.monotonic() > end:  # the others come when a panel opens the next time
                    break
                whole = gateway.get(f"sessions/{quote(str(one['id']), safe='')}", timeout=_QUICK)
                self.files.look(self._take(whole, here.get(one["id"]), place), str(one["id"]), gateway)
                fetched += 1
        except (GatewayError, BadInput) as error:
            self._failure = f"Conversations at the gateway could not be fetched: {error}"
        except ODD:
            self._failure = "Conversations at the gateway have another form; upgrade it."
        return fetched

    def _take(self, whole: dict[str, Any], here: Head | None, place: str) -> str:
        store, there = self._keeper.store, str(whole["id"])
        number = store.notebook(str(whole["notebook"]))
        if here is None:
            is_shared = there.startswith("cells-")
            name = f"notebook-{number}" if is_shared else there
            here = Head(name, "", str(whole["title"]), is_shared)
        known = {each for each, _ in store.bodies(here.id)}
        bodies = [(str(pair["id"]), msgspec.json.encode(pair)) for pair in map(_without_images, whole["pairs"])]
        for _, body in bodies:
            read(body)  # what is no record is not taken
        store.write(number, here, [NewPair(name, body) for name, body in bodies if name not in known])
        self._known.arrived(here.id, there, place, float(whole["changed"]))
        return here.id

    # Deleting.

    def remove_due(self) -> None:
        """Have what was deleted here deleted there, beside."""
        if self._known.any_due:
            self._beside.ask(hurry=True)

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
        self._beside.drop(conversation)
        self.remove_due()

    def forget(self) -> None:
        """Delete, beside, all copies that were made here and, where copies are wanted, all others of this caller.

        Raises:
            BadInput: It cannot be noted here.
        """
        self._linked.clear()
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
        try:
            there = self.push(conversation)
            made = self._reached.post(f"sessions/{there}/share", {"days": days})
        except RsqlError:
            if not self._wanted():  # a copy without a link serves nobody
                self._known.become_due("linked copy", conversation)
                self._beside.ask(hurry=True)
            raise
        return urljoin(self._reached.url, str(made["link"])), float(made["until"])

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


def _without_images(pair: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in pair.items() if name not in {"images", "left_out"}}


def _add_images(newest: list[dict[str, Any]], images: AnswerImages, room: int) -> None:
    for pair in newest:
        sent = images.of(pair).fitting(room)
        pair |= {name: value for name, value in sent._asdict().items() if value}
        room -= sum(len(image["data"]) for image in sent.images)


# Those that are not known as they are there, but for what was deleted here and is there only for the moment.
def _news(listed: Sequence[dict[str, Any]], known: KnownCopies, place: str) -> list[dict[str, Any]]:
    if any(not copy.there for copy in known.due()):
        return []
    at_hand = {name: None if copy.due == "copy" else copy.changed for name, copy in known.at(place).items()}
    return [one for one in listed if at_hand.get(one["id"], 0.0) not in {None, one["changed"]}]


# The gateway that copies go to now; empty for the one that is reached next.
def _place(gateway: Callable[[], LLMClient | None]) -> str:
    try:
        found = gateway()
    except RsqlError:
        return ""
    return "" if found is None else place_of(found.url)


# Whether it may go better a moment later: the gateway is away, and did not refuse.
def _may_pass(error: RsqlError) -> bool:
    return not isinstance(error, GatewayError) or error.status in {0, *NO_GATEWAY}


def _id_there(head: Head) -> str:
    if not head.shared:
        return head.id
    return f"cells-{hashlib.sha256(head.notebook.encode('utf-8', 'replace')).hexdigest()[:24]}"

"""Copies of conversations at the gateway, for those who want them to follow: sent, fetched, shared by a link."""

# A copy is the records as they are kept here, but for what they hold of the notebook's cells; one that has a link has
# pictures of its charts besides, which the machines of its owner draw themselves. The conversation of a
# notebook's cells has an id that follows from the notebook's path, so that it is the same one on every machine; all
# others have an id made by chance.

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

import msgspec

from rsql_magic.errors import BadInput, GatewayError
from rsql_magic.panel.kept.images import AnswerImages, came_with
from rsql_magic.panel.kept.records import outward, read
from rsql_magic.panel.kept.store import Head, NewPair
from rsql_magic.panel.threads import MessagePair
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.gateway import LLMClient
    from rsql_magic.panel.kept.images import SharedImage
    from rsql_magic.panel.kept.writing import Keeper
    from rsql_magic.panel.threads import Thread

_GATHER = 10.0  # seconds in which changes of a conversation become one copy
_QUICK = 3.0  # seconds that a panel that opens waits for the gateway, for each of few requests
_MOST = 20  # conversations that are fetched when a panel opens
_ODD = (AttributeError, KeyError, TypeError, ValueError)  # what reading a record of another form ends in
_LARGEST = 6_000_000  # bytes of a copy; of a longer conversation the end is copied


class ConversationCopies:
    """The copies of one's conversations.

    Args:
        keeper: What keeps the conversations here.
        gateway: The gateway to copy to; None where none is within reach.
        wanted: Whether to copy.
    """

    def __init__(self, keeper: Keeper, gateway: Callable[[], LLMClient | None], wanted: Callable[[], bool]) -> None:
        self._keeper, self._gateway, self._wanted = keeper, gateway, wanted
        self._failure = ""  # why the last copy was not made, in a sentence or two
        self._there = threading.Condition()
        self._waiting: dict[str, None] = {}
        self._linked: set[str] = set()  # conversations whose copies others read by a link
        self._thread: threading.Thread | None = None
        self._is_pulled = False

    @property
    def trouble(self) -> str:
        """Why something is not kept here, or not copied; empty where all is well."""
        return self._keeper.trouble or self._failure

    def changed(self, conversation: str) -> None:
        """Note that a conversation was written here; it is copied a moment later where that is wanted."""
        if not self._wanted():
            return
        with self._there:
            self._waiting[conversation] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="rsql-copies")
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(_GATHER)
            with self._there:
                waiting, self._waiting = self._waiting, {}
                if not waiting:
                    self._thread = None
                    return
            for conversation in waiting:
                self._copied(conversation)

    def _copied(self, conversation: str) -> None:
        self._failure = ""
        try:
            self.push(conversation)
        except (BadInput, GatewayError) as error:
            self._failure = f"This conversation is not copied to the gateway: {error}"

    def finish(self) -> None:
        """Copy what waits, at once; for the end of a kernel."""
        with self._there:
            waiting, self._waiting = self._waiting, {}
        for conversation in waiting:
            self._copied(conversation)

    def push(self, conversation: str) -> str:
        """Copy a conversation to the gateway now; its id there.

        Raises:
            BadInput: There is none of this id here, or no gateway.
            GatewayError: The gateway takes none.
        """
        store = self._keeper.store
        if (head := store.head(conversation)) is None:
            raise BadInput("This conversation is gone.", hint="Choose another.")
        pairs, size = list[dict[str, Any]](), 0
        for _, body in store.bodies(conversation):
            size += len(body)
            if size > _LARGEST:
                break
            pairs.append(outward(body))
        if with_images := conversation in self._linked:
            self._add_images(conversation, pairs, _LARGEST - size)
        there = _id_there(head)
        sent = {"title": one_line(head.title, 200), "notebook": one_line(head.notebook, 200), "pairs": pairs[::-1]}
        kept = self._reached.put(f"sessions/{there}", sent)
        self._note(conversation, float(kept["changed"]))
        if float(kept.get("shared_until") or 0.0) > time.time() and not with_images:  # linked in an earlier session
            self._linked.add(conversation)
            return self.push(conversation)
        return there

    def _add_images(self, conversation: str, newest: list[dict[str, Any]], room: int) -> None:
        images = AnswerImages(self._keeper.artifacts, conversation)
        for pair in newest:
            sent = images.of(pair).fitting(room)
            pair |= {name: value for name, value in sent._asdict().items() if value}
            room -= sum(len(image["data"]) for image in sent.images)

    # When the copy was changed last, as the gateway says, so that nothing is fetched that is known.
    def _note(self, conversation: str, changed: float) -> None:
        with self._keeper.store.transaction() as db:
            if db.execute("SELECT 1 FROM conversation WHERE id = ?", [conversation]).fetchone():
                db.execute("INSERT OR REPLACE INTO copied VALUES (?, ?)", [conversation, changed])

    @property
    def _reached(self) -> LLMClient:
        if (gateway := self._gateway()) is None:
            raise BadInput("No gateway is within reach.", hint="%rsql connect URL.")
        return gateway

    def pull(self) -> int:
        """Fetch what was said elsewhere, once in a session where that is wanted; how many conversations have news."""
        if self._is_pulled or not self._wanted() or (gateway := self._gateway()) is None:
            return 0
        self._is_pulled, fetched = True, 0
        try:
            store = self._keeper.store
            here = {_id_there(head): head for head in store.heads()}
            listed = gateway.get("sessions", timeout=_QUICK)["sessions"]
            known = dict(store.rows("SELECT conversation, changed FROM copied"))
            news = [one for one in listed if one["id"] not in here or one["changed"] != known.get(here[one["id"]].id)]
            end = time.monotonic() + 2 * _QUICK
            for one in news[:_MOST]:
                if time.monotonic() > end:  # the others come when a panel opens the next time
                    break
                whole = gateway.get(f"sessions/{quote(str(one['id']), safe='')}", timeout=_QUICK)
                self._take(whole, here.get(one["id"]))
                fetched += 1
        except (GatewayError, BadInput) as error:
            self._failure = f"Conversations at the gateway could not be fetched: {error}"
        except _ODD:
            self._failure = "Conversations at the gateway have another form; upgrade it."
        return fetched

    def _take(self, whole: dict[str, Any], here: Head | None) -> None:
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
        self._note(here.id, float(whole["changed"]))

    def delete(self, thread: Thread) -> None:
        """Delete all that is kept of a conversation, here and there.

        Raises:
            BadInput: It cannot be deleted here.
        """
        if self._keeper.writes:
            self.remove(self._keeper.id_of(thread))
            self._keeper.delete(thread)

    def remove(self, conversation: str) -> None:
        """Delete the copy of a conversation that is about to be deleted here, beside; `trouble` says where it fails."""
        if not self._wanted() or (head := self._keeper.store.head(conversation)) is None:
            return
        with self._there:
            self._waiting.pop(conversation, None)
        threading.Thread(target=self._removed, args=[head], daemon=True, name="rsql-copies").start()

    def _removed(self, head: Head) -> None:
        try:
            self._delete_there(_id_there(head))
        except (BadInput, GatewayError) as error:
            self._failure = f"The copy at the gateway is not deleted: {error}"

    def _delete_there(self, name: str) -> None:
        try:
            self._reached.delete(f"sessions/{name}")
        except GatewayError as error:
            if error.status != 404:  # another thread or kernel may have deleted it since it was listed
                raise

    def forget(self) -> None:
        """Delete all copies, where copies are wanted.

        Raises:
            BadInput: No gateway is within reach.
            GatewayError: They could not be deleted.
        """
        if not self._wanted():
            return
        with self._there:
            self._waiting.clear()
        for one in self._reached.get("sessions")["sessions"]:
            self._delete_there(quote(str(one["id"]), safe=""))

    # Links.

    def share(self, conversation: str, days: float = 30.0) -> tuple[str, float]:
        """Copy a conversation and make a link to the copy, for the group's instructors; until when it is good.

        Raises:
            BadInput: There is none of this id here, or no gateway.
            GatewayError: The gateway keeps none, or not for so long.
        """
        self._linked.add(conversation)
        there = self.push(conversation)
        made = self._reached.post(f"sessions/{there}/share", {"days": days})
        return urljoin(self._reached.url, str(made["link"])), float(made["until"])

    def unshare(self, conversation: str) -> None:
        """Take the link to a conversation back.

        Raises:
            BadInput: There is none of this id here, or no gateway.
            GatewayError: It was never copied.
        """
        if (head := self._keeper.store.head(conversation)) is None:
            raise BadInput("This conversation is gone.", hint="Choose another.")
        self._linked.discard(conversation)
        self._reached.delete(f"sessions/{_id_there(head)}/share")

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
    except (*_ODD, BadInput):
        return _odd_pair()


def _odd_pair() -> MessagePair:
    return MessagePair("", "This answer has a form that this version of rsql does not show.", "done")


def _without_images(pair: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in pair.items() if name not in {"images", "left_out"}}


def _id_there(head: Head) -> str:
    if not head.shared:
        return head.id
    return f"cells-{hashlib.sha256(head.notebook.encode('utf-8', 'replace')).hexdigest()[:24]}"

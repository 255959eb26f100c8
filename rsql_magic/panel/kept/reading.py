"""Kept conversations read again: the last page of one first, and what other kernels have written since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput
from rsql_magic.gateway import Turn
from rsql_magic.panel.threads import MessagePair
from rsql_magic.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsql_magic.panel.kept.search import Rest
    from rsql_magic.panel.kept.store import Head, KeptRecord
    from rsql_magic.panel.kept.writing import Keeper
    from rsql_magic.panel.threads import Thread

_LISTED = 500  # most conversations of a list
_ELSEWHERE = "being answered in another kernel"
_UNREADABLE = {"message": "This answer cannot be read: it is damaged, or was sealed by another key.", "hint": ""}
_ODD = "A program has kept it with this conversation."


class ThreadReader:
    """Reads what a keeper keeps into threads."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def read(self, thread: Thread) -> list[MessagePair]:
        """Read the last page once, and later only what other kernels have written since.

        Returns:
            Kept pairs of cells that have run again since, which are to be deleted.

        Raises:
            BadInput: It cannot be read, and there is nothing else to show.
        """
        keeper = self._keeper
        if not keeper.writes:
            return []
        try:
            records, earlier = keeper.store.page(keeper.id_of(thread))
        except BadInput as error:
            keeper.trouble = str(error)
            if not (thread.is_read or thread.pairs or thread.shared):
                raise
            return []
        self._name(thread)
        if thread.is_read:
            known = ({pair.id for pair in thread.pairs} | thread.gone) - thread.elsewhere
            for each in records:
                if each.id not in known and (thread.first is None or each.place >= thread.first):
                    thread.take_in(self._pair(thread, each))
            return []
        thread.is_read, thread.earlier = True, earlier
        thread.first = records[0].place if records else None
        return thread.take_up(self._pairs(thread, records))

    # Take up the name that another kernel or machine has given it.
    def _name(self, thread: Thread) -> None:
        if thread.shared or thread.kept_name is None or thread.name != thread.kept_name:
            return
        head = self._keeper.store.head(self._keeper.id_of(thread))
        if head is not None and not head.shared and head.title != thread.name:
            thread.title = thread.kept_name = head.title

    def earlier(self, thread: Thread) -> list[MessagePair]:
        """The page before what was read, which is put before it."""
        if not thread.earlier or thread.first is None:
            return []
        records, thread.earlier = self._keeper.store.page(self._keeper.id_of(thread), thread.first)
        thread.first = records[0].place if records else None
        pairs = self._pairs(thread, records)
        thread.pairs[:0] = pairs
        return pairs

    # In the order of asking: two kernels may have written them in another.
    def _pairs(self, thread: Thread, records: Sequence[KeptRecord]) -> list[MessagePair]:
        return sorted((self._pair(thread, each) for each in records), key=lambda pair: pair.at)

    def _pair(self, thread: Thread, record: KeptRecord) -> MessagePair:
        from rsql_magic.panel.kept.records import OddRecord, read

        if record.body is None:
            return MessagePair("", state="failed", error=_UNREADABLE, id=record.id, at=0.0)
        try:
            pair = read(record.body)
        except OddRecord as error:
            odd = {"message": error.message, "hint": _ODD}
            return MessagePair("", state="failed", error=odd, id=record.id, at=0.0)
        pair.id = record.id  # one of a program may have none
        if pair.state == "running":  # its kernel ended in the middle, unless it lives
            pair.state = "stopped"
            if record.running_elsewhere:
                pair.notes = (*pair.notes, _ELSEWHERE)
            elif pair.task == "ask" and pair.answer and pair.turn is None:  # the model reads it, and can go on with it
                question, answer = (redact(text)[0] for text in (pair.question, pair.answer))
                pair.turn = Turn(question, answer, interrupted=True)
        (thread.elsewhere.add if record.running_elsewhere else thread.elsewhere.discard)(pair.id)
        return pair

    def listed(self, words: str, cells: Thread, further: Rest | None = None) -> dict[str, Any]:
        """The conversations that are kept, this notebook's first, or those of a search; ``cells`` is that of its cells.

        A search that is not ``whole`` has a ``rest``, from which it goes on when that is given as ``further``.

        Raises:
            BadInput: They cannot be read.
        """
        from rsql_magic.panel.kept.search import search

        keeper = self._keeper
        if not keeper.writes:
            return {"here": [], "elsewhere": [], "whole": True, "rest": None}
        keeper.flush(1.0)
        store, own = keeper.store, keeper.id_of(cells)
        heads = store.heads()
        notebooks = {head.id for head in store.heads(keeper.notebook)}
        found = search(store, words, further=further) if words.strip() else None
        here, elsewhere = list[dict[str, Any]](), list[dict[str, Any]]()
        hits: Sequence[tuple[Head, str, str]] = found.hits if found else [(head, "", "") for head in heads]
        for head, pair, text in hits:
            row = {"id": cells.id if head.id == own else head.id, "shared": head.id == own, "title": head.title}
            row |= {"notebook": head.notebook, "turns": head.pairs, "changed": head.changed, "pair": pair, "text": text}
            (here if head.id in notebooks else elsewhere).append(row)
        whole = (found is None or found.whole) and max(len(here), len(elsewhere)) <= _LISTED
        rest = found.rest.as_list() if found and found.rest else None
        return {"here": here[:_LISTED], "elsewhere": elsewhere[:_LISTED], "whole": whole, "rest": rest}

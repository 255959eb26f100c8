"""The pairs of a conversation as merging needs them: read by their ids, and changed where they still are as read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rsql_magic.panel.kept.sealing import SealBroken
from rsql_magic.panel.kept.store import WRITE_PAIR, begin_conversation, count_pairs, sealed_head

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from rsql_magic.panel.kept.store import ConversationStore, Head


@dataclass(frozen=True)
class PairChange:
    """A pair as another machine has it: its record here, None where none is, and the new one, None to delete it."""

    id: str
    before: bytes | None
    body: bytes | None


class PairsHere:
    """The pairs that a conversation store keeps."""

    def __init__(self, store: ConversationStore) -> None:
        self._store, self._seal = store, store.seal

    def ids(self, conversation: str) -> set[str]:
        """The ids of all pairs of a conversation, whether they can be read or not."""
        return {name for (name,) in self._store.rows("SELECT id FROM pair WHERE conversation = ?", [conversation])}

    def elsewhere(self, conversation: str, names: Iterable[str]) -> set[str]:
        """Those of some ids that pairs of other conversations have."""
        query = "SELECT 1 FROM pair WHERE id = ? AND conversation <> ?"
        return {name for name in names if self._store.rows(query, [name, conversation])}

    def bodies(self, conversation: str, names: Collection[str]) -> dict[str, bytes]:
        """The records of some pairs of a conversation, as far as they can be read."""
        found = dict[str, bytes]()
        for name in names:
            query = "SELECT body FROM pair WHERE id = ? AND conversation = ?"
            for [sealed] in self._store.rows(query, [name, conversation]):
                if (body := self._body(name, sealed)) is not None:
                    found[name] = body
        return found

    def change(self, notebook: int, head: Head, changes: Sequence[PairChange], *, is_new: bool) -> set[str]:
        """Write what another machine has of a conversation, as far as it is here as that says; the ids of what was.

        Nothing is written where the conversation is not ``is_new`` and was deleted here meanwhile.
        """
        done = set[str]()
        with self._store.transaction() as db:
            if is_new:
                begin_conversation(db, notebook, head, sealed_head(self._seal, head.id, head.title), head.changed)
            elif not db.execute("SELECT 1 FROM conversation WHERE id = ?", [head.id]).fetchone():
                return done
            for change in changes:
                row = db.execute("SELECT conversation, body FROM pair WHERE id = ?", [change.id]).fetchone()
                if not self._is_before(change, head.id, row):
                    continue
                if change.body is None:
                    db.execute("DELETE FROM pair WHERE id = ?", [change.id])
                else:
                    body = self._seal.seal(change.body, f"pair {change.id}")
                    db.execute(WRITE_PAIR, [change.id, head.id, "", len(body), body])
                done.add(change.id)
            if done:
                count_pairs(db, head.id, head.changed)
        return done

    def _is_before(self, change: PairChange, conversation: str, row: tuple[str, bytes] | None) -> bool:
        if row is None or change.before is None:
            return row is None and change.before is None
        return row[0] == conversation and self._body(change.id, row[1]) == change.before

    def _body(self, name: str, sealed: bytes) -> bytes | None:
        with suppress(SealBroken):
            return self._seal.open(sealed, f"pair {name}")
        return None

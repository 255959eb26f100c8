"""The progress with kept study sets: one's own, sealed, a row for each item that was answered."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import msgspec

from rsql_magic.answers import CardProgress, Sheet, StudyProgress, sheet_of
from rsql_magic.errors import BadInput
from rsql_magic.panel.kept.making import of_study

if TYPE_CHECKING:
    from rsql_magic.answers import Study
    from rsql_magic.panel.kept.artifacts import Artifact
    from rsql_magic.panel.kept.writing import Keeper
    from rsql_magic.panel.threads import MessagePair, Thread


@dataclass(frozen=True)
class KeptSet:
    """A study set, and how one stands with it."""

    file: Artifact
    sheet: Sheet
    progress: StudyProgress


class StudySets:
    """The study sets that a keeper keeps."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def all(self) -> list[KeptSet]:
        """All of them, of all notebooks: those with most that is due first.

        Raises:
            BadInput: They cannot be read.
        """
        self._keeper.flush(1.0)
        found = []
        for one in self._keeper.artifacts.listed():
            if one.kind == "study":
                with suppress(BadInput):  # one that is damaged leaves the others
                    sheet = sheet_of(self._keeper.artifacts.content(one.id))
                    found.append(KeptSet(one, sheet, self.progress(one.id)))
        return sorted(found, key=lambda kept: -kept.progress.due(len(kept.sheet.items)))

    def keep(self, study: Study, thread: Thread, pair: MessagePair | None) -> StudyProgress | None:
        """Keep a sheet with its question in a thread; gives what notes the progress with it."""
        if not self._keeper.writes or pair is None:
            return None
        made = of_study(pair, study)
        self._keeper.changed(thread, made=lambda: made)
        return self.progress(made[0].id) if made[0].kind == "study" else None

    def progress(self, file: str) -> StudyProgress:
        """How one stands with the set in a file; what is answered is kept."""
        store = self._keeper.store
        items = {}
        for item, body in store.rows("SELECT item, body FROM progress WHERE artifact = ?", [file]):
            known = msgspec.json.decode(store.seal.open(body, f"progress {file} {item}"))
            items[item] = CardProgress(**known)
        return StudyProgress(items, lambda item, now: self._save(file, item, now))

    def _save(self, file: str, item: int, now: CardProgress) -> None:
        self._keeper.flush(1.0)  # the file itself may not be written yet
        store = self._keeper.store
        body = store.seal.seal(msgspec.json.encode(asdict(now)), f"progress {file} {item}")
        try:
            with store.transaction() as db:
                if db.execute("SELECT 1 FROM artifact WHERE id = ?", [file]).fetchone():
                    db.execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?)", [file, item, body])
        except BadInput as error:  # what was answered counts in this session, and the panel says why it is not kept
            self._keeper.trouble = str(error)

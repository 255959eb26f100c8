"""The progress with kept study sets: one's own, sealed, a row for each item that was answered."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from rsql_magic.answers import CardProgress, Sheet, StudyProgress, as_markdown, sheet_of, widget_bundle
from rsql_magic.display import CellOutput, safe_markdown
from rsql_magic.errors import BadInput
from rsql_magic.gateway import is_batch
from rsql_magic.panel.kept.making import of_study
from rsql_magic.panel.kept.store import count_pairs
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from rsql_magic.answers import Study
    from rsql_magic.panel.kept.artifacts import Artifact
    from rsql_magic.panel.kept.writing import Keeper
    from rsql_magic.panel.threads import MessagePair, Thread


@dataclass(frozen=True)
class KeptSet:
    """A study set, and how one stands with it; as the value of a cell it is practised, as by ``%rsql study``."""

    file: Artifact
    sheet: Sheet
    progress: StudyProgress

    def bundle(self, *, practised: bool) -> dict[str, Any]:
        """Its widget where it can be practised, else its questions and, at the end, its answers."""
        if practised and (widget := widget_bundle(self.sheet, self.progress)) is not None:
            return widget
        return CellOutput(safe_markdown(as_markdown(self.sheet)), str(self)).bundle()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:  # noqa: ARG002 - IPython's signature
        from IPython import get_ipython

        shell = get_ipython()
        return self.bundle(practised=getattr(shell, "kernel", None) is not None and not is_batch(shell, os.environ))

    def __str__(self) -> str:
        return printable(as_markdown(self.sheet))

    def __repr__(self) -> str:
        return f"<KeptSet {self.sheet.kind} of {len(self.sheet.items)}: {printable(self.sheet.title)}>"


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
                    found.append(self.of(one))
        return sorted(found, key=lambda kept: -kept.progress.due(len(kept.sheet.items)))

    def of(self, file: Artifact) -> KeptSet:
        """The set in a file.

        Raises:
            BadInput: It is none, or cannot be read.
        """
        return KeptSet(file, sheet_of(self._keeper.artifacts.content(file.id)), self.progress(file.id))

    def keep(self, study: Study, thread: Thread, pair: MessagePair | None) -> StudyProgress | None:
        """Keep a sheet with its question in a thread; gives what notes the progress with it."""
        if not self._keeper.writes or pair is None:
            return None
        made = of_study(pair, study)
        self._keeper.changed(thread, made=lambda: made)
        return self.progress(made[0].id) if made[0].kind == "study" else None

    def progress(self, file: str) -> StudyProgress:
        """How one stands with the set in a file; what is answered is kept."""
        rows = self._keeper.store.rows("SELECT item, body FROM progress WHERE artifact = ?", [file])
        items = dict[int, CardProgress]()
        for item, body in rows:
            with suppress(BadInput):  # one that is damaged leaves the others
                items[item] = self._opened(file, item, body)
        return StudyProgress(items, partial(self._save, file), kept=partial(self._kept, file))

    def _opened(self, file: str, item: int, body: bytes) -> CardProgress:
        known: dict[str, Any] = msgspec.json.decode(self._keeper.store.seal.open(body, f"progress {file} {item}"))
        # A later version may have written more.
        return CardProgress(**{each.name: known[each.name] for each in fields(CardProgress) if each.name in known})

    def _kept(self, file: str, item: int) -> CardProgress | None:
        with suppress(BadInput):
            query = "SELECT body FROM progress WHERE artifact = ? AND item = ?"
            for [body] in self._keeper.store.rows(query, [file, item]):
                return self._opened(file, item, body)
        return None

    # Why it is not kept, empty where it is; what was answered counts in this session all the same.
    def _save(self, file: str, item: int, now: CardProgress) -> str:
        self._keeper.flush(1.0)  # the file itself may not be written yet
        try:
            store = self._keeper.store
            body = store.seal.seal(msgspec.json.encode(asdict(now)), f"progress {file} {item}")
            with store.transaction() as db:
                found = db.execute("SELECT conversation FROM artifact WHERE id = ?", [file]).fetchone()
                if not found:
                    return "its set was deleted"
                db.execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?)", [file, item, body])
                count_pairs(db, found[0], store.now())  # who practises keeps its conversation from expiring
        except BadInput as error:
            self._keeper.trouble = str(error)
            return str(error)
        return ""

"""Keeping the conversations of one notebook: what changes is written a moment later, on a thread of its own."""

from __future__ import annotations

import atexit
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsql_magic.diagnostics import log
from rsql_magic.errors import BadInput
from rsql_magic.panel.kept.artifacts import ArtifactStore, in_words
from rsql_magic.panel.kept.records import written
from rsql_magic.panel.kept.store import ConversationStore, Head, NewPair, NotebookGone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from rsql_magic.config import Rsql
    from rsql_magic.panel.kept.artifacts import Artifact, NewArtifact
    from rsql_magic.panel.threads import MessagePair, Thread

_GATHER = 0.4  # seconds in which changes are gathered: an answer that streams is written twice a second
_AGAIN = 10.0  # seconds until what could not be written is tried again
_MOST_CELLS = 500  # whose ids are noted at once
_AT_END = 3.0  # seconds that the end of a kernel waits for what is not written yet
_IN_TROUBLE = 0.2  # the same where writing has failed before


@dataclass
class _Changes:
    thread: Thread
    pairs: dict[str, MessagePair] = field(default_factory=dict)
    gone: dict[str, None] = field(default_factory=dict)
    renewed: set[str] = field(default_factory=set)  # ids of pairs whose answers were made anew
    made: list[NewArtifact] = field(default_factory=list)

    def add(self, pairs: Sequence[MessagePair], gone: Sequence[str] = (), renewed: Collection[str] = ()) -> None:
        self.pairs |= {pair.id: pair for pair in pairs}
        self.gone |= dict.fromkeys(gone)
        self.renewed |= set(renewed)
        self.made = [new for new in self.made if new.pair not in {*gone, *renewed}]
        for name in gone:
            self.pairs.pop(name, None)


class Keeper:
    """Keeps the conversations of one notebook in a folder; without a folder it keeps none.

    Args:
        folder: Where the file is; None for nowhere.
        settings: Whether to keep, and for how long; read at each use.
        path: The notebook's file as it is called now.
        batch: Whether nobody watches.
    """

    def __init__(
        self, folder: Path | None, settings: Rsql, *, path: Callable[[], str] = lambda: "", batch: bool = False
    ) -> None:
        self.trouble = ""  # why nothing is written now, in a sentence or two
        self.refused = ""  # why the last file that was not kept is not, in a sentence
        self.fetch: Callable[[Artifact], bytes] | None = None  # gives the bytes of a file that another machine made
        self.ending: list[Callable[[], None]] = []  # called when all is written and the file is about to be closed
        self.wrote: list[Callable[[str], None]] = []  # called with the id of a conversation that was written
        self.listeners: list[Callable[[], None]] = []  # called when `trouble` changes
        self._folder, self._settings, self._path, self._batch = folder, settings, path, batch
        self._store: ConversationStore | None = None
        self._opening = threading.RLock()
        self._notebook: int | None = None
        self._told_path = ""  # as a front end knows it
        self._cells: set[str] = set()
        self._there = threading.Condition()
        self._waiting: dict[str, _Changes] = {}
        self._is_writing = self._closed = False
        self._hurry = 0
        self._thread: threading.Thread | None = None
        self._again = 0.0

    @property
    def writes(self) -> bool:
        """Whether what is said is kept."""
        wanted = self._settings.conversations
        return self._folder is not None and (wanted == "always" or (wanted == "auto" and not self._batch))

    @property
    def store(self) -> ConversationStore:
        """The file, opened at the first use.

        Raises:
            BadInput: It cannot be opened, or there is none.
        """
        with self._opening:
            if self._folder is None:
                hint = "RSQL_CONVERSATIONS=off in the environment turns that off."
                raise BadInput("No conversations are kept here.", hint=hint)
            if self._store is None:
                self._store = ConversationStore(self._folder)
                if days := self._settings.conversation_days:
                    self._store.expire(days)
                if days := self._settings.artifact_days:
                    self.artifacts.expire(days)
            return self._store

    @property
    def artifacts(self) -> ArtifactStore:
        """What answers made.

        Raises:
            BadInput: The file cannot be opened, or there is none.
        """
        return ArtifactStore(self.store, self.fetch, self._settings.artifact_mb * 1e6)

    @property
    def keeps_files(self) -> bool:
        """Whether what an answer makes is kept."""
        return self.writes and bool(self._settings.artifact_mb)

    @property
    def room(self) -> str:
        """What all files take of what they may, and when they go, in a sentence or two."""
        if not self.writes:
            return "No files are kept, as no conversations are (Rsql.conversations)."
        if not (most := self._settings.artifact_mb):
            return "No new files are kept (Rsql.artifact_mb is 0)."
        said = f"The files of all notebooks take {in_words(self.artifacts.held)} of {in_words(most * 1e6)}"
        said = f"{said}: the oldest make room for new ones."
        if days := self._settings.artifact_days:
            said = f"{said} After {days:g} {'day' if days == 1 else 'days'} a file is deleted."
        return f"{said} What is pinned or was practised stays."

    @property
    def oldest_file(self) -> float:
        """The Unix time before which files that were made are deleted."""
        days = self._settings.artifact_days
        return self.store.now() - days * 86_400.0 if days else 0.0

    @property
    def notebook(self) -> int:
        """The number of this notebook in the file."""
        with self._opening:
            cells, self._cells = self._cells, set()
            if self._notebook is None or cells:
                try:
                    self._notebook = self.store.notebook(self._path(), cells)
                except BaseException:
                    self._cells |= cells
                    raise
            return self._notebook

    def id_of(self, thread: Thread) -> str:
        """The id of a conversation in the file; that of a notebook's cells is one for all kernels of the notebook."""
        return f"notebook-{self.notebook}" if thread.shared else thread.id

    def forgotten(self) -> None:
        """Note that everything was deleted."""
        with self._opening:
            self._notebook = None

    def seen(self, cells: Collection[str]) -> None:
        """Note ids of the notebook's cells, by which it is known when it was renamed."""
        with self._opening:
            self._cells |= {str(cell)[:100] for cell in cells if cell}

    def placed(self, path: str, cells: Sequence[str] = ()) -> None:
        """Note where a front end says the notebook is, and ids of its cells; another path than before is a rename.

        The path is below the front end's root, which is what stands before it in the kernel's own.
        """
        with self._opening:
            self.seen(cells[:_MOST_CELLS])
            told, self._told_path = self._told_path, path or self._told_path
            if not (told and path and told != path):
                return
            before = self._path()
            root = before.removesuffix(told) if before.endswith(told) else ""
            self._path = lambda: f"{root}{path}"
            if self._notebook is not None:
                with suppress(BadInput):  # `trouble` says so at the next write
                    self.store.move(self._notebook, self._path())

    # Writing.

    def changed(
        self,
        thread: Thread,
        *pairs: MessagePair,
        gone: Sequence[str] = (),
        renewed: Sequence[str] = (),
        made: Callable[[], Sequence[NewArtifact]] = tuple,
    ) -> None:
        """Note that pairs of a conversation, or its title, are to be written; ``gone`` are ids of pairs to delete.

        ``renewed`` are ids of pairs with another answer than before, whose files make place; ``made`` gives what their
        answers made, where that is kept.
        """
        thread.gone |= set(gone)
        if not self.writes or self._closed:
            return
        artifacts = made() if self._settings.artifact_mb else ()
        with self._there:
            changes = self._waiting.setdefault(thread.id, _Changes(thread))
            changes.add(pairs, gone, renewed)
            changes.made += artifacts
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="rsql-keeper")
                self._thread.start()
                atexit.register(self.close)
            self._there.notify_all()

    def drop(self, conversation: str) -> None:
        """Forget what is to be written of a conversation that is deleted; waits for what is being written."""
        with self._there:
            self._waiting.pop(conversation, None)
            self._there.wait_for(lambda: not self._is_writing, _AT_END)
            self._waiting.pop(conversation, None)

    def delete(self, thread: Thread) -> None:
        """Delete all that is kept of a conversation here.

        Raises:
            BadInput: It cannot be deleted.
        """
        if self.writes:
            self.drop(thread.id)
            self.store.delete(self.id_of(thread))

    def flush(self, seconds: float = _AT_END) -> bool:
        """Wait until everything is written, for so many seconds at most; whether it is."""
        with self._there:
            self._hurry += 1
            self._there.notify_all()
            try:
                return self._there.wait_for(lambda: not (self._waiting or self._is_writing), seconds)
            finally:
                self._hurry -= 1

    def close(self) -> None:
        """Write what is left, and close the file."""
        if not self._closed:
            if not self.flush(_IN_TROUBLE if self.trouble else _AT_END) and not self.trouble:
                self._leave_files()
            for end in self.ending:
                end()
        with self._there:
            self._closed = True
            self._there.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_AT_END)
            atexit.unregister(self.close)
        with self._opening:
            if self._store is not None and not self._is_writing:
                self._store.close()
                self._store = None

    # Write what was said while the thread still makes a file, which may take longer than the end of a kernel can wait.
    def _leave_files(self) -> None:
        with self._there:
            left, self._waiting = self._waiting, {}
        for each in left.values():
            each.made = []
        self._written(left)

    def _run(self) -> None:
        while True:
            with self._there:
                self._there.wait_for(lambda: self._waiting or self._closed)
                if not self._closed:
                    pause = max(_GATHER, self._again - time.monotonic())
                    self._there.wait_for(lambda: self._hurry or self._closed, pause)
                if self._closed:
                    return
                changes, self._waiting, self._is_writing = self._waiting, {}, True
            failed = self._written(changes)
            with self._there:
                self._is_writing = False
                for name, each in failed.items():
                    newer = self._waiting.get(name)
                    self._waiting[name] = each
                    if newer:
                        each.add(list(newer.pairs.values()), list(newer.gone), newer.renewed)
                        each.made += newer.made
                self._there.notify_all()
                if failed:  # also where somebody waits for the end
                    self._there.wait_for(lambda: self._closed, 0.05)

    def _write_files(self, changes: _Changes) -> None:
        conversation = self.id_of(changes.thread)
        while changes.made:
            self._put(conversation, changes.made[0])
            del changes.made[0]
        for told in self.wrote:
            told(conversation)

    def put(self, thread: Thread, new: NewArtifact) -> None:
        """Keep a file of a conversation now.

        Raises:
            BadInput: It is not kept, and why.
        """
        conversation = self.id_of(thread)
        if refused := self.artifacts.put(conversation, new, int(self._settings.artifact_mb * 1e6)):
            raise BadInput(f"The file is not kept: {refused}.", hint="Delete files, or raise Rsql.artifact_mb.")
        for told in self.wrote:
            told(conversation)

    def _put(self, conversation: str, new: NewArtifact) -> None:
        try:
            refused = self.artifacts.put(conversation, new, int(self._settings.artifact_mb * 1e6))
        except BadInput:
            raise
        except Exception as error:
            log.exception("a file of an answer could not be made")
            refused = f"{new.name} could not be made ({type(error).__name__}: {error})"
        self.refused = f"A file is not kept: {refused}." if refused else self.refused

    def _write_pairs(self, changes: _Changes) -> None:
        thread, notebook = changes.thread, self.notebook
        pairs = [NewPair(pair.id, written(pair), pair.state == "running") for pair in changes.pairs.values()]
        head = Head(self.id_of(thread), "", thread.name, thread.shared)
        renames = thread.kept_name != head.title  # another kernel or machine may have
        self.store.write(thread.notebook or notebook, head, pairs, tuple(changes.gone), renames=renames)
        thread.kept_name = head.title
        if old := {*changes.gone, *changes.renewed}:
            self.artifacts.drop_of(head.id, old)
        changes.pairs, changes.gone, changes.renewed = {}, {}, set()

    # Write changes, the files after all that was said, as they may be slow to make; gives those that could not be.
    def _written(self, changes: dict[str, _Changes]) -> dict[str, _Changes]:
        left, trouble = dict(changes), ""
        try:
            for each in changes.values():
                self._write_pairs(each)
            for name, each in changes.items():
                self._write_files(each)
                del left[name]
        except NotebookGone:  # in another kernel; what is said from now on is kept anew
            self.forgotten()
            for each in left.values():
                each.thread.notebook = None
        except BadInput as error:
            trouble = str(error)
        except Exception as error:
            log.exception("conversations cannot be kept")
            trouble = f"Conversations cannot be kept ({type(error).__name__}: {error})."
        self._again = time.monotonic() + _AGAIN if trouble else 0.0
        if trouble != self.trouble:
            self.trouble = trouble
            for tell in list(self.listeners):
                tell()
        return left


def folder_of(environ: Any) -> Path | None:
    """The folder of what is kept, in Jupyter's data folder; None where ``RSQL_CONVERSATIONS`` is ``off``.

    Example:
        >>> folder_of({"RSQL_CONVERSATIONS": "off"})
    """
    from pathlib import Path

    from jupyter_core.paths import jupyter_data_dir

    if environ.get("RSQL_CONVERSATIONS", "").lower() == "off":
        return None
    return Path(jupyter_data_dir(), "rsql")


def notebook_path(namespace: Any, environ: Any) -> str:
    """The notebook's file, relative to the home folder where it is below it; the working folder where none is known.

    Jupyter tells a kernel the file it was started for, VS Code puts it into a variable.

    Example:
        >>> notebook_path({}, {"JPY_SESSION_NAME": "/data/delays.ipynb"})
        '/data/delays.ipynb'
    """
    from pathlib import Path

    named = namespace.get("__vsc_ipynb_file__") or environ.get("JPY_SESSION_NAME") or ""
    path = Path(str(named)) if named else Path.cwd()
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return path.as_posix()

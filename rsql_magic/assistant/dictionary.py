"""The dictionary that describes the data of a notebook, read anew when its file or what is shared has changed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput
from rsql_magic.options import DICTIONARIES

if TYPE_CHECKING:
    from rsql_magic.databases import Connections
    from rsql_magic.knowledge import Dictionary, SharedDictionary, SharedKnowledge


class DictionaryInUse:
    """What people wrote about the data of one notebook: in a file beside it or elsewhere, and in what a group shares.

    The file is read anew when it has changed, and goes before what is shared. Without one, a question costs a look at a
    few names.
    """

    def __init__(self, connections: Connections, shared: SharedKnowledge) -> None:
        self._note = ""
        self._connections, self._shared = connections, shared
        self._shared_state: tuple[SharedDictionary, ...] = ()
        self._path: str | None = ""  # empty for one beside the notebook, None for none at all
        self._state: tuple[str, int, int] | None = None  # path, time of change and size of what was read
        self._dictionary: Dictionary | None = None
        self._own: Dictionary | None = None  # that of the file alone
        self._own_note = ""

    def current(self) -> Dictionary | None:
        """The dictionary as it is now; the connections' tables are described by it."""
        names = DICTIONARIES if self._path == "" else filter(None, [self._path])
        state = next(filter(None, map(self._stamp, names)), None)
        shared = () if self._path is None else self._shared.dictionaries()
        if (state, shared) != (self._state, self._shared_state):
            if state != self._state:
                self._own, self._own_note = self._read(state[0]) if state else (None, "")
            self._state, self._shared_state = state, shared
            self._dictionary, notes = (self._own, list[str]())
            if shared:
                from rsql_magic.knowledge import shared_and_own

                self._dictionary, notes = shared_and_own(self._own, shared)
            gone = f"the dictionary {self._path} is no longer there" if self._path and not state else ""
            first = self._own_note or gone
            notes = [each if first or number else f"described by {each}" for number, each in enumerate(notes)]
            self._note = "; ".join(filter(None, [first, *notes]))
            self._connections.describe(self._dictionary)
        return self._dictionary

    @property
    def note(self) -> str:
        """What there is to say of it, without a full stop; empty where there is nothing."""
        return "; ".join(filter(None, [self._note, "" if self._path is None else self._shared.trouble]))

    @property
    def path(self) -> str:
        """The file of the dictionary in use, also where it cannot be used; empty where there is none."""
        self.current()
        return self._path or (self._state[0] if self._state else "")

    def use(self, path: str | None = "") -> None:
        """Use the dictionary in a file; empty for one beside the notebook, None for none.

        Raises:
            BadInput: The file cannot be read, or is no dictionary; the one before stays in use.
        """
        if path:
            path = os.path.expanduser(path)  # noqa: PTH111 - a text, as the names beside the notebook are
            self._load(path)
        self._path, self._state = path, ("", 0, 0)  # unlike any file's: it is read anew
        self.current()

    def __str__(self) -> str:
        self.current()
        if self.note:
            return f"{self.note[0].upper()}{self.note[1:]}."
        if self._path is None:
            return "No dictionary is used; %rsql dictionary on looks for one beside the notebook."
        return f"There is no {DICTIONARIES[0]} beside the notebook; %rsql dictionary init drafts one."

    def _stamp(self, path: str) -> tuple[str, int, int] | None:
        try:
            found = os.stat(path)  # noqa: PTH116 - a path object for each name takes four times as long
        except (OSError, ValueError):
            return None
        if not stat.S_ISDIR(found.st_mode):
            return path, found.st_mtime_ns, found.st_size
        inside = [file.stat() for file in Path(path).rglob("*.y*ml")]
        return path, max((each.st_mtime_ns for each in inside), default=0), sum(each.st_size for each in inside)

    def _load(self, path: str) -> Dictionary:
        from rsql_magic.knowledge import Dictionary

        return Dictionary.load(path)

    def _read(self, path: str) -> tuple[Dictionary | None, str]:
        try:
            dictionary = self._load(path)
        except BadInput as error:
            return None, f"the dictionary {path} is not used: {error}".rstrip(".")
        return dictionary, f"described by {dictionary.summary}"

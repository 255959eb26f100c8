"""A cell that failed, as a question about its error knows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rsql_magic.diagnostics import ignoring
from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from rsql_magic.answers import NotebookSnapshot

_LONGEST_ERROR = 10_000  # characters


@dataclass(frozen=True)
class FailedCell:
    """A cell as it was when it failed, and what its output says of that."""

    source: str
    name: str  # of the error's class
    value: str  # its message

    @classmethod
    def read(cls, given: Any) -> FailedCell | None:
        """What a view tells of a cell; None where it tells nothing.

        Raises:
            BadInput: It is not an object of three texts.
        """
        if given is None:
            return None
        told = given if isinstance(given, dict) else {}
        texts = [text for name in ("source", "name", "value") if isinstance(text := told.get(name), str)]
        if len(texts) != 3:
            raise BadInput("The panel did not understand what is told of a cell.", hint="Reload the page.")
        return cls(texts[0], texts[1][:200], texts[2][:_LONGEST_ERROR])

    def into(self, snapshot: NotebookSnapshot) -> NotebookSnapshot:
        """The notebook as it was when this cell was the last that ran."""
        others = [cell for cell in snapshot.cells if cell != self.source]
        error = self._error(snapshot.error)
        return replace(snapshot, cells=[*others, self.source], error=error, failed=self.source)

    # The exception itself says more than its text, where it is still the last one.
    def _error(self, last: BaseException | str | None) -> BaseException | str:
        with ignoring("reading an error"):  # the text of other people's errors raises anything
            if isinstance(last, str) and last.strip() and last.strip() in self.value:
                return last
            if isinstance(last, BaseException) and (type(last).__name__, str(last)) == (self.name, self.value):
                return last
        return f"{self.name}: {self.value}"

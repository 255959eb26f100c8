"""Which names a question mentions: whole words, so that ``t`` is not found in ``plot``."""

# Case is ignored, and `unit price` or `unitPrice` mention `unit_price` too. Scripts that write no blanks between words
# (Chinese, Japanese, Thai) are searched for the name as it is.

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"\w+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LONGEST = 5


@dataclass(frozen=True)
class Mentions:
    """A question's text, ready to be asked for names."""

    text: str

    @cached_property
    def _folded(self) -> str:
        return self.text.casefold()

    @cached_property
    def _tokens(self) -> frozenset[str]:
        return frozenset(_TOKEN.findall(self._folded))

    @cached_property
    def _phrases(self) -> frozenset[str]:
        """Up to five words in a row, run together: what a name of several words may be written as."""
        words = _WORD.findall(_HUMP.sub(" ", self.text).casefold())
        runs = {"".join(words[n : n + size]) for size in range(1, _LONGEST + 1) for n in range(len(words))}
        return frozenset(runs | {run[:-1] for run in runs if run.endswith("s") and len(run) > 3})

    def mentions(self, name: str) -> bool:
        """Whether the question names it.

        Example:
            >>> question = Mentions("Plot the Unit Price by region")
            >>> [name for name in ("unit_price", "region", "t", "price.unit") if question.mentions(name)]
            ['unit_price', 'region']
        """
        if not name or len(name) > 200:
            return False
        folded = name.casefold()
        if folded in self._tokens or self._as_written(folded):
            return True
        return "".join(_WORD.findall(folded)) in self._phrases

    def _as_written(self, folded: str) -> bool:
        if folded not in self._folded or (_TOKEN.fullmatch(folded) and not _UNSPACED.search(folded)):
            return False
        start = r"(?<!\w)" if folded[0].isalnum() and not _UNSPACED.match(folded) else ""
        end = r"(?!\w)" if folded[-1].isalnum() and not _UNSPACED.match(folded[-1]) else ""
        return re.search(start + re.escape(folded) + end, self._folded) is not None

    def mentioned(self, names: Iterable[str]) -> list[str]:
        """Those of the names that the question mentions, in their order."""
        return [name for name in names if self.mentions(name)]

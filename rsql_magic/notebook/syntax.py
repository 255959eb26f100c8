"""Cells that IPython reads otherwise than their writer meant.

A question may end in a question mark: IPython reads ``%ask what is sales?`` as a wish for help on ``sales``. Here such
a line is a question; ``%ask?`` stays help. And an empty ``%%ask`` reaches the magic, which says what to do; IPython
would advise ``%ask``, which does something else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import TokenTransformBase, assemble_continued_line, find_end_of_continued_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from IPython.core.interactiveshell import InteractiveShell

_CALL = re.compile(
    r"(?P<before>\s*(?:[^\W\d]\w*\s*=\s*)?)%(?P<name>ask|sql_ai|rsql(?=\s+context\s))\s+(?P<text>.*\?)\s*$", re.S
)


class QuestionMark(TokenTransformBase):
    """``%ask …?`` and ``x = %ask …?`` become a call of the magic, before IPython looks for a question mark."""

    priority = 1

    @classmethod
    def find(cls, tokens_by_line: Sequence[Sequence[Any]]) -> QuestionMark | None:
        """The first such line that is not inside a string; tokens are grouped by logical lines."""
        for tokens in tokens_by_line:
            start = next((token for token in tokens if token.string.strip()), None)
            if start is not None and _CALL.match(start.line[start.start[1] :].split("\n", 1)[0]):
                return cls(start.start)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """The lines with that one replaced."""
        end = find_end_of_continued_line(lines, self.start_line)
        line = assemble_continued_line(lines, (self.start_line, self.start_col), end)
        call = _CALL.sub(_as_call, line)
        indent = lines[self.start_line][: self.start_col]
        return [*lines[: self.start_line], f"{indent}{call}\n", *lines[end + 1 :]]


def _as_call(found: re.Match[str]) -> str:
    return f"{found['before']}get_ipython().run_line_magic({found['name']!r}, {found['text']!r})"


_LATER = re.compile(r"^%%(?:ask|sql_ai)\b", re.M)


def misread(cell: str) -> str:
    r"""What IPython has read wrong in a cell that was transformed before the magics were there; empty for nothing.

    Example:
        >>> misread("%load_ext rsql_magic\n%sql_ai how many rows?")
        '%sql_ai how many rows?'
        >>> misread("%load_ext rsql_magic\n%ask?")
        ''
    """
    lines = cell.splitlines()[1:]
    later = (line for line in lines if _CALL.match(line) or _LATER.match(line))
    return next((line.strip() for line in later), "")


_EMPTY = re.compile(r"%%(?:ask|sql_ai)\b[^\n]*\n?$")


def with_body(lines: list[str]) -> list[str]:
    """A cell of our magics that has no body, with an empty line below; any other as it is."""
    cell = "".join(lines)
    return [cell.rstrip("\n") + "\n", "\n"] if _EMPTY.match(cell) and not cell.rstrip().endswith("?") else lines


def install(shell: InteractiveShell) -> None:
    """Read lines of this shell so."""
    shell.input_transformer_manager.token_transformers.insert(0, QuestionMark)
    shell.input_transformers_cleanup.append(with_body)


def remove(shell: InteractiveShell) -> None:
    """Read them as before."""
    transformers = shell.input_transformer_manager.token_transformers
    transformers[:] = [transformer for transformer in transformers if transformer.__name__ != QuestionMark.__name__]
    cleanups = shell.input_transformers_cleanup
    cleanups[:] = [each for each in cleanups if getattr(each, "__name__", "") != with_body.__name__]

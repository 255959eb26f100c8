"""Answer: the result of ``%%ask``, and whether the code in it parses.

Python is parsed by ``ast``, R by R itself where it is installed, SQL by sqlglot. An answer whose code does not parse
goes back to the model once, with the parser's message.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsql_magic.display import CellOutput, Showable, as_json, safe_markdown, usage_line
from rsql_magic.gateway import INTERRUPTED, Block, Usage, blocks_of
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rsql_magic.errors import RsqlError


def parse_python(code: str) -> str:
    """What Python's parser says; magics and ``!commands`` are IPython's and pass.

    Example:
        >>> parse_python("mean(x")
        "'(' was never closed (line 1)"
    """
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        ast.parse(TransformerManager().transform_cell(code))  # type: ignore[no-untyped-call]
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        return f"{getattr(error, 'msg', None) or error}{f' (line {line})' if line else ''}"
    return ""


def parse_sql(code: str, dialect: str = "") -> str:
    """What sqlglot says. A block of several statements is fine here: nothing of it is run."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        sqlglot.parse(code, dialect=dialect or None)
    except SqlglotError as error:
        return str(error).split("\n", 1)[0]
    except RecursionError:
        return "it is nested too deeply"
    return ""


def check_blocks(blocks: Sequence[Block], parsers: Mapping[str, Callable[[str], str]]) -> list[str]:
    r"""What is wrong with the code of an answer, one sentence for each block that does not parse.

    Example:
        >>> check_blocks(blocks_of("```python\nx = (\n```"), {"python": parse_python})
        ["The python block 1 does not parse: '(' was never closed (line 1)."]
    """
    sentences = []
    for number, block in enumerate(blocks, 1):
        parser = parsers.get(block.language)
        if parser and (wrong := parser(block.code)):
            sentences.append(f"The {block.language} block {number} does not parse: {wrong.rstrip('.')}.")
    return sentences


def cited(sources: Sequence[str]) -> list[str]:
    """What an answer was drawn from (`Answer.sources`), as one would type it.

    Example:
        >>> cited(["frame sales", "help stats::lm"])
        ['sales', '?stats::lm']
    """
    kinds_and_names = (source.partition(" ")[::2] for source in sources)
    return list(dict.fromkeys("?" * (kind == "help") + name.replace("`", "") for kind, name in kinds_and_names))


def drawn_from(sources: Sequence[str]) -> str:
    """The line below an answer that says what it was drawn from; empty where it names nothing.

    Example:
        >>> drawn_from(["frame sales", "help stats::lm"])
        'from `sales`, `?stats::lm`'
    """
    return f"from {', '.join(f'`{name}`' for name in cited(sources))}" if sources else ""


@dataclass
class Answer(Showable):
    """What was answered, and what it took.

    ``print(answer)`` gives the text; a notebook shows it as Markdown.

    Example:
        >>> Answer("Use ```mean()```.", usage=Usage(12, 5, 1, 0.4, model="offline"))
        <Answer offline · 12 + 5 tokens · 0.4 s>
    """

    text: str
    question: str = ""  # with its ``{{names}}`` filled in
    usage: Usage = field(default_factory=Usage)
    context: str = ""  # the data and the session as they were described to the model
    sources: tuple[str, ...] = ()  # what of that the answer names: ``frame sales``, ``help stats::lm``
    problems: tuple[str, ...] = ()  # what is still wrong with the code in it
    unchecked: str = ""  # why R code in it was not checked
    notes: tuple[str, ...] = ()  # what the usage line says beside the usage
    format: str = "markdown"  # ``markdown``, ``text`` or ``json``
    ended_by: RsqlError | None = None  # the user's stop, or a cut connection

    @property
    def interrupted(self) -> bool:
        """Whether this is only the part that arrived before the user stopped it or the connection broke."""
        return self.ended_by is not None

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its fenced blocks of code."""
        return blocks_of(self.text)

    @property
    def code(self) -> str:
        """Its code: the only block, or all blocks of the first one's language together; empty when there is none."""
        blocks = self.blocks
        return "\n\n".join(block.code for block in blocks if block.language == blocks[0].language) if blocks else ""

    @property
    def sql(self) -> str:
        """Its first SQL block, or empty."""
        return next((block.code for block in self.blocks if block.language == "sql"), "")

    @property
    def request_id(self) -> str:
        """The gateway's id of the request, for feedback and for the administrator."""
        return self.usage.request_id

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``--format json`` shows them."""
        return {
            "text": self.text,
            "code": self.code,
            "blocks": [{"language": block.language, "code": block.code} for block in self.blocks],
            "model": self.usage.model,
            "request_id": self.request_id,
            "usage": {
                "prompt_tokens": self.usage.prompt_tokens,
                "completion_tokens": self.usage.completion_tokens,
                "seconds": round(self.usage.seconds, 3),
            },
            "sources": list(self.sources),
            "problems": list(self.problems),
            "interrupted": self.interrupted,
        }

    def shown(self, *, footer: bool = True) -> CellOutput:
        """The finished output of the cell."""
        metadata = {
            "rsql": {"model": self.usage.model, "request_id": self.request_id, "tokens": self.usage.total_tokens}
        }
        line = usage_line(self.usage, notes=self.notes) if footer else ""
        if self.format == "json":
            return CellOutput("", as_json(self.as_dict()), data={"application/json": self.as_dict()}, metadata=metadata)
        sentences = (self._complete(), drawn_from(self.sources), *(f"⚠ {problem}" for problem in self.problems))
        parts = [part for part in sentences if part]
        text = "\n\n".join(parts)
        if self.format == "text":
            return CellOutput("", text, line, metadata=metadata)
        markdown = "\n\n".join(map(safe_markdown, parts))  # each by itself: the answer may end within its code
        return CellOutput(markdown, text, line, metadata=metadata)

    def _complete(self) -> str:
        return f"{self.text.rstrip()} {INTERRUPTED}".lstrip() if self.interrupted else self.text.rstrip()

    def __str__(self) -> str:
        return printable(self._complete())

    def __repr__(self) -> str:
        return f"<Answer {usage_line(self.usage) or 'empty'}>"

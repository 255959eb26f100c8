"""A conversation outside the panel: as a Markdown file, or as cells of the notebook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.answers import blocks_of
from rsql_magic.panel.running import as_cell

if TYPE_CHECKING:
    from rsql_magic.panel.threads import Exchange, Thread

Cell = dict[str, str]
"""``{"kind": "markdown" | "code", "source": …}``."""

_RUNNABLE = {"python", "r", "sql"}


def file_name(thread: Thread) -> str:
    """A name for the file of an export."""
    words = re.findall(r"\w+", thread.name.lower())[:8]
    return f"{'-'.join(words) or 'conversation'}.md"


def cells(thread: Thread) -> list[Cell]:
    """A conversation as cells: words as Markdown, code as code."""
    return [cell for exchange in thread.exchanges for cell in _cells(exchange)]


def _cells(exchange: Exchange) -> list[Cell]:
    made = [_markdown("\n".join(f"> {line}".rstrip() for line in exchange.question.splitlines()))]
    if exchange.result:
        made.append({"kind": "code", "source": as_cell(str(exchange.result["sql"]), "sql")})
    rest = exchange.answer
    for block in blocks_of(exchange.answer):
        if block.language not in _RUNNABLE or block.code not in rest:
            continue
        before, _, rest = rest.partition(block.code)
        made += [_markdown(_without_fence(before)), {"kind": "code", "source": as_cell(block.code, block.language)}]
        rest = re.sub(r"^\n?[ \t]*(`{3,}|~{3,})[ \t]*(\n|\Z)", "", rest)
    made.append(_markdown(rest))
    return [cell for cell in made if cell["source"].strip()]


def _markdown(source: str) -> Cell:
    return {"kind": "markdown", "source": source.strip()}


def _without_fence(text: str) -> str:
    """Text without the fence that opens at its end."""
    return re.sub(r"[ \t]*(`{3,}|~{3,})[^\n`]*\n[ \t]*\Z", "", text)

"""What a model may look at before it answers a question about the notebook."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rsql_magic.context import gather
from rsql_magic.tools import DatabaseView, LookAt, of_database, plugged_tools

if TYPE_CHECKING:
    from rsql_magic.answers.writer import AnswerWriter
    from rsql_magic.context import Context
    from rsql_magic.tools import Tool

_KINDS = frozenset({"frame", "object", "r"})  # of what can be looked at
_TOKENS = 1_200  # most of one thing


def tools_of(writer: AnswerWriter) -> tuple[Tool, ...]:
    """The tools for a question that wants some."""
    asked = writer.question
    if not asked.look_calls or not writer.gathered or writer.entry.chat.is_offline(asked.model):
        return ()
    things = [piece.name for piece in writer.gathered.pieces if piece.kind in _KINDS]
    look = LookAt(things, partial(_gathered, writer))
    if writer.engine is None or not writer.catalog:
        return (look, *plugged_tools(asked.level))
    return (look, *of_database(DatabaseView(writer.engine, writer.catalog, asked.level)))


def _gathered(writer: AnswerWriter, name: str) -> Context:
    """What may be told of one thing; of R's by the executor, where there is one: R answers the main thread only."""
    is_of_r = any(piece.name == name and piece.kind == "r" for piece in writer.gathered.pieces)

    def found(r: bool) -> Context:
        level, sources = writer.question.level, writer.sources()
        described = partial(gather, names=(name,), level=level, budget=_TOKENS, per_object=_TOKENS, r=r)
        return described("", sources, dictionary=writer.dictionary)

    if writer.executor is None:
        return found(writer.r)
    context: Context = writer.executor(lambda: found(True)) if is_of_r else found(False)
    return context

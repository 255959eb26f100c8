"""The way a cell of ``%%ask`` is answered: the one that the user chose, or what the question's words ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rsql_magic.answers import way_of, way_said
from rsql_magic.context import python_frames, r_frames
from rsql_magic.errors import BadInput, NoQuery
from rsql_magic.options import WAYS

if TYPE_CHECKING:
    from argparse import Namespace

    from rsql_magic.answers import NotebookQuestion, NotebookSnapshot, Preview
    from rsql_magic.assistant import Assistant
    from rsql_magic.gateway import Chat
    from rsql_magic.text2sql import SQLResult


def routed(
    question: NotebookQuestion, options: Namespace, assistant: Assistant, snapshot: NotebookSnapshot
) -> NotebookQuestion:
    """The question with its way; one that the user did not choose is said below the answer."""
    wanted = getattr(options, "as")
    if wanted == "query" and (options.run or options.insert):
        raise BadInput("--as query runs its query, and inserts no code.", hint="Leave --run and --insert out.")
    bound = options.run or options.insert or options.no_context or getattr(options, "with") or options.lang
    if wanted or bound or question.about_error or question.format == "json":
        return replace(question, way=wanted if wanted in WAYS else None)
    name = assistant.connections.last
    there = name and (name in snapshot.namespace or assistant.connections.takes(name, snapshot.namespace))
    tables = (there and assistant.catalog_in_use()) or ()
    of_tables = {column.name for table in tables for column in table.columns}
    way = way_of(question.text, [table.name for table in tables], _elsewhere(snapshot, of_tables) if tables else ())
    return replace(question, way=way, said=way_said(way, name)) if way else question


# The names of the session's frames, and of those of their columns that no table has.
def _elsewhere(snapshot: NotebookSnapshot, of_tables: set[str]) -> set[str]:
    frames = python_frames(snapshot.namespace).columns
    columns = {column for columns in frames.values() for column in columns}
    return {*frames, *r_frames(), *(columns - of_tables)}


def by_query(
    question: NotebookQuestion, assistant: Assistant, snapshot: NotebookSnapshot, **more: Any
) -> SQLResult | None:
    """Answer a question by a query; None where nobody chose that way and no query is found."""
    before = set(map(id, assistant.chat.turns))
    note = " · ".join(filter(None, [question.hint, question.said]))
    try:
        return assistant.sql_ai(**_asked(question, assistant), snapshot=snapshot, note=note, **more)
    except NoQuery:
        if not question.said:
            raise
        assistant.chat.forget([turn for turn in assistant.chat.turns if id(turn) not in before])
        return None


def preview(question: NotebookQuestion, assistant: Assistant, snapshot: NotebookSnapshot, chat: Chat | None) -> Preview:
    """The first request of ``by_query``; no model is asked."""
    return assistant.sql_preview(**_asked(question, assistant), snapshot=snapshot, chat=chat)


# What `sql_ai` takes: a way that was not chosen means the connection in use. The names in the question are filled in.
def _asked(question: NotebookQuestion, assistant: Assistant) -> dict[str, Any]:
    options = assistant.query_options(
        model=question.model, level=question.level, silence=question.timeout, look=question.look
    )
    connection = assistant.connections.last if question.said else None
    return {"question": question.text, "connection": connection, "options": replace(options, question=question.text)}

"""Answering a cell of ``%%ask`` by a query."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import NoQuery

if TYPE_CHECKING:
    from rsql_magic.answers import NotebookQuestion, NotebookSnapshot, Preview
    from rsql_magic.assistant import Assistant
    from rsql_magic.gateway import Chat
    from rsql_magic.text2sql import SQLResult


def answer(
    question: NotebookQuestion, assistant: Assistant, snapshot: NotebookSnapshot, **more: Any
) -> SQLResult | None:
    """Answer a question by a query; None where the user did not choose that way and no query is found."""
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
    """The first request of ``answer``; no model is asked."""
    return assistant.sql_preview(**_asked(question, assistant), snapshot=snapshot, chat=chat)


# What `sql_ai` takes: a way that was not chosen means the connection in use. The names in the question are filled in.
def _asked(question: NotebookQuestion, assistant: Assistant) -> dict[str, Any]:
    options = assistant.query_options(
        model=question.model, level=question.level, silence=question.timeout, look=question.look
    )
    connection = assistant.connections.last if question.said else None
    return {"question": question.text, "connection": connection, "options": replace(options, question=question.text)}

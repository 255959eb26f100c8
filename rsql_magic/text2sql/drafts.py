"""Drafts of SQL: read from what a model replied, and written anew until one passes. Nothing here talks to anybody."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rsql_magic.errors import NoQuery
from rsql_magic.gateway import Block, blocks_of, drafts

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from rsql_magic.gateway import Message, Reply
    from rsql_magic.sql import Fix

_SELECT = re.compile(
    r"""
    ^ (?: --[^\n]*\n | /\*.*?\*/ | \s | \( )*
    (?: (?:select|from|values) \b | with \s+ (?:recursive\s+)? [\w"`]+ \s* (?: \( | as\b ) )
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_LINES = r"(?:[^\n]|\n(?!\s*\n))*"
_BARE = re.compile(rf"^(?:SELECT|WITH\s+\w+\s+AS)\b{_LINES}?\bFROM\b{_LINES}", re.MULTILINE)
"""A paragraph that begins with a query in capitals; in small letters it could be a sentence."""
_SENTENCES = 600


@dataclass(frozen=True, slots=True)
class Draft:
    """A query as the model wrote it.

    Args:
        sql: The statement.
        says: The model's words around it.
        chart: The JSON block after it, or empty.
        cut: True when the text ended inside the block.
        others: How many more SQL blocks the reply held; they are not used.
    """

    sql: str
    says: str = ""
    chart: str = ""
    cut: bool = False
    others: int = 0


def read_draft(reply: Reply) -> Draft:
    r"""The draft in a reply: its first ``sql`` block, or a bare query.

    Raises:
        NoQuery: The reply holds none; the error carries the model's sentences.

    Example:
        >>> from rsql_magic.gateway.chat import Reply
        >>> read_draft(Reply(text="```sql\nSELECT 1\n```\nOne.")).sql
        'SELECT 1'
    """
    blocks = blocks_of(reply.text)
    queries = [block for block in blocks if block.language == "sql" or _is_query(block)]
    if not queries and (inside := _in_json(reply.text, blocks)):
        return Draft(inside)
    if not queries and (bare := _bare(reply.text)):
        return Draft(*bare, cut=reply.cut)
    if not reply.text.strip() and not reply.silence:
        return Draft("", cut=reply.cut)
    if not queries:
        words = "" if reply.silence else _words(reply.text, blocks)
        raise (
            NoQuery(words)
            if words
            else NoQuery(reply.silence or "The model wrote no query.", hint="Ask in other words.")
        )
    chart = next((block.code for block in blocks if block.language == "json"), "")
    first = queries[0]
    return Draft(first.code, _words(reply.text, blocks), chart, not first.closed, len(queries) - 1)


def _bare(text: str) -> tuple[str, str] | None:
    """A query without a block around it, and the words after it: all of the text, or what a line with SELECT begins."""
    text = text.lstrip("\ufeff\x00")
    if _SELECT.match(text):
        query, _, words = text.partition("\n\n")
        prose = re.match(r"[A-Z][a-z']+\s+[a-z]", words.strip()) and not _SELECT.match(words)
        return (query.strip(), " ".join(words.split())[:_SENTENCES]) if prose else (text.strip(), "")
    found = _BARE.search(text)
    return (found[0].strip(), "") if found else None


def _in_json(text: str, blocks: Sequence[Block]) -> str:
    """A query that stands in an object of JSON, where that is all there is: ``{"sql": "SELECT 1"}``."""
    for candidate in (text, *(block.code for block in blocks if block.language in {"", "json"})):
        try:
            told = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        found = (told.get(name) for name in ("sql", "query", "SQL", "statement")) if isinstance(told, dict) else ()
        for query in found:
            if isinstance(query, str) and query.strip():
                return query.strip()
    return ""


def _is_query(block: Block) -> bool:
    return block.language in {"", "duckdb", "sqlite", "mysql", "tsql", "text"} and bool(_SELECT.match(block.code))


def _words(text: str, blocks: Sequence[Block]) -> str:
    """What a reply says outside its blocks, as one short paragraph."""
    for block in blocks:
        text = text.replace(block.code, "")
    text = re.sub(r"^[ \t]*(`{3,}|~{3,})[^\n]*$", "", text, flags=re.M)
    words = " ".join(text.split())
    return words if len(words) <= _SENTENCES else words[: _SENTENCES - 1] + "…"


def write_sql(
    messages: Sequence[Message],
    *,
    check: Callable[[str], Sequence[str]],
    repair: Callable[[str, Sequence[str]], str],
    retries: int = 3,
    mend: Callable[[str], Fix | None] = lambda _: None,
) -> Generator[list[Message], Reply, list[drafts.Round[Draft]]]:
    """Ask for a query, check it, and ask for a correction with the facts a person would give.

    Args:
        messages: System, history and question.
        check: Problems of a statement, one sentence each. Raises ``QueryRejected`` for one that must not run.
        repair: The message that asks for a correction of a statement.
        retries: Rounds of repair.
        mend: Puts a statement that does not compile right, where rules are certain.

    Yields:
        Messages to send; it is sent the ``Reply``.

    Returns:
        All rounds, the last of which passed if it has no problems.

    Raises:
        NoQuery: A reply without a query.
        QueryRejected: From ``check``.
    """

    def problems(draft: Draft) -> Sequence[str]:
        if draft.cut:
            return ["The query is not complete: the answer ended inside it. Write a shorter one."]
        return check(draft.sql)

    def mended(draft: Draft) -> tuple[Draft, tuple[str, ...]] | None:
        found = None if draft.cut else mend(draft.sql)
        return (replace(draft, sql=found.sql), found.said) if found else None

    return drafts.write(
        messages,
        read=read_draft,
        check=problems,
        repair=lambda draft, wrong: repair(draft.sql, wrong),
        retries=retries,
        mend=mended,
    )

"""Drafts that cannot be read as SQL: words around it, marks of Markdown in it, quotes that are missing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.sql.autofix.broken_query import Edit, Fix
from rsql_magic.sql.catalog import always_quoted, quoted
from rsql_magic.sql.dialects.records import dialect_of, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rsql_magic.sql.autofix.broken_query import BrokenQuery
    from rsql_magic.sql.dialects.reading import Lexed

_OPENING = re.compile(r"\A\s*(?:`{3,}|~{3,})[^\n`]*\n")
_CLOSING = re.compile(r"\s*(?:^[ \t]*(?:`{3,}|~{3,})|<\|\w+\|>|</s>).*\Z", re.DOTALL | re.MULTILINE)
_SENTENCE = re.compile(r";\s*(?=[^\s;]).*\Z", re.DOTALL)
_STATEMENT = re.compile(
    r"""
    \s* (?: alter | analy[sz]e | attach | begin | call | commit | copy | create | declare | delete | detach | do | drop
    | exec(?:ute)? | explain | export | from | grant | import | insert | install | kill | load | lock | merge | pivot
    | pragma | reindex | release | rename | replace | reset | revoke | rollback | savepoint | select | set | show
    | start | table | truncate | update | use | vacuum | values | with ) \b | \s* \(
    """,
    re.IGNORECASE | re.VERBOSE,
)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]\n]*\]")
_APOSTROPHE = re.compile(r"(?<=[A-Za-z]{2})'(?=[A-Za-z])")
_PREFIX = re.compile(r"\b(?:date|time|timestamp|timestamptz|datetime|interval|json|jsonb|like|and|or|in|as)\Z", re.I)
_AGGREGATES = names("AVG COUNT MAX MIN SUM TOTAL")


def unwrap(broken: BrokenQuery) -> Fix | None:
    """A query without the fence, the end mark or the sentences around it."""
    if broken.tree is not None:
        return None
    text = _OPENING.sub("", broken.text)
    end = _end_of_query(text)
    kept = text[:end].strip()
    if not kept or kept == broken.text.strip() or _holds_statement(text[end:]):
        return None
    return Fix(kept, ("words around the query left out",))


def _end_of_query(text: str) -> int:
    """Where a fence or a mark of the end closes it, or the first semicolon outside quotes that something follows."""
    closing = _CLOSING.search(text)
    end = closing.start() if closing else len(text)
    sentence = _SENTENCE.search(_QUOTED.sub(lambda match: "x" * len(match[0]), text[:end]))
    return sentence.start() if sentence else end


def _holds_statement(text: str) -> bool:
    return any(_STATEMENT.match(part) for part in text.split(";"))


def unescape(broken: BrokenQuery) -> Fix | None:
    r"""``first\_name`` → ``first_name``, and an apostrophe inside a text doubled: ``'Women\'s'`` → ``'Women''s'``."""
    if broken.tree is not None:
        return None
    if not dialect_of(broken.dialect).backslash_escapes and "\\'" in broken.text:
        return Fix(broken.text.replace("\\'", "''"), ("\\' → ''",))
    text = _outside_quotes(broken.text, lambda part: re.sub(r"\\([_*])", r"\1", part))
    if text != broken.text:
        return Fix(text, ("\\_ → _",))
    text = _APOSTROPHE.sub(_doubled, broken.text)
    return Fix(text, ("' inside a text → ''",)) if text != broken.text else None


def _doubled(match: re.Match[str]) -> str:
    """An apostrophe inside a text; behind DATE and the like it opens one."""
    before = match.string[max(0, match.start() - 12) : match.start()]
    return "'" if _PREFIX.search(before) else "''"


def _outside_quotes(text: str, change: Callable[[str], str]) -> str:
    pieces, place = [], 0
    for match in _QUOTED.finditer(text):
        pieces += [change(text[place : match.start()]), match[0]]
        place = match.end()
    return "".join([*pieces, change(text[place:])])


def quote_spaced_names(broken: BrokenQuery) -> Fix | None:
    """``f.County Name`` → ``f."County Name"``, ``T-CHO`` → ``"T-CHO"``: names of this query's tables, as stored."""
    if broken.tree is not None and not next(broken.missing("column", "qualifier"), None):
        return None
    text = _masked(broken.text)
    name = next((name for name in _names_to_quote(broken) if _standing(name).search(text)), None)
    if name is None:
        return None
    new = always_quoted(name, broken.dialect)
    return broken.changed([Edit(*m.span(), new) for m in _standing(name).finditer(text)], f"{name} → {new}")


def _names_to_quote(broken: BrokenQuery) -> list[str]:
    """Columns that must be quoted, of the tables that the draft names, longest first."""
    tables = [t for t in broken.catalog if re.search(rf"(?<!\w){re.escape(t.name)}(?!\w)", broken.text, re.IGNORECASE)]
    found = {c.name for table in tables for c in table.columns if re.search(r"\W", c.name) and len(c.name) > 2}
    return sorted((name for name in found if quoted(name, broken.dialect) != name), key=lambda n: (-len(n), n))


def _standing(name: str) -> re.Pattern[str]:
    ends = r"(?!\w)" if name[-1].isalnum() else ""
    return re.compile(rf"(?<!\w){re.escape(name)}{ends}", re.IGNORECASE)


def _masked(text: str) -> str:
    """The text with what is quoted made unrecognisable, at the same places."""
    return _QUOTED.sub(lambda match: "\0" * len(match[0]), text)


def filter_aggregate(broken: BrokenQuery) -> Fix | None:
    """``COUNT(id WHERE a = 1)`` and ``(COUNT(id) WHERE a = 1)`` → ``COUNT(id) FILTER (WHERE a = 1)``."""
    if broken.tree is not None or broken.lexed is None:
        return None
    lexed = broken.lexed
    for opened, where, closed in _wheres_in_brackets(lexed):
        condition = lexed.text[lexed.tokens[where].start : lexed.tokens[closed].start]
        if lexed.word(opened - 1) in _AGGREGATES:
            new = f") FILTER ({condition})"
            edit = Edit(lexed.tokens[where - 1].end + 1, lexed.tokens[closed].end + 1, new)
        elif lexed.word(opened + 1) in _AGGREGATES and lexed.raw(where - 1) == ")":
            new = f" FILTER ({condition}))"
            edit = Edit(lexed.tokens[where - 1].end + 1, lexed.tokens[closed].end + 1, new)
        else:
            continue
        return broken.changed([edit], "WHERE behind an aggregate → FILTER (WHERE …)")
    return None


def _wheres_in_brackets(lexed: Lexed) -> Iterator[tuple[int, int, int]]:
    """Brackets that hold a WHERE and no SELECT: where they open, where WHERE stands, where they close."""
    opened: list[int] = []
    wheres: dict[int, int] = {}
    for index, raw in enumerate(lexed.raws):
        if raw == "(":
            opened.append(index)
        elif raw == ")" and opened:
            begin = opened.pop()
            if begin in wheres and lexed.word(begin + 1) not in {"SELECT", "WITH", "WHERE"}:
                yield begin, wheres[begin], index
        elif raw.upper() == "WHERE" and opened:
            wheres.setdefault(opened[-1], index)

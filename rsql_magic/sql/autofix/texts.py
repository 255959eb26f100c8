"""Drafts in other words than the engine reads: sentences and marks around SQL, quotes missing, other dialects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.sql.autofix.broken_query import Edit, Fix, only
from rsql_magic.sql.catalog import always_quoted, quoted
from rsql_magic.sql.dialects.reading import Unreadable, lex, own_tree, parse
from rsql_magic.sql.dialects.records import calls, dialect_of, functions, names
from rsql_magic.sql.dialects.table import DIALECTS
from rsql_magic.sql.validate.grammar import unknown_functions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rsql_magic.sql.autofix.broken_query import BrokenQuery
    from rsql_magic.sql.dialects.reading import Lexed

_OPENING = re.compile(r"\A\s*(?:`{3,}|~{3,})[^\n`]*\n")
_CLOSING = re.compile(r"\s*(?:^[ \t]*(?:`{3,}|~{3,})|<\|\w+\|>|</s>).*\Z", re.DOTALL | re.MULTILINE)
# Words behind the semicolon that ends a query.
_SENTENCE = re.compile(r";\s*(?=[^\s;]).*\Z", re.DOTALL)
# What is left out must be no statement: two of them are refused, not cut.
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
# Words behind which an apostrophe opens a text, so it is not doubled.
_PREFIX = re.compile(r"\b(?:date|time|timestamp|timestamptz|datetime|interval|json|jsonb|like|and|or|in|as)\Z", re.I)
_AGGREGATES = names("AVG COUNT MAX MIN SUM TOTAL")


def unwrap(broken: BrokenQuery) -> Fix | None:
    """A query without the fence, the end mark or the sentences around it."""
    if broken.tree is not None:
        return None
    text = _OPENING.sub("", broken.text)
    # A fence or a mark closes the query, or the first semicolon outside quotes that something follows.
    closing = _CLOSING.search(text)
    end = closing.start() if closing else len(text)
    sentence = _SENTENCE.search(_QUOTED.sub(lambda match: "x" * len(match[0]), text[:end]))
    end = sentence.start() if sentence else end
    kept = text[:end].strip()
    if not kept or kept == broken.text.strip() or any(_STATEMENT.match(part) for part in text[end:].split(";")):
        return None
    return Fix(kept, ("words around the query left out",))


def unescape(broken: BrokenQuery) -> Fix | None:
    r"""``first\_name`` → ``first_name``, and an apostrophe inside a text doubled: ``'Women\'s'`` → ``'Women''s'``."""
    if broken.tree is not None:
        return None
    if not dialect_of(broken.dialect).backslash_escapes and "\\'" in broken.text:
        return Fix(broken.text.replace("\\'", "''"), ("\\' → ''",))
    text = re.sub(rf"({_QUOTED.pattern})|\\([_*])", lambda match: match[1] or match[2], broken.text)
    if text != broken.text:
        return Fix(text, ("\\_ → _",))
    # Behind DATE and the like an apostrophe opens a text.
    text = _APOSTROPHE.sub(
        lambda m: "'" if _PREFIX.search(m.string[max(0, m.start() - 12) : m.start()]) else "''", broken.text
    )
    return Fix(text, ("' inside a text → ''",)) if text != broken.text else None


def quote_spaced_names(broken: BrokenQuery) -> Fix | None:
    """``f.County Name`` → ``f."County Name"``, ``T-CHO`` → ``"T-CHO"``: names of this query's tables, as stored."""
    if broken.tree is not None and not next(broken.missing("column", "qualifier"), None):
        return None
    text = _QUOTED.sub(lambda match: "\0" * len(match[0]), broken.text)  # what is quoted, unrecognisable in its place
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


def filter_aggregate(broken: BrokenQuery) -> Fix | None:
    """``COUNT(id WHERE a = 1)`` and ``(COUNT(id) WHERE a = 1)`` → ``COUNT(id) FILTER (WHERE a = 1)``."""
    if broken.tree is not None or broken.lexed is None:
        return None
    lexed = broken.lexed
    for opened, where, closed in _wheres_in_brackets(lexed):
        condition = lexed.text[lexed.tokens[where].start : lexed.tokens[closed].start]
        if lexed.word(opened - 1) in _AGGREGATES:
            new = f") FILTER ({condition})"
        elif lexed.word(opened + 1) in _AGGREGATES and lexed.raw(where - 1) == ")":
            new = f" FILTER ({condition}))"
        else:
            continue
        edit = Edit(lexed.tokens[where - 1].end + 1, lexed.tokens[closed].end + 1, new)
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
            if (begin := opened.pop()) in wheres and lexed.word(begin + 1) not in {"SELECT", "WITH", "WHERE"}:
                yield begin, wheres[begin], index
        elif raw.upper() == "WHERE" and opened:
            wheres.setdefault(opened[-1], index)


# What models write for arithmetic that a question describes in words.
_SIGNS = {"subtract": "-", "multiply": "*", "add": "+", "plus": "+"}
_EVERYWHERE = {(name, 2): f"(({{0}}) {sign} ({{1}}))" for name, sign in _SIGNS.items()}
_EVERYWHERE["divide", 2] = "(1.0 * ({0}) / ({1}))"
_PARTS_OF_DATES = names("year month day hour minute second")
_TRUNCATED = {"year": "strftime('%Y-01-01', {0})", "month": "strftime('%Y-%m-01', {0})", "day": "date({0})"}


def fix_call(broken: BrokenQuery) -> Fix | None:
    """``YEAR(born)`` → ``CAST(strftime('%Y', born) AS INTEGER)`` on SQLite, and the like."""
    if broken.tree is None or broken.lexed is None:
        return None
    nodes = list(broken.tree.walk())
    for place, _ in unknown_functions(broken.lexed, nodes, broken.dialect, broken.catalog.functions):
        index = next(i for i, token in enumerate(broken.lexed.tokens) if token.start == place)
        arguments, end = _arguments(broken.lexed, index)
        old = broken.text[place:end]
        new = _in_own_words(broken.lexed.tokens[index].text, arguments, old, broken.dialect) if end else None
        if new is not None:
            return broken.changed([Edit(place, end, new)], f"{_short(old)} → {_short(new)}")
    return None


def _in_own_words(name: str, arguments: Sequence[str], call: str, dialect: str) -> str | None:
    key = (name.lower(), len(arguments))
    template = _EVERYWHERE.get(key) or dialect_of(dialect).calls.get(key)
    if template is not None:
        return template.format(*arguments)
    if dialect_of(dialect).strftime and (found := _by_strftime(name.lower(), arguments, dialect)) is not None:
        return found
    return only({text for text in (generated(call, read, dialect) for read in READ_AS) if text is not None})


def _by_strftime(name: str, arguments: Sequence[str], dialect: str) -> str | None:
    """Functions that take a part of a date, and those that take any number of arguments."""
    if name == "concat" and len(arguments) > 1:
        return f"({' || '.join(arguments)})"
    if name == "date_format" and len(arguments) == 2 and re.fullmatch(r"'(?:%[YmdHis]|[^%'])*'", arguments[1]):
        return f"strftime({arguments[1].replace('%s', '%S').replace('%i', '%M')}, {arguments[0]})"
    part, value = "", ""
    if name == "extract" and len(arguments) == 1:  # EXTRACT(YEAR FROM x)
        part, _, value = re.sub(r"\s+from\s+", "\0", arguments[0], count=1, flags=re.IGNORECASE).partition("\0")
        part, value = part.strip().lower(), value.strip()
    elif name in {"date_part", "datepart", "date_trunc"} and len(arguments) == 2:  # date_part('year', x)
        part, value = arguments[0].strip().strip("'").lower(), arguments[1]
    if name == "date_trunc":
        return _TRUNCATED[part].format(value) if part in _TRUNCATED else None
    template = dialect_of(dialect).calls.get((part, 1))
    return template.format(value) if template and part in _PARTS_OF_DATES else None


def _arguments(lexed: Lexed, index: int) -> tuple[list[str], int]:
    """The arguments of a call as written, and where its bracket ends; 0 when it never does."""
    tokens = lexed.tokens
    depth, begin, found = 0, tokens[index + 1].end + 1, list[str]()
    for token, raw in zip(tokens[index + 1 :], lexed.raws[index + 1 :], strict=True):
        depth += (raw in {"(", "["}) - (raw in {")", "]"})
        if depth == 0 or (depth == 1 and raw == ","):
            found.append(lexed.text[begin : token.start].strip())
            begin = token.end + 1
        if depth == 0:
            return [part for part in found if part], token.end + 1
    return [], 0


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else f"{flat[:59]}…"


# Dialects that models mix up.
READ_AS = tuple(name for name, record in DIALECTS.items() if record.often_confused)


def translate(broken: BrokenQuery) -> Fix | None:
    """``a::int`` → ``CAST(a AS INTEGER)``, ``TOP 3`` → ``LIMIT 3``: read in its own dialect, else in the only other."""
    own = generated(broken.text, broken.dialect, broken.dialect)
    if own is not None and _folded(own) == _folded(broken.text):
        own = None  # it fails as the draft did
    others = (generated(broken.text, read, broken.dialect) for read in READ_AS if read != broken.dialect)
    text = own or only({one for one in others if one is not None})
    return Fix(text, ("written in another dialect → written anew",)) if text else None


def _folded(text: str) -> str:
    """A text without what two ways to write it may differ in: blanks, case and quotes."""
    return "".join(c for c in text.casefold() if not c.isspace() and c not in '"`[];')


def generated(text: str, read: str, write: str) -> str | None:
    """A text read in one dialect and written in another; None when it is not of the one or impossible in the other."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        if not _is_at_home(text, read):
            return None
        tree = own_tree(text, read)
        made = str(tree.sql(dialect=write, unsupported_level=sqlglot.ErrorLevel.RAISE, comments=False))
    except (SqlglotError, Unreadable, ValueError, RecursionError):
        return None
    return made if _is_at_home(made, write) else None


def _is_at_home(text: str, dialect: str) -> bool:
    """Whether a dialect has all the functions that a text calls."""
    known = functions(dialect)
    try:
        lexed = lex(text, dialect)
        called = [call.path[-1].lower() for call in calls(lexed, parse(lexed.text, dialect).walk(), dialect)]
    except Unreadable:
        return False
    return all(known.exists(name) for name in called)

"""The functions a query calls must be known to read their arguments and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.calls import TYPES, calls
from rsql_magic.sql.dialects.functions import functions
from rsql_magic.sql.dialects.records import dialect_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlglot import exp

    from rsql_magic.sql.dialects.functions import Functions
    from rsql_magic.sql.dialects.reading import Lexed
    from rsql_magic.sql.dialects.records import SQLDialect

_SECRET_SETTING = re.compile(r"secret|passw|token|credential|private|_key|key_|jwt", re.IGNORECASE)
_COMBINATORS = re.compile(r"(if|array|map|state|merge|ordefault|ornull|distinct|resample|foreach|simplestate)$")


def refuse_unknown_calls(lexed: Lexed, nodes: Iterable[exp.Expr], dialect: str, extra: Iterable[str] = ()) -> None:
    """Refuse a query that calls a function which is not known to be harmless.

    Args:
        lexed: The query's words.
        nodes: The nodes of its tree.
        dialect: sqlglot's name.
        extra: Names of user-defined functions that may be called, qualified as they are called.

    Raises:
        QueryRejected: Naming the function.
    """
    known = functions(dialect)
    nodes = list(nodes)
    record = dialect_of(dialect)
    if record.calls_without_brackets:
        _refuse_calls_without_brackets(nodes, known)
    own = frozenset(name.casefold() for name in extra)
    for call in calls(lexed, nodes, dialect):
        full, name = ".".join(call.path).lower(), call.path[-1].lower()
        if full in own:
            continue
        if not _allowed(call.path, known, record):
            raise _refused(call.path, known.reason(full) or known.reason(name))
        if name == "last_insert_id" and _has_argument(lexed, call.start):
            raise _refused(call.path, "is not allowed with a value, which it would keep for the session")
        if name == "current_setting" and not _names_plain_setting(lexed, call.start):
            raise _refused(call.path, "is not allowed for a setting that may hold a secret, or one not named by a text")
        if call.in_from and known.tables is not None and name not in known.tables:
            raise _refused(call.path, "is not a function that may stand in FROM")


def _names_plain_setting(lexed: Lexed, start: int) -> bool:
    """True for ``current_setting('TimeZone')``, False for ``current_setting('s3_secret_access_key')``."""
    index = next(index for index, token in enumerate(lexed.tokens) if token.start == start)
    words = [lexed.raw(token) for token in lexed.tokens[index + 2 : index + 4]]
    return len(words) == 2 and words[0][:1] == "'" and words[1] in ")," and not _SECRET_SETTING.search(words[0])


def _has_argument(lexed: Lexed, start: int) -> bool:
    """True when something stands between the brackets behind the name that starts there."""
    index = next(index for index, token in enumerate(lexed.tokens) if token.start == start)
    return lexed.raw(lexed.tokens[index + 2]) != ")"


def _refuse_calls_without_brackets(nodes: list[exp.Expr], known: Functions) -> None:
    """Oracle calls a package's function without arguments like a column: ``SELECT utl_inaddr.get_host_name``."""
    from sqlglot import exp

    for node in nodes:
        if isinstance(node, exp.Column) and len(node.parts) > 1:
            path = tuple(part.name for part in node.parts)
            name = ".".join(path).lower()
            if not known.allows(name) and (reason := known.reason(name)):
                raise _refused(path, reason)


def _allowed(path: tuple[str, ...], known: Functions, dialect: SQLDialect) -> bool:
    *qualifiers, name = (part.lower() for part in path)
    if not name.isascii():
        return False
    if dialect.function_prefix and qualifiers[:1] == [dialect.function_prefix]:
        qualifiers = qualifiers[1:]
    if dialect.combinators:
        name = _without_combinators(name, known)
    full = ".".join([*qualifiers, name])
    if known.allows(full) or (name.upper() in TYPES and not qualifiers):
        return True
    if not qualifiers:
        return known.tables is not None and name in known.tables
    if qualifiers == ["public"]:  # where the engine's own never are
        return dialect.extensions_in_public and known.allows(name) and known.comes_with_extension(name)
    if dialect.function_schemas.issuperset(qualifiers):
        return known.allows(name) or bool(known.tables and name in known.tables)
    return known.allows(name) and (dialect.methods is None or name in dialect.methods)


def _without_combinators(name: str, known: Functions) -> str:
    """ClickHouse's ``sumMapIf`` is ``sum`` with combinators, which only say over what it goes."""
    while not known.allows(name) and (ending := _COMBINATORS.search(name)):
        name = name[: ending.start()]
    return name


def _refused(path: tuple[str, ...], why: str) -> QueryRejected:
    name = ".".join(part for part in path if part)
    if not why:
        return QueryRejected(
            f"The function {name} is not known to be harmless.",
            piece=name,
            hint="Use a built-in function, or name your own in the catalog's functions.",
            repairable=True,
        )
    verb = "" if why.startswith("is ") else ": it "
    return QueryRejected(
        f"The function {name} {why}." if not verb else f"The function {name} may not be called{verb}{why}.", piece=name
    )

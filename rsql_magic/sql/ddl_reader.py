"""A catalog from text: the ``CREATE TABLE`` statements of a schema dump, in any dialect."""

# Read are tables, views whose columns can be told, keys (also those added by ``ALTER TABLE``), and comments, whether
# by ``COMMENT ON``, by a ``COMMENT`` clause, or behind ``--`` on a column's line. Everything else in a dump is passed
# over; a statement about a table that cannot be parsed is said in the catalog's problems, and costs no other
# statement.

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sqlglot import Dialect, TokenType, exp
from sqlglot.errors import TokenError

from rsql_magic.sql.catalog import Catalog, Column, ForeignKey, Kind, Table
from rsql_magic.sql.dialects.reading import Unreadable, parse
from rsql_magic.sql.dialects.records import dialect_of
from rsql_magic.sql.facts import one_line
from rsql_magic.sql.undeclared import infer_keys, with_referred

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_ABOUT_TABLES = re.compile(r"(CREATE\s+(\w+\s+){0,5}?(TABLE|VIEW)|ALTER\s+TABLE|COMMENT\s+ON)\b", re.IGNORECASE)
_LEADING_COMMENTS = re.compile(r"\A(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", re.DOTALL)
_SEPARATORS = re.compile(r"^[ \t]*(?:GO|/|DELIMITER .*)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_COPIED = re.compile(r"^COPY\b[^;]*\bFROM\s+stdin\b[^;]*;.*?^\\\.[ \t]*$", re.IGNORECASE | re.MULTILINE | re.DOTALL)
_PART = r'(?:"[^"]+"|`[^`]+`|\[[^\]]+\]|[\w$#@]+)'
_NAME = rf"{_PART}(?:\s*\.\s*{_PART}){{0,2}}"
_NAMED = re.compile(rf"CREATE\s+.*?\b(TABLE|VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?({_NAME})", re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(r"\bAS\s*\(?\s*((?:SELECT|WITH)\b.*?)\)?\s*(?:WITH\s+(?:NO\s+)?DATA\s*)?\Z", re.I | re.S)
_PARENTS = re.compile(rf"\b(?:PARTITION\s+OF|LIKE|CLONE|INHERITS\s*\()\s+?({_NAME})|\bINHERITS\s*\(\s*({_NAME})", re.I)
# First words of lines that are no columns.
_NO_COLUMNS = frozenset({"INDEX", "KEY", "FULLTEXT", "SPATIAL", "PERIOD", "EXCLUDE", "LIKE", "CONSTRAINT", "CHECK"})


def parse_ddl(text: str, dialect: str) -> Catalog:
    """Read the tables of a schema dump."""
    reading = _Reading(dialect)
    text = _SEPARATORS.sub(";", _COPIED.sub(";", text))
    text = dialect_of(dialect).storage.sub("", text)
    for statement in _statements(text, dialect):
        reading.read(statement)
    return reading.catalog()


def _statements(text: str, dialect: str) -> Iterator[str]:
    """The statements about tables, each from its first word."""
    start = 0
    for end in [*_boundaries(text, dialect), len(text)]:
        statement = _LEADING_COMMENTS.sub("", text[start:end]).rstrip("; \t\r\n")
        if _ABOUT_TABLES.match(statement):
            yield statement
        start = end


def _boundaries(text: str, dialect: str) -> Iterator[int]:
    """Where statements end: behind a semicolon, or, as T-SQL has it, before the next CREATE or ALTER."""
    try:
        tokens = Dialect.get_or_raise(dialect).tokenize(text)
    except TokenError:  # a quote that never ends, or another dialect's: take line ends for what they seem
        yield from (match.end() for match in re.finditer(r";[ \t]*$", text, re.MULTILINE))
        return
    previous = None
    for token in tokens:
        if token.token_type is TokenType.SEMICOLON:
            yield token.end + 1
        elif token.text.upper() in {"CREATE", "ALTER"} and previous is TokenType.R_PAREN:
            yield token.start
        previous = token.token_type


def _lines(statement: str, dialect: str) -> list[str]:
    """What stands in the parenthesis of a ``CREATE TABLE``, one column or key each."""
    try:
        tokens = Dialect.get_or_raise(dialect).tokenize(statement)
    except TokenError:
        return []
    depth, starts = 0, list[int]()
    for token in tokens:
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        opens = token.token_type is TokenType.L_PAREN and depth == 1 and not starts
        if opens or (token.token_type is TokenType.COMMA and depth == 1):
            starts.append(token.start)
        if depth == 0 and starts:
            starts.append(token.start)
            break
    return [line for start, end in pairwise(starts) if (line := statement[start + 1 : end].strip())]


@dataclass
class _Draft:
    """A table while its statements are read."""

    table: Table
    columns: dict[str, Column] = field(default_factory=dict)
    primary_key: tuple[str, ...] = ()
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    unique: list[tuple[str, ...]] = field(default_factory=list)

    def finished(self) -> Table:
        """The table as a value."""
        columns = (replace(c, nullable=c.nullable and name not in self.primary_key) for name, c in self.columns.items())
        keys = tuple(self.foreign_keys)
        return replace(self.table, columns=tuple(columns), primary_key=self.primary_key, foreign_keys=keys)


class _Reading:
    """Statements turned into tables, one after the other."""

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._fold: Callable[[str], str] = {"lower": str.lower, "upper": str.upper}.get(dialect_of(dialect).folds, str)
        self._drafts: dict[str, _Draft] = {}
        self._problems: list[str] = []

    def read(self, statement: str) -> None:
        """Take in one statement."""
        tree = self._parsed(statement)
        if isinstance(tree, exp.Create) and tree.kind in {"TABLE", "VIEW"}:
            self._create(tree, statement)
        elif isinstance(tree, exp.Alter):
            self._alter(tree)
        elif isinstance(tree, exp.Comment):
            self._comment(tree)
        elif statement[:6].upper() == "CREATE":
            self._read_by_lines(statement)

    def _read_by_lines(self, statement: str) -> None:
        """What can be told of a table that sqlglot does not read: its name, and its columns line by line."""
        if not (found := _NAMED.match(statement)):
            self._cannot_read(statement)
            return
        name, query = found[2], _QUERY.search(statement)
        readable = self._parsed(f"CREATE VIEW {name} AS {query[1]}") if query else None
        lines = _lines(statement, self._dialect) if query is None else []
        known = [readable for line in lines if (readable := self._readable(name, line))]
        readable = self._parsed(f"CREATE TABLE {name} ({', '.join(known)})") if known else readable
        if readable is None:
            if (readable := self._parsed(f"CREATE TABLE {name} (x INT)")) is None:
                self._cannot_read(statement)
                return
            readable = readable.copy()
            readable.this.set("expressions", [])
        if found[1].upper() == "VIEW":
            readable = readable.copy()
            readable.set("kind", "VIEW")
        if isinstance(readable, exp.Create):
            self._create(readable, statement)

    def _parsed(self, statement: str) -> Any:
        try:
            return parse(statement, self._dialect)
        except Unreadable:
            return None

    def _readable(self, table: str, line: str) -> str:
        """A line of a table as far as it can be read: all of it, its name and type, or its name."""
        name = re.match(_PART, line)
        shorter = [" ".join(line.split()[:2]), f"{name[0]} TEXT" if name else ""]
        if name and name[0].upper() in _NO_COLUMNS:
            shorter = []
        if name and line[name.end() :].lstrip().startswith("="):  # an option of a virtual table
            return ""
        for attempt in (line, *filter(None, shorter)):
            if isinstance(self._parsed(f"CREATE TABLE {table} ({attempt})"), exp.Create):
                return attempt
        return ""

    def catalog(self) -> Catalog:
        """Everything read so far."""
        schemas = {(draft.table.database, draft.table.schema) for draft in self._drafts.values()}
        database, default = schemas.pop() if len(schemas) == 1 else ("", "")
        default = "" if database else default  # a dump of one schema: its name need not be written
        tables = [self._without(draft.finished(), default) for draft in self._drafts.values()]
        unique = {table.full_name: draft.unique for table, draft in zip(tables, self._drafts.values(), strict=True)}
        return Catalog(infer_keys(with_referred(tables), unique), self._dialect, tuple(self._problems), default)

    def _cannot_read(self, statement: str) -> None:
        self._problems.append(f"This statement cannot be read: {one_line(statement, 80)}")

    def _create(self, tree: Any, statement: str) -> None:
        target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        draft = _Draft(self._table(target, "view" if tree.kind == "VIEW" else "table"))
        comment = tree.find(exp.SchemaCommentProperty)
        told = comment.this.name if comment else self._option(tree.args.get("properties"), "description")
        draft.table = replace(draft.table, description=told)
        for part in tree.this.expressions if isinstance(tree.this, exp.Schema) else ():
            self._part(draft, part)
        if not draft.columns and isinstance(tree.expression, exp.Query):
            selects = () if tree.expression.is_star else tree.expression.named_selects
            draft.columns = {name: Column(name) for name in selects if name}
        self._inherit(draft, statement)
        if not draft.columns:
            self._cannot_read(statement)
        self._drafts[draft.table.full_name.casefold()] = draft

    def _inherit(self, draft: _Draft, statement: str) -> None:
        """The columns of the tables that this one is made like."""
        head = _QUERY.sub("", statement)
        for names in _PARENTS.findall(head) if draft.table.kind == "table" else ():
            parent = self._parsed(f"CREATE TABLE {next(filter(None, names))} (x INT)")
            named = parent.find(exp.Table) if parent is not None else None
            if named is not None and (like := self._draft_of(named)) is not None:
                draft.columns = {**like.columns, **draft.columns}

    def _part(self, draft: _Draft, part: Any) -> None:
        """One line of a table: a column, or a key."""
        if isinstance(part, exp.ColumnDef):
            if part.name.upper() not in _NO_COLUMNS or part.this.args.get("quoted"):
                self._column(draft, part)
        elif isinstance(part, exp.Constraint):
            for inner in part.expressions:
                self._part(draft, inner)
        elif isinstance(part, exp.PrimaryKey):
            draft.primary_key = self._names(part.expressions)
        elif isinstance(part, exp.UniqueColumnConstraint) and part.this:
            draft.unique.append(self._names(part.this.expressions))
        elif isinstance(part, exp.ForeignKey):
            self._foreign_key(draft, self._names(part.expressions), part.args["reference"])
        elif isinstance(part, exp.Identifier):  # CREATE VIEW v (a, b) AS …
            draft.columns[self._name(part)] = Column(self._name(part))

    def _column(self, draft: _Draft, part: Any) -> None:
        name = self._name(part.this)
        found = [constraint.args.get("kind") for constraint in part.constraints]
        kinds = {type(kind): kind for kind in found if kind is not None}
        comment = kinds.get(exp.CommentColumnConstraint)
        option = self._option(kinds.get(exp.Properties), "description")
        described = comment.this.name if comment else option or " ".join(text.strip() for text in part.comments or ())
        type_name = part.kind.sql(self._dialect) if part.kind else ""
        not_null = kinds.get(exp.NotNullColumnConstraint)
        nullable = not_null is None or bool(not_null.args.get("allow_null"))
        draft.columns[name] = Column(name, type_name, nullable, described)
        if exp.PrimaryKeyColumnConstraint in kinds:
            draft.primary_key = (*draft.primary_key, name)
        if exp.UniqueColumnConstraint in kinds:
            draft.unique.append((name,))
        if exp.Reference in kinds:
            self._foreign_key(draft, (name,), kinds[exp.Reference])

    def _option(self, options: Any, name: str) -> str:
        """BigQuery's ``OPTIONS (description = '…')``."""
        found = options.find_all(exp.Property) if options is not None else ()
        return next((str(one.args["value"].name) for one in found if one.name.lower() == name), "")

    def _foreign_key(self, draft: _Draft, columns: tuple[str, ...], reference: Any) -> None:
        other = reference.this
        referred = self._names(other.expressions) if isinstance(other, exp.Schema) else ()
        target = self._table(other.this if isinstance(other, exp.Schema) else other, "table")
        if not target.schema and not target.database:
            target = replace(target, schema=draft.table.schema, database=draft.table.database)
        draft.foreign_keys.append(ForeignKey(columns, target.full_name, referred))

    def _alter(self, tree: Any) -> None:
        if (draft := self._draft_of(tree.this)) is None:
            return
        for action in tree.args.get("actions") or ():
            for part in action.expressions if isinstance(action, exp.AddConstraint) else [action]:
                self._part(draft, part)

    def _comment(self, tree: Any) -> None:
        said = tree.expression.name if tree.expression else ""
        if isinstance(tree.this, exp.Column):
            parts = [self._name(part) for part in tree.this.parts]
            draft = self._drafts.get(".".join(parts[:-1]).casefold())
            if draft and parts[-1] in draft.columns:
                draft.columns[parts[-1]] = replace(draft.columns[parts[-1]], description=said)
        elif isinstance(tree.this, exp.Table) and (draft := self._draft_of(tree.this)):
            draft.table = replace(draft.table, description=said)

    def _draft_of(self, target: Any) -> _Draft | None:
        return self._drafts.get(self._table(target, "table").full_name.casefold())

    def _table(self, target: Any, kind: Kind) -> Table:
        places = [self._name(target.args[part]) if target.args.get(part) else "" for part in ("this", "db", "catalog")]
        return Table(places[0], schema=places[1], database=places[2], kind=kind)

    def _names(self, parts: Iterable[Any]) -> tuple[str, ...]:
        found = (part if isinstance(part, exp.Identifier) else part.find(exp.Identifier) for part in parts)
        return tuple(self._name(part) for part in found if part)

    def _name(self, part: Any) -> str:
        return str(part.name) if part.args.get("quoted") else self._fold(part.name)

    def _without(self, table: Table, default: str) -> Table:
        """The table with the default schema's name left out, also in its keys."""
        if not default:
            return table
        keys = (replace(key, table=key.table.removeprefix(f"{default}.")) for key in table.foreign_keys)
        return replace(table, schema="", foreign_keys=tuple(keys))

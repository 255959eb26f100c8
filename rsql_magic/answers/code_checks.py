"""What is wrong with the code of an answer, found before it is run: syntax, columns and files that do not exist."""

# Python is read as a tree, one statement after the other: what a name holds is followed through assignments and the
# usual methods of pandas and polars (`columns_given`). Where that is not certain (a rename by a function, a name bound
# by a loop), nothing is claimed: a false alarm costs more than a slip that is not seen. R reads R code itself
# (`context.r.unknown_columns`).

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from rsql_magic.answers.columns_given import (
    POLARS,
    KnownFrames,
    groups,
    holder,
    is_column,
    method,
    other_of,
    pairs,
    root,
    texts,
    word,
)
from rsql_magic.answers.files_read import read_unseen
from rsql_magic.answers.restricted_r import may_tell_in_r
from rsql_magic.sql import Unreadable, own_trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rsql_magic.answers.columns_given import Columns, Derived
    from rsql_magic.gateway import Block

_PLAIN = frozenset("pandas polars numpy matplotlib seaborn plotly scipy statsmodels sklearn duckdb IPython".split())
# Methods that take columns, by the names of those parameters; "0" is the first positional one, "*" all of them.
_TAKES: dict[str, tuple[str, ...]] = {
    "groupby": ("0", "by"),
    "group_by": ("*", "by"),
    "group_by_dynamic": ("0", "index_column"),
    "rolling": ("on", "index_column"),
    "resample": ("on",),
    "sort_values": ("0", "by"),
    "sort": ("*", "by"),
    "set_index": ("0", "keys"),
    "drop": ("columns",),
    "drop_duplicates": ("0", "subset"),
    "dropna": ("subset",),
    "drop_nulls": ("0", "subset"),
    "unique": ("0", "subset"),
    "nlargest": ("1", "columns"),
    "nsmallest": ("1", "columns"),
    "top_k": ("by",),
    "bottom_k": ("by",),
    "explode": ("0", "column", "columns"),
    "pivot": ("on", "index", "columns", "values"),
    "pivot_table": ("values", "index", "columns"),
    "melt": ("id_vars", "value_vars"),
    "unpivot": ("0", "on", "index"),
    "select": ("*",),
    "plot": ("x", "y"),
    "partition_by": ("*",),
    "get_column": ("0",),
    "merge": ("on", "left_on"),
    "join": ("on", "left_on"),
    "value_counts": ("0", "subset"),
    "describe": (),
}
_PLOTS = frozenset("bar barh line scatter area hist box kde pie hexbin density".split())
_CHARTS = frozenset("sns seaborn px plt express".split())
_AESTHETICS = ("x", "y", "hue", "color", "col", "row", "size", "style", "facet_col", "facet_row", "symbol", "names")
_IN_FORMULA = re.compile(r"(?<![\w.])([A-Za-z_]\w*)(?![\w.]*\(|\.)")
_FILTERS = frozenset("items like regex axis".split())


def parse_python(code: str) -> str:
    """The message of Python's parser, empty for code that parses; magics and ``!commands`` are IPython's and pass."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        ast.parse(TransformerManager().transform_cell(code))  # type: ignore[no-untyped-call]
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        return f"{getattr(error, 'msg', None) or error}{f' (line {line})' if line else ''}"
    return ""


def parse_sql(code: str, dialect: str) -> str:
    """Why it cannot be read; several statements are fine here, as nothing of them is run."""
    try:
        own_trees(code, dialect)
    except Unreadable as error:
        return error.reason
    return ""


def check_blocks(blocks: Sequence[Block], parsers: Mapping[str, Callable[[str], str]]) -> list[str]:
    r"""What is wrong with the code of an answer, one sentence for each block that does not parse."""
    return [
        f"The {block.language} block {number} does not parse: {wrong.rstrip('.')}."
        for number, block in enumerate(blocks, 1)
        if (parser := parsers.get(block.language)) and (wrong := parser(block.code))
    ]


_R_SIGNS = re.compile(r"\$\w|<-|%>%|\|>|\w\(|\]")
_R_TEXTS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|#.*")
# Two words beside each other, which R has behind its keywords only.
_R_WORDS = r"(?:else|in|repeat|function|if|for|while)\b"
_PROSE = re.compile(rf"[.:!?,]\s*$|(?<![\w.])(?!{_R_WORDS})[A-Za-z][\w.]*[ \t]+(?!{_R_WORDS})[A-Za-z]", re.M)


def bare_code(text: str) -> str:
    """The language of an answer that is code without a block around it: ``python``, ``r``, or empty for words.

    Example:
        >>> bare_code("sales.amount.sum()"), bare_code("sum(sales$amount)"), bare_code("Forty rows.")
        ('python', 'r', '')
    """
    if "`" in text or not text.strip():
        return ""
    try:
        body = ast.parse(text.strip().replace("<-", "<- ?")).body  # R's arrow, which Python takes for a minus
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        bare = _R_TEXTS.sub('""', text)
        return "r" if bare.isascii() and _R_SIGNS.search(bare) and not _PROSE.search(bare) else ""
    parts = {type(part) for node in body for part in ast.walk(node)}
    return "python" if parts & {ast.Call, ast.Subscript, ast.Attribute, ast.Assign, ast.Compare} else ""


def check_code(blocks: Sequence[Block], dialect: str, question: str | None) -> list[str]:
    """What is wrong with code as it stands: it does not parse, or reads a file that does not exist (`read_unseen`)."""
    parsers = {"python": parse_python, "sql": lambda code: parse_sql(code, dialect)}
    reading = any("read" in block.code for block in blocks)
    return check_blocks(blocks, parsers) or (read_unseen(blocks, question) if reading else [])


@dataclass(frozen=True, slots=True)
class Unknown:
    """A column or method that is not there, or a column that is no attribute, as ``sales.region`` in polars."""

    frame: str
    column: str
    columns: Sequence[str] = field(repr=False)  # what the frame has
    is_attribute: bool = False
    is_method: bool = False

    def __str__(self) -> str:
        if self.is_attribute:
            return f"{self.frame} has no attribute {self.column!r}. Did you mean {self.frame}[{self.column!r}]?"
        close = get_close_matches(self.column, self.columns, 1)
        what = "method" if self.is_method else "column"
        known = f" It has: {', '.join(map(repr, self.columns[:8]))}." if self.columns and not self.is_method else ""
        return f"{self.frame} has no {what} {self.column!r}.{f' Did you mean {close[0]!r}?' if close else known}"


def unknown_in_python(
    codes: Iterable[str],
    frames: Mapping[str, Sequence[str]],
    attributes: frozenset[str] = frozenset(),
    suppressed: frozenset[str] = frozenset(),
    polars: frozenset[str] = frozenset(),
) -> list[list[Unknown]]:
    """Columns that Python code asks of frames which do not have them, for each piece of code once each."""
    # `attributes` is what frames, their groups and columns answer to beside columns; without it columns asked for as
    # attributes (`sales.regoin`) are not looked at. `suppressed` columns are not listed, as their names are values.
    # Code that does not parse asks for nothing.
    known = KnownFrames({name: frozenset(columns) for name, columns in frames.items()}, set(polars))
    reader = _Code(known, attributes, suppressed)
    return [reader.read(code) for code in codes]


def respelled(text: str, unknown: Iterable[Unknown]) -> tuple[str, list[str]]:
    """An answer with names as polars writes them, and what was changed: ``t["a"]`` for ``t.a``, ``group_by``.

    Example:
        >>> respelled("t.groupby('a')", [Unknown("t", "groupby", ["group_by"], is_method=True)])
        ("t.group_by('a')", ['groupby → group_by'])
    """
    changed = []
    for each in unknown:
        close = get_close_matches(each.column, each.columns, 1, 0.8) if each.is_method else []
        old, new = f"{each.frame}.{each.column}", f'{each.frame}["{each.column}"]'
        if each.is_attribute:
            text = re.sub(rf"(?<![\w.]){re.escape(old)}(?![\w(])", new, text)
            changed.append(f"{old} → {new}")
        elif close:
            text = re.sub(rf"\.{re.escape(each.column)}\(", f".{close[0]}(", text)
            changed.append(f"{each.column} → {close[0]}")
    return text, changed


@dataclass
class _Code:
    known: KnownFrames
    attributes: frozenset[str]
    suppressed: frozenset[str]
    extended: bool = False  # whether an import may have taught frames new attributes
    found: dict[tuple[str, str], Unknown] = field(default_factory=dict)

    def read(self, code: str) -> list[Unknown]:
        from IPython.core.inputtransformer2 import TransformerManager

        try:
            tree = ast.parse(TransformerManager().transform_cell(code))  # type: ignore[no-untyped-call]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
        for name in _bound_elsewhere(tree):
            self.known.held.pop(name, None)
        self.extended = self.extended or _may_extend(tree)
        self.found = {}
        for statement in tree.body:
            self.statement(statement)
        return list(self.found.values())

    # Look at what a statement reads, then at what it writes; blocks one statement after the other.
    def statement(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            made = self.known.columns(node.value) if node.value else None
            self.uses(node.value)
            for target in targets:
                self.assign(target, made, polars=self.known.is_polars(node.value))
            return
        for _, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                    self.statement(child)
                elif isinstance(child, ast.AST):
                    self.uses(child)
        if isinstance(node, ast.Expr):
            self.changed(node.value)
        if isinstance(node, ast.Delete):
            for target in node.targets:
                self.known.forget(root(target))

    def assign(self, target: ast.expr, made: Columns, *, polars: bool = False) -> None:
        if isinstance(target, ast.Name):
            self.known.held[target.id] = made
            (self.known.polars.add if polars else self.known.polars.discard)(target.id)
        elif isinstance(target, ast.Subscript):  # `df["new"] = …` and `df.loc[:, "new"] = …` make columns
            index = target.slice.elts[-1] if isinstance(target.slice, ast.Tuple) else target.slice
            name, new = root(target), texts(index)
            if (known := self.known.held.get(name)) is not None:
                self.known.held[name] = known | set(new) if new is not None else None
        elif isinstance(target, ast.Attribute):  # df.columns = …
            self.known.forget(root(target))
        else:
            for part in getattr(target, "elts", ()):
                self.assign(part, None)

    # `df.insert(0, "new", …)`, `df.rename(…, inplace=True)`, `df.pop("x")` change the frame itself.
    def changed(self, node: ast.expr) -> None:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            return
        inplace = any(word.arg == "inplace" for word in node.keywords)
        if inplace or node.func.attr in {"insert", "pop", "insert_column", "eval", "update", "replace_column"}:
            self.known.forget(root(node.func))

    def uses(self, node: ast.AST | None) -> None:
        parts = list(ast.walk(node)) if node else []
        called = {id(part.func) for part in parts if isinstance(part, ast.Call)}
        for part in parts:
            if isinstance(part, ast.Attribute) and id(part) not in called:
                self.attribute(part)
            elif isinstance(part, ast.Subscript):
                self.subscript(part)
            elif isinstance(part, ast.Call):
                self.call(part)

    # `df.regoin`; where an import may have taught frames new attributes only what is close to a column.
    def attribute(self, node: ast.Attribute) -> None:
        columns, grouped, in_polars = self.known.look(node.value)
        known = grouped if grouped is not None else columns
        if not self.attributes or known is None or node.attr in self.attributes or node.attr.startswith("_"):
            return
        if in_polars and node.attr in known:
            frame = root(node.value)
            self.found.setdefault((frame, node.attr), Unknown(frame, node.attr, (), is_attribute=True))
        if not self.extended or get_close_matches(node.attr, known, 1, 0.75):
            self.want(node.value, known, [node.attr])

    def subscript(self, node: ast.Subscript) -> None:
        frame = node.value
        index: ast.expr = node.slice
        if isinstance(frame, ast.Attribute) and frame.attr in {"loc", "at"}:
            if not isinstance(index, ast.Tuple):
                return
            frame, index = frame.value, index.elts[-1]
        elif isinstance(frame, ast.Subscript) and isinstance(frame.value, ast.Attribute) and frame.value.attr == "iloc":
            if not isinstance(frame.slice, ast.Constant):
                return
            frame = frame.value.value  # df.iloc[0]["a"] is a row's cell
        grouped = self.known.grouped(frame)
        known = grouped if grouped is not None else self.known.columns(frame)
        if known is not None and isinstance(node.ctx, ast.Load) and not isinstance(index, ast.Tuple):
            self.want(frame, known, texts(index) or [])

    def call(self, node: ast.Call) -> None:
        is_chart = root(node.func) in _CHARTS
        data = word(node, "data", "data_frame") or (node.args[0] if is_chart and node.args else None)
        if isinstance(node.func, ast.Attribute):
            self.method(node, node.func, self.known.look(node.func.value))
        if data is not None:
            self.of_data(node, data, is_chart=is_chart)

    def method(self, node: ast.Call, func: ast.Attribute, about: Derived) -> None:
        frame, name, (known, grouped, in_polars) = func.value, func.attr, about
        # pandas' frames learn methods from other packages.
        is_strange = in_polars and known is not None and not self.extended and name not in self.attributes
        if is_strange and get_close_matches(name, self.attributes, 1, 0.8):
            missing = Unknown(root(frame), name, sorted(self.attributes), is_method=True)
            self.found.setdefault((missing.frame, f"{name}()"), missing)
        if known is not None:
            self.want(frame, known, _asked_of_frame(node, name, known, in_polars=in_polars))
        elif grouped is not None and name in {"agg", "aggregate"}:
            self.want(frame, grouped, _asked_of_groups(node))
        elif name in _PLOTS and isinstance(frame, ast.Attribute) and frame.attr == "plot":
            of = self.known.columns(frame.value)
            if of is not None:
                self.want(frame.value, of, _at(node, ("x", "y")))
        if name in {"merge", "join"}:
            self.join(node, name)
        of = known if known is not None else grouped
        if of is not None and name in {"assign", "pipe", "apply"}:
            self.function(node, name, of)

    # What a join asks of both sides; `df.join` of pandas looks into the index on the right.
    def join(self, node: ast.Call, name: str) -> None:
        is_pandas_merge = name == "merge" and root(node.func) in {"pd", "pandas"}
        if (other := other_of(node, 1 if is_pandas_merge else 0)) is None:
            return
        known = self.known.columns(other)
        if known is not None and (name == "merge" or self.known.is_polars(other)):
            self.want(other, known, texts(word(node, "right_on")) or texts(word(node, "on")) or [])
        left = node.args[0] if is_pandas_merge and node.args else None
        of_left = self.known.columns(left)
        if left is not None and of_left is not None:
            self.want(left, of_left, texts(word(node, "left_on", "on")) or [])

    # `df.assign(b=lambda d: d["a"])`, `df.pipe(lambda d: …)`, `df.apply(lambda row: …, axis=1)`.
    def function(self, node: ast.Call, name: str, known: frozenset[str]) -> None:
        axis = word(node, "axis")
        by_row = isinstance(axis, ast.Constant) and axis.value in {1, "columns"}
        if name == "apply" and not (by_row or groups(holder(node))):
            return
        for value, made in [*((arg, None) for arg in node.args), *((each.value, each.arg) for each in node.keywords)]:
            if isinstance(value, ast.Lambda) and len(value.args.args) == 1 and isinstance(node.func, ast.Attribute):
                held, name_ = self.known.held, value.args.args[0].arg
                before, held[name_] = held.get(name_), known
                self.uses(value.body)
                held[name_] = before
            known = known | {made} if made and name == "assign" else known

    # `sns.barplot(data=df, x="a")`, `px.bar(df, x="a")`, `smf.ols("y ~ x", data=df)`.
    def of_data(self, node: ast.Call, data: ast.expr, *, is_chart: bool) -> None:
        if (known := self.known.columns(data)) is None:
            return
        if is_chart:
            self.want(data, known, _at(node, _AESTHETICS))
        self.want(data, known, _in_formula(node))

    def want(self, frame: ast.expr, known: frozenset[str], names: Iterable[str]) -> None:
        for name in names:
            if name not in known:
                missing = Unknown(root(frame) or "the frame", name, tuple(sorted(known - self.suppressed)))
                self.found.setdefault((missing.frame, name), missing)


# Whether code imports what may register accessors: `import hvplot.pandas` makes `df.hvplot`.
def _may_extend(tree: ast.AST) -> bool:
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    return not imported <= _PLAIN | sys.stdlib_module_names


# Names that something else than an assignment binds: what they hold is not followed.
def _bound_elsewhere(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.comprehension | ast.For):
            yield from (part.id for part in ast.walk(node.target) if isinstance(part, ast.Name))
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]
        elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
            yield node.optional_vars.id
        elif isinstance(node, ast.NamedExpr):
            yield node.target.id
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names


def _asked_of_frame(call: ast.Call, name: str, known: frozenset[str], *, in_polars: bool) -> Iterator[str]:
    yield from _at(call, _TAKES.get(name, ()))
    yield from _in_expressions([*call.args, *(each.value for each in call.keywords)])
    if name == "query" and call.args:
        yield from _in_query(call.args[0], known)
    if name == "filter" and in_polars:
        yield from (each.arg for each in call.keywords if each.arg and each.arg not in _FILTERS)
    if name in {"drop", "rename"}:
        yield from _dropped(call, name, in_polars=in_polars)
    if name == "astype" and call.args and isinstance(call.args[0], ast.Dict):
        yield from (text for key in call.args[0].keys for text in texts(key) or ())
    groupers = [part for part in call.args if isinstance(part, ast.Call) and method(part) == "Grouper"]
    yield from (text for part in groupers for text in texts(word(part, "key")) or ())


# `agg({"a": "mean"})`, `agg(total=("a", "sum"))` and `agg(pl.col("a").sum())`.
def _asked_of_groups(call: ast.Call) -> Iterator[str]:
    keys = [key for arg in call.args if isinstance(arg, ast.Dict) for key in arg.keys if key]
    values = [each.value for each in call.keywords]
    named = [value.elts[0] for value in values if isinstance(value, ast.Tuple) and len(value.elts) == 2]
    yield from (text for value in [*keys, *named] for text in texts(value) or ())
    yield from _in_expressions([*call.args, *values])


# `smf.ols("y ~ x", data=df)`.
def _in_formula(call: ast.Call) -> list[str]:
    formula = word(call, "formula") or (call.args[0] if call.args else None)
    text = texts(formula) if isinstance(formula, ast.Constant) else None
    if not text or "~" not in text[0]:
        return []
    bare = re.sub(r"Q\((['\"]).*?\1\)|(['\"]).*?\2", "", text[0])
    return [name for name in _IN_FORMULA.findall(bare) if name not in {"C", "I", "np"}]


# `pl.col("a")`, `pl.sum("a")`, `pl.col.a` and `….over("a")`; not inside a call on another frame.
def _in_expressions(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Lambda) or (isinstance(node, ast.Call) and root(node.func) not in {*POLARS, "col", ""}):
            continue
        if isinstance(node, ast.Call) and is_column(node.func):
            yield from (text for arg in node.args for text in texts(arg) or () if text[:1] not in {"^", "*"})
        elif isinstance(node, ast.Call) and method(node) in {"over", "sort_by"} and root(node) in {*POLARS, "col"}:
            yield from (text for arg in node.args for text in texts(arg) or ())
        elif isinstance(node, ast.Attribute) and is_column(node.value) and ast.unparse(node.value).endswith("col"):
            yield node.attr
        yield from _in_expressions(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))


def _at(call: ast.Call, where: tuple[str, ...]) -> list[str]:
    given = [each.value for each in call.keywords if each.arg in where]
    given += [arg for place, arg in enumerate(call.args) if "*" in where or str(place) in where]
    # A pattern of polars (^…$) and a star are no names.
    return [text for value in given for text in texts(value) or () if not text.startswith("^") and text != "*"]


# What is dropped or renamed by place: columns in polars and where an axis says so; else perhaps rows.
def _dropped(call: ast.Call, name: str, *, in_polars: bool) -> list[str]:
    axis = word(call, "axis")
    first = call.args[0] if call.args else None
    found = list(pairs(first) or ()) if name == "rename" else (texts(first) or [])
    return found if in_polars or (isinstance(axis, ast.Constant) and axis.value in {1, "columns"}) else []


# Names in the text of `df.query`; only slips are reported, because an index has a name too.
def _in_query(node: ast.expr, known: frozenset[str]) -> list[str]:
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return []
    try:
        tree = ast.parse(re.sub(r"@\w+|`[^`]*`", "0", node.value), mode="eval")
    except SyntaxError:
        return []
    called = {part.func.id for part in ast.walk(tree) if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)}
    names = [part.id for part in ast.walk(tree) if isinstance(part, ast.Name) and part.id not in called]
    return [name for name in names if name not in known and get_close_matches(name, known, 1, 0.75)]


def check_in_r(
    blocks: Sequence[Block],
    suppressed: frozenset[str] = frozenset(),
    restricts: Callable[[str], bool] = lambda _: False,
) -> list[str]:
    """What is wrong with the R code among blocks: it does not parse, asks for what is not there, or may show too much.

    Args:
        blocks: Blocks of an answer.
        suppressed: Columns that are not named, because their names are values.
        restricts: Whether a dictionary says that values of a column are not shown.
    """
    # It is a BadInput where R cannot be asked, as on any but the main thread.
    from rsql_magic.context import r

    places = [place for place, block in enumerate(blocks) if block.language == "r"]
    if wrong := check_blocks(blocks, {"r": lambda code: r.parse_r(code) or ""}):
        return wrong
    codes = [blocks[place].code for place in places]
    tables = {each.name: each.columns for each in r.survey().objects if each.columns and each.is_table}
    found = r.unknown_columns(codes, tables) if tables else []
    columns_wrong = [
        (piece, str(Unknown(table, column, [name for name in columns if name not in suppressed])))
        for piece, table, column, columns in found
    ]
    no_package = "there is no {}, as no package that has it is attached. Write it in base R."
    missing = [*((piece, no_package.format(name)) for piece, name in r.unknown_operators(codes)), *columns_wrong]
    wrong = [f"The r block {places[piece] + 1} is wrong: {each}" for piece, each in missing]
    if told := may_tell_in_r(codes, {name: list(columns) for name, columns in tables.items()}, restricts):
        said = f"This may show {', '.join(told)}, which the dictionary restricts, or cannot be followed."
        wrong.append(f"{said} Take the other columns by name, and use restricted ones in counts only.")
    return wrong

"""Expressions in the question: written-out code, ``df.price.mean()``, and arithmetic of columns, ``price + tax``."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from .r_code import r_name

if TYPE_CHECKING:
    from ..request import Described
    from .notebook import Language, Notebook

_LEAD = re.compile(
    r"^\W*(?:please\s+)?(?:(?:can|could) you\s+)?(?:(?:what(?:'s| is| are)|compute|calculate|evaluate|run|show(?: me)?|"
    r"get|give me|tell me|print)\s+)?(?:the (?:value|result) of\s+)?",
    re.IGNORECASE,
)
_FUNCTIONS = frozenset({"len", "sum", "min", "max", "round", "abs", "sorted", "list", "set"})
_R_CODE = re.compile(r"[\w.]+(?:\(.*\))?|[\w.$()\[\],+\-*/^<>=!&|\"' :]+")
_WORDS = re.compile(r"\w\s+\w")  # two words without a sign between them are no code

_SIGNS = {"plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/", "over": "/"}
_SIGN = rf"\s*(?:[-+*/]|\b(?:{'|'.join(_SIGNS)})\b)\s*"
_NAME = r"`?[^\W\d][\w.$]*`?"
_NEW = (
    rf"(?:\s+(?:as|into|to|in)(?: a| the)?(?: new)?(?: column)?(?: called| named)?\s+(?P<new>{_NAME})(?: (?:of|in|to) "
    rf"{_NAME})?)?"
)
_TAIL = rf"(?:\s+(?:of|in|from)\s+(?P<frame>{_NAME}))?{_NEW}\W*$"
_SUM = re.compile(rf"^(?P<terms>{_NAME}(?:{_SIGN}{_NAME})+){_TAIL}", re.IGNORECASE)
_VERBS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"^{verb}\s+(?:columns?\s+)?(?P<a>{_NAME})\s+{word}\s+(?P<b>{_NAME}){_TAIL}", re.IGNORECASE), code)
    for verb, word, code in (
        ("add(?: up)?", "(?:and|to)", "{a} + {b}"),
        ("(?:the )?(?:row(?:-?wise)? sums?|sum) of (?:the )?(?:two )?columns", "and", "{a} + {b}"),
        ("(?:the )?row(?:-?wise)? sums? of", "and", "{a} + {b}"),
        ("subtract", "from", "{b} - {a}"),
        ("(?:the )?difference (?:of|between)", "and", "{a} - {b}"),
        ("multiply", "(?:by|and|with)", "{a} * {b}"),
        ("(?:the )?product of", "and", "{a} * {b}"),
        ("divide", "by", "{a} / {b}"),
        ("(?:the )?ratio of", "(?:and|to)", "{a} / {b}"),
    )
)


def expression_code(notebook: Notebook, text: str) -> tuple[Language, str]:
    """Language and code for an expression over frames that the question spells out; an empty text for any other."""
    bare = _LEAD.sub("", text.strip()).strip(" \t\n?.!`")
    if code := _written(notebook, bare):
        return code
    return _arithmetic(notebook, _LEAD.sub("", text.strip()).rstrip(" ?.!"))


def _written(notebook: Notebook, text: str) -> tuple[Language, str] | None:
    if _is_python(notebook, text):
        return "python", text
    return ("r", text) if _is_r(notebook, text) else None


def _is_python(notebook: Notebook, text: str) -> bool:
    """Whether a text is a Python expression that computes something from the frames."""
    frames = {frame.name: frame for frame in notebook.frames if not frame.is_r}
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return False
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if isinstance(tree, ast.Name) or not names & set(frames) or not names <= {*frames, *_FUNCTIONS, "pd", "np", "pl"}:
        return False
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    asked = [
        (frames[node.value.id], node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in frames
        if id(node) not in called
    ]
    return all(frame.hidden or attribute in _ATTRIBUTES | _columns(frame) for frame, attribute in asked)


_ATTRIBUTES = frozenset({"shape", "size", "columns", "index", "dtypes", "T", "loc", "iloc", "at", "iat", "values"})


def _columns(frame: Described) -> set[str]:
    return {column.name for column in frame.columns}


def _is_r(notebook: Notebook, text: str) -> bool:
    """Whether a text is an R expression with a column of a frame in it: ``mean(df$price)``."""
    if _WORDS.search(text) or not _R_CODE.fullmatch(text):
        return False
    asked = re.findall(r"([\w.]+)\$(\w[\w.]*)", text)
    known = {frame.name: _columns(frame) for frame in notebook.frames if frame.is_r}
    return bool(asked) and all(column in known.get(name, ()) for name, column in asked)


def _arithmetic(notebook: Notebook, text: str) -> tuple[Language, str]:
    """``price + tax``, ``divide price by qty``, with the name of a new column or without."""
    if found := _SUM.match(text):
        terms = re.split(rf"({_SIGN})", found["terms"], flags=re.IGNORECASE)
        pieces = [_SIGNS.get(piece.strip().lower(), piece.strip()) for piece in terms if piece.strip()]
    else:
        found, code = next(((match, code) for verb, code in _VERBS if (match := verb.match(text))), (None, ""))
        pieces = code.format(a=found["a"], b=found["b"]).split() if found else []
    frame = notebook.subject
    if not found or frame is None:
        return "python", ""
    columns = [_column(frame, piece) if place % 2 == 0 else piece for place, piece in enumerate(pieces)]
    language = notebook.language_for(frame)
    if not all(columns) or language == "sql" or _strange(frame, found["frame"]):
        return "python", ""
    return language, _assigned(frame, language, " ".join(columns), (found["new"] or "").strip("`"))


def _strange(frame: Described, name: str | None) -> bool:
    return name is not None and name.strip("`") != frame.name


def _column(frame: Described, word: str) -> str:
    """A column as code, by its name alone or with its frame's; empty when the frame has no such column."""
    name = word.strip("`")
    for sign in (".", "$"):
        name = name.removeprefix(frame.name + sign)
    known = next((column.name for column in frame.columns if column.name.lower() == name.lower()), "")
    if not known:
        return ""
    return f"{r_name(frame.name)}${r_name(known)}" if frame.is_r else f"{frame.name}[{known!r}]"


def _assigned(frame: Described, language: Language, code: str, new: str) -> str:
    if not new or new == frame.name:
        return code
    if language == "r":
        return f"{r_name(frame.name)}${r_name(new)} <- {code}"
    if frame.is_polars:
        return f"{frame.name} = {frame.name}.with_columns({new}={code})"
    return f"{frame.name}[{new!r}] = {code}"

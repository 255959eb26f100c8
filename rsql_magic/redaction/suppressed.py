"""Code and messages without the data in them."""

# Code holds data: `pd.DataFrame({"diagnosis": ["flu", …]})`, `!grep Grete visits.csv`, a file below `%%writefile`. So
# do messages: `KeyError: 'Grete Hermann'`. Below the level `sample` a text in quotes is shown only when it is a name of
# the session (a column, a variable, a table) or a word of the usual vocabulary (`"mean"`); comments, shell commands,
# cells in unknown languages, long numbers and lists of numbers are not shown.

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

# Read from left to right, so that an apostrophe in a comment opens nothing and a # in a text comments nothing out.
_LITERALS = re.compile(
    r"""(?P<comment>\#[^\n]*)"""
    r"""|(?P<open>'{3}|"{3}|['"`])(?P<text>(?:\\.|(?!(?P=open)).)*)(?P<close>(?P=open)|\Z)""",
    re.DOTALL,
)
_SQL_COMMENT = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_VOCABULARY = frozenset(
    """
    mean sum min max median std var count first last size nunique any all left right inner outer cross index columns
    ignore coerce raise drop ascending descending bar barh line hist scatter box kde area pie point D W M ME Q QE Y YE
    h H s ms us ns utf-8 utf8 latin1 r w a rb wb int int64 float float64 str string bool object category datetime64
    records list dict pearson spearman kendall linear nearest pad ffill bfill None x y
    """.split()
)
# What messages quote that is no data: types, in Python, polars, R and SQL.
_TYPES = frozenset(
    """
    int int8 int16 int32 int64 uint8 uint16 uint32 uint64 float float32 float64 str string bool bytes object dict list
    tuple set frozenset NoneType complex type function method module generator datetime date time timedelta Timestamp
    Timedelta datetime64 datetime64[ns] datetime64[us] timedelta64[ns] category boolean ndarray DataFrame Series Index
    LazyFrame Expr i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 null INTEGER BIGINT SMALLINT DOUBLE VARCHAR TEXT DATE TIMESTAMP
    BOOLEAN DECIMAL NUMERIC integer numeric character logical factor data.frame tibble matrix closure NULL double by on
    left_on right_on how axis DataFrame.iloc
    """.split()
)
# Magics whose cell is code in which data stands in quotes; anything else below %% may be a file or a text.
_CODE_CELLS = frozenset("R time timeit capture prun python python3 py sql ask sql_ai bigquery cython px ai".split())
_CODE_LINES = frozenset("R time timeit sql load_ext reload_ext matplotlib autoreload pylab config rsql pip".split())
_CELL = re.compile(r"%%(\w+)([^\n]*)")
_SHELL = re.compile(r"(?m)^([ \t]*)(?:([A-Za-z_]\w*[ \t]*=[ \t]*)?!{1,2}[ \t]*([\w./-]*)[^\n]*)$")
_LINE = re.compile(r"(?m)^([ \t]*(?:[A-Za-z_]\w*[ \t]*=[ \t]*)?)%(\w+)(?!%)\b([^\n]*)$")
_LONG_NUMBER = re.compile(r"(?<![\w.])[0-9](?:_?[0-9]){7,}(?!\w)")
_NUMBERS = re.compile(r"(?:(?<![\w.])-?[0-9][\w.+]*\s*,\s*){5,}-?[0-9][\w.+]*")
_QUOTED = re.compile(
    r"""(?<!\w)(?:(?P<mark>['"`])(?P<text>(?:\\.|(?!(?P=mark)(?!\w)).)*)(?:(?P=mark)|\Z)"""
    r"""|‘(?P<single>[^’]*)(?:’|\Z)|“(?P<double>[^”]*)(?:”|\Z))""",
    re.DOTALL,
)
# Words before and after a quoted name of code: "name 'x' is not defined", "'Model' object has no attribute 'fit'".
_BEFORE = re.compile(
    r"(?i)(?:\bname|attribute|module(?: named)?|argument|object|function|package(?: called)?|library|variable|column"
    r"|field|table|view|relation|schema|method|parameter|keyword|operator|dtype|class|formula|aesthetic)s?\s*:?\s*$"
)
_AFTER = re.compile(
    r"\s*(?:object\b|is not defined|is not callable|has no attribute|must be|should be|missing|argument"
    r"|is not an exported|is an invalid keyword|takes)"
)
_CODE_NAME = re.compile(r"[A-Za-z_.][\w.:]*(?:\(\))?")
# Messages that say a value without quotes, or a row of them.
_BARE = re.compile(
    r"(?P<before>unable to parse: |new category \(|[Ff]ailing row contains \(|\[parameters: |Key \([^)\n]*\)=\("
    r"|^\[(?:left|right|index)\]: {0,4}|[Oo]ut of bounds \w+ timestamp: |for key '?)(?P<value>[^\n]*?)"
    r"(?P<after>, at position|\), set the|\) already|\)?\]?\.?$|\Z)",
    re.MULTILINE,
)
_WORD = re.compile(r"\w+")


def without_data(source: str, known: AbstractSet[str]) -> str:
    """Code (Python, R or SQL, with or without magics) without what may be data; ``known`` texts are names, and stay.

    Example:
        >>> without_data('df[df["name"] == "Ann"].agg("mean")  # not Bob', {"name"})
        'df[df["name"] == "…"].agg("mean")  # …'
    """
    cell = _CELL.match(source)
    language = cell[1] if cell else ""
    if cell and language not in _CODE_CELLS:
        return f"%%{language} …"
    if language != "R":  # there ! negates
        source = _SHELL.sub(lambda match: f"{match[1]}{match[2] or ''}!{match[3]} …", source)
        source = _LINE.sub(_magic, source)
    return _numbers_out(_quotes_out(source, known, sql=language in {"sql", "bigquery"}))


def _magic(match: re.Match[str]) -> str:
    return match[0] if match[2] in _CODE_LINES or not match[3].strip() else f"{match[1]}%{match[2]} …"


def _quotes_out(source: str, known: AbstractSet[str], *, sql: bool) -> str:
    def shown(match: re.Match[str]) -> str:
        text = match["text"]
        if match["comment"]:
            return "# …"
        if not text or text in known or text in _VOCABULARY:
            return match[0]
        if match["open"] == "`" and re.fullmatch(r"[\w.]+", text):
            return match[0]
        return f"{match['open']}…{match['close']}"

    replaced = _LITERALS.sub(shown, source)
    return _SQL_COMMENT.sub("-- …", replaced) if sql else replaced


def _numbers_out(text: str) -> str:
    return _LONG_NUMBER.sub("…", _NUMBERS.sub("…", text))


# What messages say


def message_without_data(message: str, known: AbstractSet[str]) -> str:
    """What went wrong, without the values that the message of Python, R or a database quotes.

    A quoted text stays when it is a name of the session (``known``) or close to one (a slip), a type, or a name of code
    where the message says so (``name 'x' is not defined``).

    Example:
        >>> [message_without_data(f"KeyError: '{key}'", {"region"}) for key in ("regoin", "Grete")]
        ["KeyError: 'regoin'", "KeyError: '…'"]
    """
    bare = _BARE.sub(lambda match: f"{match['before']}…{match['after']}", message)

    def shown(match: re.Match[str]) -> str:
        text = next((text for text in (match["text"], match["single"], match["double"]) if text is not None), "")
        if not text or text in _TYPES or _is_name(text, known) or _is_of_code(text, _around(bare, match)):
            return match[0]
        return match[0].replace(text, "…")

    return _numbers_out(_QUOTED.sub(shown, bare))


def words_in(code: str) -> frozenset[str]:
    """The words of code, those in its texts too."""
    return frozenset(_WORD.findall(code))


def words_of_code(message: str, words: AbstractSet[str]) -> str:
    """A message that code put together, without the words that the code's line does not have: they are values.

    Example:
        >>> words_of_code("no patient Grete Hermann", words_in('raise ValueError(f"no patient {name}")'))
        'no patient …'
    """
    shown = _WORD.sub(lambda match: match[0] if match[0] in words else "…", message)
    return re.sub(r"…(?:[\W_]*…)+", "…", shown)


def _around(message: str, match: re.Match[str]) -> tuple[str, str]:
    """What stands before and after a quoted text."""
    return message[max(match.start() - 30, 0) : match.start()], message[match.end() : match.end() + 30]


def _is_name(text: str, known: AbstractSet[str]) -> bool:
    """Whether a text is a name of the session, or a slip in writing one."""
    if text in known or text in _VOCABULARY:
        return True
    return len(text) <= 60 and " " not in text and bool(get_close_matches(text, known, 1, 0.7))


def _is_of_code(text: str, around: tuple[str, str]) -> bool:
    before, after = around
    return bool(_CODE_NAME.fullmatch(text)) and bool(_BEFORE.search(before) or _AFTER.match(after))

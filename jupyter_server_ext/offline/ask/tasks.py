"""Code for common wishes that are no query: missing values, correlation, models, reshaping, types, files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from .columns import columns_in
from .r_code import r_name
from .r_code import string as r_string

if TYPE_CHECKING:
    from ..request import Described, FrameColumn
    from .notebook import Language, Notebook


@dataclass(frozen=True)
class Wish:
    """What a task needs to know.

    Args:
        notebook: The notebook.
        frame: The frame it is about.
        columns: Columns the question names, in order.
        text: The question.
        in_r: Whether the code is R's.
        match: How the question matched.
    """

    notebook: Notebook
    frame: Described
    columns: tuple[FrameColumn, ...]
    text: str
    in_r: bool
    match: re.Match[str]

    @property
    def df(self) -> str:
        """The frame's name as code."""
        return self.name(self.frame.name) if self.in_r else self.frame.name

    @property
    def numbers(self) -> list[FrameColumn]:
        """Named columns that hold numbers."""
        return [column for column in self.columns if column.is_number]

    def name(self, text: str) -> str:
        """A column as code: ``"name"`` in Python, ``name`` in R."""
        return r_name(text) if self.in_r else repr(text)

    def quoted(self, text: str) -> str:
        """A text as code."""
        return r_string(text) if self.in_r else repr(text)

    @cached_property
    def fields(self) -> dict[str, str]:
        """What templates may hold; a column only where the question names it."""
        names = [column.name for column in self.columns]
        number, path = re.search(r"\b\d+\b", self.text), re.search(r"[\w./-]+\.csv\b", self.text)
        found = {
            "df": self.df,
            "n": "5",
            "number": number[0] if number else "10",
            "file": self.quoted(path[0] if path else f"{self.frame.name}.csv"),
        }
        found |= zip(("a", "b"), map(self.name, names), strict=False)
        found |= zip(("x", "y"), (self.name(column.name) for column in self.numbers), strict=False)
        if names:
            found["old"] = self.quoted(names[0])
            found["names"] = f"c({', '.join(map(r_string, names))})" if self.in_r else repr(names)
            found["present"] = " & ".join(f"!is.na({r_name(name)})" for name in names)
        if len(names) == 1:
            found["only"] = self.name(names[0])
        return found | {name: value for name, value in self.match.groupdict().items() if value}


class Code(NamedTuple):
    """Templates of one wish. One that is empty has no plain counterpart; polars' are pandas' where None."""

    r: str
    pandas: str
    polars: str | None = None


Writer = Callable[[Wish], str]
_TASKS: list[tuple[re.Pattern[str], Writer]] = []


def _task(*patterns: str) -> Callable[[Writer], Writer]:
    def register(function: Writer) -> Writer:
        _TASKS.extend((re.compile(pattern, re.IGNORECASE), function) for pattern in patterns)
        return function

    return register


def _wish(pattern: str, *codes: Code) -> None:
    """A wish and its code; of several the first that names no column beyond those of the question."""

    @_task(pattern)
    def written(wish: Wish) -> str:
        for code in codes:
            python = code.polars if wish.frame.is_polars and code.polars is not None else code.pandas
            try:
                return (code.r if wish.in_r else python).format_map(wish.fields)
            except KeyError:
                continue
        return ""


def task_code(notebook: Notebook, text: str) -> tuple[Language, str]:
    """Language and code for a wish; an empty text when it is none of these."""
    frame = notebook.subject
    language = notebook.language_for(frame)
    for pattern, write in _TASKS if frame is not None and language != "sql" else ():
        match = pattern.search(text)
        if match is None or frame is None:
            continue
        rest = text[: match.start()] + " " + text[match.start() :]
        if code := write(Wish(notebook, frame, tuple(columns_in(notebook, frame, rest)), text, language == "r", match)):
            return language, code
    return "python", ""


_GAPS = r"\b(?:missing|na|nas|nan|nans|null|nulls)\b"
_PL = "import polars as pl\n\n"
_PD = "import pandas as pd\n\n"

_wish(  # "drop rows with missing values"
    r"\b(?:drop|remove|delete|omit|exclude|without|filter out)\b.*"
    r"\b(?:missing|na|nas|nan|nans|null|nulls|incomplete)\b",
    Code(
        "{df}_complete <- subset({df}, {present})",
        "{df}_complete = {df}.dropna(subset={names})",
        "{df}_complete = {df}.drop_nulls({names})",
    ),
    Code("{df}_complete <- na.omit({df})", "{df}_complete = {df}.dropna()", "{df}_complete = {df}.drop_nulls()"),
)
_wish(  # "fill missing temp with the mean"
    rf"\b(?:fill|replace|impute)\b.*{_GAPS}.*\bwith (?:the )?(?P<how>mean|median)\b",
    Code(
        "{df}${a}[is.na({df}${a})] <- {how}({df}${a}, na.rm = TRUE)",
        "{df}[{a}] = {df}[{a}].fillna({df}[{a}].{how}())",
        _PL + "{df} = {df}.with_columns(pl.col({a}).fill_null(pl.col({a}).{how}()))",
    ),
)
_wish(
    rf"\b(?:fill|replace|impute)\b.*{_GAPS}",
    Code(
        "{df}${a}[is.na({df}${a})] <- 0",
        "{df}[{a}] = {df}[{a}].fillna(0)",
        _PL + "{df} = {df}.with_columns(pl.col({a}).fill_null(0))",
    ),
)
_wish(  # "how do I count missing values"
    _GAPS,
    Code("sum(is.na({df}${a}))", "{df}[{a}].isna().sum()", "{df}.null_count()"),
    Code("colSums(is.na({df}))", "{df}.isna().sum()", "{df}.null_count()"),
)
_wish(  # "remove duplicate rows"
    r"\A(?=(?s:.*)\b(?:drop|remove|delete|without|unique)\b)(?s:.*?)\bduplicate[sd]?\b",
    Code("{df}[!duplicated({df}[{names}]), ]", "{df}.drop_duplicates(subset={names})", "{df}.unique()"),
    Code("{df}[!duplicated({df}), ]", "{df}.drop_duplicates()", "{df}.unique()"),
)
_wish(  # "are there duplicates"
    r"\bduplicate[sd]?\b",
    Code("sum(duplicated({df}[{names}]))", "{df}.duplicated(subset={names}).sum()", "{df}.is_duplicated().sum()"),
    Code("sum(duplicated({df}))", "{df}.duplicated().sum()", "{df}.is_duplicated().sum()"),
)
_wish(  # "correlation between temp and humid"
    r"\bcorrelat\w*|\bcorr?\b",
    Code(
        'cor({df}${x}, {df}${y}, use = "complete.obs")',
        "{df}[{x}].corr({df}[{y}])",
        _PL + "{df}.select(pl.corr({x}, {y}))",
    ),
    Code(
        'cor({df}[sapply({df}, is.numeric)], use = "pairwise.complete.obs")',
        "{df}.corr(numeric_only=True)",
        "import polars.selectors as cs\n\n{df}.select(cs.numeric()).corr()",
    ),
)


@_task(
    r"\b(?:linear (?:model|regression)|regress(?:ion)?|fit a (?:linear )?model|lm\b|model)\b.*?(?P<y>)(?:of|for|"
    r"predict\w*)?"
)
def linear_model(wish: Wish) -> str:
    """“linear model of mpg on wt and hp”: the first column named is the outcome; of an effect it is the last."""
    said = re.sub(r"\b(?:linear|regression|a|the|lm)? ?(?:model|regression)\b", " ", wish.text, flags=re.IGNORECASE)
    names = [column.name for column in columns_in(wish.notebook, wish.frame, said)]  # "model" names no column here
    if len(names) < 2:
        return ""
    is_effect = re.search(r"\b(?:effect|influence|impact) of\b", wish.text, re.IGNORECASE)
    outcome, *predictors = [names[-1], *names[:-1]] if is_effect else names
    if wish.in_r:
        right = " + ".join(map(r_name, predictors))
        return f"fit <- lm({r_name(outcome)} ~ {right}, data = {wish.df})\nsummary(fit)"
    formula = f"{_patsy(outcome)} ~ {' + '.join(map(_patsy, predictors))}"
    fit = f"fit = smf.ols({formula!r}, data={wish.df}).fit()\nfit.summary()"
    return f"import statsmodels.formula.api as smf\n\n{fit}"


def _patsy(column: str) -> str:
    return column if column.isidentifier() else f"Q({column!r})"


@_task(r"\bt[- ]?test\b|\bdiffer(?:s|ence)?\b.*\bsignifican\w*|\bcompare the means?\b")
def t_test(wish: Wish) -> str:
    """“t-test of mpg by am”."""
    number = next(iter(wish.numbers), None)
    group = next((column for column in wish.columns if column is not number), None)
    if number is None or group is None:
        return ""
    if wish.in_r:
        return f"t.test({r_name(number.name)} ~ {r_name(group.name)}, data = {wish.df})"
    values = group.known.values
    if len(values) < 2 or wish.frame.is_polars:
        return ""
    one, two = (
        f"{wish.df}.loc[{wish.df}[{group.name!r}] == {value!r}, {number.name!r}].dropna()" for value in values[:2]
    )
    return f"from scipy import stats\n\nstats.ttest_ind({one},\n                {two}, equal_var=False)"


_wish(  # "quartiles of temp"
    r"\b(?:quantiles?|quartiles?|percentiles?)\b",
    Code(
        "quantile({df}${x}, na.rm = TRUE)",
        "{df}[{x}].quantile([0.25, 0.5, 0.75])",
        "[{df}[{x}].quantile(q) for q in (0.25, 0.5, 0.75)]",
    ),
)
_wish(  # "summary statistics of temp"
    r"\b(?:summary|descriptive) statistics\b|\bsummar(?:y|ise|ize)\b",
    Code("summary({df}${a})", "{df}[{a}].describe()"),
    Code("summary({df})", "{df}.describe()"),
)
_wish(  # "percentage of each city", of all rows
    r"\b(?:percentages?|percent)\b.*\b(?:each|every|per|by)\b",
    Code("100 * prop.table(table({df}${only}))", "{df}[{only}].value_counts(normalize=True) * 100", ""),
)
_wish(
    r"\b(?:shares?|proportions?)\b.*\b(?:each|every|per|by)\b",
    Code("prop.table(table({df}${only}))", "{df}[{only}].value_counts(normalize=True)", ""),
)
_wish(  # "frequency table of origin"
    r"\b(?:frequenc(?:y|ies)|value counts?|counts? of each|tabulate|frequency table|how often)\b",
    Code("table({df}${a}, {df}${b})", "{df}[{a}].value_counts()"),
    Code("table({df}${a})", "{df}[{a}].value_counts()"),
)
_wish(  # "first 10 rows"
    r"\b(?:first|top|head|show)\b\s*(?:the\s+)?(?:first\s+)?(?P<n>\d+)?\s*(?:rows|lines|observations)\b|\bhead of\b",
    Code("head({df}, {n})", "{df}.head({n})"),
)
_wish(  # "sample 100 rows", "5 random rows"
    r"\b(?:random|sample|any \d+)\b",
    Code(
        "{df}[sample(nrow({df}), {number}), ]", "{df}.sample({number}, random_state=1)", "{df}.sample({number}, seed=1)"
    ),
)


@_task(r"\brename\b.*?\b(?:to|as|into)\s+[`'\"]?(?P<new>\w+)")
def rename(wish: Wish) -> str:
    """“rename temp to temperature”."""
    if not wish.columns:
        return ""
    old, new = wish.quoted(wish.columns[0].name), wish.quoted(wish.match["new"])
    if wish.in_r:
        return f"names({wish.df})[names({wish.df}) == {old}] <- {new}"
    return f"{wish.df} = {wish.df}.rename({'' if wish.frame.is_polars else 'columns='}{{{old}: {new}}})"


_wish(  # "drop the column precip"
    r"\b(?:drop|remove|delete) (?:the )?(?:columns?|variables?)\b",
    Code("{df}[{names}] <- NULL", "{df} = {df}.drop(columns={names})", "{df} = {df}.drop({names})"),
)


@_task(r"\bpivot\w*\b|\bcross[- ]?tab\w*\b|\bcontingency table\b")
def pivot(wish: Wish) -> str:
    """“pivot temp by origin and month”: means of a number in a table of two categories."""
    number = next((c for c in wish.numbers if c.known.distinct is None or c.known.distinct > 50), None)
    keys = [column.name for column in wish.columns if column is not number][:2]
    if len(keys) < 2 or wish.frame.is_polars:
        return ""
    one, two = map(wish.name, keys)
    if wish.in_r:
        table = f"{wish.df}${one}, {wish.df}${two}"
        mean = f"tapply({wish.df}${r_name(number.name)}, list({table}), mean, na.rm = TRUE)" if number else ""
        return mean or f"table({table})"
    if number is None:
        return f"{_PD}pd.crosstab({wish.df}[{one}], {wish.df}[{two}])"
    return f'{wish.df}.pivot_table(index={one}, columns={two}, values={number.name!r}, aggfunc="mean")'


_TYPES = (
    (r"numeric|numbers?|float", "as.numeric", "", "pl.Float64"),
    (r"integers?|int", "as.integer", "Int64", "pl.Int64"),
    (r"strings?|text|characters?", "as.character", "string", "pl.String"),
    (r"factors?|categor(?:y|ies|ical)", "factor", "category", "pl.Categorical"),
)
_ASKS_TYPE = r"\b(?:convert|change|turn|cast|coerce|parse|make)\b.*?\b(?:to|into|as|a)\s+(?:an?\s+)?"
for _words, _r, _pandas, _polars in _TYPES:  # "convert month to a factor"
    _cast = f'{{df}}[{{a}}] = {{df}}[{{a}}].astype("{_pandas}")'
    _wish(
        rf"{_ASKS_TYPE}(?:{_words})\b",
        Code(
            f"{{df}}${{a}} <- {_r}({{df}}${{a}})",
            _cast if _pandas else _PD + '{df}[{a}] = pd.to_numeric({df}[{a}], errors="coerce")',
            _PL + f"{{df}} = {{df}}.with_columns(pl.col({{a}}).cast({_polars}))",
        ),
    )
for _words, _r, _polars in (
    (r"dates?", "as.Date", "to_date"),
    (r"datetimes?|timestamps?", "as.POSIXct", "to_datetime"),
):
    _wish(  # "parse the dates in time_hour"
        rf"{_ASKS_TYPE}(?:{_words})\b|\bparse\b.*?\b(?:{_words})\b",
        Code(
            f"{{df}}${{a}} <- {_r}({{df}}${{a}})",
            _PD + '{df}[{a}] = pd.to_datetime({df}[{a}], errors="coerce")',
            _PL + f"{{df}} = {{df}}.with_columns(pl.col({{a}}).str.{_polars}())",
        ),
    )
_wish(  # "save weather to csv"
    r"\b(?:save|write|export)\b.*?\b(?:to|as|into)\s+(?:an?\s+)?(?:csv|file)\b|\b(?:save|write|export)\b.*\.csv\b",
    Code("write.csv({df}, {file}, row.names = FALSE)", "{df}.to_csv({file}, index=False)", "{df}.write_csv({file})"),
)

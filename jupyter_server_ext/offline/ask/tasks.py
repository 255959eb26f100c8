"""Code for common wishes that are no query: missing values, correlation, models, plots, joins, reading files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        language: Language of the code.
        match: How the question matched.
    """

    notebook: Notebook
    frame: Described
    columns: tuple[FrameColumn, ...]
    text: str
    language: Language
    match: re.Match[str]

    @property
    def df(self) -> str:
        """The frame's name as code."""
        return r_name(self.frame.name) if self.language == "r" else self.frame.name

    @property
    def polars(self) -> bool:
        """Whether it is a polars frame."""
        return self.frame.is_polars

    def col(self, place: int) -> str:
        """A named column as code: ``"name"`` in Python, ``name`` in R."""
        column = self.columns[place].name
        return r_name(column) if self.language == "r" else repr(column)

    @property
    def numbers(self) -> list[FrameColumn]:
        """Named columns that hold numbers."""
        return [column for column in self.columns if column.is_number]


Task = Callable[[Wish], str]
_TASKS: list[tuple[re.Pattern[str], Task]] = []


def _task(*patterns: str) -> Callable[[Task], Task]:
    def register(function: Task) -> Task:
        _TASKS.extend((re.compile(pattern, re.IGNORECASE), function) for pattern in patterns)
        return function

    return register


def task_code(notebook: Notebook, text: str) -> tuple[Language, str]:
    """Language and code for a wish; an empty text when it is none of these."""
    frame = notebook.subject
    for pattern, task in _TASKS:
        match = pattern.search(text)
        if match is None:
            continue
        if frame is None:
            continue
        language = notebook.language_for(frame)
        if language == "sql":
            continue
        rest = text[: match.start()] + " " + text[match.start() :]
        wish = Wish(notebook, frame, tuple(columns_in(notebook, frame, rest)), text, language, match)
        if code := task(wish):
            return language, code
    return "python", ""


# --- missing values ---


@_task(
    r"\b(?:drop|remove|delete|omit|exclude|without|filter out)\b.*\b(?:missing|na|nas|nan|nans|null|nulls|incomplete)\b"
)
def drop_missing(wish: Wish) -> str:
    """“drop rows with missing values”."""
    columns = wish.columns
    if wish.language == "r":
        if not columns:
            return f"{wish.df}_complete <- na.omit({wish.df})"
        kept = " & ".join(f"!is.na({r_name(c.name)})" for c in columns)
        return f"{wish.df}_complete <- subset({wish.df}, {kept})"
    names = [column.name for column in columns]
    if wish.polars:
        return (
            f"{wish.df}_complete = {wish.df}.drop_nulls({names!r})"
            if names
            else f"{wish.df}_complete = {wish.df}.drop_nulls()"
        )
    return (
        f"{wish.df}_complete = {wish.df}.dropna(subset={names!r})"
        if names
        else f"{wish.df}_complete = {wish.df}.dropna()"
    )


@_task(
    r"\b(?:fill|replace|impute)\b.*\b(?:missing|na|nas|nan|nans|null|nulls)\b(?:.*\bwith (?P<with>0|zero|the mean|"
    r"mean|the median|median)\b)?"
)
def fill_missing(wish: Wish) -> str:
    """“fill missing temp with the mean”."""
    if not wish.columns:
        return ""
    how = (wish.match["with"] or "").replace("the ", "")
    if wish.language == "r":
        place = f"{wish.df}${wish.col(0)}"
        value = f"{how}({place}, na.rm = TRUE)" if how in {"mean", "median"} else "0"
        return f"{place}[is.na({place})] <- {value}"
    place = f"{wish.df}[{wish.col(0)}]"
    if wish.polars:
        value = f"pl.col({wish.col(0)}).{how}()" if how in {"mean", "median"} else "0"
        return f"import polars as pl\n\n{wish.df} = {wish.df}.with_columns(pl.col({wish.col(0)}).fill_null({value}))"
    value = f"{place}.{how}()" if how in {"mean", "median"} else "0"
    return f"{place} = {place}.fillna({value})"


@_task(r"\b(?:missing|na|nas|nan|nans|null|nulls)\b")
def count_missing(wish: Wish) -> str:
    """“how do I count missing values”."""
    if wish.language == "r":
        return f"sum(is.na({wish.df}${wish.col(0)}))" if wish.columns else f"colSums(is.na({wish.df}))"
    if wish.polars:
        return f"{wish.df}.null_count()"
    return f"{wish.df}[{wish.col(0)}].isna().sum()" if wish.columns else f"{wish.df}.isna().sum()"


@_task(r"\bduplicate[sd]?\b")
def duplicates(wish: Wish) -> str:
    """“remove duplicate rows”, “are there duplicates”."""
    removes = re.search(r"\b(?:drop|remove|delete|without|unique)\b", wish.text, re.IGNORECASE)
    names = [column.name for column in wish.columns]
    if wish.language == "r":
        inside = f"{wish.df}[c({', '.join(map(r_string, names))})]" if names else wish.df
        return f"{wish.df}[!duplicated({inside}), ]" if removes else f"sum(duplicated({inside}))"
    if wish.polars:
        return f"{wish.df}.unique()" if removes else f"{wish.df}.is_duplicated().sum()"
    subset = f"subset={names!r}" if names else ""
    return f"{wish.df}.drop_duplicates({subset})" if removes else f"{wish.df}.duplicated({subset}).sum()"


# --- statistics ---


@_task(r"\bcorrelat\w*|\bcorr?\b")
def correlation(wish: Wish) -> str:
    """“correlation between temp and humid”."""
    if len(wish.numbers) >= 2:
        one, two = (column.name for column in wish.numbers[:2])
        if wish.language == "r":
            return f'cor({wish.df}${r_name(one)}, {wish.df}${r_name(two)}, use = "complete.obs")'
        if wish.polars:
            return f"import polars as pl\n\n{wish.df}.select(pl.corr({one!r}, {two!r}))"
        return f"{wish.df}[{one!r}].corr({wish.df}[{two!r}])"
    if wish.language == "r":
        return f'cor({wish.df}[sapply({wish.df}, is.numeric)], use = "pairwise.complete.obs")'
    if wish.polars:
        return f"import polars.selectors as cs\n\n{wish.df}.select(cs.numeric()).corr()"
    return f"{wish.df}.corr(numeric_only=True)"


@_task(
    r"\b(?:linear (?:model|regression)|regress(?:ion)?|fit a (?:linear )?model|lm\b|model)\b.*?(?P<y>)(?:of|for|"
    r"predict\w*)?"
)
def linear_model(wish: Wish) -> str:
    """“linear model of mpg on wt and hp”: the first column named is the outcome."""
    said = re.sub(r"\b(?:linear|regression|a|the|lm)? ?(?:model|regression)\b", " ", wish.text, flags=re.IGNORECASE)
    columns = columns_in(wish.notebook, wish.frame, said)  # "linear model" names no column ``model``
    if len(columns) < 2:
        return ""
    outcome, predictors = _formula(columns, wish.text)
    if wish.language == "r":
        right = " + ".join(r_name(column.name) for column in predictors)
        return f"fit <- lm({r_name(outcome.name)} ~ {right}, data = {wish.df})\nsummary(fit)"
    right = " + ".join(_patsy(column.name) for column in predictors)
    return (
        "import statsmodels.formula.api as smf\n\n"
        f"fit = smf.ols({f'{_patsy(outcome.name)} ~ {right}'!r}, data={wish.df}).fit()\nfit.summary()"
    )


def _patsy(column: str) -> str:
    return column if column.isidentifier() else f"Q({column!r})"


def _formula(columns: list[FrameColumn], text: str) -> tuple[FrameColumn, list[FrameColumn]]:
    """Outcome and predictors: "predict y from x" and "y on x" name the outcome first, "effect of x on y" last."""
    if re.search(r"\b(?:effect|influence|impact) of\b", text, re.IGNORECASE):
        return columns[-1], columns[:-1]
    return columns[0], columns[1:]


@_task(r"\bt[- ]?test\b|\bdiffer(?:s|ence)?\b.*\bsignifican\w*|\bcompare the means?\b")
def t_test(wish: Wish) -> str:
    """“t-test of mpg by am”."""
    number = next(iter(wish.numbers), None)
    group = next((column for column in wish.columns if column is not number), None)
    if number is None or group is None:
        return ""
    if wish.language == "r":
        return f"t.test({r_name(number.name)} ~ {r_name(group.name)}, data = {wish.df})"
    values = group.known.values
    if len(values) < 2 or wish.polars:
        return ""
    samples = [
        f"{wish.df}.loc[{wish.df}[{group.name!r}] == {value!r}, {number.name!r}].dropna()" for value in values[:2]
    ]
    return f"from scipy import stats\n\nstats.ttest_ind({samples[0]},\n                {samples[1]}, equal_var=False)"


@_task(r"\b(?:quantiles?|quartiles?|percentiles?)\b")
def quantiles(wish: Wish) -> str:
    """“quartiles of temp”."""
    if not wish.numbers:
        return ""
    column = wish.numbers[0].name
    if wish.language == "r":
        return f"quantile({wish.df}${r_name(column)}, na.rm = TRUE)"
    if wish.polars:
        return f"[{wish.df}[{column!r}].quantile(q) for q in (0.25, 0.5, 0.75)]"
    return f"{wish.df}[{column!r}].quantile([0.25, 0.5, 0.75])"


@_task(r"\b(?:summary|descriptive) statistics\b|\bsummar(?:y|ise|ize)\b")
def summary(wish: Wish) -> str:
    """“summary statistics of temp”."""
    if wish.language == "r":
        return f"summary({wish.df}${wish.col(0)})" if wish.columns else f"summary({wish.df})"
    return f"{wish.df}[{wish.col(0)}].describe()" if wish.columns else f"{wish.df}.describe()"


@_task(r"\b(?P<what>shares?|proportions?|percentages?|percent)\b.*\b(?:each|every|per|by)\b")
def portions(wish: Wish) -> str:
    """“share of each city”: of all rows."""
    if len(wish.columns) != 1 or wish.polars:
        return ""
    percent = wish.match["what"].lower().startswith("percent")
    if wish.language == "r":
        return f"{'100 * ' if percent else ''}prop.table(table({wish.df}${wish.col(0)}))"
    return f"{wish.df}[{wish.col(0)}].value_counts(normalize=True){' * 100' if percent else ''}"


@_task(r"\b(?:frequenc(?:y|ies)|value counts?|counts? of each|tabulate|frequency table|how often)\b")
def frequencies(wish: Wish) -> str:
    """“frequency table of origin”."""
    if not wish.columns:
        return ""
    if wish.language == "r":
        return f"table({', '.join(f'{wish.df}${r_name(c.name)}' for c in wish.columns[:2])})"
    return f"{wish.df}[{wish.col(0)}].value_counts()"


# --- looking and reshaping ---


@_task(r"\b(?:first|top|head|show)\b\s*(?:the\s+)?(?:first\s+)?(?P<n>\d+)?\s*(?:rows|lines|observations)\b|\bhead of\b")
def head(wish: Wish) -> str:
    """“first 10 rows”."""
    count = wish.match.groupdict().get("n") or "5"
    return f"head({wish.df}, {count})" if wish.language == "r" else f"{wish.df}.head({count})"


@_task(r"\b(?:random|sample|any \d+)\b")
def sample(wish: Wish) -> str:
    """“sample 100 rows”, “5 random rows”."""
    number = re.search(r"\b\d+\b", wish.text)
    count = number[0] if number else "10"
    if wish.language == "r":
        return f"{wish.df}[sample(nrow({wish.df}), {count}), ]"
    return f"{wish.df}.sample({count}, random_state=1)" if not wish.polars else f"{wish.df}.sample({count}, seed=1)"


@_task(r"\brename\b.*?\b(?:to|as|into)\s+[`'\"]?(?P<new>\w+)")
def rename(wish: Wish) -> str:
    """“rename temp to temperature”."""
    if not wish.columns:
        return ""
    old, new = wish.columns[0].name, wish.match["new"]
    if wish.language == "r":
        return f"names({wish.df})[names({wish.df}) == {r_string(old)}] <- {r_string(new)}"
    mapping = f"{{{old!r}: {new!r}}}"
    return (
        f"{wish.df} = {wish.df}.rename({mapping})"
        if wish.polars
        else f"{wish.df} = {wish.df}.rename(columns={mapping})"
    )


@_task(r"\b(?:drop|remove|delete) (?:the )?(?:columns?|variables?)\b")
def drop_columns(wish: Wish) -> str:
    """“drop the column precip”."""
    names = [column.name for column in wish.columns]
    if not names:
        return ""
    if wish.language == "r":
        return f"{wish.df}[c({', '.join(map(r_string, names))})] <- NULL"
    return f"{wish.df} = {wish.df}.drop({names!r})" if wish.polars else f"{wish.df} = {wish.df}.drop(columns={names!r})"


@_task(r"\bpivot\w*\b|\bcross[- ]?tab\w*\b|\bcontingency table\b")
def pivot(wish: Wish) -> str:
    """“pivot temp by origin and month”: means of a number in a table of two categories."""
    number = next((c for c in wish.numbers if c.known.distinct is None or c.known.distinct > 50), None)
    keys = [column for column in wish.columns if column is not number][:2]
    if len(keys) < 2 or wish.polars:
        return ""
    one, two = (key.name for key in keys)
    if wish.language == "r":
        table = ", ".join(f"{wish.df}${r_name(key)}" for key in (one, two))
        return (
            f"table({table})"
            if number is None
            else f"tapply({wish.df}${r_name(number.name)}, list({table}), mean, na.rm = TRUE)"
        )
    if number is None:
        return f"import pandas as pd\n\npd.crosstab({wish.df}[{one!r}], {wish.df}[{two!r}])"
    return f'{wish.df}.pivot_table(index={one!r}, columns={two!r}, values={number.name!r}, aggfunc="mean")'


# --- types and files ---

_TO = (
    r"(?P<to>numeric|numbers?|float|integers?|int|strings?|text|characters?|factors?|categor(?:y|ies|ical)|dates?|"
    r"datetimes?|timestamps?)"
)


@_task(
    rf"\b(?:convert|change|turn|cast|coerce|parse|make)\b.*?\b(?:to|into|as|a)\s+(?:an?\s+)?{_TO}\b",
    r"\bparse\b.*?\b(?P<to>dates?|datetimes?|timestamps?)\b",
)
def convert(wish: Wish) -> str:
    """“convert month to a factor”, “parse the dates in time_hour”."""
    if not wish.columns:
        return ""
    to = wish.match["to"].lower().rstrip("s")
    place = f"{wish.df}${wish.col(0)}" if wish.language == "r" else f"{wish.df}[{wish.col(0)}]"
    if wish.polars:
        return _convert_polars(wish, to)
    return _convert_r(place, to) if wish.language == "r" else _convert_pandas(place, to)


def _convert_r(place: str, to: str) -> str:
    functions = {
        "numeric": "as.numeric",
        "number": "as.numeric",
        "float": "as.numeric",
        "integer": "as.integer",
        "int": "as.integer",
        "string": "as.character",
        "text": "as.character",
        "character": "as.character",
        "factor": "factor",
        "date": "as.Date",
        "datetime": "as.POSIXct",
        "timestamp": "as.POSIXct",
    }
    return f"{place} <- {functions.get(to, 'factor')}({place})"


def _convert_pandas(place: str, to: str) -> str:
    if to in {"date", "datetime", "timestamp"}:
        return f'import pandas as pd\n\n{place} = pd.to_datetime({place}, errors="coerce")'
    if to in {"numeric", "number", "float"}:
        return f'import pandas as pd\n\n{place} = pd.to_numeric({place}, errors="coerce")'
    kinds = {"integer": "Int64", "int": "Int64", "string": "string", "text": "string", "character": "string"}
    return f'{place} = {place}.astype("{kinds.get(to, "category")}")'


def _convert_polars(wish: Wish, to: str) -> str:
    column = f"pl.col({wish.col(0)})"
    kinds = {
        "integer": "pl.Int64",
        "int": "pl.Int64",
        "numeric": "pl.Float64",
        "number": "pl.Float64",
        "float": "pl.Float64",
        "string": "pl.String",
        "text": "pl.String",
        "character": "pl.String",
    }
    times = {
        "date": f"{column}.str.to_date()",
        "datetime": f"{column}.str.to_datetime()",
        "timestamp": f"{column}.str.to_datetime()",
    }
    changed = times.get(to) or f"{column}.cast({kinds.get(to, 'pl.Categorical')})"
    return f"import polars as pl\n\n{wish.df} = {wish.df}.with_columns({changed})"


@_task(r"\b(?:save|write|export)\b.*?\b(?:to|as|into)\s+(?:an?\s+)?(?:csv|file)\b|\b(?:save|write|export)\b.*\.csv\b")
def save(wish: Wish) -> str:
    """“save weather to csv”."""
    path = re.search(r"[\w./-]+\.csv\b", wish.text)
    file = path[0] if path else f"{wish.frame.name}.csv"
    if wish.language == "r":
        return f"write.csv({wish.df}, {r_string(file)}, row.names = FALSE)"
    return f"{wish.df}.write_csv({file!r})" if wish.polars else f"{wish.df}.to_csv({file!r}, index=False)"

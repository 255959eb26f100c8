"""Short wordings of ``%%ask`` over one frame: the pandas code is run, the R code is read."""

from __future__ import annotations

import pandas as pd
import pytest

from rsql_magic.context import gather

from .described import context, frame
from .offline_notebook import ask, code

COLUMNS = """
- price {number}: 1..9; 12% NA
- city {text}: values: 'A', 'Lima', 'Oslo'
- x {whole}: 0..8; 8 distinct
- a {number}: 0.5..9
- grp {text}: values: 'u', 'v'
"""
PANDAS = context(
    frame("df: pandas DataFrame, 8 rows × 5 columns" + COLUMNS.format(number="float64", text="str", whole="int64"))
)
R = context(
    frame(
        "df: R data.frame, 8 rows × 5 columns" + COLUMNS.format(number="numeric", text="character", whole="integer"),
        "r",
    )
)
FRAME = pd.DataFrame(
    {
        "price": [1.0, 1.5, 4.0, 6.5, 9.0, None, 7.0, 2.0],
        "city": ["A", "A", "Oslo", "Oslo", "Lima", "Lima", "Oslo", "A"],
        "x": [0, 2, 5, 8, 1, 2, 3, 7],
        "a": [3.0, 2.0, 1.0, 9.0, 0.5, 2.5, 3.5, 8.0],
        "grp": ["u", "u", "v", "v", "u", "v", "u", "v"],
    }
)


def _value(text):
    *before, last = text.split("\n")
    names = {"df": FRAME.copy(), "pd": pd}
    exec("\n".join(before), names)
    return eval(last, names)


def _plain(value):
    return value.to_numpy().tolist() if hasattr(value, "to_numpy") else value


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("mean price by city", lambda d: d.groupby("city", as_index=False).price.mean()),
        ("mean a by grp", lambda d: d.groupby("grp", as_index=False).a.mean()),
        ("average of a by grp", lambda d: d.groupby("grp", as_index=False).a.mean()),
        ("how many missing in price", lambda d: d.price.isna().sum()),
        ("how many rows have price > 5", lambda d: (d.price > 5).sum()),
        ("how many rows in Oslo", lambda d: (d.city == "Oslo").sum()),
        ("x and a where price < 3", lambda d: d[d.price < 3][["x", "a"]]),
        ("a > 3", lambda d: d[d.a > 3]),
        ("price not between 1 and 2", lambda d: d[(d.price < 1) | (d.price > 2)]),
        ("count of price by city", lambda d: d.groupby("city", as_index=False).price.count()),
        ("variance of price", lambda d: d.price.var()),
        ("first 5 rows", lambda d: d.head(5)),
        ("rows per city", lambda d: d.groupby("city").size().reset_index()),
        ("what is the median price in df?", lambda d: d.price.median()),
        ("What is the largest a in df?", lambda d: d.a.max()),
        ("corr x a", lambda d: d.x.corr(d.a)),
    ],
)
def test_pandas_code_computes_what_was_meant(question, meant):
    text = code(question, PANDAS)

    assert text, ask(question, PANDAS)
    found, wanted = _plain(_value(text)), _plain(meant(FRAME))
    assert pd.DataFrame([found]).equals(pd.DataFrame([wanted])), text


POLARS = context(
    frame("df: polars DataFrame, 8 rows × 5 columns" + COLUMNS.format(number="f64", text="str", whole="i64"))
)


@pytest.mark.parametrize(
    "question",
    [
        "how many rows have price > 5",
        "x and a where price < 3",
        "a > 3 and city = 'Oslo'",
        "price not between 1 and 2",
        "city is not Oslo or x > 6",
        "city starts with 'O'",
        "city in ('A', 'Lima')",
        "x and grp where city is Oslo sorted by x descending",
        "price and x sorted by price descending",
        "mean price and max a by city sorted by city",
        "number of rows by city and grp sorted by city",
        "median a where grp is u",
        "a is above the average",
        "first 3 rows",
    ],
)
def test_polars_code_computes_what_pandas_code_does(question):
    polars = pytest.importorskip("polars")
    found, wanted = code(question, POLARS), code(question, PANDAS)
    assert found, ask(question, POLARS)
    names = {"df": polars.from_pandas(FRAME), "pl": polars}
    *before, last = found.split("\n")
    exec("\n".join(before), names)
    value = eval(last, names)

    rows = value.rows() if hasattr(value, "rows") else value
    expected = _value(wanted)
    same = [*expected.itertuples(index=False, name=None)] if hasattr(expected, "columns") else expected
    if "and grp" in question:
        rows, same = sorted(rows), sorted(same)
    assert str(rows).replace("None", "nan") == str(same), (found, wanted)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("mean price by city", "aggregate(price ~ city, data = df, FUN = mean)"),
        (
            "mean price, a by city",
            "aggregate(cbind(price, a) ~ city, data = df, FUN = mean, na.rm = TRUE, na.action = na.pass)",
        ),
        ("how many missing in price", "rows <- subset(df, is.na(price))\nnrow(rows)"),
        ("price not between 1 and 2", "subset(df, price < 1 | price > 2)"),
        ("plot a by grp", "barplot(tapply(df$a, df$grp, mean, na.rm = TRUE))"),
        ("plot price by a", "plot(price ~ a, data = df)"),
    ],
)
def test_r_code_says_what_was_meant(question, text):
    assert code(question, R) == text


@pytest.mark.parametrize(
    ("question", "data", "reason"),
    [
        ("What is df.price.mean()?", PANDAS, "did not understand “df.price.mean”"),
        ("df['price'].max() - df.price.min()", PANDAS, "did not understand"),
        ("os.system('ls')", PANDAS, "did not understand"),
        ("what is mean(df$price)?", R, "did not understand"),
        ("price + nothing", PANDAS, "did not understand “nothing”"),
        ("divide a by x", PANDAS, "did not understand “divide”"),
        ("add price and a of df as a new column total", PANDAS, "did not understand"),
        ("price * x as sales", R, "did not understand “sales”"),
        ("price + a", PANDAS, "did not understand “+ a”"),
        ("price by city", PANDAS, "do not see what to compute for each group"),
        ("5 random rows", PANDAS, "did not understand “random”"),
        ("share of each city", R, "did not understand “share”"),
        ("cities with more than 2 rows", PANDAS, "can only write this as SQL"),
        ("linear model of price on a", R, "did not understand “linear, model”"),
        ("read sales.csv", PANDAS, "did not understand"),
        ("boxplot of price by city", PANDAS, "did not understand “boxplot”"),
        ("mean price by city with dplyr", R, "did not understand “dplyr”"),
    ],
)
def test_what_has_no_plain_code_is_declined_with_its_reason(question, data, reason):
    text = ask(question, data)
    assert "```" not in text
    assert reason in text.replace("”, “", ", ")


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("drop rows with missing values", "df_complete = df.dropna()"),
        ("drop rows with missing price", "df_complete = df.dropna(subset=['price'])"),
        ("summary statistics of price", "df['price'].describe()"),
        ("frequency table of city", "df['city'].value_counts()"),
        ("histogram of price", "df['price'].plot.hist(bins=30, title='price')"),
        ("bar chart of city", "df['city'].value_counts().plot.bar()"),
        ("plot mean price by city", "df.groupby('city')['price'].mean().plot.bar()"),
        ("line chart of price over x", "df.sort_values('x').plot.line(x='x', y='price')"),
        ("scatter plot of price against a", "df.plot.scatter(x='a', y='price', alpha=0.3)"),
    ],
)
def test_wishes_beyond_queries(question, text):
    assert code(question, PANDAS) == text


def test_what_is_not_there_is_said_to_be_unknown():
    assert ask("describe nosuch", PANDAS).startswith("I was told of nothing called `nosuch`.")


@pytest.mark.parametrize("level", ["names", "stats"])
def test_what_the_privacy_level_keeps_back_is_not_taken_for_none(level):
    told = gather("df", {"df": FRAME.assign(price=[1.0] * 7 + [None])}, level=level, r=False)
    said = {
        question: ask(question, told) for question in ("Describe df", "How many rows has df?", "what is missing in df")
    }
    if level == "stats":
        assert "8 rows and 5 columns" in said["How many rows has df?"]
        assert "`price` (12%)" in said["what is missing in df"]
    else:
        assert said["How many rows has df?"] == "`df` has 5 columns. I was not told how many rows."
        assert said["what is missing in df"] == "I was not told whether values of `df` are missing."
        assert "`df` is a pandas DataFrame with 5 columns." in said["Describe df"]


def test_marks_of_rounded_figures_are_kept():
    rounded = context(frame("t: pandas DataFrame, 9 rows × 1 column\n- x float64: 0..≈14.5; 8 distinct"))
    said = ask("Describe t", rounded)
    assert "from 0 to ≈14.5; 8 different values" in said
    assert "Figures marked ≈ are rounded." in said
    assert "≈" not in ask("Describe df", PANDAS)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_month_in_words_filters_the_dates_of_a_frame(library):
    kinds = {"pandas": ("datetime64[ns]", "int64"), "polars": ("datetime[μs]", "i64")}[library]
    text = f"df: {library} DataFrame, 120 rows × 2 columns\n- made {kinds[0]}: 2024-01-01..2024-04-29\n"
    told = context(frame(text + f"- amount {kinds[1]}: 0..119"))
    *before, last = code("total amount of df in March 2024", told).split("\n")
    names = {"df": _dated(library)}
    exec("\n".join(before), names)
    value = eval(last, names)
    assert value == sum(range(60, 91))


def _dated(library):
    days = pd.date_range("2024-01-01", periods=120)
    frame = pd.DataFrame({"made": days, "amount": range(120)})
    return frame if library == "pandas" else pytest.importorskip("polars").from_pandas(frame)

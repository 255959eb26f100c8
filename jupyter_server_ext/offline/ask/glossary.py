"""Short answers to "what is …" for common words of statistics, R, Python and SQL."""

from __future__ import annotations

import re

_TERMS: dict[str, str] = {
    "join|joins|table join": "A join puts the columns of two tables side by side, row by row where a key matches. The "
    "kinds differ in what becomes of rows without a match: an inner join drops them, a left join keeps those of the "
    "first table.",
    "left join|left_join|left outer join": "A left join keeps every row of the first table and adds the matching "
    "rows of the second; where nothing matches, the second's columns are missing (NULL, NA).",
    "inner join|inner_join": "An inner join keeps only the rows whose key occurs in both tables.",
    "full join|full_join|full outer join|outer join": "A full join keeps the rows of both tables; where one side "
    "has no match, its columns are missing.",
    "right join|right_join": "A right join keeps every row of the second table and adds the matching rows of the "
    "first.",
    "anti join|anti_join": "An anti join keeps the rows of the first table that have no match in the second.",
    "cross join": "A cross join pairs every row of one table with every row of the other: m × n rows.",
    "primary key": "A primary key is the column, or set of columns, that identifies each row: it never repeats and "
    "is never missing.",
    "foreign key": "A foreign key is a column whose values point to the key of another table; it says how the two "
    "join.",
    "group by|group_by|groupby": "Grouping splits the rows by the values of one or more columns, so that what "
    "follows (a mean, a count) is computed once per group.",
    "having": "HAVING filters groups after they are computed, as WHERE filters rows before. `HAVING COUNT(*) > 10` "
    "keeps groups of more than ten rows.",
    "window function|window functions": "A window function computes a value for each row from the rows around it "
    "without collapsing them, such as `AVG(x) OVER (PARTITION BY g)`.",
    "cte|common table expression|with clause": "A common table expression (`WITH name AS (…)`) gives a query a "
    "name, so that the main query can read from it like from a table.",
    "subquery|subqueries": "A subquery is a query inside another, used as a value, as a list after IN, or as a table.",
    "null|nulls": "NULL stands for a missing value in SQL. It equals nothing, not even itself: test it with `IS NULL`.",
    "na|na in r": "NA is R's missing value. Most functions return NA when one is present; `na.rm = TRUE` leaves "
    "them out, `is.na(x)` finds them.",
    "nan": "NaN (not a number) is the floating-point value for an undefined result; pandas uses it for missing "
    "numbers. `isna()` finds it.",
    "tibble": "A tibble is dplyr's data frame: it prints its types and first rows, never changes names, and gives a "
    "one-column tibble where `[` would give a vector.",
    "data frame|dataframe": "A data frame is a table in memory: columns of equal length, each with one type.",
    "factor|factors": "A factor is R's type for categories: integer codes with labels (levels). "
    "`as.numeric(as.character(f))` gets numbers back, `as.numeric(f)` only the codes.",
    "mutate": "`mutate()` (dplyr) adds columns or changes them, keeping all rows: `mutate(d, ratio = a / b)`.",
    "summarise|summarize": "`summarise()` (dplyr) reduces each group to one row: `summarise(d, mean(x))`.",
    "filter": "`filter()` (dplyr) keeps the rows that satisfy a condition; base R's `subset()` and pandas' "
    "`df[condition]` do the same.",
    "pivot_longer|melt": "It turns columns into rows: several measurement columns become one column of names and "
    "one of values.",
    "pivot_wider|pivot|pivot_table": "It turns rows into columns: the values of one column become the names of new "
    "columns.",
    "pipe|%>%|\\|>": "The pipe passes the value on its left as the first argument of the call on its right: `x |> "
    "f(y)` is `f(x, y)`.",
    "vectorization|vectorisation|vectorized": "A vectorized operation works on whole columns at once instead of "
    "looping over elements: shorter, and much faster in R and NumPy.",
    "index|dataframe index": "The index of a pandas frame labels its rows; joins and arithmetic align on it. "
    "`reset_index()` turns it into a column.",
    "mean|average": "The mean is the sum of the values divided by their number. A few extreme values can move it "
    "far; the median is not moved.",
    "median": "The median is the middle value: half of the values are smaller, half are larger.",
    "mode": "The mode is the most frequent value.",
    "standard deviation|sd": "The standard deviation is the typical distance of values from their mean, in the "
    "units of the data; it is the square root of the variance.",
    "variance": "The variance is the mean squared distance from the mean (divided by n − 1 in a sample).",
    "standard error": "The standard error is the standard deviation of an estimate over repeated samples; that of a "
    "mean is s / √n.",
    "confidence interval": "A 95 % confidence interval is made by a procedure that covers the true value in 95 % of "
    "samples.",
    "p-value|p value": "A p-value is the probability of data at least as extreme as yours if the null hypothesis "
    "were true. It is not the probability that the hypothesis is true.",
    "null hypothesis": "The null hypothesis is the statement a test tries to refute, usually that there is no "
    "effect or no difference.",
    "t-test|t test": "A t-test compares the means of two groups, or one mean with a value, given their spread. In "
    "R: `t.test(y ~ group, data = d)`.",
    "correlation": "Correlation (Pearson's r) measures linear association from −1 to 1; 0 means no linear "
    "association. It says nothing about cause.",
    "linear regression|linear model|lm": "A linear model predicts a number as a weighted sum of predictors; each "
    "coefficient is the change in the prediction for one unit of its predictor, the others held fixed. In R: `lm(y "
    "~ x, data = d)`.",
    "logistic regression": "Logistic regression models the probability of a yes/no outcome; a coefficient is a "
    "change in log odds. In R: `glm(y ~ x, data = d, family = binomial)`.",
    "r squared|r-squared|r2": "R² is the share of the outcome's variance that a linear model explains, from 0 to 1.",
    "residual|residuals": "A residual is the observed value minus the value the model predicts.",
    "outlier|outliers": "An outlier is a value far from the others. A common rule of thumb: more than 1.5 "
    "interquartile ranges beyond the quartiles.",
    "quantile|quantiles|percentile|percentiles|quartile|quartiles": "The q-quantile is the value below which a "
    "share q of the values lie; quartiles are those at 25, 50 and 75 %.",
    "interquartile range|iqr": "The interquartile range is the 75 % quantile minus the 25 % quantile: the spread of "
    "the middle half.",
    "normal distribution": "The normal distribution is the bell curve given by a mean and a standard deviation; "
    "about 95 % of it lies within two standard deviations of the mean.",
    "anova": "Analysis of variance tests whether the means of several groups differ, by comparing variation between "
    "groups with variation within them.",
    "overfitting": "A model overfits when it follows the noise of its training data and so predicts new data worse; "
    "hold out data, or cross-validate, to see it.",
}
_ASK = re.compile(
    r"^\W*(?:what(?:'s| is| are| does)|explain|define|meaning of|what do you mean by|tell me what)\s+(?:is\s+|"
    r"are\s+|the\s+term\s+)?(?:an?\s+|the\s+)?"
    r"(?P<term>.+?)(?:\s+(?:do|does|mean|means|function|clause|in r|in sql|in pandas|in dplyr|in statistics|in "
    r"python))*\s*(?:\(\))?\W*$",
    re.IGNORECASE,
)
_DIFFERENCE = re.compile(
    r"^\W*(?:what(?:'s| is)|explain)\s+the\s+difference\s+between\s+(?:an?\s+|"
    r"the\s+)?(?P<one>.+?)\s+and\s+(?:an?\s+|the\s+)?(?P<two>.+?)(?:\s+in\s+(?:r|sql|pandas|python))?\W*$",
    re.IGNORECASE,
)


def explain_term(question: str) -> str:
    """The explanation of a term that a question asks for, or an empty text.

    Example:
        >>> explain_term("What is a left join?").startswith("A left join keeps every row")
        True
    """
    both = _DIFFERENCE.match(question)
    if both:
        found = [_look_up(both[name]) for name in ("one", "two")]
        return "\n\n".join(found) if all(found) else ""
    match = _ASK.match(question)
    return _look_up(match["term"]) if match else ""


def terms_in(text: str) -> list[tuple[str, str]]:
    """The terms that a text names, each with its meaning; all terms for an empty text.

    Example:
        >>> [term for term, _ in terms_in("medians and left joins")]
        ['join', 'left join', 'median']
    """
    folded = text.lower()
    found = []
    for names, meaning in _TERMS.items():
        said = any(re.search(rf"(?<!\w){name}s?(?!\w)", folded) for name in names.split("|") if name != "\\")
        if not text or said:
            found.append((names.split("|")[0], meaning))
    return found


def _look_up(term: str) -> str:
    plain = term.strip(" `'\"().?").lower()
    for names, text in _TERMS.items():
        if re.fullmatch(names, plain):
            return text
    return ""

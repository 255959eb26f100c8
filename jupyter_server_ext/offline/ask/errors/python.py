"""Python, pandas and polars."""

from __future__ import annotations

import re

from ..columns import nearest
from .trouble import Advice, Explanations, Trouble

PYTHON = Explanations()

_MODULES = {
    "pd": "import pandas as pd",
    "np": "import numpy as np",
    "plt": "import matplotlib.pyplot as plt",
    "sns": "import seaborn as sns",
    "pl": "import polars as pl",
    "alt": "import altair as alt",
    "os": "import os",
    "re": "import re",
    "json": "import json",
    "math": "import math",
    "datetime": "from datetime import datetime",
    "Path": "from pathlib import Path",
    "sm": "import statsmodels.api as sm",
    "smf": "import statsmodels.formula.api as smf",
    "stats": "from scipy import stats",
    "duckdb": "import duckdb",
    "pandas": "import pandas",
    "numpy": "import numpy",
    "random": "import random",
    "time": "import time",
    "sys": "import sys",
    "Counter": "from collections import Counter",
    "defaultdict": "from collections import defaultdict",
    "px": "import plotly.express as px",
    "ro": "import rpy2.robjects as ro",
}
_PACKAGES = {
    "sklearn": "scikit-learn",
    "cv2": "opencv-python",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "bs4": "beautifulsoup4",
    "dateutil": "python-dateutil",
    "skimage": "scikit-image",
    "psycopg2": "psycopg2-binary",
}
_RENAMED = {
    "append": "`append` was removed in pandas 2: use `pd.concat([a, b])`.",
    "iteritems": "`iteritems` was removed in pandas 2: use `items()`.",
    "ix": "`ix` was removed: use `.loc` for labels and `.iloc` for positions.",
    "as_matrix": "`as_matrix` was removed: use `to_numpy()`.",
    "sort": "Use `sort_values()` or `sort_index()`.",
    "group_by": "pandas writes it `groupby`.",
    "select": 'pandas selects columns by `df[["a", "b"]]`.',
    "with_columns": "That is polars; pandas has `assign(…)`.",
    "filter_rows": "pandas filters rows by `df[condition]`.",
}


@PYTHON.on(r"(?:KeyError|ColumnNotFoundError): (?:\W*)(?P<names>\[[^\]]+\]|'[^']*'|\"[^\"]*\"|[\w .-]+)(?P<rest>.*)")
def key(trouble: Trouble, match: re.Match[str]) -> Advice | None:
    """A column or key that is not there."""
    missing = re.findall(r"['\"]([^'\"]+)['\"]", match["names"]) or [match["names"].strip()]
    name = missing[0]
    if not trouble.columns:
        return Advice(
            f"There is no key `{name}` in what was indexed.",
            "Look at the keys that are there (`d.keys()`, `df.columns`), or use `d.get(key)` where a key may be "
            "missing.",
        )
    found = nearest(name, trouble.columns)
    columns = ", ".join(f"`{column}`" for column in list(dict.fromkeys(trouble.columns))[:12])
    what = f"There is no column `{name}`{_in_frame(trouble)}."
    if found is None:
        return Advice(what, f"Its columns are {columns}.")
    return Advice(
        what, f"The nearest column is `{found}`. There are {columns}.", trouble.corrected(name, found, quoted=True)
    )


def _in_frame(trouble: Trouble) -> str:
    frames = [
        frame.name
        for frame in trouble.notebook.frames
        if re.search(rf"(?<!\w){re.escape(frame.name)}(?!\w)", trouble.source)
    ]
    return f" in `{frames[0]}`" if len(frames) == 1 else ""


@PYTHON.on(r"NameError: name '(?P<name>\w+)' is not defined")
def undefined(trouble: Trouble, match: re.Match[str]) -> Advice:
    """A name nobody defined."""
    name = match["name"]
    if name in _MODULES:
        return Advice(f"`{name}` is not imported in this session.", "Import it first:", _MODULES[name])
    found = nearest(name, trouble.names, least=0.6)
    what = f"There is no variable `{name}` in this session."
    if found:
        return Advice(what, f"Did you mean `{found}`?", trouble.corrected(name, found))
    return Advice(what, "Run the cell that defines it first; after a restart of the kernel all cells must run again.")


@PYTHON.on(r"AttributeError: '(?:DataFrame|Series)' object has no attribute '(?P<name>\w+)'")
def frame_attribute(trouble: Trouble, match: re.Match[str]) -> Advice:
    """A column or method that a frame lacks."""
    name = match["name"]
    if name in _RENAMED:
        return Advice(f"A pandas frame has no `{name}`.", _RENAMED[name])
    found = nearest(name, trouble.columns, least=0.6)
    what = f"The frame has neither a method nor a column `{name}`."
    if found is None:
        return Advice(what, "Check the spelling; `dir(df)` lists methods, `df.columns` the columns.")
    return Advice(what, f"The nearest column is `{found}`.", _attribute(trouble, name, found))


def _attribute(trouble: Trouble, old: str, new: str) -> str:
    """The failing line with one attribute put right."""
    code = trouble.line or trouble.source
    fixed = re.sub(rf"\.{re.escape(old)}\b", f".{new}" if new.isidentifier() else f"[{new!r}]", code)
    return fixed if fixed != code and "…" not in fixed else ""


@PYTHON.on(r"ModuleNotFoundError: No module named '(?P<name>[\w.]+)'")
def module(_trouble: Trouble, match: re.Match[str]) -> Advice:
    """A package that is not installed."""
    name = match["name"].partition(".")[0]
    package = _PACKAGES.get(name, name)
    return Advice(
        f"The package `{package}` is not installed for this kernel.",
        "Install it from a cell, then run the import again (restart the kernel when an older version was loaded): "
        f"`%pip install {package}`.",
    )


@PYTHON.on(r"TypeError: unsupported operand type\(s\) for (?P<sign>\S+): '(?P<one>\w+)' and '(?P<two>\w+)'")
def operands(_trouble: Trouble, match: re.Match[str]) -> Advice:
    """Adding a number to a text."""
    one, two = match["one"], match["two"]
    what = f"`{match['sign'].rstrip(':')}` does not work between {one} and {two}."
    if "str" in {one, two}:
        return Advice(
            what,
            "Convert the text to a number (`float(x)`, for a column `pd.to_numeric`), or the number with `str(x)`.",
        )
    if "NoneType" in {one, two}:
        return Advice(what, "One side is None: a function without `return`, or a missing value, gave it.")
    return Advice(what, "Convert both sides to the same type first.")


PYTHON.say(
    r"AttributeError: 'NoneType' object has no attribute '(?P<name>\w+)'",
    "The object before `.{name}` is None.",
    "A call before it returned nothing: methods with `inplace=True`, `list.sort()` and functions without `return` "
    "give None. Do not assign their result.",
)
PYTHON.say(
    r"AttributeError: module '(?P<module>[\w.]+)' has no attribute '(?P<name>\w+)'",
    "The module `{module}` has no `{name}`.",
    "Check the spelling and the version; a file of your own called `{module}.py` would hide the real module.",
)
PYTHON.say(
    r"AttributeError: '(?P<type>\w+)' object has no attribute '(?P<name>\w+)'",
    "An object of type {type} has no attribute or method `{name}`.",
    "Look at `type(x)` and `dir(x)`: the object is probably not of the type you expect.",
)
PYTHON.say(
    r"ValueError: The truth value of a (?:Series|DataFrame|array|Index)[^.]*is ambiguous",
    "A whole column was used where one true or false is needed: `and`, `or`, `not` and `if` work on single values.",
    "Combine conditions on columns with `&`, `|` and `~`, each in parentheses, as in `df[(df.a > 1) & (df.b == "
    "2)]`; for one answer use `.any()` or `.all()`.",
)
PYTHON.say(
    r"ValueError: The truth value of an array",
    "A whole array was used where one true or false is needed.",
    "Use `&`, `|` with parentheses, or `.any()` / `.all()`.",
)
PYTHON.say(
    r"ValueError: (?:could not convert string to float|invalid literal for int\(\) with base 10|Unable to parse "
    r"string)[: ]*(?P<value>'[^']*'|\"[^\"]*\")?",
    "A text {value} is no number.",
    "Convert with `pd.to_numeric`, which makes missing values of what is no number, and look at those.",
    'import pandas as pd\n\nnumbers = pd.to_numeric({df}["{column}"], errors="coerce")\n{df}[numbers.isna()]',
)
PYTHON.say(
    r"(?:ValueError|IntCastingNaNError|TypeError)?:? ?(?:cannot convert float NaN to integer|Cannot convert "
    r"non-finite values \(NA or inf\) to integer)",
    "Plain integer columns cannot hold missing values (NaN).",
    "Fill the missing values first, or use pandas' nullable integers `Int64`.",
    '{df}["{column}"] = {df}["{column}"].astype("Int64")',
)
PYTHON.say(
    r"ValueError: Length of values \((?P<n>\d+)\) does not match length of index \((?P<m>\d+)\)",
    "The new column has {n} values, the frame {m} rows.",
    "Give one value per row; a result per group is spread over the rows with `groupby(…).transform(…)`.",
)
PYTHON.say(
    r"ValueError: You are trying to merge on (?P<one>[\w\[\]]+) and (?P<two>[\w\[\]]+) columns",
    "The key columns have different types: {one} on one side, {two} on the other.",
    "Bring both to the same type before merging, with `astype(str)` or `astype(int)` on one of the keys.",
)
PYTHON.say(
    r"MergeError: No common columns to perform merge on",
    "The two frames share no column name, so pandas does not know what to merge on.",
    'Name the keys: `left.merge(right, left_on="a", right_on="b")`.',
)
PYTHON.say(
    r"ValueError: cannot reindex on an axis with duplicate labels",
    "An index has repeated labels, so values cannot be aligned by it.",
    "Call `reset_index(drop=True)` first, or remove the duplicates.",
)
PYTHON.say(
    r"ValueError: (?:operands could not be broadcast together|shapes .* not aligned|all the input array dimensions)",
    "The arrays have shapes that do not fit each other.",
    "Compare `a.shape` and `b.shape`; `reshape`, `T` or `np.newaxis` bring them in line.",
)
PYTHON.say(
    r"ValueError: time data ['\"](?P<value>[^'\"]+)['\"] does(?: not|n't) match format ['\"](?P<format>[^'\"]+)['\"]",
    "The text {value} is not written as the format {format} says.",
    'Give the right format, or let pandas find it; what cannot be read becomes missing with `errors="coerce"`.',
    'import pandas as pd\n\ndates = pd.to_datetime({df}["{column}"], errors="coerce")',
)
PYTHON.say(
    r"(?:OutOfBoundsDatetime|Out of bounds nanosecond timestamp)",
    "A date is outside what pandas' nanosecond timestamps can hold (1677 to 2262).",
    'Turn such dates into missing values with `pd.to_datetime(x, errors="coerce")`, or keep them as text.',
)
PYTHON.say(
    r"ValueError: not enough values to unpack|ValueError: too many values to unpack",
    "The number of names on the left differs from the number of values on the right.",
    "Print the value that is unpacked and count.",
)
PYTHON.say(
    r"IndexError: (?:list|tuple|string) index out of range",
    "An index is past the end; the first element is 0, the last `len(x) - 1`.",
    "Check `len(x)` before indexing; `x[-1]` is the last element.",
)
PYTHON.say(
    r"IndexError: (?:single positional indexer is out-of-bounds|index (?P<i>-?\d+) is out of bounds for axis "
    r"(?P<axis>\d) with size (?P<n>\d+))",
    "A position is outside the frame or array.",
    "Look at `df.shape`: a filter before it may have left no rows.",
)
PYTHON.say(
    r"TypeError: '(?P<type>\w+)' object is not callable",
    "Something of type {type} was called like a function.",
    "Look for a variable that hides a function of the same name (`list`, `sum`, `max`), or for a missing operator "
    "before `(`.",
)
PYTHON.say(
    r"TypeError: '(?P<type>\w+)' object is not subscriptable",
    "Something of type {type} was indexed with `[ ]`.",
    "Call functions with `( )`, and check that the value is what you expect: None comes from a function without "
    "`return`.",
)
PYTHON.say(
    r"TypeError: '(?P<type>\w+)' object is not iterable",
    "Something of type {type} was looped over or unpacked.",
    "Loop over a list or `range(n)`, not over a single value.",
)
PYTHON.say(
    r"TypeError: (?P<function>[\w.]+)\(\) missing (?P<n>\d+) required positional arguments?: (?P<names>.+)",
    "`{function}` was called without {names}.",
    "Give the missing argument; `help({function})` shows the signature.",
)
PYTHON.say(
    r"TypeError: (?P<function>[\w.]+)\(\) got an unexpected keyword argument '(?P<name>\w+)'",
    "`{function}` has no argument `{name}`.",
    "Check its spelling and the version of the package: `help({function})` lists the arguments.",
)
PYTHON.say(
    r"TypeError: (?P<function>[\w.]+)\(\) takes (?P<n>\d+) positional arguments? but (?P<m>\d+) (?:was|were) given",
    "`{function}` takes {n} positional arguments and got {m}.",
    "Name the further arguments (`name=value`), or leave them out.",
)
PYTHON.say(
    r"TypeError: can only concatenate str \(not \"(?P<type>\w+)\"\) to str",
    "A text and a value of type {type} were joined with `+`.",
    'Convert it with `str(x)`, or write an f-string: `f"{x}"`.',
)
PYTHON.say(
    r"TypeError: Could not convert (?:string |\[)?.* to numeric|TypeError: agg function failed "
    r"\[how->(?P<how>\w+),dtype->(?:object|str)\]|TypeError: .*does not support operation 'mean'",
    "A mean or sum was asked of a column that holds text.",
    "Pass `numeric_only=True`, as in `groupby(…).mean(numeric_only=True)`, or name the numeric columns.",
)
PYTHON.say(
    r"TypeError: '(?P<sign>[<>=]+)' not supported between instances of '(?P<one>\w+)' and '(?P<two>\w+)'",
    "Values of type {one} and {two} cannot be compared with `{sign}`.",
    "Convert them to one type first; a column of type object often mixes text and numbers.",
)
PYTHON.say(
    r"(?:FileNotFoundError|No such file or directory)[^'\"]*(?P<path>'[^']*'|\"[^\"]*\")?",
    "There is no file {path} where Python looks.",
    "Check the path; relative paths start at the notebook's folder, which `%pwd` shows and `%ls` lists.",
)
PYTHON.say(
    r"ImportError: cannot import name '(?P<name>\w+)' from '(?P<module>[\w.]+)'",
    "The module `{module}` has no `{name}`.",
    "It was renamed, or the installed version is older or newer than the code expects: `%pip show` tells the version.",
)
PYTHON.say(
    r"(?:IndentationError|TabError): (?P<message>.+)",
    "The indentation is wrong: {message}.",
    "Indent each block by four spaces, and do not mix tabs with spaces.",
)
PYTHON.say(
    r"SyntaxError: (?:'(?P<char>[(\[{])' was never closed|unexpected EOF while parsing|incomplete input)",
    "A bracket or a quote is not closed.",
    "Look at the line named and the one before it, and close what was opened.",
)
PYTHON.say(
    r"SyntaxError: invalid syntax\. (?:Maybe you meant '==' or ':='|Perhaps you forgot a comma)",
    "The code is not Python at the marked place.",
    "Write `==` to compare, and put commas between list elements and arguments.",
)
PYTHON.say(
    r"SyntaxError: (?P<message>.+)",
    "Python cannot read the code: {message}.",
    "Look at the marked place and just before it: a missing comma, colon, quote or bracket is the usual cause.",
)
PYTHON.say(
    r"ZeroDivisionError",
    "A number was divided by zero.",
    "Test the divisor first; on columns, division by zero gives `inf` instead, which `replace([np.inf, -np.inf], "
    "np.nan)` removes.",
)
PYTHON.say(
    r"RecursionError", "A function called itself too often.", "Check that the recursion has an end that is reached."
)
PYTHON.say(
    r"(?:MemoryError|Unable to allocate)",
    "There is not enough memory.",
    "Read only the columns you need (`usecols=`), use smaller types (`category`, `float32`), or query the file with "
    "DuckDB instead of loading it.",
)
PYTHON.say(
    r"UnicodeDecodeError: '(?P<codec>[\w-]+)' codec can't decode",
    "The file is not written in {codec}.",
    'Name its encoding, often Latin-1 or Windows-1252: `pd.read_csv(path, encoding="latin-1")`.',
)
PYTHON.say(
    r"(?:ParserError|Error tokenizing data)[^E]*(?:.*Expected (?P<n>\d+) fields in line (?P<line>\d+), saw "
    r"(?P<m>\d+))?",
    "The file has a line with more fields than the header (line {line}: {m} instead of {n}).",
    'Check the separator (`sep=";"`), lines before the header (`skiprows=`), and quotes.',
)
PYTHON.say(
    r"UnboundLocalError: .*'(?P<name>\w+)'",
    "`{name}` is assigned inside the function, so it is local there, and it was read before that.",
    "Pass it in as an argument, or give the local variable another name.",
)
PYTHON.say(
    r"SettingWithCopyWarning|ChainedAssignmentError",
    "A value was set on a copy of a part of the frame, so the frame itself may stay as it was.",
    "Set it in one step, `df.loc[condition, column] = value`, or take an explicit copy first: `df[condition].copy()`.",
)
PYTHON.say(
    r"DtypeWarning",
    "Some columns mix text and numbers, so pandas guessed their types in pieces.",
    "Say the types: `pd.read_csv(path, dtype={…})`, or `low_memory=False`.",
)
PYTHON.say(
    r"(?:ConnectionError|ConnectionRefusedError|Max retries exceeded|Name or service not known)",
    "The other machine could not be reached.",
    "Check the address, the network and a proxy, then try again.",
)
PYTHON.say(r"KeyboardInterrupt", "The cell was stopped by hand.", "Run it again when you want it to go on.")
PYTHON.say(
    r"AssertionError(?:: (?P<message>.+))?",
    "A check in the code (`assert`) did not hold. {message}",
    "Look at the condition after `assert` and print the values in it.",
)
PYTHON.say(r"StopIteration", "An iterator had no more elements.", "Use a `for` loop, or `next(iterator, default)`.")

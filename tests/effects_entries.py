"""Try what a list calls harmless: each function or method is called under the monitor, and what it did is told.

`python effects_entries.py pandas.DataFrame.head polars.col …` (or `r stats::sd …`, or `-` for names on standard input)
prints each that acts, or that no call reached. A name with `.*` is everything public below it.
"""

from __future__ import annotations

import argparse
import ast
import doctest
import importlib
import inspect
import json
import random
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from effects_monitor import Group, Seen, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_DF = "pd.DataFrame({'a': [1, 2, 2], 'b': [.5, 1.5, 2.5], 'c': ['x', 'y', 'y']})"
_OLS = "__import__('statsmodels.api').api.OLS([1., 2., 4.], [[1., 1.], [1., 2.], [1., 3.]])"
RECEIVERS = {
    "pandas.DataFrame": _DF,
    "pandas.Series": "pd.Series([1, 2, 2], name='a')",
    "pandas.Index": "pd.Index([1, 2, 3])",
    "pandas.RangeIndex": "pd.RangeIndex(3)",
    "pandas.MultiIndex": "pd.MultiIndex.from_tuples([('x', 1), ('y', 2)], names=['a', 'b'])",
    "pandas.Categorical": "pd.Categorical(['x', 'y'])",
    "pandas.CategoricalIndex": "pd.CategoricalIndex(['x', 'y'])",
    "pandas.CategoricalDtype": "pd.CategoricalDtype(['x', 'y'])",
    "pandas.Categories": "pd.Series(['x', 'y'], dtype='category').cat",
    "pandas.Dates": "pd.Series(pd.date_range('2024-01-01', periods=3)).dt",
    "pandas.DatetimeIndex": "pd.date_range('2024-01-01', periods=3)",
    "pandas.PeriodIndex": "pd.period_range('2024-01', periods=3, freq='M')",
    "pandas.TimedeltaIndex": "pd.timedelta_range('1 day', periods=3)",
    "pandas.IntervalIndex": "pd.interval_range(0, 3)",
    "pandas.Interval": "pd.Interval(0, 1)",
    "pandas.Period": "pd.Period('2024-01')",
    "pandas.Timedelta": "pd.Timedelta('1 day')",
    "pandas.Timestamp": "pd.Timestamp('2024-01-01 10:00')",
    "pandas.Rolling": "pd.DataFrame({'a': [1, 2, 2], 'b': [.5, 1.5, 2.5]}).rolling(2)",
    "pandas.Texts": "pd.Series(['x', 'y z']).str",
    "pandas.Options": "pd.options",
    "pandas.DataFrameGroupBy": "pd.DataFrame({'a': [1, 2, 2], 'b': [.5, 1.5, 2.5]}).groupby('a')",
    "pandas.SeriesGroupBy": "pd.DataFrame({'a': [1, 2, 2], 'b': [.5, 1.5, 2.5]}).groupby('a')['b']",
    "polars.DataFrame": "pl.DataFrame({'a': [1, 2, 2], 'b': [.5, 1.5, 2.5]})",
    "polars.LazyFrame": "pl.LazyFrame({'a': [1, 2, 2], 'b': [.5, 1.5, 2.5]})",
    "polars.GroupBy": "pl.DataFrame({'a': [1, 2, 2], 'b': [.5, 1.5, 2.5]}).group_by('a')",
    "polars.LazyGroupBy": "pl.LazyFrame({'a': [1, 2, 2], 'b': [.5, 1.5, 2.5]}).group_by('a')",
    "polars.Series": "pl.Series('a', [1, 2, 2])",
    "polars.Series.str": "pl.Series(['x', 'y z']).str",
    "polars.Series.dt": "pl.Series([__import__('datetime').datetime(2024, 1, 1)]).dt",
    "polars.Series.list": "pl.Series([[1, 2], [3]]).list",
    "polars.Series.arr": "pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)).arr",
    "polars.Series.bin": "pl.Series([b'x']).bin",
    "polars.Series.cat": "pl.Series(['x'], dtype=pl.Categorical).cat",
    "polars.Series.struct": "pl.Series([{'a': 1}]).struct",
    "polars.Expr": "pl.col('a')",
    **{
        f"polars.Expr.{part}": f"pl.col('a').{part}"
        for part in ("arr", "bin", "cat", "dt", "list", "name", "str", "struct")
    },
    "polars.When": "pl.when(pl.col('a') > 1)",
    "polars.Then": "pl.when(pl.col('a') > 1).then(1)",
    "numpy.ndarray": "np.array([[1., 2.], [3., 5.]])",
    "numpy.generic": "np.float64(1)",
    "numpy.dtype": "np.dtype('f8')",
    "numpy.random.Generator": "np.random.default_rng(1)",
    "numpy.random.RandomState": "np.random.RandomState(1)",
    "matplotlib.axes.Axes": "plt.figure().add_subplot()",
    "matplotlib.figure.Figure": "plt.figure()",
    "altair.Charts": "alt.Chart(pd.DataFrame({'a': [1, 2]}), mark='point')",
    "altair.Channel": "alt.X('a')",
    "altair.When": "alt.when('datum.a > 1').then(alt.value(1))",
    "altair.Expr": "alt.expr",
    "altair.Inline": "alt.Data(values=[{'a': 1}])",
    "matplotlib.AxesArray": "plt.subplots(2, 2)[1]",
    "matplotlib.artist.Artist": "plt.plot([1, 2])[0]",
    "matplotlib.axis.Axis": "plt.figure().add_subplot().xaxis",
    "matplotlib.colorbar.Colorbar": "plt.colorbar(plt.imshow([[1, 2], [3, 4]]))",
    "matplotlib.colors.Colormap": "plt.get_cmap('viridis')",
    "matplotlib.cm.ColormapRegistry": "__import__('matplotlib').colormaps",
    "matplotlib.container.Container": "plt.bar([1, 2], [1, 2])",
    "matplotlib.gridspec.SubplotSpec": "plt.GridSpec(2, 2)[0]",
    "matplotlib.gridspec.GridSpec": "plt.GridSpec(2, 2)",
    "matplotlib.transforms.Transform": "__import__('matplotlib.transforms').transforms.Affine2D()",
    "matplotlib.spines.Spines": "plt.figure().add_subplot().spines",
    "matplotlib.spines.Group": "plt.figure().add_subplot().spines[['top', 'left']]",
    "seaborn.axisgrid.Grid": "sns.FacetGrid(pd.DataFrame({'a': [1., 2., 3.], 'c': ['x', 'y', 'y']}), col='c')",
    "seaborn.palettes.Palette": "sns.color_palette()",
    "scipy.sparse.csr_matrix": "__import__('scipy.sparse').sparse.csr_matrix([[1., 0.], [0., 2.]])",
    "scipy.stats.rv_continuous": "__import__('scipy.stats').stats.norm",
    "scipy.stats.rv_frozen": "__import__('scipy.stats').stats.norm(0, 1)",
    "scipy.stats.multi_rv_generic": "__import__('scipy.stats').stats.multivariate_normal",
    "scipy.stats.multi_rv_frozen": "__import__('scipy.stats').stats.multivariate_normal([0, 0])",
    "scipy.stats.Result": "__import__('scipy.stats').stats.bootstrap(([1., 2., 3.],), np.mean, n_resamples=9)",
    "sklearn.utils.Bunch": "__import__('sklearn.datasets').datasets.load_iris()",
    "statsmodels.Results": f"{_OLS}.fit()",
    "statsmodels.iolib.summary.Summary": f"{_OLS}.fit().summary()",
    "statsmodels.iolib.table.SimpleTable": f"{_OLS}.fit().summary().tables[0]",
    "statsmodels.datasets.utils.Dataset": "__import__('statsmodels.api').api.datasets.longley.load()",
    "re.Pattern": "__import__('re').compile('a')",
    "re.Match": "__import__('re').match('a', 'abc')",
    "hashlib.Hash": "__import__('hashlib').sha256(b'a')",
    "urllib.parse.Parts": "__import__('urllib.parse').parse.urlparse('http://a/b')",
    "decimal.Decimal": "__import__('decimal').Decimal('1.5')",
    "fractions.Fraction": "__import__('fractions').Fraction(1, 2)",
    "statistics.NormalDist": "__import__('statistics').NormalDist()",
    "polars.Col": "pl.col",
    "polars.DataTypeExpr": "pl.dtype_of('a')",
    "polars.Field": "pl.Field('a', pl.Int64)",
    "polars.Schema": "pl.Schema({'a': pl.Int64})",
    "duckdb.DuckDBPyRelation": "duckdb.sql('SELECT 1 AS a')",
    "duckdb.DuckDBPyConnection": "duckdb.connect()",
    "builtins.str": "'a,b'",
    "builtins.list": "[1, 2]",
    "builtins.dict": "{'a': 1}",
    "builtins.set": "{1, 2}",
    "builtins.int": "3",
    "builtins.float": "1.5",
    "builtins.tuple": "(1, 2)",
    "builtins.bytes": "b'ab'",
    "builtins.iterator": "iter([1, 2])",
    "builtins.scalar": "1.5",
    "datetime.date": "__import__('datetime').date(2024, 1, 1)",
    "datetime.datetime": "__import__('datetime').datetime(2024, 1, 1)",
    "datetime.time": "__import__('datetime').time(1)",
    "datetime.timedelta": "__import__('datetime').timedelta(1)",
    "datetime.timezone": "__import__('datetime').timezone.utc",
    "collections.Counter": "__import__('collections').Counter('ab')",
    "io.StringIO": "__import__('io').StringIO('a')",
    "io.BytesIO": "__import__('io').BytesIO(b'a')",
    "pandas.Flags": "pd.DataFrame({'a': [1]}).flags",
    "pandas.NaTType": "pd.NaT",
    "pandas.Plots": "pd.DataFrame({'a': [1, 2, 3, 4], 'b': [.5, 1.5, 2.5, 1.]}).plot",
    "pandas.Sparse": "pd.Series([1.], index=pd.MultiIndex.from_tuples([('x', 1)])).astype('Sparse[float]').sparse",
    "pandas.arrays.BooleanArray": "pd.array([True, None])",
    "pandas.arrays.DatetimeArray": "pd.date_range('2024-01-01', periods=3).array",
    "pandas.arrays.FloatingArray": "pd.array([1.5, None])",
    "pandas.arrays.IntegerArray": "pd.array([1, None])",
    "pandas.arrays.IntervalArray": "pd.interval_range(0, 3).array",
    "pandas.arrays.NumpyExtensionArray": "pd.arrays.NumpyExtensionArray(np.array([1., 2.]))",
    "pandas.arrays.PeriodArray": "pd.period_range('2024-01', periods=3, freq='M').array",
    "pandas.arrays.SparseArray": "pd.arrays.SparseArray([0., 1.])",
    "pandas.arrays.StringArray": "pd.array(['x', None], dtype='string')",
    "pandas.arrays.TimedeltaArray": "pd.timedelta_range('1 day', periods=3).array",
    "pandas.io.formats.style.Styler": "pd.DataFrame({'a': [1, 2], 'b': [.5, 1.5]}).style",
    "numpy.broadcast": "np.broadcast([1, 2], [3])",
    "numpy.finfo": "np.finfo(float)",
    "numpy.iinfo": "np.iinfo(int)",
    "numpy.ma.MaskedArray": "np.ma.array([[1., 2.], [3., 5.]], mask=[[True, False], [False, False]])",
    "numpy.poly1d": "np.poly1d([1, 2])",
    "numpy.vectorize": "np.vectorize(lambda *each: each[0])",
    **{
        f"numpy.polynomial.{kind}": f"np.polynomial.{kind}([1, 2, 3])"
        for kind in ("Chebyshev", "Hermite", "HermiteE", "Laguerre", "Legendre", "Polynomial")
    },
}
"""Objects whose methods are tried, by class; of other classes one is made without arguments, or none is reached."""
MADE_OF_ROWS: dict[str, list[str]] = json.loads(Path(__file__).with_name("effects_receivers.json").read_text("utf-8"))
"""The same of classes that learn, made of `_ROWS`; the first of them that has a method is asked for it."""

_SHORT = {
    "np": "numpy", "pd": "pandas", "pl": "polars", "plt": "matplotlib.pyplot", "alt": "altair", "sns": "seaborn",
    "duckdb": "duckdb",
}  # fmt: skip


def _with_imports(code: str) -> str:
    used = [f"import {module} as {short}\n" for short, module in _SHORT.items() if re.search(rf"\b{short}\.", code)]
    return "".join(used) + code


# A call has a second of the processor and an entry three, so that none takes what is left to the others.
# Positional arguments, from none on: a call that is taken is a try. Texts are names of files as well: one that
# is there and one that is not, so that whatever writes, or deletes, where an argument says so is seen to do it.
_TRY = """
import signal as _signal, time as _time
_reached, _left = 0, 3
def _stop(*_):
    raise TimeoutError
_handler = _signal.signal(_signal.SIGVTALRM, _stop)
def _try(*args, **named):
    global _reached, _left
    if _left <= 0:
        return
    _began = _time.process_time()
    _signal.setitimer(_signal.ITIMER_VIRTUAL, 1)
    try:
        with __import__('warnings').catch_warnings(action='ignore'):
            _result = _target()(*args, **named)
            if hasattr(_result, '__next__'):
                next(_result, None)
            if hasattr(_result, '__exit__'):
                with _result:
                    pass
        _reached += 1
    except BaseException:  # panics of polars are no Exception
        pass
    finally:
        _signal.setitimer(_signal.ITIMER_VIRTUAL, 0)
        _left -= _time.process_time() - _began
"""
_END = """
_signal.signal(_signal.SIGVTALRM, _handler)
plots = __import__('sys').modules.get('matplotlib.pyplot')
for number in plots.get_fignums()[:2] if plots else ():
    try:
        plots.figure(number).canvas.draw()
    except Exception:
        pass
if plots:
    plots.close('all')
if not _reached:
    raise LookupError('no call was taken')
"""
_ATTEMPTS = """
_first = ['HITKEEP', 'made', '{server}/x', 'a', 1, ['a'], [1., 2.], len, {df}, {pl}, np.array([1., 2., 4.])]
_try()
for _one in _first:
    _try(_one)
    for _two in ('made', 'a', 1, [1., 2.]):
        _try(_one, _two)
for _name in {names}:
    for _value in ('made', 'HITKEEP', True):
        _try(**{{_name: _value}})
        for _one in ('a', 1, [1., 2.], {df}):
            _try(_one, **{{_name: _value}})
"""
_TEXTS = ["'HITKEEP'", "'made'", "'{{server}}/x'", "'a'"]
_DATA = [*_TEXTS, "1", "2", ".5", "0", "'D'", "'UTC'", "b'x'", "[1, 2]", "int", "pd.Timestamp('2024-01-01')",
         "pl.col('a')", "[1., 2., 4.]", "slice(0, 2)", "{'a': 'b'}", "('x', 1)", "pl.Int64", "['a']", "True",
         "[0, 1, 1]", "['a b', 'b', 'c']", RECEIVERS["pandas.DataFrame"], RECEIVERS["polars.DataFrame"],
         "np.array([1., 2., 4.])", "np.array([[1., 2.], [3., 5.], [2., 0.]])", "pd.Series([1., 2., 2.])",
         "[pd.DataFrame({'a': [1]}), pd.DataFrame({'a': [2]})]"]  # fmt: skip
_KINDS = {
    "data": _DATA, "anything": [*_DATA, "len"], "callable_or_text": ["'a'", "lambda *each: each[0]", "[1, 2, 2]"],
    "named_aggregation": ["('a', 'sum')"], "plain": [*_TEXTS, "1", "['a']"], "callable": ["lambda *each: each[0]", "1"],
    "function": ["lambda *each: each[0]"], "aggregation": ["'sum'", "['sum', 'mean']"], "path": ["'data.csv'"],
    "settings": [*_DATA, "{'a': [1]}"], "written": [*_TEXTS, "['a']"],
    "vega": ["'datum.a > 1'"], "frame_code": ["'a > 1'"], "formula": ["'b ~ a'"], "sql": ["'SELECT 1 AS a'"],
}  # fmt: skip
_MOST_CALLS = 40
_MOST_LINES = 150


def _calls(signature: str) -> str:
    """Lines that call by a listed signature: each parameter with each kind of value that the signature lets through."""
    given = ast.parse(f"def _{signature}: ...").body[0].args
    placed = [*given.posonlyargs, *given.args]
    required = len(placed) - len(given.defaults)
    values = {each.arg: _values(each.annotation) for each in [*placed, *given.kwonlyargs]}
    needed = [each.arg for each in placed[:required]]
    needed_names = [each.arg for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True) if not default]
    lines = []
    kinds = [values[name] for name in [*needed, *needed_names]]
    alike = [tuple(kind[min(at, len(kind) - 1)] for kind in kinds) for at in range(len(_DATA))] if all(kinds) else []
    mixed = random.Random(0)
    others = [tuple(mixed.choice(kind) for kind in kinds) for _ in range(_MOST_CALLS)] if all(kinds) else []
    for chosen in dict.fromkeys([*alike, *others]):
        # The widest sets first are of no use: what changes from line to line is the last of them.
        by_name = [f"{name}={value}" for name, value in zip(needed_names, chosen[len(needed) :], strict=True)]
        lines.append(", ".join([*chosen[: len(needed)], *by_name]))
    needed_lines = list(dict.fromkeys(lines))
    starts = lines[:: max(1, len(lines) // 2)][:2] or [""]
    optional = [each.arg for each in placed[required:]] + [each.arg for each in given.kwonlyargs]
    for name in optional:
        if name not in needed_names and name not in {each.arg for each in given.posonlyargs}:
            some = _some(values[name], mixed)
            lines += [", ".join(filter(None, [start, f"{name}={value}"])) for value in some for start in starts]
    if given.vararg:
        lines += [
            ", ".join(filter(None, [start, value])) for value in _values(given.vararg.annotation) for start in starts
        ]
    if given.kwarg:
        lines += [
            ", ".join(filter(None, [start, f"a={value}"]))
            for value in _values(given.kwarg.annotation)
            for start in starts
        ]
    left = [line for line in dict.fromkeys(lines) if line not in needed_lines]
    chosen = needed_lines + mixed.sample(left, min(len(left), _MOST_LINES))
    return "".join(f"_try({line})\n" for line in chosen)


# All names of files, since those tell what writes, and a few of all else.
def _some(values: list[str], chance: random.Random) -> list[str]:
    others = [each for each in values if each not in _TEXTS]
    return [each for each in values if each in _TEXTS] + chance.sample(others, min(6, len(others)))


def _values(kind: ast.expr | None) -> list[str]:
    if kind is None:
        return _DATA
    name = kind.func if isinstance(kind, ast.Call) else kind
    word = name.id if isinstance(name, ast.Name) else ""
    if word == "only" and isinstance(kind, ast.Call):
        return [ast.unparse(each) for each in kind.args]
    if word == "of" and isinstance(kind, ast.Call):
        return [made for each in kind.args if (made := RECEIVERS.get(ast.unparse(each)))]
    return _KINDS.get(word, [])


@dataclass(frozen=True)
class Tried:
    """What became of an entry: whether a call reached it, and what it did."""

    name: str
    reached: bool
    effects: tuple[tuple[str, str], ...]


def found(name: str) -> tuple[object, str]:
    """What a dotted name stands for, and the name of the class whose method it is, or nothing.

    Raises:
        LookupError: There is no such thing.
    """
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            held = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        owner = ""
        for place, part in enumerate(parts[end:], end):
            owner = ".".join(parts[:place]) if inspect.isclass(held) else ""
            if not hasattr(held, part):
                raise LookupError(name)
            held = getattr(held, part)
        return held, owner
    raise LookupError(name)


def cells_for(name: str, signature: str | None = None) -> list[str]:
    """Cells that call an entry: with a signature only as that allows, else by its own example, and every way there is.

    Raises:
        LookupError: There is no such thing.
    """
    whole, _, attributes = name.partition(_READ)
    if attributes:
        owner = whole.rstrip(".")
        program = f"import {owner.partition('.')[0]}\n{_receiver(owner)}{_TRY}_names = {attributes.split()!r}\n"
        reading = "for _name in _names:\n    _target = lambda: (lambda: getattr(_receiver(), _name))\n    _try()\n"
        return [_with_imports(program + reading + _END)]
    owner, _, method = name.rpartition(".")
    if owner in RECEIVERS or owner in MADE_OF_ROWS:
        held: object = len if signature is not None else None  # a call, or only looked up
    else:
        held, owner = found(name)
    if owner:
        target = f"import {owner.partition('.')[0]}\n{_receiver(owner, method)}_target = lambda: _receiver().{method}\n"
        if not callable(held):
            return [_with_imports(f"{target}_ = _target()")]
    else:
        module = _module_of(name)
        target = f"import {module}\n_target = lambda: {name}\n"
        if not callable(held):
            return [f"{target}_target()"]
    if signature is not None:
        more = ""
        if name.startswith(_LEARN):
            target, more = _ROWS + target, _calls_of_rows(name, owner)
        return [_with_imports(f"{target}{_TRY}{_calls(signature)}{more}{_END}")]
    try:
        names = [
            each.name
            for each in inspect.signature(held).parameters.values()
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY) and each.name not in {"self", "cls"}
        ]
    except (TypeError, ValueError):
        names = []
    generated = (
        target
        + _TRY
        + _ATTEMPTS.format(
            server="{{server}}", names=names, df=RECEIVERS["pandas.DataFrame"], pl=RECEIVERS["polars.DataFrame"]
        )
        + _END
    )
    return [_with_imports(generated), *_own_example(held)]


def _calls_of_rows(name: str, owner: str) -> str:
    fits = _OF_FITS if name.startswith("statsmodels.") and not owner else ""
    made = "".join(f"lambda: {each}, " for each in MADE_OF_ROWS.get(name, ()))
    return _OF_ROWS + fits + (_MADE.format(made=made) if made else "")


def _module_of(name: str) -> str:
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        return ".".join(parts[:end])
    return "builtins"


def _own_example(held: object) -> list[str]:
    try:
        parsed = doctest.DocTestParser().get_examples(getattr(held, "__doc__", None) or "")
    except ValueError:
        return []
    code = "".join(each.source for each in parsed if doctest.SKIP not in each.options)
    return [_with_imports(code)] if code else []


R_ATTEMPTS = """
reached <- 0
f <- getExportedValue("{package}", "{name}")
take <- function(...) tryCatch({{ force(f(...)); reached <<- reached + 1 }}, error = function(e) NULL)
df <- data.frame(a = c(1, 2, 2), b = c("x", "y", "y"))
take()
for (first in list("made", "HITKEEP", "{{{{server}}}}/x", 1, c(1, 2, 4), df, mean, y ~ x)) {{
  take(first)
  for (second in list("made", 1, df)) take(first, second)
}}
for (formal in setdiff(names(formals(args(f))), "...")) for (value in list("made", "HITKEEP", TRUE)) {{
  do.call(take, structure(list(value), names = formal))
  for (first in list(1, df)) do.call(take, structure(list(first, value), names = c("", formal)))
}}
if (!reached) stop("no call was taken")
"""


_READ = "attributes: "


def listed(folder: Path) -> dict[str, str | None]:
    """The entries of Python's lists in a folder, each with the signature that it is listed with.

    Those attributes of a class are one entry without a signature.
    """
    entries: dict[str, str | None] = {}
    for file in sorted(folder.glob("*.json")):
        held = json.loads(file.read_text(encoding="utf-8"))
        entries |= held.get("functions", {})
        for name, kind in held.get("classes", {}).items():
            if "init" in kind:
                entries[name] = kind["init"]
            entries |= {f"{name}.{method}": text for method, text in kind.get("methods", {}).items()}
            if "call" in kind:
                entries[f"{name}.__call__"] = kind["call"]
            if kind.get("attributes"):
                entries[f"{name}.{_READ}{' '.join(sorted(kind['attributes']))}"] = None
    return entries


def try_entries(
    names: Iterable[str], language: str = "python", *, signatures: Mapping[str, str | None] | None = None
) -> list[Tried]:
    """Call each entry in a process of its own, and tell what it did.

    Args:
        names: Dotted names in Python (`pandas.DataFrame.head`), `package::function` in R.
        language: ``python`` or ``r``.
        signatures: What the lists let through of each; of others every way to call them is tried.
    """
    names = list(names)
    seconds = 60.0 if signatures is not None else 20.0
    cells: list[tuple[str, str]] = []
    for name in names:
        try:
            made = cells_for(name, (signatures or {}).get(name)) if language == "python" else [_r_cell(name)]
        except LookupError:
            made = []
        cells += [(name, code) for code in made]
    used = {module for _, code in cells for module in re.findall(r"(?m)^import (\S+)", code)}
    modules = ["IPython", "matplotlib.pyplot", "sklearn.linear_model", *sorted(used)] if language == "python" else None
    seen = _seen([code for _, code in cells], language, modules, seconds)
    effects: dict[str, list[tuple[str, str]]] = {name: [] for name in names}
    reached = set()
    _note(cells, seen, effects, reached)
    if signatures is not None:  # what none of these values suit may have an example of its own
        rest = [(name, code) for name in names if name not in reached for code in _example_of(name)]
        _note(rest, _seen([code for _, code in rest], language, modules, seconds), effects, reached)
    return [Tried(name, name in reached, tuple(dict.fromkeys(effects[name]))) for name in names]


_ROWS = """
import numpy as np
from sklearn.linear_model import LinearRegression as _Linear, LogisticRegression as _Logistic
_x = np.random.default_rng(0).random((10, 3))
_y = np.array([1., 2., 3., 2., 1., 2., 3., 1., 2., 2.])
_c = np.array([0, 1, 1, 0, 1, 0, 1, 0, 1, 0])
_t = np.random.default_rng(0).random(60).cumsum()
_api = __import__('importlib').import_module
"""
# What takes a table with a column to be told, a column and what was told of it, a model and what it learns from.
_OF_ROWS = """
for _given in ((_x,), (_x, _y), (_x, _c), (_c, _c), (_y, _y), (_c, _x[:, 0]), (_x, _x), (_x, _c, _x), (_y,),
               (_Logistic(), _x, _c), (_Linear().fit(_x, _y), _x, _y), (_x @ _x.T, 2), (_x, 2), (_x[:3, :3],)):
    _try(*_given)
"""
_OF_FITS = """
_fit = _api('statsmodels.api').OLS(_y, _x).fit()
for _given in ((_fit,), (_fit, 0), (_fit, 'x1'), (_t,), (_t, 2), (_t, _t[::-1]), (_x.T @ _x,), ([_x.T @ _x] * 2,),
               (pd.DataFrame(_x),), (_c, _x), (_t[:, None],), (np.column_stack([_t, _t[::-1] ** 2]), 2),
               ([_x[:, 0], _y],),
               (_y, _x, _c), ([1., .5], [1., .2]), (10, 20), ('2000m1', None, 5), ('2000q1', '2001q1')):
    _try(*_given)
"""
_MADE = """
for _make in ({made}):
    try:
        _make()
        _reached += 1
    except Exception:
        pass
"""
# Models are tried as they stand after they have learned from what of these they take.
_LEARNED = """
_kind = {owner}
_texts = ['a b', 'b c', 'c d a', 'a', 'b b', 'c', 'd a', 'a c']
_gives = [(), (_Linear(),), (_Logistic(),), ([('a', _Linear())],), ([('a', _Logistic())],), (2,), (_x,), (_y, _x),
    ([('a', 'passthrough', [0])],), (_Logistic(), {{'C': [1., 2.]}}), (_x[:3, :3],), (lambda *each: each[0],)]
_learns = [(_x, _y), (_x, _c), (_x,), (_y, _c), (_texts, _c[:8]), (_c,), (_c[:, None],), ([{{'a': 1}}],), ()]
def _learned():
    made = None
    for give in _gives:
        try:
            made = _kind(*give)
        except Exception:
            continue
        for name in ('n_estimators', 'max_iter', 'n_init', 'n_components'):
            if hasattr(made, 'set_params') and name in made.get_params(False):
                made.set_params(**{{name: 2}})
        for learn in _learns:
            try:
                made.fit(*learn)
            except Exception:
                continue
            return made
    return made
def _receiver():
    return _held
_held = _learned()
"""
_PLOTS = ("matplotlib.", "seaborn.")
_LEARN = ("sklearn.", "statsmodels.", "scipy.")


_FIRST = """
def _with_it():
    for make in ({made}):
        try:
            if hasattr(made := make(), {method!r}):
                return made
        except Exception:
            pass
_held = _with_it()
def _receiver():
    return _held
"""


def _receiver(owner: str, method: str = "") -> str:
    if owner in MADE_OF_ROWS:
        made = "".join(f"lambda: {each}, " for each in MADE_OF_ROWS[owner])
        return f"{_ROWS}{_FIRST.format(made=made, method=method)}"
    if owner.startswith(_LEARN) and owner not in RECEIVERS:
        module = _module_of(owner)
        return f"import {module}\n{_ROWS}{_LEARNED.format(owner=owner)}"
    if owner.startswith(_PLOTS):  # one figure for all calls, which is drawn at the end
        return f"_held = {RECEIVERS.get(owner, f'{owner}()')}\n_receiver = lambda: _held\n"
    return f"_receiver = lambda: ({RECEIVERS.get(owner, f'{owner}()')})\n"


_TOGETHER = 20


# Many share a process, which is quicker; of those that were not quiet together each is tried in one of its own.
def _seen(codes: list[str], language: str, modules: list[str] | None, seconds: float) -> list[Seen]:
    if language != "python":
        return watch(codes, language, modules=modules, seconds=seconds)
    groups = [Group(codes[at : at + _TOGETHER]) for at in range(0, len(codes), _TOGETHER)]
    seen = watch(groups, language, modules=modules, seconds=seconds / 4)
    again = [at for at, each in enumerate(seen) if each.effects]
    alone = watch([codes[at] for at in again], language, modules=modules, seconds=seconds) if again else []
    for at, each in zip(again, alone, strict=True):
        seen[at] = each
    return seen


def _note(
    cells: list[tuple[str, str]], seen: list[Seen], effects: dict[str, list[tuple[str, str]]], reached: set[str]
) -> None:
    for (name, _), each in zip(cells, seen, strict=True):
        effects[name] += each.effects
        if each.ended and not each.error:
            reached.add(name)


# The example of an entry, or of the class whose method it is, where that calls it.
def _example_of(name: str) -> list[str]:
    owner, _, called = name.rpartition(".")
    for each in (name, owner):
        try:
            held, _ = found(each)
        except LookupError:
            continue
        if examples := [code for code in _own_example(held) if re.search(rf"\b{called}\(", code)]:
            return examples
    return []


def _r_cell(name: str) -> str:
    package, _, function = name.partition("::")
    return R_ATTEMPTS.format(package=package, name=function)


def expanded(name: str) -> list[str]:
    """The public names below `pandas.DataFrame.*`, or the name itself."""
    if not name.endswith(".*"):
        return [name]
    held, _ = found(name[:-2])
    return [f"{name[:-2]}.{each}" for each in dir(held) if not each.startswith("_")]


PART = 400
"""How many entries are told of at once, so that a run that is ended has told of those before."""


def in_parts(names: Sequence[str], tries: Callable[[Sequence[str]], Iterable[AnyTried]], minutes: float | None) -> int:
    """Try entries part by part and print what acts or was not reached; the exit code, 1 where something acts.

    Args:
        names: All entries.
        tries: Tries some of them.
        minutes: When no further part is begun; None for as long as it takes.
    """
    until = None if minutes is None else time.monotonic() + minutes * 60
    counted = acting = unreached = 0
    for start in range(0, len(names), PART):
        if until is not None and time.monotonic() > until:
            print(f"out of time before {names[start]}", file=sys.stderr)
            break
        for each in tries(names[start : start + PART]):
            counted, acting, unreached = counted + 1, acting + bool(each.effects), unreached + (not each.reached)
            what = "; ".join(f"{kind} {done}" for kind, done in each.effects[:3])
            if what or not each.reached:
                print(f"{each.name}\t{'reached' if each.reached else 'NOT REACHED'}\t{what or 'no effect'}", flush=True)
        told = f"{counted} of {len(names)} tried, {acting} with an effect, {unreached} not reached"
        print(told, file=sys.stderr, flush=True)
    return 1 if acting else 0


class AnyTried(Protocol):
    """What became of an entry of either language."""

    @property
    def name(self) -> str: ...

    @property
    def reached(self) -> bool: ...

    @property
    def effects(self) -> tuple[tuple[str, str], ...]: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--minutes", type=float, help="begin nothing new after so many; without it all are tried")
    parser.add_argument("--lists", type=Path, help="a folder of lists; the names that count are all that stand there")
    options = parser.parse_args()
    signatures = listed(options.lists) if options.lists else None
    names = options.names or list(signatures or {})
    language = "python"
    if names and names[0] in {"python", "r"}:
        language, names = names[0], names[1:]
    if names == ["-"]:
        names = sys.stdin.read().split()
    chosen = [each for name in names for each in expanded(name)]
    told = in_parts(chosen, lambda part: try_entries(part, language, signatures=signatures), options.minutes)
    raise SystemExit(told)


if __name__ == "__main__":
    main()

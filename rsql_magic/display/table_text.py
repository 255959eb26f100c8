"""The values of a table as short texts, for every place that shows one; and texts without what a terminal obeys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 200
"""Characters of a value that are shown."""

_DIGITS = 6  # that a column's largest number is shown with
_CENTS = 2  # decimals that are shown of larger numbers, too
_MOST_FIXED = 1e15  # beyond, a float has no decimals of its own


def rows(frame: pd.DataFrame) -> list[tuple[str | None, ...]]:
    """The rows of a small frame, as ``texts`` shows its columns.

    Example:
        >>> import pandas as pd
        >>> rows(pd.DataFrame({"a": ["x", None], "b": [1.5, 2.25]}))
        [('x', '1.50'), (None, '2.25')]
    """
    return list(zip(*(texts(frame.iloc[:, number]) for number in range(frame.shape[1])), strict=True))


def on_the_right(frame: pd.DataFrame) -> list[bool]:
    """Which columns hold numbers, which stand on the right so that their digits line up.

    Example:
        >>> import pandas as pd
        >>> on_the_right(pd.DataFrame({"a": ["x"], "b": [1.5], "c": [True]}))
        [False, True, False]
    """
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return [bool(is_numeric_dtype(kind) and not is_bool_dtype(kind)) for kind in frame.dtypes]


def texts(column: pd.Series[Any]) -> list[str | None]:
    """The values of a column; None stands for no value.

    Floating-point numbers have as many decimals as the others, so that the digits line up: what six significant digits
    of the largest allow, two at least, and no more than any of them needs. Where that would hide a small one, each is
    shown by itself.

    Example:
        >>> import pandas as pd
        >>> texts(pd.Series([21.92066, 15.557, None]))
        ['21.9207', '15.5570', None]
        >>> texts(pd.Series([1234567.5, 0.25]))
        ['1234567.50', '0.25']
        >>> texts(pd.Series([1000.0, 0.0000125]))
        ['1000', '1.25e-05']
    """
    import pandas as pd

    values = [None if pd.api.types.is_scalar(value) and pd.isna(value) else value for value in column]
    floats = [value for value in values if isinstance(value, float)]
    decimals = _decimals(floats)
    return [None if value is None else _text(value, decimals) for value in values]


def _text(value: Any, decimals: int | None) -> str:
    if not isinstance(value, float):
        return _shortened(str(value))
    return f"{value:.{_DIGITS}g}" if decimals is None else f"{value:.{decimals}f}"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _decimals(floats: list[float]) -> int | None:
    """How many decimals show all of these numbers; None where no common number does."""
    sizes = [abs(value) for value in floats if value and abs(value) != float("inf")]
    if not sizes:
        return 0 if floats else None
    if max(sizes) >= _MOST_FIXED:
        return None
    before_point = len(str(int(max(sizes))))
    most = max(_CENTS, _DIGITS - before_point)
    if min(sizes) < 10.0 ** (1 - most):  # fewer than two digits of it would be seen
        return None
    return min(most, max(len(f"{size:.{most}f}".rstrip("0").partition(".")[2]) for size in sizes))

"""Everything that is not a frame: models, functions, numbers, text and collections, in a line or two each.

Values are not shown unless they are the user's own settings: numbers, flags, and the keys of a record. A text may be a
patient's name and the keys of a mapping may be e-mail addresses, so both are described by length and type alone.
"""

from __future__ import annotations

import inspect
import re
import types
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rsql_magic.context.facts import one_line
from rsql_magic.context.privacy import clean
from rsql_magic.context.telling import says_personal, says_secret
from rsql_magic.context.tokens import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rsql_magic.context.sources import Detail

_LONGEST_RECORD = 20
_LONGEST_NUMBER = 7
_SCANNED = 1_000
_CALLABLE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)
_COLLECTIONS = (list, tuple, set, frozenset, dict)


class ObjectSource:
    """Any Python object as a context source; the last one asked, because it knows them all."""

    kind = "object"

    def matches(self, obj: Any) -> bool:  # noqa: ARG002 - it knows everything
        """Whether the object is known: always."""
        return True

    def describe(self, obj: Any, name: str, detail: Detail) -> str:
        """The object's name and what may be said of it."""
        if says_personal(name) and detail.level != "sample":
            detail = replace(detail, level="names")
        said = f"{one_line(name)}: {_describe(obj, detail)}"
        return cut(clean(said, detail.redacted), detail.budget)


def _describe(obj: Any, detail: Detail) -> str:
    if issubclass(type(obj), _CALLABLE):
        return _function(obj, detail)
    if type(obj) in _SCALARS:
        return _SCALARS[type(obj)](obj, detail)
    if type(obj) in _COLLECTIONS:
        return _collection(obj, detail)
    return _model(obj, detail) or _class_of(obj)


def _class_of(obj: Any) -> str:
    module = type(obj).__module__.split(".")[0]
    return type(obj).__qualname__ if module in {"builtins", "__main__"} else f"{module} {type(obj).__qualname__}"


def _number(obj: Any, detail: Detail) -> str:
    """A number; a long one may be somebody's telephone or account, so only its length is said."""
    if detail.level == "names":
        return type(obj).__name__
    if type(obj) is int and abs(obj) >= 10**_LONGEST_NUMBER:
        return "int of more than seven digits"
    return f"{type(obj).__name__} {one_line(repr(obj), 40)}"


def _text(obj: str | bytes, detail: Detail) -> str:
    kind = f"{type(obj).__name__}, {len(obj):,} {'characters' if isinstance(obj, str) else 'bytes'}"
    if detail.level != "sample" or not isinstance(obj, str):
        return kind
    return f"{kind}: {one_line(repr(clean(obj[:10_000], detail.redacted)), 100)}"


_SCALARS: dict[type, Callable[[Any, Detail], str]] = {
    int: _number,
    float: _number,
    complex: _number,
    bool: _number,
    type(None): lambda _obj, _detail: "None",
    str: _text,
    bytes: _text,
}


def _collection(obj: Any, detail: Detail) -> str:
    """A list's length and the types in it; a record's keys."""
    size = f"{type(obj).__name__} of {len(obj):,}"
    if detail.level == "names" or not obj:
        return size
    if isinstance(obj, dict):
        return f"{size}: {_record(obj) or _mapping(obj)}"
    return f"{size} {_kinds(obj)}{_extent(obj)}"


# Types of values that a mapping from people to facts may have; numbers are of one kind.
_PLAIN: dict[type, type] = {int: float, float: float, bool: float, str: str, bytes: str}


def _record(obj: Mapping[Any, Any]) -> str:
    """The keys of a record such as settings or columns; empty for a mapping from one kind of thing to another.

    A record has few keys that are names, and values that are frames, lists or of different types. The keys of any
    other mapping are data: ``{"ada@example.org": 3, …}``.
    """
    if len(obj) > _LONGEST_RECORD or not all(type(key) is str and key.isidentifier() for key in obj):
        return ""
    kinds = {_PLAIN.get(type(value), type(value)) for value in obj.values()} - {type(None)}
    if len(kinds) < 2 and kinds <= set(_PLAIN.values()):
        return ""
    return ", ".join(f"{one_line(key, 40)} {_class_of(value)}" for key, value in obj.items())


def _mapping(obj: Mapping[Any, Any]) -> str:
    return f"{_kinds(obj)} → {_kinds(obj.values())}"


def _kinds(values: Any) -> str:
    found = dict.fromkeys(_class_of(value) for value, _ in zip(values, range(_SCANNED), strict=False))
    return " | ".join(list(found)[:4]) + (" | …" if len(found) > 4 else "")


def _extent(values: Any) -> str:
    scanned = [value for value, _ in zip(values, range(_SCANNED), strict=False)]
    if len(scanned) < 2 or not all(type(value) in {int, float} for value in scanned):
        return ""
    about = "≈" if len(scanned) < len(values) else ""
    return f": {about}{min(scanned):.4g}..{max(scanned):.4g}"


def _function(obj: Any, detail: Detail) -> str:
    """A function's or class's signature and the first paragraph of its docstring."""
    kind = "class" if issubclass(type(obj), type) else "function"
    try:
        signature = str(inspect.signature(obj)) if detail.level == "sample" else _bare_signature(obj)
    except (TypeError, ValueError):  # built-in functions may have none
        signature = "(…)"
    doc = inspect.getdoc(obj) if kind == "function" or "__doc__" in vars(obj) else ""
    first = clean((doc or "").partition("\n\n")[0], detail.redacted)
    signature = one_line(clean(signature, detail.redacted), 200)
    return f"{kind} {one_line(obj.__name__)}{signature}" + (f": {one_line(first, 200)}" if first else "")


def _bare_signature(obj: Any) -> str:
    """A signature without the values of defaults, which may be anything, secrets too, but numbers and flags."""
    signature = inspect.signature(obj)
    plain = [
        parameter
        if parameter.default is parameter.empty or type(parameter.default) in {int, float, bool, type(None)}
        else parameter.replace(default=_Ellipsis())
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=plain))


class _Ellipsis:
    """Stands for a default value that is not shown."""

    def __repr__(self) -> str:
        return "…"


def _model(obj: Any, detail: Detail) -> str:
    """A model of sklearn or statsmodels, known by what it can do and not by its class."""
    cls = type(obj)
    if callable(getattr(cls, "get_params", None)) and callable(getattr(cls, "fit", None)):
        return _estimator(obj, detail)
    if callable(getattr(cls, "summary", None)) and hasattr(obj, "params") and hasattr(obj, "model"):
        return _fitted_result(obj)
    if callable(getattr(cls, "fit", None)) and hasattr(obj, "endog_names"):
        return f"{_class_of(obj)}, not fitted{_formula(obj)}"
    return ""


def _estimator(obj: Any, detail: Detail) -> str:
    """Sklearn's convention: attributes that end in an underscore appear when the estimator is fitted."""
    fitted = any(key.endswith("_") and not key.startswith("_") for key in vars(obj))
    said = f"{_class_of(obj)}, {'fitted' if fitted else 'not fitted'}"
    if detail.level == "names":
        return said
    params = {key: value for key, value in obj.get_params(deep=False).items() if not says_secret(key)}
    shown = [f"{key}={one_line(repr(value), 40)}" for key, value in params.items() if type(value) in {int, float, bool}]
    features = [str(name) for name in getattr(obj, "feature_names_in_", ())]
    return "; ".join(
        [
            said,
            *([f"parameters {', '.join(shown[:12])}"] if shown else []),
            *([f"features {_some(features)}"] if features else []),
        ]
    )


_LEVEL = re.compile(r"\[[^]]*\]")
"""The category in a coefficient's name: ``C(diagnosis)[T.flu]``."""


def _fitted_result(obj: Any) -> str:
    """statsmodels: results carry the model that made them."""
    listed = getattr(obj.params, "index", getattr(obj.model, "exog_names", ()))
    names = list(dict.fromkeys(_LEVEL.sub("[…]", str(name)) for name in listed))
    model = type(obj.model).__qualname__
    return f"{_class_of(obj)} of {model}, fitted{_formula(obj.model)}" + (
        f"; coefficients {_some(names)}" if names else ""
    )


def _formula(model: Any) -> str:
    formula = getattr(model, "formula", None)
    return f"; formula {one_line(formula, 200)}" if isinstance(formula, str) else ""


def _some(names: list[str], most: int = 20) -> str:
    shown = ", ".join(one_line(name, 40) for name in names[:most])
    return f"{shown}, … ({len(names):,} in all)" if len(names) > most else shown

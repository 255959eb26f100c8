"""Everything that is not a frame: models, functions, numbers, text and collections, in a line or two each."""

# Values are not shown unless they are the user's own settings: numbers, flags, and the keys of a record. A text may be
# a patient's name and the keys of a mapping may be e-mail addresses, so both are described by length and type alone.

from __future__ import annotations

import inspect
import re
import types
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import is_dataclass, replace
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any

from rsql_magic.context.reader import Names, place_of
from rsql_magic.context.value_names import SessionValues
from rsql_magic.redaction import clean, message_without_data, says_personal, says_secret
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rsql_magic.context.sources import Detail

_LONGEST_RECORD = 20
_LONGEST_NUMBER = 7
_SCANNED = 1_000
_MOST_NAMES = 100_000
_CALLABLE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)
_COLLECTIONS = (list, tuple, set, frozenset, dict, OrderedDict, defaultdict, Counter, deque)


class ObjectSource:
    """Any Python object as a context source; the last one asked, because it knows them all."""

    kind = "object"

    def matches(self, obj: Any) -> bool:  # noqa: ARG002 - it knows everything
        """Whether the object is known: always."""
        return True

    def reader(self, obj: Any) -> Names | None:
        """The names that the object goes by which may be values of the session's data."""
        return Names([str(name) for name in found]) if (found := _names_of(obj)) else None

    def describe(self, obj: Any, name: str, detail: Detail) -> str:
        """The object's name and what may be said of it."""
        if says_personal(name) and detail.level != "sample":
            detail = replace(detail, level="names")
        return f"{one_line(name)}: {_describe(obj, detail)}"


def _names_of(obj: Any) -> list[Any]:
    """Keys of a record, features of a model, fields of a row, variables of a data set."""
    cls = type(obj)
    if issubclass(cls, _CALLABLE) or cls in _SCALARS:
        return []
    if cls in _COLLECTIONS:
        return list(obj) if isinstance(obj, dict) and len(obj) <= _LONGEST_RECORD else []
    fields: list[Any] = [*_field_names(cls), *map(_column_in, _channels(obj).values())]
    for found in (getattr(obj, "feature_names_in_", ()), _exog_names(obj), getattr(obj, "data_vars", ())):
        fields += _texts_in(found)
    return fields


def _texts_in(found: Any) -> list[str]:
    """The texts of what an attribute holds; none where it is nothing to go through, as a mock's."""
    try:
        return [name for name in islice(found, _MOST_NAMES) if isinstance(name, str)]
    except TypeError:
        return []


def _exog_names(obj: Any) -> list[str]:
    """What statsmodels calls the columns of a model, fitted or not."""
    names = getattr(getattr(obj, "model", obj), "exog_names", None)
    return names if isinstance(names, list) else []


def _describe(obj: Any, detail: Detail) -> str:
    cls = type(obj)
    if issubclass(cls, _CALLABLE):
        return _function(obj, detail)
    if cls in _SCALARS:
        return _SCALARS[cls](obj, detail)
    if cls in _COLLECTIONS:
        return _collection(obj, detail)
    if issubclass(cls, Enum):
        return f"member of {_class_of(obj)}"
    package = place_of(cls)[0]
    if package == "numpy" and hasattr(obj, "item") and type(obj.item()) in {int, float, bool}:
        return f"numpy {_number(obj.item(), detail)}"
    chart = _chart(obj, detail) if package == "altair" else ""
    return chart or _model(obj, detail) or f"{_class_of(obj)}{_shape(obj, detail)}{_fields(cls, detail)}"


def _class_of(obj: Any) -> str:
    cls = type(obj)
    module, name = place_of(cls)[0], type.__getattribute__(cls, "__qualname__")
    return name if module in {"builtins", "__main__"} else f"{module} {name}"


def _shape(obj: Any, detail: Detail) -> str:
    """Shape and type of an array of any library, such as scipy's sparse matrices or a tensor; its named dimensions."""
    sizes = getattr(obj, "sizes", None)
    shape, kind = getattr(obj, "shape", None), getattr(obj, "dtype", None)
    if sizes is not None and hasattr(type(obj), "dims") and callable(getattr(sizes, "items", None)):
        dims = ", ".join(f"{one_line(str(name), 40)} {size:,}" for name, size in islice(sizes.items(), 8))
        names = _texts_in(getattr(obj, "data_vars", ()))
        return f" ({dims})" + (f"; variables {_some(_said(names, detail))}" if names else "")
    if not isinstance(shape, tuple) or not shape or not all(type(size) is int for size in shape):
        return ""
    written = f" {one_line(str(kind), 40)}" if kind is not None else ""
    return f" ({' × '.join(f'{size:,}' for size in shape)}){written}"


def _fields(cls: type, detail: Detail) -> str:
    """The fields of a record class; those of a row of a frame are the frame's columns."""
    return f" with fields {_some(names)}" if (names := _said(_field_names(cls), detail)) else ""


def _field_names(cls: type) -> list[str]:
    """The fields of a dataclass or a named tuple."""
    names = list(getattr(cls, "_fields", ())) if issubclass(cls, tuple) else []
    names = list(vars(cls)["__dataclass_fields__"]) if "__dataclass_fields__" in vars(cls) else names
    return [str(name) for name in names]


def _said(names: list[str], detail: Detail) -> list[str]:
    """Those of the names that are no values."""
    return names if detail.level == "sample" else (detail.values or SessionValues()).said(names)


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
    **dict.fromkeys((int, float, complex, bool), _number),
    **dict.fromkeys((str, bytes), _text),
    type(None): lambda _obj, _detail: "None",
}


def _collection(obj: Any, detail: Detail) -> str:
    """A list's length and the types in it; a record's keys."""
    size = f"{type(obj).__name__} of {len(obj):,}"
    if detail.level == "names" or not obj:
        return size
    if isinstance(obj, dict):
        return f"{size}: {_record(obj, detail) or f'{_kinds(obj)} → {_kinds(obj.values())}'}"
    return f"{size} {_kinds(obj)}{_extent(obj, detail)}"


# Types of values that a mapping from people to facts may have; numbers are of one kind.
_PLAIN: dict[type, type] = {int: float, float: float, bool: float, str: str, bytes: str}


def _record(obj: Mapping[Any, Any], detail: Detail) -> str:
    """The keys of a record such as settings or columns; empty for a mapping from one kind of thing to another."""
    # A record has few keys that are names, and values of different types. The keys of any other mapping are data:
    # `{"ada@example.org": 3, …}`, or the groups of a frame by diagnosis.
    if len(obj) > _LONGEST_RECORD or not all(type(key) is str and key.isidentifier() for key in obj):
        return ""
    kinds = {_PLAIN.get(type(value), type(value)) for value in obj.values()} - {type(None)}
    if len(kinds) < 2 or (detail.level != "sample" and detail.values and detail.values.names.intersection(obj)):
        return ""
    return ", ".join(f"{one_line(key, 40)} {_class_of(value)}" for key, value in obj.items())


def _kinds(values: Any) -> str:
    found = dict.fromkeys(_class_of(value) for value, _ in zip(values, range(_SCANNED), strict=False))
    return " | ".join(list(found)[:4]) + (" | …" if len(found) > 4 else "")


def _extent(values: Any, detail: Detail) -> str:
    scanned = [value for value, _ in zip(values, range(_SCANNED), strict=False)]
    if len(scanned) < detail.at_least or not all(type(value) in {int, float} for value in scanned):
        return ""
    ends = ((end, f"{end:.4g}") for end in (min(scanned), max(scanned)))
    part = len(scanned) < len(values)
    return ": " + "..".join(f"≈{text}" if part or float(text) != end else text for end, text in ends)


def _function(obj: Any, detail: Detail) -> str:
    """A function's or class's signature and the first paragraph of its docstring."""
    cls = type(obj)
    if issubclass(cls, type) and issubclass(obj, Enum):
        return f"enumeration {one_line(obj.__name__)} of {len(obj.__members__):,}"
    kind = "class" if issubclass(cls, type) else "function"
    doc = _first_paragraph(obj, kind, detail)
    return f"{kind} {one_line(obj.__name__)}{_signature(obj, detail)}" + (f": {doc}" if doc else "")


def _first_paragraph(obj: Any, kind: str, detail: Detail) -> str:
    """What the docstring says first; a dataclass without one has its signature there."""
    if kind == "class" and ("__doc__" not in vars(obj) or is_dataclass(obj)):
        return ""
    first = clean((inspect.getdoc(obj) or "").partition("\n\n")[0], detail.redacted)
    return one_line(first if detail.level == "sample" else message_without_data(first, frozenset()), 200)


def _signature(obj: Any, detail: Detail) -> str:
    try:
        signature = str(inspect.signature(obj) if detail.level == "sample" else _bare_signature(obj, detail))
    except (TypeError, ValueError):  # built-in functions may have none
        return "(…)"
    return one_line(clean(signature, detail.redacted), 200)


def _bare_signature(obj: Any, detail: Detail) -> inspect.Signature:
    """A signature without what may be data: values of defaults but numbers and flags, texts in annotations."""
    signature = inspect.signature(obj)
    plain = [_bare_parameter(parameter, detail) for parameter in signature.parameters.values()]
    return signature.replace(parameters=plain, return_annotation=_bare_annotation(signature.return_annotation))


def _bare_parameter(parameter: inspect.Parameter, detail: Detail) -> inspect.Parameter:
    default = parameter.default
    shown = default is parameter.empty or default is None or type(default) is bool
    if not shown and type(default) in {int, float} and detail.level != "names":
        shown = abs(default) < 10**_LONGEST_NUMBER and not says_secret(parameter.name)
        shown = shown and not says_personal(parameter.name)
    bare = _bare_annotation(parameter.annotation)
    return parameter.replace(default=default if shown else _Ellipsis(), annotation=bare)


def _bare_annotation(annotation: Any) -> Any:
    """An annotation that names classes; anything else may quote values: ``Literal["flu"]``."""
    if isinstance(annotation, type) or _NAMES.fullmatch(str(annotation)):
        return annotation
    return inspect.Parameter.empty


_NAMES = re.compile(r"[\w.]+(?:(?:, ?| \| |[\[\]])+[\w.]*)*")


class _Ellipsis:
    """Stands for a default value that is not shown."""

    def __repr__(self) -> str:
        return "…"


def _chart(obj: Any, detail: Detail) -> str:
    """The mark of an Altair chart and what its channels show; empty where they show no column."""
    if not (channels := _channels(obj)):
        return ""
    said = set(_said([_column_in(shown) for shown in channels.values()], detail))
    told = (f"{name} {one_line(shown, 60)}" for name, shown in channels.items() if _column_in(shown) in said)
    mark = getattr(obj.mark, "type", obj.mark)
    return f"{_class_of(obj)}, {one_line(str(mark), 20)}: {', '.join(told)}"


def _channels(obj: Any) -> dict[str, str]:
    """What the channels of an Altair chart show, as it was written: ``x`` of ``sum(amount):Q``."""
    if place_of(type(obj))[0] != "altair":
        return {}
    given = getattr(getattr(obj, "encoding", None), "_kwds", None)
    shown = {name: getattr(channel, "shorthand", None) for name, channel in (given or {}).items()}
    return {name: text for name, text in shown.items() if isinstance(text, str)}


def _column_in(shown: str) -> str:
    """The column of what a channel shows.

    Example:
        >>> _column_in("sum(amount):Q")
        'amount'
    """
    return re.sub(r"^\w+\(|\)?(?::[A-Z])?$", "", shown)


def _model(obj: Any, detail: Detail) -> str:
    """A model of sklearn or statsmodels, known by what it can do and not by its class."""
    cls = type(obj)
    if callable(getattr(cls, "get_params", None)) and callable(getattr(cls, "fit", None)):
        return _estimator(obj, detail)
    fitted = hasattr(obj, "params") and callable(getattr(obj, "summary", None))
    if fitted and (_exog_names(obj) or isinstance(getattr(getattr(obj, "model", None), "formula", None), str)):
        return _fitted_result(obj, detail)  # statsmodels wraps its results: the class itself has no summary
    if callable(getattr(cls, "fit", None)) and hasattr(obj, "endog_names"):
        return f"{_class_of(obj)}, not fitted{_formula(obj, detail)}"
    return ""


def _estimator(obj: Any, detail: Detail) -> str:
    """Sklearn's estimators; one that holds others, such as a pipeline, says which."""
    said = f"{_class_of(obj)}, {'fitted' if _is_fitted(obj) else 'not fitted'}"
    params = {key: value for key, value in obj.get_params(deep=False).items() if not says_secret(key)}
    parts = [_class_of(part).rpartition(" ")[2] for value in params.values() for part in _estimators_in(value)]
    said += f"; of {_some(parts)}" if parts else ""
    if detail.level == "names":
        return said
    shown = [
        f"{key}={one_line(repr(value), 40)}"
        for key, value in params.items()
        if type(value) in {int, float, bool} and not says_personal(key) and abs(value) < 10**_LONGEST_NUMBER
    ]
    features = _said(_texts_in(getattr(obj, "feature_names_in_", ())), detail)
    said += f"; parameters {', '.join(shown[:12])}" if shown else ""
    return said + (f"; features {_some(features)}" if features else "")


def _is_fitted(obj: Any) -> bool:
    """Whether sklearn calls it fitted: by its own word, else by attributes that end in an underscore."""
    asked = getattr(obj, "__sklearn_is_fitted__", None)
    return bool(asked()) if asked else any(key.endswith("_") and not key.startswith("_") for key in vars(obj))


def _estimators_in(value: Any) -> list[Any]:
    """Estimators in a parameter: one, or those in steps such as ``("scale", StandardScaler())``."""
    if hasattr(type(value), "get_params"):
        return [value]
    steps = value if isinstance(value, list) else []
    return [part for step in steps if isinstance(step, tuple) for part in step if hasattr(type(part), "get_params")]


# The category in a coefficient's name: `C(diagnosis)[T.flu]`.
_LEVEL = re.compile(r"\[[^]]*\]")


def _fitted_result(obj: Any, detail: Detail) -> str:
    """statsmodels: results carry the model that made them. A coefficient may be named by a category."""
    said = f"{_class_of(obj)} of {type(obj.model).__qualname__}, fitted{_formula(obj.model, detail)}"
    if detail.level == "names":
        return said
    listed: Any = getattr(obj.params, "index", None)
    listed = getattr(obj.model, "exog_names", ()) if listed is None else listed
    plain = [message_without_data(_LEVEL.sub("[…]", str(name)), frozenset()) for name in listed]
    names = _said(list(dict.fromkeys(plain)), detail)
    return said + (f"; coefficients {_some(names)}" if names else "")


def _formula(model: Any, detail: Detail) -> str:
    """A formula without the texts in it: ``y ~ x + I(diagnosis == '…')``."""
    if not isinstance(formula := getattr(model, "formula", None), str):
        return ""
    if detail.level != "sample":
        suppressed = detail.values.names if detail.values else frozenset()
        formula = message_without_data(formula, frozenset())
        formula = re.sub(r"[^\W\d]\w*", lambda word: "…" if word[0] in suppressed else word[0], formula)
    return f"; formula {one_line(formula, 200)}"


def _some(names: list[str], most: int = 20) -> str:
    shown = ", ".join(one_line(name, 40) for name in names[:most])
    return f"{shown}, … ({len(names):,} in all)" if len(names) > most else shown

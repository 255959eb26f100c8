"""The notebook that a question sees, and the values of its variables in the question."""

# `{{name}}` becomes the value of that name, in one pass: a field within a value is text. A name is a name, never code.
# All other braces are text, also `{name}` and, as R's tidy evaluation has it, `{{ name }}` with spaces. `{{In[3]}}` is
# a cell, `{{Out[5]}}` its result and `{{Err}}` the last error.

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import BuiltinFunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from rsql_magic.context import Mentions, describe, error_text, known_names
from rsql_magic.errors import BadInput, UnknownName
from rsql_magic.gateway import Origin
from rsql_magic.redaction import says_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from rsql_magic.config import Rsql
    from rsql_magic.sql import Catalog, Privacy

_FIELD = re.compile(r"\{\{(?:(In|Out)\[(\d+)\]|([^\W\d]\w*))\}\}")
# Code, formulas, f-strings and SQL: braces and dollars there belong to them.
_CODE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.+?\$\$|\$(?=\S)[^$\n]*?(?<=\S)\$(?!\w)"
    r"|\b[fFrRbB]{1,2}(?:\"[^\"\n]*\"|'[^'\n]*')|^\s*(?:SELECT\b|WITH\s+\w+\s+AS\b|run:).*",
    re.S | re.M | re.I,
)
_MEANT = re.compile(
    r"(?<![\w{}\\^$(=])\{([^\W\d]\w*)\}(?!\})|(?<![\w$\\{])\$(?:\{([^\W\d]\w*)\}|([^\W\d]\w*))(?![\w$(])"
)
_IPYTHON = frozenset({"In", "Out", "exit", "quit", "get_ipython", "open", "display"})
_PLAIN = (str, int, float, complex, bool, type(None))


@dataclass(frozen=True)
class NotebookSnapshot:
    """The notebook as a question finds it."""

    namespace: Mapping[str, Any] = field(default_factory=dict)  # with those of the function around the cell
    cells: Sequence[Any] = ()  # sources of the cells run so far, oldest first
    error: BaseException | str | None = None
    origin: Origin = field(default_factory=Origin)
    results: frozenset[str] = frozenset()  # variables that hold what a question gave (``-o``)
    own: frozenset[str] = frozenset()  # those of them that an earlier run of this cell gave
    failed: str = ""  # the cell of the error, as it was typed; empty where that cannot be told

    def sources(self, question: str, names: Collection[str] = ()) -> Mapping[str, Any]:
        """The variables that a question may be answered from; a result (``-o``) is none unless it is named."""
        # A cell that runs again does not read what it gave the first time, whatever words its question has.
        asked = Mentions(question)
        unnamed = {
            name for name in self.results if name not in names and (name in self.own or not asked.mentions(name))
        }
        return {name: value for name, value in self.namespace.items() if name not in unnamed}


def interpolate(
    text: str,
    namespace: Mapping[str, Any],
    *,
    describe: Callable[[Any, str], str] | None = None,
    error: str = "",
    limit: int = 20_000,
) -> str:
    """The text with its ``{{name}}`` fields filled in.

    ``describe`` gives the text of anything that is neither text nor a number, such as a data frame; ``error`` is that
    of ``{{Err}}``, and ``limit`` the most characters that one field may bring.

    Raises:
        UnknownName: A field names nothing.
        BadInput: A value is longer than the limit.

    Example:
        >>> interpolate("Why is {{x}} not {y}?", {"x": 3, "y": 4})
        'Why is 3 not {y}?'
    """

    def fill(match: re.Match[str]) -> str:
        value = _lookup(match, namespace, error)
        shown = str if isinstance(value, _PLAIN) else repr
        filled = describe(value, match[0][2:-2]) if describe and shown is repr else shown(value)
        if len(filled) > limit:
            reason = f"{match[0]} holds {len(filled):,} characters; at most {limit:,} may go into a question."
            raise BadInput(reason, hint="Pass a part of it, or raise %config Rsql.max_value_chars.")
        return filled

    return _FIELD.sub(fill, text)


def filled(
    question: str,
    snapshot: NotebookSnapshot,
    settings: Rsql,
    level: Privacy,
    *,
    catalog: Callable[[], Catalog | None],
    attached: Sequence[str] = (),
) -> str:
    """The question with its ``{{names}}`` filled in; ``catalog`` gives the tables whose names an error may hold."""
    _refuse_long(settings.max_question_chars, question)  # before anything reads it
    namespace, error = snapshot.namespace, ""
    if "{{Err}}" in question:
        known = None if level == "sample" else known_names(namespace, catalog())
        error = error_text(snapshot.error, known=known)
    text = interpolate(
        question.strip(),
        namespace,
        describe=lambda value, name: describe(value, name, level, namespace=namespace),
        error=error,
        limit=settings.max_value_chars,
    )
    if not text:
        raise BadInput("There is no question.", hint="Write it below the first line.")
    _refuse_long(settings.max_question_chars, text, *attached)
    return text


def _refuse_long(most: int, *texts: str) -> None:
    if (length := sum(map(len, texts))) > most:
        hint = "Shorten it, or pass the data as a frame and name that."
        raise BadInput(f"The question has {length:,} characters; at most {most:,} are sent.", hint=hint)


def unfilled(text: str, namespace: Mapping[str, Any]) -> str:
    """A hint on ``{name}`` and ``$name`` in a question where ``name`` is a variable; empty where there is none.

    Example:
        >>> unfilled("Customers from {city}?", {"city": "Oslo"})
        '{city} was sent as it stands: did you mean {{city}}?'
        >>> unfilled("What does f'{city}' give?", {"city": "Oslo"})
        ''
    """
    found = {
        match[0]: name
        for match in _MEANT.finditer(_CODE.sub(" ", text))
        if (name := match[1] or match[2] or match[3]) in namespace and _is_users(name, namespace[name])
    }
    if not found:
        return ""
    meant = " and ".join(f"{{{{{name}}}}}" for name in dict.fromkeys(found.values()))
    sent = "was sent as it stands" if len(found) == 1 else "were sent as they stand"
    return f"{' and '.join(found)} {sent}: did you mean {meant}?"


def _lookup(match: re.Match[str], namespace: Mapping[str, Any], error: str) -> Any:
    store, number, name = match[1], match[2], match[3]
    if store:
        try:
            return namespace.get(store)[int(number)]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            what, field_ = "source" if store == "In" else "result", f"{{{{{store}[{number}]}}}}"
            hint = f"Look at {store} for those there are."
            raise UnknownName(f"{field_}: there is no {what} of a cell {number}.", hint=hint) from None
    if says_secret(name or ""):
        hint = "Give what may be sent another name."
        raise BadInput(f"{match[0]} is called like a secret, and is not read.", hint=hint)
    if name in namespace:
        return namespace[name]
    if name == "Err":
        if error:
            return error
        raise UnknownName("There is no error, or it was mended.", hint="Leave {{Err}} out.")
    close = get_close_matches(name, [known for known in namespace if _is_users(known, namespace[known])], 1)
    meant = f"Did you mean {{{{{close[0]}}}}}? " if close else ""
    hint = f"{meant}Write {{{{ {name} }}}} with spaces to keep the braces as text."
    raise UnknownName(f"{match[0]} names nothing in this notebook.", hint=hint)


# Whether a name is one that the user may have meant: nothing of IPython's or of the language.
def _is_users(name: str, value: Any) -> bool:
    return not name.startswith("_") and name not in _IPYTHON and not isinstance(value, ModuleType | BuiltinFunctionType)

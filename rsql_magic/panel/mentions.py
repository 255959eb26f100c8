"""``@mentions`` in a question: what a person wants described, whatever else is.

``@flights`` is a variable or a table, ``@r:mtcars`` an object of R, ``@cell:5`` a cell that was run. An ``@`` inside a
word or between backticks is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.context import as_typed
from rsql_magic.databases import is_connection, is_frame
from rsql_magic.display import fenced
from rsql_magic.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rsql_magic.answers import NotebookSnapshot
    from rsql_magic.sql import Catalog

Kind = Literal["frame", "object", "table", "r", "cell"]

_MENTION = re.compile(
    r"(?P<code>`+)[^`].*?(?P=code)|(?<![\w@./])@(?:(?P<kind>r|cell|table):)?(?P<name>[^\W\d][\w]*(?:\.\w+)*|\d+)", re.S
)
_LONGEST_CELL = 20_000  # characters of a cell that are sent
_MOST = 40  # most completions of one kind


@dataclass(frozen=True)
class Mention:
    """One ``@mention`` as typed, what it names, and the nearest name (``like``) for one that is not known.

    Of R's objects only R knows whether they are there.
    """

    text: str
    kind: Kind
    name: str
    known: bool = True
    like: str = ""

    @property
    def missing(self) -> UnknownName:
        """The error of one that names nothing."""
        what = f"There is no cell {self.name} to send" if self.kind == "cell" else f"{self.text} names nothing here"
        hint = f"Did you mean @{self.like}?" if self.like else "It was renamed or deleted; type @ to see what there is."
        return UnknownName(f"{what}.", hint=hint)


def mentions_in(
    text: str, snapshot: NotebookSnapshot, catalog: Catalog | None, in_r: Callable[[], Sequence[str]] | None = None
) -> list[Mention]:
    """The mentions of a question, each once, in order; without ``in_r`` all of R's objects are taken to be there."""
    found = {match[0]: _resolved(match, snapshot, catalog) for match in _matches(text)}
    if in_r is not None and any(each.kind == "r" for each in found.values()):
        names = in_r()
        found = {text: _looked_up(each, names) if each.kind == "r" else each for text, each in found.items()}
    return list(found.values())


def _looked_up(mention: Mention, names: Sequence[str]) -> Mention:
    near = get_close_matches(mention.name, names, 1)
    like = f"r:{near[0]}" if near else ""
    return replace(mention, known=mention.name in names, like=like)


def names_in(text: str) -> list[str]:
    """The mentions of a question as they were typed, each once; nothing is looked up.

    Example:
        >>> names_in("Is @a like @r:b and @a?")
        ['@a', '@r:b']
    """
    return list(dict.fromkeys(match[0] for match in _matches(text)))


def waiting(name: str, why: str) -> dict[str, Any]:
    """A mention as a view shows it while it cannot be looked up."""
    return {"text": name, "kind": "waiting", "tokens": 0, "shown": why, "missing": ""}


def _matches(text: str) -> Iterator[re.Match[str]]:
    return (match for match in _MENTION.finditer(text) if match["name"])


def _resolved(match: re.Match[str], snapshot: NotebookSnapshot, catalog: Catalog | None) -> Mention:
    text, kind, name = match[0], match["kind"], match["name"]
    if kind == "cell":
        return Mention(text, "cell", name, name.isdecimal() and bool(_source(snapshot, int(name)).strip()))
    if kind == "r":
        return Mention(text, "r", name)
    if kind is None and name in snapshot.namespace:
        return Mention(text, "frame" if is_frame(snapshot.namespace[name]) else "object", name)
    if catalog is not None and catalog.get(name) is not None:
        return Mention(text, "table", name)
    near = get_close_matches(name, [*_public(snapshot.namespace), *(table.name for table in catalog or ())], 1)
    return Mention(text, "object", name, known=False, like=near[0] if near else "")


def _source(snapshot: NotebookSnapshot, number: int) -> str:
    try:
        return as_typed(str(snapshot.cells[number]))
    except IndexError:
        return ""


def spelled(text: str, snapshot: NotebookSnapshot, mentions: Sequence[Mention]) -> str:
    """The question as it is sent: mentions by their names, the cells' sources below.

    Example:
        >>> from rsql_magic.answers import NotebookSnapshot
        >>> snapshot = NotebookSnapshot({}, ["", "x = 1"])
        >>> print(spelled("Why @cell:1?", snapshot, mentions_in("Why @cell:1?", snapshot, None)))
        Why In[1]?
        <BLANKLINE>
        In[1]:
        ```
        x = 1
        ```
    """
    names = {each.text: f"In[{each.name}]" if each.kind == "cell" else each.name for each in mentions}
    question = _MENTION.sub(lambda match: names.get(match[0], match[0]), text)
    cells = [each for each in mentions if each.kind == "cell"]
    return "\n\n".join([question, *(f"In[{each.name}]:\n{_shown(snapshot, int(each.name))}" for each in cells)])


def _shown(snapshot: NotebookSnapshot, number: int) -> str:
    # Doubled braces in a cell are its own, not fields to fill in.
    return fenced(_source(snapshot, number)[:_LONGEST_CELL].replace("{{", "{ {"))


def described(mentions: Sequence[Mention]) -> tuple[str, ...]:
    """Names that must be described."""
    return tuple(each.name for each in mentions if each.kind in {"frame", "object", "r"})


def completions(
    prefix: str, snapshot: NotebookSnapshot, catalog: Catalog | None, r_names: Sequence[str] = ()
) -> list[dict[str, str]]:
    """What an ``@`` can stand for, best first: frames, tables, R's objects, cells, other variables."""
    space, wanted = snapshot.namespace, prefix.lower()
    names = _public(space)
    frames = [name for name in names if is_frame(space[name])]
    others = [name for name in names if name not in frames and _is_data(space[name])]
    cells = [
        (f"cell:{number}", _first_line(source))
        for number, source in reversed(list(enumerate(map(str, snapshot.cells))))
        if source.strip()
    ]
    offers = [
        *((name, "frame", "") for name in frames),
        *((table.full_name, "table", "") for table in catalog or ()),
        *((f"r:{name}", "R", "") for name in r_names),
        *((name, "cell", line) for name, line in cells[:10]),
        *((name, _class_of(space[name]), "") for name in others),
    ]
    fitting = [offer for offer in offers if wanted in offer[0].lower()]
    fitting.sort(key=lambda offer: not offer[0].lower().startswith(wanted))
    return [{"label": f"@{name}", "kind": kind, "detail": detail} for name, kind, detail in fitting[:_MOST]]


def _public(namespace: Mapping[str, object]) -> list[str]:
    hidden = {"In", "Out", "get_ipython", "exit", "quit", "open"}
    return sorted(name for name in namespace if not name.startswith("_") and name not in hidden)


def _is_data(value: object) -> bool:
    kind = _class_of(value)
    return kind not in {"module", "type", "ABCMeta", "builtin_function_or_method"} and not is_connection(value)


def _class_of(value: object) -> str:
    return str(type.__getattribute__(type(value), "__name__"))  # a metaclass of the user's might fail


def _first_line(source: str) -> str:
    line = source.strip().partition("\n")[0]
    return line if len(line) <= 40 else line[:39] + "…"

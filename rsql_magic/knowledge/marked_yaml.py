"""YAML and JSON as plain values that know their lines, read within bounds."""

# A file may come from anybody, so its size, depth and expanded size are bounded, and no tag makes an object. The tree
# is built from the parser's events with a stack of our own: the C composer recurses, and deep nesting ends the process.
# Plain scalars follow the core schema of YAML 1.2: `no` is a text, and so is a date.

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LARGEST_YAML = 8 << 20  # bytes
LARGEST_JSON = 64 << 20  # bytes; dbt writes large manifests
DEEPEST = 60  # levels of nesting
MOST_VALUES = 400_000  # values, where what stands behind an alias counts at each place

_INT = re.compile(r"[-+]?[0-9]{1,300}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,4})?\Z")
_BASED = re.compile(r"0x[0-9a-fA-F]{1,60}\Z|0o[0-7]{1,60}\Z")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)\Z")
_FIXED: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}


class Marked(dict[Any, Any]):
    """A mapping with the line that it begins on, and that of each of its keys; 0 where none is known."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int = 0) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[Any, int] = {}


class MarkedList(list[Any]):
    """A list with the line that it begins on, and that of each of its items."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int = 0) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []


def line_of(value: Any, key: Any = None) -> int:
    """The line of a key or item of a value, or of the value itself; 0 where it is not known.

    Example:
        >>> line_of(read_yaml("a: {b: 1}", "d.yaml")["a"], "b")
        1
    """
    lines = getattr(value, "lines", None)
    if isinstance(lines, dict) and key in lines:
        return int(lines[key])
    if isinstance(lines, list) and isinstance(key, int) and 0 <= key < len(lines):
        return int(lines[key])
    return int(getattr(value, "line", 0))


def place(name: str, line: int) -> str:
    """Where something is written, in words.

    Example:
        >>> place("data-dict.yaml", 12)
        'data-dict.yaml, line 12'
    """
    return f"{name}, line {line}" if line else name


def read_text(path: Path, name: str = "") -> str:
    """The text of a file of at most `LARGEST_JSON` or `LARGEST_YAML` bytes, in UTF-8 or, with its mark, in UTF-16.

    Raises:
        BadInput: It cannot be read, is too large, or is no text.
    """
    name = name or str(path)
    most = LARGEST_JSON if path.suffix == ".json" else LARGEST_YAML
    try:
        with path.open("rb") as file:
            written = file.read(most + 1)
    except OSError as problem:
        reason = f"The data dictionary {name} cannot be read: {problem.strerror}."
        raise BadInput(reason, hint="Check the path.") from None
    if len(written) > most:
        raise BadInput(f"{name} is larger than {most >> 20} MB.", hint="Leave out the tables that nobody asks about.")
    utf_16 = written[:2] in {b"\xff\xfe", b"\xfe\xff"}
    try:
        return written.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as problem:
        line = written[: problem.start].count(b"\n") + 1
        reason = f"{place(name, line)} is no valid YAML: it is not in UTF-8."
        raise BadInput(reason, hint="Save the file as UTF-8.") from None


def read_json(text: str, name: str) -> Any:
    """A JSON document.

    Raises:
        BadInput: It is none.
    """
    try:
        return json.loads(text)
    except ValueError as problem:
        line = getattr(problem, "lineno", 0)
        raise BadInput(f"{place(name, line)} is no valid JSON.", hint="Write the file anew.") from None
    except RecursionError:
        raise BadInput(f"{name} is nested too deeply.", hint="Write the file anew.") from None


def read_yaml(text: str, name: str) -> Any:
    """A YAML document of plain values; mappings and lists know their lines.

    Raises:
        BadInput: It is no YAML, holds a key twice, a tag or a second document, or is too large or deep.

    Example:
        >>> read_yaml("answers: [yes, true, 2013-01-31, 07]", "d.yaml")
        {'answers': ['yes', True, '2013-01-31', 7]}
    """
    import yaml  # type: ignore[import-untyped]

    if len(text) > LARGEST_YAML:
        raise BadInput(f"{name} is larger than {LARGEST_YAML >> 20} MB.", hint="Leave out what nobody asks about.")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Tree(name).of(yaml.parse(text, Loader=loader), yaml)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        said = getattr(problem, "problem", None) or getattr(problem, "reason", None) or "it cannot be parsed"
        where = place(name, mark.line + 1 if mark else 0)
        raise BadInput(f"{where} is no valid YAML: {_plain(str(said))}.", hint="Correct that line.") from None


def _plain(said: str) -> str:
    return "a tab is used for indentation" if "'\\t'" in said else said


class _Tree:
    """Values in the making."""

    def __init__(self, name: str) -> None:
        self.name = name
        # What is open: a container, the key that waits for its value, and how many values it holds so far.
        self.open: list[list[Any]] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.names: list[str | None] = []  # the anchors of what is open
        self.root: Any = None
        self.documents = 0

    def of(self, events: Iterable[Any], yaml: Any) -> Any:
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._add(self._scalar(event), 1, event.anchor, event)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                self._begin(event, mapping=kind is yaml.MappingStartEvent)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                container, _, values = self.open.pop()
                if kind is yaml.MappingEndEvent and "<<" in container:
                    self._merge(container)
                self._add(container, values, self.names.pop(), event, container.line)
            elif kind is yaml.AliasEvent:
                if event.anchor not in self.anchors:
                    raise self._wrong(event, f"*{event.anchor} stands for nothing that is complete")
                value, values = self.anchors[event.anchor]
                self._add(value, values, None, event)
            elif kind is yaml.DocumentStartEvent:
                self.documents += 1
                if self.documents > 1:
                    raise self._wrong(event, "a second document begins here")
        return self.root

    def _wrong(self, event: Any, what: str) -> BadInput:
        return BadInput(f"{place(self.name, event.start_mark.line + 1)}: {what}.", hint="Correct that line.")

    def _begin(self, event: Any, *, mapping: bool) -> None:
        self._known(event)
        if len(self.open) >= DEEPEST:
            raise self._wrong(event, f"nested more than {DEEPEST} levels deep")
        line = event.start_mark.line + 1
        self.open.append([Marked(line) if mapping else MarkedList(line), _NOTHING, 1])
        self.names.append(event.anchor)

    def _known(self, event: Any) -> None:
        if event.tag and event.tag != "!" and event.tag not in _TAGS:
            raise self._wrong(event, f"the tag {event.tag} has no meaning here")

    def _scalar(self, event: Any) -> Any:
        self._known(event)
        if event.tag in {"!", "tag:yaml.org,2002:str"} or event.style in {"'", '"', "|", ">"}:
            return event.value
        return core(event.value)

    def _add(self, value: Any, values: int, anchor: str | None, event: Any, line: int = 0) -> None:
        line = line or event.start_mark.line + 1
        if anchor:
            self.anchors[anchor] = value, values
        if not self.open:
            self.root = value
            return
        top = self.open[-1]
        container = top[0]
        top[2] += values
        if top[2] > MOST_VALUES:
            raise self._wrong(event, f"with its aliases it holds more than {MOST_VALUES:,} values")
        if isinstance(container, MarkedList):
            container.append(value)
            container.lines.append(line)
        elif top[1] is _NOTHING:
            if isinstance(value, (dict, list)):
                raise self._wrong(event, "a list or mapping is no name")
            if value in container:
                first = container.lines[value]
                raise self._wrong(event, f"{value!r} stands twice, also in line {first}")
            top[1] = value
            container.lines[value] = line
        else:
            container[top[1]] = value
            top[1] = _NOTHING

    def _merge(self, container: Marked) -> None:
        """Take over what a merge key brings, without what the mapping says itself."""
        brought = container.pop("<<")
        for other in brought if isinstance(brought, list) else [brought]:
            for key, value in other.items() if isinstance(other, dict) else ():
                if key not in container:
                    container[key] = value
                    container.lines[key] = line_of(other, key)


_NOTHING = object()


def core(text: str) -> Any:
    """The value of a plain scalar by the core schema of YAML 1.2.

    Example:
        >>> [core(text) for text in ("no", "true", "12", "1e3", "-.inf", "~", "2013-01-31", "0x1F")]
        ['no', True, 12, 1000.0, -inf, None, '2013-01-31', 31]
    """
    if text in _FIXED:
        return _FIXED[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.match(text):
        return int(text)
    if text[:2] in {"0x", "0o"} and _BASED.match(text):
        return int(text, 0)
    if infinite := _INFINITE.match(text):
        return float(f"{infinite[1]}inf")
    return float(text) if _FLOAT.match(text) else text

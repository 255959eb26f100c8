"""The part of Helm's templates that the chart uses, for machines without Helm: what ``helm template`` gives.

What is not of this part is an error: another function, a variable, ``range``. Values are merged, and held to the
chart's schema, as Helm does it.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class ChartError(Exception):
    """What Helm would refuse."""


def rendered(chart: Path, release: str = "rsql", **values: Any) -> list[dict[str, Any]]:
    """All manifests of a chart."""
    return [one for one in yaml.safe_load_all(text(chart, release, **values)) if one]


def text(chart: Path, release: str = "rsql", **values: Any) -> str:
    """The same as text, a document for each template."""
    about = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    merged = _merged(yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8")), values)
    try:
        jsonschema.validate(merged, json.loads((chart / "values.schema.json").read_text(encoding="utf-8")))
    except jsonschema.ValidationError as wrong:
        raise ChartError(f"{wrong.json_path}: {wrong.message}") from None
    top = {
        "Values": merged,
        "Chart": {"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"]},
        "Release": {"Name": release, "Namespace": "default", "Service": "Helm"},
    }
    files = sorted(chart.glob("templates/*.yaml"))
    defined: dict[str, list[Any]] = {}
    for file in chart.glob("templates/*.tpl"):
        Template(file.read_text(encoding="utf-8"), defined)
    made = [Template(file.read_text(encoding="utf-8"), defined).render(top) for file in files]
    return "".join(f"---\n{one.strip()}\n" for one in made if one.strip())


def _merged(base: Any, over: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return base | {name: _merged(base.get(name), value) for name, value in over.items()}


_ACTION = re.compile(r"\{\{(-?)\s*(/\*.*?\*/|.*?)\s*(-?)\}\}", re.S)
_WORDS = re.compile(r'"(?:[^"\\]|\\.)*"|[()|]|[^\s()|]+')


class Template:
    """One file: text, actions and blocks; what it defines goes to ``defined``."""

    def __init__(self, source: str, defined: dict[str, list[Any]]) -> None:
        self._defined = defined
        self._parts = _parts(source)
        self._body, _ = self._block()

    def render(self, dot: Any) -> str:
        """The text for these values."""
        return "".join(self._written(self._body, dot))

    def _block(self) -> tuple[list[Any], str]:
        # Nodes up to the action that ends the block, and that action.
        nodes: list[Any] = []
        for is_action, part in self._parts:
            word = part.split(maxsplit=1)[0] if is_action and part else ""
            if not is_action:
                nodes.append(part)
            elif word in {"if", "with"}:
                nodes.append(self._branches(word, part.removeprefix(word)))
            elif word == "define":
                self._defined[json.loads(part.removeprefix(word))] = self._block()[0]
            elif word in {"end", "else"}:
                return nodes, part
            else:
                nodes.append(("value", part))
        return nodes, ""

    def _branches(self, word: str, condition: str) -> tuple[str, str, list[Any], list[Any]]:
        then, how = self._block()
        otherwise: list[Any] = []
        if how.startswith("else if"):
            otherwise = [self._branches("if", how.removeprefix("else if"))]
        elif how == "else":
            otherwise, how = self._block()
        return word, condition, then, otherwise

    def _written(self, nodes: list[Any], dot: Any) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, str):
                yield node
            elif node[0] == "value":
                value = self._value(node[1], dot)
                yield str(value).lower() if isinstance(value, bool) else str(value)
            else:
                word, condition, then, otherwise = node
                value = self._value(condition, dot)
                yield from self._written(then if value else otherwise, value if word == "with" and value else dot)

    def _value(self, source: str, dot: Any) -> Any:
        words = _WORDS.findall(source)
        value = self._pipeline(words, dot)
        if words:
            raise ChartError(f"What is {' '.join(words)!r} in {source!r}?")
        return value

    def _pipeline(self, words: list[str], dot: Any) -> Any:
        value = self._call(words, dot, [])
        while words and words[0] == "|":
            words.pop(0)
            value = self._call(words, dot, [value])
        return value

    def _call(self, words: list[str], dot: Any, last: list[Any]) -> Any:
        is_function = re.fullmatch(r"[a-zA-Z]\w*", words[0]) and words[0] not in {"true", "false"}
        name = words.pop(0) if is_function else ""
        given = []
        while words and words[0] not in {"|", ")"}:
            given.append(self._operand(words, dot))
        given += last
        if not name:
            (value,) = given
            return value
        if name == "include":
            wanted, inner = given
            return "".join(self._written(self._defined[wanted], inner))
        if name not in FUNCTIONS:
            raise ChartError(f"The tests know no function {name!r} of Helm's.")
        return FUNCTIONS[name](*given)

    def _operand(self, words: list[str], dot: Any) -> Any:
        word = words.pop(0)
        if word == "(":
            value = self._pipeline(words, dot)
            assert words.pop(0) == ")"
            return value
        if word.startswith("."):
            for name in filter(None, word.split(".")):
                if not isinstance(dot, dict):
                    raise ChartError(f"nil pointer at {word}")
                dot = dot.get(name)
            return dot
        return json.loads(word)


def _parts(source: str) -> Iterator[tuple[bool, str]]:
    # Texts and actions in turn, without the white space that an action takes away.
    at, trims = 0, False
    for found in _ACTION.finditer(source):
        before = source[at : found.start()]
        before = before.lstrip() if trims else before
        yield False, before.rstrip() if found[1] else before
        if not found[2].startswith("/*"):
            yield True, found[2]
        at, trims = found.end(), bool(found[3])
    yield False, source[at:].lstrip() if trims else source[at:]


def _fail(why: str) -> str:
    raise ChartError(why)


def _indented(spaces: int, value: str) -> str:
    return "\n".join(" " * spaces + line for line in value.split("\n"))


FUNCTIONS = {
    "add": lambda *numbers: sum(map(int, numbers)),
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "default": lambda other, value=None: value or other,
    "fail": _fail,
    "gt": lambda one, other: one > other,
    "indent": _indented,
    "int": int,
    "nindent": lambda spaces, value: "\n" + _indented(spaces, value),
    "not": lambda value: not value,
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "printf": lambda form, *values: form % values,
    "quote": lambda value: json.dumps(str(value), ensure_ascii=False),
    "sha256sum": lambda value: hashlib.sha256(value.encode()).hexdigest(),
    "toYaml": lambda value: yaml.safe_dump(value, default_flow_style=False).removesuffix("\n"),
    "trim": str.strip,
    "trimSuffix": lambda suffix, value: value.removesuffix(suffix),
    "trunc": lambda count, value: value[:count],
}

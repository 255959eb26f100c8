"""What R's help pages say of the arguments of functions, read from the text that a prompt tells of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SECTION = re.compile(r"(?m)^(Usage|Arguments):\s*$")
_ARGUMENT = re.compile(r"^\s?((?:\.\.\.|[A-Za-z.][\w.]*)(?:, (?:\.\.\.|[A-Za-z.][\w.]*))*): (.+)$")
_SENTENCE = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)[.;:] +(?=[A-Z‘(])")
_LONGEST = 200
"""Most characters of what is said of an argument."""


@dataclass(frozen=True)
class Argument:
    """An argument of a function, or several that are explained together.

    Args:
        names: Its name, or theirs.
        meaning: What the page says first of it, one sentence.
    """

    names: tuple[str, ...]
    meaning: str


def arguments_of(page: str) -> list[Argument]:
    r"""The arguments that a help page explains, in its order.

    A line begins an argument when it names what stands under Usage, as sentences that go on may hold a colon too.

    Args:
        page: The page's text with its parts Usage and Arguments.

    Example:
        >>> arguments_of("Usage:\n mean(x, trim = 0)\nArguments:\n x: an object. Or two.\n note: not\n trim: a part")
        [Argument(names=('x',), meaning='an object'), Argument(names=('trim',), meaning='a part')]
    """
    parts = _SECTION.split(page)
    named = dict(zip(parts[1::2], parts[2::2], strict=True))
    known = set(re.findall(r"[A-Za-z.][\w.]*", named.get("Usage", "")))
    found: list[tuple[tuple[str, ...], list[str]]] = []
    for line in named.get("Arguments", "").splitlines():
        begun = _ARGUMENT.match(line)
        names = tuple(begun[1].split(", ")) if begun else ()
        if begun and set(names) <= known | {"..."}:
            found.append((names, [begun[2]]))
        elif found:
            found[-1][1].append(line)
    return [Argument(names, _first(lines)) for names, lines in found if names != ("...",)]


def _first(lines: list[str]) -> str:
    """The first sentence of some lines."""
    text = " ".join(" ".join(lines).split())
    said = _SENTENCE.split(text)[0].rstrip(".,;: ")
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST].rsplit(' ', 1)[0]} …"

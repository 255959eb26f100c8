"""The panel's files, as one ES module and one style sheet.

The libraries are the unchanged files of their releases (``static/vendor``), each put into a function of its own here,
so that no step has to build anything and no page fetches anything.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_LIBRARIES = {"marked": "marked.umd.js", "DOMPurify": "purify.min.js"}


@cache
def module() -> str:
    """The ES module: the libraries, then ``panel.js``."""
    libraries = [f"const {name} = {_wrapped(_read('vendor', file))};" for name, file in _LIBRARIES.items()]
    return "\n".join([*libraries, _read("panel.js")])


@cache
def style() -> str:
    """The style sheet."""
    return _read("panel.css")


def _read(*path: str) -> str:
    return files("rsql_magic").joinpath("static", *path).read_text(encoding="utf-8")


def _wrapped(source: str) -> str:
    """A CommonJS library as an expression."""
    head, tail = "const module = { exports: {} }; let exports = module.exports;", "return module.exports;"
    return f"(() => {{ {head}\n{source}\n{tail} }})()"

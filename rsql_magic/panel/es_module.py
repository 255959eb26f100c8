"""One ES module made of several, for front ends that take the text of one."""

# anywidget sends its front end a single text, and no step may need Node to make it. The panel's modules therefore keep
# to what can be joined by taking lines out: imports of names as they are exported, exports before declarations, and no
# name at the top of two modules. Libraries are the unchanged CommonJS files of their releases, in `vendor`.

from __future__ import annotations

import re
from posixpath import join, normpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_IMPORT = re.compile(r'^import (?P<names>\{[^}]*\}|\* as \w+|\w+) from "(?P<path>[./\w-]+)";\n', re.MULTILINE)
_DECLARATION = re.compile(
    r"^(?P<export>export )?(?:async )?(?:function\*?|class|const|let|var) (?P<name>[\w$]+)", re.MULTILINE
)
_EXPORT = re.compile(r"^export (?=async |function|class|const|let|var)", re.MULTILINE)
_LEFT_OVER = re.compile(r"^(?:import|export(?! default))\b.*", re.MULTILINE)


def joined(entry: str, read: Callable[[str], str]) -> str:
    r"""Join a module and all that it imports, each once and after what it needs itself.

    ``read`` gives the text of a path such as ``panel/view.js``. Paths with a folder ``vendor`` are CommonJS libraries.

    Raises:
        ValueError: A name stands at the top of two modules, an imported one is not exported, modules import each other
            in a circle, or a line of import or export is of another kind than these.

    Example:
        >>> files = {"a.js": 'import { b } from "./b.js";\n\nb();\n', "b.js": "export const b = () => 1;\n"}
        >>> print(joined("a.js", files.__getitem__))
        const b = () => 1;
        b();
    """
    return "\n".join(_Joining(read).parts(entry, ()))


class _Joining:
    def __init__(self, read: Callable[[str], str]) -> None:
        self._read = read
        self._exports: dict[str, set[str]] = {}  # by module
        self._owners: dict[str, str] = {}  # the module of each name at the top

    def parts(self, path: str, importers: tuple[str, ...]) -> Iterator[str]:
        if path in importers:
            raise ValueError(f"Modules import each other in a circle: {' → '.join([*importers, path])}.")
        text = self._read(path)
        for line in _IMPORT.finditer(text):
            needed, names = normpath(join(path, "..", line["path"])), line["names"].removeprefix("* as ")
            if needed not in self._exports:
                is_library = "vendor" in needed.split("/")
                yield from self._library(needed, names) if is_library else self.parts(needed, (*importers, path))
            asked = {name.strip() for name in names.strip("{} \n,").split(",")}
            if lacking := asked - self._exports[needed]:
                raise ValueError(f"{path} imports {', '.join(sorted(lacking))}, which {needed} does not export.")
        declared = list(_DECLARATION.finditer(text))
        self._own(path, {each["name"] for each in declared}, {each["name"] for each in declared if each["export"]})
        text = _EXPORT.sub("", _IMPORT.sub("", text))
        if other := _LEFT_OVER.search(text):
            raise ValueError(f"{path} has a line that cannot be joined: {other[0]}")
        yield text.strip("\n")

    # A CommonJS library as an expression.
    def _library(self, path: str, name: str) -> Iterator[str]:
        self._own(path, {name}, {name})
        head, tail = "const module = { exports: {} }; let exports = module.exports;", "return module.exports;"
        yield f"const {name} = (() => {{ {head}\n{self._read(path)}\n{tail} }})();"

    def _own(self, path: str, names: set[str], exported: set[str]) -> None:
        for name in sorted(names):
            if (other := self._owners.setdefault(name, path)) != path:
                raise ValueError(f"{name} stands at the top of {other} and of {path}.")
        self._exports[path] = exported

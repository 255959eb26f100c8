"""What the names of R code stand for: functions of listed packages, of the cell, of the session, and data."""

from __future__ import annotations

import re

from rsql_magic.agent.effects import r_lists as words
from rsql_magic.agent.effects.cells import Effect, SessionNames
from rsql_magic.agent.effects.r_syntax import RNode
from rsql_magic.agent.effects.wording import kind_of_r


class NotProvenR(Exception):
    """A construct of R that is not proven to have no effect."""

    def __init__(self, what: str | Effect) -> None:
        super().__init__(str(what))
        self.effect = what if isinstance(what, Effect) else Effect(kind_of_r(what), what)


class RNames:
    """The names of a cell of R: what the packages that are attached, the session and the cell itself make of them."""

    def __init__(self, program: list[RNode], names: SessionNames) -> None:
        self._program, self._names = program, names
        self._packages = list(words.BASE)
        self._loaded = {each.partition(" ")[0] for each in names.r_packages}
        for each in reversed(names.r_packages):
            self._attach(each.partition(" ")[0], each.partition(" ")[2])
        if names.r_version and not words.is_tested("base", names.r_version):
            raise NotProvenR(f"R {names.r_version} is not tested")
        # A method of the user's own may be called by what is listed, without its name being written.
        for function in names.r_functions:
            if not re.fullmatch(r"[A-Za-z]\w*", function):
                raise NotProvenR(f"{function}, a method of the session")
        self._before = False  # whether what is read now has run before
        self._within = 0  # how many calls of `within` are around
        self._quoted = 0  # how many times what is read now is quoted
        self._values: dict[str, list[RNode | None]] = {}
        for expression in program:
            self._bind(expression)
        self._has_objects = any(map(self._finds_object, program))
        self._installs = any(map(_installs, program))  # then a package that is not there may be

    def _attach(self, package: str, version: str = "") -> None:
        version = version or (self._names.r_installed or {}).get(package, "")
        listed = words.listed_package(package)
        if listed is None:
            raise NotProvenR(f"the package {package}")
        known = bool(version) or self._names.r_installed is not None
        if known and package not in words.BASE and not words.is_tested(package, version or "0"):
            raise NotProvenR(f"the package {package} {version}, which is not tested")
        if listed.get("loading_acts") and package not in self._packages and package not in self._loaded:
            raise NotProvenR(f"{package}, which runs a program as it is loaded")
        if package in self._packages:
            self._packages.remove(package)
        self._packages.insert(0, package)
        if (helper := words.HELPED.get(package)) and helper not in self._packages:
            self._attach(helper)
            self._packages.append(self._packages.pop(0))

    def _finds_object(self, node: RNode) -> bool:
        head = node.parts[0].value if node.kind == "call" else None
        return (head is not None and self._gives_object(head)) or any(
            part.value is not None and self._finds_object(part.value) for part in node.parts
        )

    # All that gets a value anywhere in the cell, with what it gets; None is a value of any kind.
    def _bind(self, node: RNode) -> None:
        if node.kind == "operator" and node.text in {"<-", "="}:
            target, value = (arg.value for arg in node.parts)
            if target is not None and target.kind in {"name", "text"} and target.text is not None:
                self._values.setdefault(target.text, []).append(value)
        elif node.kind == "for":
            self._values.setdefault(node.text or "", []).append(None)
        for arg in node.parts:
            if arg.value is not None:
                self._bind(arg.value)

    def _is_own_function(self, name: str) -> bool:
        values = self._values.get(name, [])
        return bool(values) and all(value is not None and self._is_function(value) for value in values)

    def _is_function(self, value: RNode) -> bool:
        head = value.parts[0].value if value.kind == "call" else None
        is_made = (
            head is not None and head.kind == "name" and head.text in words.MAKES and head.text not in self._values
        )
        return value.kind == "function" or is_made

    # R passes over what is no function when it looks for one to call.
    def _is_no_function(self, name: str) -> bool:
        return all(
            value is not None
            and (
                value.kind in {"number", "text", "constant"}
                or (value.kind == "operator" and value.text in words.ARITHMETIC)
                or (value.kind == "call" and value.parts[0].value in words.DATA_HEADS)
            )
            for value in self._values.get(name, [])
        )

    def _entry(self, name: str, package: str = "") -> tuple[str, list[str]]:
        """The package that a function comes from, and its formal arguments."""
        if package:
            self._attached_or_known(package)
        else:
            self._own_or_package(name)
        for each in [package] if package else self._packages:
            listed = words.listed_package(each) or {}
            if name in listed.get("functions", {}):
                return each, listed["functions"][name].split()
            if name in listed.get("others", ()):
                break
        raise NotProvenR(name)

    def _own_or_package(self, name: str) -> None:
        is_own = name in self._names.r_functions or name in self._names.r_objects or not self._is_no_function(name)
        if is_own:
            raise NotProvenR(f"{name}, which is not the package's own")

    def _attached_or_known(self, package: str) -> None:
        if package not in self._packages:
            before = list(self._packages)
            self._attach(package)
            self._packages = before

    # What an object of the session is: its classes, then those of its parts (`r_state`).
    def _kind(self, name: str) -> str:
        return self._names.r_objects.get(name, "").partition(" ")[0]

    def _is_plain(self, name: str) -> bool:
        return words.PLAIN_CLASSES.issuperset(self._names.r_objects.get(name, "").split())

    # Numbers, or an error: then what is put into an object is no text, whatever the object makes of texts.
    def _gives_numbers(self, node: RNode | None) -> bool:
        if node is None or node.kind in {"number", "constant"}:
            return node is not None
        if node.kind == "parens":
            return self._gives_numbers(node.parts[0].value)
        if node.kind == "operator" and node.text not in self._values:
            parts = [self._gives_numbers(part.value) for part in node.parts]
            return node.text in words.NUMERIC or (node.text in {"+", ":"} and any(parts))
        head = node.parts[0].value if node.kind == "call" else None
        if head is None or head.kind != "name" or head.text in self._values:
            return False
        is_all = head.text == "c" and all(self._gives_numbers(part.value) for part in node.parts[1:])
        return is_all or head.text in words.NUMBERS

    # Whether a condition is false wherever the cell runs: what is behind it does not.
    def _is_false(self, node: RNode | None) -> bool:
        if node is None or node == RNode("constant", "FALSE"):
            return node is not None
        if node.kind == "parens":
            return self._is_false(node.parts[0].value)
        if node.kind == "operator" and node.text in {"&&", "||"} and node.text not in self._values:
            each = [self._is_false(part.value) for part in node.parts]
            return any(each) if node.text == "&&" else all(each)
        head = node.parts[0].value if node.kind == "call" else None
        if head not in {RNode("name", "requireNamespace"), RNode("name", "require")} or len(node.parts) < 2:
            return False
        package, installed = node.parts[1].value, self._names.r_libraries
        is_named = package is not None and package.kind in {"name", "text"} and node.parts[1].name is None
        is_quiet = all(
            each.name == "quietly" and each.value and each.value.kind == "constant" for each in node.parts[2:]
        )
        if not is_named or not is_quiet or package is None or installed is None:
            return False
        self._own_or_package(head.text or "")
        return package.text not in installed and not self._installs

    # By way of an environment the session's own functions would be values.
    def _no_environment(self, name: RNode | None) -> None:
        if name is not None and name.text in {"plot_env", ".Environment"}:
            raise NotProvenR(f"{name.text}, an environment")

    # Whether something can be no object that holds code: then a text put into it remains a text.
    def _gives_data(self, node: RNode, seen: frozenset[str] = frozenset()) -> bool:
        if node.kind == "name" and node.text:
            if node.text in seen:
                return True
            if node.text in self._values:
                values = self._values[node.text]
                return all(
                    not self._has_objects if value is None else self._gives_data(value, seen | {node.text})
                    for value in values
                )
            return self._kind(node.text).rpartition("/")[2] not in {"lm", "htest", "formula"}
        if node.kind == "call" and (head := node.parts[0].value) is not None and self._gives_object(head):
            return False
        return all(self._gives_data(part.value, seen) for part in node.parts if part.value is not None)

    def _gives_object(self, head: RNode) -> bool:
        name = (head.parts[1].value if head.kind == "package" else head) or head
        text = name.text or ""
        of_stats = text in (words.listed_package("stats") or {})["functions"] and text not in words.DATA_OF_STATS
        of_ggplot2 = text in (words.listed_package("ggplot2") or {})["functions"] and text not in words.DATA_OF_GGPLOT2
        return (of_stats and not words.DISTRIBUTED.match(text)) or of_ggplot2

    def _passes_on(self, name: str) -> bool:
        """Whether a function of the cell hands its arguments on as they are written: ``...``, ``{{ x }}``."""

        def finds(node: RNode) -> bool:
            is_embraced = node.kind == "block" and len(node.parts) == 1 and node.parts[0].value is not None
            is_embraced = is_embraced and node.parts[0].value.kind == "block"  # type: ignore[union-attr]
            is_dots = node == RNode("name", "...")
            return is_embraced or is_dots or any(finds(each.value) for each in node.parts if each.value is not None)

        return any(value is not None and finds(value) for value in self._values.get(name, ()))


def _installs(node: RNode) -> bool:
    head = node.parts[0].value if node.kind == "call" else None
    name = head.parts[1].value if head is not None and head.kind == "package" else head
    return (name is not None and (name.text or "").startswith("install")) or any(
        part.value is not None and _installs(part.value) for part in node.parts
    )

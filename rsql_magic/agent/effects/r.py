"""Whether R code is proven to compute only: every construct of it is on a list of what has no effect."""

# ``lists/r/*.json`` name the functions of each tested version of a package with their formal arguments, and the other
# exports, which mask. A value is data: no function reaches a variable unless it is listed or written in the cell, so
# what is called is always known by its name.

# ruff: noqa: ARG002, C901, SIM102, SIM114, E501, PLR0912

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.agent.effects import r_lists as words
from rsql_magic.agent.effects.cells import Effect, sql_effects
from rsql_magic.agent.effects.r_names import NotProvenR, RNames
from rsql_magic.agent.effects.r_syntax import Arg, RNode, UnreadableR, read_r
from rsql_magic.agent.effects.wording import kind_of_r

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rsql_magic.agent.effects.cells import SessionNames


def r_effects(code: str, names: SessionNames) -> Iterator[Effect]:
    r"""What R code does that is not proven to have no effect; nothing where all of it is.

    Example:
        >>> from rsql_magic.agent.effects.cells import SessionNames
        >>> [str(each) for each in r_effects('saveRDS(x, "x.rds")', SessionNames())]
        ['writes or deletes files: saveRDS']
        >>> list(r_effects("mean(1:3)", SessionNames()))
        []
    """
    program: list[RNode] = []
    try:
        program = read_r(code)
        before = read_r(names.r_before)
        _RCode([*before, *program], names).prove(len(before))
    except UnreadableR as problem:
        yield Effect("unknown", f"it is not read: {problem}")
    except NotProvenR as problem:
        yield problem.effect
        if problem.effect.kind == "unknown":  # what it seems to do as well
            heads = (head for each in program for head in _heads(each))
            yield from (Effect(kind, head) for head in heads if (kind := kind_of_r(head)) != "unknown")


def is_followed(code: str, names: SessionNames) -> bool:
    """Whether all that R code leaves in the session is known: it is proven, but for plain calls that act elsewhere.

    Example:
        >>> from rsql_magic.agent.effects.cells import SessionNames
        >>> is_followed("system('ls')", SessionNames()), is_followed("source('a.R')", SessionNames())
        (True, False)
    """
    try:
        program = [*read_r(names.r_before), *read_r(code)]
        _RCode(program, names).prove(len(program))
    except (UnreadableR, NotProvenR):
        return False
    return True


def _heads(node: RNode) -> Iterator[str]:
    """The names of all that is called in a piece of code."""
    if node.kind == "call" and (head := node.parts[0].value) is not None:
        named = head.parts[1].value if head.kind == "package" else head
        yield (named and named.text) or ""
    for part in node.parts:
        if part.value is not None:
            yield from _heads(part.value)


class _RCode(RNames):
    def prove(self, before: int = 0) -> None:
        """Raise where something is not proven; of so many expressions before that they leave only what is known."""
        for place, each in enumerate(self._program):
            self._before = place < before
            is_elsewhere = self._before and self._acts_elsewhere(each)
            for part in each.parts[1:] if is_elsewhere else (Arg(each),):
                self._part(part, masked=False)

    def _acts_elsewhere(self, node: RNode) -> bool:
        """Whether it is a plain call of what acts and leaves R itself as it is; not in a function, that is called later."""
        head = node.parts[0].value if node.kind == "call" else None
        if head is None or (
            head.kind == "package" and head.parts[0].value not in {RNode("name", "base"), RNode("name", "utils")}
        ):
            return False
        name = (head.parts[1].value if head.kind == "package" else head) or head
        acts = name.kind == "name" and name.text in words.ACT_ELSEWHERE
        if acts and head.kind == "name":
            self._own_or_package(name.text or "")
        return acts

    # Names

    def _handed(self, name: str, package: str = "") -> None:
        """A function that others may call with what they like."""
        if name in words.OPERATORS and not package and name not in self._values and name != "~":
            return
        if not package and self._is_own_function(name) and name not in self._names.r_functions:
            return
        _, formals = self._entry(name, package)
        risky = words.REFUSED | words.CALLED | words.FORMULAS | words.FACETS
        is_odd = (
            name in words.READERS | words.CALLED_F | words.SPECIAL | {"structure", "do.call"}
            or name in words.TEXT_CALLED
        )
        risky = risky - {"contrasts"} if name.startswith("contr.") else risky
        if risky & set(formals) or is_odd:
            raise NotProvenR(f"{name}, handed on")

    # Expressions

    def _value(self, node: RNode, *, masked: bool) -> None:
        if node.kind == "text" and "data.table" in self._packages and "`" in (node.text or "`"):
            raise NotProvenR("a backtick in a text, beside data.table")
        if node.kind in {"number", "text", "constant", "next", "break"}:
            return
        if node.kind == "name":
            self._name(node.text or "", masked=masked)
        elif node.kind == "call":
            self._call(node, masked=masked)
        elif node.kind == "operator":
            self._operator(node, masked=masked)
        elif node.kind == "member" and node.text == "$":
            self._no_environment(node.parts[1].value)
            self._part(node.parts[0], masked=masked)
        elif node.kind == "index":
            self._part(node.parts[0], masked=masked)
            if "data.table" in self._packages:
                self._groups_of(node.parts[1:])
            for each in node.parts[1:]:
                self._part(each, masked=True)
        elif node.kind == "package" and node.text == "::":
            package, name = (arg.value.text or "" for arg in node.parts if arg.value)
            self._handed(name, package)
        elif node.kind == "if" and self._is_false(node.parts[0].value):
            for each in node.parts[2:]:
                self._part(each, masked=masked)
        elif node.kind == "function":
            self._of_function(node, masked=masked)
        elif node.kind in {"parens", "block", "if", "while", "for"}:
            for each in node.parts:
                self._part(each, masked=masked)
        else:
            raise NotProvenR(node.text or node.kind)

    # Its parameters may be anything, where it is read.
    def _of_function(self, node: RNode, *, masked: bool) -> None:
        names = [each.name or (each.value.text if each.value else "") or "" for each in node.parts[:-1]]
        for name in names:
            self._values.setdefault(name, []).append(None)
        for each in node.parts:
            if each.name or each is node.parts[-1]:
                self._part(each, masked=masked)
        for name in names:
            self._values[name].pop()
            if not self._values[name]:
                del self._values[name]

    def _groups_of(self, args: Sequence[Arg]) -> None:
        unnamed = [each for each in args if each.name is None]
        is_shifted = any(each.name in {"i", "j"} for each in args)
        named = [each for each in args if each.name is not None and each.name not in {"i", "j"}]
        for each in [*unnamed[0 if is_shifted else 2 :], *named]:
            if each.value is not None:
                self._groups(each.value)

    # data.table pastes texts of ``by`` together and reads them as code, in backticks that a text may close.
    def _groups(self, by: RNode) -> None:
        head = by.parts[0].value if by.kind == "call" else None
        if by.kind == "name" and by.text in self._values:
            for value in self._values[by.text]:
                if value is None or value.kind == "name":
                    raise NotProvenR("by")
                self._groups(value)
        elif by.kind == "name" and by.text in self._names.r_objects:
            raise NotProvenR("by")
        elif by.kind == "text" and (by.text is None or "`" in by.text):
            raise NotProvenR("by")
        elif head is not None and head.text in {"c", "key", "names", "intersect", "setdiff", "paste", "paste0"}:
            if head.text != "c":
                raise NotProvenR("by")
            for each in by.parts[1:]:
                if each.value is None or each.value.kind != "text":
                    raise NotProvenR("by")
                self._groups(each.value)

    def _part(self, arg: Arg, *, masked: bool) -> None:
        if arg.value is not None:
            self._value(arg.value, masked=masked)

    def _name(self, name: str, *, masked: bool) -> None:
        if name in self._values:
            return
        if name in self._names.r_objects:
            if not self._is_plain(name):
                raise NotProvenR(f"{name}, of the class {self._kind(name)}")
            return
        if name in self._names.r_functions:
            raise NotProvenR(f"{name}, a function of the session")
        if masked and name == "data":
            return  # what `nest` calls its column; `utils::data` as a value is called by nothing that is listed
        if masked and not any(name in (words.listed_package(each) or {}).get("others", ()) for each in self._packages):
            return
        if any(name in (words.listed_package(each) or {}).get("data", ()) for each in self._packages):
            return
        self._handed(name)

    def _operator(self, node: RNode, *, masked: bool) -> None:
        sign, parts = node.text or "", node.parts
        if sign in {"<-", "="}:
            self._assignment(parts[0].value, parts[1].value, masked=masked)
            self._part(parts[1], masked=masked)
        elif sign == ":=" and masked:
            left = parts[0].value
            if left is not None and left.kind in {"call", "parens"} and "data.table" in self._packages:
                self._value(left, masked=True)
            elif left is None or left.kind not in {"name", "text"} or "{" in (left.text or "{"):
                raise NotProvenR(":=")
            self._part(parts[1], masked=True)
        elif sign == "%>%":
            if sign in self._values or not words.PIPES & set(self._packages):
                raise NotProvenR(sign)
            self._part(parts[0], masked=masked)
            self._piped(parts[0], parts[1].value, masked=masked)
        elif sign in self._values or f"{sign}" in self._names.r_functions:
            raise NotProvenR(sign)
        else:
            if sign not in words.OPERATORS:
                self._entry(sign)
            for each in parts:
                self._part(each, masked=masked or sign == "~")

    def _assignment(self, target: RNode | None, value: RNode | None, *, masked: bool) -> None:
        is_part = target is not None and target.kind in {"index", "member", "call"}
        while target is not None and target.kind in {"index", "member", "call"}:
            if target.kind == "call":
                head = target.parts[0].value
                is_listed = head is not None and head.kind == "name" and head.text in words.REPLACES
                if not is_listed or f"{head.text if head else ''}<-" in self._values:
                    raise NotProvenR("an assignment to a call")
                if len(target.parts) < 2:
                    raise NotProvenR("an assignment to a call")
                which = target.parts[2].value if head and head.text == "attr" and len(target.parts) == 3 else None
                if (
                    head
                    and head.text == "attr"
                    and not (which and which.kind == "text" and which.text in words.ATTRIBUTES)
                ):
                    raise NotProvenR("an assignment to an attribute")
            elif target.kind == "member" and target.text != "$":
                raise NotProvenR("@")
            first = 2 if target.kind == "call" else 1
            for each in target.parts[first:] if target.kind != "member" else ():
                self._part(each, masked=True)
            target = target.parts[first - 1].value
        if target is None or target.kind not in {"name", "text"} or not target.text:
            raise NotProvenR("an assignment")
        name = target.text
        if is_part and not self._gives_numbers(value) and not self._gives_data(RNode("name", name)):
            raise NotProvenR(f"a part of {name} is given a value")
        if not re.fullmatch(r"[^\W\d_][\w.]*", name) or not self._is_plain(name):
            raise NotProvenR(f"{name} is given a value")

    def _piped(self, left: Arg, right: RNode | None, *, masked: bool) -> None:
        if right is None or right.kind not in {"name", "call"}:
            raise NotProvenR("%>% into what is no call")
        args = right.parts[1:] if right.kind == "call" else ()
        head = right.parts[0] if right.kind == "call" else Arg(right)
        self._values.setdefault(".", []).append(None)
        has_dot = any(each.value == RNode("name", ".") for each in args)
        self._call(RNode("call", None, (head, *(() if has_dot else (Arg(left.value),)), *args)), masked=masked)

    # Calls

    def _call(self, node: RNode, *, masked: bool) -> None:
        head, args = node.parts[0].value, node.parts[1:]
        if head is None or head.kind not in {"name", "package"}:
            raise NotProvenR("a call of what is no name")
        package, name = "", head.text or ""
        if head.kind == "package":
            if head.text != "::":
                raise NotProvenR(":::")
            package, name = (arg.value.text or "" for arg in head.parts if arg.value)
        if (
            self._quoted
            and name in words.DRAWN | {"."}
            and not package
            and name not in self._names.r_functions | set(self._values)
        ):
            origin, formals = "", ["..."]
        elif not package and name in {".", ":=", "J", "patterns"} and masked and "data.table" in self._packages:
            origin, formals = "", ["..."]
        elif not package and self._is_own_function(name) and name not in self._names.r_functions:
            origin, formals = "", ["..."]
        elif not package and masked and name == "Error" and name not in {*self._values, *self._names.r_functions}:
            origin, formals = "", ["..."]  # a word of `aov`'s formulas, and no function
        elif not package and name == "rm" and self._within:
            return  # of what `within` holds
        else:
            origin, formals = self._entry(name, package)
            if name in words.SPECIAL:
                self._special(name, args)
                return
        if origin == "readr" and name in words.READERS:  # else it runs a program to count the processors
            if not any(arg.name == "num_threads" and arg.value and arg.value.kind == "number" for arg in args):
                raise NotProvenR(f"{name} without num_threads")
        if name in words.CHANGE_PARTS and self._has_objects:
            if not all(arg.value is None or self._gives_data(arg.value) for arg in args[:1]):
                raise NotProvenR(name)
        if name in {"attr", "attributes"}:
            which = args[1].value if name == "attr" and len(args) > 1 else None
            if self._names.r_functions and (which is None or which.kind != "text"):
                raise NotProvenR(name)
            self._no_environment(which)
        if name in words.TEXT_CALLED:
            self._of_methods(args, words.TEXT_CALLED[name])
        self._within += name == "within"
        reads_names = origin in words.MASKING or name in words.MASKS or (not origin and self._passes_on(name))
        for arg, formal in zip(args, self._matched((origin, name), formals, args), strict=True):
            if arg.value is None:
                continue
            is_table = formal in words.TABLES or (formal in {"x", "y"} and origin in {"dplyr", "tidyr", "data.table"})
            is_table = (is_table and formal in formals) or (arg is args[0] and name in words.VERBS)
            if masked and formal in words.TABLES and arg.value == RNode("name", "data"):
                continue  # what `nest_by` calls its column
            inside = masked or (reads_names and not is_table) or (formal in {"subset", "weights"} and origin == "stats")
            is_free = name in words.NAMES_FREELY and formal not in formals
            if is_free or (origin == "graphics" and formal == "pos"):
                self._value(arg.value, masked=inside)
            else:
                self._argument((origin, name), formal, arg.value, masked=inside)
        self._within -= name == "within"

    # Methods have formal arguments that their generic does not name, some of which a text is made a function for.
    def _of_methods(self, args: Sequence[Arg], first: int) -> None:
        unnamed = [arg.value for arg in args if arg.name is None and arg.value is not None]
        for value in unnamed[first:]:
            if value.kind == "text":
                self._function(value, masked=False)
            elif value.kind == "name" and value.text in self._values:
                held = self._values[value.text or ""]
                if not all(each and (each.kind == "number" or self._is_function(each)) for each in held):
                    raise NotProvenR("an argument of a method")
            elif value.kind not in {"number", "constant", "function", "name"} and not self._gives_numbers(value):
                raise NotProvenR("an argument of a method")

    # What has a rule of its own

    def _special(self, name: str, args: Sequence[Arg]) -> None:
        values = [arg.value for arg in args]
        if name in {"library", "require", "requireNamespace"}:
            is_quiet = len(args) == 2 and args[1].name == "quietly" and values[1] and values[1].kind == "constant"
            package = values[0] if len(args) == 1 or is_quiet else None
            kinds = {"text"} if name == "requireNamespace" else {"name", "text"}
            if package is None or args[0].name or package.kind not in kinds or not package.text:
                raise NotProvenR(name)
            self._loaded |= {package.text} if self._before else set()
            (self._attached_or_known if name == "requireNamespace" else self._attach)(package.text)
        elif name == "dbGetQuery":
            self._query(args)
        elif name == "options":
            for arg in args:
                self._option(arg)
        elif name == "rm":
            known = self._values.keys() - self._names.r_objects.keys() - self._names.r_functions
            for arg in args:
                if arg.name or arg.value is None or arg.value.kind != "name" or arg.value.text not in known:
                    raise NotProvenR("rm")
        elif name == "setattr":
            is_plain = len(args) == 3 and values[1] and values[1].kind == "text" and values[1].text in words.ATTRIBUTES
            if not is_plain or any(arg.name for arg in args):
                raise NotProvenR("setattr")
            if self._has_objects and not (values[0] and self._gives_data(values[0])):
                raise NotProvenR("setattr")
            for each in (args[0], args[2]):
                self._part(each, masked=False)
        elif name in {"formula", "as.formula"}:
            if len(args) != 1 or args[0].name or values[0] is None or not self._is_formula(values[0], texts=True):
                raise NotProvenR(name)
        else:
            if name != "expression" and (len(args) != 1 or args[0].name):
                raise NotProvenR(name)
            self._quoted += 1
            for each in args:
                self._part(each, masked=True)
            self._quoted -= 1

    def _option(self, arg: Arg) -> None:
        value = arg.value
        if arg.name:
            is_plain = arg.name in words.OPTIONS and value is not None and value.kind in {"number", "constant"}
            is_plain = is_plain or (arg.name == "str.dendrogram.last" and value is not None and value.kind == "text")
            if arg.name == "contrasts" and value is not None and value.kind == "call":
                head, *texts = (each.value for each in value.parts)
                is_plain = head == RNode("name", "c") and all(
                    each and each.kind == "text" and each.text in words.CONTRASTS for each in texts
                )
                for each in texts if is_plain else ():
                    self._own_or_package((each and each.text) or "")
        else:
            held = self._values.get((value.text if value and value.kind == "name" else None) or "", ())
            restores = bool(held) and all(
                each is not None and each.kind == "call" and each.parts[0].value == RNode("name", "options")
                for each in held
            )
            is_plain = restores or (value is not None and value.kind == "text")
        if not is_plain:
            raise NotProvenR("options")

    def _query(self, args: Sequence[Arg]) -> None:
        values = [arg.value for arg in args if arg.name is None]
        if len(args) != 2 or len(values) != 2:
            raise NotProvenR("dbGetQuery")
        con, sql = values
        dialect = words.DIALECTS.get(self._kind(con.text or "")) if con and con.kind == "name" else None
        if (
            dialect is None
            or con is None
            or con.text in self._values
            or sql is None
            or sql.kind != "text"
            or not sql.text
        ):
            raise NotProvenR("dbGetQuery")
        for effect in sql_effects(sql.text, dialect):
            raise NotProvenR(effect)

    def _matched(self, of: tuple[str, str], formals: list[str], args: Sequence[Arg]) -> list[str]:
        """The formal argument that each argument is, as R matches them: by name, by its beginning, by place."""
        origin, name = of
        before_dots = formals[: formals.index("...")] if "..." in formals else formals
        given = {arg.name for arg in args if arg.name in formals}
        found: list[str] = []
        for arg in args:
            formal = arg.name or ""
            if formal and formal not in formals:
                meant = [each for each in before_dots if each.startswith(formal) and each not in given]
                if len(meant) > 1 or (not meant and "..." not in formals):
                    raise NotProvenR(f"{name}({formal} = )")
                formal = meant[0] if meant else formal
                is_plain = arg.value is None or arg.value.kind in {"number", "constant", "function"}
                is_short = formal not in words.SHORTENED | {"text"} and any(
                    each.startswith(formal) for each in words.SHORTENED
                )
                # What hands its other arguments on gives them to a function that takes none of these.
                is_looked_at = origin in {"base", "stats", "graphics", "broom", "utils"} and not (
                    words.CALLED.intersection(formals) or name in words.CALLED_F | words.NAMES_FREELY
                )
                if not meant and not is_plain and is_short and is_looked_at:
                    raise NotProvenR(f"{name}({formal} = )")
            found.append(formal)
        left = [each for each in formals if each not in found]
        for place, arg in enumerate(args):
            if not arg.name and left:
                found[place] = left[0] if left[0] == "..." else left.pop(0)
        return found

    def _argument(self, of: tuple[str, str], formal: str, value: RNode, *, masked: bool) -> None:
        origin, name = of
        if name == "tempdir":  # with an argument it may make the folder
            raise NotProvenR(name)
        if formal == "file" and name in words.READERS:
            self._file(name, value)
            return
        if formal in {".names", "names_glue"} and value.kind == "text" and words.GLUED.fullmatch(value.text or "{"):
            return
        is_switch = value.kind in {"number", "constant"} and formal in {"class", "classes", "contrasts", "dir"}
        if formal in words.REFUSED and not is_switch and not (name == "readr_example" and value.kind == "text"):
            raise NotProvenR(f"{name}({formal} = )")
        if formal == "method.args" or name == "labeller":
            self._arguments_of_a_function(
                value if formal == "method.args" else RNode("call", None, (Arg(None), Arg(value)))
            )
            return
        is_factor = formal == ".f" and name.startswith(("fct_", "lvls_"))
        # ``map(x, "a")`` takes what is so named; others (``modify_in``, ``lmap``) call the function of that name.
        is_extractor = formal == ".f" and name in words.EXTRACT and value.kind == "text"
        is_font = formal == "family" and origin != "stats"
        is_called = (formal in words.CALLED and not (is_factor or is_extractor or is_font)) or (
            formal == "f" and name in words.CALLED_F
        )
        if formal == "method" and name in {"geom_smooth", "stat_smooth"} and value.text in {"lm", "glm", "loess"}:
            self._own_or_package(value.text or "")
            return
        is_called = is_called or (formal == "method" and name in {"geom_smooth", "stat_smooth", "glm", "update"})
        is_called = (
            is_called
            or (formal == "what" and name == "do.call")
            or (formal == "..." and name == "compose")
            or (formal == "f" and name == "Vectorize")
        )
        if is_called:
            self._function(value, masked=masked)
        elif formal == "by" and origin == "data.table" and name in {"rollup", "cube", "groupingsets"}:
            self._groups(value)
            self._value(value, masked=True)
        elif formal == "expr" and name == "curve" and value.kind == "name":
            self._function(value, masked=False)
        elif formal in words.FORMULAS and not self._is_formula(value):
            raise NotProvenR(f"{name}({formal} = )")
        elif formal in words.FACETS and name.startswith(("facet_", "qplot", "quickplot")) and not self._is_facet(value):
            raise NotProvenR(f"{name}({formal} = )")
        else:
            self._value(value, masked=masked)

    # What `geom_smooth` hands to its method, and `labeller` calls.
    def _arguments_of_a_function(self, value: RNode) -> None:
        if value.kind != "call" or (value.parts[0].value not in {None, RNode("name", "list")}):
            raise NotProvenR("arguments that are handed on")
        for each in value.parts[1:]:
            if each.name in words.REFUSED:
                raise NotProvenR(f"{each.name} = ")
            is_called = each.name in words.CALLED or (
                value.parts[0].value is None and each.value and each.value.kind == "text"
            )
            if each.value is not None:
                (self._function if is_called else self._value)(each.value, masked=True)

    def _file(self, name: str, value: RNode) -> None:
        head = value.parts[0].value if value.kind == "call" else None
        if (
            head is not None
            and head.kind in {"name", "package"}
            and (head.text == "readr_example" or head.kind == "package")
        ):
            self._value(value, masked=False)
            inner = head.parts[1].value if head.kind == "package" else head
            if inner is not None and inner.text == "readr_example":
                return
        if value.kind != "text" or not words.PLAIN_FILE.match(value.text or ""):
            raise NotProvenR(f"{name} of what is no plain file")

    def _function(self, value: RNode, *, masked: bool) -> None:
        if value.kind == "text":
            self._handed(value.text or "")
        elif value.kind == "name":
            self._handed(value.text or "")
        elif value.kind in {"constant", "number"}:
            return
        elif value.kind == "function" or (value.kind == "operator" and value.text == "~" and len(value.parts) == 1):
            self._value(value, masked=masked)
        elif value.kind == "package":
            self._value(value, masked=masked)
        elif value.kind == "call" and value.parts[0].value in {RNode("name", "list"), RNode("name", "c")}:
            self._entry(value.parts[0].value.text or "")
            for each in value.parts[1:]:
                if each.value is not None:
                    self._function(each.value, masked=masked)
        elif value.kind == "call" and value.parts[0].value in words.GIVE_FUNCTIONS:
            self._quoted += value.parts[0].value == RNode("name", "label_bquote")
            self._value(value, masked=True)
            self._quoted -= value.parts[0].value == RNode("name", "label_bquote")
        else:
            raise NotProvenR("a function that is handed on")

    def _is_formula(self, value: RNode, *, texts: bool = False) -> bool:
        if texts and value.kind == "text" and value.text:
            written = read_r(value.text)
            return len(written) == 1 and written[0].kind == "operator" and self._is_formula(written[0])
        if (
            value.kind == "call"
            and (head := value.parts[0].value)
            and head.kind == "name"
            and head.text in words.MODELS | words.SPECIAL
        ):
            self._value(value, masked=True)
            return head.text in words.MODELS | {"formula", "as.formula"}
        if value.kind == "name":
            values = self._values.get(value.text or "", [])
            held = self._kind(value.text or "").rpartition("/")[2]
            return all(each is not None and self._is_formula(each) for each in values) and (
                bool(values) or held in {"formula", "lm"}
            )
        if value.kind == "operator" and value.text == "~":
            self._value(value, masked=True)
            return True
        return False

    def _is_facet(self, value: RNode) -> bool:
        if value.kind == "text":
            return bool(re.fullmatch(r"[A-Za-z][\w.]*", value.text or ""))
        is_vars = value.kind == "call" and value.parts[0].value == RNode("name", "vars")
        if is_vars:
            self._value(value, masked=True)
        return is_vars or self._is_formula(value)

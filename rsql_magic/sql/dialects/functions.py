"""Which functions a query may call, by dialect: lists in ``functions/*.txt``, read when first needed.

A list is an allow-list: a function is refused unless it is known to read its arguments and nothing else. The sections
``[refused: reason]`` only give the reason; a name that no list holds is refused too. The sections ``[not here: what to
write]`` name functions of other dialects that people and models write by mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from rsql_magic.sql.dialects.records import dialect_of
from rsql_magic.sql.dialects.table import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Functions:
    """What may be called in a dialect.

    Args:
        allowed: Names that may be called anywhere, lower case.
        tables: Names that may stand in FROM; None where the dialect lets any function stand there.
        prefixes: Beginnings of allowed names, such as ``st_``.
        reasons: Why a name, or a beginning with ``*``, is refused.
        absent: Functions of other dialects that this one has not, with what to write instead.
        title: The engine's name as people write it.
        extensions: Those of the allowed that extensions bring, and beginnings with ``*``.
        complete: True when the lists hold all the dialect's functions, so that others do not exist.
    """

    allowed: frozenset[str]
    tables: frozenset[str] | None
    prefixes: tuple[str, ...]
    reasons: dict[str, str]
    absent: dict[str, str]
    title: str = ""
    extensions: frozenset[str] = frozenset()
    complete: bool = False

    def allows(self, name: str) -> bool:
        """True when the function, in lower case, may be called."""
        return name in self.allowed or (name.startswith(self.prefixes) and not self.reason(name))

    def comes_with_extension(self, name: str) -> bool:
        """True when an extension brings the function, in lower case, and not the engine itself."""
        starts = tuple(start[:-1] for start in self.extensions if start.endswith("*"))
        return name in self.extensions or (bool(starts) and name.startswith(starts))

    def exists(self, name: str) -> bool:
        """True when the dialect has the function, whether it may be called or not."""
        known = self.allows(name) or bool(self.tables and name in self.tables) or bool(self.reason(name))
        return known and name not in self.absent

    def reason(self, name: str) -> str:
        """Why a function is refused, or "" when nothing is known of it."""
        if name in self.reasons:
            return self.reasons[name]
        starts = (name[:end] + "*" for end in range(len(name), 0, -1))
        return next((self.reasons[start] for start in starts if start in self.reasons), "")


@lru_cache(maxsize=64)
def functions(dialect: str) -> Functions:
    """The functions of a dialect, by sqlglot's name.

    Example:
        >>> functions("postgres").allows("lower"), functions("postgres").reason("pg_sleep")
        (True, 'waits and holds the connection')
    """
    record = dialect_of(dialect)
    allowed: set[str] = set()
    tables: set[str] = set()
    reasons: dict[str, str] = {}
    absent: dict[str, str] = {}
    extensions: set[str] = set()
    for section, names in (pair for each in ("common", *record.function_lists) for pair in _sections(each)):
        if section.startswith("refused: "):
            reasons |= dict.fromkeys(names, section.removeprefix("refused: "))
        elif section.startswith("not here: "):
            absent |= dict.fromkeys(names, section.removeprefix("not here: "))
        elif section == "tables made by functions":
            tables |= set(names)
        else:
            extensions |= set(names) if section.startswith("extensions") else set()
            allowed |= set(names)
            absent = {name: instead for name, instead in absent.items() if name not in names}
    return Functions(
        allowed=frozenset(allowed),
        tables=frozenset(tables) or None,
        prefixes=tuple(name[:-1] for name in allowed if name.endswith("*")),
        reasons=reasons,
        absent=absent,
        extensions=frozenset(extensions),
        title=record.title or dialect.capitalize(),
        complete=record.functions_complete,
    )


def _sections(name: str) -> Iterator[tuple[str, list[str]]]:
    """The sections of a list: heading and names."""
    from importlib.resources import files

    heading, names = "", list[str]()
    for line in files("rsql_magic.sql.dialects").joinpath(f"functions/{name}.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            yield heading, names
            heading, names = line[1:-1], []
        elif not line.startswith("#"):
            names += line.split()
    yield heading, names


def functions_table() -> str:
    """How many functions each dialect's list holds, why others are refused, and where the list is, as Markdown."""
    head = "| dialect | may be called | may stand in FROM | refused with a reason | list |\n|---|---|---|---|---|\n"
    return head + "".join(_row(dialect) for dialect in _listed())


def reasons_table() -> str:
    """Why functions are refused, with a few of them, as Markdown."""
    found: dict[str, list[str]] = {}
    for dialect in _listed():
        for name, reason in functions(dialect).reasons.items():
            if name not in found.setdefault(reason, []):
                found[reason].append(name)
    rows = (f"| it {reason} | {_some(names)} |\n" for reason, names in sorted(found.items()))
    return "| a function is refused because | such as |\n|---|---|\n" + "".join(rows)


def _listed() -> list[str]:
    return sorted(name for name, record in DIALECTS.items() if record.function_lists)


def _row(dialect: str) -> str:
    known = functions(dialect)
    in_from = "any of these" if known.tables is None else f"{len(known.tables)}"
    lists = ("common", *DIALECTS[dialect].function_lists)
    files = ", ".join(f"[{name}](../rsql_magic/sql/dialects/functions/{name}.txt)" for name in lists)
    return f"| {dialect} | {len(known.allowed)} | {in_from} | {len(known.reasons)} | {files} |\n"


def _some(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)[:6]) + (", …" if len(names) > 6 else "")

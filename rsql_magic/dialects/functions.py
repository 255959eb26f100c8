"""Which functions a query may call, by dialect: lists in ``functions/*.txt``, read when first needed.

A list is an allow-list: a function is refused unless it is known to read its arguments and nothing else. The sections
``[refused: reason]`` only give the reason; a name that no list holds is refused too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Dialects that are others with additions, most like first. What is not here has the common functions only.
_LISTS = {
    "bigquery": ("bigquery",),
    "clickhouse": ("clickhouse",),
    "duckdb": ("duckdb",),
    "mysql": ("mysql",),
    "oracle": ("oracle",),
    "postgres": ("postgres",),
    "snowflake": ("snowflake",),
    "spark": ("spark",),
    "sqlite": ("sqlite",),
    "trino": ("trino",),
    "tsql": ("tsql",),
    "athena": ("trino",),
    "databricks": ("spark",),
    "doris": ("mysql",),
    "fabric": ("tsql",),
    "hive": ("spark",),
    "materialize": ("postgres",),
    "presto": ("trino",),
    "redshift": ("postgres", "redshift"),
    "risingwave": ("postgres",),
    "singlestore": ("mysql",),
    "spark2": ("spark",),
    "starrocks": ("mysql",),
}


@dataclass(frozen=True, slots=True)
class Functions:
    """What may be called in a dialect.

    Args:
        allowed: Names that may be called anywhere, lower case.
        tables: Names that may stand in FROM; None where the dialect lets any function stand there.
        prefixes: Beginnings of allowed names, such as ``st_``.
        reasons: Why a name, or a beginning with ``*``, is refused.
    """

    allowed: frozenset[str]
    tables: frozenset[str] | None
    prefixes: tuple[str, ...]
    reasons: dict[str, str]

    def allows(self, name: str) -> bool:
        """True when the function, in lower case, may be called."""
        return name in self.allowed or (name.startswith(self.prefixes) and not self.reason(name))

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
    allowed: set[str] = set()
    tables: set[str] = set()
    reasons: dict[str, str] = {}
    for section, names in (pair for each in ("common", *_LISTS.get(dialect, ())) for pair in _sections(each)):
        if section.startswith("refused: "):
            reasons |= dict.fromkeys(names, section.removeprefix("refused: "))
        elif section == "tables made by functions":
            tables |= set(names)
        else:
            allowed |= set(names)
    prefixes = tuple(name[:-1] for name in allowed if name.endswith("*"))
    return Functions(frozenset(allowed), frozenset(tables) or None, prefixes, reasons)


def _sections(name: str) -> Iterator[tuple[str, list[str]]]:
    """The sections of a list: heading and names."""
    heading, names = "", list[str]()
    for line in files("rsql_magic.dialects").joinpath(f"functions/{name}.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            yield heading, names
            heading, names = line.strip("[]"), []
        elif not line.startswith("#"):
            names += line.split()
    yield heading, names

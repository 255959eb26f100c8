"""A draft that does not compile, put right by rules where only one thing can have been meant.

Most of what models get wrong is mechanical: a column behind the wrong alias, a name without its quotes, ``YEAR(x)``
where the engine has ``strftime``, a sentence behind the query. Such a slip needs no second round with the model. Each
rule looks for one kind of slip and makes the one change that can be meant; where there are two, it leaves the draft
alone, and the model is asked. What comes out was let through by the guard, the names and the engine's own compiler;
what goes in and compiles already is never touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.mending.aliases import expand_alias, filter_groups
from rsql_magic.mending.calling import mend_call
from rsql_magic.mending.faults import Faults, Mended
from rsql_magic.mending.joining import add_from, join_neighbour
from rsql_magic.mending.naming import mend_column, mend_table, quote_reserved, settle_ambiguous
from rsql_magic.mending.translating import translate
from rsql_magic.mending.wrapping import filter_aggregate, quote_spaced_names, unescape, unwrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.context import Catalog

__all__ = ["Mended", "mend"]

RULES: tuple[Callable[[Faults], Mended | None], ...] = (
    unwrap,
    unescape,
    quote_reserved,
    quote_spaced_names,
    filter_aggregate,
    mend_table,
    filter_groups,
    expand_alias,
    mend_column,
    join_neighbour,
    add_from,
    settle_ambiguous,
    mend_call,
    translate,
)
"""Tried in order: what keeps a draft from being read comes first, and what writes it anew comes last."""

_MOST_STEPS = 20
"""Slips mended in one draft; more of them mean that it was written for other tables."""


def mend(sql: str, dialect: str, catalog: Catalog, passes: Callable[[str], bool]) -> Mended | None:
    """Put a draft right, when every slip in it can mean one thing only.

    Args:
        sql: The draft.
        dialect: sqlglot's name of the dialect it is for.
        catalog: The tables there are.
        passes: Whether a statement passes the guard, the names and the compiler. It is asked, never told.

    Returns:
        The mended statement and what was changed; None for a draft that passes, and for one that stays in doubt.

    Example:
        >>> catalog = Catalog.from_ddl("CREATE TABLE users (id INT, name TEXT); CREATE TABLE orders (id INT)", "sqlite")
        >>> from rsql_magic.validate import validate
        >>> passes = lambda sql: not validate(sql, "sqlite", catalog)
        >>> draft = "SELECT o.name FROM users u JOIN orders o ON u.id = o.id"
        >>> mend(draft, "sqlite", catalog, passes).said
        ('o.name → u.name',)
    """
    if passes(sql):
        return None
    text, said, seen = sql, tuple[str, ...](), {sql}
    for _ in range(_MOST_STEPS):
        step = _step(Faults.of(text, dialect, catalog), seen)
        if step is None:
            return None
        text, said = step.sql, (*said, *step.said)
        seen.add(text)
        if passes(text):
            return Mended(text, said)
    return None


def _step(faults: Faults, seen: set[str]) -> Mended | None:
    """What the first rule makes of a draft that finds a slip of its kind."""
    made = (rule(faults) for rule in RULES)
    return next((one for one in made if one is not None and one.sql not in seen), None)

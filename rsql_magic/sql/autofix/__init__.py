"""A draft that does not compile, put right by rules where only one thing can have been meant."""

# Most of what models get wrong is mechanical: a column behind the wrong alias, a name without its quotes, ``YEAR(x)``
# where the engine has ``strftime``, a sentence behind the query. Such a slip needs no second round with the model.
# Each rule looks for one kind of slip and makes the one change that can be meant; where there are two, it leaves the
# draft alone, and the model is asked. What comes out was let through by the guard, the names and the engine's own
# compiler; what goes in and compiles already is never touched. Other tables or joins ask something else: these are
# proposed to the model, and taken alone only where it writes nothing better (`Fix.restructured`).

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.sql.autofix import names, texts
from rsql_magic.sql.autofix.broken_query import BrokenQuery, Fix

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.sql.catalog import Catalog

__all__ = ["Fix", "fix_query"]

_READABLE = (texts.unwrap, texts.unescape, names.quote_reserved, texts.quote_spaced_names, texts.filter_aggregate)
_NAMED = (names.fix_table, names.filter_groups, names.expand_alias, names.fix_column)
# Rules that change the tables or joins, and so what is asked: what they make is a proposal.
_STRUCTURE = (names.link_by_key, names.join_neighbour, names.join_rows, names.add_from)
# Of these, what never stands without the model's word: rows come several times.
_MULTIPLYING = (names.join_rows,)
_ANEW = (names.settle_ambiguous, texts.fix_call, texts.translate)
# Tried in order: what keeps a draft from being read comes first, and what writes it anew comes last.
RULES: tuple[Callable[[BrokenQuery], Fix | None], ...] = (*_READABLE, *_NAMED, *_STRUCTURE, *_ANEW)

# Slips corrected in one draft; more of them mean that it was written for other tables.
_MOST_STEPS = 20


def fix_query(sql: str, dialect: str, catalog: Catalog, passes: Callable[[str], bool]) -> Fix | None:
    """The draft put right, when every slip in it can mean one thing only; None when it passes, or stays in doubt.

    ``passes`` tells, without effects, whether a statement passes the guard, the names and the compiler.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> catalog = Catalog.from_ddl("CREATE TABLE users (id INT, name TEXT); CREATE TABLE orders (id INT)", "sqlite")
        >>> from rsql_magic.sql.validate import validate
        >>> passes = lambda sql: not validate(sql, "sqlite", catalog)
        >>> draft = "SELECT o.name FROM users u JOIN orders o ON u.id = o.id"
        >>> fix_query(draft, "sqlite", catalog, passes).changes
        ('o.name → u.name',)
    """
    if passes(sql):  # what compiles is never touched, however odd it looks
        return None
    fix, seen = Fix(sql), {sql}
    for _ in range(_MOST_STEPS):
        broken = BrokenQuery.of(fix.sql, dialect, catalog)
        made = ((rule, rule(broken)) for rule in RULES)
        rule, step = next(((rule, one) for rule, one in made if one is not None and one.sql not in seen), (None, None))
        if step is None:
            return None
        restructured, proposal_only = fix.restructured or rule in _STRUCTURE, fix.proposal_only or rule in _MULTIPLYING
        fix = Fix(step.sql, (*fix.changes, *step.changes), restructured, proposal_only)
        seen.add(fix.sql)
        if passes(fix.sql):
            return fix
    return None

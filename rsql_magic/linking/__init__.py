"""Which tables and columns matter to a question.

The whole schema when it fits the budget; otherwise the best tables, found by words, values and keys. A pure function
of the question and the catalog: no network, no model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.linking.index import Index, Weights

if TYPE_CHECKING:
    from rsql_magic.context import Catalog, Table

__all__ = ["Index", "Weights", "link"]


def link(question: str, catalog: Catalog, budget_tokens: int = 8000) -> list[Table]:
    """The tables that matter to the question, best first, within the budget.

    Args:
        question: The question in plain words.
        catalog: The tables to choose from.
        budget_tokens: The most that the text of the tables may cost.
    """
    index = Index.of(catalog)
    chosen, spent = [], 0
    for place in index.rank(question):
        table = catalog.tables[place]
        spent += _tokens(table)
        if spent > budget_tokens and chosen:
            break
        chosen.append(table)
    return chosen


def _tokens(table: Table) -> int:
    return round(sum(len(c.name) + len(c.type) + 4 for c in table.columns) / 3.7) + 10

"""Which tables and columns matter to a question.

The whole schema when it fits the budget; otherwise the best tables, found by words, values and keys. Pure functions of
the question and the catalog: no network, no model. One idea scores them: what a table says is matched to the question
word by word (BM25F; Robertson and Zaragoza 2009, with a light stemmer), and what it says counts for its neighbours over
keys, its island of keys and its schema as well (spreading activation; Collins and Loftus 1975), less the further away.
How tables are chosen, with figures: docs/linking.md.
"""

from __future__ import annotations

from rsql_magic.sql.linking.choosing import link, rivals, widen
from rsql_magic.sql.linking.fitting import Shown, shown
from rsql_magic.sql.linking.index import Index
from rsql_magic.sql.linking.slips import corrected, misspelt
from rsql_magic.sql.linking.values import StoredValue, find_values
from rsql_magic.sql.linking.weights import Weights

__all__ = [
    "Index",
    "Shown",
    "StoredValue",
    "Weights",
    "corrected",
    "find_values",
    "link",
    "misspelt",
    "rivals",
    "shown",
    "widen",
]

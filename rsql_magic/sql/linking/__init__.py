"""Which tables and columns matter to a question."""

# The whole schema when it fits the budget; otherwise the best tables, found by words, values and keys. Pure functions
# of the question and the catalog: no network, no model. One idea scores them: what a table says is matched to the
# question word by word (BM25F; Robertson and Zaragoza 2009, with a light stemmer), and what it says counts for its
# neighbours over keys, its island of keys and its schema as well (spreading activation; Collins and Loftus 1975),
# less the further away. How tables are chosen, with figures: docs/linking.md.

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

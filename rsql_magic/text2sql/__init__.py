"""``%%sql_ai``: a question about a database becomes SQL that is checked, run and shown.

The prompt holds the linked tables; drafts are validated, fixed by rules or sent back to the model, proven read-only by
the guard, and run. A result keeps the query, its rows, its chart and what was assumed.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

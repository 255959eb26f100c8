"""Columns that code asks of frames which do not have them, found before the code is run.

Python is read as a tree: what a name holds is followed through assignments and the usual methods of pandas and polars.
Where that is not certain (a rename by a function, a name bound by a loop), nothing is claimed: a false alarm costs more
than a slip that is not seen. R code is read by R itself (``context.r.unknown_columns``).

`reading` follows the statements, `asked` says which columns a call names, `given` which ones its result has.
"""

from rsql_magic.ask.columns_used.reading import Unknown, unknown_in_python

__all__ = ["Unknown", "unknown_in_python"]

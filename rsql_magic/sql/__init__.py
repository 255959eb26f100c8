"""SQL as a library, without I/O: catalogs, dialects, the guard, validation, autofix and schema linking.

Nothing here opens a connection, reads a clock or knows a notebook. A `Catalog` describes tables; ``guard.check`` lets a
single read-only statement through; ``validate`` finds names that do not exist; ``autofix`` corrects what can mean one
thing only; ``linking`` ranks tables for a question.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

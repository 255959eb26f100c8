"""What the model is told of a session: frames, R objects, cells and errors, ranked, redacted and fitted to a budget.

`describe` writes what is known of one object; `gather` chooses among everything. Both write only what the privacy level
allows, and pass every text through the same filter (`redact`) before it is handed out.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

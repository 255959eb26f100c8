"""Knowledge: what people wrote down about the data, and what can be found in it, beside schema and session.

A dictionary says what tables and columns mean and how metrics are defined. Nothing here asks a model or runs a query.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

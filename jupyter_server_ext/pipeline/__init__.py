"""The steps of a request, in order: idempotency, cache, limits, accounting, queue, upstream, end of the answer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

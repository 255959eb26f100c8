"""Keys and their rate windows: the pool, the fair queue before it, and predictions of waiting times."""

# ``windows`` counts one limit each so that no provider's way of counting is overrun, and learns from headers.

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

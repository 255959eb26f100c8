"""The HTTP routes, thin over the pipeline: bodies in, JSON and event streams out, and metrics for Prometheus."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

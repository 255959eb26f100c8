"""What a model may call before it answers, one file a tool, and the loop that runs the calls within a budget.

What a tool may tell at a privacy level is decided where it reads; all of it is fenced, filtered and shown.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Changes of a notebook that a model proposes: read, checked, judged by what they would do, and run under a net.

``change_set`` reads a proposal, ``change_writer`` asks for one, ``effects`` tells which cells are proven harmless, and
``net`` watches those that run.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

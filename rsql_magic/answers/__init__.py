"""``%%ask``: a question with its context becomes an answer whose code is checked.

The writer builds the request, reads the reply, parses its code blocks and looks for columns that frames do not have;
one repair round follows where something is wrong. ``code_checks`` is the static analysis behind it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Study cells: a summary, flashcards, a quiz or an exam about the notebook, a topic or a help page.

Code that proves an answer runs before anyone sees the question; what it disproves is left out.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Copies of conversations and their files at the gateway, for those who want them to follow or share them by a link.

``conversations.py`` sends, fetches and shares them, ``files.py`` what their answers made; ``known.py`` holds which are
where, ``removing.py`` deletes those of what is gone here, and ``background.py`` is the thread that all of it runs on.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

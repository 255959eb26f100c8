"""Copies of conversations and their files at the gateway, for those who want them to follow or share them by a link.

``conversations.py`` says when they are sent, fetched (``fetching.py``), shared and deleted; ``exchange.py`` sends and
takes in one, merged with what is there (``merging.py``, ``pairs.py``), and ``files.py`` what its answers made.
``known.py`` holds which are where, ``removing.py`` deletes those of what is gone here, ``replies.py`` says what a
gateway's replies mean, and ``background.py`` is the thread that all of it runs on.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

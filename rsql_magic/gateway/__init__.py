"""The kernel's way to the gateway: finding or starting it, HTTP, events of a reply, and the conversation.

The client is synchronous, as a cell is, and can be stopped from another thread. Replies can be recorded and replayed.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

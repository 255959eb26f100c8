"""The embedded provider: the model ``offline``, deterministic and rule-based, useful with no key at all."""

# ``answer`` is a pure function from chat messages to text; ``OfflineTransport`` puts it behind OpenAI's protocol.

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""The embedded provider: the model ``offline``, deterministic and rule-based, useful with no key at all.

``answer`` is a pure function from chat messages to text. ``OfflineTransport`` puts it behind OpenAI's protocol, as an
httpx transport, so the gateway reaches it like any other provider.

    prompt, words, facts   read the prompt
    sql/                   questions about a schema: linking, rules, resolving, building, follow-ups, repair
    ask/                   frames, R objects, code, errors, terms
    answer                 chooses between them
    transport              HTTP
"""

from __future__ import annotations

from .answer import answer
from .transport import MODEL, OfflineTransport

__all__ = ["MODEL", "OfflineTransport", "answer"]

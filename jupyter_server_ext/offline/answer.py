"""The one function of the embedded provider: a request in, text out. No I/O, no state, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .request import OfflineRequest

WHAT_IT_IS = (
    "I am rsql's offline model: fixed rules, no language model. I write SQL for plain questions about tables that are "
    "described to me, describe data frames and R objects, and explain common errors of R, Python and SQL. "
    "For open questions set a provider's key, such as `GROQ_API_KEY=…`, or add one to `rsql.toml`."
)


def answer(request: OfflineRequest | None) -> str:
    """Answer a request, as a chat model would.

    Args:
        request: What is asked; None for a client that sends messages only.

    Returns:
        Markdown. The same request always gives the same text.

    Example:
        >>> from jupyter_server_ext.offline.request import read
        >>> answer(read({"task": "ask", "question": "What is a median?"}))
        'The median is the middle value: half of the values are smaller, half are larger.'
    """
    return _answered(request) or WHAT_IT_IS if request is not None else WHAT_IT_IS


# sqlglot and the rules take a tenth of a second to import; a gateway that never serves this model should not pay it.
def _answered(request: OfflineRequest) -> str:
    if request.task in {"sql", "repair"}:
        from .sql import reply as sql_reply

        return sql_reply(request)
    if request.task == "explain":
        from .sql import explain

        return explain(request.sql, request.dialect)
    if request.task == "study":
        from .ask.study import study

        return study(request)
    from .ask.reply import reply
    from .ask.results import result_in_words

    return result_in_words(request) if request.task == "result" else reply(request)

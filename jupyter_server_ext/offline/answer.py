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
    # sqlglot and the rules take a tenth of a second to import, which a gateway without this model should not pay.
    if request is None:
        return WHAT_IT_IS
    if request.task in {"sql", "repair", "explain"}:
        from .sql import explain, reply

        return explain(request.sql, request.dialect) if request.task == "explain" else reply(request)
    from .ask.describe import result_in_words
    from .ask.reply import reply as ask_reply
    from .ask.study import study

    answers = {"study": study, "result": result_in_words}
    return answers.get(request.task, ask_reply)(request) or WHAT_IT_IS

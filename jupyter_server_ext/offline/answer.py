"""The one function of the embedded provider: messages in, text out. No I/O, no state, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .prompt import Prompt, read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WHAT_IT_IS = (
    "I am rsql's offline model: fixed rules, no language model. I write SQL for plain questions about tables that are "
    "described to me, describe data frames and R objects, and explain common errors of R, Python and SQL. "
    "For open questions set a provider's key, such as `GROQ_API_KEY=…`, or add one to `rsql.toml`."
)


def answer(messages: Sequence[Mapping[str, Any]]) -> str:
    """Answer a chat, as a chat model would.

    Args:
        messages: OpenAI's shape, oldest first: ``{"role": …, "content": …}``.

    Returns:
        Markdown. The same messages always give the same text.

    Example:
        >>> "offline model" in answer([{"role": "user", "content": "Write a poem."}])
        True
    """
    prompt = read(messages)
    if prompt.task in {"sql", "repair"}:
        return _sql(prompt)
    if prompt.task == "ask":
        return _ask(prompt)
    if prompt.task == "study":
        return _study(prompt)
    return WHAT_IT_IS


# sqlglot and the rules take a tenth of a second to import; a gateway that never serves this model should not pay it.
def _sql(prompt: Prompt) -> str:
    from .sql.reply import reply

    return reply(prompt)


def _study(prompt: Prompt) -> str:
    from .ask.study import study

    return study(prompt)


def _ask(prompt: Prompt) -> str:
    from .ask.reply import reply
    from .ask.results import result_in_words

    return result_in_words(prompt) or reply(prompt) or WHAT_IT_IS

"""Why an answer ended, in the words of providers: one table."""

from __future__ import annotations

from typing import Literal

Ending = Literal["whole", "length", "tools", "filter", "failed", "unknown"]

# The words of OpenAI, Azure, Anthropic, Gemini, Mistral, Cohere, DeepSeek, Together, Hugging Face, Bedrock, watsonx,
# OpenRouter, vLLM, SGLang and llama.cpp, in lower case: some servers write them in capitals, or as names of constants.
_OF_ENDING: dict[Ending, str] = {
    "whole": "stop end_turn stop_sequence eos eos_token end complete completed finish_reason_stop",
    "length": "length max_tokens max_length max_output_tokens model_length token_limit limit error_limit "
    "model_context_window_exceeded context_length_exceeded finish_reason_max_tokens",
    "tools": "tool_calls tool_call tool_use function_call",
    "filter": "content_filter content_filtered refusal safety recitation blocklist prohibited_content spii language "
    "image_safety guardrail_intervened error_toxic sensitive moderation finish_reason_safety finish_reason_recitation",
    "failed": "error abort aborted cancelled canceled user_cancel timeout time_limit network_error "
    "insufficient_system_resource malformed_function_call unexpected_tool_call too_many_tool_calls malformed_response "
    "not_finished incomplete other pause_turn finish_reason_other",
}
_ENDINGS: dict[str, Ending] = {word: ending for ending, words in _OF_ENDING.items() for word in words.split()}

_SENTENCES: dict[Ending, str] = {
    "whole": "",
    "tools": "",
    "length": "The model reached the longest answer that it may give.",
    "filter": "The provider's filter ended the answer.",
    "failed": "The provider broke the answer off.",
}


def ending_of(reason: str) -> Ending:
    """What a finish reason means; none at all is that of a server that gives none.

    Example:
        >>> [ending_of(reason) for reason in ("stop", "", "MAX_TOKENS", "SAFETY", "error", "because")]
        ['whole', 'whole', 'length', 'filter', 'failed', 'unknown']
    """
    word = reason.strip().lower()
    return _ENDINGS.get(word, "unknown") if word else "whole"


def ended_early(reason: str) -> str:
    """Why an answer may not be whole, in a sentence; empty where it is.

    Example:
        >>> ended_early("content_filter"), ended_early("because"), ended_early("stop")
        ("The provider's filter ended the answer.", 'The provider ended the answer with “because”.', '')
    """
    return _SENTENCES.get(ending_of(reason), f"The provider ended the answer with “{reason[:40]}”.")

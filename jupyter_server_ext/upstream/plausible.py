"""Whether a usage can be: what a provider counts is checked against what was sent, what was asked for, and what came.

A token is at least a byte, and a prompt at least a token. Beyond the prompt that we know a provider may count one of
its own, and beyond the text that comes a reasoning that it does not show, up to what was asked for or the longest
answer of any model. What is outside these bounds is replaced, part by part, by our own estimate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_server_ext.messages import Usage

from .expected import asked_tokens, choices, length_of, may_have_media

if TYPE_CHECKING:
    from jupyter_server_ext.messages import ChatRequest

    from .wire import Told

_MOST_BYTES = 4  # of a character in UTF-8, each of which may be a token
_HIDDEN_PROMPT = 20_000  # tokens of a provider's own: templates, tools, search results
_MEDIA = 1_000_000  # tokens of pictures, sound, files and films
_LONGEST_ANSWER = 262_144  # tokens, of any model
_SLACK = 64  # tokens beyond what was asked for, such as those that end an answer


def checked(told: Told | None, estimate: Usage, request: ChatRequest) -> tuple[Usage, tuple[str, ...]]:
    """The usage to believe, and what of the told one could not be.

    Args:
        told: What the provider says.
        estimate: What we would say; its completion is that of the text that came.
        request: What was asked.
    """
    if told is None:
        return estimate, ()
    prompt, completion, cached = told
    faults: list[str] = []
    if not _can_be_prompt(prompt, request):
        faults += ["prompt"] * (prompt is not None)
        prompt = None
    if request.embeds:
        completion = 0
    elif not _can_be_answer(completion, estimate.completion_tokens, request):
        faults += ["completion"] * (completion is not None)
        completion = None
    whole = prompt is not None and completion is not None
    prompt = estimate.prompt_tokens if prompt is None else prompt
    completion = estimate.completion_tokens if completion is None else completion
    if cached is not None and not 0 <= cached <= prompt:
        faults.append("cached")
        cached = 0
    return Usage(prompt, completion, cached or 0, estimated=bool(faults) or not whole), tuple(faults)


def _can_be_prompt(tokens: int | None, request: ChatRequest) -> bool:
    if tokens is None or tokens < 0:
        return False
    if 0 < tokens <= _HIDDEN_PROMPT:
        return True  # as nearly all are, so nothing need be measured
    length = length_of(request)
    beyond = tokens - _MOST_BYTES * length - _HIDDEN_PROMPT
    return (tokens > 0 or not length) and (beyond <= 0 or (beyond <= _MEDIA and may_have_media(request)))


def _can_be_answer(tokens: int | None, written: int, request: ChatRequest) -> bool:
    """``written`` is the estimate, of four characters each: as bytes, sixteen times as many."""
    if tokens is None or tokens < 0:
        return False
    asked = asked_tokens(request)
    most = asked + _SLACK if asked else _LONGEST_ANSWER * choices(request)
    return (tokens > 0 or not written) and tokens <= max(most, 4 * _MOST_BYTES * written)

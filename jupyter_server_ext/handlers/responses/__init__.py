"""``POST v1/responses``: OpenAI's newer protocol, which some clients speak by default, over chat completions.

A request is translated into one of chat completions (``asked``), and its answer back (``answered``, ``events``), so
limits, keys, queue and ledger know only one kind of request. Nothing is stored: a request brings its own history.
https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

import time

from jupyter_server_ext.handlers.completions import RelayHandler
from jupyter_server_ext.handlers.responses.answered import EventTranslator, ResponseFrame, response_of
from jupyter_server_ext.handlers.responses.asked import chat_body
from jupyter_server_ext.identity import needs_scope


class Responses(RelayHandler):
    """``POST v1/responses``."""

    @needs_scope("chat")
    async def post(self) -> None:
        """Answer as OpenAI's Responses API does, as a stream of its events or whole. Functions are the only tools."""
        read = await self.read_body(chat_body)
        request = self.chat_request(read)
        frame = ResponseFrame(self.request_id, request.model, read.sent, int(time.time()))
        translate = EventTranslator(frame)
        await self.relay(request, lambda reply: response_of(reply, frame), translate.feed)

"""OpenAI's routes: any client that speaks its protocol works with these."""

from __future__ import annotations

from jupyter_server_ext.errors import UnknownModel
from jupyter_server_ext.handlers.base import GatewayHandler, RelayHandler
from jupyter_server_ext.handlers.requests import as_sent, embeddings_request
from jupyter_server_ext.identity import needs_scope

OFFLINE = "offline"
"""The model of fixed rules, which only writes."""


class Completions(RelayHandler):
    """``POST v1/chat/completions``."""

    @needs_scope("chat")
    async def post(self) -> None:
        """Answer messages, as a stream of events or whole. Unknown fields pass through to the provider."""
        request = self.chat_request(await self.read_body(as_sent))
        await self.while_connected(lambda: self.relay(request))


class ModelList(GatewayHandler):
    """``GET v1/models``."""

    @needs_scope("chat")
    def get(self) -> None:
        """Models that the caller may use."""
        models = self.parts.policy.models(self.asker, self.parts.gateway.models())
        self.reply({"object": "list", "data": [_model(name) for name in models]})


class OneModel(GatewayHandler):
    """``GET v1/models/{model}``."""

    @needs_scope("chat")
    def get(self, name: str) -> None:
        """One model, if the caller may use it."""
        if name not in self.parts.policy.models(self.asker, self.parts.gateway.models()):
            raise UnknownModel("There is no model of this name for you. GET v1/models lists yours.", param="model")
        self.reply(_model(name))


class Embeddings(RelayHandler):
    """``POST v1/embeddings``."""

    @needs_scope("chat")
    async def post(self) -> None:
        """Vectors for texts, from providers that have them. ``model`` names the provider's model for that."""
        read = await self.read_body(as_sent)
        request = embeddings_request(read.asked, self.request.headers, request_id=self.request_id, weighed=read.weighed)
        if request.model == OFFLINE:
            raise UnknownModel("The model 'offline' has no embeddings. Name one that a provider serves.", param="model")
        await self.while_connected(lambda: self.relay(request))


class Unsupported(GatewayHandler):
    """OpenAI routes that clients may try and the gateway does not have."""

    @needs_scope("chat")
    def post(self, name: str) -> None:
        """Says what to use in its place."""
        del name
        message = "The gateway has no such route. Use POST v1/chat/completions, v1/responses or v1/embeddings."
        raise UnknownModel(message, code="not_found")

    get = post


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "rsql"}

"""What an administrator decided about each group: its models, its weight in the queue, words added to its requests.

Policies are values of ``settings``; here is what they do to a request. Amounts live in ``limits``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

from jupyter_server_ext.config import TenantSettings
from jupyter_server_ext.errors import UnknownModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jupyter_server_ext.config import Settings
    from jupyter_server_ext.messages import Caller, ChatRequest, Weighed


_NO_RULES = TenantSettings("")


class Policy:
    """The tenants' rules, asked by caller.

    Args:
        settings: Its ``tenants`` and ``fallbacks``. A tenant that is not listed has no rules of its own.

    Example:
        >>> from jupyter_server_ext.messages import Caller
        >>> from jupyter_server_ext.config.settings import Settings
        >>> policy = Policy(Settings(tenants=(TenantSettings("stats101", weight=2.0),)))
        >>> policy.of(Caller("ada", tenant="stats101")).weight, policy.of(Caller("bob")).weight
        (2.0, 1.0)
    """

    def __init__(self, settings: Settings) -> None:
        self._tenants = {tenant.name: tenant for tenant in settings.tenants}
        self._fallbacks = dict(settings.fallbacks)
        self.caches = settings.cache.enabled or None
        """Whether answers are given again to tenants that say nothing of it: yes, or None for where a request asks."""

    def learn(self, tenant: TenantSettings) -> None:
        """Have these rules for a tenant from now on."""
        self._tenants[tenant.name] = tenant

    def apply(self, caller: Caller, request: ChatRequest) -> ChatRequest:
        """The request as the caller's tenant allows it, with the tenant's system prompt.

        Raises:
            UnknownModel: The tenant may not use the model. It reads as if there were no such model.
        """
        tenant = self.of(caller)
        if tenant.models and request.model not in tenant.models:
            raise UnknownModel(f"There is no model '{request.model}' for you.", param="model")
        if not tenant.system_prompt or request.embeds:
            return request
        if request.weighed is not None:
            return _large_with_system_prompt(request, request.weighed, tenant.system_prompt)
        messages = _with_system_prompt(request.body.get("messages", ()), tenant.system_prompt)
        return dataclasses.replace(request, body={**request.body, "messages": messages})

    def models(self, caller: Caller, models: Iterable[str]) -> list[str]:
        """Those of ``models`` that the caller may use."""
        own = self.of(caller).models
        return [model for model in models if not own or model in own]

    def fallbacks(self, caller: Caller, model: str) -> tuple[str, ...]:
        """Models that may answer in place of ``model``, best first; empty unless the tenant agreed to that."""
        return tuple(self.models(caller, self._fallbacks.get(model, ()))) if self.of(caller).fallbacks else ()

    def of(self, caller: Caller) -> TenantSettings:
        """The rules of the caller's tenant."""
        return self._tenants.get(caller.tenant, _NO_RULES)


def _with_system_prompt(messages: Sequence[Any], prompt: str) -> list[Any]:
    """The prompt in front of all: within the caller's own first system message, as some models take only one."""
    first = messages[0] if messages else {}
    if first.get("role") == "system" and isinstance(first.get("content"), str):
        return [{**first, "content": f"{prompt}\n\n{first['content']}"}, *messages[1:]]
    return [{"role": "system", "content": prompt}, *messages]


def _large_with_system_prompt(request: ChatRequest, weighed: Weighed, prompt: str) -> ChatRequest:
    """The same for messages that may be there as JSON text."""
    given = request.body["messages"]
    text = bytes(given) if isinstance(given, msgspec.Raw) else msgspec.json.encode(given)
    first = [msgspec.json.decode(text[1 : weighed.system])] if weighed.system else []
    led = msgspec.json.encode(_with_system_prompt(first, prompt))
    rest = text[weighed.system :] if weighed.system else b"," + text[1:]
    more = len(prompt)
    known = {"characters": weighed.characters + more, "letters": weighed.letters + more, "size": weighed.size + more}
    body = {**request.body, "messages": msgspec.Raw(led[:-1] + rest)}
    return dataclasses.replace(request, body=body, weighed=msgspec.structs.replace(weighed, **known))

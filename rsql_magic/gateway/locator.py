"""The way to the gateway. It finds or starts one at first use, keeps its client, and knows its policy."""

from __future__ import annotations

from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING

from rsql_magic.context import LEVELS
from rsql_magic.errors import GatewayError, GatewayUnreachable
from rsql_magic.gateway import connect
from rsql_magic.gateway.batch import ReplayFile, ReplayingClient
from rsql_magic.gateway.client import LLMClient
from rsql_magic.gateway.model_records import ModelRecords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rsql_magic.config import Rsql
    from rsql_magic.gateway.client import Message
    from rsql_magic.sql import Privacy


class GatewayLocator:
    """The way to the gateway; settings are read at each use, and a ``client`` stands in place of looking for one."""

    def __init__(
        self, settings: Rsql, environ: Mapping[str, str], *, interactive: bool = True, client: LLMClient | None = None
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._interactive = interactive
        self._gateway = client
        self._floor: Privacy | None = None
        self._prompt = ""
        self._policy_known = False
        self.address: connect.Address | None = None  # where the gateway is, once it was found

    @cached_property
    def embedded(self) -> connect.Embedded:
        """The gateway of our own, which is started when it is asked for its address."""
        return connect.Embedded(self._environ, self._settings.start_timeout)

    @cached_property
    def _replay(self) -> ReplayFile | None:
        return ReplayFile.from_environ(self._environ)

    @property
    def _only_replays(self) -> bool:
        return self._replay is not None and self._replay.mode == "replay"

    @property
    def client(self) -> LLMClient | ReplayingClient:
        """The client to ask: the gateway's, behind the file of ``RSQL_REPLAY`` where there is one."""
        if self._replay is None:
            return self.gateway
        return ReplayingClient(None if self._only_replays else self.gateway, self._replay)

    @property
    def gateway(self) -> LLMClient:
        """The gateway's client; found, or started, at first use and when the embedded one has died."""
        died = self.address is not None and self.address.how == "embedded" and not self.embedded.running
        if self._gateway is None or died:
            return self._use(self._find())
        return self._gateway

    def use(self, url: str, token: str = "") -> connect.Address:
        """Use the gateway at a URL from now on; it is asked once whether it is there and takes the token.

        What was used before stays in use where that fails. The token is ``RSQL_GATEWAY_TOKEN`` when empty.
        """
        address = connect.Address(connect.base_url(url), token or self._environ.get("RSQL_GATEWAY_TOKEN", ""))
        with closing(self.client_of(address)) as client:
            client.models()
        self._use(address)
        return address

    def client_of(self, address: connect.Address) -> LLMClient:
        """A client for an address."""
        return LLMClient(
            address.url,
            address.token,
            interactive=self._interactive,
            timeout=self._settings.timeout,
            records=ModelRecords.of_user(self._environ),
        )

    def _use(self, address: connect.Address) -> LLMClient:
        if self._gateway is not None:
            self._gateway.close()
        self.address, self._gateway, self._policy_known = address, self.client_of(address), False
        return self._gateway

    def _find(self) -> connect.Address:
        if address := connect.named(self._environ, self._settings.gateway_url):
            return address
        for offer in connect.discovered(self._environ, self._settings.hub_service):
            if self._answers(offer):
                return offer
        if not self._settings.embedded:
            raise GatewayUnreachable("There is no gateway.", hint="Name one: %rsql connect URL.")
        return self.embedded.address()

    def _answers(self, offer: connect.Address) -> bool:
        with closing(self.client_of(offer)) as client:
            try:
                client.get("health", timeout=2.0)
            except GatewayError as error:
                return bool(error.code or error.request_id)  # one that cannot serve now is still the one to ask
        return True

    def most(self, level: Privacy) -> Privacy:
        """A privacy level, lowered to what the gateway's policy allows as far as that is known."""
        return min(level, self._floor or level, key=LEVELS.index)

    def with_prompt(self, messages: Sequence[Message]) -> list[Message]:
        """Messages as the gateway passes them on: what its policy adds stands in front, as far as that is known."""
        first = messages[0] if messages else None
        if not self._prompt:
            return list(messages)
        if first is None or first["role"] != "system":
            return [{"role": "system", "content": self._prompt}, *messages]
        return [{**first, "content": f"{self._prompt}\n\n{first['content']}"}, *messages[1:]]

    def learn_policy(self) -> None:
        """Ask the gateway once how much data its policy lets leave, what it adds to requests, and what answers them.

        No data is sent.
        """
        if self._policy_known or self._only_replays:
            return
        try:
            policy = self.gateway.get("stats", timeout=5.0)
        except GatewayUnreachable:
            raise
        except GatewayError as error:
            if error.status >= 500:  # it may have a policy that it cannot tell now
                raise
            policy = None  # another kind of endpoint
        policy = policy if isinstance(policy, dict) else {}
        floor, prompt = policy.get("privacy_floor"), policy.get("system_prompt")
        self._floor, self._prompt = (floor if floor in LEVELS else None), (prompt if isinstance(prompt, str) else "")
        offline = policy.get("offline_models")
        self.gateway.offline_models = frozenset(map(str, offline if isinstance(offline, list) else ()))
        self._policy_known = True

    def unknown_policy(self) -> str:
        """Learn the policy where only looking needs it: why it is not known, empty when it is."""
        try:
            self.learn_policy()
        except GatewayError as error:
            return f"{error.message} Its policy may let less leave."
        return ""

    def close(self) -> None:
        """Let go of the client, and end the embedded gateway."""
        if self._gateway is not None:
            self._gateway.close()
        if "embedded" in self.__dict__:
            self.embedded.close()
        self._gateway = self.address = None

"""The hub's side of the gateway in one piece: its API, who its tokens stand for, and its browsers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jupyter_server_ext.identity.hub.api import HubApi
from jupyter_server_ext.identity.hub.browsers import Browsers
from jupyter_server_ext.identity.hub.groups import Groups
from jupyter_server_ext.identity.hub.identity import HubIdentity

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_server_ext.config import Settings, TenantSettings
    from jupyter_server_ext.http_client import httpx
    from jupyter_server_ext.identity.hub.place import HubPlace


class HubAccess:
    """What handlers need of the hub.

    Args:
        place: Where the hub is.
        settings: As read.
        learn: Is told the rules of a tenant whenever the hub's differ from what was known.
        transport: What carries requests to the hub, in place of real connections; for tests.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        place: HubPlace,
        settings: Settings,
        learn: Callable[[TenantSettings], None] = lambda _: None,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.place = place
        self.api = HubApi(place, transport)
        self.browsers = Browsers(place)
        groups = Groups(self.api, settings, learn, clock=clock)
        self.identity = HubIdentity(place, self.api, groups, settings.hub, self.browsers)

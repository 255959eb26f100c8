"""Terms of a run: how long its questions wait, what they cost together, and the clients that keep to both."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic.errors import GatewayError
from rsql_magic.gateway.patience import Patience, WaitingClient, can_pass
from rsql_magic.gateway.spending import CostFile, SpendingClient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rsql_magic.gateway.client import LLMClient


@dataclass
class RunTerms:
    """What holds for all questions of a process; ``rsql run`` says by the environment what holds for several."""

    gateway: Callable[[], LLMClient]
    deadline: Callable[[], float | None]  # seconds that a question waits
    environ: Mapping[str, str]
    patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        until = float(self.environ.get("RSQL_BATCH_UNTIL") or "inf")  # as `rsql run --deadline` sets it
        self.patience = Patience(self.deadline, until=until)

    @property
    def costs(self) -> CostFile | None:
        """Where this is one of several runs, the file of what their answers cost."""
        path = self.environ.get("RSQL_COSTS", "")
        return CostFile(Path(path)) if path else None

    @property
    def budget(self) -> float | None:
        """What the answers of several runs may cost together, in US dollars."""
        return self.costs.budget if self.costs else None

    def client(self, patience: Patience | None = None) -> WaitingClient | SpendingClient:
        """A client that waits, and writes down what answers cost where others have to know."""
        patience = patience or self.patience
        client = WaitingClient(self.gateway, patience)
        if (file := self.costs) is None:
            return client
        run = self.environ.get("RSQL_COSTS_RUN", "")
        return SpendingClient(client, file, run, self.prices, patience.tell, patience.pause)

    def prices(self, model: str | None) -> tuple[float, float] | None:
        """As ``LLMClient.prices``; a gateway that is away is waited for.

        Raises:
            GatewayError: It is away for too long.
        """
        try:
            return self.patience.until_answered(lambda: self.gateway().prices(model))
        except GatewayError as error:
            if can_pass(error):
                raise
            return None  # another kind of endpoint

    def note_cost(self, cost: float | None) -> None:
        """Write down what was paid other than by a client's answer, in US dollars; None where that is not known."""
        if (file := self.costs) is not None:
            file.settle(secrets.token_hex(8), self.environ.get("RSQL_COSTS_RUN", ""), cost)

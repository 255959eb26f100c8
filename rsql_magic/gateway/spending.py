"""What the answers of several runs cost together, and a budget over all of them that is never passed.

``rsql run`` gives its kernels a file (``RSQL_COSTS``). Each answer adds a line; with a budget each question first holds
the most that it can cost, by the gateway's prices, the length of what is sent and the tokens that the answer may have,
so that questions that are asked at the same time do not pass the budget together.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Protocol

from rsql_magic.errors import BadInput, BudgetSpent, GatewayError
from rsql_magic.gateway.events import Done, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Unpack

    from rsql_magic.gateway.client import LLMClient, Message, StreamOptions, Vectors
    from rsql_magic.gateway.events import Event
    from rsql_magic.gateway.patience import WaitingClient

_MOST_TOKENS = 4096  # that an answer may have where nothing else says so
_FEWEST_TOKENS = 512  # below them an answer is not worth asking for
_PAUSE = 0.2  # seconds between two looks for money that others held
_SPARE = 16  # tokens of a message's own form
_GRAIN = 1e-12  # dollars, far below the price of a token: sums of prices are no exact numbers


@dataclass(frozen=True, slots=True)
class Costs:
    """What answers have cost: US dollars that are known, those held for open questions, and answers without a price."""

    spent: float = 0.0
    held: float = 0.0
    unknown: int = 0

    def __str__(self) -> str:
        amount = f"${self.spent:,.4f}" if 0 < self.spent < 0.1 else f"${self.spent:,.2f}"
        return amount + (f" and {self.unknown:,} answers of unknown price" if self.unknown else "")


@dataclass(frozen=True)
class CostFile:
    """The file in which the runs of one call write down what they hold and pay."""

    path: Path

    @classmethod
    def begun(cls, path: Path, budget: float | None = None) -> CostFile:
        """A new file, with the budget in US dollars that all runs have together."""
        path.write_text(json.dumps({"budget": budget}) + "\n", encoding="utf-8")
        return cls(path)

    @property
    def budget(self) -> float | None:
        """The budget, None where there is none."""
        found = self._lines()[0].get("budget")
        return None if found is None else float(found)

    def costs(self, run: str | None = None) -> Costs:
        """What one run has cost, or all of them.

        Example:
            >>> import tempfile; from pathlib import Path
            >>> file = CostFile.begun(Path(tempfile.mkdtemp(), "costs.jsonl"), 1.0)
            >>> one, other = file.hold("a", 0.4), file.hold("b", 0.4)
            >>> file.hold("b", 0.4) is None
            True
            >>> file.settle(one, "a", 0.1); file.costs("a").spent, file.costs().held
            (0.1, 0.4)
        """
        return _folded([each for each in self._lines() if run is None or each.get("run") == run])

    def hold(self, run: str, most: float) -> str | None:
        """Hold the most that a question can cost; its id, or None where that is not left now."""
        with self._turn() as file:
            costs, budget = _folded(_read(file)), self.budget
            if budget is not None and costs.spent + costs.held + most > budget + _GRAIN:
                return None
            name = secrets.token_hex(8)
            _write(file, {"run": run, "id": name, "hold": most})
            return name

    def settle(self, name: str, run: str, cost: float | None) -> None:
        """Put the cost of an answer in place of what was held, None for one of unknown price."""
        with self._turn() as file:
            _write(file, {"run": run, "id": name, "cost": cost})

    def close(self, run: str) -> None:
        """A run has ended: what it still holds may have been paid, and counts as spent."""
        with self._turn() as file:
            held = {each["id"]: each["hold"] for each in _read(file) if "hold" in each and each.get("run") == run}
            for each in _read(file):
                if "cost" in each:
                    held.pop(each["id"], None)
            for name, most in held.items():
                _write(file, {"run": run, "id": name, "cost": most})

    def _lines(self) -> list[dict[str, Any]]:
        with self.path.open(encoding="utf-8") as file:
            return _read(file)

    @contextmanager
    def _turn(self) -> Iterator[IO[str]]:
        with self.path.open("r+", encoding="utf-8") as file:
            with suppress(ImportError):  # Windows has none; a budget needs runs one at a time there
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            yield file


class CostBook(Protocol):
    """Where what is held and paid is written down."""

    @property
    def budget(self) -> float | None: ...  # noqa: D102 - as in CostFile
    def costs(self, run: str | None = None) -> Costs: ...  # noqa: D102
    def hold(self, run: str, most: float) -> str | None: ...  # noqa: D102
    def settle(self, name: str, run: str, cost: float | None) -> None: ...  # noqa: D102


@dataclass
class CostMemory:
    """What answers have cost that belong together within one process.

    Example:
        >>> costs = CostMemory(1.0)
        >>> first = costs.hold("turn", 0.7)
        >>> costs.hold("turn", 0.7) is None
        True
        >>> costs.settle(first, "turn", 0.2); costs.costs().spent
        0.2
    """

    budget: float | None = None  # US dollars
    _lines: list[dict[str, Any]] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def costs(self, run: str | None = None) -> Costs:
        """As ``CostFile.costs``."""
        return _folded([each for each in self._lines if run is None or each.get("run") == run])

    def hold(self, run: str, most: float) -> str | None:
        """As ``CostFile.hold``."""
        with self._lock:
            costs = self.costs()
            if self.budget is not None and costs.spent + costs.held + most > self.budget + _GRAIN:
                return None
            name = secrets.token_hex(8)
            self._lines.append({"run": run, "id": name, "hold": most})
            return name

    def settle(self, name: str, run: str, cost: float | None) -> None:
        """As ``CostFile.settle``."""
        with self._lock:
            self._lines.append({"run": run, "id": name, "cost": cost})


# Lines that are whole: a process may be killed while it writes one.
def _read(file: IO[str]) -> list[dict[str, Any]]:
    file.seek(0)
    lines = []
    for line in file.read().splitlines():
        with suppress(ValueError):
            lines.append(json.loads(line))
    return lines


def _write(file: IO[str], line: Mapping[str, Any]) -> None:
    file.seek(0, 2)
    file.write(f"\n{json.dumps(line)}\n")  # on a line of its own, whatever stands before
    file.flush()


def _folded(lines: Sequence[Mapping[str, Any]]) -> Costs:
    held: dict[str, float] = {}
    spent, unknown = 0.0, 0
    for each in lines:
        if "hold" in each:
            held[each["id"]] = each["hold"]
        elif "cost" in each:
            held.pop(each["id"], None)
            spent += each["cost"] or 0.0
            unknown += each["cost"] is None
    return Costs(spent, sum(held.values()), unknown)


@dataclass
class SpendingClient:
    """A client that writes down what its answers cost, and asks only what the budget reaches for."""

    client: WaitingClient | LLMClient
    file: CostBook
    run: str
    # US dollars for a token that a model reads and for one that it writes; None where that is not known.
    prices: Callable[[str | None], tuple[float, float] | None]
    tell: Callable[[str], None] = lambda _: None
    pause: Callable[[float], None] = time.sleep
    begin: Callable[[], None] = lambda: None  # called before each question; a ``BudgetSpent`` keeps it from being asked
    hint: str = "The same call goes on from here with a larger --budget."  # to those whose budget is spent
    _prices: dict[str | None, tuple[float, float]] = field(default_factory=dict, repr=False)

    @property
    def offline_models(self) -> frozenset[str]:
        """Those of the client."""
        return self.client.offline_models

    def stream(self, messages: Sequence[Message], **options: Unpack[StreamOptions]) -> Generator[Event, None, None]:
        """As ``LLMClient.stream``.

        Raises:
            BudgetSpent: The budget does not reach for the answer.
            BadInput: There is a budget, and the price of the model is not known.
        """
        held, most, asked, came = None, 0.0, options.get("max_tokens") or _MOST_TOKENS, False
        if (budget := self.file.budget) is not None:
            asking = json.dumps([list(messages), options.get("tools") or []], ensure_ascii=False, default=str)
            spare = _SPARE * len(messages)
            held, most, options["max_tokens"] = self._hold(budget, options.get("model"), asking, asked, spare)
        try:
            self.begin()
            with closing(self.client.stream(messages, **options)) as events:
                for event in events:
                    came = came or isinstance(event, Text)
                    if isinstance(event, Done):
                        cost = cost_of(event.rsql)
                        if cost is None and budget is not None:  # the gateway told a price, and now none
                            raise _no_price(options.get("model"))
                        self.file.settle(held or secrets.token_hex(8), self.run, cost)
                        held, came = None, False
                        if event.finish_reason == "length" and budget is not None and options["max_tokens"] < asked:
                            raise self._spent(budget)  # it was cut for the budget, and is no answer
                    yield event
        except (GatewayError, BudgetSpent) as error:
            if not came and _bought_nothing(error):
                most = 0.0
            elif not held and came:
                self.file.settle(secrets.token_hex(8), self.run, None)
            raise
        finally:
            if held:  # an answer that broke off may have cost all of it
                self.file.settle(held, self.run, most)

    def embed(self, model: str, texts: Sequence[str]) -> Vectors:
        """As ``LLMClient.embed``.

        Raises:
            BudgetSpent: The budget does not reach for the vectors.
            BadInput: There is a budget, and the price of the model is not known.
        """
        held, most, budget = None, 0.0, self.file.budget
        if budget is not None:
            held, most, _ = self._hold(budget, model, "".join(texts), 0, _SPARE * len(texts))
        try:
            found = self.client.embed(model, texts)
            cost = cost_of(found.rsql)
            if cost is None and budget is not None:
                raise _no_price(model)
            self.file.settle(held or secrets.token_hex(8), self.run, cost)
            held = None
        except GatewayError as error:
            most = 0.0 if _bought_nothing(error) else most
            raise
        finally:
            if held:
                self.file.settle(held, self.run, most)
        return found

    # The id of what is held, its dollars, and the most tokens that may be written: fewer than are asked for where
    # little is left.
    def _hold(self, budget: float, model: str | None, sent: str, asked: int, spare: int) -> tuple[str, float, int]:
        if model not in self._prices:
            if (price := self.prices(model)) is None:
                raise _no_price(model)
            self._prices[model] = price
        reading, writing = self._prices[model]
        # No token is shorter than a byte.
        prompt = reading * (len(sent.encode("utf-8", "replace")) + spare)
        while True:
            costs = self.file.costs()
            left = budget - costs.spent - costs.held - prompt
            tokens = asked if left >= asked * writing else int(max(0.0, left) / writing) if writing else 0
            enough = left >= -_GRAIN and tokens >= min(asked, _FEWEST_TOKENS)
            if enough and (tokens == asked or not costs.held):
                if name := self.file.hold(self.run, most := prompt + tokens * writing):
                    return name, most, tokens
            elif not costs.held:
                raise self._spent(budget)
            self.tell("waiting for answers in other notebooks: the rest of the budget is held for them")
            self.pause(_PAUSE)

    def _spent(self, budget: float) -> BudgetSpent:
        spent = f"{self.file.costs()} were spent"
        return BudgetSpent(f"The budget of ${budget:g} does not reach for another answer: {spent}.", hint=self.hint)


def cost_of(rsql: Mapping[str, Any]) -> float | None:
    """What an answer cost in US dollars, by what the gateway says of it; None where that is not known."""
    if rsql.get("price") == "free":
        return 0.0
    cost = rsql.get("cost_usd")
    return float(cost) if isinstance(cost, int | float) else None


# Whether a request was refused, so that nothing was bought.
def _bought_nothing(error: GatewayError | BudgetSpent) -> bool:
    return isinstance(error, BudgetSpent) or 400 <= error.status < 500


def _no_price(model: str | None) -> BadInput:
    which = f"The price of {model}" if model else "The price of some model"
    hint = "Name a model with a price, or have the administrator set one ([prices] in rsql.toml)."
    return BadInput(f"{which} is not known, so that a budget cannot be kept.", hint=hint)

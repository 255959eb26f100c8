"""What a model takes, found out from its refusals and kept: which parameters it does not, and how long a context.

Kept in ``rsql/models.json`` of the user's cache folder, a month at most: servers change. A file that cannot be read or
written is no error; the model is asked once more.
"""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rsql_magic.errors import GatewayError

# Parameters that an answer can do without; reasoning models refuse the first, some servers the second.
OPTIONAL = ("temperature", "seed")

_MONTH = 30 * 24 * 3600.0
_TOO_LONG = re.compile(r"context|maximum (?:prompt|input) length|(?:prompt|input|request) is too (?:long|large)", re.I)
_TOKENS = re.compile(r"(\d[\d,]{2,}) ?tokens?\b")


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """What is known of one model at one address.

    Args:
        refuses: Parameters that it answers with an error.
        context: Tokens that its context holds; 0 when it is not known.
        seen: When this was found out, in seconds since 1970.
    """

    refuses: tuple[str, ...] = ()
    context: int = 0
    seen: float = 0.0


@dataclass
class ModelRecords:
    """The records of models by address and name.

    Args:
        path: The file that keeps them; None keeps them in this process.
        clock: Source of time, in seconds since 1970.

    Example:
        >>> records = ModelRecords()
        >>> records.learn("http://127.0.0.1:8000/", "o3", refuses="temperature")
        >>> records.of("http://127.0.0.1:8000/", "o3").refuses
        ('temperature',)
    """

    path: Path | None = None
    clock: Callable[[], float] = time.time
    _known: dict[str, ModelRecord] = field(default_factory=dict)

    @classmethod
    def of_user(cls, environ: Mapping[str, str] = os.environ) -> ModelRecords:
        """Those in the user's cache folder."""
        folder = environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
        return cls(Path(folder, "rsql", "models.json"))

    def of(self, url: str, model: str | None) -> ModelRecord:
        """The record of a model; an empty one where nothing is known, or was found out a month ago."""
        if not self._known and self.path is not None:
            self._known = self._read(self.path)
        record = self._known.get(_key(url, model), ModelRecord())
        return record if self.clock() - record.seen < _MONTH else ModelRecord()

    def learn(self, url: str, model: str | None, *, refuses: str = "", context: int = 0) -> None:
        """Add what a refusal told."""
        old = self.of(url, model)
        refused = (*old.refuses, refuses) if refuses and refuses not in old.refuses else old.refuses
        self._known[_key(url, model)] = replace(old, refuses=refused, context=context or old.context, seen=self.clock())
        if self.path is not None:
            with suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                kept = {key: asdict(record) for key, record in self._known.items()}
                self.path.write_text(json.dumps(kept, indent=1, sort_keys=True), encoding="utf-8")

    def _read(self, path: Path) -> dict[str, ModelRecord]:
        try:
            kept: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
            return {
                key: ModelRecord(tuple(map(str, one["refuses"])), int(one["context"]), float(one["seen"]))
                for key, one in kept.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


def _key(url: str, model: str | None) -> str:
    return f"{url} {model or 'default'}"


def refused_parameter(error: GatewayError, sent: Iterable[str]) -> str:
    """The optional parameter that a refusal names; empty for another refusal.

    Example:
        >>> from rsql_magic.errors import GatewayError
        >>> refused_parameter(GatewayError("'temperature' does not support 0 with this model.", status=400), OPTIONAL)
        'temperature'
    """
    if error.status not in {400, 422}:
        return ""
    return next((name for name in sent if name in OPTIONAL and re.search(rf"\b{name}\b", error.message)), "")


def context_exceeded(error: GatewayError) -> int | None:
    """The tokens that a model's context holds, where a refusal says that it is exceeded; 0 where it does not say.

    Example:
        >>> from rsql_magic.errors import GatewayError
        >>> words = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."
        >>> context_exceeded(GatewayError(words, status=400)), context_exceeded(GatewayError("No.", status=400))
        (8192, None)
    """
    says_so = error.status in {400, 413, 422} and _TOO_LONG.search(error.message)
    if error.code != "context_length_exceeded" and not says_so:
        return None
    return min((int(found.replace(",", "")) for found in _TOKENS.findall(error.message)), default=0)

"""Batch runs: whether a cell runs without a person, and the file of answers with which a notebook runs again."""

# RSQL_REPLAY names that file:
# - `answers.jsonl` replays what the file knows, asks for the rest and adds it.
# - `replay:answers.jsonl` only replays; a question that the file does not know is an error.
# - `record:answers.jsonl` asks everything again and writes the file anew.
# The key of an answer is a hash of all that was sent, the date left out: when the data that a prompt describes changes,
# the old answer no longer fits, and `replay:` reports that.

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.errors import BadInput, GatewayUnreachable
from rsql_magic.gateway.client import body_fields
from rsql_magic.gateway.events import Done, Text

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from typing import Unpack

    from rsql_magic.gateway.client import LLMClient, Message, StreamOptions
    from rsql_magic.gateway.events import Event

Mode = Literal["auto", "replay", "record"]

# The date, and the time zone beside it, whose name changes with summer time.
_TODAY = re.compile(r' ?today="[^"]*"(?: time_zone="[^"]*")?')


def is_batch(shell: Any, environ: Mapping[str, str]) -> bool:
    """Whether this cell runs without a person; ``RSQL_BATCH`` wins over what the shell's kernel says."""
    value = environ.get("RSQL_BATCH", "").strip().lower()
    if value:
        return value not in {"0", "false", "no", "off"}
    # nbconvert, nbclient and papermill tell the kernel that nobody can answer `input()`.
    kernel = getattr(shell, "kernel", None)
    return kernel is not None and not getattr(kernel, "_allow_stdin", True)


def key_of(messages: Sequence[Mapping[str, Any]], model: str | None, **params: Any) -> str:
    """The hash under which an answer is kept: of messages, model and parameters; the date in a prompt does not count.

    Example:
        >>> key_of([{"role": "user", "content": 'today="2026-01-01"'}], None) == key_of(
        ...     [{"role": "user", "content": 'today="2027-01-01"'}], None
        ... )
        True
    """
    import hashlib

    text = json.dumps([list(map(dict, messages)), model, params], sort_keys=True, ensure_ascii=False, default=str)
    # In JSON the quotes around an attribute of the prompt are escaped, and the date would not be found.
    return hashlib.sha256(_TODAY.sub("", text.replace('\\"', '"')).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass
class ReplayFile:
    """A file of answers, one JSON object a line: ``{"key", "text", "done"}``; for the modes see this module."""

    path: Path
    mode: Mode = "auto"
    _answers: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> ReplayFile | None:
        """The file that ``RSQL_REPLAY`` names, or None."""
        value = environ.get("RSQL_REPLAY", "").strip()
        if not value:
            return None
        head, colon, rest = value.partition(":")
        if colon and re.fullmatch(r"[a-z]{2,}", head) and head not in {"replay", "record"}:
            raise BadInput(
                f"RSQL_REPLAY begins with {head}:, which is none.", hint="It is record: or replay:, or neither."
            )
        mode: Mode = "replay" if head == "replay" else "record" if head == "record" else "auto"
        return cls(Path(value if mode == "auto" else rest), mode).opened()

    def opened(self) -> ReplayFile:
        """The same file, read (or begun anew when recording)."""
        if self.mode == "record":
            self._write("", "w")
        elif self.path.exists():
            self._read()
        elif self.mode == "replay":
            raise BadInput(
                f"RSQL_REPLAY names {self.path}, which does not exist.",
                hint="Record it first: RSQL_REPLAY=record:FILE.",
            )
        return self

    def _read(self) -> None:
        for number, line in enumerate(self.path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            try:
                answer = json.loads(line)
                self._answers[answer["key"]] = answer
            except (ValueError, KeyError, TypeError):
                raise BadInput(
                    f"Line {number} of {self.path} is not a recorded answer.", hint="Record the file again."
                ) from None

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer kept under the key, or None when it is to be asked for; ``replay:`` refuses an unknown key."""
        answer = self._answers.get(key)
        if answer is None and self.mode == "replay":
            raise BadInput(
                f"{self.path} holds no answer to this question: the question, the data or the prompt has changed.",
                hint="Record it again with RSQL_REPLAY=record:FILE.",
            )
        return answer if self.mode != "record" else None

    def put(self, key: str, text: str, done: Mapping[str, Any]) -> None:
        """Keep an answer, at once on disk."""
        answer = {"key": key, "text": text, "done": dict(done)}
        self._answers[key] = answer
        self._write(json.dumps(answer, ensure_ascii=False) + "\n", "a")

    def _write(self, text: str, mode: Literal["a", "w"]) -> None:
        try:
            with self.path.open(mode, encoding="utf-8", errors="replace") as file:
                file.write(text)
        except OSError as error:
            raise BadInput(
                f"RSQL_REPLAY: {self.path} cannot be written: {error.strerror}.", hint="Name another file."
            ) from None


@dataclass
class ReplayingClient:
    """A client that knows earlier answers from a file (``RSQL_REPLAY``) and asks only for the others."""

    client: LLMClient | None
    file: ReplayFile

    @property
    def offline_models(self) -> frozenset[str]:
        """Those of the client."""
        return self.client.offline_models if self.client else frozenset()

    def stream(self, messages: Sequence[Message], **options: Unpack[StreamOptions]) -> Generator[Event, None, None]:
        """As ``LLMClient.stream``; a replayed answer comes as one ``Text``."""
        key = key_of(messages, options.get("model"), **body_fields(options))
        if known := self.file.get(key):
            yield Text(known["text"])
            value = {**known["done"].get("rsql", {}), "cached": True, "replayed": True}
            yield Done(**{**known["done"], "rsql": value})
            return
        if self.client is None:
            raise GatewayUnreachable("There is no gateway to ask.", hint="%rsql connect names one.")
        pieces = []
        for event in self.client.stream(messages, **options):
            if isinstance(event, Text):
                pieces.append(event.text)
            elif isinstance(event, Done):
                kept = ("usage", "rsql", "finish_reason", "model")
                self.file.put(key, "".join(pieces), {name: getattr(event, name) for name in kept})
            yield event

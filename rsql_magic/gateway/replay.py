"""Recordings: files of answers with which a notebook runs again without a model, and what changed since then."""

# RSQL_REPLAY names the file:
# - `answers.jsonl` replays what the file knows, asks for the rest and adds it.
# - `strict:answers.jsonl`, or `replay:`, only replays; a question that the file does not know is an error that says
#   what has changed.
# - `record:answers.jsonl` asks everything again and writes the file anew.
#
# A file is JSON Lines: an answer is one line, and lines stand in the order of their questions, whatever the order in
# which they were asked, so that branches of a repository merge line by line. A line that says the same is not written
# anew. Writers take turns, and each adds to what the others wrote.

from __future__ import annotations

import base64
import json
import os
import re
import sys
from array import array
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher, unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.errors import BadInput, GatewayUnreachable
from rsql_magic.gateway.client import Vectors, body_fields
from rsql_magic.gateway.events import Done, Text, ToolCall
from rsql_magic.gateway.prompt_keys import first_key_of, key_of, steady_messages
from rsql_magic.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from typing import Unpack

    from rsql_magic.gateway.client import LLMClient, Message, StreamOptions
    from rsql_magic.gateway.events import Event
    from rsql_magic.gateway.patience import WaitingClient
    from rsql_magic.gateway.spending import SpendingClient

Mode = Literal["auto", "replay", "record"]

VERSION = 2  # of the lines; those of the first had no number, and neither question nor prompt
_MODES: dict[str, Mode] = {"replay": "replay", "strict": "replay", "record": "record"}
_VECTOR = "embedding"  # the task of a line that holds a vector: base64 of numbers of 32 bits, little-endian
_SHOWN_OF_TEXTS = 120  # characters of a text that has one
_SHOWN_LINES = 20  # of a difference, in an error
_OF_MERGES = ("<<<<<<<", "=======", ">>>>>>>")
_PASSING = ("queue_seconds", "cached", "replayed")  # what a gateway says of one moment


@dataclass(frozen=True)
class RecordedRequest:
    """What is asked: the question in words, and all that is sent with it."""

    messages: Sequence[Message]
    model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    question: str = ""  # as a person asked it
    task: str = ""

    @classmethod
    def of(cls, messages: Sequence[Message], options: StreamOptions) -> RecordedRequest:
        """The request that a stream with these options sends."""
        question, task = redact(options.get("question", ""))[0], options.get("task", "")
        return cls(messages, options.get("model"), body_fields(options), question, task)

    @classmethod
    def of_vector(cls, model: str, text: str) -> RecordedRequest:
        """The request for the vector of a text."""
        begins = redact(" ".join(text.split())[:_SHOWN_OF_TEXTS])[0]
        return cls([{"role": "user", "content": text}], model, {"task": _VECTOR}, begins, _VECTOR)

    @property
    def key(self) -> str:
        """The key of its answer."""
        return key_of(self.messages, self.model, **self.parameters)

    @property
    def first_key(self) -> str:
        """The key of its answer in a recording of the first version."""
        return first_key_of(self.messages, self.model, **self.parameters)

    def line(self, text: str, done: Mapping[str, Any], floor: str) -> dict[str, Any]:
        """What a recording holds of it and its answer."""
        asked = {"question": self.question, "task": self.task, "model": self.model, "parameters": self.parameters}
        answer = {"text": text, "done": done, **({"floor": floor} if floor else {})}
        # Of a text that has a vector only the beginning is kept: it may be a passage of somebody's document.
        sent = steady_messages(self.messages) if self.task != _VECTOR else []
        return {**asked, **answer, "messages": sent, "key": self.key, "version": VERSION}


def difference(old: Mapping[str, Any], new: RecordedRequest) -> list[str]:
    """What changed between a recorded request and another: question, model, parameters, and lines of the context.

    Example:
        >>> asked = [{"role": "user", "content": "flights: 10 rows"}]
        >>> old = RecordedRequest(asked, "llama", {"seed": 1}, "How many?").line("10", {}, "")
        >>> now = [{"role": "user", "content": "flights: 12 rows"}]
        >>> difference(old, RecordedRequest(now, "qwen", {"seed": 1}, "How many?"))
        ['model: llama → qwen', 'context:', '-flights: 10 rows', '+flights: 12 rows']
    """
    pairs = [("question", old["question"], new.question), ("model", old["model"], new.model)]
    names = sorted({*old["parameters"], *new.parameters})
    pairs += [(f"parameter {name}", old["parameters"].get(name), new.parameters.get(name)) for name in names]
    changed = [f"{name}: {_word(was)} → {_word(now)}" for name, was, now in pairs if _plain(was) != _plain(now)]
    were, are = _lines_of(old["messages"]), _lines_of(steady_messages(new.messages))
    lines = [line for line in unified_diff(were, are, n=0, lineterm="") if not line.startswith(("---", "+++", "@@"))]
    return [*changed, *(["context:", *lines] if lines else [])]


def _key_now(answer: Mapping[str, Any]) -> str:
    """The key of a recorded answer by today's rules on what is compared; the recorded one where no words are kept."""
    if not answer.get("messages") or answer.get("version") != VERSION:
        return str(answer["key"])
    return key_of(answer["messages"], answer["model"], **answer["parameters"])


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _word(value: Any) -> str:
    if value is None:
        return "default"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else f"{text[:199]}…"


# A message with calls of tools has them instead of words.
def _lines_of(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    texts = (str(each.get("content") or json.dumps(each, sort_keys=True, ensure_ascii=False)) for each in messages)
    return [line for text in texts for line in text.splitlines()]


@dataclass
class ReplayFile:
    """A recording, one JSON object a line; for the modes see this module."""

    path: Path
    mode: Mode = "auto"
    missed: list[RecordedRequest] = field(default_factory=list, repr=False)  # asked for, and not recorded
    _answers: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)  # by key, those in the file
    _before: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)  # those that were there at first
    _new: set[str] = field(default_factory=set, repr=False)  # keys of those that this run added

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> ReplayFile | None:
        """The file that ``RSQL_REPLAY`` names, or None."""
        value = environ.get("RSQL_REPLAY", "").strip()
        return cls.named(value).opened() if value else None

    @classmethod
    def named(cls, value: str) -> ReplayFile:
        """The file of a name, before which may stand ``strict:``, ``replay:`` or ``record:``; to be opened."""
        head, colon, rest = value.partition(":")
        if colon and re.fullmatch(r"[a-z]{2,}", head) and head not in _MODES:
            hint = "It is record:, strict: or replay:, or neither."
            raise BadInput(f"RSQL_REPLAY begins with {head}:, which is none.", hint=hint)
        name = rest if colon and head in _MODES else value
        # A notebook may change its folder.
        return cls(Path(name).expanduser().absolute(), _MODES.get(head, "auto") if colon else "auto")

    def opened(self) -> ReplayFile:
        """The same file, read (or begun anew when recording)."""
        if self.path.is_dir():
            raise BadInput(f"{self.path} is a folder, no recording.", hint="Name a file, such as answers.jsonl.")
        if self.mode == "record":
            with suppress(BadInput):
                self._before = self._read()
            with self._turn():
                self._write({})
        elif self.path.exists():
            self._answers = self._read()
            self._before = dict(self._answers)
        elif self.mode == "replay":
            hint = "Record it first: RSQL_REPLAY=record:FILE."
            raise BadInput(f"RSQL_REPLAY names {self.path}, which does not exist.", hint=hint)
        elif not os.access(folder := self.path.parent, os.W_OK):  # told before anything is asked and paid for
            why = f"no permission in {folder}" if folder.is_dir() else f"there is no folder {folder}"
            raise BadInput(f"RSQL_REPLAY: {self.path} cannot be written: {why}.", hint="Name another file.")
        return self

    def _read(self) -> dict[str, dict[str, Any]]:
        found = {}
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise BadInput(f"{self.path} cannot be read: {error.strerror}.", hint="Name another file.") from None
        for number, line in enumerate(lines, 1):
            if line.strip():
                answer = self._answer(number, line)
                found[_key_now(answer)] = answer
        return found

    def _answer(self, number: int, line: str) -> dict[str, Any]:
        where = f"Line {number} of {self.path}"
        if line.startswith(_OF_MERGES):
            hint = "Keep the lines of both sides and delete the marks; their order does not matter."
            raise BadInput(f"{where} is the mark of a merge that was not finished.", hint=hint)
        try:
            answer: dict[str, Any] = json.loads(line)
            well = (
                isinstance(answer["key"], str) and isinstance(answer["text"], str) and isinstance(answer["done"], dict)
            )
            version = answer.get("version", 1)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            well, version = False, 1
        if isinstance(version, int) and version > VERSION:
            hint = "Update rsql here, or record the file again."
            raise BadInput(f"{where} was recorded by a newer rsql (version {version}, known is {VERSION}).", hint=hint)
        if version == VERSION:
            kinds = {"question": str, "parameters": dict, "messages": list, "model": str | None}
            well = well and all(name in answer and isinstance(answer[name], kind) for name, kind in kinds.items())
        if not well:
            raise BadInput(f"{where} is not a recorded answer.", hint="Delete the line, or record the file again.")
        return answer

    @property
    def offline_models(self) -> frozenset[str]:
        """The models asked for that fixed rules answered."""
        return frozenset(model for each in self._answers.values() if (model := each["done"].get("offline")))

    @property
    def floor(self) -> str:
        """The privacy level that a gateway's policy allowed at most; empty where it had none."""
        return next((str(each["floor"]) for each in self._answers.values() if each.get("floor")), "")

    def __str__(self) -> str:
        how = {"auto": "other questions are asked and added", "replay": "nothing else is asked", "record": "recording"}
        return f"{self.path}: {len(self._answers):,} recorded answer{'s' * (len(self._answers) != 1)}; {how[self.mode]}"

    def get(self, request: RecordedRequest) -> dict[str, Any] | None:
        """The answer to a request, or None when it is to be asked for.

        Raises:
            BadInput: The file only replays, and has no answer; what has changed is said.
        """
        if self.mode == "record" and request.key not in self._new:
            return None  # what this run has asked already is not asked again
        answer = self._answers.get(request.key) or self._answers.get(request.first_key)
        if answer is None:
            self.missed.append(request)
            if self.mode == "replay":
                raise self._changed(request)
        return answer

    def differences(self, request: RecordedRequest) -> list[str]:
        """How a request differs from the recorded one that is nearest to it; empty where nothing is near."""
        near = [each for each in self._before.values() if each.get("version") == VERSION]
        near = [each for each in near if (each["task"] == _VECTOR) == (request.task == _VECTOR)]
        own = [each for each in near if (each["question"], each["task"]) == (request.question, request.task)]
        text = "\n".join(_lines_of(request.messages))

        def likeness(each: Mapping[str, Any]) -> tuple[float, bool, float]:
            asked = SequenceMatcher(None, each["question"], request.question, autojunk=False).ratio()
            counts = len(each["messages"]) == len(request.messages)
            return asked, counts, SequenceMatcher(None, "\n".join(_lines_of(each["messages"])), text).quick_ratio()

        best = max(own or near, key=likeness, default=None)
        return difference(best, request) if best and likeness(best)[0] > 0.5 else []

    def _changed(self, request: RecordedRequest) -> BadInput:
        reason = f"{self.path} holds no answer to this question"
        hint = "Record it again with RSQL_REPLAY=record:FILE."
        lines = self.differences(request)
        if not lines:
            asked = any(each.get("version") == VERSION for each in self._answers.values())
            why = "and none to one like it." if asked else "the question, the data or the prompt has changed."
            return BadInput(f"{reason}{',' if asked else ':'} {why}", hint=hint)
        more = len(lines) - _SHOWN_LINES
        shown = [*lines[:_SHOWN_LINES], *([f"… {more} more lines"] if more > 0 else [])]
        return BadInput("\n".join([f"{reason}; since it was recorded this has changed:", *shown]) + "\n", hint=hint)

    def put(self, request: RecordedRequest, text: str, done: Mapping[str, Any], floor: str = "") -> None:
        """Keep an answer, at once on disk; one that says the same as the recorded one leaves its line as it is."""
        self._put([request.line(text, done, floor)])

    def _put(self, lines: Sequence[dict[str, Any]]) -> None:
        with self._turn():
            answers = {**self._read(), **{key: self._answers[key] for key in self._new}}
            for line in lines:
                before = self._before.get(line["key"])
                answers[line["key"]] = before if before and _says(before) == _says(line) else line
                self._new.add(line["key"])
            self._write(answers)

    @property
    def has_vectors(self) -> bool:
        """Whether it holds vectors; recordings of earlier versions do not."""
        return any(each.get("task") == _VECTOR for each in self._answers.values())

    def vectors(self, model: str, texts: Sequence[str], ask: Callable[[list[str]], Vectors]) -> Vectors:
        """The vectors of texts: those that are recorded, and of the others what ``ask`` gives, which is kept.

        Raises:
            BadInput: The file only replays, and lacks one.
        """
        requests = [RecordedRequest.of_vector(model, text) for text in texts]
        found = {request.key: known for request in requests if (known := self.get(request))}
        new = {request.key: (request, text) for request, text in zip(requests, texts, strict=True)}
        new = {key: value for key, value in new.items() if key not in found}
        told: Mapping[str, Any] = {"price": "free"}  # what is replayed costs nothing
        if new:
            given, told = ask([text for _, text in new.values()])
            lines = [
                request.line(_packed(vector), {}, "") for (request, _), vector in zip(new.values(), given, strict=True)
            ]
            self._put(lines)
            found |= {line["key"]: line for line in lines}
        return Vectors([_unpacked(found[request.key]["text"]) for request in requests], told)

    def settle(self) -> None:
        """Where others have recorded anew: answers that say the same as before have the line that they had."""
        with self._turn():
            answers = self._read()
            kept = {key: self._before.get(key, line) for key, line in answers.items()}
            self._write({key: kept[key] if _says(kept[key]) == _says(line) else line for key, line in answers.items()})

    def _write(self, answers: dict[str, dict[str, Any]]) -> None:
        self._answers = answers
        ordered = sorted(answers.values(), key=lambda each: (str(each.get("question", "")), each["key"]))
        text = "".join(json.dumps(each, ensure_ascii=False, default=str) + "\n" for each in ordered)
        content, target = text.encode("utf-8", "replace"), self.path.resolve()
        with suppress(OSError):
            if target.read_bytes() == content:
                return
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        with self._writable():
            try:
                draft.write_bytes(content)
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)

    # One writer at a time: all lock the folder, as the file itself is replaced.
    @contextmanager
    def _turn(self) -> Iterator[None]:
        try:
            import fcntl
        except ImportError:  # Windows: the last writer wins
            yield
            return
        with self._writable():
            folder = os.open(self.path.resolve().parent, os.O_RDONLY)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hint = "Name another file."
            raise BadInput(f"RSQL_REPLAY: {self.path} cannot be written: {error.strerror}.", hint=hint) from None


# A search keeps numbers of 16 bits, so that nothing is lost by 32.
def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(_in_order(array("f", vector)).tobytes()).decode()


def _unpacked(text: str) -> list[float]:
    try:
        return list(_in_order(array("f", base64.b64decode(text, validate=True))))
    except ValueError:
        raise BadInput("A vector in the recording is broken.", hint="Delete its line, or record it again.") from None


# Little-endian, whatever the machine has.
def _in_order(numbers: array[float]) -> array[float]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _says(line: Mapping[str, Any]) -> tuple[Any, ...]:
    done = line["done"]
    return (
        line["text"],
        line.get("floor"),
        *(_plain(done.get(name)) for name in ("finish_reason", "model", "calls", "offline")),
    )


@dataclass
class ReplayingClient:
    """A client that knows earlier answers from a file (``RSQL_REPLAY``) and asks only for the others."""

    client: LLMClient | WaitingClient | SpendingClient | None
    file: ReplayFile
    floor: str = ""  # the privacy level that the gateway's policy allows at most

    @property
    def offline_models(self) -> frozenset[str]:
        """Those of the client, or of what was recorded: prompts differ by them."""
        return self.client.offline_models if self.client else self.file.offline_models

    def embed(self, model: str, texts: Sequence[str]) -> Vectors:
        """As ``LLMClient.embed``."""

        def ask(new: list[str]) -> Vectors:
            if self.client is None:
                raise GatewayUnreachable("There is no gateway to ask.", hint="%rsql connect names one.")
            return self.client.embed(model, new)

        return self.file.vectors(model, texts, ask)

    def stream(self, messages: Sequence[Message], **options: Unpack[StreamOptions]) -> Generator[Event, None, None]:
        """As ``LLMClient.stream``; a replayed answer comes as one ``Text``."""
        request = RecordedRequest.of(messages, options)
        if known := self.file.get(request):
            yield Text(known["text"])
            done: dict[str, Any] = known["done"]
            value = {**done.get("rsql", {}), "cached": True, "replayed": True}
            done = {name: value for name, value in done.items() if name != "offline"}
            yield Done(**{**done, "rsql": value, "calls": tuple(ToolCall(**call) for call in done.get("calls", ()))})
            return
        if self.client is None:
            raise GatewayUnreachable("There is no gateway to ask.", hint="%rsql connect names one.")
        pieces = []
        for event in self.client.stream(messages, **options):
            if isinstance(event, Text):
                pieces.append(event.text)
            elif isinstance(event, Done):
                kept = {name: getattr(event, name) for name in ("usage", "rsql", "finish_reason", "model")}
                kept["rsql"] = {name: value for name, value in event.rsql.items() if name not in _PASSING}
                calls = {"calls": [asdict(call) for call in event.calls]} if event.calls else {}
                model = options.get("model") or "default"
                offline = {"offline": model} if model in self.offline_models else {}
                self.file.put(request, "".join(pieces), kept | calls | offline, self.floor)
            yield event

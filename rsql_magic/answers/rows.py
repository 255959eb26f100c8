"""A question about each row of a frame: equal rows are asked about once, several in a request, within a budget.

Answers are kept on this machine as they come, so that what was interrupted goes on where it ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import threading
import time
from collections import Counter, deque
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rsql_magic import prompts
from rsql_magic.answers.row_types import NotBelieved, read_rows, schema_of
from rsql_magic.errors import AnswerCut, BadInput, GatewayError, Stopped
from rsql_magic.gateway import Reply, Stop, filtered, usage_of
from rsql_magic.sql import count_tokens, fence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from rsql_magic.answers.row_types import AskedColumn, Read
    from rsql_magic.gateway import Message, StreamOptions, Usage

    Asked = Future["_Replied"]
    Cells = tuple[Any, ...]
    Send = Callable[..., Any]  # as ``LLMClient.stream``

_PLACE = re.compile(r"\{\{\s*(.+?)\s*\}\}")
_LONGEST = 20_000  # characters of a row
_MOST_TOGETHER = 20  # rows in a request
_FEWEST_TOGETHER = 5  # where that pays
_TOKENS_TOGETHER = 2_000  # of the rows in a request
_ROW_ALONE = frozenset({400, 413, 422})  # statuses that may be the fault of a row
_ANSWER_TOKENS = 15  # that are expected for each value, before any has come
_SPARE = 1.25  # by how much a request may be dearer than the dearest until now, a row
_KEPT_SECONDS = 30 * 86_400.0
_FORM = "2"  # of what is sent; another one asks anew
_LETTERS = "bcdfghjkmnpqrstvwxz"  # of tokens, which are no words and no numbers
_MOST_ALONE = 2  # times that a row is asked about before it is given up, once alone at least
_SMALLER = 4  # parts that a request is asked in again


@dataclass(frozen=True)
class RowQuestion:
    """What is asked about each row, and what the answer has to be."""

    text: str  # with ``{{column}}`` for what stands in the row
    columns: tuple[AskedColumn, ...]
    model: str | None = None

    @property
    def names(self) -> list[str]:
        """The columns that the question names.

        Example:
            >>> RowQuestion("Is {{title}} about {{ topic }}, or {{title}}?", ()).names
            ['title', 'topic']
        """
        return list(dict.fromkeys(match[1] for match in _PLACE.finditer(self.text)))

    def names_within(self, there: Sequence[str]) -> list[str]:
        """The columns that the question names, all of which must be there.

        Raises:
            BadInput: It names none, or one that is not there, or that is named as rows are counted.
        """
        if not self.names:
            # Python's own way to name one is what people write first.
            meant = next((name for name in there if f"{{{name}}}" in self.text), there[0] if there else "review")
            raise BadInput("The question names no column.", hint=f"Two braces name one: {{{{{meant}}}}}.")
        if "row" in self.names:  # by which a model says which row it speaks of
            raise BadInput("A column that is named row cannot be asked about.", hint="Give it another name.")
        for name in self.names:
            if name not in there:
                near = get_close_matches(name, there, 1, 0.4)
                hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(map(str, there[:20]))}."
                raise BadInput(f"There is no column {name}.", hint=hint)
        return self.names

    def messages(
        self, names: Sequence[str], rows: Sequence[Cells], tokens: Sequence[str], problem: str = ""
    ) -> list[Message]:
        """A request about some rows, each with its token; what was wrong with the last answer stands at its end."""
        # All requests begin alike, so that providers read what they share once.
        shape = {"row": "token"} | {each.name: "…" for each in self.columns}
        listed = "\n".join(f"- {json.dumps(each.name, ensure_ascii=False)}: {each.said}" for each in self.columns)
        system = prompts.render("rows", form=json.dumps(shape, ensure_ascii=False), columns=listed)
        asked = _PLACE.sub(lambda match: f"`{match[1]}`", self.text)
        # The token stands behind the values, of which the first are those that rows share.
        told = ({**dict(zip(names, row, strict=True)), "row": token} for row, token in zip(rows, tokens, strict=True))
        data = "\n".join(json.dumps(each, ensure_ascii=False) for each in told)
        user = f"Question about each row: {asked}\n\n{fence('rows', 'rows', data)}"
        if problem:
            user += f"\n\nYour last answer could not be used: {problem}."
        return [{"role": "system", "content": system}, {"role": "user", "content": user}]

    def key(self, names: Sequence[str], row: Cells) -> str:
        """By what an answer is kept: all that it depends on, as a hash."""
        what = [_FORM, self.model, self.text, [(one.name, one.kind, one.choices) for one in self.columns], names, row]
        return hashlib.sha256(json.dumps(what, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def tokens_of(marks: Sequence[str]) -> list[str]:
    """A token for each row of a request, by which its answer is known; the same for the same marks, and no two alike.

    Example:
        >>> tokens_of(["a", "b"]) == tokens_of(["a", "b"]), tokens_of(["a", "b"]) == tokens_of(["a", "b again"])
        (True, False)
    """
    tokens: list[str] = []
    for mark in marks:
        for attempt in count():
            number = int(hashlib.sha256(f"{attempt} {mark}".encode()).hexdigest(), 16)
            token = "".join(_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(5))
            if token not in tokens:
                break
        tokens.append(token)
    return tokens


class RowTokens:
    """The token of each row, another one after each answer about it that could not be used.

    So no gateway takes what is asked again for what it has answered, and no late answer passes for the new one.
    """

    def __init__(self, keys: Sequence[str], known: KnownRows, run: str) -> None:
        self._keys, self._known, self._run = keys, known, run
        self._before = known.failures(keys)
        self.failures: Counter[int] = Counter()  # answers that could not be used in this run, by place

    def of(self, batch: Sequence[int]) -> list[str]:
        """Those of the rows of a request."""
        return tokens_of([f"{self._keys[place]} {self._times(place)} {self._run}" for place in batch])

    def change(self, batch: Sequence[int]) -> None:
        """Note that an answer about some rows could not be used."""
        self.failures.update(batch)
        self._known.put_failures({self._keys[place]: self._times(place) for place in batch})

    def _times(self, place: int) -> int:
        return self._before.get(self._keys[place], 0) + self.failures[place]


@dataclass(frozen=True)
class DifferentRows:
    """The different rows of some columns, and which of them each row of the frame is.

    The column with the fewest values stands first and rows are sorted, so that prompts share their beginnings (Liu et
    al., "Optimizing LLM Queries in Relational Data Analytics Workloads", MLSys 2025).

    Example:
        >>> rows = DifferentRows.of({"text": ["b", "a", "b"], "shop": ["x", "x", "x"]})
        >>> rows.names, rows.different, rows.places
        (['shop', 'text'], [('x', 'a'), ('x', 'b')], [1, 0, 1])
    """

    names: list[str]
    different: list[Cells]
    places: list[int]

    @classmethod
    def of(cls, values: Mapping[str, Sequence[Any]]) -> DifferentRows:
        """Those of columns by name, whose values are plain: texts, numbers, truth values, None."""
        names = sorted(values, key=lambda name: len(set(map(repr, values[name]))))
        cells = list(zip(*(values[name] for name in names), strict=True))
        # 1, 1.0 and True are equal in Python, and other words in a prompt.
        marks = [tuple(map(repr, row)) for row in cells]
        different = sorted(dict(zip(marks, cells, strict=True)).items())
        places = {mark: place for place, (mark, _) in enumerate(different)}
        return cls(names, [row for _, row in different], [places[mark] for mark in marks])


@dataclass
class Outcome:
    """What is known of one row: values by column, and why some are missing."""

    values: Mapping[str, Any]
    problem: str = ""
    # ``failed``: no answer that can be used; ``unasked``: the budget does not reach. Both are asked about anew.
    state: Literal["answered", "failed", "unasked"] = "answered"


class KnownRows:
    """Answers about rows, kept in a file of the user's own; a path of None keeps none.

    Only hashes of rows and questions are kept, with the answers. They are deleted after thirty days.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._opened: sqlite3.Connection | None = None

    def get(self, keys: Sequence[str]) -> dict[str, Any]:
        """The answers that are known, by key."""
        if self._path is None or not self._path.exists():
            return {}
        query = "SELECT key, answer FROM answers WHERE key IN (SELECT value FROM json_each(?))"
        return {key: json.loads(answer) for key, answer in self._file.execute(query, [json.dumps(keys)])}

    def put(self, answers: Iterable[tuple[str, Mapping[str, Any] | str]]) -> None:
        """Keep answers; another process finds them when this returns."""
        if self._path is not None:
            rows = [(key, json.dumps(one, ensure_ascii=False, default=str), self._clock()) for key, one in answers]
            with self._file as db:
                db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)

    def failures(self, keys: Sequence[str]) -> dict[str, int]:
        """How often an answer about a row could not be used, by key."""
        counted = self.get([f"failed {key}" for key in keys])
        return {name.removeprefix("failed "): int(times) for name, times in counted.items()}

    def put_failures(self, failures: Mapping[str, int]) -> None:
        """Note how often answers about rows could not be used: they are asked about in other words from then on."""
        self.put((f"failed {key}", str(times)) for key, times in failures.items())

    def job(self, mark: str) -> str:
        """The job that asks about certain rows; empty where there is none."""
        return str(self.get([f"job {mark}"]).get(f"job {mark}", ""))

    def put_job(self, mark: str, job: str) -> None:
        """Note the job that asks about certain rows, or that none does."""
        self.put([(f"job {mark}", job)])

    def close(self) -> None:
        """Let go of the file."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _file(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> sqlite3.Connection:
        assert self._path is not None  # noqa: S101 - both methods have looked
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._path.exists():
                os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600))
            db = sqlite3.connect(self._path, timeout=10.0)
            # What was answered outlives this process at once, and a machine that loses its power within a second or so.
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            with db:
                table = "answers (key TEXT PRIMARY KEY, answer TEXT, at REAL) WITHOUT ROWID"
                db.execute(f"CREATE TABLE IF NOT EXISTS {table}")
                db.execute("DELETE FROM answers WHERE at < ?", (self._clock() - _KEPT_SECONDS,))
        except (OSError, sqlite3.Error) as wrong:
            hint = "fresh=True keeps and reads none; XDG_CACHE_HOME names another folder."
            raise BadInput(f"{self._path} cannot be used: {wrong}.", hint=hint) from None
        return db


@dataclass(frozen=True)
class RowPrices:
    """US dollars for a token that is read, and for one that is written."""

    read: float
    written: float

    @property
    def free(self) -> bool:
        """Whether tokens cost nothing, as those of a model of one's own."""
        return not (self.read or self.written)


@dataclass
class Progress:
    """How far it is."""

    rows: int  # different ones
    known: int = 0  # from before
    done: int = 0  # answered or given up, those from before too
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None
    model: str = ""  # that answered last, and the gateway's id of that request
    request_id: str = ""
    replayed: bool = False  # all of it, from a recording
    waiting: str = ""

    def add(self, usage: Usage) -> None:
        """Add what a request took."""
        self.replayed = usage.replayed and (self.replayed or not self.requests)
        self.requests += 1
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        if usage.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + usage.cost_usd
        self.model, self.request_id = usage.model or self.model, usage.request_id or self.request_id

    def wait_for(self, words: str) -> None:
        """Say what is waited for."""
        self.waiting = words

    @property
    def said(self) -> str:
        """What stands beside the bar."""
        cost = f"${self.cost_usd:.4f}" if self.cost_usd is not None else ""
        return " · ".join(filter(None, [cost, f"{self.requests:,} requests", self.waiting]))


class _Replied(NamedTuple):
    """What a request gave: what was said of each of its rows, or why nothing of it counts."""

    read: list[Read]
    why: str = ""
    is_refused: bool = False  # by the provider, which says the same of a row alone again


@dataclass
class RowAsker:
    """Asks about rows until all have an answer or none can be had."""

    question: RowQuestion
    rows: DifferentRows
    send: Send
    known: KnownRows
    together: int | None = None  # rows in a request; None for as many as pays
    at_once: int = 8  # requests
    budget: float | None = None  # US dollars
    prices: RowPrices | None = None
    run: str = ""  # makes this run's requests others than those of any run before
    tell: Callable[[Progress], None] = lambda _: None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    redacted: int = 0

    def __post_init__(self) -> None:
        self.progress = Progress(len(self.rows.different))
        self.keys = [self.question.key(self.rows.names, row) for row in self.rows.different]
        self._to_keep: list[tuple[str, Mapping[str, Any]]] = []
        self.tokens = RowTokens(self.keys, self.known, self.run)
        self._row_cost = 0.0  # of the dearest request until now, for each of its rows
        self._stop, self._has_stopped = Stop(), threading.Event()
        self._stop.ends(self._has_stopped.set)
        self._lock = threading.Lock()
        kept = self.known.get(self.keys)
        for place, key in enumerate(self.keys):
            if key in kept:
                self._settle(place, Outcome(self._typed(kept[key])))
        self.progress.known = self.progress.done
        for place in self.open:
            if sum(len(str(cell)) for cell in self.rows.different[place]) > _LONGEST:
                self._settle(place, self._without(f"the row is longer than {_LONGEST:,} characters"))

    def _typed(self, kept: Mapping[str, Any]) -> dict[str, Any]:
        return {column.name: column.read(kept.get(column.name)) for column in self.question.columns}

    def pause(self, seconds: float) -> None:
        """Wait in a thread that asks, until it is stopped at most.

        Raises:
            KeyboardInterrupt: It is stopped.
        """
        if self._has_stopped.wait(seconds):
            raise KeyboardInterrupt
        self.progress.waiting = ""

    # What it would take.

    @property
    def open(self) -> list[int]:
        """The places of rows that nothing is known of."""
        return [place for place in range(len(self.rows.different)) if place not in self.outcomes]

    def batches(self) -> list[list[int]]:
        """DifferentRows by request: as many as halve what each repeats, where they are short."""
        rows = self.rows.different
        sizes = {place: len(json.dumps(rows[place], ensure_ascii=False)) / 3 for place in self.open}
        if not sizes:
            return []
        shared = sum(count_tokens(message["content"]) for message in self.question.messages(self.rows.names, [], []))
        usual = sorted(sizes.values())[len(sizes) // 2]
        # Not so many that fewer are asked at a time than might be, nor so few that it costs twice as much.
        fair = max(_FEWEST_TOGETHER, -(-len(sizes) // self.at_once))
        count = self.together or max(1, min(_MOST_TOGETHER, round(2 * shared / max(usual, 1)), fair))
        made: list[list[int]] = []
        left = 0.0
        for place, size in sizes.items():
            if not made or len(made[-1]) >= count or (self.together is None and size > left):
                made.append([])
                left = float(_TOKENS_TOGETHER)
            made[-1].append(place)
            left -= size
        return made

    def estimate(self) -> tuple[int, int, float | None]:
        """Requests, tokens and dollars that the open rows take, as far as can be told before."""
        batches = self.batches()
        picked = batches[:: max(1, len(batches) // 20)]
        read = sum(map(self._prompt_tokens, picked)) * len(batches) / max(len(picked), 1)
        written = float(len(self.open) * self._answer_tokens)
        cost = None if self.prices is None else read * self.prices.read + written * self.prices.written
        return len(batches), round(read + written), cost

    @property
    def _answer_tokens(self) -> int:
        return 10 + _ANSWER_TOKENS * len(self.question.columns)

    def _prompt_tokens(self, batch: Sequence[int]) -> int:
        return sum(count_tokens(message["content"]) for message in self.messages(batch))

    def messages(self, batch: Sequence[int], problem: str = "") -> list[Message]:
        """A request about some rows, before it is filtered."""
        rows = [self.rows.different[place] for place in batch]
        return self.question.messages(self.rows.names, rows, self.tokens.of(batch), problem)

    def _expected(self, batch: Sequence[int]) -> float:
        """Dollars that a request may cost at most, as far as can be told."""
        told = 0.0
        if self.prices:
            read, written = self._prompt_tokens(batch), 2 * len(batch) * self._answer_tokens
            told = read * self.prices.read + written * self.prices.written
        return max(told, _SPARE * self._row_cost * len(batch))

    # By a job.

    def body(self, batch: Sequence[int]) -> dict[str, Any]:
        """A request about some rows, as a line of a job has it."""
        messages, found = filtered(self.messages(batch))
        self.redacted += sum(found.values())
        model = {"model": self.question.model} if self.question.model else {}
        return {**model, "messages": messages, "response_format": self._form}

    def accept(self, batch: Sequence[int], text: str, usage: Usage) -> None:
        """Keep what a job's answer says of rows; those that it says nothing usable of stay open."""
        self.progress.add(usage)
        try:
            read = read_rows(text, self.question.columns, self.tokens.of(batch))
        except NotBelieved:
            self.tokens.change(batch)
            return
        answered = [(place, said) for place, said in zip(batch, read, strict=True) if not said.problems]
        self.known.put([self._answered(place, said) for place, said in answered])
        self.tokens.change([place for place, said in zip(batch, read, strict=True) if said.problems])

    def _answered(self, place: int, said: Read) -> tuple[str, Mapping[str, Any]]:
        """Settle a row; its answer, to be kept."""
        nothing = [name for name, value in said.values.items() if value is None]
        told = f"{', '.join(nothing)}: the row does not tell" if nothing else ""
        self._settle(place, Outcome(said.values, told))
        return self.keys[place], said.values

    @property
    def _form(self) -> dict[str, Any]:
        form = {"name": "rows", "schema": schema_of(self.question.columns)}
        return {"type": "json_schema", "json_schema": form}

    # Asking.

    def ask(self) -> Progress:
        """Ask about all rows that nothing is known of.

        Raises:
            Stopped: Ctrl-C; what was answered is kept.
            GatewayError: The gateway refuses or fails in a way that is no row's fault; what was answered is kept.
        """
        waiting = deque((batch, "") for batch in self.batches())
        running: dict[Asked, list[int]] = {}
        with ThreadPoolExecutor(self.at_once, thread_name_prefix="rsql-rows") as pool:
            try:
                while waiting or running:
                    self._fill(pool, waiting, running)
                    done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                    with self._kept_together():
                        for future in done:
                            waiting.extend(self._taken(running.pop(future), future))
                    self.tell(self.progress)
            except BaseException as error:
                self._stop()
                wait(running)
                with self._kept_together():  # what was paid for is kept
                    for future, batch in running.items():
                        if not future.cancelled() and future.exception() is None:
                            self._taken(batch, future)
                if isinstance(error, KeyboardInterrupt):
                    raise Stopped(f"Stopped; {self._so_far}.") from None
                if isinstance(error, GatewayError):
                    error.hint = f"{error.hint} {self._so_far[0].upper()}{self._so_far[1:]}.".strip()
                raise
        return self.progress

    @contextmanager
    def _kept_together(self) -> Iterator[None]:
        """Write what was answered within the block at its end, in one step."""
        try:
            yield
        finally:
            kept, self._to_keep = self._to_keep, []
            if kept:
                self.known.put(kept)

    @property
    def _so_far(self) -> str:
        answered = f"{self.progress.done:,} of {self.progress.rows:,} different rows are answered"
        return f"{answered} and kept: the same call goes on with the others"

    def _fill(
        self, pool: ThreadPoolExecutor, waiting: deque[tuple[list[int], str]], running: dict[Asked, list[int]]
    ) -> None:
        """Send as many requests as may run at once, and as the budget allows."""
        # What a row costs is not known before the first reply; until then one request is the most.
        blind = self.budget is not None and self.prices is None and not self._row_cost
        while waiting and len(running) < (1 if blind else self.at_once):
            batch, problem = waiting[0]
            batch = [place for place in batch if place not in self.outcomes]
            if batch and not self._affords(batch, running.values()):
                if running:  # one that ends may have cost less than was kept for it
                    return
                for unpaid, _ in waiting:
                    for place in unpaid:
                        if place not in self.outcomes:
                            why = f"not asked: the budget of ${self.budget:g} does not reach"
                            self._settle(place, self._without(why, "unasked"))
                waiting.clear()
                return
            waiting.popleft()
            if batch:
                future = pool.submit(copy_context().run, self._request, batch, problem)
                running[future] = batch

    def _affords(self, batch: Sequence[int], running: Iterable[Sequence[int]]) -> bool:
        if self.budget is None:
            return True
        held = sum(map(self._expected, running)) + self._expected(batch)
        return (self.progress.cost_usd or 0.0) + held <= self.budget

    def _request(self, batch: Sequence[int], problem: str) -> _Replied:
        """Ask about some rows, and read what is said of them."""
        tokens = self.tokens.of(batch)
        messages, found = filtered(self.messages(batch, problem))
        keys = "".join(self.keys[place] for place in batch) + "".join(tokens) + problem
        options: StreamOptions = {
            "model": self.question.model,
            "task": "batch",  # it waits behind people
            "question": self.question.text,
            "repeat_key": hashlib.sha256(keys.encode()).hexdigest()[:32],
            "response_format": self._form,
        }
        reply = Reply()
        with self._stop.governs():
            try:
                for _ in reply.read(lambda: self.send(messages, **options)):
                    pass
                if not reply.is_whole:
                    return _Replied([], reply.ended_early.rstrip(".") or "the answer is no answer, but calls a tool")
                return _Replied(read_rows(reply.text, self.question.columns, tokens))
            except NotBelieved as error:
                return _Replied([], str(error))
            except AnswerCut as error:
                return _Replied([], error.message.rstrip("."))
            except GatewayError as error:
                if error.status not in _ROW_ALONE:
                    raise
                return _Replied([], error.message.rstrip("."), is_refused=True)
            finally:
                self._count(reply, sum(found.values()), len(batch))

    def _count(self, reply: Reply, redacted: int, rows: int) -> None:
        usage = usage_of([reply])
        with self._lock:
            self.progress.add(usage)
            self.redacted += redacted
            if usage.cost_usd is not None:
                self._row_cost = max(self._row_cost, usage.cost_usd / rows)
            elif self.budget is not None and not (
                usage.cached or reply.done is None or (self.prices and self.prices.free)
            ):
                hint = "Leave the budget out, or have the administrator set a price."
                raise BadInput("The gateway names no prices, so that a budget cannot be kept.", hint=hint)

    def _taken(self, batch: list[int], future: Asked) -> list[tuple[list[int], str]]:
        """Keep what a request gave; the rows that are to be asked about again, in smaller requests, and why."""
        replied = future.result()
        if replied.why:
            return self._again(batch, replied.why, was_alone=len(batch) == 1, is_refused=replied.is_refused)
        again: list[tuple[list[int], str]] = []
        for place, said in zip(batch, replied.read, strict=True):
            if not said.problems:
                self._to_keep.append(self._answered(place, said))
            else:
                again += self._again([place], "; ".join(said.problems), said, was_alone=len(batch) == 1)
        return again

    def _again(
        self, batch: list[int], why: str, said: Read | None = None, *, was_alone: bool, is_refused: bool = False
    ) -> list[tuple[list[int], str]]:
        self.tokens.change(batch)
        if was_alone and (is_refused or self.tokens.failures[batch[0]] >= _MOST_ALONE):
            self._settle(batch[0], Outcome(said.values, why, "failed") if said else self._without(why))
            return []
        size = 1 if len(batch) <= _SMALLER + 1 else -(-len(batch) // _SMALLER)
        # What a provider refuses is no fault of the answer's form.
        return [(batch[n : n + size], "" if is_refused else why) for n in range(0, len(batch), size)]

    def _without(self, problem: str, state: Literal["failed", "unasked"] = "failed") -> Outcome:
        return Outcome({each.name: None for each in self.question.columns}, problem, state)

    def _settle(self, place: int, outcome: Outcome) -> None:
        if place not in self.outcomes:
            self.progress.done += 1
        self.outcomes[place] = outcome


def counts_of(asker: RowAsker) -> dict[str, int]:
    """How many different rows there are, were known from before, and how all of them ended."""
    ended = Counter(each.state for each in asker.outcomes.values())
    states = {state: ended[state] for state in ("answered", "failed", "unasked")}
    return {"different": asker.progress.rows, "known": asker.progress.known, **states}

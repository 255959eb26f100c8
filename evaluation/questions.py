"""The questions of a set, and how the two ways of asking answer them."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import rsql_magic
from evaluation.frames import KINDS
from evaluation.results import same
from rsql_magic.answers import Answer, bare_code
from rsql_magic.errors import RsqlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from evaluation.databases import Database
    from evaluation.replies import Replies, Reply

_BLOCK = re.compile(r"```(?:sql)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)
_INNERMOST = re.compile(r"\([^()]*\)")
_ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)
_PLAIN = "You write SQL for {dialect}. Answer with exactly one query in one ```sql block and nothing else."
_PLAIN_CODE = (
    "You write {language}. The data frames below are loaded. Answer with exactly one block of code and nothing else; "
    "its last line is an expression whose value is the answer."
)
_MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its gold query.

    Args:
        number: Its place in the set.
        database: The database it is about, or the frames and their kind: ``clinic.polars``.
        text: The words.
        gold: A query whose rows are the answer, or code whose value is.
        hardness: A name to count by.
    """

    number: int
    database: str
    text: str
    gold: str
    hardness: str

    @property
    def ordered(self) -> bool:
        """Whether the order of rows counts."""
        top, within = self.gold, ""
        while top != within:
            top, within = _INNERMOST.sub("", top), top
        return bool(_ORDER.search(top))


@dataclass
class Outcome:
    """How one way of asking answered one question.

    Args:
        sql: The query or code it ended with.
        ended: right, wrong, fails (it does not run), refused (none is given) or crash.
        first: How its first draft would have ended.
        first_sql: That draft.
        rounds: Requests to the model.
        drafts: Drafts written one after the other until one passed; further ones for comparison do not count.
        compared: Drafts whose results were compared, with the first; 0 where it stood alone.
        agreed: Those of them that gave the rows of the answer.
        trust: What their comparison says of the answer: agreed, differed or nothing.
        why: The error, where there is one.
        prompt_tokens: All tokens sent.
        cached_tokens: Those of them that the server had kept.
        answer_tokens: All tokens of replies.
        first_seconds: What the model took for the first draft.
        seconds: What the model took in all.
        own_seconds: What all else took.
    """

    sql: str = ""
    ended: str = ""
    first: str = ""
    first_sql: str = ""
    rounds: int = 0
    drafts: int = 0
    compared: int = 0
    agreed: int = 0
    trust: str = ""
    why: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    answer_tokens: int = 0
    first_seconds: float = 0.0
    seconds: float = 0.0
    own_seconds: float = 0.0

    def count(self, replies: Sequence[Reply], elapsed: float) -> None:
        """Add up what the model's replies took."""
        details = [reply.usage.get("prompt_tokens_details") or {} for reply in replies]
        self.rounds = len(replies)
        self.prompt_tokens = sum(reply.usage.get("prompt_tokens", 0) for reply in replies)
        self.cached_tokens = sum(detail.get("cached_tokens", 0) for detail in details)
        self.answer_tokens = sum(reply.usage.get("completion_tokens", 0) for reply in replies)
        self.seconds = sum(reply.seconds for reply in replies)
        self.first_seconds = replies[0].seconds if replies else 0.0
        self.own_seconds = max(0.0, elapsed - self.seconds)


@dataclass
class Record:
    """A question and the outcomes of both ways."""

    question: Question
    plain: Outcome = field(default_factory=Outcome)
    ours: Outcome = field(default_factory=Outcome)

    def line(self) -> str:
        """Its line of results.jsonl."""
        return json.dumps(asdict(self), ensure_ascii=False)


def read(file: Path) -> list[Question]:
    """The questions of a set, one JSON object a line.

    Args:
        file: ``database`` (or ``db_id``; or ``frames`` and ``kind``), ``question``, ``gold`` (or ``query``), and
            ``hardness`` where it is known.
    """
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines()):
        one: dict[str, Any] = json.loads(line)
        database = one.get("database") or one.get("db_id") or f"{one['frames']}.{one['kind']}"
        gold = one.get("gold") or one["query"]
        found.append(Question(number, database, one["question"], gold, one.get("hardness") or "any"))
    return found


def spread(questions: Iterable[Question], most: int) -> list[Question]:
    """So many questions, as evenly over the databases as can be; the same ones for the same number."""
    by_database: dict[str, list[Question]] = defaultdict(list)
    for question in questions:
        by_database[question.database].append(question)
    turns = [(turn, name, one) for name, some in by_database.items() for turn, one in enumerate(some)]
    chosen = sorted(turns, key=lambda each: each[:2])[:most]
    return sorted((one for _, _, one in chosen), key=lambda one: (one.database, one.number))


def ask_plainly(question: Question, database: Database, replies: Replies, model: str, token: str) -> Outcome:
    """The bare DDL, or the frames as they print, one sentence, temperature 0."""
    language = KINDS.get(database.dialect)
    system = _PLAIN_CODE.format(language=language) if language else _PLAIN.format(dialect=database.dialect)
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": f"{database.ddl}\n\nQuestion: {question.text}"},
    ]
    body = {"model": model, "temperature": 0, "max_tokens": 400, "messages": messages}
    began = time.perf_counter()
    reply = replies.complete("v1/chat/completions", body, {"authorization": f"Bearer {token}"} if token else {})
    replies.taken()
    outcome = Outcome(sql=_written(reply.content, database))
    outcome.count([reply], time.perf_counter() - began)
    outcome.ended, outcome.why = judged(outcome.sql, question, database)
    outcome.first, outcome.first_sql = outcome.ended, outcome.sql
    return outcome


def ask_rsql(question: Question, database: Database, replies: Replies, model: str) -> Outcome:
    """``rsql_magic.sql_ai``, or ``ask`` where there are frames, as a notebook asks it."""
    outcome, began = Outcome(), time.perf_counter()
    replies.taken()
    try:
        if database.dialect in KINDS:
            _ask_frames(question, database, model, outcome)
        else:
            _ask_sql(question, database, model, outcome)
    except RsqlError as error:
        outcome.ended, outcome.why = "refused", f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - a fault of ours is a finding, not the end of the evaluation
        outcome.ended, outcome.why = "crash", f"{type(error).__name__}: {error}"
    else:
        outcome.ended, outcome.why = judged(outcome.sql, question, database)
    taken = replies.taken()
    outcome.count(taken, time.perf_counter() - began)
    drafts = [reply for reply in taken if not reply.calls]
    if drafts:
        outcome.first_sql = _written(drafts[0].content, database)
        outcome.first, _ = judged(outcome.first_sql, question, database)
    return outcome


def _ask_sql(question: Question, database: Database, model: str, outcome: Outcome) -> None:
    result = rsql_magic.sql_ai(question.text, database.connection, model=model, max_rows=_MOST_ROWS)
    outcome.sql = result.sql
    outcome.drafts = sum(not attempt.mended for attempt in result.attempts)
    outcome.compared, outcome.agreed, outcome.trust = result.compared, result.agreed, result.trust


def _ask_frames(question: Question, database: Database, model: str, outcome: Outcome) -> None:
    lang = "r" if database.dialect == "r" else "python"
    # ``ask`` reads the variables of its caller: here they are the frames alone, as in a notebook.
    names = {**database.connection, "_ask": partial(rsql_magic.ask, question.text, model=model, lang=lang, new=True)}
    outcome.sql = eval("_ask()", names).code


def judged(sql: str, question: Question, database: Database) -> tuple[str, str]:
    """How a query or code ends beside the gold one: right, wrong or fails, and the error."""
    if not sql:
        return "refused", "no query" if database.dialect not in KINDS else "no code"
    try:
        gold, found = database.rows(question.gold), database.rows(sql)
    except Exception as error:  # noqa: BLE001 - of any driver
        return "fails", str(error).split("\n", 1)[0]
    return ("right" if same(found, gold, ordered=question.ordered) else "wrong"), ""


def _written(reply: str, database: Database) -> str:
    """The query or the code in a reply; empty where there is none."""
    if database.dialect in KINDS:
        return Answer(reply).code or (reply.strip() if bare_code(reply) else "")
    found = _BLOCK.search(reply)
    text = (found[1] if found else reply).strip().rstrip(";")
    return text if re.match(r"(?is)\s*(select|with|\()", text) else ""

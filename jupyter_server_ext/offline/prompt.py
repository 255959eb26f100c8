"""Read a prompt as any model would get it: the task, the fenced data, the session, the question, earlier turns.

The formats are those of the prompts the kernel side sends: data blocks fenced by ``<data kind=… name=… id=…>``, a
``<session …>`` line, and a last line that starts with ``Question: ``. A prompt from elsewhere has none of these; then
the whole last message is the question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

Task = Literal["sql", "repair", "ask", "study", "other"]

_BLOCK = re.compile(
    r'<data kind="(?P<kind>[^"\n]*)" name="(?P<name>[^"\n]*)" id="(?P<id>[0-9a-f]+)">\n?'
    r"(?P<text>.*?)\n?</data (?P=id)>",
    re.DOTALL,
)
_SESSION = re.compile(r"<session\b([^>\n]*)>")
_ATTRIBUTE = re.compile(r'(\w+)="([^"\n]*)"')
_QUESTION = re.compile(r"^Question:[ \t]?(?P<question>.*)\Z", re.DOTALL | re.MULTILINE)
_REPAIR_QUESTION = re.compile(r"The question is still:[ \t]?(?P<question>.*)\Z", re.DOTALL)
_CODE_REPAIR = re.compile(r"Some code of your answer does not parse|Your study material cannot be used")
_FENCE = re.compile(r"```(?P<lang>[\w+-]*)[^\n]*\n(?P<code>.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced piece of data: its kind (schema, frame, r, error, …), name and text."""

    kind: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier question and the answer it got."""

    question: str
    answer: str


@dataclass(frozen=True)
class Prompt:
    """What one request asks.

    Args:
        task: What the answer must be.
        question: The user's words.
        blocks: The data of this message, then of earlier ones.
        turns: Earlier questions and answers, oldest first.
        session: Attributes of the session line: dialect, today, time_zone.
        failed: The query to repair, empty unless ``task`` is ``repair``.
        problems: What the checks said about it.
        system: The system prompt.
        message: The whole last message of the user.
    """

    task: Task
    question: str
    blocks: tuple[Block, ...] = ()
    turns: tuple[Turn, ...] = ()
    session: Mapping[str, str] = field(default_factory=dict)
    failed: str = ""
    problems: str = ""
    system: str = ""
    message: str = ""

    def of_kind(self, *kinds: str) -> list[Block]:
        """The blocks of these kinds, those of the newest message first."""
        return [block for block in self.blocks if block.kind in kinds]

    @property
    def dialect(self) -> str:
        """The name sqlglot has for the SQL dialect; the schema block's name when no session says it; empty: any."""
        from sqlglot.dialects import Dialects

        named = next((block.name for block in self.of_kind("schema")), "")
        said = (self.session.get("dialect") or named).lower()
        return said if said in {known.value for known in Dialects} else ""

    @property
    def today(self) -> date | None:
        """The day of the question, as the session says it."""
        try:
            return date.fromisoformat(self.session.get("today", "")[:10])
        except ValueError:
            return None


def code_blocks(text: str, *languages: str) -> list[str]:
    r"""The fenced code of these languages in a text, in order.

    Example:
        >>> code_blocks("```sql\nSELECT 1\n```", "sql")
        ['SELECT 1']
    """
    found = _FENCE.finditer(text)
    return [match["code"].strip() for match in found if not languages or match["lang"].lower() in languages]


def read(messages: Sequence[Mapping[str, Any]]) -> Prompt:
    """The prompt in a list of chat messages.

    Args:
        messages: OpenAI's shape: ``{"role": …, "content": str or list of parts}``.

    Example:
        >>> read([{"role": "user", "content": "Question: How many?"}]).question
        'How many?'
    """
    spoken = [(str(m.get("role", "")), _content(m.get("content"))) for m in messages]
    system = "\n".join(text for role, text in spoken if role in {"system", "developer"})
    turns, current = _turns([(role, text) for role, text in spoken if role in {"user", "assistant"}])
    blocks = _blocks([current, *reversed([text for role, text in spoken if role == "user"]), system])
    session = _session([current, *reversed([text for _, text in spoken])])
    failed, problems, question = _repair(current)
    task = "repair" if failed else _task(system, blocks)
    asked = tuple(Turn(_question(user), answer) for user, answer in turns)
    asking = question or _question(current)
    if _CODE_REPAIR.match(asking) and asked:
        asking = asked[-1].question
    return Prompt(task, asking, blocks, asked, session, failed, problems, system, current)


def _content(content: Any) -> str:
    """The text of a message's content: a string, or OpenAI's list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = [part.get("text", "") for part in content if isinstance(part, Mapping)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""


def _turns(spoken: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], str]:
    """Pairs of question and answer, and the last question."""
    pairs: list[tuple[str, str]] = []
    waiting = ""
    for role, text in spoken:
        if role == "user":
            waiting = text
        else:
            pairs.append((waiting, text))
    last = next((text for role, text in reversed(spoken) if role == "user"), "")
    ended_with_user = bool(spoken) and spoken[-1][0] == "user"
    return (pairs if ended_with_user else pairs[:-1]), last


def _blocks(texts: list[str]) -> tuple[Block, ...]:
    found: dict[Block, None] = {}
    for text in texts:
        for match in _BLOCK.finditer(text):
            found.setdefault(Block(match["kind"], match["name"], match["text"]))
    return tuple(found)


def _session(texts: list[str]) -> dict[str, str]:
    for text in texts:
        match = _SESSION.search(_BLOCK.sub("", text))
        if match:
            return dict(_ATTRIBUTE.findall(match[1]))
    return {}


def _repair(text: str) -> tuple[str, str, str]:
    """The failed query, the problems and the question of a repair prompt; empty texts for any other."""
    bare = _BLOCK.sub("", text)
    asked = _REPAIR_QUESTION.search(bare)
    if not (bare.lstrip().startswith("This query does not work") and asked):
        return "", "", ""
    fence = _FENCE.search(bare)
    if fence is None:
        return "", "", ""
    return fence["code"].strip(), bare[fence.end() : asked.start()].strip(), asked["question"].strip()


def _question(text: str) -> str:
    """The user's words: after the last ``Question: `` that stands outside data, else what is not data."""
    bare = _BLOCK.sub("", text)
    marked = _QUESTION.search(bare)
    return (marked["question"] if marked else _SESSION.sub("", bare)).strip()


def _task(system: str, blocks: tuple[Block, ...]) -> Task:
    """What the system prompt asks for; the kind of data decides where there is none of ours."""
    start = system.lower()
    if "you write sql" in start:
        return "sql"
    if start.startswith("you write study material"):
        return "study"
    if "inside a jupyter notebook" in start or "help a data analyst" in start:
        return "ask"
    return "ask" if blocks else "other"

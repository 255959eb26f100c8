"""What a message of a person says: a slash command, and ``@mentions`` of what must be described."""

# `@flights` is a variable or a table, `@r:mtcars` an object of R, `@cell:5` a cell that was run, `@file:notes.md` a
# file beside the notebook, `@term:revenue` an entry of the dictionary, `@doc:handbook.pdf` a document. An `@` inside a
# word or between backticks is text.

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from rsql_magic.answers import ERROR_QUESTIONS
from rsql_magic.context import as_typed
from rsql_magic.databases import is_connection, is_frame
from rsql_magic.display import fenced
from rsql_magic.errors import BadInput, RsqlError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rsql_magic.answers import NotebookSnapshot
    from rsql_magic.options import Way
    from rsql_magic.panel.attachments import Attachments
    from rsql_magic.sql import Catalog

Kind = Literal["frame", "object", "table", "r", "cell", "file", "term", "doc"]

_MENTION = re.compile(
    r"(?P<code>`+)[^`].*?(?P=code)"
    r"|(?<![\w@./])@(?P<beside>file|term|doc):(?:\"(?P<quoted>[^\"\n]{1,300})\"|(?P<plain>\w(?:[\w./-]*\w)?))"
    r"|(?<![\w@./])@(?:(?P<kind>r|cell|table):)?(?P<name>[^\W\d][\w]*(?:\.\w+)*|\d+)",
    re.S,
)
_LONGEST_CELL = 20_000  # characters of a cell that are sent
_MOST = 40  # most completions of one kind


@dataclass(frozen=True)
class Mention:
    """One ``@mention`` as typed, and what it names."""

    text: str
    kind: Kind
    name: str
    known: bool = True  # of R's objects only R knows whether they are there
    like: str = ""  # the nearest name for one that is not known
    problem: RsqlError | None = None  # why what is beside the notebook cannot be sent

    @property
    def missing(self) -> RsqlError:
        """The error of one that names nothing."""
        if self.problem is not None:
            return self.problem
        what = f"There is no cell {self.name} to send" if self.kind == "cell" else f"{self.text} names nothing here"
        hint = f"Did you mean @{self.like}?" if self.like else "It was renamed or deleted; type @ to see what there is."
        return UnknownName(f"{what}.", hint=hint)


def mentions_in(
    text: str,
    snapshot: NotebookSnapshot,
    catalog: Catalog | None,
    in_r: Callable[[], Sequence[str]] | None = None,
    beside: Attachments | None = None,
) -> list[Mention]:
    """The mentions of a question, each once, in order; without ``in_r`` all of R's objects are taken to be there."""
    found = {match[0]: _resolved(match, snapshot, catalog, beside) for match in _matches(text)}
    of_r = [each for each in found.values() if each.kind == "r"] if in_r is not None else []
    names = in_r() if in_r is not None and of_r else ()
    for each in of_r:
        near = get_close_matches(each.name, names, 1)
        found[each.text] = replace(each, known=each.name in names, like=f"r:{near[0]}" if near else "")
    return list(found.values())


def is_mentioned(name: str) -> bool:
    """Whether an ``@`` before a name of R makes a mention of the whole of it."""
    match = _MENTION.fullmatch(f"@r:{name}")
    return match is not None and match["name"] == name


def names_in(text: str) -> list[str]:
    """The mentions of a question as they were typed, each once; nothing is looked up."""
    return list(dict.fromkeys(match[0] for match in _matches(text)))


def _matches(text: str) -> Iterator[re.Match[str]]:
    return (match for match in _MENTION.finditer(text) if match["name"] or match["beside"])


def _resolved(
    match: re.Match[str], snapshot: NotebookSnapshot, catalog: Catalog | None, beside: Attachments | None
) -> Mention:
    text, kind, name = match[0], match["kind"], match["name"]
    if match["beside"]:
        named = match["quoted"] or match["plain"]
        problem = beside.problem(match["beside"], named) if beside is not None else None
        return Mention(text, cast("Kind", match["beside"]), named, known=problem is None, problem=problem)
    if kind == "cell":
        return Mention(text, "cell", name, name.isdecimal() and bool(_source(snapshot, int(name)).strip()))
    if kind == "r":
        return Mention(text, "r", name)
    if kind is None and name in snapshot.namespace:
        return Mention(text, "frame" if is_frame(snapshot.namespace[name]) else "object", name)
    if catalog is not None and catalog.get(name) is not None:
        return Mention(text, "table", name)
    near = get_close_matches(name, [*_public(snapshot.namespace), *(table.name for table in catalog or ())], 1)
    return Mention(text, "object", name, known=False, like=near[0] if near else "")


def _source(snapshot: NotebookSnapshot, number: int) -> str:
    try:
        return as_typed(str(snapshot.cells[number]))
    except IndexError:
        return ""


def spelled(text: str, snapshot: NotebookSnapshot, mentions: Sequence[Mention]) -> str:
    """The question as it is sent: mentions by their names, the cells' sources below."""
    names = {each.text: f"In[{each.name}]" if each.kind == "cell" else each.name for each in mentions}
    question = _MENTION.sub(lambda match: names.get(match[0], match[0]), text)
    cells = [each for each in mentions if each.kind == "cell"]
    # Doubled braces in a cell are its own, not fields to fill in.
    sources = [_source(snapshot, int(each.name))[:_LONGEST_CELL].replace("{{", "{ {") for each in cells]
    shown = [f"In[{each.name}]:\n{fenced(source)}" for each, source in zip(cells, sources, strict=True)]
    return "\n\n".join([question, *shown])


def completions(
    prefix: str,
    snapshot: NotebookSnapshot,
    catalog: Catalog | None,
    r_names: Sequence[str] = (),
    beside: Sequence[tuple[str, str, str]] = (),
) -> list[dict[str, str]]:
    """What an ``@`` can stand for, best first: frames, tables, R's objects, cells, other variables, what is beside.

    A prefix that begins with ``#`` stands for cells, by their numbers and the words of their first lines.
    """
    space, wanted = snapshot.namespace, prefix.lower()
    if prefix.startswith("#"):
        return _cells(wanted[1:].strip(), snapshot)
    names = _public(space)
    frames = [name for name in names if is_frame(space[name])]
    classes = {name: _class_of(space[name]) for name in names if name not in frames}
    code = {"module", "type", "ABCMeta", "builtin_function_or_method"}
    others = [name for name, kind in classes.items() if kind not in code and not is_connection(space[name])]
    numbered = [(number, source.strip()) for number, source in enumerate(map(str, snapshot.cells)) if source.strip()]
    cells = [(f"cell:{number}", shortened(source.partition("\n")[0], 40)) for number, source in reversed(numbered)]
    offers = [
        *((name, "frame", "") for name in frames),
        *((table.full_name, "table", "") for table in catalog or ()),
        *((f"r:{name}", "R", "") for name in r_names),
        *((name, "cell", line) for name, line in cells[:10]),
        *((name, classes[name], "") for name in others),
    ]
    fitting = [offer for offer in offers if wanted in offer[0].lower()]
    fitting.sort(key=lambda offer: not offer[0].lower().startswith(wanted))
    fitting += beside
    return [{"label": f"@{name}", "kind": kind, "detail": detail} for name, kind, detail in fitting[:_MOST]]


# Cells that were run, the last first.
def _cells(wanted: str, snapshot: NotebookSnapshot) -> list[dict[str, str]]:
    found = [(number, str(cell).strip().partition("\n")[0]) for number, cell in enumerate(snapshot.cells)]
    fitting = [(number, line) for number, line in reversed(found) if line and wanted in f"{number} {line.lower()}"]
    fitting.sort(key=lambda each: not str(each[0]).startswith(wanted or " "))
    return [
        {"label": f"@cell:{number}", "kind": "cell", "detail": shortened(line, 60)} for number, line in fitting[:_MOST]
    ]


def _public(namespace: Mapping[str, object]) -> list[str]:
    hidden = {"In", "Out", "get_ipython", "exit", "quit", "open"}
    return sorted(name for name in namespace if not name.startswith("_") and name not in hidden)


def _class_of(value: object) -> str:
    return str(type.__getattribute__(type(value), "__name__"))  # a metaclass of the user's might fail


def shortened(line: str, most: int) -> str:
    """A line of at most so many characters, with an ellipsis where some are left out."""
    return line if len(line) <= most else line[: most - 1] + "…"


# Slash commands.


class PanelCommand(NamedTuple):
    """What a slash command takes and does, and the words of a button that offers it, where one does."""

    takes: str
    does: str
    offer: str = ""


COMMANDS = {
    "fix": PanelCommand("", "write the cell of the last error anew, corrected"),
    "explain": PanelCommand(
        "[WHAT]",
        "explain the last error, a cell (@cell:5), an object, or what you name",
        "Explain the last error",
    ),
    "sql": PanelCommand("[CONNECTION] QUESTION", "answer by a checked, read-only query, with its table and chart"),
    "code": PanelCommand("QUESTION", "answer by code, also where the tables of the connection in use could"),
    "chart": PanelCommand("QUESTION", "answer by code that draws a chart"),
    "words": PanelCommand("QUESTION", "answer in words"),
    "quiz": PanelCommand(
        "[TOPIC]", "be asked a question about this notebook, or a topic, and have your answer looked at"
    ),
    "usage": PanelCommand("", "your limits, tokens and money, and what this conversation took, of several also all"),
    "clear": PanelCommand("", "forget this conversation"),
    "help": PanelCommand("", "this list", "List what can be asked"),
}

Action = Literal["ask", "sql_ai", "usage", "clear", "help"]
QUIZ = (
    "Quiz me on {topic}: ask one short question that can be answered from what the notebook holds, without the answer. "
    "When I have answered, say what is right and what is not, and why."
)
KEYS = (
    "**Enter** sends, **Shift+Enter** begins a new line, **Esc** stops, **↑** in an empty box brings back what you "
    "wrote. `@` names what must be described: `@flights`, `@r:mtcars`, `@cell:5`, `@file:notes.md`; `#` finds a cell."
)


@dataclass(frozen=True)
class SlashCommand:
    """What a message asks for: what is to be done, and the question that is sent, perhaps with the last error."""

    action: Action
    text: str = ""
    about_error: bool = False
    way: Way | None = None  # of answering, where it was chosen


def read(message: str, *, has_error: bool) -> SlashCommand:
    """What a message asks for; ``has_error`` tells whether there is, or may be, a last error to explain or fix."""
    if not (text := message.strip()):
        raise BadInput("There is nothing to send.", hint="Write a question, or /help.")
    if not text.startswith("/") or text.startswith(("//", "/*")):
        return SlashCommand("ask", text)
    name, *more = text[1:].split(maxsplit=1) or [""]
    rest = "".join(more)
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1)
        hint = f"Did you mean /{near[0]}?" if near else "/help lists what there is."
        raise BadInput(f"There is no /{name}.", hint=hint)
    if name == "fix" or (name == "explain" and not rest):
        if not has_error:
            raise no_error()
        asked = ERROR_QUESTIONS["fix" if name == "fix" else ""]
        return SlashCommand("ask", f"{asked} {rest}".strip(), about_error=True)
    if name in {"sql", "code", "chart", "words"} and not rest:
        raise BadInput(f"/{name} needs a question.", hint=f"/{name} flights per airline")
    commands = {
        "code": SlashCommand("ask", rest, way="code"),
        "chart": SlashCommand("ask", rest, way="chart"),
        "words": SlashCommand("ask", rest, way="words"),
        "explain": SlashCommand("ask", f"Explain {rest}", way="words"),
        "sql": SlashCommand("sql_ai", rest),
        "quiz": SlashCommand("ask", QUIZ.format(topic=rest or "what this notebook does")),
    }
    return commands.get(name) or SlashCommand(cast("Action", name))


def no_error() -> BadInput:
    """The refusal of what is about the last error, when there is none."""
    return BadInput("There is no error to explain.", hint="/explain @cell:5 explains a cell.")


def commands_table() -> str:
    """The commands as a table of Markdown."""
    rows = [f"| `/{name}{f' {one.takes}' if one.takes else ''}` | {one.does} |" for name, one in COMMANDS.items()]
    return "\n".join(["| command | |", "|---|---|", *rows, ""])


def help_text() -> str:
    """The commands as Markdown."""
    return f"{commands_table()}\n{KEYS}"

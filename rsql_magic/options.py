"""Every option of the magics and every ``%rsql`` command, declared once.

Parsing, Tab completion, ``--help``, the ``rsql`` command and the tables of docs/magics.md are made from this file. An
option that is named like a field of `QueryOptions` reaches a query without further code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

ChartKind = Literal["bar", "line", "point", "area", "hist", "pie", "box", "heat"]
CHARTS: tuple[ChartKind, ...] = get_args(ChartKind)
LookFirst = Literal["auto", "always", "never"]
LOOKS: tuple[LookFirst, ...] = get_args(LookFirst)
Way = Literal["words", "code", "query", "chart"]  # what an answer of %%ask is made of
WAYS: tuple[Way, ...] = get_args(Way)
# Each command with what it takes and what it does.
COMMANDS: dict[str, tuple[str, str]] = {
    "connect": ("[URL [--token-from NAME]]", "Use this gateway; the token is in a variable or in the environment."),
    "status": ("", "The gateway: where it is, its keys, queue and models."),
    "usage": ("", "Your limits, tokens and money, and what this notebook used."),
    "stats": ("", "The same as usage."),
    "models": ("", "The models there are."),
    "keys": ("[new NAME [OPTION VALUE …] | revoke ID]", "Your keys for scripts: list, make, revoke."),
    "context": ("[QUESTION]", "What would be told about the notebook, ranked, with its tokens."),
    "catalog": ("[PATTERN]", "Tables and columns of the connection in use."),
    "docs": (
        "[add WHAT … | remove NAME | push NAME]",
        "Documents to answer from: list, add (files, folders, addresses, help), remove, share with your group.",
    ),
    "search": ("WORDS", "Search the documents, without a model."),
    "dictionary": (
        "[PATH | on | off | init [PATH] | check [PATH] | share [PATH] | unshare NAME]",
        "What people wrote about the data: use a file, draft one, check it against a database, share it with a group.",
    ),
    "values": ("[WORD]", "Which columns hold a word, and how they write it; without one, what the value index covers."),
    "chat": ("", "The chat panel, below the cell."),
    "history": (
        "[--save FILE | list | open ID | search WORDS | export ID FILE | rename ID NAME | delete ID | "
        "share ID | unshare ID | forget [copies]]",
        "The conversation so far, or those that are kept; forget deletes all of them, of all notebooks, forget copies "
        "only what is at the gateway.",
    ),
    "study": ("[ID]", "The study sets that are kept, and how many of their items are due; with an ID, that one again."),
    "thread": ("[NAME]", "Go on in the conversation of this name; without one, list those there are."),
    "replay": (
        "[PATH | on | off | strict | diff]",
        "Keep answers in a file and take them from there; strict: ask for nothing else; diff: what has changed.",
    ),
    "reset": ("", "Forget the conversation."),
    "refresh": ("", "Read the tables of all connections anew."),
    "transpile": ("[--from DIALECT] --to DIALECT SQL", "Write a query in another dialect, without a model."),
    "verify": (
        "[--user | --group]",
        "Keep the last question and its SQL as checked, for questions like it; --group shares it with your group.",
    ),
    "doctor": (
        "[--report [FILE]]",
        "Look at everything a question needs, and say what to do where something is wrong; --report packs that and the "
        "log for whoever helps.",
    ),
    "debug": ("[on | off]", "Keep a log of what is done and what fails, without data and secrets; say where it is."),
    "help": ("[COMMAND]", "This; or one command."),
}
# Dictionaries that are found beside a notebook, the first of them there are; the formats tell themselves by content.
DICTIONARIES = (
    "data-dict.yaml",
    "data-dict.yml",
    "dictionary.yaml",
    "dictionary.yml",
    "semantic_model.yaml",
    "semantic_model.yml",
    "osi.yaml",
    "osi.yml",
    "target/manifest.json",
    "target/semantic_manifest.json",
)
_HELP_WIDTH = 40  # characters of a call beside which its help stands; that of a longer one stands below it
# Options of `%rsql keys new` that limit what a key may use.
KEY_LIMITS = {"--per-day": "requests_per_day", "--usd-per-day": "usd_per_day", "--usd-per-month": "usd_per_month"}
KEY_OPTIONS = ("--days", *KEY_LIMITS, "--scopes", "--into")  # all options of `%rsql keys new`, each with a value


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a magic."""

    flags: tuple[str, ...]  # as typed, the long one first
    help: str
    nargs: int | Literal["?", "+"] = 1
    metavar: str = ""  # the value's name in help and documentation
    choices: tuple[str, ...] = ()  # empty for any value
    type: Callable[[str], Any] = str
    const: str | None = None  # the value of a ``?`` option without one
    offers: str = ""  # what Tab completes its value with: ``models``, ``objects`` or ``tables``
    more: str = ""  # Markdown after the help in docs/magics.md
    command: bool = False  # whether the ``rsql`` command has it too

    @property
    def name(self) -> str:
        """Its name among the parsed values: ``output``."""
        return self.flags[0].strip("-").replace("-", "_")

    def declared(self) -> dict[str, Any]:
        """The arguments of ``ArgumentParser.add_argument``, without the flags."""
        if self.nargs == 0:
            return {"action": "store_true", "help": self.help, "dest": self.name}
        more: dict[str, Any] = {"nargs": self.nargs, "action": "extend", "default": []} if self.nargs == "+" else {}
        more |= {"nargs": "?", "const": self.const} if self.nargs == "?" else {}
        more |= {"choices": self.choices} if self.choices else {"metavar": self.metavar or self.name.upper()}
        return {"help": self.help, "dest": self.name, "type": self.type, **more}

    def row(self) -> str:
        """Its row in docs/magics.md."""
        values = "\\|".join(self.choices) or self.metavar
        value = {0: "", "?": f" [{values}]", "+": f" {values}…"}.get(self.nargs, f" {values}")
        short = " …" if self.choices else value
        flags = [f"`{flag}{short if number else value}`" for number, flag in enumerate(self.flags)]
        return f"| {', '.join(flags)} | {' '.join(filter(None, [self.help, self.more]))} |"


HELP = Option(("--help", "-h"), "Print the options.", 0)
_MODEL = Option(
    ("--model", "-m"),
    "The model or an alias of it.",
    metavar="NAME",
    more="`%rsql models` lists them.",
    offers="models",
    command=True,
)
_PRIVACY = Option(
    ("--privacy",),
    "How much of the data may leave: names and types; also ranges and frequent categories; also 5 rows.",
    choices=("names", "stats", "sample"),
)
_LOOK = Option(
    ("--look",),
    "Let the model look at tables and values before it answers.",
    "?",
    choices=LOOKS,
    const="always",
    more="Default: `Rsql.look`. See [Looking first](#looking-first).",
    command=True,
)
_ON_ERROR = Option(
    ("--on-error",),
    "What an error does: stop the run, be shown while the run goes on, or nothing.",
    choices=("raise", "warn", "skip"),
    more="Default: `Rsql.on_error`. See [Errors in a run](#errors-in-a-run).",
)
_NEW = Option(("--new",), "Forget the conversation first.", 0)
_SHOW_CONTEXT = Option(
    ("--show-context",), "Print exactly what would be sent and its tokens, and send nothing.", 0, command=True
)

ASK = (
    _MODEL,
    Option(("--lang",), "The language of code in the answer.", choices=("auto", "r", "python", "sql")),
    Option(("--with",), "Describe these objects in full, whatever else is described.", "+", "NAME", offers="objects"),
    Option(
        ("--docs",),
        "Answer from these documents.",
        "+",
        "NAME",
        more="`%rsql docs` lists them; see [Documents](documents.md).",
    ),
    Option(("--no-context",), "Send the question alone.", 0),
    _PRIVACY,
    Option(
        ("--run",),
        "Run the one block of code in the answer, where it is proven to only compute: Python here, R in the R session, "
        "SQL read-only.",
        0,
    ),
    Option(
        ("--agree",),
        "With --run: agree beforehand to whatever the code does, to files, on the network and elsewhere.",
        0,
    ),
    Option(
        ("--insert",),
        "Put the code of the answer into a new cell below.",
        0,
        more="See [Inserting code](#inserting-code).",
    ),
    Option(
        ("--output", "-o"),
        "Keep the answer under this name.",
        metavar="VAR",
        more="`answer << question` does the same.",
    ),
    _NEW,
    Option(
        ("--thread",),
        "Ask in the conversation of this name, once.",
        metavar="NAME",
        more="`%rsql thread NAME` stays there.",
    ),
    Option(
        ("--as",),
        "The way to answer, or study material in place of an answer.",
        choices=(*WAYS, "summary", "flashcards", "quiz", "exam"),
        more="See [The way a question is answered](#the-way-a-question-is-answered) and [Study cells](#study-cells).",
    ),
    Option(
        ("--map",),
        "Ask about each row of this frame; {{column}} in the question is what stands in the row.",
        metavar="FRAME",
        more="See [A question about each row](#a-question-about-each-row).",
    ),
    Option(
        ("--returns",),
        "The columns that --map adds, and their types: `label: good|bad, score: float`.",
        metavar="COLUMNS",
    ),
    Option(("--budget",), "Most US dollars that --map may spend.", metavar="USD", type=float),
    Option(("--count",), "How many items of study material, 1 to 30.", metavar="N", type=int),
    Option(("--format", "-f"), "How the answer is shown.", choices=("markdown", "text", "json"), command=True),
    _SHOW_CONTEXT,
    replace(_LOOK, command=False),  # of the command's question there is nothing to look at
    Option(("--timeout",), "Most seconds without a word from the gateway.", metavar="S", type=float),
    _ON_ERROR,
    HELP,
)

SQL_AI = (
    _MODEL,
    Option(
        ("--output", "-o"),
        "Keep the frame under this name; with --no-run, the SQL.",
        metavar="VAR",
        more="`delays << question` does the same.",
    ),
    Option(("--tables",), "Use only these tables.", "+", "T", offers="tables"),
    Option(("--no-run",), "Write and check the query, and do not run it.", 0, command=True),
    Option(("--explain",), "Show the database's plan, and explain the query in words.", 0),
    Option(
        ("--answer",),
        "Answer in words too, from the first rows of the result, in the language of the question.",
        0,
        more="They are sent to the model, so it needs `--privacy sample`.",
    ),
    Option(
        ("--ask",),
        "Ask back when the question can be read in several ways.",
        0,
        more="When the tables of several schemas answer equally well, such as `hr.employee` and `sales.employee`, and"
        " the question names no schema, they are named instead of guessed. Without a person the better linked one is"
        " taken, and a note says so.",
    ),
    Option(
        ("--as",),
        "What to keep the result as (-o).",
        choices=("pandas", "polars", "arrow"),
        more="`result.df` stays pandas.",
    ),
    Option(
        ("--save",),
        "Write the result to these files: .csv, .parquet, .sql, .png, .svg.",
        "+",
        "FILE",
        more="`.csv` and `.parquet` hold the rows, `.sql` the query, `.png` and `.svg` the chart, which is then drawn"
        " without `--plot` too.",
    ),
    Option(("--plot",), "Draw the result.", "?", choices=("auto", *CHARTS), const="auto"),
    Option(
        ("--max-rows",),
        "Most rows brought into the notebook.",
        metavar="N",
        type=int,
        more="Default: `Rsql.max_rows`. The count under the table is the true one.",
        command=True,
    ),
    Option(
        ("--retries",), "Most corrections of a failing query.", metavar="N", type=int, more="Default: `Rsql.retries`."
    ),
    Option(
        ("--drafts",),
        "Compare the results of so many drafts; the one most of them give is taken.",
        metavar="N",
        type=int,
        more="Default: `Rsql.drafts`.",
        command=True,
    ),
    _LOOK,
    Option(
        ("--timeout",),
        "Most seconds the query may run.",
        metavar="S",
        type=float,
        more="Default: `Rsql.query_timeout`.",
    ),
    Option(
        ("--dialect",),
        "Dialect to write in, when it is not the connection's.",
        metavar="D",
        more="The query is translated to run. With `--no-run` it is checked in that dialect against the tables, and not"
        " compiled here.",
    ),
    _PRIVACY,
    _ON_ERROR,
    _NEW,
    _SHOW_CONTEXT,
    HELP,
)


def options_table(options: tuple[Option, ...]) -> str:
    """Options as a Markdown table, for docs/magics.md.

    Example:
        >>> print(options_table((Option(("--new",), "Forget the conversation first.", 0),)))
        | option | what it does |
        |---|---|
        | `--new` | Forget the conversation first. |
    """
    return "\n".join(["| option | what it does |", "|---|---|", *(option.row() for option in options)])


def is_variable(name: str) -> bool:
    """Whether a variable of Python can have this name.

    Example:
        >>> is_variable("année"), is_variable("class"), is_variable("1st")
        (True, False, False)
    """
    return name.isidentifier() and not iskeyword(name)


def help_text(name: str = "") -> str:
    """The help of one command, or a line for each.

    Example:
        >>> help_text("reset")
        '%rsql reset  Forget the conversation.'
    """
    calls = {f"%rsql {each} {COMMANDS[each][0]}".rstrip(): COMMANDS[each][1] for each in ([name] if name else COMMANDS)}
    width = min(max(map(len, calls)), _HELP_WIDTH)
    lines = [
        f"{call.ljust(width)}  {what}" if len(call) <= width else f"{call}\n{'':{width}}  {what}"
        for call, what in calls.items()
    ]
    if name == "keys":
        lines.append(f"new takes these, with a value each: {', '.join(KEY_OPTIONS)}.")
    return "\n".join(lines)

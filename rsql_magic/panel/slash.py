"""Slash commands of the panel: ``/fix``, ``/explain``, ``/sql``, ``/quiz``, ``/usage``, ``/clear``, ``/help``."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, cast

from rsql_magic.answers import ERROR_QUESTIONS
from rsql_magic.errors import BadInput

# Each command, what it takes, and what it does.
COMMANDS = {
    "fix": ("", "write the cell of the last error anew, corrected"),
    "explain": ("[WHAT]", "explain the last error, a cell (@cell:5), an object, or what you name"),
    "sql": ("[CONNECTION] QUESTION", "answer by a checked, read-only query, with its table and chart"),
    "quiz": ("[TOPIC]", "be asked a question about this notebook, or a topic, and have your answer looked at"),
    "usage": ("", "your limits, tokens and money, and what this conversation took"),
    "clear": ("", "forget this conversation"),
    "help": ("", "this list"),
}

Action = Literal["ask", "sql_ai", "usage", "clear", "help"]
QUIZ = (
    "Quiz me on {topic}: ask one short question that can be answered from what the notebook holds, without the answer. "
    "When I have answered, say what is right and what is not, and why."
)
KEYS = (
    "**Enter** sends, **Shift+Enter** begins a new line, **Esc** stops, **↑** in an empty box brings back what you "
    "wrote. `@` names what must be described: `@flights`, `@r:mtcars`, `@cell:5`."
)


@dataclass(frozen=True)
class SlashCommand:
    """What a message asks for: what is to be done, and the question that is sent, perhaps with the last error."""

    action: Action
    text: str = ""
    about_error: bool = False


def read(message: str, *, has_error: bool) -> SlashCommand:
    """What a message asks for; ``has_error`` tells whether there is, or may be, a last error to explain or fix.

    Example:
        >>> read("/sql flights per day", has_error=False)
        SlashCommand(action='sql_ai', text='flights per day', about_error=False)
    """
    text = message.strip()
    if not text:
        raise BadInput("There is nothing to send.", hint="Write a question, or /help.")
    if not text.startswith("/") or text.startswith(("//", "/*")):
        return SlashCommand("ask", text)
    name, *rest = text[1:].split(maxsplit=1) or [""]
    return _command(name, "".join(rest), has_error=has_error)


def _command(name: str, rest: str, *, has_error: bool) -> SlashCommand:
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1)
        raise BadInput(
            f"There is no /{name}.", hint=f"Did you mean /{near[0]}?" if near else "/help lists what there is."
        )
    if name == "fix":
        return _about_error("fix", rest, has_error=has_error)
    if name == "explain":
        return SlashCommand("ask", f"Explain {rest}") if rest else _about_error("", rest, has_error=has_error)
    if name == "sql":
        if not rest:
            raise BadInput("/sql needs a question.", hint="/sql flights per airline")
        return SlashCommand("sql_ai", rest)
    if name == "quiz":
        return SlashCommand("ask", QUIZ.format(topic=rest or "what this notebook does"))
    return SlashCommand(cast("Action", name))


def _about_error(kind: str, rest: str, *, has_error: bool) -> SlashCommand:
    if not has_error:
        raise no_error()
    return SlashCommand("ask", " ".join([ERROR_QUESTIONS[kind], rest]).strip(), about_error=True)


def no_error() -> BadInput:
    """The refusal of what is about the last error, when there is none."""
    return BadInput("There is no error to explain.", hint="/explain @cell:5 explains a cell.")


def help_text() -> str:
    """The commands as Markdown."""
    rows = [f"| `/{name}{f' {takes}' if takes else ''}` | {does} |" for name, (takes, does) in COMMANDS.items()]
    return "\n".join(["| command | |", "|---|---|", *rows, "", KEYS])

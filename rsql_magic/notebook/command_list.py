"""What can stand after ``%rsql``, declared once: for the help, for completion, and for who carries it out."""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "connect": ("[URL [--token-from NAME]]", "Use this gateway; the token is in a variable or in the environment."),
    "status": ("", "The gateway: where it is, its keys, queue and models."),
    "usage": ("", "Your limits, tokens and money, and what this notebook used."),
    "stats": ("", "The same as usage."),
    "models": ("", "The models there are."),
    "keys": ("[new NAME [OPTION VALUE …] | revoke ID]", "Your keys for scripts: list, make, revoke."),
    "context": ("[QUESTION]", "What would be told about the notebook, ranked, with its tokens."),
    "catalog": ("[PATTERN]", "Tables and columns of the connection in use."),
    "chat": ("", "The chat panel, below the cell."),
    "history": ("[--save FILE]", "The conversation so far; with --save as a page of Markdown in a file."),
    "thread": ("[NAME]", "Go on in the conversation of this name; without one, list those there are."),
    "reset": ("", "Forget the conversation."),
    "refresh": ("", "Read the tables of all connections anew."),
    "transpile": ("[--from DIALECT] --to DIALECT SQL", "Write a query in another dialect, without a model."),
    "verify": ("[--user]", "Keep the last question and its SQL as checked; questions like it are shown them."),
    "doctor": ("", "Look at everything a question needs, and say what to do where something is wrong."),
    "help": ("[COMMAND]", "This; or one command."),
}
"""Each command with what it takes and what it does."""

KEY_LIMITS = {"--per-day": "requests_per_day", "--usd-per-day": "usd_per_day", "--usd-per-month": "usd_per_month"}
"""Options of ``%rsql keys new`` that limit what a key may use."""

KEY_OPTIONS = ("--days", *KEY_LIMITS, "--into")
"""All options of ``%rsql keys new``, each with a value."""


def help_text(name: str = "") -> str:
    """The help of one command, or a line for each.

    Example:
        >>> help_text("reset")
        '%rsql reset  Forget the conversation.'
    """
    chosen = [name] if name else list(COMMANDS)
    width = max(len(f"{each} {COMMANDS[each][0]}".rstrip()) for each in chosen)
    lines = [f"%rsql {f'{each} {COMMANDS[each][0]}'.rstrip().ljust(width)}  {COMMANDS[each][1]}" for each in chosen]
    if name == "keys":
        lines.append(f"new takes these, with a value each: {', '.join(KEY_OPTIONS)}.")
    return "\n".join(lines)
